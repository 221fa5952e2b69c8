// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package stage1

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/initddi/initddi/internal/attempt"
	"github.com/initddi/initddi/internal/handoff"
	"github.com/initddi/initddi/internal/linux/kmsg"
	"github.com/initddi/initddi/internal/linux/process"
	"github.com/initddi/initddi/internal/plan"
	"github.com/initddi/initddi/internal/report"
)

// Main is PID 1. It does not return: in the end the machine runs the next init, or does what ddi.fail= says. PID 1 must not end, or
// the kernel panics and hides what happened: no signal and no panic ends it.
func Main(args, env []string) {
	process.DefaultSignals()
	log := &report.Log{Console: os.Stderr, Level: kmsg.Info, KernelLevel: 8}
	var world *World
	err := process.Guarded(func() (err error) {
		world, err = prepare(log)
		return err
	})
	for {
		fail := plan.FailReboot
		if err == nil {
			var p *plan.Plan
			if p, err = Run(context.Background(), world, log, args, env); p != nil {
				fail = p.Fail
			}
		}
		screen(log, err)
		var enter *EnterError
		if errors.As(err, &enter) && enter.Lost && fail == plan.FailShell {
			fail = plan.FailReboot
		}
		if fail != plan.FailShell {
			endAfter(world, log, fail, err)
		}
		if err = process.Guarded(func() error { return failShell(newMeasurer(world, log), log) }); err != nil {
			screen(log, err)
			endAfter(world, log, plan.FailReboot, err)
		}
	}
}

// prepare mounts what stage 1 needs to see the machine, and begins to log.
func prepare(log *report.Log) (*World, error) {
	if err := handoff.Pseudo(); err != nil {
		return nil, err
	}
	if k, err := kmsg.Open("/dev/kmsg", "initddi"); err == nil {
		log.Kernel = k
	}
	// What process 1 was started with waits for a terminal that is stopped.
	if c, err := process.OpenConsole("/dev/console"); err == nil {
		log.Console = c
	}
	world, err := Open("/")
	if err != nil {
		return nil, err
	}
	prepareKernelLog(world, log)
	return world, nil
}

// prepareKernelLog lifts the kernel's limit of ten records in five seconds for /dev/kmsg, as systemd does too, and finds out
// what the kernel prints by itself.
func prepareKernelLog(w *World, log *report.Log) {
	if f, err := w.Proc.OpenFile("sys/kernel/printk_devkmsg", os.O_WRONLY, 0); err == nil {
		// Refused where the command line has printk.devkmsg=; then that is what is wanted.
		_, _ = f.WriteString("on\n")
		f.Close()
	}
	if b, err := w.Proc.ReadFile("sys/kernel/printk"); err == nil {
		first, _, _ := strings.Cut(string(b), "\t")
		if level, err := strconv.Atoi(first); err == nil {
			log.KernelLevel = kmsg.Priority(level)
		}
	}
}

// screen tells a person what happened and what to do.
func screen(log *report.Log, err error) {
	perr := process.Guarded(func() error {
		show(log, err)
		return nil
	})
	if perr != nil {
		log.Err("cannot say why the boot failed: %v", perr)
	}
}

func show(log *report.Log, err error) {
	if err == nil {
		return
	}
	log.Err("cannot boot:")
	lines := strings.Split(err.Error(), "\n")
	var t *TimeoutError
	if errors.As(err, &t) {
		lines = append(lines, t.Details()...)
	}
	const shown = 24
	for i, line := range lines {
		if i == shown {
			log.Err("  and %d more; the kernel log has them", len(lines)-shown)
		}
		if i < shown {
			log.Err("  %s", line)
		} else {
			log.Debug("  %s", line)
		}
	}
	var p *process.PanicError
	if errors.As(err, &p) {
		log.Debug("%s", p.Stack)
	}
	for _, h := range hints(err) {
		log.Err("  %s", h)
	}
}

// endAfter records the failure, does what ddi.fail= says, and never returns. The more boots have failed in a row, the longer a reboot
// waits: a machine that cannot boot must not do so in a fast loop, and a person needs time to read.
func endAfter(w *World, log *report.Log, f plan.Fail, cause error) {
	failures := failuresInARow(w, log, cause)
	wait := attempt.Delay(failures)
	action := process.Restart
	switch f {
	case plan.FailPowerOff:
		action = process.PowerOff
		log.Err("powering off (ddi.fail=poweroff)")
	case plan.FailHalt:
		action = process.Halt
		log.Err("halting (ddi.fail=halt)")
	default:
		why := "ddi.fail=reboot"
		if failures > 1 {
			why += fmt.Sprintf(", failure %d in a row", failures)
		}
		log.Err("rebooting in %s (%s)", wait, why)
		time.Sleep(wait)
	}
	time.AfterFunc(shutdownTime, func() { endHard(log, action) })
	err := process.Reboot(action)
	for {
		log.Err("%v: nothing more can be done", err)
		time.Sleep(wait)
	}
}

// shutdownTime is how long the kernel may take to shut its devices down. It waits for one that is being probed and does not answer.
const shutdownTime = 30 * time.Second

// endHard ends a machine whose kernel does not. There is no such way to switch it off.
func endHard(log *report.Log, action process.Action) {
	log.Err("the kernel does not end in %s: a device does not answer", shutdownTime)
	if action == process.Restart {
		log.Err("resetting the machine")
		log.Err("%v", process.Reset())
	}
}

// failuresInARow is [noteFailure] of a machine that may not be there: what the firmware's variables hold must not keep the machine
// from being rebooted.
func failuresInARow(w *World, log *report.Log, cause error) (n uint16) {
	if w == nil {
		return 0
	}
	err := process.Guarded(func() error {
		n = noteFailure(w, log, cause)
		return nil
	})
	if err != nil {
		log.Warn("cannot record this failure: %v", err)
	}
	return n
}

// stopBefore opens a shell if ddi.break= names the stage or one before it that the boot has no step for.
func (b *boot) stopBefore(stage plan.Stage) error {
	for _, s := range plan.Stages() {
		if !b.passed[s] {
			b.passed[s] = true
			if b.plan.StopsAt(s) {
				if err := b.tpm.shell(b.log); err != nil {
					return err
				}
				b.log.Warn("ddi.break=%s: a shell; leave it (exit) to go on", s)
				if err := shell(b.log); err != nil {
					return err
				}
			}
		}
		if s == stage {
			return nil
		}
	}
	return nil
}

// failShell is the shell of ddi.fail=shell.
func failShell(m *measurer, log *report.Log) error {
	defer m.close()
	if err := m.shell(log); err != nil {
		return err
	}
	log.Warn("a shell: leave it (exit) to try again, or power off with 'shutdown halt'")
	return shell(log)
}

// endTime is how long processes that a shell left behind may take to end once they are killed.
const endTime = 10 * time.Second

// shell runs u-root's shell on the console until the person there leaves it. It must have been measured before. No process that was
// started in it is left: it would keep the initramfs, and be a child of the next init that knows nothing of it.
func shell(log *report.Log) error {
	tty := "/dev/console"
	if b, err := os.ReadFile("/sys/class/tty/console/active"); err == nil {
		// The last one is /dev/console's own terminal; unlike that it can be a controlling one.
		if names := strings.Fields(string(b)); len(names) > 0 {
			tty = "/dev/" + names[len(names)-1]
		}
	}
	env := []string{"PATH=/bbin:/bin:/usr/bin", "HOME=/", "TERM=linux", "PS1=initddi# "}
	err := process.RunOnConsole(tty, []string{ShellPath}, env)
	if err := process.EndOthers(endTime); err != nil {
		log.Warn("%v", err)
	}
	return err
}
