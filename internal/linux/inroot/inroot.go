// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

// Package inroot reads files below a directory as [os.Root] does, but lets the kernel follow the path, symlinks included:
// openat2(2) with RESOLVE_IN_ROOT (Linux 5.6). os.Root takes a system call or more for each element of a path, and sysfs
// consists of long paths and links.
package inroot

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// retries is how often a path is tried again that was changed while the kernel followed it.
const retries = 8

// ReadFile reads at most limit bytes of the file of that name. The directory is / for every symlink on the way.
func ReadFile(dir *os.File, name string, limit int) ([]byte, error) {
	how := unix.OpenHow{Flags: unix.O_RDONLY | unix.O_CLOEXEC | unix.O_NONBLOCK | unix.O_NOCTTY, Resolve: unix.RESOLVE_IN_ROOT | unix.RESOLVE_NO_MAGICLINKS}
	var fd int
	var err error
	for range retries {
		fd, err = unix.Openat2(int(dir.Fd()), name, &how)
		if !errors.Is(err, unix.EAGAIN) && !errors.Is(err, unix.EINTR) {
			break
		}
	}
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: name, Err: err}
	}
	defer unix.Close(fd)
	b := make([]byte, limit)
	n := 0
	for n < limit {
		m, err := unix.Read(fd, b[n:])
		if errors.Is(err, unix.EINTR) {
			continue
		}
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
