// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package stage1

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/initddi/initddi/internal/cmdline"
	"github.com/initddi/initddi/internal/discover"
	"github.com/initddi/initddi/internal/drivers"
	"github.com/initddi/initddi/internal/linux/module"
	"github.com/initddi/initddi/internal/linux/mount"
	"github.com/initddi/initddi/internal/linux/netlink"
	"github.com/initddi/initddi/internal/linux/process"
	"github.com/initddi/initddi/internal/modtable"
	"github.com/initddi/initddi/internal/plan"
	"github.com/initddi/initddi/internal/report"
	"github.com/initddi/initddi/internal/resolve"
	"github.com/initddi/initddi/internal/uevent"
)

// settleTime is how long nothing that a disk may hang on may have appeared before "the only one" is believed.
const settleTime = 500 * time.Millisecond

// usbDelay is how long usb-storage lets a disk rest before it looks at it (its parameter delay_use), without a word meanwhile.
const usbDelay = time.Second

// guessTime is the same where firmware was expected to name the boot partition, and did not (a boot loader without the Boot Loader Interface,
// efi=noruntime). The drivers were loaded without waiting for their devices then, and a controller may be silent for seconds before its
// first disk appears. It ends before the next source has its turn, for looking there begins it anew.
const guessTime = fallbackAfter - 100*time.Millisecond

// settleTime is [settleTime] or [guessTime], and longer by usbDelay on a machine with USB. Other parameters of usb-storage are believed up to a
// minute.
func (d *devices) settleTime() time.Duration {
	settleTime := settleTime
	if d.guessing {
		settleTime = guessTime
	}
	if len(drivers.List(d.world.Sys, "bus/usb/devices")) == 0 {
		return settleTime
	}
	delay := usbDelay
	if b, err := d.world.Sys.ReadFile("module/usb_storage/parameters/delay_use"); err == nil {
		// Seconds, and since Linux 6.12 also milliseconds with their unit.
		text, unit := strings.TrimSpace(string(b)), time.Second
		if ms, is := strings.CutSuffix(text, "ms"); is {
			text, unit = ms, time.Millisecond
		}
		if n, err := strconv.ParseUint(text, 10, 16); err == nil {
			delay = min(time.Duration(n)*unit, time.Minute)
		}
	}
	return settleTime + delay
}

// devices follows what the kernel says about devices and loads their drivers.
type devices struct {
	loader   *drivers.Loader
	table    *modtable.Table
	world    *World
	log      *report.Log
	socket   *netlink.Socket
	events   chan []byte
	modules  *os.Root
	cpu      string // the processor's modalias
	params   []cmdline.Param
	seen     int
	started  int
	named    bool                     // see isNamed
	guessing bool                     // the firmware was to name the boot partition, and does not
	turns    map[string]turn          // see stuck
	nudged   map[string]chan struct{} // see nudge: what is closed when the devices behind have answered
	network  bool                     // drivers of network cards are wanted
	noDisks  bool                     // those of disks are not

	mu     sync.Mutex
	over   bool                   // nothing is loaded any more, and what fails is nobody's concern
	order  []string               // modules in the order in which they were loaded
	failed []string               // why the others were not
	probe  func(devices []string) // has the kernel probe devices in turn, and may not come back
	// bare is discover.Machine.Bare, and comes back whatever the disks do.
	bare func() map[string]error
}

// newDevices makes what loads modules; it follows no events yet.
func newDevices(w *World, table *modtable.Table, log *report.Log) *devices {
	d := &devices{table: table, world: w, log: log, events: make(chan []byte, 64), params: drivers.ReadParameters(w.Proc)}
	if dir, err := os.OpenRoot("/lib/modules/" + table.Release); err == nil {
		d.modules = dir
	}
	if b, err := w.Sys.ReadFile("devices/system/cpu/modalias"); err == nil {
		d.cpu = strings.TrimSpace(string(b))
	}
	d.loader = drivers.New(table, d.cpu, d.load, d.loadedOne)
	d.bare = d.bareAside
	d.probe = func(devices []string) {
		if err := d.aside(append([]string{asideProbe}, devices...)...); err != nil {
			d.log.Debug("%v", err) // what has no driver is listed as such
		}
	}
	return d
}

// startDevices subscribes to uevents, then loads what every boot needs and what the devices that are there already want, as far as the
// plan's sources do.
func startDevices(ctx context.Context, w *World, p *plan.Plan, table *modtable.Table, log *report.Log) (*devices, error) {
	d := newDevices(w, table, log)
	d.named, d.loader.Limit = isNamed(w, p), p.Timeout
	d.noDisks = !slices.Contains(p.Sources, plan.SourceESP) && !slices.Contains(p.Sources, plan.SourcePmem)
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
	if !hashing(slowModule) {
		log.Warn("the processor's own SHA-256 is still being loaded after %s: the boot goes on meanwhile", slowModule)
	}
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
	switch {
	case isNetwork(modalias):
		if !d.network {
			return
		}
	case d.noDisks && (!d.network || onlyDisks(modalias)):
		return // what is neither may be a bus that a network card is on
	}
	if d.loader.Offer(modalias) {
		d.started++
	}
}

func (d *devices) load(m modtable.Module) error {
	if d.modules == nil {
		return fmt.Errorf("cannot load module %s: no directory /lib/modules/%s: %w", m.Name, d.table.Release, os.ErrNotExist)
	}
	switch {
	case d.inOrder(m.Name):
		if err := d.aside(asideLoad, "/lib/modules/"+d.table.Release+"/"+m.File, drivers.Parameters(d.params, m.Name)); err != nil {
			return fmt.Errorf("cannot load module %s: %w", m.Name, err)
		}
		return nil
	case d.waitsForDevices(m.Name):
		return module.LoadFrom(d.modules, m.File, drivers.Parameters(d.params, m.Name))
	}
	return drivers.Load(d.modules, m, d.params)
}

func (d *devices) loadedOne(m modtable.Module, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	switch {
	case d.over:
		return
	case err != nil:
		d.failed = append(d.failed, err.Error())
		d.log.Warn("%v", err)
		return
	}
	d.log.Debug("loaded module %s", m.Name)
	d.order = append(d.order, m.Name)
}

// unloaded says which modules were not loaded, or are not yet, and why.
func (d *devices) unloaded() []string {
	d.mu.Lock()
	out := slices.Clone(d.failed)
	d.mu.Unlock()
	for _, name := range d.loader.Pending(slowModule) {
		out = append(out, fmt.Sprintf("module %s is %v", name, drivers.ErrLoading))
	}
	return out
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

// news is what a message of the kernel means to who waits for a disk.
type news struct {
	storage bool   // more disks may be on their way
	block   bool   // a block device appeared or changed
	changed string // the disk that must be read again
	lost    bool   // messages were lost: every disk must be
}

// event takes one message of the kernel.
func (d *devices) event(msg []byte) news {
	if msg == nil {
		// Events were lost: look at everything.
		for _, alias := range drivers.Modaliases(d.world.Sys) {
			d.offer(alias)
		}
		return news{storage: true, block: true, lost: true}
	}
	e, err := uevent.Parse(msg)
	if err != nil {
		d.log.Debug("%v", err)
		return news{}
	}
	if e.Modalias != "" && e.Action == "add" {
		d.seen++
		d.offer(e.Modalias)
	}
	var n news
	switch e.Subsystem {
	case "block":
		if discover.IsVirtual(e.DevPath) {
			break // one of ours
		}
		n.storage, n.block = true, true
		if e.DevType == "disk" && e.Action != "add" {
			n.changed = e.DevName
		}
	case "scsi_host", "mmc_host":
		n.storage = true
	default:
		n.storage = isStorage(e.Modalias) && (e.Action == "add" || e.Action == "bind")
	}
	return n
}

func (d *devices) close() {
	d.mu.Lock()
	d.over = true
	d.mu.Unlock()
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
	settle := time.NewTimer(d.settleTime())
	defer settle.Stop()
	limit := time.NewTimer(time.Until(deadline))
	defer limit.Stop()
	late := time.NewTimer(time.Until(b.started.Add(fallbackAfter)))
	defer late.Stop()
	for {
		select {
		case msg := <-d.events:
			n := b.takeUp(d.event(msg))
			if n.storage && time.Now().Before(deadline) {
				b.facts.Settled = false
				settle.Reset(d.settleTime())
			}
			if n.block {
				b.rescan()
				return nil
			}
		case <-d.loader.Idle():
			settle.Reset(d.settleTime())
		case <-settle.C:
			d.nudge()
			if !d.loader.Busy() && !b.facts.Settled && len(b.machine.Silent()) == 0 {
				b.facts.Settled = true
				return nil
			}
			if len(b.unready) > 0 || b.machine.Unready() {
				// Nothing announces that a disk has become ready.
				b.rescan()
				return nil
			}
			settle.Reset(settleTime)
		case <-late.C:
			if !b.facts.Late {
				b.facts.Late = true
				return nil
			}
		case <-limit.C:
			// What keeps on appearing keeps nobody from what is there.
			unsettled := !b.facts.Settled
			b.facts.Settled = true
			if resolve.Next(b.plan, &b.facts).Missing != "" {
				return b.giveUp(missing)
			}
			if err := d.letGo(deadline); err != nil {
				return err
			}
			if unsettled {
				b.log.Warn("devices are still appearing after %s: whatever else may come is not waited for", b.plan.Timeout)
			}
			return nil
		}
	}
}

// notReady reports whether err says that the partition cannot be opened yet. Then it is taken for one that has not appeared; the next
// rescan finds it again.
func (b *boot) notReady(node string, err error) bool {
	if !errors.Is(err, discover.ErrNotReady) {
		return false
	}
	b.log.Debug("%v", err)
	if b.unready == nil {
		b.unready = map[string]error{}
	}
	b.unready[node] = err
	b.noteSilent()
	b.facts.Partitions = slices.DeleteFunc(b.facts.Partitions, func(p resolve.Partition) bool { return p.Node == node })
	return true
}

// giveUp ends the waiting: what has not appeared by now is refused, and another source may have something. If none does, that is the error.
func (b *boot) giveUp(missing string) error {
	b.late = b.timeout(missing)
	b.facts.TimeUp = true
	next := resolve.Next(b.plan, &b.facts)
	if next.Do == nil && len(next.Refused) == 1 {
		return b.late
	}
	if next.Do != nil {
		b.log.Err("%v", b.late)
	}
	return nil
}

// timeout gathers what a person needs to see why a disk did not appear.
func (b *boot) timeout(missing string) *TimeoutError {
	e := &TimeoutError{Missing: missing, After: b.plan.Timeout, Partitions: b.facts.Partitions, Disks: b.machine.DiskErrors(), Ignored: b.ignored, Modules: b.devices.unloaded()}
	maps.Copy(e.Disks, b.devices.bare())
	maps.Copy(e.Disks, b.unready)
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

// relink makes a symlink in the place of whatever one an earlier attempt left.
func relink(target, name string) error {
	if err := os.Remove(name); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return os.Symlink(target, name)
}
