// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package resolve

import (
	"testing"

	"github.com/initddi/initddi/internal/extent"
	"github.com/initddi/initddi/internal/gpt"
	"github.com/initddi/initddi/internal/plan"
	"github.com/initddi/initddi/internal/policy"
)

// only leaves those of an image's partitions that have a designator, and takes its signature away.
func only(t testing.TB, img *Image, keep ...gpt.Designator) *Image {
	t.Helper()
	img.Signature = nil
	var left []gpt.Partition
	for _, p := range img.Table.Partitions {
		for _, d := range keep {
			if p.Type == typeOf(t, d) {
				left = append(left, p)
			}
		}
	}
	img.Table.Partitions = left
	return img
}

func TestUnprotected(t *testing.T) {
	h := hashOf("image")
	const lax = "root=verity+signed+unprotected+absent:usr=verity+signed+unprotected+absent"
	bare := func() *Image { return &Image{Extents: extent.List{{Length: 1 << 20}}} }
	plainRoot := func() *Image { return only(t, ddi(t, h, nil), gpt.Root) }
	for _, test := range []struct {
		name   string
		policy string
		img    *Image
		rule   Rule
	}{
		{"a file system alone", lax, bare(), ""},
		{"a partition alone", lax, plainRoot(), ""},
		{"everything may be", "*", plainRoot(), ""},
		{"what has to be signed", "root=signed+absent:usr=signed+absent", bare(), RulePolicy},
		{"what has to be signed, in a table", "root=signed+absent:usr=signed+absent", plainRoot(), RulePolicy},
		{"what has to have a hash tree", "root=verity+signed", plainRoot(), RulePolicy},
		{"no such partition may be there", "root=absent", plainRoot(), RulePolicy},
		{"nothing is used", "-", bare(), RulePolicy},
		{"another partition that must not be", lax + ":=absent", with(t, plainRoot(), gpt.Home, 0), RulePolicy},
		{"no root", lax, only(t, ddi(t, h, nil), gpt.RootVerity), RulePartitions},
		{"two roots", lax, with(t, plainRoot(), gpt.Root, 0), RulePartitions},
		{"a root and a usr", lax, with(t, plainRoot(), gpt.Usr, 0), RulePartitions},
	} {
		a, r := Unprotected(&plan.Plan{Policy: parse(t, test.policy)}, "x", gpt.X86_64, test.img)
		switch {
		case test.rule == "" && (r != nil || !a.Plain() || a.Use != policy.Unprotected || a.Data.Length == 0):
			t.Errorf("%s: %+v, %v", test.name, a, r)
		case test.rule != "" && (r == nil || r.Rule != test.rule || a != nil):
			t.Errorf("%s: %v, want the rule %s", test.name, r, test.rule)
		}
	}
	p := &plan.Plan{Policy: policy.All(), RootHash: h}
	if _, r := Unprotected(p, "x", gpt.X86_64, bare()); r == nil || r.Rule != RulePin {
		t.Errorf("with a pin: %v", r)
	}
	narrowed := &plan.Plan{Policy: policy.All(), PolicyParts: []policy.Policy{policy.All(), parse(t, "root=signed")}}
	if _, r := Unprotected(narrowed, "x", gpt.X86_64, bare()); r == nil || r.Rule != RulePolicy {
		t.Errorf("narrowed: %v", r)
	}
}

// TestIsPlain: whoever takes away half of what protects an image has not made one without protection.
func TestIsPlain(t *testing.T) {
	h := hashOf("image")
	signer := newSigner(t, "ours")
	for _, test := range []struct {
		name string
		img  *Image
		want bool
	}{
		{"a signed image", ddi(t, h, signer), false},
		{"an unsigned one", ddi(t, h, nil), false},
		{"a root alone", only(t, ddi(t, h, nil), gpt.Root), true},
		{"a root and a signature", only(t, ddi(t, h, signer), gpt.Root, gpt.RootVeritySig), false},
		{"a root and a hash tree", only(t, ddi(t, h, nil), gpt.Root, gpt.RootVerity), false},
		{"a root and the hash tree of a usr", with(t, only(t, ddi(t, h, nil), gpt.Root), gpt.UsrVerity, 0), false},
		{"a file system", &Image{}, true},
		{"a file system with something beside it", &Image{Beside: Beside{Files: []string{"x.roothash"}}}, false},
	} {
		if got := IsPlain(gpt.X86_64, test.img); got != test.want {
			t.Errorf("%s: %v", test.name, got)
		}
	}
}

// TestBootTakesNoPlainImage: what no boot asks for, none gets, whatever the policy.
func TestBootTakesNoPlainImage(t *testing.T) {
	p := &plan.Plan{Policy: policy.All()}
	for name, img := range map[string]*Image{
		"a file system":     {Extents: extent.List{{Length: 1 << 20}}},
		"a partition alone": only(t, ddi(t, hashOf("image"), nil), gpt.Root),
	} {
		if a, r := Authenticate(p, "x", gpt.X86_64, img); r == nil || r.Rule != RulePartitions {
			t.Errorf("%s: %v, %v", name, a, r)
		}
	}
}
