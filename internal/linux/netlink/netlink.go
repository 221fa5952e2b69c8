// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

// Package netlink receives the kernel's uevents (NETLINK_KOBJECT_UEVENT, lib/kobject_uevent.c).
//
// Only messages that the kernel itself sent are passed on: any process may send to that multicast group.
package netlink

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

const (
	kernelGroup = 1
	// bufferSize is what a message can take: UEVENT_BUFFER_SIZE (2,048) and the header line with a path.
	bufferSize = 8 << 10
	// receiveBuffer holds the events of a machine with thousands of devices while stage 1 loads modules.
	receiveBuffer = 16 << 20
)

// ErrOverrun says that the kernel dropped events because they were not read in time; the reader must look at sysfs again.
var ErrOverrun = errors.New("uevents were lost")

// Socket is a subscription to uevents. It is made before sysfs is walked, so that nothing falls between the two.
type Socket struct {
	f      *os.File
	closed atomic.Bool
}

// Open subscribes.
func Open() (*Socket, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, unix.NETLINK_KOBJECT_UEVENT)
	if err != nil {
		return nil, fmt.Errorf("cannot open the uevent socket: %w", err)
	}
	// Without the privilege for the forced size the default one does.
	_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, receiveBuffer)
	if err := unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK, Groups: kernelGroup}); err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("cannot subscribe to uevents: %w", err)
	}
	return &Socket{f: os.NewFile(uintptr(fd), "uevents")}, nil
}

// Receive waits for the next message of the kernel. It returns an error wrapping [ErrOverrun] where events were lost, after
// which it can be called again, and one wrapping [os.ErrClosed] after [Socket.Close].
func (s *Socket) Receive(buf []byte) (int, error) {
	raw, err := s.f.SyscallConn()
	if err != nil {
		return 0, fmt.Errorf("cannot receive a uevent: %w", err)
	}
	for {
		var n int
		var from unix.Sockaddr
		var rerr error
		err := raw.Read(func(fd uintptr) bool {
			n, from, rerr = unix.Recvfrom(int(fd), buf, 0)
			return !errors.Is(rerr, unix.EAGAIN)
		})
		switch {
		case err != nil && s.closed.Load():
			// What SyscallConn returns for a file that is closed meanwhile is an error of its own.
			return 0, fmt.Errorf("cannot receive a uevent: %w", os.ErrClosed)
		case err != nil:
			return 0, fmt.Errorf("cannot receive a uevent: %w", err)
		case errors.Is(rerr, unix.ENOBUFS):
			return 0, fmt.Errorf("cannot receive a uevent: %w", ErrOverrun)
		case errors.Is(rerr, unix.EINTR):
			continue
		case rerr != nil:
			return 0, fmt.Errorf("cannot receive a uevent: %w", rerr)
		}
		// Port 0 is the kernel's.
		if sa, ok := from.(*unix.SockaddrNetlink); ok && sa.Pid == 0 && n > 0 {
			return n, nil
		}
	}
}

// Run sends each message to out until ctx ends or the socket is closed. A nil message means that events were lost.
func (s *Socket) Run(ctx context.Context, out chan<- []byte) error {
	stop := context.AfterFunc(ctx, func() { s.Close() })
	defer stop()
	buf := make([]byte, bufferSize)
	for {
		n, err := s.Receive(buf)
		var msg []byte
		switch {
		case errors.Is(err, ErrOverrun):
		case errors.Is(err, os.ErrClosed):
			return ctx.Err()
		case err != nil:
			return err
		default:
			msg = append(msg, buf[:n]...)
		}
		select {
		case out <- msg:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// Close ends the subscription.
func (s *Socket) Close() error {
	s.closed.Store(true)
	return s.f.Close()
}
