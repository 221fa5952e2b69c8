// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

// Package mount wraps the kernel's file-descriptor based mount interface (fsopen, fsmount, move_mount; Linux 5.2).
//
// A file system is mounted detached: it exists for whoever holds the descriptor and is visible to nobody else until
// [Mount.Attach]. Closing a mount that was never attached unmounts it. What the kernel has to say about a failure is read
// from the context and becomes part of the error.
package mount

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/initddi/initddi/internal/linux/inroot"
)

// Attributes of a mount; names as in mount(8).
const (
	ReadOnly    = unix.MOUNT_ATTR_RDONLY
	NoSuid      = unix.MOUNT_ATTR_NOSUID
	NoDev       = unix.MOUNT_ATTR_NODEV
	NoExec      = unix.MOUNT_ATTR_NOEXEC
	NoAtime     = unix.MOUNT_ATTR_NOATIME
	StrictAtime = unix.MOUNT_ATTR_STRICTATIME
)

// Option is a file system option; a flag if Value is empty.
type Option struct{ Key, Value string }

// Request describes one mount.
type Request struct {
	Type    string // file system type as in /proc/filesystems
	Source  string // device, or what /proc/mounts shall show
	Options []Option
	Attr    int // or of the attribute constants
}

// Mount is a mount that is held by a descriptor.
type Mount struct {
	f    *os.File
	what string
}

// New mounts a file system detached.
func New(r Request) (*Mount, error) {
	what := r.Type
	if r.Source != "" {
		what = r.Type + " on " + r.Source
	}
	fs, err := unix.Fsopen(r.Type, unix.FSOPEN_CLOEXEC)
	if err != nil {
		if errors.Is(err, unix.ENODEV) {
			return nil, fmt.Errorf("cannot mount %s: this kernel has no file system %s: %w", what, r.Type, err)
		}
		return nil, fmt.Errorf("cannot mount %s: %w", what, err)
	}
	defer unix.Close(fs)
	fail := func(step string, err error) (*Mount, error) {
		if log := drain(fs); log != "" {
			return nil, fmt.Errorf("cannot mount %s: %s: %s: %w", what, step, log, err)
		}
		return nil, fmt.Errorf("cannot mount %s: %s: %w", what, step, err)
	}
	if r.Source != "" {
		if err := unix.FsconfigSetString(fs, "source", r.Source); err != nil {
			return fail("source", err)
		}
	}
	if r.Attr&ReadOnly != 0 {
		if err := unix.FsconfigSetFlag(fs, "ro"); err != nil {
			return fail("ro", err)
		}
	}
	for _, o := range r.Options {
		if o.Value == "" {
			err = unix.FsconfigSetFlag(fs, o.Key)
		} else {
			err = unix.FsconfigSetString(fs, o.Key, o.Value)
		}
		if err != nil {
			return fail(o.Key, err)
		}
	}
	if err := unix.FsconfigCreate(fs); err != nil {
		return fail("superblock", err)
	}
	fd, err := unix.Fsmount(fs, unix.FSMOUNT_CLOEXEC, r.Attr)
	if err != nil {
		return fail("fsmount", err)
	}
	return &Mount{os.NewFile(uintptr(fd), what), what}, nil
}

// drain reads the messages that the kernel left in a file system context, such as "e Can't find an erofs filesystem".
func drain(fs int) string {
	var all []string
	buf := make([]byte, 1024)
	for range 16 {
		n, err := unix.Read(fs, buf)
		if err != nil || n <= 0 {
			break
		}
		all = append(all, strings.TrimSpace(string(buf[:n])))
	}
	return strings.Join(all, "; ")
}

// Attach makes the mount visible at path.
func (m *Mount) Attach(path string) error {
	if err := unix.MoveMount(int(m.f.Fd()), "", unix.AT_FDCWD, path, unix.MOVE_MOUNT_F_EMPTY_PATH); err != nil {
		return fmt.Errorf("cannot attach %s at %s: %w", m.what, path, err)
	}
	return nil
}

// Open opens a file of the mount's tree read-only. The mount's root is / for every symlink on the way, so no name leaves the
// tree. Opening never blocks on a FIFO and never starts an automount.
func (m *Mount) Open(name string) (*os.File, error) {
	fd, err := inroot.Open(int(m.f.Fd()), name)
	if err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(fd), name), nil
}

// Close gives the descriptor up; a mount that was never attached is unmounted by that. Closing twice is harmless.
func (m *Mount) Close() error {
	if err := m.f.Close(); err != nil && !errors.Is(err, os.ErrClosed) {
		return fmt.Errorf("cannot close %s: %w", m.what, err)
	}
	return nil
}

// Move moves the mount at from, with all that is mounted below it, to the directory to.
func Move(from, to string) error {
	if err := unix.Mount(from, to, "", unix.MS_MOVE, ""); err != nil {
		return fmt.Errorf("cannot move the mount %s to %s: %w", from, to, err)
	}
	return nil
}

// Unmount takes the mount at path away at once, even if it is in use.
func Unmount(path string) error {
	if err := unix.Unmount(path, unix.MNT_DETACH|unix.UMOUNT_NOFOLLOW); err != nil {
		return fmt.Errorf("cannot unmount %s: %w", path, err)
	}
	return nil
}

// IsMountPoint reports whether something is mounted at path itself (STATX_ATTR_MOUNT_ROOT, Linux 5.8).
func IsMountPoint(path string) (bool, error) {
	var st unix.Statx_t
	if err := unix.Statx(unix.AT_FDCWD, path, unix.AT_SYMLINK_NOFOLLOW|unix.AT_NO_AUTOMOUNT, 0, &st); err != nil {
		return false, fmt.Errorf("cannot look at %s: %w", path, err)
	}
	return st.Attributes&unix.STATX_ATTR_MOUNT_ROOT != 0, nil
}
