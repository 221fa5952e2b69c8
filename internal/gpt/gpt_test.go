// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package gpt

import (
	"bytes"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"math"
	"reflect"
	"strings"
	"testing"

	"github.com/initddi/initddi/internal/guid"
)

func TestRoundTrip(t *testing.T) {
	for _, tt := range []struct{ sectorSize, firstUsable, lastUsable int64 }{
		{512, 34, 166}, {1024, 18, 182}, {2048, 10, 190}, {4096, 6, 194},
	} {
		m := testImage(t, tt.sectorSize)
		want := testTable(tt.sectorSize)
		want.FirstUsable, want.LastUsable = uint64(tt.firstUsable), uint64(tt.lastUsable)
		for _, given := range []int64{0, tt.sectorSize} {
			got, err := Read(m, int64(len(m)), given)
			if err != nil {
				t.Fatalf("sector size %d, given %d: %v", tt.sectorSize, given, err)
			}
			if !reflect.DeepEqual(got, want) {
				t.Errorf("sector size %d, given %d: got %+v, want %+v", tt.sectorSize, given, got, want)
			}
		}
		p := want.Partitions[1]
		if p.Offset(tt.sectorSize) != 40*tt.sectorSize || p.Size(tt.sectorSize) != 20*tt.sectorSize {
			t.Errorf("partition is at %d with %d bytes", p.Offset(tt.sectorSize), p.Size(tt.sectorSize))
		}
	}
}

func TestFilters(t *testing.T) {
	table := testTable(512)
	numbers := func(ps []Partition) (out []int) {
		for _, p := range ps {
			out = append(out, p.Number)
		}
		return out
	}
	if got := numbers(table.ByUUID(guid.MustParse(testRootUUID))); !reflect.DeepEqual(got, []int{1, 4}) {
		t.Errorf("ByUUID: got %v", got)
	}
	if got := numbers(table.ByType(mustType(RootVerity))); !reflect.DeepEqual(got, []int{3}) {
		t.Errorf("ByType: got %v", got)
	}
	if got := table.ByType(mustType(Usr)); got != nil {
		t.Errorf("ByType of what is not there: got %v", got)
	}
}

// TestBytes pins the layout to the specification, independent of our own reader.
func TestBytes(t *testing.T) {
	m := testImage(t, 512)
	for _, tt := range []struct {
		what string
		off  int
		want []byte
	}{
		{"protective MBR", 446, []byte{0, 0, 2, 0, 0xee, 0xff, 0xff, 0xff, 1, 0, 0, 0, 199, 0, 0, 0}},
		{"boot signature", 510, []byte{0x55, 0xaa}},
		{"header", 512, []byte("EFI PART\x00\x00\x01\x00\x5c\x00\x00\x00")},
		{"LBAs", 512 + 24, []byte{1, 0, 0, 0, 0, 0, 0, 0, 199, 0, 0, 0, 0, 0, 0, 0, 34, 0, 0, 0, 0, 0, 0, 0, 166, 0, 0, 0, 0, 0, 0, 0}},
		{"disk UUID", 512 + 56, []byte{0x44, 0x33, 0x22, 0x11, 0x66, 0x55, 0x88, 0x77, 0x99, 0xaa, 0xbb, 0xcc, 0xdd, 0xee, 0xff, 0}},
		{"entries", 512 + 72, []byte{2, 0, 0, 0, 0, 0, 0, 0, 128, 0, 0, 0, 128, 0, 0, 0}},
		{"ESP type", 1024 + 3*128, []byte{0x28, 0x73, 0x2a, 0xc1, 0x1f, 0xf8, 0xd2, 0x11, 0xba, 0x4b, 0, 0xa0, 0xc9, 0x3e, 0xc9, 0x3b}},
		{"entry 1", 1024 + 32, []byte{60, 0, 0, 0, 0, 0, 0, 0, 69, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x90, 'r', 0, 'o', 0}},
		{"unused entry 2", 1024 + 128, make([]byte, 128)},
		{"backup header", 199 * 512, []byte("EFI PART")},
		{"backup LBAs", 199*512 + 24, []byte{199, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0}},
		{"backup entries LBA", 199*512 + 72, []byte{167, 0, 0, 0, 0, 0, 0, 0}},
		{"backup entries", 167 * 512, m[1024 : 1024+128*128]},
	} {
		if got := m[tt.off:][:len(tt.want)]; !bytes.Equal(got, tt.want) {
			t.Errorf("%s: got %x, want %x", tt.what, got, tt.want)
		}
	}
	if !bytes.Equal(m, testImage(t, 512)) {
		t.Error("two runs gave different bytes")
	}
}

func TestBackup(t *testing.T) {
	want := testTable(512)
	want.FirstUsable, want.LastUsable = 34, 166
	for _, tt := range []struct {
		name   string
		given  int64
		damage func(image) image
		cause  string
	}{
		{"no primary header", 0, func(m image) image { clear(m[:1024]); return m }, `primary in sector 1: no signature "EFI PART"`},
		{"no primary header, sector size known", 512, func(m image) image { clear(m[:1024]); return m }, "no signature"},
		{"entries damaged", 0, func(m image) image { m[1024+200]++; return m }, "checksum of the entries is"},
		{"header damaged", 512, func(m image) image { m[512+40]++; return m }, "header checksum is"},
		{"disk grew, primary entries damaged", 0, func(m image) image { m[1024]++; return append(m, make(image, 512*50)...) }, "checksum of the entries is"},
		{"primary overlaps", 0, func(m image) image {
			f := forger{m, 1}
			binary.LittleEndian.PutUint64(f.entry(3)[40:], 60)
			f.sumEntries()
			f.sumHeader()
			return m
		}, "partition 1 (sectors 60 to 69) overlaps partition 3 (sectors 40 to 60)"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m := tt.damage(testImage(t, 512))
			got, err := Read(m, int64(len(m)), tt.given)
			if err != nil {
				t.Fatal(err)
			}
			if !got.Backup || got.PrimaryErr == nil || !strings.Contains(got.PrimaryErr.Error(), tt.cause) {
				t.Errorf("got Backup %v, PrimaryErr %v, want %q", got.Backup, got.PrimaryErr, tt.cause)
			}
			got.Backup, got.PrimaryErr = false, nil
			if !reflect.DeepEqual(got, want) {
				t.Errorf("got %+v, want %+v", got, want)
			}
		})
	}
}

// TestLies has one lie per case, told by the primary copy with good checksums; there is no backup to fall back to.
func TestLies(t *testing.T) {
	le := binary.LittleEndian
	for _, tt := range []struct {
		name string
		lie  func(f forger)
		want error
		text string
	}{
		{"nothing wrong", func(f forger) {}, nil, ""},
		{"revision 1.1", func(f forger) { f.put32(8, 0x10001) }, ErrCorrupt, "revision is 0x00010001, want 0x00010000"},
		{"header too short", func(f forger) { f.put32(12, 91) }, ErrCorrupt, "header size is 91, want 92 to 512"},
		{"header longer than a sector", func(f forger) { f.put32(12, 513) }, ErrCorrupt, "header size is 513"},
		{"huge header", func(f forger) { f.put32(12, math.MaxUint32) }, ErrCorrupt, "header size is 4294967295"},
		{"my LBA", func(f forger) { f.put64(24, 2) }, ErrCorrupt, "header says it is in sector 2, found in sector 1"},
		{"entry size 0", func(f forger) { f.put32(84, 0) }, ErrCorrupt, "entry size is 0"},
		{"entry size 64", func(f forger) { f.put32(84, 64) }, ErrCorrupt, "entry size is 64"},
		{"entry size 384", func(f forger) { f.put32(84, 384) }, ErrCorrupt, "entry size is 384"},
		{"entry size 8192", func(f forger) { f.put32(84, 8192) }, ErrCorrupt, "entry size is 8192"},
		{"no entries", func(f forger) { f.put32(80, 0) }, ErrCorrupt, "0 entries of 128 bytes"},
		{"2^32-1 entries", func(f forger) { f.put32(80, math.MaxUint32) }, ErrCorrupt, "4294967295 entries of 128 bytes, want 1 to 1048576 bytes"},
		{"entries times size is 2^32", func(f forger) { f.put32(80, 1<<25) }, ErrCorrupt, "33554432 entries"},
		{"entries behind the end", func(f forger) { f.put64(72, 199) }, ErrCorrupt, "entries take 32 sectors from sector 199, but there are only 200"},
		{"entries at 2^63", func(f forger) { f.put64(72, 1<<63) }, ErrCorrupt, "from sector 9223372036854775808"},
		{"entries at 2^64-1", func(f forger) { f.put64(72, math.MaxUint64) }, ErrCorrupt, "from sector 18446744073709551615"},
		{"entries at 2^55", func(f forger) { f.put64(72, 1<<55) }, ErrCorrupt, "from sector 36028797018963968"},
		{"entries in the MBR", func(f forger) { f.put64(72, 0) }, ErrCorrupt, "from sector 0"},
		{"entries over the header", func(f forger) { f.put64(72, 1) }, ErrCorrupt, "from sector 1,"},
		{"entries in a partition", func(f forger) { f.put64(72, 50) }, ErrCorrupt, "usable sectors 34 to 166 contain the entries in sectors 50 to 81"},
		{"first usable is the header", func(f forger) { f.put64(40, 1) }, ErrCorrupt, "usable sectors are 1 to 166"},
		{"first usable in the entries", func(f forger) { f.put64(40, 33) }, ErrCorrupt, "usable sectors 33 to 166 contain the entries"},
		{"usable sectors end before they start", func(f forger) { f.put64(48, 33) }, ErrCorrupt, "usable sectors are 34 to 33"},
		{"checksum of entries", func(f forger) { f.put32(88, 0xdeadbeef) }, ErrCorrupt, "want 0xdeadbeef"},
		{"partition ends before it starts", func(f forger) { le.PutUint64(f.entry(1)[40:], 59); f.sumEntries() }, ErrCorrupt, "partition 1 starts at sector 60 and ends at sector 59"},
		{"partition before the usable sectors", func(f forger) { le.PutUint64(f.entry(3)[32:], 33); f.sumEntries() }, ErrCorrupt, "partition 3 starts at sector 33, before the first usable sector 34"},
		{"partition at sector 0", func(f forger) { le.PutUint64(f.entry(3)[32:], 0); f.sumEntries() }, ErrCorrupt, "partition 3 starts at sector 0"},
		{"partition behind the usable sectors", func(f forger) { le.PutUint64(f.entry(4)[40:], 167); f.sumEntries() }, ErrCorrupt, "partition 4 ends at sector 167, behind the last usable sector 166"},
		{"partition behind the end", func(f forger) {
			f.put64(48, 1<<40)
			le.PutUint64(f.entry(4)[40:], 200)
			f.sumEntries()
		}, ErrCorrupt, "partition 4 ends at sector 200, but there are only 200 sectors"},
		{"partition of 2^64 sectors", func(f forger) {
			f.put64(48, math.MaxUint64)
			le.PutUint64(f.entry(4)[40:], math.MaxUint64)
			f.sumEntries()
		}, ErrCorrupt, "partition 4 ends at sector 18446744073709551615, but there are only 200 sectors"},
		{"byte offset of the partition overflows", func(f forger) {
			f.put64(48, math.MaxUint64)
			le.PutUint64(f.entry(4)[32:], 1<<55)
			le.PutUint64(f.entry(4)[40:], 1<<55+1)
			f.sumEntries()
		}, ErrCorrupt, "partition 4 ends at sector 36028797018963969"},
		{"same sectors twice", func(f forger) { copy(f.entry(2), f.entry(1)); f.sumEntries() }, ErrCorrupt, "overlaps partition"},
		{"one sector shared", func(f forger) { le.PutUint64(f.entry(1)[32:], 59); f.sumEntries() }, ErrCorrupt, "partition 1 (sectors 59 to 69) overlaps partition 3 (sectors 40 to 59)"},
		{"one inside the other", func(f forger) { le.PutUint64(f.entry(3)[40:], 120); f.sumEntries() }, ErrCorrupt, "overlaps"},
		{"unknown attributes and reserved header bytes", func(f forger) { f.put32(20, 7); le.PutUint64(f.entry(4)[48:], math.MaxUint64); f.sumEntries() }, nil, ""},
		{"last usable behind the end", func(f forger) { f.put64(48, 1<<40) }, nil, ""},
		{"alternate nowhere", func(f forger) { f.put64(32, math.MaxUint64) }, nil, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m := testImage(t, 512)
			clear(m[167*512:])
			f := forger{m, 1}
			tt.lie(f)
			if n := le.Uint32(f.header()[12:]); n == headerSize {
				f.sumHeader()
			}
			got, err := Read(m, int64(len(m)), 512)
			if !errors.Is(err, tt.want) || (err == nil) != (tt.want == nil) {
				t.Fatalf("got error %v, want %v", err, tt.want)
			}
			if err == nil && len(got.Partitions) != 3 {
				t.Errorf("got %+v", got)
			}
			if err != nil && (got != nil || !strings.Contains(err.Error(), tt.text)) {
				t.Errorf("got table %v, error %q, want %q", got, err, tt.text)
			}
			if err != nil && !strings.Contains(err.Error(), "backup in sector 199: no signature") {
				t.Errorf("error %q does not name the backup's fault", err)
			}
		})
	}
}

// TestHeaderChecksum changes every byte that the header's checksum covers.
func TestHeaderChecksum(t *testing.T) {
	for off := range headerSize {
		m := testImage(t, 512)
		clear(m[167*512:])
		m[512+off] ^= 0x01
		_, err := Read(m, int64(len(m)), 0)
		want := ErrCorrupt
		if off < 8 {
			want = ErrNoTable // the signature itself
		}
		if !errors.Is(err, want) {
			t.Errorf("byte %d of the header changed: got %v, want %v", off, err, want)
		}
	}
	// Behind the header, nothing is covered and nothing is read.
	m := testImage(t, 512)
	m[512+headerSize] = 1
	if got, err := Read(m, int64(len(m)), 0); err != nil || got.Backup {
		t.Errorf("byte behind the header changed: got %+v, %v", got, err)
	}
}

// TestLongHeader has a header with more than the known fields, all of which the checksum covers.
func TestLongHeader(t *testing.T) {
	m := testImage(t, 512)
	clear(m[167*512:])
	h := m[512:1024]
	h[511] = 1
	binary.LittleEndian.PutUint32(h[12:], 512)
	clear(h[16:20])
	binary.LittleEndian.PutUint32(h[16:], crc32.ChecksumIEEE(h))
	if _, err := Read(m, int64(len(m)), 0); err != nil {
		t.Error(err)
	}
	h[511] = 2
	if _, err := Read(m, int64(len(m)), 0); !errors.Is(err, ErrCorrupt) {
		t.Errorf("last byte of the header changed: got %v", err)
	}
}

// TestAlternate checks that an alternate header is not looked for where none can be.
func TestAlternate(t *testing.T) {
	for _, lba := range []uint64{0, 1, 199, 200, math.MaxUint64} {
		m := testImage(t, 512)
		clear(m[167*512:])
		f := forger{m, 1}
		f.put64(32, lba)
		f.sumHeader()
		// A copy that would do, were sector 0 a place for it.
		copy(m, f.header())
		zero := forger{m, 0}
		zero.put64(24, 0)
		zero.sumHeader()
		f.put32(88, 0)
		f.sumHeader()
		_, err := Read(m, int64(len(m)), 512)
		if !errors.Is(err, ErrCorrupt) || strings.Count(err.Error(), "backup in") != 1 || !strings.Contains(err.Error(), "backup in sector 199:") {
			t.Errorf("alternate in sector %d: got %v", lba, err)
		}
	}
}

// TestBackupLies checks that the backup is not believed more than the primary copy.
func TestBackupLies(t *testing.T) {
	for _, tt := range []struct {
		name string
		lie  func(f forger)
		text string
	}{
		{"its LBA", func(f forger) { f.put64(24, 198) }, "backup in sector 199: header says it is in sector 198, found in sector 199"},
		{"header among the usable sectors", func(f forger) { f.put64(48, 250) }, "usable sectors 34 to 250 contain the header in sector 199"},
		{"entries over the header", func(f forger) { f.put64(72, 168) }, "entries in sectors 168 to 199 contain the header in sector 199"},
		{"usable sectors from 0", func(f forger) { f.put64(40, 0) }, "usable sectors are 0 to 166"},
	} {
		m := testImage(t, 512)
		clear(m[:1024])
		f := forger{m, 199}
		tt.lie(f)
		f.sumHeader()
		if _, err := Read(m, int64(len(m)), 512); !errors.Is(err, ErrCorrupt) || !strings.Contains(err.Error(), tt.text) {
			t.Errorf("%s: got %v, want %q", tt.name, err, tt.text)
		}
	}
}

func TestTruncated(t *testing.T) {
	full := testImage(t, 512)
	for _, tt := range []struct {
		sectors int
		want    error
		text    string
	}{
		{200, nil, ""},
		{199, nil, ""},
		{101, nil, ""}, // exactly behind partition 4
		{100, ErrCorrupt, "partition 4 ends at sector 100, but there are only 100 sectors"},
		{34, ErrCorrupt, "partition 1 ends at sector 69, but there are only 34 sectors"},
		{33, ErrCorrupt, "entries take 32 sectors from sector 2, but there are only 33 sectors"},
		{2, ErrCorrupt, "entries take 32 sectors from sector 2, but there are only 2 sectors"},
		{1, ErrNoTable, ""},
		{0, ErrNoTable, ""},
	} {
		for _, extra := range []int{0, 1, 511} {
			m := full[:min(tt.sectors*512+extra, len(full))]
			for _, ss := range []int64{0, 512} {
				got, err := Read(m, int64(len(m)), ss)
				if !errors.Is(err, tt.want) || (err == nil) != (tt.want == nil) {
					t.Errorf("%d sectors and %d bytes: got %v, want %v", tt.sectors, extra, err, tt.want)
				} else if err != nil && !strings.Contains(err.Error(), tt.text) {
					t.Errorf("%d sectors and %d bytes: got %q, want %q", tt.sectors, extra, err, tt.text)
				} else if err == nil && (got.Backup || got.LastUsable != 166) {
					t.Errorf("%d sectors and %d bytes: got %+v", tt.sectors, extra, got)
				}
			}
		}
	}
	if _, err := Read(full, -1, 0); !errors.Is(err, ErrNoTable) {
		t.Errorf("negative size: got %v", err)
	}
}

// secondHeader puts a valid header for sectors of ss bytes into m.
func secondHeader(m image, ss int64) {
	sectors := uint64(int64(len(m)) / ss)
	h := header{myLBA: 1, alternateLBA: sectors - 1, firstUsable: sectors - 4, lastUsable: sectors - 3, entriesLBA: sectors - 2, count: 1, entrySize: 128}
	h.entriesCRC = crc32.ChecksumIEEE(m[int64(h.entriesLBA)*ss:][:128])
	copy(m[ss:], h.encode(ss)[:headerSize])
	// The place is inside the other table's unused entries, whose checksum has to follow.
	f := forger{m, 1}
	f.sumEntries()
	f.sumHeader()
}

func TestAmbiguous(t *testing.T) {
	for _, ss := range []int64{1024, 2048, 4096} {
		m := testImage(t, 512)
		m = append(m, make(image, 64*4096-len(m))...)
		clear(m[1024+128 : 1024+128*128])
		secondHeader(m, ss)
		for _, given := range []int64{512, ss} {
			if _, err := Read(m, int64(len(m)), given); err != nil {
				t.Errorf("with a sector size of %d: %v", given, err)
			}
		}
		if got, err := Read(m, int64(len(m)), 0); !errors.Is(err, ErrAmbiguous) {
			t.Errorf("512 and %d: got %+v, %v", ss, got, err)
		}
		// A second header with a bad checksum is no second header.
		m[ss+30] ^= 1
		f := forger{m, 1}
		f.sumEntries()
		f.sumHeader()
		if got, err := Read(m, int64(len(m)), 0); err != nil || got.SectorSize != 512 {
			t.Errorf("512 and a damaged header for %d: got %+v, %v", ss, got, err)
		}
	}
}

func TestNoTable(t *testing.T) {
	for _, ss := range []int64{0, 512, 4096} {
		for _, size := range []int{0, 100, 512, 1024, 4096, 8192, 100000} {
			if _, err := Read(make(image, size), int64(size), ss); !errors.Is(err, ErrNoTable) || errors.Is(err, ErrCorrupt) {
				t.Errorf("%d zeros, sector size %d: got %v", size, ss, err)
			}
		}
	}
	for _, ss := range []int64{-512, 1, 256, 513, 8192, math.MaxInt64} {
		if _, err := Read(testImage(t, 512), testSectors*512, ss); err == nil || !strings.Contains(err.Error(), "sector size is") {
			t.Errorf("sector size %d: got %v", ss, err)
		}
	}
}

type badDisk struct {
	image
	from, to int64 // reads that touch these bytes fail
}

var errMedium = errors.New("medium error")

func (d badDisk) ReadAt(p []byte, off int64) (int, error) {
	if off < d.to && off+int64(len(p)) > d.from {
		return 0, errMedium
	}
	return d.image.ReadAt(p, off)
}

func TestReadErrors(t *testing.T) {
	m := testImage(t, 512)
	size := int64(len(m))
	if got, err := Read(badDisk{m, 512, 1024}, size, 512); err != nil || !got.Backup || !errors.Is(got.PrimaryErr, errMedium) {
		t.Errorf("primary unreadable: got %+v, %v", got, err)
	}
	if got, err := Read(badDisk{m, 1024, 1025}, size, 0); err != nil || !got.Backup || !errors.Is(got.PrimaryErr, errMedium) {
		t.Errorf("primary entries unreadable: got %+v, %v", got, err)
	}
	for _, ss := range []int64{0, 512} {
		if _, err := Read(badDisk{m, 0, size}, size, ss); !errors.Is(err, errMedium) || errors.Is(err, ErrNoTable) || errors.Is(err, ErrCorrupt) {
			t.Errorf("all unreadable: got %v", err)
		}
	}
	// A reader shorter than promised is a reader's error, not the end of the table.
	if _, err := Read(m[:512], size, 512); err == nil || errors.Is(err, ErrNoTable) {
		t.Errorf("reader too short: got %v", err)
	}
}

func TestNames(t *testing.T) {
	for _, tt := range []struct {
		name  string
		units []uint16
		want  string
	}{
		{"empty", nil, ""},
		{"full length without terminator", bytes2units(strings.Repeat("x", 36)), strings.Repeat("x", 36)},
		{"ends at the first NUL", []uint16{'a', 0, 'b'}, "a"},
		{"surrogate pair", []uint16{0xd83d, 0xde00}, "😀"},
		{"lone high surrogate", []uint16{'a', 0xd83d, 'b'}, "a\ufffdb"},
		{"lone low surrogate", []uint16{0xde00}, "\ufffd"},
		{"pair cut off by the end", append(bytes2units(strings.Repeat("x", 35)), 0xd83d), strings.Repeat("x", 35) + "\ufffd"},
		{"control characters", []uint16{0x1b, '[', 'm', '\n'}, "\x1b[m\n"},
	} {
		m := testImage(t, 512)
		f := forger{m, 1}
		name := f.entry(4)[nameOffset:]
		clear(name)
		for i, u := range tt.units {
			binary.LittleEndian.PutUint16(name[2*i:], u)
		}
		f.sumEntries()
		f.sumHeader()
		got, err := Read(m, int64(len(m)), 0)
		if err != nil || got.Backup || got.Partitions[2].Name != tt.want {
			t.Errorf("%s: got %+v, %v, want %q", tt.name, got, err, tt.want)
		}
	}
}

func bytes2units(s string) (out []uint16) {
	for _, c := range []byte(s) {
		out = append(out, uint16(c))
	}
	return out
}

// TestLargeEntries reads what nobody writes but the specification allows.
func TestLargeEntries(t *testing.T) {
	m := make(image, 300*512)
	const size = 512
	entries := make([]byte, 5*size)
	p := testTable(512).Partitions[0]
	encodeEntry(entries[4*size:], &p)
	h := header{myLBA: 1, alternateLBA: 299, firstUsable: 60, lastUsable: 100, entriesLBA: 3, count: 5, entrySize: size, entriesCRC: crc32.ChecksumIEEE(entries)}
	copy(m[512:], h.encode(512))
	copy(m[3*512:], entries)
	got, err := Read(m, int64(len(m)), 0)
	if err != nil {
		t.Fatal(err)
	}
	p.Number = 5
	if want := []Partition{p}; !reflect.DeepEqual(got.Partitions, want) {
		t.Errorf("got %+v, want %+v", got.Partitions, want)
	}
}
