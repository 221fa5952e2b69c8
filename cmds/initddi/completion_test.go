// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/initddi/initddi/internal/kmodules"
)

var update = flag.Bool("update", false, "write the tables of the completion scripts anew")

// usageOf returns what "initddi VERB --help" prints.
func usageOf(t *testing.T, verb string) string {
	t.Helper()
	out, err := os.Create(filepath.Join(t.TempDir(), "help"))
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	if err := run(context.Background(), environment{Stdin: os.Stdin, Stdout: out, Stderr: out}, []string{verb, "--help"}); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(out.Name())
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// flagsOf returns the flags that "initddi VERB --help" tells of.
func flagsOf(t *testing.T, verb string) []string {
	t.Helper()
	text := usageOf(t, verb)
	var names []string
	for _, m := range regexp.MustCompile(`(?m)^  --?([a-z0-9-]+)`).FindAllStringSubmatch(text, -1) {
		names = append(names, "--"+m[1])
	}
	if len(names) == 0 {
		t.Fatalf("initddi %s --help tells of no flag:\n%s", verb, text)
	}
	return names
}

// TestCompletionTables compares what the scripts know with what the program takes. With -update it writes them anew.
func TestCompletionTables(t *testing.T) {
	var bash, zsh, bashVerbs, zshVerbs []string
	for _, v := range verbs() {
		flags := strings.Join(flagsOf(t, v.name), " ")
		bash = append(bash, fmt.Sprintf("    %s) opts='%s' ;;", v.name, flags))
		zsh = append(zsh, fmt.Sprintf("    %s) opts=(%s) ;;", v.name, flags))
		bashVerbs = append(bashVerbs, v.name)
		zshVerbs = append(zshVerbs, fmt.Sprintf("            '%s:%s'", v.name, strings.ReplaceAll(v.short, "'", `'\''`)))
	}
	configs := strings.Join(templateConfigs(t), " ")
	classes := strings.Join(append(kmodules.ClassNames(), "all"), " ")
	for _, c := range []struct {
		script, mark, end string
		want              []string
	}{
		{"bash/initddi", "        # verbs", "        COMPREPLY=", []string{"        opts='" + strings.Join(bashVerbs, " ") + " help'"}},
		{"bash/initddi", "    # flags", "    help)", bash},
		{"bash/initddi", "    # classes", "    initramfs:--compress)", []string{
			"    initramfs:--class) values='" + classes + "' ;;", "    initramfs:--config) values='" + configs + "' ;;"}},
		{"zsh/_initddi", "        # verbs", "        _describe", slices.Concat([]string{"        opts=("}, zshVerbs, []string{"        )"})},
		{"zsh/_initddi", "    # flags", "    help)", zsh},
		{"zsh/_initddi", "    # classes", "    initramfs:--compress)", []string{
			"    initramfs:--class) values=(" + classes + ") ;;", "    initramfs:--config) values=(" + configs + ") ;;"}},
	} {
		checkTable(t, filepath.Join("../../completion", c.script), c.mark, c.end, c.want)
	}
}

// templateConfigs are the configurations in the template file, in its order.
func templateConfigs(t *testing.T) []string {
	t.Helper()
	b, err := os.ReadFile("../../" + defaultTemplate)
	if err != nil {
		t.Fatal(err)
	}
	_, rest, ok := strings.Cut(string(b), "\nconfigs:\n")
	var names []string
	for _, m := range regexp.MustCompile(`(?m)^  ([a-z0-9-]+):$`).FindAllStringSubmatch(rest, -1) {
		names = append(names, m[1])
	}
	if !ok || !slices.Contains(names, "minimal") {
		t.Fatalf("found the configurations %q in the template: the test no longer understands it", names)
	}
	return names
}

// checkTable compares the lines of a file between the line mark and the line that begins with end.
func checkTable(t *testing.T, file, mark, end string, want []string) {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	head, rest, ok1 := strings.Cut(string(b), mark+"\n")
	i := strings.Index("\n"+rest, "\n"+end)
	if !ok1 || i < 0 {
		t.Fatalf("%s has no table between %q and %q", file, mark, end)
	}
	text := strings.Join(want, "\n") + "\n"
	if rest[:i] == text {
		return
	}
	if !*update {
		t.Errorf("%s does not know what the program takes; -update corrects it. It has\n%swant\n%s", file, rest[:i], text)
		return
	}
	if err := os.WriteFile(file, []byte(head+mark+"\n"+text+rest[i:]), 0o644); err != nil {
		t.Fatal(err)
	}
}

// TestCompletionWorks runs the script in bash and asks for what a person would.
func TestCompletionWorks(t *testing.T) {
	if _, err := exec.LookPath("bash"); err != nil {
		t.Skip("needs bash (Debian package bash)")
	}
	complete := func(words ...string) []string {
		script := `source ../../completion/bash/initddi; COMP_WORDS=("$@"); COMP_CWORD=$(($#-1)); _initddi; printf '%s\n' "${COMPREPLY[@]}"`
		out, err := exec.Command("bash", append([]string{"-c", script, "bash"}, words...)...).Output()
		if err != nil {
			t.Fatal(err)
		}
		return strings.Fields(string(out))
	}
	var names []string
	for _, v := range verbs() {
		names = append(names, v.name)
		want := append(flagsOf(t, v.name), "--help")
		if got := complete("initddi", v.name, "--"); !slices.Equal(got, want) {
			t.Errorf("initddi %s --<Tab>: %v, want %v", v.name, got, want)
		}
	}
	if got, want := complete("initddi", ""), append(names, "help", "--help"); !slices.Equal(got, want) {
		t.Errorf("initddi <Tab>: %v, want %v", got, want)
	}
	if got := complete("initddi", "ddi", "--fs", ""); !slices.Equal(got, []string{"erofs", "squashfs", "ext4"}) {
		t.Errorf("initddi ddi --fs <Tab>: %v", got)
	}
	if got := complete("initddi", "inspect", "man_te"); !slices.Equal(got, []string{"man_test.go"}) {
		t.Errorf("initddi inspect man_te<Tab>: %v", got)
	}
}

func TestZshParses(t *testing.T) {
	if _, err := exec.LookPath("zsh"); err != nil {
		t.Skip("needs zsh (Debian package zsh)")
	}
	for _, name := range []string{"_initddi", "_ddimount", "_sysextmerge", "_ddifetch"} {
		if out, err := exec.Command("zsh", "-n", "../../completion/zsh/"+name).CombinedOutput(); err != nil {
			t.Errorf("%s: %v\n%s", name, err, out)
		}
	}
}
