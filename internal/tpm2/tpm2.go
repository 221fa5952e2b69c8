// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

// Package tpm2 speaks to a TPM 2.0: the few commands that measuring and a rollback floor need, written out by hand.
//
// Each command is a struct whose fields are called as in the specification; its Execute method sends it through a [Transport] and
// reads the response. A TPM is a device like any other: a response is bounded and must be of exactly the form that the
// specification gives, or the error wraps [ErrMalformed].
//
// Formats: Trusted Platform Module Library, Part 2 (Structures) and Part 3 (Commands), revision 1.59; numbers are big endian.
// Authorizations are empty passwords, which is what PCRs have and what an NV index that anybody may read has.
package tpm2

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// Transport carries one command to a TPM and brings its response back. A response that is longer than [MaxResponse] is malformed.
type Transport interface {
	Transmit(command []byte) (response []byte, err error)
}

var (
	// ErrMalformed says that a response is none that a TPM 2.0 gives.
	ErrMalformed = errors.New("malformed response of the TPM")
	// ErrTPM12 says that the device answered as a TPM 1.2 does, which has nothing that is used here.
	ErrTPM12 = errors.New("it is a TPM 1.2, not a TPM 2.0")
	// ErrArgument says that a command was not sent, because no TPM can do what it asks for.
	ErrArgument = errors.New("not something a TPM can do")
)

const (
	// MaxResponse is the longest response taken, in bytes: what Linux has room for (TPM_BUFSIZE, drivers/char/tpm/tpm.h).
	MaxResponse = 4096
	// headerSize is tag, size and command or response code (Part 1, 18.2).
	headerSize = 10
)

// TPM_ST, Part 2, 6.9.
const (
	tagRspCommand = 0x00c4 // the response of a TPM 1.2
	tagNoSessions = 0x8001
	tagSessions   = 0x8002
)

// TPM_CC, Part 2, 6.5.2.
const (
	ccNVIncrement   = 0x134
	ccNVRead        = 0x14e
	ccNVReadPublic  = 0x169
	ccGetCapability = 0x17a
	ccPCRRead       = 0x17e
	ccPCRExtend     = 0x182
)

// Handle is TPM_HANDLE, Part 2, 7.
type Handle uint32

// HandleOwner is TPM_RH_OWNER: the owner hierarchy, whose password is empty until somebody sets one.
const HandleOwner Handle = 0x40000001

// handlePassword is TPM_RS_PW: the "session" of an authorization by password.
const handlePassword Handle = 0x40000009

// writer appends numbers; the first ten bytes are the header.
type writer struct{ b []byte }

func (w *writer) u8(v uint8)   { w.b = append(w.b, v) }
func (w *writer) u16(v uint16) { w.b = binary.BigEndian.AppendUint16(w.b, v) }
func (w *writer) u32(v uint32) { w.b = binary.BigEndian.AppendUint32(w.b, v) }

// command writes a command: header, handles, an empty password for each of the first auths handles, parameters (Part 1, 18.4).
func command(code uint32, handles []Handle, auths int, params func(*writer)) []byte {
	w := &writer{}
	w.u16(tagNoSessions)
	w.u32(0)
	w.u32(code)
	for _, h := range handles {
		w.u32(uint32(h))
	}
	if auths > 0 {
		binary.BigEndian.PutUint16(w.b, tagSessions)
		const size = 4 + 2 + 1 + 2 // TPMS_AUTH_COMMAND without nonce and password
		w.u32(uint32(auths * size))
		for range auths {
			w.u32(uint32(handlePassword))
			w.u16(0) // nonceCaller
			w.u8(0)  // sessionAttributes
			w.u16(0) // hmac: the password
		}
	}
	if params != nil {
		params(w)
	}
	binary.BigEndian.PutUint32(w.b[2:], uint32(len(w.b)))
	return w.b
}

// execute sends a command and gives the response's parameters to read, which must take all of them. auths is the number of
// authorizations that were sent: so many come back.
func execute(t Transport, verb string, cmd []byte, auths int, read func(*reader)) error {
	rsp, err := t.Transmit(cmd)
	if err == nil {
		err = response(rsp, auths, read)
	}
	if err != nil {
		return fmt.Errorf("cannot %s: %w", verb, err)
	}
	return nil
}

// response takes a response apart (Part 1, 18.5).
func response(rsp []byte, auths int, read func(*reader)) error {
	if len(rsp) < headerSize || len(rsp) > MaxResponse {
		return fmt.Errorf("%w: %d bytes, want %d to %d", ErrMalformed, len(rsp), headerSize, MaxResponse)
	}
	r := &reader{b: rsp}
	tag, size, code := r.u16(), r.u32(), RC(r.u32())
	switch {
	case tag == tagRspCommand:
		return ErrTPM12
	case int64(size) != int64(len(rsp)):
		return fmt.Errorf("%w: it says %d bytes and has %d", ErrMalformed, size, len(rsp))
	case code != 0 && (tag != tagNoSessions || len(rsp) != headerSize):
		return fmt.Errorf("%w: code %#x with tag %#x and %d bytes, want a header alone", ErrMalformed, uint32(code), tag, len(rsp))
	case code != 0:
		return code
	}
	want := uint16(tagNoSessions)
	if auths > 0 {
		want = tagSessions
	}
	if tag != want {
		return fmt.Errorf("%w: tag %#x, want %#x", ErrMalformed, tag, want)
	}
	params := r
	if auths > 0 {
		params = &reader{b: r.take(int64(r.u32()))}
		for range auths {
			// TPMS_AUTH_RESPONSE of a password: neither nonce nor HMAC; of the attributes continueSession is set.
			if nonce, _, hmac := r.u16(), r.u8(), r.u16(); nonce != 0 || hmac != 0 {
				r.bad = true
			}
		}
		if r.bad || len(r.b) > 0 {
			return fmt.Errorf("%w: the authorization area", ErrMalformed)
		}
	}
	if read != nil {
		read(params)
	}
	if params.bad || len(params.b) > 0 {
		return fmt.Errorf("%w: the parameters", ErrMalformed)
	}
	return nil
}

// reader takes numbers off the front. Once something is not there it is bad, and everything else reads as zero.
type reader struct {
	b   []byte
	bad bool
}

func (r *reader) take(n int64) []byte {
	if r.bad || n > int64(len(r.b)) {
		r.bad, r.b = true, nil
		return nil
	}
	out := r.b[:n:n]
	r.b = r.b[n:]
	return out
}

func (r *reader) u8() uint8 {
	if b := r.take(1); b != nil {
		return b[0]
	}
	return 0
}

func (r *reader) u16() uint16 {
	if b := r.take(2); b != nil {
		return binary.BigEndian.Uint16(b)
	}
	return 0
}

func (r *reader) u32() uint32 {
	if b := r.take(4); b != nil {
		return binary.BigEndian.Uint32(b)
	}
	return 0
}

// sized reads a TPM2B: a 16-bit length and so many bytes, at most limit.
func (r *reader) sized(limit int) []byte {
	n := int(r.u16())
	if n > limit {
		r.bad = true
	}
	return r.take(int64(n))
}
