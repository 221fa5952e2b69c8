// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package tpm2

import (
	"encoding/binary"
	"fmt"
)

// Codes of commands that only the booted system sends.
const (
	ccNVUndefineSpace = 0x122
	ccNVDefineSpace   = 0x12a
)

// NVDefineSpace is TPM2_NV_DefineSpace, Part 3, 31.3, for an index with an empty password, by the owner with an empty password.
// Public.Name is not used.
type NVDefineSpace struct{ Public NVPublic }

// Execute defines the index. One that exists is an error for which errors.Is(err, [RCNVDefined]); an owner with a password one for
// which errors.Is(err, [RCBadAuth]) or [RCAuthFail].
func (c NVDefineSpace) Execute(t Transport) error {
	p := c.Public
	verb := fmt.Sprintf("define NV index %#x", uint32(p.NVIndex))
	if len(p.AuthPolicy) > maxDigest {
		return fmt.Errorf("cannot %s: a policy of %d bytes, at most %d: %w", verb, len(p.AuthPolicy), maxDigest, ErrArgument)
	}
	cmd := command(ccNVDefineSpace, []Handle{HandleOwner}, 1, func(w *writer) {
		w.u16(0) // auth: the password
		area := binary.BigEndian.AppendUint32(nil, uint32(p.NVIndex))
		area = binary.BigEndian.AppendUint16(area, uint16(p.NameAlg))
		area = binary.BigEndian.AppendUint32(area, uint32(p.Attributes))
		area = binary.BigEndian.AppendUint16(area, uint16(len(p.AuthPolicy)))
		area = append(area, p.AuthPolicy...)
		area = binary.BigEndian.AppendUint16(area, p.DataSize)
		w.u16(uint16(len(area)))
		w.b = append(w.b, area...)
	})
	return execute(t, verb, cmd, 1, nil)
}

// NVUndefineSpace is TPM2_NV_UndefineSpace, Part 3, 31.4, by the owner with an empty password.
type NVUndefineSpace struct{ NVIndex Handle }

// Execute removes the index.
func (c NVUndefineSpace) Execute(t Transport) error {
	cmd := command(ccNVUndefineSpace, []Handle{HandleOwner, c.NVIndex}, 1, nil)
	return execute(t, fmt.Sprintf("remove NV index %#x", uint32(c.NVIndex)), cmd, 1, nil)
}
