// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package rtnetlink

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"golang.org/x/sys/unix"
)

// forever is the lifetime of an address that has none (INFINITY_LIFE_TIME).
const forever = 0xffffffff

// infoMessage is an ifinfomsg.
func infoMessage(index int, flags, change uint32) []byte {
	b := make([]byte, 4, unix.SizeofIfInfomsg)
	b = binary.NativeEndian.AppendUint32(b, uint32(index))
	b = binary.NativeEndian.AppendUint32(b, flags)
	return binary.NativeEndian.AppendUint32(b, change)
}

// SetUp switches a link on, or off, which takes its routes and IPv6 addresses away.
func (c *Conn) SetUp(index int, up bool) error {
	flags, how := uint32(0), "off"
	if up {
		flags, how = unix.IFF_UP, "on"
	}
	if err := c.ask(unix.RTM_NEWLINK, unix.NLM_F_ACK, infoMessage(index, flags, unix.IFF_UP), nil); err != nil {
		return fmt.Errorf("cannot switch network device %d %s: %w", index, how, err)
	}
	return nil
}

// SetMTU sets the size of the largest packet.
func (c *Conn) SetMTU(index, mtu int) error {
	if err := c.ask(unix.RTM_NEWLINK, unix.NLM_F_ACK, attribute32(infoMessage(index, 0, 0), unix.IFLA_MTU, uint32(mtu)), nil); err != nil {
		return fmt.Errorf("cannot set the MTU of network device %d to %d: %w", index, mtu, err)
	}
	return nil
}

// AddVLAN makes the link name, for what has the tag id (802.1Q) on the link parent. One that is there already is an error wrapping
// [unix.EEXIST]; a kernel that does not know VLANs says [unix.EOPNOTSUPP].
func (c *Conn) AddVLAN(parent int, name string, id int) error {
	data := attribute(nil, unix.IFLA_VLAN_ID, binary.NativeEndian.AppendUint16(nil, uint16(id)))
	info := attribute(attribute(nil, unix.IFLA_INFO_KIND, []byte("vlan")), unix.IFLA_INFO_DATA, data)
	b := attribute32(infoMessage(0, 0, 0), unix.IFLA_LINK, uint32(parent))
	b = attribute(attribute(b, unix.IFLA_IFNAME, append([]byte(name), 0)), unix.IFLA_LINKINFO, info)
	if err := c.ask(unix.RTM_NEWLINK, unix.NLM_F_ACK|unix.NLM_F_CREATE|unix.NLM_F_EXCL, b, nil); err != nil {
		return fmt.Errorf("cannot make VLAN %d as %s: %w", id, name, err)
	}
	return nil
}

// AddAddress gives a link an address with its network, which is the kernel's to take away after valid; 0 is never. One that is there already is
// given that lifetime.
func (c *Conn) AddAddress(index int, p netip.Prefix, valid time.Duration) error {
	b := []byte{family(p.Addr().Is6()), byte(p.Bits()), 0, unix.RT_SCOPE_UNIVERSE}
	b = binary.NativeEndian.AppendUint32(b, uint32(index))
	addr := p.Addr().AsSlice()
	b = attribute(attribute(b, unix.IFA_LOCAL, addr), unix.IFA_ADDRESS, addr)
	if p.Addr().Is4() && p.Bits() < 31 {
		broadcast := slices.Clone(addr)
		for i := p.Bits(); i < 32; i++ {
			broadcast[i/8] |= 0x80 >> (i % 8)
		}
		b = attribute(b, unix.IFA_BROADCAST, broadcast)
	}
	seconds := uint32(forever)
	if valid > 0 && valid < forever*time.Second {
		seconds = uint32(max(1, valid/time.Second))
	}
	// ifa_cacheinfo: preferred and valid lifetime, and two times that the kernel fills in.
	cache := binary.NativeEndian.AppendUint32(binary.NativeEndian.AppendUint32(nil, seconds), seconds)
	b = attribute(b, unix.IFA_CACHEINFO, append(cache, make([]byte, 8)...))
	if err := c.ask(unix.RTM_NEWADDR, unix.NLM_F_ACK|unix.NLM_F_CREATE|unix.NLM_F_REPLACE, b, nil); err != nil {
		return fmt.Errorf("cannot add address %s: %w", p, err)
	}
	return nil
}

// AddRoute sends what goes to a network through a link, by way of a gateway if that is valid. The gateway need not be in the link's own
// network. A route that is there already is no error.
func (c *Conn) AddRoute(index int, to netip.Prefix, gateway netip.Addr) error {
	scope, flags := byte(unix.RT_SCOPE_UNIVERSE), uint32(unix.RTNH_F_ONLINK)
	if !gateway.IsValid() {
		flags = 0
		if to.Addr().Is4() {
			scope = unix.RT_SCOPE_LINK
		}
	}
	b := []byte{family(to.Addr().Is6()), byte(to.Bits()), 0, 0, unix.RT_TABLE_MAIN, unix.RTPROT_BOOT, scope, unix.RTN_UNICAST}
	b = binary.NativeEndian.AppendUint32(b, flags)
	if to.Bits() > 0 {
		b = attribute(b, unix.RTA_DST, to.Addr().AsSlice())
	}
	b = attribute32(b, unix.RTA_OIF, uint32(index))
	if gateway.IsValid() {
		b = attribute(b, unix.RTA_GATEWAY, gateway.AsSlice())
	}
	err := c.ask(unix.RTM_NEWROUTE, unix.NLM_F_ACK|unix.NLM_F_CREATE, b, nil)
	if err != nil && !isExist(err) {
		return fmt.Errorf("cannot add a route to %s by way of %s: %w", to, gateway, err)
	}
	return nil
}
