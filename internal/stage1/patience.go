// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package stage1

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/initddi/initddi/internal/discover"
	"github.com/initddi/initddi/internal/drivers"
	"github.com/initddi/initddi/internal/linux/module"
	"github.com/initddi/initddi/internal/linux/process"
	"github.com/initddi/initddi/internal/modtable"
	"github.com/initddi/initddi/internal/plan"
	"github.com/initddi/initddi/internal/resolve"
)

// One disk that does not answer must not keep another one from being booted, and the console must say that it is not heard. Where that
// can hold a boot up, and what is done about it:
//
//   - Reading its partition table or its file system: package discover does that aside, and goes on without it.
//   - Opening one that the kernel has not looked for partitions on: another process does that, to say why there are none.
//   - Loading any module: finit_module(2) waits, where nobody can kill it, until all probing is done that other drivers do in the
//     background, as that for SCSI disks is, unless the module is loaded with async_probe.
//   - Loading its driver: without async_probe that asks one device after the other, and does not return from one that says nothing. Nobody
//     can kill who waits there, and execve(2) waits for the end of all threads: process 1 could not become the next init. So another
//     process waits, and one more has the devices behind the silent one probed. Both stay until it answers, under the next init as well.

// slowModule is how long a module may take before that is worth a sentence.
const slowModule = 2 * time.Second

// slowAction is the same for a step of the boot.
const slowAction = 10 * time.Second

// isNamed reports whether the boot partition has a name that no other one has: then nobody has to know that there is no other. Where
// there are EFI variables, one of them will name it.
func isNamed(w *World, p *plan.Plan) bool {
	if d := p.Device; !d.IsZero() {
		return !d.PartUUID.IsZero() || d.Node != ""
	}
	_, err := w.Sys.Stat("firmware/efi")
	return err == nil
}

// waitsForDevices reports whether loading a module is to wait until its devices have been probed. Where the boot partition must be the
// only one of its kind, all disks have to be there first.
func (d *devices) waitsForDevices(module string) bool {
	return !d.named && d.drives(module)
}

// slow returns the modules that have been loaded for long already, because their devices are waited for. What takes long on a busy machine
// and has no devices is nobody's concern.
func (d *devices) slow() []string {
	return slices.DeleteFunc(d.loader.Pending(slowModule), func(module string) bool { return !d.drives(module) })
}

// turn is how far the driver in a module has come with its devices.
type turn struct {
	left  int       // devices that have no driver
	since time.Time // when it was seen first that there are so many
}

// stuck returns those of the modules for whose loading a device does not answer: for so long none of theirs has had its turn. It takes
// long as well where there are many disks, or where the machine is busy; then they have their names in order only if nobody interferes.
func (d *devices) stuck() []string {
	if d.turns == nil {
		d.turns = map[string]turn{}
	}
	var out []string
	for _, module := range d.loader.Pending(0) {
		if !d.drives(module) {
			continue
		}
		t, left := d.turns[module], len(d.waiting(module))
		if t.left != left || t.since.IsZero() {
			t = turn{left, time.Now()}
			d.turns[module] = t
		}
		if time.Since(t.since) >= slowModule {
			out = append(out, module)
		}
	}
	return out
}

// waiting returns the paths below /sys of a module's devices that have no driver, in the order in which the bus has them. The one that is
// being probed has one.
func (d *devices) waiting(module string) []string {
	var out []string
	for _, dev := range drivers.Devices(d.world.Sys) {
		if dev.Driver == "" && slices.Contains(d.table.Match(dev.Modalias), module) {
			out = append(out, dev.Path)
		}
	}
	slices.SortFunc(out, func(a, b string) int { return cmp.Or(cmp.Compare(len(a), len(b)), cmp.Compare(a, b)) })
	return out
}

// drives reports whether a module is a driver of devices. What only asks for a processor probes none.
func (d *devices) drives(module string) bool {
	return slices.ContainsFunc(d.table.Aliases, func(a modtable.Alias) bool {
		return a.Module == module && !strings.HasPrefix(a.Pattern, "cpu:")
	})
}

// letGo waits until the kernel has let go of the threads that load modules, and returns a [StuckError] if it has not when the time is up.
// Until then the next init could not be started, from whatever source.
func (d *devices) letGo(deadline time.Time) error {
	const look = 100 * time.Millisecond
	for !d.named {
		modules := d.slow()
		if len(modules) == 0 {
			break
		}
		if time.Now().After(deadline) {
			return &StuckError{modules}
		}
		d.nudge()
		time.Sleep(look)
	}
	return nil
}

// inOrder reports whether the devices of a module have to be probed one after the other. Several virtio disks have: in that order they get
// their names, and people write those into files.
func (d *devices) inOrder(module string) bool {
	if module != "virtio_blk" {
		return false
	}
	isDisk := func(alias string) bool {
		for _, p := range [...]string{"virtio:d00000002", "pci:v00001AF4d00001001", "pci:v00001AF4d00001042"} {
			if strings.HasPrefix(alias, p) {
				return true
			}
		}
		return false
	}
	// On PCI they are there before they are on their own bus.
	return len(drivers.Find(d.world.Sys, "pci", isDisk)) > 1 || len(drivers.Find(d.world.Sys, "virtio", isDisk)) > 1
}

// What this program does when process 1 starts it, and process 1 would not survive if it did not come back.
const (
	asideLoad  = "--load-module" // FILE PARAMETERS
	asideProbe = "--probe"       // DEVICE..., below /sys
	asideHold  = "--hold"        // what was inherited, until standard input ends and a little longer
)

// holdTime is how much longer: the kernel closes what is to be closed before it runs another program, one descriptor after the other.
const holdTime = 2 * time.Second

// aside has another process do that.
func (d *devices) aside(args ...string) error {
	p, err := d.startHelper(args)
	if err != nil {
		return err
	}
	state, err := p.Wait()
	if err == nil && !state.Success() {
		err = errAside
	}
	return err
}

// startHelper starts one. Nobody kills it: the kernel would go on with the devices that it has not come to, and read nothing of them any more.
func (d *devices) startHelper(args []string) (*os.Process, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.over {
		return nil, os.ErrClosed
	}
	return process.StartSelf(selfAside(args...))
}

// selfAside returns the command line of the other process. A busybox looks for its command in the second word where it knows none of the first
// word's name, and the first says to systemd, which ends whatever is left of an initrd at the switch of roots, that this is to stay
// (systemd's docs/ROOT_STORAGE_DAEMONS.md).
func selfAside(args ...string) []string { return append([]string{"@" + self, self}, args...) }

const self = "storageinit"

var errAside = errors.New("the line above has the reason")

// runAside is what the other process does. It reports false for arguments of somebody else.
func runAside(args []string) (is bool, err error) {
	if len(args) > 0 && args[0] == self {
		args = args[1:] // where this is no busybox
	}
	switch {
	case len(args) == 3 && args[0] == asideLoad:
		process.IgnoreSignals() // one would end the probing, and leave the disks without partitions
		f, err := os.Open(args[1])
		if err != nil {
			return true, err
		}
		defer f.Close()
		return true, module.Load(f, args[2])
	case len(args) >= 2 && args[0] == asideProbe:
		process.IgnoreSignals() // one would end the probing, and leave the disks without partitions
		sys, err := os.OpenRoot("/sys")
		if err != nil {
			return true, err
		}
		defer sys.Close()
		return true, probeInTurn(sys, args[1:], slowModule)
	}
	if len(args) == 1 && args[0] == asideBare {
		w, err := Open("/")
		if err != nil {
			return true, err
		}
		return true, sayBare(os.Stdout, &discover.Machine{Sys: w.Sys, Dev: w.Dev})
	}
	if len(args) == 1 && args[0] == asideHold {
		_, _ = os.Stdin.Read(make([]byte, 1)) // nobody writes: this waits for the end
		time.Sleep(holdTime)
		return true, nil
	}
	return false, nil
}

// holdSilent has another process hold the disks that have not answered, so that the next init need not wait for them.
func (b *boot) holdSilent() {
	silent := b.machine.Silent()
	if len(silent) == 0 {
		return
	}
	end, err := process.StartHolder(selfAside(asideHold), func(name string) bool {
		_, is := silent[path.Base(name)]
		return is && path.Dir(name) == "/dev"
	})
	if err != nil {
		b.log.Warn("%v: the next init runs when %d disks have answered", err, len(silent))
	}
	b.holder = end // closed by execve
}

// nudge looks for modules whose loading waits for a device that does not answer, says so once, and has the kernel probe the devices behind
// that one. It returns those for which that was done before, and which are stuck all the same.
func (d *devices) nudge() (again []string) {
	for _, module := range d.stuck() {
		if d.nudged[module] != nil {
			again = append(again, module)
			continue
		}
		if d.nudged == nil {
			d.nudged = map[string]chan struct{}{}
		}
		answered := make(chan struct{})
		d.nudged[module] = answered
		d.log.Warn("module %s is still being loaded after %s: a device does not answer; the boot goes on without it", module, slowModule)
		behind := d.waiting(module)
		d.turns[module] = turn{len(behind), time.Now()}
		go func() {
			defer close(answered)
			if len(behind) > 0 {
				d.probe(behind)
			}
		}()
	}
	return again
}

// probeInTurn has the kernel probe one device after the other, and with the next one as well where one has not answered for so long.
func probeInTurn(sys *os.Root, devices []string, patience time.Duration) error {
	results := make(chan error, len(devices))
	for _, device := range devices {
		answered := make(chan struct{})
		go func() {
			results <- probe(sys, device)
			close(answered)
		}()
		select {
		case <-answered:
		case <-time.After(patience):
		}
	}
	var errs []error
	for range devices {
		errs = append(errs, <-results)
	}
	return errors.Join(errs...)
}

// probe asks the kernel to find a driver for a device bus/BUS/devices/NAME (drivers/base/bus.c, drivers_probe).
func probe(sys *os.Root, device string) error {
	bus, name := path.Dir(path.Dir(device)), path.Base(device)
	f, err := sys.OpenFile(bus+"/drivers_probe", os.O_WRONLY, 0)
	if err != nil {
		return fmt.Errorf("cannot have %s probed: %w", device, err)
	}
	defer f.Close()
	if _, err := f.WriteString(name); err != nil {
		return fmt.Errorf("cannot have %s probed: %w", device, err)
	}
	return nil
}

// moves reports whether anything is to be expected of what is being loaded: it is no driver's module that is stuck, with everything behind
// the device that does not answer probed, or stuck as well. again is what nudge returned.
func (d *devices) moves(again []string) bool {
	return slices.ContainsFunc(d.loader.Pending(0), func(module string) bool {
		answered := d.nudged[module]
		if answered == nil {
			return true
		}
		select {
		case <-answered:
			return false
		default:
			return !slices.Contains(again, module)
		}
	})
}

// finishLimit is how long the hand-over waits for drivers.
const finishLimit = 10 * time.Second

// finish waits until no module is being loaded any more, except for those that wait for a device that does not answer. The hand-over ends
// every thread of this process, and a driver whose probing is interrupted leaves its device without one: the module is there, and nobody
// tries again.
func (d *devices) finish() {
	const look = 20 * time.Millisecond
	begun := time.Now()
	for d.loader.Busy() {
		// Most boots end here: looking at all devices takes longer than the rest of the loading.
		select {
		case <-d.loader.Idle():
			continue
		case <-time.After(look):
		}
		if !d.moves(d.nudge()) {
			return
		}
		if time.Since(begun) > finishLimit {
			d.log.Warn("drivers are still being loaded after %s: the next init may miss their devices", finishLimit)
			return
		}
	}
}

// noteSilent says once of each disk that it does not answer, and that it has.
func (b *boot) noteSilent() {
	silent := b.machine.Silent()
	for node := range b.silent {
		if _, still := silent[node]; !still {
			b.log.Info("/dev/%s has answered", node)
			delete(b.silent, node)
		}
	}
	for node := range silent {
		if !b.silent[node] {
			if b.silent == nil {
				b.silent = map[string]bool{}
			}
			b.silent[node] = true
			b.log.Warn("/dev/%s has not answered for %s: the boot goes on without it, if it can", node, discover.Patience)
		}
	}
}

// noteSlow says that an action on a disk takes long, if it does; the returned function is to be called when it is done.
func (b *boot) noteSlow(a *resolve.Action) (done func() bool) {
	return time.AfterFunc(slowAction, func() {
		if a.Partition != "" {
			b.log.Warn("still at %s %s: /dev/%s is slow, or does not answer", a.Verb, a.Image, a.Partition)
		}
	}).Stop
}

// lastLook takes up what the kernel has said since the boot partition was found, without waiting, and reports whether disks have come or
// gone meanwhile. A copy of the boot disk that appears while an image is verified is found before that image is entered.
func (b *boot) lastLook() bool {
	n := b.takeUp(news{})
	if n.block {
		b.rescan()
	}
	return n.block
}

// maxTaken is how many messages are taken up at once, at most.
const maxTaken = 4096

// takeUp takes what an event says and what the kernel has said since, without waiting, and returns what all of it says together: where
// hundreds of disks appear, they are looked at once and not once for each.
func (b *boot) takeUp(n news) news {
	b.take(n)
	for range maxTaken {
		select {
		case msg := <-b.devices.events:
			next := b.take(b.devices.event(msg))
			n.storage, n.block = n.storage || next.storage, n.block || next.block
		default:
			return n
		}
	}
	return n
}

// take forgets what an event says is different now.
func (b *boot) take(n news) news {
	if n.lost {
		b.machine.ForgetAll()
	}
	b.machine.Forget(n.changed)
	return n
}
