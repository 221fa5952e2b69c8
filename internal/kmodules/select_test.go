// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package kmodules

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/initddi/initddi/internal/modtable"
)

func open(t *testing.T, place string) *Tree {
	t.Helper()
	tree, err := Open(place, "")
	if err != nil {
		t.Fatal(err)
	}
	return tree
}

func TestOpen(t *testing.T) {
	root := fakeTree(t)
	dir := filepath.Join(root, "lib/modules", fakeRelease)
	for _, tt := range []struct{ place, release string }{
		{root, ""}, {root, fakeRelease}, {dir, ""}, {dir, fakeRelease},
	} {
		tree, err := Open(tt.place, tt.release)
		if err != nil || tree.Release() != fakeRelease || !tree.Has("usb-storage") || !tree.Has("usb_storage") ||
			tree.Has("nvme") || !tree.Builtin("nvme") || tree.Builtin("loop") || !tree.Builtin("virtio-pci") {
			t.Errorf("Open(%q, %q): %+v, %v", tt.place, tt.release, tree, err)
		}
	}

	if _, err := Open(root, "7.0"); !errors.Is(err, ErrNoTree) || !strings.Contains(err.Error(), "7.0") {
		t.Errorf("another release: %v", err)
	}
	if _, err := Open(filepath.Join(root, "nowhere"), ""); !errors.Is(err, ErrNoTree) {
		t.Errorf("no directory: %v", err)
	}
	// What a removed kernel leaves behind does not count, a second kernel does.
	if err := os.MkdirAll(filepath.Join(root, "lib/modules/5.0"), 0o755); err != nil {
		t.Fatal(err)
	}
	open(t, root)
	writeFile(t, root, "lib/modules/7.0/modules.builtin", []byte("kernel/a.ko\n"))
	if _, err := Open(root, ""); !errors.Is(err, ErrManyTrees) || !strings.Contains(err.Error(), "6.12.0-fake, 7.0") {
		t.Errorf("two kernels: %v", err)
	}
	if tree, err := Open(root, "7.0"); err != nil || tree.Release() != "7.0" {
		t.Errorf("named kernel: %v", err)
	}
	// Debian 13 packages have only usr/lib.
	usr := t.TempDir()
	writeFile(t, usr, "usr/lib/modules/7.1/modules.builtin", []byte("kernel/a.ko\n"))
	if tree := open(t, usr); tree.Release() != "7.1" {
		t.Errorf("usr/lib: %s", tree.Release())
	}
	// A kernel's build directory, which has a directory kernel as its source has.
	build := t.TempDir()
	writeFile(t, build, "Kbuild", nil)
	writeFile(t, build, "kernel/Makefile", nil)
	if _, err := Open(build, ""); !errors.Is(err, ErrNoTree) {
		t.Errorf("a source tree: %v", err)
	}
	writeFile(t, build, "modules.builtin", []byte("kernel/fs/erofs/erofs.ko\n"))
	writeFile(t, build, "include/config/kernel.release", []byte("6.12.99-mine\n"))
	if tree := open(t, build); tree.Release() != "6.12.99-mine" || !tree.Builtin("erofs") {
		t.Errorf("a build directory: %+v", tree)
	}
	empty := t.TempDir()
	writeFile(t, empty, "modules.builtin", nil)
	if _, err := Open(empty, ""); !errors.Is(err, ErrNoTree) {
		t.Errorf("nothing at all: %v", err)
	}
}

// table is what the fake kernel gives for virtio, usb, nvme and the default features.
const table = `initddi-modules 1 6.12.0-fake
class virtio virtio disks (QEMU/KVM and most clouds)
class usb USB disks
class nvme NVMe disks
feature dm dm_mod
feature efivarfs
feature erofs erofs
feature loop loop
feature verity dm_verity crypto-sha256
crypto crc32c crc32c_intel crc32c_generic
crypto sha256 sha256_ssse3 builtin
builtin efivarfs
builtin nvme
builtin virtio_pci
module crc32c_generic crc32c_generic.ko
module crc32c_intel crc32c_intel.ko
module dm_bufio dm_bufio.ko dep=dm_mod
module dm_mod dm_mod.ko
module dm_verity dm_verity.ko dep=dm_bufio,dm_mod,reed_solomon
module ehci_hcd ehci_hcd.ko dep=usb_common,usbcore
module ehci_pci ehci_pci.ko dep=ehci_hcd,usbcore soft=uhci_hcd
module erofs erofs.ko dep=libcrc32c
module libcrc32c libcrc32c.ko soft=crypto-crc32c
module loop loop.ko
module reed_solomon reed_solomon.ko
module scsi_common scsi_common.ko
module scsi_mod scsi_mod.ko dep=scsi_common
module sd_mod sd_mod.ko dep=scsi_common,scsi_mod
module sha256_ssse3 sha256_ssse3.ko
module uhci_hcd uhci_hcd.ko dep=usbcore
module usb_common usb_common.ko
module usb_storage usb_storage.ko dep=scsi_mod,usbcore
module usbcore usbcore.ko dep=usb_common
module virtio_blk virtio_blk.ko
module virtio_scsi virtio_scsi.ko dep=scsi_mod
alias cpu:type:x86,ven*fam*mod*:feature:*0089* sha256_ssse3
alias cpu:type:x86,ven*fam*mod*:feature:*0094* crc32c_intel
alias pci:v*d*sv*sd*bc0Csc03i00* uhci_hcd
alias pci:v*d*sv*sd*bc0Csc03i20* ehci_pci
alias scsi:t_0x00* sd_mod
alias usb:v*p*d*dc*dsc*dp*ic08isc06ip50in* usb_storage
alias usb:v*p*d*dc09dsc*dp*ic*isc*ip*in* usbcore
alias virtio:d00000002v* virtio_blk
alias virtio:d00000008v* virtio_scsi
`

func TestSelect(t *testing.T) {
	tree := open(t, fakeTree(t))
	s, err := Select(tree, Options{
		Classes: []string{"virtio", "usb", "nvme", "usb"}, OptionalClasses: []string{"mmc", "virtio"},
		Features: []string{"loop", "dm", "verity", "erofs"}, OptionalFeatures: []string{"ext4", "efivarfs"},
	})
	if err != nil {
		t.Fatal(err)
	}
	// Here uhci_hcd and ehci_pci each want the other first: one of the two wishes is dropped.
	if got := string(s.Table.Encode()); got != table {
		t.Errorf("table:\n%s\nwant:\n%s", got, table)
	}
	if want := []string{"uas", "virtio_mmio", "vmd", "xhci_pci", "xhci_pci_renesas"}; !slices.Equal(s.Absent, want) {
		t.Errorf("Absent = %q, want %q", s.Absent, want)
	}
	if len(s.Unresolved) > 0 {
		t.Errorf("Unresolved = %q", s.Unresolved)
	}
	i := slices.IndexFunc(s.Files, func(f File) bool { return f.Name == "scsi_mod" })
	f := s.Files[i]
	f.Data = nil
	if want := (File{Name: "scsi_mod", Path: "lib/modules/6.12.0-fake/scsi_mod.ko", Source: "kernel/drivers/scsi/scsi_mod.ko.zst",
		For: []string{"usb", "virtio"}}); !reflect.DeepEqual(f, want) {
		t.Errorf("got %+v, want %+v", f, want)
	}
	if want := fakeModule(t, "depends=scsi_common"); !bytes.Equal(s.Files[i].Data, want) {
		t.Errorf("scsi_mod.ko is %q", s.Files[i].Data)
	}
	if len(s.Files) != len(s.Table.Modules) {
		t.Errorf("%d files, %d modules", len(s.Files), len(s.Table.Modules))
	}
}

// names returns the modules of a selection.
func names(s *Selection) string {
	var out []string
	for _, f := range s.Files {
		out = append(out, f.Name)
	}
	return strings.Join(out, " ")
}

func TestSelectHost(t *testing.T) {
	const (
		fast = "cpu:type:x86,ven0000fam0006mod0055:feature:,0001,0089,0094"
		old  = "cpu:type:x86,ven0000fam0006mod0003:feature:,0001"
	)
	options := Options{OptionalClasses: ClassNames(), Features: []string{"erofs", "verity"}}
	for _, tt := range []struct {
		devices []string
		want    string
		classes string
	}{
		{[]string{fast, "virtio:d00000002v00001AF4", "pci:v00008086d00002934sv00001AF4sd00001100bc0Csc03i20"},
			"crc32c_intel dm_bufio dm_mod dm_verity erofs libcrc32c reed_solomon sha256_ssse3 virtio_blk", "virtio nvme"},
		{[]string{old, "virtio:d00000008v00001AF4", "scsi:t-0x00"},
			"crc32c_generic dm_bufio dm_mod dm_verity erofs libcrc32c reed_solomon scsi_common scsi_mod sd_mod virtio_scsi",
			"virtio nvme"},
	} {
		options.Host = &Host{Node: "vda1", CPU: tt.devices[0]}
		for _, alias := range tt.devices[1:] {
			options.Host.Way = append(options.Host.Way, Device{Modalias: alias})
		}
		s, err := Select(open(t, fakeTree(t)), options)
		if err != nil {
			t.Fatal(err)
		}
		if names(s) != tt.want {
			t.Errorf("%q:\n got %s\nwant %s", tt.devices, names(s), tt.want)
		}
		var classes []string
		for _, c := range s.Table.Classes {
			classes = append(classes, c.Name)
		}
		if got := strings.Join(classes, " "); got != tt.classes {
			t.Errorf("%q: classes %s, want %s", tt.devices, got, tt.classes)
		}
	}
}

func TestSelectModules(t *testing.T) {
	s, err := Select(open(t, fakeTree(t)), Options{Modules: []string{"sd-mod", "nvme", "squashfs"}})
	if err != nil || names(s) != "scsi_common scsi_mod sd_mod squashfs" || !s.Table.IsBuiltin("nvme") {
		t.Errorf("got %+v, %v", s, err)
	}
	if want := []string{"squashfs: mystery"}; !slices.Equal(s.Unresolved, want) {
		t.Errorf("Unresolved = %q, want %q", s.Unresolved, want)
	}
}

func TestSelectErrors(t *testing.T) {
	tree := open(t, fakeTree(t))
	var missing *MissingError
	_, err := Select(tree, Options{Classes: []string{"mmc"}})
	if !errors.Is(err, ErrEmptyClass) || !errors.As(err, &missing) || missing.Name != "mmc" || missing.Release != fakeRelease ||
		!strings.Contains(err.Error(), "sdhci_pci, sdhci_acpi") {
		t.Errorf("empty class: %v", err)
	}
	// sd_mod exists and is part of class sata, but does not drive a SATA controller.
	if _, err := Select(tree, Options{Classes: []string{"sata"}}); !errors.Is(err, ErrEmptyClass) {
		t.Errorf("class without driver: %v", err)
	}
	if _, err := Select(tree, Options{Features: []string{"ext4"}}); !errors.Is(err, ErrNoFeature) {
		t.Errorf("missing feature: %v", err)
	}
	if _, err := Select(tree, Options{Classes: []string{"floppy"}}); !errors.Is(err, ErrUnknown) || !strings.Contains(err.Error(), "virtio, nvme") {
		t.Errorf("unknown class: %v", err)
	}
	if _, err := Select(tree, Options{OptionalFeatures: []string{"zfs"}}); !errors.Is(err, ErrUnknown) {
		t.Errorf("unknown feature: %v", err)
	}
	if _, err := Select(tree, Options{Modules: []string{"e1000"}}); err == nil || !strings.Contains(err.Error(), "e1000") {
		t.Errorf("missing module: %v", err)
	}

	root := fakeTree(t)
	dir := filepath.Join(root, "lib/modules", fakeRelease)
	writeFile(t, dir, "kernel/drivers/block/loop.ko", fakeModule(t, "depends=gone"))
	if _, err := Select(open(t, root), Options{Features: []string{"loop"}}); !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), "gone") {
		t.Errorf("missing dependency: %v", err)
	}
	writeFile(t, dir, "kernel/drivers/block/loop.ko", []byte("text"))
	if _, err := Select(open(t, root), Options{Features: []string{"loop"}}); !errors.Is(err, ErrModule) || !strings.Contains(err.Error(), "loop.ko") {
		t.Errorf("no module: %v", err)
	}
	// Without any SHA-256, dm-verity is useless.
	writeFile(t, dir, "modules.builtin", []byte("kernel/fs/netfs.ko\n"))
	writeFile(t, dir, "kernel/crypto/sha256-ssse3.ko", fakeModule(t, "depends="))
	if _, err := Select(open(t, root), Options{Features: []string{"verity"}}); err != nil {
		t.Errorf("SHA-256 as a module: %v", err)
	}
	if err := os.Remove(filepath.Join(dir, "kernel/crypto/sha256-ssse3.ko")); err != nil {
		t.Fatal(err)
	}
	if _, err := Select(open(t, root), Options{Features: []string{"verity"}}); !errors.Is(err, ErrNoFeature) || !strings.Contains(err.Error(), "crypto-sha256") {
		t.Errorf("no SHA-256: %v", err)
	}
}

func TestMonolithic(t *testing.T) {
	s, err := Select(Monolithic("6.12.0"), Options{Classes: ClassNames(), Features: FeatureNames()})
	if err != nil {
		t.Fatal(err)
	}
	if len(s.Files) > 0 || len(s.Absent) > 0 || len(s.Table.Classes) != len(ClassNames()) || !s.Table.IsBuiltin("dm_verity") {
		t.Errorf("got %+v", s)
	}
	for _, name := range FeatureNames() {
		if modules, ok := s.Table.Feature(name); !ok || len(modules) > 0 {
			t.Errorf("feature %s: %q, %v", name, modules, ok)
		}
	}
}

// TestModulesDep checks what modules.dep adds: a preferred file, and a dependency that the module does not declare.
func TestModulesDep(t *testing.T) {
	root := fakeTree(t)
	dir := filepath.Join(root, "lib/modules", fakeRelease)
	writeFile(t, dir, "updates/dkms/loop.ko", fakeModule(t, "depends="))
	writeFile(t, dir, "extra/squashfs.ko", fakeModule(t, "depends="))
	options := Options{Features: []string{"loop", "squashfs", "verity"}}
	source := func(s *Selection, name string) string {
		return s.Files[slices.IndexFunc(s.Files, func(f File) bool { return f.Name == name })].Source
	}
	s, err := Select(open(t, root), options)
	if err != nil {
		t.Fatal(err)
	}
	if source(s, "loop") != "updates/dkms/loop.ko" {
		t.Errorf("without modules.dep: %s", source(s, "loop"))
	}
	writeFile(t, dir, "modules.dep", []byte("updates/dkms/loop.ko: kernel/lib/reed_solomon.ko\nextra/squashfs.ko:\n"+
		"kernel/drivers/md/dm-verity.ko: kernel/drivers/md/dm-bufio.ko kernel/drivers/md/dm-mod.ko kernel/lib/reed_solomon.ko\n"+
		"kernel/drivers/md/dm-bufio.ko: kernel/drivers/md/dm-mod.ko\n"))
	if s, err = Select(open(t, root), options); err != nil {
		t.Fatal(err)
	}
	loop, _ := s.Table.Module("loop")
	verity, _ := s.Table.Module("dm_verity")
	if source(s, "squashfs") != "extra/squashfs.ko" || !slices.Equal(loop.Deps, []string{"reed_solomon"}) ||
		!slices.Equal(verity.Deps, []string{"dm_bufio", "dm_mod", "reed_solomon"}) {
		t.Errorf("with modules.dep: %s, %+v, %+v", source(s, "squashfs"), loop, verity)
	}
	for text, want := range map[string]string{
		"kernel/gone.ko:\n": "depmod", "nonsense\n": "nonsense", "../x.ko:\n": "../x.ko", "/x.ko:\n": "/x.ko",
	} {
		writeFile(t, dir, "modules.dep", []byte(text))
		if _, err := Open(root, ""); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v", text, err)
		}
	}
}

func TestClassTable(t *testing.T) {
	var seen []string
	for _, c := range Classes() {
		if slices.Contains(seen, c.Name) || c.Description == "" || len(c.Drivers) == 0 {
			t.Errorf("class %+v", c)
		}
		if c.IsApart() && (c.IsNetwork() || slices.Contains(UsualClassNames(), c.Name) || !slices.Contains(StorageClassNames(), c.Name)) {
			t.Errorf("class %s is apart", c.Name)
		}
		seen = append(seen, c.Name)
		for _, m := range slices.Concat(c.Drivers, c.With) {
			if canonical(m) != m {
				t.Errorf("class %s: %s", c.Name, m)
			}
		}
	}
	for _, f := range Features() {
		for _, m := range f.Modules {
			if _, ok := findAlgorithm(m); !ok && (canonical(m) != m || strings.HasPrefix(m, modtable.CryptoPrefix)) {
				t.Errorf("feature %s: %s", f.Name, m)
			}
		}
	}
}
