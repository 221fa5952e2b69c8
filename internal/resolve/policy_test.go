// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package resolve

import (
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/initddi/initddi/internal/gpt"
	"github.com/initddi/initddi/internal/guid"
	"github.com/initddi/initddi/internal/plan"
	"github.com/initddi/initddi/internal/policy"
)

func parse(t testing.TB, text string) policy.Policy {
	t.Helper()
	p, err := policy.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// with puts one more partition into an image.
func with(t testing.TB, img *Image, d gpt.Designator, attributes uint64) *Image {
	t.Helper()
	img.Table.Partitions = append(img.Table.Partitions, gpt.Partition{Number: 9, Type: typeOf(t, d), UUID: guid.MustParse("99999999-2222-4333-8444-555555555555"), Attributes: attributes, FirstLBA: 8192, LastLBA: 9000})
	return img
}

// attributes sets the bits of one of an image's partitions.
func attributes(img *Image, i int, bits uint64) *Image {
	img.Table.Partitions[i].Attributes = bits
	return img
}

func TestAuthenticatePolicy(t *testing.T) {
	ours, other := newSigner(t, "ours"), newSigner(t, "other")
	h := hashOf("image")
	signed := func() *Image { return ddi(t, h, ours) }
	unsigned := func() *Image { return ddi(t, h, nil) }
	trust := trusting(ours)
	pinned := &plan.Plan{Trust: trust.Trust, Pins: [][]byte{h}}
	const ok = Rule("")
	for _, test := range []struct {
		name   string
		policy string
		plan   *plan.Plan
		img    *Image
		rule   Rule
		use    policy.Flags
		words  []string
	}{
		{"signed", "root=signed", trust, signed(), ok, policy.Signed, nil},
		{"a signed image is good enough for verity", "root=verity", trust, signed(), ok, policy.Verity, nil},
		{"and for unprotected", "root=unprotected", trust, signed(), ok, policy.Unprotected, nil},
		{"the best that is allowed counts", "*", trust, signed(), ok, policy.Signed, nil},
		{"verity alone makes no unsigned image acceptable", "root=verity", trust, unsigned(), RuleSigned, 0, nil},
		{"nor does everything that a policy can say but one", "root=verity+signed+encrypted+absent", trust, unsigned(), RuleSigned, 0, nil},
		{"unprotected does", "root=unprotected", trust, unsigned(), ok, policy.Unprotected, nil},
		{"so does *", "*", trust, unsigned(), ok, policy.Unprotected, nil},
		{"also for a stranger's", "root=unprotected+signed", trust, ddi(t, h, other), ok, policy.Unprotected, nil},
		{"pinned", "root=verity", pinned, unsigned(), ok, policy.Verity, nil},
		{"pinned, signed is wanted", "root=signed", pinned, unsigned(), RulePolicy, 0, []string{"an image that is pinned and not signed, used as verity", "root=signed of the image policy root=signed"}},
		{"pinned and signed, signed is wanted", "root=signed", pinned, signed(), ok, policy.Signed, nil},
		{"encrypted is wanted", "root=encrypted", trust, signed(), RulePolicy, 0, []string{"a signed image, used as unprotected", "root=encrypted"}},
		{"nothing is used", "-", trust, signed(), RulePolicy, 0, []string{"root=ignore", "image policy -"}},
		{"nothing may be there", "~", trust, signed(), RulePolicy, 0, []string{"root=absent"}},
		{"/usr must be there", "root=signed:usr=signed", trust, signed(), RulePolicy, 0, []string{"no usr partition", "usr=signed"}},
		{"the hash tree must not be there", "root=signed:root-verity=absent", trust, signed(), RulePolicy, 0, []string{"a root-verity partition", "root-verity=absent"}},
		{"nor the signature", "root=signed:root-verity-sig=absent", trust, signed(), RulePolicy, 0, []string{"a root-verity-sig partition"}},
		{"the signature must be there", "root=verity:root-verity-sig=unprotected", pinned, unsigned(), RulePolicy, 0, []string{"no root-verity-sig partition"}},
		{"home is ignored", "root=signed:=ignore", trust, with(t, signed(), gpt.Home, 0), ok, policy.Signed, nil},
		{"home must not be there", "root=signed:=absent", trust, with(t, signed(), gpt.Home, 0), RulePolicy, 0, []string{"a home partition", "home=absent"}},
		{"home may be there", "root=signed:home=unprotected:=absent", trust, with(t, signed(), gpt.Home, 0), ok, policy.Signed, nil},
		{"home must be there", "root=signed:home=encrypted", trust, signed(), RulePolicy, 0, []string{"no home partition"}},
		{"what is not for discovery is not there", "root=signed:=absent", trust, with(t, signed(), gpt.Home, gpt.AttrNoAuto), ok, policy.Signed, nil},
		{"but an ESP is", "root=signed:=absent", trust, with(t, signed(), gpt.ESP, gpt.AttrNoAuto), RulePolicy, 0, []string{"an esp partition"}},
		{"a generic partition is in no policy", "root=signed:=absent", trust, with(t, signed(), gpt.Generic, 0), ok, policy.Signed, nil},
		{"read-only is wanted", "root=signed+read-only-on", trust, signed(), RulePolicy, 0, []string{"a root partition with read-only-off+growfs-off", "root=signed+read-only-on"}},
		{"read-only is wanted, and there, but not of the hash tree", "root=signed+read-only-on", trust, attributes(signed(), 0, gpt.AttrReadOnly), RulePolicy, 0, []string{"a root-verity partition with read-only-off"}},
		{"read-only is not wanted", "root=signed+read-only-off", trust, attributes(signed(), 0, gpt.AttrReadOnly), RulePolicy, 0, []string{"read-only-on"}},
		{"growfs is not wanted", "root=signed+growfs-off", trust, attributes(signed(), 1, gpt.AttrGrowFS), RulePolicy, 0, []string{"growfs-on"}},
		{"bits of what is ignored matter as well", "root=signed:home=ignore+read-only-on", trust, with(t, signed(), gpt.Home, 0), RulePolicy, 0, []string{"a home partition with"}},
		{"and of what may be used", "root=signed:home=unprotected+read-only-on", trust, with(t, signed(), gpt.Home, 0), RulePolicy, 0, []string{"a home partition with"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			p := *test.plan
			p.Policy = parse(t, test.policy)
			a, r := Authenticate(&p, who, gpt.X86_64, test.img)
			if test.rule != ok {
				wantRefusal(t, r, test.rule, append(test.words, who)...)
				if a != nil {
					t.Errorf("refused, and yet %v", a)
				}
				return
			}
			if r != nil {
				t.Fatal(r)
			}
			if a.Use != test.use {
				t.Errorf("used as %s, want %s", a.Use, test.use)
			}
		})
	}
}

// TestUnprotectedIsNoExcuse: what is denied stays denied, and what was asked for must be what is there.
func TestUnprotectedIsNoExcuse(t *testing.T) {
	ours := newSigner(t, "ours")
	h := hashOf("image")
	p := func(change func(*plan.Plan)) *plan.Plan {
		p := trusting(ours)
		p.Policy = policy.All()
		change(p)
		return p
	}
	denyHash := p(func(p *plan.Plan) { p.DenyRootHash = [][]byte{h} })
	denyCert := p(func(p *plan.Plan) { p.DenyCerts = [][32]byte{ours.cert.Fingerprint()} })
	another := p(func(p *plan.Plan) { p.RootHash = hashOf("another") })
	for _, test := range []struct {
		plan *plan.Plan
		img  *Image
		rule Rule
	}{
		{denyHash, ddi(t, h, nil), RuleDenied}, {denyHash, ddi(t, h, ours), RuleDenied}, {denyCert, ddi(t, h, ours), RuleDenied},
		{another, ddi(t, h, nil), RulePin}, {another, ddi(t, h, ours), RulePin},
	} {
		_, r := Authenticate(test.plan, who, gpt.X86_64, test.img)
		wantRefusal(t, r, test.rule)
	}
	a, r := Authenticate(p(func(*plan.Plan) {}), who, gpt.X86_64, ddi(t, h, nil))
	if r != nil || !strings.Contains(a.String(), "nobody vouches") {
		t.Errorf("an unprotected image is %v, %v", a, r)
	}
}

func TestCheckFileSystem(t *testing.T) {
	for _, test := range []struct {
		policy, fstype string
		ok             bool
	}{
		{"root=signed", "erofs", true}, {"root=signed", "ext4", true},
		{"root=signed+erofs", "erofs", true}, {"root=signed+erofs", "ext4", false},
		{"root=signed+erofs+squashfs", "squashfs", true}, {"=signed+ext4", "erofs", false}, {"root=signed:=ext4", "erofs", true},
	} {
		p := &plan.Plan{Policy: parse(t, test.policy)}
		r := CheckFileSystem(p, who, gpt.Root, test.fstype)
		if (r == nil) != test.ok {
			t.Errorf("%s: %s: %v", test.policy, test.fstype, r)
		}
		if r != nil {
			wantRefusal(t, r, RulePolicy, "file system "+test.fstype, test.policy)
		}
		// Whoever mounts without asking is found out before anything of the image runs.
		tree := osTree(t, "ID=debian\n")
		tree.FileSystem = test.fstype
		if r := CheckIdentity(p, who, tree); (r == nil) != test.ok {
			t.Errorf("%s: %s: %v", test.policy, test.fstype, r)
		}
	}
}

// TestNarrowedAcceptsLess makes up policies and images: what is accepted under two is accepted under each, and almost all that is
// accepted under each is accepted under the two.
func TestNarrowedAcceptsLess(t *testing.T) {
	ours := newSigner(t, "ours")
	h := hashOf("image")
	var images []*Image
	for _, img := range []func() *Image{
		func() *Image { return ddi(t, h, ours) }, func() *Image { return ddi(t, h, nil) },
	} {
		images = append(images, img(), attributes(img(), 0, gpt.AttrReadOnly), attributes(img(), 1, gpt.AttrGrowFS), with(t, img(), gpt.Home, gpt.AttrReadOnly), with(t, img(), gpt.ESP, 0), with(t, img(), gpt.UsrVeritySig, 0))
	}
	rng := rand.New(rand.NewPCG(9, 11))
	words := strings.Fields("verity signed signed encrypted unprotected unused absent absent read-only-on read-only-off growfs-off ignore open")
	parts := []string{"root", "usr", "", "home", "esp", "root-verity", "root-verity-sig", "usr-verity", "usr-verity-sig"}
	made := func() policy.Policy {
		var rules []string
		for _, i := range rng.Perm(len(parts))[:rng.IntN(4)+1] {
			flags := []string{words[rng.IntN(len(words))], words[rng.IntN(len(words))], words[rng.IntN(len(words))]}
			rules = append(rules, parts[i]+"="+strings.Join(flags[:rng.IntN(3)+1], "+"))
		}
		return parse(t, strings.Join(rules, ":"))
	}
	accepted, refused, each := 0, 0, 0
	for range 5000 {
		a, b := made(), made()
		both, err := policy.And(a, b)
		if err != nil {
			continue
		}
		for i, img := range images {
			judge := func(q policy.Policy, parts ...policy.Policy) *Authentic {
				p := trusting(ours)
				p.Pins, p.Policy, p.PolicyParts = [][]byte{h}[:i%2], q, parts
				got, _ := Authenticate(p, who, gpt.X86_64, img)
				return got
			}
			got := judge(both, a, b)
			one, two := judge(a), judge(b)
			if one != nil && two != nil {
				each++
			}
			if got == nil {
				refused++
				continue
			}
			accepted++
			if one == nil || two == nil {
				t.Fatalf("image %d passes %s and neither %s (%v) nor %s (%v) both", i, both.Long(), a.Long(), one != nil, b.Long(), two != nil)
			}
		}
	}
	if accepted < 100 || refused < 100 || accepted < each*9/10 {
		t.Errorf("%d accepted, %d refused, %d accepted under each: the test tests little, or narrowing narrows too much", accepted, refused, each)
	}
	t.Logf("%d accepted, %d refused, %d accepted under each", accepted, refused, each)
}
