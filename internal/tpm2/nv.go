// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package tpm2

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"slices"
)

// maxNV is the most that one NV_Read returns, in bytes: MAX_NV_BUFFER_SIZE of the TPMs that are sold is 512 to 2048.
const maxNV = 2048

// NVAttributes is TPMA_NV, Part 2, 13.4.
type NVAttributes uint32

// Attributes of an NV index.
const (
	NVPPWrite        NVAttributes = 1 << 0
	NVOwnerWrite     NVAttributes = 1 << 1
	NVAuthWrite      NVAttributes = 1 << 2
	NVPolicyWrite    NVAttributes = 1 << 3
	NVCounter        NVAttributes = 1 << 4 // TPM_NT_COUNTER; NVType tells the types apart
	NVPolicyDelete   NVAttributes = 1 << 10
	NVWriteLocked    NVAttributes = 1 << 11
	NVWriteAll       NVAttributes = 1 << 12
	NVWriteDefine    NVAttributes = 1 << 13
	NVWriteSTClear   NVAttributes = 1 << 14
	NVGlobalLock     NVAttributes = 1 << 15
	NVPPRead         NVAttributes = 1 << 16
	NVOwnerRead      NVAttributes = 1 << 17
	NVAuthRead       NVAttributes = 1 << 18
	NVPolicyRead     NVAttributes = 1 << 19
	NVNoDA           NVAttributes = 1 << 25
	NVOrderly        NVAttributes = 1 << 26
	NVClearSTClear   NVAttributes = 1 << 27
	NVReadLocked     NVAttributes = 1 << 28
	NVWritten        NVAttributes = 1 << 29
	NVPlatformCreate NVAttributes = 1 << 30
	NVReadSTClear    NVAttributes = 1 << 31

	// NVType is the mask of the type, TPM_NT.
	NVType NVAttributes = 0xf << 4
)

// NVPublic is TPMS_NV_PUBLIC, Part 2, 13.5, with the index's name.
type NVPublic struct {
	NVIndex    Handle
	NameAlg    Alg
	Attributes NVAttributes
	AuthPolicy []byte
	DataSize   uint16 // bytes
	// Name is the name algorithm and the digest of all of the above (Part 1, 16). It is checked where the algorithm is one that
	// [Alg.Sum] knows: what is returned is what an authorization that names the index is bound to.
	Name []byte
}

// NVReadPublic is TPM2_NV_ReadPublic, Part 3, 31.6: what an index is, which anybody may ask.
type NVReadPublic struct{ NVIndex Handle }

// Execute returns the public area. An index that is not defined is an error for which errors.Is(err, [RCHandle]).
func (c NVReadPublic) Execute(t Transport) (*NVPublic, error) {
	p := &NVPublic{}
	cmd := command(ccNVReadPublic, []Handle{c.NVIndex}, 0, nil)
	err := execute(t, fmt.Sprintf("ask what NV index %#x is", uint32(c.NVIndex)), cmd, 0, func(r *reader) {
		area := r.sized(maxNV)
		a := &reader{b: area}
		p.NVIndex, p.NameAlg, p.Attributes = Handle(a.u32()), Alg(a.u16()), NVAttributes(a.u32())
		p.AuthPolicy, p.DataSize = slices.Clone(a.sized(maxDigest)), a.u16()
		p.Name = slices.Clone(r.sized(2 + maxDigest))
		if a.bad || len(a.b) > 0 || p.NVIndex != c.NVIndex {
			r.bad = true
			return
		}
		if sum := p.NameAlg.Sum(area); sum != nil && !bytes.Equal(p.Name, append(binary.BigEndian.AppendUint16(nil, uint16(p.NameAlg)), sum...)) {
			r.bad = true
		}
	})
	if err != nil {
		return nil, err
	}
	return p, nil
}

// NVRead is TPM2_NV_Read, Part 3, 31.13. AuthHandle says whose empty password lets it be read: the index itself with
// NVAuthRead, [HandleOwner] with NVOwnerRead.
type NVRead struct {
	AuthHandle, NVIndex Handle
	Size, Offset        uint16 // bytes
}

// Execute returns exactly Size bytes.
func (c NVRead) Execute(t Transport) ([]byte, error) {
	verb := fmt.Sprintf("read NV index %#x", uint32(c.NVIndex))
	if c.Size > maxNV {
		return nil, fmt.Errorf("cannot %s: %d bytes at once, at most %d: %w", verb, c.Size, maxNV, ErrArgument)
	}
	cmd := command(ccNVRead, []Handle{c.AuthHandle, c.NVIndex}, 1, func(w *writer) {
		w.u16(c.Size)
		w.u16(c.Offset)
	})
	var data []byte
	err := execute(t, verb, cmd, 1, func(r *reader) {
		data = slices.Clone(r.sized(maxNV))
		if len(data) != int(c.Size) {
			r.bad = true
		}
	})
	if err != nil {
		return nil, err
	}
	return data, nil
}

// NVIncrement is TPM2_NV_Increment, Part 3, 31.8: it adds one to a counter. The first time makes it one more than the highest
// value that any counter of this TPM ever had.
type NVIncrement struct{ AuthHandle, NVIndex Handle }

// Execute increments the counter.
func (c NVIncrement) Execute(t Transport) error {
	cmd := command(ccNVIncrement, []Handle{c.AuthHandle, c.NVIndex}, 1, nil)
	return execute(t, fmt.Sprintf("increment NV index %#x", uint32(c.NVIndex)), cmd, 1, nil)
}
