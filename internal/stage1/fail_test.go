// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package stage1

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/initddi/initddi/internal/discover/machinetest"
	"github.com/initddi/initddi/internal/gpt"
	"github.com/initddi/initddi/internal/linux/kmsg"
	"github.com/initddi/initddi/internal/linux/process"
	"github.com/initddi/initddi/internal/plan"
	"github.com/initddi/initddi/internal/report"
	"github.com/initddi/initddi/internal/resolve"
)

// rules are all there are; a new one must be given a hint.
var rules = []resolve.Rule{
	resolve.RuleOnePartition, resolve.RuleMissing, resolve.RuleReachable, resolve.RuleFileSystem, resolve.RuleFound, resolve.RuleReadable, resolve.RulePartitions, resolve.RuleSigned,
	resolve.RuleRootHash, resolve.RulePin, resolve.RuleDenied, resolve.RuleIdentity, resolve.RuleInit, resolve.RuleVerity, resolve.RuleSettings, resolve.RuleRollback,
}

func TestHints(t *testing.T) {
	const general = "what to do: install another image"
	for _, r := range rules {
		got := hints(fmt.Errorf("x: %w", &RefusedError{Refusals: []resolve.Refusal{{Candidate: "a", Rule: r}, {Candidate: "b", Rule: r}}}))
		if len(got) != 1 || got[0] == general || !strings.HasPrefix(got[0], "what to do: ") {
			t.Errorf("%s: %q", r, got)
		}
	}
	for _, test := range []struct {
		err  error
		word string
	}{
		{&RefusedError{Refusals: []resolve.Refusal{{Rule: "future"}}}, general},
		{&RefusedError{}, "DEBUGGING"},
		{&RefusedError{Refusals: []resolve.Refusal{{Rule: resolve.RuleOnePartition}}}, "ddi.device="},
		{&RefusedError{Refusals: []resolve.Refusal{{Rule: resolve.RuleFound}}}, "/loader/ddi"},
		{&RefusedError{Refusals: []resolve.Refusal{{Rule: resolve.RuleFound, Source: plan.SourceInitrd}}}, "boot loader"},
		{&RefusedError{Refusals: []resolve.Refusal{{Rule: resolve.RuleFound, Source: plan.SourcePmem}}}, "memmap="},
		{&RefusedError{Refusals: []resolve.Refusal{{Rule: resolve.RuleFound, Source: plan.SourceHTTP}}}, "ddi.url="},
		{&RefusedError{Refusals: []resolve.Refusal{{Rule: resolve.RuleMissing}}, Late: &TimeoutError{}}, "--class"},
		{&RefusedError{Refusals: []resolve.Refusal{{Rule: resolve.RuleSigned}}}, "sign the image"},
		{&RefusedError{Refusals: []resolve.Refusal{{Rule: resolve.RuleInit}}}, "ddi.init="},
		{&RefusedError{Refusals: []resolve.Refusal{{Rule: resolve.RuleVerity}}}, "copy it again"},
		{&TimeoutError{}, "--class"},
		{errors.Join(errors.New("x"), &plan.KeyError{Err: plan.ErrValue}), "CMDLINE"},
		{&RefusedError{Refusals: []resolve.Refusal{{Rule: resolve.RuleFileSystem}}}, "fsck.vfat"},
		{&StackError{Err: errors.New("x")}, "--modules"},
		{&StuckError{Modules: []string{"sd_mod"}}, "ddi.device="},
		{&EnterError{Err: errors.New("x")}, "architecture"},
		{errors.New("x"), "DEBUGGING"},
	} {
		if got := hints(test.err); len(got) != 1 || !strings.Contains(got[0], test.word) {
			t.Errorf("%v: %q, want %q", test.err, got, test.word)
		}
	}
}

// TestHintsOfSeveral: each remedy once, with the rules it is for, in the order of the candidates, and no more than fit.
func TestHintsOfSeveral(t *testing.T) {
	refused := func(rules ...resolve.Rule) error {
		e := &RefusedError{}
		for _, r := range rules {
			e.Refusals = append(e.Refusals, resolve.Refusal{Candidate: "x", Rule: r})
		}
		return e
	}
	same := hints(refused(resolve.RuleIdentity, resolve.RulePin, resolve.RuleDenied))
	if len(same) != 1 || same[0] != refusedHint(&resolve.Refusal{Rule: resolve.RulePin}) {
		t.Errorf("one remedy for all: %q", same)
	}
	got := hints(refused(resolve.RuleIdentity, resolve.RuleSigned, resolve.RulePin, resolve.RuleSigned))
	want := []string{refusedHint(&resolve.Refusal{Rule: resolve.RuleIdentity}) + " [identity pin]", refusedHint(&resolve.Refusal{Rule: resolve.RuleSigned}) + " [signed]"}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	if many := hints(refused(rules...)); len(many) != maxHints+1 || !strings.Contains(many[maxHints], "docs/ERRORS.md") {
		t.Errorf("all rules: %q", many)
	}
}

func TestRefusedError(t *testing.T) {
	err := &RefusedError{Refusals: []resolve.Refusal{{Candidate: "a", Rule: resolve.RuleFound}, {Candidate: "b", Rule: resolve.RuleSigned, Found: "x"}}}
	if got, want := err.Error(), "a refused (found)\nb refused (signed): found x, wanted nothing"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	// What did not appear is said as if nothing else had been tried, with what was seen instead.
	err = &RefusedError{[]resolve.Refusal{{Candidate: "PARTUUID=x", Rule: resolve.RuleMissing}, {Candidate: "initrd", Rule: resolve.RuleFound}}, timeout(1)}
	if got, want := err.Error(), "cannot find PARTUUID=x: nothing appeared in 1m0s\ninitrd refused (found)"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	var late *TimeoutError
	if !errors.As(err, &late) || len(late.Details()) == 0 {
		t.Error("what was seen instead is lost")
	}
}

func timeout(devices int) *TimeoutError {
	e := &TimeoutError{
		Missing: "PARTUUID=x", After: time.Minute,
		Partitions: []resolve.Partition{{Node: "vda1", UUID: uuid1, Label: "root"}},
		Disks:      map[string]error{"vdc": errors.New("no GUID partition table"), "vdb": errors.New("no medium")},
		Classes:    []string{"virtio", "nvme"},
		Undriven:   []string{"acpi:LNXSYSTM:", "pci:v00001000d00000012sv00001000sd00000000bc01sc00i00", "usb:v0000p0000ic08isc06ip50in00"},
	}
	for i := range devices {
		e.Undriven = append(e.Undriven, fmt.Sprintf("acpi:PNP%04d:", i))
	}
	return e
}

func TestTimeoutDetails(t *testing.T) {
	got := strings.Join(timeout(0).Details(), "\n")
	want := `seen: /dev/vda1 PARTUUID=` + uuid1.String() + `  "root"
seen: /dev/vdb: no medium
seen: /dev/vdc: no GUID partition table
no driver for pci:v00001000d00000012sv00001000sd00000000bc01sc00i00; this stage 1 carries virtio, nvme
no driver for usb:v0000p0000ic08isc06ip50in00; this stage 1 carries virtio, nvme, not usb
no driver, and no disk as a rule: acpi:LNXSYSTM:`
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	none := &TimeoutError{Undriven: []string{"x"}}
	if got := none.Details(); len(got) != 2 || got[0] != "every controller of disks has a driver; this stage 1 carries no drivers at all" || !strings.HasSuffix(got[1], " x") {
		t.Errorf("got %q", got)
	}
	// Each of many devices is named once, and no line is endless.
	many := &TimeoutError{Undriven: []string{"x", "x"}, Classes: []string{"usb"}, Modules: []string{"module sd_mod is still being loaded"}}
	for i := range 100 {
		many.Undriven = append(many.Undriven, fmt.Sprintf("acpi:PNP%04d:", i))
	}
	lines := many.Details()
	text := strings.Join(lines, "\n")
	if lines[0] != many.Modules[0] || strings.Count(text, " x") != 1 || strings.Count(text, "acpi:PNP") != 100 || strings.Count(text, "carries usb") != 1 {
		t.Errorf("got\n%s", text)
	}
	for _, l := range lines {
		if len(l) > 200 {
			t.Errorf("a line of %d characters: %s", len(l), l)
		}
	}
}

func TestIsStorage(t *testing.T) {
	for modalias, want := range map[string]bool{
		"pci:v00001AF4d00001001sv00001AF4sd00000002bc01sc00i00": true,  // virtio-blk
		"pci:v00008086d00002922sv00001AF4sd00001100bc01sc06i01": true,  // AHCI
		"pci:v0000144Dd0000A808sv0000144Dsd0000A801bc01sc08i02": true,  // NVMe
		"pci:v00001B36d0000000Dsv00001AF4sd00001100bc0Csc03i30": true,  // xHCI: a disk may hang on it
		"pci:v00001B36d00000007sv00001AF4sd00001100bc08sc05i01": true,  // SDHCI
		"pci:v00008086d000010D3sv00008086sd0000A01Fbc02sc00i00": false, // network
		"pci:v00008086d00002918sv00001AF4sd00001100bc06sc01i00": false, // bridge
		"virtio:d00000002v00001AF4":                             true,
		"virtio:d00000008v00001AF4":                             true,
		"virtio:d00000001v00001AF4":                             false,
		"usb:v0BDAp9210d2001dc00dsc00dp00ic08isc06ip62in00":     true,
		"usb:v046DpC31Cd6401dc00dsc00dp00ic03isc01ip01in00":     false,
		"scsi:t-0x00":       true,
		"scsi:t-0x05":       false, // CDs
		"mmc:block":         true,
		"acpi:PNP0A08:":     false,
		"cpu:type:x86,ven0": false,
		"":                  false,
	} {
		if got := isStorage(modalias); got != want {
			t.Errorf("isStorage(%q) is %v", modalias, got)
		}
	}
}

func TestScreen(t *testing.T) {
	var out bytes.Buffer
	log := &report.Log{Console: &out, Level: kmsg.Info}
	screen(log, nil)
	if out.Len() != 0 {
		t.Errorf("nothing happened: %s", out.String())
	}
	long := timeout(100)
	for range 90 {
		long.Undriven = append(long.Undriven, "pci:v0000abcdd00000001sv00000000sd00000000bc01sc04i00")
	}
	screen(log, long)
	text := out.String()
	if lines := strings.Count(text, "\n"); lines > 30 {
		t.Errorf("%d lines do not fit on a screen", lines)
	}
	for _, word := range []string{"cannot boot:", "cannot find PARTUUID=x: nothing appeared in 1m0s", "more; the kernel log has them", "what to do: check that the disk is there", "pci:v00001000"} {
		if !strings.Contains(text, word) {
			t.Errorf("the screen does not say %q:\n%s", word, text)
		}
	}
	out.Reset()
	many := &RefusedError{}
	for range 65 {
		many.Refusals = append(many.Refusals, resolve.Refusal{Candidate: "x", Rule: resolve.RuleSigned})
	}
	screen(log, many)
	if text := out.String(); strings.Count(text, "x refused") != 24 || !strings.Contains(text, "and 41 more") {
		t.Errorf("many candidates:\n%s", text)
	}
	out.Reset()
	screen(log, &RefusedError{Refusals: []resolve.Refusal{{Candidate: "a", Rule: resolve.RuleFound}, {Candidate: "b", Rule: resolve.RuleSigned}}})
	want := "initddi: cannot boot:\ninitddi:   a refused (found)\ninitddi:   b refused (signed)\ninitddi:   " + refusedHint(&resolve.Refusal{Rule: resolve.RuleFound}) +
		" [found]\ninitddi:   " + refusedHint(&resolve.Refusal{Rule: resolve.RuleSigned}) + " [signed]\n"
	if out.String() != want {
		t.Errorf("got\n%s\nwant\n%s", out.String(), want)
	}
}

func TestStops(t *testing.T) {
	var out bytes.Buffer
	b := &boot{plan: &plan.Plan{}, log: &report.Log{Console: &out, Level: kmsg.Debug}, passed: map[plan.Stage]bool{}}
	for _, s := range []plan.Stage{plan.StageVerify, plan.StageStorage, plan.StageHandoff, plan.StageHandoff} {
		if err := b.stopBefore(s); err != nil {
			t.Error(err)
		}
	}
	if len(b.passed) != 5 || out.Len() != 0 {
		t.Errorf("passed %v, said %s", b.passed, out.String())
	}
}

func TestDeviceName(t *testing.T) {
	h := []byte{0xab, 0xcd}
	for _, test := range []struct {
		tree resolve.Tree
		want string
	}{
		{resolve.Tree{Designator: gpt.Root, Kind: plan.KindOS}, "root"}, {resolve.Tree{Designator: gpt.Usr, Kind: plan.KindOS}, "usr"},
		{resolve.Tree{Designator: gpt.Root, Kind: plan.KindInitrd}, "abcd-verity"}, {resolve.Tree{Designator: gpt.Usr, Kind: plan.KindInitrd}, "abcd-verity"},
	} {
		if got := deviceName(&test.tree, h); got != test.want {
			t.Errorf("%+v is %s, want %s", test.tree, got, test.want)
		}
	}
}

func TestConsoleLevel(t *testing.T) {
	for l, want := range map[plan.Level]kmsg.Priority{plan.LevelErr: kmsg.Err, plan.LevelInfo: kmsg.Info, plan.LevelDebug: kmsg.Debug} {
		if got := consoleLevel(l); got != want {
			t.Errorf("%s: %d, want %d", l, got, want)
		}
	}
}

// bomb is a console that panics at what it is told to show.
type bomb struct{ word string }

func (b bomb) Write(text []byte) (int, error) {
	if strings.Contains(string(text), b.word) {
		panic("the console broke")
	}
	return len(text), nil
}

// TestPanicIsAnError: process 1 must not end, and what was told to become of a failure must become of this one, too.
func TestPanicIsAnError(t *testing.T) {
	m := machinetest.New(t)
	m.Write("proc/cmdline", "ddi.fail=poweroff\n")
	w, err := Open(m.Dir)
	if err != nil {
		t.Fatal(err)
	}
	p, err := Run(t.Context(), w, &report.Log{Console: bomb{"plan:"}, Level: kmsg.Info}, nil, nil)
	var panicked *process.PanicError
	if !errors.As(err, &panicked) || !strings.Contains(err.Error(), "internal error: the console broke") {
		t.Errorf("got %v", err)
	}
	if p == nil || p.Fail != plan.FailPowerOff {
		t.Errorf("the plan was lost: %+v", p)
	}
	// Nor must it end while it tells of the end.
	screen(&report.Log{Console: bomb{"what to do"}, Level: kmsg.Info}, err)
	var out bytes.Buffer
	log := &report.Log{Console: &out, Level: kmsg.Debug}
	if n := failuresInARow(&World{}, log, err); n != 0 || !strings.Contains(out.String(), "cannot record this failure: internal error") {
		t.Errorf("%d, %s", n, out.String())
	}
	screen(log, err)
	if !strings.Contains(out.String(), "bomb") {
		t.Errorf("nothing says where it happened:\n%s", out.String())
	}
}
