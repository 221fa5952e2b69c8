// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

// Bench measures what stage 1 costs a boot, beside what the kernel costs by itself.
//
// Time is virtual: QEMU counts instructions, one is a nanosecond, on one processor, and the clock goes on while the guest waits
// for its disk (-icount shift=0,sleep=on). Such numbers tell versions of the same thing apart; they are no wall clock of any
// machine, and nothing here passes or fails on them. What noise cannot touch is beside them: bytes and requests that
// the disk was asked for (by the guest's count and, over QMP, by QEMU's), and the memory that is left.
//
// Every row boots the same kernel, command line and image, as far as the row's point allows, and ends in the same init
// (vmtest/bench/marker), which reports and powers off. A row is run several times; the table has the median and the
// spread. Two columns are ratios, because they mean most: each against the first row of its kernel.
package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"regexp"
	"slices"
	"text/tabwriter"

	"github.com/initddi/initddi/internal/terminal"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx, os.Args[1:])
	stop()
	if err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	build := flags.String("build", "build", "the `DIRECTORY` of the build, with kernels, modules and keys")
	runs := flags.Int("runs", 3, "how often each row is measured")
	only := flags.String("only", "", "measure the rows whose name matches this `REGEXP`")
	list := flags.Bool("list", false, "list the rows")
	asJSON := flags.Bool("json", false, "print JSON: every run")
	stages := flags.Bool("stages", false, "show stage 1's own stages too, of the median run")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if flags.NArg() > 0 || *runs < 1 {
		return fmt.Errorf("cannot use %v with %d runs: no arguments, at least one run", flags.Args(), *runs)
	}
	wanted, err := regexp.Compile(*only)
	if err != nil {
		return fmt.Errorf("cannot use --only: %w", err)
	}
	rows := slices.DeleteFunc(table(), func(r row) bool { return !wanted.MatchString(r.Name) })
	if *list {
		for _, r := range rows {
			fmt.Printf("%-34s %s\n", r.Name, r.Doc)
		}
		return nil
	}
	dir, err := filepath.Abs(*build)
	if err != nil {
		return fmt.Errorf("cannot use --build: %w", err)
	}
	p := terminal.NewProgress(os.Stderr)
	w := &workshop{build: dir, dir: filepath.Join(dir, "bench"), say: func(s string) { p.Step(s, 0, 0) }}
	results, err := measure(ctx, w, rows, *runs)
	p.Done()
	if err != nil {
		return err
	}
	if *asJSON {
		e := json.NewEncoder(os.Stdout)
		e.SetIndent("", "  ")
		return e.Encode(results)
	}
	printTable(os.Stdout, results)
	printBudgets(os.Stdout, results)
	if *stages {
		printStages(os.Stdout, results)
	}
	return nil
}

// result is a row and what its runs measured; Skipped says why there are none.
type result struct {
	Name    string `json:"name"`
	Kernel  string `json:"kernel"`
	Cmdline string `json:"cmdline"`
	Initrd  int64  `json:"initrd_bytes"`
	// NextInit is the size of the file that stage 1 starts, all of which may be read.
	NextInit int64    `json:"next_init_bytes"`
	Runs     []sample `json:"runs"`
	Skipped  string   `json:"skipped,omitempty"`
}

func measure(ctx context.Context, w *workshop, rows []row, runs int) ([]result, error) {
	var out []result
	for _, r := range rows {
		m, err := w.machine(ctx, r)
		var missing *missingError
		if errors.As(err, &missing) {
			w.say(r.Name + ": " + missing.Error())
			out = append(out, result{Name: r.Name, Kernel: r.Kernel, Skipped: missing.Error()})
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("cannot measure %q: %w", r.Name, err)
		}
		res := result{Name: r.Name, Kernel: r.Kernel, Cmdline: m.cmdline, Initrd: m.initrdSize, NextInit: m.nextInit}
		for i := range runs {
			w.say(fmt.Sprintf("%s, run %d of %d", r.Name, i+1, runs))
			s, err := m.boot(ctx, filepath.Join(w.dir, "console"))
			if err != nil {
				return nil, fmt.Errorf("cannot measure %q: %w", r.Name, err)
			}
			res.Runs = append(res.Runs, *s)
		}
		out = append(out, res)
	}
	return out, nil
}

// median returns the run that is in the middle by the time at which the next init ran.
func (r *result) median() sample {
	s := slices.Clone(r.Runs)
	slices.SortFunc(s, func(a, b sample) int { return cmp.Compare(a.Marker, b.Marker) })
	return s[len(s)/2]
}

// spread returns how far the largest value is from the smallest.
func (r *result) spread(of func(sample) float64) float64 {
	lo, hi := of(r.Runs[0]), of(r.Runs[0])
	for _, s := range r.Runs {
		lo, hi = min(lo, of(s)), max(hi, of(s))
	}
	return hi - lo
}

func printTable(out io.Writer, results []result) {
	fmt.Fprint(out, `Virtual seconds: QEMU TCG, -icount shift=0,sleep=on, one processor, q35, 1 GiB. Median, ± spread of all runs.
init: when the kernel started /init. stage 1: from there until it said "entering". marker: until the next init's first line,
by the kernel's clock; x: as a multiple of the first row of the same kernel. free: MemAvailable then; at hand: free pages that a processor keeps for the next to ask, which are
not in it. read: from the disk.
`)
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "initrd, B\tinit\tstage 1\tmarker\t±\tx\tfree, kB\tat hand, kB\tread, kB\trequests\tQEMU: kB\trequests\t  row")
	first := map[string]float64{}
	for _, r := range results {
		if r.Skipped != "" {
			fmt.Fprintf(w, "-\t-\t-\t-\t\t\t\t\t\t\t\t  %s: %s\n", r.Name, r.Skipped)
			continue
		}
		m := r.median()
		key := r.Kernel + flavour(r.Cmdline)
		if first[key] == 0 {
			first[key] = m.Marker
		}
		stage := "-"
		if m.Entering > 0 {
			stage = fmt.Sprintf("%.3f", m.Entering-m.Init)
		}
		fmt.Fprintf(w, "%d\t%.3f\t%s\t%.3f\t%.3f\t%.2f\t%d\t%d\t%d\t%d\t%d\t%d\t  %s\n", r.Initrd, m.Init, stage, m.Marker,
			r.spread(func(s sample) float64 { return s.Marker }), m.Marker/first[key], m.MemAvailable, m.OnLists, m.GuestBytes>>10, m.GuestReads,
			m.HostBytes>>10, m.HostReads, r.Name)
	}
	w.Flush()
}

func printStages(out io.Writer, results []result) {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	for _, r := range results {
		if r.Skipped != "" || len(r.median().Stages) == 0 {
			continue
		}
		fmt.Fprintf(out, "\n%s, ms:\n", r.Name)
		m := r.median()
		for _, s := range m.Stages {
			fmt.Fprintf(w, "%.1f\t+%.1f\t  %s: %.110s\n", float64(s.Start)/1000, float64(s.Usec)/1000, s.Name, s.Text)
		}
		w.Flush()
		fmt.Fprintf(out, "modules: %v\n", m.Modules)
	}
}
