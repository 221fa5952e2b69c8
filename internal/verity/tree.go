// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package verity

import (
	"crypto/sha256"
	"crypto/sha512"
	"fmt"
	"hash"
	"io"
	"math/bits"
)

// tree is the geometry of a hash tree. Block counts below level 0 are those of the data.
type tree struct {
	digestSize int
	stride     int // bytes from one digest to the next in a hash block
	fanout     uint64
	hashBlock  int
	dataBlock  int
	dataBlocks uint64
	levels     []level // 0 is the lowest; empty if there is only one data block
	end        uint64  // number of the first hash block behind the tree
}

// level is a run of hash blocks on the hash partition.
type level struct {
	first  uint64 // number of its first hash block
	blocks uint64
}

// newTree lays out the tree of s, which must be valid.
func newTree(s *Superblock) *tree {
	t := &tree{
		digestSize: s.DigestSize(),
		hashBlock:  int(s.HashBlockSize),
		dataBlock:  int(s.DataBlockSize),
		dataBlocks: s.DataBlocks,
	}
	t.stride = 1 << bits.Len(uint(t.digestSize-1))
	t.fanout = uint64(t.hashBlock / t.stride) // at least 512/64, so there are at most 18 levels
	for n := s.DataBlocks; n > 1; {
		n = (n-1)/t.fanout + 1
		t.levels = append(t.levels, level{blocks: n})
	}
	t.end = s.HashOffset()
	for i := len(t.levels) - 1; i >= 0; i-- {
		t.levels[i].first = t.end
		t.end += t.levels[i].blocks
	}
	return t
}

// top is the level whose only block has the root hash as its digest; DataLevel if there is no tree.
func (t *tree) top() int { return len(t.levels) - 1 }

// blocks is the number of blocks at a level, which may be [DataLevel].
func (t *tree) blocks(level int) uint64 {
	if level < 0 {
		return t.dataBlocks
	}
	return t.levels[level].blocks
}

// children returns the number of blocks below the block at index of a hash level.
func (t *tree) children(level int, index uint64) int {
	return int(min(t.fanout, t.blocks(level-1)-index*t.fanout))
}

// digest returns the i-th digest in a hash block.
func (t *tree) digest(block []byte, i uint64) []byte {
	off := int(i) * t.stride
	return block[off : off+t.digestSize]
}

// offset returns where the block at index of a hash level begins on the hash partition.
func (t *tree) offset(level int, index uint64) int64 {
	return int64(t.levels[level].first+index) * int64(t.hashBlock)
}

// hasher computes salted digests.
type hasher struct {
	h    hash.Hash
	salt []byte
	sum  [sha512.Size]byte
}

func newHasher(s *Superblock) *hasher {
	d := &hasher{salt: s.Salt}
	switch s.Algorithm {
	case "sha384":
		d.h = sha512.New384()
	case "sha512":
		d.h = sha512.New()
	default:
		d.h = sha256.New()
	}
	return d
}

// digest returns digest(salt || block), valid until the next call.
func (d *hasher) digest(block []byte) []byte {
	d.h.Reset()
	d.h.Write(d.salt)
	d.h.Write(block)
	return d.h.Sum(d.sum[:0])
}

// checkRootHash says whether a root hash has the length that the algorithm gives.
func (s *Superblock) checkRootHash(rootHash []byte) error {
	if len(rootHash) != s.DigestSize() {
		return fmt.Errorf("%w root hash of %d bytes, %s has %d", ErrInvalid, len(rootHash), s.Algorithm, s.DigestSize())
	}
	return nil
}

// readFull fills p. An early end is [io.ErrUnexpectedEOF], since the caller knows how much there must be.
func readFull(r io.ReaderAt, p []byte, off int64) error {
	n, err := r.ReadAt(p, off)
	if n == len(p) {
		return nil
	}
	if err == nil || err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}
