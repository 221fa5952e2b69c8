// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package tpm2

import (
	"fmt"
	"slices"
)

const (
	// PCRs is the number of PCRs that a PC's TPM has (PC Client Platform TPM Profile, 4.6).
	PCRs = 24
	// maxBanks is HASH_COUNT of the largest TPM that can be thought of.
	maxBanks = 16
	// maxSelect is PCR_SELECT_MAX in bytes.
	maxSelect = 4
)

// Bank is TPMS_PCR_SELECTION: which PCRs of one algorithm there are, or are meant.
type Bank struct {
	Alg    Alg
	Select []byte // bit N%8 of byte N/8 stands for PCR N
}

// Has reports whether the bank has that PCR.
func (b Bank) Has(pcr int) bool {
	return pcr >= 0 && pcr/8 < len(b.Select) && b.Select[pcr/8]&(1<<(pcr%8)) != 0
}

// GetCapabilityPCRs is TPM2_GetCapability for TPM_CAP_PCRS, Part 3, 30.2: which banks there are.
type GetCapabilityPCRs struct{}

// Execute returns the banks, those without a single PCR included, which are switched off.
func (GetCapabilityPCRs) Execute(t Transport) ([]Bank, error) {
	const capPCRs = 5
	cmd := command(ccGetCapability, nil, 0, func(w *writer) {
		w.u32(capPCRs)
		w.u32(0) // property
		w.u32(1) // propertyCount: all selections count as one
	})
	var banks []Bank
	err := execute(t, "ask for the PCR banks", cmd, 0, func(r *reader) {
		r.u8() // moreData
		if r.u32() != capPCRs {
			r.bad = true
		}
		banks = r.banks()
	})
	return banks, err
}

// banks reads a TPML_PCR_SELECTION. A bank that comes twice is malformed: it would be extended twice.
func (r *reader) banks() []Bank {
	n := r.u32()
	if n > maxBanks {
		r.bad = true
	}
	var out []Bank
	for range n {
		b := Bank{Alg: Alg(r.u16())}
		size := r.u8()
		if size > maxSelect || slices.ContainsFunc(out, func(o Bank) bool { return o.Alg == b.Alg }) {
			r.bad = true
		}
		b.Select = slices.Clone(r.take(int64(size)))
		if r.bad {
			return nil
		}
		out = append(out, b)
	}
	return out
}

// PCRExtend is TPM2_PCR_Extend, Part 3, 22.2. A bank that Digests does not name is not extended.
type PCRExtend struct {
	PCRHandle int
	Digests   []Digest
}

// Execute extends the PCR in all the named banks, or, with an error, in none.
func (c PCRExtend) Execute(t Transport) error {
	verb := fmt.Sprintf("extend PCR %d", c.PCRHandle)
	if c.PCRHandle < 0 || c.PCRHandle >= PCRs || len(c.Digests) == 0 || len(c.Digests) > maxBanks {
		return fmt.Errorf("cannot %s with %d digests: %w", verb, len(c.Digests), ErrArgument)
	}
	for _, d := range c.Digests {
		if d.Alg.Size() == 0 || len(d.Bytes) != d.Alg.Size() {
			return fmt.Errorf("cannot %s with a digest of %d bytes for %s: %w", verb, len(d.Bytes), d.Alg, ErrArgument)
		}
	}
	cmd := command(ccPCRExtend, []Handle{Handle(c.PCRHandle)}, 1, func(w *writer) {
		w.u32(uint32(len(c.Digests)))
		for _, d := range c.Digests {
			w.u16(uint16(d.Alg))
			w.b = append(w.b, d.Bytes...)
		}
	})
	return execute(t, verb, cmd, 1, nil)
}

// PCRRead is TPM2_PCR_Read, Part 3, 22.4, for one PCR of one bank.
type PCRRead struct {
	Alg Alg
	PCR int
}

// Execute returns the PCR's value. A PCR that the TPM does not have is malformed.
func (c PCRRead) Execute(t Transport) ([]byte, error) {
	verb := fmt.Sprintf("read PCR %d of bank %s", c.PCR, c.Alg)
	if c.PCR < 0 || c.PCR >= PCRs || c.Alg.Size() == 0 {
		return nil, fmt.Errorf("cannot %s: %w", verb, ErrArgument)
	}
	cmd := command(ccPCRRead, nil, 0, func(w *writer) {
		var sel [3]byte
		sel[c.PCR/8] = 1 << (c.PCR % 8)
		w.u32(1)
		w.u16(uint16(c.Alg))
		w.u8(uint8(len(sel)))
		w.b = append(w.b, sel[:]...)
	})
	var value []byte
	err := execute(t, verb, cmd, 0, func(r *reader) {
		r.u32() // pcrUpdateCounter
		banks := r.banks()
		// TPML_DIGEST
		if r.u32() != 1 || len(banks) != 1 || banks[0].Alg != c.Alg || !banks[0].Has(c.PCR) {
			r.bad = true
		}
		value = slices.Clone(r.sized(maxDigest))
		if len(value) != c.Alg.Size() {
			r.bad = true
		}
	})
	if err != nil {
		return nil, err
	}
	return value, nil
}
