// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package index

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/initddi/initddi/internal/alloctest"
)

const digest = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

func TestParse(t *testing.T) {
	for _, test := range []struct {
		name, text string
		want       string // names, or what is in the error
		bad        bool
	}{
		{"text mode", digest + "  OS_1.2.raw\n", "[OS_1.2.raw]", false},
		{"binary mode", digest + " *OS_1.2.raw\n", "[OS_1.2.raw]", false},
		{"capital digits", strings.ToUpper(digest) + "  a\n", "[a]", false},
		{"several", digest + "  b.raw\n" + digest + "  a.raw\n" + digest + "  b.roothash\n", "[b.raw a.raw b.roothash]", false},
		{"systemd's date", digest + "  BEST-BEFORE-2027-01-01\n" + digest + "  a.raw\n", "[BEST-BEFORE-2027-01-01 a.raw]", false},
		{"counter, tilde", digest + "  OS_1~rc1+3-0.raw\n", "[OS_1~rc1+3-0.raw]", false},

		{"empty", "", "it is empty", true},
		{"empty line", "\n", "line 1", true},
		{"comment", "# sums\n", "line 1", true},
		{"empty line at the end", digest + "  a\n\n", "line 2", true},
		{"cut short", digest + "  OS_1.raw\n" + digest + "  OS_1.r", "line 2: no newline at the end", true},
		{"carriage return", digest + "  a\r\n", "is not the name of a file", true},
		{"NUL", digest + "  a\x00b\n", "is not the name of a file", true},
		{"tab", digest + "\ta\n", "line 1", true},
		{"one space", digest + " a\n", "line 1", true},
		{"no name", digest + "  \n", "line 1", true},
		{"63 digits", digest[1:] + "  a\n", "line 1", true},
		{"65 digits", "0" + digest + "  a\n", "line 1", true},
		{"no digits", strings.Repeat("g", 64) + "  a\n", "hexadecimal digits", true},
		{"SHA-512", digest + digest + "  a\n", "line 1", true},
		{"other form", "SHA256 (a) = " + digest + "\n", "line 1", true},
		{"escaped name", `\` + digest + `  a\nb` + "\n", "line 1", true},
		{"twice", digest + "  a\n" + digest + "  a\n", "line 2: a stands there twice", true},
		{"directory", digest + "  dir/a.raw\n", "is not the name of a file", true},
		{"parent", digest + "  ..\n", "is not the name of a file", true},
		{"hidden", digest + "  .a.raw\n", "is not the name of a file", true},
		{"absolute", digest + "  /etc/passwd\n", "is not the name of a file", true},
		{"space in it", digest + "  a b\n", "is not the name of a file", true},
		{"not ASCII", digest + "  \u00e4.raw\n", "is not the name of a file", true},
		{"escape sequence", digest + "  a\x1b[31m\n", "is not the name of a file", true},
		{"long name", digest + "  " + strings.Repeat("a", 256) + "\n", "is not the name of a file", true},
		{"too large", strings.Repeat(" ", MaxSize+1), "wanted at most 1048576", true},
		{"too many", many(maxEntries + 1), "more than 4096 files", true},
	} {
		got, err := Parse([]byte(test.text))
		var names []string
		for _, e := range got {
			names = append(names, e.Name)
		}
		said := fmt.Sprint(names)
		if test.bad {
			said = fmt.Sprint(err)
		}
		if errors.Is(err, ErrSyntax) != test.bad || err != nil && !test.bad || !strings.Contains(said, test.want) {
			t.Errorf("%s: %v, %v, wanted %s", test.name, names, err, test.want)
		}
		if len(said) > 4000 || err != nil && (len(said) > 400 || strings.ContainsAny(said, "\x1b\n\x00")) {
			t.Errorf("%s: nothing for a console: %q", test.name, said)
		}
	}
	if list, err := Parse([]byte(many(maxEntries))); err != nil || len(list) != maxEntries {
		t.Errorf("%d entries: %v", len(list), err)
	}
}

func many(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "%s  %d\n", digest, i)
	}
	return b.String()
}

// TestSha256sum reads what sha256sum writes, and has it check what is read here.
func TestSha256sum(t *testing.T) {
	tool, err := exec.LookPath("sha256sum")
	if err != nil {
		t.Skip("needs sha256sum (Debian package coreutils)")
	}
	dir := t.TempDir()
	names := []string{"OS_1.2.raw", "OS_1.2.roothash", "empty"}
	for i, name := range names {
		if err := os.WriteFile(filepath.Join(dir, name), bytes.Repeat([]byte{'x'}, i), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for _, mode := range []string{"--text", "--binary"} {
		cmd := exec.Command(tool, append([]string{mode}, names...)...)
		cmd.Dir = dir
		out, err := cmd.Output()
		if err != nil {
			t.Fatal(err)
		}
		list, err := Parse(out)
		if err != nil || len(list) != len(names) {
			t.Fatalf("%s: %v, %v", mode, list, err)
		}
		for i, e := range list {
			if e.Name != names[i] || e.SHA256 != sha256.Sum256(bytes.Repeat([]byte{'x'}, i)) {
				t.Errorf("%s: %+v", mode, e)
			}
		}
	}
}

// FuzzParse: what is taken is what can be written again, line by line, so that no two readers can disagree about it.
func FuzzParse(f *testing.F) {
	for _, s := range []string{digest + "  OS_1.2.raw\n", digest + " *b\n" + digest + "  a\n", "", "\n", digest + "  a", `\` + digest + "  a\n", "SHA256 (a) = " + digest + "\n", digest + "  ../a\n"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		defer alloctest.AtMost(t, alloctest.Hostile)()
		list, err := Parse(text)
		if err != nil {
			if !errors.Is(err, ErrSyntax) {
				t.Errorf("%v", err)
			}
			return
		}
		lines := strings.SplitAfter(string(text), "\n")
		if len(lines) != len(list)+1 || lines[len(list)] != "" {
			t.Fatalf("%d files in %d lines", len(list), len(lines))
		}
		var seen []string
		for i, e := range list {
			want := fmt.Sprintf("%x  %s\n", e.SHA256, e.Name)
			if got := strings.ToLower(lines[i][:64]) + "  " + lines[i][66:]; got != want {
				t.Errorf("%q was read as %q", lines[i], want)
			}
			if slices.Contains(seen, e.Name) || filepath.Base(e.Name) != e.Name || e.Name == ".." || e.Name == "." {
				t.Errorf("%q is no name", e.Name)
			}
			seen = append(seen, e.Name)
		}
	})
}
