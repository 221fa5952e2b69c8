// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package tpm2

import (
	"errors"
	"testing"
)

// fixed is a TPM that always says the same.
type fixed []byte

func (f fixed) Transmit([]byte) ([]byte, error) { return f, nil }

// FuzzResponse gives every command the same response, and asserts that what comes of it is whole or an error of this package.
func FuzzResponse(f *testing.F) {
	for _, s := range []string{
		"8001 0000000a 00000101",
		"8001 0000002b 00000000 00 00000005 00000004 0004 03 000000 000b 03 ffffff 000c 03 ffffff 000d 03 ffffff",
		"8002 00000013 00000000 00000000 0000 01 0000",
		"8001 00000032 00000000 00000017 00000001 0004 03 002000 00000001 0014 1111111111111111111111111111111111111111",
		"8001 0000002e 00000000 000e 01800001 0012 22060012 0000 0008 0012 00120000000000000000000000000000000000",
		"8002 0000001d 00000000 0000000a 0008 0000000000000007 0000 01 0000",
		"00c4 0000000a 0000001e",
	} {
		f.Add(unhex(f, s))
	}
	f.Fuzz(func(t *testing.T, rsp []byte) {
		check := func(err error, whole bool) {
			var rc RC
			if err != nil && !errors.Is(err, ErrMalformed) && !errors.Is(err, ErrTPM12) && !errors.As(err, &rc) {
				t.Errorf("an error of nobody: %v", err)
			}
			if err == nil && !whole {
				t.Error("taken, and not whole")
			}
		}
		banks, err := GetCapabilityPCRs{}.Execute(fixed(rsp))
		seen := map[Alg]bool{}
		for _, b := range banks {
			if seen[b.Alg] || len(b.Select) > maxSelect {
				t.Errorf("banks %v", banks)
			}
			seen[b.Alg] = true
		}
		check(err, len(banks) <= maxBanks)
		check(PCRExtend{Digests: []Digest{{SHA1, make([]byte, 20)}}}.Execute(fixed(rsp)), true)
		value, err := PCRRead{SHA1, 13}.Execute(fixed(rsp))
		check(err, len(value) == SHA1.Size())
		p, err := NVReadPublic{0x01800001}.Execute(fixed(rsp))
		check(err, p != nil && p.NVIndex == 0x01800001)
		data, err := NVRead{NVIndex: 0x01800001, Size: 8}.Execute(fixed(rsp))
		check(err, len(data) == 8)
		check(NVIncrement{HandleOwner, 0x01800001}.Execute(fixed(rsp)), true)
	})
}
