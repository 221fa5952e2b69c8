// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package fat

import (
	"encoding/binary"
	"fmt"
	"slices"

	"github.com/initddi/initddi/internal/extent"
)

// link returns the entry of cluster c in the FAT.
func (f *FS) link(c uint32) (uint32, error) {
	switch f.kind {
	case FAT12:
		// One and a half bytes each, so an entry may begin in one block and end in the next.
		off := f.table + int64(c) + int64(c/2)
		lo, err := f.meta.byteAt(off)
		if err != nil {
			return 0, err
		}
		hi, err := f.meta.byteAt(off + 1)
		if err != nil {
			return 0, err
		}
		v := uint32(lo) | uint32(hi)<<8
		if c%2 == 1 {
			return v >> 4, nil
		}
		return v & 0xfff, nil
	case FAT16:
		b, err := f.meta.view(f.table+int64(c)*2, 2)
		if err != nil {
			return 0, err
		}
		return uint32(binary.LittleEndian.Uint16(b)), nil
	default:
		b, err := f.meta.view(f.table+int64(c)*4, 4)
		if err != nil {
			return 0, err
		}
		return binary.LittleEndian.Uint32(b) & 0x0fffffff, nil // the upper four bits are reserved
	}
}

// endMark returns the lowest entry that ends a chain. The one below it marks a bad cluster.
func (g *geometry) endMark() uint32 {
	switch g.kind {
	case FAT12:
		return 0xff8
	case FAT16:
		return 0xfff8
	default:
		return 0x0ffffff8
	}
}

// chain follows the clusters of a file or directory. Each cluster has one successor, so a chain that comes to its end
// has met no cluster twice, and one that meets a cluster twice never ends. Brent's algorithm finds that early, in at most
// about three times the clusters that the chain has, and without memory.
type chain struct {
	fs    *FS
	at    uint32 // the current cluster
	mark  uint32 // a cluster met before, moved ahead at each power of two
	steps int64  // since mark moved
	power int64
	count int64 // clusters met, at included
	limit int64
}

// chain returns the chain at its first cluster.
func (f *FS) chain(first uint32) (chain, error) {
	if !f.isCluster(first) {
		return chain{}, fmt.Errorf("it starts at cluster %d, want %d to %d: %w", first, firstCluster, int64(f.limit)-1, ErrCorrupt)
	}
	// No chain is longer than the partition has clusters, or than the largest file.
	limit := min(int64(f.limit)-firstCluster, maxFileSize/f.cluster+1)
	return chain{fs: f, at: first, mark: first, power: 1, count: 1, limit: limit}, nil
}

// next moves to the following cluster; false says that there is none.
func (c *chain) next() (bool, error) {
	v, err := c.fs.link(c.at)
	if err != nil {
		return false, fmt.Errorf("cannot read the FAT entry of cluster %d: %w", c.at, err)
	}
	end := c.fs.endMark()
	switch {
	case v >= end:
		return false, nil
	case v == end-1:
		return false, fmt.Errorf("cluster %d is in its chain and marked as bad: %w", c.at, ErrCorrupt)
	case v == 0:
		return false, fmt.Errorf("cluster %d is in its chain and marked as free: %w", c.at, ErrCorrupt)
	case !c.fs.isCluster(v):
		return false, fmt.Errorf("cluster %d leads to cluster %d, want %d to %d: %w", c.at, v, firstCluster, int64(c.fs.limit)-1, ErrCorrupt)
	case v == c.mark:
		return false, fmt.Errorf("its chain leads back to cluster %d: %w", v, ErrCorrupt)
	case c.count == c.limit:
		return false, fmt.Errorf("its chain has more than %d clusters: %w", c.limit, ErrCorrupt)
	}
	c.count++
	if c.steps++; c.steps == c.power {
		c.mark, c.steps, c.power = v, 0, c.power*2
	}
	c.at = v
	return true, nil
}

// fileExtents returns the first size bytes of the chain that starts at cluster first. It follows the chain to its end
// even behind them, because only the end proves that the clusters before it are distinct.
func (f *FS) fileExtents(first uint32, size int64) (extent.List, error) {
	if size == 0 {
		return nil, nil
	}
	c, err := f.chain(first)
	if err != nil {
		return nil, err
	}
	var list extent.List
	left := size
	for runs := 1; ; {
		if n := min(left, f.cluster); n > 0 {
			if len(list) == cap(list) {
				// Doubling leaves less garbage behind than append's growth, which matters at 16 MiB.
				list = slices.Grow(list, max(len(list), 8))
			}
			list = list.Append(extent.Extent{Offset: f.offset(c.at), Length: n})
			left -= n
		}
		before := c.at
		more, err := c.next()
		if err != nil {
			return nil, err
		}
		if !more {
			break
		}
		if c.at != before+1 {
			if runs++; runs > MaxExtents {
				return nil, fmt.Errorf("its chain has more than %d runs: %w", MaxExtents, ErrTooMany)
			}
		}
	}
	if left > 0 {
		return nil, fmt.Errorf("it has %d bytes, its %d clusters hold %d: %w", size, c.count, c.count*f.cluster, ErrCorrupt)
	}
	return list, nil
}
