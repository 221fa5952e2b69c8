// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package policy

import (
	"fmt"

	"github.com/initddi/initddi/internal/gpt"
)

// ImpossibleError says that two policies leave nothing that a partition may be, not even absent.
type ImpossibleError struct {
	Designator gpt.Designator // empty for the partitions that no rule speaks of
	A, B       Flags
}

func (e *ImpossibleError) Error() string {
	name := string(e.Designator)
	if name == "" {
		name = "the rest"
	}
	return fmt.Sprintf("%s can be neither: %s and %s have nothing in common", name, e.A, e.B)
}

// And returns a policy that no image passes unless it passes both: flag by flag, what both allow. The error is an
// [*ImpossibleError] if no image could pass it.
//
// What follows for a hash tree or a signature from the rule of a file system follows anew from the And of those rules; so a
// policy that speaks of signed images and one that speaks of verity can meet, where flag by flag the signature would have to be
// there and used for one and left alone for the other.
func And(a, b Policy) (Policy, error) {
	var p Policy
	// The rest, where no rule of either speaks of it, is what And of the whole says of it as well.
	rest, ok := and(fill(a.rest()), fill(b.rest()))
	if !ok {
		return Policy{}, &ImpossibleError{A: a.rest(), B: b.rest()}
	}
	p.setOther(shorten(rest))
	for i, d := range designators {
		fa, hardA := a.opinion(i, d)
		fb, hardB := b.opinion(i, d)
		f, ok := and(fa, fb)
		if !ok {
			return Policy{}, &ImpossibleError{Designator: d, A: fa, B: fb}
		}
		if data, _ := protects(d); data != "" && !hardA && !hardB {
			// How it is used goes along; whether it may be missing, and its bits, do not.
			follows := p.Flags(d)
			if f&Uses != Absent {
				f = follows&Uses&^(Absent&^f) | f&(ReadOnly|GrowFS)
			}
			switch {
			case f&Uses == 0:
				return Policy{}, &ImpossibleError{Designator: d, A: fa, B: fb}
			case follows&Uses == Absent, f == follows:
			default:
				p.set(i, shorten(f))
			}
			continue
		}
		_, inA := a.written(i)
		_, inB := b.written(i)
		// Other rules may follow from one that says no more than the rest does.
		if inA || inB || p.Flags(d) != f {
			p.set(i, shorten(f))
		}
	}
	return p, nil
}

// opinion returns what the policy allows for a partition. That of a hash tree or of a signature is soft where it only goes along
// with the file system's rule: it follows from that, or the rest says what would follow, or it is left alone and the file
// system's rule has no use for it.
func (p Policy) opinion(i int, d gpt.Designator) (f Flags, hard bool) {
	f = p.Flags(d)
	data, needs := protects(d)
	if data == "" {
		return f, true
	}
	f &^= FileSystems // it holds none
	_, written := p.written(i)
	_, follows := p.explicit(i, d)
	switch {
	case written:
		return f, true
	case follows, f&Unused != 0 && f&Unprotected != 0 && p.Flags(data)&needs != 0:
		return f | Unused, false
	case f&Unused != 0 && f&Unprotected == 0 && p.Flags(data)&needs == 0:
		return f | Unprotected, false
	}
	return f, true
}

// and returns what both sets allow. A partition whose bits or file systems could not be right any more can only be left alone;
// ok is false where that is not allowed either.
func and(a, b Flags) (f Flags, ok bool) {
	f = a & b & (Uses | ReadOnly | GrowFS)
	fa, fb := a&FileSystems, b&FileSystems
	switch {
	case fa == 0:
		f |= fb
	case fb == 0:
		f |= fa
	case fa&fb == 0:
		// Nothing can be mounted.
		f &^= Uses &^ Ignore
	default:
		f |= fa & fb
	}
	for _, set := range [...]Flags{ReadOnly, GrowFS} {
		if f&Uses != Absent && f&set == 0 {
			// Neither value will do, so there must be no partition to have one.
			f &= Absent
		}
	}
	if f&Uses == Absent {
		f &^= ReadOnly | GrowFS
	}
	return f, f&Uses != 0
}

// shorten takes out of a rule what is filled in where it is missing.
func shorten(f Flags) Flags {
	for _, set := range [...]Flags{Uses, ReadOnly, GrowFS} {
		if f&set == set {
			f &^= set
		}
	}
	return f
}
