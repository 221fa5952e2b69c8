// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package stage1

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/initddi/initddi/internal/cmdline"
	"github.com/initddi/initddi/internal/drivers"
	"github.com/initddi/initddi/internal/linux/module"
	"github.com/initddi/initddi/internal/linux/mount"
	"github.com/initddi/initddi/internal/linux/netlink"
	"github.com/initddi/initddi/internal/linux/process"
	"github.com/initddi/initddi/internal/modtable"
	"github.com/initddi/initddi/internal/report"
	"github.com/initddi/initddi/internal/uevent"
)

// settleTime is how long no device may have appeared before "the only one" is believed.
const settleTime = 500 * time.Millisecond

// devices follows what the kernel says about devices and loads their drivers.
type devices struct {
	loader  *drivers.Loader
	table   *modtable.Table
	world   *World
	log     *report.Log
	socket  *netlink.Socket
	events  chan []byte
	modules *os.Root
	cpu     string // the processor's modalias
	params  []cmdline.Param
	seen    int
	started int

	mu    sync.Mutex
	order []string // modules in the order in which they were loaded
}

// newDevices makes what loads modules; it follows no events yet.
func newDevices(w *World, table *modtable.Table, log *report.Log) *devices {
	d := &devices{table: table, world: w, log: log, events: make(chan []byte, 64), params: readParameters(w.Proc)}
	if dir, err := os.OpenRoot("/lib/modules/" + table.Release); err == nil {
		d.modules = dir
	}
	if b, err := w.Sys.ReadFile("devices/system/cpu/modalias"); err == nil {
		d.cpu = strings.TrimSpace(string(b))
	}
	d.loader = drivers.New(table, d.cpu, d.load, d.loadedOne)
	return d
}

// startDevices subscribes to uevents, then loads what every boot needs and what the devices that are there already want.
func startDevices(ctx context.Context, w *World, table *modtable.Table, log *report.Log) (*devices, error) {
	d := newDevices(w, table, log)
	var err error
	if d.socket, err = netlink.Open(); err != nil {
		return nil, err
	}
	go func() {
		err := process.Guarded(func() error { return d.socket.Run(ctx, d.events) })
		if err != nil && !errors.Is(err, context.Canceled) {
			log.Err("%v: devices that appear from now on are not seen", err)
		}
	}()
	// The processor's own SHA-256 before everything else: with it the kernel hashes every other module for its signature, and
	// dm-verity keeps the one that it finds. Devices are looked for meanwhile.
	hashing := d.loader.StartAlgorithm("sha256")
	var aliases []string
	// With nothing to load, nothing is looked for.
	if len(table.Aliases) > 0 {
		aliases = drivers.Modaliases(w.Sys)
	}
	hashing()
	// Disks take longest to appear, so their drivers go first.
	for _, alias := range aliases {
		d.seen++
		if alias != d.cpu {
			d.offer(alias)
		}
	}
	_, noEFI := w.Sys.Stat("firmware/efi")
	for _, f := range stackFeatures {
		if f == "efivarfs" && noEFI != nil {
			continue
		}
		if err := d.loader.StartFeature(f); err != nil && !errors.Is(err, modtable.ErrUnknown) {
			log.Warn("%v", err)
		}
	}
	return d, nil
}

// stackFeatures are what every boot needs between the disk and the next init.
var stackFeatures = [...]string{"efivarfs", "loop", "dm", "verity", "erofs"}

func (d *devices) offer(modalias string) {
	if isTPM(modalias) {
		return // the measurer loads that when it needs it
	}
	if d.loader.Offer(modalias) {
		d.started++
	}
}

func (d *devices) load(m modtable.Module) error {
	if d.modules == nil {
		return fmt.Errorf("cannot load module %s: no directory /lib/modules/%s: %w", m.Name, d.table.Release, os.ErrNotExist)
	}
	return module.LoadFrom(d.modules, m.File, moduleParameters(d.params, m.Name))
}

func (d *devices) loadedOne(m modtable.Module, err error) {
	if err != nil {
		d.log.Warn("%v", err)
		return
	}
	d.log.Debug("loaded module %s", m.Name)
	d.mu.Lock()
	defer d.mu.Unlock()
	d.order = append(d.order, m.Name)
}

func (d *devices) loaded() []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Clone(d.order)
}

// feature waits for what a feature needs. A feature that the table does not know is taken for built into the kernel: whoever
// uses it will say so if it is not.
func (d *devices) feature(names ...string) error {
	for _, name := range names {
		if err := d.loader.WaitFeature(name); err != nil && !errors.Is(err, modtable.ErrUnknown) {
			return err
		}
	}
	return nil
}

// needStack waits for loop and dm-verity, with the processor's own SHA-256: dm-verity keeps the one that it finds.
func (d *devices) needStack() error { return d.feature("loop", "dm", "verity") }

func (d *devices) needFileSystem(fstype string) error { return d.feature(fstype) }

const efivars = "/sys/firmware/efi/efivars"

// mountEFIVars mounts efivarfs where systemd will look for it.
func (d *devices) mountEFIVars() error {
	if err := d.feature("efivarfs"); err != nil {
		return err
	}
	if is, err := mount.IsMountPoint(efivars); err == nil && is {
		return nil
	}
	m, err := mount.New(mount.Request{Type: "efivarfs", Source: "efivarfs", Attr: mount.NoSuid | mount.NoDev | mount.NoExec})
	if err != nil {
		return err
	}
	defer m.Close()
	return m.Attach(efivars)
}

// event takes one message of the kernel. It reports whether a block device appeared or changed, and which disk must be read again.
func (d *devices) event(msg []byte) (block bool, changed string) {
	if msg == nil {
		// Events were lost: look at everything.
		for _, alias := range drivers.Modaliases(d.world.Sys) {
			d.offer(alias)
		}
		return true, ""
	}
	e, err := uevent.Parse(msg)
	if err != nil {
		d.log.Debug("%v", err)
		return false, ""
	}
	if e.Modalias != "" && e.Action == "add" {
		d.seen++
		d.offer(e.Modalias)
	}
	if e.Subsystem != "block" {
		return false, ""
	}
	if e.DevType == "disk" && e.Action != "add" {
		changed = e.DevName
	}
	return true, changed
}

func (d *devices) close() {
	if d.socket != nil {
		d.socket.Close()
	}
	if d.modules != nil {
		d.modules.Close()
	}
}

// wait waits for something to happen that can change what resolve says.
func (b *boot) wait(missing string, deadline time.Time) error {
	d := b.devices
	b.log.Debug("waiting for %s", missing)
	settle := time.NewTimer(settleTime)
	defer settle.Stop()
	limit := time.NewTimer(time.Until(deadline))
	defer limit.Stop()
	for {
		select {
		case msg := <-d.events:
			b.facts.Settled = false
			settle.Reset(settleTime)
			block, changed := d.event(msg)
			if changed != "" {
				b.machine.Forget(changed)
			}
			if block {
				b.rescan()
				return nil
			}
		case <-d.loader.Idle():
			settle.Reset(settleTime)
		case <-settle.C:
			if !d.loader.Busy() && !b.facts.Settled {
				b.facts.Settled = true
				return nil
			}
		case <-limit.C:
			return b.timeout(missing)
		}
	}
}

// timeout gathers what a person needs to see why a disk did not appear.
func (b *boot) timeout(missing string) error {
	e := &TimeoutError{Missing: missing, After: b.plan.Timeout, Partitions: b.facts.Partitions, Disks: b.machine.DiskErrors()}
	for _, dev := range drivers.Devices(b.world.Sys) {
		if dev.Driver == "" {
			e.Undriven = append(e.Undriven, dev.Modalias)
		}
	}
	for _, c := range b.devices.table.Classes {
		e.Classes = append(e.Classes, c.Name)
	}
	return e
}
