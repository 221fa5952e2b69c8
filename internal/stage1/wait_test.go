// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package stage1

import (
	"bytes"
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/initddi/initddi/internal/discover"
	"github.com/initddi/initddi/internal/discover/machinetest"
	"github.com/initddi/initddi/internal/drivers"
	"github.com/initddi/initddi/internal/esp"
	"github.com/initddi/initddi/internal/modtable"
	"github.com/initddi/initddi/internal/program"
	"github.com/initddi/initddi/internal/resolve"
)

// waiting is a boot that follows the events of a machine, and what its console shows.
func waiting(t *testing.T, m *machinetest.Machine) (*boot, *bytes.Buffer) {
	t.Helper()
	b, console := remembering(t, m)
	table, err := modtable.New(modtable.Spec{Release: "none"})
	if err != nil {
		t.Fatal(err)
	}
	b.machine = &discover.Machine{Sys: b.world.Sys, Dev: b.world.Dev}
	b.plan.Timeout, b.started = time.Minute, time.Now()
	b.devices = &devices{world: b.world, log: b.log, table: table, events: make(chan []byte), loader: drivers.New(table, "", nil, nil), bare: b.machine.Bare}
	return b, console
}

// machineWithESP is a machine with one disk, vda, that has an ESP.
func machineWithESP(t *testing.T) *machinetest.Machine {
	t.Helper()
	name := filepath.Join(t.TempDir(), "disk.img")
	table, err := esp.Build(t.Context(), name, esp.Options{ESPUUID: uuid1, ESPSize: 8 << 20})
	if errors.Is(err, program.ErrMissing) {
		t.Skip("needs ", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	m := machinetest.New(t)
	m.Disk("vda", name, 512, table)
	return m
}

func event(action, subsystem string, more ...string) []byte {
	fields := append([]string{action + "@/devices/x", "ACTION=" + action, "DEVPATH=/devices/x", "SUBSYSTEM=" + subsystem, "SEQNUM=1"}, more...)
	return []byte(strings.Join(fields, "\x00") + "\x00")
}

// repeat sends an event again and again until the test ends.
func repeat(t *testing.T, b *boot, msg []byte) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	t.Cleanup(cancel)
	go func() {
		for {
			select {
			case <-ctx.Done():
				return
			case b.devices.events <- msg:
				time.Sleep(20 * time.Millisecond)
			}
		}
	}()
}

// TestSettles: what has nothing to do with disks does not put off "the only ESP", and what has does not do so forever.
func TestSettles(t *testing.T) {
	const missing = "the only EFI system partition"
	const guessing = "a firmware that does not name it"
	hub := event("add", "usb", "DEVTYPE=usb_device", "MODALIAS=usb:v05E3p0608d9303dc09dsc00dp02ic09isc00ip02in00")
	for _, test := range []struct {
		name  string
		msg   []byte
		limit time.Duration
		usb   string // what delay_use is
		want  time.Duration
		warns bool
	}{
		{"silence", nil, time.Minute, "", settleTime, false},
		{guessing, nil, time.Minute, "", guessTime, false},
		{"a hub that comes and goes", hub, time.Minute, "", settleTime, false},
		{"hosts without end", event("add", "scsi_host"), time.Second, "", time.Second, true},
		{"disks without end", event("add", "scsi", "MODALIAS=scsi:t-0x00"), time.Second, "", time.Second, true},
		{"USB", nil, time.Minute, "1", settleTime + usbDelay, false},
		{"a fast USB", nil, time.Minute, "100ms", settleTime + 100*time.Millisecond, false},
	} {
		inFakeTime(t, test.name, func(t *testing.T) {
			m := machineWithESP(t)
			if test.usb != "" {
				m.Write("sys/bus/usb/devices/usb1/speed", "480\n")
				m.Write("sys/module/usb_storage/parameters/delay_use", test.usb+"\n")
			}
			b, console := waiting(t, m)
			b.devices.guessing = test.name == guessing
			b.rescan()
			if step := resolve.Next(b.plan, &b.facts); step.Missing == "" {
				t.Fatalf("nothing to wait for: %+v", step)
			}
			if test.msg != nil {
				repeat(t, b, test.msg)
			}
			start := time.Now()
			err := b.wait(missing, start.Add(test.limit))
			took := time.Since(start)
			if err != nil || !b.facts.Settled || took != test.want {
				t.Errorf("%v after %s, wanted %s, settled %v", err, took, test.want, b.facts.Settled)
			}
			if step := resolve.Next(b.plan, &b.facts); step.Do == nil || step.Do.Verb != resolve.ListPartition {
				t.Errorf("then %+v", step)
			}
			if got := strings.Contains(console.String(), "still appearing"); got != test.warns {
				t.Errorf("the console says %s", console)
			}
		})
	}
	inFakeTime(t, "a machine without the disk", func(t *testing.T) {
		b, _ := waiting(t, machinetest.New(t))
		repeat(t, b, event("add", "scsi_host"))
		var timeout *TimeoutError
		if err := b.wait(missing, time.Now().Add(100*time.Millisecond)); !errors.As(err, &timeout) {
			t.Errorf("got %v", err)
		}
	})
}

// TestTakeUp: what the kernel has said meanwhile is taken up together, so that many disks that appear at once are looked at once.
func TestTakeUp(t *testing.T) {
	b, _ := waiting(t, machinetest.New(t))
	b.devices.events = make(chan []byte, 64)
	for len(b.devices.events) < cap(b.devices.events)-1 {
		b.devices.events <- event("add", "block", "DEVTYPE=disk", "DEVNAME=sda")
	}
	b.devices.events <- event("add", "net")
	if err := b.wait("x", time.Now().Add(time.Minute)); err != nil || len(b.devices.events) != 0 {
		t.Errorf("%v, %d events are left", err, len(b.devices.events))
	}
	b.devices.events <- event("add", "net")
	if b.lastLook() {
		t.Error("a network card is taken for a disk")
	}
	b.devices.events <- event("add", "block", "DEVTYPE=disk", "DEVNAME=sda")
	b.devices.events <- event("add", "net")
	if !b.lastLook() {
		t.Error("a disk is missed")
	}
}

// inFakeTime runs a test in which time goes on only when everybody waits: a busy machine makes nothing late.
func inFakeTime(t *testing.T, name string, test func(t *testing.T)) {
	t.Run(name, func(t *testing.T) { synctest.Test(t, test) })
}

// socket puts something into /dev that is there and cannot be opened (ENXIO).
func socket(t *testing.T, name string) {
	t.Helper()
	t.Chdir(filepath.Dir(name)) // a socket's path has at most 107 bytes
	l, err := net.Listen("unix", filepath.Base(name))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
}

// fifo puts something in the place of a device of which opening never ends, until somebody lets it.
func fifo(t *testing.T, name string) {
	t.Helper()
	if err := os.Remove(name); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mkfifo(name, 0o600); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { let(t, name) })
}

func let(t *testing.T, name string) {
	t.Helper()
	f, err := os.OpenFile(name, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	f.Close()
}

// TestNotReady: a partition that cannot be opened yet is waited for; nothing is refused because of it before the time is up.
func TestNotReady(t *testing.T) {
	m := machineWithESP(t)
	node := m.Path("dev/vda1")
	if err := os.Rename(node, node+".later"); err != nil {
		t.Fatal(err)
	}
	socket(t, node)
	b, console := waiting(t, m)
	b.facts.Firmware.BootPartition = uuid1
	b.rescan()
	step := resolve.Next(b.plan, &b.facts)
	if step.Do == nil || step.Do.Verb != resolve.ListPartition {
		t.Fatalf("first %+v", step)
	}
	if err := b.carryOut(step.Do); err != nil {
		t.Fatal(err)
	}
	if step = resolve.Next(b.plan, &b.facts); step.Missing == "" {
		t.Fatalf("not waited for: %+v, %s", step, console)
	}
	var timeout *TimeoutError
	if err := b.wait(step.Missing, time.Now()); !errors.As(err, &timeout) || !strings.Contains(strings.Join(timeout.Details(), "\n"), "/dev/vda1: cannot open") {
		t.Errorf("when time is up: %v", err)
	}
	b.facts.Settled = true // long ago
	if err := os.Rename(node+".later", node); err != nil {
		t.Fatal(err)
	}
	if err := b.wait(step.Missing, time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	step = resolve.Next(b.plan, &b.facts)
	if step.Do == nil {
		t.Fatalf("once it is ready: %+v", step)
	}
	if err := b.carryOut(step.Do); err != nil || b.facts.Partitions[0].Listing == nil || b.facts.Partitions[0].Listing.Err != nil {
		t.Errorf("%v, %+v", err, b.facts.Partitions)
	}
}

// TestLostEvents: after events were lost every disk may be another one.
func TestLostEvents(t *testing.T) {
	m := machineWithESP(t)
	disk, err := os.ReadFile(m.Path("dev/vda"))
	if err != nil {
		t.Fatal(err)
	}
	m.Write("dev/vda", "no table")
	b, _ := waiting(t, m)
	b.rescan()
	if len(b.facts.Partitions) != 0 {
		t.Fatalf("got %+v", b.facts.Partitions)
	}
	m.Write("dev/vda", string(disk))
	go func() { b.devices.events <- nil }()
	if err := b.wait("x", time.Now().Add(time.Minute)); err != nil || len(b.facts.Partitions) != 1 {
		t.Errorf("%v, %+v", err, b.facts.Partitions)
	}
}

func TestRelink(t *testing.T) {
	name := filepath.Join(t.TempDir(), "root")
	for _, want := range []string{"../dm-1", "../dm-3"} {
		if err := relink(want, name); err != nil {
			t.Fatal(err)
		}
		if got, err := os.Readlink(name); got != want || err != nil {
			t.Errorf("%q, %v", got, err)
		}
	}
}

// TestUnwantedDrivers: without a boot partition or memory among the sources no driver of disks is loaded.
func TestUnwantedDrivers(t *testing.T) {
	b, _ := waiting(t, machinetest.New(t))
	b.devices.table = virtioTable(t)
	b.devices.loader = drivers.New(b.devices.table, "", func(modtable.Module) error { return nil }, func(modtable.Module, error) {})
	b.devices.noDisks = true
	b.devices.offer("virtio:d00000002v00001AF4")
	if b.devices.started != 0 {
		t.Error("a driver is loaded that nobody wants")
	}
	// For the network all are that a card may be on, and still none of disks.
	b.devices.network = true
	b.devices.offer("virtio:d00000002v00001AF4")
	if b.devices.started != 0 {
		t.Error("a disk's driver is loaded for the network")
	}
	for modalias, disks := range map[string]bool{
		"pci:v00001B36d0000000Dsv00001AF4sd00001100bc0Csc03i30": false, // xHCI
		"usb:v0525pA4A2d0000dc02dsc00dp00ic02isc02ipFFin00":     false, // RNDIS
		"vmbus:635161f83edfc546913ff2d2f965ed0e":                false,
		"xen:vif":                                               false,
		"acpi:LNRO0005:":                                        false, // virtio-mmio
		"pci:v00008086d00002922sv00001AF4sd00001100bc01sc06i01": true,
		"pci:v00001AF4d00001001sv00001AF4sd00000002bc01sc00i00": true,
		"pci:v00001B36d00000007sv00001AF4sd00001100bc08sc05i01": true,
		"usb:v46F4p0001d0000dc00dsc00dp00ic08isc06ip50in00":     true,
		"scsi:t-0x00": true,
		"mmc:block":   true,
	} {
		if got := onlyDisks(modalias); got != disks {
			t.Errorf("onlyDisks(%q) is %v", modalias, got)
		}
	}
}
