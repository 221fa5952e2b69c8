// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package attack

// casesTree alter the hash tree and the data under it.
func casesTree() []Case {
	middle := PayloadMiddle
	flipAt := func(where func(d *DDI) int) func(*DDI) { return func(d *DDI) { d.flip(where(d)) } }
	cases := []Case{
		{Name: "tree-root-first", Doc: "the first digest in the top block of the hash tree", DDI: flipAt(func(d *DDI) int { return d.treeRoot() }), Verdict: Refused, Layer: Verity, Boot: true},
		{Name: "tree-root-unused", Doc: "the unused end of the top block, which its digest covers all the same", DDI: flipAt(func(d *DDI) int { return d.treeRoot() + block - 1 }), Verdict: Refused, Layer: Verity, Boot: true},
		{Name: "tree-root-gone", Doc: "zeros for the top block", DDI: func(d *DDI) { clear(d.B[d.treeRoot():][:block]) }, Verdict: Refused, Layer: Verity},
		{Name: "tree-lowest-first", Doc: "the digest of the first data block", DDI: flipAt(func(d *DDI) int { return d.hashBlock(d.Data.Offset) }), Verdict: Refused, Layer: Verity, Boot: true},
		{Name: "tree-lowest-neighbour", Doc: "a digest in the lowest hash block that covers the first data block, of a block that is not read", DDI: flipAt(func(d *DDI) int { return d.hashBlock(d.Data.Offset) + block - 32 }), Verdict: Refused, Layer: Verity},
		{Name: "tree-lowest-middle", Doc: "a digest in the lowest hash block that covers the middle of the payload", DDI: flipAt(func(d *DDI) int { return d.hashBlock(d.payload(middle)) }), Verdict: Contained, Layer: Late, Boot: true},
		{Name: "tree-lowest-last", Doc: "the unused end of the last hash block", DDI: flipAt(func(d *DDI) int { return d.hashBlock(d.payload(-1)) + block - 1 }), Verdict: Contained, Layer: Late, Boot: true},
		{Name: "tree-swapped", Doc: "two hash blocks of the lowest level have changed places", DDI: func(d *DDI) {
			swapBlocks(d, d.hashBlock(d.Data.Offset), d.hashBlock(d.payload(middle)))
		}, Verdict: Refused, Layer: Verity},
		{Name: "tree-of-other", Doc: "the hash tree of another signed image", DDI: func(d *DDI) {
			other, err := newDDI(d.Others("other"), d.Keys)
			must(err)
			copy(d.part(d.Hash)[block:], other.part(other.Hash)[block:])
		}, Verdict: Refused, Layer: Verity, Boot: true},
		{Name: "tree-behind", Doc: "what is behind the hash tree in its partition", DDI: func(d *DDI) {
			entry(hashPart, add64(entLast, 8))(d)
			d.flip(d.Hash.Offset + d.Hash.Length + 100)
		}, Verdict: Harmless, Layer: Accepted},
		{Name: "tree-cut", Doc: "the image ends in the hash tree", DDI: func(d *DDI) { d.B = d.B[:d.hashBlock(d.payload(-1))] }, Verdict: Refused, Layer: Table, Says: "there are only"},

		{Name: "data-first-byte", Doc: "the first byte of the data", DDI: flipAt(func(d *DDI) int { return d.Data.Offset }), Verdict: Refused, Layer: Verity, Boot: true},
		{Name: "data-superblock", Doc: "a bit of the file system's superblock", DDI: flipAt(func(d *DDI) int { return d.Data.Offset + 1024 + 20 }), Verdict: Refused, Layer: Verity, Boot: true},
		{Name: "data-magic", Doc: "the file system's magic number", DDI: flipAt(func(d *DDI) int { return d.Data.Offset + 1024 }), Verdict: Refused, Layer: Verity},
		{Name: "data-middle", Doc: "a bit in the middle of the payload", DDI: flipAt(func(d *DDI) int { return d.payload(middle) + 2000 }), Verdict: Contained, Layer: Late, Boot: true, Test: true},
		{Name: "data-payload-first", Doc: "the first bit of the payload", DDI: flipAt(func(d *DDI) int { return d.payload(0) }), Verdict: Contained, Layer: Late, Boot: true},
		{Name: "data-payload-last", Doc: "the last byte of the payload", DDI: flipAt(func(d *DDI) int { return d.payload(-1) + block - 1 }), Verdict: Contained, Layer: Late, Boot: true},
		{Name: "data-last-byte", Doc: "the last byte of the data", DDI: flipAt(func(d *DDI) int { return d.Data.Offset + d.Data.Length - 1 }), Verdict: Contained, Layer: Late},
		{Name: "data-zeroed", Doc: "zeros for a block of the payload", DDI: func(d *DDI) { clear(d.B[d.payload(middle):][:block]) }, Verdict: Contained, Layer: Late, Boot: true},
		{Name: "data-swapped", Doc: "two blocks of the payload have changed places", DDI: func(d *DDI) { swapBlocks(d, d.payload(middle), d.payload(middle+1)) }, Verdict: Contained, Layer: Late, Boot: true},
		{Name: "data-repeated", Doc: "a block of the payload twice", DDI: func(d *DDI) { copy(d.B[d.payload(middle):][:block], d.B[d.payload(middle+1):][:block]) }, Verdict: Contained, Layer: Late},
		{Name: "data-os-release", Doc: "another ID in os-release, of the same length", DDI: func(d *DDI) { replace(d, "ID=debian\n", "ID=ubuntu\n") },
			Verdict: Refused, Layer: Verity, Boot: true},
		{Name: "data-of-other", Doc: "the data of another signed image under this one's signature", DDI: func(d *DDI) {
			other, err := newDDI(d.Others("other"), d.Keys)
			must(err)
			copy(d.part(d.Data), other.part(other.Data))
		}, Verdict: Refused, Layer: Verity},
		{Name: "data-cut", Doc: "the image ends in its data", DDI: func(d *DDI) { d.B = d.B[:d.Data.Offset+d.Data.Length/2] }, Verdict: Refused, Layer: Table, Says: "there are only", Boot: true},
	}
	for i := range cases {
		cases[i].Group = "tree"
	}
	return cases
}

// PayloadMiddle is the number of a block of the payload that no other part of the image shares a hash block with.
const PayloadMiddle = 150

func swapBlocks(d *DDI, a, b int) {
	old := append([]byte(nil), d.B[a:a+block]...)
	copy(d.B[a:a+block], d.B[b:b+block])
	copy(d.B[b:b+block], old)
}
