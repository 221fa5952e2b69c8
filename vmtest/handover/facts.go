// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package main

import (
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"

	"github.com/initddi/initddi/vmtest/command"
)

// facts is what a machine said of itself: lines by section, "initrd mounts" for one.
type facts map[string][]string

// parse reads a report. What is different at each boot of anything is made equal here.
func parse(text string) (facts, error) {
	out := facts{}
	section := ""
	text = strings.ReplaceAll(text, "\r", "")
	for line := range strings.Lines(text) {
		line = strings.TrimRight(line, "\n")
		if name, ok := strings.CutPrefix(line, "=== "); ok {
			section = name
			out[section] = nil
			continue
		}
		if section == "" || line == "" {
			continue
		}
		if line = equal(section, line); line != "" {
			out[section] = append(out[section], line)
		}
	}
	if _, whole := out["end"]; !whole {
		return nil, errors.New("the system did not report to the end")
	}
	return out, nil
}

// volatile is what is another thing at each boot, and in which sections; an empty replacement of a whole line leaves it out.
type volatile struct {
	section, pattern, to string
}

// rules are the table of what is volatile.
var rules = func() (out []compiled) {
	for _, v := range []volatile{
		{`mounts`, `^\d+ \d+ \d+:\d+ `, ``},
		{`mounts`, `(shared|master):\d+`, `$1`},
		{`mounts`, `(fd|pgrp|pipe_ino)=\d+`, `$1=N`},
		// The kernel's own limits, and shares of the memory, depend on how much it counted. /run without a limit would have no size at all.
		{`mounts`, `(devtmpfs rw,size=\d+k,nr_inodes=)\d+`, `${1}N`},
		{`mounts`, `( /tmp .* rw),size=\d+k`, `$1`},
		{`mounts`, `size=\d{6,}k`, `size=M`},
		{`jobs`, `^ *\d+ `, ``},
		// A getty waits for a quiet console, and may or may not have begun.
		{`mounts`, `^\S+ /run/credentials/(serial-)?getty@.*$`, ``},
		// What udev knows follows from the devices, and in which order it looked at them; so do the names of journald's streams.
		{`run`, `^.* /run/(udev/(data|links|tags|watch|queue)|systemd/units/invocation:|systemd/journal/streams)/?.*$`, ``},
		{`dev|units`, `^.*(diskseq|cdrom|sr0|DVD|ata\\x2d3|by-path/pci-0000:00:1f.2|11:0).*$`, ``},
		// Which number a driver gets depends on who comes first.
		{`dev`, `^.* /dev/block/25[34]:\d+ -> .*$`, ``},
		{`processes`, `^.*(udev-worker|sort -u).*$`, ``},
		{`sysctl`, `^(kernel/(random/|ns_last_pid)|fs/(dentry-state|file-nr|inode-)).*$`, ``},
		{`parameters`, `^.*/dm_bufio/parameters/.*_bytes:.*$`, ``},
		// An emulated processor that gets no time: the kernel taints itself with L.
		{`sysctl`, `^kernel/tainted:16384$`, `kernel/tainted:0`},
	} {
		out = append(out, compiled{regexp.MustCompile(v.section), regexp.MustCompile(v.pattern), v.to})
	}
	return out
}()

type compiled struct {
	section, pattern *regexp.Regexp
	to               string
}

func equal(section, line string) string {
	for _, r := range rules {
		if r.section.MatchString(section) {
			line = r.pattern.ReplaceAllString(line, r.to)
		}
	}
	return line
}

// difference is a line that only one of the two has.
type difference struct {
	Section string `json:"section"`
	// Has is who has it: "kernel" or "stage 1".
	Has  string `json:"has"`
	Line string `json:"line"`
	Why  string `json:"why,omitempty"`
}

// result is what a comparison found.
type result struct {
	Lines       int          `json:"lines"` // that were compared
	Explained   []difference `json:"explained"`
	Unexplained []difference `json:"unexplained"`
	// Demands are what must be so, whatever the kernel's boot has, and is not.
	Demands []string `json:"demands"`
}

// compare compares line by line, whatever their order.
func compare(kernel, stage1 facts) *result {
	r := &result{}
	var names []string
	for name := range kernel {
		names = append(names, name)
	}
	for name := range stage1 {
		if _, both := kernel[name]; !both {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	// What is a matter of time, or of stage 1 alone, is demanded of and not compared.
	names = slices.DeleteFunc(names, func(name string) bool {
		return slices.ContainsFunc([]string{" memory", " analyze", " status", " said", " ours"}, func(s string) bool { return strings.HasSuffix(name, s) })
	})
	explain := explainer()
	for _, name := range names {
		r.Lines += len(kernel[name])
		for _, d := range []struct {
			has         string
			these, less []string
		}{{"kernel", kernel[name], stage1[name]}, {"stage 1", stage1[name], kernel[name]}} {
			for _, line := range minus(d.these, d.less) {
				diff := difference{Section: name, Has: d.has, Line: line}
				if diff.Why = explain(diff); diff.Why == "" {
					r.Unexplained = append(r.Unexplained, diff)
				} else {
					r.Explained = append(r.Explained, diff)
				}
			}
		}
	}
	return r
}

// minus returns the lines that a has more often than b.
func minus(a, b []string) (out []string) {
	count := map[string]int{}
	for _, line := range b {
		count[line]++
	}
	for _, line := range a {
		if count[line]--; count[line] < 0 {
			out = append(out, line)
		}
	}
	return out
}

func (r *result) print(w io.Writer) {
	var whys []string
	byWhy := map[string][]difference{}
	for _, d := range r.Explained {
		if byWhy[d.Why] == nil {
			whys = append(whys, d.Why)
		}
		byWhy[d.Why] = append(byWhy[d.Why], d)
	}
	for _, why := range whys {
		fmt.Fprintf(w, "%s\n", why)
		for _, d := range byWhy[why] {
			fmt.Fprintf(w, "    %s\n", d)
		}
	}
	if len(r.Unexplained) > 0 {
		fmt.Fprintln(w, "NOT EXPLAINED")
		for _, d := range r.Unexplained {
			fmt.Fprintf(w, "    %s\n", d)
		}
	}
	for _, d := range r.Demands {
		fmt.Fprintln(w, "NOT MET:", d)
	}
	fmt.Fprintf(w, "handover: %d lines compared, %d differences explained, %d not; %d demands not met\n", r.Lines, len(r.Explained), len(r.Unexplained), len(r.Demands))
}

func (d difference) String() string {
	sign := "-"
	if d.Has == "stage 1" {
		sign = "+"
	}
	const longest = 220
	line := d.Line
	if len(line) > longest {
		line = line[:longest] + "…"
	}
	return fmt.Sprintf("%s [%s] %s", sign, d.Section, line)
}

func (r *result) verdict() error {
	if len(r.Unexplained) > 0 || len(r.Demands) > 0 {
		return fmt.Errorf("systemd can tell stage 1 from the kernel in %d ways that nobody explained, and %d demands are not met: %w", len(r.Unexplained), len(r.Demands), command.ErrFailed)
	}
	return nil
}
