// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package signature

import (
	"crypto"
	"crypto/rsa"
	"fmt"
	"math/big"
	"strconv"

	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"
)

const (
	// minRSA is the smallest modulus, in bits, that still means something. crypto/rsa would take 1024 bits, and any size
	// when GODEBUG says rsa1024min=0.
	minRSA = 2048
	// maxRSA bounds the time of one public key operation; it is also the most that OpenSSL takes.
	maxRSA = 16384
	// maxRSAExponent bounds the same, and is the most that crypto/rsa takes.
	maxRSAExponent = 1<<31 - 1
)

// readPublicKey reads the inside of a SubjectPublicKeyInfo (RFC 5280, section 4.1.2.7). A kind of key that is not known
// leaves PublicKey nil, without an error.
func (c *Certificate) readPublicKey(spki cryptobyte.String) error {
	var alg algorithm
	var key []byte
	if !readAlgorithm(&spki, &alg) || !spki.ReadASN1BitStringAsBytes(&key) || !spki.Empty() {
		return malformed("public key")
	}
	switch alg.id {
	case oidRSA:
		return c.readRSA(alg, key)
	case oidECPublicKey:
		return c.readECDSA(alg, key)
	case oidEd25519:
		c.KeyAlgorithm = alg.id.String()
		if !HasEd25519 {
			c.KeyAlgorithm += ", left out of this program"
			return nil
		}
		if c.PublicKey = ed25519Key(key); !alg.noParameters() || c.PublicKey == nil {
			return malformed("Ed25519 public key")
		}
		return nil
	}
	c.KeyAlgorithm = alg.id.String()
	return nil
}

// readRSA reads an RSAPublicKey (RFC 8017, appendix A.1.1).
func (c *Certificate) readRSA(alg algorithm, key []byte) error {
	in := cryptobyte.String(key)
	var seq cryptobyte.String
	var n, e []byte
	if !alg.nullParameters() || !in.ReadASN1(&seq, asn1.SEQUENCE) || !in.Empty() ||
		!readUnsigned(&seq, &n) || !readUnsigned(&seq, &e) || !seq.Empty() {
		return malformed("RSA public key")
	}
	if len(n) > maxRSA/8 {
		c.KeyAlgorithm = fmt.Sprintf("RSA with a modulus of %d bytes", len(n))
		return nil
	}
	modulus := new(big.Int).SetBytes(n)
	c.KeyAlgorithm = "RSA-" + strconv.Itoa(modulus.BitLen())
	if len(e) > 4 {
		c.KeyAlgorithm += fmt.Sprintf(" with an exponent of %d bytes", len(e))
		return nil
	}
	var exponent int64
	for _, b := range e {
		exponent = exponent<<8 | int64(b)
	}
	if exponent > maxRSAExponent {
		c.KeyAlgorithm += fmt.Sprintf(" with exponent %d", exponent)
		return nil
	}
	c.PublicKey = &rsa.PublicKey{N: modulus, E: int(exponent)}
	return nil
}

// readECDSA reads a point of a named curve (RFC 5480).
func (c *Certificate) readECDSA(alg algorithm, key []byte) error {
	var name oid
	if !readOID(&alg.parameters, &name) {
		// Explicit curve parameters, or none: nothing that RFC 5480 allows in a certificate.
		c.KeyAlgorithm = "ECDSA without a named curve"
		return nil
	}
	switch name {
	case oidP256:
		c.KeyAlgorithm = "ECDSA P-256"
	case oidP384:
		c.KeyAlgorithm = "ECDSA P-384"
	case oidP521:
		c.KeyAlgorithm = "ECDSA P-521"
	default:
		c.KeyAlgorithm = "ECDSA curve " + name.String()
		return nil
	}
	if len(key) > 0 && (key[0] == 2 || key[0] == 3) {
		c.KeyAlgorithm += " compressed"
		return nil
	}
	if !HasECDSA {
		c.KeyAlgorithm += ", left out of this program"
		return nil
	}
	var err error
	if c.PublicKey, err = ecdsaKey(name, key); err != nil {
		return fmt.Errorf("%s public key: %w: %w", c.KeyAlgorithm, ErrMalformed, err)
	}
	return nil
}

// CheckKey tells whether signatures of this key mean anything: [ErrWeak] for RSA below 2048 bits, or with an even modulus or
// exponent, or an exponent below 3; [ErrUnsupported] for keys that this package cannot use. [Verify] calls it for the
// signer; a tool that builds a trust store calls it to refuse useless certificates early.
func (c *Certificate) CheckKey() error {
	if key, ok := c.PublicKey.(*rsa.PublicKey); ok {
		bits := key.N.BitLen()
		switch {
		case bits < minRSA:
			return fmt.Errorf("key of %v has %d bits, wanted at least %d: %w", c, bits, minRSA, ErrWeak)
		case key.N.Bit(0) == 0:
			return fmt.Errorf("key of %v has an even modulus: %w", c, ErrWeak)
		case key.E < 3 || key.E&1 == 0:
			return fmt.Errorf("key of %v has exponent %d, wanted an odd one of at least 3: %w", c, key.E, ErrWeak)
		case bits > maxRSA:
			return fmt.Errorf("key of %v has %d bits, wanted at most %d: %w", c, bits, maxRSA, ErrUnsupported)
		}
		return nil
	}
	if isECDSA(c.PublicKey) || isEd25519(c.PublicKey) {
		return nil
	}
	return fmt.Errorf("key of %v, wanted RSA, ECDSA P-256, P-384 or P-521, or Ed25519: %w", c, ErrUnsupported)
}

// checkSignature verifies the signature value of one signer over signed. The key has passed [Certificate.CheckKey].
func (c *Certificate) checkSignature(h crypto.Hash, alg algorithm, signed, value []byte) error {
	if alg.id.weak() {
		return fmt.Errorf("signature algorithm is %v, wanted one with SHA-256 or better: %w", alg.id, ErrWeak)
	}
	good := false
	key, isRSA := c.PublicKey.(*rsa.PublicKey)
	switch {
	case isRSA:
		if alg.id != oidRSA && alg.id != rsaWith(h) || !alg.noParameters() && !alg.nullParameters() {
			return fmt.Errorf("signature algorithm is %v, wanted %v or %v: %w", alg.id, oidRSA, rsaWith(h), ErrUnsupported)
		}
		good = rsa.VerifyPKCS1v15(key, h, sum(h, signed), value) == nil
	case isEd25519(c.PublicKey):
		if alg.id != oidEd25519 || !alg.noParameters() {
			return fmt.Errorf("signature algorithm is %v, wanted %v: %w", alg.id, oidEd25519, ErrUnsupported)
		}
		if h != crypto.SHA512 {
			return fmt.Errorf("digest is %v, wanted SHA-512 with Ed25519: %w", h, ErrUnsupported)
		}
		good = verifyEd25519(c.PublicKey, signed, value)
	default:
		if alg.id != ecdsaWith(h) || !alg.noParameters() {
			return fmt.Errorf("signature algorithm is %v, wanted %v: %w", alg.id, ecdsaWith(h), ErrUnsupported)
		}
		good = verifyECDSA(c.PublicKey, sum(h, signed), value)
	}
	if !good {
		return fmt.Errorf("%v with %v by %s: %w", alg.id, h, c.KeyAlgorithm, ErrBadSignature)
	}
	return nil
}
