// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package guest

import "math/rand/v2"

// A file in test images whose content everybody can make: the init reads all of it and tells which blocks it got, so that a
// block that is not what was signed shows, whether it is read as an error or, which must never be, as data.
const (
	PayloadPath = "/usr/lib/payload"
	// PayloadBlocks is its size in blocks; more than two blocks of SHA-256 digests cover.
	PayloadBlocks = 300
	// PayloadBlockSize is that of dm-verity and of the file system, in bytes.
	PayloadBlockSize = 4096
)

// PayloadBlock returns a block of the payload. No two are the same, and none can be compressed.
func PayloadBlock(n int) []byte {
	r := rand.NewChaCha8([32]byte{0: byte(n), 1: byte(n >> 8), 2: 'p'})
	b := make([]byte, PayloadBlockSize)
	_, _ = r.Read(b) // never fails
	return b
}

// Payload returns the whole of it.
func Payload() []byte {
	var out []byte
	for n := range PayloadBlocks {
		out = append(out, PayloadBlock(n)...)
	}
	return out
}

// PayloadFacts is what the init got of the payload.
type PayloadFacts struct {
	// Bad are the numbers of the blocks that could not be read, and Errors why, each reason once.
	Bad    []int    `json:"bad,omitempty"`
	Errors []string `json:"errors,omitempty"`
	// SHA256 is over all blocks, with zeros for those that could not be read, in hexadecimal.
	SHA256 string `json:"sha256"`
}
