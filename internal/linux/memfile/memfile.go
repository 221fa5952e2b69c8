// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

// Package memfile makes files that live in memory and have no name (memfd_create).
package memfile

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// New returns an empty file. name is only for whoever looks at /proc.
func New(name string) (*os.File, error) {
	fd, err := unix.MemfdCreate(name, unix.MFD_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("cannot make a file in memory: %w", err)
	}
	return os.NewFile(uintptr(fd), name), nil
}
