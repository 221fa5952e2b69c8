// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package policy

import (
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/initddi/initddi/internal/gpt"
)

// opinion is what systemd makes of a policy.
type opinion struct {
	policy      string
	err         string // "" where it can be read
	short, long string
	rows        map[string]string // what it allows, by partition; "ignore - - -" where there is none
}

// systemd reads testdata/systemd-262.txt, which testdata/make-golden makes with systemd itself.
func systemd(t testing.TB) []opinion {
	t.Helper()
	b, err := os.ReadFile("testdata/systemd-262.txt")
	if err != nil {
		t.Fatal(err)
	}
	var out []opinion
	for _, part := range strings.Split("\n"+string(b), "\n== ")[1:] {
		lines := strings.Split(strings.TrimSuffix(part, "\n"), "\n")
		o := opinion{policy: lines[0], rows: map[string]string{}}
		for _, l := range lines[1:] {
			if s, ok := strings.CutPrefix(l, "Failed to parse image policy "); ok {
				o.err = s[strings.LastIndex(s, ": ")+2:]
			} else if s, ok := strings.CutPrefix(l, "Analyzing policy: "); ok {
				o.short = s
			} else if s, ok := strings.CutPrefix(l, "Long form: "); ok {
				o.long = s
			} else if name, s, ok := strings.Cut(l, " "); ok {
				o.rows[name] = s
			} else {
				t.Fatalf("cannot read %q of the golden file", l)
			}
		}
		out = append(out, o)
	}
	if len(out) < 200 {
		t.Fatalf("only %d policies in the golden file", len(out))
	}
	return out
}

// row writes what is allowed as a line of systemd-analyze's table.
func row(f Flags) string {
	column := func(set, off, on Flags) string {
		switch f & set {
		case on:
			return "yes"
		case off:
			return "no"
		}
		return "-"
	}
	fs := "-"
	if f&FileSystems != 0 {
		fs = (f & FileSystems).text(0)
	}
	return strings.Join([]string{(f & Uses).String(), column(ReadOnly, ReadOnlyOff, ReadOnlyOn), column(GrowFS, GrowFSOff, GrowFSOn), fs}, " ")
}

// TestAsSystemd holds parsing, both ways of writing, and what is allowed, against systemd 262.
func TestAsSystemd(t *testing.T) {
	causes := map[string]error{"Invalid argument": ErrSyntax, "Name not unique on network": ErrRepeated, "Invalid slot": ErrDesignator, "Invalid request code": ErrFlag}
	for _, o := range systemd(t) {
		p, err := Parse(o.policy)
		if o.err != "" {
			want := causes[o.err]
			if want == nil {
				t.Fatalf("%q: nothing is known of systemd's error %q", o.policy, o.err)
			}
			if !errors.Is(err, want) {
				t.Errorf("%q: %v, systemd says %s", o.policy, err, o.err)
			}
			if p != (Policy{}) {
				t.Errorf("%q: an error, and the policy %s", o.policy, p)
			}
			continue
		}
		if err != nil {
			t.Errorf("%q: %v, systemd reads it", o.policy, err)
			continue
		}
		if o.long == "" {
			o.long = o.short // it is not said twice
		}
		if p.String() != o.short || p.Long() != o.long {
			t.Errorf("%q:\ngot  %s\n     %s\nwant %s\n     %s", o.policy, p, p.Long(), o.short, o.long)
		}
		for _, d := range Designators() {
			want := o.rows[string(d)]
			if want == "" {
				want = "ignore - - -"
			}
			if got := row(p.Flags(d)); got != want {
				t.Errorf("%q: %s is %s, systemd says %s", o.policy, d, got, want)
			}
		}
		want := o.rows["default"]
		if want == "" {
			want = "ignore - - -"
		}
		if got := row(p.rest()); got != want {
			t.Errorf("%q: the rest is %s, systemd says %s", o.policy, got, want)
		}
	}
}

func TestEqualAndEquivalent(t *testing.T) {
	for _, test := range []struct {
		a, b              string
		equal, equivalent bool
	}{
		{"-", "", true, true},
		{"-", "=ignore", true, true},
		{"*", "=open", true, true},
		{"*", "=", false, true},
		{"~", "=absent", true, true},
		{"root=signed", "root=signed:=ignore", true, true},
		{"root=signed+absent", "root=absent+signed", true, true},
		{"root=signed:usr=verity", "usr=verity:root=signed", true, true},
		{"root=signed", "root=signed:root-verity=unprotected", false, true},
		{"root=signed", "root=signed:usr=ignore", false, true},
		{"root=signed", "root=signed+read-only-on+read-only-off", false, true},
		{"root=", "root=open", false, true},
		{"home=encrypted", "home=encrypted+verity", false, true},
		{"root=signed", "root=verity", false, false},
		{"root=signed", "usr=signed", false, false},
		{"root=signed", "root=signed+absent", false, false},
		{"root=signed", "root=signed+erofs", false, false},
		{"root=signed", "root=signed+read-only-on", false, false},
		{"root=signed", "root=signed:root-verity=unprotected+absent", false, false},
		{"=signed", "=verity", false, false},
	} {
		a, err1 := Parse(test.a)
		b, err2 := Parse(test.b)
		if err := errors.Join(err1, err2); err != nil {
			t.Fatal(err)
		}
		if (a == b) != test.equal || Equivalent(a, b) != test.equivalent || Equivalent(b, a) != test.equivalent {
			t.Errorf("%q and %q: equal %v, equivalent %v", test.a, test.b, a == b, Equivalent(a, b))
		}
	}
}

func TestZeroUsesNothing(t *testing.T) {
	var p Policy
	if p.String() != "-" || p.Flags(gpt.Root) != fill(Ignore) || p.Flags(gpt.RootVerity)&^(ReadOnly|GrowFS) != Ignore {
		t.Errorf("the zero policy is %s", p)
	}
	if f := All().Flags(gpt.Generic); f != 0 {
		t.Errorf("a partition that no policy knows may be %s", f)
	}
}

func TestFileSystems(t *testing.T) {
	p, err := Parse("root=signed+erofs+squashfs:usr=signed")
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		d      gpt.Designator
		fstype string
		want   bool
	}{
		{gpt.Root, "erofs", true}, {gpt.Root, "squashfs", true}, {gpt.Root, "ext4", false}, {gpt.Root, "signed", false}, {gpt.Root, "", false},
		{gpt.Usr, "ext4", true}, {gpt.Usr, "ntfs", true},
	} {
		if got := p.Flags(test.d).AllowsFileSystem(test.fstype); got != test.want {
			t.Errorf("%s on %s: %v", test.fstype, test.d, got)
		}
	}
}
