// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package main

import (
	"context"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// command runs the program and returns what it printed.
func command(t *testing.T, args ...string) (stdout, stderr string, err error) {
	t.Helper()
	file := func(name string) *os.File {
		f, err := os.Create(filepath.Join(t.TempDir(), name))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { f.Close() })
		return f
	}
	env := environment{Stdout: file("stdout"), Stderr: file("stderr")}
	err = run(context.Background(), env, args)
	text := func(f *os.File) string {
		b, err := os.ReadFile(f.Name())
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	return text(env.Stdout), text(env.Stderr), err
}

func TestUsage(t *testing.T) {
	for _, args := range [][]string{{}, {"dance"}, {"--frobnicate"}} {
		if out, _, err := command(t, args...); !errors.Is(err, errUsage) || out != "" {
			t.Errorf("%q: %q, %v", args, out, err)
		}
	}
	for _, args := range [][]string{{"--help"}, {"-h"}, {"help"}} {
		out, _, err := command(t, args...)
		if err != nil {
			t.Errorf("%q: %v", args, err)
		}
		for _, v := range verbs() {
			if !strings.Contains(out, "  "+v.name+" ") {
				t.Errorf("%q does not name %s", args, v.name)
			}
		}
	}
	for _, v := range verbs() {
		if out, _, err := command(t, v.name, "x", "--help"); err != nil || out != v.help || !strings.HasPrefix(out, "ddifetch "+v.name) {
			t.Errorf("%s --help: %v\n%s", v.name, err, out)
		}
	}
	if out, _, err := command(t, "--version"); err != nil || !strings.HasPrefix(out, "ddifetch ") {
		t.Errorf("%q, %v", out, err)
	}
}

// checkHelp keeps the help of a verb complete, and the flags that it teaches real.
func checkHelp(t *testing.T, flags *flag.FlagSet, help string) {
	t.Helper()
	var taught []string
	for _, m := range regexp.MustCompile(`(?m)(?:^|[\s\[])--([A-Za-z][a-z0-9-]*)`).FindAllStringSubmatch(help, -1) {
		taught = append(taught, m[1])
	}
	flags.VisitAll(func(f *flag.Flag) {
		if !slices.Contains(taught, f.Name) {
			t.Errorf("--help does not name --%s", f.Name)
		}
	})
	for _, name := range taught {
		if name != "help" && flags.Lookup(name) == nil && !strings.Contains(help, "ddimount --"+name) {
			t.Errorf("--help names --%s, which does not exist", name)
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
