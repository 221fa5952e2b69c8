// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package rtnetlink

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// watched are the groups of messages about links, addresses, what a router advertisement said, and those of its options that the kernel leaves to others.
const watched = 1<<(unix.RTNLGRP_LINK-1) | 1<<(unix.RTNLGRP_IPV6_IFADDR-1) | 1<<(unix.RTNLGRP_IPV6_IFINFO-1) | 1<<(unix.RTNLGRP_IPV6_ROUTE-1) | 1<<(unix.RTNLGRP_ND_USEROPT-1)

// Event is word of a change. What has changed is for the receiver to look up, but for what can be heard only once.
type Event struct {
	Index int // of the link that Options came over
	// Options are options of a router advertisement as they came over the network (RFC 4861 section 4.6). Nobody has looked into them.
	Options []byte
}

// Watcher hears of changes.
type Watcher struct{ f *os.File }

// Watch begins to listen, so that nothing is missed between that and looking.
func Watch() (*Watcher, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, unix.NETLINK_ROUTE)
	if err != nil {
		return nil, fmt.Errorf("cannot watch the kernel's network: %w", err)
	}
	if err := unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK, Groups: watched}); err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("cannot watch the kernel's network: %w", err)
	}
	return &Watcher{os.NewFile(uintptr(fd), "rtnetlink")}, nil
}

// Close ends it.
func (w *Watcher) Close() error { return w.f.Close() }

// Run sends an event to out for each change until ctx ends or the watcher is closed, which is no error. Changes that nobody waits for are
// told as one.
func (w *Watcher) Run(ctx context.Context, out chan<- Event) error {
	stop := context.AfterFunc(ctx, func() { w.Close() })
	defer stop()
	buf := make([]byte, receiveSize)
	for {
		n, err := w.receive(buf)
		switch {
		case ctx.Err() != nil || errors.Is(err, os.ErrClosed):
			return nil
		case errors.Is(err, unix.ENOBUFS):
			// Some were lost: whoever looks will see.
		case err != nil:
			return fmt.Errorf("cannot watch the kernel's network: %w", err)
		}
		changed := false
		list, _ := parse(buf[:n])
		for _, m := range list {
			index, options, ok := userOptions(m)
			if !ok {
				changed = true
				continue
			}
			select {
			case out <- Event{index, options}:
			case <-ctx.Done():
				return nil
			}
		}
		if !changed && err == nil {
			continue
		}
		select {
		case out <- Event{}:
		case <-ctx.Done():
			return nil
		}
	}
}

// receive waits for a message of the kernel.
func (w *Watcher) receive(buf []byte) (int, error) {
	raw, err := w.f.SyscallConn()
	if err != nil {
		return 0, os.ErrClosed
	}
	var n int
	var from unix.Sockaddr
	var rerr error
	for {
		err = raw.Read(func(fd uintptr) bool {
			n, from, rerr = unix.Recvfrom(int(fd), buf, 0)
			return !errors.Is(rerr, unix.EAGAIN)
		})
		switch {
		case err != nil:
			return 0, os.ErrClosed
		case errors.Is(rerr, unix.EINTR):
			continue
		case rerr != nil:
			return 0, rerr
		}
		if sa, ok := from.(*unix.SockaddrNetlink); ok && sa.Pid == 0 {
			return n, nil
		}
	}
}

// userOptions reads an nduseroptmsg (include/uapi/linux/rtnetlink.h): family, the options' length, the link, ICMPv6 type and code.
func userOptions(m message) (index int, options []byte, ok bool) {
	if m.kind != unix.RTM_NEWNDUSEROPT || len(m.body) < unix.SizeofNdUseroptmsg || m.body[0] != unix.AF_INET6 {
		return 0, nil, false
	}
	rest := m.body[unix.SizeofNdUseroptmsg:]
	n := int(binary.NativeEndian.Uint16(m.body[2:]))
	if n > len(rest) {
		return 0, nil, false
	}
	return int(int32(number(m.body[4:]))), append([]byte{}, rest[:n]...), true
}

// Solicit asks the routers on a link to advertise themselves (RFC 4861 section 4.1), as the kernel does when a link comes up: for what they
// said before somebody listened.
func Solicit(index int) error {
	const routerSolicitation = 133
	fd, err := unix.Socket(unix.AF_INET6, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.IPPROTO_ICMPV6)
	if err != nil {
		return fmt.Errorf("cannot ask for routers: %w", err)
	}
	defer unix.Close(fd)
	// What did not come from the link itself has passed a router, which makes the hop limit less.
	if err := unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_MULTICAST_HOPS, 255); err != nil {
		return fmt.Errorf("cannot ask for routers: %w", err)
	}
	to := &unix.SockaddrInet6{ZoneId: uint32(index), Addr: [16]byte{0: 0xff, 1: 0x02, 15: 2}}
	if err := unix.Sendto(fd, []byte{routerSolicitation, 0, 0, 0, 0, 0, 0, 0}, 0, to); err != nil {
		return fmt.Errorf("cannot ask for routers: %w", err)
	}
	return nil
}
