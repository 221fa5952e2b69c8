// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package guid

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"os/exec"
	"strings"
	"testing"
)

// vectors are pairs of text and on-disk form that were not made with this package: types of the UEFI specification and
// the Linux file system type, as they stand on disks.
var vectors = []struct{ text, disk string }{
	{"c12a7328-f81f-11d2-ba4b-00a0c93ec93b", "28732ac11ff8d211ba4b00a0c93ec93b"}, // EFI system partition
	{"0fc63daf-8483-4772-8e79-3d69d8477de4", "af3dc60f838472478e793d69d8477de4"}, // Linux file system data
	{"e3c9e316-0b5c-4db8-817d-f92df00215ae", "16e3c9e35c0bb84d817df92df00215ae"}, // Microsoft reserved
	{"00010203-0405-0607-0809-0a0b0c0d0e0f", "030201000504070608090a0b0c0d0e0f"},
	{"00000000-0000-0000-0000-000000000000", "00000000000000000000000000000000"},
	{"ffffffff-ffff-ffff-ffff-ffffffffffff", "ffffffffffffffffffffffffffffffff"},
}

func TestVectors(t *testing.T) {
	for _, v := range vectors {
		g, err := Parse(v.text)
		if err != nil {
			t.Errorf("%s: %v", v.text, err)
			continue
		}
		if got := hex.EncodeToString(g[:]); got != strings.ReplaceAll(v.text, "-", "") {
			t.Errorf("%s: bytes are %s, want text order", v.text, got)
		}
		if got := g.String(); got != v.text {
			t.Errorf("%s: String is %s", v.text, got)
		}
		disk := g.MixedEndian()
		if got := hex.EncodeToString(disk[:]); got != v.disk {
			t.Errorf("%s: on disk it is %s, want %s", v.text, got, v.disk)
		}
		if got := FromMixedEndian(disk); got != g {
			t.Errorf("%s: back from disk it is %s", v.text, got)
		}
		if got := MustParse(v.text); got != g {
			t.Errorf("%s: MustParse gives %s", v.text, got)
		}
	}
}

func TestParse(t *testing.T) {
	const want = "c12a7328-f81f-11d2-ba4b-00a0c93ec93b"
	for _, tt := range []struct {
		text string
		ok   bool
	}{
		{want, true},
		{"C12A7328-F81F-11D2-BA4B-00A0C93EC93B", true},
		{"C12a7328-f81F-11d2-bA4b-00a0C93ec93B", true},
		{"{C12A7328-F81F-11D2-BA4B-00A0C93EC93B}", true},
		{"", false},
		{"{}", false},
		{"c12a7328f81f11d2ba4b00a0c93ec93b", false},
		{"c12a7328-f81f-11d2-ba4b-00a0c93ec93", false},
		{"c12a7328-f81f-11d2-ba4b-00a0c93ec93b0", false},
		{"c12a7328-f81f-11d2-ba4b-00a0c93ec93g", false},
		{"c12a7328-f81f-11d2-ba4b_00a0c93ec93b", false},
		{"c12a7328f-81f-11d2-ba4b-00a0c93ec93b", false},
		{"c12a732--f81f-11d2-ba4b-00a0c93ec93b", false},
		{"--------------------------------------"[:36], false},
		{"{c12a7328-f81f-11d2-ba4b-00a0c93ec93b", false},
		{"c12a7328-f81f-11d2-ba4b-00a0c93ec93b}", false},
		{"(c12a7328-f81f-11d2-ba4b-00a0c93ec93b)", false},
		{"{{c12a7328-f81f-11d2-ba4b-00a0c93ec93b}}", false},
		{" c12a7328-f81f-11d2-ba4b-00a0c93ec93b", false},
		{"c12a7328-f81f-11d2-ba4b-00a0c93ec93b\n", false},
		{"c12a7328-f81f-11d2-ba4b-00a0c93ec93\x00", false},
		{"c12a7328-f81f-11d2-ba4b-00a0c93ecü", false},
		{"+12a7328-f81f-11d2-ba4b-00a0c93ec93b", false},
		{"0xc12a73-f81f-11d2-ba4b-00a0c93ec93b", false},
	} {
		g, err := Parse(tt.text)
		switch {
		case tt.ok && (err != nil || g.String() != want):
			t.Errorf("%q: got %s, %v", tt.text, g, err)
		case !tt.ok && (!errors.Is(err, ErrSyntax) || !g.IsZero()):
			t.Errorf("%q: got %s, %v", tt.text, g, err)
		}
	}
}

func TestMustParsePanics(t *testing.T) {
	defer func() {
		if err, ok := recover().(error); !ok || !errors.Is(err, ErrSyntax) {
			t.Errorf("got %v", err)
		}
	}()
	MustParse("nonsense")
}

func TestIsZero(t *testing.T) {
	if !(GUID{}).IsZero() {
		t.Error("the nil GUID is not zero")
	}
	for i := range 16 {
		var g GUID
		g[i] = 1
		if g.IsZero() {
			t.Errorf("%s is zero", g)
		}
	}
}

func TestJSON(t *testing.T) {
	type pair struct {
		ID   GUID
		Keys map[GUID]int
	}
	g := MustParse("c12a7328-f81f-11d2-ba4b-00a0c93ec93b")
	const text = `{"ID":"c12a7328-f81f-11d2-ba4b-00a0c93ec93b","Keys":{"c12a7328-f81f-11d2-ba4b-00a0c93ec93b":7}}`
	b, err := json.Marshal(pair{g, map[GUID]int{g: 7}})
	if err != nil || string(b) != text {
		t.Errorf("got %s, %v", b, err)
	}
	var back pair
	if err := json.Unmarshal([]byte(strings.ToUpper(text)), &back); err != nil || back.ID != g || back.Keys[g] != 7 {
		t.Errorf("got %+v, %v", back, err)
	}
	for _, bad := range []string{`""`, `"x"`, `7`, `"c12a7328f81f11d2ba4b00a0c93ec93b"`, `[1]`} {
		got := g
		if err := json.Unmarshal([]byte(bad), &got); err == nil || got != g {
			t.Errorf("%s: got %s, %v, want an error and no change", bad, got, err)
		}
	}
}

// TestAgainstSystemd compares the order of bytes with sd_id128's, which root hashes follow.
func TestAgainstSystemd(t *testing.T) {
	tool, err := exec.LookPath("systemd-id128")
	if err != nil {
		t.Skip("needs systemd-id128 (Debian package systemd)")
	}
	for _, v := range vectors[:4] {
		g := MustParse(v.text)
		out, err := exec.Command(tool, "show", v.text).CombinedOutput()
		if err != nil {
			t.Skipf("needs systemd-id128 show (Debian package systemd, version 252): %s", out)
		}
		if fields := strings.Fields(string(out)); fields[len(fields)-1] != hex.EncodeToString(g[:]) {
			t.Errorf("%s: systemd says %s", v.text, out)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, v := range vectors {
		f.Add(v.text)
	}
	f.Add("{C12A7328-F81F-11D2-BA4B-00A0C93EC93B}")
	f.Add("c12a732--f81f-11d2-ba4b-00a0c93ec93b")
	f.Fuzz(func(t *testing.T, s string) {
		g, err := Parse(s)
		if err != nil {
			if !errors.Is(err, ErrSyntax) || !g.IsZero() {
				t.Fatalf("got %s, %v", g, err)
			}
			return
		}
		if text := g.String(); !strings.EqualFold(text, s) && !strings.EqualFold("{"+text+"}", s) {
			t.Fatalf("%q became %s", s, text)
		}
		if FromMixedEndian(g.MixedEndian()) != g {
			t.Fatalf("%s does not come back from mixed endian", g)
		}
	})
}
