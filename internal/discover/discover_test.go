// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package discover_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/initddi/initddi/internal/discover"
	"github.com/initddi/initddi/internal/discover/machinetest"
	"github.com/initddi/initddi/internal/efivar"
	"github.com/initddi/initddi/internal/esp"
	"github.com/initddi/initddi/internal/gpt"
	"github.com/initddi/initddi/internal/guid"
	"github.com/initddi/initddi/internal/program"
	"github.com/initddi/initddi/internal/resolve"
)

var (
	uuid1 = guid.MustParse("11111111-1111-4111-8111-111111111111")
	uuid2 = guid.MustParse("22222222-2222-4222-8222-222222222222")
)

func look(m *machinetest.Machine) *discover.Machine {
	return &discover.Machine{Sys: m.Root("sys"), Dev: m.Root("dev")}
}

// build makes a disk image; it skips the test where a tool is missing.
func build(t *testing.T, o esp.Options) (string, *gpt.Table) {
	t.Helper()
	name := filepath.Join(t.TempDir(), "disk.img")
	table, err := esp.Build(context.Background(), name, o)
	if errors.Is(err, program.ErrMissing) {
		t.Skip("needs ", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	return name, table
}

func TestFirmware(t *testing.T) {
	type vars map[string][]byte
	id := func(g guid.GUID) []byte { return efivar.EncodeString(strings.ToUpper(g.String())) }
	text := efivar.EncodeString
	for _, test := range []struct {
		name string
		vars vars
		want resolve.Firmware
		err  error
	}{
		{"none", vars{}, resolve.Firmware{EFI: true}, nil},
		{"the stub's", vars{"StubDevicePartUUID": id(uuid1), "StubImageIdentifier": text(`\EFI\Linux\a.efi`)},
			resolve.Firmware{EFI: true, BootPartition: uuid1, Variable: "StubDevicePartUUID", UKI: "/EFI/Linux/a.efi"}, nil},
		{"the stub's before the loader's", vars{"StubDevicePartUUID": id(uuid1), "LoaderDevicePartUUID": id(uuid2), "StubImageIdentifier": text(`\a.efi`), "LoaderImageIdentifier": text(`\b.efi`)},
			resolve.Firmware{EFI: true, BootPartition: uuid1, Variable: "StubDevicePartUUID", UKI: "/a.efi"}, nil},
		{"the loader's", vars{"LoaderDevicePartUUID": id(uuid2), "LoaderImageIdentifier": text(`\b.efi`)},
			resolve.Firmware{EFI: true, BootPartition: uuid2, Variable: "LoaderDevicePartUUID", UKI: "/b.efi"}, nil},
		{"the stub's makes no sense", vars{"StubDevicePartUUID": text("x"), "LoaderDevicePartUUID": id(uuid2)},
			resolve.Firmware{EFI: true, BootPartition: uuid2, Variable: "LoaderDevicePartUUID"}, guid.ErrSyntax},
		{"a path that leaves the partition", vars{"StubImageIdentifier": text(`\..\..\etc`), "StubDevicePartUUID": id(uuid1)},
			resolve.Firmware{EFI: true, BootPartition: uuid1, Variable: "StubDevicePartUUID"}, efivar.ErrSyntax},
		{"a path that is not there, over HTTP", vars{"StubImageIdentifier": text(""), "LoaderImageIdentifier": text("")}, resolve.Firmware{EFI: true}, nil},
		{"far too long", vars{"StubImageIdentifier": make([]byte, 1<<20)}, resolve.Firmware{EFI: true}, efivar.ErrSyntax},
	} {
		t.Run(test.name, func(t *testing.T) {
			m := machinetest.New(t)
			m.Write("sys/firmware/efi/fw_platform_size", "64\n")
			for name, data := range test.vars {
				m.Variable(name, data)
			}
			got, err := look(m).Firmware()
			if got != test.want || !errors.Is(err, test.err) {
				t.Errorf("got %+v, %v\nwant %+v, %v", got, err, test.want, test.err)
			}
		})
	}
	if got, err := look(machinetest.New(t)).Firmware(); got != (resolve.Firmware{}) || err != nil {
		t.Errorf("without EFI: %+v, %v", got, err)
	}
	m := machinetest.New(t)
	m.VariableOf("SecureBoot", efivar.GlobalVendor(), []byte{1})
	if got, err := look(m).Firmware(); err != nil || got.SecureBoot == nil || !*got.SecureBoot {
		t.Errorf("Secure Boot: %+v, %v", got, err)
	}
}

// TestMultipathNVMe is about a disk that hangs on no controller, because several may lead to it.
func TestMultipathNVMe(t *testing.T) {
	small, table := build(t, esp.Options{ESPUUID: uuid1, ESPSize: 8 << 20})
	m := machinetest.New(t)
	base := m.Disk("nvme0n1", small, 512, table)
	const subsystem = "devices/virtual/nvme-subsystem/nvme-subsys0"
	if err := os.MkdirAll(m.Path("sys/"+subsystem), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(m.Path("sys/"+base), m.Path("sys/"+subsystem+"/nvme0n1")); err != nil {
		t.Fatal(err)
	}
	for name, target := range map[string]string{"nvme0n1": subsystem + "/nvme0n1", "nvme0n1p1": subsystem + "/nvme0n1/nvme0n1p1"} {
		if err := errors.Join(os.Remove(m.Path("sys/class/block/"+name)), os.Symlink("../../"+target, m.Path("sys/class/block/"+name))); err != nil {
			t.Fatal(err)
		}
	}
	parts, err := look(m).Partitions()
	if want := `nvme0n1p1 of nvme0n1 1 esp "esp" ` + uuid1.String() + " 16384*512"; err != nil || summary(parts) != want {
		t.Errorf("got %s, %v, want %s", summary(parts), err, want)
	}
}

// TestNames: what a disk says it is called and where it is, for who asks whether two of them are one.
func TestNames(t *testing.T) {
	small, table := build(t, esp.Options{ESPUUID: uuid1, ESPSize: 8 << 20})
	info, err := os.Stat(small)
	if err != nil {
		t.Fatal(err)
	}
	const host = "devices/pci0000:00/0000:00:03.0/host0"
	for _, test := range []struct{ name, wwid, want string }{
		{"a name", "naa.5000c50015ea71ac", "naa.5000c50015ea71ac"},
		{"vendor, model and serial number", "t10.ATA     QEMU HARDDISK                           QM00005 ", "t10.ATA     QEMU HARDDISK                           QM00005"},
		{"none", "", ""},
		{"too long", strings.Repeat("a", 256), ""},
		{"two lines", "naa.5\nnaa.6", ""},
		{"no text", "naa.\xff", ""},
		{"an escape", "naa.\x1b[2J", ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			m := machinetest.New(t)
			m.SCSI(host, "sda", test.wwid, small, table)
			parts, err := look(m).Partitions()
			if err != nil || len(parts) != 1 {
				t.Fatalf("%+v, %v", parts, err)
			}
			p := parts[0]
			if p.WWID != test.want || p.Where != host+"/target0:0:0/0:0:0:0/block/sda" || p.Start != table.Partitions[0].Offset(512) || p.DiskSize != info.Size() {
				t.Errorf("got %+v", p)
			}
		})
	}
	m := machinetest.New(t)
	m.Write("sys/"+m.Disk("nvme0n1", small, 512, table)+"/wwid", "eui.0123456789abcdef\n")
	m.Disk("vda", small, 512, table)
	parts, err := look(m).Partitions()
	if err != nil || len(parts) != 2 || parts[0].WWID != "eui.0123456789abcdef" || parts[1].WWID != "" {
		t.Errorf("%+v, %v", parts, err)
	}
}

// summary says what partitions are, in short.
func summary(parts []resolve.Partition) string {
	var out []string
	for _, p := range parts {
		out = append(out, fmt.Sprintf("%s of %s %d %s %q %s %d*%d", p.Node, p.Disk, p.Number, p.Designator(), p.Label, p.UUID, p.Size/p.SectorSize, p.SectorSize))
	}
	return strings.Join(out, "\n")
}

func TestPartitions(t *testing.T) {
	home, _ := gpt.TypeOf(gpt.Home, gpt.NoArch)
	small, smallTable := build(t, esp.Options{ESPUUID: uuid1, ESPSize: 8 << 20, Partitions: []esp.Partition{{Type: home, UUID: uuid2, Name: "home", Size: 1 << 20}}})
	big, bigTable := build(t, esp.Options{ESPUUID: uuid2, ESPSize: 300 << 20, SectorSize: 4096})
	m := machinetest.New(t)
	m.Disk("vda", small, 512, smallTable)
	m.Disk("nvme0n1", big, 4096, bigTable)
	// Without a table, shorter than a table, and not there when it is opened.
	empty := filepath.Join(t.TempDir(), "empty")
	if err := os.WriteFile(empty, make([]byte, 1<<20), 0o644); err != nil {
		t.Fatal(err)
	}
	m.Disk("vdb", empty, 512, &gpt.Table{SectorSize: 512, Partitions: []gpt.Partition{{Number: 1, FirstLBA: 2, LastLBA: 3}}})
	m.Disk("vdc", small, 512, smallTable)
	if err := os.Remove(m.Path("dev/vdc")); err != nil {
		t.Fatal(err)
	}
	// Devices made of others are never where the firmware booted from.
	m.Write("sys/devices/virtual/block/loop0/partition", "1\n")
	if err := os.Symlink("../../devices/virtual/block/loop0", m.Path("sys/class/block/loop0p1")); err != nil {
		t.Fatal(err)
	}
	machine := look(m)
	parts, err := machine.Partitions()
	want := `nvme0n1p1 of nvme0n1 1 esp "esp" ` + uuid2.String() + ` 76800*4096
vda1 of vda 1 esp "esp" ` + uuid1.String() + ` 16384*512
vda2 of vda 2 home "home" ` + uuid2.String() + ` 2048*512`
	if got := summary(parts); got != want || err != nil {
		t.Errorf("got %v\n%s\nwant\n%s", err, got, want)
	}
	disks := machine.DiskErrors()
	if len(disks) != 2 || !errors.Is(disks["vdb"], gpt.ErrNoTable) || !errors.Is(disks["vdc"], fs.ErrNotExist) {
		t.Errorf("disk errors: %v", disks)
	}

	// A disk is read once, until the kernel says that it changed; one that was not ready is looked at until it is.
	b, err := os.ReadFile(small)
	if err != nil {
		t.Fatal(err)
	}
	if !machine.Unready() {
		t.Error("a disk without its node is ready")
	}
	if err := os.WriteFile(m.Path("dev/vdb"), b, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(m.Path("dev/vdc"), b, 0o644); err != nil {
		t.Fatal(err)
	}
	if parts, err = machine.Partitions(); len(parts) != 5 || machine.Unready() {
		t.Errorf("read again without need, or not with it: %v\n%s", err, summary(parts))
	}
	// The kernel shows a partition before its node is made.
	if err := os.Remove(m.Path("dev/vdc2")); err != nil {
		t.Fatal(err)
	}
	if parts, err = machine.Partitions(); len(parts) != 4 || err != nil {
		t.Errorf("a partition without its node: %v\n%s", err, summary(parts))
	}
	m.Write("dev/vdc2", "")
	if parts, err = machine.Partitions(); len(parts) != 5 || err != nil {
		t.Errorf("not read again: %v\n%s", err, summary(parts))
	}
	m.Write("dev/vda", "no table any more")
	if parts, _ = machine.Partitions(); len(parts) != 5 {
		t.Errorf("read again although nothing was said:\n%s", summary(parts))
	}
	machine.Forget("vda")
	if parts, err = machine.Partitions(); len(parts) != 3 || err != nil {
		t.Errorf("not read again: %v\n%s", err, summary(parts))
	}
}

// TestPartitionsDisagree: what the kernel made a partition of must be what the table says, or a table that changed in between
// would lead to other bytes.
func TestPartitionsDisagree(t *testing.T) {
	image, table := build(t, esp.Options{ESPUUID: uuid1, ESPSize: 8 << 20})
	for name, change := range map[string]struct{ file, text string }{
		"start":                {"vda1/start", "4096\n"},
		"size":                 {"vda1/size", "16383\n"},
		"number not in table":  {"vda1/partition", "7\n"},
		"not a number":         {"vda1/start", "x\n"},
		"negative":             {"vda1/start", "-1\n"},
		"too large":            {"vda1/size", "99999999999999999\n"},
		"sector size nonsense": {"queue/logical_block_size", "777\n"},
		"disk size nonsense":   {"size", "1\n"},
	} {
		t.Run(name, func(t *testing.T) {
			m := machinetest.New(t)
			base := m.Disk("vda", image, 512, table)
			m.Write("sys/"+base+"/"+change.file, change.text)
			parts, err := look(m).Partitions()
			if len(parts) != 0 {
				t.Errorf("got %s", summary(parts))
			}
			if strings.HasPrefix(change.file, "vda1/s") && (err == nil || !strings.Contains(err.Error(), "vda1")) {
				t.Errorf("the error is %v", err)
			}
		})
	}
	// A device that vanishes half-way is not there.
	m := machinetest.New(t)
	base := m.Disk("vda", image, 512, table)
	if err := os.Remove(m.Path("sys/" + base + "/vda1/size")); err != nil {
		t.Fatal(err)
	}
	if parts, err := look(m).Partitions(); len(parts) != 0 || err != nil {
		t.Errorf("got %s, %v", summary(parts), err)
	}
	if _, err := (&discover.Machine{Sys: m.Root("etc"), Dev: m.Root("dev")}).Partitions(); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("without sysfs: %v", err)
	}
}

func TestReadSettings(t *testing.T) {
	const conf = "/loader/ddi/initddi.conf"
	build := func(files ...esp.File) *resolve.Settings {
		image, table := build(t, esp.Options{ESPUUID: uuid1, ESPSize: 8 << 20, Files: files})
		m := machinetest.New(t)
		m.Disk("vda", image, 512, table)
		machine := look(m)
		parts, err := machine.Partitions()
		if err != nil {
			t.Fatal(err)
		}
		return machine.ReadSettings(parts[0], conf)
	}
	if s := build(esp.File{Path: conf, Data: []byte("a=b")}); s.Err != nil || string(s.Text) != "a=b" || s.Signature != nil || s.Path != conf {
		t.Errorf("unsigned: %+v", s)
	}
	if s := build(esp.File{Path: conf, Data: []byte("a=b")}, esp.File{Path: "/loader/ddi/INITDDI.CONF.P7S", Data: []byte("sig")}); s.Err != nil || string(s.Signature) != "sig" {
		t.Errorf("signed: %+v", s)
	}
	// An empty signature is one, and a bad one.
	if s := build(esp.File{Path: conf, Data: []byte("a=b")}, esp.File{Path: conf + ".p7s"}); s.Err != nil || s.Signature == nil {
		t.Errorf("an empty signature: %+v", s)
	}
	if s := build(esp.File{Path: conf, Data: make([]byte, 1<<20)}); s.Err == nil || s.Text != nil {
		t.Errorf("too large: %v", s.Err)
	}
	if s := build(esp.File{Path: conf, Data: []byte("a=b")}, esp.File{Path: conf + ".p7s", Data: make([]byte, 1<<20)}); s.Err == nil {
		t.Error("too large a signature was taken for none")
	}
	if s := build(); !errors.Is(s.Err, fs.ErrNotExist) {
		t.Errorf("no file: %v", s.Err)
	}
}

func TestList(t *testing.T) {
	file := func(path string) esp.File { return esp.File{Path: path, Data: []byte("x")} }
	image, table := build(t, esp.Options{ESPUUID: uuid1, ESPSize: 8 << 20, Label: "BOOT", Files: []esp.File{
		file("/loader/ddi/os_1.raw"), file("/loader/ddi/OS.RAW"), file("/loader/ddi/os.raw.v/os_2.raw"), file("/loader/ddi/os.raw.v/deeper.v/no.raw"),
		file("/loader/ddi/other/no.raw"), file("/EFI/Linux/a.efi.ddi.d/x.raw"), file("/root.raw"), file("/loader/entries/no.raw"),
	}})
	m := machinetest.New(t)
	m.Disk("vda", image, 512, table)
	machine := look(m)
	parts, err := machine.Partitions()
	if err != nil {
		t.Fatal(err)
	}
	list := func(dirs ...string) string {
		l := machine.List(parts[0], dirs)
		if l.Err != nil || l.Label != "BOOT" || l.FileSystem != "FAT12" {
			t.Errorf("%s %q: %v", l.FileSystem, l.Label, l.Err)
		}
		var names []string
		for _, f := range l.Files {
			if f.Size != 1 {
				t.Errorf("%s has %d bytes", f.Path, f.Size)
			}
			names = append(names, f.Path)
		}
		slices.Sort(names)
		return strings.Join(names, " ")
	}
	for _, test := range []struct{ dirs, want string }{
		{"/loader/ddi", "/loader/ddi/OS.RAW /loader/ddi/os.raw.v/os_2.raw /loader/ddi/os_1.raw"},
		{"/nothing", ""},
		{"/EFI/Linux/a.efi.ddi.d /nothing /loader/ddi", "/EFI/Linux/a.efi.ddi.d/x.raw /loader/ddi/OS.RAW /loader/ddi/os.raw.v/os_2.raw /loader/ddi/os_1.raw"},
		{"/efi/LINUX/A.efi.ddi.d", "/efi/LINUX/A.efi.ddi.d/x.raw"},
		{"/", "/root.raw"},
	} {
		if got := list(strings.Fields(test.dirs)...); got != test.want {
			t.Errorf("%s: got %s, want %s", test.dirs, got, test.want)
		}
	}

	// What cannot be read is a fact too.
	if l := machine.List(parts[0], []string{"/root.raw"}); l.Err == nil {
		t.Error("a file is a directory")
	}
	m.Write("dev/vda1", strings.Repeat("x", 8<<20))
	if l := machine.List(parts[0], []string{"/"}); l.Err == nil || !strings.Contains(l.Err.Error(), "/dev/vda1") {
		t.Errorf("noise is FAT: %+v", l)
	}
	if err := os.Remove(m.Path("dev/vda1")); err != nil {
		t.Fatal(err)
	}
	if l := machine.List(parts[0], []string{"/"}); !errors.Is(l.Err, fs.ErrNotExist) {
		t.Errorf("no device: %+v", l)
	}
}

// TestListBounds: a directory can name the same clusters as any other, so what lies on a small disk has no end by itself.
func TestListBounds(t *testing.T) {
	list := func(dirs []string, files ...string) *resolve.Listing {
		var all []esp.File
		for _, name := range files {
			all = append(all, esp.File{Path: name, Data: []byte("x")})
		}
		image, table := build(t, esp.Options{ESPUUID: uuid1, ESPSize: 16 << 20, Files: all})
		m := machinetest.New(t)
		m.Disk("vda", image, 512, table)
		machine := look(m)
		parts, err := machine.Partitions()
		if err != nil {
			t.Fatal(err)
		}
		return machine.List(parts[0], dirs)
	}
	names := func(n int, format string) (out []string) {
		for i := range n {
			out = append(out, fmt.Sprintf(format, i))
		}
		return out
	}
	// The same directory again and again is as many files as different ones.
	const each = 256
	often := slices.Repeat([]string{"/a"}, discover.MaxFiles/each)
	if l := list(often, names(each, "/a/%d")...); l.Err != nil || len(l.Files) != discover.MaxFiles {
		t.Errorf("as many files as are allowed: %v", l.Err)
	}
	if l := list(append(often, "/b"), append(names(each, "/a/%d"), "/b/x")...); !errors.Is(l.Err, discover.ErrTooMany) || l.Files != nil {
		t.Errorf("a file more: %v", l.Err)
	}
	if l := list([]string{"/a"}, names(discover.MaxVDirs, "/a/%d.raw.v/x.raw")...); l.Err != nil || len(l.Files) != discover.MaxVDirs {
		t.Errorf("as many directories as are allowed: %v", l.Err)
	}
	if l := list([]string{"/a"}, names(discover.MaxVDirs+1, "/a/%d.raw.v/x.raw")...); !errors.Is(l.Err, discover.ErrTooMany) || !strings.Contains(l.Err.Error(), "65 directories *.v") {
		t.Errorf("a directory more: %v", l.Err)
	}
}
