// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package main

import (
	"flag"
	"io"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/initddi/initddi/internal/clitest"
	"github.com/initddi/initddi/internal/sysext"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"sysextmerge": main, "my-confext-tool": main})
}

// TestScripts runs the program as a user does, who cannot merge anything. What a merge does is the tests' of package sysext, and of
// vmtest/differential.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:  "testdata",
		Cmds: clitest.Commands(),
	})
}

// names returns the options as they are written, with a "=" behind those that take a value.
func names() []string {
	flags := flag.NewFlagSet("sysextmerge", flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	(&options{}).define(flags, &given{})
	var out []string
	flags.VisitAll(func(f *flag.Flag) {
		name := "--" + f.Name
		if len(f.Name) == 1 {
			name = "-" + f.Name
		}
		if b, ok := f.Value.(interface{ IsBoolFlag() bool }); !ok || !b.IsBoolFlag() {
			name += "="
		}
		out = append(out, name)
	})
	return out
}

// TestHelpNamesEveryFlag keeps the help complete, and the flags that it teaches real.
func TestHelpNamesEveryFlag(t *testing.T) {
	var taught []string
	for _, m := range regexp.MustCompile(`(?m)(?:^|\s)(--?[A-Za-z][a-z-]*=?)`).FindAllStringSubmatch(helpText, -1) {
		taught = append(taught, m[1])
	}
	for _, name := range names() {
		if !slices.Contains(taught, name) {
			t.Errorf("--help does not name %s", name)
		}
	}
	for _, name := range taught {
		if !slices.Contains(names(), name) {
			t.Errorf("--help names %s, which does not exist", name)
		}
	}
}

var update = flag.Bool("update", false, "write the tables of the completion scripts anew")

// TestCompletionTables compares what the completion scripts know with what the program takes.
func TestCompletionTables(t *testing.T) {
	clitest.CheckCompletion(t, "sysextmerge", names(), *update)
}

// TestCompletionWorks runs the script in bash and asks for what a person would.
func TestCompletionWorks(t *testing.T) {
	if _, err := exec.LookPath("bash"); err != nil {
		t.Skip("needs bash (Debian package bash)")
	}
	for words, want := range map[string]string{
		"sysextmerge ":                "status list merge unmerge refresh help",
		"sysextmerge un":              "unmerge",
		"sysextmerge --mutable = im":  "import",
		"sysextmerge --json = ":       "pretty short off",
		"sysextmerge --noexec = ":     "yes no",
		"sysextmerge --conf":          "--confext",
		"sysextmerge --image-policy=": "--image-policy=",
	} {
		script := `source ../../completion/bash/sysextmerge; COMP_WORDS=("$@"); COMP_CWORD=$(($#-1)); _sysextmerge; echo "${COMPREPLY[@]}"`
		out, err := exec.Command("bash", append([]string{"-c", script, "bash"}, strings.Split(words, " ")...)...).Output()
		if err != nil {
			t.Fatal(err)
		}
		if got := strings.TrimSpace(string(out)); got != want {
			t.Errorf("%s<Tab>: %q, want %q", words, got, want)
		}
	}
}

// TestManualNamesEveryFlag holds sysextmerge(8) against the program.
func TestManualNamesEveryFlag(t *testing.T) {
	b, err := os.ReadFile("../../docs/man/sysextmerge.8")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names() {
		item := strings.TrimSuffix(strings.TrimPrefix(name, "-"), "=")
		if !regexp.MustCompile(`(?m)^\.It .*Fl ` + item + `( |$)`).Match(b) {
			t.Errorf("sysextmerge.8 does not explain %s", name)
		}
	}
}

// TestStatusLines: every extension of a hierarchy has a line.
func TestStatusLines(t *testing.T) {
	for _, names := range [][]string{nil, {"a"}, {"a", "b"}, {"a", "b", "c", "d"}} {
		lines := statusLines(sysext.Hierarchy{Path: "/usr", Merged: true, Extensions: names})
		var got []string
		for i, l := range lines {
			if (l[0] == "/usr") != (i == 0) {
				t.Errorf("%q: line %d begins with %q", names, i, l[0])
			}
			got = append(got, l[1])
		}
		if want := names; len(names) == 0 && !slices.Equal(got, []string{"-"}) || len(names) > 0 && !slices.Equal(got, want) {
			t.Errorf("%q: %q", names, got)
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
