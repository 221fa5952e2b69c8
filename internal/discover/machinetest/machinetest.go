// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

// Package machinetest makes captured machines for tests: a directory with sys, proc, dev and etc, as package discover and
// "storageinit --dry-run --root" take it, with files for block devices.
package machinetest

import (
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/initddi/initddi/internal/efivar"
	"github.com/initddi/initddi/internal/gpt"
	"github.com/initddi/initddi/internal/guid"
)

// Machine is a captured machine.
type Machine struct {
	Dir   string
	t     testing.TB
	disks int
}

// New makes a machine without disks and without EFI.
func New(t testing.TB) *Machine {
	t.Helper()
	m := &Machine{Dir: t.TempDir(), t: t}
	for _, dir := range []string{"sys/class/block", "proc", "dev", "etc"} {
		m.must(os.MkdirAll(m.Path(dir), 0o755))
	}
	m.Write("proc/cmdline", "\n")
	return m
}

// Path returns the path of a file of the machine.
func (m *Machine) Path(name string) string { return filepath.Join(m.Dir, name) }

// Write writes a file of the machine.
func (m *Machine) Write(name, text string) {
	m.t.Helper()
	m.must(os.MkdirAll(filepath.Dir(m.Path(name)), 0o755))
	m.must(os.WriteFile(m.Path(name), []byte(text), 0o644))
}

// Root opens a directory of the machine.
func (m *Machine) Root(dir string) *os.Root {
	m.t.Helper()
	r, err := os.OpenRoot(m.Path(dir))
	m.must(err)
	m.t.Cleanup(func() { r.Close() })
	return r
}

// Variable sets an EFI variable of the boot loader interface; data is what efivar encodes.
func (m *Machine) Variable(name string, data []byte) {
	m.t.Helper()
	m.VariableOf(name, efivar.LoaderVendor(), data)
}

// VariableOf sets an EFI variable.
func (m *Machine) VariableOf(name string, vendor guid.GUID, data []byte) {
	m.t.Helper()
	m.Write("sys/firmware/efi/efivars/"+efivar.FileName(name, vendor), string(efivar.Encode(efivar.BootServiceAccess, data)))
}

// Firmware sets the variables that say where the UKI was loaded from.
func (m *Machine) Firmware(part guid.GUID, uki string) {
	m.t.Helper()
	m.Variable("StubDevicePartUUID", efivar.EncodeString(strings.ToUpper(part.String())))
	m.Variable("StubImageIdentifier", efivar.EncodeString(strings.ReplaceAll(uki, "/", `\`)))
}

// Disk adds a disk that has the bytes of the image, and a partition for each that its table has; table may be nil. It returns
// where the disk is below sys, for whoever wants to change something.
func (m *Machine) Disk(node, image string, sectorSize int64, table *gpt.Table) string {
	m.t.Helper()
	m.disks++
	return m.diskAt("devices/pci0000:00/0000:00:0"+strconv.Itoa(m.disks)+".0/block/"+node, node, image, sectorSize, table)
}

// SCSI adds a disk as Disk does, with sectors of 512 bytes, as the device of a SCSI host that is at a place below sys; wwid is the name that
// the device has.
func (m *Machine) SCSI(host, node, wwid, image string, table *gpt.Table) {
	m.t.Helper()
	device := host + "/target0:0:0/0:0:0:0"
	base := m.diskAt(device+"/block/"+node, node, image, 512, table)
	m.Write("sys/"+device+"/wwid", wwid+"\n")
	m.link("../../../0:0:0:0", "sys/"+base+"/device")
}

// diskAt adds a disk that is at a place below sys, which it returns.
func (m *Machine) diskAt(base, node, image string, sectorSize int64, table *gpt.Table) string {
	m.t.Helper()
	info, err := os.Stat(image)
	m.must(err)
	m.Write("sys/"+base+"/size", number(info.Size()/512))
	m.Write("sys/"+base+"/queue/logical_block_size", number(sectorSize))
	m.link("../../"+base, "sys/class/block/"+node)
	m.must(copySection(m.Path("dev/"+node), image, 0, info.Size()))
	if table == nil {
		return base
	}
	separator := ""
	if last := node[len(node)-1]; '0' <= last && last <= '9' {
		separator = "p"
	}
	for _, p := range table.Partitions {
		part := node + separator + strconv.Itoa(p.Number)
		dir := "sys/" + base + "/" + part
		m.Write(dir+"/partition", number(int64(p.Number)))
		m.Write(dir+"/start", number(p.Offset(table.SectorSize)/512))
		m.Write(dir+"/size", number(p.Size(table.SectorSize)/512))
		m.link("../../"+base+"/"+part, "sys/class/block/"+part)
		m.must(copySection(m.Path("dev/"+part), image, p.Offset(table.SectorSize), p.Size(table.SectorSize)))
	}
	return base
}

func number(n int64) string { return strconv.FormatInt(n, 10) + "\n" }

func (m *Machine) link(target, name string) {
	m.t.Helper()
	m.must(os.Symlink(target, m.Path(name)))
}

func copySection(to, from string, off, n int64) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.Create(to)
	if err != nil {
		return err
	}
	defer out.Close()
	if _, err := io.Copy(out, io.NewSectionReader(in, off, n)); err != nil {
		return err
	}
	return out.Close()
}

func (m *Machine) must(err error) {
	m.t.Helper()
	if err != nil {
		m.t.Fatal(err)
	}
}
