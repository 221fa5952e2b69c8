// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package discover

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/initddi/initddi/internal/discover/machinetest"
	"github.com/initddi/initddi/internal/esp"
	"github.com/initddi/initddi/internal/guid"
	"github.com/initddi/initddi/internal/linux/process"
	"github.com/initddi/initddi/internal/program"
	"github.com/initddi/initddi/internal/resolve"
)

// short is the patience of tests, on a machine that may be busy with others; what is not awaited at all takes much less, and what is, twice.
const short = time.Second

// silence puts something in the place of a device of which opening never ends: a pipe that nobody writes to.
func silence(t *testing.T, name string) {
	t.Helper()
	if err := os.Remove(name); err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	if err := syscall.Mkfifo(name, 0o600); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		// Let whoever waits there go.
		if f, err := os.OpenFile(name, os.O_RDWR, 0); err == nil {
			f.Close()
		}
	})
}

// machine has the disks vda to vdd with an ESP each.
func machine(t *testing.T) (*machinetest.Machine, *Machine) {
	t.Helper()
	m := machinetest.New(t)
	for i, node := range []string{"vda", "vdb", "vdc", "vdd"} {
		name := filepath.Join(t.TempDir(), "disk.img")
		table, err := esp.Build(t.Context(), name, esp.Options{Seed: guid.GUID{byte(i)}, ESPSize: 2 << 20})
		if errors.Is(err, program.ErrMissing) {
			t.Skip("needs ", err)
		}
		if err != nil {
			t.Fatal(err)
		}
		m.Disk(node, name, 512, table)
	}
	return m, &Machine{Sys: m.Root("sys"), Dev: m.Root("dev"), Patience: short, Timeout: short}
}

func nodes(list []resolve.Partition) string {
	var out []string
	for _, p := range list {
		out = append(out, p.Node)
	}
	return strings.Join(out, " ")
}

// TestSilentDisks: three disks that never answer cost the patience for one, once, and the fourth is there.
func TestSilentDisks(t *testing.T) {
	fake, m := machine(t)
	for _, node := range []string{"vda", "vdb", "vdd"} {
		silence(t, fake.Path("dev/"+node))
	}
	start := time.Now()
	parts, err := m.Partitions()
	if took := time.Since(start); err != nil || nodes(parts) != "vdc1" || took < short || took > 2*short {
		t.Errorf("%s after %s, %v", nodes(parts), took, err)
	}
	start = time.Now()
	parts, err = m.Partitions()
	if took := time.Since(start); err != nil || nodes(parts) != "vdc1" || took > short/2 {
		t.Errorf("looking again: %s after %s, %v", nodes(parts), took, err)
	}
	if got := m.Silent(); len(got) != 3 || time.Since(got["vda"]) < short {
		t.Errorf("silent are %v", got)
	}
	errs := m.DiskErrors()
	if err := errs["vdb"]; len(errs) != 3 || !errors.Is(err, ErrSilent) || !errors.Is(err, ErrNotReady) || !m.Unready() {
		t.Errorf("the errors are %v", errs)
	}
	// A disk that owes an answer is not asked again, whatever the kernel says of it: each question keeps a thread.
	first := m.disks["vda"]
	m.Forget("vda")
	m.ForgetAll()
	if _, err := m.Partitions(); err != nil || m.disks["vda"] != first {
		t.Errorf("asked again, %v", err)
	}
}

// TestLateAnswer: what a disk says after all counts, unless it has changed since.
func TestLateAnswer(t *testing.T) {
	fake, m := machine(t)
	good, err := m.Partitions()
	if err != nil || nodes(good) != "vda1 vdb1 vdc1 vdd1" {
		t.Fatal(nodes(good), err)
	}
	release := make(chan struct{})
	late := func(from *disk) *disk {
		d := &disk{}
		d.question = ask("x", func() error {
			<-release
			d.table, d.sectorSize = from.table, from.sectorSize
			return nil
		})
		return d
	}
	m.disks["vda"], m.disks["vdb"] = late(m.disks["vda"]), late(m.disks["vdb"])
	m.Forget("vdb")
	fake.Write("dev/vdb", "no table")
	if parts, err := m.Partitions(); err != nil || nodes(parts) != "vdc1 vdd1" {
		t.Errorf("before: %s, %v", nodes(parts), err)
	}
	close(release)
	<-m.disks["vda"].done
	<-m.disks["vdb"].done
	if parts, err := m.Partitions(); err != nil || nodes(parts) != "vda1 vdc1 vdd1" || len(m.Silent()) != 0 {
		t.Errorf("after: %s, %v, silent %v", nodes(parts), err, m.Silent())
	}
}

// TestSilentPartition: a partition that stops answering gives an error in time, whatever it is asked.
func TestSilentPartition(t *testing.T) {
	fake, m := machine(t)
	parts, err := m.Partitions()
	if err != nil {
		t.Fatal(err)
	}
	part := parts[0]
	dirs := []string{"/"}
	silence(t, fake.Path("dev/vda1"))
	start := time.Now()
	if l := m.List(part, dirs); !errors.Is(l.Err, ErrSilent) || !errors.Is(l.Err, ErrNotReady) || time.Since(start) > 2*short {
		t.Errorf("%v after %s", l.Err, time.Since(start))
	}
	q := m.asked["vda1"]
	start = time.Now()
	l, s, i := m.List(part, dirs), m.ReadSettings(part, "/x"), m.ReadImage(part, "x86-64", "/x")
	if !errors.Is(l.Err, ErrSilent) || !errors.Is(s.Err, ErrSilent) || !errors.Is(i.Err, ErrSilent) || time.Since(start) > short/2 || m.asked["vda1"] != q {
		t.Errorf("asked again: %v, %v, %v after %s", l.Err, s.Err, i.Err, time.Since(start))
	}
	if _, ok := m.Silent()["vda1"]; !ok {
		t.Errorf("silent are %v", m.Silent())
	}
	// The answer to what was asked first comes, and is taken; to anything else it is none.
	done := make(chan struct{})
	close(done)
	want := &resolve.Listing{Dirs: dirs}
	m.asked["vda1"] = &question{node: "vda1", done: done, listing: want}
	if got := m.List(part, dirs); got != want || m.asked["vda1"] != nil {
		t.Errorf("the late answer is %+v", got)
	}
	m.asked["vdb1"] = &question{node: "vdb1", done: done, listing: want}
	if got := m.List(parts[1], []string{"/other"}); got == want || got.Err != nil {
		t.Errorf("the late answer to something else is %+v", got)
	}
	// One that is silent at once gets the other bound.
	silence(t, fake.Path("dev/vdc1"))
	if i := m.ReadImage(parts[2], "x86-64", "/x"); !errors.Is(i.Err, ErrSilent) {
		t.Errorf("got %v", i.Err)
	}
}

func TestQuestionPanics(t *testing.T) {
	q := ask("vda", func() error { panic("x") })
	var p *process.PanicError
	if err := q.wait(time.Minute); !errors.As(err, &p) {
		t.Errorf("got %v", err)
	}
}

// TestBare: why the kernel may have found no partitions.
func TestBare(t *testing.T) {
	fake, _ := machine(t)
	other := filepath.Join(t.TempDir(), "disk.img")
	table, err := esp.Build(t.Context(), other, esp.Options{ESPSize: 2 << 20})
	if err != nil {
		t.Fatal(err)
	}
	fake.Disk("nvme0n1", other, 4096, nil) // the table is for 512
	fake.Disk("sda", other, 512, nil)
	fake.Write("dev/sda", "nothing")
	fake.Disk("sdb", other, table.SectorSize, nil)
	base := fake.Disk("sr0", other, 512, nil)
	fake.Write("sys/"+base+"/size", "0\n")
	fake.Disk("sdc", other, 512, nil)
	silence(t, fake.Path("dev/sdc"))
	m := &Machine{Sys: fake.Root("sys"), Dev: fake.Root("dev"), Patience: short}
	if _, err := m.Partitions(); err != nil {
		t.Fatal(err)
	}
	got := m.Bare()
	for node, want := range map[string]string{
		"nvme0n1": "the kernel found no partitions; there is a partition table for sectors of 512 bytes, the disk's have 4096",
		"sda":     "the kernel found no partitions: cannot read the partition table",
		"sdb":     "the kernel found no partitions",
		"sdc":     "no answer",
	} {
		if got[node] == nil || !strings.Contains(got[node].Error(), want) {
			t.Errorf("%s: %v, want %q", node, got[node], want)
		}
	}
	if len(got) != 4 {
		t.Errorf("got %v", got)
	}
	// Who waits for the answer is known, for it keeps the disk open, and is not joined by a second one.
	if silent := m.Silent(); len(silent) != 1 || silent["sdc"].IsZero() {
		t.Errorf("silent are %v", silent)
	}
	q := m.asked["sdc"]
	if m.Bare(); m.asked["sdc"] != q {
		t.Error("a disk that owes an answer was asked again")
	}
}
