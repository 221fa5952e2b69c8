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

type result struct {
	f   *os.File
	err error
}

func open(pid int, name string) (*os.File, error) {
	if pid == 0 {
		return attach(name)
	}
	done := make(chan result, 1)
	go inside(pid, name, done)
	r := <-done
	return r.f, r.err
}

// inside attaches in another namespace, which is the thread's: it is used for nothing else, and ends with the goroutine that holds it.
func inside(pid int, name string, done chan<- result) {
	runtime.LockOSThread()
	if unix.Gettid() == os.Getpid() {
		// The first thread cannot end, and its namespace is taken for that of the process. While it is held here, another has to do it.
		other := make(chan result, 1)
		go inside(pid, name, other)
		done <- <-other
		runtime.UnlockOSThread()
		return
	}
	if err := enter(pid); err != nil {
		done <- result{nil, err}
		return
	}
	f, err := attach(name)
	done <- result{f, err}
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
