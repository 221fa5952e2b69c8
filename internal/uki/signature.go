// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package uki

import (
	"crypto/sha256"
	"crypto/x509"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"io"

	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"
)

const (
	// maxCertTable bounds the certificate table; Microsoft's own double signatures take under 20 KiB.
	maxCertTable = 1 << 20
	// maxSignatures and maxCertificates bound what one table can make us parse.
	maxSignatures   = 16
	maxCertificates = 64

	winCertPKCS7 = 2 // WIN_CERT_TYPE_PKCS_SIGNED_DATA
)

// Signature describes one Authenticode signature. Nothing of it has been verified.
type Signature struct {
	Signer      string `json:"signer"`      // subject of the signer's certificate, or "unknown" if it is not included
	Issuer      string `json:"issuer"`      // its issuer
	Serial      string `json:"serial"`      // its serial number, hex
	Fingerprint string `json:"fingerprint"` // SHA-256 of the signer's certificate, hex; empty if it is not included
}

// readSignatures reads the attribute certificate table: WIN_CERTIFICATE structures, each padded to eight bytes.
func readSignatures(r io.ReaderAt, off, size int64) ([]Signature, error) {
	if size > maxCertTable {
		return nil, fmt.Errorf("cannot read certificate table of %d bytes: %w (limit %d)", size, ErrTooLarge, maxCertTable)
	}
	b := make([]byte, size)
	if n, err := r.ReadAt(b, off); int64(n) != size {
		return nil, fmt.Errorf("cannot read certificate table (%d of %d bytes): %w", n, size, orEOF(err))
	}
	var out []Signature
	for len(b) >= 8 {
		n := uint64(binary.LittleEndian.Uint32(b))
		if n < 8 || n > uint64(len(b)) {
			return nil, peError("certificate of %d bytes in the %d left of the table", n, len(b))
		}
		if len(out) == maxSignatures {
			return nil, peError("more than %d signatures", maxSignatures)
		}
		if kind := binary.LittleEndian.Uint16(b[6:]); kind == winCertPKCS7 {
			sigs, err := parseSignedData(b[8:n])
			if err != nil {
				return nil, err
			}
			out = append(out, sigs...)
		}
		b = b[min(alignUp(n, 8), uint64(len(b))):]
	}
	return out, nil
}

// parseSignedData names the signers of a PKCS#7 SignedData (RFC 2315 section 9).
func parseSignedData(der []byte) ([]Signature, error) {
	bad := func(what string) ([]Signature, error) {
		return nil, fmt.Errorf("cannot parse Authenticode signature: malformed %s", what)
	}
	var outer, explicit, sd, certs, signers cryptobyte.String
	var oid, hasCerts = cryptobyte.String(nil), false
	in := cryptobyte.String(der)
	tag0 := asn1.Tag(0).ContextSpecific().Constructed()
	if !in.ReadASN1(&outer, asn1.SEQUENCE) || !outer.ReadASN1(&oid, asn1.OBJECT_IDENTIFIER) ||
		!outer.ReadASN1(&explicit, tag0) || !explicit.ReadASN1(&sd, asn1.SEQUENCE) {
		return bad("content info")
	}
	if !sd.SkipASN1(asn1.INTEGER) || !sd.SkipASN1(asn1.SET) || !sd.SkipASN1(asn1.SEQUENCE) ||
		!sd.ReadOptionalASN1(&certs, &hasCerts, tag0) ||
		!sd.SkipOptionalASN1(asn1.Tag(1).ContextSpecific().Constructed()) ||
		!sd.ReadASN1(&signers, asn1.SET) {
		return bad("signed data")
	}
	var known []*x509.Certificate
	for !certs.Empty() {
		var c cryptobyte.String
		if !certs.ReadASN1Element(&c, asn1.SEQUENCE) || len(known) == maxCertificates {
			return bad("certificates")
		}
		// One that this Go version refuses is not a reason to hide the others.
		if cert, err := x509.ParseCertificate(c); err == nil {
			known = append(known, cert)
		}
	}
	var out []Signature
	for !signers.Empty() {
		var si, ias, issuer, serial cryptobyte.String
		if !signers.ReadASN1(&si, asn1.SEQUENCE) || !si.SkipASN1(asn1.INTEGER) || !si.ReadASN1(&ias, asn1.SEQUENCE) ||
			!ias.ReadASN1Element(&issuer, asn1.SEQUENCE) || !ias.ReadASN1(&serial, asn1.INTEGER) || len(out) == maxSignatures {
			return bad("signer")
		}
		out = append(out, describe(known, issuer, serial))
	}
	return out, nil
}

func describe(known []*x509.Certificate, issuer, serial []byte) Signature {
	s := Signature{Signer: "unknown", Serial: hex.EncodeToString(serial)}
	for _, c := range known {
		if string(c.RawIssuer) != string(issuer) || !sameSerial(c, serial) {
			continue
		}
		sum := sha256.Sum256(c.Raw)
		s.Signer, s.Issuer, s.Fingerprint = c.Subject.String(), c.Issuer.String(), hex.EncodeToString(sum[:])
	}
	return s
}

// sameSerial compares a certificate's serial number with the content bytes of a positive DER integer.
func sameSerial(c *x509.Certificate, der []byte) bool {
	for len(der) > 0 && der[0] == 0 {
		der = der[1:]
	}
	return string(c.SerialNumber.Bytes()) == string(der)
}
