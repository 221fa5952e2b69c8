// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package mount

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// SwitchRoot makes the tree at newRoot, a mount point, the root of this process and gives the old root's memory back.
//
// Since Linux 7.0 the initramfs can be left by pivot_root and unmounted whole. Before, it is the one file system that cannot
// be unmounted: it is emptied, which frees the same memory, and covered. Emptying never crosses into another file system.
// After the first step that cannot be undone, the returned error is about an emptied initramfs only, and leaving is set.
func SwitchRoot(newRoot string) (left bool, err error) {
	if err := unix.Chdir(newRoot); err != nil {
		return false, fmt.Errorf("cannot enter %s: %w", newRoot, err)
	}
	if err := unix.PivotRoot(".", "."); err == nil {
		if err := unix.Unmount(".", unix.MNT_DETACH); err != nil {
			return true, fmt.Errorf("cannot unmount the initramfs: %w", err)
		}
		return true, unix.Chdir("/")
	} else if !errors.Is(err, unix.EINVAL) {
		return false, fmt.Errorf("cannot pivot into %s: %w", newRoot, err)
	}
	old, err := os.Open("/")
	if err != nil {
		return false, fmt.Errorf("cannot open the initramfs: %w", err)
	}
	defer old.Close()
	if err := unix.Mount(".", "/", "", unix.MS_MOVE, ""); err != nil {
		return false, fmt.Errorf("cannot move %s to /: %w", newRoot, err)
	}
	if err := unix.Chroot("."); err != nil {
		return true, fmt.Errorf("cannot change the root to %s: %w", newRoot, err)
	}
	if err := unix.Chdir("/"); err != nil {
		return true, fmt.Errorf("cannot change directory to /: %w", err)
	}
	return true, empty(int(old.Fd()))
}

// isMemory reports whether the file system that holds fd lives in memory only, so that deleting from it can hurt nobody.
func isMemory(fd int) bool {
	var st unix.Statfs_t
	if unix.Fstatfs(fd, &st) != nil {
		return false
	}
	return st.Type == unix.RAMFS_MAGIC || st.Type == unix.TMPFS_MAGIC
}

// empty deletes everything below the directory dirfd that lies on the same file system, if that is one in memory.
func empty(dirfd int) error {
	if !isMemory(dirfd) {
		return fmt.Errorf("cannot empty the old root: it is not a memory file system: %w", unix.EXDEV)
	}
	var st unix.Stat_t
	if err := unix.Fstat(dirfd, &st); err != nil {
		return fmt.Errorf("cannot look at the old root: %w", err)
	}
	return emptyDir(dirfd, st.Dev)
}

func emptyDir(dirfd int, dev uint64) error {
	fd, err := unix.Openat(dirfd, ".", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("cannot read the initramfs: %w", err)
	}
	dir := os.NewFile(uintptr(fd), "initramfs")
	names, err := dir.Readdirnames(-1)
	if err != nil {
		dir.Close()
		return fmt.Errorf("cannot read the initramfs: %w", err)
	}
	defer dir.Close()
	var first error
	for _, name := range names {
		var st unix.Stat_t
		if unix.Fstatat(fd, name, &st, unix.AT_SYMLINK_NOFOLLOW) != nil || st.Dev != dev {
			continue
		}
		flags := 0
		if st.Mode&unix.S_IFMT == unix.S_IFDIR {
			flags = unix.AT_REMOVEDIR
			sub, err := unix.Openat(fd, name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
			if err != nil {
				continue
			}
			err = emptyDir(sub, dev)
			unix.Close(sub)
			first = errors.Join(first, err)
		}
		// A directory over which the new root is mounted stays, which is nothing but a name.
		if err := unix.Unlinkat(fd, name, flags); err != nil && !errors.Is(err, unix.EBUSY) && !errors.Is(err, unix.ENOTEMPTY) {
			first = errors.Join(first, fmt.Errorf("cannot delete %s from the initramfs: %w", name, err))
		}
	}
	return first
}
