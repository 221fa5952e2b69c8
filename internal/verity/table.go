// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package verity

import (
	"encoding/hex"
	"strconv"
	"strings"
)

// SectorSize is the unit in bytes of the start and length of a device-mapper target.
const SectorSize = 512

// Table describes one target of type "verity", which covers a whole device.
type Table struct {
	Version                uint32 // the hash type of the superblock; the kernel calls it so
	DataDevice, HashDevice string // path or MAJOR:MINOR
	DataBlockSize          uint32 // in bytes
	HashBlockSize          uint32 // in bytes
	DataBlocks             uint64
	HashStart              uint64 // where the tree begins on HashDevice, in hash blocks
	Algorithm              string
	RootHash, Salt         []byte
	Options                []string // one word each: "restart_on_corruption", "root_hash_sig_key_desc", "NAME"
}

// Table combines the superblock with devices and a root hash. It returns the errors of [Superblock.Validate], and
// [ErrInvalid] for a root hash of the wrong length.
func (s *Superblock) Table(dataDevice, hashDevice string, rootHash []byte, options ...string) (Table, error) {
	if err := s.Validate(); err != nil {
		return Table{}, err
	}
	if err := s.checkRootHash(rootHash); err != nil {
		return Table{}, err
	}
	return Table{
		Version:       s.HashType,
		DataDevice:    dataDevice,
		HashDevice:    hashDevice,
		DataBlockSize: s.DataBlockSize,
		HashBlockSize: s.HashBlockSize,
		DataBlocks:    s.DataBlocks,
		HashStart:     s.HashOffset(),
		Algorithm:     s.Algorithm,
		RootHash:      rootHash,
		Salt:          s.Salt,
		Options:       options,
	}, nil
}

// Sectors returns the length of the target in sectors of [SectorSize].
func (t Table) Sectors() uint64 { return t.DataBlocks * uint64(t.DataBlockSize/SectorSize) }

// Params returns the target's parameters as verity.rst defines them. The root hash is in lower-case hexadecimal digits,
// because the kernel checks a signature against this very text.
func (t Table) Params() string {
	salt := "-"
	if len(t.Salt) > 0 {
		salt = hex.EncodeToString(t.Salt)
	}
	words := []string{
		strconv.FormatUint(uint64(t.Version), 10),
		escape(t.DataDevice),
		escape(t.HashDevice),
		strconv.FormatUint(uint64(t.DataBlockSize), 10),
		strconv.FormatUint(uint64(t.HashBlockSize), 10),
		strconv.FormatUint(t.DataBlocks, 10),
		strconv.FormatUint(t.HashStart, 10),
		escape(t.Algorithm),
		hex.EncodeToString(t.RootHash),
		salt,
	}
	if len(t.Options) > 0 {
		words = append(words, strconv.Itoa(len(t.Options)))
		for _, o := range t.Options {
			words = append(words, escape(o))
		}
	}
	return strings.Join(words, " ")
}

// escape keeps a word one word: dm_split_args splits at white space and takes the character behind a backslash as it is.
func escape(s string) string {
	if !strings.ContainsAny(s, " \t\n\v\f\r\\") {
		return s
	}
	var b strings.Builder
	for i := range len(s) {
		if strings.IndexByte(" \t\n\v\f\r\\", s[i]) >= 0 {
			b.WriteByte('\\')
		}
		b.WriteByte(s[i])
	}
	return b.String()
}
