// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package signature

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
)

// Content returns what is signed for a root hash: its lower-case hexadecimal digits in ASCII, with no newline and no NUL.
func Content(roothash []byte) []byte { return hex.AppendEncode(nil, roothash) }

// Verify checks der, a detached SignedData message, over content, and returns the element of trusted that made the first
// good signature in the order of the message. The package comment says who is believed and what is accepted.
//
// Errors wrap [ErrMalformed] when der is not such a message or its content is inside, [ErrUnknownSigner] when none of its
// signers is in trusted, and for any signer that is in trusted [ErrBadSignature], [ErrWeak] or [ErrUnsupported]. Other
// signers are not looked at.
func Verify(der []byte, content []byte, trusted []*Certificate) (*Certificate, error) {
	m, err := parseMessage(der)
	if err != nil {
		return nil, fmt.Errorf("cannot parse signature: %w", err)
	}
	var first *Certificate
	for i := range m.signers {
		s := &m.signers[i]
		c, err := m.verifySigner(s, content, trusted)
		if err != nil {
			return nil, fmt.Errorf("cannot verify signature of %v: %w", s, err)
		}
		if first == nil {
			first = c
		}
	}
	if first == nil {
		return nil, fmt.Errorf("cannot verify signature: made by %s, wanted one of %d trusted certificates: %w",
			m.signerList(), len(trusted), ErrUnknownSigner)
	}
	return first, nil
}

// verifySigner returns the certificate of trusted whose key made the signature of s; nil without an error if trusted has
// none by that name.
func (m *message) verifySigner(s *signer, content []byte, trusted []*Certificate) (*Certificate, error) {
	var failure error
	for _, c := range trusted {
		if !s.names(c) {
			continue
		}
		err := m.verifyWith(c, s, content)
		if err == nil {
			return c, nil
		}
		if failure == nil {
			failure = err
		}
	}
	return nil, failure
}

// verifyWith is the decision: whether s, which goes by the name of c, was made over content with the key of c.
func (m *message) verifyWith(c *Certificate, s *signer, content []byte) error {
	if err := c.CheckKey(); err != nil {
		return err
	}
	h, err := digestHash(s.digest.id)
	if err != nil {
		return err
	}
	if !s.digest.noParameters() && !s.digest.nullParameters() {
		return malformed("digest algorithm has parameters") // RFC 5754, section 2
	}
	if !slices.Contains(m.digests, s.digest.id) {
		// RFC 5652, section 5.3, lets us refuse this, and OpenSSL does.
		return fmt.Errorf("digest %v is not among the message's digests %v: %w", s.digest.id, m.digests, ErrMalformed)
	}
	if s.attributes == nil {
		if resemblesAttributes(content) {
			// A signature over attributes is also one over a content with the same bytes. Whoever has one must not be
			// able to present the attributes as content (RFC 5652 says nothing of this;
			// draft-ietf-lamps-cms-euf-cma-signeddata does).
			return malformed("content is made of signed attributes")
		}
		return c.checkSignature(h, s.algorithm, content, s.value)
	}
	a, err := readAttributes(s.attributes)
	if err != nil {
		return err
	}
	if err := c.checkSignature(h, s.algorithm, a.der, s.value); err != nil {
		return err
	}
	if got := sum(h, content); !bytes.Equal(got, a.digest) {
		return fmt.Errorf("content has %v %x, wanted %s: %w", h, got, shortHex(a.digest), ErrBadSignature)
	}
	return nil
}

// signerList names the signers of a message for an error, which must not grow with the message.
func (m *message) signerList() string {
	const limit = 4
	var names []string
	for i := range m.signers[:min(limit, len(m.signers))] {
		names = append(names, m.signers[i].String())
	}
	if n := len(m.signers); n > limit {
		names = append(names, fmt.Sprintf("%d more", n-limit))
	}
	return strings.Join(names, ", ")
}
