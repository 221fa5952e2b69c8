// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package main

import (
	"fmt"
	"io"
	"slices"
	"text/tabwriter"
)

// budget is what the project promises of a boot, and what of two rows it is held against.
type budget struct {
	Name     string
	Row      string
	Than     string // the row to compare with, if it takes two
	Unit     string
	Limit    float64
	Measured func(row, than sample, nextInit int64) float64
}

// budgets returns the promises. They are shown beside what was measured; nothing fails because of a number.
func budgets() []budget {
	stage := func(s, _ sample, _ int64) float64 { return s.Entering - s.Init }
	read := func(s, _ sample, nextInit int64) float64 { return float64(s.GuestBytes-nextInit) / 1e6 }
	growth := func(s, than sample, _ int64) float64 {
		return (s.Entering - s.Init - than.Entering + than.Init) / (unusedMiB / 100)
	}
	bytes := func(s, than sample, _ int64) float64 {
		return float64(s.GuestBytes-than.GuestBytes) / 1e6 / (unusedMiB / 100)
	}
	less := func(s, than sample, _ int64) float64 {
		return float64(than.MemAvailable+than.OnLists-s.MemAvailable-s.OnLists) * 1024 / 1e6
	}
	return []budget{
		{"stage 1, signature checked", rowCloud, "", "s", 0.45, stage},
		{"stage 1, everything built in", rowTemplate, "", "s", 0.03, stage},
		{"read beside the next init's file", rowCloud, "", "MB", 1, read},
		{"read beside the next init's file", rowTemplate, "", "MB", 1, read},
		{"memory less than the kernel mounting it by itself leaves", rowTemplate, rowMounted, "MB", 4, less},
		{"memory less than the kernel alone leaves, modules included", rowCloud, rowCloudAlone, "MB", 4, less},
		// Two runs of the same thing are some milliseconds apart, see the column ±.
		{"growth per 100 MB that nobody reads", rowCloudBig, rowCloud, "s", 0.005, growth},
		{"growth of what is read, likewise", rowCloudBig, rowCloud, "MB", 0.01, bytes},
		{"growth per 100 MB that nobody reads", rowTemplateBig, rowTemplate, "s", 0.005, growth},
		{"growth of what is read, likewise", rowTemplateBig, rowTemplate, "MB", 0.01, bytes},
	}
}

// printBudgets holds the medians against the budgets. A row that was not measured is named.
func printBudgets(out io.Writer, results []result) {
	find := func(name string) *result {
		if i := slices.IndexFunc(results, func(r result) bool { return r.Name == name && len(r.Runs) > 0 }); i >= 0 {
			return &results[i]
		}
		return nil
	}
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "\nmeasured\tbudget\t\t\t  what (row)")
	for _, b := range budgets() {
		row, than := find(b.Row), find(b.Than)
		if row == nil || b.Than != "" && than == nil {
			fmt.Fprintf(w, "-\t%g\t%s\tnot measured\t  %s (%s)\n", b.Limit, b.Unit, b.Name, b.Row)
			continue
		}
		var other sample
		if than != nil {
			other = than.median()
		}
		got, mark := b.Measured(row.median(), other, row.NextInit), ""
		if got > b.Limit {
			mark = "OVER"
		}
		fmt.Fprintf(w, "%.3f\t%g\t%s\t%s\t  %s (%s)\n", got, b.Limit, b.Unit, mark, b.Name, b.Row)
	}
	w.Flush()
}
