// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package esp

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/initddi/initddi/internal/fat"
)

// fragment rearranges the clusters of a file so that it has exactly f.Fragments extents. The clusters stay those that the file has, so
// that no free space is needed and free counts stay right: the pieces with odd numbers come first, then the even ones.
// In that order no piece is followed on the disk by the one that follows it in the file.
//
// mcopy on a fresh file system gives a file consecutive clusters; that is checked.
func (g *geometry) fragment(disk *os.File, offset, size int64, f file) error {
	fs, err := fat.Open(io.NewSectionReader(disk, offset, size), size)
	if err != nil {
		return err
	}
	entry, err := fs.Stat(f.Path)
	if err != nil {
		return err
	}
	extents, err := fs.Extents(entry)
	if err != nil {
		return err
	}
	n := (f.size + g.cluster - 1) / g.cluster
	if int64(f.Fragments) > n {
		return fmt.Errorf("%w: %d fragments of a file of %d clusters", ErrOptions, f.Fragments, n)
	}
	if len(extents) != 1 {
		return fmt.Errorf("cannot fragment: the file has %d extents already, wanted 1", len(extents))
	}
	first := uint32((extents[0].Offset-g.data)/g.cluster) + 2
	where := scatter(first, n, int64(f.Fragments))

	// The content is read from its source, so that nothing is overwritten before it has been moved.
	r, done, err := openContent(f.Source, f.Data)
	if err != nil {
		return err
	}
	defer done()
	buf := make([]byte, g.cluster)
	for i, c := range where {
		clear(buf)
		if _, err := r.ReadAt(buf[:min(g.cluster, f.size-int64(i)*g.cluster)], int64(i)*g.cluster); err != nil && err != io.EOF {
			return err
		}
		if _, err := disk.WriteAt(buf, offset+g.data+int64(c-2)*g.cluster); err != nil {
			return err
		}
	}
	if err := g.writeChain(disk, offset, where); err != nil {
		return err
	}
	return g.setFirst(disk, offset, first, where[0])
}

// scatter returns the cluster of each cluster of a file, which owns n clusters from first on, cut into pieces.
func scatter(first uint32, n, pieces int64) []uint32 {
	start := func(piece int64) int64 { return piece * n / pieces }
	where := make([]uint32, n)
	next := first
	for _, parity := range []int64{1, 0} {
		for p := parity; p < pieces; p += 2 {
			for i := start(p); i < start(p+1); i++ {
				where[i] = next
				next++
			}
		}
	}
	return where
}

// writeChain links the clusters in every copy of the FAT.
func (g *geometry) writeChain(disk *os.File, offset int64, where []uint32) error {
	table := make([]byte, g.fatSize)
	if _, err := disk.ReadAt(table, offset+g.fatStart); err != nil {
		return err
	}
	for i, c := range where {
		next := uint32(0x0fffffff)
		if i+1 < len(where) {
			next = where[i+1]
		}
		g.link(table, c, next)
	}
	for i := range g.fats {
		if _, err := disk.WriteAt(table, offset+g.fatStart+i*g.fatSize); err != nil {
			return err
		}
	}
	return nil
}

func (g *geometry) link(table []byte, c, next uint32) {
	le := binary.LittleEndian
	switch g.kind {
	case 12:
		old := le.Uint16(table[c+c/2:])
		if c%2 == 1 {
			le.PutUint16(table[c+c/2:], old&0x000f|uint16(next&0xfff)<<4)
		} else {
			le.PutUint16(table[c+c/2:], old&0xf000|uint16(next&0xfff))
		}
	case 16:
		le.PutUint16(table[2*c:], uint16(next))
	default:
		le.PutUint32(table[4*c:], le.Uint32(table[4*c:])&0xf0000000|next&0x0fffffff)
	}
}

func (g *geometry) next(table []byte, c uint32) (uint32, bool) {
	le := binary.LittleEndian
	switch g.kind {
	case 12:
		v := uint32(le.Uint16(table[c+c/2:])) >> (4 * (c % 2)) & 0xfff
		return v, v < 0xff0
	case 16:
		v := uint32(le.Uint16(table[2*c:]))
		return v, v < 0xfff0
	}
	v := le.Uint32(table[4*c:]) & 0x0fffffff
	return v, v < 0x0ffffff0
}

// setFirst finds the directory entry of the file that began at old, and makes it begin at first. Clusters belong to one
// file, so names need not be looked at.
func (g *geometry) setFirst(disk *os.File, offset int64, old, first uint32) error {
	le := binary.LittleEndian
	table := make([]byte, g.fatSize)
	if _, err := disk.ReadAt(table, offset+g.fatStart); err != nil {
		return err
	}
	type run struct{ off, size int64 }
	directory := func(c uint32) (runs []run) {
		for ok := c >= 2; ok && int64(len(runs)) <= g.clusters; c, ok = g.next(table, c) {
			runs = append(runs, run{g.data + int64(c-2)*g.cluster, g.cluster})
		}
		return runs
	}
	todo := directory(g.rootCluster)
	if g.kind != 32 {
		todo = []run{{g.rootStart, int64(g.rootEntries) * 32}}
	}
	for len(todo) > 0 {
		at := todo[0]
		todo = todo[1:]
		b := make([]byte, at.size)
		if _, err := disk.ReadAt(b, offset+at.off); err != nil {
			return err
		}
		for i := 0; i < len(b) && b[i] != 0; i += 32 {
			slot := b[i : i+32]
			c := uint32(le.Uint16(slot[26:])) | uint32(le.Uint16(slot[20:]))<<16
			switch attr := slot[11]; {
			case slot[0] == 0xe5 || attr&0x08 != 0 || slot[0] == '.': // deleted, label or long name, . and ..
			case attr&0x10 != 0:
				todo = append(todo, directory(c)...)
			case c == old:
				le.PutUint16(slot[26:], uint16(first))
				le.PutUint16(slot[20:], uint16(first>>16))
				_, err := disk.WriteAt(slot, offset+at.off+int64(i))
				return err
			}
		}
	}
	return errors.New("cannot fragment: directory entry not found")
}
