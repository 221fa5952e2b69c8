// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package vm

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"strings"

	"github.com/initddi/initddi/internal/program"
)

// Disk is a disk of the machine.
type Disk struct {
	Path string
	// Bus is one of [Buses]; default virtio.
	Bus string
	// Snapshot keeps writes away from the file.
	Snapshot bool
	// SectorSize is the logical block size in bytes; 0 is 512.
	SectorSize int
	// Late leaves the disk out of the machine until [Config.Plug].
	Late bool
	// ReadBurst is how many bytes are read from the disk as fast as ever; afterwards it is one a second, which is as good as none. 0 is no
	// limit. QEMU reads a sector itself before the machine starts.
	ReadBurst int64
	// Rate is how many bytes of the disk can be read in a second; 0 is no limit.
	Rate int64
	// WWN is the name that the disk says it has (NAA, VPD page 0x83), on a bus of SCSI or ATA; 0 is none. Two disks with one name and one
	// file are one disk over two paths.
	WWN uint64
}

// bus is how a disk is attached.
type bus struct {
	name string
	// controllers come once, before the first disk, if they are not part of the machine.
	controllers []string
	// device is the disk itself; %d or %02x stands for its number.
	device string
	// unordered disks are none that QEMU tells a firmware about.
	unordered bool
	// machine is the one that has the controller, empty if every one has it or can have it.
	machine string
	// soldered disks are none that every QEMU has to plug in: up to 10.0, it has eMMC on the boards of other architectures only.
	soldered bool
}

const xhci = "qemu-xhci,id=xhci"

func buses() []bus {
	return []bus{
		{name: "virtio", device: "virtio-blk-pci"},
		{name: "nvme", device: "nvme,serial=disk%d"},
		// The namespaces of one controller.
		{name: "nvme-ns", controllers: []string{"nvme,id=nvme,serial=nvme"}, device: "nvme-ns,bus=nvme"},
		{name: "sata", device: "ide-hd", machine: "q35"},
		{name: "ide", device: "ide-hd", machine: "pc"},
		{name: "usb", controllers: []string{xhci}, device: "usb-storage"},
		{name: "usb-hub", controllers: []string{xhci, "usb-hub,id=hub,bus=xhci.0,port=1"}, device: "usb-storage,bus=xhci.0,port=1.1"},
		{name: "uas", controllers: []string{xhci, "usb-uas,id=uas,bus=xhci.0"}, device: "scsi-hd,bus=uas.0"},
		{name: "scsi", controllers: []string{"virtio-scsi-pci,id=scsi"}, device: "scsi-hd,bus=scsi.0"},
		{name: "pvscsi", controllers: []string{"pvscsi,id=pvscsi"}, device: "scsi-hd,bus=pvscsi.0"},
		// Linux takes no SAS disk without a name.
		{name: "mpt", controllers: []string{"mptsas1068,id=mpt"}, device: "scsi-hd,bus=mpt.0,wwn=0x5000c500150000%02x"},
		{name: "lsi", controllers: []string{"lsi53c895a,id=lsi"}, device: "scsi-hd,bus=lsi.0"},
		{name: "megaraid", controllers: []string{"megasas,id=megaraid"}, device: "scsi-hd,bus=megaraid.0"},
		{name: "sd", controllers: []string{"sdhci-pci,id=sdhci"}, device: "sd-card", unordered: true},
		{name: "emmc", controllers: []string{"sdhci-pci,id=sdhci"}, device: "emmc", unordered: true, soldered: true},
	}
}

// Buses returns the names of all buses that a disk can be on.
func Buses() []string {
	var out []string
	for _, b := range buses() {
		out = append(out, b.name)
	}
	return out
}

func (d Disk) bus() (bus, error) {
	for _, b := range buses() {
		if b.name == cmp.Or(d.Bus, "virtio") {
			return b, nil
		}
	}
	return bus{}, fmt.Errorf("cannot attach %s to bus %q: only %s: %w", d.Path, d.Bus, strings.Join(Buses(), ", "), errors.ErrUnsupported)
}

// latePort is the slot for a disk that is plugged in later.
const latePort = "late"

// withDisks adds the arguments for the disks, each with its controllers if it is the first that needs them.
func (c Config) withDisks(ctx context.Context, args []string) ([]string, error) {
	there := map[string]bool{}
	once := func(device string) {
		if !there[device] {
			there[device] = true
			args = append(args, "-device", device)
		}
	}
	for i, d := range c.Disks {
		b, err := d.bus()
		if err != nil {
			return nil, err
		}
		machine := cmp.Or(c.Machine, "q35")
		switch {
		case b.machine != "" && b.machine != machine:
			return nil, fmt.Errorf("cannot attach %s to bus %q: machine %s has none, only %s: %w", d.Path, b.name, machine, b.machine, errors.ErrUnsupported)
		case b.soldered && !c.has(ctx, b.device):
			return nil, fmt.Errorf("cannot attach %s to bus %q: this QEMU has it only soldered to other machines: %w", d.Path, b.name, program.ErrMissing)
		case d.Late && b.name != "virtio":
			return nil, fmt.Errorf("cannot plug %s into bus %q later: only virtio: %w", d.Path, b.name, errors.ErrUnsupported)
		}
		args = append(args, "-drive", d.drive(i))
		for _, controller := range b.controllers {
			once(controller)
		}
		if d.Late {
			once("pcie-root-port,id=" + latePort + ",chassis=1")
			continue
		}
		device := b.device
		if strings.Contains(device, "%") {
			device = fmt.Sprintf(device, i)
		}
		device += fmt.Sprintf(",drive=disk%d", i)
		if d.SectorSize != 0 {
			device += fmt.Sprintf(",logical_block_size=%d,physical_block_size=%d", d.SectorSize, d.SectorSize)
		}
		if d.WWN != 0 {
			device += fmt.Sprintf(",wwn=%#x", d.WWN)
		}
		if !b.unordered {
			device += fmt.Sprintf(",bootindex=%d", i+1)
		}
		args = append(args, "-device", device)
	}
	return args, nil
}

// has reports whether QEMU can plug in a device of that kind.
func (c Config) has(ctx context.Context, device string) bool {
	out, err := exec.CommandContext(ctx, c.binary(), "-device", "help").Output()
	return err == nil && strings.Contains(string(out), `name "`+device+`"`)
}

// drive describes where the disk's bytes are. What the guest has the disk forget, it reads as zeros.
func (d Disk) drive(i int) string {
	drive := fmt.Sprintf("if=none,id=disk%d,format=raw,discard=unmap,file=%s", i, escape(d.Path))
	if d.Snapshot {
		drive += ",snapshot=on"
	}
	if d.ReadBurst > 0 {
		drive += fmt.Sprintf(",throttling.bps-read=1,throttling.bps-read-max=%d", d.ReadBurst)
	}
	if d.Rate > 0 {
		drive += fmt.Sprintf(",throttling.bps-read=%d", d.Rate)
	}
	return drive
}

// Plug attaches disk number i, from 0, which is one that is late, to the running machine.
func (c Config) Plug(m *Monitor, i int) error {
	_, err := m.Command("device_add", map[string]any{"driver": "virtio-blk-pci", "id": latePort + "-disk", "bus": latePort, "drive": fmt.Sprintf("disk%d", i)})
	return err
}

// Wake has disk number i, from 0, of the running machine answer as fast as it can.
func (c Config) Wake(m *Monitor, i int) error {
	_, err := m.Command("block_set_io_throttle", map[string]any{"device": fmt.Sprintf("disk%d", i), "bps": 0, "bps_rd": 0, "bps_wr": 0, "iops": 0, "iops_rd": 0, "iops_wr": 0})
	return err
}
