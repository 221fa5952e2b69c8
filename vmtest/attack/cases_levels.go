// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package attack

import (
	"bytes"
	"fmt"

	"github.com/initddi/initddi/internal/guid"
	"github.com/initddi/initddi/internal/signature"
	"github.com/initddi/initddi/internal/verity"
)

// smallBlock is a size of hash blocks that gives a tree of more levels.
const smallBlock = 512

// levels gives the image a hash tree of small blocks, of three levels or more, signs it anew, and alters it. at returns where
// the hash block of a level, 0 being the lowest, lies that a byte of the data is below of; a negative level counts from the top.
func levels(alter func(d *DDI, at func(level, offset int) int)) func(*DDI) {
	return func(d *DDI) {
		sb := *d.Superblock
		sb.HashBlockSize = smallBlock
		if n := sb.HashTreeSize(); n == 0 || n > int64(d.Hash.Length) {
			panic(fmt.Errorf("cannot put a hash tree of %d bytes into a partition of %d", n, d.Hash.Length))
		}
		clear(d.part(d.Hash))
		root, err := verity.Build(bytes.NewReader(d.part(d.Data)), &bytesWriter{d.part(d.Hash)}, &sb, nil)
		must(err)
		d.RootHash = root
		entry(dataPart, setGUID(entUUID, guid.GUID(root[:16])))(d)
		entry(hashPart, setGUID(entUUID, guid.GUID(root[16:])))(d)
		m, err := d.Keys.Sign(good, signature.Content(root), smime)
		must(err)
		d.sign(m)
		alter(d, func(level, offset int) int {
			const fanout = smallBlock / 32
			var sizes []int
			for n := int(sb.DataBlocks); n > 1; {
				n = (n + fanout - 1) / fanout
				sizes = append(sizes, n)
			}
			if level < 0 {
				level += len(sizes)
			}
			// The superblock's block, then the levels from the top down.
			block := 1
			for l := len(sizes) - 1; l > level; l-- {
				block += sizes[l]
			}
			i := (offset - d.Data.Offset) / int(sb.DataBlockSize)
			for range level + 1 {
				i /= fanout
			}
			return d.Hash.Offset + (block+i)*smallBlock
		})
	}
}

// casesLevels alter a hash tree of several levels at each of them.
func casesLevels() []Case {
	flip := func(level int, where func(d *DDI) int) func(*DDI) {
		return levels(func(d *DDI, at func(level, offset int) int) { d.flip(at(level, where(d)) + 1) })
	}
	first := func(d *DDI) int { return d.Data.Offset }
	last := func(d *DDI) int { return d.payload(-5) }
	cases := []Case{
		{Name: "levels-good", Doc: "not at all", DDI: levels(func(*DDI, func(level, offset int) int) {}), Verdict: Harmless, Layer: Accepted, Boot: true},
		{Name: "levels-top", Doc: "at the top", DDI: flip(-1, first), Verdict: Refused, Layer: Verity, Boot: true},
		{Name: "levels-middle-first", Doc: "in the middle, above the first data block", DDI: flip(1, first), Verdict: Refused, Layer: Verity, Boot: true},
		{Name: "levels-middle-last", Doc: "in the middle, above the end of the payload", DDI: flip(1, last), Verdict: Contained, Layer: Late, Boot: true},
		{Name: "levels-lowest-first", Doc: "at the bottom, above the first data block", DDI: flip(0, first), Verdict: Refused, Layer: Verity},
		{Name: "levels-lowest-last", Doc: "at the bottom, above the end of the payload", DDI: flip(0, last), Verdict: Contained, Layer: Late, Boot: true},
		{Name: "levels-data", Doc: "below it, in the payload", DDI: levels(func(d *DDI, _ func(level, offset int) int) { d.flip(d.payload(PayloadMiddle)) }), Verdict: Contained, Layer: Late},
	}
	for i := range cases {
		cases[i].Group = "levels"
		cases[i].Doc = "a hash tree of three levels, altered " + cases[i].Doc
	}
	return cases
}
