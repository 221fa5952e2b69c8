// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

// Package tap makes network devices whose cable ends in this process (Documentation/networking/tuntap.rst of the kernel), in any network
// namespace. It is for tests.
package tap

import (
	"fmt"
	"os"
	"runtime"

	"golang.org/x/sys/unix"
)

// Open makes the network device name in the network namespace of a process, or of this one for 0. Each read of the file is a frame that
// was sent through the device, each write one that it receives. The device goes with the file.
func Open(pid int, name string) (*os.File, error) {
	f, err := open(pid, name)
	if err != nil {
		return nil, fmt.Errorf("cannot make the network device %s: %w", name, err)
	}
	return f, nil
}

func open(pid int, name string) (*os.File, error) {
	type result struct {
		f   *os.File
		err error
	}
	done := make(chan result)
	go func() {
		if pid != 0 {
			// A namespace is the thread's. This thread is not used for anything else: it ends with the goroutine that holds it.
			runtime.LockOSThread()
			if err := enter(pid); err != nil {
				done <- result{nil, err}
				return
			}
		}
		f, err := attach(name)
		done <- result{f, err}
	}()
	r := <-done
	return r.f, r.err
}

func enter(pid int) error {
	ns, err := os.Open(fmt.Sprintf("/proc/%d/ns/net", pid))
	if err != nil {
		return err
	}
	defer ns.Close()
	return unix.Setns(int(ns.Fd()), unix.CLONE_NEWNET)
}

func attach(name string) (*os.File, error) {
	fd, err := unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	req, err := unix.NewIfreq(name)
	if err == nil {
		req.SetUint16(unix.IFF_TAP | unix.IFF_NO_PI)
		err = unix.IoctlIfreq(fd, unix.TUNSETIFF, req)
	}
	if err != nil {
		unix.Close(fd)
		return nil, err
	}
	return os.NewFile(uintptr(fd), name), nil
}
