// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package signature

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"fmt"

	"github.com/initddi/initddi/internal/jsontext"
)

const (
	// maxDocument bounds a signature partition, as systemd does (acquire_sig_for_roothash in dissect-image.c).
	maxDocument = 4 << 20
	// maxFields bounds the fields of the object. Three are defined; the others are for a future that must not fail today.
	maxFields = 64
	// documentSize and documentAlign are what systemd-repart makes: four blocks, and what the specification says beyond.
	documentSize  = 16 << 10
	documentAlign = 4096
)

// Document is the content of a signature partition (root-verity-sig, usr-verity-sig): a JSON object, NUL padded
// (Discoverable Partitions Specification). Reading one proves nothing; see [Verify].
type Document struct {
	// RootHash is the root hash of the verity partitions that the document goes with: 32, 48 or 64 bytes.
	RootHash []byte
	// Signature is the detached PKCS#7 message over [Content] of RootHash, in DER.
	Signature []byte
	// CertificateFingerprint is the SHA-256 of the signer's DER certificate, nil if absent. It is a hint for people.
	CertificateFingerprint []byte
}

// ParseDocument reads a signature partition: at most 4 MiB, one JSON object, then nothing but NULs (or nothing). rootHash
// and signature must be there; certificateFingerprint may be; fields of other names are ignored.
//
// It is stricter than systemd, for one document must not mean two things: names are compared with case, none may come
// twice, hexadecimal is lower case (the signature covers those very characters), and base64 has its padding and no line
// breaks. Errors wrap [ErrMalformed], or [ErrWeak] for a root hash shorter than 32 bytes.
func ParseDocument(b []byte) (*Document, error) {
	d, err := parseDocument(b)
	if err != nil {
		return nil, fmt.Errorf("cannot parse signature partition: %w", err)
	}
	return d, nil
}

func parseDocument(b []byte) (*Document, error) {
	if len(b) > maxDocument {
		return nil, fmt.Errorf("%d bytes, wanted at most %d: %w", len(b), maxDocument, ErrMalformed)
	}
	text, padding := b, []byte(nil)
	if i := bytes.IndexByte(b, 0); i >= 0 {
		text, padding = b[:i], b[i:]
	}
	for i, c := range padding {
		if c != 0 {
			return nil, fmt.Errorf("byte %d after the end is %#02x, wanted NUL: %w", len(text)+i, c, ErrMalformed)
		}
	}
	fields, err := jsontext.Object(text, maxFields)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", err, ErrMalformed)
	}
	d := &Document{}
	if d.RootHash, err = readHex(fields, "rootHash"); err != nil {
		return nil, err
	}
	if err := checkRootHash(d.RootHash); err != nil {
		return nil, err
	}
	if d.Signature, err = readBase64(fields, "signature"); err != nil {
		return nil, err
	}
	if find(fields, "certificateFingerprint") != nil {
		if d.CertificateFingerprint, err = readHex(fields, "certificateFingerprint"); err != nil {
			return nil, err
		}
		if n := len(d.CertificateFingerprint); n != 32 {
			return nil, fmt.Errorf("certificateFingerprint has %d bytes, wanted 32: %w", n, ErrMalformed)
		}
	}
	return d, nil
}

// Encode returns d as systemd-repart writes it: compact JSON, padded with NULs to 16 KiB, or beyond that to the next multiple
// of 4096. [ParseDocument] gives d back. Errors are as there.
func (d Document) Encode() ([]byte, error) {
	if err := checkRootHash(d.RootHash); err != nil {
		return nil, fmt.Errorf("cannot encode signature partition: %w", err)
	}
	if n := len(d.Signature); n == 0 || n > maxMessage {
		return nil, fmt.Errorf("cannot encode signature partition: signature has %d bytes, wanted 1 to %d: %w", n, maxMessage, ErrMalformed)
	}
	// Neither alphabet has a character that JSON escapes.
	out := fmt.Appendf(nil, `{"rootHash":"%x"`, d.RootHash)
	if d.CertificateFingerprint != nil {
		if n := len(d.CertificateFingerprint); n != 32 {
			return nil, fmt.Errorf("cannot encode signature partition: certificateFingerprint has %d bytes, wanted 32: %w", n, ErrMalformed)
		}
		out = fmt.Appendf(out, `,"certificateFingerprint":"%x"`, d.CertificateFingerprint)
	}
	out = fmt.Appendf(out, `,"signature":"%s"}`, base64.StdEncoding.EncodeToString(d.Signature))
	size := max(documentSize, (len(out)+documentAlign-1)/documentAlign*documentAlign)
	return append(out, make([]byte, size-len(out))...), nil
}

// checkRootHash allows the sizes of SHA-256, SHA-384 and SHA-512 and of what else is as long.
func checkRootHash(h []byte) error {
	switch n := len(h); {
	case n < 32:
		return fmt.Errorf("rootHash has %d bytes, wanted 32, 48 or 64: %w", n, ErrWeak)
	case n != 32 && n != 48 && n != 64:
		return fmt.Errorf("rootHash has %d bytes, wanted 32, 48 or 64: %w", n, ErrMalformed)
	}
	return nil
}

// find returns the value of a field, nil if there is none.
func find(fields []jsontext.Member, name string) []byte {
	for _, f := range fields {
		if f.Name == name {
			return f.Value
		}
	}
	return nil
}

// readString finds a field that must be a string.
func readString(fields []jsontext.Member, name string) (string, error) {
	value := find(fields, name)
	if value == nil {
		return "", fmt.Errorf("field %q is missing: %w", name, ErrMalformed)
	}
	s, err := jsontext.String(value)
	if err != nil {
		return "", fmt.Errorf("field %q is not a string: %w", name, ErrMalformed)
	}
	return s, nil
}

// readHex finds a field of lower-case hexadecimal digits.
func readHex(fields []jsontext.Member, name string) ([]byte, error) {
	s, err := readString(fields, name)
	if err != nil {
		return nil, err
	}
	b, err := hex.DecodeString(s)
	if err != nil || hex.EncodeToString(b) != s {
		return nil, fmt.Errorf("field %q is %q, wanted lower-case hexadecimal: %w", name, printable([]byte(s)), ErrMalformed)
	}
	return b, nil
}

// readBase64 finds a field that holds a signature message in base64 (RFC 4648, section 4).
func readBase64(fields []jsontext.Member, name string) ([]byte, error) {
	s, err := readString(fields, name)
	if err != nil {
		return nil, err
	}
	if n := base64.StdEncoding.DecodedLen(len(s)); n > maxMessage+2 {
		return nil, fmt.Errorf("field %q has %d bytes, wanted at most %d: %w", name, n, maxMessage, ErrMalformed)
	}
	b, err := base64.StdEncoding.DecodeString(s)
	if err != nil || len(b) == 0 || len(b) > maxMessage || base64.StdEncoding.EncodeToString(b) != s {
		return nil, fmt.Errorf("field %q is %q, wanted base64: %w", name, printable([]byte(s)), ErrMalformed)
	}
	return b, nil
}
