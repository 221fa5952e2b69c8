// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package stage1

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/initddi/initddi/internal/apply"
	"github.com/initddi/initddi/internal/discover"
	"github.com/initddi/initddi/internal/gpt"
	"github.com/initddi/initddi/internal/handoff"
	"github.com/initddi/initddi/internal/linux/dm"
	"github.com/initddi/initddi/internal/linux/kmsg"
	"github.com/initddi/initddi/internal/linux/process"
	"github.com/initddi/initddi/internal/plan"
	"github.com/initddi/initddi/internal/release"
	"github.com/initddi/initddi/internal/report"
	"github.com/initddi/initddi/internal/resolve"
)

// boot is one attempt.
type boot struct {
	world   *World
	log     *report.Log
	report  *report.Boot
	plan    *plan.Plan
	arch    gpt.Arch
	facts   resolve.Facts
	machine *discover.Machine
	devices *devices
	ignored error // partitions that could not be used at the last look
	control *dm.Control
	tpm     *measurer
	images  map[string]*apply.Image
	unready map[string]error // partitions that could not be opened at the last look
	silent  map[string]bool  // disks and partitions of which it was said that they do not answer
	holder  *os.File         // while it is open, another process holds those
	passed  map[plan.Stage]bool
	source  plan.Source // the one that is at work, empty before the first
	told    []string    // refusals that were written to the log
	servers *servers    // nil as long as none was asked
	// fetchPath is the program that asks them.
	fetchPath string
	late      *TimeoutError // what was missing when ddi.timeout= was over
	started   time.Time     // when waiting for devices began
	moved     chan struct{} // has a value when the action that is being carried out has come further
	committed atomic.Bool   // it is settled how this attempt ends: by the next init, or given up
	abandoned bool          // an action still holds everything of this attempt, and gives it up when it comes back
	args      []string
	env       []string
	calm      func() // ends what hurry began
}

// Run boots. It is what PID 1 does, and it returns only what keeps the machine from booting; args and env go to the next init.
// The plan is returned with the error, if there is one, because it says what becomes of the failure. A panic is such an error, too.
func Run(ctx context.Context, world *World, log *report.Log, args, env []string) (*plan.Plan, error) {
	b := newBoot(world, log, args, env)
	err := process.Guarded(func() error { return b.run(ctx) })
	return b.plan, err
}

func newBoot(world *World, log *report.Log, args, env []string) *boot {
	return &boot{
		world: world, log: log, args: args, env: env,
		report:    &report.Boot{Version: report.Version, Release: release.Version},
		facts:     resolve.Facts{Images: map[string]*resolve.Image{}},
		machine:   &discover.Machine{Sys: world.Sys, Dev: world.Dev},
		tpm:       newMeasurer(world, log),
		images:    map[string]*apply.Image{},
		passed:    map[plan.Stage]bool{},
		fetchPath: FetchPath,
	}
}

func (b *boot) run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer func() {
		if !b.abandoned {
			b.close()
		}
	}()
	b.calm = hurry(b.world.Sys)
	defer b.calm()
	if err := b.makePlan(); err != nil {
		return err
	}
	if err := b.stopBefore(plan.StageStorage); err != nil {
		return err
	}
	if err := b.begin(ctx); err != nil {
		return err
	}
	return b.loop() // which may change the plan
}

func (b *boot) makePlan() error {
	end := b.report.Begin(process.Uptime, "plan")
	in, err := b.world.PlanInput(nil)
	if err != nil {
		return err
	}
	if b.plan, err = plan.New(in); err != nil {
		return err
	}
	b.log.Level = consoleLevel(b.plan.Log)
	if b.arch, err = Arch(); err != nil {
		return err
	}
	if in.HasShell {
		b.log.Warn("a debug shell is built into this stage 1: who has the console has the machine")
	}
	for _, w := range b.plan.Warnings {
		b.log.Warn("%s", w)
	}
	b.report.Warnings = b.plan.Warnings
	if kernel, err := b.world.Proc.ReadFile("sys/kernel/osrelease"); err == nil {
		b.report.Kernel = strings.TrimSpace(string(kernel))
	}
	text := fmt.Sprintf("initddi %s on Linux %s, %d trusted certificates, %d pins", release.Version, b.report.Kernel, len(b.plan.Trust), len(b.plan.Pins))
	b.done("plan", end(text), "%s", text)
	return nil
}

func consoleLevel(l plan.Level) kmsg.Priority {
	switch l {
	case plan.LevelErr:
		return kmsg.Err
	case plan.LevelDebug:
		return kmsg.Debug
	}
	return kmsg.Info
}

// done writes a stage's line.
func (b *boot) done(stage string, d time.Duration, format string, args ...any) {
	b.log.Info("%s: %s (%s ms)", stage, fmt.Sprintf(format, args...), strconv.FormatFloat(float64(d.Microseconds())/1000, 'f', 1, 64))
}

// begin starts the drivers, reads the firmware's variables and takes the first look at the disks.
func (b *boot) begin(ctx context.Context) error {
	end := b.report.Begin(process.Uptime, "drivers")
	table, err := b.world.Modules()
	if err != nil {
		return err
	}
	b.machine.Timeout = b.plan.Timeout
	b.devices, err = startDevices(ctx, b.world, b.plan, table, b.log)
	if err != nil {
		return err
	}
	b.startMeasuring()
	text := fmt.Sprintf("%d modules for %d devices", b.devices.started, b.devices.seen)
	b.done("drivers", end(text), "%s", text)

	end = b.report.Begin(process.Uptime, "firmware")
	if _, err := b.world.Sys.Stat("firmware/efi"); err == nil {
		if err := b.devices.mountEFIVars(); err != nil {
			b.log.Warn("%v: the boot disk is looked for without EFI variables", err)
		}
	}
	if b.facts.Firmware, err = b.machine.Firmware(); err != nil {
		b.log.Warn("%v", err)
	}
	b.readRecord()
	fw := b.facts.Firmware
	b.devices.guessing = fw.EFI && fw.BootPartition.IsZero() && b.plan.Device.IsZero()
	b.report.UKI, b.report.SecureBoot = fw.UKI, fw.SecureBoot
	text = "no EFI variable names the boot partition"
	if fw.Variable != "" {
		text = fmt.Sprintf("%s=%s %s", fw.Variable, fw.BootPartition, fw.UKI)
	}
	if fw.SecureBoot != nil && *fw.SecureBoot {
		text += ", Secure Boot on"
	}
	b.done("firmware", end(text), "%s", text)
	b.facts.Initrd = b.machine.ListInitrd(b.world.Root)
	// What an earlier attempt found out about the network may be what was wrong with it.
	_ = os.Remove(NetworkState)
	b.rescan()
	return nil
}

// rescan looks at the block devices again. What is known of a partition's files is kept.
func (b *boot) rescan() {
	b.unready = nil
	parts, err := b.machine.Partitions()
	if err != nil {
		b.log.Debug("%v", err)
	}
	b.ignored = err
	b.noteSilent()
	for i := range parts {
		for _, old := range b.facts.Partitions {
			if old.Node == parts[i].Node && old.UUID == parts[i].UUID && old.Size == parts[i].Size {
				parts[i].Listing = old.Listing
			}
		}
	}
	b.facts.Partitions, b.facts.Pmem = parts, b.machine.Pmem()
}

// loop carries out what resolve says until it says that there is nothing left to do.
func (b *boot) loop() error {
	b.started = time.Now()
	deadline := b.started.Add(b.plan.Timeout)
	endWait := b.report.Begin(process.Uptime, "storage")
	found := false
	for {
		step := resolve.Next(b.plan, &b.facts)
		switch {
		case step.Refused != nil:
			return &RefusedError{Refusals: step.Refused, Late: b.late}
		case step.Do == nil:
			if err := b.wait(step.Missing, deadline); err != nil {
				return err
			}
		default:
			if !found {
				found = true
				text := b.where(step.Do) + ": " + step.Do.Reason
				b.done("storage", endWait(text), "%s", text)
			}
			if step.Do.Verb == resolve.Enter {
				if b.lastLook() {
					continue
				}
				if err := b.stopBefore(plan.StageMerge); err != nil {
					return err
				}
				if err := b.devices.letGo(deadline); err != nil {
					return err
				}
			}
			if err := b.stopBefore(step.Do.Stage()); err != nil {
				return err
			}
			if step.Do.Class == "" { // an extension lies wherever it lies
				b.turnTo(step.Do.Source)
			}
			begin := time.Now()
			if err := b.inTime(step.Do, func() error { return b.carryOut(step.Do) }); err != nil {
				return err
			}
			if step.Do.Source.FromServer() {
				// A server has a time of its own: the disks are waited for as long as if nobody had asked one.
				deadline = deadline.Add(time.Since(begin))
			}
		}
	}
}

// carryOut does what an action says and puts what came of it into the facts. An error is one that ends the boot; what is
// wrong with a candidate is a fact.
func (b *boot) carryOut(a *resolve.Action) error {
	defer b.noteSlow(a)()
	if a.Class != "" {
		return b.extend(a)
	}
	name, candidate := string(a.Verb), a.Name()
	end := b.report.Begin(process.Uptime, name)
	img := b.facts.Images[candidate]
	text := a.Image
	switch a.Verb {
	case resolve.ListPartition:
		if text = b.list(a); text == "" {
			return nil
		}
	case resolve.ListSource:
		text = b.listServer(a)
	case resolve.ReadSettings:
		return b.readSettings(b.facts.Partition(a.Partition), a.Image, end)
	case resolve.ReadFloor:
		text = b.readFloor()
	case resolve.ReadImage:
		if img = nil; a.Source.FromServer() {
			img = b.readServed(a)
		} else {
			img = readImage(b.world, b.machine, &b.facts, b.arch, a)
		}
		b.facts.Images[candidate] = img
		boundExtents(b.facts.Images, img)
		text = candidate
		if !a.Source.FromServer() {
			text = candidate[strings.IndexByte(candidate, ':')+1:]
		}
		text = fmt.Sprintf("%s: %d bytes in %d extents", text, img.Extents.Size(), len(img.Extents))
		if img.Table != nil && img.Table.Backup {
			text += fmt.Sprintf(", by the backup of its partition table: %v", img.Table.PrimaryErr)
		}
	case resolve.Verify:
		text = b.authenticate(candidate, img)
	case resolve.Attach:
		if err := b.openStack(); err != nil {
			return err
		}
		text = b.attach(a, img)
	case resolve.Mount:
		text = b.mount(candidate, img)
	case resolve.Discard:
		if img.Refusal == nil && img.Err == nil {
			// Refused by the identity rules just now; anything else was logged when it happened.
			b.log.Err("%s", a.Reason)
			b.told = append(b.told, a.Reason)
		}
		b.discard(candidate, img)
		return nil
	case resolve.Enter:
		return b.enter(a, img)
	}
	d := end(text)
	if img != nil && (img.Err != nil || img.Refusal != nil || a.Verb == resolve.Verify && resolve.FailedAttempts(b.plan, &b.facts, img.Authentic) > 0) {
		b.release(candidate)
	}
	if img != nil && img.Err != nil {
		img.Forget()
		b.refuse(&resolve.Refusal{Candidate: candidate, Rule: resolve.RuleReadable, Err: img.Err})
		return nil
	}
	if img != nil && img.Refusal != nil {
		img.Forget()
		b.refuse(img.Refusal)
		return nil
	}
	b.done(name, d, "%s", text)
	return nil
}

// openStack opens the device mapper, when the loop device and dm-verity are there as well. Without them no image can be used, so
// none is refused for that.
func (b *boot) openStack() error {
	if b.control != nil {
		return nil
	}
	if err := b.devices.needStack(); err != nil {
		return &StackError{err}
	}
	control, err := dm.Open("/dev/mapper/control")
	if err != nil {
		return &StackError{err}
	}
	b.control = control
	return nil
}

// attach brings dm-verity up; an image that cannot be is marked so.
func (b *boot) attach(a *resolve.Action, img *resolve.Image) string {
	src, err := b.place(a, img)
	if err != nil {
		img.Err = err
		return err.Error()
	}
	up, err := b.attachAsking(src, a.Name(), img)
	if err != nil {
		return err.Error()
	}
	b.images[a.Name()] = up
	img.Device = up.Device
	if up.Copied != nil {
		return fmt.Sprintf("/dev/%s: %d MiB in memory", up.Device, up.Superblock.DataSize()>>20)
	}
	return fmt.Sprintf("/dev/%s: %d MiB in place in %d pieces", up.Device, up.Superblock.DataSize()>>20, up.Pieces)
}

// mount mounts the verified file system detached and reads what it says of itself.
func (b *boot) mount(candidate string, img *resolve.Image) string {
	up := b.images[candidate]
	fail := func(err error) string { return failed(up, candidate, img, err) }
	fstype, err := up.FileSystem("/dev")
	if err != nil {
		return fail(err)
	}
	if img.Refusal = resolve.CheckFileSystem(b.plan, candidate, img.Authentic.Designator, fstype); img.Refusal != nil {
		return img.Refusal.Error()
	}
	if err := b.devices.needFileSystem(fstype); err != nil {
		return fail(err)
	}
	m, err := up.Mount(fstype, "/dev/"+up.Device)
	if err != nil {
		return fail(err)
	}
	if img.Tree, err = apply.ReadTree(m, img.Authentic.Designator, fstype, b.plan.InitsFor); err != nil {
		return fail(err)
	}
	t := img.Tree
	return fmt.Sprintf("%s image, %s, ID=%s VERSION_ID=%s IMAGE_VERSION=%s", t.Kind, fstype, t.OSRelease.Get("ID"), t.OSRelease.Get("VERSION_ID"), t.OSRelease.Get("IMAGE_VERSION"))
}

// discard takes a refused candidate's devices away. What refused it stays among the facts.
func (b *boot) discard(candidate string, img *resolve.Image) {
	img.Device = ""
	img.Forget()
	if err := b.images[candidate].Discard(); err != nil {
		b.log.Warn("%v", err)
	}
	b.release(candidate)
}

// enter hands over; it returns only if that failed.
func (b *boot) enter(a *resolve.Action, img *resolve.Image) error {
	if err := b.measureImage(a, img); err != nil {
		return err
	}
	extensions, err := b.chooseExtensions(a, img)
	if err != nil {
		return err
	}
	end := b.report.Begin(process.Uptime, "handoff")
	up, tree := b.images[a.Name()], img.Tree
	name := deviceName(tree, img.Authentic.RootHash)
	corruption := b.plan.CorruptionFor(tree.Kind)
	if err := up.Settle(name, corruption.DMOption()); err != nil {
		return err
	}
	// Whoever looks at the mounts later shall see a name, not a number; udev finds the link and makes it its own.
	source := "/dev/mapper/" + name
	if err := relink("../"+up.Device, source); err != nil {
		return fmt.Errorf("cannot name the verity device: %w", err)
	}
	m, err := up.Mount(tree.FileSystem, source)
	if err != nil {
		return err
	}
	m, whole, err := b.compose(m, img, extensions)
	if err != nil {
		return err
	}
	b.devices.finish()
	b.goWithImage(a)
	b.report.Chosen = b.chosen(a, img, corruption)
	b.report.Modules = b.devices.loaded()
	for _, r := range resolve.Refusals(b.plan, &b.facts) {
		b.report.Refused = append(b.report.Refused, report.Entry{Source: string(r.Source), Candidate: r.Candidate, Rule: string(r.Rule), Text: r.Error()})
	}
	except := append(b.carriedAlready(), inMemory(a))
	hasExtra := false
	if f, err := m.Open(handoff.ExtraDir); err == nil {
		hasExtra = true
		f.Close()
	} else if tree.Designator != gpt.Usr {
		b.warnExtra(except...)
	}
	found := b.findable(m, tree.Kind, hasExtra, extensions, except)
	b.warnModules(m, tree.Kind)
	if err := b.commit(); err != nil {
		return err
	}
	text := fmt.Sprintf("%s as %s", tree.Init, name)
	b.done("handoff", end(text), "%s", text)
	b.log.Info("entering %s after %d ms in stage 1", a.Name(), (process.Uptime() - time.Duration(b.report.Stages[0].Start)*time.Microsecond).Milliseconds())
	b.noteLevel(tree)
	b.noteEntry(img.Authentic)
	if err := b.report.Write(ReportPath); err != nil {
		b.log.Warn("%v", err)
	}
	b.calm()
	b.tpm.close()
	b.holdSilent()
	b.keepOnly(append(candidates(extensions), a.Name())...)
	b.devices.close()
	b.control.Close()
	lost, err := handoff.Enter(handoff.Next{Tree: m, Usr: !whole, Initrd: tree.Kind == plan.KindInitrd, Init: tree.Init, Args: b.args, Env: b.env, HasExtra: hasExtra, NoCredentials: b.plan.NoCredentials, Except: except, Found: found})
	return &EnterError{Lost: lost, Err: err}
}

// close gives up everything that an attempt held.
func (b *boot) close() {
	for name, img := range b.images {
		if err := img.Discard(); err != nil {
			b.log.Debug("%s: %v", name, err)
		}
	}
	if err := b.servers.close(); err != nil {
		b.log.Debug("%v", err)
	}
	b.tpm.close()
	if b.devices != nil {
		b.devices.close()
	}
	if b.control != nil {
		b.control.Close()
	}
}
