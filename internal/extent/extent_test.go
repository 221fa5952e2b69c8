// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package extent

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"testing"
	"testing/iotest"
)

func TestAppend(t *testing.T) {
	for _, c := range []struct {
		name string
		list List
		add  Extent
		want List
	}{
		{"to nothing", nil, Extent{5, 3}, List{{5, 3}}},
		{"apart", List{{5, 3}}, Extent{9, 1}, List{{5, 3}, {9, 1}}},
		{"touching", List{{5, 3}}, Extent{8, 2}, List{{5, 5}}},
		{"touching the last of two", List{{0, 1}, {5, 3}}, Extent{8, 2}, List{{0, 1}, {5, 5}}},
		{"touching the first of two", List{{0, 1}, {5, 3}}, Extent{1, 2}, List{{0, 1}, {5, 3}, {1, 2}}},
		{"in front", List{{5, 3}}, Extent{2, 3}, List{{5, 3}, {2, 3}}},
		{"the same again", List{{5, 3}}, Extent{5, 3}, List{{5, 3}, {5, 3}}},
		{"empty", List{{5, 3}}, Extent{20, 0}, List{{5, 3}}},
		{"empty to nothing", nil, Extent{20, 0}, nil},
	} {
		if got := c.list.Append(c.add); !slices.Equal(got, c.want) {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
	}
}

func TestSize(t *testing.T) {
	if n := (List{{5, 3}, {100, 20}}).Size(); n != 23 {
		t.Errorf("got %d, want 23", n)
	}
	if n := List(nil).Size(); n != 0 {
		t.Errorf("nothing: got %d, want 0", n)
	}
}

func TestSlice(t *testing.T) {
	list := List{{100, 10}, {50, 5}, {200, 20}} // file bytes 0 to 9, 10 to 14, 15 to 34
	const big = 1<<63 - 1
	for _, c := range []struct {
		name           string
		offset, length int64
		want           List
		err            error
	}{
		{"all", 0, 35, List{{100, 10}, {50, 5}, {200, 20}}, nil},
		{"inside of the first", 2, 3, List{{102, 3}}, nil},
		{"the first", 0, 10, List{{100, 10}}, nil},
		{"the second", 10, 5, List{{50, 5}}, nil},
		{"last byte of the first", 9, 1, List{{109, 1}}, nil},
		{"first byte of the second", 10, 1, List{{50, 1}}, nil},
		{"across two", 8, 4, List{{108, 2}, {50, 2}}, nil},
		{"across three", 9, 7, List{{109, 1}, {50, 5}, {200, 1}}, nil},
		{"last byte", 34, 1, List{{219, 1}}, nil},
		{"nothing", 3, 0, nil, nil},
		{"nothing at the end", 35, 0, nil, nil},
		{"nothing behind the end", 36, 0, nil, ErrOutOfRange},
		{"one byte too long", 0, 36, nil, ErrOutOfRange},
		{"one byte behind", 35, 1, nil, ErrOutOfRange},
		{"before", -1, 2, nil, ErrOutOfRange},
		{"negative", 2, -1, nil, ErrOutOfRange},
		{"overflow", 34, big, nil, ErrOutOfRange},
		{"overflow of the offset", big, big, nil, ErrOutOfRange},
		{"lowest", -big - 1, -big - 1, nil, ErrOutOfRange},
	} {
		got, err := list.Slice(c.offset, c.length)
		if !errors.Is(err, c.err) || !slices.Equal(got, c.want) {
			t.Errorf("%s: %v, %v; want %v, %v", c.name, got, err, c.want, c.err)
		}
	}
	if want := (List{{100, 10}, {50, 5}, {200, 20}}); !slices.Equal(list, want) {
		t.Errorf("the list is now %v", list)
	}
	// What is cut out of a list that was not merged is merged, and the list stays.
	apart := List{{0, 4}, {4, 4}, {8, 4}}
	if got, err := apart.Slice(2, 8); err != nil || !slices.Equal(got, List{{2, 8}}) || !slices.Equal(apart, List{{0, 4}, {4, 4}, {8, 4}}) {
		t.Errorf("unmerged: %v of %v, %v", got, apart, err)
	}
	if _, err := List(nil).Slice(0, 0); err != nil {
		t.Errorf("nothing of nothing: %v", err)
	}
}

func TestShift(t *testing.T) {
	list := List{{100, 10}, {50, 5}}
	if got := list.Shift(1 << 40); !slices.Equal(got, List{{1<<40 + 100, 10}, {1<<40 + 50, 5}}) {
		t.Errorf("got %v", got)
	}
	if !slices.Equal(list, List{{100, 10}, {50, 5}}) {
		t.Errorf("the list is now %v", list)
	}
	if got := list.Shift(-50); !slices.Equal(got, List{{50, 10}, {0, 5}}) {
		t.Errorf("back: got %v", got)
	}
}

func TestReader(t *testing.T) {
	dev := bytes.NewReader([]byte("0123456789abcdefghij"))
	r := NewReader(dev, List{{10, 3}, {2, 2}, {19, 1}}) // "abc", "23", "j"
	if r.Size() != 6 {
		t.Errorf("size %d, want 6", r.Size())
	}
	for _, c := range []struct {
		off  int64
		n    int
		want string
		err  error
	}{
		{0, 6, "abc23j", nil},
		{0, 3, "abc", nil},
		{0, 4, "abc2", nil},
		{2, 2, "c2", nil},
		{3, 2, "23", nil},
		{4, 2, "3j", nil},
		{5, 1, "j", nil},
		{0, 7, "abc23j", io.EOF},
		{5, 9, "j", io.EOF},
		{6, 1, "", io.EOF},
		{1 << 62, 1, "", io.EOF},
		{3, 0, "", nil},
		{-1, 1, "", ErrOutOfRange},
	} {
		p := make([]byte, c.n)
		n, err := r.ReadAt(p, c.off)
		if string(p[:n]) != c.want || err != c.err && !errors.Is(err, ErrOutOfRange) || !errors.Is(err, c.err) {
			t.Errorf("%d at %d: %q, %v; want %q, %v", c.n, c.off, p[:n], err, c.want, c.err)
		}
	}
	if err := iotest.TestReader(io.NewSectionReader(r, 0, r.Size()), []byte("abc23j")); err != nil {
		t.Error(err)
	}
	empty := NewReader(dev, nil)
	if n, err := empty.ReadAt(make([]byte, 1), 0); n != 0 || err != io.EOF || empty.Size() != 0 {
		t.Errorf("nothing: %d, %v", n, err)
	}
}

// device answers as a function does.
type device func(p []byte, off int64) (int, error)

func (d device) ReadAt(p []byte, off int64) (int, error) { return d(p, off) }

func TestReaderErrors(t *testing.T) {
	broken := errors.New("broken disk")
	list := List{{10, 4}, {0, 4}}
	for _, c := range []struct {
		name string
		dev  device
		n    int
		err  error
	}{
		{"at once", func(p []byte, off int64) (int, error) { return 0, broken }, 0, broken},
		{"in the second extent", func(p []byte, off int64) (int, error) {
			if off == 0 {
				return 1, fmt.Errorf("sector 0: %w", broken)
			}
			return len(p), nil
		}, 5, broken},
		// The end of the device is not the end of the file.
		{"device too short", func(p []byte, off int64) (int, error) { return 2, io.EOF }, 2, io.ErrUnexpectedEOF},
		{"short without an error", func(p []byte, off int64) (int, error) { return 0, nil }, 0, io.ErrUnexpectedEOF},
		{"all of it and the end", func(p []byte, off int64) (int, error) { return len(p), io.EOF }, 8, nil},
	} {
		n, err := NewReader(c.dev, list).ReadAt(make([]byte, 8), 0)
		if n != c.n || !errors.Is(err, c.err) || errors.Is(err, io.EOF) {
			t.Errorf("%s: %d, %v; want %d, %v", c.name, n, err, c.n, c.err)
		}
	}
}

// FuzzReader compares lists made of pairs of bytes (offset, length) on a device of 256 bytes with a flat copy.
func FuzzReader(f *testing.F) {
	f.Add([]byte{10, 3, 2, 2, 19, 1}, uint16(1), uint16(4))
	f.Add([]byte{0, 8, 8, 8, 16, 8}, uint16(4), uint16(16))
	f.Add([]byte{255, 255, 1, 0, 7, 7}, uint16(0), uint16(500))
	f.Add([]byte{}, uint16(0), uint16(1))
	disk := make([]byte, 256)
	for i := range disk {
		disk[i] = byte(i * 7)
	}
	f.Fuzz(func(t *testing.T, pairs []byte, off, n uint16) {
		var list, raw List
		var flat []byte
		for ; len(pairs) >= 2 && len(flat) < 1<<16; pairs = pairs[2:] {
			e := Extent{int64(pairs[0]), min(int64(pairs[1]), 256-int64(pairs[0]))}
			list = list.Append(e)
			raw = append(raw, e)
			flat = append(flat, disk[e.Offset:e.Offset+e.Length]...)
		}
		for i, e := range list {
			if e.Length <= 0 || i > 0 && list[i-1].Offset+list[i-1].Length == e.Offset {
				t.Fatalf("Append made %v", list)
			}
		}
		end := min(int(off)+int(n), len(flat))
		for _, l := range []List{list, raw} {
			r := NewReader(bytes.NewReader(disk), l)
			if r.Size() != int64(len(flat)) || l.Size() != int64(len(flat)) {
				t.Fatalf("sizes %d and %d, want %d", r.Size(), l.Size(), len(flat))
			}
			p := make([]byte, n)
			got, err := r.ReadAt(p, int64(off))
			want := flat[min(int(off), end):end]
			if !bytes.Equal(p[:got], want) || (err == nil) != (got == int(n)) || (err != nil && err != io.EOF) {
				t.Fatalf("%v: %d at %d: %x, %v; want %x", l, n, off, p[:got], err, want)
			}
			cut, err := l.Slice(int64(off), int64(n))
			if (err == nil) != (int(off)+int(n) <= len(flat)) {
				t.Fatalf("%v: slice of %d at %d of %d: %v", l, n, off, len(flat), err)
			}
			if err != nil {
				continue
			}
			p = make([]byte, n)
			if _, err := NewReader(bytes.NewReader(disk), cut).ReadAt(p, 0); err != nil || !bytes.Equal(p, want) || cut.Size() != int64(n) {
				t.Fatalf("%v: slice %v of %d at %d: %x, %v; want %x", l, cut, n, off, p, err, want)
			}
		}
	})
}
