// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

// Package status says how the running system was booted: what stage 1 entered and from where, by whose signature, how long each
// stage took, what it refused, and what became of the boot before. It runs in the booted system, as "initddi status", and
// changes nothing; everything that it reads can be read by anybody.
//
// The source is /run/initddi/boot.json (package report), which may have been written by another version of stage 1: keys that are not known
// here are left alone, and are in the JSON all the same. Beside it are the record of attempts (package bless), the moments that
// systemd noted, and the kernel's logs of crashes.
package status

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/initddi/initddi/internal/bless"
	"github.com/initddi/initddi/internal/report"
)

// System is where things are in the running system.
type System struct {
	bless.System
	// Crashes are directories in which a log of a crash may lie: pstore's own, and where systemd-pstore moves what is in it.
	Crashes []string
	// Moments returns what the service manager noted, by the names of its properties, in microseconds; nil where there is none.
	Moments func(context.Context) map[string]int64
}

// Running is the system that this program runs in.
func Running() System {
	return System{System: bless.Running(), Crashes: []string{"/sys/fs/pstore", "/var/lib/systemd/pstore"}, Moments: systemd}
}

// Status is what is known.
type Status struct {
	// Boot is boot.json as stage 1 wrote it.
	Boot json.RawMessage `json:"boot"`
	// Record is what the EFI variable says now; nil if it cannot be known.
	Record *bless.Status `json:"record,omitempty"`
	// Spans are the parts of the boot, in their order.
	Spans []Span `json:"spans"`
	// Crashes are logs of crashes that somebody may want to look at.
	Crashes []string `json:"crash_logs,omitempty"`
	// Problems are what could not be found out, or not believed.
	Problems []string `json:"problems,omitempty"`

	boot report.Boot
}

// Span is a part of the boot, with times in microseconds since the kernel started: what was before that is negative.
type Span struct {
	Name  string `json:"name"` // firmware, loader, kernel, stage 1, initrd, system
	Start int64  `json:"start_us"`
	Usec  int64  `json:"us"`
}

// Look finds out what there is to know. It returns an error that wraps [bless.ErrNotBooted] or [bless.ErrReport].
func (s System) Look(ctx context.Context) (*Status, error) {
	boot, text, err := s.ReadReport()
	if err != nil {
		return nil, err
	}
	st := &Status{boot: *boot}
	st.Boot = bytes.TrimSpace(text)
	if v := st.boot.Version; v != report.Version {
		st.problem("the report has version %d of its schema, this program knows version %d: something may mean another thing than is said here", v, report.Version)
	}
	if st.boot.Chosen == nil {
		st.problem("the report names no image")
	}
	st.record(s)
	var moments map[string]int64
	if s.Moments != nil {
		moments = s.Moments(ctx)
	}
	st.Spans = spans(&st.boot, moments)
	for _, dir := range s.Crashes {
		// Who is not root may not see what is in there.
		found, _ := filepath.Glob(filepath.Join(dir, "*"))
		st.Crashes = append(st.Crashes, found...)
	}
	return st, nil
}

// record looks what the EFI variable says of the image now. What package bless cannot read, it was said already, or is said here.
func (st *Status) record(s System) {
	if s.EFIVars == "" || st.boot.Chosen == nil || st.boot.Version != report.Version {
		return
	}
	record, err := s.System.Look()
	if err != nil {
		st.problem("%v", err)
		return
	}
	st.Record = &record
}

func (st *Status) problem(format string, args ...any) {
	st.Problems = append(st.Problems, fmt.Sprintf(format, args...))
}

// systemd asks systemd, which tells everybody.
func systemd(ctx context.Context) map[string]int64 {
	const patience = 5 * time.Second
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	out, err := exec.CommandContext(ctx, "systemctl", "show", "--property="+strings.Join(moments(), ",")).Output()
	if err != nil {
		return nil
	}
	return parseMoments(string(out))
}

// Of the manager's properties (org.freedesktop.systemd1(5)). The first two count backwards from the kernel's start.
const (
	momentFirmware = "FirmwareTimestampMonotonic"
	momentLoader   = "LoaderTimestampMonotonic"
	momentInitrd   = "InitRDTimestampMonotonic"
	momentUser     = "UserspaceTimestampMonotonic"
	momentFinish   = "FinishTimestampMonotonic"
)

func moments() []string {
	return []string{momentFirmware, momentLoader, momentInitrd, momentUser, momentFinish}
}

// parseMoments reads "name=microseconds" lines. Zero is what did not happen.
func parseMoments(text string) map[string]int64 {
	out := map[string]int64{}
	for line := range strings.Lines(text) {
		name, value, ok := strings.Cut(strings.TrimSpace(line), "=")
		if n, err := strconv.ParseInt(value, 10, 64); ok && err == nil && n > 0 && slices.Contains(moments(), name) {
			out[name] = n
		}
	}
	return out
}

// spans puts together who had the machine when. What systemd-analyze calls the kernel's time is that of the kernel and of stage 1.
func spans(b *report.Boot, at map[string]int64) []Span {
	var out []Span
	add := func(name string, from, to int64) {
		if to >= from {
			out = append(out, Span{name, from, to - from})
		}
	}
	if firmware, loader := at[momentFirmware], at[momentLoader]; firmware > 0 {
		add("firmware", -firmware, -loader)
	}
	if loader := at[momentLoader]; loader > 0 {
		add("loader", -loader, 0)
	}
	begin, end := extent(b.Stages)
	if end == 0 {
		return out
	}
	add("kernel", 0, begin)
	add("stage 1", begin, end)
	user := at[momentUser]
	if initrd := at[momentInitrd]; initrd > 0 && user > initrd {
		add("initrd", end, user)
		end = user
	}
	if user > 0 && at[momentFinish] > end {
		add("system", end, at[momentFinish])
	}
	return out
}

// extent returns when the first stage began and the last one ended.
func extent(stages []report.Stage) (begin, end int64) {
	for i, s := range stages {
		if i == 0 || s.Start < begin {
			begin = s.Start
		}
		end = max(end, s.Start+s.Usec)
	}
	return begin, end
}
