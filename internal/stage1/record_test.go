// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package stage1

import (
	"bytes"
	"errors"
	"os"
	"reflect"
	"strings"
	"testing"

	"github.com/initddi/initddi/internal/attempt"
	"github.com/initddi/initddi/internal/discover/machinetest"
	"github.com/initddi/initddi/internal/efivar"
	"github.com/initddi/initddi/internal/linux/kmsg"
	"github.com/initddi/initddi/internal/plan"
	"github.com/initddi/initddi/internal/report"
	"github.com/initddi/initddi/internal/resolve"
)

// remembering is a boot on a machine, and what its console shows.
func remembering(t *testing.T, m *machinetest.Machine) (*boot, *bytes.Buffer) {
	t.Helper()
	w, err := Open(m.Dir)
	if err != nil {
		t.Fatal(err)
	}
	var console bytes.Buffer
	return &boot{world: w, plan: &plan.Plan{Attempts: 1}, report: &report.Boot{}, log: &report.Log{Console: &console, Level: kmsg.Debug}}, &console
}

func TestRecordSurvives(t *testing.T) {
	m := machinetest.New(t)
	hash := bytes.Repeat([]byte{7}, 32)
	b, console := remembering(t, m)
	b.readRecord()
	b.noteEntry(&resolve.Authentic{RootHash: hash})
	if console.Len() != 0 || !reflect.DeepEqual(b.facts.Record, attempt.Record{}) {
		t.Errorf("without EFI variables: %+v, %s", b.facts.Record, console)
	}
	m.Write("sys/firmware/efi/efivars/other", "x")
	b, console = remembering(t, m)
	b.readRecord()
	b.noteEntry(&resolve.Authentic{RootHash: hash})
	if console.Len() != 0 {
		t.Errorf("the first boot says %s", console)
	}
	b, console = remembering(t, m)
	b.readRecord()
	if got := b.facts.Record.Look(hash); got.Tries != 1 || !strings.Contains(console.String(), "the boot before this one entered the image with root hash 0707070707070707") {
		t.Errorf("the second boot knows %+v and says %s", got, console)
	}
	if !strings.Contains(b.report.LastFailure, "did not come up well") {
		t.Errorf("the report has %q", b.report.LastFailure)
	}
	file, err := os.ReadFile(m.Path("sys/firmware/efi/efivars/" + recordName()))
	if err != nil {
		t.Fatal(err)
	}
	if attrs, _, err := efivar.Decode(file); attrs != 7 || err != nil {
		t.Errorf("attributes %#x, %v: must be non-volatile and readable in the system", attrs, err)
	}
}

// TestRecordThatMakesNoSense: it is said, and the boot goes on knowing nothing.
func TestRecordThatMakesNoSense(t *testing.T) {
	for name, content := range map[string]string{
		"nothing": "", "no attributes": "\a", "rubbish": "\a\x00\x00\x00rubbish", "far too long": strings.Repeat("x", 1<<20),
	} {
		m := machinetest.New(t)
		m.Write("sys/firmware/efi/efivars/"+recordName(), content)
		b, console := remembering(t, m)
		b.readRecord()
		if !reflect.DeepEqual(b.facts.Record, attempt.Record{}) || !strings.Contains(console.String(), "cannot use the record of earlier boots: ") {
			t.Errorf("%s: %+v, %s", name, b.facts.Record, console)
		}
	}
	m := machinetest.New(t)
	if err := os.MkdirAll(m.Path("sys/firmware/efi/efivars/"+recordName()), 0o755); err != nil {
		t.Fatal(err)
	}
	b, console := remembering(t, m)
	b.noteEntry(&resolve.Authentic{RootHash: bytes.Repeat([]byte{7}, 32)})
	if !strings.Contains(console.String(), "cannot write EFI variable") {
		t.Errorf("the console says %q", console)
	}
}

// TestFailureWithoutFirmware: a machine without EFI variables waits as after a first failure.
func TestFailureWithoutFirmware(t *testing.T) {
	m := machinetest.New(t)
	b, console := remembering(t, m)
	if n := noteFailure(b.world, b.log, errors.New("x")); n != 0 || console.Len() != 0 {
		t.Errorf("%d, %s", n, console)
	}
}

// TestNobodyCounts: with attempts=no a boot that gets through leaves no note, and takes that of a failure away.
func TestNobodyCounts(t *testing.T) {
	m := machinetest.New(t)
	b, _ := remembering(t, m)
	b.plan.Attempts = 0
	hash := bytes.Repeat([]byte{7}, 32)
	m.Write("sys/firmware/efi/efivars/"+recordName(), string(efivar.Encode(7, (&attempt.Record{}).Failed("no disk").Encode())))
	b.readRecord()
	if !strings.Contains(b.report.LastFailure, "no disk") {
		t.Errorf("the report has %q", b.report.LastFailure)
	}
	b.noteEntry(&resolve.Authentic{RootHash: hash})
	if r, err := b.world.Record(); err != nil || r.Failures != 0 || r.Text != "" || len(r.Images) != 0 {
		t.Errorf("%+v, %v", r, err)
	}
}
