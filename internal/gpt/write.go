// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package gpt

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"io"
	"slices"
	"unicode/utf16"
	"unicode/utf8"
)

// Usable returns the widest range of sectors for partitions that [Write] leaves on a disk of size bytes.
func Usable(size, sectorSize int64) (first, last uint64, err error) {
	if !validSectorSize(sectorSize) {
		return 0, 0, fmt.Errorf("%w: sector size is %d, want 512, 1024, 2048 or 4096", ErrInvalid, sectorSize)
	}
	array := uint64(MaxPartitions * entrySize / sectorSize)
	// Before the usable sectors: protective MBR, header, entries; behind them: entries, header.
	overhead := 3 + 2*array
	sectors := uint64(max(size, 0) / sectorSize)
	if sectors <= overhead {
		return 0, 0, fmt.Errorf("%w: %d bytes are %d sectors, want at least %d", ErrInvalid, size, sectors, overhead+1)
	}
	return 2 + array, sectors - 2 - array, nil
}

// Write writes t to a disk of size bytes: a protective MBR (without boot code), and primary and backup copy with 128
// entries of 128 bytes each. It writes the whole of every sector it uses, and nothing else; the same table always gives
// the same bytes. FirstUsable and LastUsable of zero stand for what [Usable] returns; Backup and PrimaryErr are ignored,
// and the partitions may be in any order. What it writes, [Read] accepts.
//
// A table that cannot be written is refused with an error wrapping [ErrInvalid] before anything is written; otherwise
// the error is that of w.
func Write(w io.WriterAt, size int64, t *Table) error {
	if err := write(w, size, t); err != nil {
		return fmt.Errorf("cannot write the partition table: %w", err)
	}
	return nil
}

func write(w io.WriterAt, size int64, t *Table) error {
	primary, err := newHeader(size, t)
	if err != nil {
		return err
	}
	if err := checkPartitions(t, &primary, uint64(size/t.SectorSize)); err != nil {
		return fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	entries := make([]byte, MaxPartitions*entrySize)
	for i := range t.Partitions {
		p := &t.Partitions[i]
		encodeEntry(entries[(p.Number-1)*entrySize:], p)
	}
	primary.entriesCRC = crc32.ChecksumIEEE(entries)
	backup := primary
	backup.myLBA, backup.alternateLBA = primary.alternateLBA, primary.myLBA
	backup.entriesLBA = backup.myLBA - uint64(int64(len(entries))/t.SectorSize)

	// The headers come behind what they describe, so that an interrupted run never leaves a header with the wrong
	// entries.
	for _, c := range []struct {
		lba  uint64
		data []byte
	}{
		{backup.entriesLBA, entries},
		{backup.myLBA, backup.encode(t.SectorSize)},
		{primary.entriesLBA, entries},
		{primary.myLBA, primary.encode(t.SectorSize)},
		{0, protectiveMBR(t.SectorSize, backup.myLBA)},
	} {
		if _, err := w.WriteAt(c.data, int64(c.lba)*t.SectorSize); err != nil {
			return fmt.Errorf("cannot write %d bytes at sector %d: %w", len(c.data), c.lba, err)
		}
	}
	return nil
}

// newHeader returns the primary header for t, still without checksum of the entries.
func newHeader(size int64, t *Table) (header, error) {
	first, last, err := Usable(size, t.SectorSize)
	if err != nil {
		return header{}, err
	}
	if size%t.SectorSize != 0 {
		return header{}, fmt.Errorf("%w: size %d is not a multiple of the sector size %d", ErrInvalid, size, t.SectorSize)
	}
	h := header{
		myLBA:        1,
		alternateLBA: uint64(size/t.SectorSize) - 1,
		firstUsable:  cmp.Or(t.FirstUsable, first),
		lastUsable:   cmp.Or(t.LastUsable, last),
		diskUUID:     t.DiskUUID,
		entriesLBA:   2,
		count:        MaxPartitions,
		entrySize:    entrySize,
	}
	if h.firstUsable < first || h.firstUsable > h.lastUsable || h.lastUsable > last {
		return header{}, fmt.Errorf("%w: usable sectors are %d to %d, want inside %d to %d", ErrInvalid, h.firstUsable, h.lastUsable, first, last)
	}
	return h, nil
}

// checkPartitions checks what [Read] would check, and that the entries can hold every partition as it is.
func checkPartitions(t *Table, h *header, sectors uint64) error {
	numbers := make([]int, 0, len(t.Partitions))
	for i := range t.Partitions {
		p := &t.Partitions[i]
		if p.Number < 1 || p.Number > MaxPartitions {
			return fmt.Errorf("partition number is %d, want 1 to %d", p.Number, MaxPartitions)
		}
		numbers = append(numbers, p.Number)
		if p.Type.IsZero() {
			return fmt.Errorf("partition %d has no type", p.Number)
		}
		if err := checkName(p.Name); err != nil {
			return fmt.Errorf("partition %d: %w", p.Number, err)
		}
	}
	slices.Sort(numbers)
	for i := 1; i < len(numbers); i++ {
		if numbers[i] == numbers[i-1] {
			return fmt.Errorf("two partitions have number %d", numbers[i])
		}
	}
	return checkLayout(t.Partitions, h.firstUsable, h.lastUsable, sectors)
}

func checkName(name string) error {
	if !utf8.ValidString(name) {
		return fmt.Errorf("name %q is not UTF-8", name)
	}
	n := 0
	for _, r := range name {
		if r == 0 {
			return fmt.Errorf("name %q contains a NUL", name)
		}
		n += utf16.RuneLen(r)
	}
	if n > MaxNameUnits {
		return fmt.Errorf("name %q has %d UTF-16 code units, want at most %d", name, n, MaxNameUnits)
	}
	return nil
}

// protectiveMBR returns sector 0: one partition of type 0xee over the whole disk, so that tools without GPT keep off.
func protectiveMBR(sectorSize int64, lastLBA uint64) []byte {
	b := make([]byte, sectorSize)
	p := b[446:]
	copy(p[1:], []byte{0x00, 0x02, 0x00}) // first sector as cylinder, head, sector: the one with the header
	p[4] = 0xee
	copy(p[5:], []byte{0xff, 0xff, 0xff}) // last sector: beyond what the notation can say
	binary.LittleEndian.PutUint32(p[8:], 1)
	binary.LittleEndian.PutUint32(p[12:], uint32(min(lastLBA, 0xffffffff)))
	b[510], b[511] = 0x55, 0xaa
	return b
}
