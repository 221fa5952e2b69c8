// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package main

import (
	"flag"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/initddi/initddi/internal/clitest"
	"github.com/initddi/initddi/internal/ddi/dditest"
	"github.com/initddi/initddi/internal/options"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"ddimount": main})
}

// TestScripts runs the program as a user does. The images are in $IMAGES, $ROOTHASH is the good one's.
func TestScripts(t *testing.T) {
	s := dditest.Make(t)
	testscript.Run(t, testscript.Params{
		Dir: "testdata",
		Setup: func(e *testscript.Env) error {
			e.Setenv("IMAGES", s.Dir)
			e.Setenv("ROOTHASH", s.RootHash)
			return nil
		},
		Cmds: clitest.Commands(),
	})
}

// optionNames returns the names of the program's options, sorted.
func optionNames() []string {
	var set options.Set
	(&request{}).define(&set, &verbs{})
	return set.Names()
}

// TestHelpNamesEveryFlag keeps the help complete, and the flags that it teaches real.
func TestHelpNamesEveryFlag(t *testing.T) {
	var taught []string
	for _, m := range regexp.MustCompile(`(?m)(?:^|\s)(--?[A-Za-z][a-z-]*)`).FindAllStringSubmatch(helpText, -1) {
		taught = append(taught, m[1])
	}
	for _, o := range optionNames() {
		name := "--" + o
		if len(o) == 1 {
			name = "-" + o
		}
		if !slices.Contains(taught, name) {
			t.Errorf("--help does not name %s", name)
		}
	}
	for _, name := range taught {
		if !slices.Contains(optionNames(), strings.TrimLeft(name, "-")) {
			t.Errorf("--help names %s, which does not exist", name)
		}
	}
}

var update = flag.Bool("update", false, "write the tables of the completion scripts anew")

// TestCompletionTables compares what the completion scripts know with what the program takes.
func TestCompletionTables(t *testing.T) {
	var names []string
	for _, o := range optionNames() {
		switch {
		case len(o) == 1:
			names = append(names, "-"+o)
		case o == "trust" || o == "image-policy" || strings.HasPrefix(o, "root-hash"):
			names = append(names, "--"+o+"=")
		default:
			names = append(names, "--"+o)
		}
	}
	clitest.CheckCompletion(t, "ddimount", names, *update)
}

// TestManualNamesEveryFlag holds ddimount(8) against the program.
func TestManualNamesEveryFlag(t *testing.T) {
	b, err := os.ReadFile("../../docs/man/ddimount.8")
	if err != nil {
		t.Fatal(err)
	}
	for _, o := range optionNames() {
		name := "-" + o
		if len(o) == 1 {
			name = o
		}
		if !regexp.MustCompile(`(?m)^\.It .*Fl ` + name + `( |$)`).Match(b) {
			t.Errorf("ddimount.8 does not explain -%s", name)
		}
	}
}

func TestMainIsThin(t *testing.T) {
	b, err := os.ReadFile("main.go")
	if err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(string(b), "\n"); n > 70 {
		t.Errorf("main.go has %d lines: what the program does belongs behind it", n)
	}
}
