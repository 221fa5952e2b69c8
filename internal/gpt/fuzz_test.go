// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package gpt

import (
	"encoding/binary"
	"errors"
	"hash/crc32"
	"math"
	"reflect"
	"testing"

	"github.com/initddi/initddi/internal/alloctest"
)

// smallImage has the smallest arrays possible: header, one sector of four entries, usable sectors 3 to 5, backup. Small
// inputs make many runs.
func smallImage() image {
	m := make(image, 8*512)
	entries := make([]byte, 512)
	encodeEntry(entries, &Partition{Number: 1, Type: mustType(Root), FirstLBA: 3, LastLBA: 3, Name: "root"})
	encodeEntry(entries[256:], &Partition{Number: 3, Type: mustType(RootVerity), FirstLBA: 4, LastLBA: 5, Attributes: AttrReadOnly})
	h := header{myLBA: 1, alternateLBA: 7, firstUsable: 3, lastUsable: 5, entriesLBA: 2, count: 4, entrySize: 128, entriesCRC: crc32.ChecksumIEEE(entries)}
	copy(m[512:], h.encode(512))
	copy(m[1024:], entries)
	h.myLBA, h.alternateLBA, h.entriesLBA = 7, 1, 6
	copy(m[6*512:], entries)
	copy(m[7*512:], h.encode(512))
	return m
}

// resum makes the checksums of the header in sector lba right, as far as they can be, since a fuzzer will not.
func resum(m image, ss, lba int64) {
	le := binary.LittleEndian
	if lba < 1 || (lba+1)*ss > int64(len(m)) {
		return
	}
	h := m[lba*ss:][:ss]
	at, n := le.Uint64(h[72:]), uint64(le.Uint32(h[80:]))*uint64(le.Uint32(h[84:]))
	if size := uint64(len(m)); at < size/uint64(ss) && n <= size-at*uint64(ss) {
		le.PutUint32(h[88:], crc32.ChecksumIEEE(m[at*uint64(ss):][:n]))
	}
	le.PutUint32(h[16:], 0)
	if n := le.Uint32(h[12:]); int64(n) <= ss {
		le.PutUint32(h[16:], crc32.ChecksumIEEE(h[:n]))
	}
}

func FuzzRead(f *testing.F) {
	small := smallImage()
	f.Add([]byte(small), uint16(0), byte(0))
	f.Add([]byte(small), uint16(512), byte(3))
	damaged := smallImage()
	clear(damaged[:1024])
	f.Add([]byte(damaged), uint16(0), byte(2))
	f.Add([]byte(small[:6*512]), uint16(0), byte(1))
	f.Add([]byte(testImage(f, 512)), uint16(0), byte(0))
	f.Add([]byte{}, uint16(4096), byte(0))
	f.Fuzz(func(t *testing.T, data []byte, sectorSize uint16, fix byte) {
		defer alloctest.AtMost(t, alloctest.Hostile)()
		m := image(append([]byte(nil), data...))
		ss := int64(max(sectorSize, 512))
		if fix&1 != 0 {
			resum(m, ss, 1)
		}
		if fix&2 != 0 {
			resum(m, ss, int64(len(m))/ss-1)
		}
		size := int64(len(m))
		got, err := Read(m, size, int64(sectorSize))
		if err != nil {
			if got != nil {
				t.Fatalf("table %+v together with error %v", got, err)
			}
			known := errors.Is(err, ErrNoTable) || errors.Is(err, ErrAmbiguous) || errors.Is(err, ErrCorrupt)
			if valid := sectorSize == 0 || validSectorSize(int64(sectorSize)); valid && !known {
				t.Fatalf("error without sentinel: %v", err)
			}
			return
		}
		checkInvariants(t, got, size)
		checkWrite(t, got)
	})
}

// checkInvariants checks what Read promises, in a way that is slower and simpler than its own.
func checkInvariants(t *testing.T, got *Table, size int64) {
	if got.Backup != (got.PrimaryErr != nil) {
		t.Fatalf("Backup is %v, PrimaryErr %v", got.Backup, got.PrimaryErr)
	}
	last := 0
	for i, p := range got.Partitions {
		if p.Number <= last {
			t.Fatalf("partition %d comes behind %d", p.Number, last)
		}
		last = p.Number
		start, n := p.Offset(got.SectorSize), p.Size(got.SectorSize)
		if start < 2*got.SectorSize || n < got.SectorSize || start+n > size {
			t.Fatalf("partition %d has %d bytes at %d of %d", p.Number, n, start, size)
		}
		if p.FirstLBA < got.FirstUsable || p.LastLBA > got.LastUsable || p.Type.IsZero() {
			t.Fatalf("partition outside usable sectors or unused: %+v", got)
		}
		for _, q := range got.Partitions[:i] {
			if p.FirstLBA <= q.LastLBA && q.FirstLBA <= p.LastLBA {
				t.Fatalf("partitions overlap: %+v", got)
			}
		}
	}
}

// checkWrite checks that what was read can be written and read again, unless it lies where our larger arrays go.
func checkWrite(t *testing.T, got *Table) {
	array := uint64(MaxPartitions * entrySize / got.SectorSize)
	if got.LastUsable > math.MaxInt64/uint64(got.SectorSize)-array-2 {
		return // no such disk can be had
	}
	size := int64(got.LastUsable+2+array) * got.SectorSize
	w := sparse{}
	err := Write(w, size, got)
	fits := got.FirstUsable >= 2+array
	for _, p := range got.Partitions {
		fits = fits && p.Number <= MaxPartitions
	}
	if fits != (err == nil) {
		t.Fatalf("cannot write %+v to %d bytes: %v", got, size, err)
	}
	if err != nil {
		return
	}
	again, err := Read(w, size, 0)
	if err != nil {
		t.Fatalf("cannot read again: %v", err)
	}
	want := *got
	want.Backup, want.PrimaryErr = false, nil
	if !reflect.DeepEqual(again, &want) {
		t.Fatalf("got %+v, want %+v", again, &want)
	}
}
