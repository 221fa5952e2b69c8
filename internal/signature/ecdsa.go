// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

//go:build !noecdsa

package signature

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
)

// HasECDSA says whether this program can check ECDSA signatures. The build tag noecdsa leaves that out: it is 170 kB of a
// compressed stage 1, half of it one table of P-256, and a stage 1 that trusts RSA keys only never comes to it.
const HasECDSA = true

// ecdsaKey returns the key that is an uncompressed point of a curve. This refuses points that are not on the curve.
func ecdsaKey(name oid, point []byte) (crypto.PublicKey, error) {
	curve := elliptic.P256()
	switch name {
	case oidP384:
		curve = elliptic.P384()
	case oidP521:
		curve = elliptic.P521()
	}
	k, err := ecdsa.ParseUncompressedPublicKey(curve, point)
	if err != nil {
		return nil, err
	}
	return k, nil
}

// isECDSA reports whether a key is one of those that ecdsaKey returns.
func isECDSA(key crypto.PublicKey) bool {
	k, ok := key.(*ecdsa.PublicKey)
	return ok && (k.Curve == elliptic.P256() || k.Curve == elliptic.P384() || k.Curve == elliptic.P521())
}

// verifyECDSA reports whether value is a key's signature of a digest. It is not for any other kind of key.
func verifyECDSA(key crypto.PublicKey, digest, value []byte) bool {
	k, ok := key.(*ecdsa.PublicKey)
	return ok && ecdsa.VerifyASN1(k, digest, value)
}
