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

// Main is PID 1. It does not return: in the end the machine runs the next init, or does what ddi.fail= says.
func Main(args, env []string) {
	log := &report.Log{Console: os.Stderr, Level: kmsg.Info, KernelLevel: 8}
	var world *World
	err := handoff.Pseudo()
	if err == nil {
		if k, kerr := kmsg.Open("/dev/kmsg", "initddi"); kerr == nil {
			log.Kernel = k
		}
		world, err = Open("/")
	}
	if err == nil {
		prepareKernelLog(world, log)
	}
	for {
		fail := plan.FailReboot
		if err == nil {
			var p *plan.Plan
			p, err = guarded(world, log, args, env)
			if p != nil {
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
		if err = failShell(newMeasurer(world), log); err != nil {
			screen(log, err)
			endAfter(world, log, plan.FailReboot, err)
		}
	}
}

// guarded is [Run], with a panic made into an error: PID 1 must not end, or the kernel panics and hides what happened.
func guarded(world *World, log *report.Log, args, env []string) (p *plan.Plan, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("internal error: %v", r)
		}
	}()
	return Run(context.Background(), world, log, args, env)
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
	if err == nil {
		return
	}
	log.Err("cannot boot:")
	for line := range strings.SplitSeq(err.Error(), "\n") {
		log.Err("  %s", line)
	}
	var t *TimeoutError
	if errors.As(err, &t) {
		const shown = 24
		details := t.Details()
		for i, line := range details {
			if i == shown {
				log.Err("  and %d more; the kernel log has them", len(details)-shown)
			}
			if i < shown {
				log.Err("  %s", line)
			} else {
				log.Debug("  %s", line)
			}
		}
	}
	for _, h := range hints(err) {
		log.Err("  %s", h)
	}
}

// endAfter records the failure, does what ddi.fail= says, and never returns. The more boots have failed in a row, the longer a reboot
// waits: a machine that cannot boot must not do so in a fast loop, and a person needs time to read.
func endAfter(w *World, log *report.Log, f plan.Fail, cause error) {
	failures := uint16(0)
	if w != nil {
		failures = noteFailure(w, log, cause)
	}
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
	err := process.Reboot(action)
	for {
		log.Err("%v: nothing more can be done", err)
		time.Sleep(wait)
	}
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
				if err := shell(); err != nil {
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
	return shell()
}

// shell runs u-root's shell on the console until the person there leaves it. It must have been measured before.
func shell() error {
	tty := "/dev/console"
	if b, err := os.ReadFile("/sys/class/tty/console/active"); err == nil {
		// The last one is /dev/console's own terminal; unlike that it can be a controlling one.
		if names := strings.Fields(string(b)); len(names) > 0 {
			tty = "/dev/" + names[len(names)-1]
		}
	}
	env := []string{"PATH=/bbin:/bin:/usr/bin", "HOME=/", "TERM=linux", "PS1=initddi# "}
	return process.RunOnConsole(tty, []string{ShellPath}, env)
}
