// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package fat

import (
	"encoding/binary"
	"io"
	"strings"
	"testing"
	"unicode/utf16"
)

// image is a small FAT file system under construction. It is written from the specification and shares no code with
// the reader; fsck.vfat checks it in TestImageIsValid.
type image struct {
	t      testing.TB
	b      []byte
	kind   Type
	sector int
	per    int // sectors per cluster
	copies int
	table  int // offset of the first FAT
	tabLen int // bytes of one FAT
	root   int // offset of the fixed root directory
	data   int
	count  int // clusters
	free   uint32
	short  int
	at     map[string]int // offset of the entry of each name that was made
	top    *folder
}

// folder is a directory of an image.
type folder struct {
	first uint32
	slots []int // offsets of those that are not used yet
}

// shape is what an image is made of. Its zero value is a FAT12 of 64 clusters.
type shape struct {
	kind      Type
	clusters  int
	sector    int
	per       int
	rootSlots int
	tables    int
}

const reservedSectors = 8

func newImage(t testing.TB, s shape) *image {
	or := func(v *int, d int) {
		if *v == 0 {
			*v = d
		}
	}
	if s.kind == 0 {
		s.kind = FAT12
	}
	or(&s.clusters, map[Type]int{FAT12: 64, FAT16: 4085, FAT32: 64}[s.kind])
	or(&s.sector, 512)
	or(&s.per, 1)
	or(&s.rootSlots, 32)
	or(&s.tables, 2)
	if s.kind == FAT32 {
		s.rootSlots = 0
	}
	up := func(n int) int { return (n + s.sector - 1) / s.sector * s.sector }
	m := &image{t: t, kind: s.kind, sector: s.sector, per: s.per, copies: s.tables, count: s.clusters, at: map[string]int{}}
	m.table = reservedSectors * s.sector
	m.tabLen = up(((s.clusters+2)*int(s.kind) + 7) / 8)
	m.root = m.table + s.tables*m.tabLen
	m.data = m.root + up(s.rootSlots*32)
	size := m.data + s.clusters*s.per*s.sector
	m.b = make([]byte, size)

	copy(m.b, "\xeb\x58\x90TESTDISK")
	m.put16(11, s.sector)
	m.b[13] = byte(s.per)
	m.put16(14, reservedSectors)
	m.b[16] = byte(s.tables)
	m.put16(17, s.rootSlots)
	m.b[21] = 0xf8
	m.put32(32, size/s.sector)
	extra := 36
	if m.kind == FAT32 {
		m.put32(36, m.tabLen/s.sector)
		m.put32(44, 2)
		m.put16(48, 0xffff) // no FSInfo
		extra = 64
	} else {
		m.put16(22, m.tabLen/s.sector)
	}
	m.b[extra+2] = 0x29
	m.put32(extra+3, 0x1234abcd)
	copy(m.b[extra+7:], "NO NAME    "+m.kind.String()+"   ")
	m.b[510], m.b[511] = 0x55, 0xaa

	m.link(0, m.end()&^7|0x8)
	m.link(1, m.end())
	m.free = 2
	m.top = &folder{}
	if m.kind == FAT32 {
		m.top.first = 2
		m.extend(m.top, m.take(1))
	} else {
		for i := range s.rootSlots {
			m.top.slots = append(m.top.slots, m.root+32*i)
		}
	}
	return m
}

func (m *image) put16(off, v int) { binary.LittleEndian.PutUint16(m.b[off:], uint16(v)) }
func (m *image) put32(off, v int) { binary.LittleEndian.PutUint32(m.b[off:], uint32(v)) }

func (m *image) end() uint32 { return uint32(1)<<min(m.kind, 28) - 1 }
func (m *image) bad() uint32 { return m.end() - 8 }

// link sets the entry of cluster c in every FAT.
func (m *image) link(c, v uint32) {
	for i := range m.copies {
		m.linkIn(i, c, v)
	}
}

func (m *image) linkIn(table int, c, v uint32) {
	base := m.table + table*m.tabLen
	switch m.kind {
	case FAT12:
		for nibble := range 3 {
			n := int(c)*3 + nibble
			shift := n % 2 * 4
			p := &m.b[base+n/2]
			*p = *p&^(0xf<<shift) | byte(v>>(4*nibble)&0xf)<<shift
		}
	case FAT16:
		m.put16(base+int(c)*2, int(v))
	case FAT32:
		m.put32(base+int(c)*4, int(v))
	}
}

// chain links the clusters and ends them.
func (m *image) chain(clusters []uint32) {
	for i, c := range clusters {
		if i+1 < len(clusters) {
			m.link(c, clusters[i+1])
		} else {
			m.link(c, m.end())
		}
	}
}

// take returns the next n clusters that have not been taken.
func (m *image) take(n int) []uint32 {
	var list []uint32
	for range n {
		list = append(list, m.free)
		m.free++
	}
	return list
}

func (m *image) cluster(c uint32) []byte {
	size := m.sector * m.per
	off := m.data + int(c-2)*size
	return m.b[off : off+size]
}

// extend gives clusters to a directory that has none.
func (m *image) extend(d *folder, clusters []uint32) {
	m.chain(clusters)
	for _, c := range clusters {
		off := m.data + int(c-2)*m.sector*m.per
		for i := 0; i < m.sector*m.per; i += 32 {
			d.slots = append(d.slots, off+i)
		}
	}
}

// mkdir makes a directory of the given clusters, or of one.
func (m *image) mkdir(parent *folder, name string, clusters ...uint32) *folder {
	if clusters == nil {
		clusters = m.take(1)
	}
	m.entry(parent, name, 0x10, clusters[0], 0)
	d := &folder{first: clusters[0]}
	m.extend(d, clusters)
	m.raw(d, ".          ", 0x10, d.first, 0)
	up := parent.first
	if parent == m.top {
		up = 0
	}
	m.raw(d, "..         ", 0x10, up, 0)
	return d
}

// file makes a file in the given clusters, or in the next ones.
func (m *image) file(parent *folder, name string, content []byte, clusters ...uint32) {
	size := m.sector * m.per
	if clusters == nil {
		clusters = m.take((len(content) + size - 1) / size)
	}
	m.chain(clusters)
	for i := range (len(content) + size - 1) / size {
		copy(m.cluster(clusters[i]), content[i*size:])
	}
	var first uint32
	if len(clusters) > 0 {
		first = clusters[0]
	}
	m.entry(parent, name, 0x20, first, len(content))
}

// entry adds a name: as it is where that is possible, else as a long one with a made-up short one.
func (m *image) entry(d *folder, name string, attr byte, first uint32, size int) int {
	base, ext, _ := strings.Cut(name, ".")
	short := pad(base, 8) + pad(ext, 3)
	if len(base) > 8 || len(ext) > 3 || strings.ToUpper(name) != name || strings.ContainsAny(ext, ". ") {
		m.short++
		short = pad("LONG~"+string(rune('A'+m.short/26))+string(rune('A'+m.short%26)), 8) + "RAW"
		for _, s := range longSlots(utf16.Encode([]rune(name)), short) {
			m.slot(d, s)
		}
	}
	off := m.raw(d, short, attr, first, size)
	m.at[name] = off
	return off
}

// raw adds a slot with the 11 bytes of a short name.
func (m *image) raw(d *folder, short string, attr byte, first uint32, size int) int {
	var s [32]byte
	copy(s[:], short)
	s[11] = attr
	le := binary.LittleEndian
	le.PutUint16(s[22:], 12<<11|34<<5|56/2)
	le.PutUint16(s[24:], (2026-1980)<<9|11<<5|22)
	le.PutUint16(s[26:], uint16(first))
	le.PutUint16(s[20:], uint16(first>>16))
	le.PutUint32(s[28:], uint32(size))
	return m.slot(d, s)
}

func (m *image) slot(d *folder, s [32]byte) int {
	if len(d.slots) == 0 {
		m.t.Fatal("the test's directory is full")
	}
	off := d.slots[0]
	d.slots = d.slots[1:]
	copy(m.b[off:], s[:])
	return off
}

func (m *image) open() (*FS, error) {
	return Open(readerAt(m.b), int64(len(m.b)))
}

func (m *image) mustOpen() *FS {
	m.t.Helper()
	f, err := m.open()
	if err != nil {
		m.t.Fatal(err)
	}
	return f
}

func pad(s string, n int) string { return (s + strings.Repeat(" ", n))[:max(n, len(s))] }

// longSlots returns the slots of a long name as they come on the disk.
func longSlots(units []uint16, short string) [][32]byte {
	var sum byte
	for _, c := range []byte(short) {
		sum = (sum&1)<<7 + sum>>1 + c
	}
	n := (len(units) + 12) / 13
	if len(units)%13 != 0 {
		units = append(units, 0)
	}
	for len(units) < n*13 {
		units = append(units, 0xffff)
	}
	var list [][32]byte
	for i := n; i >= 1; i-- {
		s := [32]byte{0: byte(i), 11: 0x0f, 13: sum}
		if i == n {
			s[0] |= 0x40
		}
		part := units[(i-1)*13 : i*13]
		for j, u := range part {
			off := 1 + 2*j
			if j >= 5 {
				off = 14 + 2*(j-5)
			}
			if j >= 11 {
				off = 28 + 2*(j-11)
			}
			binary.LittleEndian.PutUint16(s[off:], u)
		}
		list = append(list, s)
	}
	return list
}

// readerAt reads from memory.
type readerAt []byte

func (r readerAt) ReadAt(p []byte, off int64) (int, error) {
	if off < 0 || off > int64(len(r)) {
		return 0, io.EOF
	}
	n := copy(p, r[off:])
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

// counter counts what is read.
type counter struct {
	io.ReaderAt
	reads, bytes int
}

func (c *counter) ReadAt(p []byte, off int64) (int, error) {
	c.reads++
	c.bytes += len(p)
	return c.ReaderAt.ReadAt(p, off)
}

// pattern returns n bytes in which each block of 4 differs from all others.
func pattern(n int, seed uint32) []byte {
	b := make([]byte, (n+3)/4*4)
	for i := 0; i < len(b); i += 4 {
		binary.LittleEndian.PutUint32(b[i:], uint32(i)*2654435761+seed*40503)
	}
	return b[:n]
}

// sample makes the image that the attack table and the fuzz target start from:
//
//	/README.TXT                 700 bytes in clusters 6, 7
//	/loader/ddi/OS_1.2.raw      2,500 bytes in clusters 10, 11, 13, 12, 20
//	/loader/ddi/EMPTY.TXT
//	/loader/two                 a directory of clusters 22, 24
//
// loader is in cluster 8, ddi in 9, FAT32's root directory in 2.
func sample(t testing.TB, s shape) *image {
	m := newImage(t, s)
	m.raw(m.top, "TEST VOL   ", 0x08, 0, 0)
	m.file(m.top, "README.TXT", pattern(700, 1), 6, 7)
	loader := m.mkdir(m.top, "loader", 8)
	ddi := m.mkdir(loader, "ddi", 9)
	m.file(ddi, "OS_1.2.raw", pattern(2500, 2), 10, 11, 13, 12, 20)
	m.file(ddi, "EMPTY.TXT", nil)
	two := m.mkdir(loader, "two", 22, 24)
	for i := range 14 {
		m.file(two, "F"+string(rune('A'+i)), []byte{byte(i)}, uint32(30+i))
	}
	m.file(two, "LAST", pattern(3, 3), 50)
	return m
}

const osPath = "loader/ddi/OS_1.2.raw"
