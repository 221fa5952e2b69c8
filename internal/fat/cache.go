// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package fat

import (
	"errors"
	"fmt"
	"io"
)

const (
	// cacheBlock is what is read at once: a page, and no more than the smallest answer is likely to need.
	cacheBlock = 4096
	// cacheBlocks is how many are kept: enough for the directories of a path and a part of the FAT.
	cacheBlocks = 16
)

// cache keeps the blocks of the device that were used last. FAT entries are read one at a time; without it, each would
// be a system call.
type cache struct {
	dev    io.ReaderAt
	size   int64
	clock  uint64
	latest int
	blocks [cacheBlocks]block
}

type block struct {
	used uint64 // the clock at the last use; 0 says that there is no data
	off  int64
	n    int
	data [cacheBlock]byte
}

func newCache(dev io.ReaderAt, size int64) *cache { return &cache{dev: dev, size: size} }

// view returns n bytes at off, which may not cross a multiple of cacheBlock. They are valid until the next call.
func (c *cache) view(off int64, n int) ([]byte, error) {
	start := off - off%cacheBlock
	b, err := c.block(start)
	if err != nil {
		return nil, err
	}
	inside := int(off - start)
	if inside+n > b.n {
		return nil, fmt.Errorf("cannot read %d bytes at %d of %d: %w", n, off, c.size, io.ErrUnexpectedEOF)
	}
	return b.data[inside : inside+n], nil
}

// byteAt returns the byte at off.
func (c *cache) byteAt(off int64) (byte, error) {
	b, err := c.view(off, 1)
	if err != nil {
		return 0, err
	}
	return b[0], nil
}

// block returns the block that starts at off.
func (c *cache) block(off int64) (*block, error) {
	c.clock++
	if b := &c.blocks[c.latest]; b.used != 0 && b.off == off {
		b.used = c.clock
		return b, nil
	}
	oldest := 0
	for i := range c.blocks {
		b := &c.blocks[i]
		if b.used != 0 && b.off == off {
			b.used, c.latest = c.clock, i
			return b, nil
		}
		if b.used < c.blocks[oldest].used {
			oldest = i
		}
	}
	b := &c.blocks[oldest]
	b.used = 0
	b.off, b.n = off, int(max(0, min(cacheBlock, c.size-off)))
	n, err := c.dev.ReadAt(b.data[:b.n], off)
	if n < b.n {
		if err == nil || errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		return nil, fmt.Errorf("cannot read %d bytes at %d: %w", b.n, off, err)
	}
	b.used, c.latest = c.clock, oldest
	return b, nil
}
