// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package main

import (
	"encoding/json"
	"fmt"
	"io"
	"time"

	"github.com/initddi/initddi/vmtest/command"
)

// tally counts.
type tally struct {
	o                     *options
	w                     io.Writer
	passed, failed        int
	merged, steps, agreed int
	used                  map[string]int // explanations, by name
	document              struct {
		Seed    uint64   `json:"seed"`
		Results []result `json:"results"`
	}
}

func newTally(o *options, w io.Writer) *tally { return &tally{o: o, w: w, used: map[string]int{}} }

// add counts a case, and prints it if it failed.
func (t *tally) add(r result) {
	if t.o.json {
		t.document.Results = append(t.document.Results, r)
	}
	t.steps += r.Steps
	if r.Merged {
		t.merged++
	}
	bad := r.Err != ""
	seen := map[string]bool{}
	for _, d := range r.Differences {
		bad = bad || d.Reason == ""
		seen[d.Reason] = true
	}
	for name := range seen {
		t.used[name]++
	}
	delete(seen, "metadata")
	delete(seen, "none")
	if len(seen) == 0 && !bad {
		t.agreed++
	}
	if bad {
		t.failed++
	} else {
		t.passed++
	}
	if t.o.json || !bad && !t.o.all && t.o.only < 0 {
		return
	}
	verdict := "ok  "
	if bad {
		verdict = "FAIL"
	}
	fmt.Fprintf(t.w, "%s case %d %v %s\n", verdict, r.Case.ID, r.Case.Traits, r.Err)
	for _, d := range r.Differences {
		if d.Reason != "" && !t.o.all {
			continue
		}
		fmt.Fprintf(t.w, "     %s, step %s, %s: %s\n       theirs %.300s\n       ours   %.300s\n", d.Tools, d.Step, d.What, d.Reason, d.Theirs, d.Ours)
	}
	if t.o.only >= 0 {
		b, _ := json.MarshalIndent(r.Case, "     ", "  ")
		fmt.Fprintf(t.w, "     %s\n", b)
		for _, s := range r.Said {
			fmt.Fprintf(t.w, "     %s\n", s)
		}
	}
}

// finish prints the explanations with how many cases needed each, and the closing line. A full run fails if one was not needed.
func (t *tally) finish(took time.Duration) error {
	full := t.o.only < 0 && t.o.cases >= fullRun
	for _, e := range explanations() {
		n := t.used[e.name]
		switch {
		case t.o.json || t.o.only >= 0:
		case n > 0:
			fmt.Fprintf(t.w, "explained %4d× %s: %s\n", n, e.name, e.why)
		case full:
			fmt.Fprintf(t.w, "FAIL explanation %q was not needed: %s\n", e.name, e.why)
			t.failed++
		}
	}
	if total := t.passed + t.failed; t.o.only < 0 && t.merged*5 < total {
		// On a machine without overlays, say, both would agree in everything.
		t.failed++
		if !t.o.json {
			fmt.Fprintf(t.w, "FAIL only %d of %d cases merged something\n", t.merged, total)
		}
	}
	if t.o.json {
		enc := json.NewEncoder(t.w)
		enc.SetIndent("", "\t")
		t.document.Seed = t.o.seed
		if err := enc.Encode(t.document); err != nil {
			return err
		}
	} else {
		fmt.Fprintf(t.w, "%d steps in %.0f s; %d cases merged something, %d agreed in everything but files and words that 262 has\n", t.steps, took.Seconds(), t.merged, t.agreed)
		fmt.Fprintf(t.w, "differential: %d passed, %d failed\n", t.passed, t.failed)
	}
	if t.failed > 0 {
		return command.ErrFailed
	}
	return nil
}

// fullRun is how many cases are enough for every explanation to be needed.
const fullRun = 500
