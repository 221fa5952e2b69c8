// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/initddi/initddi/internal/netconf"
)

func TestNetUsage(t *testing.T) {
	for _, args := range [][]string{{"net", "x"}, {"net", "--ip=192.0.2.7"}, {"net", "--ip="}, {"net", "--timeout=x"}, {"net", "--frobnicate"}} {
		if out, _, err := command(t, args...); !errors.Is(err, errUsage) || out != "" {
			t.Errorf("%q: %q, %v", args, out, err)
		}
	}
	flags := flag.NewFlagSet("net", flag.ContinueOnError)
	(&netOptions{}).define(flags)
	manual, err := os.ReadFile("../../docs/man/ddifetch.8")
	if err != nil {
		t.Fatal(err)
	}
	flags.VisitAll(func(f *flag.Flag) {
		if !strings.Contains(netHelp, "-"+f.Name) {
			t.Errorf("the help does not explain --%s", f.Name)
		}
		if len(f.Name) > 1 && !regexp.MustCompile(`Fl -`+f.Name+`\b`).Match(manual) {
			t.Errorf("the manual does not name --%s", f.Name)
		}
		for _, file := range []string{"bash/ddifetch", "zsh/_ddifetch"} {
			b, err := os.ReadFile("../../completion/" + file)
			if err != nil {
				t.Fatal(err)
			}
			if len(f.Name) > 1 && !regexp.MustCompile(`(?m)== net \]\] && opts=.*--`+f.Name+`\b`).Match(b) {
				t.Errorf("%s does not complete --%s", file, f.Name)
			}
		}
	})
}

func given() netconf.State {
	return netconf.State{Version: 1, Interface: "eth0", MAC: "52:54:00:12:34:56", Given: []netconf.Given{
		{How: netconf.DHCP4, Addresses: []netip.Prefix{netip.MustParsePrefix("192.0.2.5/24")}, Gateway: netip.MustParseAddr("192.0.2.1"), DNS: []netip.Addr{netip.MustParseAddr("192.0.2.53")}, Server: netip.MustParseAddr("192.0.2.1"), Lease: 3600},
		{How: netconf.SLAAC, Addresses: []netip.Prefix{netip.MustParsePrefix("2001:db8::5/64")}},
	}}
}

func TestPrintNetwork(t *testing.T) {
	f, err := os.Create(filepath.Join(t.TempDir(), "out"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := printNetwork(environment{Stdout: f}, given()); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(f.Name())
	want := `eth0  52:54:00:12:34:56

HOW    ADDRESS         GATEWAY    DNS         SERVER     LEASE
dhcp4  192.0.2.5/24    192.0.2.1  192.0.2.53  192.0.2.1  1h0m0s
slaac  2001:db8::5/64  -          -           -          -
`
	if err != nil || string(b) != want {
		t.Errorf("%v\n%s\nwant\n%s", err, b, want)
	}
}

// TestBootNetwork: storageinit is told of each part of the network, and of a network that there is not, and nothing is fetched before.
func TestBootNetwork(t *testing.T) {
	dir := t.TempDir()
	for _, test := range []struct {
		err  error
		want []string
	}{
		{netconf.ErrNoNetwork, []string{`"event":"error","code":"no-network"`}},
	} {
		f, err := os.Create(filepath.Join(dir, "out"))
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		asked := networkOptions{}
		env := environment{Stdout: f, Stderr: f, Trust: dir, Network: func(_ context.Context, o networkOptions) (*netconf.Network, error) {
			asked = o
			return nil, test.err
		}}
		err = run(context.Background(), env, []string{"boot", "--source=nbd", "--list", "--url=nbd://192.0.2.1/x", "--ip=dhcp,eth1", "--timeout=5"})
		b, rerr := os.ReadFile(f.Name())
		if !errors.Is(err, errReported) || rerr != nil || asked.ip != "dhcp,eth1" || !asked.keep || asked.drivers {
			t.Errorf("%v, %v, %+v", err, rerr, asked)
		}
		for _, w := range test.want {
			if !strings.Contains(string(b), w) {
				t.Errorf("%s lacks %s", b, w)
			}
		}
	}
}

// TestNetworkEvents: the lines are those that docs/ARCHITECTURE.md names.
func TestNetworkEvents(t *testing.T) {
	var out strings.Builder
	e := &events{pipe: &out, log: &out}
	e.network(given())
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	if len(lines) != 2 {
		t.Fatalf("%q", lines)
	}
	var got struct {
		Event, Interface, Gateway, How string
		Addresses, DNS                 []string
	}
	if err := json.Unmarshal([]byte(lines[0]), &got); err != nil || got.Event != "network" || got.Interface != "eth0" || got.Gateway != "192.0.2.1" || got.How != "dhcp4" ||
		strings.Join(got.Addresses, " ") != "192.0.2.5/24" || strings.Join(got.DNS, " ") != "192.0.2.53" {
		t.Errorf("%+v, %v", got, err)
	}
}
