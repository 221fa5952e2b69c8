// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package nbd

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// Watcher hears of lost connections.
type Watcher struct {
	f      *os.File
	family uint16
}

// Watch begins to listen for connections that are lost.
func (c *Control) Watch() (*Watcher, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, unix.NETLINK_GENERIC)
	if err != nil {
		return nil, fmt.Errorf("cannot listen for lost connections: %w", err)
	}
	// Without a port of its own the socket has the kernel's, 0, and who sends to all does not send to itself.
	if err := unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("cannot listen for lost connections: %w", err)
	}
	if err := unix.SetsockoptInt(fd, unix.SOL_NETLINK, unix.NETLINK_ADD_MEMBERSHIP, int(c.group)); err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("cannot listen for lost connections: %w", err)
	}
	return &Watcher{os.NewFile(uintptr(fd), "netlink"), c.family}, nil
}

// Close ends the listening.
func (w *Watcher) Close() error { return w.f.Close() }

// Run sends the number of each device that loses a connection to out, until ctx ends or the watcher is closed. -1 is any of them: the
// kernel had more to say than was heard.
func (w *Watcher) Run(ctx context.Context, out chan<- int) error {
	stop := context.AfterFunc(ctx, func() { w.f.Close() })
	defer stop()
	raw, err := w.f.SyscallConn()
	if err != nil {
		return fmt.Errorf("cannot listen for lost connections: %w", err)
	}
	buf := make([]byte, maxAnswer)
	for {
		var n int
		var from unix.Sockaddr
		var rerr error
		err := raw.Read(func(fd uintptr) bool {
			n, from, rerr = unix.Recvfrom(int(fd), buf, 0)
			return !errors.Is(rerr, unix.EAGAIN)
		})
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case err != nil:
			return fmt.Errorf("cannot listen for lost connections: %w", err)
		case errors.Is(rerr, unix.EINTR):
			continue
		}
		var devices []int
		switch sa, ok := from.(*unix.SockaddrNetlink); {
		case errors.Is(rerr, unix.ENOBUFS):
			devices = []int{-1}
		case rerr != nil:
			return fmt.Errorf("cannot listen for lost connections: %w", rerr)
		case !ok || sa.Pid != 0:
			continue
		default:
			devices = deadLinks(w.family, buf[:n])
		}
		for _, d := range devices {
			select {
			case out <- d:
			case <-ctx.Done():
				return ctx.Err()
			}
		}
	}
}

// deadLinks returns the devices that a datagram says have lost a connection.
func deadLinks(family uint16, b []byte) []int {
	replies, err := parseReplies(b)
	if err != nil {
		return nil
	}
	var out []int
	for _, r := range replies {
		if r.family != family || r.command != cmdLinkDead {
			continue
		}
		attrs, err := parseAttrs(r.body)
		if index, ok := find(attrs, attrIndex, 4); err == nil && ok {
			out = append(out, int(binary.NativeEndian.Uint32(index)))
		}
	}
	return out
}
