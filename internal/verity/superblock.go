// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package verity

import (
	"crypto/sha256"
	"crypto/sha512"
	"encoding/binary"
	"errors"
	"fmt"
	"math"

	"github.com/initddi/initddi/internal/guid"
)

const (
	// SuperblockSize is the size in bytes of the superblock, at offset 0 of the hash partition.
	SuperblockSize = 512

	// MaxSaltSize is the length in bytes of the salt field.
	MaxSaltSize = 256

	// minBlockSize is the smallest sector of a block device.
	minBlockSize = 512

	// maxBlockSize is the page size of the machines we support. The kernel refuses data blocks larger than a page; hash
	// blocks could be larger, but nothing makes such images, and a bound keeps the memory for a tree walk small.
	maxBlockSize = 4096

	superblockVersion = 1
	hashTypeNormal    = 1

	magic = "verity\x00\x00"
)

// Offsets of the superblock's fields; all numbers are little-endian.
const (
	offVersion       = 8
	offHashType      = 12
	offUUID          = 16
	offAlgorithm     = 32
	offDataBlockSize = 64
	offHashBlockSize = 68
	offDataBlocks    = 72
	offSaltSize      = 80
	offSalt          = 88

	algorithmSize = offDataBlockSize - offAlgorithm
)

var (
	// ErrNoSuperblock says that there is no dm-verity superblock at this place.
	ErrNoSuperblock = errors.New("no dm-verity superblock")

	// ErrUnsupported says that a value is outside the allow-list of this package, though the kernel may know it.
	ErrUnsupported = errors.New("unsupported")

	// ErrInvalid says that a value makes no sense in any implementation.
	ErrInvalid = errors.New("invalid")

	// ErrTooSmall says that a partition cannot hold what the superblock describes.
	ErrTooSmall = errors.New("partition too small")
)

// Superblock holds the parameters of a verity device. They are not authenticated, see the package documentation.
//
// The methods that compute sizes are meaningful only where [Superblock.Validate] returns nil, as it does for every
// Superblock from [ParseSuperblock].
type Superblock struct {
	UUID          guid.GUID // of the hash partition; stored in text order
	HashType      uint32    // 1
	Algorithm     string    // "sha256", "sha384" or "sha512"
	DataBlockSize uint32    // in bytes: 512, 1024, 2048 or 4096
	HashBlockSize uint32    // likewise
	DataBlocks    uint64    // number of data blocks, at least 1
	Salt          []byte    // at most MaxSaltSize bytes, may be empty
}

// ParseSuperblock reads the superblock at the start of b, which must hold at least [SuperblockSize] bytes.
//
// It returns an error that wraps [ErrNoSuperblock] for another content, [ErrUnsupported] for a version, hash type,
// algorithm or block size outside the allow-list, and [ErrInvalid] for impossible values. Reserved bytes, and bytes
// behind the end of the algorithm's name and of the salt, are ignored, as veritysetup ignores them: no hash covers them,
// and nobody reads them.
func ParseSuperblock(b []byte) (*Superblock, error) {
	if len(b) < SuperblockSize {
		return nil, fmt.Errorf("cannot read superblock: %w: %d bytes, want %d", ErrNoSuperblock, len(b), SuperblockSize)
	}
	if string(b[:len(magic)]) != magic {
		return nil, fmt.Errorf("cannot read superblock: %w: magic is %q, want %q", ErrNoSuperblock, b[:len(magic)], magic)
	}
	le := binary.LittleEndian
	if v := le.Uint32(b[offVersion:]); v != superblockVersion {
		return nil, fmt.Errorf("cannot read superblock: %w superblock version %d, want %d", ErrUnsupported, v, superblockVersion)
	}
	saltSize := int(le.Uint16(b[offSaltSize:]))
	if saltSize > MaxSaltSize {
		return nil, fmt.Errorf("cannot read superblock: %w salt size %d, the most is %d", ErrInvalid, saltSize, MaxSaltSize)
	}
	algorithm := b[offAlgorithm : offAlgorithm+algorithmSize]
	for i, c := range algorithm {
		if c == 0 {
			algorithm = algorithm[:i]
			break
		}
	}
	s := &Superblock{
		UUID:          guid.GUID(b[offUUID : offUUID+16]),
		HashType:      le.Uint32(b[offHashType:]),
		Algorithm:     string(algorithm),
		DataBlockSize: le.Uint32(b[offDataBlockSize:]),
		HashBlockSize: le.Uint32(b[offHashBlockSize:]),
		DataBlocks:    le.Uint64(b[offDataBlocks:]),
		Salt:          append([]byte(nil), b[offSalt:offSalt+saltSize]...),
	}
	if err := s.Validate(); err != nil {
		return nil, fmt.Errorf("cannot read superblock: %w", err)
	}
	return s, nil
}

// MarshalBinary returns the superblock's [SuperblockSize] bytes with all reserved bytes zero. The errors are those of
// [Superblock.Validate].
func (s *Superblock) MarshalBinary() ([]byte, error) {
	if err := s.Validate(); err != nil {
		return nil, fmt.Errorf("cannot write superblock: %w", err)
	}
	b := make([]byte, SuperblockSize)
	le := binary.LittleEndian
	copy(b, magic)
	le.PutUint32(b[offVersion:], superblockVersion)
	le.PutUint32(b[offHashType:], s.HashType)
	copy(b[offUUID:], s.UUID[:])
	copy(b[offAlgorithm:], s.Algorithm)
	le.PutUint32(b[offDataBlockSize:], s.DataBlockSize)
	le.PutUint32(b[offHashBlockSize:], s.HashBlockSize)
	le.PutUint64(b[offDataBlocks:], s.DataBlocks)
	le.PutUint16(b[offSaltSize:], uint16(len(s.Salt)))
	copy(b[offSalt:], s.Salt)
	return b, nil
}

// Validate checks every field against the allow-list. It returns an error that wraps [ErrUnsupported] or [ErrInvalid].
// After it returned nil no size that the methods compute overflows.
func (s *Superblock) Validate() error {
	if s.HashType != hashTypeNormal {
		return fmt.Errorf("%w hash type %d, want %d", ErrUnsupported, s.HashType, hashTypeNormal)
	}
	if s.DigestSize() == 0 {
		return fmt.Errorf("%w hash algorithm %q, want sha256, sha384 or sha512", ErrUnsupported, s.Algorithm)
	}
	if !validBlockSize(s.DataBlockSize) {
		return fmt.Errorf("%w data block size %d, want 512, 1024, 2048 or 4096", ErrUnsupported, s.DataBlockSize)
	}
	if !validBlockSize(s.HashBlockSize) {
		return fmt.Errorf("%w hash block size %d, want 512, 1024, 2048 or 4096", ErrUnsupported, s.HashBlockSize)
	}
	if len(s.Salt) > MaxSaltSize {
		return fmt.Errorf("%w salt size %d, the most is %d", ErrInvalid, len(s.Salt), MaxSaltSize)
	}
	// The tree takes at most 64 bytes times 8/7 for each data block of at least 512 bytes, so a data size that fits
	// leaves room for the tree's.
	if most := math.MaxInt64 / uint64(s.DataBlockSize); s.DataBlocks == 0 || s.DataBlocks > most {
		return fmt.Errorf("%w number of data blocks %d, want 1 to %d", ErrInvalid, s.DataBlocks, most)
	}
	return nil
}

func validBlockSize(n uint32) bool {
	return n >= minBlockSize && n <= maxBlockSize && n&(n-1) == 0
}

// DigestSize returns the length in bytes of the root hash, or 0 for an algorithm outside the allow-list.
func (s *Superblock) DigestSize() int {
	switch s.Algorithm {
	case "sha256":
		return sha256.Size
	case "sha384":
		return sha512.Size384
	case "sha512":
		return sha512.Size
	}
	return 0
}

// DataSize returns the number of bytes that the verity device has.
func (s *Superblock) DataSize() int64 { return int64(s.DataBlocks) * int64(s.DataBlockSize) }

// HashOffset returns the number of the hash block at which the tree begins, the first one that starts behind the
// superblock. It is always 1, because the superblock fits into a block of any size.
func (s *Superblock) HashOffset() uint64 { return 1 }

// HashTreeSize returns the number of bytes in use on the hash partition, from its start, the superblock's block included.
// It is 0 for a Superblock that is not valid.
func (s *Superblock) HashTreeSize() int64 {
	if s.Validate() != nil {
		return 0
	}
	return int64(newTree(s).end) * int64(s.HashBlockSize)
}

// Check compares what the superblock describes with the sizes in bytes of the two partitions. It returns an error that
// wraps [ErrTooSmall] if one of them is too small, and the errors of [Superblock.Validate].
func (s *Superblock) Check(dataPartition, hashPartition int64) error {
	if err := s.Validate(); err != nil {
		return err
	}
	if n := s.DataSize(); n > dataPartition {
		return fmt.Errorf("cannot use data partition: %w: it has %d bytes, the superblock says %d", ErrTooSmall, dataPartition, n)
	}
	if n := s.HashTreeSize(); n > hashPartition {
		return fmt.Errorf("cannot use hash partition: %w: it has %d bytes, the superblock says %d", ErrTooSmall, hashPartition, n)
	}
	return nil
}
