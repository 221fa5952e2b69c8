// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package inroot

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/initddi/initddi/internal/linux/process"
)

// Handle opens a file of any kind for nothing but being named (O_PATH). The directory dir is / for every symlink on the way, the last
// one included.
func Handle(dir *os.File, name string) (*os.File, error) {
	how := unix.OpenHow{Flags: unix.O_PATH | unix.O_CLOEXEC, Resolve: unix.RESOLVE_IN_ROOT | unix.RESOLVE_NO_MAGICLINKS}
	fd, err := open(int(dir.Fd()), name, &how)
	if err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(fd), name), nil
}

func open(dirfd int, name string, how *unix.OpenHow) (fd int, err error) {
	for range retries {
		err = process.Uninterrupted(func() (err error) {
			fd, err = unix.Openat2(dirfd, name, how)
			return err
		})
		if !errors.Is(err, unix.EAGAIN) {
			break
		}
	}
	if err != nil {
		return -1, &os.PathError{Op: "open", Path: name, Err: err}
	}
	return fd, nil
}

// Where returns the path of an open file, seen from the root of the process, with no symlink in it.
func Where(f *os.File) (string, error) {
	name, err := os.Readlink(ThroughProc(f))
	if err != nil {
		return "", fmt.Errorf("cannot find where %s is: %w", f.Name(), err)
	}
	return name, nil
}

// ThroughProc returns a path that leads to an open file, whatever has become of its name.
func ThroughProc(f *os.File) string { return fmt.Sprintf("/proc/thread-self/fd/%d", f.Fd()) }

// MkdirAll makes the directory name below dir, with those above it that are missing, and returns a handle of it. Every directory
// that is made has the permissions perm, less the process's umask. dir is / for every symlink on the way.
func MkdirAll(dir *os.File, name string, perm os.FileMode) (*os.File, error) {
	at := ""
	for element := range strings.SplitSeq(name, "/") {
		if element == "" || element == "." {
			continue
		}
		parent := at
		at += "/" + element
		f, err := Handle(dir, at)
		if err == nil {
			f.Close()
			continue
		}
		if !errors.Is(err, unix.ENOENT) {
			return nil, err
		}
		above, err := Handle(dir, "/"+parent)
		if err != nil {
			return nil, err
		}
		err = unix.Mkdirat(int(above.Fd()), element, uint32(perm.Perm()))
		above.Close()
		if err != nil && !errors.Is(err, unix.EEXIST) {
			return nil, &os.PathError{Op: "mkdir", Path: at, Err: err}
		}
	}
	f, err := Handle(dir, "/"+at)
	if err != nil {
		return nil, err
	}
	if info, err := f.Stat(); err != nil || !info.IsDir() {
		f.Close()
		return nil, &os.PathError{Op: "mkdir", Path: name, Err: errors.Join(err, unix.ENOTDIR)}
	}
	return f, nil
}
