// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package capture_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/initddi/initddi/internal/attempt"
	"github.com/initddi/initddi/internal/capture"
	"github.com/initddi/initddi/internal/discover"
	"github.com/initddi/initddi/internal/discover/machinetest"
	"github.com/initddi/initddi/internal/drivers"
	"github.com/initddi/initddi/internal/efivar"
	"github.com/initddi/initddi/internal/esp"
	"github.com/initddi/initddi/internal/gpt"
	"github.com/initddi/initddi/internal/guid"
	"github.com/initddi/initddi/internal/program"
)

var espUUID = guid.MustParse("11111111-1111-4111-8111-111111111111")

// secret is in every place where nobody should look.
const secret = "SeCrEt"

// machine is one with an ESP, whose image is in pieces and between files that are nobody's business.
func machine(t *testing.T, o esp.Options) *machinetest.Machine {
	t.Helper()
	home, _ := gpt.TypeOf(gpt.Home, gpt.NoArch)
	o.ESPUUID = espUUID
	o.Partitions = []esp.Partition{{Type: home, Name: "home", Size: 1 << 20}}
	content := bytes.Repeat([]byte(secret), 5000)
	for _, f := range []string{"/loader/ddi/os_1.raw", "/loader/ddi/initddi.conf", "/EFI/Linux/a.efi", "/EFI/Linux/a.efi.ddi.d/b.raw.v/b_2.raw", "/private/" + secret + ".txt"} {
		o.Files = append(o.Files, esp.File{Path: f, Data: content, Fragments: 3})
	}
	name := filepath.Join(t.TempDir(), "disk.img")
	table, err := esp.Build(context.Background(), name, o)
	if errors.Is(err, program.ErrMissing) {
		t.Skip("needs ", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	deleteFile(t, name, table, "/loader/ddi/gone-"+secret+".raw")
	m := machinetest.New(t)
	base := m.Disk("vda", name, max(o.SectorSize, 512), table)
	bus := strings.TrimSuffix(base, "/block/vda")
	m.Write("sys/"+bus+"/modalias", "pci:v00001AF4d00001042\n")
	m.Write("sys/"+bus+"/uevent", "PCI_ID=1AF4:1042\nSERIAL="+secret+"\n")
	m.Write("sys/"+bus+"/serial", secret)
	m.Write("sys/bus/pci/drivers/virtio-pci/uevent", "")
	m.Write("sys/bus/pci/devices/x", "")
	m.Write("sys/devices/virtual/devlink/clock--disk/sync_state_only", "0\n")
	m.Write("sys/devices/virtual/devlink/clock--disk/runtime_pm", secret+"\n")
	// A card without a driver says in its uevent alone what it asks for; another asks for nothing.
	m.Write("sys/devices/mmc_host/mmc0/mmc0:4567/uevent", "MMC_TYPE=SD\nMMC_NAME="+secret+"\nMODALIAS=mmc:block\n")
	m.Write("sys/devices/mmc_host/mmc1/mmc1:0001/uevent", "MMC_TYPE=SDIO\n")
	m.Write("sys/bus/mmc/devices/x", "")
	m.Write("sys/module/virtio_pci/parameters/key", secret)
	for link, target := range map[string]string{
		"sys/bus/pci/devices/0000:00:01.0":                 "../../../" + bus,
		"sys/" + bus + "/supplier:clock":                   "../../virtual/devlink/clock--disk",
		"sys/devices/virtual/devlink/clock--disk/supplier": "../../../platform/clock",
		"sys/bus/mmc/devices/mmc0:4567":                    "../../../devices/mmc_host/mmc0/mmc0:4567",
		"sys/bus/mmc/devices/mmc1:0001":                    "../../../devices/mmc_host/mmc1/mmc1:0001",
		"sys/" + bus + "/driver":                           "../../../bus/pci/drivers/virtio-pci",
		"sys/bus/pci/drivers/virtio-pci/module":            "../../../../module/virtio_pci",
	} {
		if err := os.Symlink(target, m.Path(link)); err != nil {
			t.Fatal(err)
		}
	}
	m.Write("sys/devices/system/cpu/modalias", "cpu:type:x86\n")
	m.Write("sys/devices/virtual/dmi/id/product_name", "Model "+secret+"\n")
	m.Write("proc/cmdline", "quiet ddi.log=debug password="+secret+" nvme.x=1 net.y="+secret+" ddi.url=http://user:"+secret+"@host/x,https://"+secret+":p@a,nbd://b/"+"c -- "+secret+"\n")
	m.Write("etc/shadow", secret)
	m.Firmware(espUUID, "/EFI/Linux/a.efi")
	m.VariableOf(attempt.Variable, attempt.Vendor(), attempt.Record{}.Encode())
	m.Variable("LoaderSystemToken", []byte(secret))
	m.VariableOf("SecureBoot", efivar.GlobalVendor(), []byte{1})
	return m
}

// deleteFile puts a file onto the ESP and deletes it: its name stays in the directory.
func deleteFile(t *testing.T, disk string, table *gpt.Table, file string) {
	t.Helper()
	tool, err := program.Find("mcopy", "mtools")
	if err != nil {
		t.Skip("needs ", err)
	}
	image := fmt.Sprintf("%s@@%d", disk, table.Partitions[0].Offset(table.SectorSize))
	for _, args := range [][]string{{tool, "-i", image, "/etc/hostname", "::" + file}, {filepath.Join(filepath.Dir(tool), "mdel"), "-i", image, "::" + file}} {
		cmd := exec.Command(args[0], args[1:]...)
		cmd.Env = append(os.Environ(), "MTOOLS_SKIP_CHECK=1")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%q: %v: %s", args, err, out)
		}
	}
}

// record records a machine and unpacks the archive.
func record(t *testing.T, o capture.Options) (lines, dir string, archive []byte) {
	t.Helper()
	var b bytes.Buffer
	got, err := capture.Record(&b, o)
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range got {
		lines += fmt.Sprintf("%s: %s\n", l.Verdict, l.What)
	}
	file := filepath.Join(t.TempDir(), "machine.tar")
	if err := os.WriteFile(file, b.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
	dir, cleanup, err := capture.Open(context.Background(), file)
	if errors.Is(err, program.ErrMissing) {
		t.Skip("needs ", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cleanup)
	return lines, dir, b.Bytes()
}

// look says what stage 1 sees of a machine: firmware, partitions, files, and where the images' bytes lie.
func look(t *testing.T, root string) string {
	t.Helper()
	open := func(name string) *os.Root {
		r, err := os.OpenRoot(filepath.Join(root, name))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { r.Close() })
		return r
	}
	m := &discover.Machine{Sys: open("sys"), Dev: open("dev"), Patience: discover.Timeout}
	fw, err := m.Firmware()
	out := fmt.Sprintf("EFI %v, Secure Boot %v, %s=%s %s %v\n", fw.EFI, fw.SecureBoot != nil && *fw.SecureBoot, fw.Variable, fw.BootPartition, fw.UKI, err)
	parts, err := m.Partitions()
	out += fmt.Sprintf("%v %v\n", err, m.DiskErrors())
	for _, p := range parts {
		out += fmt.Sprintf("%s of %s: %d %s %q %s, %d bytes in sectors of %d\n", p.Node, p.Disk, p.Number, p.Designator(), p.Label, p.UUID, p.Size, p.SectorSize)
		if p.Designator() != gpt.ESP {
			continue
		}
		l := m.List(p, []string{"/EFI/Linux/a.efi.ddi.d", "/loader/ddi"})
		out += fmt.Sprintf("%s %q %v\n", l.FileSystem, l.Label, l.Err)
		for _, f := range l.Files {
			out += fmt.Sprintf("%s, %d bytes: %v\n", f.Path, f.Size, m.ReadImage(p, gpt.X86_64, f.Path).Extents)
		}
	}
	// What stands where there is no FAT is not recorded.
	return regexp.MustCompile(`ends in 0x[0-9a-f]+`).ReplaceAllString(out, "")
}

// TestDiskNames: which disks have one name is recorded, and what the name is, is not.
func TestDiskNames(t *testing.T) {
	m := machinetest.New(t)
	disk := filepath.Join(t.TempDir(), "disk.img")
	table, err := esp.Build(context.Background(), disk, esp.Options{ESPSize: 8 << 20})
	if errors.Is(err, program.ErrMissing) {
		t.Skip("needs ", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	for i, name := range []string{"naa.5000c5005ec2e7aa", "naa.5000c5005ec2e7aa", "naa.6000c5005ec2e7aa0000000000000001", "t10.VENDOR " + secret, "eui.0000000000000000", ""} {
		m.SCSI(fmt.Sprintf("devices/pci0000:00/0000:00:0%d.0/host%d", i+1, i), fmt.Sprintf("sd%c", 'a'+i), name, disk, table)
	}
	_, dir, archive := record(t, capture.Options{Root: m.Dir})
	if bytes.Contains(archive, []byte("5ec2e7aa")) || bytes.Contains(archive, []byte(secret)) {
		t.Error("a name is in the archive")
	}
	var got []string
	for i := range 6 {
		sys, err := os.OpenRoot(filepath.Join(dir, "sys"))
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, discover.WWID(sys, fmt.Sprintf("class/block/sd%c", 'a'+i)))
		sys.Close()
	}
	if want := []string{"naa.5000000000000001", "naa.5000000000000001", "naa.6000000000000002", "t10.0000000000000003", "eui.0000000000000000", ""}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestRecord(t *testing.T) {
	for name, o := range map[string]esp.Options{
		"FAT12": {ESPSize: 8 << 20, FATType: 12}, "FAT16": {ESPSize: 40 << 20}, "FAT32": {ESPSize: 80 << 20, FATType: 32, ClusterSize: 512}, "4096": {ESPSize: 40 << 20, SectorSize: 4096, ClusterSize: 4096},
	} {
		t.Run(name, func(t *testing.T) {
			m := machine(t, o)
			lines, dir, archive := record(t, capture.Options{Root: m.Dir})
			if want, got := look(t, m.Dir), look(t, dir); got != want || !strings.Contains(want, "os_1.raw") || !strings.Contains(want, "b_2.raw") {
				t.Errorf("captured:\n%s\nthe machine:\n%s", got, want)
			}
			if i := bytes.Index(archive, []byte(secret)); i >= 0 {
				t.Errorf("a secret is in the archive, at %d behind %q", i, archive[max(0, i-80):i])
			}
			if long := []byte{'S', 0, 'e', 0, 'C', 0}; bytes.Contains(archive, long) {
				t.Error("the name of a deleted file is in the archive")
			}
			for _, want := range []string{
				"recorded: kernel command line: quiet ddi.log=debug nvme.x=1 ddi.url=http://host/x,https://a,nbd://b/c\n", "left out: 3 words of", "recorded: 2 devices on 2 buses, with 1 drivers",
				"UEFI firmware: StubDevicePartUUID, StubImageIdentifier, SecureBoot, InitddiAttempts\n", "a GPT with 2 partitions", "/dev/vda1: FAT", "names and places of 4 files",
			} {
				if !strings.Contains(lines, want) {
					t.Errorf("it does not say %q:\n%s", want, lines)
				}
			}
			if strings.Contains(lines, "unread") {
				t.Error(lines)
			}
			// A sparse file of the partition's size, not the bytes.
			if len(archive) > 400<<10 {
				t.Errorf("the archive has %d bytes", len(archive))
			}
			if got, err := os.Readlink(filepath.Join(dir, "sys/bus/pci/drivers/virtio-pci/module")); err != nil || got != "../../../../module/virtio_pci" {
				t.Errorf("%q, %v", got, err)
			}
			var asks []string
			for _, d := range drivers.Devices(openRoot(t, dir, "sys")) {
				asks = append(asks, d.Modalias+" "+d.Driver)
			}
			if want := []string{"mmc:block ", "pci:v00001AF4d00001042 virtio-pci"}; !slices.Equal(asks, want) {
				t.Errorf("the captured devices are %q, want %q", asks, want)
			}
			if got, err := os.Readlink(filepath.Join(dir, "sys/devices/virtual/devlink/clock--disk/supplier")); err != nil || got != "../../../platform/clock" {
				t.Errorf("what the disk needs is %q, %v", got, err)
			}
			// What was captured can be captured again, to the same bytes.
			if _, _, again := record(t, capture.Options{Root: dir}); !bytes.Equal(again, archive) {
				t.Error("the capture of the capture is another")
			}
		})
	}
}

func TestNames(t *testing.T) {
	m := machine(t, esp.Options{ESPSize: 8 << 20})
	serial := func(dir string) uint32 {
		b, err := os.ReadFile(filepath.Join(dir, "dev/vda1"))
		if err != nil {
			t.Fatal(err)
		}
		return binary.LittleEndian.Uint32(b[39:])
	}
	_, dir, _ := record(t, capture.Options{Root: m.Dir})
	_, named, archive := record(t, capture.Options{Root: m.Dir, Names: true})
	if serial(dir) != 0 || serial(named) == 0 || serial(named) != serial(m.Dir) {
		t.Errorf("serial numbers: %x, with names %x, the machine's %x", serial(dir), serial(named), serial(m.Dir))
	}
	if !bytes.Contains(archive, []byte("Model "+secret)) || !bytes.Contains(archive, []byte("password="+secret)) {
		t.Error("the names are missing")
	}
}

// TestBroken records machines of which stage 1 finds something wrong: the same has to be wrong with the capture.
func TestBroken(t *testing.T) {
	change := func(m *machinetest.Machine, node string, at int64, b string) {
		f, err := os.OpenFile(m.Path("dev/"+node), os.O_RDWR, 0)
		if err == nil {
			_, err = f.WriteAt([]byte(b), at)
		}
		if err == nil {
			err = f.Close()
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, tt := range []struct {
		name  string
		spoil func(m *machinetest.Machine)
		want  string
	}{
		{"primary header", func(m *machinetest.Machine) { change(m, "vda", 512+20, "x") }, "vda1 of vda: 1 esp"},
		{"no table", func(m *machinetest.Machine) {
			change(m, "vda", 0, strings.Repeat(secret, 4<<10))
			info, err := os.Stat(m.Path("dev/vda"))
			if err != nil {
				t.Fatal(err)
			}
			change(m, "vda", info.Size()-512, strings.Repeat("\x00", 512))
		}, "no GUID partition table"},
		{"no FAT", func(m *machinetest.Machine) { change(m, "vda1", 0, strings.Repeat(secret, 100)) }, "not a FAT"},
		{"a loop in the table", func(m *machinetest.Machine) {
			boot, err := os.ReadFile(m.Path("dev/vda1"))
			if err != nil {
				t.Fatal(err)
			}
			change(m, "vda1", int64(binary.LittleEndian.Uint16(boot[14:]))*512+3, strings.Repeat("\x03\x30\x00", 400))
		}, "cannot"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m := machine(t, esp.Options{ESPSize: 8 << 20, FATType: 12})
			tt.spoil(m)
			_, dir, archive := record(t, capture.Options{Root: m.Dir})
			if want, got := look(t, m.Dir), look(t, dir); got != want || !strings.Contains(want, tt.want) {
				t.Errorf("captured:\n%s\nthe machine:\n%s\nwant in it: %s", got, want, tt.want)
			}
			if bytes.Contains(archive, []byte(secret)) {
				t.Error("a secret is in the archive")
			}
		})
	}
}

func TestUnreadable(t *testing.T) {
	if os.Getuid() == 0 {
		// Root reads everything; a loop of links nobody does.
		m := machine(t, esp.Options{ESPSize: 8 << 20})
		for _, name := range []string{"dev/vda", "dev/vda1"} {
			if err := errors.Join(os.Remove(m.Path(name)), os.Symlink(filepath.Base(name), m.Path(name))); err != nil {
				t.Fatal(err)
			}
		}
		if lines, _, _ := record(t, capture.Options{Root: m.Dir}); !strings.Contains(lines, "unread: /dev/vda: ") || !strings.Contains(lines, "unread: /dev/vda1: ") {
			t.Error(lines)
		}
		return
	}
	m := machine(t, esp.Options{ESPSize: 8 << 20})
	if err := os.Chmod(m.Path("dev/vda"), 0); err != nil {
		t.Fatal(err)
	}
	if lines, _, _ := record(t, capture.Options{Root: m.Dir}); !strings.Contains(lines, "unread: /dev/vda: permission denied: its partition table is not in the capture\n") {
		t.Error(lines)
	}
}

func TestErrors(t *testing.T) {
	if _, err := capture.Record(&bytes.Buffer{}, capture.Options{Root: t.TempDir()}); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no machine: %v", err)
	}
	if _, _, err := capture.Open(context.Background(), filepath.Join(t.TempDir(), "nothing")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no archive: %v", err)
	}
	name := filepath.Join(t.TempDir(), "text")
	if err := os.WriteFile(name, []byte("text"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, _, err := capture.Open(context.Background(), name); err == nil || !strings.Contains(err.Error(), "cannot unpack the machine") {
		t.Errorf("not an archive: %v", err)
	}
	if dir, _, err := capture.Open(context.Background(), filepath.Dir(name)); err != nil || dir != filepath.Dir(name) {
		t.Errorf("a directory: %q, %v", dir, err)
	}
}
