// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

// Package floor keeps the lowest security level that a machine still boots in a counter of its TPM 2.0, which goes up and never down.
//
// The counter is an NV index of the owner hierarchy ([Attributes]). Stage 1 reads it and holds an image's INITDDI_SECURITY_LEVEL against
// it; only the booted system raises it, once it has come up well. The first increment of a new counter makes it one more than the highest
// value that any counter of the TPM ever had, removed ones included (TPM Library, Part 3, 31.8): a floor that was removed and defined
// anew is never lower than it was.
//
// What it cannot do: who may act for the owner removes the index, and so does a clear of the TPM. Then there is no floor, which is
// for the caller to judge ([Missing]). Everybody who can talk to the TPM can raise it.
package floor

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/initddi/initddi/internal/tpm2"
)

// DefaultIndex is the NV index that is used if nobody names another: one of those that the TCG leaves to owners
// (Registry of Reserved TPM 2.0 Handles: 0x01800000 to 0x01bfffff).
const DefaultIndex tpm2.Handle = 0x018dd100

// Attributes are what the index must have, apart from [tpm2.NVWritten]. It is read and incremented with its own, empty, password, so that a
// password of the owner does not get into the way; and nobody is locked out by failing (NO_DA).
const Attributes = tpm2.NVCounter | tpm2.NVAuthRead | tpm2.NVAuthWrite | tpm2.NVNoDA

// counterSize is the size of a counter in bytes (Part 2, 13.2).
const counterSize = 8

// maxRaise bounds the increments of one [Raise]: NV memory wears out, and a level is a small number.
const maxRaise = 256

// State is what was found in the TPM.
type State string

// The states.
const (
	Ready       State = "ready"       // there is a floor
	Missing     State = "missing"     // the index is not defined, or never was incremented
	Foreign     State = "foreign"     // something else is defined there
	Unreachable State = "unreachable" // there is no TPM, or it did not answer
)

// Floor is the floor of a machine.
type Floor struct {
	Index tpm2.Handle
	State State
	Value uint64 // the lowest level that is booted; 0 unless Ready
	// Err says why the state is not Ready.
	Err error
}

// ErrAhead says that the floor is above the level already.
var ErrAhead = errors.New("the floor is higher")

// errForeign says what [Foreign] means.
var errForeign = errors.New("it is defined as something else than the counter of a rollback floor")

// Read reads the floor.
func Read(t tpm2.Transport, index tpm2.Handle) Floor {
	f := Floor{Index: index}
	p, err := tpm2.NVReadPublic{NVIndex: index}.Execute(t)
	if errors.Is(err, tpm2.RCHandle) {
		f.State, f.Err = Missing, err
		return f
	}
	if err != nil {
		f.State, f.Err = Unreachable, err
		return f
	}
	if p.Attributes&^tpm2.NVWritten != Attributes || p.DataSize != counterSize || len(p.AuthPolicy) != 0 {
		f.State, f.Err = Foreign, fmt.Errorf("cannot use NV index %#x: %w: attributes %#x, %d bytes", uint32(index), errForeign, uint32(p.Attributes), p.DataSize)
		return f
	}
	b, err := tpm2.NVRead{AuthHandle: index, NVIndex: index, Size: counterSize}.Execute(t)
	switch {
	case errors.Is(err, tpm2.RCNVUninitialized):
		f.State, f.Err = Missing, err
	case err != nil:
		f.State, f.Err = Unreachable, err
	default:
		f.State, f.Value = Ready, binary.BigEndian.Uint64(b)
	}
	return f
}

// Define defines the counter if it is missing and raises it to level. A new counter may begin above it, see the package comment; then it is removed
// again, and the error wraps [ErrAhead] and says where it would have begun. So is one that cannot be raised as far as level.
func Define(t tpm2.Transport, index tpm2.Handle, level uint64) (Floor, error) {
	f := Read(t, index)
	if f.State != Missing {
		if f.State != Ready {
			return f, f.Err
		}
		return Raise(t, index, level)
	}
	if level == 0 {
		return f, fmt.Errorf("cannot define a floor: level 0 is below every floor: %w", tpm2.ErrArgument)
	}
	p := tpm2.NVPublic{NVIndex: index, NameAlg: tpm2.SHA256, Attributes: Attributes, DataSize: counterSize}
	if err := (tpm2.NVDefineSpace{Public: p}).Execute(t); err != nil && !errors.Is(err, tpm2.RCNVDefined) {
		return f, err
	}
	if err := (tpm2.NVIncrement{AuthHandle: index, NVIndex: index}).Execute(t); err != nil {
		return f, err
	}
	if f = Read(t, index); f.State != Ready {
		return f, f.Err
	}
	if f.Value > level {
		err := fmt.Errorf("cannot define a floor for level %d: a new counter of this TPM begins with %d, and an image needs at least that level: %w", level, f.Value, ErrAhead)
		return f, errors.Join(err, tpm2.NVUndefineSpace{NVIndex: index}.Execute(t))
	}
	if level-f.Value > maxRaise {
		err := tooFar(f.Value, level)
		return f, errors.Join(err, tpm2.NVUndefineSpace{NVIndex: index}.Execute(t))
	}
	return Raise(t, index, level)
}

func tooFar(from, to uint64) error {
	return fmt.Errorf("cannot raise the floor from %d to %d: by at most %d at once, because the TPM's memory wears out: an image needs a level of at most %d: %w",
		from, to, maxRaise, from+maxRaise, tpm2.ErrArgument)
}

// Raise increments the counter until it is level. A floor above level is an error that wraps [ErrAhead]; one that is no floor is the
// error that [Read] found.
func Raise(t tpm2.Transport, index tpm2.Handle, level uint64) (Floor, error) {
	f := Read(t, index)
	switch {
	case f.State != Ready:
		return f, f.Err
	case f.Value > level:
		return f, fmt.Errorf("cannot set the floor to %d: it is %d: %w", level, f.Value, ErrAhead)
	case level-f.Value > maxRaise:
		return f, tooFar(f.Value, level)
	}
	for f.Value < level {
		if err := (tpm2.NVIncrement{AuthHandle: index, NVIndex: index}).Execute(t); err != nil {
			return f, err
		}
		before := f.Value
		if f = Read(t, index); f.State != Ready {
			return f, f.Err
		}
		if f.Value <= before {
			return f, fmt.Errorf("cannot raise the floor: the TPM incremented %d to %d: %w", before, f.Value, tpm2.ErrMalformed)
		}
	}
	return f, nil
}
