// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

// Package efivarfs reads and writes EFI variables through the kernel's efivarfs (Documentation/filesystems/efivarfs.rst).
//
// A variable is written by one write(2) of attributes and data. The kernel marks variables that it does not know as immutable when it
// mounts the file system, so that "rm -rf" does not break machines; the mark is taken away for the write. What a file holds is for package
// efivar to take apart.
package efivarfs

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"golang.org/x/sys/unix"
)

// ErrTooLarge says that a variable is larger than its reader allows.
var ErrTooLarge = errors.New("too large")

// immutable is FS_IMMUTABLE_FL of include/uapi/linux/fs.h.
const immutable = 0x10

// Read returns the file of a variable, attributes and data; nil if the variable does not exist. More than limit bytes are an error
// that wraps [ErrTooLarge].
func Read(dir *os.Root, name string, limit int64) ([]byte, error) {
	f, err := dir.Open(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("cannot read EFI variable %s: %w", name, err)
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err == nil && int64(len(b)) > limit {
		err = fmt.Errorf("more than %d bytes: %w", limit, ErrTooLarge)
	}
	if err != nil {
		return nil, fmt.Errorf("cannot read EFI variable %s: %w", name, err)
	}
	return b, nil
}

// Write sets a variable to content, which is attributes and data as efivar.Encode makes them, and creates it if need be. A variable that
// has that content already is left alone: flash wears out. The kernel asks the firmware to check what is written, so an error can
// be the firmware's: no space (ENOSPC), read-only (EROFS), or whatever it finds.
func Write(dir *os.Root, name string, content []byte) error {
	if err := write(dir, name, content); err != nil {
		return fmt.Errorf("cannot write EFI variable %s: %w", name, err)
	}
	return nil
}

func write(dir *os.Root, name string, content []byte) error {
	if old, err := Read(dir, name, int64(len(content))); err == nil && bytes.Equal(old, content) && old != nil {
		return nil
	}
	if err := mutable(dir, name); err != nil {
		return err
	}
	f, err := dir.OpenFile(name, os.O_WRONLY|os.O_CREATE, 0o644)
	if err != nil {
		return err
	}
	_, err = f.Write(content)
	// efivarfs has replaced the content by now; a file of a captured machine still has what was longer.
	if info, serr := f.Stat(); err == nil && serr == nil && info.Size() > int64(len(content)) {
		err = f.Truncate(int64(len(content)))
	}
	return errors.Join(err, f.Close())
}

// mutable takes the immutable mark off a file, if it exists and has one.
func mutable(dir *os.Root, name string) error {
	f, err := dir.Open(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer f.Close()
	flags, err := unix.IoctlGetInt(int(f.Fd()), unix.FS_IOC_GETFLAGS)
	if errors.Is(err, unix.ENOTTY) || errors.Is(err, unix.EOPNOTSUPP) {
		return nil // not efivarfs: a captured machine
	}
	if err != nil {
		return fmt.Errorf("cannot read its flags: %w", err)
	}
	if flags&immutable == 0 {
		return nil
	}
	if err := unix.IoctlSetPointerInt(int(f.Fd()), unix.FS_IOC_SETFLAGS, flags&^immutable); err != nil {
		return fmt.Errorf("cannot make it mutable: %w", err)
	}
	return nil
}
