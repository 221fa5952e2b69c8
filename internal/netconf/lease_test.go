// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package netconf

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"
	"github.com/insomniacslk/dhcp/dhcpv6"
	"github.com/insomniacslk/dhcp/iana"
)

func ip(s string) net.IP { return net.ParseIP(s).To4() }

func route(to, gateway string) *dhcpv4.Route {
	_, n, err := net.ParseCIDR(to)
	if err != nil {
		panic(err)
	}
	return &dhcpv4.Route{Dest: n, Router: ip(gateway)}
}

// answer4 is what a server says, as it arrives.
func answer4(t testing.TB, address string, mask net.IPMask, options ...dhcpv4.Option) *dhcpv4.DHCPv4 {
	t.Helper()
	m, err := dhcpv4.New(dhcpv4.WithMessageType(dhcpv4.MessageTypeAck), dhcpv4.WithYourIP(ip(address)), dhcpv4.WithServerIP(ip("192.0.2.1")))
	if err != nil {
		t.Fatal(err)
	}
	m.OpCode = dhcpv4.OpcodeBootReply
	m.UpdateOption(dhcpv4.OptServerIdentifier(ip("192.0.2.1")))
	if mask != nil {
		m.UpdateOption(dhcpv4.OptSubnetMask(mask))
	}
	for _, o := range options {
		m.UpdateOption(o)
	}
	again, err := dhcpv4.FromBytes(m.ToBytes())
	if err != nil {
		t.Fatal(err)
	}
	return again
}

var mask24 = net.CIDRMask(24, 32)

func TestFromDHCP4(t *testing.T) {
	many := make([]*dhcpv4.Route, maxRoutes+1)
	for i := range many {
		many[i] = route(fmt.Sprintf("10.%d.0.0/16", i), "192.0.2.9")
	}
	servers := []net.IP{ip("127.0.0.1"), ip("192.0.2.53"), ip("224.0.0.1"), ip("0.0.0.0"), ip("255.255.255.255"), ip("192.0.2.54"), ip("192.0.2.55"), ip("192.0.2.56")}
	for _, test := range []struct {
		name string
		m    *dhcpv4.DHCPv4
		want string // of String, or of the error
	}{
		{"plain", answer4(t, "192.0.2.5", mask24, dhcpv4.OptRouter(ip("192.0.2.1")), dhcpv4.OptDNS(ip("192.0.2.53"))), "192.0.2.5/24 (dhcp4 from 192.0.2.1), gateway 192.0.2.1, DNS 192.0.2.53"},
		{"nothing more", answer4(t, "192.0.2.5", mask24), "192.0.2.5/24 (dhcp4 from 192.0.2.1), no gateway"},
		{"a network of two", answer4(t, "192.0.2.5", net.CIDRMask(31, 32)), "192.0.2.5/31 (dhcp4 from 192.0.2.1), no gateway"},
		{"a network of one", answer4(t, "192.0.2.5", net.CIDRMask(32, 32), dhcpv4.OptRouter(ip("198.51.100.1"))), "192.0.2.5/32 (dhcp4 from 192.0.2.1), gateway 198.51.100.1"},
		{"servers that are none", answer4(t, "192.0.2.5", mask24, dhcpv4.OptDNS(servers...)), "no gateway, DNS 192.0.2.53 192.0.2.54 192.0.2.55"},
		{"routers that are none", answer4(t, "192.0.2.5", mask24, dhcpv4.OptRouter(ip("0.0.0.0"), ip("192.0.2.5"), ip("224.0.0.1"), ip("192.0.2.7"))), "gateway 192.0.2.7"},
		{"routes win", answer4(t, "192.0.2.5", mask24, dhcpv4.OptRouter(ip("192.0.2.1")), dhcpv4.OptClasslessStaticRoute(route("0.0.0.0/0", "192.0.2.2"))), "gateway 192.0.2.2"},
		{"routes without a default", answer4(t, "192.0.2.5", mask24, dhcpv4.OptRouter(ip("192.0.2.1")), dhcpv4.OptClasslessStaticRoute(route("10.0.0.0/8", "192.0.2.2"))), "no gateway"},
		{"routes that are none", answer4(t, "192.0.2.5", mask24, dhcpv4.OptClasslessStaticRoute(route("10.0.0.0/8", "224.0.0.2"), route("0.0.0.0/0", "0.0.0.0"))), "no gateway"},

		{"no address", answer4(t, "0.0.0.0", mask24), "error: the address 0.0.0.0"},
		{"loopback", answer4(t, "127.0.0.1", mask24), "error: the address 127.0.0.1"},
		{"everybody", answer4(t, "255.255.255.255", mask24), "error: the address 255.255.255.255"},
		{"many", answer4(t, "224.0.0.5", mask24), "error: the address 224.0.0.5"},
		{"no class", answer4(t, "240.0.0.5", mask24), "error: the address 240.0.0.5"},
		{"the network itself", answer4(t, "192.0.2.0", mask24), "error: the address 192.0.2.0/24"},
		{"all of the network", answer4(t, "192.0.2.255", mask24), "error: the address 192.0.2.255/24"},
		{"no mask", answer4(t, "192.0.2.5", nil), "error: the network mask"},
		{"a mask of nothing", answer4(t, "192.0.2.5", net.CIDRMask(0, 32)), "error: the network mask"},
		{"a mask with holes", answer4(t, "192.0.2.5", net.IPMask{255, 0, 255, 0}), "error: the network mask"},
		{"too many routes", answer4(t, "192.0.2.5", mask24, dhcpv4.OptClasslessStaticRoute(many...)), "error: 33 routes"},
	} {
		l, err := fromDHCP4(test.m)
		got := l.String()
		if err != nil {
			got = "error: " + strings.TrimPrefix(err.Error(), errAnswer.Error()+": ")
			if !errors.Is(err, errAnswer) {
				t.Errorf("%s: %v", test.name, err)
			}
		}
		if !strings.Contains(got, test.want) {
			t.Errorf("%s: %s, want %s", test.name, got, test.want)
		}
	}
	l, err := fromDHCP4(answer4(t, "192.0.2.5", mask24, dhcpv4.OptIPAddressLeaseTime(time.Second), dhcpv4.OptGeneric(dhcpv4.OptionInterfaceMTU, []byte{2, 0x3f}),
		dhcpv4.OptClasslessStaticRoute(route("10.0.0.0/8", "192.0.2.2"), route("198.51.100.0/24", "0.0.0.0"))))
	want := []Route{{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParseAddr("192.0.2.2")}, {To: netip.MustParsePrefix("198.51.100.0/24")}}
	if err != nil || l.Lease != 120 || l.mtu != 0 || fmt.Sprint(l.Routes) != fmt.Sprint(want) {
		t.Errorf("%+v, %v", l, err)
	}
	if l, err := fromDHCP4(answer4(t, "192.0.2.5", mask24, dhcpv4.OptGeneric(dhcpv4.OptionInterfaceMTU, []byte{2, 0x40}))); err != nil || l.mtu != 576 || l.Lease != 3600 {
		t.Errorf("%+v, %v", l, err)
	}
}

var (
	testDUID  = &dhcpv6.DUIDLL{HWType: iana.HWTypeEthernet, LinkLayerAddr: net.HardwareAddr{0x52, 0x54, 0, 0x12, 0x34, 0x56}}
	otherDUID = &dhcpv6.DUIDLL{HWType: iana.HWTypeEthernet, LinkLayerAddr: net.HardwareAddr{0x52, 0x54, 0, 0x12, 0x34, 0x57}}
)

func answer6(t testing.TB, kind dhcpv6.MessageType, modifiers ...dhcpv6.Modifier) *dhcpv6.Message {
	t.Helper()
	m, err := dhcpv6.NewMessage(modifiers...)
	if err != nil {
		t.Fatal(err)
	}
	m.MessageType = kind
	again, err := dhcpv6.MessageFromBytes(m.ToBytes())
	if err != nil {
		t.Fatal(err)
	}
	return again
}

func at(address string, valid time.Duration) dhcpv6.OptIAAddress {
	return dhcpv6.OptIAAddress{IPv6Addr: net.ParseIP(address), PreferredLifetime: valid, ValidLifetime: valid}
}

func TestFromDHCP6(t *testing.T) {
	const reply = dhcpv6.MessageTypeReply
	us := dhcpv6.WithClientID(testDUID)
	dns := dhcpv6.WithDNS(net.ParseIP("ff02::1"), net.ParseIP("2001:db8::53"), net.ParseIP("::"))
	bad := dhcpv6.WithOption(&dhcpv6.OptStatusCode{StatusCode: iana.StatusNoAddrsAvail})
	for _, test := range []struct {
		name    string
		m       *dhcpv6.Message
		managed bool
		want    string
	}{
		{"an address", answer6(t, reply, us, dns, dhcpv6.WithIANA(at("2001:db8::5", time.Hour))), true, "2001:db8::5/128 (dhcp6), no gateway, DNS 2001:db8::53"},
		{"the first good one", answer6(t, reply, us, dhcpv6.WithIANA(at("ff02::5", time.Hour), at("fe80::5", time.Hour), at("::1", time.Hour), at("::ffff:192.0.2.1", time.Hour), at("2001:db8::6", 0), at("2001:db8::7", time.Hour))), true, "2001:db8::7/128"},
		{"name servers only", answer6(t, reply, us, dns), false, " (dhcp6), no gateway, DNS 2001:db8::53"},
		{"an advertisement", answer6(t, dhcpv6.MessageTypeAdvertise, us, dhcpv6.WithIANA(at("2001:db8::5", time.Hour))), true, "error: a message of type"},
		{"for nobody", answer6(t, reply, dhcpv6.WithIANA(at("2001:db8::5", time.Hour))), true, "error: it is for another"},
		{"for another", answer6(t, reply, dhcpv6.WithClientID(otherDUID), dhcpv6.WithIANA(at("2001:db8::5", time.Hour))), true, "error: it is for another"},
		{"refused", answer6(t, reply, us, bad), true, "error: NoAddrsAvail"},
		{"no address", answer6(t, reply, us, dns), true, "error: no address"},
		{"no good address", answer6(t, reply, us, dhcpv6.WithIANA(at("ff02::5", time.Hour))), true, "error: no address"},
	} {
		l, err := fromDHCP6(test.m, testDUID, test.managed)
		got := l.String()
		if err != nil {
			got = "error: " + strings.TrimPrefix(err.Error(), errAnswer.Error()+": ")
		}
		if err != nil && !errors.Is(err, errAnswer) || !strings.Contains(got, test.want) {
			t.Errorf("%s: %s, want %s", test.name, got, test.want)
		}
	}
}

// checkLease holds what was taken against what may be given to the kernel, whatever was said.
func checkLease(t *testing.T, l lease, bits int) {
	t.Helper()
	for _, p := range l.Addresses {
		if !unicast(p.Addr()) || p.Addr().BitLen() != bits || p.Bits() < 1 {
			t.Fatalf("address %s", p)
		}
	}
	if len(l.DNS) > maxServers || len(l.Routes) > maxRoutes || l.Lease != 0 && l.Lease < 120 || l.mtu != 0 && l.mtu < minMTU || l.mtu > maxMTU {
		t.Fatalf("%+v", l)
	}
	for _, d := range l.DNS {
		if !unicast(d) {
			t.Fatalf("name server %s", d)
		}
	}
	for _, r := range l.Routes {
		if !r.To.IsValid() || r.To != r.To.Masked() || r.Gateway.IsValid() && !unicast(r.Gateway) {
			t.Fatalf("route %+v", r)
		}
	}
	if l.Gateway.IsValid() && !unicast(l.Gateway) {
		t.Fatalf("gateway %s", l.Gateway)
	}
}

// FuzzDHCP4 is about the library's parser as well as about what is made of it: that runs in a goroutine whose panic nobody catches.
func FuzzDHCP4(f *testing.F) {
	f.Add(answer4(f, "192.0.2.5", mask24, dhcpv4.OptRouter(ip("192.0.2.1")), dhcpv4.OptDNS(ip("192.0.2.53"))).ToBytes())
	f.Add(answer4(f, "192.0.2.5", mask24, dhcpv4.OptClasslessStaticRoute(route("10.0.0.0/8", "192.0.2.2"), route("0.0.0.0/0", "192.0.2.1")), dhcpv4.OptGeneric(dhcpv4.OptionInterfaceMTU, []byte{5, 220})).ToBytes())
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := dhcpv4.FromBytes(b)
		if err != nil {
			return
		}
		_ = m.MessageType()
		if l, err := fromDHCP4(m); err == nil {
			if len(l.Addresses) != 1 {
				t.Fatalf("%+v", l)
			}
			checkLease(t, l, 32)
		}
	})
}

// FuzzDHCP6 is the same for DHCPv6.
func FuzzDHCP6(f *testing.F) {
	f.Add(answer6(f, dhcpv6.MessageTypeReply, dhcpv6.WithClientID(testDUID), dhcpv6.WithIANA(at("2001:db8::5", time.Hour)), dhcpv6.WithDNS(net.ParseIP("2001:db8::53"))).ToBytes(), true)
	f.Add(answer6(f, dhcpv6.MessageTypeReply, dhcpv6.WithClientID(testDUID)).ToBytes(), false)
	f.Fuzz(func(t *testing.T, b []byte, managed bool) {
		m, err := dhcpv6.MessageFromBytes(b)
		if err != nil {
			return
		}
		if l, err := fromDHCP6(m, testDUID, managed); err == nil {
			if (len(l.Addresses) == 1) != managed {
				t.Fatalf("%+v", l)
			}
			checkLease(t, l, 128)
		}
	})
}
