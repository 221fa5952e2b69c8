// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

// Package dmtable computes device mapper tables: where the bytes of an image lie becomes a dm-linear table.
//
// An image file lies in pieces on its partition, and inside it the data and the hash partition lie wherever its GPT says. One
// dm-linear device gathers both: the data first, so that dm-verity, which has no offset for its data, finds it at sector 0,
// and the hash partition behind it.
//
// Target lines: Documentation/admin-guide/device-mapper/linear.rst. A dm sector has 512 bytes, whatever the disk's have.
package dmtable

import (
	"errors"
	"fmt"

	"github.com/initddi/initddi/internal/extent"
)

// SectorSize is the device mapper's unit in bytes.
const SectorSize = 512

// MaxTargets bounds a linear table. 6,291 targets were loaded in 77 ms under emulation; a file in more pieces than this is
// better copied into memory.
const MaxTargets = 65536

// Reasons why an image cannot be used in place.
var (
	// ErrUnaligned says that a piece does not start or end at a block of the disk.
	ErrUnaligned = errors.New("not aligned to the disk's blocks")
	// ErrFragmented says that there are more than [MaxTargets] pieces.
	ErrFragmented = errors.New("in too many pieces")
)

// Target is one line of a table: sectors of 512 bytes, the target's type and its parameters.
type Target struct {
	Start, Length uint64
	Type          string
	Params        string
}

// String returns the line as dmsetup writes it.
func (t Target) String() string {
	return fmt.Sprintf("%d %d %s %s", t.Start, t.Length, t.Type, t.Params)
}

// Region is a byte range of an image.
type Region struct{ Offset, Length int64 }

// Linear returns the table that puts the data region at sector 0 and the hash region at the next multiple of the hash
// block size behind it, and the byte offset at which the hash region starts. The regions are ranges of the file whose
// bytes lie at file on device; blockSize is the device's logical block size. A gap between the two, which exists only if
// the block sizes differ, is an error target: nothing ever reads it.
//
// It returns an error wrapping [ErrUnaligned], [ErrFragmented] or [extent.ErrOutOfRange]; after the first two the caller can
// copy the image into memory instead.
func Linear(device string, file extent.List, data, hash Region, blockSize, hashBlockSize int64) ([]Target, int64, error) {
	var targets []Target
	var at int64
	add := func(r Region) error {
		pieces, err := file.Slice(r.Offset, r.Length)
		if err != nil {
			return err
		}
		for _, p := range pieces {
			if p.Offset%blockSize != 0 || p.Length%blockSize != 0 {
				return fmt.Errorf("cannot map %d bytes at %d of %s with blocks of %d bytes: %w", p.Length, p.Offset, device, blockSize, ErrUnaligned)
			}
			if len(targets) >= MaxTargets {
				return fmt.Errorf("cannot map more than %d pieces of %s: %w", MaxTargets, device, ErrFragmented)
			}
			targets = append(targets, Target{
				Start: uint64(at / SectorSize), Length: uint64(p.Length / SectorSize),
				Type: "linear", Params: fmt.Sprintf("%s %d", device, p.Offset/SectorSize),
			})
			at += p.Length
		}
		return nil
	}
	if blockSize < SectorSize || hashBlockSize < SectorSize {
		return nil, 0, fmt.Errorf("cannot map %s with blocks of %d and %d bytes: %w", device, blockSize, hashBlockSize, ErrUnaligned)
	}
	if err := add(data); err != nil {
		return nil, 0, err
	}
	if rest := at % hashBlockSize; rest != 0 {
		targets = append(targets, Target{Start: uint64(at / SectorSize), Length: uint64((hashBlockSize - rest) / SectorSize), Type: "error"})
		at += hashBlockSize - rest
	}
	hashStart := at
	if err := add(hash); err != nil {
		return nil, 0, err
	}
	return targets, hashStart, nil
}
