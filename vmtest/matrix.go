// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package vmtest

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"
)

// Result is what became of a cell.
type Result struct {
	Name    string  `json:"name"`
	Group   string  `json:"group"`
	Status  Status  `json:"status"`
	Verdict Verdict `json:"verdict,omitempty"`
	Layer   string  `json:"layer,omitempty"`
	Seconds float64 `json:"seconds,omitempty"`
	// Way is who started the kernel, and from where.
	Way string `json:"way,omitempty"`
	// Read are the bytes that the kernel had read from all disks when the image's init began; 0 where that did not say so.
	Read    int64    `json:"read_bytes,omitempty"`
	Wrong   []string `json:"wrong,omitempty"`
	Missing string   `json:"missing,omitempty"`
	Log     string   `json:"log,omitempty"`
	console string
}

// Status is passed, failed or skipped.
type Status string

// The statuses.
const (
	Passed  Status = "passed"
	Failed  Status = "failed"
	Skipped Status = "skipped"
)

// Summary is the result of a matrix.
type Summary struct {
	Program string    `json:"program"`
	Passed  int       `json:"passed"`
	Failed  int       `json:"failed"`
	Skipped int       `json:"skipped"`
	Seconds float64   `json:"seconds"`
	Results []*Result `json:"results"`
}

// Line is the program's last line.
func (s *Summary) Line() string {
	return fmt.Sprintf("%s: %d passed, %d failed, %d skipped", s.Program, s.Passed, s.Failed, s.Skipped)
}

// Try boots a cell and judges it.
func (w *Workshop) Try(ctx context.Context, c *Cell) *Result {
	r := &Result{Name: c.Name, Group: c.Group, Layer: c.Layer, Way: c.way(), Status: Failed, Log: w.LogOf(c)}
	outcomes, err := w.Run(ctx, c)
	var missing *MissingError
	if errors.As(err, &missing) {
		r.Status, r.Missing, r.Log = Skipped, missing.What, ""
		return r
	}
	if err != nil {
		r.Wrong = []string{err.Error()}
		return r
	}
	for n, o := range outcomes {
		boot := c.boot(n)
		r.Seconds += o.Took.Seconds()
		r.Verdict, r.Read, r.console, r.Log = o.verdict(), o.read(), o.Console, w.LogOf(boot)
		var err1, err2 error
		boot.Must, err1 = w.fillAll(ctx, boot.Must)
		boot.MustNot, err2 = w.fillAll(ctx, boot.MustNot)
		if err := errors.Join(err1, err2); err != nil {
			r.Wrong = []string{err.Error()}
			return r
		}
		if r.Wrong = Judge(boot, o); len(r.Wrong) > 0 {
			return r
		}
	}
	r.Status = Passed
	return r
}

// way says who starts the kernel, and from where.
func (c *Cell) way() string {
	from := "virtio"
	if len(c.Disks) > 0 {
		from = cmp.Or(c.Disks[0].Bus, from)
	}
	switch c.Firmware {
	case SecureBoot:
		return "Secure Boot from " + from
	case SecureHTTPBoot:
		return "Secure Boot by HTTP"
	case UEFI:
		return "UEFI from " + from
	case HTTPBoot:
		return "UEFI by HTTP"
	case BIOS:
		return "BIOS from " + from
	}
	return "-kernel"
}

// boot returns the cell as its boot number n, from 0, is: what is not said of a later one is as it was.
func (c *Cell) boot(n int) *Cell {
	b := *c
	if n > 0 {
		a := c.Again[n-1]
		b.Name = fmt.Sprintf("%s.%d", c.Name, n+1)
		b.SMBIOS, b.Verdict, b.Must, b.MustNot, b.Check = a.SMBIOS, a.Verdict, a.Must, a.MustNot, a.Check
		b.Dialogue, b.Report = a.Dialogue, a.Report
		if b.Served = a.Served; a.Web != nil {
			n := *c.Network
			n.Web = a.Web
			b.Network = &n
		}
	}
	return &b
}

// RunAll tries the cells, at most parallel at a time, and writes a row for each to out as it ends.
func (w *Workshop) RunAll(ctx context.Context, cells []Cell, parallel int, out io.Writer) *Summary {
	start := time.Now()
	s := &Summary{Program: filepath.Base(w.Logs), Results: make([]*Result, len(cells))}
	var mu sync.Mutex
	var wg sync.WaitGroup
	slots := make(chan struct{}, parallel)
	width := 0
	for _, c := range cells {
		width = max(width, len(c.Name))
	}
	for i := range cells {
		slots <- struct{}{}
		if ctx.Err() != nil {
			<-slots
			break
		}
		wg.Go(func() {
			defer func() { <-slots }()
			r := w.Try(ctx, &cells[i])
			mu.Lock()
			defer mu.Unlock()
			s.Results[i] = r
			r.print(out, s.Program, width)
		})
	}
	wg.Wait()
	s.Results = slices.DeleteFunc(s.Results, func(r *Result) bool { return r == nil })
	for _, r := range s.Results {
		switch r.Status {
		case Passed:
			s.Passed++
		case Skipped:
			s.Skipped++
		default:
			s.Failed++
		}
	}
	s.Seconds = time.Since(start).Seconds()
	return s
}

// shown is how much of the console of a failed cell is shown.
const shown = 30

func (r *Result) print(out io.Writer, program string, width int) {
	switch r.Status {
	case Skipped:
		fmt.Fprintf(out, "SKIP %s: missing: %s\n", r.Name, r.Missing)
	case Passed:
		fmt.Fprintf(out, "PASS %s\n", r.row(width))
	default:
		fmt.Fprintf(out, "FAIL %s\n", r.row(width))
		for _, s := range r.Wrong {
			fmt.Fprintf(out, "    %s\n", s)
		}
		if r.console != "" {
			lines := strings.Split(strings.TrimRight(Text(r.console), "\n"), "\n")
			fmt.Fprintln(out, "  the end of the console:")
			for _, l := range lines[max(0, len(lines)-shown):] {
				fmt.Fprintf(out, "  | %s\n", l)
			}
		}
		fmt.Fprintf(out, "  whole console: %s\n  again: ./just %s --only %s\n", r.Log, program, r.Name)
	}
}

// row is what a table says of a boot: its verdict, its time, what was read of the disks until the image's init began, and who started it.
func (r *Result) row(width int) string {
	read := "-"
	if r.Read > 0 {
		read = fmt.Sprintf("%d kB", r.Read/1000)
	}
	return strings.TrimRight(fmt.Sprintf("%-*s  %-9s %5.1f s %10s  %s", width, r.Name, r.Verdict, r.Seconds, read, r.Way), " ")
}

// Choose returns the cells of the groups or with the names in only, a list with commas. An empty list, or "all", is all; the
// group "test" is of the cells that are marked so.
func Choose(cells []Cell, only string) ([]Cell, error) {
	if only == "" || only == "all" {
		return cells, nil
	}
	var out []Cell
	wanted := strings.Split(only, ",")
	used := map[string]bool{}
	for _, c := range cells {
		taken := false
		for _, name := range []string{c.Name, c.Group, testGroup} {
			if slices.Contains(wanted, name) && (name != testGroup || c.Test) {
				taken, used[name] = true, true
			}
		}
		if taken {
			out = append(out, c)
		}
	}
	for _, name := range wanted {
		if !used[name] {
			return nil, fmt.Errorf("cannot find a cell or a group %q; --list shows them", name)
		}
	}
	return out, nil
}

// testGroup is the name by which all cells are chosen that have Test set.
const testGroup = "test"

// List writes a line for each cell.
func List(out io.Writer, cells []Cell) {
	width, group := 0, 0
	for _, c := range cells {
		width, group = max(width, len(c.Name)), max(group, len(c.Group))
	}
	for _, c := range cells {
		fmt.Fprintf(out, "%-*s  %-*s  %-9s  %s\n", group, c.Group, width, c.Name, c.Verdict, c.Doc)
	}
}

// WriteJSON writes v, indented.
func WriteJSON(out io.Writer, v any) error {
	e := json.NewEncoder(out)
	e.SetIndent("", "  ")
	return e.Encode(v)
}

// Sweep removes what earlier runs made and this one, of all cells, did not ask for.
func (w *Workshop) Sweep() error {
	entries, err := os.ReadDir(w.Dir)
	if err != nil {
		return fmt.Errorf("cannot tidy the workshop: %w", err)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	var errs []error
	for _, e := range entries {
		if w.made[e.Name()] == nil {
			errs = append(errs, os.RemoveAll(w.Dir+"/"+e.Name()))
		}
	}
	return errors.Join(errs...)
}
