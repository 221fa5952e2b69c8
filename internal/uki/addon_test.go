// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package uki

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// addonStub is one as small as systemd's.
func addonStub() []byte {
	return miniPE(machineAMD64, 0x400, 512, 512, Section{".text", []byte{0xc3}}, Section{".sdmagic", []byte("#### LoaderInfo: systemd-addon 999~test ####\x00")})
}

func TestBuildAddon(t *testing.T) {
	stubs := map[string][]byte{"mini": addonStub()}
	const real = "/usr/lib/systemd/boot/efi/addonx64.efi.stub"
	if b, err := os.ReadFile(real); err == nil {
		stubs["real"] = b
	} else {
		t.Log("without the real stub: ", err)
	}
	for name, stub := range stubs {
		addon, err := BuildAddon(stub, "init=/bin/sh more", "6.12")
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		img, err := Parse(bytes.NewReader(addon), int64(len(addon)))
		if err != nil || img.Cmdline != "init=/bin/sh more" || img.Uname != "6.12" || img.IsUKI() {
			t.Errorf("%s: parsed back as %+v, %v", name, img, err)
		}
		if objdump, err := exec.LookPath("objdump"); err == nil {
			file := filepath.Join(t.TempDir(), "a.efi")
			if err := os.WriteFile(file, addon, 0o644); err != nil {
				t.Fatal(err)
			}
			if out, err := exec.Command(objdump, "-h", file).CombinedOutput(); err != nil || !strings.Contains(string(out), ".cmdline") {
				t.Errorf("%s: objdump says %v\n%s", name, err, out)
			}
		}
	}
}

func TestBuildAddonErrors(t *testing.T) {
	if _, err := BuildAddon(addonStub(), "", ""); err == nil {
		t.Error("an addon with nothing in it")
	}
	if _, err := BuildAddon(addonStub(), "a\nb", ""); err == nil {
		t.Error("a command line of two lines")
	}
	if _, err := BuildAddon(miniStub(0x600, 512), "a", ""); !errors.Is(err, ErrNotStub) {
		t.Errorf("a UKI's stub: %v", err)
	}
	if _, err := Build(fullOptions(addonStub())); !errors.Is(err, ErrNotStub) {
		t.Errorf("a UKI of an addon's stub: %v", err)
	}
	if _, err := BuildAddon(miniPE(machineAMD64, 0x1c0, 512, 64, Section{".sdmagic", []byte("#### LoaderInfo: systemd-addon 1 ####")}), "a", "6.12"); !errors.Is(err, ErrHeaderRoom) {
		t.Errorf("no room: %v", err)
	}
}
