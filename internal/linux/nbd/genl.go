// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package nbd

import (
	"encoding/binary"
	"errors"
	"fmt"
	"runtime"

	"golang.org/x/sys/unix"

	"github.com/initddi/initddi/internal/linux/process"
)

const (
	// headSize is struct nlmsghdr and struct genlmsghdr.
	headSize = unix.NLMSG_HDRLEN + unix.GENL_HDRLEN
	// maxAnswer is more than the kernel says of all the devices that there can be room for in one message.
	maxAnswer = 64 << 10
	// maxMessages is how many messages of others, or of earlier questions, are passed over.
	maxMessages = 64
	nestedBit   = unix.NLA_F_NESTED
	typeMask    = 0xffff &^ (unix.NLA_F_NESTED | unix.NLA_F_NET_BYTEORDER)
)

// errMessage says that a message of the kernel's cannot be read.
var errMessage = errors.New("the kernel's answer cannot be read")

// appendAttr appends an attribute (struct nlattr), with its padding.
func appendAttr(b []byte, kind uint16, value []byte) []byte {
	b = binary.NativeEndian.AppendUint16(b, uint16(unix.NLA_HDRLEN+len(value)))
	b = binary.NativeEndian.AppendUint16(b, kind)
	b = append(b, value...)
	for len(b)%unix.NLA_ALIGNTO != 0 {
		b = append(b, 0)
	}
	return b
}

func appendUint32(b []byte, kind uint16, v uint32) []byte {
	return appendAttr(b, kind, binary.NativeEndian.AppendUint32(nil, v))
}

func appendUint64(b []byte, kind uint16, v uint64) []byte {
	return appendAttr(b, kind, binary.NativeEndian.AppendUint64(nil, v))
}

func appendString(b []byte, kind uint16, s string) []byte {
	return appendAttr(b, kind, append([]byte(s), 0))
}

// attr is an attribute.
type attr struct {
	kind  uint16
	value []byte
}

// parseAttrs takes a row of attributes apart.
func parseAttrs(b []byte) ([]attr, error) {
	var out []attr
	for len(b) >= unix.NLA_HDRLEN {
		n := int(binary.NativeEndian.Uint16(b))
		if n < unix.NLA_HDRLEN || n > len(b) {
			return nil, errMessage
		}
		out = append(out, attr{binary.NativeEndian.Uint16(b[2:]) & typeMask, b[unix.NLA_HDRLEN:n]})
		b = b[min((n+unix.NLA_ALIGNTO-1)&^(unix.NLA_ALIGNTO-1), len(b)):]
	}
	if len(b) != 0 {
		return nil, errMessage
	}
	return out, nil
}

// find returns the value of the first attribute of a kind, if it has at least size bytes.
func find(list []attr, kind uint16, size int) ([]byte, bool) {
	for _, a := range list {
		if a.kind == kind && len(a.value) >= size {
			return a.value, true
		}
	}
	return nil, false
}

// message is a generic netlink message.
func message(family, flags uint16, sequence uint32, command, version uint8, attrs []byte) []byte {
	b := binary.NativeEndian.AppendUint32(nil, uint32(headSize+len(attrs)))
	b = binary.NativeEndian.AppendUint16(b, family)
	b = binary.NativeEndian.AppendUint16(b, unix.NLM_F_REQUEST|flags)
	b = binary.NativeEndian.AppendUint32(b, sequence)
	b = binary.NativeEndian.AppendUint32(b, 0)
	b = append(b, command, version, 0, 0)
	return append(b, attrs...)
}

// reply is a message of the kernel's.
type reply struct {
	family   uint16
	sequence uint32
	command  uint8
	body     []byte // attributes, or of an error message all that stands in it
}

// parseReplies takes what one datagram has apart.
func parseReplies(b []byte) ([]reply, error) {
	var out []reply
	for len(b) > 0 {
		if len(b) < unix.NLMSG_HDRLEN {
			return nil, errMessage
		}
		n := int64(binary.NativeEndian.Uint32(b))
		if n < unix.NLMSG_HDRLEN || n > int64(len(b)) {
			return nil, errMessage
		}
		r := reply{family: binary.NativeEndian.Uint16(b[4:]), sequence: binary.NativeEndian.Uint32(b[8:])}
		body := b[unix.NLMSG_HDRLEN:n]
		if r.family < unix.NLMSG_MIN_TYPE {
			r.body = body
		} else if len(body) >= unix.GENL_HDRLEN {
			r.command, r.body = body[0], body[unix.GENL_HDRLEN:]
		} else {
			return nil, errMessage
		}
		out = append(out, r)
		b = b[min((n+unix.NLMSG_ALIGNTO-1)&^(unix.NLMSG_ALIGNTO-1), int64(len(b))):]
	}
	return out, nil
}

// ask sends a request and returns the attributes of the answer to it, none if the kernel only acknowledges it.
func (c *Control) ask(family uint16, command, version uint8, attrs []byte) ([]attr, error) {
	c.sequence++
	fd := int(c.f.Fd())
	defer runtime.KeepAlive(c.f)
	request := message(family, unix.NLM_F_ACK, c.sequence, command, version, attrs)
	kernel := &unix.SockaddrNetlink{Family: unix.AF_NETLINK}
	if err := process.Uninterrupted(func() error { return unix.Sendto(fd, request, 0, kernel) }); err != nil {
		return nil, err
	}
	var answer []attr
	buf := make([]byte, maxAnswer)
	for range maxMessages {
		var n int
		var from unix.Sockaddr
		err := process.Uninterrupted(func() (err error) {
			n, from, err = unix.Recvfrom(fd, buf, 0)
			return err
		})
		if err != nil {
			return nil, err
		}
		// Port 0 is the kernel's; anybody may write to a socket of this kind.
		if sa, ok := from.(*unix.SockaddrNetlink); !ok || sa.Pid != 0 {
			continue
		}
		replies, err := parseReplies(buf[:n])
		if err != nil {
			return nil, err
		}
		for _, r := range replies {
			switch {
			case r.sequence != c.sequence:
			case r.family == unix.NLMSG_ERROR:
				if len(r.body) < 4 {
					return nil, errMessage
				}
				// The errno, negative; 0 is the acknowledgement, which comes last.
				if errno := -int32(binary.NativeEndian.Uint32(r.body)); errno != 0 {
					return nil, unix.Errno(errno)
				}
				return answer, nil
			case r.family == family:
				if answer, err = parseAttrs(r.body); err != nil {
					return nil, err
				}
				for i := range answer {
					answer[i].value = append([]byte(nil), answer[i].value...) // the buffer is used again
				}
			}
		}
	}
	return nil, fmt.Errorf("%w: it is not among %d messages", errMessage, maxMessages)
}
