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

// And returns the policy that an image passes if and only if it passes both: flag by flag, what both allow. The error is an
// [*ImpossibleError] if no image could.
func And(a, b Policy) (Policy, error) {
	var p Policy
	// The rest, where no rule of either speaks of it, is what And of the whole says of it as well.
	rest, ok := and(fill(a.rest()), fill(b.rest()))
	if !ok {
		return Policy{}, &ImpossibleError{A: a.rest(), B: b.rest()}
	}
	p.setOther(shorten(rest))
	for i, d := range designators {
		fa, fb := present(a, d), present(b, d)
		f, ok := and(fa, fb)
		if !ok {
			return Policy{}, &ImpossibleError{Designator: d, A: fa, B: fb}
		}
		// Written or not, the rule has to say the same: what follows from that of a file system need not be the And of what
		// follows from both.
		if present(p, d) != f {
			p.set(i, shorten(f))
		}
	}
	return p, nil
}

// present returns what p allows for a partition. Of a hash tree and a signature it makes no difference whether they are used or
// not: that follows from what is done with the file system. So one policy's "unused", which is what most say by not speaking of
// them, is no reason against using what the other wants used.
func present(p Policy, d gpt.Designator) Flags {
	f := p.Flags(d)
	if data, _ := protects(d); data != "" {
		f &^= FileSystems // it holds none
		if f&Unused != 0 {
			f |= Unprotected
		}
	}
	return f
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
