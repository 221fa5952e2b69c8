// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package fat

import (
	"errors"
	"testing"
)

func TestBootSector(t *testing.T) {
	put16 := func(off, v int) func(*image) { return func(m *image) { m.put16(off, v) } }
	put32 := func(off, v int) func(*image) { return func(m *image) { m.put32(off, v) } }
	put8 := func(off int, v byte) func(*image) { return func(m *image) { m.b[off] = v } }
	for _, c := range []struct {
		name string
		kind Type
		lie  func(*image)
		want error
	}{
		{"zeros", FAT16, func(m *image) { clear(m.b) }, ErrNotFAT},
		{"ones", FAT16, func(m *image) {
			for i := range 510 {
				m.b[i] = 0xff
			}
		}, ErrNotFAT},
		{"no signature", FAT16, put16(510, 0), ErrNotFAT},
		{"half a signature", FAT16, put16(510, 0x0055), ErrNotFAT},
		{"signature swapped", FAT16, put16(510, 0x55aa), ErrNotFAT},
		{"sector of 0", FAT16, put16(11, 0), ErrNotFAT},
		{"sector of 256", FAT16, put16(11, 256), ErrNotFAT},
		{"sector of 768", FAT16, put16(11, 768), ErrNotFAT},
		{"sector of 8192", FAT16, put16(11, 8192), ErrNotFAT},
		{"cluster of 0 sectors", FAT16, put8(13, 0), ErrNotFAT},
		{"cluster of 3 sectors", FAT16, put8(13, 3), ErrNotFAT},
		{"cluster of 512 KiB", FAT16, func(m *image) { m.put16(11, 4096); m.b[13] = 128 }, ErrCorrupt},
		{"cluster larger than the partition", FAT12, put8(13, 128), ErrCorrupt},
		{"no reserved sectors", FAT16, put16(14, 0), ErrNotFAT},
		{"all sectors reserved", FAT16, put16(14, 0xffff), ErrCorrupt},
		{"no FATs", FAT16, put8(16, 0), ErrNotFAT},
		{"255 FATs", FAT12, put8(16, 255), ErrCorrupt},
		{"media 0xf1", FAT16, put8(21, 0xf1), ErrNotFAT},
		{"media 0xf0", FAT16, put8(21, 0xf0), nil},
		{"no sectors", FAT16, put32(32, 0), ErrCorrupt},
		{"one sector more than the partition", FAT16, func(m *image) { m.put32(32, len(m.b)/512+1) }, ErrCorrupt},
		{"most sectors", FAT16, put32(32, 0xffffffff), ErrCorrupt},
		{"16-bit count of sectors wins", FAT16, func(m *image) { m.put16(19, len(m.b)/512); m.put32(32, 0xffffffff) }, nil},
		{"16-bit count of sectors too large", FAT12, put16(19, 0xffff), ErrCorrupt},
		{"one sector before the first cluster's end", FAT12, func(m *image) { m.put32(32, m.data/512) }, ErrCorrupt},
		{"just one cluster", FAT12, func(m *image) { m.put32(32, m.data/512+1) }, nil},
		{"FAT of 65,535 sectors", FAT16, put16(22, 0xffff), ErrCorrupt},
		{"FAT16 without a FAT", FAT16, func(m *image) { m.put16(22, 0); m.put32(36, 0) }, ErrCorrupt},
		{"FAT16 with FAT32's FAT", FAT16, func(m *image) { m.put16(22, 0); m.put32(36, 16) }, ErrCorrupt},
		{"FAT16 without root directory", FAT16, put16(17, 0), ErrCorrupt},
		{"root directory of 2 MiB", FAT12, put16(17, 0xffff), ErrCorrupt},
		{"FAT32 without a FAT", FAT32, put32(36, 0), ErrCorrupt},
		{"FAT32 with the largest FAT", FAT32, put32(36, 0xffffffff), ErrCorrupt},
		{"FAT32 with a fixed root directory", FAT32, put16(17, 512), ErrCorrupt},
		{"FAT32 with a 16-bit FAT", FAT32, put16(22, 1), ErrCorrupt},
		{"FAT32 version 0.1", FAT32, put16(42, 1), ErrNotFAT},
		{"FAT32 root at cluster 0", FAT32, put32(44, 0), ErrCorrupt},
		{"FAT32 root at cluster 1", FAT32, put32(44, 1), ErrCorrupt},
		{"FAT32 root at the last cluster", FAT32, func(m *image) { m.put32(44, m.count+1) }, nil},
		{"FAT32 root behind the last cluster", FAT32, func(m *image) { m.put32(44, m.count+2) }, ErrCorrupt},
		{"FAT32 root at the highest number", FAT32, put32(44, 0xffffffff), ErrCorrupt},
		{"FAT32 with an active FAT too many", FAT32, put16(40, 0x82), ErrCorrupt},
		{"FAT32 with the last FAT active", FAT32, put16(40, 0x81), nil},
	} {
		m := sample(t, shape{kind: c.kind})
		c.lie(m)
		f, err := m.open()
		if !errors.Is(err, c.want) || (err == nil) != (f != nil) {
			t.Errorf("%s: %v, want %v", c.name, err, c.want)
		}
	}
	for per, want := range map[int]error{64: nil, 128: ErrCorrupt} { // 256 and 512 KiB, else right
		if _, err := newImage(t, shape{sector: 4096, per: per, clusters: 2}).open(); !errors.Is(err, want) {
			t.Errorf("clusters of %d sectors of 4 KiB: %v, want %v", per, err, want)
		}
	}
	m := sample(t, shape{})
	for _, size := range []int64{-1, 0, 511} {
		if _, err := Open(readerAt(m.b), size); !errors.Is(err, ErrNotFAT) {
			t.Errorf("a partition of %d bytes: %v, want %v", size, err, ErrNotFAT)
		}
	}
	if _, err := Open(readerAt(m.b), int64(len(m.b))-1); !errors.Is(err, ErrCorrupt) {
		t.Errorf("a partition that is a byte too small: %v, want %v", err, ErrCorrupt)
	}
}

// TestOtherBootSectors has the fields that tell others apart, where FAT has those of its BIOS parameter block.
func TestOtherBootSectors(t *testing.T) {
	ntfs := make([]byte, 4096)
	copy(ntfs, "\xeb\x52\x90NTFS    \x00\x02\x08\x00\x00\x00\x00\x00\x00\x00\xf8")
	exfat := make([]byte, 4096)
	copy(exfat, "\xeb\x76\x90EXFAT   ")
	gpt := make([]byte, 4096)
	copy(gpt[446:], "\x00\x00\x02\x00\xee\xff\xff\xff\x01\x00\x00\x00")
	for i, b := range [][]byte{ntfs, exfat, gpt} {
		b[510], b[511] = 0x55, 0xaa
		if _, err := Open(readerAt(b), 4096); !errors.Is(err, ErrNotFAT) {
			t.Errorf("%d: %v, want %v", i, err, ErrNotFAT)
		}
	}
}

// TestType has the counts of clusters at which the specification changes from one FAT to the next.
func TestType(t *testing.T) {
	for _, c := range []struct {
		kind     Type
		clusters int
		want     Type
		err      error
	}{
		{FAT12, 1, FAT12, nil},
		{FAT12, 4084, FAT12, nil},
		{FAT16, 4085, FAT16, nil},
		{FAT16, 65524, FAT16, nil},
		{FAT16, 65525, 0, ErrCorrupt},
		{FAT32, 65525, FAT32, nil},
		{FAT32, 65524, FAT32, nil},
		{FAT32, 100, FAT32, nil},
	} {
		m := newImage(t, shape{kind: c.kind, clusters: c.clusters})
		f, err := m.open()
		if !errors.Is(err, c.err) || (err == nil && f.Type() != c.want) {
			t.Errorf("%v of %d clusters: %v, want %v", c.kind, c.clusters, err, c.err)
		}
		if err == nil && f.limit != uint32(c.clusters+2) {
			t.Errorf("%v: clusters below %d, want %d", c.kind, f.limit, c.clusters+2)
		}
	}
	for kind, want := range map[Type]string{FAT12: "FAT12", FAT16: "FAT16", FAT32: "FAT32"} {
		if got := kind.String(); got != want {
			t.Errorf("%d is %q, want %q", kind, got, want)
		}
	}
}

// TestShortFAT has more clusters than the FAT has entries: of 512 bytes, 341 entries of 12 bits.
func TestShortFAT(t *testing.T) {
	m := newImage(t, shape{clusters: 339})
	m.b = append(m.b, make([]byte, 10*512)...)
	m.put32(32, len(m.b)/512)
	m.count += 10
	m.file(m.top, "INSIDE", []byte("x"), 340)
	m.entry(m.top, "OUTSIDE", 0x20, 342, 1) // there the second FAT has an end mark
	f := m.mustOpen()
	if err := askExtents("INSIDE")(f); err != nil {
		t.Error(err)
	}
	if err := askExtents("OUTSIDE")(f); !errors.Is(err, ErrCorrupt) {
		t.Errorf("%v, want %v", err, ErrCorrupt)
	}
}
