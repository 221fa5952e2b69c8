// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

// Suite runs the project's tests, one kind after the other, and counts: units, fuzz targets for a few seconds each, tests in a
// user namespace, tests as root in a virtual machine, boots, and boots of tampered disks. It is what ./just test calls.
//
// A skipped test prints its reason. With --strict a skip that no line of allowed-skips.txt covers is a failure, so that a
// missing tool cannot make the tests green.
package main

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"regexp"
	"slices"
	"strings"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, os.Stdout, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "suite:", err)
		os.Exit(1)
	}
}

// part is a kind of tests.
type part struct {
	name string
	run  func(ctx context.Context, s *suite) error
}

func parts() []part {
	return []part{
		{"unit", runUnits},
		{"ns", runNamespace},
		{"fuzz", runFuzz},
		{"vm", runVM},
		{"differential", runDifferential},
		{"boots", runBoots},
		{"tamper", runTamper},
	}
}

// suite counts what was run.
type suite struct {
	out      io.Writer
	fuzzTime time.Duration
	group    string // the boots to run; "one" is the demonstration alone, and no other machine is started
	all      bool   // run also what takes minutes
	passed   int
	failed   []string
	skipped  []string // "NAME: reason"
}

func run(ctx context.Context, out io.Writer, args []string) error {
	flags := flag.NewFlagSet("suite", flag.ContinueOnError)
	only := flags.String("only", "", "run these kinds only, a list out of unit, ns, fuzz, vm, differential, boots, tamper")
	group := flags.String("boots", "test", "the group of boots to run (./just matrix --list), all of them, or one: the demonstration, and no other machine")
	all := flags.Bool("all", false, "run also what takes minutes")
	fuzzTime := flags.Duration("fuzztime", 10*time.Second, "for each fuzz target")
	strict := flags.Bool("strict", os.Getenv("CI") != "", "fail for a skip that is not allowed")
	allowed := flags.String("allowed", "vmtest/suite/allowed-skips.txt", "the skips that are")
	switch err := flags.Parse(args); {
	case errors.Is(err, flag.ErrHelp):
		return nil
	case err != nil:
		return err
	}
	list, err := chosen(*only)
	if err != nil {
		return err
	}
	s := &suite{out: out, fuzzTime: *fuzzTime, group: *group, all: *all}
	for _, p := range list {
		start := time.Now()
		fmt.Fprintf(out, "== %s\n", p.name)
		if err := p.run(ctx, s); err != nil {
			s.fail(p.name, err.Error())
		}
		fmt.Fprintf(out, "== %s: %.0f s\n", p.name, time.Since(start).Seconds())
	}
	return s.finish(*strict, *allowed)
}

// chosen returns the kinds of a list with commas, all for an empty one. A name that is none would run nothing and be taken for a success of the rest.
func chosen(only string) ([]part, error) {
	if only == "" {
		return parts(), nil
	}
	var list []part
	for name := range strings.SplitSeq(only, ",") {
		i := slices.IndexFunc(parts(), func(p part) bool { return p.name == name })
		if i < 0 {
			return nil, fmt.Errorf("cannot run the tests %q: there are unit, ns, fuzz, vm, differential, boots, tamper", name)
		}
		list = append(list, parts()[i])
	}
	return list, nil
}

func (s *suite) fail(name, why string) {
	s.failed = append(s.failed, name)
	fmt.Fprintf(s.out, "FAIL %s\n", name)
	for line := range strings.SplitSeq(strings.TrimRight(why, "\n"), "\n") {
		fmt.Fprintf(s.out, "     %s\n", line)
	}
}

// finish prints the reasons of the skips and the closing line.
func (s *suite) finish(strict bool, allowedFile string) error {
	allowed, err := readAllowed(allowedFile)
	if err != nil {
		return err
	}
	var bad []string
	for _, skip := range s.skipped {
		fmt.Fprintln(s.out, "SKIP", skip)
		if !isAllowed(allowed, skip) {
			bad = append(bad, skip)
		}
	}
	for _, name := range s.failed {
		fmt.Fprintln(s.out, "FAIL", name)
	}
	if strict {
		for _, skip := range bad {
			fmt.Fprintln(s.out, "FAIL a skip that is not allowed:", skip)
		}
	}
	failed := len(s.failed)
	skipped := len(s.skipped)
	if strict {
		failed += len(bad)
		skipped -= len(bad)
	}
	fmt.Fprintf(s.out, "test: %d passed, %d failed, %d skipped\n", s.passed, failed, skipped)
	switch {
	case failed > 0:
		return errors.New("there were failures")
	case s.passed == 0:
		return errors.New("no test ran")
	}
	return nil
}

// readAllowed reads regular expressions, one a line, that match "NAME: reason" of skips that are no failure anywhere.
func readAllowed(name string) ([]*regexp.Regexp, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, fmt.Errorf("cannot read the allowed skips: %w", err)
	}
	defer f.Close()
	var out []*regexp.Regexp
	for sc := bufio.NewScanner(f); sc.Scan(); {
		line := strings.TrimSpace(sc.Text())
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		re, err := regexp.Compile("^(?:" + line + ")$")
		if err != nil {
			return nil, fmt.Errorf("cannot read the allowed skips: %w", err)
		}
		out = append(out, re)
	}
	return out, nil
}

func isAllowed(list []*regexp.Regexp, skip string) bool {
	for _, re := range list {
		if re.MatchString(skip) {
			return true
		}
	}
	return false
}

// command prepares a program whose errors are shown as they come.
func command(ctx context.Context, name string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Stderr = os.Stderr
	cmd.WaitDelay = 10 * time.Second
	return cmd
}
