// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package stage1

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"

	"github.com/initddi/initddi/internal/discover"
	"github.com/initddi/initddi/internal/floor"
	"github.com/initddi/initddi/internal/jsontext"
	"github.com/initddi/initddi/internal/plan"
	"github.com/initddi/initddi/internal/resolve"
)

// ErrNotPID1 says that the program was started by somebody else than the kernel and was not asked for a dry run.
var ErrNotPID1 = errors.New("not process 1")

// Command is the program as anybody but the kernel starts it.
func Command(_ context.Context, out io.Writer, args []string) error {
	flags := flag.NewFlagSet("storageinit", flag.ContinueOnError)
	dry := flags.Bool("dry-run", false, "print what a boot would do and why, and do nothing")
	root := flags.String("root", "/", "look at the machine captured below `DIR`: DIR/sys, DIR/proc, DIR/dev, DIR/etc")
	asJSON := flags.Bool("json", false, "print JSON")
	var commandLine *string
	flags.Func("cmdline", "use `TEXT` for the kernel command line", func(s string) error {
		commandLine = &s
		return nil
	})
	if err := flags.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return nil
		}
		return err
	}
	if flags.NArg() > 0 {
		return fmt.Errorf("cannot use the argument %q: storageinit takes options only", flags.Arg(0))
	}
	if !*dry {
		return fmt.Errorf("cannot boot: %w; --dry-run shows what a boot would do", ErrNotPID1)
	}
	world, err := Open(*root)
	if err != nil {
		return err
	}
	in, err := world.PlanInput(commandLine)
	if err != nil {
		return err
	}
	t, err := DryRun(world, in)
	if err != nil {
		return err
	}
	if *asJSON {
		text, err := jsontext.Marshal(t, "  ")
		if err != nil {
			return err
		}
		_, err = fmt.Fprintf(out, "%s\n", text)
		return err
	}
	t.print(out)
	return nil
}

// Trace is what a dry run found.
type Trace struct {
	Firmware resolve.Firmware `json:"firmware"`
	Actions  []resolve.Action `json:"actions"`
	// Assumed are the actions that a boot would take next if the image's blocks and its os-release are as they should be:
	// that is known only with dm-verity over them.
	Assumed []resolve.Action `json:"assumed,omitempty"`
	Missing string           `json:"missing,omitempty"`
	Refused []string         `json:"refused,omitempty"`
	Hints   []string         `json:"hints,omitempty"`
}

// DryRun follows the flow as far as reading alone leads: partitions, files, partition tables and signatures are really read
// and judged; devices are not made.
func DryRun(w *World, in plan.Input) (*Trace, error) {
	p, err := plan.New(in)
	if err != nil {
		return nil, err
	}
	arch, err := Arch()
	if err != nil {
		return nil, err
	}
	m := &discover.Machine{Sys: w.Sys, Dev: w.Dev}
	f := resolve.Facts{Settled: true, Images: map[string]*resolve.Image{}}
	if f.Firmware, err = m.Firmware(); err != nil {
		return nil, err
	}
	// A disk that cannot be read is no reason to stop: another may be the one. Nor is a record of earlier boots.
	f.Record, _ = w.Record()
	f.Partitions, _ = m.Partitions()
	t := &Trace{Firmware: f.Firmware}
	for {
		step := resolve.Next(p, &f)
		t.Missing = step.Missing
		if step.Do == nil {
			for i := range step.Refused {
				t.Refused = append(t.Refused, step.Refused[i].Error())
			}
			if step.Refused != nil {
				t.Hints = hints(&RefusedError{step.Refused})
			}
			return t, nil
		}
		a := *step.Do
		part := findPartition(f.Partitions, a.Partition)
		img := f.Images[a.Image]
		switch a.Verb {
		case resolve.ListPartition:
			part.Listing = m.List(*part, a.Dirs)
		case resolve.ReadSettings:
			f.Settings = m.ReadSettings(*part, a.Image)
			next, refusal := resolve.AcceptSettings(p, part.Node, f.Settings)
			if refusal != nil {
				t.Refused = append(t.Refused, refusal.Error())
			} else {
				p = next
			}
		case resolve.ReadFloor:
			// A captured machine has no TPM, and this one's is not asked: it may take more than reading rights.
			f.Floor = &floor.Floor{Index: p.RollbackIndex, State: floor.Unreachable, Err: ErrNoTPM}
		case resolve.ReadImage:
			f.Images[a.Image] = m.ReadImage(*part, arch, a.Image)
		case resolve.Verify:
			img.Authentic, img.Refusal = resolve.Authenticate(p, part.Node+":"+a.Image, arch, img)
		default:
			t.Assumed = assume(a)
			for _, r := range resolve.Refusals(p, &f) {
				t.Refused = append(t.Refused, r.Error())
			}
			return t, nil
		}
		t.Actions = append(t.Actions, a)
	}
}

// assume returns what follows an attach if all is well.
func assume(attach resolve.Action) []resolve.Action {
	mount, enter := attach, attach
	mount.Verb, mount.Reason = resolve.Mount, "to hold os-release against the identity rules"
	enter.Verb, enter.Reason = resolve.Enter, "if the identity rules take it"
	return []resolve.Action{attach, mount, enter}
}

func findPartition(list []resolve.Partition, node string) *resolve.Partition {
	for i := range list {
		if list[i].Node == node {
			return &list[i]
		}
	}
	return nil
}

func (t *Trace) print(out io.Writer) {
	for _, a := range t.Actions {
		fmt.Fprintln(out, a)
	}
	for _, r := range t.Refused {
		fmt.Fprintln(out, r)
	}
	for _, a := range t.Assumed {
		fmt.Fprintln(out, "then", a)
	}
	if t.Missing != "" {
		fmt.Fprintln(out, "waits for", t.Missing)
	}
	for _, h := range t.Hints {
		fmt.Fprintln(out, h)
	}
}
