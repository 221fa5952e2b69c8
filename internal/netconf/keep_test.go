// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package netconf

import (
	"flag"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/initddi/initddi/internal/plan"
)

var update = flag.Bool("update", false, "write the golden files anew")

// TestKeep holds what is left for the next init against golden files.
func TestKeep(t *testing.T) {
	a := netip.MustParseAddr
	dhcp := Given{How: DHCP4, Addresses: []netip.Prefix{netip.MustParsePrefix("192.0.2.5/24")}, Gateway: a("192.0.2.1"), DNS: []netip.Addr{a("192.0.2.53"), a("192.0.2.54")}, Server: a("192.0.2.1"), Lease: 3600}
	slaac := Given{How: SLAAC, Addresses: []netip.Prefix{netip.MustParsePrefix("2001:db8::5054:ff:fe12:3456/64")}, Gateway: a("fe80::1"), DNS: []netip.Addr{a("fe80::1")}}
	fixed := Given{How: Static, Addresses: []netip.Prefix{netip.MustParsePrefix("192.0.2.7/24")}, Gateway: a("192.0.2.1"), DNS: []netip.Addr{a("192.0.2.53")}}
	for _, test := range []struct {
		name  string
		want  plan.Network
		state State
	}{
		{"dhcp", plan.Network{}, State{Version: 1, Interface: "eth0", MAC: "52:54:00:12:34:56", Given: []Given{dhcp, slaac}}},
		{"vlan", plan.Network{NIC: "eth0", VLAN: 5}, State{Version: 1, Interface: "eth0.5", Parent: "eth0", VLAN: 5, MAC: "52:54:00:12:34:56", Given: []Given{dhcp}}},
		{"static", plan.Network{Address: "192.0.2.7/24"}, State{Version: 1, Interface: "eth0", MAC: "52:54:00:12:34:56", Given: []Given{fixed}}},
	} {
		dir := t.TempDir()
		root, err := os.OpenRoot(dir)
		if err != nil {
			t.Fatal(err)
		}
		defer root.Close()
		if err := test.state.save(root); err != nil {
			t.Fatal(err)
		}
		if err := test.state.keep(root, test.want); err != nil {
			t.Fatal(err)
		}
		var got strings.Builder
		err = filepath.WalkDir(dir, func(name string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				return err
			}
			b, err := os.ReadFile(name)
			got.WriteString("== " + strings.TrimPrefix(name, dir) + "\n" + string(b))
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		file := filepath.Join("testdata", "keep", test.name+".txt")
		if *update {
			if err := os.WriteFile(file, []byte(got.String()), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if got.String() != string(want) {
			t.Errorf("%s: got\n%s\nwant\n%s", file, got.String(), want)
		}
	}
}
