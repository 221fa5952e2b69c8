// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package resolve

import (
	"fmt"

	"github.com/initddi/initddi/internal/dmtable"
	"github.com/initddi/initddi/internal/gpt"
)

// parts are what an image's one file system consists of. Without a partition table both partitions are zero.
type parts struct {
	designator      gpt.Designator
	data, hash      gpt.Partition
	dataBytes, tree int64 // lengths, of an image without a partition table
}

// authentic returns what follows from the parts.
func (q *parts) authentic(table *gpt.Table) *Authentic {
	a := &Authentic{Designator: q.designator, DataPartition: q.data.Number, HashPartition: q.hash.Number}
	if table == nil {
		a.Data, a.Hash = dmtable.Region{Length: q.dataBytes}, dmtable.Region{Offset: q.dataBytes, Length: q.tree}
		return a
	}
	region := func(p gpt.Partition) dmtable.Region {
		return dmtable.Region{Offset: p.Offset(table.SectorSize), Length: p.Size(table.SectorSize)}
	}
	a.Data, a.Hash = region(q.data), region(q.hash)
	return a
}

// hashTree returns the designator of a file system's hash tree, and that of its signature.
func hashTree(d gpt.Designator) (hash, sig gpt.Designator) {
	if d == gpt.Usr {
		return gpt.UsrVerity, gpt.UsrVeritySig
	}
	return gpt.RootVerity, gpt.RootVeritySig
}

// choose picks the image's file system and its hash tree, for the machine's architecture: an image may carry others as well. An
// image with two of a kind is refused, stricter than systemd, which takes the one with the highest label: what is booted must
// not depend on a name. So is one with both a root and a /usr, of which only one could be protected.
func choose(name string, arch gpt.Arch, img *Image) (*parts, *Refusal) {
	refuse := func(found, wanted string) (*parts, *Refusal) {
		return nil, &Refusal{Candidate: name, Rule: RulePartitions, Found: found, Wanted: wanted}
	}
	if img.Table == nil {
		d := img.Beside.Designator
		if d == "" {
			d = gpt.Root
		}
		if img.Beside.Tree == 0 {
			return refuse("no hash tree beside the image", "a file that ends in .verity")
		}
		return &parts{designator: d, dataBytes: img.Extents.Size() - img.Beside.Tree, tree: img.Beside.Tree}, nil
	}
	if _, ok := gpt.TypeOf(gpt.Root, arch); !ok {
		return refuse("architecture "+string(arch), "one with partition types")
	}
	root, usr := ofType(img.Table, gpt.Root, arch), ofType(img.Table, gpt.Usr, arch)
	q := &parts{designator: gpt.Root}
	found := root
	switch {
	case len(root) > 0 && len(usr) > 0:
		return refuse("a root and a usr partition for "+string(arch), "one of the two")
	case len(usr) > 0:
		q.designator, found = gpt.Usr, usr
	}
	hash, _ := hashTree(q.designator)
	trees := ofType(img.Table, hash, arch)
	for _, kind := range [...]struct {
		d     gpt.Designator
		found []gpt.Partition
		to    *gpt.Partition
	}{{q.designator, found, &q.data}, {hash, trees, &q.hash}} {
		if len(kind.found) != 1 {
			return refuse(fmt.Sprintf("%d %s partitions for %s", len(kind.found), kind.d, arch), "one")
		}
		*kind.to = kind.found[0]
	}
	return q, nil
}

// ofType returns the partitions that are there for a designator.
func ofType(table *gpt.Table, d gpt.Designator, arch gpt.Arch) []gpt.Partition {
	var out []gpt.Partition
	t, ok := gpt.TypeOf(d, arch)
	if !ok {
		return nil
	}
	for _, q := range table.ByType(t) {
		// The bit for "not discoverable" is another one in an EFI system partition.
		if q.Name != "_empty" && (d == gpt.ESP || q.Attributes&gpt.AttrNoAuto == 0) {
			out = append(out, q)
		}
	}
	return out
}
