// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

//go:build noecdsa

package signature

import "crypto"

// HasECDSA says whether this program can check ECDSA signatures. This one cannot: certificates with such keys parse, and never
// verify anything.
const HasECDSA = false

func ecdsaKey(oid, []byte) (crypto.PublicKey, error) { return nil, nil }

func isECDSA(crypto.PublicKey) bool { return false }

func verifyECDSA(crypto.PublicKey, []byte, []byte) bool { return false }
