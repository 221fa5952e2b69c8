// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

// Package extent describes where the bytes of a file lie on the device below it.
//
// A list of extents is the common language between the FAT reader, which finds a file's clusters, the GPT of the
// image inside that file, which cuts ranges out of it, and dm-linear, which takes one target per extent.
package extent

import (
	"errors"
	"fmt"
	"io"
)

// ErrOutOfRange says that a range does not lie inside the extents it was asked of.
var ErrOutOfRange = errors.New("range outside the file")

// Extent is a run of consecutive bytes on a device.
type Extent struct {
	Offset int64 // first byte on the device
	Length int64 // in bytes, more than zero
}

// List is the content of a file in file order: the first extent holds the file's first byte.
type List []Extent

// Size returns the number of bytes that the list covers.
func (l List) Size() int64 {
	var n int64
	for _, e := range l {
		n += e.Length
	}
	return n
}

// Append adds e at the end and merges it with the last extent where the two touch. An empty e adds nothing. The last
// extent of l may change, so l must not be used any more; only the result may.
func (l List) Append(e Extent) List {
	if e.Length == 0 {
		return l
	}
	if n := len(l); n > 0 && l[n-1].Offset+l[n-1].Length == e.Offset {
		l[n-1].Length += e.Length
		return l
	}
	return append(l, e)
}

// Slice returns the extents of the length bytes from offset, both counted in file bytes. It returns an error wrapping
// [ErrOutOfRange] where the list does not cover them.
func (l List) Slice(offset, length int64) (List, error) {
	if size := l.Size(); offset < 0 || length < 0 || offset > size || length > size-offset {
		return nil, fmt.Errorf("cannot cut %d bytes at %d out of a file of %d bytes: %w", length, offset, size, ErrOutOfRange)
	}
	var out List
	for _, e := range l {
		if length == 0 {
			break
		}
		if offset >= e.Length {
			offset -= e.Length
			continue
		}
		n := min(e.Length-offset, length)
		out = out.Append(Extent{Offset: e.Offset + offset, Length: n})
		offset, length = 0, length-n
	}
	return out, nil
}

// Shift returns the list with delta added to every offset: the same bytes seen from the disk instead of from the
// partition that starts delta bytes into it.
func (l List) Shift(delta int64) List {
	out := make(List, len(l))
	for i, e := range l {
		out[i] = Extent{Offset: e.Offset + delta, Length: e.Length}
	}
	return out
}

// Reader reads a file's bytes through its extents. It is safe for concurrent use if the device below is.
type Reader struct {
	dev  io.ReaderAt
	list List
	size int64
	ends []int64 // file offset behind each extent, for binary search
}

// NewReader returns a reader of the file that lies at list on dev.
func NewReader(dev io.ReaderAt, list List) *Reader {
	r := &Reader{dev: dev, list: list, ends: make([]int64, len(list))}
	for i, e := range list {
		r.size += e.Length
		r.ends[i] = r.size
	}
	return r
}

// Size returns the file's size in bytes.
func (r *Reader) Size() int64 { return r.size }

// ReadAt implements [io.ReaderAt].
func (r *Reader) ReadAt(p []byte, off int64) (int, error) {
	if off < 0 {
		return 0, fmt.Errorf("cannot read at %d: %w", off, ErrOutOfRange)
	}
	done := 0
	for done < len(p) {
		i := r.find(off)
		if i == len(r.list) {
			return done, io.EOF
		}
		e := r.list[i]
		inside := off - (r.ends[i] - e.Length)
		n := int(min(e.Length-inside, int64(len(p)-done)))
		m, err := r.dev.ReadAt(p[done:done+n], e.Offset+inside)
		done += m
		off += int64(m)
		if m < n {
			if err == nil || errors.Is(err, io.EOF) {
				err = io.ErrUnexpectedEOF
			}
			return done, err
		}
	}
	return done, nil
}

// find returns the index of the extent that holds file offset off, or len(list) behind the end.
func (r *Reader) find(off int64) int {
	lo, hi := 0, len(r.ends)
	for lo < hi {
		mid := (lo + hi) / 2
		if r.ends[mid] <= off {
			lo = mid + 1
		} else {
			hi = mid
		}
	}
	return lo
}
