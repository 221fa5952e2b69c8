// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package kmodules

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// needyTree is the fake kernel with drivers that ask for firmware: a module of a class, a module that it needs, and one that is built in.
func needyTree(t *testing.T) string {
	t.Helper()
	root := fakeTree(t)
	dir := filepath.Join(root, "lib/modules", fakeRelease)
	add := func(name string, lines ...string) { writeFile(t, dir, "kernel/"+name, fakeModule(t, lines...)) }
	add("qede.ko", "alias=pci:v00001077d00001634sv*sd*bc*sc*i*", "depends=qed")
	add("qed.ko", "depends=", "firmware=qed/values.bin")
	add("bnx2x.ko", "alias=pci:v000014E4d0000168Esv*sd*bc*sc*i*", "depends=", "firmware=bnx2x/e2-2.fw", "firmware=bnx2x/e2-1.fw", "firmware=bnx2x/e2-2.fw")
	add("tg3.ko", "alias=pci:v000014E4d00001659sv*sd*bc*sc*i*", "depends=", "firmware=tigon/tg3.bin", "firmware=../../etc/shadow")
	writeFile(t, dir, "modules.builtin", []byte("kernel/drivers/net/ice.ko\nkernel/drivers/net/idle.ko\n"))
	writeFile(t, dir, "modules.builtin.modinfo", []byte("ice.firmware=intel/ice.pkg\x00idle.firmware=idle.bin\x00"))
	return root
}

// netOptions ask for all of them but one.
func netOptions(firmware string) Options {
	return Options{Classes: []string{"net-server", "net"}, Firmware: firmware}
}

// carried says what firmware a selection has: name, from where, for whom, and its content.
func carried(s *Selection) []string {
	var out []string
	for _, f := range s.Firmware {
		out = append(out, fmt.Sprintf("%s %s %q %s", f.Path, f.Source, f.For, f.Data))
	}
	return out
}

func selectFrom(t *testing.T, place, firmware string) *Selection {
	t.Helper()
	s, err := Select(open(t, place), netOptions(firmware))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestFirmware(t *testing.T) {
	root := needyTree(t)
	fw := filepath.Join(root, "lib/firmware")
	writeFile(t, root, "etc/shadow", []byte("secret"))
	writeFile(t, fw, "qed/values.bin", []byte("plain"))
	// A file of one version is compressed as Fedora does, another as Ubuntu does, and behind a link that leaves the directory.
	writeFile(t, fw, "bnx2x/e2-1.fw.xz", compressed(t, ".ko.xz", []byte("one")))
	writeFile(t, root, "usr/share/blobs/two", compressed(t, ".ko.zst", []byte("two")))
	if err := os.Symlink("/usr/share/blobs/two", filepath.Join(fw, "bnx2x/e2-2.fw.zst")); err != nil {
		t.Fatal(err)
	}
	// What the kernel would take before both.
	writeFile(t, fw, "updates/"+fakeRelease+"/intel/ice.pkg", []byte("newer"))
	writeFile(t, fw, "intel/ice.pkg", []byte("older"))
	writeFile(t, fw, "idle.bin", []byte("of a driver that no class has"))
	want := []string{
		`lib/firmware/bnx2x/e2-1.fw lib/firmware/bnx2x/e2-1.fw.xz ["bnx2x"] one`,
		`lib/firmware/bnx2x/e2-2.fw lib/firmware/bnx2x/e2-2.fw.zst ["bnx2x"] two`,
		`lib/firmware/intel/ice.pkg lib/firmware/updates/6.12.0-fake/intel/ice.pkg ["ice"] newer`,
		`lib/firmware/qed/values.bin lib/firmware/qed/values.bin ["qed"] plain`,
	}
	s := selectFrom(t, root, "")
	if got := carried(s); !slices.Equal(got, want) {
		t.Errorf("got:\n%s", strings.Join(got, "\n"))
	}
	for _, m := range s.ModuleFirmware {
		if m.Lacks() || len(m.Missing) > 0 != (m.Module == "tg3") {
			t.Errorf("%+v", m)
		}
	}
	if i := slices.IndexFunc(s.ModuleFirmware, func(m ModuleFirmware) bool { return m.Module == "bnx2x" }); s.ModuleFirmware[i].Size != 6 {
		t.Errorf("%+v", s.ModuleFirmware[i])
	}
	// The same, however the places are named, and nothing at all.
	release := filepath.Join(root, "lib/modules", fakeRelease)
	for _, place := range [][2]string{{release, ""}, {root, root}, {root, fw}, {release, fw + "/"}} {
		if got := carried(selectFrom(t, place[0], place[1])); !slices.Equal(got, want) {
			t.Errorf("%q:\n%s", place, strings.Join(got, "\n"))
		}
	}
	if got := carried(selectFrom(t, root, NoFirmware)); len(got) > 0 {
		t.Errorf("none is:\n%s", strings.Join(got, "\n"))
	}
	// A directory of a person's own; nothing leads out of it.
	own := t.TempDir()
	writeFile(t, own, "qed/values.bin", []byte("mine"))
	if err := os.Symlink(filepath.Join(fw, "intel"), filepath.Join(own, "intel")); err != nil {
		t.Fatal(err)
	}
	if got := carried(selectFrom(t, root, own)); !slices.Equal(got, []string{`lib/firmware/qed/values.bin qed/values.bin ["qed"] mine`}) {
		t.Errorf("a directory by itself:\n%s", strings.Join(got, "\n"))
	}
}

// TestFirmwareUsr: an unpacked Debian package has usr/lib and no lib.
func TestFirmwareUsr(t *testing.T) {
	root := needyTree(t)
	if err := os.Mkdir(filepath.Join(root, "usr"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(filepath.Join(root, "lib"), filepath.Join(root, "usr/lib")); err != nil {
		t.Fatal(err)
	}
	writeFile(t, root, "usr/lib/firmware/qed/values.bin", []byte("plain"))
	want := []string{`lib/firmware/qed/values.bin usr/lib/firmware/qed/values.bin ["qed"] plain`}
	for _, place := range []string{"", root, filepath.Join(root, "usr/lib/firmware")} {
		if got := carried(selectFrom(t, root, place)); !slices.Equal(got, want) {
			t.Errorf("%s: %q", place, got)
		}
	}
}

// TestFirmwareMissing: what is not there is said, and only what a driver cannot do without is worth a warning.
func TestFirmwareMissing(t *testing.T) {
	s := selectFrom(t, needyTree(t), "")
	var warnings []string
	for _, m := range s.ModuleFirmware {
		if len(m.Carried) > 0 || len(m.Missing) == 0 {
			t.Errorf("%+v", m)
		}
		if m.Lacks() {
			warnings = append(warnings, m.Warning())
		}
	}
	want := []string{
		"bnx2x asks for firmware, and there is no bnx2x/e2-1.fw, bnx2x/e2-2.fw: its network cards cannot be switched on",
		"qed asks for firmware, and there is no qed/values.bin: the network cards of qede do not appear",
	}
	if !slices.Equal(warnings, want) || len(s.ModuleFirmware) != 4 || len(s.Firmware) > 0 {
		t.Errorf("warnings:\n%s\n%+v", strings.Join(warnings, "\n"), s.ModuleFirmware)
	}
	many := ModuleFirmware{Module: "amdgpu", Missing: strings.Fields("1 2 3 4 5 6 7 8")}
	if got := many.Warning(); got != "amdgpu asks for firmware, and there is no 1, 2, 3, 4, 5, 6 and 2 more" || !many.Lacks() {
		t.Error(got)
	}
}

func TestFirmwareErrors(t *testing.T) {
	root := needyTree(t)
	for _, c := range []struct {
		name, place string
		is          error
	}{
		{"no place", filepath.Join(root, "nowhere"), os.ErrNotExist},
		{"a file", filepath.Join(root, "lib/modules", fakeRelease, "modules.builtin"), ErrFirmware},
	} {
		if _, err := Select(open(t, root), netOptions(c.place)); !errors.Is(err, c.is) || !errors.Is(err, ErrFirmware) {
			t.Errorf("%s: %v", c.name, err)
		}
	}
	writeFile(t, root, "lib/firmware/bnx2x/e2-1.fw.xz", []byte("not xz"))
	if _, err := Select(open(t, root), netOptions("")); err == nil || !strings.Contains(err.Error(), "lib/firmware/bnx2x/e2-1.fw.xz") {
		t.Errorf("a damaged file: %v", err)
	}
	if err := os.Remove(filepath.Join(root, "lib/firmware/bnx2x/e2-1.fw.xz")); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Join(root, "lib/firmware/qed/values.bin"), 0o755); err != nil {
		t.Fatal(err)
	}
	if _, err := Select(open(t, root), netOptions("")); !errors.Is(err, ErrFirmware) {
		t.Errorf("a directory: %v", err)
	}
}

// TestFirmwareHost: the firmware of one machine is that of its drivers.
func TestFirmwareHost(t *testing.T) {
	root := needyTree(t)
	writeFile(t, root, "lib/firmware/qed/values.bin", []byte("plain"))
	writeFile(t, root, "lib/firmware/bnx2x/e2-1.fw", []byte("one"))
	s, err := Select(open(t, root), Options{OptionalClasses: ClassNames(), Host: &Host{Node: "sda1", Modaliases: []string{"pci:v00001077d00001634sv00001077sd0000E4F6bc02sc00i00"}}})
	if err != nil {
		t.Fatal(err)
	}
	if got := carried(s); !slices.Equal(got, []string{`lib/firmware/qed/values.bin lib/firmware/qed/values.bin ["qed"] plain`}) {
		t.Errorf("got %q", got)
	}
}
