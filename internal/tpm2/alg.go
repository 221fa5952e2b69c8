// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package tpm2

import (
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"fmt"
)

// Alg is TPM_ALG_ID of a hash algorithm: TCG Algorithm Registry, 6.
type Alg uint16

// Hash algorithms that a TPM may have a bank of PCRs for.
const (
	SHA1     Alg = 0x0004
	SHA256   Alg = 0x000b
	SHA384   Alg = 0x000c
	SHA512   Alg = 0x000d
	SM3256   Alg = 0x0012
	SHA3_256 Alg = 0x0027
	SHA3_384 Alg = 0x0028
	SHA3_512 Alg = 0x0029
)

// maxDigest is the longest digest there is, in bytes.
const maxDigest = 64

// String returns the name that systemd and tpm2-tools use; a number for what is not known here.
func (a Alg) String() string {
	switch a {
	case SHA1:
		return "sha1"
	case SHA256:
		return "sha256"
	case SHA384:
		return "sha384"
	case SHA512:
		return "sha512"
	case SM3256:
		return "sm3_256"
	case SHA3_256:
		return "sha3_256"
	case SHA3_384:
		return "sha3_384"
	case SHA3_512:
		return "sha3_512"
	}
	return fmt.Sprintf("0x%04x", uint16(a))
}

// Size returns the length of a digest in bytes, 0 for an algorithm that is not known here.
func (a Alg) Size() int {
	switch a {
	case SHA1:
		return 20
	case SHA256, SM3256, SHA3_256:
		return 32
	case SHA384, SHA3_384:
		return 48
	case SHA512, SHA3_512:
		return 64
	}
	return 0
}

// Sum returns the digest of data, nil for an algorithm that Go's standard library need not bring into stage 1.
func (a Alg) Sum(data []byte) []byte {
	switch a {
	case SHA1:
		s := sha1.Sum(data)
		return s[:]
	case SHA256:
		s := sha256.Sum256(data)
		return s[:]
	case SHA384:
		s := sha512.Sum384(data)
		return s[:]
	case SHA512:
		s := sha512.Sum512(data)
		return s[:]
	}
	return nil
}

// Digest is TPMT_HA: a digest and what made it.
type Digest struct {
	Alg   Alg
	Bytes []byte
}
