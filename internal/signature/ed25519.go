// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

//go:build !noed25519

package signature

import (
	"crypto"
	"crypto/ed25519"
)

// HasEd25519 says whether this program can check Ed25519 signatures. The build tag noed25519 leaves that out, which is 24 kB of a
// compressed stage 1.
const HasEd25519 = true

// ed25519Key returns the key that is encoded so (RFC 8032, section 5.1.5), nil if the length is wrong.
func ed25519Key(b []byte) crypto.PublicKey {
	if len(b) != ed25519.PublicKeySize {
		return nil
	}
	return ed25519.PublicKey(b)
}

// isEd25519 reports whether a key is one of those that ed25519Key returns.
func isEd25519(key crypto.PublicKey) bool {
	k, ok := key.(ed25519.PublicKey)
	return ok && len(k) == ed25519.PublicKeySize
}

// verifyEd25519 reports whether value is a key's signature of a message. It is not for any other kind of key.
func verifyEd25519(key crypto.PublicKey, signed, value []byte) bool {
	return isEd25519(key) && ed25519.Verify(key.(ed25519.PublicKey), signed, value)
}
