// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package signature

import (
	"bytes"
	"fmt"

	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"
)

const (
	// maxMessage bounds a signature message. One signer with its certificate takes about 2 KiB.
	maxMessage = 1 << 20
	// maxSigners bounds the digests and the signers of a message, and so the public key operations.
	maxSigners = 16
	// maxAttributes bounds the attributes of one signer. OpenSSL writes four.
	maxAttributes = 32
)

// message is what counts of a SignedData.
type message struct {
	digests []oid // those without parameters
	signers []signer
}

// signer is a SignerInfo. Exactly one of its two names is set: issuer and serial, or keyID.
type signer struct {
	issuer []byte // DER name
	serial []byte // as in [Certificate]
	keyID  []byte

	digest     algorithm
	attributes []byte // the whole [0] element, nil if absent
	algorithm  algorithm
	value      []byte
}

// String names the signer in messages.
func (s *signer) String() string {
	if s.keyID != nil {
		return "key identifier " + shortHex(s.keyID)
	}
	return fmt.Sprintf("issuer %q serial %s", readableName(s.issuer), shortHex(s.serial))
}

// names tells whether c is the certificate that s says it was made with.
func (s *signer) names(c *Certificate) bool {
	if s.keyID != nil {
		return bytes.Equal(s.keyID, c.KeyID)
	}
	return bytes.Equal(s.issuer, c.RawIssuer) && bytes.Equal(s.serial, c.Serial)
}

// parseMessage reads a ContentInfo with a detached SignedData (RFC 5652, sections 3 and 5.1). The result points into der.
func parseMessage(der []byte) (*message, error) {
	if len(der) > maxMessage {
		return nil, fmt.Errorf("%d bytes, wanted at most %d: %w", len(der), maxMessage, ErrMalformed)
	}
	in := cryptobyte.String(der)
	var info, wrapped, data, set cryptobyte.String
	var kind oid
	if !in.ReadASN1(&info, asn1.SEQUENCE) || !in.Empty() || !readOID(&info, &kind) {
		return nil, malformed("content info")
	}
	if kind != oidSignedData {
		return nil, fmt.Errorf("content type is %v, wanted signedData %v: %w", kind, oidSignedData, ErrUnsupported)
	}
	var version int
	if !info.ReadASN1(&wrapped, constructed0) || !info.Empty() ||
		!wrapped.ReadASN1(&data, asn1.SEQUENCE) || !wrapped.Empty() || !readVersion(&data, &version) {
		return nil, malformed("signed data")
	}
	if version != 1 && version != 3 {
		return nil, fmt.Errorf("signed data has version %d, wanted 1 or 3: %w", version, ErrUnsupported)
	}
	m := &message{}
	if !data.ReadASN1(&set, asn1.SET) {
		return nil, malformed("digest algorithms")
	}
	for n := 0; !set.Empty(); n++ {
		var digest algorithm
		if n == maxSigners || !readAlgorithm(&set, &digest) {
			return nil, malformed("digest algorithms")
		}
		// A digest with parameters is none of ours (RFC 5754, section 2), but may be a stranger's.
		if digest.noParameters() || digest.nullParameters() {
			m.digests = append(m.digests, digest.id)
		}
	}
	if err := skipToSigners(&data); err != nil {
		return nil, err
	}
	if !data.ReadASN1(&set, asn1.SET) || !data.Empty() || set.Empty() {
		return nil, malformed("signers")
	}
	want := 1
	for !set.Empty() {
		if len(m.signers) == maxSigners {
			return nil, fmt.Errorf("more than %d signers: %w", maxSigners, ErrMalformed)
		}
		s, err := readSigner(&set)
		if err != nil {
			return nil, fmt.Errorf("signer %d: %w", len(m.signers)+1, err)
		}
		if s.keyID != nil {
			want = 3
		}
		m.signers = append(m.signers, s)
	}
	if version != want {
		// RFC 5652, section 5.1, for messages that hold nothing but data.
		return nil, fmt.Errorf("signed data has version %d, wanted %d: %w", version, want, ErrMalformed)
	}
	return m, nil
}

// skipToSigners reads the fields between the digests and the signers: the content, which must be plain data and elsewhere,
// and certificates and revocation lists, which are for those who trust the message to bring its own.
func skipToSigners(data *cryptobyte.String) error {
	var content cryptobyte.String
	var kind oid
	if !data.ReadASN1(&content, asn1.SEQUENCE) || !readOID(&content, &kind) {
		return malformed("content")
	}
	if kind != oidData {
		return fmt.Errorf("content is of type %v, wanted data %v: %w", kind, oidData, ErrUnsupported)
	}
	if !content.Empty() {
		// Two contents, this one and the caller's, would be one too many to be sure which was signed.
		return malformed("content is in the message, wanted a detached signature")
	}
	for _, tag := range []asn1.Tag{constructed0, constructed1} {
		var list cryptobyte.String
		var present bool
		if !data.ReadOptionalASN1(&list, &present, tag) || !readCount(list, maxCertificates) {
			return malformed("embedded certificates")
		}
	}
	return nil
}

// readSigner reads a SignerInfo (RFC 5652, section 5.3).
func readSigner(set *cryptobyte.String) (signer, error) {
	var s signer
	var info, name, value, list cryptobyte.String
	var version int
	if !set.ReadASN1(&info, asn1.SEQUENCE) || !readVersion(&info, &version) {
		return s, malformed("outer structure")
	}
	switch version {
	case 1:
		if !info.ReadASN1(&name, asn1.SEQUENCE) || !readElement(&name, &s.issuer, asn1.SEQUENCE) ||
			!readInteger(&name, &s.serial) || !name.Empty() {
			return s, malformed("issuer and serial number")
		}
	case 3:
		if !info.ReadASN1(&name, primitive0) || name.Empty() {
			return s, malformed("subject key identifier")
		}
		s.keyID = name
	default:
		return s, fmt.Errorf("version is %d, wanted 1 or 3: %w", version, ErrUnsupported)
	}
	if !readAlgorithm(&info, &s.digest) {
		return s, malformed("digest algorithm")
	}
	if info.PeekASN1Tag(constructed0) && !readElement(&info, &s.attributes, constructed0) {
		return s, malformed("signed attributes")
	}
	if !readAlgorithm(&info, &s.algorithm) {
		return s, malformed("signature algorithm")
	}
	if !info.ReadASN1(&value, asn1.OCTET_STRING) {
		return s, malformed("signature value")
	}
	s.value = value
	// Unsigned attributes, such as a time stamp, are for others.
	if !info.ReadOptionalASN1(&list, nil, constructed1) || !readCount(list, maxAttributes) || !info.Empty() {
		return s, malformed("unsigned attributes")
	}
	return s, nil
}

// signedAttributes is what RFC 5652, section 5.4, makes of the attributes of a signer.
type signedAttributes struct {
	der    []byte // what the signature covers
	digest []byte // the messageDigest attribute
}

// readAttributes reads the [0] element that holds the signed attributes. Of the two that matter there must be exactly one
// each, with exactly one value. The others (signing time, capabilities) are no business of ours.
func readAttributes(element []byte) (*signedAttributes, error) {
	in := cryptobyte.String(element)
	var list cryptobyte.String
	if !in.ReadASN1(&list, constructed0) || list.Empty() {
		return nil, malformed("signed attributes")
	}
	// The signature covers the attributes as the SET OF that they are, not under the [0] that they travel as. Both tags are
	// one byte, so the length stays.
	a := &signedAttributes{der: bytes.Clone(element)}
	a.der[0] = byte(asn1.SET)
	var contentType oid
	for n := 0; !list.Empty(); n++ {
		var attribute, values, digest cryptobyte.String
		var kind oid
		if n == maxAttributes || !list.ReadASN1(&attribute, asn1.SEQUENCE) || !readOID(&attribute, &kind) ||
			!attribute.ReadASN1(&values, asn1.SET) || !attribute.Empty() {
			return nil, malformed("signed attributes")
		}
		switch kind {
		case oidContentType:
			if contentType != "" || !readOID(&values, &contentType) || !values.Empty() {
				return nil, malformed("contentType attribute")
			}
		case oidMessageDigest:
			if a.digest != nil || !values.ReadASN1(&digest, asn1.OCTET_STRING) || !values.Empty() || digest.Empty() {
				return nil, malformed("messageDigest attribute")
			}
			a.digest = digest
		}
	}
	switch {
	case contentType == "":
		return nil, malformed("contentType attribute is missing")
	case contentType != oidData:
		return nil, fmt.Errorf("contentType attribute is %v, wanted data %v: %w", contentType, oidData, ErrMalformed)
	case a.digest == nil:
		return nil, malformed("messageDigest attribute is missing")
	}
	return a, nil
}

// resemblesAttributes tells whether content has the form of signed attributes: a SET with an Attribute in it.
func resemblesAttributes(content []byte) bool {
	in := cryptobyte.String(content)
	var set, attribute, values cryptobyte.String
	var kind oid
	return in.ReadASN1(&set, asn1.SET) && in.Empty() && set.ReadASN1(&attribute, asn1.SEQUENCE) &&
		readOID(&attribute, &kind) && attribute.ReadASN1(&values, asn1.SET)
}
