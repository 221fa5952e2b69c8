// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package dmtable

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/initddi/initddi/internal/extent"
)

func lines(targets []Target) string {
	var out []string
	for _, t := range targets {
		out = append(out, strings.TrimSpace(t.String()))
	}
	return strings.Join(out, "\n")
}

func TestLinear(t *testing.T) {
	const k = 1024
	for _, test := range []struct {
		name       string
		file       extent.List
		data, hash Region
		block      int64
		hashBlock  int64
		want       string
		hashStart  int64
	}{
		{"one piece, one table line each", extent.List{{Offset: 1024 * k, Length: 64 * k}}, Region{8 * k, 16 * k}, Region{32 * k, 4 * k}, 512, 4096,
			"0 32 linear 7:0 2064\n32 8 linear 7:0 2112", 16 * k},
		{"data cut by a border of extents", extent.List{{Offset: 0, Length: 8 * k}, {Offset: 100 * k, Length: 56 * k}}, Region{4 * k, 8 * k}, Region{16 * k, 4 * k}, 4096, 4096,
			"0 8 linear 7:0 8\n8 8 linear 7:0 200\n16 8 linear 7:0 216", 8 * k},
		{"extents backwards", extent.List{{Offset: 100 * k, Length: 4 * k}, {Offset: 0, Length: 4 * k}}, Region{0, 4 * k}, Region{4 * k, 4 * k}, 512, 512,
			"0 8 linear 7:0 200\n8 8 linear 7:0 0", 4 * k},
		{"hash partition in front of the data", extent.List{{Offset: 0, Length: 64 * k}}, Region{32 * k, 8 * k}, Region{0, 4 * k}, 512, 4096,
			"0 16 linear 7:0 64\n16 8 linear 7:0 0", 8 * k},
		{"gap up to the hash block size", extent.List{{Offset: 0, Length: 64 * k}}, Region{0, 5 * 512}, Region{32 * k, 4 * k}, 512, 4096,
			"0 5 linear 7:0 0\n5 3 error\n8 8 linear 7:0 64", 4 * k},
		{"no gap where the data fills the block", extent.List{{Offset: 0, Length: 64 * k}}, Region{0, 8 * 512}, Region{32 * k, 4 * k}, 512, 4096,
			"0 8 linear 7:0 0\n8 8 linear 7:0 64", 4 * k},
	} {
		t.Run(test.name, func(t *testing.T) {
			got, start, err := Linear("7:0", test.file, test.data, test.hash, test.block, test.hashBlock)
			if err != nil || lines(got) != test.want || start != test.hashStart {
				t.Errorf("got hash at %d, %v\n%s\nwant hash at %d\n%s", start, err, lines(got), test.hashStart, test.want)
			}
		})
	}
}

func TestLinearErrors(t *testing.T) {
	file := extent.List{{Offset: 512, Length: 4096}, {Offset: 8192, Length: 512}, {Offset: 16384, Length: 65536}}
	for _, test := range []struct {
		name       string
		data, hash Region
		block      int64
		hashBlock  int64
		want       error
	}{
		{"begins between blocks", Region{0, 4096}, Region{8192, 4096}, 4096, 4096, ErrUnaligned},
		{"a short piece", Region{4096, 1024}, Region{8192, 4096}, 1024, 4096, ErrUnaligned},
		{"the hash begins between blocks", Region{8192 + 512, 4096}, Region{512, 512}, 4096, 4096, ErrUnaligned},
		{"half a sector", Region{0, 256}, Region{8192, 4096}, 512, 4096, ErrUnaligned},
		{"impossible blocks", Region{0, 512}, Region{512, 512}, 256, 4096, ErrUnaligned},
		{"impossible hash blocks", Region{0, 512}, Region{512, 512}, 512, 0, ErrUnaligned},
		{"data behind the end", Region{65536, 8192}, Region{512, 512}, 512, 4096, extent.ErrOutOfRange},
		{"hash behind the end", Region{0, 512}, Region{65536, 8192}, 512, 4096, extent.ErrOutOfRange},
		{"negative", Region{-512, 512}, Region{512, 512}, 512, 4096, extent.ErrOutOfRange},
		{"negative length", Region{512, -512}, Region{512, 512}, 512, 4096, extent.ErrOutOfRange},
	} {
		got, _, err := Linear("7:0", file, test.data, test.hash, test.block, test.hashBlock)
		if !errors.Is(err, test.want) || got != nil {
			t.Errorf("%s: %v, %v, want %v", test.name, lines(got), err, test.want)
		}
	}
}

// scattered returns a file of n pieces of 512 bytes, no two of which touch.
func scattered(n int) extent.List {
	l := make(extent.List, n)
	for i := range l {
		l[i] = extent.Extent{Offset: int64(i) * 1024, Length: 512}
	}
	return l
}

func TestLinearFragmented(t *testing.T) {
	file := scattered(MaxTargets + 100)
	for _, test := range []struct {
		data, hash int64 // pieces
		hashBlock  int64
		fits       bool
	}{
		{MaxTargets - 1, 1, 512, true},
		{1, MaxTargets - 1, 512, true},
		{MaxTargets, 1, 512, false},
		{1, MaxTargets, 512, false},
		{MaxTargets + 1, 1, 512, false},
		// The gap is a target too, and the last one that fits must not open the door for the hash.
		{MaxTargets - 1, 10, 1024, false},
		{MaxTargets, 10, 4096 * 3, false},
	} {
		got, _, err := Linear("7:0", file, Region{0, test.data * 512}, Region{test.data * 512, test.hash * 512}, 512, test.hashBlock)
		if test.fits && (err != nil || len(got) != MaxTargets) {
			t.Errorf("%+v: %d targets, %v", test, len(got), err)
		}
		if !test.fits && !errors.Is(err, ErrFragmented) {
			t.Errorf("%+v: %d targets, %v", test, len(got), err)
		}
	}
}

// read reads n bytes at an offset of the device that a table makes, as device mapper does it; nil for an error target.
func read(t *testing.T, disk []byte, targets []Target, at, n int64) []byte {
	var out []byte
	for n > 0 {
		found := false
		for _, target := range targets {
			start, end := int64(target.Start)*SectorSize, int64(target.Start+target.Length)*SectorSize
			if at < start || at >= end {
				continue
			}
			found = true
			if target.Type == "error" {
				return nil
			}
			var device string
			var sector int64
			if _, err := fmt.Sscanf(target.Params, "%s %d", &device, &sector); err != nil || device != "7:0" {
				t.Fatalf("%v: %v", target, err)
			}
			m := min(n, end-at)
			from := sector*SectorSize + at - start
			out = append(out, disk[from:from+m]...)
			at, n = at+m, n-m
			break
		}
		if !found {
			t.Fatalf("nothing at %d in\n%s", at, lines(targets))
		}
	}
	return out
}

// checkTable compares the device that a table makes, byte by byte, with the regions of the file.
func checkTable(t *testing.T, disk []byte, file extent.List, data, hash Region, block, hashBlock int64) {
	t.Helper()
	targets, hashStart, err := Linear("7:0", file, data, hash, block, hashBlock)
	if err != nil {
		if !errors.Is(err, ErrUnaligned) && !errors.Is(err, ErrFragmented) && !errors.Is(err, extent.ErrOutOfRange) {
			t.Fatalf("%v is none of the documented errors", err)
		}
		return
	}
	var next uint64
	for _, target := range targets {
		if target.Start != next || target.Length == 0 {
			t.Fatalf("%v is not where the one before ends (%d), in\n%s", target, next, lines(targets))
		}
		next += target.Length
	}
	if hashStart%hashBlock != 0 || hashStart < data.Length || hashStart >= data.Length+hashBlock {
		t.Fatalf("the hash is at %d, behind %d bytes of data in blocks of %d", hashStart, data.Length, hashBlock)
	}
	if total := int64(next) * SectorSize; total != hashStart+hash.Length {
		t.Fatalf("the device has %d bytes, want %d", total, hashStart+hash.Length)
	}
	r := extent.NewReader(bytesAt(disk), file)
	for _, part := range []struct {
		r  Region
		at int64
	}{{data, 0}, {hash, hashStart}} {
		want := make([]byte, part.r.Length)
		if _, err := r.ReadAt(want, part.r.Offset); err != nil && len(want) > 0 {
			t.Fatal(err)
		}
		if got := read(t, disk, targets, part.at, part.r.Length); string(got) != string(want) {
			t.Fatalf("the bytes of %+v are not at %d of\n%s", part.r, part.at, lines(targets))
		}
	}
}

type bytesAt []byte

func (b bytesAt) ReadAt(p []byte, off int64) (int, error) { return copy(p, b[off:]), nil }

// FuzzLinear makes a fragmented file, two regions in it, and looks at every byte of the result.
func FuzzLinear(f *testing.F) {
	f.Add(uint64(1), uint8(3), int64(0), int64(4096), int64(4096), int64(4096), uint8(0), uint8(3))
	f.Add(uint64(2), uint8(40), int64(512), int64(2560), int64(8192), int64(8192), uint8(0), uint8(3))
	f.Add(uint64(3), uint8(0), int64(-1), int64(1), int64(1)<<62, int64(1)<<62, uint8(3), uint8(0))
	disk := make([]byte, 1<<20)
	rng := rand.NewChaCha8([32]byte{7})
	rng.Read(disk)
	f.Fuzz(func(t *testing.T, seed uint64, pieces uint8, dataAt, dataLen, hashAt, hashLen int64, block, hashBlock uint8) {
		r := rand.New(rand.NewPCG(seed, 0))
		unit := int64(512) << (block % 4)
		if seed%3 == 0 {
			unit = 512 // not aligned now and then
		}
		// Extents may overlap: cross-linked files exist, and two readers of one block are no harm.
		var file extent.List
		for range pieces {
			n := unit * (1 + r.Int64N(4))
			file = append(file, extent.Extent{Offset: unit * r.Int64N((1<<20-n)/unit), Length: n})
		}
		if hashLen > 0 && dataLen > 0 {
			checkTable(t, disk, file, Region{dataAt, dataLen}, Region{hashAt, hashLen}, 512<<(block%4), 512<<(hashBlock%4))
		}
	})
}

// TestLinearBytes is FuzzLinear with regions that mostly fit.
func TestLinearBytes(t *testing.T) {
	disk := make([]byte, 1<<20)
	rng := rand.NewChaCha8([32]byte{7})
	rng.Read(disk)
	r := rand.New(rand.NewPCG(8, 9))
	for range 500 {
		block := int64(512) << r.IntN(4)
		var file extent.List
		for range 1 + r.IntN(30) {
			n := block * (1 + r.Int64N(4))
			file = append(file, extent.Extent{Offset: block * r.Int64N((1<<20-n)/block), Length: n})
		}
		blocks := file.Size() / block
		region := func() Region {
			at := r.Int64N(blocks)
			return Region{at * block, (1 + r.Int64N(blocks-at)) * block}
		}
		checkTable(t, disk, file, region(), region(), block, 512<<r.IntN(4))
	}
}
