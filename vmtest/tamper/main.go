// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

// Tamper alters disks in every way that package attack knows, and says which gave the verdict that they must, by the layer that
// must give it.
//
//	tamper [--only LIST] [--list] [--json] [-j N]
//
// A case is judged by stage 1's own code without a virtual machine, or boots one. What is in an extension is judged by root in a mount
// namespace of its own, which tamper starts itself in. Each gives a row; a failed one also its
// reasons, and how to run it again. The last line is "tamper: N passed, N failed", and the exit status is 1 if any failed; what
// this machine lacks for a case fails that. With --json standard output is a JSON document and the rows go to standard error.
package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/initddi/initddi/vmtest"
	"github.com/initddi/initddi/vmtest/attack"
	"github.com/initddi/initddi/vmtest/command"
)

func main() { command.Main("tamper", run) }

// item is a case as it is listed.
type item struct {
	Name    string         `json:"name"`
	Group   string         `json:"group"`
	How     string         `json:"how"` // "direct" or "boot"
	Verdict attack.Verdict `json:"verdict"`
	Layer   attack.Layer   `json:"layer"`
	Doc     string         `json:"doc"`
	Test    bool           `json:"test,omitempty"`

	direct *attack.Case
	boot   *vmtest.Cell
}

func items(b *attack.Booth) []item {
	var out []item
	for _, c := range attack.Cases() {
		if !c.Boot {
			out = append(out, item{Name: c.Name, Group: c.Group, How: "direct", Verdict: c.Verdict, Layer: c.Layer, Doc: c.Doc, direct: &c})
		}
	}
	for _, c := range b.Cells() {
		out = append(out, item{Name: c.Name, Group: c.Group, How: "boot", Verdict: attack.VerdictOf(&c), Layer: attack.Layer(c.Layer), Doc: c.Doc, Test: c.Test, boot: &c})
	}
	return out
}

// choose returns the items of groups or with names in only; "direct", "boot" and "test" are groups, too.
func choose(list []item, only string) ([]item, error) {
	if only == "" {
		return list, nil
	}
	var out []item
	used := map[string]bool{}
	wanted := strings.Split(only, ",")
	for _, i := range list {
		taken := false
		for _, name := range []string{i.Name, i.Group, i.How, "test"} {
			if slices.Contains(wanted, name) && (name != "test" || i.Test) {
				taken, used[name] = true, true
			}
		}
		if taken {
			out = append(out, i)
		}
	}
	for _, name := range wanted {
		if !used[name] {
			return nil, fmt.Errorf("cannot find a case or a group %q; --list shows them", name)
		}
	}
	return out, nil
}

func show(out io.Writer, list []item) {
	for _, i := range list {
		fmt.Fprintf(out, "%-12s %-30s %-6s  %-9s by %-12s  %s\n", i.Group, i.Name, i.How, i.Verdict, i.Layer, i.Doc)
	}
}

func run(ctx context.Context, args []string) error {
	if len(args) > 0 && args[0] == judgeTrees {
		return judge(args[1:])
	}
	o, err := command.Parse("tamper", "cases", ". Groups are also direct, boot and test", args)
	if err != nil {
		return err
	}
	booth := attack.NewBooth(o.Module, o.Build, func(what string) { fmt.Fprintln(os.Stderr, what) })
	chosen, err := choose(items(booth), o.Only)
	if err != nil {
		return err
	}
	if o.List {
		if o.JSON {
			return vmtest.WriteJSON(os.Stdout, chosen)
		}
		show(os.Stdout, chosen)
		return nil
	}
	rows := io.Writer(os.Stdout)
	if o.JSON {
		rows = os.Stderr
	}
	s, err := try(ctx, booth, chosen, o, rows)
	if err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("stopped: %w", err)
	}
	if o.JSON {
		if err := vmtest.WriteJSON(os.Stdout, s); err != nil {
			return err
		}
	}
	fmt.Fprintf(rows, "tamper: %d passed, %d failed\n", s.Passed, s.Failed)
	if s.Failed > 0 {
		return command.ErrFailed
	}
	return nil
}

// try runs the direct cases, then the boots.
func try(ctx context.Context, booth *attack.Booth, chosen []item, o *command.Options, rows io.Writer) (*vmtest.Summary, error) {
	start := time.Now()
	s := &vmtest.Summary{Program: "tamper"}
	var cells []vmtest.Cell
	var direct, trees []*attack.Case
	for _, i := range chosen {
		switch {
		case i.boot != nil:
			cells = append(cells, *i.boot)
		case i.direct.Extension != nil:
			trees = append(trees, i.direct)
		default:
			direct = append(direct, i.direct)
		}
	}
	if len(direct) > 0 {
		if err := tryDirect(ctx, direct, s, rows); err != nil {
			return nil, err
		}
	}
	if len(trees) > 0 && ctx.Err() == nil {
		if err := tryTrees(ctx, o.Module, trees, s, rows); err != nil {
			return nil, err
		}
	}
	if len(cells) > 0 && ctx.Err() == nil {
		if err := booth.Open(); err != nil {
			return nil, err
		}
		boots := booth.RunAll(ctx, cells, o.Parallel, rows)
		s.Results = append(s.Results, boots.Results...)
		s.Passed += boots.Passed
		s.Failed += boots.Failed + boots.Skipped
	}
	s.Seconds = time.Since(start).Seconds()
	return s, nil
}

// tryDirect judges cases without a machine.
func tryDirect(ctx context.Context, cases []*attack.Case, s *vmtest.Summary, rows io.Writer) error {
	tmp, err := os.MkdirTemp("", "initddi-tamper-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(tmp)
	desk, err := attack.NewDesk(attack.NewGoods(tmp), filepath.Join(tmp, "machine"))
	if err != nil {
		return err
	}
	for _, c := range cases {
		if ctx.Err() != nil {
			return nil
		}
		start := time.Now()
		f, wrong := desk.Try(c)
		row(s, rows, c, f, wrong, time.Since(start))
	}
	return nil
}

// row writes down what came of a case.
func row(s *vmtest.Summary, rows io.Writer, c *attack.Case, f attack.Finding, wrong []string, took time.Duration) {
	r := &vmtest.Result{Name: c.Name, Group: c.Group, Status: vmtest.Passed, Verdict: vmtest.Verdict(f.Verdict), Layer: string(f.Layer), Wrong: wrong, Seconds: took.Seconds()}
	s.Results = append(s.Results, r)
	if len(wrong) == 0 {
		s.Passed++
		fmt.Fprintf(rows, "PASS %-30s  %-9s by %s\n", c.Name, f.Verdict, f.Layer)
		return
	}
	r.Status = vmtest.Failed
	s.Failed++
	fmt.Fprintf(rows, "FAIL %-30s  %-9s by %s\n", c.Name, f.Verdict, f.Layer)
	for _, w := range wrong {
		fmt.Fprintf(rows, "    %s\n", w)
	}
	fmt.Fprintf(rows, "  again: ./just tamper --only %s\n", c.Name)
}
