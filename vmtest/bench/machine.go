// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/initddi/initddi/internal/report"
	"github.com/initddi/initddi/internal/vm"
)

// bootLimit ends a machine that hangs. An initrd of 57 MB takes an emulated processor two minutes.
const bootLimit = 15 * time.Minute

// machine is a row put together.
type machine struct {
	kernel, initrd, cmdline, disk string
	initrdSize, nextInit          int64
}

// sample is what one boot measured. Times are virtual seconds on the clock of the kernel's log, unless they say otherwise.
type sample struct {
	Init     float64 `json:"init"`     // the kernel ran the first init
	Entering float64 `json:"entering"` // stage 1 said so; 0 without stage 1
	Marker   float64 `json:"marker"`   // the marker's first line
	// Boottime is CLOCK_BOOTTIME at the marker's start, before its first line.
	Boottime     float64 `json:"boottime"`
	MemAvailable int64   `json:"mem_available_kb"`
	// OnLists is free memory that the kernel does not count as free: pages that each processor keeps at hand for the next to ask.
	OnLists int64            `json:"on_lists_kb"`
	Memory  map[string]int64 `json:"meminfo_kb"` // all of /proc/meminfo
	// What the guest read from the disk until then, by its own count, and until it was off by QEMU's.
	GuestReads int64 `json:"guest_reads"`
	GuestBytes int64 `json:"guest_bytes"`
	HostReads  int64 `json:"host_reads"`
	HostBytes  int64 `json:"host_bytes"`
	// Stages and Modules are what boot.json says.
	Stages  []report.Stage `json:"stages,omitempty"`
	Modules []string       `json:"modules,omitempty"`
	// Wall is how long the boot took to emulate, in seconds.
	Wall float64 `json:"wall"`
}

// boot runs the machine once. What the console showed goes to the file of that name.
func (m *machine) boot(ctx context.Context, console string) (*sample, error) {
	ctx, cancel := context.WithTimeout(ctx, bootLimit)
	defer cancel()
	tmp, err := os.MkdirTemp("", "initddi-bench-")
	if err != nil {
		return nil, fmt.Errorf("cannot boot: %w", err)
	}
	defer os.RemoveAll(tmp)
	told, monitor := filepath.Join(tmp, "told"), filepath.Join(tmp, "qmp")
	c := vm.Config{Icount: true, Monitor: monitor}
	if m.disk != "" {
		c.Disks = []vm.Disk{{Path: m.disk, Snapshot: true}}
	}
	args, err := c.Args(ctx)
	if err != nil {
		return nil, err
	}
	args = append(args, "-display", "none", "-monitor", "none", "-serial", "file:"+console, "-serial", "file:"+told,
		"-no-shutdown", "-kernel", m.kernel, "-append", m.cmdline)
	if m.initrd != "" {
		args = append(args, "-initrd", m.initrd)
	}
	begin := time.Now()
	cmd := exec.CommandContext(ctx, "qemu-system-x86_64", args...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("cannot run QEMU: %w", err)
	}
	s := &sample{}
	qerr := s.follow(ctx, monitor)
	if qerr != nil {
		cancel()
	}
	err = cmd.Wait()
	s.Wall = time.Since(begin).Seconds()
	if err != nil || qerr != nil {
		return nil, fmt.Errorf("cannot boot (the console is in %s): %w: %s", console, errors.Join(qerr, err), bytes.TrimSpace(stderr.Bytes()))
	}
	if err := s.readConsole(console); err != nil {
		return nil, err
	}
	return s, s.readMarker(told)
}

var (
	initLine     = regexp.MustCompile(`(?m)^\[ *([0-9.]+)\] Run (\S+) as init process`)
	enteringLine = regexp.MustCompile(`(?m)^\[ *([0-9.]+)\] initddi: entering `)
	markerLine   = regexp.MustCompile(`(?m)^\[ *([0-9.]+)\] bench: the next init runs`)
)

// readConsole takes the moments out of the kernel's log.
func (s *sample) readConsole(name string) error {
	b, err := os.ReadFile(name)
	if err != nil {
		return fmt.Errorf("cannot read the console: %w", err)
	}
	for _, l := range []struct {
		to     *float64
		line   *regexp.Regexp
		needed bool
	}{{&s.Init, initLine, true}, {&s.Entering, enteringLine, false}, {&s.Marker, markerLine, true}} {
		m := l.line.FindSubmatch(b)
		if m == nil && l.needed {
			return fmt.Errorf("cannot find %q in the console %s", l.line, name)
		}
		if m == nil {
			continue
		}
		if *l.to, err = strconv.ParseFloat(string(m[1]), 64); err != nil {
			return fmt.Errorf("cannot read the console: %w", err)
		}
	}
	return nil
}

// readMarker reads what the marker told.
func (s *sample) readMarker(name string) error {
	b, err := os.ReadFile(name)
	if err != nil {
		return fmt.Errorf("cannot read what the marker told: %w", err)
	}
	text := strings.ReplaceAll(string(b), "\r", "")
	section := func(name string) string {
		_, rest, _ := strings.Cut(text, "--- "+name+"\n")
		part, _, _ := strings.Cut(rest, "--- ")
		return part
	}
	var sec, nsec int64
	if _, err := fmt.Sscanf(text, "uptime %d %d", &sec, &nsec); err != nil {
		return fmt.Errorf("cannot read what the marker told, %q: %w", text, err)
	}
	s.Boottime = float64(sec) + float64(nsec)/1e9
	if err := s.readMemory(section("meminfo"), section("zoneinfo")); err != nil {
		return err
	}
	for line := range strings.Lines(section("diskstats")) {
		f := strings.Fields(line)
		if len(f) < 6 || f[2] != "vda" {
			continue
		}
		reads, err1 := strconv.ParseInt(f[3], 10, 64)
		sectors, err2 := strconv.ParseInt(f[5], 10, 64)
		if err := errors.Join(err1, err2); err != nil {
			return fmt.Errorf("cannot read diskstats: %w", err)
		}
		s.GuestReads, s.GuestBytes = reads, sectors*512
	}
	if boot := section("boot"); boot != "" {
		var r report.Boot
		if err := json.Unmarshal([]byte(boot), &r); err != nil {
			return fmt.Errorf("cannot read boot.json: %w", err)
		}
		s.Stages, s.Modules = r.Stages, r.Modules
	}
	return nil
}

// readMemory reads what the marker found in /proc/meminfo and /proc/zoneinfo.
func (s *sample) readMemory(meminfo, zoneinfo string) error {
	s.Memory = map[string]int64{}
	for line := range strings.Lines(meminfo) {
		name, value, ok := strings.Cut(line, ":")
		if fields := strings.Fields(value); ok && len(fields) > 0 {
			n, err := strconv.ParseInt(fields[0], 10, 64)
			if err != nil {
				return fmt.Errorf("cannot read %s of /proc/meminfo: %w", name, err)
			}
			s.Memory[name] = n
		}
	}
	s.MemAvailable = s.Memory["MemAvailable"]
	if s.MemAvailable == 0 {
		return errors.New("cannot read /proc/meminfo: no MemAvailable")
	}
	const page = 4 // kB
	for line := range strings.Lines(zoneinfo) {
		if value, ok := strings.CutPrefix(strings.TrimSpace(line), "count:"); ok {
			n, err := strconv.ParseInt(strings.TrimSpace(value), 10, 64)
			if err != nil {
				return fmt.Errorf("cannot read /proc/zoneinfo: %w", err)
			}
			s.OnLists += n * page
		}
	}
	return nil
}
