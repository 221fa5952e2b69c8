// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

// Package nbdtest is an NBD server for tests: one that can be told to lie, to hang, to die and to come back. Whether package nbd
// speaks the protocol is not for it to say, but for servers that nobody here wrote.
package nbdtest

import (
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"testing"
)

// Server is a server of one export. The fields are set before it starts.
type Server struct {
	Export string
	Size   int64
	// Read fills b with what is at an offset of the export. An error is what the client gets. It is called from any goroutine.
	Read func(b []byte, offset int64) error
	// MultiConn lets a client have several connections.
	MultiConn bool
	// Sizes are the server's block sizes, if they are not 0.
	Sizes [3]uint32

	// Connections and Requests count what came, Sent the bytes of data that went out.
	Connections, Requests, Sent atomic.Int64

	mu       sync.Mutex
	listener net.Listener
	open     map[net.Conn]bool
	done     sync.WaitGroup
}

// Bytes is a Read for what is in memory.
func Bytes(data []byte) func([]byte, int64) error {
	return func(b []byte, offset int64) error {
		if offset < 0 || offset+int64(len(b)) > int64(len(data)) {
			return io.ErrUnexpectedEOF
		}
		copy(b, data[offset:])
		return nil
	}
}

// Start begins to listen on an address such as "127.0.0.1:0", and returns the one it got.
func (s *Server) Start(t testing.TB, address string) string {
	t.Helper()
	l, err := net.Listen("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	s.mu.Lock()
	s.listener, s.open = l, map[net.Conn]bool{}
	s.mu.Unlock()
	t.Cleanup(s.Stop)
	s.done.Add(1)
	go func() {
		defer s.done.Done()
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			s.mu.Lock()
			if s.open == nil {
				c.Close()
			} else {
				s.open[c] = true
				s.Connections.Add(1)
				s.done.Add(1)
				go s.serve(c)
			}
			s.mu.Unlock()
		}
	}()
	return l.Addr().String()
}

// Stop closes everything at once. The server can be started again.
func (s *Server) Stop() {
	s.mu.Lock()
	if s.listener != nil {
		s.listener.Close()
	}
	for c := range s.open {
		c.Close()
	}
	s.open = nil
	s.mu.Unlock()
}

func (s *Server) serve(c net.Conn) {
	defer s.done.Done()
	defer c.Close()
	if s.shake(c) == nil {
		for s.answer(c) == nil {
		}
	}
}

func put(values ...any) []byte {
	var b []byte
	for _, v := range values {
		b, _ = binary.Append(b, binary.BigEndian, v)
	}
	return b
}

// shake is the handshake: NBD_OPT_GO of the one export, an error to everything else.
func (s *Server) shake(c net.Conn) error {
	c.Write(put(uint64(0x4e42444d41474943), uint64(0x49484156454f5054), uint16(3)))
	var flags [4]byte
	if _, err := io.ReadFull(c, flags[:]); err != nil {
		return err
	}
	for {
		var head [16]byte
		if _, err := io.ReadFull(c, head[:]); err != nil {
			return err
		}
		option, length := binary.BigEndian.Uint32(head[8:]), binary.BigEndian.Uint32(head[12:])
		data := make([]byte, min(length, 1<<16))
		if _, err := io.ReadFull(c, data); err != nil {
			return err
		}
		reply := func(kind uint32, data []byte) {
			c.Write(append(put(uint64(0x3e889045565a9), option, kind, uint32(len(data))), data...))
		}
		switch {
		case option == 2:
			reply(1, nil)
			return io.EOF
		case option != 7:
			reply(1<<31+1, nil)
		case len(data) < 6 || string(data[4:4+binary.BigEndian.Uint32(data)]) != s.Export:
			reply(1<<31+6, []byte("nothing here is called that"))
		default:
			transmission := uint16(1 | 1<<1)
			if s.MultiConn {
				transmission |= 1 << 8
			}
			if s.Sizes != [3]uint32{} {
				reply(3, put(uint16(3), s.Sizes[0], s.Sizes[1], s.Sizes[2]))
			}
			reply(3, put(uint16(0), uint64(s.Size), transmission))
			reply(1, nil)
			return nil
		}
	}
}

// answer answers one request.
func (s *Server) answer(c net.Conn) error {
	var head [28]byte
	if _, err := io.ReadFull(c, head[:]); err != nil {
		return err
	}
	command, cookie := binary.BigEndian.Uint16(head[6:]), head[8:16]
	offset, length := binary.BigEndian.Uint64(head[16:]), binary.BigEndian.Uint32(head[24:])
	if m := binary.BigEndian.Uint32(head[:]); m != 0x25609513 {
		return fmt.Errorf("request begins with %#x", m)
	}
	if command == 2 {
		return io.EOF
	}
	s.Requests.Add(1)
	const failed = 5 // NBD_EIO
	data := make([]byte, min(length, 32<<20))
	if command != 0 || s.Read(data, int64(offset)) != nil {
		_, err := c.Write(append(put(uint32(0x67446698), uint32(failed)), cookie...))
		return err
	}
	s.Sent.Add(int64(len(data)))
	_, err := c.Write(append(append(put(uint32(0x67446698), uint32(0)), cookie...), data...))
	return err
}
