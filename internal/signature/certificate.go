// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package signature

import (
	"bytes"
	"crypto"
	"crypto/sha256"
	"encoding/hex"
	"encoding/pem"
	"fmt"
	"strings"

	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"
)

const (
	// maxCertificate bounds the DER of one certificate. Real ones have one to three kilobytes.
	maxCertificate = 64 << 10
	// maxPEM bounds a *.crt file, which may have text around its certificates.
	maxPEM = 1 << 20
	// maxCertificates bounds both the certificates of one file and those embedded in a message.
	maxCertificates = 32
)

// Certificate is the part of an X.509 certificate that says which key goes by which name. Nothing in it has been checked
// against anything: being in the trust store is all that makes a certificate good.
type Certificate struct {
	// Raw is the whole certificate in DER; the other slices are copies of parts of it.
	Raw []byte
	// RawIssuer and RawSubject are the names in DER, with tag and length.
	RawIssuer  []byte
	RawSubject []byte
	// Serial is the serial number: big-endian two's complement, minimal, possibly negative.
	Serial []byte
	// KeyID is the subject key identifier extension, nil if there is none.
	KeyID []byte
	// PublicKey is an *rsa.PublicKey, *ecdsa.PublicKey or ed25519.PublicKey; nil for a key that this package cannot use.
	// It may be too weak: see [Certificate.CheckKey].
	PublicKey crypto.PublicKey
	// KeyAlgorithm names the key for people: "RSA-2048", "ECDSA P-256", "Ed25519", or what else was found.
	KeyAlgorithm string
	// Subject is the subject's common name, else its organization, else empty: at most 64 printable ASCII characters,
	// anything else replaced by "?". It is for messages; never compare it.
	Subject string
}

// Fingerprint returns the SHA-256 of the DER certificate, the certificateFingerprint of signature partitions.
func (c *Certificate) Fingerprint() [32]byte { return sha256.Sum256(c.Raw) }

// String names the certificate in messages.
func (c *Certificate) String() string {
	return fmt.Sprintf("%q (serial %s, %s)", c.Subject, shortHex(c.Serial), c.KeyAlgorithm)
}

// ParseCertificate reads one DER certificate of at most 64 KiB, with nothing after it. It does not judge the key; a
// certificate with a weak or unknown kind of key parses, so that it can be shown, and never verifies anything. Errors wrap
// [ErrMalformed].
func ParseCertificate(der []byte) (*Certificate, error) {
	c, err := parseCertificate(der)
	if err != nil {
		return nil, fmt.Errorf("cannot parse certificate: %w", err)
	}
	return c, nil
}

// ParseCertificatesPEM reads the CERTIFICATE blocks of a PEM file of at most 1 MiB, at least one and at most 32 of them, and
// skips other blocks and text. Errors wrap [ErrMalformed]; one bad certificate refuses the file.
//
// systemd uses only the first certificate of each *.crt file. A caller that wants to trust exactly what systemd does takes
// the first one too.
func ParseCertificatesPEM(data []byte) ([]*Certificate, error) {
	if len(data) > maxPEM {
		return nil, fmt.Errorf("cannot parse certificates: %d bytes, wanted at most %d: %w", len(data), maxPEM, ErrMalformed)
	}
	var out []*Certificate
	for block, rest := pem.Decode(data); block != nil; block, rest = pem.Decode(rest) {
		if block.Type != "CERTIFICATE" {
			continue
		}
		if len(out) == maxCertificates {
			return nil, fmt.Errorf("cannot parse certificates: more than %d in one file: %w", maxCertificates, ErrMalformed)
		}
		c, err := parseCertificate(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("cannot parse certificate %d: %w", len(out)+1, err)
		}
		out = append(out, c)
	}
	// The PEM reader passes over blocks that it cannot decode. A trust store with a hole must not look whole.
	if n := bytes.Count(data, []byte("-----BEGIN CERTIFICATE-----")); n != len(out) {
		return nil, fmt.Errorf("cannot parse certificates: only %d of %d PEM blocks are readable: %w", len(out), n, ErrMalformed)
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("cannot parse certificates: no CERTIFICATE block: %w", ErrMalformed)
	}
	return out, nil
}

// parseCertificate follows RFC 5280, section 4.1.
func parseCertificate(der []byte) (*Certificate, error) {
	if len(der) > maxCertificate {
		return nil, fmt.Errorf("%d bytes, wanted at most %d: %w", len(der), maxCertificate, ErrMalformed)
	}
	c := &Certificate{Raw: bytes.Clone(der)}
	in := cryptobyte.String(c.Raw)
	var cert, tbs, spki cryptobyte.String
	var alg algorithm
	var sig []byte
	if !in.ReadASN1(&cert, asn1.SEQUENCE) || !in.Empty() ||
		!cert.ReadASN1(&tbs, asn1.SEQUENCE) ||
		!readAlgorithm(&cert, &alg) ||
		!cert.ReadASN1BitStringAsBytes(&sig) || !cert.Empty() {
		return nil, malformed("outer structure")
	}
	version, err := readCertificateVersion(&tbs)
	if err != nil {
		return nil, err
	}
	switch {
	case !readInteger(&tbs, &c.Serial):
		return nil, malformed("serial number")
	case !readAlgorithm(&tbs, &alg):
		return nil, malformed("signature algorithm")
	case !readElement(&tbs, &c.RawIssuer, asn1.SEQUENCE):
		return nil, malformed("issuer")
	case !tbs.SkipASN1(asn1.SEQUENCE):
		return nil, malformed("validity")
	case !readElement(&tbs, &c.RawSubject, asn1.SEQUENCE):
		return nil, malformed("subject")
	case !tbs.ReadASN1(&spki, asn1.SEQUENCE):
		return nil, malformed("public key")
	case !tbs.SkipOptionalASN1(primitive1) || !tbs.SkipOptionalASN1(primitive2):
		return nil, malformed("unique identifiers")
	}
	if err := c.readPublicKey(spki); err != nil {
		return nil, err
	}
	if err := c.readExtensions(tbs, version); err != nil {
		return nil, err
	}
	c.Subject = readableName(c.RawSubject)
	return c, nil
}

// readCertificateVersion reads the optional version field: 1 when it is absent, else 2 or 3.
func readCertificateVersion(tbs *cryptobyte.String) (int, error) {
	if !tbs.PeekASN1Tag(constructed0) {
		return 1, nil
	}
	var field cryptobyte.String
	var v int
	if !tbs.ReadASN1(&field, constructed0) || !readVersion(&field, &v) || !field.Empty() || v < 1 || v > 2 {
		return 0, malformed("version")
	}
	return v + 1, nil
}

// readExtensions reads the last field of a certificate for its subject key identifier.
func (c *Certificate) readExtensions(tbs cryptobyte.String, version int) error {
	if tbs.Empty() {
		return nil
	}
	var field, list cryptobyte.String
	if version != 3 || !tbs.ReadASN1(&field, constructed3) || !tbs.Empty() ||
		!field.ReadASN1(&list, asn1.SEQUENCE) || !field.Empty() {
		return malformed("extensions")
	}
	for !list.Empty() {
		var ext, value, id cryptobyte.String
		var name oid
		if !list.ReadASN1(&ext, asn1.SEQUENCE) || !readOID(&ext, &name) ||
			!ext.SkipOptionalASN1(asn1.BOOLEAN) || !ext.ReadASN1(&value, asn1.OCTET_STRING) || !ext.Empty() {
			return malformed("extensions")
		}
		if name != oidSubjectKeyIdentifier {
			continue
		}
		if c.KeyID != nil || !value.ReadASN1(&id, asn1.OCTET_STRING) || !value.Empty() || id.Empty() {
			return malformed("subject key identifier")
		}
		c.KeyID = id
	}
	return nil
}

// readableName picks the common name or the organization out of a DER name. A name that it cannot read is "".
func readableName(der []byte) string {
	in := cryptobyte.String(der)
	var name, organization cryptobyte.String
	if !in.ReadASN1(&name, asn1.SEQUENCE) {
		return ""
	}
	for !name.Empty() {
		var rdn cryptobyte.String
		if !name.ReadASN1(&rdn, asn1.SET) {
			break
		}
		for !rdn.Empty() {
			var attribute, value cryptobyte.String
			var kind oid
			var tag asn1.Tag
			if !rdn.ReadASN1(&attribute, asn1.SEQUENCE) || !readOID(&attribute, &kind) ||
				!attribute.ReadAnyASN1(&value, &tag) {
				break
			}
			switch kind {
			case oidCommonName:
				return printable(value)
			case oidOrganization:
				organization = value
			}
		}
	}
	return printable(organization)
}

// printable makes bytes of any encoding safe for a console and a log line.
func printable(b []byte) string {
	const limit = 64
	var out strings.Builder
	for _, r := range string(b[:min(len(b), 4*limit)]) {
		if out.Len() == limit {
			break
		}
		if r < ' ' || r > '~' {
			r = '?'
		}
		out.WriteByte(byte(r))
	}
	return out.String()
}

// shortHex renders bytes that may come from a stranger: serial numbers have at most 20 bytes (RFC 5280), but nobody checks.
func shortHex(b []byte) string {
	const limit = 24
	if len(b) > limit {
		return hex.EncodeToString(b[:limit]) + "…"
	}
	return hex.EncodeToString(b)
}
