// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

//go:build noed25519

package signature

import "crypto"

// HasEd25519 says whether this program can check Ed25519 signatures. This one cannot: certificates with such keys parse, and never
// verify anything.
const HasEd25519 = false

func ed25519Key([]byte) crypto.PublicKey { return nil }

func isEd25519(crypto.PublicKey) bool { return false }

func verifyEd25519(crypto.PublicKey, []byte, []byte) bool { return false }
