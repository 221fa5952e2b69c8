// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package gpt

import (
	"encoding/binary"
	"hash/crc32"
	"io"
	"slices"
	"testing"

	"github.com/initddi/initddi/internal/guid"
)

// image is a disk in memory.
type image []byte

func (m image) ReadAt(p []byte, off int64) (int, error) {
	if off < 0 || off >= int64(len(m)) {
		return 0, io.EOF
	}
	n := copy(p, m[off:])
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

func (m image) WriteAt(p []byte, off int64) (int, error) {
	if off < 0 || off+int64(len(p)) > int64(len(m)) {
		return 0, io.ErrShortWrite
	}
	return copy(m[off:], p), nil
}

// sparse is a disk that only remembers what was written, for sizes that do not fit in memory.
type sparse map[int64][]byte

func (s sparse) WriteAt(p []byte, off int64) (int, error) {
	s[off] = slices.Clone(p)
	return len(p), nil
}

func (s sparse) ReadAt(p []byte, off int64) (int, error) {
	clear(p)
	for at, b := range s {
		if lo, hi := max(off, at), min(off+int64(len(p)), at+int64(len(b))); lo < hi {
			copy(p[lo-off:hi-off], b[lo-at:])
		}
	}
	return len(p), nil
}

const (
	testSectors   = 200
	testDiskUUID  = "11223344-5566-7788-99aa-bbccddeeff00"
	testRootUUID  = "00010203-0405-0607-0809-0a0b0c0d0e0f"
	testVeritUUID = "f0f1f2f3-f4f5-f6f7-f8f9-fafbfcfdfeff"
)

func mustType(d Designator) guid.GUID {
	g, ok := TypeOf(d, X86_64)
	if !ok {
		panic("no type for " + d)
	}
	return g
}

// testTable is a small DDI with a gap, a number that is left out, and order on disk unlike order in the table.
func testTable(sectorSize int64) *Table {
	return &Table{
		SectorSize: sectorSize,
		DiskUUID:   guid.MustParse(testDiskUUID),
		Partitions: []Partition{
			{Number: 1, Type: mustType(Root), UUID: guid.MustParse(testRootUUID), FirstLBA: 60, LastLBA: 69, Attributes: AttrReadOnly | AttrNoAuto, Name: "root größe 😀"},
			{Number: 3, Type: mustType(RootVerity), UUID: guid.MustParse(testVeritUUID), FirstLBA: 40, LastLBA: 59, Attributes: AttrReadOnly, Name: "root-verity"},
			{Number: 4, Type: mustType(ESP), UUID: guid.MustParse(testRootUUID), FirstLBA: 100, LastLBA: 100},
		},
	}
}

func testImage(t testing.TB, sectorSize int64) image {
	t.Helper()
	m := make(image, testSectors*sectorSize)
	if err := Write(m, int64(len(m)), testTable(sectorSize)); err != nil {
		t.Fatal(err)
	}
	return m
}

// forger changes one copy of the table of an image with 512-byte sectors and makes its checksums right again.
type forger struct {
	image
	lba uint64 // of the header
}

func (f forger) header() []byte  { return f.image[f.lba*512:][:512] }
func (f forger) entries() []byte { return f.image[f.get64(72)*512:][:MaxPartitions*entrySize] }

func (f forger) entry(number int) []byte { return f.entries()[(number-1)*entrySize:][:entrySize] }

func (f forger) get64(off int) uint64    { return binary.LittleEndian.Uint64(f.header()[off:]) }
func (f forger) put64(off int, v uint64) { binary.LittleEndian.PutUint64(f.header()[off:], v) }
func (f forger) put32(off int, v uint32) { binary.LittleEndian.PutUint32(f.header()[off:], v) }

func (f forger) sumEntries() { f.put32(88, crc32.ChecksumIEEE(f.entries())) }

func (f forger) sumHeader() {
	f.put32(16, 0)
	f.put32(16, crc32.ChecksumIEEE(f.header()[:headerSize]))
}
