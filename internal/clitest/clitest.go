// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

// Package clitest is what the tests of the commands have in common.
package clitest

import (
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

// Commands are the commands of test scripts beside testscript's own: "status CODE PROGRAM ARGS..." demands an exit status.
func Commands() map[string]func(*testscript.TestScript, bool, []string) {
	return map[string]func(*testscript.TestScript, bool, []string){"status": status}
}

func status(ts *testscript.TestScript, _ bool, args []string) {
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	err = ts.Exec(args[1], args[2:]...)
	got := 0
	if exit, ok := err.(*exec.ExitError); ok {
		got = exit.ExitCode()
	} else {
		ts.Check(err)
	}
	if got != want {
		ts.Fatalf("exit status %d, want %d", got, want)
	}
}

// CheckCompletion holds the options that the completion scripts of a program know against those that it takes, and corrects the scripts if
// update is set. It runs in the program's directory.
func CheckCompletion(t *testing.T, program string, options []string, update bool) {
	t.Helper()
	all := strings.Join(options, " ")
	for file, line := range map[string]string{
		"../../completion/bash/" + program: "    opts='" + all + "'",
		"../../completion/zsh/_" + program: "    opts=(" + all + ")",
	} {
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		found := regexp.MustCompile(`(?m)^    # flags\n(?:    opts=.*\n)?`)
		want := "    # flags\n" + line + "\n"
		if update {
			b = found.ReplaceAllLiteral(b, []byte(want))
			if err := os.WriteFile(file, b, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		if got := string(found.Find(b)); got != want {
			t.Errorf("%s does not know what the program takes; -update corrects it. It has\n%swant\n%s", file, got, want)
		}
	}
}
