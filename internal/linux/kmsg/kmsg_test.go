// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package kmsg

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"
)

func TestSplit(t *testing.T) {
	x := strings.Repeat("x", MaxRecord)
	for _, test := range []struct {
		text string
		want []string
	}{
		{"", []string{""}},
		{"a", []string{"a"}},
		{"a\n", []string{"a"}},
		{"a\nb\n\n", []string{"a", "b"}},
		{"a\n\nb", []string{"a", "", "b"}},
		{"a\tb", []string{"a b"}},
		{"\x1b[31mred\x7f\r", []string{"?[31mred??"}},
		{"a\u009b2Jb\u00a0", []string{"a?2Jb\u00a0"}}, // CSI in one character
		{x, []string{x}},
		{x + "y", []string{x, "y"}},
		{x + x + "y", []string{x, x, "y"}},
		// Never in the middle of a character.
		{x[:MaxRecord-1] + "é", []string{x[:MaxRecord-1], "é"}},
		{x[:MaxRecord-3] + "𝄞y", []string{x[:MaxRecord-3], "𝄞y"}},
	} {
		if got := Split(test.text); !slices.Equal(got, test.want) {
			t.Errorf("%.20q…: got %.60q, want %.60q", test.text, got, test.want)
		}
	}
}

func FuzzSplit(f *testing.F) {
	f.Add("a\nb\x00")
	f.Add(strings.Repeat("é", 2000))
	f.Add(strings.Repeat("\x80", 3000))
	f.Fuzz(func(t *testing.T, text string) {
		for _, line := range Split(text) {
			if len(line) > MaxRecord || strings.ContainsFunc(line, func(r rune) bool { return r < ' ' || r >= 0x7f && r < 0xa0 }) {
				t.Errorf("%q", line)
			}
			if utf8.ValidString(text) && !utf8.ValidString(line) {
				t.Errorf("a character is cut: %q", line)
			}
		}
	})
}

func TestPrint(t *testing.T) {
	name := filepath.Join(t.TempDir(), "kmsg")
	if err := os.WriteFile(name, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	l, err := Open(name, "x")
	if err != nil {
		t.Fatal(err)
	}
	l.Print(Err, "one\ntwo")
	l.Print(Debug, "three")
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	l.Print(Err, "into nothing")
	got, err := os.ReadFile(name)
	if want := "<27>x: one\n<27>x: two\n<31>x: three\n"; err != nil || string(got) != want {
		t.Errorf("got %q, %v, want %q", got, err, want)
	}
	if _, err := Open(name+"x", ""); !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
}
