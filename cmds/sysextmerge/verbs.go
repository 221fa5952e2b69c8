// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
	"time"

	"github.com/initddi/initddi/internal/ddi"
	"github.com/initddi/initddi/internal/jsontext"
	"github.com/initddi/initddi/internal/plan"
	"github.com/initddi/initddi/internal/policy"
	"github.com/initddi/initddi/internal/release"
	"github.com/initddi/initddi/internal/sysext"
)

func showHelp(_ context.Context, env environment, _ *options) error {
	_, err := io.WriteString(env.Stdout, helpText)
	return err
}

func showVersion(_ context.Context, env environment, _ *options) error {
	_, err := fmt.Fprintln(env.Stdout, "sysextmerge (initddi) "+release.Version)
	return err
}

// system is what is worked on.
func (o *options) system(env environment) *sysext.System {
	return &sysext.System{
		Root: o.root, Class: o.class, Hierarchies: o.hierarchies, OSRelease: o.osRelease,
		Open: o.open,
		Say:  func(line string) { fmt.Fprintln(env.Stderr, ddi.Printable(line)) },
	}
}

// open judges an image with the trust store, which is read only if there is an image.
func (o *options) open(path string, p policy.Policy, plain bool) (*ddi.Image, error) {
	store, err := ddi.ReadStore(o.trust)
	if err != nil {
		return nil, err
	}
	// What a stage 1 was built to accept is narrowed here and never widened, and nothing in it goes without a hash tree.
	if _, err := os.Stat(plan.ConfigPath); err == nil {
		plain = false
		if p, err = policy.And(p, store.SysextPolicy); err != nil {
			return nil, err
		}
	}
	return ddi.Open(path, ddi.Options{Plan: store, Policy: &p, Plain: plain})
}

func (o *options) merging() sysext.Options {
	return sysext.Options{Force: o.force, NoExec: o.noExec, Mutable: o.mutable, Policy: o.policy, MountOptions: o.mountOptions}
}

func merge(ctx context.Context, env environment, o *options) error {
	return o.change(ctx, env, func(s *sysext.System) error { return s.Merge(o.merging()) }, false)
}

func refresh(ctx context.Context, env environment, o *options) error {
	return o.change(ctx, env, func(s *sysext.System) error { return s.Refresh(o.merging()) }, true)
}

func unmerge(ctx context.Context, env environment, o *options) error {
	return o.change(ctx, env, func(s *sysext.System) error { return s.Unmerge() }, true)
}

// change does something to the system, and has the service manager read its units again if an extension that was there before
// (if that matters) or is there now asks for it.
func (o *options) change(ctx context.Context, env environment, f func(*sysext.System) error, before bool) error {
	s := o.system(env)
	drivers, err := ddi.StageDrivers()
	if err != nil {
		return err
	}
	s.Drivers = drivers
	if err := drivers.Need("overlay"); err != nil {
		return err
	}
	wanted := false
	if before && !o.noReload {
		if wanted, err = s.WantsReload(); err != nil {
			return err
		}
	}
	if err := f(s); err != nil {
		return err
	}
	if o.noReload {
		return nil
	}
	if !wanted {
		if wanted, err = s.WantsReload(); err != nil || !wanted {
			return err
		}
	}
	if out, err := exec.CommandContext(ctx, "systemctl", "daemon-reload").CombinedOutput(); err != nil {
		return fmt.Errorf("cannot have the service manager read its units again, as an extension asks (all else is done): %w: %s", err, strings.TrimSpace(string(out)))
	}
	return nil
}

// statusRow is a line of status; the names are systemd's.
type statusRow struct {
	Hierarchy  string   `json:"hierarchy"`
	Extensions []string `json:"extensions"`
	Since      *int64   `json:"since"` // microseconds since 1970
}

func showStatus(_ context.Context, env environment, o *options) error {
	list, err := o.system(env).Status()
	if err != nil {
		return err
	}
	slices.SortFunc(list, func(a, b sysext.Hierarchy) int { return strings.Compare(a.Path, b.Path) })
	rows := []statusRow{}
	text := [][]string{{"HIERARCHY", "EXTENSIONS", "SINCE"}}
	for _, h := range list {
		row := statusRow{Hierarchy: h.Path, Extensions: []string{}}
		if !h.Merged {
			rows, text = append(rows, row), append(text, []string{h.Path, "none", "-"})
			continue
		}
		since := h.Since.UnixMicro()
		row.Extensions, row.Since = append(row.Extensions, h.Extensions...), &since
		rows = append(rows, row)
		text = append(text, statusLines(h)...)
	}
	return o.print(env.Stdout, rows, text)
}

// statusLines are those of one merged hierarchy: its name and time stand in the first.
func statusLines(h sysext.Hierarchy) [][]string {
	lines := [][]string{{h.Path, "-", moment(h.Since)}}
	for i, name := range h.Extensions {
		if i > 0 {
			lines = append(lines, []string{"", "", ""})
		}
		lines[i][1] = name
	}
	return lines
}

// listRow is a line of list; the names are systemd's.
type listRow struct {
	Name string `json:"name"`
	Type string `json:"type"`
	Path string `json:"path"`
	Time int64  `json:"time"` // microseconds since 1970, 0 if it is not known
}

func showList(_ context.Context, env environment, o *options) error {
	list, err := o.system(env).List()
	if err != nil {
		return err
	}
	if len(list) == 0 && o.json == "off" {
		_, err := fmt.Fprintln(env.Stderr, "No OS extensions found.")
		return err
	}
	rows := []listRow{}
	text := [][]string{{"NAME", "TYPE", "PATH", "TIME"}}
	for _, img := range list {
		row := listRow{Name: img.Name, Type: img.Type, Path: img.Path}
		if !img.Time.IsZero() {
			row.Time = img.Time.UnixMicro()
		}
		rows, text = append(rows, row), append(text, []string{img.Name, img.Type, img.Path, moment(img.Time)})
	}
	return o.print(env.Stdout, rows, text)
}

func moment(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return t.Format("Mon 2006-01-02 15:04:05 MST")
}

// print writes rows as JSON where that was asked for, and else the table, whose first line is its head.
func (o *options) print(w io.Writer, rows any, table [][]string) error {
	if o.json != "off" {
		indent := ""
		if o.json == "pretty" {
			indent = "\t"
		}
		b, err := jsontext.Marshal(rows, indent)
		if err != nil {
			return err
		}
		_, err = fmt.Fprintf(w, "%s\n", b)
		return err
	}
	if o.noLegend {
		table = table[1:]
	}
	var widths []int
	for _, line := range table {
		for i, cell := range line {
			if i == len(widths) {
				widths = append(widths, 0)
			}
			widths[i] = max(widths[i], len([]rune(ddi.Printable(cell))))
		}
	}
	var errs []error
	for _, line := range table {
		out := ""
		for i, cell := range line {
			out += fmt.Sprintf("%-*s ", widths[i], ddi.Printable(cell))
		}
		_, err := fmt.Fprintln(w, strings.TrimRight(out, " "))
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}
