// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

// Fuzz runs fuzz targets until each has had so many executions, or for so long, and keeps a ledger of it in docs/SECURITY.md.
//
//	fuzz [--executions N | --time T] [--list [--json]] [TARGET…]
//
// A TARGET is a part of PACKAGE.NAME, "hostile" (the default: what stage 1 reads before anything is verified) or "all". The ledger
// counts executions of the sources as they are: a target whose package, or one of this module that it imports, has changed begins at
// none. --executions and --time are what the ledger shall say, so running the same command again goes on where the last one was stopped.
// An input that fails stays where Go's fuzzer puts it, in the package's testdata, and is a seed of every test from then on.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"slices"
	"time"

	"github.com/initddi/initddi/vmtest/command"
)

func main() { command.Main("fuzz", run) }

// hostile are the targets that read what nobody has verified.
func hostile() []string {
	return []string{"internal/fat.FuzzWalk", "internal/gpt.FuzzRead", "internal/signature.FuzzParseDocument", "internal/signature.FuzzVerify", "internal/verity.FuzzParseSuperblock"}
}

// round is how many executions a run of the fuzzer does before the ledger is written and the next target has its turn.
const round = 1_000_000

// spell is the same with --time.
const spell = 5 * time.Minute

func run(ctx context.Context, args []string) error {
	flags := flag.NewFlagSet("fuzz", flag.ContinueOnError)
	executions := flags.Int64("executions", round, "go on until the ledger says `N` for each target")
	span := flags.Duration("time", 0, "go on until the ledger says `TIME` instead, such as 10m")
	list := flags.Bool("list", false, "list the targets, and run nothing")
	asJSON := flags.Bool("json", false, "list as JSON, with what the ledger says of each target")
	name := flags.String("ledger", "docs/SECURITY.md", "the `FILE` with the ledger")
	if err := flags.Parse(args); err != nil {
		return err
	}
	all, err := targets(ctx)
	if err != nil {
		return err
	}
	chosen, err := choose(all, flags.Args())
	if err != nil {
		return err
	}
	if *asJSON && !*list {
		return errors.New("cannot print JSON of a run: --json goes with --list")
	}
	if *list && *asJSON {
		return printList(ctx, os.Stdout, chosen, *name)
	}
	if *list {
		for _, t := range chosen {
			fmt.Println(t)
		}
		return nil
	}
	failed := false
	for len(chosen) > 0 && ctx.Err() == nil {
		var left []target
		for _, t := range chosen {
			again, err := turn(ctx, t, *name, *executions, *span)
			switch {
			case ctx.Err() != nil:
				return fmt.Errorf("stopped: %w", ctx.Err())
			case errors.Is(err, command.ErrFailed):
				failed = true
			case err != nil:
				return err
			case again:
				left = append(left, t)
			}
		}
		chosen = left
	}
	if failed {
		return command.ErrFailed
	}
	return nil
}

// turn gives a target a round, or its time, and reports whether it needs more.
func turn(ctx context.Context, t target, ledger string, executions int64, span time.Duration) (again bool, err error) {
	sources, err := t.sources(ctx)
	if err != nil {
		return false, err
	}
	before, err := readLedger(ledger)
	if err != nil {
		return false, err
	}
	had, took := before.of(t, sources)
	if had >= executions && span == 0 || took >= span && span != 0 {
		fmt.Printf("%s: %s executions %s\n", t, thousands(had), minutes(took))
		return false, nil
	}
	now := min(spell, span-took)
	fuzzTime := now.String()
	if span == 0 {
		now, fuzzTime = 0, fmt.Sprintf("%dx", min(round, executions-had))
	}
	n, output, err := t.fuzz(ctx, fuzzTime)
	if ctx.Err() != nil {
		return false, ctx.Err()
	}
	if err != nil {
		now = 0 // it ended early
	}
	// Read again: another run may have written meanwhile.
	l, lerr := readLedger(ledger)
	if lerr != nil {
		return false, lerr
	}
	had, took = l.of(t, sources)
	had, took = had+n, took+now
	l.set(row{Target: t.String(), Executions: had, Time: took, Date: time.Now().UTC().Format(time.DateOnly), Sources: sources})
	if werr := l.write(); werr != nil {
		return false, werr
	}
	if err != nil {
		fmt.Printf("FAIL %s after %s executions\n%s\n", t, thousands(had), output)
		return false, command.ErrFailed
	}
	fmt.Printf("%s: %s executions %s\n", t, thousands(had), minutes(took))
	return span == 0 && had < executions || took < span, nil
}

// choose returns the targets that the arguments name.
func choose(all []target, args []string) ([]target, error) {
	if len(args) == 0 {
		args = []string{"hostile"}
	}
	var out []target
	for _, a := range args {
		found := false
		for _, t := range all {
			if t.is(a) {
				found = true
				if !slices.Contains(out, t) {
					out = append(out, t)
				}
			}
		}
		if !found {
			return nil, fmt.Errorf("cannot find a fuzz target %q; --list all shows them", a)
		}
	}
	return out, nil
}

// printList prints the targets, and how far each is with its sources as they are.
func printList(ctx context.Context, w io.Writer, chosen []target, name string) error {
	l, err := readLedger(name)
	if err != nil {
		return err
	}
	type entry struct {
		Target     string  `json:"target"`
		Hostile    bool    `json:"hostile"`
		Executions int64   `json:"executions"`
		Seconds    float64 `json:"seconds"`
		Sources    string  `json:"sources"`
	}
	out := []entry{}
	for _, t := range chosen {
		sources, err := t.sources(ctx)
		if err != nil {
			return err
		}
		n, span := l.of(t, sources)
		out = append(out, entry{t.String(), t.is("hostile"), n, span.Seconds(), sources})
	}
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(out)
}
