// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package ndopt

import (
	"encoding/hex"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"
)

const (
	server1 = "20010db8000000000000000000000053"
	server2 = "fe800000000000000000000000000001"
	// A prefix information, which is not ours.
	prefix = "030440c00000070800000708000000002001 0db8000000000000000000000000"
)

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestServers(t *testing.T) {
	for _, test := range []struct{ name, options, want string }{
		{"none", "", "[]"},
		{"not ours", prefix, "[]"},
		{"one", "1903000000000e10" + server1, "[{2001:db8::53 1h0m0s}]"},
		{"two", "1905000000000e10" + server1 + server2, "[{2001:db8::53 1h0m0s} {fe80::1 1h0m0s}]"},
		{"behind another", prefix + "19030000ffffffff" + server1, "[{2001:db8::53 -1ns}]"},
		{"two options", "1903000000000e10" + server1 + "1903000000000001" + server2, "[{2001:db8::53 1h0m0s} {fe80::1 1s}]"},
		{"taken back", "1903000000000e10" + server1 + "1903000000000000" + server1, "[{2001:db8::53 0s}]"},
		{"no machine's", "1909000000000e10" + strings.Repeat("0", 31) + "1" + strings.Repeat("0", 32) + "ff02" + strings.Repeat("0", 27) + "1" + "00000000000000000000ffffc0000201", "[]"},
		{"an empty option", "1900000000000e10", "error"},
		{"longer than what is there", "1905000000000e10" + server1, "error"},
		{"no address", "1901000000000e10", "error"},
		{"half an address", "1902000000000e102001db8000000000"[:32], "error"},
		{"one and a half", "1904000000000e10" + server1 + server2[:16], "error"},
		{"one byte", "19", "error"},
	} {
		got, err := Servers(unhex(t, test.options))
		said := fmt.Sprint(got)
		if err != nil {
			said = "error"
			if !errors.Is(err, ErrSyntax) || got != nil {
				t.Errorf("%s: %v with %v", test.name, err, got)
			}
		}
		if said != test.want {
			t.Errorf("%s: %s, %v, want %s", test.name, said, err, test.want)
		}
	}
}

func TestMostServers(t *testing.T) {
	options := "19ff000000000e10"
	for i := range 127 {
		options += fmt.Sprintf("20010db80000000000000000000000%02x", i+1)
	}
	got, err := Servers(unhex(t, options))
	if err != nil || len(got) != MaxServers || got[7].Address != netip.MustParseAddr("2001:db8::8") {
		t.Errorf("%v, %v", got, err)
	}
}

func FuzzServers(f *testing.F) {
	for _, s := range []string{"", prefix, "1903000000000e10" + server1, prefix + "1905000000000e10" + server1 + server2, "1900"} {
		f.Add(unhex(f, s))
	}
	f.Fuzz(func(t *testing.T, options []byte) {
		got, err := Servers(options)
		if len(got) > MaxServers || err != nil && got != nil {
			t.Fatalf("%v, %v", got, err)
		}
		seen := map[netip.Addr]bool{}
		for _, s := range got {
			if seen[s.Address] || !s.Address.Is6() || s.Address.IsMulticast() || s.Address.IsLoopback() || s.Address.IsUnspecified() || s.Lifetime > forever*time.Second {
				t.Fatalf("%v", s)
			}
			seen[s.Address] = true
		}
	})
}
