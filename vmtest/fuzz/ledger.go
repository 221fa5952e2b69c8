// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package main

import (
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
)

// The ledger is the table between these two lines of a Markdown file.
const (
	ledgerBegin = "<!-- ./just fuzz writes this table -->"
	ledgerEnd   = "<!-- end of the table -->"
	ledgerHead  = "| target | executions | last run | sources |\n|---|---|---|---|\n"
)

// row is what is known of a target.
type row struct {
	Target     string
	Executions int64
	Date       string // of the last run
	Sources    string // which sources were executed
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
		if len(cells) != 4 {
			return nil, fmt.Errorf("line %q has %d cells, wanted 4", line, len(cells))
		}
		for i := range cells {
			cells[i] = strings.Trim(cells[i], " `")
		}
		n, err := strconv.ParseInt(strings.ReplaceAll(cells[1], ",", ""), 10, 64)
		if err != nil {
			return nil, fmt.Errorf("line %q: %w", line, err)
		}
		l.rows = append(l.rows, row{cells[0], n, cells[2], cells[3]})
	}
	return l, nil
}

func (l *ledger) String() string {
	var b strings.Builder
	b.WriteString(l.before + ledgerBegin + "\n" + ledgerHead)
	for _, r := range l.rows {
		fmt.Fprintf(&b, "| `%s` | %s | %s | `%s` |\n", r.Target, thousands(r.Executions), r.Date, r.Sources)
	}
	b.WriteString(ledgerEnd + l.after)
	return b.String()
}

// of returns how often a target was executed with these sources.
func (l *ledger) of(t target, sources string) int64 {
	for _, r := range l.rows {
		if r.Target == t.String() && r.Sources == sources {
			return r.Executions
		}
	}
	return 0
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

// thousands writes a number with commas.
func thousands(n int64) string {
	s := strconv.FormatInt(n, 10)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}
