// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

// Package loop attaches files and block devices to loop devices.
//
// It uses LOOP_CONFIGURE (Linux 5.8, include/uapi/linux/loop.h): one ioctl sets everything, so there is no moment in which
// the device shows half of it. Devices are always read-only and always cleared by the kernel when the last user is gone.
package loop

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"
)

// attempts is how often a free device may be snatched away by somebody else before that is an error.
const attempts = 64

// Options say how the backing file is read.
type Options struct {
	// DirectIO reads past the page cache, so that nothing is held in memory twice.
	DirectIO bool
	// BlockSize is the logical block size in bytes; 0 is 512. With DirectIO it must not be below the backing device's.
	BlockSize uint32
	// Offset is where in the backing file the device begins, in bytes; a multiple of the block size.
	Offset int64
}

// Device is an attached loop device. While it is open it stays; closing the last user clears it.
type Device struct {
	*os.File
	Minor int
}

// Attach puts backing behind a free loop device below dev, a directory such as /dev that has loop-control.
func Attach(dev string, backing *os.File, opt Options) (*Device, error) {
	control, err := os.OpenFile(dev+"/loop-control", os.O_RDWR, 0)
	if err != nil {
		return nil, fmt.Errorf("cannot attach %s to a loop device: %w", backing.Name(), err)
	}
	defer control.Close()
	for range attempts {
		minor, err := unix.IoctlRetInt(int(control.Fd()), unix.LOOP_CTL_GET_FREE)
		if err != nil {
			return nil, fmt.Errorf("cannot find a free loop device for %s: %w", backing.Name(), err)
		}
		d, err := configure(fmt.Sprintf("%s/loop%d", dev, minor), minor, backing, opt)
		if errors.Is(err, unix.EBUSY) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("cannot attach %s to loop%d: %w", backing.Name(), minor, err)
		}
		return d, nil
	}
	return nil, fmt.Errorf("cannot attach %s to a loop device in %d attempts: %w", backing.Name(), attempts, unix.EBUSY)
}

func configure(path string, minor int, backing *os.File, opt Options) (*Device, error) {
	f, err := os.OpenFile(path, os.O_RDONLY, 0)
	if err != nil {
		return nil, err
	}
	config := unix.LoopConfig{Fd: uint32(backing.Fd()), Size: opt.BlockSize}
	config.Info.Flags = unix.LO_FLAGS_READ_ONLY | unix.LO_FLAGS_AUTOCLEAR
	config.Info.Offset = uint64(opt.Offset)
	if opt.DirectIO {
		config.Info.Flags |= unix.LO_FLAGS_DIRECT_IO
	}
	copy(config.Info.File_name[:63], backing.Name())
	_, _, errno := unix.Syscall(unix.SYS_IOCTL, f.Fd(), unix.LOOP_CONFIGURE, uintptr(unsafe.Pointer(&config)))
	runtime.KeepAlive(backing)
	if errno != 0 {
		f.Close()
		return nil, errno
	}
	return &Device{File: f, Minor: minor}, nil
}
