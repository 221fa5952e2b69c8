// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package main

import (
	"fmt"
	"io"
	"strings"
)

// test is one top-level test.
type test struct {
	name   string // "internal/linux/dm.TestVMLinear"
	result string // PASS, FAIL, SKIP
	output []string
}

// results is what the machine reported.
type results struct {
	tests                   []test
	passed, failed, skipped int
}

// parse reads what the init wrote. A program that did not end well without a failed test counts as a failure, and so does a
// machine that did not come to its end.
func parse(text string, packages []pkg) *results {
	names := map[string]string{}
	for _, p := range packages {
		names[p.name()] = p.path
	}
	r := &results{}
	done := false
	var current string
	var output []string
	failed := false
	for line := range strings.Lines(text) {
		line = strings.TrimRight(line, "\r\n")
		kind, rest, _ := strings.Cut(line, ": ")
		switch {
		case strings.HasPrefix(line, "== begin "):
			current, output, failed = names[strings.TrimPrefix(line, "== begin ")], nil, false
		case strings.HasPrefix(line, "== end "):
			_, result, _ := strings.Cut(strings.TrimPrefix(line, "== end "), " ")
			if result != "ok" && !failed {
				r.add(test{current, "FAIL", append(output, result)})
			}
			current = ""
		case line == "== done":
			done = true
		case strings.HasPrefix(line, "== error: "):
			r.add(test{"init", "FAIL", []string{line}})
		case kind == "--- PASS" || kind == "--- FAIL" || kind == "--- SKIP":
			name, _, _ := strings.Cut(rest, " ")
			result := strings.TrimPrefix(kind, "--- ")
			failed = failed || result == "FAIL"
			r.add(test{current + "." + name, result, output})
			output = nil
		case strings.HasPrefix(line, "=== "):
		default:
			output = append(output, line)
		}
	}
	if !done {
		r.add(test{"machine", "FAIL", append(output, "it did not come to its end, and was in "+current)})
	}
	return r
}

func (r *results) add(t test) {
	switch t.result {
	case "PASS":
		r.passed++
	case "SKIP":
		r.skipped++
	default:
		r.failed++
	}
	r.tests = append(r.tests, t)
}

func (r *results) print(w io.Writer, verbose bool) {
	for _, t := range r.tests {
		switch {
		case t.result == "SKIP":
			fmt.Fprintf(w, "SKIP %s: %s\n", t.name, reason(t.output))
		default:
			fmt.Fprintf(w, "%s %s\n", t.result, t.name)
			if t.result == "FAIL" || verbose {
				for _, line := range t.output {
					fmt.Fprintf(w, "     %s\n", line)
				}
			}
		}
	}
	fmt.Fprintf(w, "guesttests: %d passed, %d failed, %d skipped\n", r.passed, r.failed, r.skipped)
}

// reason is the line that a test skipped itself with, without the place in the source.
func reason(output []string) string {
	for i := len(output) - 1; i >= 0; i-- {
		if _, msg, ok := strings.Cut(output[i], ".go:"); ok {
			if _, msg, ok = strings.Cut(msg, ": "); ok {
				return msg
			}
		}
	}
	return "no reason given"
}
