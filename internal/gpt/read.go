// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package gpt

import (
	"errors"
	"fmt"
	"hash/crc32"
	"io"
)

// disk is a device or file seen as sectors.
type disk struct {
	r          io.ReaderAt
	sectorSize int64
	sectors    uint64
}

// Read reads the partition table of the size bytes in r. A sectorSize of 0 stands for "find out": a header is looked for
// at byte 512, 1024, 2048 and 4096, as systemd does, then, if there is none, where the backup would be. A device has a
// sector size and should be asked; for an image file it has to be found out.
//
// If the primary copy is unusable in any respect, the backup is tried in the last sector and, where the primary header
// itself is good, in the sector it names; the result then has Backup set. With a good primary copy the backup is not
// read: a file cut off behind its last partition is accepted.
//
// The error wraps [ErrNoTable], [ErrAmbiguous] or [ErrCorrupt], the latter together with the causes for both copies; or,
// if no header was found and something could not be read, only the error from r. Memory is bounded by 1 MiB for the
// entries and what 8192 partitions take.
func Read(r io.ReaderAt, size int64, sectorSize int64) (*Table, error) {
	if sectorSize == 0 {
		var err error
		if sectorSize, err = probeSectorSize(r, size); err != nil {
			return nil, fmt.Errorf("cannot read the partition table: %w", err)
		}
	}
	if !validSectorSize(sectorSize) {
		return nil, fmt.Errorf("cannot read the partition table: sector size is %d, want 512, 1024, 2048 or 4096", sectorSize)
	}
	t, err := newDisk(r, size, sectorSize).read()
	if err != nil {
		return nil, fmt.Errorf("cannot read the partition table: %w", err)
	}
	return t, nil
}

func newDisk(r io.ReaderAt, size, sectorSize int64) *disk {
	return &disk{r: r, sectorSize: sectorSize, sectors: uint64(max(size, 0) / sectorSize)}
}

// probeSectorSize returns the one sector size for which there is a valid header. Backups only count where no primary
// header is valid.
func probeSectorSize(r io.ReaderAt, size int64) (int64, error) {
	var causes []error
	for _, backup := range []bool{false, true} {
		var found int64
		for ss := int64(minSectorSize); ss <= maxSectorSize; ss *= 2 {
			d := newDisk(r, size, ss)
			if d.sectors < 2 {
				break
			}
			lba := uint64(1)
			if backup {
				lba = d.sectors - 1
			}
			switch _, err := d.header(lba); {
			case errors.Is(err, errNoSignature):
			case err != nil:
				causes = append(causes, fmt.Errorf("header in sector %d with %d-byte sectors: %w", lba, ss, err))
			case found != 0:
				return 0, fmt.Errorf("%w: %d and %d bytes", ErrAmbiguous, found, ss)
			default:
				found = ss
			}
		}
		if found != 0 {
			return found, nil
		}
	}
	return 0, classify(causes)
}

// classify makes the error for a disk without a usable copy from what was wrong with each place.
func classify(causes []error) error {
	var all error
	var read, corrupt bool
	for _, err := range causes {
		if !errors.Is(err, errNoSignature) {
			var re *readError
			isRead := errors.As(err, &re)
			read, corrupt = read || isRead, corrupt || !isRead
		}
		if all == nil {
			all = err
		} else {
			all = fmt.Errorf("%w; %w", all, err)
		}
	}
	switch {
	case corrupt:
		return fmt.Errorf("%w: %w", ErrCorrupt, all)
	case read:
		return all
	default:
		return ErrNoTable
	}
}

// readError marks an error of the reader below, as opposed to one in what was read.
type readError struct {
	offset int64
	err    error
}

func (e *readError) Error() string { return fmt.Sprintf("cannot read at byte %d: %v", e.offset, e.err) }
func (e *readError) Unwrap() error { return e.err }

// bytes reads n bytes from sector lba; the caller made sure that they are inside the disk.
func (d *disk) bytes(lba uint64, n int64) ([]byte, error) {
	b := make([]byte, n)
	off := int64(lba) * d.sectorSize
	if m, err := d.r.ReadAt(b, off); m < len(b) {
		if err == nil || errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		return nil, &readError{off, err}
	}
	return b, nil
}

// header reads the header in sector lba, which is inside the disk.
func (d *disk) header(lba uint64) (header, error) {
	b, err := d.bytes(lba, d.sectorSize)
	if err != nil {
		return header{}, err
	}
	return parseHeader(b)
}

// read returns the primary copy, or else the backup.
func (d *disk) read() (*Table, error) {
	if d.sectors < 2 {
		return nil, fmt.Errorf("%w: it needs two sectors of %d bytes, there are %d", ErrNoTable, d.sectorSize, d.sectors)
	}
	h, err := d.header(1)
	alternate := uint64(0)
	if err == nil {
		alternate = h.alternateLBA
		var t *Table
		if t, err = d.table(&h, 1); err == nil {
			return t, nil
		}
	}
	primaryErr := fmt.Errorf("primary in sector 1: %w", err)
	causes := []error{primaryErr}
	for i, lba := range []uint64{d.sectors - 1, alternate} {
		if lba < 2 || lba >= d.sectors || (i == 1 && lba == d.sectors-1) {
			continue
		}
		h, err := d.header(lba)
		if err == nil {
			var t *Table
			if t, err = d.table(&h, lba); err == nil {
				t.Backup, t.PrimaryErr = true, primaryErr
				return t, nil
			}
		}
		causes = append(causes, fmt.Errorf("backup in sector %d: %w", lba, err))
	}
	return nil, classify(causes)
}

// table reads and checks the copy whose good header h was found in sector lba.
func (d *disk) table(h *header, lba uint64) (*Table, error) {
	array, err := d.checkHeader(h, lba)
	if err != nil {
		return nil, err
	}
	entries, err := d.bytes(h.entriesLBA, array)
	if err != nil {
		return nil, err
	}
	if sum := crc32.ChecksumIEEE(entries); sum != h.entriesCRC {
		return nil, fmt.Errorf("checksum of the entries is %#08x, want %#08x", sum, h.entriesCRC)
	}
	t := &Table{SectorSize: d.sectorSize, DiskUUID: h.diskUUID, FirstUsable: h.firstUsable, LastUsable: h.lastUsable}
	for i := range int(h.count) {
		if p, ok := parseEntry(entries[i*int(h.entrySize):], i+1); ok {
			t.Partitions = append(t.Partitions, p)
		}
	}
	if err := checkLayout(t.Partitions, h.firstUsable, h.lastUsable, d.sectors); err != nil {
		return nil, err
	}
	return t, nil
}

// checkHeader checks the header of sector lba against the disk, and returns the size of the entries in bytes.
func (d *disk) checkHeader(h *header, lba uint64) (int64, error) {
	if h.myLBA != lba {
		return 0, fmt.Errorf("header says it is in sector %d, found in sector %d", h.myLBA, lba)
	}
	if n := h.entrySize; n < entrySize || n > maxEntrySize || n&(n-1) != 0 {
		return 0, fmt.Errorf("entry size is %d, want 128*2^n up to %d", n, maxEntrySize)
	}
	// Two 32-bit numbers, so the product fits.
	array := uint64(h.count) * uint64(h.entrySize)
	if array == 0 || array > maxEntryArray {
		return 0, fmt.Errorf("%d entries of %d bytes, want 1 to %d bytes", h.count, h.entrySize, maxEntryArray)
	}
	if h.firstUsable < 2 || h.firstUsable > h.lastUsable {
		return 0, fmt.Errorf("usable sectors are %d to %d", h.firstUsable, h.lastUsable)
	}
	if lba >= h.firstUsable && lba <= h.lastUsable {
		return 0, fmt.Errorf("usable sectors %d to %d contain the header in sector %d", h.firstUsable, h.lastUsable, lba)
	}
	n := (array + uint64(d.sectorSize) - 1) / uint64(d.sectorSize)
	first := h.entriesLBA
	if first < 2 || first >= d.sectors || n > d.sectors-first {
		return 0, fmt.Errorf("entries take %d sectors from sector %d, but there are only %d sectors", n, first, d.sectors)
	}
	last := first + n - 1
	if lba >= first && lba <= last {
		return 0, fmt.Errorf("entries in sectors %d to %d contain the header in sector %d", first, last, lba)
	}
	if first <= h.lastUsable && last >= h.firstUsable {
		return 0, fmt.Errorf("usable sectors %d to %d contain the entries in sectors %d to %d", h.firstUsable, h.lastUsable, first, last)
	}
	return int64(array), nil
}
