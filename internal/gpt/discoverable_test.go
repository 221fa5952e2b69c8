// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package gpt

import (
	"encoding/hex"
	"os/exec"
	"strings"
	"testing"

	"github.com/initddi/initddi/internal/guid"
)

func TestTypes(t *testing.T) {
	seen := map[string]bool{}
	for _, e := range types {
		g, err := guid.Parse(e.guid)
		if err != nil || g.String() != e.guid {
			t.Errorf("%s %s: %q is not in canonical form (%v)", e.designator, e.arch, e.guid, err)
		}
		if seen[e.guid] || seen[string(e.designator)+"/"+string(e.arch)] {
			t.Errorf("%s %s: twice in the table", e.designator, e.arch)
		}
		seen[e.guid], seen[string(e.designator)+"/"+string(e.arch)] = true, true
		if got, ok := TypeOf(e.designator, e.arch); !ok || got != g {
			t.Errorf("TypeOf(%s, %s) = %s, %v", e.designator, e.arch, got, ok)
		}
		if d, a, ok := Lookup(g); !ok || d != e.designator || a != e.arch {
			t.Errorf("Lookup(%s) = %s, %s, %v", g, d, a, ok)
		}
	}
	if g, ok := TypeOf(ESP, ARM64); !ok || g.String() != "c12a7328-f81f-11d2-ba4b-00a0c93ec93b" {
		t.Errorf("the ESP's type depends on the architecture: %s, %v", g, ok)
	}
	for _, a := range []Arch{NoArch, "riscv64"} {
		if g, ok := TypeOf(Root, a); ok || !g.IsZero() {
			t.Errorf("TypeOf(root, %q) = %s, %v", a, g, ok)
		}
	}
	if _, ok := TypeOf("", X86_64); ok {
		t.Error("the empty designator has a type")
	}
	if d, a, ok := Lookup(guid.GUID{}); ok || d != "" || a != NoArch {
		t.Errorf("Lookup(zero) = %s, %s, %v", d, a, ok)
	}
}

// TestTypesAgainstSystemd compares the table with the one compiled into systemd.
func TestTypesAgainstSystemd(t *testing.T) {
	tool, err := exec.LookPath("systemd-id128")
	if err != nil {
		t.Skip("needs systemd-id128 (Debian package systemd)")
	}
	for _, e := range types {
		// systemd puts the architecture behind "root" or "usr": root-x86-64-verity.
		name := string(e.designator)
		if e.arch != NoArch {
			base, rest, _ := strings.Cut(name, "-")
			name = strings.TrimSuffix(base+"-"+string(e.arch)+"-"+rest, "-")
		}
		out, err := exec.Command(tool, "show", "-u", name).CombinedOutput()
		if err != nil {
			if strings.Contains(string(out), "Unknown command verb") {
				t.Skip("needs a systemd-id128 that knows partition types (Debian package systemd, version 252)")
			}
			t.Errorf("%s: %v: %s", name, err, out)
			continue
		}
		if fields := strings.Fields(string(out)); len(fields) == 0 || fields[len(fields)-1] != e.guid {
			t.Errorf("%s: systemd says %q, want %s", name, out, e.guid)
		}
	}
}

func TestArchOf(t *testing.T) {
	for goarch, want := range map[string]Arch{"amd64": "x86-64", "arm64": "arm64", "mips": "", "": ""} {
		if got, ok := ArchOf(goarch); got != want || ok != (want != "") {
			t.Errorf("ArchOf(%q) = %q, %v, want %q", goarch, got, ok, want)
		}
	}
}

func TestRootHashUUIDs(t *testing.T) {
	for _, tt := range []struct{ hash, data, verity string }{
		{"000102030405060708090a0b0c0d0e0ff0f1f2f3f4f5f6f7f8f9fafbfcfdfeff", testRootUUID, testVeritUUID},
		{"000102030405060708090a0b0c0d0e0f" + strings.Repeat("5a", 32) + "f0f1f2f3f4f5f6f7f8f9fafbfcfdfeff", testRootUUID, testVeritUUID},
		{strings.Repeat("ab", 31), "", ""},
		{strings.Repeat("ab", 65), "", ""},
		{"", "", ""},
	} {
		raw, err := hex.DecodeString(tt.hash)
		if err != nil {
			t.Fatal(err)
		}
		data, verity, err := RootHashUUIDs(raw)
		if tt.data == "" {
			if err == nil {
				t.Errorf("%d bytes: no error", len(raw))
			}
			continue
		}
		if err != nil || data.String() != tt.data || verity.String() != tt.verity {
			t.Errorf("%s: got %s, %s, %v", tt.hash, data, verity, err)
		}
	}
}
