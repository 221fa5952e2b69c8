// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package resolve

import (
	"bytes"
	"encoding/hex"
	"slices"
	"testing"

	"github.com/initddi/initddi/internal/dmtable"
	"github.com/initddi/initddi/internal/extent"
	"github.com/initddi/initddi/internal/gpt"
	"github.com/initddi/initddi/internal/plan"
	"github.com/initddi/initddi/internal/signature"
)

// as makes an image one for another file system or architecture.
func as(t testing.TB, img *Image, data gpt.Designator, arch gpt.Arch) *Image {
	t.Helper()
	hash, sig := hashTree(data)
	for i, d := range []gpt.Designator{data, hash, sig}[:len(img.Table.Partitions)] {
		typ, ok := gpt.TypeOf(d, arch)
		if !ok {
			t.Fatalf("no type %s for %s", d, arch)
		}
		img.Table.Partitions[i].Type = typ
	}
	return img
}

// joined is the image with the partitions of both, and the signature of the first.
func joined(a, b *Image) *Image {
	out := *a
	table := *a.Table
	table.Partitions = slices.Concat(b.Table.Partitions, a.Table.Partitions)
	for i := range table.Partitions {
		table.Partitions[i].Number = i + 1
	}
	out.Table = &table
	return &out
}

// bare is an image without a partition table, with that beside it.
func bare(d gpt.Designator, rootHash []byte, sig []byte) *Image {
	return &Image{Extents: extent.List{{Offset: 1 << 20, Length: 64 << 10}, {Offset: 4 << 20, Length: 8 << 10}},
		Beside: Beside{Designator: d, RootHash: rootHash, Signature: sig, Tree: 8 << 10}}
}

// beside puts files beside an image.
func beside(img *Image, d gpt.Designator, rootHash, sig []byte) *Image {
	img.Beside = Beside{Designator: d, RootHash: rootHash, Signature: sig}
	return img
}

func TestAuthenticateKinds(t *testing.T) {
	ours, other := newSigner(t, "ours"), newSigner(t, "other")
	h, h2 := hashOf("image"), hashOf("another")
	trust := trusting(ours)
	pins := &plan.Plan{Policy: usual(), Pins: [][]byte{h}}
	pin := func(root, usr []byte) *plan.Plan {
		p := *trust
		p.RootHash, p.UsrHash = root, usr
		return &p
	}
	policed := func(text string) *plan.Plan {
		p := *trust
		p.Policy = parse(t, text)
		return &p
	}
	usr := func() *Image { return as(t, ddi(t, h, ours), gpt.Usr, gpt.X86_64) }
	unsignedUsr := func() *Image { return as(t, ddi(t, h, nil), gpt.Usr, gpt.X86_64) }
	arm := func() *Image { return as(t, ddi(t, h2, other), gpt.Root, gpt.ARM64) }
	sig := ours.sign(t, h)
	for _, test := range []struct {
		name  string
		plan  *plan.Plan
		img   *Image
		rule  Rule // empty: accepted
		d     gpt.Designator
		words []string
	}{
		{"/usr", trust, usr(), "", gpt.Usr, nil},
		{"/usr, pinned", pins, unsignedUsr(), "", gpt.Usr, nil},
		{"/usr, unsigned", trust, unsignedUsr(), RuleSigned, "", nil},
		{"/usr that is asked for", pin(nil, h), usr(), "", gpt.Usr, nil},
		{"/usr, another is asked for", pin(nil, h2), usr(), RulePin, "", []string{"ddi.usrhash=" + hex.EncodeToString(h2)}},
		{"/usr, a root is asked for", pin(h, nil), usr(), RulePin, "", []string{"an image of /usr", "ddi.roothash="}},
		{"a root, /usr is asked for", pin(nil, h), ddi(t, h, ours), RulePin, "", []string{"an image of a root file system"}},
		{"/usr where the policy has none", policed("root=signed+absent"), usr(), RulePolicy, "", []string{"usr=ignore"}},
		{"/usr where there must be none", policed("root=signed:usr=absent"), usr(), RulePolicy, "", nil},
		{"/usr where there must be a root", policed("root=signed:usr=signed"), usr(), RulePolicy, "", []string{"no root partition"}},
		{"a root and /usr", trust, joined(usr(), ddi(t, h2, ours)), RulePartitions, "", []string{"a root and a usr partition for x86-64"}},
		{"hash tree of the root beside /usr", trust, with(t, usr(), gpt.RootVerity, 0), "", gpt.Usr, nil},
		{"/usr without a hash tree", trust, func() *Image { img := usr(); img.Table.Partitions[1].Type = typeOf(t, gpt.RootVerity); return img }(), RulePartitions, "", []string{"0 usr-verity partitions"}},

		{"for two machines", trust, joined(ddi(t, h, ours), arm()), "", gpt.Root, nil},
		{"for another", trust, arm(), RulePartitions, "", []string{"0 root partitions for x86-64"}},
		{"/usr for this one and a root for another", trust, joined(usr(), arm()), "", gpt.Usr, nil},

		{"signature beside it", trust, beside(ddi(t, h, nil), gpt.Root, nil, sig), "", gpt.Root, nil},
		{"root hash too", trust, beside(ddi(t, h, nil), gpt.Root, h, sig), "", gpt.Root, nil},
		{"root hash of another beside it", trust, beside(ddi(t, h, nil), gpt.Root, h2, ours.sign(t, h2)), RuleRootHash, "", nil},
		{"a stranger's beside it", trust, beside(ddi(t, h, nil), gpt.Root, h, other.sign(t, h)), RuleSigned, "", nil},
		{"one for /usr beside a root", trust, beside(ddi(t, h, nil), gpt.Usr, h, sig), RuleSigned, "", []string{"no signature partition"}},
		{"its own goes before one beside it", trust, beside(ddi(t, h, ours), gpt.Root, h2, other.sign(t, h2)), "", gpt.Root, nil},
		{"its own goes before one beside it, also when it is a stranger's", trust, beside(ddi(t, h, other), gpt.Root, h, sig), RuleSigned, "", nil},
		{"an empty file beside it", trust, beside(ddi(t, h, nil), gpt.Root, h, []byte{}), RuleSigned, "", nil},
		{"root hash beside it, pinned", pins, beside(ddi(t, h, nil), gpt.Root, h, nil), "", gpt.Root, nil},

		{"bare", trust, bare(gpt.Root, h, sig), "", gpt.Root, nil},
		{"bare /usr", trust, bare(gpt.Usr, h, sig), "", gpt.Usr, nil},
		{"bare, by a stranger", trust, bare(gpt.Root, h, other.sign(t, h)), RuleSigned, "", nil},
		{"bare, with the signature of another", trust, bare(gpt.Root, h2, sig), RuleSigned, "", nil},
		{"bare, unsigned", trust, bare(gpt.Root, h, nil), RuleSigned, "", []string{"there is no signature beside the image"}},
		{"bare, pinned", pins, bare(gpt.Root, h, nil), "", gpt.Root, nil},
		{"bare, another is pinned", pins, bare(gpt.Root, h2, nil), RuleSigned, "", nil},
		{"bare, nothing says its root hash", trust, bare(gpt.Root, nil, sig), RuleRootHash, "", []string{".roothash"}},
		{"bare, with half a root hash", trust, bare(gpt.Root, h[:16], ours.sign(t, h[:16])), RuleRootHash, "", nil},
		{"bare, without a hash tree", trust, func() *Image { img := bare(gpt.Root, h, sig); img.Beside.Tree = 0; return img }(), RulePartitions, "", []string{".verity"}},
		{"bare, and what was asked for", pin(h, nil), bare(gpt.Root, h, sig), "", gpt.Root, nil},
		{"bare, not what was asked for", pin(h2, nil), bare(gpt.Root, h, sig), RulePin, "", nil},
		{"bare, and nothing else may be there", policed("root=signed:=absent"), bare(gpt.Root, h, sig), "", gpt.Root, nil},
		{"bare, its hash tree must not be there", policed("root=signed:root-verity=absent"), bare(gpt.Root, h, sig), RulePolicy, "", nil},
		{"bare, bits are wanted that it does not have", policed("root=signed+read-only-on"), bare(gpt.Root, h, sig), RulePolicy, "", []string{"no partition with signed+read-only-on"}},
		{"bare, /usr must be there", policed("root=signed:usr=signed"), bare(gpt.Root, h, sig), RulePolicy, "", []string{"no usr partition"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			a, r := Authenticate(test.plan, who, gpt.X86_64, test.img)
			if test.rule != "" {
				wantRefusal(t, r, test.rule, append(test.words, who)...)
				return
			}
			if r != nil {
				t.Fatal(r)
			}
			if a.Designator != test.d || !bytes.Equal(a.RootHash, h) {
				t.Errorf("got %s, root hash %x", a.Designator, a.RootHash)
			}
			if test.img.Table == nil && (a.Data != (dmtable.Region{Length: 64 << 10}) || a.Hash != (dmtable.Region{Offset: 64 << 10, Length: 8 << 10})) {
				t.Errorf("it lies at %+v and %+v", a.Data, a.Hash)
			}
		})
	}
}

// TestPicksItsOwnPartitions: of an image for two machines, each takes what was made for it.
func TestPicksItsOwnPartitions(t *testing.T) {
	ours := newSigner(t, "ours")
	amd, arm := hashOf("amd"), hashOf("arm")
	img := joined(ddi(t, amd, ours), as(t, ddi(t, arm, ours), gpt.Root, gpt.ARM64))
	for arch, hash := range map[gpt.Arch][]byte{gpt.X86_64: amd, gpt.ARM64: arm} {
		img.Signature = &signature.Document{RootHash: hash, Signature: ours.sign(t, hash)}
		a, r := Authenticate(trusting(ours), who, arch, img)
		if r != nil {
			t.Fatal(r)
		}
		first := 1
		if arch == gpt.X86_64 {
			first = 4
		}
		if a.DataPartition != first || a.HashPartition != first+1 {
			t.Errorf("%s takes partitions %d and %d", arch, a.DataPartition, a.HashPartition)
		}
	}
}
