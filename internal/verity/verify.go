// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package verity

import (
	"bytes"
	"fmt"
	"io"
)

// DataLevel is the [CorruptError.Level] of a data block.
const DataLevel = -1

// CorruptError says which block does not have the digest that the block above it, or the root hash, demands.
type CorruptError struct {
	Level int    // of the hash tree, 0 is the lowest; or DataLevel
	Block uint64 // data block, or hash block counted from the start of the hash partition, as in the kernel's messages
	Want  []byte // the digest according to the level above
	Got   []byte // the digest of what was read
}

func (e *CorruptError) Error() string {
	if e.Level == DataLevel {
		return fmt.Sprintf("cannot verify data block %d: digest is %x, want %x", e.Block, e.Got, e.Want)
	}
	return fmt.Sprintf("cannot verify hash block %d (level %d): digest is %x, want %x", e.Block, e.Level, e.Got, e.Want)
}

// corrupt makes the error for the block at index of a level.
func (t *tree) corrupt(level int, index uint64, want, got []byte) error {
	if level >= 0 {
		index += t.levels[level].first
	}
	return &CorruptError{Level: level, Block: index, Want: bytes.Clone(want), Got: bytes.Clone(got)}
}

// Verify reads the whole tree and all data, each block exactly once, and checks every block against the block above it
// before anything in it is used. It demands what the kernel demands, no more: bytes behind the tree and behind the data
// are not looked at.
//
// It returns a [*CorruptError] for the first bad block; a hash block comes before the blocks below it, and data blocks
// come in ascending order. Other errors are those of [Superblock.Validate], a root hash of the wrong length
// ([ErrInvalid]), and those of data and hash, where an early end is [io.ErrUnexpectedEOF]. progress may be nil; else it
// is called with bytes of data checked so far and in all.
func Verify(data, hash io.ReaderAt, sb *Superblock, rootHash []byte, progress func(done, total int64)) error {
	if err := sb.Validate(); err != nil {
		return err
	}
	if err := sb.checkRootHash(rootHash); err != nil {
		return err
	}
	v := &verifier{
		tree: newTree(sb), hasher: newHasher(sb), data: data, hash: hash, progress: progress, total: sb.DataSize(),
	}
	v.blocks = make([][]byte, len(v.levels))
	for i := range v.blocks {
		v.blocks[i] = make([]byte, v.hashBlock)
	}
	v.chunk = make([]byte, min(int64(v.fanout)*int64(v.dataBlock), v.total))
	if v.top() == DataLevel {
		return v.verifyData(0, 1, rootHash)
	}
	return v.verifyBlock(v.top(), 0, rootHash)
}

// verifier walks a tree depth first. It holds one verified hash block of each level and the data below one of them.
type verifier struct {
	*tree
	hasher      *hasher
	data, hash  io.ReaderAt
	blocks      [][]byte
	chunk       []byte
	progress    func(done, total int64)
	done, total int64
}

// verifyBlock checks the hash block at index of a level and everything below it. Its depth is that of the tree.
func (v *verifier) verifyBlock(level int, index uint64, want []byte) error {
	block := v.blocks[level]
	if err := readFull(v.hash, block, v.offset(level, index)); err != nil {
		return fmt.Errorf("cannot read hash block %d of level %d: %w", index, level, err)
	}
	if got := v.hasher.digest(block); !bytes.Equal(got, want) {
		return v.corrupt(level, index, want, got)
	}
	n := v.children(level, index)
	if level == 0 {
		return v.verifyData(index*v.fanout, n, block)
	}
	for i := range uint64(n) {
		if err := v.verifyBlock(level-1, index*v.fanout+i, v.tree.digest(block, i)); err != nil {
			return err
		}
	}
	return nil
}

// verifyData checks n consecutive data blocks against the digests in a verified hash block.
func (v *verifier) verifyData(first uint64, n int, digests []byte) error {
	p := v.chunk[:n*v.dataBlock]
	if err := readFull(v.data, p, int64(first)*int64(v.dataBlock)); err != nil {
		return fmt.Errorf("cannot read data blocks %d to %d: %w", first, first+uint64(n)-1, err)
	}
	for i := range uint64(n) {
		got := v.hasher.digest(p[:v.dataBlock])
		if want := v.tree.digest(digests, i); !bytes.Equal(got, want) {
			return v.corrupt(DataLevel, first+i, want, got)
		}
		p = p[v.dataBlock:]
	}
	v.done += int64(n * v.dataBlock)
	if v.progress != nil {
		v.progress(v.done, v.total)
	}
	return nil
}
