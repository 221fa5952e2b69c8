// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package main

import (
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
)

func TestParse(t *testing.T) {
	f, err := parse("noise of the firmware\r\n=== initrd mounts\r\n22 1 0:21 / /proc rw,nosuid shared:12 - proc proc rw\r\n\r\n=== system jobs\r\n=== end\r\n")
	if err != nil {
		t.Fatal(err)
	}
	if want := (facts{"initrd mounts": {"/ /proc rw,nosuid shared - proc proc rw"}, "system jobs": nil, "end": nil}); !reflect.DeepEqual(f, want) {
		t.Errorf("got %q, want %q", f, want)
	}
	if _, err := parse("=== initrd mounts\n"); err == nil {
		t.Error("half a report was taken")
	}
}

func TestCompare(t *testing.T) {
	r := compare(facts{"a": {"x", "y", "x"}, "b": {"1"}}, facts{"a": {"y", "x", "z"}, "c": {"2"}})
	var got []string
	for _, d := range r.Unexplained {
		got = append(got, d.String())
	}
	want := []string{"- [a] x", "+ [a] z", "- [b] 1", "+ [c] 2"}
	if !slices.Equal(got, want) || r.Lines != 4 || r.verdict() == nil {
		t.Errorf("got %q of %d lines, want %q", got, r.Lines, want)
	}
	var out strings.Builder
	r.print(&out)
	if !strings.HasSuffix(out.String(), "handover: 4 lines compared, 0 differences explained, 4 not; 0 demands not met\n") {
		t.Error(out.String())
	}
	if r := compare(facts{"a": {"x"}}, facts{"a": {"x"}}); r.verdict() != nil || len(r.Explained) > 0 {
		t.Errorf("%+v", r)
	}
}

// TestReasons: every row says something, and what it says it of can be compiled.
func TestReasons(t *testing.T) {
	for _, r := range reasons() {
		if r.why == "" || !strings.HasSuffix(r.why, ".") || !slices.Contains([]string{"", "kernel", "stage 1"}, r.has) {
			t.Errorf("%+v", r)
		}
		for _, p := range []string{r.section, r.line} {
			if _, err := regexp.Compile(p); err != nil || p == "" {
				t.Errorf("%q: %v", p, err)
			}
		}
		// Whatever anything says would be explained.
		if regexp.MustCompile(r.line).MatchString("nobody has thought of this") && r.section == ".*" {
			t.Errorf("%+v explains everything", r)
		}
	}
}

// TestDemands: a report that says nothing meets none of them.
func TestDemands(t *testing.T) {
	if got := demand(facts{}); len(got) < 20 {
		t.Errorf("nothing meets all demands but %q", got)
	}
}
