// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package netconf

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path"
	"slices"
	"strings"

	"github.com/initddi/initddi/internal/jsontext"
)

// Where the record lies, and what Go's resolver reads.
const (
	RecordPath = "/run/initddi/network.json"
	resolvPath = "/etc/resolv.conf"
)

// How a network was configured, as the record and "ddifetch boot" say it.
const (
	Static = "static"
	DHCP4  = "dhcp4"
	DHCP6  = "dhcp6"
	SLAAC  = "slaac"
)

const (
	stateVersion = 1
	maxServers   = 3 // that a resolver asks
)

// State is the network as it is.
type State struct {
	Version   int    `json:"version"`
	Interface string `json:"interface"`
	// MAC is the hardware address of the card, Parent its name where Interface is a VLAN of it.
	MAC    string `json:"mac"`
	Parent string `json:"parent,omitempty"`
	VLAN   int    `json:"vlan,omitempty"`
	// Given are the parts, in the order in which they came.
	Given []Given `json:"given"`
}

// Given is what one way of configuration gave.
type Given struct {
	How       string         `json:"how"`
	Addresses []netip.Prefix `json:"addresses"`
	Gateway   netip.Addr     `json:"gateway,omitempty"`
	DNS       []netip.Addr   `json:"dns,omitempty"`
	Routes    []Route        `json:"routes,omitempty"`
	// Server is who gave it, where that is known, and Lease for how many seconds; 0 is for as long as the machine runs.
	Server netip.Addr `json:"server,omitempty"`
	Lease  int64      `json:"lease,omitempty"`
}

// Route is a route that is not the default one; without a Gateway the network is on the link.
type Route struct {
	To      netip.Prefix `json:"to"`
	Gateway netip.Addr   `json:"gateway,omitempty"`
}

// String is a sentence for the console.
func (g Given) String() string {
	var words []string
	for _, a := range g.Addresses {
		words = append(words, a.String())
	}
	s := strings.Join(words, " ") + " (" + g.How
	if g.Server.IsValid() {
		s += " from " + g.Server.String()
	}
	s += "), "
	if g.Gateway.IsValid() {
		s += "gateway " + g.Gateway.String()
	} else {
		s += "no gateway"
	}
	for i, d := range g.DNS {
		if i == 0 {
			s += ", DNS"
		}
		s += " " + d.String()
	}
	return s
}

// DNS returns the name servers of all parts, each once.
func (s State) DNS() []netip.Addr {
	var out []netip.Addr
	for _, g := range s.Given {
		for _, d := range g.DNS {
			if d.IsLinkLocalUnicast() && d.Is6() {
				d = d.WithZone(s.Interface)
			}
			if !slices.Contains(out, d) && len(out) < maxServers {
				out = append(out, d)
			}
		}
	}
	return out
}

// save writes the record, and what the resolver reads, below root, which is the file system of stage 1.
func (s State) save(root *os.Root) error {
	text, err := jsontext.Marshal(s, "  ")
	if err != nil {
		return err
	}
	resolv := "# of initddi: what " + RecordPath + " says\n"
	for _, d := range s.DNS() {
		resolv += "nameserver " + d.String() + "\n"
	}
	return errors.Join(write(root, resolvPath, resolv), write(root, RecordPath, string(text)+"\n"))
}

// write puts a file in place at once: a reader sees the old one or the new one.
func write(root *os.Root, name, text string) error {
	name = strings.TrimPrefix(name, "/")
	if err := root.MkdirAll(path.Dir(name), 0o755); err != nil {
		return fmt.Errorf("cannot write /%s: %w", name, err)
	}
	if err := root.WriteFile(name+".new", []byte(text), 0o644); err != nil {
		return fmt.Errorf("cannot write /%s: %w", name, err)
	}
	if err := root.Rename(name+".new", name); err != nil {
		return fmt.Errorf("cannot write /%s: %w", name, err)
	}
	return nil
}

// Recorded reports whether an earlier run left a record below root.
func Recorded(root *os.Root) bool {
	_, err := root.Stat(strings.TrimPrefix(RecordPath, "/"))
	return err == nil
}
