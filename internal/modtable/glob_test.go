// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package modtable

import (
	"errors"
	"os/exec"
	"path"
	"strings"
	"testing"
)

// globs are checked against Glob and against the shell.
var globs = []struct {
	pattern, name string
	want          bool
}{
	{"", "", true},
	{"", "a", false},
	{"*", "", true},
	{"a*", "a/b c", true},
	{"a*b*c", "aXbXbXc", true},
	{"a*b*c", "aXbXbXcd", false},
	{"pci:v00008086d*sv*sd*bc01sc06i01*", "pci:v00008086d00002922sv00001AF4sd00001100bc01sc06i01", true},
	{"pci:v00008086d*sv*sd*bc01sc06i01*", "pci:v00008086d00002922sv00001AF4sd00001100bc01sc06i02", false},
	{"scsi:t-0x00*", "scsi:t-0x00", true},
	{"?", "", false},
	{"?b", "ab", true},
	{"[2-9]", "5", true},
	{"[2-9]", "1", false},
	{"[0-9a-f][0-9a-f]", "e7", true},
	{"[!a]", "b", true},
	{"[!a]", "a", false},
	{"[^a]", "b", true},
	{"[^a]", "a", false},
	{"[]a]", "]", true},
	{"[!]a]", "]", false},
	{"[a-]", "-", true},
	{"[-a]", "-", true},
	{`[\]a]`, "]", true},
	{`[\]a]`, `\`, false},
	{`[a-\c]`, "b", true},
	{`\*`, "*", true},
	{`\*`, "x", false},
	{`a\`, `a\`, true},
	{"[a", "[a", true},
	{"[a", "a", false},
	{"[", "[", true},
	{"x[!", "x[!", true},
	{"[z-a]", "b", false},
	{"*[0-9]*x", "a1b2x", true},
}

func TestGlob(t *testing.T) {
	for _, tt := range globs {
		if got := Glob(tt.pattern, tt.name); got != tt.want {
			t.Errorf("Glob(%q, %q) = %v", tt.pattern, tt.name, got)
		}
	}
}

// TestGlobShell asks a shell, whose case patterns are those of fnmatch.
func TestGlobShell(t *testing.T) {
	bash, err := exec.LookPath("bash")
	if err != nil {
		t.Skip("needs bash (Debian package bash)")
	}
	for _, tt := range globs {
		if strings.HasSuffix(tt.pattern, `\`) {
			continue // shells and fnmatch implementations differ about a last backslash
		}
		err := exec.Command(bash, "-c", `case "$1" in $2) exit 0;; esac; exit 9`, "bash", tt.name, tt.pattern).Run()
		var exit *exec.ExitError
		if err != nil && (!errors.As(err, &exit) || exit.ExitCode() != 9) {
			t.Fatal(err)
		}
		if (err == nil) != tt.want {
			t.Errorf("the shell says %v about %q and %q", err == nil, tt.pattern, tt.name)
		}
	}
}

// TestGlobTime would take years with a matcher that backtracks through every star.
func TestGlobTime(t *testing.T) {
	if Glob(strings.Repeat("*a", 400)+"b", strings.Repeat("a", 8000)) {
		t.Error("matched")
	}
}

func TestNormalize(t *testing.T) {
	for in, want := range map[string]string{
		"a-b":          "a_b",
		"a_b":          "a_b",
		"x-[a-c]-y[-z": "x_[a-c]_y[_z",
		"[]-a]-":       "[]-a]_",
	} {
		if got := normalize(in); got != want {
			t.Errorf("normalize(%q) = %q, want %q", in, got, want)
		}
	}
}

func TestMatchAlias(t *testing.T) {
	if !MatchAlias("platform:sdhci-x*[a-c]", "platform:sdhci_x-b") || MatchAlias("a[b-d]", "a-") {
		t.Error("hyphens are wrong")
	}
}

// FuzzGlob compares Glob with path.Match where both speak the same language: ASCII without '/', no "[!", no pattern that
// path.Match calls malformed. And no name may match unless it has the literal prefix that Match sorts by.
func FuzzGlob(f *testing.F) {
	for _, tt := range globs {
		f.Add(tt.pattern, tt.name)
	}
	f.Fuzz(func(t *testing.T, pattern, name string) {
		if len(pattern) > 200 || len(name) > 1000 {
			return
		}
		got := Glob(pattern, name)
		if got && !strings.HasPrefix(name, literalPrefix(pattern)) {
			t.Fatalf("Glob(%q, %q) is true, but the literal prefix is %q", pattern, name, literalPrefix(pattern))
		}
		if normalize(normalize(pattern)) != normalize(pattern) {
			t.Fatalf("normalize(%q) is not stable", pattern)
		}
		for i := range len(pattern) + len(name) {
			if (pattern + name)[i] >= 0x80 {
				return
			}
		}
		want, err := path.Match(pattern, name)
		if err != nil || strings.Contains(name, "/") || strings.Contains(pattern, "[!") {
			return
		}
		if got != want {
			t.Errorf("Glob(%q, %q) = %v, path.Match says %v", pattern, name, got, want)
		}
	})
}
