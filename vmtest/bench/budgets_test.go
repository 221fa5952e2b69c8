// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package main

import (
	"bytes"
	"slices"
	"strings"
	"testing"
)

// TestBudgetsNameRows: a budget of a row that is called otherwise would never be held against anything.
func TestBudgetsNameRows(t *testing.T) {
	for _, b := range budgets() {
		for _, name := range []string{b.Row, b.Than} {
			if name != "" && !slices.ContainsFunc(table(), func(r row) bool { return r.Name == name }) {
				t.Errorf("budget %q is of the row %q, which does not exist", b.Name, name)
			}
		}
	}
}

func TestPrintBudgets(t *testing.T) {
	runs := func(init, entering float64, bytes, memory int64) []sample {
		return []sample{{Init: init, Entering: entering, Marker: entering, GuestBytes: bytes, MemAvailable: memory}}
	}
	results := []result{
		{Name: rowCloud, NextInit: 1_000_000, Runs: runs(1, 1.5, 1_900_000, 0)},
		{Name: rowCloudBig, NextInit: 1_000_000, Runs: runs(1, 1.51, 1_900_000, 0)},
		{Name: rowTemplate, NextInit: 1_000_000, Runs: runs(1, 1.02, 2_100_000, 900_000)},
		{Name: rowMounted, Runs: runs(1, 0, 0, 903_000)},
		{Name: rowTemplateBig, Skipped: "missing"},
	}
	var out bytes.Buffer
	printBudgets(&out, results)
	var got []string
	for line := range strings.Lines(out.String()) {
		if f := strings.Fields(line); len(f) > 4 && f[0] != "measured" {
			got = append(got, strings.Join(f[:4], " "))
		}
	}
	want := []string{"0.500 0.45 s OVER", "0.020 0.03 s stage", "0.900 1 MB read", "1.100 1 MB OVER", "3.072 4 MB memory", "0.002 0.005 s growth", "0.000 0.01 MB growth", "- 0.005 s not", "- 0.01 MB not"}
	if !slices.Equal(got, want) {
		t.Errorf("got %q\nwant %q\n%s", got, want, out.String())
	}
}
