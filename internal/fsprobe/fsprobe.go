// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

// Package fsprobe says which file system lies in a partition or an image, so that the kernel is asked to mount exactly
// that one and never has to try drivers on bytes of unknown origin.
//
// It knows what stage 1 mounts (erofs, squashfs, ext4) and vfat, which it reads itself. It looks at superblocks only and
// checks no more of them than it reports; it is no file system check. Sources: the kernel's fs/erofs/erofs_fs.h,
// fs/squashfs/squashfs_fs.h, Documentation/filesystems/ext4 and, for vfat, include/uapi/linux/msdos_fs.h.
package fsprobe

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/bits"
	"strings"

	"github.com/initddi/initddi/internal/guid"
)

var (
	// ErrUnknown says that no file system known here was found.
	ErrUnknown = errors.New("no known file system")
	// ErrAmbiguous says that the magic numbers of several file systems were found.
	ErrAmbiguous = errors.New("more than one file system")
	// ErrTooLarge says that the file system is larger than what it lies in.
	ErrTooLarge = errors.New("file system larger than its device")
	// ErrCorrupt says that a superblock contradicts itself.
	ErrCorrupt = errors.New("corrupt superblock")
)

// The values of [FS.Type]: the kernel's names of the drivers.
const (
	EROFS    = "erofs"
	SquashFS = "squashfs"
	Ext4     = "ext4"
	VFAT     = "vfat"
)

// FS is a file system that was found.
type FS struct {
	// Type is the driver that mounts it. Ext4 stands for ext2 and ext3 too: the magic is the same, and so is the driver.
	Type string
	// BlockSize in bytes: the unit of allocation; for SquashFS that of its compressed data blocks, for VFAT the sector.
	BlockSize int64
	// UUID is zero where the format has none (SquashFS, VFAT).
	UUID guid.GUID
	// Size is what the file system takes, in bytes; at most the size given to Probe.
	Size int64
}

const (
	// headSize covers every superblock: they start at byte 0 or 1024, and ext4's has 1024 bytes.
	headSize = 2048
	// superOffset is where the superblocks of erofs and ext4 start.
	superOffset = 1024
)

var le = binary.LittleEndian

// Probe looks for a file system in the size bytes of r, reading the first 2 KiB, and a little more to say what was found
// in place of one. The error wraps [ErrUnknown], [ErrAmbiguous], [ErrTooLarge], [ErrCorrupt], or is that of r.
func Probe(r io.ReaderAt, size int64) (FS, error) {
	fs, err := probe(r, size)
	if err != nil {
		return FS{}, fmt.Errorf("cannot probe the file system: %w", err)
	}
	return fs, nil
}

func probe(r io.ReaderAt, size int64) (FS, error) {
	// What is cut off by the end stays zero; the check of the size catches what that would fake.
	head := make([]byte, headSize)
	if err := readFull(r, head[:min(headSize, max(size, 0))], 0); err != nil {
		return FS{}, err
	}
	super := head[superOffset:]
	var found []string
	var parse func() (FS, error)
	if le.Uint32(super) == 0xe0f5e1e2 {
		found, parse = append(found, EROFS), func() (FS, error) { return parseEROFS(super) }
	}
	if string(head[:4]) == "hsqs" {
		found, parse = append(found, SquashFS), func() (FS, error) { return parseSquashFS(head) }
	}
	if le.Uint16(super[0x38:]) == 0xef53 {
		found, parse = append(found, Ext4), func() (FS, error) { return parseExt4(super) }
	}
	if looksLikeVFAT(head) {
		found, parse = append(found, VFAT), func() (FS, error) { return parseVFAT(head) }
	}
	switch len(found) {
	case 0:
		if other := foreign(r, size, head); other != "" {
			return FS{}, fmt.Errorf("%w: found %s, want %s, %s, %s or %s", ErrUnknown, other, EROFS, SquashFS, Ext4, VFAT)
		}
		return FS{}, ErrUnknown
	case 1:
	default:
		return FS{}, fmt.Errorf("%w: %s", ErrAmbiguous, strings.Join(found, ", "))
	}
	fs, err := parse()
	if err != nil {
		return FS{}, fmt.Errorf("%w: %s: %w", ErrCorrupt, found[0], err)
	}
	if fs.Size > size {
		return FS{}, fmt.Errorf("%w: %s takes %d bytes, but there are only %d", ErrTooLarge, fs.Type, fs.Size, size)
	}
	return fs, nil
}

func readFull(r io.ReaderAt, b []byte, off int64) error {
	if n, err := r.ReadAt(b, off); n < len(b) {
		if err == nil || errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		return fmt.Errorf("cannot read at byte %d: %w", off, err)
	}
	return nil
}

// total returns blocks of 2^shift bytes in bytes, and refuses what cannot be a size, or not even holds least bytes.
func total(blocks uint64, shift uint, least int64) (int64, error) {
	if bits.Len64(blocks)+int(shift) > 63 {
		return 0, fmt.Errorf("%d blocks of %d bytes are more than any device has", blocks, int64(1)<<shift)
	}
	n := int64(blocks << shift)
	if n < least {
		return 0, fmt.Errorf("%d blocks of %d bytes do not even hold the superblock", blocks, int64(1)<<shift)
	}
	return n, nil
}

func parseEROFS(b []byte) (FS, error) {
	shift := uint(b[12])
	// 512 bytes to 64 KiB: the driver takes up to the page size, and 64 KiB pages are the largest in use.
	if shift < 9 || shift > 16 {
		return FS{}, fmt.Errorf("block size is 2^%d bytes, want 2^9 to 2^16", shift)
	}
	blocks := uint64(le.Uint32(b[36:]))
	const feature48Bit = 0x80
	if le.Uint32(b[80:])&feature48Bit != 0 {
		blocks |= uint64(le.Uint16(b[14:])) << 32
	}
	size, err := total(blocks, shift, superOffset+128)
	return FS{Type: EROFS, BlockSize: 1 << shift, UUID: guid.GUID(b[48:64]), Size: size}, err
}

func parseSquashFS(b []byte) (FS, error) {
	if major, minor := le.Uint16(b[28:]), le.Uint16(b[30:]); major != 4 || minor != 0 {
		return FS{}, fmt.Errorf("version is %d.%d, want 4.0", major, minor)
	}
	block, log := le.Uint32(b[12:]), le.Uint16(b[22:])
	if log < 12 || log > 20 || block != 1<<log {
		return FS{}, fmt.Errorf("block size is %d bytes and 2^%d bytes, want one from 2^12 to 2^20", block, log)
	}
	size, err := total(le.Uint64(b[40:]), 0, 96)
	return FS{Type: SquashFS, BlockSize: int64(block), Size: size}, err
}

func parseExt4(b []byte) (FS, error) {
	log := le.Uint32(b[0x18:])
	if log > 6 {
		return FS{}, fmt.Errorf("block size is 2^%d bytes, want 2^10 to 2^16", 10+uint64(log))
	}
	const (
		incompatJournalDev = 0x8
		incompat64Bit      = 0x80
	)
	incompat := le.Uint32(b[0x60:])
	if incompat&incompatJournalDev != 0 {
		return FS{}, errors.New("it is the external journal of another file system")
	}
	blocks := uint64(le.Uint32(b[0x4:]))
	if incompat&incompat64Bit != 0 {
		blocks |= uint64(le.Uint32(b[0x150:])) << 32
	}
	shift := uint(10 + log)
	size, err := total(blocks, shift, 2*superOffset)
	return FS{Type: Ext4, BlockSize: 1 << shift, UUID: guid.GUID(b[0x68:0x78]), Size: size}, err
}

// looksLikeVFAT stands in for a magic number, which FAT does not have: what the kernel checks before it mounts one, and
// the boot signature.
func looksLikeVFAT(b []byte) bool {
	sector, cluster, reserved, fats, media := le.Uint16(b[11:]), b[13], le.Uint16(b[14:]), b[16], b[21]
	return b[510] == 0x55 && b[511] == 0xaa &&
		sector >= 512 && sector <= 4096 && sector&(sector-1) == 0 &&
		cluster != 0 && cluster&(cluster-1) == 0 &&
		reserved != 0 && fats != 0 && (media == 0xf0 || media >= 0xf8)
}

func parseVFAT(b []byte) (FS, error) {
	sector := le.Uint16(b[11:])
	sectors := uint64(le.Uint16(b[19:]))
	if sectors == 0 {
		sectors = uint64(le.Uint32(b[32:]))
	}
	shift := uint(bits.TrailingZeros16(sector))
	size, err := total(sectors, shift, int64(sector))
	return FS{Type: VFAT, BlockSize: int64(sector), Size: size}, err
}

// foreign names some formats that people may have put where a file system was expected, to make the error a useful one.
func foreign(r io.ReaderAt, size int64, head []byte) string {
	switch {
	case bytes.HasPrefix(head, []byte("XFSB")):
		return "xfs"
	case bytes.HasPrefix(head, []byte("LUKS\xba\xbe")):
		return "LUKS"
	case bytes.HasPrefix(head, []byte("verity\x00\x00")):
		return "a dm-verity hash area"
	case bytes.HasPrefix(head, []byte("sqsh")):
		return "a big-endian squashfs"
	case string(head[3:11]) == "NTFS    ":
		return "ntfs"
	case string(head[3:11]) == "EXFAT   ":
		return "exfat"
	case string(head[512:520]) == "EFI PART":
		return "a partition table"
	case le.Uint32(head[superOffset:]) == 0xf2f52010:
		return "f2fs"
	}
	var magic [8]byte
	if off := int64(0x10040); size >= off+8 && readFull(r, magic[:], off) == nil && string(magic[:]) == "_BHRfS_M" {
		return "btrfs"
	}
	return ""
}
