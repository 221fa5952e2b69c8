// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package plan

import (
	"slices"
	"strconv"
	"strings"
)

// Bounds of what a person writes about the network.
const (
	maxURLs = 16
	maxURL  = 1024
	maxVLAN = 4094 // IEEE 802.1Q: 0 is priority only, 4095 reserved
	// maxNIC is IFNAMSIZ of the kernel's include/uapi/linux/if.h, less the NUL.
	maxNIC = 15
)

// Network is what ddi.ip= says: how the network is to be brought up, where it is needed. The zero value is to ask on every network
// card that has a carrier, by DHCP and by IPv6's router advertisements.
//
// Addresses are text that [ParseNetwork] has checked, because a type for them is 25 kB of every stage 1, which has no use for it:
// [net/netip] reads each of them.
type Network struct {
	Address string // with its prefix length, "192.0.2.5/24"; empty is to ask
	Gateway string // empty is none, and so is all the rest
	DNS     string
	NIC     string // the kernel's name, or the hardware address "52:54:00:12:34:56" in small letters; empty is any
	VLAN    int    // 802.1Q, on NIC; 0 is none
}

const networkGrammar = "dhcp[,NIC[.VLAN]], or ADDRESS/LENGTH,GATEWAY,DNS[,NIC[.VLAN]], where GATEWAY and DNS may be empty and NIC is a name or a hardware address"

// ParseNetwork reads a value of ddi.ip=. The error is a [KeyError] without key and place that wraps [ErrValue].
func ParseNetwork(text string) (Network, error) {
	var n Network
	words := strings.Split(text, ",")
	nic := 3
	if words[0] == "dhcp" {
		nic = 1
	} else {
		if len(words) < nic {
			return n, bad(networkGrammar)
		}
		n.Address, n.Gateway, n.DNS = words[0], words[1], words[2]
		v4, ok := isPrefix(n.Address)
		if !ok || n.Gateway != "" && !isGateway(n.Gateway, v4) || n.DNS != "" && !isIPv4(n.DNS) && !isIPv6(n.DNS) {
			return Network{}, bad(networkGrammar)
		}
	}
	switch {
	case len(words) == nic:
		return n, nil
	case len(words) > nic+1 || !n.setNIC(words[nic]):
		return Network{}, bad(networkGrammar)
	}
	return n, nil
}

// setNIC takes NIC[.VLAN]: names with other dots in them are names of VLANs by custom, and there are none yet.
func (n *Network) setNIC(word string) bool {
	name, vlan, has := strings.Cut(word, ".")
	if has {
		id, err := strconv.ParseUint(vlan, 10, 16)
		if err != nil || id == 0 || id > maxVLAN || vlan[0] == '0' {
			return false
		}
		n.VLAN = int(id)
	}
	if isHardwareAddress(name) {
		n.NIC = strings.ToLower(name)
		return true
	}
	// As dev_valid_name of the kernel's net/core/dev.c.
	if name == "" || len(name) > maxNIC || strings.ContainsFunc(name, func(r rune) bool { return r <= ' ' || r >= 0x7f || r == '/' || r == ':' }) {
		return false
	}
	n.NIC = name
	return true
}

// String writes what [ParseNetwork] reads.
func (n Network) String() string {
	s := "dhcp"
	if n.Address != "" {
		s = n.Address + "," + n.Gateway + "," + n.DNS
	}
	if n.NIC != "" {
		s += "," + n.NIC
	}
	if n.VLAN != 0 {
		s += "." + strconv.Itoa(n.VLAN)
	}
	return s
}

func isHardwareAddress(s string) bool {
	for i := range len(s) {
		if (i%3 == 2) != (s[i] == ':') || i%3 != 2 && !isHex(s[i]) {
			return false
		}
	}
	return len(s) == 17
}

func isHex(c byte) bool { return '0' <= c && c <= '9' || 'a' <= c && c <= 'f' || 'A' <= c && c <= 'F' }

// isPrefix reports whether s is an address that a machine may have, with the length of its network's prefix, and whether it is IPv4.
func isPrefix(s string) (v4, ok bool) {
	address, length, has := strings.Cut(s, "/")
	v4 = isIPv4(address)
	most := uint64(128)
	if v4 {
		most = 32
	}
	n, err := strconv.ParseUint(length, 10, 8)
	return v4, has && (v4 || isIPv6(address)) && err == nil && n > 0 && n <= most && length[0] != '0' && isHost(address)
}

// isGateway wants one of the address's own family: a route of IPv4 by way of IPv6 is more than anybody means here.
func isGateway(s string, v4 bool) bool {
	return isIPv4(s) == v4 && (v4 || isIPv6(s)) && isHost(s)
}

// isHost keeps out what is no single machine's address: unspecified, loopback, multicast, broadcast.
func isHost(address string) bool {
	if isIPv4(address) {
		first, _, _ := strings.Cut(address, ".")
		n, _ := strconv.Atoi(first)
		return n != 0 && n != 127 && n < 224
	}
	zeros := strings.TrimLeft(address, "0:")
	return zeros != "" && zeros != "1" && !strings.HasPrefix(strings.ToLower(address), "ff")
}

// isIPv4 takes four decimal numbers without leading zeros, which some programs read as octal.
func isIPv4(s string) bool {
	words := strings.Split(s, ".")
	return len(words) == 4 && !slices.ContainsFunc(words, func(w string) bool {
		n, err := strconv.ParseUint(w, 10, 8)
		return err != nil || strconv.Itoa(int(n)) != w
	})
}

// isIPv6 takes RFC 4291's text: eight groups, or fewer with one "::", without a zone and without an IPv4 address at the end.
func isIPv6(s string) bool {
	if strings.Count(s, "::") > 1 || strings.Contains(s, ":::") {
		return false
	}
	left, right, short := strings.Cut(s, "::")
	n := 0
	for _, part := range []string{left, right} {
		if part == "" {
			continue
		}
		for _, w := range strings.Split(part, ":") {
			if w == "" || len(w) > 4 || strings.ContainsFunc(w, func(r rune) bool { return r > 0x7f || !isHex(byte(r)) }) {
				return false
			}
			n++
		}
	}
	return n == 8 && !short || n < 8 && short
}

// urls reads a list of places to fetch from. A comma within one is written %2C.
func urls(value string) ([]string, error) {
	list := strings.Split(value, ",")
	if len(list) > maxURLs || slices.ContainsFunc(list, func(u string) bool { return !isURL(u) }) {
		return nil, bad("http://, https:// or nbd://HOST/PATH, or a list of them with commas")
	}
	for i, u := range list {
		if slices.Contains(list[:i], u) {
			return nil, bad("a list without repetition")
		}
	}
	return list, nil
}

// isURL checks as much of a URL as decides where it belongs; who fetches reads the rest. A name and a password before the host
// would stand in /proc/cmdline for everybody to read, and a fragment means nothing.
func isURL(u string) bool {
	scheme, rest, ok := strings.Cut(u, "://")
	if !ok || !slices.Contains([]string{"http", "https", "nbd"}, scheme) || len(u) > maxURL {
		return false
	}
	host, _, _ := strings.Cut(rest, "/")
	host, _, _ = strings.Cut(host, "?")
	return host != "" && host[0] != ':' && !strings.Contains(host, "@") && !strings.ContainsFunc(rest, func(r rune) bool { return r <= ' ' || r >= 0x7f || r == '#' })
}
