// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package fat

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"runtime"
	"slices"
	"testing"

	"github.com/initddi/initddi/internal/extent"
)

// attack is one lie, told by the sample image.
type attack struct {
	name string
	lie  func(m *image)
	ask  func(f *FS) error
	want error // nil says that the truth does not depend on it
}

func askExtents(path string) func(*FS) error {
	return func(f *FS) error {
		e, err := f.Stat(path)
		if err != nil {
			return fmt.Errorf("the test's own %s: %v", path, err) // hides the cause: only Extents is asked
		}
		_, err = f.Extents(e)
		return err
	}
}

func askDir(path string) func(*FS) error {
	return func(f *FS) error {
		_, err := f.ReadDir(path)
		return err
	}
}

func askStat(path string) func(*FS) error {
	return func(f *FS) error {
		_, err := f.Stat(path)
		return err
	}
}

// fill marks all slots of a cluster that have no entry as deleted, so that its directory goes on behind it.
func (m *image) fill(c uint32) {
	b := m.cluster(c)
	for i := 0; i < len(b); i += 32 {
		if b[i] == 0 {
			b[i] = 0xe5
		}
	}
}

// setFirst sets the first cluster of an entry.
func (m *image) setFirst(name string, c uint32) {
	m.put16(m.at[name]+26, int(c&0xffff))
	if m.kind == FAT32 {
		m.put16(m.at[name]+20, int(c>>16))
	}
}

func (m *image) setSize(name string, size int) { m.put32(m.at[name]+28, size) }

// The clusters and paths in here are those of sample; the file's chain is 10, 11, 13, 12, 20, and 60 is free.
func attacks() []attack {
	const file = "OS_1.2.raw"
	f, two := askExtents(osPath), askDir("loader/two")
	limit := func(m *image) uint32 { return uint32(m.count + 2) }
	return []attack{
		{"none", func(m *image) {}, f, nil},

		{"chain: back to its first cluster", func(m *image) { m.link(20, 10) }, f, ErrCorrupt},
		{"chain: back to its middle", func(m *image) { m.link(20, 13) }, f, ErrCorrupt},
		{"chain: cluster leads to itself", func(m *image) { m.link(11, 11) }, f, ErrCorrupt},
		{"chain: first cluster leads to itself", func(m *image) { m.link(10, 10) }, f, ErrCorrupt},
		{"chain: loop that has the file's size", func(m *image) { m.link(13, 11); m.link(12, 0); m.link(20, 0) }, f, ErrCorrupt},
		{"chain: loop behind the file's end", func(m *image) { m.link(20, 61); m.link(61, 62); m.link(62, 61) }, f, ErrCorrupt},
		{"chain: to cluster 1", func(m *image) { m.link(11, 1) }, f, ErrCorrupt},
		{"chain: to the cluster behind the last", func(m *image) { m.link(11, limit(m)) }, f, ErrCorrupt},
		{"chain: to the highest number", func(m *image) { m.link(11, m.bad()-1) }, f, ErrCorrupt},
		{"chain: out of range behind the file's end", func(m *image) { m.link(20, limit(m)) }, f, ErrCorrupt},
		{"chain: too short", func(m *image) { m.link(12, m.end()) }, f, ErrCorrupt},
		{"chain: too short, by the lowest end mark", func(m *image) { m.link(12, m.end()-7) }, f, ErrCorrupt},
		{"chain: the lowest end mark at its end", func(m *image) { m.link(20, m.end()-7) }, f, nil},
		{"chain: into a free cluster", func(m *image) { m.link(12, 60) }, f, ErrCorrupt},
		{"chain: into a bad cluster", func(m *image) { m.link(12, 60); m.link(60, m.bad()) }, f, ErrCorrupt},
		{"chain: last cluster is free", func(m *image) { m.link(20, 0) }, f, ErrCorrupt},
		{"chain: last cluster is bad", func(m *image) { m.link(20, m.bad()) }, f, ErrCorrupt},
		{"chain: joins another file", func(m *image) { m.link(12, 6) }, f, nil}, // 6, 7: longer than the file, and cannot be noticed
		{"chain: joins another file, short of the size", func(m *image) { m.link(11, 7) }, f, ErrCorrupt},

		{"size: one byte more than the chain", func(m *image) { m.setSize(file, 5*512+1) }, f, ErrCorrupt},
		{"size: all of the chain", func(m *image) { m.setSize(file, 5*512) }, f, nil},
		{"size: 4 GiB", func(m *image) { m.setSize(file, 1<<32-1) }, f, ErrCorrupt},
		{"first cluster: 0", func(m *image) { m.setFirst(file, 0) }, f, ErrCorrupt},
		{"first cluster: 1", func(m *image) { m.setFirst(file, 1) }, f, ErrCorrupt},
		{"first cluster: behind the last", func(m *image) { m.setFirst(file, limit(m)) }, f, ErrCorrupt},
		{"first cluster: all ones", func(m *image) { m.setFirst(file, 0xffffffff) }, f, ErrCorrupt},
		{"first cluster: free", func(m *image) { m.setFirst(file, 60) }, f, ErrCorrupt},
		{"first cluster: the middle", func(m *image) { m.setFirst(file, 11) }, f, ErrCorrupt},
		{"first cluster: wild, of an empty file", func(m *image) { m.setFirst("EMPTY.TXT", 0xffffffff) }, askExtents("loader/ddi/EMPTY.TXT"), nil},

		{"directory: chain loops", func(m *image) { m.fill(24); m.link(24, 22) }, two, ErrCorrupt},
		{"directory: cluster leads to itself", func(m *image) { m.fill(24); m.link(24, 24) }, two, ErrCorrupt},
		{"directory: chain loops behind the end mark", func(m *image) { m.link(24, 22) }, two, nil},
		{"directory: is free", func(m *image) { m.link(22, 0) }, askStat("loader/two/FA"), ErrCorrupt},
		{"directory: chain into a free cluster", func(m *image) { m.link(22, 60) }, askStat("loader/two/LAST"), ErrCorrupt},
		{"directory: chain ends in a free cluster", func(m *image) { m.fill(24); m.link(24, 0) }, two, ErrCorrupt},
		{"directory: chain out of range", func(m *image) { m.link(22, limit(m)) }, two, ErrCorrupt},
		{"directory: full to the last slot", func(m *image) { m.fill(24) }, two, nil},
		{"directory: at the root's cluster", func(m *image) { m.setFirst("two", m.top.first) }, two, ErrCorrupt},
		{"directory: at the root's cluster, unopened", func(m *image) { m.setFirst("two", m.top.first) }, askStat("loader/two"), ErrCorrupt},
		{"directory: at cluster 0", func(m *image) { m.setFirst("two", 0) }, two, ErrCorrupt},
		{"directory: at cluster 1", func(m *image) { m.setFirst("two", 1) }, two, ErrCorrupt},
		{"directory: behind the last cluster", func(m *image) { m.setFirst("two", limit(m)) }, two, ErrCorrupt},
		{"directory: in itself", func(m *image) { m.setFirst("two", 8) }, two, ErrCorrupt},
		{"directory: in its grandchild", func(m *image) {
			m.setFirst("EMPTY.TXT", 8)
			m.b[m.at["EMPTY.TXT"]+11] = 0x10
		}, askDir("loader/ddi/EMPTY.TXT"), ErrCorrupt},
		{"directory: its parent is a file", func(m *image) { m.b[m.at["two"]+11] = 0x20 }, askStat("loader/two/LAST"), errNotExist},
		{"directory: the file is one", func(m *image) { m.b[m.at[file]+11] = 0x10 }, f, errInvalid},
		{"directory: deleted", func(m *image) { m.b[m.at["two"]] = 0xe5 }, two, errNotExist},
		{"directory: end mark before it", func(m *image) { m.b[m.at["two"]-32] = 0 }, two, errNotExist},
	}
}

func TestAttacks(t *testing.T) {
	for _, kind := range kinds {
		for _, a := range attacks() {
			t.Run(kind.String()+"/"+a.name, func(t *testing.T) {
				m := sample(t, shape{kind: kind})
				a.lie(m)
				err := a.ask(m.mustOpen())
				if !errors.Is(err, a.want) {
					t.Errorf("%v, want %v", err, a.want)
				}
			})
		}
	}
}

// TestMessages has the errors tell apart what their sentinel does not.
func TestMessages(t *testing.T) {
	for name, want := range map[string]string{
		"chain: into a free cluster":       "cannot map \"OS_1.2.raw\": cluster 60 is in its chain and marked as free: corrupt FAT file system",
		"chain: into a bad cluster":        "cannot map \"OS_1.2.raw\": cluster 60 is in its chain and marked as bad: corrupt FAT file system",
		"chain: to cluster 1":              "cannot map \"OS_1.2.raw\": cluster 11 leads to cluster 1, want 2 to 65: corrupt FAT file system",
		"chain: too short":                 "cannot map \"OS_1.2.raw\": it has 2500 bytes, its 4 clusters hold 2048: corrupt FAT file system",
		"chain: cluster leads to itself":   "cannot map \"OS_1.2.raw\": its chain leads back to cluster 11: corrupt FAT file system",
		"first cluster: behind the last":   "cannot map \"OS_1.2.raw\": it starts at cluster 66, want 2 to 65: corrupt FAT file system",
		"directory: at the root's cluster": "cannot find \"loader/two\": directory \"two\" starts at cluster 0, as one above it does: corrupt FAT file system",
	} {
		i := slices.IndexFunc(attacks(), func(a attack) bool { return a.name == name })
		m := sample(t, shape{})
		attacks()[i].lie(m)
		if err := attacks()[i].ask(m.mustOpen()); err == nil || err.Error() != want {
			t.Errorf("%s: %v\nwant %s", name, err, want)
		}
	}
}

// TestRootAttacks has the lies that only a FAT32 root directory can tell.
func TestRootAttacks(t *testing.T) {
	for _, a := range []attack{
		{"chain loops", func(m *image) { m.fill(2); m.link(2, 2) }, askDir(""), ErrCorrupt},
		{"chain into a free cluster", func(m *image) { m.fill(2); m.link(2, 60) }, askDir(""), ErrCorrupt},
		{"is free", func(m *image) { m.fill(2); m.link(2, 0) }, askStat("nothing"), ErrCorrupt},
		{"found before the lie", func(m *image) { m.fill(2); m.link(2, 61); m.link(61, 2) }, askStat("loader"), nil},
	} {
		m := sample(t, shape{kind: FAT32})
		a.lie(m)
		if err := a.ask(m.mustOpen()); !errors.Is(err, a.want) {
			t.Errorf("%s: %v, want %v", a.name, err, a.want)
		}
	}
}

// TestHugeDirectory has one of exactly the allowed size, and one of a cluster more.
func TestHugeDirectory(t *testing.T) {
	const per, slots = 128, 128 * 512 / 32
	for _, c := range []struct {
		clusters int
		want     error
	}{
		{MaxSlots / slots, nil},
		{MaxSlots/slots + 1, ErrTooMany},
	} {
		m := newImage(t, shape{clusters: 40, per: per})
		m.mkdir(m.top, "HUGE", m.take(c.clusters)...)
		for k := range c.clusters {
			m.fill(uint32(2 + k))
		}
		copy(m.b[m.data+c.clusters*per*512-32:], "LAST    SLT")
		list, err := m.mustOpen().ReadDir("huge")
		if !errors.Is(err, c.want) || (err == nil && len(list) != 1) || (err != nil && list != nil) {
			t.Errorf("%d clusters: %d entries, %v, want %v", c.clusters, len(list), err, c.want)
		}
	}
}

// head is a device of which only the first bytes are kept; nobody is to read behind them.
type head []byte

func (h head) ReadAt(p []byte, off int64) (int, error) { return copy(p, h[off:]), nil }

// TestHugeChains has chains at the bounds, and counts the work and memory that they take.
func TestHugeChains(t *testing.T) {
	const (
		clusters = 1 << 24
		perTable = clusters*4/512 + 1
		total    = reservedSectors + 2*perTable + clusters
		most     = 1 << 32 / 512 // clusters of the largest file
	)
	const table = reservedSectors * 512
	b := make([]byte, table+perTable*512)
	copy(b, newImage(t, shape{kind: FAT32}).b[:512])
	binary.LittleEndian.PutUint32(b[32:], total)
	binary.LittleEndian.PutUint32(b[36:], perTable)
	for _, c := range []struct {
		name       string
		step, last uint32
		size       int64
		want       error
		runs       int
		reads      int
	}{
		{"the largest file", 1, 2 + most - 1, 1<<32 - 1, nil, 1, most * 4 / 4096},
		{"one cluster too long", 1, 2 + most, 1<<32 - 1, ErrCorrupt, 0, most * 4 / 4096},
		{"one cluster too long, behind the file's end", 1, 2 + most, 1, ErrCorrupt, 0, most * 4 / 4096},
		{"most runs", 2, 2 * MaxExtents, MaxExtents * 512, nil, MaxExtents, MaxExtents * 8 / 4096},
		{"a run too many", 2, 2*MaxExtents + 2, MaxExtents*512 + 1, ErrTooMany, 0, MaxExtents * 8 / 4096},
		{"a run too many, behind the file's end", 2, 2*MaxExtents + 2, 1, ErrTooMany, 0, MaxExtents * 8 / 4096},
		{"a short loop", 1, 0, 1<<32 - 1, ErrCorrupt, 0, 4},
		{"each entry in another block", 4099, 0, 1<<32 - 1, ErrTooMany, 0, MaxExtents},
	} {
		t.Run(c.name, func(t *testing.T) {
			// Each cluster leads to the one that is step behind it, round and round, but the last one ends the chain.
			for k := range uint32(clusters) {
				binary.LittleEndian.PutUint32(b[table+4*(k+2):], (k+c.step)%clusters+2)
			}
			binary.LittleEndian.PutUint32(b[table+4*c.last:], 0x0fffffff)
			if c.name == "a short loop" {
				binary.LittleEndian.PutUint32(b[table+4*1000:], 700)
			}
			d := &counter{ReaderAt: head(b)}
			f, err := Open(d, total*512)
			if err != nil {
				t.Fatal(err)
			}
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			list, err := f.fileExtents(2, c.size)
			runtime.ReadMemStats(&after)
			if !errors.Is(err, c.want) || len(list) != c.runs || (err == nil && list.Size() != c.size) {
				t.Errorf("%d runs of %d bytes, %v; want %d of %d, %v", len(list), list.Size(), err, c.runs, c.size, c.want)
			}
			if limit := c.reads + 4; d.reads > limit {
				t.Errorf("%d reads, want at most %d", d.reads, limit)
			}
			if used := after.TotalAlloc - before.TotalAlloc; used > 40<<20 {
				t.Errorf("%d bytes of memory", used)
			}
		})
	}
}

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

// diff returns what FuzzWalk applies to an image, for each byte that changed the low and high byte of its offset and its
// value.
func (m *image) diff(before []byte) []byte {
	var p []byte
	for i := range min(len(before), 1<<16) {
		if m.b[i] != before[i] {
			p = append(p, byte(i), byte(i>>8), m.b[i])
		}
	}
	return p
}

// patched is a device with some bytes changed.
type patched struct {
	io.ReaderAt
	patch []byte
}

func (d patched) ReadAt(p []byte, off int64) (int, error) {
	n, err := d.ReaderAt.ReadAt(p, off)
	for q := d.patch; len(q) >= 3; q = q[3:] {
		if at := int64(binary.LittleEndian.Uint16(q)) - off; at >= 0 && at < int64(n) {
			p[at] = q[2]
		}
	}
	return n, err
}

// FuzzWalk changes bytes of the sample images and walks what is left. Whatever the bytes say, each answer must be an
// error of this package or true: names that can be used, extents inside of the partition, of the file's size and
// without a byte twice, and a number of reads that the size of the partition bounds.
func FuzzWalk(f *testing.F) {
	var images [][]byte
	for i, kind := range kinds {
		images = append(images, sample(f, shape{kind: kind}).b)
		for _, a := range attacks() {
			m := sample(f, shape{kind: kind})
			a.lie(m)
			f.Add(uint8(i), m.diff(images[i]))
		}
	}
	f.Fuzz(func(t *testing.T, image uint8, patch []byte) {
		b := images[int(image)%len(images)]
		size := int64(len(b))
		dev := &counter{ReaderAt: patched{readerAt(b), patch}}
		fsys, err := Open(dev, size)
		if err != nil {
			if !errors.Is(err, ErrNotFAT) && !errors.Is(err, ErrCorrupt) {
				t.Fatalf("Open: %v", err)
			}
			return
		}
		// A step along a chain is one read of a directory's cluster and, on FAT12, two of the FAT at most; Brent's
		// algorithm takes three times the steps at most. A fixed root directory is up to 2 MiB in blocks of 4 KiB.
		limit := 3*3*int(size/512) + 512 + 16
		var bad error
		work := func(what string, do func() error) {
			dev.reads = 0
			err := do()
			if dev.reads > limit {
				t.Fatalf("%s: %d reads, want at most %d", what, dev.reads, limit)
			}
			if err != nil && !errors.Is(err, ErrCorrupt) && !errors.Is(err, ErrTooMany) {
				t.Fatalf("%s: %v", what, err)
			}
			bad = err
		}
		work("label", func() error { fsys.Label(); return nil })
		queue := []Entry{fsys.root()}
		for n := 0; n < len(queue) && n < 50; n++ {
			e := queue[n]
			if e.Dir {
				work("directory", func() error {
					return fsys.entries(e, func(e Entry) bool {
						checkEntry(t, e)
						queue = append(queue, e)
						return true
					})
				})
				continue
			}
			var list extent.List
			work("file", func() (err error) { list, err = fsys.Extents(e); return err })
			if bad == nil {
				checkExtents(t, list, e.Size, size)
			}
		}
		for _, path := range []string{osPath, "loader/two/LAST", "loader/nothing"} {
			if _, err := fsys.Stat(path); err != nil && !errors.Is(err, ErrCorrupt) && !errors.Is(err, ErrTooMany) && !errors.Is(err, errNotExist) {
				t.Fatalf("%s: %v", path, err)
			}
		}
	})
}

func checkExtents(t *testing.T, list extent.List, size, device int64) {
	t.Helper()
	if list.Size() != size {
		t.Fatalf("extents of %d bytes, file of %d", list.Size(), size)
	}
	list = slices.Clone(list)
	slices.SortFunc(list, func(a, b extent.Extent) int { return int(a.Offset - b.Offset) })
	last := int64(512) // behind the boot sector
	for _, e := range list {
		if e.Length <= 0 || e.Offset < last || e.Offset > device-e.Length {
			t.Fatalf("extent %v behind %d on a partition of %d", e, last, device)
		}
		last = e.Offset + e.Length
	}
}
