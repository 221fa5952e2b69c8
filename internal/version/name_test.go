// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package version

import (
	"errors"
	"slices"
	"strings"
	"testing"
)

func TestParseName(t *testing.T) {
	tests := []struct {
		file, suffix string
		want         Name
	}{
		{"OS.raw", ".raw", Name{"OS", "", "", -1, -1}},
		{"OS_1.2.raw", ".raw", Name{"OS", "1.2", "", -1, -1}},
		{"OS_1.2_x86-64.raw", ".raw", Name{"OS", "1.2", "x86-64", -1, -1}},
		{"OS_1.2_x86-64+3-0.raw", ".raw", Name{"OS", "1.2", "x86-64", 3, 0}},
		{"OS_1.2+3.raw", ".raw", Name{"OS", "1.2", "", 3, -1}},
		{"OS+0-5.raw", ".raw", Name{"OS", "", "", 0, 5}},
		{"OS_arm64.raw", ".raw", Name{"OS", "", "arm64", -1, -1}},
		{"OS_1.2.sysext.raw", ".sysext.raw", Name{"OS", "1.2", "", -1, -1}},
		{"OS_1.2.sysext.raw", ".raw", Name{"OS", "1.2.sysext", "", -1, -1}},
		{"OS_1.2", "", Name{"OS", "1.2", "", -1, -1}},

		// A base with "_" in it.
		{"my_os_1.2.raw", ".raw", Name{"my_os", "1.2", "", -1, -1}},
		{"my_os.raw", ".raw", Name{"my_os", "", "", -1, -1}},
		{"my_os_1.2_rc1_arm64+3.raw", ".raw", Name{"my_os", "1.2_rc1", "arm64", 3, -1}},
		{"OS_v2.raw", ".raw", Name{"OS_v2", "", "", -1, -1}},
		{"_1.raw", ".raw", Name{"_1", "", "", -1, -1}},
		{"a__1.raw", ".raw", Name{"a_", "1", "", -1, -1}},
		{"OS_.raw", ".raw", Name{"OS_", "", "", -1, -1}},
		{"OS_1 2.raw", ".raw", Name{"OS_1 2", "", "", -1, -1}}, // a space is no part of a version

		// What looks like an architecture or a counter, and is not.
		{"OS_1.2_sparc128.raw", ".raw", Name{"OS", "1.2_sparc128", "", -1, -1}},
		{"OS_1.2_X86-64.raw", ".raw", Name{"OS", "1.2_X86-64", "", -1, -1}},
		{"OS_1.2+.raw", ".raw", Name{"OS", "1.2+", "", -1, -1}},
		{"OS_1.2+3-.raw", ".raw", Name{"OS", "1.2+3-", "", -1, -1}},
		{"OS_1.2+-3.raw", ".raw", Name{"OS", "1.2+-3", "", -1, -1}},
		{"OS_1.2+3-4-5.raw", ".raw", Name{"OS", "1.2+3-4-5", "", -1, -1}},
		{"OS_1.2+3x.raw", ".raw", Name{"OS", "1.2+3x", "", -1, -1}},
		{"OS_1.2+1+2.raw", ".raw", Name{"OS", "1.2+1", "", 2, -1}},
		{"OS_1.2+2147483647.raw", ".raw", Name{"OS", "1.2", "", 1<<31 - 1, -1}},
		{"OS_1.2+2147483648.raw", ".raw", Name{"OS", "1.2+2147483648", "", -1, -1}},
		{"OS_1.2+99999999999999999999.raw", ".raw", Name{"OS", "1.2+99999999999999999999", "", -1, -1}},
		{"OS_1.2+003-010.raw", ".raw", Name{"OS", "1.2", "", 3, 10}},
		{"OS_1.2+3_arm64.raw", ".raw", Name{"OS", "1.2+3", "arm64", -1, -1}}, // the counter must be last

		// Something is left for the base.
		{"+3.raw", ".raw", Name{"+3", "", "", -1, -1}},
		{"_arm64.raw", ".raw", Name{"_arm64", "", "", -1, -1}},
		{"arm64.raw", ".raw", Name{"arm64", "", "", -1, -1}},
		{"ö_1.raw", ".raw", Name{"ö", "1", "", -1, -1}},
	}
	for _, tt := range tests {
		got, err := ParseName(tt.file, tt.suffix)
		if err != nil || got != tt.want {
			t.Errorf("ParseName(%q, %q) = %+v, %v, want %+v", tt.file, tt.suffix, got, err, tt.want)
		}
	}
	for _, file := range []string{"", ".raw", "OS", "OS.img", "OS.RAW", "OS.raw.v", "a/b.raw", "a\x00b.raw", "a\nb.raw", "a\x7f.raw"} {
		if got, err := ParseName(file, ".raw"); !errors.Is(err, ErrName) || got != (Name{}) {
			t.Errorf("ParseName(%q) = %+v, %v, want %v", file, got, err, ErrName)
		}
	}
}

func TestParseInV(t *testing.T) {
	tests := []struct {
		dir, file string
		want      Name
	}{
		{"OS.raw.v", "OS_1.2.raw", Name{"OS", "1.2", "", -1, -1}},
		{"OS.raw.v", "OS_1.2_x86-64+3-0.raw", Name{"OS", "1.2", "x86-64", 3, 0}},
		{"OS.v", "OS_1.2.raw", Name{"OS", "1.2", "", -1, -1}}, // the suffix in the directory's name is optional
		{"OS.raw.v", "OS_v2.raw", Name{"OS", "v2", "", -1, -1}},
		{"my.raw.v", "my_os_1.2.raw", Name{"my", "os_1.2", "", -1, -1}},
		{"my_os.raw.v", "my_os_1.2.raw", Name{"my_os", "1.2", "", -1, -1}},
		{"os_1.raw.v", "os_1_2.raw", Name{"os_1", "2", "", -1, -1}},
		{"OS.raw.v", "OS_1.2_rc1.raw", Name{"OS", "1.2_rc1", "", -1, -1}},
		{"OS.raw.v", "OS_x86-64.raw", Name{"OS", "x86-64", "", -1, -1}}, // a version must be there, as in systemd
		{"OS.raw.v", "OS_1~rc1^2.raw", Name{"OS", "1~rc1^2", "", -1, -1}},
	}
	for _, tt := range tests {
		got, err := ParseInV(tt.dir, tt.file, ".raw")
		if err != nil || got != tt.want {
			t.Errorf("ParseInV(%q, %q) = %+v, %v, want %+v", tt.dir, tt.file, got, err, tt.want)
		}
	}
	bad := []struct{ dir, file string }{
		{"OS.raw", "OS_1.raw"},
		{".v", "_1.raw"},
		{".raw.v", "_1.raw"},
		{"OS.raw.v", "OS.raw"},
		{"OS.raw.v", "OS_.raw"},
		{"OS.raw.v", "OSX_1.raw"},
		{"OS.raw.v", "os_1.raw"},
		{"OS.raw.v", "OS_1.img"},
		{"OS.raw.v", "OS_1 2.raw"},
		{"OS.raw.v", "OS_ö.raw"},
		{"OS.raw.v", "OS_1/2.raw"},
	}
	for _, tt := range bad {
		if got, err := ParseInV(tt.dir, tt.file, ".raw"); !errors.Is(err, ErrName) || got != (Name{}) {
			t.Errorf("ParseInV(%q, %q) = %+v, %v, want %v", tt.dir, tt.file, got, err, ErrName)
		}
	}
}

func TestCompareNames(t *testing.T) {
	// From the first to try to the last; every pair is compared.
	order := []string{
		"OS_2.1.raw",
		"OS_2.0_x86-64.raw",
		"OS_2.0_arm64.raw",
		"OS_2.0_arm64+3.raw",
		"OS_2.0.raw",
		"OS_2.0+3.raw",
		"OS_2.0+2-0.raw", // the two mean the same, something must decide
		"OS_2.0+2.raw",
		"OS_2.0+2-1.raw",
		"OS_2.0+1-2.raw",
		"OS_2.0~rc1.raw",
		"OS_1.10+1.raw",
		"OS_1.9.raw",
		"OS_1_.raw",
		"OS_1+.raw",
		"OS_1.raw",
		"OS.raw",
		"rescue_9.raw",
		"OS_9.9_x86-64+0-3.raw",
		"OS_9.8+0-1.raw",
		"OS_9.8+0-2.raw",
		"rescue+0.raw",
	}
	var names []Name
	for _, file := range order {
		n, err := ParseName(file, ".raw")
		if err != nil {
			t.Fatal(err)
		}
		names = append(names, n)
	}
	for i, a := range names {
		if CompareNames(a, a) != 0 {
			t.Errorf("%s differs from itself", order[i])
		}
		for j, b := range names[i+1:] {
			if CompareNames(a, b) >= 0 || CompareNames(b, a) <= 0 {
				t.Errorf("%s must come before %s", order[i], order[i+1+j])
			}
		}
	}
	reversed := slices.Clone(names)
	slices.Reverse(reversed)
	slices.SortFunc(reversed, CompareNames)
	if !slices.Equal(reversed, names) {
		t.Errorf("sorted: %+v", reversed)
	}
}

// TestManExample is the example of systemd.v(7), for an x86-64 machine.
func TestManExample(t *testing.T) {
	var best []Name
	for _, file := range []string{
		"mymachine_7.5.13.raw", "mymachine_7.5.14_x86-64.raw", "mymachine_7.6.0_arm64.raw", "mymachine_7.7.0_x86-64+0-5.raw",
	} {
		n, err := ParseInV("mymachine.raw.v", file, ".raw")
		if err != nil {
			t.Fatal(err)
		}
		if n.Arch == "" || n.Arch == "x86-64" {
			best = append(best, n)
		}
	}
	slices.SortFunc(best, CompareNames)
	if got := best[0].File(".raw"); got != "mymachine_7.5.14_x86-64.raw" {
		t.Errorf("best is %s", got)
	}
}

func FuzzParseName(f *testing.F) {
	f.Add("OS_1.2_x86-64+3-0.raw", "OS.raw")
	f.Add("my_os_1.2_rc1_arm64+3.raw", "OS_1_2+0.raw")
	f.Add("a+1+2-3.raw", "__1__x86.raw")
	f.Add("OS_1+01.raw", ".raw")
	f.Fuzz(func(t *testing.T, file, other string) {
		const suffix = ".raw"
		n, err := ParseName(file, suffix)
		if err != nil {
			if !errors.Is(err, ErrName) || n != (Name{}) {
				t.Errorf("%q: %+v, %v", file, n, err)
			}
			return
		}
		if n.Base == "" || n.Version != "" && !isDigit(n.Version[0]) || n.Arch != "" && !isArch(n.Arch) ||
			n.TriesLeft < -1 || n.TriesDone < -1 || n.TriesDone >= 0 && n.TriesLeft < 0 {
			t.Errorf("%q: %+v", file, n)
		}
		again, err := ParseName(n.File(suffix), suffix)
		if err != nil || again != n {
			t.Errorf("%q: %+v is written %q, which gives %+v, %v", file, n, n.File(suffix), again, err)
		}
		if !strings.Contains(file, "+0") && !strings.Contains(file, "-0") && n.File(suffix) != file {
			t.Errorf("%q: %+v is written %q", file, n, n.File(suffix))
		}
		if n.Version != "" { // the directory says the same as the heuristics
			if v, err := ParseInV(n.Base+suffix+".v", file, suffix); err != nil || v != n {
				t.Errorf("%q in its directory: %+v, %v, want %+v", file, v, err, n)
			}
		}
		m, err := ParseName(other, suffix)
		if err != nil {
			return
		}
		if r := CompareNames(n, m); r != -CompareNames(m, n) || (r == 0) != (n == m) {
			t.Errorf("CompareNames(%+v, %+v) = %d, the other way %d", n, m, r, CompareNames(m, n))
		}
	})
}
