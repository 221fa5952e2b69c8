// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package version

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"os/exec"
	"strings"
	"testing"
)

func TestCompare(t *testing.T) {
	tests := []struct {
		a, b string
		want int
	}{
		// The examples of UAPI.10.
		{"11", "11", 0},
		{"systemd-123", "systemd-123", 0},
		{"bar-123", "foo-123", -1},
		{"123a", "123", 1},
		{"123.a", "123", 1},
		{"123.a", "123.b", -1},
		{"123a", "123.a", 1},
		{"11α", "11β", 0},
		{"A", "a", -1},
		{"", "0", -1},
		{"0.", "0", 1},
		{"0.0", "0", 1},
		{"1_", "1", 0},
		{"_1", "1", 0},
		{"1_", "1.2", -1},
		{"1_2_3", "1.3.3", 1},
		{"1+", "1", 0},
		{"+1", "1", 0},
		{"1+", "1.2", -1},
		{"1+2+3", "1.3.3", 1},
		// Examples of UAPI.10 that its text and systemd contradict.
		{"0", "~", 1},
		{"", "~", 1},
		// Leading zeros, long numbers.
		{"10.0001", "10.1", 0},
		{"10.0001", "10.0039", -1},
		{"184467440737095516160", "184467440737095516159", 1},
		{"99999999999999999999999999999999999999", "100000000000000000000000000000000000000", -1},
		{"0", "00", 0},
		{"a", "0", -1},
		{"1.a", "1.0", -1},
		// Marks.
		{"1.0~rc1", "1.0", -1},
		{"1.0~rc1", "1.0~rc2", -1},
		{"1.0~rc1~git123", "1.0~rc1", -1},
		{"1.0~rc1^git1", "1.0~rc1", 1},
		{"1.0^git1~pre", "1.0^git1", -1},
		{"1.0^", "1.0", 1},
		{"1.0^git1", "1.01", -1},
		{"1.0^20160101", "1.0.1", -1},
		{"1.0-1", "1.0^1", -1},
		{"1.0-1", "1.0.1", -1},
		{"1.0-9", "1.0", 1},
		{"~", "~~", -1},
		{"1~", "1~_", -1},
		{"1~", "1~\xe9", -1},
		{"2.0", "2_0", -1},
		// What people write.
		{"6.1.0-9-amd64", "6.1.0-10-amd64", -1},
		{"9", "10", -1},
		{"1.9", "1.10", -1},
		{"20240131", "20240201", -1},
		{"1.2.3", "1.2.3-rc1", -1}, // "-" is a release, not a pre-release
	}
	for _, tt := range tests {
		if got := Compare(tt.a, tt.b); got != tt.want {
			t.Errorf("Compare(%q, %q) = %d, want %d", tt.a, tt.b, got, tt.want)
		}
		if got := Compare(tt.b, tt.a); got != -tt.want {
			t.Errorf("Compare(%q, %q) = %d, want %d", tt.b, tt.a, got, -tt.want)
		}
	}
}

// TestCompareOrder lists versions from old to new; every pair is compared.
func TestCompareOrder(t *testing.T) {
	order := strings.Fields(`~1 "" ab abb abc 0001 002 12 122 122.1 122.9 123~rc1-1 123 123-a 123-a.1 123-a1 123-a1.1
		123-1 123-1.1 123-3 123-3.1 123^patch1 123^1 123.a-1 123.1-1 123a-1 124-1`)
	for i, older := range order {
		older = strings.Trim(older, `"`)
		for _, newer := range order[i+1:] {
			newer = strings.Trim(newer, `"`)
			if Compare(older, newer) != -1 || Compare(newer, older) != 1 {
				t.Errorf("%q must be older than %q", older, newer)
			}
		}
		if Compare(older, older) != 0 {
			t.Errorf("%q differs from itself", older)
		}
	}
}

// TestCompareTransitive takes every triple of short versions: sorting needs a consistent order.
func TestCompareTransitive(t *testing.T) {
	const alphabet = "01a.-~^_\xe9"
	all := []string{""}
	for i := range len(alphabet) {
		all = append(all, alphabet[i:i+1])
		for j := range len(alphabet) {
			all = append(all, alphabet[i:i+1]+alphabet[j:j+1])
		}
	}
	for _, a := range all {
		for _, b := range all {
			ab := Compare(a, b)
			if ab > 0 {
				continue
			}
			for _, c := range all {
				bc := Compare(b, c)
				if bc > 0 {
					continue
				}
				if ac := Compare(a, c); ac != min(ab, bc) {
					t.Errorf("%q to %q is %d, to %q %d more, but directly it is %d", a, b, ab, c, bc, ac)
				}
			}
		}
	}
}

// TestCompareSystemd asks the reference implementation about random pairs.
func TestCompareSystemd(t *testing.T) {
	tool, err := exec.LookPath("systemd-analyze")
	if err != nil {
		t.Skip("needs systemd-analyze (Debian package systemd)")
	}
	rnd := rand.New(rand.NewPCG(10, 1))
	random := func() string {
		const alphabet = "0129aB.-~^_+"
		b := make([]byte, rnd.IntN(7))
		for i := range b {
			b[i] = alphabet[rnd.IntN(len(alphabet))]
		}
		return string(b)
	}
	for range 200 {
		a, b := random(), random()
		if rnd.IntN(2) == 0 { // a common start makes the comparison go deeper
			common := random()
			a, b = common+a, common+b
		}
		out, err := exec.Command(tool, "compare-versions", "--", a, b).Output()
		var exit *exec.ExitError
		if err != nil && !errors.As(err, &exit) {
			t.Fatal(err)
		}
		rest, okA := bytes.CutPrefix(bytes.TrimRight(out, "\n"), []byte(orQuotes(a)+" "))
		rest, okB := bytes.CutSuffix(rest, []byte(" "+orQuotes(b)))
		want, okOp := map[string]int{"<": -1, "==": 0, ">": 1}[string(rest)]
		if !okA || !okB || !okOp {
			t.Fatalf("systemd-analyze compare-versions %q %q says %q, %v", a, b, out, err)
		}
		if got := Compare(a, b); got != want {
			t.Errorf("Compare(%q, %q) = %d, systemd says %s", a, b, got, rest)
		}
	}
}

// orQuotes is how systemd-analyze prints a version.
func orQuotes(s string) string {
	if s == "" {
		return "''"
	}
	return s
}

func FuzzCompare(f *testing.F) {
	f.Add("1.2", "1.10", "1.2~rc1")
	f.Add("1~", "1~_", "1~~")
	f.Add("123^1", "123-1", "123.a-1")
	f.Add("", "~", "\xff")
	f.Fuzz(func(t *testing.T, a, b, c string) {
		ab, bc, ac := Compare(a, b), Compare(b, c), Compare(a, c)
		if ab < -1 || ab > 1 || Compare(b, a) != -ab {
			t.Errorf("Compare(%q, %q) = %d, the other way %d", a, b, ab, Compare(b, a))
		}
		if Compare(a, a) != 0 {
			t.Errorf("%q differs from itself", a)
		}
		if ab <= 0 && bc <= 0 && ac > 0 {
			t.Errorf("%q <= %q <= %q, but the first is newer than the last", a, b, c)
		}
		if Compare("0"+a, a) != 0 && a != "" && isDigit(a[0]) {
			t.Errorf("a leading zero changes %q", a)
		}
		if Compare("_"+a, a) != 0 {
			t.Errorf("a separator in front changes %q", a)
		}
	})
}
