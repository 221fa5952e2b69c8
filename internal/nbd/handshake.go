// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package nbd

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/bits"
)

// Magic numbers of the handshake.
const (
	magicServer = 0x4e42444d41474943 // "NBDMAGIC"
	magicOption = 0x49484156454f5054 // "IHAVEOPT"
	magicOld    = 0x0000420281861253 // what stands in the place of magicOption in the old style
	magicReply  = 0x0003e889045565a9
)

// Flags of the handshake; the client's have the same values as the server's.
const (
	flagFixed    = 1 << 0
	flagNoZeroes = 1 << 1
	zeroes       = 124 // bytes that follow the reply to NBD_OPT_EXPORT_NAME without flagNoZeroes
)

// Options, and the kinds of information that NBD_OPT_GO can ask for.
const (
	optExportName = 1
	optAbort      = 2
	optGo         = 7

	infoExport    = 0
	infoBlockSize = 3
)

// Types of replies.
const (
	repAck  = 1
	repInfo = 3

	repError           = 1 << 31
	repErrUnsupported  = repError + 1
	repErrPolicy       = repError + 2
	repErrInvalid      = repError + 3
	repErrPlatform     = repError + 4
	repErrTLSRequired  = repError + 5
	repErrUnknown      = repError + 6
	repErrShutdown     = repError + 7
	repErrBlockSizeReq = repError + 8
	repErrTooBig       = repError + 9
)

const (
	// maxReplies is how many replies to one option are read. Servers send up to five to NBD_OPT_GO: four kinds of information, and
	// the end.
	maxReplies = 32
	// maxReply is how many bytes of data a reply can have: a kind of information and a string of the longest kind.
	maxReply = 2 + MaxName
	// requestMagic and commandDisconnect make a request of the transmission phase.
	requestMagic      = 0x25609513
	commandDisconnect = 2
	requestSize       = 28
)

// Sentinels of a handshake that failed.
var (
	// ErrProtocol says that what was read is not what an NBD server says.
	ErrProtocol = errors.New("this is not how an NBD server answers")
	// ErrNoExport says that the server has no export of that name.
	ErrNoExport = errors.New("the server has no such export")
	// ErrTLS says that the server wants TLS.
	ErrTLS = errors.New("the server wants TLS, which there is not")
	// ErrRefused says that the server refused for another reason.
	ErrRefused = errors.New("the server refused")
)

// errUnsupported says that the server does not know an option.
var errUnsupported = fmt.Errorf("it does not know the option: %w", ErrRefused)

// Handshake agrees with a server on an export, after which rw is in the transmission phase. It reads at most about 130 kB, and
// closes nothing.
//
// The error wraps [ErrProtocol], [ErrNoExport], [ErrTLS] or [ErrRefused], or is the one of rw: a server that closes the connection
// is an [io.EOF] or [io.ErrUnexpectedEOF].
func Handshake(rw io.ReadWriter, export string) (Export, error) {
	e, err := handshake(rw, export)
	if err != nil {
		return Export{}, fmt.Errorf("cannot agree on the export %q: %w", export, err)
	}
	return e, nil
}

func handshake(rw io.ReadWriter, export string) (Export, error) {
	if err := checkName(export); err != nil {
		return Export{}, err
	}
	var hello [18]byte
	if err := readFull(rw, hello[:]); err != nil {
		return Export{}, err
	}
	first, second := binary.BigEndian.Uint64(hello[:]), binary.BigEndian.Uint64(hello[8:])
	switch {
	case first != magicServer:
		return Export{}, fmt.Errorf("it begins with %#x, an NBD server with %#x: %w", first, uint64(magicServer), ErrProtocol)
	case second == magicOld:
		return Export{}, fmt.Errorf("the server is older than names of exports: %w", ErrProtocol)
	case second != magicOption:
		return Export{}, fmt.Errorf("its second word is %#x, an NBD server's %#x: %w", second, uint64(magicOption), ErrProtocol)
	}
	flags := binary.BigEndian.Uint16(hello[16:])
	own := flags & (flagFixed | flagNoZeroes)
	if _, err := rw.Write(binary.BigEndian.AppendUint32(nil, uint32(own))); err != nil {
		return Export{}, err
	}
	if own&flagFixed == 0 {
		return exportName(rw, export, own)
	}
	e, err := negotiate(rw, export)
	if errors.Is(err, errUnsupported) {
		return exportName(rw, export, own)
	}
	if err != nil {
		// The polite end. Nobody is owed an answer to it, and what went wrong is known.
		_, _ = rw.Write(option(optAbort, nil))
	}
	return e, err
}

// exportName asks with NBD_OPT_EXPORT_NAME, which servers know that do not know NBD_OPT_GO. A refusal is a closed connection.
func exportName(rw io.ReadWriter, export string, own uint16) (Export, error) {
	if _, err := rw.Write(option(optExportName, []byte(export))); err != nil {
		return Export{}, err
	}
	reply := make([]byte, 10, 10+zeroes)
	if own&flagNoZeroes == 0 {
		reply = reply[:10+zeroes]
	}
	if err := readFull(rw, reply); err != nil {
		if errors.Is(err, io.EOF) {
			return Export{}, fmt.Errorf("%w, or does not let this machine have it: %w", ErrNoExport, err)
		}
		return Export{}, err
	}
	return parseExport(reply[:10])
}

// negotiate asks with NBD_OPT_GO.
func negotiate(rw io.ReadWriter, export string) (Export, error) {
	data := binary.BigEndian.AppendUint32(nil, uint32(len(export)))
	data = append(data, export...)
	data = binary.BigEndian.AppendUint16(data, 1)
	data = binary.BigEndian.AppendUint16(data, infoBlockSize)
	if _, err := rw.Write(option(optGo, data)); err != nil {
		return Export{}, err
	}
	var e Export
	found := false
	for range maxReplies {
		kind, data, err := readReply(rw, optGo)
		if err != nil {
			return Export{}, err
		}
		switch {
		case kind == repAck && len(data) != 0:
			return Export{}, fmt.Errorf("its consent has %d bytes of data: %w", len(data), ErrProtocol)
		case kind == repAck && !found:
			return Export{}, fmt.Errorf("it consents without having described the export: %w", ErrProtocol)
		case kind == repAck:
			return e, nil
		case kind == repInfo:
			if err := e.take(data, &found); err != nil {
				return Export{}, err
			}
		case kind&repError != 0:
			return Export{}, refusal(kind, data)
		default:
			return Export{}, fmt.Errorf("it replies with type %d: %w", kind, ErrProtocol)
		}
	}
	return Export{}, fmt.Errorf("it goes on after %d replies: %w", maxReplies, ErrProtocol)
}

// take takes one piece of information. Kinds that nobody asked for are ignored, as the protocol wants it.
func (e *Export) take(data []byte, found *bool) error {
	if len(data) < 2 {
		return fmt.Errorf("its information has %d bytes: %w", len(data), ErrProtocol)
	}
	kind, data := binary.BigEndian.Uint16(data), data[2:]
	switch kind {
	case infoExport:
		if len(data) != 10 {
			return fmt.Errorf("its description of the export has %d bytes, 10 are right: %w", len(data), ErrProtocol)
		}
		p, err := parseExport(data)
		e.Size, e.Flags = p.Size, p.Flags
		*found = true
		return err
	case infoBlockSize:
		if len(data) != 12 {
			return fmt.Errorf("its description of block sizes has %d bytes, 12 are right: %w", len(data), ErrProtocol)
		}
		s := Sizes{binary.BigEndian.Uint32(data), binary.BigEndian.Uint32(data[4:]), binary.BigEndian.Uint32(data[8:])}
		if bits.OnesCount32(s.Minimum) != 1 || s.Minimum > 64<<10 || bits.OnesCount32(s.Preferred) != 1 ||
			s.Preferred < max(s.Minimum, sectorSize) || s.Maximum < s.Preferred {
			return fmt.Errorf("its block sizes are %d, %d and %d: %w", s.Minimum, s.Preferred, s.Maximum, ErrProtocol)
		}
		e.Sizes = s
	}
	return nil
}

func parseExport(data []byte) (Export, error) {
	e := Export{Size: binary.BigEndian.Uint64(data), Flags: Flags(binary.BigEndian.Uint16(data[8:]))}
	if e.Flags&HasFlags == 0 {
		return Export{}, fmt.Errorf("its flags are %#x, without NBD_FLAG_HAS_FLAGS: %w", uint16(e.Flags), ErrProtocol)
	}
	return e, nil
}

// option is an option as the client sends it.
func option(kind uint32, data []byte) []byte {
	b := binary.BigEndian.AppendUint64(nil, magicOption)
	b = binary.BigEndian.AppendUint32(b, kind)
	b = binary.BigEndian.AppendUint32(b, uint32(len(data)))
	return append(b, data...)
}

// readReply reads one reply to an option.
func readReply(r io.Reader, to uint32) (kind uint32, data []byte, err error) {
	var head [20]byte
	if err := readFull(r, head[:]); err != nil {
		return 0, nil, err
	}
	if m := binary.BigEndian.Uint64(head[:]); m != magicReply {
		return 0, nil, fmt.Errorf("its reply begins with %#x, not %#x: %w", m, uint64(magicReply), ErrProtocol)
	}
	if o := binary.BigEndian.Uint32(head[8:]); o != to {
		return 0, nil, fmt.Errorf("it replies to option %d, not %d: %w", o, to, ErrProtocol)
	}
	kind = binary.BigEndian.Uint32(head[12:])
	length := binary.BigEndian.Uint32(head[16:])
	if length > maxReply {
		return 0, nil, fmt.Errorf("its reply has %d bytes, at most %d are read: %w", length, maxReply, ErrProtocol)
	}
	data = make([]byte, length)
	return kind, data, readFull(r, data)
}

// refusal is the error of an error reply. What the server says of it is quoted: it may be anything.
func refusal(kind uint32, message []byte) error {
	var err error
	switch kind {
	case repErrUnsupported:
		err = errUnsupported
	case repErrTLSRequired:
		err = ErrTLS
	case repErrUnknown:
		err = ErrNoExport
	default:
		err = fmt.Errorf("%w: %s", ErrRefused, refusalName(kind))
	}
	if len(message) > 0 {
		return fmt.Errorf("%w (it says %q)", err, message[:min(len(message), 200)])
	}
	return err
}

func refusalName(kind uint32) string {
	switch kind {
	case repErrPolicy:
		return "by its policy"
	case repErrInvalid:
		return "it finds the request invalid"
	case repErrPlatform:
		return "its platform cannot"
	case repErrShutdown:
		return "it is shutting down"
	case repErrBlockSizeReq:
		return "it wants its block sizes to be asked for, which they were"
	case repErrTooBig:
		return "the request is too big for it"
	}
	return fmt.Sprintf("with error %d", kind&^repError)
}

// Goodbye is the request that ends a connection on which a [Handshake] succeeded and that nobody is going to use.
func Goodbye() []byte {
	b := make([]byte, requestSize)
	binary.BigEndian.PutUint32(b, requestMagic)
	binary.BigEndian.PutUint32(b[4:], commandDisconnect)
	return b
}

// readFull is io.ReadFull; an end at the very beginning stays io.EOF.
func readFull(r io.Reader, b []byte) error {
	_, err := io.ReadFull(r, b)
	switch {
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return fmt.Errorf("the server closed the connection: %w", err)
	}
	return err
}
