// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

// Package discover finds out what exists: firmware variables, partitions, files on the ESP, and what is in an image.
//
// It reports facts and has no opinion; package resolve has. /sys and /dev come as [os.Root], so a captured machine, a
// directory of files, works like a real one. It is not safe for concurrent use.
package discover

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/initddi/initddi/internal/efivar"
	"github.com/initddi/initddi/internal/gpt"
	"github.com/initddi/initddi/internal/guid"
	"github.com/initddi/initddi/internal/resolve"
)

// MultipathNVMe is where below /sys the disks are to which several NVMe controllers may lead. Like devices that are made of others
// they hang on none, but they are disks.
const MultipathNVMe = "devices/virtual/nvme-subsystem/"

// IsVirtual reports whether a device, by its path in sysfs or a link to that, is made of others, as a loop device is.
func IsVirtual(sysPath string) bool {
	return strings.Contains(sysPath, "/virtual/") && !strings.Contains(sysPath, MultipathNVMe)
}

// sysSector is the unit of the sizes in sysfs, whatever the disk's sectors have.
const sysSector = 512

// Machine looks at one machine.
type Machine struct {
	Sys, Dev *os.Root
	// Patience and Timeout are how long disks may take to answer that the boot can, and cannot, do without; 0 stands for the constants
	// of these names.
	Patience, Timeout time.Duration

	disks map[string]*disk
	asked map[string]*question // what was asked last beside partition tables, by node
}

// disk is what was read, or is being read, from a disk that has not changed since. The fields are the answer to the question.
type disk struct {
	*question
	sectorSize int64
	size       int64 // in bytes
	table      *gpt.Table
	stale      bool // it has changed since it was asked
}

// Firmware reads what the boot loader left. Without efivarfs below sys/firmware/efi/efivars the answer is empty; a variable
// that is there but makes no sense is an error, and the answer holds what did.
func (m *Machine) Firmware() (resolve.Firmware, error) {
	var f resolve.Firmware
	if _, err := m.Sys.Stat("firmware/efi"); err != nil {
		return f, nil
	}
	f.EFI = true
	var errs []error
	for _, name := range []string{"StubDevicePartUUID", "LoaderDevicePartUUID"} {
		b, err := m.readVariable(name)
		if err != nil || b == nil {
			errs = append(errs, err)
			continue
		}
		id, err := efivar.PartUUID(b)
		if err != nil {
			errs = append(errs, fmt.Errorf("cannot use EFI variable %s: %w", name, err))
			continue
		}
		f.BootPartition, f.Variable = id, name
		break
	}
	for _, name := range []string{"StubImageIdentifier", "LoaderImageIdentifier"} {
		b, err := m.readVariable(name)
		if err != nil || b == nil || efivar.IsEmpty(b) {
			errs = append(errs, err)
			continue
		}
		p, err := efivar.Path(b)
		if err != nil {
			errs = append(errs, fmt.Errorf("cannot use EFI variable %s: %w", name, err))
			continue
		}
		f.UKI = path.Clean("/" + p)
		break
	}
	if b, err := m.readVariableOf("SecureBoot", efivar.GlobalVendor()); err == nil && b != nil {
		if on, err := efivar.Bool(b); err == nil {
			f.SecureBoot = &on
		}
	}
	return f, errors.Join(errs...)
}

// maxVariable bounds an EFI variable; the ones that are read hold a GUID or a path.
const maxVariable = 16 << 10

// readVariable returns a variable of the Boot Loader Interface, nil if it does not exist.
func (m *Machine) readVariable(name string) ([]byte, error) {
	return m.readVariableOf(name, efivar.LoaderVendor())
}

func (m *Machine) readVariableOf(name string, vendor guid.GUID) ([]byte, error) {
	file, err := m.Sys.Open("firmware/efi/efivars/" + efivar.FileName(name, vendor))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("cannot read EFI variable %s: %w", name, err)
	}
	defer file.Close()
	b, err := io.ReadAll(io.LimitReader(file, maxVariable))
	if err != nil {
		return nil, fmt.Errorf("cannot read EFI variable %s: %w", name, err)
	}
	return b, nil
}

// Forget drops what is known of a disk, after the kernel said that it changed.
func (m *Machine) Forget(diskNode string) {
	if d := m.disks[diskNode]; d != nil {
		d.stale = true
	}
}

// ForgetAll drops what is known of every disk, after it was missed what the kernel said.
func (m *Machine) ForgetAll() {
	for _, d := range m.disks {
		d.stale = true
	}
}

// ErrNotReady says that a device cannot be opened yet: the kernel shows a device in sysfs before its node is made, and a disk before it
// has spun up. It says so as well of one that is gone, or will never work; only waiting tells the difference.
var ErrNotReady = errors.New("not ready")

// open opens a device. The error wraps [ErrNotReady] where opening it again later may work.
func (m *Machine) open(node string) (*os.File, error) {
	f, err := m.Dev.Open(node)
	for _, later := range []error{fs.ErrNotExist, syscall.ENXIO, syscall.EIO} {
		if errors.Is(err, later) {
			err = fmt.Errorf("%w: %w", ErrNotReady, err)
			break
		}
	}
	if err != nil {
		return nil, fmt.Errorf("cannot open /dev/%s: %w", node, err)
	}
	return f, nil
}

// Unready reports whether a disk was not ready when the partitions were looked at. It is asked again by the next [Machine.Partitions].
func (m *Machine) Unready() bool {
	for _, d := range m.disks {
		if errors.Is(d.state(), ErrNotReady) {
			return true
		}
	}
	return false
}

// Partitions returns the partitions of all disks that have a GPT, by node name. The error joins what could not be read; the
// partitions of the other disks are returned with it.
func (m *Machine) Partitions() ([]resolve.Partition, error) {
	names, err := m.blockDevices()
	if err != nil {
		return nil, err
	}
	maps.DeleteFunc(m.disks, func(_ string, d *disk) bool {
		return d.answered() && (d.stale || errors.Is(d.err, ErrNotReady))
	})
	var blocks []*block
	var errs []error
	for _, name := range names {
		b, err := m.block(name)
		if err != nil {
			errs = append(errs, err)
		}
		if b != nil {
			blocks = append(blocks, b)
			m.ask(b.disk)
		}
	}
	// All disks have been asked by now: one that does not answer keeps nobody else waiting for longer.
	var out []resolve.Partition
	for _, b := range blocks {
		p, err := m.partition(b)
		if err != nil {
			errs = append(errs, err)
		}
		if p != nil {
			out = append(out, *p)
		}
	}
	return out, errors.Join(errs...)
}

// blockDevices returns the names of all block devices, sorted.
func (m *Machine) blockDevices() ([]string, error) {
	dir, err := m.Sys.Open("class/block")
	if err != nil {
		return nil, fmt.Errorf("cannot list block devices: %w", err)
	}
	defer dir.Close()
	names, err := dir.Readdirnames(-1)
	if err != nil {
		return nil, fmt.Errorf("cannot list block devices: %w", err)
	}
	slices.Sort(names)
	return names, nil
}

// block is a partition as the kernel shows it.
type block struct {
	node, disk          string
	where               string // the disk's directory below /sys
	number, start, size int64  // start and size in sectors of sysfs
}

// block returns the partition that the block device is, nil if it is none.
func (m *Machine) block(node string) (*block, error) {
	base := "class/block/" + node
	link, err := m.Sys.Readlink(base)
	if err != nil || IsVirtual(link) {
		return nil, nil
	}
	if _, err := m.Sys.Stat(base + "/partition"); err != nil {
		return nil, nil
	}
	number, err1 := m.number(base + "/partition")
	start, err2 := m.number(base + "/start")
	size, err3 := m.number(base + "/size")
	if err := errors.Join(err1, err2, err3); err != nil {
		// A device that disappears while it is looked at is not there.
		if errors.Is(err, fs.ErrNotExist) {
			return nil, nil
		}
		return nil, err
	}
	where := path.Dir(link)
	return &block{node, path.Base(where), where[max(0, strings.Index(where, "devices/")):], number, start, size}, nil
}

// partition returns what the disk's own table says of the partition, nil if the disk has none or does not say.
func (m *Machine) partition(b *block) (*resolve.Partition, error) {
	d := m.disks[b.disk]
	if d.wait(m.patience()) != nil {
		return nil, nil
	}
	for _, q := range d.table.Partitions {
		if int64(q.Number) != b.number {
			continue
		}
		// Without its node it cannot be read yet; the event that announces it comes when the node is there.
		if _, err := m.Dev.Stat(b.node); errors.Is(err, fs.ErrNotExist) {
			return nil, nil
		}
		if q.Offset(d.sectorSize) != b.start*sysSector || q.Size(d.sectorSize) != b.size*sysSector {
			return nil, fmt.Errorf("cannot use /dev/%s: the kernel has %d bytes at %d, the partition table says %d at %d", b.node,
				b.size*sysSector, b.start*sysSector, q.Size(d.sectorSize), q.Offset(d.sectorSize))
		}
		return &resolve.Partition{
			Node: b.node, Disk: b.disk, Number: q.Number, Type: q.Type, UUID: q.UUID,
			Label: q.Name, Size: b.size * sysSector, SectorSize: d.sectorSize,
			Start: b.start * sysSector, DiskSize: d.size, WWID: WWID(m.Sys, "class/block/"+b.disk), Where: b.where,
		}, nil
	}
	return nil, nil
}

// DiskErrors returns, by node name, why disks without a usable GPT have none.
func (m *Machine) DiskErrors() map[string]error {
	out := map[string]error{}
	for name, d := range m.disks {
		if err := d.state(); err != nil {
			out[name] = err
		}
	}
	return out
}

// Bare returns, by node name, what there is to say of disks on which the kernel found no partition; it reads them.
func (m *Machine) Bare() map[string]error {
	out := map[string]error{}
	names, err := m.blockDevices()
	if err != nil {
		return out
	}
	asked := map[string]*question{}
	for _, name := range names {
		base := "class/block/" + name
		link, err := m.Sys.Readlink(base)
		if err != nil || IsVirtual(link) || m.disks[name] != nil {
			continue
		}
		if _, err := m.Sys.Stat(base + "/partition"); err == nil {
			continue
		}
		if size, err := m.number(base + "/size"); err != nil || size == 0 {
			continue // a drive without a medium
		}
		// One that owes an answer is not asked again.
		q := m.asked[name]
		if q == nil || q.answered() {
			q = ask(name, func() error { return m.readBare(name) })
			m.remember(q)
		}
		asked[name] = q
	}
	for name, q := range asked {
		out[name] = q.wait(m.patience())
	}
	return out
}

// ErrNoPartitions says that the kernel found no partition on a disk.
var ErrNoPartitions = errors.New("the kernel found no partitions")

// readBare returns why there may be no partition on a disk.
func (m *Machine) readBare(node string) error {
	sectorSize, err := m.number("class/block/" + node + "/queue/logical_block_size")
	if err != nil {
		return err
	}
	size, err := m.number("class/block/" + node + "/size")
	if err != nil {
		return err
	}
	f, err := m.open(node)
	if err != nil {
		return err
	}
	defer f.Close()
	t, err := gpt.Read(f, size*sysSector, 0)
	switch {
	case err != nil:
		return fmt.Errorf("%w: %w", ErrNoPartitions, err)
	case t.SectorSize != sectorSize:
		return fmt.Errorf("%w; there is a partition table for sectors of %d bytes, the disk's have %d", ErrNoPartitions, t.SectorSize, sectorSize)
	}
	return ErrNoPartitions
}

// ask asks a disk for its partition table, unless that was done.
func (m *Machine) ask(node string) {
	if m.disks[node] != nil {
		return
	}
	d := &disk{}
	d.question = ask(node, func() (err error) {
		d.table, d.sectorSize, d.size, err = m.readTable(node)
		return err
	})
	if m.disks == nil {
		m.disks = map[string]*disk{}
	}
	m.disks[node] = d
}

func (m *Machine) readTable(node string) (table *gpt.Table, sectorSize, size int64, err error) {
	sectorSize, err = m.number("class/block/" + node + "/queue/logical_block_size")
	if err != nil {
		return nil, 0, 0, err
	}
	size, err = m.number("class/block/" + node + "/size")
	if err != nil {
		return nil, 0, 0, err
	}
	f, err := m.open(node)
	if err != nil {
		return nil, 0, 0, err
	}
	defer f.Close()
	size *= sysSector
	table, err = gpt.Read(f, size, sectorSize)
	if err != nil {
		return nil, 0, 0, fmt.Errorf("cannot read the partition table of /dev/%s: %w", node, err)
	}
	return table, sectorSize, size, nil
}

// maxWWID bounds a disk's name; the kernel makes none of more than 255 bytes out of VPD page 0x83, nor out of what an NVMe namespace says.
const maxWWID = 255

// WWID returns the name that a disk, by its directory below sys, says it has in all the world: a SCSI disk's is its device's (drivers/scsi/scsi_lib.c, scsi_vpd_lun_id),
// an NVMe namespace's its own (drivers/nvme/host/sysfs.c, wwid_show). It is empty if the disk has none, or one that is no name.
func WWID(sys *os.Root, dir string) string {
	for _, name := range [...]string{"/wwid", "/device/wwid"} {
		b, err := sys.ReadFile(dir + name)
		if err != nil {
			continue
		}
		s := strings.TrimRight(string(b), " \n")
		if len(s) > maxWWID || strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r > '~' }) {
			return ""
		}
		return s
	}
	return ""
}

// number reads a sysfs attribute that holds a decimal number.
func (m *Machine) number(name string) (int64, error) {
	b, err := m.Sys.ReadFile(name)
	if err != nil {
		return 0, fmt.Errorf("cannot read /sys/%s: %w", name, err)
	}
	n, err := strconv.ParseInt(strings.TrimSpace(string(b)), 10, 64)
	if err != nil || n < 0 || n > 1<<53 {
		return 0, fmt.Errorf("cannot read /sys/%s: %q is not a number: %w", name, b, fs.ErrInvalid)
	}
	return n, nil
}
