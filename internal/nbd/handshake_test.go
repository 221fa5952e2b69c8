// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package nbd

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/initddi/initddi/internal/alloctest"
)

// script is a server that says what it was told to say, whatever it hears.
type script struct {
	io.Reader
	heard bytes.Buffer
}

func (s *script) Write(b []byte) (int, error) { return s.heard.Write(b) }

// words is what a server says, as the protocol has it: each argument in as many bytes as its type has.
func words(values ...any) []byte {
	var b []byte
	for _, v := range values {
		switch v := v.(type) {
		case uint16:
			b = binary.BigEndian.AppendUint16(b, v)
		case uint32:
			b = binary.BigEndian.AppendUint32(b, v)
		case uint64:
			b = binary.BigEndian.AppendUint64(b, v)
		case string:
			b = append(b, v...)
		case []byte:
			b = append(b, v...)
		}
	}
	return b
}

func hello(flags uint16) []byte { return words("NBDMAGIC", "IHAVEOPT", flags) }

// reply is one reply to NBD_OPT_GO.
func reply(kind uint32, data []byte) []byte {
	return words(uint64(0x3e889045565a9), uint32(7), kind, uint32(len(data)), data)
}

func export(size uint64, flags uint16) []byte { return reply(3, words(uint16(0), size, flags)) }

func sizes(minimum, preferred, maximum uint32) []byte {
	return reply(3, words(uint16(3), minimum, preferred, maximum))
}

func said(parts ...[]byte) []byte { return bytes.Join(parts, nil) }

// good is a whole conversation with a good server of these days.
func good() []byte {
	return said(hello(3), export(1<<20, 0x103), sizes(1, 4096, 1<<25), reply(1, nil))
}

// endless is a reply that comes again for ever.
type endless struct {
	begin, again []byte
	read         int
}

func (e *endless) Read(b []byte) (int, error) {
	for i := range b {
		if e.read < len(e.begin) {
			b[i] = e.begin[e.read]
		} else {
			b[i] = e.again[(e.read-len(e.begin))%len(e.again)]
		}
		e.read++
	}
	return len(b), nil
}

func TestHandshake(t *testing.T) {
	one := Export{Size: 1 << 20, Flags: 0x103, Sizes: Sizes{1, 4096, 1 << 25}}
	plain := Export{Size: 1 << 20, Flags: 3}
	for _, test := range []struct {
		name string
		says []byte
		want Export
		err  error
		text string
	}{
		{"a good server", good(), one, nil, ""},
		{"block sizes first", said(hello(3), sizes(1, 4096, 1<<25), export(1<<20, 0x103), reply(1, nil)), one, nil, ""},
		{"no block sizes", said(hello(1), export(1<<20, 3), reply(1, nil)), plain, nil, ""},
		{"name and description, which nobody asked for", said(hello(3), reply(3, words(uint16(1), "x")), reply(3, words(uint16(2), strings.Repeat("y", MaxName))), reply(3, words(uint16(99))), export(1<<20, 3), reply(1, nil)), plain, nil, ""},
		{"flags of the future", said(hello(0xff), export(1<<20, 3), reply(1, nil)), plain, nil, ""},
		{"does not know NBD_OPT_GO", said(hello(3), reply(1<<31+1, []byte("what?")), words(uint64(1<<20), uint16(3))), plain, nil, ""},
		{"the same, with zeroes", said(hello(1), reply(1<<31+1, nil), words(uint64(1<<20), uint16(3)), make([]byte, 124)), plain, nil, ""},
		{"knows no options", said(hello(0), words(uint64(1<<20), uint16(3)), make([]byte, 124)), plain, nil, ""},
		{"knows no options, no zeroes", said(hello(2), words(uint64(1<<20), uint16(3))), plain, nil, ""},

		{"says nothing", nil, Export{}, io.EOF, "closed the connection"},
		{"says half a greeting", hello(3)[:10], Export{}, io.ErrUnexpectedEOF, "closed the connection"},
		{"is a web server", []byte("HTTP/1.1 400 Bad Request\r\n\r\n"), Export{}, ErrProtocol, "it begins with 0x48545450"},
		{"is of the old style", words("NBDMAGIC", uint64(0x420281861253), uint64(1<<20), uint32(3), make([]byte, 124)), Export{}, ErrProtocol, "older than names"},
		{"has another second word", words("NBDMAGIC", "IHAVEOPS", uint16(3)), Export{}, ErrProtocol, "second word"},
		{"hangs up after the question", hello(3), Export{}, io.EOF, "closed the connection"},
		{"has no such export", said(hello(3), reply(1<<31+6, []byte("no \x1b[2Jsuch"))), Export{}, ErrNoExport, `(it says "no \x1b[2Jsuch")`},
		{"has no such export, and knows no options", hello(0), Export{}, ErrNoExport, "does not let this machine"},
		{"closes in the middle of that", said(hello(0), make([]byte, 9)), Export{}, io.ErrUnexpectedEOF, "closed the connection"},
		{"wants TLS", said(hello(3), reply(1<<31+5, nil)), Export{}, ErrTLS, "TLS"},
		{"has a policy", said(hello(3), reply(1<<31+2, nil)), Export{}, ErrRefused, "policy"},
		{"shuts down", said(hello(3), reply(1<<31+7, nil)), Export{}, ErrRefused, "shutting down"},
		{"refuses in a new way", said(hello(3), reply(1<<31+77, nil)), Export{}, ErrRefused, "error 77"},
		{"wants block sizes asked for", said(hello(3), sizes(1, 4096, 1<<25), reply(1<<31+8, nil)), Export{}, ErrRefused, "which they were"},

		{"consents without a description", said(hello(3), sizes(1, 4096, 1<<25), reply(1, nil)), Export{}, ErrProtocol, "without having described"},
		{"consents with data", said(hello(3), export(1<<20, 3), reply(1, []byte("x"))), Export{}, ErrProtocol, "1 bytes of data"},
		{"replies in the wrong style", said(hello(3), words(uint64(1<<20), uint16(3), make([]byte, 124))), Export{}, ErrProtocol, "its reply begins with"},
		{"replies to another option", said(hello(3), words(uint64(0x3e889045565a9), uint32(6), uint32(1), uint32(0))), Export{}, ErrProtocol, "option 6"},
		{"replies with something else", said(hello(3), reply(2, nil)), Export{}, ErrProtocol, "type 2"},
		{"has a huge message", said(hello(3), words(uint64(0x3e889045565a9), uint32(7), uint32(1<<31+6), uint32(1<<32-1))), Export{}, ErrProtocol, "4294967295 bytes"},
		{"has a huge name", said(hello(3), reply(3, make([]byte, 2+MaxName+1))), Export{}, ErrProtocol, "4099 bytes"},
		{"stops within a reply", said(hello(3), reply(3, make([]byte, 100))[:60]), Export{}, io.ErrUnexpectedEOF, ""},
		{"has information of one byte", said(hello(3), reply(3, make([]byte, 1))), Export{}, ErrProtocol, "1 bytes"},
		{"describes the export in 11 bytes", said(hello(3), reply(3, make([]byte, 2+11))), Export{}, ErrProtocol, "11 bytes"},
		{"describes block sizes in 8 bytes", said(hello(3), reply(3, words(uint16(3), uint64(0)))), Export{}, ErrProtocol, "8 bytes"},
		{"has no flags", said(hello(3), export(1<<20, 2), reply(1, nil)), Export{}, ErrProtocol, "HAS_FLAGS"},
		{"has a block size of 0", said(hello(3), sizes(0, 4096, 1<<25)), Export{}, ErrProtocol, "block sizes"},
		{"has a block size of 3", said(hello(3), sizes(3, 4096, 1<<25)), Export{}, ErrProtocol, "block sizes"},
		{"has a block size of 128 KiB", said(hello(3), sizes(1<<17, 1<<17, 1<<25)), Export{}, ErrProtocol, "block sizes"},
		{"prefers less than its least", said(hello(3), sizes(4096, 512, 1<<25)), Export{}, ErrProtocol, "block sizes"},
		{"takes less than it prefers", said(hello(3), sizes(1, 4096, 512)), Export{}, ErrProtocol, "block sizes"},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := &script{Reader: bytes.NewReader(test.says)}
			got, err := Handshake(s, "x")
			if got != test.want || !errors.Is(err, test.err) || err != nil && !strings.Contains(err.Error(), test.text) {
				t.Errorf("%+v, %v", got, err)
			}
			if err == nil && s.Reader.(*bytes.Reader).Len() != 0 {
				t.Errorf("%d bytes were not read: they would be taken for a reply to a request", s.Reader.(*bytes.Reader).Len())
			}
		})
	}
}

// TestHandshakeSays holds what is sent against the protocol, byte by byte.
func TestHandshakeSays(t *testing.T) {
	s := &script{Reader: bytes.NewReader(good())}
	if _, err := Handshake(s, "disk"); err != nil {
		t.Fatal(err)
	}
	want := words(uint32(3), "IHAVEOPT", uint32(7), uint32(4+4+2+2), uint32(4), "disk", uint16(1), uint16(3))
	if !bytes.Equal(s.heard.Bytes(), want) {
		t.Errorf("said % x\nwant % x", s.heard.Bytes(), want)
	}
	s = &script{Reader: bytes.NewReader(said(hello(1), reply(1<<31+6, nil)))}
	if _, err := Handshake(s, "disk"); !errors.Is(err, ErrNoExport) {
		t.Fatal(err)
	}
	if end := words("IHAVEOPT", uint32(2), uint32(0)); !bytes.HasSuffix(s.heard.Bytes(), end) {
		t.Errorf("said % x, which does not end with % x", s.heard.Bytes(), end)
	}
	if got := words(uint32(1)); !bytes.HasPrefix(s.heard.Bytes(), got) {
		t.Error("it answered a server that has no NBD_FLAG_NO_ZEROES with that flag")
	}
	s = &script{Reader: bytes.NewReader(hello(0))}
	Handshake(s, "disk")
	if want := words(uint32(0), "IHAVEOPT", uint32(1), uint32(4), "disk"); !bytes.Equal(s.heard.Bytes(), want) {
		t.Errorf("said % x\nwant % x", s.heard.Bytes(), want)
	}
	if got, want := Goodbye(), words(uint32(0x25609513), uint16(0), uint16(2), uint64(0), uint64(0), uint32(0)); !bytes.Equal(got, want) {
		t.Errorf("Goodbye is % x, want % x", got, want)
	}
}

// TestHandshakeEnds: a server that never comes to an end costs a bounded number of bytes.
func TestHandshakeEnds(t *testing.T) {
	for name, again := range map[string][]byte{
		"information": reply(3, words(uint16(1), strings.Repeat("x", MaxName))),
		"empty":       reply(3, words(uint16(99))),
		"exports":     export(1<<20, 3),
	} {
		e := &endless{begin: hello(3), again: again}
		_, err := Handshake(&script{Reader: e}, "x")
		if !errors.Is(err, ErrProtocol) || !strings.Contains(err.Error(), "goes on") {
			t.Errorf("%s: %v", name, err)
		}
		if limit := 18 + maxReplies*(20+maxReply); e.read > limit {
			t.Errorf("%s: %d bytes were read, more than %d", name, e.read, limit)
		}
	}
}

func TestHandshakeNames(t *testing.T) {
	for _, name := range []string{strings.Repeat("x", MaxName+1), "a\x00b", "\xff"} {
		s := &script{Reader: bytes.NewReader(good())}
		if _, err := Handshake(s, name); err == nil || s.heard.Len() > 0 {
			t.Errorf("%.10q: %v, and %d bytes were sent", name, err, s.heard.Len())
		}
	}
}

type broken struct{ io.Reader }

func (broken) Write([]byte) (int, error) { return 0, io.ErrClosedPipe }

func TestHandshakeCannotWrite(t *testing.T) {
	if _, err := Handshake(broken{bytes.NewReader(good())}, "x"); !errors.Is(err, io.ErrClosedPipe) {
		t.Error(err)
	}
}

func FuzzHandshake(f *testing.F) {
	f.Add(good())
	f.Add(said(hello(3), reply(1<<31+1, nil), words(uint64(1<<20), uint16(3))))
	f.Add(said(hello(0), words(uint64(1<<20), uint16(3)), make([]byte, 124)))
	f.Add(said(hello(3), reply(1<<31+6, []byte("no"))))
	f.Add(said(hello(3), sizes(4096, 4096, 1<<20), export(5000, 3), reply(1, nil)))
	f.Fuzz(func(t *testing.T, says []byte) {
		r := bytes.NewReader(says)
		s := &script{Reader: r}
		check := alloctest.AtMost(t, 1<<20)
		e, err := Handshake(s, "disk")
		check()
		if read := len(says) - r.Len(); read > 18+maxReplies*(20+maxReply)+10+zeroes {
			t.Errorf("%d bytes were read", read)
		}
		if err != nil {
			if e != (Export{}) {
				t.Errorf("%+v with %v", e, err)
			}
			return
		}
		if e.Flags&HasFlags == 0 {
			t.Errorf("%+v", e)
		}
		if g, err := e.Geometry(); err == nil && (g.Size == 0 || g.Size > e.Size || g.Size%uint64(g.BlockSize) != 0 || g.BlockSize < e.Sizes.Minimum) {
			t.Errorf("%+v is %+v", e, g)
		}
	})
}
