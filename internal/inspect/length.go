// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package inspect

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
)

// xzLength returns the length of the XZ stream at byte at (The .xz File Format 1.1, section 2.1): it ends with the first
// footer whose checksum is right and whose flags are those of the header.
func xzLength(r io.ReaderAt, at, end int64) (int64, error) {
	const header, footer = 12, 12
	head := make([]byte, header)
	if n, err := r.ReadAt(head, at); n < header {
		return 0, fmt.Errorf("cut off: %w: %w", errArchive, err)
	}
	buf := make([]byte, 1<<16)
	// Chunks overlap by a footer less one unit: a stream is a multiple of four bytes.
	for off := at + header; off+footer <= end; off += int64(len(buf)) - footer + 4 {
		n, err := r.ReadAt(buf[:min(int64(len(buf)), end-off)], off)
		if err != nil && !errors.Is(err, io.EOF) {
			return 0, err
		}
		for i := 0; i+footer <= n; i += 4 {
			f := buf[i : i+footer]
			if f[10] == 'Y' && f[11] == 'Z' && f[8] == head[6] && f[9] == head[7] && crc32.ChecksumIEEE(f[4:10]) == binary.LittleEndian.Uint32(f) {
				return off + int64(i) + footer - at, nil
			}
		}
	}
	return 0, fmt.Errorf("no end of the stream: %w", errArchive)
}

// zstdLength returns the length of the Zstandard frames at byte at (RFC 8878 section 3.1), by their block headers alone.
func zstdLength(r io.ReaderAt, at, end int64) (int64, error) {
	start := at
	read := func(n int) ([]byte, error) {
		b := make([]byte, n)
		if int64(n) > end-at {
			return nil, fmt.Errorf("cut off: %w", errArchive)
		}
		_, err := r.ReadAt(b, at)
		if errors.Is(err, io.EOF) {
			err = nil
		}
		at += int64(n)
		return b, err
	}
	for {
		h, err := read(5)
		if err != nil {
			return 0, err
		}
		d := h[4]
		// Window descriptor, dictionary ID and content size by the frame header descriptor.
		skip := []int{0, 1, 2, 4}[d&3] + []int{0, 2, 4, 8}[d>>6]
		if d&0x20 == 0 {
			skip++
		} else if d>>6 == 0 {
			skip++
		}
		at += int64(skip)
		for last := false; !last; {
			b, err := read(3)
			if err != nil {
				return 0, err
			}
			v := uint32(b[0]) | uint32(b[1])<<8 | uint32(b[2])<<16
			last = v&1 != 0
			size := int64(v >> 3)
			if v>>1&3 == 1 { // one byte, repeated
				size = 1
			}
			at += size
		}
		if d&4 != 0 {
			at += 4
		}
		if at > end {
			return 0, fmt.Errorf("cut off: %w", errArchive)
		}
		magic := make([]byte, 4)
		if n, _ := r.ReadAt(magic, at); n < 4 || at+4 > end || binary.LittleEndian.Uint32(magic) != 0xfd2fb528 {
			return at - start, nil
		}
	}
}
