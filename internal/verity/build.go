// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package verity

import (
	"fmt"
	"io"
)

// chunkSize is how many bytes of data [Build] reads at once.
const chunkSize = 1 << 20

// Build makes a hash partition: it reads sb.DataSize() bytes of data, writes the hash tree and the superblock to w, and
// returns the root hash. The result is that of "veritysetup format --salt --uuid" with the same values.
//
// It writes sb.HashTreeSize() bytes of w, each exactly once, the superblock last: what an interrupted Build leaves behind
// is not a verity partition. Memory is about 1 MiB whatever the size of the data. progress may be nil; else it is called
// with bytes of data read so far and in all.
//
// The errors are those of [Superblock.Validate] and of data and w; data that ends early is [io.ErrUnexpectedEOF].
func Build(data io.ReaderAt, w io.WriterAt, sb *Superblock, progress func(done, total int64)) (rootHash []byte, err error) {
	head, err := sb.MarshalBinary()
	if err != nil {
		return nil, err
	}
	b := newBuilder(sb, w)
	total := sb.DataSize()
	bs := int64(sb.DataBlockSize)
	chunk := make([]byte, min(chunkSize, total)) // a multiple of every block size, as is total
	for off := int64(0); off < total; {
		p := chunk[:min(chunkSize, total-off)]
		if err := readFull(data, p, off); err != nil {
			return nil, fmt.Errorf("cannot read data at byte %d of %d: %w", off, total, err)
		}
		for i := int64(0); i < int64(len(p)); i += bs {
			if err := b.add(0, b.hash.digest(p[i:i+bs])); err != nil {
				return nil, err
			}
		}
		off += int64(len(p))
		if progress != nil {
			progress(off, total)
		}
	}
	if err := b.finish(); err != nil {
		return nil, err
	}
	block := make([]byte, int64(sb.HashOffset())*int64(sb.HashBlockSize))
	copy(block, head)
	if _, err := w.WriteAt(block, 0); err != nil {
		return nil, fmt.Errorf("cannot write superblock: %w", err)
	}
	return b.root, nil
}

// builder grows all levels of a tree at once; it holds one unfinished hash block of each.
type builder struct {
	*tree
	hash  *hasher
	w     io.WriterAt
	parts []part
	root  []byte
}

// part is the hash block of one level that is being filled.
type part struct {
	index uint64 // of the block in its level
	block []byte
	n     uint64 // digests in it
}

func newBuilder(s *Superblock, w io.WriterAt) *builder {
	b := &builder{tree: newTree(s), hash: newHasher(s), w: w}
	b.parts = make([]part, len(b.levels))
	for i := range b.parts {
		b.parts[i].block = make([]byte, b.hashBlock)
	}
	return b
}

// add appends a digest at a level; one above the top level is the root hash.
func (b *builder) add(level int, digest []byte) error {
	if level > b.top() {
		b.root = append([]byte(nil), digest...)
		return nil
	}
	p := &b.parts[level]
	copy(p.block[p.n*uint64(b.stride):], digest)
	p.n++
	if p.n < b.fanout {
		return nil
	}
	return b.flush(level)
}

// flush writes the hash block of a level, full or not, and enters its digest one level up.
func (b *builder) flush(level int) error {
	p := &b.parts[level]
	if _, err := b.w.WriteAt(p.block, b.offset(level, p.index)); err != nil {
		return fmt.Errorf("cannot write hash block %d of level %d: %w", p.index, level, err)
	}
	digest := b.hash.digest(p.block)
	clear(p.block)
	p.n = 0
	p.index++
	return b.add(level+1, digest)
}

// finish writes the last hash block of each level, lowest first, since it adds a digest to the next.
func (b *builder) finish() error {
	for i := range b.parts {
		if b.parts[i].n > 0 {
			if err := b.flush(i); err != nil {
				return err
			}
		}
	}
	return nil
}
