// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package stage1

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"slices"
	"strings"

	"github.com/initddi/initddi/internal/discover"
	"github.com/initddi/initddi/internal/floor"
	"github.com/initddi/initddi/internal/gpt"
	"github.com/initddi/initddi/internal/jsontext"
	"github.com/initddi/initddi/internal/options"
	"github.com/initddi/initddi/internal/plan"
	"github.com/initddi/initddi/internal/resolve"
)

// Errors of [Command].
var (
	// ErrNotPID1 says that the program was started by somebody else than the kernel and was not asked for a dry run.
	ErrNotPID1 = errors.New("not process 1")
	// ErrUsage says that the arguments make no sense.
	ErrUsage = errors.New("storageinit --help tells what there is")
	// ErrNothing says that a boot would enter nothing; why was printed.
	ErrNothing = errors.New("a boot would enter nothing")
)

const helpText = `storageinit --dry-run [OPTION...]

The init of stage 1. As process 1 it finds a signed image on the disk the machine
booted from, verifies it and enters it. Started by anybody else it only says what
a boot would do and why: files and signatures are read, devices are not made.

     --dry-run       Do that
     --root=DIR      Look at a captured machine: DIR/sys, DIR/proc, DIR/dev, with
                     files for disks, DIR/etc/verity.d, DIR/etc/initddi
     --cmdline=TEXT  Use this kernel command line
     --arch=ARCH     Judge as x86-64 or arm64. Default: as this machine
     --json          Print JSON
  -h --help          Show this help

Exit status: 0 an image would be entered; 1 none would, or something failed; 2 the
command line makes no sense.
`

// Command is the program as anybody but the kernel starts it. Errors wrap [ErrUsage], [ErrNotPID1] or [ErrNothing], or say what could
// not be read.
func Command(_ context.Context, out io.Writer, args []string) error {
	if is, err := runAside(args); is {
		return err
	}
	// What the options mean stands in helpText.
	var set options.Set
	var help, dry, asJSON bool
	var archName string
	var commandLine *string
	root := "/"
	set.Bool(&help, "help", "h")
	set.Bool(&dry, "dry-run")
	set.Bool(&asJSON, "json")
	set.Value("root", assignTo(&root))
	set.Value("arch", assignTo(&archName))
	set.Value("cmdline", func(s string) error {
		commandLine = &s
		return nil
	})
	rest, err := set.Parse(args)
	switch {
	case err != nil:
		return fmt.Errorf("%w; %w", err, ErrUsage)
	case help:
		_, err = io.WriteString(out, helpText)
		return err
	case len(rest) > 0:
		return fmt.Errorf("cannot use the argument %q: %w", rest[0], ErrUsage)
	case !dry:
		return fmt.Errorf("cannot boot: %w; %w", ErrNotPID1, ErrUsage)
	}
	arch := gpt.Arch(archName)
	if arch == gpt.NoArch {
		if arch, err = Arch(); err != nil {
			return err
		}
	}
	if _, ok := gpt.TypeOf(gpt.Root, arch); !ok {
		return fmt.Errorf("cannot judge for architecture %q: %w", arch, ErrUsage)
	}
	world, err := Open(root)
	if err != nil {
		return err
	}
	in, err := world.PlanInput(commandLine)
	if err != nil {
		return err
	}
	t, err := DryRun(world, in, arch)
	if err != nil {
		return err
	}
	if asJSON {
		text, err := jsontext.Marshal(t, "  ")
		if err != nil {
			return err
		}
		if _, err = fmt.Fprintf(out, "%s\n", text); err != nil {
			return err
		}
	} else {
		t.print(out)
	}
	if t.Assumed == nil {
		return ErrNothing
	}
	return nil
}

func assignTo(to *string) func(string) error {
	return func(s string) error {
		*to = s
		return nil
	}
}

// Trace is what a dry run found.
type Trace struct {
	Firmware resolve.Firmware `json:"firmware"`
	Actions  []resolve.Action `json:"actions"`
	// Assumed are the actions that a boot would take next if the image's blocks and its os-release are as they should be:
	// that is known only with dm-verity over them.
	Assumed []resolve.Action `json:"assumed,omitempty"`
	Missing string           `json:"missing,omitempty"`
	// Seen is what there is instead of what is missing: partitions, and disks without a table that could be read.
	Seen    []string `json:"seen,omitempty"`
	Refused []string `json:"refused,omitempty"`
	Hints   []string `json:"hints,omitempty"`
	// Warnings are what a boot would warn of, and what this program was not allowed to read.
	Warnings []string `json:"warnings,omitempty"`
}

// look returns what there is before anything is done. What cannot be read ends no boot: there may be another way to the same disk, and
// another disk.
func (t *Trace) look(w *World, m *discover.Machine) *resolve.Facts {
	f := &resolve.Facts{Settled: true, Images: map[string]*resolve.Image{}}
	warn := func(err error) {
		if err != nil {
			t.Warnings = append(t.Warnings, err.Error())
		}
	}
	var err error
	f.Firmware, err = m.Firmware()
	warn(err)
	t.Firmware = f.Firmware
	f.Record, err = w.Record()
	warn(err)
	f.Partitions, err = m.Partitions()
	warn(err)
	f.Pmem, f.Initrd = m.Pmem(), m.ListInitrd(w.Root)
	disks := m.DiskErrors()
	for _, node := range slices.Sorted(maps.Keys(disks)) {
		if errors.Is(disks[node], fs.ErrPermission) {
			warn(fmt.Errorf("%w: a boot may find more there", disks[node]))
		}
	}
	return f
}

// DryRun follows the flow as far as reading alone leads: partitions, files, partition tables and signatures are really read
// and judged; devices are not made. The error is one of the plan.
func DryRun(w *World, in plan.Input, arch gpt.Arch) (*Trace, error) {
	p, err := plan.New(in)
	if err != nil {
		return nil, err
	}
	m := &discover.Machine{Sys: w.Sys, Dev: w.Dev, Patience: discover.LookPatience}
	t := &Trace{}
	f := t.look(w, m)
	defer func() { t.Warnings = append(t.Warnings, p.Warnings...) }()
	for {
		step := resolve.Next(p, f)
		if step.Missing != "" {
			t.Missing = step.Missing
			if !f.TimeUp && len(p.Sources) > 1 {
				// A boot would wait, and then do this.
				f.TimeUp = true
				continue
			}
		}
		if step.Do == nil {
			step.Refused = slices.DeleteFunc(step.Refused, func(r resolve.Refusal) bool { return r.Rule == resolve.RuleMissing })
			for i := range step.Refused {
				t.Refused = append(t.Refused, step.Refused[i].Error())
			}
			if len(step.Refused) > 0 {
				t.Hints = hints(&RefusedError{Refusals: step.Refused})
			}
			if t.Missing != "" {
				disks := m.DiskErrors()
				maps.Copy(disks, m.Bare())
				for _, s := range (&TimeoutError{Partitions: f.Partitions, Disks: disks}).Details() {
					t.Seen = append(t.Seen, strings.TrimPrefix(s, "seen: "))
				}
			}
			return t, nil
		}
		a := *step.Do
		part := f.Partition(a.Partition)
		img := f.Images[a.Name()]
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
		case resolve.ListSource:
			t.Missing = "what " + string(a.Source) + " offers: a dry run asks no server"
			return t, nil
		case resolve.ReadFloor:
			// A captured machine has no TPM, and this one's is not asked: it may take more than reading rights.
			f.Floor = &floor.Floor{Index: p.RollbackIndex, State: floor.Unreachable, Err: ErrNoTPM}
		case resolve.ReadImage:
			f.Images[a.Name()] = readImage(w, m, f, arch, &a)
		case resolve.Verify:
			img.Authentic, img.Refusal = resolve.Authenticate(p, a.Name(), arch, img)
		default:
			t.Assumed = assume(a, t.extensions(w, m, p, f, arch, &a))
			for _, r := range resolve.Refusals(p, f) {
				t.Refused = append(t.Refused, r.Error())
			}
			return t, nil
		}
		t.Actions = append(t.Actions, a)
	}
}

// assume returns what follows an attach if all is well, with what is merged then.
func assume(attach resolve.Action, merge []resolve.Action) []resolve.Action {
	mount, enter := attach, attach
	mount.Verb, mount.Reason = resolve.Mount, "to hold os-release against the identity rules"
	enter.Verb, enter.Reason = resolve.Enter, "if the identity rules take it"
	return append(append([]resolve.Action{attach, mount}, merge...), enter)
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
	for _, s := range t.Seen {
		fmt.Fprintln(out, "seen:", s)
	}
	for _, h := range t.Hints {
		fmt.Fprintln(out, h)
	}
	for _, w := range t.Warnings {
		fmt.Fprintln(out, "warning:", w)
	}
}
