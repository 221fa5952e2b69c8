// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package process

import (
	"os"

	"golang.org/x/sys/unix"
)

// Inherited returns the file that whoever started this process left open at a descriptor, nil if there is none. What Go's runtime
// has opened for itself is close-on-exec; what was inherited becomes so. It is to be asked for once, and early: later the number may be
// another file's.
func Inherited(fd int, name string) *os.File {
	flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0)
	if err != nil || flags&unix.FD_CLOEXEC != 0 {
		return nil
	}
	unix.CloseOnExec(fd)
	return os.NewFile(uintptr(fd), name)
}
