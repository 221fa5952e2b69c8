// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package verity

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"sync"
)

// Blocks that a [Reader] remembers. A file system reader goes back and forth between a few places; hash blocks cover
// so much data that a handful of each level serves.
const (
	cachedDataBlocks = 32
	cachedHashBlocks = 4
)

// Reader gives access to the data of a verity device without the kernel: every block is checked up to the root hash
// before a byte of it is returned. It is for reading a few files out of an image; [Verify] is faster for all of it.
//
// It implements [io.ReaderAt] and may be used from several goroutines, which wait for each other.
type Reader struct {
	tree       *tree
	data, hash io.ReaderAt
	root       []byte
	size       int64

	mu     sync.Mutex // guards what follows
	hasher *hasher
	cache  [][]slot // of level -1, 0, 1, ...; a block has one possible place
}

// slot holds a verified block.
type slot struct {
	valid bool
	index uint64
	block []byte
}

// NewReader prepares reading; it reads nothing yet. The errors are those of [Superblock.Validate], and [ErrInvalid] for a
// root hash of the wrong length.
func NewReader(data, hash io.ReaderAt, sb *Superblock, rootHash []byte) (*Reader, error) {
	if err := sb.Validate(); err != nil {
		return nil, err
	}
	if err := sb.checkRootHash(rootHash); err != nil {
		return nil, err
	}
	r := &Reader{
		tree: newTree(sb), data: data, hash: hash, root: bytes.Clone(rootHash), size: sb.DataSize(), hasher: newHasher(sb),
	}
	r.cache = make([][]slot, 1+len(r.tree.levels))
	for i := range r.cache {
		n := cachedHashBlocks
		if i == 0 {
			n = cachedDataBlocks
		}
		r.cache[i] = make([]slot, n)
	}
	return r, nil
}

// Size returns the number of bytes of the verity device.
func (r *Reader) Size() int64 { return r.size }

// ReadAt implements [io.ReaderAt]. Besides [io.EOF] it returns a [*CorruptError] for a block that does not verify, and
// the errors of the readers below; an early end there is [io.ErrUnexpectedEOF].
func (r *Reader) ReadAt(p []byte, off int64) (n int, err error) {
	if off < 0 {
		return 0, errors.New("cannot read verity device: negative offset")
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	bs := int64(r.tree.dataBlock)
	for n < len(p) {
		if off >= r.size {
			return n, io.EOF
		}
		block, err := r.block(DataLevel, uint64(off/bs))
		if err != nil {
			return n, err
		}
		m := copy(p[n:], block[off%bs:])
		n += m
		off += int64(m)
	}
	return n, nil
}

// block returns a verified block. It is valid until the next call for the same level: the recursion upwards only touches
// the levels above.
func (r *Reader) block(level int, index uint64) ([]byte, error) {
	slots := r.cache[level+1]
	s := &slots[index%uint64(len(slots))]
	if s.valid && s.index == index {
		return s.block, nil
	}
	want := r.root
	if level < r.tree.top() {
		parent, err := r.block(level+1, index/r.tree.fanout)
		if err != nil {
			return nil, err
		}
		want = r.tree.digest(parent, index%r.tree.fanout)
	}
	s.valid = false
	if err := r.read(s, level, index); err != nil {
		return nil, err
	}
	if got := r.hasher.digest(s.block); !bytes.Equal(got, want) {
		return nil, r.tree.corrupt(level, index, want, got)
	}
	s.valid, s.index = true, index
	return s.block, nil
}

// read fills a slot with a block that is not verified yet.
func (r *Reader) read(s *slot, level int, index uint64) error {
	if level == DataLevel {
		if s.block == nil {
			s.block = make([]byte, r.tree.dataBlock)
		}
		if err := readFull(r.data, s.block, int64(index)*int64(r.tree.dataBlock)); err != nil {
			return fmt.Errorf("cannot read data block %d: %w", index, err)
		}
		return nil
	}
	if s.block == nil {
		s.block = make([]byte, r.tree.hashBlock)
	}
	if err := readFull(r.hash, s.block, r.tree.offset(level, index)); err != nil {
		return fmt.Errorf("cannot read hash block %d of level %d: %w", index, level, err)
	}
	return nil
}
