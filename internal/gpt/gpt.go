// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

// Package gpt reads and writes GUID partition tables, and knows the partition types of discoverable disk images.
//
// The format is chapter 5 of the UEFI specification; partition types, attribute flags and the relation between partition
// UUIDs and a verity root hash are the Discoverable Partitions Specification (UAPI.2), probing for the sector size is
// what systemd does. [Read] takes every byte for hostile: memory and time are bounded by the constants below, and a table
// is only returned when all of it is consistent.
//
// The package does not read MBR partitions, does not look into partitions, and decides nothing about which of them is
// used: that a table is consistent does not make it trustworthy.
package gpt

import (
	"errors"

	"github.com/initddi/initddi/internal/guid"
)

var (
	// ErrNoTable says that neither a primary nor a backup header is there: this is not a GPT disk.
	ErrNoTable = errors.New("no GUID partition table")
	// ErrAmbiguous says that headers for more than one sector size are valid, so that different readers would see
	// different partitions.
	ErrAmbiguous = errors.New("valid partition tables for more than one sector size")
	// ErrCorrupt says that there is a table, but that neither of its copies can be used.
	ErrCorrupt = errors.New("corrupt partition table")
	// ErrInvalid says that a table given to [Write] cannot be written as it is.
	ErrInvalid = errors.New("invalid partition table")
)

// Bounds of what is read and written.
const (
	// minSectorSize and maxSectorSize are the limits of systemd's probing; every power of two between them counts.
	minSectorSize = 512
	maxSectorSize = 4096
	// maxEntryArray bounds the memory for the partition entries: 64 times the 16 KiB that tools write.
	maxEntryArray = 1 << 20
	// maxEntrySize is far above the 128 bytes that everybody uses; the specification allows any 128*2^n.
	maxEntrySize = 4096

	// MaxPartitions is how many entries [Write] writes, and the highest partition number it takes.
	MaxPartitions = 128
	// MaxNameUnits is the length of a partition's name in UTF-16 code units.
	MaxNameUnits = 36
)

// Attribute flags of [Partition.Attributes]. Bits 48 to 63 belong to the partition type; these are the meanings for the
// types of discoverable partitions.
const (
	AttrRequired   uint64 = 1 << 0  // the platform needs it
	AttrNoBlockIO  uint64 = 1 << 1  // firmware makes no block device of it; systemd then ignores an ESP
	AttrLegacyBoot uint64 = 1 << 2  // bootable by a BIOS
	AttrGrowFS     uint64 = 1 << 59 // grow the file system when mounting; without effect where read-only is set
	AttrReadOnly   uint64 = 1 << 60 // mount read-only
	AttrNoAuto     uint64 = 1 << 63 // ignored by automatic discovery, except for an ESP
)

// Partition is one used entry.
type Partition struct {
	Number     int // index in the table, from 1; Linux numbers devices after it
	Type       guid.GUID
	UUID       guid.GUID // nothing keeps two partitions from having the same one
	FirstLBA   uint64    // in sectors
	LastLBA    uint64    // in sectors, inclusive
	Attributes uint64
	Name       string // any characters, control characters too; unpaired surrogates became U+FFFD
}

// Offset returns where the partition starts, in bytes. For a partition from [Read] it lies inside the size given there.
func (p Partition) Offset(sectorSize int64) int64 { return int64(p.FirstLBA) * sectorSize }

// Size returns the partition's length in bytes, which is more than zero for a partition from [Read].
func (p Partition) Size(sectorSize int64) int64 { return int64(p.LastLBA-p.FirstLBA+1) * sectorSize }

// Table is a partition table.
type Table struct {
	SectorSize  int64 // in bytes: 512, 1024, 2048 or 4096
	DiskUUID    guid.GUID
	FirstUsable uint64      // first sector for partitions
	LastUsable  uint64      // last sector for partitions; behind the end of a file that was cut off
	Partitions  []Partition // the used entries, by ascending Number
	Backup      bool        // read from the backup, because the primary copy could not be used
	PrimaryErr  error       // what was wrong with the primary copy; nil unless Backup
}

// ByType returns the partitions of type t, by ascending Number.
func (t *Table) ByType(typ guid.GUID) []Partition {
	return t.filter(func(p *Partition) bool { return p.Type == typ })
}

// ByUUID returns the partitions whose UUID is u, by ascending Number: more than one where a table repeats it, which the
// format forbids and [Read] accepts, because real disks that were copied partition by partition do.
func (t *Table) ByUUID(u guid.GUID) []Partition {
	return t.filter(func(p *Partition) bool { return p.UUID == u })
}

func (t *Table) filter(keep func(*Partition) bool) []Partition {
	var out []Partition
	for i := range t.Partitions {
		if keep(&t.Partitions[i]) {
			out = append(out, t.Partitions[i])
		}
	}
	return out
}

func validSectorSize(n int64) bool {
	return n >= minSectorSize && n <= maxSectorSize && n&(n-1) == 0
}
