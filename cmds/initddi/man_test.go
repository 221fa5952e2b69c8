// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/initddi/initddi/internal/kmodules"
)

const manDir = "../../docs/man"

func manual(t *testing.T, name string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(manDir, name))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// TestManualKnowsEveryFlag holds initddi(1) against the program, verb by verb, both ways.
func TestManualKnowsEveryFlag(t *testing.T) {
	sections := map[string]string{}
	for _, s := range regexp.MustCompile(`(?m)^\.S[sh] `).Split(manual(t, "initddi.1"), -1) {
		if words := strings.Fields(s); len(words) > 1 && words[0] == "initddi" {
			sections[words[1]] = s
		}
	}
	for _, v := range verbs() {
		text, ok := sections[v.name]
		if !ok {
			t.Errorf("initddi.1 has no section about %s", v.name)
			continue
		}
		delete(sections, v.name)
		checkTaught(t, "initddi.1, "+v.name, text, flagsOf(t, v.name))
	}
	// The program that images carry takes what the verb takes.
	checkTaught(t, "initddi-bless.8", manual(t, "initddi-bless.8"), flagsOf(t, "bless"))
	for name := range sections {
		t.Errorf("initddi.1 has a section about %s, which does not exist", name)
	}
}

// TestManualKnowsEveryClass holds the list of driver classes against the program's.
func TestManualKnowsEveryClass(t *testing.T) {
	page := manual(t, "initddi.1")
	for _, c := range kmodules.Classes() {
		if want := ".It Li " + c.Name + "\n" + c.Description + "\n"; !strings.Contains(page, want) {
			t.Errorf("initddi.1 lacks the class:\n%s", want)
		}
	}
}

// TestManualKnowsEveryConfig holds what is said of --config against the template file.
func TestManualKnowsEveryConfig(t *testing.T) {
	_, text, ok := strings.Cut(manual(t, "initddi.1"), ".It Fl -config Ar NAME\n")
	text, _, _ = strings.Cut(text, ".It ")
	help := usageOf(t, "initramfs")
	_, line, ok2 := strings.Cut(help, "-config string\n")
	line, _, _ = strings.Cut(line, "\n")
	if !ok || !ok2 {
		t.Fatalf("the manual or the help say nothing of --config")
	}
	for _, name := range templateConfigs(t) {
		if !regexp.MustCompile(`(?m)^\.Li ` + name + `\b`).MatchString(text) {
			t.Errorf("initddi.1 lacks the configuration %s:\n%s", name, text)
		}
		if !regexp.MustCompile(`\b` + name + `\b`).MatchString(line) {
			t.Errorf("--help lacks the configuration %s: %s", name, line)
		}
	}
}

// checkTaught compares the flags that have an item in a text with those that there are.
func checkTaught(t *testing.T, where, text string, flags []string) {
	t.Helper()
	taught := map[string]bool{}
	for _, m := range regexp.MustCompile(`(?m)^\.It .*$`).FindAllString(text, -1) {
		for _, f := range regexp.MustCompile(`Fl -([a-z0-9-]+)`).FindAllStringSubmatch(m, -1) {
			taught["--"+f[1]] = true
		}
	}
	for _, f := range flags {
		if !taught[f] {
			t.Errorf("%s does not explain %s", where, f)
		}
		delete(taught, f)
	}
	for f := range taught {
		t.Errorf("%s explains %s, which does not exist", where, f)
	}
}

// TestManualKnowsEveryKey looks for the keys in the source of package plan: a key that nobody wrote about is found here.
func TestManualKnowsEveryKey(t *testing.T) {
	b, err := os.ReadFile("../../internal/plan/keys.go")
	if err != nil {
		t.Fatal(err)
	}
	body := func(name string) string {
		_, rest, ok := strings.Cut(string(b), "func (p *Plan) "+name+"(")
		if !ok {
			t.Fatalf("keys.go has no function %s", name)
		}
		text, _, _ := strings.Cut(rest, "\n}\n")
		return text
	}
	for _, c := range []struct{ function, page, mark string }{
		{"set", "initddi-cmdline.7", "ddi.%s="},
		{"setBaked", "stage1.conf.5", "%s="},
	} {
		page, n := manual(t, c.page), 0
		for _, line := range regexp.MustCompile(`(?m)^	case (".*"):$`).FindAllStringSubmatch(body(c.function), -1) {
			if strings.Contains(line[1], `"url"`) {
				continue // keys that exist only to be refused
			}
			for _, key := range regexp.MustCompile(`"([a-z-]+)"`).FindAllStringSubmatch(line[1], -1) {
				n++
				if want := fmt.Sprintf(c.mark, key[1]); !strings.Contains(page, want) {
					t.Errorf("%s does not explain %s", c.page, want)
				}
			}
		}
		if n < 5 {
			t.Errorf("found %d keys in %s: the test no longer understands keys.go", n, c.function)
		}
	}
}

func TestManualRenders(t *testing.T) {
	if _, err := exec.LookPath("groff"); err != nil {
		t.Skip("needs groff (Debian package groff-base)")
	}
	pages, err := filepath.Glob(filepath.Join(manDir, "*.[1-8]"))
	if err != nil || len(pages) < 5 {
		t.Fatalf("%d pages, %v", len(pages), err)
	}
	for _, page := range pages {
		out, err := exec.Command("groff", "-mandoc", "-Tutf8", "-ww", "-z", page).CombinedOutput()
		if err != nil || len(bytes.TrimSpace(out)) > 0 {
			t.Errorf("%s: %v\n%s", page, err, out)
		}
	}
}
