// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package mount

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"github.com/initddi/initddi/internal/mountinfo"
)

// Clone copies the mount at path, with all that is mounted below it if recursive is set. The copy is detached and not shared with any
// other. A symlink at the end of path is not followed and no automount is started.
func Clone(path string, recursive bool) (*Mount, error) {
	flags := uint(unix.OPEN_TREE_CLONE | unix.OPEN_TREE_CLOEXEC | unix.AT_NO_AUTOMOUNT | unix.AT_SYMLINK_NOFOLLOW)
	if recursive {
		flags |= unix.AT_RECURSIVE
	}
	fd, err := unix.OpenTree(unix.AT_FDCWD, path, flags)
	if err != nil {
		return nil, fmt.Errorf("cannot copy the mount %s: %w", path, err)
	}
	m := &Mount{os.NewFile(uintptr(fd), path), "the copy of " + path}
	// Who detaches the original must not take along what is mounted below the copy.
	if err := m.set(&unix.MountAttr{Propagation: unix.MS_PRIVATE}, recursive); err != nil {
		return nil, errors.Join(err, m.Close())
	}
	return m, nil
}

// SetAttr adds attributes to the mount, and to all that is mounted below it if recursive is set.
func (m *Mount) SetAttr(attr int, recursive bool) error {
	return m.set(&unix.MountAttr{Attr_set: uint64(attr)}, recursive)
}

func (m *Mount) set(attr *unix.MountAttr, recursive bool) error {
	flags := uint(unix.AT_EMPTY_PATH)
	if recursive {
		flags |= unix.AT_RECURSIVE
	}
	if err := unix.MountSetattr(int(m.f.Fd()), "", flags, attr); err != nil {
		return fmt.Errorf("cannot change %s: %w", m.what, err)
	}
	return nil
}

// AttachTo makes the mount visible at an open directory or file.
func (m *Mount) AttachTo(at *os.File) error {
	if err := unix.MoveMount(int(m.f.Fd()), "", int(at.Fd()), "", unix.MOVE_MOUNT_F_EMPTY_PATH|unix.MOVE_MOUNT_T_EMPTY_PATH); err != nil {
		return fmt.Errorf("cannot attach %s at %s: %w", m.what, at.Name(), err)
	}
	return nil
}

// moveMountBeneath is MOVE_MOUNT_BENEATH of linux/mount.h.
const moveMountBeneath = 0x200

// AttachBeneath attaches the mount below the one at path, so that it becomes visible when that is taken away and there is no
// moment without either (Linux 6.5). The error of an older kernel wraps EINVAL, as that of a mount for which it is not possible.
func (m *Mount) AttachBeneath(path string) error {
	if err := unix.MoveMount(int(m.f.Fd()), "", unix.AT_FDCWD, path, unix.MOVE_MOUNT_F_EMPTY_PATH|moveMountBeneath); err != nil {
		return fmt.Errorf("cannot attach %s beneath the mount at %s: %w", m.what, path, err)
	}
	return nil
}

// List returns the mounts of the calling thread's namespace, in the order in which they were made.
func List() ([]mountinfo.Mount, error) {
	// Not /proc/self: that is the main thread, and a thread can have a namespace of its own.
	b, err := os.ReadFile("/proc/thread-self/mountinfo")
	if err != nil {
		return nil, fmt.Errorf("cannot list the mounts: %w", err)
	}
	list, err := mountinfo.Parse(string(b))
	if err != nil {
		return nil, fmt.Errorf("cannot list the mounts: %w", err)
	}
	return list, nil
}

// At returns the ID of the mount that is seen at path, as in [List] (Linux 5.8).
func At(path string) (uint64, error) {
	var st unix.Statx_t
	if err := unix.Statx(unix.AT_FDCWD, path, unix.AT_SYMLINK_NOFOLLOW|unix.AT_NO_AUTOMOUNT, unix.STATX_MNT_ID, &st); err != nil {
		return 0, fmt.Errorf("cannot look at %s: %w", path, err)
	}
	return st.Mnt_id, nil
}

// Copy returns another descriptor of the same mount.
func (m *Mount) Copy() (*Mount, error) {
	fd, err := unix.FcntlInt(m.f.Fd(), unix.F_DUPFD_CLOEXEC, 3)
	if err != nil {
		return nil, fmt.Errorf("cannot copy a descriptor of %s: %w", m.what, err)
	}
	return &Mount{os.NewFile(uintptr(fd), m.f.Name()), m.what}, nil
}
