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
	atHand := func(s []sample, kB int64) []sample {
		s[0].OnLists = kB
		return s
	}
	results := []result{
		{Name: rowCloudAlone, Runs: atHand(runs(1, 0, 0, 889_000), 12_000)},
		{Name: rowCloud, NextInit: 1_000_000, Runs: atHand(runs(1, 1.5, 1_900_000, 880_000), 20_000)},
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
	want := []string{"0.500 0.45 s OVER", "0.020 0.03 s stage", "0.900 1 MB read", "1.100 1 MB OVER", "3.072 4 MB memory", "1.024 4 MB memory", "0.002 0.005 s growth", "0.000 0.01 MB growth", "- 0.005 s not", "- 0.01 MB not"}
	if !slices.Equal(got, want) {
		t.Errorf("got %q\nwant %q\n%s", got, want, out.String())
	}
}

func TestReadMemory(t *testing.T) {
	var s sample
	if err := s.readMemory("MemTotal:  990172 kB\nMemAvailable:     884888 kB\nHugePages_Total:       0\n",
		"Node 0, zone    DMA32\n  pagesets\n    cpu: 0\n              count: 279\n              high:  1024\n    cpu: 1\n              count: 21\n"); err != nil {
		t.Fatal(err)
	}
	if s.MemAvailable != 884888 || s.OnLists != 1200 || s.Memory["MemTotal"] != 990172 {
		t.Errorf("%+v", s)
	}
	for _, test := range [][2]string{{"", ""}, {"MemAvailable: many kB\n", ""}, {"MemAvailable: 7 kB\n", "count: x\n"}} {
		if err := s.readMemory(test[0], test[1]); err == nil {
			t.Errorf("%q is no error", test)
		}
	}
}
