// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package resolve

import (
	"fmt"

	"github.com/initddi/initddi/internal/dmtable"
	"github.com/initddi/initddi/internal/gpt"
	"github.com/initddi/initddi/internal/plan"
)

// IsPlain reports whether an image has nothing that protects its file system: no hash tree and no signature, in it or beside it. One that has a part of
// that is none: half of a protection is a mistake, or somebody took the other half away.
func IsPlain(arch gpt.Arch, img *Image) bool {
	if len(img.Beside.Files) > 0 || img.Signature != nil {
		return false
	}
	for _, d := range [...]gpt.Designator{gpt.RootVerity, gpt.UsrVerity, gpt.RootVeritySig, gpt.UsrVeritySig} {
		if img.Table != nil && len(ofType(img.Table, d, arch)) > 0 {
			return false
		}
	}
	return true
}

// Unprotected decides whether an image without a hash tree ([IsPlain]) may be used: where the policy allows that its file system is unprotected. No boot asks,
// nor does anything in a stage 1: this is for a running system that merges an extension as trustworthy as whoever could write the file. The
// lists of denied things cannot know such an image.
func Unprotected(p *plan.Plan, name string, arch gpt.Arch, img *Image) (*Authentic, *Refusal) {
	refuse := func(rule Rule, found, wanted string) (*Authentic, *Refusal) {
		return nil, &Refusal{Candidate: name, Rule: rule, Found: found, Wanted: wanted}
	}
	a := &Authentic{Designator: gpt.Root}
	if img.Table == nil {
		a.Data = dmtable.Region{Length: img.Extents.Size()}
	} else {
		root, usr := ofType(img.Table, gpt.Root, arch), ofType(img.Table, gpt.Usr, arch)
		found := root
		if len(root) == 0 {
			found, a.Designator = usr, gpt.Usr
		}
		if len(root)+len(usr) != 1 {
			return refuse(RulePartitions, fmt.Sprintf("%d root and %d usr partitions for %s", len(root), len(usr), arch), "one of the two")
		}
		q := found[0]
		a.DataPartition, a.Data = q.Number, dmtable.Region{Offset: q.Offset(img.Table.SectorSize), Length: q.Size(img.Table.SectorSize)}
	}
	if p.RootHash != nil || p.UsrHash != nil {
		return refuse(RulePin, "an image without a root hash", "one with the root hash that was asked for")
	}
	if r := applyPolicy(p, name, arch, img, false, a); r != nil {
		return nil, r
	}
	return a, nil
}
