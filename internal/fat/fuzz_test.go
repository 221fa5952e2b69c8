// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package fat

import (
	"encoding/binary"
	"errors"
	"io"
	"slices"
	"testing"

	"github.com/initddi/initddi/internal/alloctest"
	"github.com/initddi/initddi/internal/extent"
)

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
		defer alloctest.AtMost(t, alloctest.Hostile)()
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
