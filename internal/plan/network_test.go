// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package plan

import (
	"errors"
	"net/netip"
	"strings"
	"testing"
)

func TestParseNetwork(t *testing.T) {
	for _, test := range []struct {
		text string
		want Network
		back string // as String writes it, where that is something else
	}{
		{text: "dhcp"},
		{text: "dhcp,eth0", want: Network{NIC: "eth0"}},
		{text: "dhcp,eth0.5", want: Network{NIC: "eth0", VLAN: 5}},
		{text: "dhcp,52:54:00:AB:cd:ef.4094", want: Network{NIC: "52:54:00:ab:cd:ef", VLAN: 4094}, back: "dhcp,52:54:00:ab:cd:ef.4094"},
		{text: "192.0.2.5/24,192.0.2.1,192.0.2.53", want: Network{Address: "192.0.2.5/24", Gateway: "192.0.2.1", DNS: "192.0.2.53"}},
		{text: "192.0.2.5/24,,", want: Network{Address: "192.0.2.5/24"}},
		{text: "192.0.2.5/32,198.51.100.1,,enp1s0.7", want: Network{Address: "192.0.2.5/32", Gateway: "198.51.100.1", NIC: "enp1s0", VLAN: 7}},
		{text: "2001:db8::5/64,fe80::1,2001:db8::53,eth0", want: Network{Address: "2001:db8::5/64", Gateway: "fe80::1", DNS: "2001:db8::53", NIC: "eth0"}},
		{text: "2001:db8::5/64,,192.0.2.53", want: Network{Address: "2001:db8::5/64", DNS: "192.0.2.53"}},
	} {
		got, err := ParseNetwork(test.text)
		if err != nil || got != test.want {
			t.Errorf("%s: %+v, %v, want %+v", test.text, got, err, test.want)
		}
		if test.back == "" {
			test.back = test.text
		}
		if got.String() != test.back {
			t.Errorf("%s: written as %s", test.text, got)
		}
	}
	for _, text := range []string{
		"", "DHCP", "dhcp,", "dhcp,eth0,", "dhcp,eth0,x", "dhcp,.5", "dhcp,eth0.", "dhcp,eth0.0", "dhcp,eth0.4095", "dhcp,eth0.05", "dhcp,eth0.5.6", "dhcp,a/b", "dhcp,a b", "dhcp,a:b",
		"dhcp,sixteen-letters-", "dhcp,eth\xc3\xa4", "dhcp,5254:00:12:34:56:", "auto", "192.0.2.5", "192.0.2.5/24", "192.0.2.5/24,192.0.2.1",
		"192.0.2.5,192.0.2.1,", "192.0.2.5/0,,", "192.0.2.5/33,,", "192.0.2.5/024,,", "192.0.2.5/+4,,", "192.0.2.256/24,,", "192.0.2.05/24,,", "192.0.2/24,,", "2001:db8::5/129,,",
		"127.0.0.1/8,,", "0.0.0.0/8,,", "224.0.0.1/24,,", "255.255.255.255/32,,", "::1/64,,", "::/64,,", "ff02::1/64,,", "fe80::1%eth0/64,,",
		"192.0.2.5/24,2001:db8::1,", "2001:db8::5/64,192.0.2.1,", "192.0.2.5/24,0.0.0.0,", "192.0.2.5/24,,example.com", "192.0.2.5/24,,,", "192.0.2.5/24,,,eth0,eth1",
	} {
		got, err := ParseNetwork(text)
		if !errors.Is(err, ErrValue) || got != (Network{}) {
			t.Errorf("%q: %+v, %v", text, got, err)
		}
	}
}

// FuzzParseNetwork holds the addresses that are taken against the standard library, and what is written against what is read.
func FuzzParseNetwork(f *testing.F) {
	for _, s := range []string{"dhcp", "dhcp,eth0.5", "192.0.2.5/24,192.0.2.1,192.0.2.53,52:54:00:12:34:56.7", "2001:db8::5/64,fe80::1,::1", "1::/1,,", "::1:2/9,,", "1:2:3:4:5:6:7:8/128,8::,", "::ffff:1.2.3.4/96,,"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		n, err := ParseNetwork(text)
		if err != nil {
			return
		}
		if again, err := ParseNetwork(n.String()); err != nil || again != n {
			t.Fatalf("%q is %+v, written as %q, which is %+v, %v", text, n, n.String(), again, err)
		}
		if n.Address != "" {
			p, err := netip.ParsePrefix(n.Address)
			if err != nil || p.Bits() == 0 || p.Addr().IsUnspecified() || p.Addr().IsLoopback() || p.Addr().IsMulticast() {
				t.Fatalf("%q: %v, %v", n.Address, p, err)
			}
		}
		for _, s := range []string{n.Gateway, n.DNS} {
			if _, err := netip.ParseAddr(s); s != "" && err != nil {
				t.Fatal(err)
			}
		}
	})
}

// FuzzAddress: text is an address here exactly where it is one for the standard library, but for the forms that are left out.
func FuzzAddress(f *testing.F) {
	for _, s := range []string{"192.0.2.1", "::", "1::8", "1:2:3:4:5:6:7:8", "1:2:3:4:5:6:7::", "::2:3:4:5:6:7:8", "1::2::3", "fe80::1%eth0", "::ffff:192.0.2.1", ":::", "1:", ":1", "12345::"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		a, err := netip.ParseAddr(s)
		if strings.Contains(s, "%") || strings.Contains(s, ":") && strings.Contains(s, ".") {
			return
		}
		if got := isIPv4(s) || isIPv6(s); got != (err == nil) {
			t.Fatalf("%q: %t, %v, %v", s, got, a, err)
		}
	})
}
