// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package signature

import (
	"encoding/hex"
	"fmt"
	"strings"
)

// ParseRootHash reads the content of a file NAME.roothash or NAME.usrhash: a root hash of 256, 384 or 512 bits, whole, in
// hexadecimal digits of either case, and at most a line end behind them. Errors wrap [ErrMalformed].
func ParseRootHash(b []byte) ([]byte, error) {
	const longest = 128 + len("\r\n")
	if len(b) > longest {
		return nil, fmt.Errorf("cannot read a root hash: %d bytes, wanted at most %d: %w", len(b), longest, ErrMalformed)
	}
	text := strings.TrimSuffix(strings.TrimSuffix(string(b), "\n"), "\r")
	return RootHashOf(text)
}

// RootHashOf reads a root hash as keys and options have it: 256, 384 or 512 bits, whole, because half a hash pins nothing, in hexadecimal
// digits of either case and nothing else. Errors wrap [ErrMalformed].
func RootHashOf(text string) ([]byte, error) {
	hash, err := hex.DecodeString(text)
	if err != nil || len(hash) != 32 && len(hash) != 48 && len(hash) != 64 {
		return nil, fmt.Errorf("cannot read the root hash %q: it takes a whole one, 64, 96 or 128 hexadecimal digits: %w", text, ErrMalformed)
	}
	return hash, nil
}
