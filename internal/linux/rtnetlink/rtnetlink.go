// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

// Package rtnetlink speaks as much of the kernel's NETLINK_ROUTE (rtnetlink(7), include/uapi/linux/rtnetlink.h and if_link.h) as it takes to
// bring a network card up: links, addresses, routes, VLANs, and word of changes. It is no general library: what is not needed is not there,
// which makes a compressed program 80 kB smaller than one that has it.
package rtnetlink

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// receiveSize is more than the kernel puts into one read of a dump (NLMSG_GOODSIZE, 32 KiB at most).
	receiveSize = 64 << 10
	// maxReads bounds a dump: about 100,000 links.
	maxReads = 4096
	// patience is how long the kernel may take to answer, which it does before the call that asks is over.
	patience = 10 * time.Second
)

// Conn asks the kernel. It is safe for concurrent use; questions wait for each other.
type Conn struct {
	mu  sync.Mutex
	fd  int
	seq uint32
	buf []byte
}

// Open opens a connection to the kernel, for the network namespace of the calling thread.
func Open() (*Conn, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_ROUTE)
	if err != nil {
		return nil, fmt.Errorf("cannot open a socket to the kernel's network: %w", err)
	}
	limit := unix.NsecToTimeval(patience.Nanoseconds())
	if err := unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &limit); err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("cannot open a socket to the kernel's network: %w", err)
	}
	return &Conn{fd: fd, buf: make([]byte, receiveSize)}, nil
}

// Close ends the connection; nothing that was set up goes with it.
func (c *Conn) Close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	fd := c.fd
	c.fd = -1
	return unix.Close(fd)
}

// ask sends a request and gives every message of the answer to each, until the kernel says that it is done. An answer that is an error is
// a [unix.Errno].
func (c *Conn) ask(kind, flags uint16, body []byte, each func(message)) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.seq++
	m := message{kind: kind, flags: flags | unix.NLM_F_REQUEST, seq: c.seq, body: body}
	if err := unix.Sendto(c.fd, m.encode(), 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return err
	}
	for range maxReads {
		n, from, err := unix.Recvfrom(c.fd, c.buf, 0)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return err
		}
		if sa, ok := from.(*unix.SockaddrNetlink); !ok || sa.Pid != 0 {
			continue // not the kernel
		}
		list, err := parse(c.buf[:n])
		if err != nil {
			return err
		}
		for _, a := range list {
			if a.seq != c.seq {
				continue // the answer to a question that was given up
			}
			switch a.kind {
			case unix.NLMSG_DONE:
				return nil
			case unix.NLMSG_ERROR:
				if errno := -int32(number(a.body)); errno != 0 {
					return unix.Errno(errno)
				}
				return nil
			default:
				if each != nil {
					each(a)
				}
			}
		}
	}
	return fmt.Errorf("%w: a list without an end", ErrMessage)
}

// Flags of a link's IPv6, of the kernel's include/net/if_inet6.h: what the last router advertisement said.
const (
	ifOtherConf = 0x80
	ifManaged   = 0x40
	ifRARcvd    = 0x20
)

// Link is a network device.
type Link struct {
	Index    int
	Name     string
	Ethernet bool
	Loopback bool
	MAC      net.HardwareAddr
	MTU      int
	// Kind is what made it where that was no driver: "vlan", "bridge", "veth"; empty for a network card.
	Kind string
	Up   bool // switched on
	// Carrier says that there is a cable with something at its other end. Nobody knows while it is not Up.
	Carrier bool
	// Parent is the index of the link that a VLAN is on, VLAN its number.
	Parent, VLAN int
	// Advertised says that a router advertisement was received, Managed and Other that it sends to DHCPv6 for addresses, or for all else.
	Advertised, Managed, Other bool
}

// Links lists the network devices.
func (c *Conn) Links() ([]Link, error) {
	var out []Link
	err := c.ask(unix.RTM_GETLINK, unix.NLM_F_DUMP, make([]byte, unix.SizeofIfInfomsg), func(m message) {
		if l, ok := link(m); ok {
			out = append(out, l)
		}
	})
	if err != nil {
		return nil, fmt.Errorf("cannot list the network devices: %w", err)
	}
	return out, nil
}

// link reads an ifinfomsg with its attributes.
func link(m message) (Link, bool) {
	if m.kind != unix.RTM_NEWLINK || len(m.body) < unix.SizeofIfInfomsg {
		return Link{}, false
	}
	b := m.body
	flags := number(b[8:])
	l := Link{
		Index: int(int32(number(b[4:]))), Ethernet: binary.NativeEndian.Uint16(b[2:]) == unix.ARPHRD_ETHER,
		Up: flags&unix.IFF_UP != 0, Loopback: flags&unix.IFF_LOOPBACK != 0, Carrier: flags&unix.IFF_UP != 0 && flags&unix.IFF_LOWER_UP != 0,
	}
	for kind, value := range attributes(b[unix.SizeofIfInfomsg:]) {
		switch kind {
		case unix.IFLA_IFNAME:
			l.Name = text(value)
		case unix.IFLA_ADDRESS:
			l.MAC = append(net.HardwareAddr{}, value...)
		case unix.IFLA_MTU:
			l.MTU = int(number(value))
		case unix.IFLA_LINK:
			l.Parent = int(int32(number(value)))
		case unix.IFLA_LINKINFO:
			l.Kind = text(find(value, unix.IFLA_INFO_KIND))
			if id := find(value, unix.IFLA_INFO_DATA, unix.IFLA_VLAN_ID); l.Kind == "vlan" && len(id) >= 2 {
				l.VLAN = int(binary.NativeEndian.Uint16(id))
			}
		case unix.IFLA_AF_SPEC:
			six := number(find(value, unix.AF_INET6, unix.IFLA_INET6_FLAGS))
			l.Advertised, l.Managed, l.Other = six&ifRARcvd != 0, six&ifManaged != 0, six&ifOtherConf != 0
		}
	}
	return l, l.Name != ""
}

// text reads a string that ends in NUL.
func text(b []byte) string {
	for i, c := range b {
		if c == 0 {
			return string(b[:i])
		}
	}
	return string(b)
}

// Address is an address of a link.
type Address struct {
	Prefix netip.Prefix
	// Global says that it is of use beyond the link; Tentative that the kernel still asks whether somebody else has it, Duplicate that somebody has.
	Global, Tentative, Duplicate bool
}

// Addresses lists the addresses of a link.
func (c *Conn) Addresses(index int) ([]Address, error) {
	var out []Address
	err := c.ask(unix.RTM_GETADDR, unix.NLM_F_DUMP, make([]byte, unix.SizeofIfAddrmsg), func(m message) {
		if a, of, ok := address(m); ok && of == index {
			out = append(out, a)
		}
	})
	if err != nil {
		return nil, fmt.Errorf("cannot list addresses: %w", err)
	}
	return out, nil
}

// address reads an ifaddrmsg with its attributes.
func address(m message) (a Address, index int, ok bool) {
	if m.kind != unix.RTM_NEWADDR || len(m.body) < unix.SizeofIfAddrmsg {
		return a, 0, false
	}
	b := m.body
	attrs := b[unix.SizeofIfAddrmsg:]
	flags := uint32(b[2])
	if f := find(attrs, unix.IFA_FLAGS); f != nil {
		flags = number(f)
	}
	// The link's own end where both have one.
	own := find(attrs, unix.IFA_LOCAL)
	if own == nil {
		own = find(attrs, unix.IFA_ADDRESS)
	}
	addr, ok := netip.AddrFromSlice(own)
	if !ok || int(b[1]) > addr.BitLen() {
		return a, 0, false
	}
	a = Address{Prefix: netip.PrefixFrom(addr, int(b[1])), Global: b[3] == unix.RT_SCOPE_UNIVERSE, Tentative: flags&unix.IFA_F_TENTATIVE != 0, Duplicate: flags&unix.IFA_F_DADFAILED != 0}
	return a, int(number(b[4:])), true
}

// Gateway returns the gateway of the default route through a link, of IPv6 or of IPv4; it is not valid where there is none.
func (c *Conn) Gateway(index int, six bool) (netip.Addr, error) {
	var out netip.Addr
	body := make([]byte, unix.SizeofRtMsg)
	body[0] = family(six)
	err := c.ask(unix.RTM_GETROUTE, unix.NLM_F_DUMP, body, func(m message) {
		if gateway, of, ok := defaultRoute(m); ok && of == index && !out.IsValid() {
			out = gateway
		}
	})
	if err != nil {
		return out, fmt.Errorf("cannot list routes: %w", err)
	}
	return out, nil
}

// defaultRoute reads an rtmsg with its attributes, if it is a default route of the main table.
func defaultRoute(m message) (gateway netip.Addr, index int, ok bool) {
	if m.kind != unix.RTM_NEWROUTE || len(m.body) < unix.SizeofRtMsg || m.body[1] != 0 || m.body[4] != unix.RT_TABLE_MAIN || m.body[7] != unix.RTN_UNICAST {
		return gateway, 0, false
	}
	attrs := m.body[unix.SizeofRtMsg:]
	gateway, ok = netip.AddrFromSlice(find(attrs, unix.RTA_GATEWAY))
	return gateway, int(number(find(attrs, unix.RTA_OIF))), ok
}

func family(six bool) byte {
	if six {
		return unix.AF_INET6
	}
	return unix.AF_INET
}

// isExist is for what may be there already.
func isExist(err error) bool { return errors.Is(err, os.ErrExist) }
