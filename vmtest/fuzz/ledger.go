// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package main

import (
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"
)

// The ledger is the table between these two lines of a Markdown file.
const (
	ledgerBegin = "<!-- ./just fuzz writes this table -->"
	ledgerEnd   = "<!-- end of the table -->"
	ledgerHead  = "| target | executions | time | last run | sources |\n|---|---|---|---|---|\n"
)

// row is what is known of a target.
type row struct {
	Target     string
	Executions int64
	Time       time.Duration // by the clock, with one worker
	Date       string        // of the last run
	Sources    string        // which sources were executed
}

// ledger is a file with the table.
type ledger struct {
	name          string
	before, after string
	rows          []row
}

func readLedger(name string) (*ledger, error) {
	b, err := os.ReadFile(name)
	if err != nil {
		return nil, fmt.Errorf("cannot read the ledger: %w", err)
	}
	l, err := parseLedger(string(b))
	if err != nil {
		return nil, fmt.Errorf("cannot read the ledger in %s: %w", name, err)
	}
	l.name = name
	return l, nil
}

func parseLedger(text string) (*ledger, error) {
	before, rest, ok := strings.Cut(text, ledgerBegin+"\n")
	table, after, ok2 := strings.Cut(rest, ledgerEnd)
	if !ok || !ok2 {
		return nil, fmt.Errorf("no lines %q and %q", ledgerBegin, ledgerEnd)
	}
	l := &ledger{before: before, after: after}
	for line := range strings.Lines(strings.TrimPrefix(table, ledgerHead)) {
		cells := strings.Split(strings.Trim(line, "| \n"), "|")
		if len(cells) != 5 {
			return nil, fmt.Errorf("line %q has %d cells, wanted 5", line, len(cells))
		}
		for i := range cells {
			cells[i] = strings.Trim(cells[i], " `")
		}
		n, err := strconv.ParseInt(strings.ReplaceAll(cells[1], ",", ""), 10, 64)
		if err != nil {
			return nil, fmt.Errorf("line %q: %w", line, err)
		}
		var span time.Duration
		if cells[2] != "" {
			if span, err = time.ParseDuration(cells[2]); err != nil {
				return nil, fmt.Errorf("line %q: %w", line, err)
			}
		}
		l.rows = append(l.rows, row{cells[0], n, span, cells[3], cells[4]})
	}
	return l, nil
}

func (l *ledger) String() string {
	var b strings.Builder
	b.WriteString(l.before + ledgerBegin + "\n" + ledgerHead)
	for _, r := range l.rows {
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s | `%s` |\n", r.Target, thousands(r.Executions), minutes(r.Time), r.Date, r.Sources)
	}
	b.WriteString(ledgerEnd + l.after)
	return b.String()
}

// of returns how often, and how long, a target was executed with these sources.
func (l *ledger) of(t target, sources string) (executions int64, span time.Duration) {
	for _, r := range l.rows {
		if r.Target == t.String() && r.Sources == sources {
			return r.Executions, r.Time
		}
	}
	return 0, 0
}

// set puts a row in the place of the target's, or where it belongs by its name.
func (l *ledger) set(r row) {
	i, found := slices.BinarySearchFunc(l.rows, r, func(a, b row) int { return strings.Compare(a.Target, b.Target) })
	if found {
		l.rows[i] = r
	} else {
		l.rows = slices.Insert(l.rows, i, r)
	}
}

// write replaces the file.
func (l *ledger) write() error {
	tmp := l.name + ".part"
	if err := os.WriteFile(tmp, []byte(l.String()), 0o644); err != nil {
		return fmt.Errorf("cannot write the ledger: %w", err)
	}
	if err := os.Rename(tmp, l.name); err != nil {
		return fmt.Errorf("cannot write the ledger: %w", err)
	}
	return nil
}

// minutes writes a time in minutes and seconds, and none as nothing: runs of so many executions are not timed.
func minutes(d time.Duration) string {
	if d == 0 {
		return ""
	}
	if d = d.Round(time.Second); d%time.Minute != 0 {
		return d.String()
	}
	return strings.TrimSuffix(d.String(), "0s")
}

// thousands writes a number with commas.
func thousands(n int64) string {
	s := strconv.FormatInt(n, 10)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}
