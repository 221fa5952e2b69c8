// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package verity

import (
	"crypto/hmac"
	"crypto/sha256"

	"github.com/initddi/initddi/internal/guid"
)

// RepartSalt returns the salt that systemd-repart (v255 and later) derives from its --seed, so that an image that is
// built with the same seed has the same root hash.
func RepartSalt(seed guid.GUID) []byte { return repartHMAC(seed, "verity-salt") }

// RepartUUID returns the superblock UUID that systemd-repart derives from its --seed.
func RepartUUID(seed guid.GUID) guid.GUID {
	g := guid.GUID(repartHMAC(seed, "verity-uuid")[:16])
	g[6] = g[6]&0x0f | 0x40 // RFC 4122 version 4
	g[8] = g[8]&0x3f | 0x80 // RFC 4122 variant
	return g
}

func repartHMAC(seed guid.GUID, token string) []byte {
	m := hmac.New(sha256.New, seed[:])
	m.Write([]byte(token))
	return m.Sum(nil)
}
