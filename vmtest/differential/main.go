// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

// Differential holds sysextmerge against systemd's own systemd-sysext and systemd-confext: the same fake roots and extensions through
// both, compared after every step: all files with modes, owners, attributes and contents, all mounts with their options, JSON, exit status.
//
//	differential [--cases N] [--seed N] [--only ID] [--tree DIR] [--program FILE] [--json] [-v]
//
// The cases are generated; the same seed gives the same ones. In some the two take turns on one merge. Each disagreement has to be
// explained by an entry of the table in explain.go, which says why; one that is not is a failure. The last line is
// "differential: N passed, N failed". It needs to be root, and a tree of Debian 13 (./just _interop-tree).
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"syscall"
	"time"

	"github.com/initddi/initddi/vmtest/command"
)

func main() { command.Main("differential", run) }

// options is the command line.
type options struct {
	cases, first int
	seed         uint64
	only         int
	tree         string
	workers      int
	json, all    bool
	program      string
	worker       string // "N/M PROGRAM": this is worker N of M, and that is sysextmerge
}

func parseOptions(args []string) (*options, error) {
	o := &options{}
	flags := flag.NewFlagSet("differential", flag.ContinueOnError)
	flags.IntVar(&o.cases, "cases", 600, "how many cases")
	flags.Uint64Var(&o.seed, "seed", 1, "what they are made of")
	flags.IntVar(&o.only, "only", -1, "play one case, and show all about it: `ID`")
	flags.StringVar(&o.tree, "tree", "build/interop/trixie", "the tree of a Debian with systemd's tools: `DIR`")
	flags.IntVar(&o.workers, "j", runtime.NumCPU(), "how many at a time")
	flags.BoolVar(&o.json, "json", false, "print a JSON document: every disagreement with its explanation")
	flags.BoolVar(&o.all, "v", false, "show every disagreement")
	flags.StringVar(&o.program, "program", "", "the sysextmerge that is tested (default: it is built): `FILE`")
	flags.StringVar(&o.worker, "worker", "", "for this program itself")
	if err := flags.Parse(args); err != nil {
		return nil, err
	}
	if flags.NArg() > 0 {
		return nil, fmt.Errorf("cannot use %q: there are only options", flags.Arg(0))
	}
	return o, nil
}

func run(ctx context.Context, args []string) error {
	o, err := parseOptions(args)
	if err != nil {
		return err
	}
	if o.worker != "" {
		return work(ctx, o, os.Stdout)
	}
	if os.Getuid() != 0 {
		return errors.New("needs root: it makes mounts")
	}
	if o.tree, err = filepath.Abs(o.tree); err != nil {
		return err
	}
	if _, err := os.Stat(o.tree + "/usr/bin/systemd-confext"); err != nil {
		return fmt.Errorf("needs a tree of Debian 13 (./just _interop-tree): %w", err)
	}
	tmp, err := os.MkdirTemp("", "differential-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(tmp)
	if o.program != "" {
		return o.report(ctx, os.Stdout, o.program)
	}
	program := filepath.Join(tmp, "sysextmerge")
	build := exec.CommandContext(ctx, "go", "build", "-o", program, "github.com/initddi/initddi/cmds/sysextmerge")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("cannot build sysextmerge: %w: %s", err, out)
	}
	return o.report(ctx, os.Stdout, program)
}

// work is what a worker does: it plays its share of the cases in a mount namespace of its own and prints a JSON line for each.
func work(ctx context.Context, o *options, w io.Writer) error {
	var n, m int
	var program string
	if _, err := fmt.Sscanf(o.worker, "%d/%d %s", &n, &m, &program); err != nil {
		return err
	}
	s := &stage{tree: o.tree, noSubvolumes: missingForSubvolumes() != ""}
	if err := s.setUp(program); err != nil {
		return err
	}
	enc := json.NewEncoder(w)
	for id := n; id < o.cases; id += m {
		if o.only >= 0 && id != o.only {
			continue
		}
		r := s.one(ctx, generate(o.seed, id))
		if err := enc.Encode(r); err != nil || ctx.Err() != nil {
			return errors.Join(err, ctx.Err())
		}
	}
	return nil
}

// result is what became of a case.
type result struct {
	Case        *testCase    `json:"case"`
	Differences []difference `json:"differences,omitempty"`
	Err         string       `json:"err,omitempty"` // why it could not be played
	Merged      bool         `json:"merged"`        // something was merged at some time
	Steps       int          `json:"steps"`
	Said        []string     `json:"said,omitempty"`
}

// one plays a case with each tool alone, and with both in turns where it says so.
func (s *stage) one(ctx context.Context, c *testCase) result {
	r := result{Case: c}
	reference, err := s.play(ctx, c, [2]int{theirs, theirs})
	if err != nil {
		r.Err = "theirs: " + err.Error()
		return r
	}
	for _, o := range reference {
		r.Steps++
		for k := range o.state {
			r.Merged = r.Merged || filepath.Base(k) == "dev" && filepath.Base(filepath.Dir(k)) == ".systemd-"+c.Class
		}
	}
	type pair struct {
		name  string
		tools [2]int
	}
	pairs := []pair{{"ours", [2]int{ours, ours}}}
	if c.Both {
		pairs = append(pairs, pair{"theirs, then ours", [2]int{theirs, ours}}, pair{"ours, then theirs", [2]int{ours, theirs}})
	}
	for _, p := range pairs {
		got, err := s.play(ctx, c, p.tools)
		if err != nil {
			r.Err = p.name + ": " + err.Error()
			return r
		}
		list := compare(c, p.name, reference, got)
		explain(c, list, reference, got)
		r.Differences = append(r.Differences, list...)
		r.Steps += len(got)
		if p.name == "ours" {
			for i := range got {
				r.Said = append(r.Said, reference[i].step+"\ntheirs: "+reference[i].said+"ours:   "+got[i].said)
			}
		}
	}
	return r
}

// report runs the workers, and says what came of it.
func (o *options) report(ctx context.Context, w io.Writer, program string) error {
	start := time.Now()
	if !o.json {
		fmt.Fprintf(w, "%d cases of seed %d; one of them again: --seed %d --only ID\n", o.cases, o.seed, o.seed)
		if missing := missingForSubvolumes(); missing != "" {
			fmt.Fprintf(w, "SKIP subvolumes, which are directories here: missing: %s\n", missing)
		}
	}
	results, errs := make(chan result), make(chan error)
	for n := range o.workers {
		go func() { errs <- o.startWorker(ctx, n, program, results) }()
	}
	t := newTally(o, w)
	var failed []error
	for running := o.workers; running > 0; {
		select {
		case r := <-results:
			t.add(r)
		case err := <-errs:
			running--
			if err != nil {
				failed = append(failed, err)
			}
		}
	}
	if err := errors.Join(failed...); err != nil {
		return err
	}
	return t.finish(time.Since(start))
}

func (o *options) startWorker(ctx context.Context, n int, program string, results chan<- result) error {
	args := []string{
		"--worker", fmt.Sprintf("%d/%d %s", n, o.workers, program), "--tree", o.tree, "--cases", strconv.Itoa(max(o.cases, o.only+1)),
		"--seed", strconv.FormatUint(o.seed, 10), "--only", strconv.Itoa(o.only),
	}
	cmd := exec.CommandContext(ctx, "/proc/self/exe", args...)
	cmd.Stderr = os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Unshareflags: syscall.CLONE_NEWNS}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	dec := json.NewDecoder(out)
	for {
		var r result
		if err := dec.Decode(&r); err != nil {
			if werr := cmd.Wait(); werr != nil {
				return fmt.Errorf("a worker failed: %w", werr)
			}
			if errors.Is(err, io.EOF) {
				return nil
			}
			return err
		}
		results <- r
	}
}
