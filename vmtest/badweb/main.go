// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

// Badweb stands before a good web server and is a bad one: it passes requests on, and breaks connections in the middle of answers; and for
// some paths it answers itself, without end, too short, or not at all.
//
//	badweb --listen ADDRESS --to ADDRESS [--cuts N] [--seed N]
//
// The first N files that are passed on are cut at random places, within the head or the body; 0 as a seed is one that nobody knows yet. It
// writes the seed, and every cut, to standard error.
package main

import (
	"bufio"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"time"
)

func main() {
	listen := flag.String("listen", "", "serve at this address")
	to := flag.String("to", "", "pass requests on to this one")
	cuts := flag.Int("cuts", 0, "how many answers to cut")
	seed := flag.Uint64("seed", 0, "where to cut them")
	flag.Parse()
	if *seed == 0 {
		*seed = uint64(time.Now().UnixNano())
	}
	b := &bad{to: *to, cuts: *cuts, rng: rand.New(rand.NewPCG(*seed, 0))}
	l, err := net.Listen("tcp", *listen)
	if err == nil {
		fmt.Fprintf(os.Stderr, "badweb: serving, seed %d\n", *seed)
		err = http.Serve(l, b)
	}
	fmt.Fprintln(os.Stderr, "badweb:", err)
	os.Exit(1)
}

// bad is the server.
type bad struct {
	to   string
	mu   sync.Mutex
	cuts int
	rng  *rand.Rand
}

// headSize is about what the head of an answer has.
const headSize = 300

// ServeHTTP implements [http.Handler].
func (b *bad) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	conn, _, err := w.(http.Hijacker).Hijack()
	if err != nil {
		return
	}
	defer conn.Close()
	what, _, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
	fmt.Fprintf(os.Stderr, "badweb: %s %s %s\n", r.Method, r.URL.Path, r.Header.Get("Range"))
	if r.Method != http.MethodHead {
		switch what {
		case "endless":
			io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
			for chunk := "10000\r\n" + strings.Repeat("endless ", 8192) + "\r\n"; err == nil; {
				_, err = io.WriteString(conn, chunk)
			}
			return
		case "short":
			io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\nContent-Length: 1000000\r\n\r\nshort")
			return
		case "silent":
			_, _ = conn.Read(make([]byte, 1))
			return
		}
	} else if what == "endless" || what == "short" || what == "silent" {
		io.WriteString(conn, "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n")
		return
	}
	b.pass(conn, r)
}

// pass passes a request on, and as much of the answer back as is to be.
func (b *bad) pass(conn net.Conn, r *http.Request) {
	server, err := net.Dial("tcp", b.to)
	if err != nil {
		return
	}
	defer server.Close()
	r.Header.Set("Connection", "close")
	if err := r.Write(server); err != nil {
		return
	}
	answer, err := http.ReadResponse(bufio.NewReader(server), r)
	if err != nil {
		return
	}
	defer answer.Body.Close()
	left := int64(-1)
	if r.Method != http.MethodHead {
		left = b.cut(answer.ContentLength)
	}
	if left < 0 {
		_ = answer.Write(conn)
		return
	}
	fmt.Fprintf(os.Stderr, "badweb: cut behind %d bytes\n", left)
	_ = answer.Write(&limited{conn, left})
	// A reset loses what is on its way, too.
	if tcp, ok := conn.(*net.TCPConn); ok && left%2 == 0 {
		_ = tcp.SetLinger(0)
	}
}

// cut returns behind how many bytes of an answer to cut it, -1 for not at all.
func (b *bad) cut(size int64) int64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.cuts == 0 {
		return -1
	}
	b.cuts--
	if b.rng.IntN(4) == 0 {
		return b.rng.Int64N(headSize)
	}
	return headSize + b.rng.Int64N(max(size, 1))
}

// limited takes so many bytes and then none.
type limited struct {
	w    io.Writer
	left int64
}

func (l *limited) Write(p []byte) (int, error) {
	n, err := l.w.Write(p[:min(int64(len(p)), l.left)])
	l.left -= int64(n)
	if err == nil && n < len(p) {
		err = io.ErrShortWrite
	}
	return n, err
}
