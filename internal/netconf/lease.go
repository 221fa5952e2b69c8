// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package netconf

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"
	"github.com/insomniacslk/dhcp/dhcpv6"
)

// errAnswer says that a server's answer makes no sense.
var errAnswer = errors.New("an answer that is of no use")

// Bounds of what a server says.
const (
	maxRoutes = 32
	minMTU    = 576 // RFC 791
	maxMTU    = 65535
	// usualLease is for a server that names none, minLease the shortest that is believed: a boot has to be over before it is.
	usualLease = time.Hour
	minLease   = 2 * time.Minute
)

// lease is what a server gave.
type lease struct {
	Given
	mtu int // 0 where nothing was said
}

// unicast reports whether an address may be one machine's, on a network beyond this one or on the link.
func unicast(a netip.Addr) bool {
	return a.IsValid() && !a.Is4In6() && (a.IsGlobalUnicast() || a.IsLinkLocalUnicast()) && a != netip.AddrFrom4([4]byte{255, 255, 255, 255}) && (!a.Is4() || a.As4()[0] != 0 && a.As4()[0] < 224)
}

// servers takes the addresses out of list that may be a machine's, as many as a resolver asks.
func servers(list []net.IP) []netip.Addr {
	var out []netip.Addr
	for _, ip := range list {
		a, _ := netip.AddrFromSlice(ip)
		if a = a.Unmap(); unicast(a) && len(out) < maxServers {
			out = append(out, a)
		}
	}
	return out
}

func addr4(ip net.IP) netip.Addr {
	a, _ := netip.AddrFromSlice(ip.To4())
	return a
}

// fromDHCP4 reads an offer or an acknowledgement. The error wraps errAnswer.
func fromDHCP4(m *dhcpv4.DHCPv4) (lease, error) {
	var l lease
	l.How = DHCP4
	own := addr4(m.YourIPAddr)
	if !unicast(own) {
		return lease{}, fmt.Errorf("%w: the address %s", errAnswer, m.YourIPAddr)
	}
	ones, bits := m.SubnetMask().Size()
	if bits != 32 || ones == 0 {
		return lease{}, fmt.Errorf("%w: the network mask %q of %s", errAnswer, m.SubnetMask().String(), own)
	}
	own4 := netip.PrefixFrom(own, ones)
	if ones < 31 && (own4.Masked().Addr() == own || isBroadcast(own4)) {
		return lease{}, fmt.Errorf("%w: the address %s, which is the whole network's", errAnswer, own4)
	}
	l.Addresses = []netip.Prefix{own4}
	l.Server = addr4(m.ServerIdentifier())
	l.DNS = servers(m.DNS())
	term := m.IPAddressLeaseTime(usualLease)
	l.Lease = int64(max(term, minLease) / time.Second)
	if n, err := dhcpv4.GetUint16(dhcpv4.OptionInterfaceMTU, m.Options); err == nil && n >= minMTU {
		l.mtu = int(n)
	}
	// A server that sends both wants the router only of those who do not know the other (RFC 3442).
	routes := m.ClasslessStaticRoute()
	if len(routes) > maxRoutes {
		return lease{}, fmt.Errorf("%w: %d routes", errAnswer, len(routes))
	}
	for _, r := range routes {
		if r.Dest == nil {
			continue
		}
		n, size := r.Dest.Mask.Size()
		to, gateway := netip.PrefixFrom(addr4(r.Dest.IP), n).Masked(), addr4(r.Router)
		switch {
		case size != 32 || !to.IsValid() || !gateway.IsUnspecified() && !unicast(gateway):
		case n == 0 && gateway.IsUnspecified():
		case n == 0:
			l.Gateway = gateway
		case gateway.IsUnspecified():
			l.Routes = append(l.Routes, Route{To: to})
		default:
			l.Routes = append(l.Routes, Route{to, gateway})
		}
	}
	for _, r := range m.Router() {
		if gateway := addr4(r); len(routes) == 0 && unicast(gateway) && gateway != own && !l.Gateway.IsValid() {
			l.Gateway = gateway
		}
	}
	return l, nil
}

func isBroadcast(p netip.Prefix) bool {
	return p.Contains(p.Addr()) && !p.Contains(p.Addr().Next())
}

// fromDHCP6 reads a reply; duid is what it must be for, and managed that it must give an address. The error wraps errAnswer.
func fromDHCP6(m *dhcpv6.Message, duid dhcpv6.DUID, managed bool) (lease, error) {
	var l lease
	l.How = DHCP6
	if m.MessageType != dhcpv6.MessageTypeReply {
		return lease{}, fmt.Errorf("%w: a message of type %s", errAnswer, m.MessageType)
	}
	if id := m.Options.ClientID(); id == nil || !bytes.Equal(id.ToBytes(), duid.ToBytes()) {
		return lease{}, fmt.Errorf("%w: it is for another client", errAnswer)
	}
	if s := m.Options.Status(); s != nil && s.StatusCode != 0 {
		return lease{}, fmt.Errorf("%w: %s", errAnswer, s.StatusCode)
	}
	l.DNS = servers(m.Options.DNS())
	if !managed {
		return l, nil
	}
	ia := m.Options.OneIANA()
	if ia == nil {
		return lease{}, fmt.Errorf("%w: no address", errAnswer)
	}
	if s := ia.Options.Status(); s != nil && s.StatusCode != 0 {
		return lease{}, fmt.Errorf("%w: %s", errAnswer, s.StatusCode)
	}
	for _, o := range ia.Options.Addresses() {
		a, _ := netip.AddrFromSlice(o.IPv6Addr)
		if a.Is6() && unicast(a) && !a.IsLinkLocalUnicast() && o.ValidLifetime > 0 {
			// Which network the address is in is the router's to say.
			l.Addresses = []netip.Prefix{netip.PrefixFrom(a, 128)}
			l.Lease = int64(max(o.ValidLifetime, minLease) / time.Second)
			return l, nil
		}
	}
	return lease{}, fmt.Errorf("%w: no address", errAnswer)
}
