// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

// Package module loads kernel modules with finit_module.
package module

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/initddi/initddi/internal/linux/process"
)

// Load loads the module in f with the given parameters. A file that ends in .xz, .zst or .gz is left to the kernel to decompress
// (Linux 5.17 with CONFIG_MODULE_DECOMPRESS). A module that is there already is not an error.
func Load(f *os.File, params string) error {
	flags := 0
	if !strings.HasSuffix(f.Name(), ".ko") {
		flags = unix.MODULE_INIT_COMPRESSED_FILE
	}
	// It waits for whoever loads the same module.
	err := process.Uninterrupted(func() error { return unix.FinitModule(int(f.Fd()), params, flags) })
	switch {
	case err == nil, errors.Is(err, unix.EEXIST):
		return nil
	case errors.Is(err, unix.ENOSYS):
		return fmt.Errorf("cannot load module %s: this kernel was built without modules: %w", f.Name(), err)
	case errors.Is(err, unix.EKEYREJECTED), errors.Is(err, unix.EBADMSG), errors.Is(err, unix.ENOKEY):
		return fmt.Errorf("cannot load module %s: it is not signed by a key of this kernel: %w", f.Name(), err)
	}
	return fmt.Errorf("cannot load module %s: %w", f.Name(), err)
}

// LoadFrom opens name below root and loads it.
func LoadFrom(root *os.Root, name, params string) error {
	f, err := root.Open(name)
	if err != nil {
		return fmt.Errorf("cannot load module %s: %w", name, err)
	}
	defer f.Close()
	return Load(f, params)
}
