// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

// Package fat reads FAT12, FAT16 and FAT32 file systems from untrusted bytes, to learn where on the partition the bytes
// of a file lie, without mounting anything.
//
// It reads what the answer needs and nothing more: the boot sector, the directories on the way, and that part of the
// FAT which holds the file's chain. It does not write, does not look at the FSInfo sector, the backup boot sector, the
// dirty flags or the other copies of the FAT, and does not repair.
//
// Sources: Microsoft's "FAT: General Overview of On-Disk Format" (fatgen103, 2000) and its successor "Microsoft FAT
// Specification" (2005) for the boot sector, the FAT, directories and long names; the NT case flags of a short name are
// those of Linux (include/uapi/linux/msdos_fs.h, CASE_LOWER_BASE and CASE_LOWER_EXT). Three deliberate differences from those texts:
//
//   - A boot sector with FAT32's layout (a 16-bit FAT size of zero) is FAT32 even where it has fewer than 65,525
//     clusters. Linux and fsck.vfat decide so too, and it cannot be anything else: FAT12 and FAT16 have a root directory
//     of fixed size. Firmware need not agree: edk2 refuses it, and mtools takes it for FAT12 or FAT16.
//   - A FAT that is too short for the partition's clusters makes the clusters behind its end unusable, as in Linux,
//     instead of making the file system unusable.
//   - A chain may be longer than its file, since Linux preallocates (fallocate with FALLOC_FL_KEEP_SIZE). It may never
//     be shorter.
//
// What it refuses is a lie that the answer depends on: a chain that loops, leaves the partition, meets a free or bad
// cluster, or ends before the file does. What it cannot notice cheaply is two files that share clusters, since that
// would take reading every chain; nothing here authenticates content, dm-verity and signatures do that. Directory trees
// can share directories too, so a program that walks all of a hostile tree must bound its own work.
package fat

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strconv"

	"github.com/initddi/initddi/internal/extent"
)

var (
	// ErrNotFAT says that the bytes do not start with a FAT boot sector.
	ErrNotFAT = errors.New("not a FAT file system")
	// ErrCorrupt says that the file system contradicts itself or the size of its partition.
	ErrCorrupt = errors.New("corrupt FAT file system")
	// ErrTooMany says that something is larger than this package's bounds, although FAT might allow it.
	ErrTooMany = errors.New("over the limit")
)

const (
	// MaxSlots is the number of 32-byte directory slots read of one directory; a directory may not be larger than
	// 2 MiB by the specification. A long name takes up to 20 slots beside the entry itself.
	MaxSlots = 1 << 16
	// MaxDepth is the number of names in a path. Windows' limit of 260 characters allows twice as many of one letter;
	// nobody has them on an ESP.
	MaxDepth = 64
	// MaxExtents is the number of runs of clusters in one file's chain. It keeps a list below 16 MiB; a file of more
	// could not be mapped anyway, as a device-mapper table has a target for each.
	MaxExtents = 1 << 20

	bootSectorSize = 512        // what is read of the boot sector: on larger sectors the rest is unused
	slotSize       = 32         // of a directory slot
	maxClusterSize = 256 << 10  // what Windows formats at most (64 sectors of 4 KiB); the specification says 32 KiB
	maxFileSize    = 1<<32 - 1  // a directory entry has 32 bits for the size
	maxClusters32  = 0x0ffffff5 // cluster numbers from 0x0ffffff7 on are marks
	firstCluster   = 2          // entries 0 and 1 of the FAT belong to no cluster
)

// Type is the width of a FAT entry in bits: 12, 16 or 32.
type Type uint8

// The types. A [Type] has no other value.
const (
	FAT12 Type = 12
	FAT16 Type = 16
	FAT32 Type = 32
)

// String returns "FAT12", "FAT16" or "FAT32".
func (t Type) String() string { return "FAT" + strconv.Itoa(int(t)) }

// FS is a FAT file system. It is not safe for concurrent use: all methods share a small cache. It holds what it has
// read there for its whole life, so somebody else's writes may be seen late or in part.
type FS struct {
	dev  io.ReaderAt
	meta *cache
	geometry
}

// Entry is a file or a directory as its parent directory describes it. It is valid only with the [FS] it came from.
type Entry struct {
	// Name is the long name where there is a valid one, else the short name in the case that it was created with.
	// It is never empty, "." or "..", and has no slash, NUL or other control character. Only the root's is "/".
	Name string
	// ShortName is the 8.3 name as stored, which is in upper case; empty where it cannot be shown safely.
	ShortName string
	// Size is the file's size in bytes, at most 2³²-1; 0 for a directory.
	Size int64
	// Dir says that this is a directory, else it is a file.
	Dir bool
	// ReadOnly is the read-only attribute.
	ReadOnly bool
	// ModTime is the time of the last write as "2006-01-02 15:04:05", in a local time of which the disk does not say
	// the zone; empty where the disk has none that is valid.
	ModTime string

	first uint32 // cluster; 0 for an empty file and for the root directory of FAT12 and FAT16
	root  bool
}

// Open reads the boot sector of the partition dev of size bytes. It returns an error wrapping [ErrNotFAT] where that is
// not one of FAT, [ErrCorrupt] where it is one but describes what cannot be, or dev's own error.
func Open(dev io.ReaderAt, size int64) (*FS, error) {
	if size < bootSectorSize {
		return nil, fmt.Errorf("cannot open a partition of %d bytes, a boot sector has %d: %w", size, bootSectorSize, ErrNotFAT)
	}
	f := &FS{dev: dev, meta: newCache(dev, size)}
	boot, err := f.meta.view(0, bootSectorSize)
	if err != nil {
		return nil, fmt.Errorf("cannot read the boot sector: %w", err)
	}
	if f.geometry, err = parseBootSector(boot, size); err != nil {
		return nil, fmt.Errorf("cannot open the file system: %w", err)
	}
	return f, nil
}

// Type returns which FAT it is.
func (f *FS) Type() Type { return f.kind }

// ClusterSize returns the unit of allocation in bytes: a power of two from 512 to 262,144.
func (f *FS) ClusterSize() int64 { return f.cluster }

// VolumeID returns the serial number of the file system, which Linux and udev show as the UUID "1234-ABCD"; 0 where the
// boot sector has none.
func (f *FS) VolumeID() uint32 { return f.volumeID }

// Label returns the volume label: the one in the root directory, else the one in the boot sector. It is empty where
// neither is set, or where it has control characters. A root directory that cannot be read counts as one without label.
func (f *FS) Label() string {
	label := ""
	// The error does not matter here: whoever needs the root directory will meet it again.
	_ = f.slots(f.root(), func(s *slot) bool {
		if s.isLabel() {
			label = labelText(s[:11])
			return false
		}
		return true
	})
	if label == "" {
		label = labelText(f.bootLabel[:])
	}
	return label
}

// ReadDir returns the files and directories in the directory at path in the order of the disk, which is mostly the one
// of creation. Path is as in [FS.Stat]. Deleted entries, volume labels, "." and "..", and entries whose name cannot be
// used safely in a path or on a terminal are left out; names that differ only in case, or not at all, are all returned.
//
// The error wraps [fs.ErrNotExist] where the directory is absent, [fs.ErrInvalid] where path is a file, [ErrCorrupt],
// [ErrTooMany] where it has more than [MaxSlots] slots, or the device's own error. There are no entries beside an error.
func (f *FS) ReadDir(path string) ([]Entry, error) {
	dir, err := f.Stat(path)
	if err != nil {
		return nil, err
	}
	if !dir.Dir {
		return nil, fmt.Errorf("cannot list %q: it is a file: %w", path, fs.ErrInvalid)
	}
	var list []Entry
	err = f.entries(dir, func(e Entry) bool {
		list = append(list, e)
		return true
	})
	if err != nil {
		return nil, fmt.Errorf("cannot list %q: %w", path, err)
	}
	return list, nil
}

// Stat returns the entry at path: names separated by "/", from the root directory, which is "" or "/". Leading, trailing
// and double slashes do not matter. Case does not matter, as far as Unicode's simple folding goes. A name matches an
// entry's long or short name; the first match on the disk is taken, as Linux does.
//
// The error wraps [fs.ErrNotExist] where there is no such entry, [ErrCorrupt], [ErrTooMany] where path has more than
// [MaxDepth] names or a directory on the way more than [MaxSlots] slots, or the device's own error.
func (f *FS) Stat(path string) (Entry, error) {
	e, err := f.lookup(path)
	if err != nil {
		return Entry{}, fmt.Errorf("cannot find %q: %w", path, err)
	}
	return e, nil
}

// Extents returns where the bytes of the file e lie, as offsets from the start of the partition, in the order of the
// file, merged where they touch. They have e.Size bytes in total and lie inside of the partition; no byte is in them
// twice. An empty file has none.
//
// The error wraps [fs.ErrInvalid] for a directory, [ErrCorrupt], [ErrTooMany] where the chain has more than [MaxExtents]
// runs, or the device's own error.
func (f *FS) Extents(e Entry) (extent.List, error) {
	if e.Dir {
		return nil, fmt.Errorf("cannot map %q: it is a directory: %w", e.Name, fs.ErrInvalid)
	}
	list, err := f.fileExtents(e.first, e.Size)
	if err != nil {
		return nil, fmt.Errorf("cannot map %q: %w", e.Name, err)
	}
	return list, nil
}

// ReadFile returns the content of the file at path if that has at most limit bytes. The error is as of [FS.Stat] and
// [FS.Extents]; it wraps [ErrTooMany] where the file is larger.
func (f *FS) ReadFile(path string, limit int64) ([]byte, error) {
	e, err := f.Stat(path)
	if err != nil {
		return nil, err
	}
	if e.Size > limit {
		return nil, fmt.Errorf("cannot read %q: it has %d bytes, want at most %d: %w", path, e.Size, limit, ErrTooMany)
	}
	list, err := f.Extents(e)
	if err != nil {
		return nil, err
	}
	// The chain is checked before memory is taken: a size alone is cheap to claim.
	b := make([]byte, e.Size)
	if _, err := extent.NewReader(f.dev, list).ReadAt(b, 0); err != nil {
		return nil, fmt.Errorf("cannot read %q: %w", path, err)
	}
	return b, nil
}

// geometry is what the boot sector says, checked, with offsets and sizes in bytes from the start of the partition.
type geometry struct {
	kind      Type
	cluster   int64  // size of a cluster
	limit     uint32 // the first cluster number that is not valid; valid ones start at firstCluster
	table     int64  // where the FAT in use starts
	rootStart int64  // FAT12 and FAT16: where the root directory lies
	rootSlots int64  // FAT12 and FAT16: how many slots it has
	rootFirst uint32 // FAT32: first cluster of the root directory
	data      int64  // where the first cluster lies
	volumeID  uint32
	bootLabel [11]byte
}

// parseBootSector checks what b says against the size of the partition. Everything is computed in int64: sectors have
// at most 2¹² bytes, counts at most 32 bits and there are at most 255 FATs, so no product reaches 2⁵³.
func parseBootSector(b []byte, size int64) (geometry, error) {
	le := binary.LittleEndian
	var (
		sector     = int64(le.Uint16(b[11:]))
		perCluster = int64(b[13])
		reserved   = int64(le.Uint16(b[14:]))
		tables     = int64(b[16])
		rootSlots  = int64(le.Uint16(b[17:]))
		total      = int64(le.Uint16(b[19:]))
		media      = b[21]
		perTable   = int64(le.Uint16(b[22:]))
	)
	// What follows is all that tells FAT from other boot sectors: NTFS has no reserved sectors, exFAT zeros here, and
	// a master boot record code.
	switch {
	case b[510] != 0x55 || b[511] != 0xaa:
		return geometry{}, fmt.Errorf("the boot sector ends in %#x, want 0x55aa: %w", b[510:512], ErrNotFAT)
	case !isPowerOfTwo(sector) || sector < 512 || sector > 4096:
		return geometry{}, fmt.Errorf("sectors have %d bytes, want 512, 1024, 2048 or 4096: %w", sector, ErrNotFAT)
	case !isPowerOfTwo(perCluster):
		return geometry{}, fmt.Errorf("clusters have %d sectors, want a power of two: %w", perCluster, ErrNotFAT)
	case reserved == 0 || tables == 0:
		return geometry{}, fmt.Errorf("there are %d reserved sectors and %d FATs, want at least 1: %w", reserved, tables, ErrNotFAT)
	case media != 0xf0 && media < 0xf8:
		return geometry{}, fmt.Errorf("the media type is %#x, want 0xf0 or at least 0xf8: %w", media, ErrNotFAT)
	}

	if total == 0 {
		total = int64(le.Uint32(b[32:]))
	}
	g := geometry{cluster: sector * perCluster, rootSlots: rootSlots}
	wide := perTable == 0
	extra := b[36:]
	if wide {
		perTable = int64(le.Uint32(b[36:]))
		extra = b[64:]
	}
	rootSectors := (rootSlots*slotSize + sector - 1) / sector
	dataSector := reserved + tables*perTable + rootSectors
	switch {
	case g.cluster > maxClusterSize:
		return geometry{}, fmt.Errorf("clusters have %d bytes, want at most %d: %w", g.cluster, maxClusterSize, ErrCorrupt)
	case total*sector > size:
		return geometry{}, fmt.Errorf("it has %d bytes, its partition %d: %w", total*sector, size, ErrCorrupt)
	case perTable == 0:
		return geometry{}, fmt.Errorf("the FAT has no sectors: %w", ErrCorrupt)
	case dataSector+perCluster > total:
		return geometry{}, fmt.Errorf("it has %d sectors, and its first cluster starts at sector %d: %w", total, dataSector, ErrCorrupt)
	case wide != (rootSlots == 0):
		return geometry{}, fmt.Errorf("the root directory has %d slots, want none on FAT32 and some elsewhere: %w", rootSlots, ErrCorrupt)
	}

	clusters := (total - dataSector) / perCluster
	switch {
	case wide && clusters > maxClusters32, !wide && clusters >= 65525:
		return geometry{}, fmt.Errorf("it has %d clusters, more than its FAT can number: %w", clusters, ErrCorrupt)
	case wide:
		g.kind = FAT32
	case clusters < 4085:
		g.kind = FAT12
	default:
		g.kind = FAT16
	}
	g.limit = uint32(min(clusters+firstCluster, perTable*sector*8/int64(g.kind)))
	g.table = reserved * sector
	g.rootStart = (reserved + tables*perTable) * sector
	g.data = dataSector * sector

	// 0x29 says that serial number and label follow, 0x28 that only the number does.
	if extra[2] == 0x29 || extra[2] == 0x28 {
		g.volumeID = le.Uint32(extra[3:])
	}
	if extra[2] == 0x29 {
		copy(g.bootLabel[:], extra[7:18])
	}
	if wide {
		return g.parseFAT32(b, tables, perTable*sector)
	}
	return g, nil
}

// parseFAT32 adds what only FAT32 has.
func (g geometry) parseFAT32(b []byte, tables, tableSize int64) (geometry, error) {
	le := binary.LittleEndian
	flags, version := le.Uint16(b[40:]), le.Uint16(b[42:])
	if version != 0 {
		return geometry{}, fmt.Errorf("it is FAT32 of version %d.%d, want 0.0: %w", version>>8, version&0xff, ErrNotFAT)
	}
	// Mirroring is off: only one FAT is kept up to date. Nobody agrees here, edk2 refuses such a file system and Linux
	// reads the first FAT all the same; the specification is clear, and neither mkfs.vfat nor Linux makes one.
	if flags&0x80 != 0 {
		active := int64(flags & 0xf)
		if active >= tables {
			return geometry{}, fmt.Errorf("FAT %d is in use, there are %d: %w", active, tables, ErrCorrupt)
		}
		g.table += active * tableSize
	}
	g.rootSlots = 0
	g.rootFirst = le.Uint32(b[44:])
	if !g.isCluster(g.rootFirst) {
		return geometry{}, fmt.Errorf("the root directory starts at cluster %d, want %d to %d: %w", g.rootFirst, firstCluster, int64(g.limit)-1, ErrCorrupt)
	}
	return g, nil
}

// isCluster reports whether c is the number of a cluster.
func (g *geometry) isCluster(c uint32) bool { return c >= firstCluster && c < g.limit }

// offset returns where cluster c lies, at most 2⁴⁶.
func (g *geometry) offset(c uint32) int64 { return g.data + int64(c-firstCluster)*g.cluster }

func isPowerOfTwo(n int64) bool { return n > 0 && n&(n-1) == 0 }
