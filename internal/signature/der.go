// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package signature

import (
	"fmt"

	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"
)

// Context-specific tags of RFC 5280 and RFC 5652: those that hold other elements, and those that hold plain bytes.
const (
	constructed0 asn1.Tag = 0xa0
	constructed1 asn1.Tag = 0xa1
	constructed3 asn1.Tag = 0xa3
	primitive0   asn1.Tag = 0x80
	primitive1   asn1.Tag = 0x81
	primitive2   asn1.Tag = 0x82
)

// malformed returns an error that says which part of the input is wrong.
func malformed(part string) error { return fmt.Errorf("%s: %w", part, ErrMalformed) }

// algorithm is an AlgorithmIdentifier (RFC 5280, section 4.1.1.2).
type algorithm struct {
	id         oid
	parameters cryptobyte.String // one DER element, or empty when absent
}

// noParameters tells whether the parameters are absent, as RFC 5758 and RFC 8410 want them.
func (a algorithm) noParameters() bool { return len(a.parameters) == 0 }

// nullParameters tells whether the parameters are NULL, as RFC 3279 wants them for RSA.
func (a algorithm) nullParameters() bool { return string(a.parameters) == "\x05\x00" }

func readAlgorithm(s *cryptobyte.String, out *algorithm) bool {
	var seq cryptobyte.String
	if !s.ReadASN1(&seq, asn1.SEQUENCE) || !readOID(&seq, &out.id) {
		return false
	}
	out.parameters = seq
	return seq.Empty() || readAny(&seq, nil) && seq.Empty()
}

func readOID(s *cryptobyte.String, out *oid) bool {
	var b cryptobyte.String
	if !s.ReadASN1(&b, asn1.OBJECT_IDENTIFIER) || b.Empty() {
		return false
	}
	// Each number is as short as it can be and ends (X.690, 8.19.2): otherwise the same identifier had two encodings.
	first := true
	for _, c := range b {
		if first && c == 0x80 {
			return false
		}
		first = c < 0x80
	}
	*out = oid(b)
	return first
}

// readInteger reads an INTEGER of any sign and size as its content bytes, in two's complement and minimal, so that equal
// numbers are equal bytes.
func readInteger(s *cryptobyte.String, out *[]byte) bool {
	var b cryptobyte.String
	if !s.ReadASN1(&b, asn1.INTEGER) || b.Empty() {
		return false
	}
	if len(b) > 1 && (b[0] == 0 && b[1] < 0x80 || b[0] == 0xff && b[1] >= 0x80) {
		return false
	}
	*out = b
	return true
}

// readUnsigned reads an INTEGER that must not be negative as big-endian bytes without leading zeros.
func readUnsigned(s *cryptobyte.String, out *[]byte) bool {
	if !readInteger(s, out) || (*out)[0] >= 0x80 {
		return false
	}
	if (*out)[0] == 0 {
		*out = (*out)[1:]
	}
	return true
}

// readVersion reads the small INTEGER that the structures of CMS and X.509 begin with.
func readVersion(s *cryptobyte.String, out *int) bool {
	var b []byte
	if !readInteger(s, &b) || len(b) != 1 || b[0] >= 0x80 {
		return false
	}
	*out = int(b[0])
	return true
}

// readElement reads one element with its tag and length.
func readElement(s *cryptobyte.String, out *[]byte, tag asn1.Tag) bool {
	var e cryptobyte.String
	if !s.ReadASN1Element(&e, tag) {
		return false
	}
	*out = e
	return true
}

// readAny reads one element of any tag; out may be nil.
func readAny(s *cryptobyte.String, out *asn1.Tag) bool {
	var e cryptobyte.String
	var tag asn1.Tag
	if !s.ReadAnyASN1Element(&e, &tag) {
		return false
	}
	if out != nil {
		*out = tag
	}
	return true
}

// readCount reads elements of any tag until s is empty and reports whether there were at most limit.
func readCount(s cryptobyte.String, limit int) bool {
	for n := 0; !s.Empty(); n++ {
		if n == limit || !readAny(&s, nil) {
			return false
		}
	}
	return true
}
