// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package nbd

import (
	"errors"
	"fmt"
	"math"
)

// Flags are the transmission flags of an export ("Transmission flags" of the protocol, include/uapi/linux/nbd.h).
type Flags uint16

// The flags that are looked at.
const (
	HasFlags     Flags = 1 << 0
	ReadOnly     Flags = 1 << 1
	CanMultiConn Flags = 1 << 8
)

// Sizes are a server's size constraints, in bytes (NBD_INFO_BLOCK_SIZE). All zero: it has none beyond the protocol's defaults.
type Sizes struct {
	Minimum   uint32 // of a request, and what its offset is a multiple of
	Preferred uint32
	Maximum   uint32 // of a request
}

// Export is what a server says of an export.
type Export struct {
	Size  uint64 // in bytes
	Flags Flags
	Sizes Sizes
}

// ErrUnusable says that an export cannot be made a block device of.
var ErrUnusable = errors.New("it cannot be made a block device of")

const (
	sectorSize = 512
	// maxBlockSize is the largest block that every kernel takes: a page of the smallest kind.
	maxBlockSize = 4096
	// kernelRequest is the largest request that the kernel's driver makes, by its own limit of 256 sectors (drivers/block/nbd.c,
	// max_sectors). No message tells it to make smaller ones.
	kernelRequest = 128 << 10
)

// Geometry is a block device over an export.
type Geometry struct {
	Size      uint64 // in bytes, a multiple of BlockSize, not 0
	BlockSize uint32 // the logical block size in bytes: 512 to 4,096, a power of two
}

// Geometry returns the block device that the kernel can make of e. What does not fill a block at its end is not reached. The error
// wraps [ErrUnusable].
func (e Export) Geometry() (Geometry, error) {
	g := Geometry{BlockSize: max(sectorSize, e.Sizes.Minimum)}
	switch {
	case g.BlockSize > maxBlockSize:
		return Geometry{}, fmt.Errorf("its smallest request has %d bytes, the kernel's blocks at most %d: %w", e.Sizes.Minimum, maxBlockSize, ErrUnusable)
	case e.Sizes.Maximum != 0 && e.Sizes.Maximum < kernelRequest:
		return Geometry{}, fmt.Errorf("its largest request has %d bytes, the kernel's have %d: %w", e.Sizes.Maximum, kernelRequest, ErrUnusable)
	}
	g.Size = e.Size - e.Size%uint64(g.BlockSize)
	if g.Size == 0 || g.Size > math.MaxInt64 {
		return Geometry{}, fmt.Errorf("it has %d bytes: %w", e.Size, ErrUnusable)
	}
	return g, nil
}

// KernelFlags are the flags to tell the kernel for a device over some connections: read-only whatever the server says, so that
// neither writing nor flushing nor discarding is ever asked of it.
func KernelFlags(connections int) Flags {
	if connections > 1 {
		return HasFlags | ReadOnly | CanMultiConn
	}
	return HasFlags | ReadOnly
}
