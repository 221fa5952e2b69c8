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
//
// The policy on the command line and the one that was built in have to be passed as well as their And: which of an image's
// partitions a policy uses follows from the whole of it, and no image shall get in that one of them would have kept out.
func applyPolicy(p *plan.Plan, name string, arch gpt.Arch, img *Image, signed bool, a *Authentic) *Refusal {
	for _, part := range p.PolicyParts {
		if _, r := allowedBy(part, name, arch, img, signed, a); r != nil {
			return r
		}
	}
	use, r := allowedBy(p.Policy, name, arch, img, signed, a)
	a.Use = use
	return r
}

// allowedBy holds an image against one policy, and returns what it may be used as.
func allowedBy(p policy.Policy, name string, arch gpt.Arch, img *Image, signed bool, a *Authentic) (use policy.Flags, r *Refusal) {
	refuse := func(d gpt.Designator, found string) (policy.Flags, *Refusal) {
		return 0, &Refusal{Candidate: name, Rule: RulePolicy, Found: found, Wanted: wantedBy(p, d)}
	}
	hash, sig := hashTree(a.Designator)
	var missing *Refusal
	for _, d := range policy.Designators() {
		f := p.Flags(d)
		var found []gpt.Partition
		there := d == sig && signed // it may lie beside the image
		if img.Table != nil {
			found = ofType(img.Table, d, arch)
			there = there || len(found) > 0
		} else if d == a.Designator || d == hash && !a.Plain() {
			there = true
		}
		may := policy.Uses &^ policy.Absent
		if d != a.Designator && d != hash && d != sig {
			// Nobody looks whether it is encrypted.
			may = policy.Unused | policy.Unprotected
		}
		switch {
		case !there && f&policy.Absent == 0 && missing == nil:
			_, missing = refuse(d, "no "+string(d)+" partition")
		case there && f&may == 0:
			return refuse(d, article(d)+" partition")
		case img.Table == nil && d == a.Designator && f&bareBits != bareBits:
			return refuse(d, "no partition with "+f.String())
		}
		for _, q := range found {
			// Systemd does not look at the bits of what it leaves unused; here that is everything but one file system, and a rule
			// that nobody keeps would help nobody.
			if bits := bitsOf(q); f&bits != bits {
				return refuse(d, article(d)+" partition with "+bits.String())
			}
		}
	}
	as, allowed := usedAs(p, arch, img, signed, a), p.Flags(a.Designator)
	switch {
	case as&allowed == 0:
	case as == policy.Signed && a.Signer != nil:
		use = policy.Signed
	case as != policy.Unprotected && a.Vouched():
		use = policy.Verity & allowed
	}
	if use == 0 && as&allowed != 0 {
		use = policy.Unprotected & allowed
	}
	if use == 0 {
		return refuse(a.Designator, kindOf(a)+", used as "+as.String())
	}
	return use, missing
}

// usedAs returns what systemd would use an image as, going by what it consists of: signed if it has a signature and the policy has
// a use for that, else verity; and unprotected if the policy has no use for its hash tree.
func usedAs(p policy.Policy, arch gpt.Arch, img *Image, signed bool, a *Authentic) policy.Flags {
	hash, sig := hashTree(a.Designator)
	uses := func(d gpt.Designator) bool { return p.Flags(d)&policy.Unprotected != 0 }
	inTable := img.Table != nil && len(ofType(img.Table, sig, arch)) > 0
	switch {
	case a.Plain(), img.Table != nil && !uses(hash):
		return policy.Unprotected
	case inTable && uses(sig), !inTable && signed:
		return policy.Signed
	}
	return policy.Verity
}

// kindOf says in words what vouches for an image.
func kindOf(a *Authentic) string {
	switch {
	case a.Plain():
		return "an image without a hash tree"
	case a.Signer != nil:
		return "a signed image"
	case a.Pinned:
		return "an image that is pinned and not signed"
	}
	return "an image for which nobody vouches"
}

// bareBits are those of an image without a partition table, as systemd has it.
const bareBits = policy.ReadOnlyOff | policy.GrowFSOff

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

// ForExtensions returns the plan that extensions are judged by.
func ForExtensions(p *plan.Plan) *plan.Plan {
	q := *p
	q.Pins, q.RootHash, q.UsrHash = nil, nil, nil
	q.Policy, q.PolicyParts = p.SysextPolicy, p.SysextPolicyParts
	return &q
}
