// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package policy

import (
	"errors"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/initddi/initddi/internal/gpt"
)

func TestAnd(t *testing.T) {
	const usual = "root=signed+absent:usr=signed+absent"
	for _, test := range []struct{ a, b, want string }{
		{usual, "*", usual},
		{"*", usual, usual},
		{usual, usual, usual},
		{"*", "*", "*"},
		{"-", "*", "-"},
		{"~", "*", "~"},
		{"-", "~", "~"},
		{usual, "-", "root=absent:usr=absent"},
		{usual, "~", "~"},
		{usual, "root=signed", "root=signed:usr=absent"},
		{usual, "root=signed:=absent", "root=signed:usr=absent:root-verity=unprotected:root-verity-sig=unprotected:=absent"},
		{usual, "root=signed+absent:usr=signed+absent:home=encrypted+absent", "root=signed+absent:usr=signed+absent:home=absent"},
		{"root=verity+signed+absent:usr=verity+signed+absent", "root=verity", "root=verity:usr=absent"},
		{"root=signed+erofs", "root=signed+squashfs+erofs", "root=signed+erofs"},
		{"root=signed", "root=signed+squashfs", "root=signed+squashfs"},
		{"root=signed+absent+erofs", "root=signed+absent+squashfs", "root=absent"},
		{"root=signed+read-only-on", "root=signed+growfs-off", "root=signed+read-only-on+growfs-off"},
		{"root=signed+absent+read-only-on", "root=signed+absent+read-only-off", "root=absent:root-verity=absent:root-verity-sig=absent"},
		{"root=absent", "root=signed+absent+read-only-on", "root=absent:root-verity=ignore+read-only-on:root-verity-sig=ignore+read-only-on"},
		{"root=unprotected+signed", "root=unprotected+verity", "root=unprotected:root-verity=unused:root-verity-sig=unused"},
		// Neither allows more about a hash tree than it says itself.
		{"root=signed+absent:root-verity=absent", "*", "root=signed+absent:root-verity=absent"},
	} {
		a, err1 := Parse(test.a)
		b, err2 := Parse(test.b)
		got, err3 := And(a, b)
		want, err4 := Parse(test.want)
		if err := errors.Join(err1, err2, err3, err4); err != nil {
			t.Errorf("%q and %q: %v", test.a, test.b, err)
			continue
		}
		if !Equivalent(got, want) {
			t.Errorf("%q and %q: got %s, want %s", test.a, test.b, got, want)
		}
	}
}

func TestAndImpossible(t *testing.T) {
	for _, test := range []struct {
		a, b string
		d    gpt.Designator
		text string
	}{
		{"root=signed", "root=verity", gpt.Root, "root can be neither: signed and verity have nothing in common"},
		{"root=signed", "-", gpt.Root, "root can be neither: signed and ignore have nothing in common"},
		{"=unused", "~", "", "the rest can be neither: unused and absent have nothing in common"},
		{"root=signed+erofs", "root=signed+ext4", gpt.Root, "root can be neither: signed+erofs and signed+ext4 have nothing in common"},
		{"usr=signed+read-only-on", "usr=signed+read-only-off", gpt.Usr, ""},
		{"root=signed:root-verity-sig=absent", "root=signed:root-verity-sig=unprotected", gpt.RootVeritySig, ""},
	} {
		a, err1 := Parse(test.a)
		b, err2 := Parse(test.b)
		if err := errors.Join(err1, err2); err != nil {
			t.Fatal(err)
		}
		p, err := And(a, b)
		var impossible *ImpossibleError
		if !errors.As(err, &impossible) || impossible.Designator != test.d || test.text != "" && err.Error() != test.text {
			t.Errorf("%q and %q: got %v, want %q", test.a, test.b, err, test.text)
		}
		if p != (Policy{}) {
			t.Errorf("%q and %q: an error, and the policy %s", test.a, test.b, p)
		}
	}
}

// state is one way in which a partition can be met in an image.
type state struct {
	use, bits Flags
	fs        Flags // one, or none where nothing is mounted
}

// passes reports whether a partition in that state is what the rule allows.
func (s state) passes(f Flags) bool {
	if f&s.use == 0 {
		return false
	}
	if s.use == Absent {
		return true
	}
	for _, set := range [...]Flags{ReadOnly, GrowFS} {
		if f&set&s.bits == 0 {
			return false
		}
	}
	return s.use == Unused || f&FileSystems == 0 || f&s.fs != 0
}

// states are all there are for a partition.
func states() []state {
	out := []state{{use: Absent}}
	for _, bits := range []Flags{ReadOnlyOn | GrowFSOn, ReadOnlyOn | GrowFSOff, ReadOnlyOff | GrowFSOn, ReadOnlyOff | GrowFSOff} {
		out = append(out, state{use: Unused, bits: bits})
		for _, use := range (Uses &^ Ignore).each() {
			for _, fs := range FileSystems.each() {
				out = append(out, state{use, bits, fs})
			}
		}
	}
	return out
}

func random(rng *rand.Rand) Policy {
	var p Policy
	flags := func() Flags {
		f := Flags(rng.Uint32()) & (1<<18 - 1)
		// What must be there rarely fits what another policy says.
		if rng.IntN(8) > 0 {
			f |= Absent
		}
		if rng.IntN(2) > 0 {
			f &^= FileSystems
		}
		if rng.IntN(2) > 0 {
			f &^= ReadOnly | GrowFS
		}
		return f
	}
	for i := range designators {
		if rng.IntN(4) == 0 {
			p.set(i, flags())
		}
	}
	if rng.IntN(2) > 0 {
		p.setOther(flags())
	}
	return p
}

// TestAndNeverWidens holds the And of two policies against both, for every partition in every state: what passes it passes
// both, and what passes both passes it.
func TestAndNeverWidens(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	all := states()
	possible := 0
	for range 4000 {
		a, b := random(rng), random(rng)
		p, err := And(a, b)
		if err != nil {
			var impossible *ImpossibleError
			if !errors.As(err, &impossible) {
				t.Fatal(err)
			}
			if d := impossible.Designator; d != "" && !strings.Contains(string(d), "verity") {
				for _, s := range all {
					if s.passes(a.Flags(d)) && s.passes(b.Flags(d)) {
						t.Fatalf("%s and %s are said to be impossible for %s, and both allow %+v", a.Long(), b.Long(), d, s)
					}
				}
			}
			continue
		}
		possible++
		for _, d := range designators {
			if data, _ := protects(d); data != "" {
				continue // whether it is used follows from the whole image; package resolve has a test of those
			}
			fa, fb, f := a.Flags(d), b.Flags(d), p.Flags(d)
			for _, s := range all {
				if s.passes(f) != (s.passes(fa) && s.passes(fb)) {
					t.Fatalf("%s\nand %s\nis %s:\n%s is %s, %s and %s; %+v passes %v, %v and %v", a.Long(), b.Long(), p.Long(), d, fa, fb, f, s, s.passes(fa), s.passes(fb), s.passes(f))
				}
			}
		}
	}
	if possible < 400 {
		t.Errorf("only %d of 4000 are possible: the test tests little", possible)
	}
}
