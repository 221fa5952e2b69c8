// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

// Package ndopt reads the options of IPv6 router advertisements that the kernel leaves to others: name servers (RDNSS, RFC 8106 section 5.1).
// Everything else in an advertisement is the kernel's to read, which checks where it came from as well.
package ndopt

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"time"
)

// MaxServers bounds the name servers that are taken out of one advertisement; a resolver uses three.
const MaxServers = 8

const (
	typeRDNSS = 25
	unit      = 8 // options are counted in these bytes (RFC 4861 section 4.6)
	forever   = 0xffffffff
)

// ErrSyntax says that the bytes are no options.
var ErrSyntax = errors.New("not valid options of neighbour discovery")

// Server is a name server.
type Server struct {
	Address netip.Addr
	// Lifetime is how long it may be used; 0 takes back what was said before, negative is for ever.
	Lifetime time.Duration
}

// Servers returns the name servers that a list of options names, in its order and each once. Addresses that are no machine's are left out. The
// error wraps [ErrSyntax] and says at which byte.
func Servers(options []byte) ([]Server, error) {
	var out []Server
	for at := 0; at < len(options); {
		rest := options[at:]
		if len(rest) < 2 || rest[1] == 0 || int(rest[1])*unit > len(rest) {
			return nil, fmt.Errorf("%w: byte %d of %d", ErrSyntax, at, len(options))
		}
		option := rest[:int(rest[1])*unit]
		at += len(option)
		if option[0] != typeRDNSS {
			continue
		}
		// The head is one unit, an address two.
		if rest[1] < 3 || rest[1]%2 == 0 {
			return nil, fmt.Errorf("%w: a list of name servers of %d bytes", ErrSyntax, len(option))
		}
		seconds := binary.BigEndian.Uint32(option[4:])
		lifetime := time.Duration(seconds) * time.Second
		if seconds == forever {
			lifetime = -1
		}
		for a := unit; a < len(option) && len(out) < MaxServers; a += 16 {
			out = add(out, Server{netip.AddrFrom16([16]byte(option[a:])), lifetime})
		}
	}
	return out, nil
}

func add(list []Server, s Server) []Server {
	a := s.Address
	if !a.IsGlobalUnicast() && !a.IsLinkLocalUnicast() || a.Is4In6() {
		return list
	}
	for i := range list {
		if list[i].Address == a {
			list[i] = s
			return list
		}
	}
	return append(list, s)
}
