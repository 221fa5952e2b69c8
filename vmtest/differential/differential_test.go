// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package main

import (
	"encoding/json"
	"os"
	"strings"
	"testing"
)

// TestGenerate: the same seed and number give the same case, and others do not.
func TestGenerate(t *testing.T) {
	text := func(seed uint64, id int) string {
		b, err := json.Marshal(generate(seed, id))
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	traits := map[string]int{}
	for id := range 500 {
		if text(1, id) != text(1, id) || text(1, id) == text(2, id) {
			t.Errorf("case %d does not follow from its seed", id)
		}
		for _, trait := range generate(1, id).Traits {
			traits[trait]++
		}
	}
	for _, trait := range []string{"no root", "mutable", "link", "versions", "submounts", "initrd", "syntax", "force", "mask", "image", "subvolumes"} {
		if traits[trait] < 5 {
			t.Errorf("%d of 500 cases have the trait %q", traits[trait], trait)
		}
	}
}

// TestDocumented: docs/EXTENSIONS.md has every explanation, and no other.
func TestDocumented(t *testing.T) {
	b, err := os.ReadFile("../../docs/EXTENSIONS.md")
	if err != nil {
		t.Fatal(err)
	}
	_, table, ok := strings.Cut(string(b), "| disagreement | reason |\n|---|---|\n")
	if !ok {
		t.Fatal("the table is gone")
	}
	table, _, _ = strings.Cut(table, "\n\n")
	want := ""
	for _, e := range explanations() {
		want += "| " + e.name + " | " + e.why + " |\n"
		if e.match == nil && e.spoils == nil {
			t.Errorf("%s matches nothing", e.name)
		}
	}
	if strings.TrimSpace(table) != strings.TrimSpace(want) {
		t.Errorf("the table says\n%s\nwant\n%s", table, want)
	}
}

// TestExplain: a difference that no entry of the table is about stays without a reason, and makes the run fail.
func TestExplain(t *testing.T) {
	state := func(kv ...string) outcome {
		o := outcome{step: "1 merge", state: map[string]string{"exit": "0"}}
		for i := 0; i < len(kv); i += 2 {
			o.state[kv[i]] = kv[i+1]
		}
		return o
	}
	for _, test := range []struct {
		name         string
		traits       []string
		theirs, ours outcome
		want         string // reasons
	}{
		{"nothing", nil, state(), state(), ""},
		{"a file", nil, state("file /usr/x", "a"), state("file /usr/x", "b"), "?"},
		{"a file of ours alone", nil, state(), state("file /usr/x", "b"), "?"},
		{"metadata", nil, state(), state("file /usr/.systemd-sysext/origin", "b"), "metadata"},
		{"metadata of theirs alone", nil, state("file /usr/.systemd-sysext/origin", "b"), state(), "?"},
		{"a mode", []string{"mutable"}, state("file /usr", "040755 0:0"), state("file /usr", "040700 0:0"), "?"},
		{"an exit status", nil, state("exit", "1"), state(), "?"},
		{"a layer", nil, state("mount /usr", "overlay a, layer /x"), state("mount /usr", "overlay a, layer /proc/thread-self/fd/9"), "descriptor"},
		{"another layer", nil, state("mount /usr", "overlay a, layer /x"), state("mount /usr", "overlay a, layer /y"), "?"},
		{"a hierarchy that is mutable for nothing", []string{"mutable"}, state(), state("mount /opt", "overlay sysext rw, layer /run/systemd/sysext/meta/opt", "file /opt", "x"), "mutable mutable"},
		{"a hierarchy with an extension", []string{"mutable"}, state(), state("mount /opt", "overlay sysext rw, layer /run/systemd/sysext/extensions/a/opt"), "?"},
	} {
		c := &testCase{Class: "sysext", Root: true, Traits: test.traits}
		a, b := []outcome{test.theirs}, []outcome{test.ours}
		list := compare(c, "ours", a, b)
		explain(c, list, a, b)
		var got []string
		for _, d := range list {
			if d.Reason == "" {
				d.Reason = "?"
			}
			got = append(got, d.Reason)
		}
		if strings.Join(got, " ") != test.want {
			t.Errorf("%s: %v, want %s", test.name, got, test.want)
		}
	}
}

func TestSuperOptions(t *testing.T) {
	want := `ro, layer /a:b, layer /c,d, redirect_dir=on`
	for _, text := range []string{`ro,lowerdir=/a\:b:/c\,d,redirect_dir=on`, `ro,lowerdir+=/a\:b,lowerdir+=/c\,d,redirect_dir=on`} {
		if got := superOptions(text); got != want {
			t.Errorf("%s: %s", text, got)
		}
	}
}
