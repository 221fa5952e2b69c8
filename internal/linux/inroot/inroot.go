// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

// Package inroot reads files below a directory as [os.Root] does, but lets the kernel follow the path, symlinks included:
// openat2(2) with RESOLVE_IN_ROOT (Linux 5.6). os.Root takes a system call or more for each element of a path, and sysfs
// consists of long paths and links.
package inroot

import (
	"os"

	"golang.org/x/sys/unix"

	"github.com/initddi/initddi/internal/linux/process"
)

// retries is how often a path is tried again. The kernel gives up (EAGAIN) on one with ".." in it, or a link with that, if anything
// anywhere was renamed or mounted meanwhile.
const retries = 32

// Open opens a file for reading and returns its descriptor. The directory dirfd is / for every symlink on the way. Opening never blocks
// on a FIFO.
func Open(dirfd int, name string) (fd int, err error) {
	how := unix.OpenHow{Flags: unix.O_RDONLY | unix.O_CLOEXEC | unix.O_NONBLOCK | unix.O_NOCTTY, Resolve: unix.RESOLVE_IN_ROOT | unix.RESOLVE_NO_MAGICLINKS}
	return open(dirfd, name, &how)
}

// ReadFile reads at most limit bytes of the file of that name. The directory is / for every symlink on the way.
func ReadFile(dir *os.File, name string, limit int) ([]byte, error) {
	fd, err := Open(int(dir.Fd()), name)
	if err != nil {
		return nil, err
	}
	defer unix.Close(fd)
	b := make([]byte, limit)
	n := 0
	for n < limit {
		var m int
		err := process.Uninterrupted(func() (err error) {
			m, err = unix.Read(fd, b[n:])
			return err
		})
		if err != nil {
			return nil, &os.PathError{Op: "read", Path: name, Err: err}
		}
		if m == 0 {
			break
		}
		n += m
	}
	return b[:n], nil
}
