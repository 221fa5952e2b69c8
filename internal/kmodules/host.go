// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package kmodules

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path"
	"slices"
	"strings"

	"github.com/initddi/initddi/internal/discover"
	"github.com/initddi/initddi/internal/drivers"
	"github.com/initddi/initddi/internal/modtable"
	"github.com/initddi/initddi/internal/plan"
	"github.com/initddi/initddi/internal/resolve"
)

// ErrNoBootDisk says that it cannot be told which disk a machine boots from, or how to get at it.
var ErrNoBootDisk = errors.New("cannot tell which disk the machine boots from")

// Host is the one machine that a stage 1 is for.
type Host struct {
	// Node is the boot partition, or the disk where that is all that was asked for; a name below /dev.
	Node string `json:"node"`
	// Way is what lies between the disk and the root of the device tree, the disk's side first: each device that asks for a
	// driver, or has one. Behind them are those that they need, as the kernel says: clocks, regulators, interrupt controllers.
	Way []Device `json:"way"`
	// CPU is the processor's modalias.
	CPU string `json:"cpu"`
	// Modaliases are those of every device on every bus.
	Modaliases []string `json:"-"`
	// EFI says that the machine was started by UEFI firmware.
	EFI bool `json:"efi"`
}

// Device is a device on the way to the disk.
type Device struct {
	Path     string `json:"path"` // below /sys
	Modalias string `json:"modalias,omitempty"`
	Driver   string `json:"driver,omitempty"` // as its bus calls it; empty if it has none
	Module   string `json:"module,omitempty"` // which has the driver, as in /proc/modules; empty if that is not known
	// Supplier says that the disk does not hang on it, but something that the disk hangs on does not work without it.
	Supplier bool `json:"supplier,omitempty"`
}

// String returns the device's name with its driver.
func (d Device) String() string {
	if d.Driver == "" {
		return path.Base(d.Path)
	}
	return path.Base(d.Path) + " (" + d.Driver + ")"
}

// FindHost looks at a machine, which is this one or a captured one: sys and dev are its /sys and /dev. The disk is the one that stage
// 1 would take: that of the boot partition, as EFI variables or the only ESP say, or the one that device names as ddi.device= does.
// Only a device's name, "/dev/NODE", can be found without reading disks.
//
// The error wraps [ErrNoBootDisk], or says what could not be read.
func FindHost(sys, dev *os.Root, device string) (*Host, error) {
	h := &Host{}
	var err error
	if node, is := strings.CutPrefix(device, "/dev/"); is {
		h.Node = node
	} else if h.Node, err = bootPartition(&discover.Machine{Sys: sys, Dev: dev, Patience: discover.LookPatience}, device); err != nil {
		return nil, err
	}
	if h.Way, err = way(sys, h.Node); err != nil {
		return nil, err
	}
	if b, err := sys.ReadFile("devices/system/cpu/modalias"); err == nil {
		h.CPU = strings.TrimSpace(string(b))
	}
	h.Modaliases = drivers.Modaliases(sys)
	_, err = sys.Stat("firmware/efi")
	h.EFI = err == nil
	return h, nil
}

// bootPartition returns the partition that stage 1 would take.
func bootPartition(m *discover.Machine, device string) (string, error) {
	in := plan.Input{}
	if device != "" {
		in.CommandLine = "ddi.device=" + device
	}
	p, err := plan.New(in)
	if err != nil {
		return "", err
	}
	f := resolve.Facts{Settled: true}
	var trouble error
	f.Firmware, err = m.Firmware()
	trouble = errors.Join(trouble, err)
	f.Partitions, err = m.Partitions()
	trouble = errors.Join(trouble, err)
	for _, err := range m.DiskErrors() {
		if errors.Is(err, fs.ErrPermission) {
			trouble = errors.Join(trouble, err)
		}
	}
	for {
		part, step := resolve.BootPartition(p, &f)
		switch {
		case part != nil:
			return part.Node, nil
		case step.Do != nil: // a volume label is looked for
			i := slices.IndexFunc(f.Partitions, func(q resolve.Partition) bool { return q.Node == step.Do.Partition })
			f.Partitions[i].Listing = m.List(f.Partitions[i], nil)
		case step.Refused != nil:
			return "", fmt.Errorf("%w: %w", ErrNoBootDisk, &step.Refused[0])
		default:
			bare := m.Bare()
			for _, node := range slices.Sorted(maps.Keys(bare)) {
				trouble = errors.Join(trouble, fmt.Errorf("/dev/%s: %w", node, bare[node]))
			}
			if trouble != nil {
				return "", fmt.Errorf("%w: cannot find %s, and: %w", ErrNoBootDisk, step.Missing, trouble)
			}
			return "", fmt.Errorf("%w: cannot find %s", ErrNoBootDisk, step.Missing)
		}
	}
}

// way returns the devices from a block device to the root of the device tree.
func way(sys *os.Root, node string) ([]Device, error) {
	link, err := sys.Readlink("class/block/" + node)
	if err != nil {
		return nil, fmt.Errorf("%w: there is no /dev/%s: %w", ErrNoBootDisk, node, err)
	}
	dir := path.Join("class/block", link)
	ends := []string{dir}
	if virtual, is := strings.CutPrefix(dir, discover.MultipathNVMe); is {
		// A namespace that several controllers may lead to hangs on none of them. Each of them is a way.
		ends = nil
		subsystem := path.Join(discover.MultipathNVMe, strings.Split(virtual, "/")[0])
		for _, name := range drivers.List(sys, subsystem) {
			if controller, err := sys.Readlink(path.Join(subsystem, name)); err == nil && strings.HasPrefix(name, "nvme") {
				ends = append(ends, path.Join(subsystem, controller))
			}
		}
	}
	top, err := sys.Open(".")
	if err != nil {
		return nil, fmt.Errorf("cannot look at devices: %w", err)
	}
	defer top.Close()
	var out []Device
	seen := map[string]bool{}
	for supplier := false; len(ends) > 0; supplier = true {
		var next []string
		for _, end := range ends {
			for p := end; strings.HasPrefix(p, "devices/") && !seen[p]; p = path.Dir(p) {
				seen[p] = true
				if d := deviceAt(sys, top, p); d.Modalias != "" || d.Driver != "" {
					d.Supplier = supplier
					out = append(out, d)
				}
				next = append(next, suppliers(sys, p)...)
			}
		}
		ends = next
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("%w: /dev/%s hangs on no bus, it is made of other devices (%s): name the disk below it", ErrNoBootDisk, node, dir)
	}
	return out, nil
}

// suppliers returns the devices without which one is not probed (Documentation/driver-api/device_link.rst): firmware says so, or a driver.
func suppliers(sys *os.Root, dir string) []string {
	var out []string
	for _, name := range drivers.List(sys, dir) {
		if !strings.HasPrefix(name, "supplier:") {
			continue
		}
		target, err := sys.Readlink(dir + "/" + name)
		if err != nil {
			continue
		}
		link := path.Join(dir, target)
		// A proxy for what is not there yet; nobody waits for its end.
		if b, err := sys.ReadFile(link + "/sync_state_only"); err == nil && strings.TrimSpace(string(b)) == "1" {
			continue
		}
		if target, err = sys.Readlink(link + "/supplier"); err == nil {
			out = append(out, path.Join(link, target))
		}
	}
	return out
}

func deviceAt(sys *os.Root, top *os.File, p string) Device {
	d := Device{Path: p, Modalias: drivers.Modalias(top, p)}
	if link, err := sys.Readlink(p + "/driver"); err == nil {
		d.Driver = path.Base(link)
	}
	if link, err := sys.Readlink(p + "/driver/module"); err == nil {
		d.Module = path.Base(link)
	}
	return d
}

// asks reports whether the machine asks for a module with one of these aliases: a device on the way to its disk, its processor, or,
// if everywhere is set, any device at all.
func (h *Host) asks(aliases []string, everywhere bool) bool {
	have := []string{h.CPU}
	for _, d := range h.Way {
		have = append(have, d.Modalias)
	}
	if everywhere {
		have = append(have, h.Modaliases...)
	}
	return anyMatch(aliases, have)
}

// anyMatch reports whether one of the aliases is a device's and matches one of these modaliases.
func anyMatch(aliases, have []string) bool {
	return slices.ContainsFunc(aliases, func(pattern string) bool {
		return isModalias(pattern) && slices.ContainsFunc(have, func(alias string) bool { return modtable.MatchAlias(pattern, alias) })
	})
}
