// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package resolve

import (
	"github.com/initddi/initddi/internal/gpt"
	"github.com/initddi/initddi/internal/plan"
	"github.com/initddi/initddi/internal/policy"
)

// applyPolicy holds an image against the image policy and says in a what it may be used as. The image's signature and pins must
// have been looked at: what it qualifies for follows from them. Without a partition table an image has no bits, and consists of
// its file system, its hash tree and, if signed says so, a signature.
func applyPolicy(p *plan.Plan, name string, arch gpt.Arch, img *Image, signed bool, a *Authentic) *Refusal {
	refuse := func(d gpt.Designator, found string) *Refusal {
		return &Refusal{Candidate: name, Rule: RulePolicy, Found: found, Wanted: wantedBy(p.Policy, d)}
	}
	uses, what := qualifies(a)
	allowed := p.Policy.Flags(a.Designator) & uses
	for _, use := range [...]policy.Flags{policy.Signed, policy.Verity, policy.Unprotected} {
		if allowed&use != 0 {
			a.Use = use
			break
		}
	}
	if a.Use == 0 {
		return refuse(a.Designator, what)
	}
	hash, sig := hashTree(a.Designator)
	for _, d := range policy.Designators() {
		f := p.Policy.Flags(d)
		var found []gpt.Partition
		there := d == sig && signed // it may lie beside the image
		if img.Table != nil {
			found = ofType(img.Table, d, arch)
			there = there || len(found) > 0
		} else if d == a.Designator || d == hash {
			there = true
		}
		switch {
		case !there && f&policy.Absent == 0:
			return refuse(d, "no "+string(d)+" partition")
		case there && f&(policy.Uses&^policy.Absent) == 0:
			return refuse(d, article(d)+" partition")
		}
		for _, q := range found {
			// Systemd does not look at the bits of what it leaves unused; here that is everything but one file system, and a rule
			// that nobody keeps would help nobody.
			if bits := bitsOf(q); f&bits != bits {
				return refuse(d, article(d)+" partition with "+bits.String())
			}
		}
	}
	return nil
}

// qualifies returns what an image may be used as by itself, all of it, and the best of that in words. An image that is good enough for signed
// is good enough for verity, and any is for unprotected.
func qualifies(a *Authentic) (uses policy.Flags, what string) {
	switch {
	case a.Signer != nil:
		return policy.Signed | policy.Verity | policy.Unprotected, "a signed image (signed)"
	case a.Pinned:
		return policy.Verity | policy.Unprotected, "an image that is pinned and not signed (verity)"
	}
	return policy.Unprotected, "an image for which nobody vouches (unprotected)"
}

// bitsOf returns the bits of a partition in the policy's words.
func bitsOf(q gpt.Partition) policy.Flags {
	readOnly, grow := policy.ReadOnlyOff, policy.GrowFSOff
	if q.Attributes&gpt.AttrReadOnly != 0 {
		readOnly = policy.ReadOnlyOn
	}
	if q.Attributes&gpt.AttrGrowFS != 0 {
		grow = policy.GrowFSOn
	}
	return readOnly | grow
}

// CheckFileSystem holds the type of the verified file system, before it is mounted, against the ones that the image policy names.
func CheckFileSystem(p *plan.Plan, name string, d gpt.Designator, fstype string) *Refusal {
	if f := p.Policy.Flags(d); f != 0 && f.AllowsFileSystem(fstype) {
		return nil
	}
	return &Refusal{Candidate: name, Rule: RulePolicy, Found: "file system " + fstype, Wanted: wantedBy(p.Policy, d)}
}

func article(d gpt.Designator) string {
	if d == gpt.ESP {
		return "an " + string(d)
	}
	return "a " + string(d)
}

// wantedBy says what the policy has about a partition, and the policy.
func wantedBy(p policy.Policy, d gpt.Designator) string {
	return string(d) + "=" + p.Flags(d).String() + " of the image policy " + p.String()
}
