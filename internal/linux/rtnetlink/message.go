// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package rtnetlink

import (
	"encoding/binary"
	"errors"
	"fmt"
	"iter"

	"golang.org/x/sys/unix"
)

// ErrMessage says that the kernel's bytes are not what its headers say they are.
var ErrMessage = errors.New("not a message of rtnetlink")

const (
	align    = 4      // of messages and attributes (NLMSG_ALIGNTO, NLA_ALIGNTO)
	typeMask = 0x3fff // of an attribute's type; above are two flags (NLA_TYPE_MASK)
)

func aligned(n int) int { return (n + align - 1) &^ (align - 1) }

// message is a netlink message without its header.
type message struct {
	kind, flags uint16
	seq, port   uint32
	body        []byte
}

// parse splits what one read returned.
func parse(b []byte) ([]message, error) {
	var out []message
	for len(b) > 0 {
		if len(b) < unix.SizeofNlMsghdr {
			return nil, fmt.Errorf("%w: %d bytes are left", ErrMessage, len(b))
		}
		n := int(binary.NativeEndian.Uint32(b))
		if n < unix.SizeofNlMsghdr || n > len(b) {
			return nil, fmt.Errorf("%w: a message of %d bytes in %d", ErrMessage, n, len(b))
		}
		out = append(out, message{
			kind: binary.NativeEndian.Uint16(b[4:]), flags: binary.NativeEndian.Uint16(b[6:]),
			seq: binary.NativeEndian.Uint32(b[8:]), port: binary.NativeEndian.Uint32(b[12:]), body: b[unix.SizeofNlMsghdr:n],
		})
		b = b[min(aligned(n), len(b)):]
	}
	return out, nil
}

// encode writes the message with its header.
func (m message) encode() []byte {
	b := binary.NativeEndian.AppendUint32(nil, uint32(unix.SizeofNlMsghdr+len(m.body)))
	b = binary.NativeEndian.AppendUint16(b, m.kind)
	b = binary.NativeEndian.AppendUint16(b, m.flags)
	b = binary.NativeEndian.AppendUint32(b, m.seq)
	b = binary.NativeEndian.AppendUint32(b, m.port)
	return append(b, m.body...)
}

// attributes goes over the attributes of a message; it stops at what is none.
func attributes(b []byte) iter.Seq2[uint16, []byte] {
	return func(yield func(uint16, []byte) bool) {
		for len(b) >= unix.SizeofRtAttr {
			n := int(binary.NativeEndian.Uint16(b))
			if n < unix.SizeofRtAttr || n > len(b) || !yield(binary.NativeEndian.Uint16(b[2:])&typeMask, b[unix.SizeofRtAttr:n]) {
				return
			}
			b = b[min(aligned(n), len(b)):]
		}
	}
}

// find returns the attribute that a path of types leads to, nil if there is none.
func find(b []byte, path ...uint16) []byte {
next:
	for _, want := range path {
		for kind, value := range attributes(b) {
			if kind == want {
				b = value
				continue next
			}
		}
		return nil
	}
	return b
}

func number(b []byte) uint32 {
	if len(b) < 4 {
		return 0
	}
	return binary.NativeEndian.Uint32(b)
}

// attribute appends one.
func attribute(b []byte, kind uint16, value []byte) []byte {
	b = binary.NativeEndian.AppendUint16(b, uint16(unix.SizeofRtAttr+len(value)))
	b = binary.NativeEndian.AppendUint16(b, kind)
	b = append(b, value...)
	return append(b, make([]byte, aligned(len(value))-len(value))...)
}

func attribute32(b []byte, kind uint16, value uint32) []byte {
	return attribute(b, kind, binary.NativeEndian.AppendUint32(nil, value))
}
