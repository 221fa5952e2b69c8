// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package policy

import "testing"

// FuzzParse: what can be read can be written, in both ways, and is the same when it is read again.
func FuzzParse(f *testing.F) {
	for _, o := range systemd(f) {
		f.Add(o.policy)
	}
	f.Fuzz(func(t *testing.T, text string) {
		p, err := Parse(text)
		if err != nil {
			return
		}
		long, err := Parse(p.Long())
		if err != nil || long != p {
			t.Errorf("%q: its long form %q is %v, %v", text, p.Long(), long, err)
		}
		short, err := Parse(p.String())
		if err != nil || !Equivalent(short, p) {
			t.Errorf("%q: its short form %q is %v, %v", text, p, short, err)
		}
		if short.String() != p.String() {
			t.Errorf("%q: its short form %q has the short form %q", text, p, short)
		}
		// A rule that makes no sense for a partition, as =signed for /home, allows it neither to be there nor not to be.
		for _, d := range designators {
			if fl := p.Flags(d); fl&Uses == 0 {
				return
			} else if fl&Uses != Absent && (fl&ReadOnly == 0 || fl&GrowFS == 0) {
				t.Errorf("%q: %s has nothing left: %s", text, d, fl)
			}
		}
		for _, other := range []Policy{All(), p} {
			q, err := And(p, other)
			if err != nil {
				t.Errorf("%q and %s: %v", text, other, err)
			}
			for _, d := range designators {
				if data, _ := protects(d); data == "" && q.Flags(d) != p.Flags(d) {
					t.Errorf("%q and %s: %s is %s", text, other, d, q.Flags(d))
				}
			}
		}
	})
}
