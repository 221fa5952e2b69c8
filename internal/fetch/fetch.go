// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

// Package fetch gets images from web servers, over http and https, into a file that may be in memory.
//
// What arrives is not believed: whoever fetched an image verifies it as one from a disk. So what this package cares for is that every
// fetch ends, soon enough, in the whole file or in a sentence that says why not, and that a server can take no more than the announced
// limit of memory. A connection that breaks is resumed where the server says that the file is still the same; one that stalls is broken;
// servers that fail are asked again after growing pauses, several of them in turn. Nothing is decompressed, no proxy asked, no cookie kept,
// and no redirection leads from https to http. TLS is strong whatever the build and the environment say ([Harden]).
//
// It is the only package, beside the command ddifetch, that contains net/http; stage 1's init contains neither.
package fetch

import (
	"context"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/initddi/initddi/internal/release"
	"github.com/initddi/initddi/internal/weburl"
)

// Target is where a file is fetched to: an [os.File], or bytes in memory. It is empty at the beginning, and again whenever the fetch has to
// start again.
type Target interface {
	io.WriterAt
	Truncate(size int64) error
}

// Options say how to fetch. The zero value of a field is the default that it names.
type Options struct {
	// Timeout is how long it may take until the first byte of the file is stored, and how far it may be behind MinRate then: 60 s.
	Timeout time.Duration
	// MinRate is that rate, 64 KiB a second.
	MinRate int64
	// Idle is how long a connection may say nothing before it is taken for broken: 10 s, and at most a quarter of Timeout.
	Idle time.Duration
	// Pause is the first pause between two attempts, 250 ms. Each is twice as long as the one before, up to MaxPause, 10 s, and cut
	// to a random length between half of that and all of it, so that a fleet does not come back all at once.
	Pause, MaxPause time.Duration
	// Attempts is how often the servers are asked in a row without a byte more than there was before: 8.
	Attempts int
	// CAs are who may sign the certificates of https servers. Without any, https is an error.
	CAs *x509.CertPool
	// Progress is called whenever bytes were stored; total is 0 until a server says it. It must be fast.
	Progress func(done, total int64)
	// Trace is called with every answer of a server, for those who want to see all.
	Trace func(string)
	// Note is called with a sentence whenever something did not go straight: a retry, a resumed connection, a file that changed.
	Note func(string)
}

// Client fetches. It is safe for concurrent use if the functions of its options are.
type Client struct {
	o        Options
	http     *http.Client
	received atomic.Int64
}

// maxHeader bounds the headers of an answer in bytes.
const maxHeader = 64 << 10

// New returns a client. It opens nothing yet.
func New(o Options) *Client {
	o.Timeout = either(o.Timeout, time.Minute)
	o.MinRate = either(o.MinRate, 64<<10)
	o.Idle = min(either(o.Idle, 10*time.Second), max(o.Timeout/4, 100*time.Millisecond))
	o.Pause = either(o.Pause, 250*time.Millisecond)
	o.MaxPause = either(o.MaxPause, 10*time.Second)
	o.Attempts = either(o.Attempts, 8)
	if o.Progress == nil {
		o.Progress = func(int64, int64) {}
	}
	if o.Trace == nil {
		o.Trace = func(string) {}
	}
	if o.Note == nil {
		o.Note = func(string) {}
	}
	c := &Client{o: o}
	dialer := &net.Dialer{Timeout: o.Idle}
	c.http = &http.Client{
		CheckRedirect: checkRedirect,
		Transport: &http.Transport{
			Proxy: nil, // none, whatever the environment says
			DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
				conn, err := dialer.DialContext(ctx, network, address)
				if err != nil {
					return nil, err
				}
				return &counted{conn, &c.received}, nil
			},
			TLSClientConfig:        tlsConfig(o.CAs),
			TLSHandshakeTimeout:    o.Idle,
			ResponseHeaderTimeout:  o.Idle,
			MaxResponseHeaderBytes: maxHeader,
			DisableCompression:     true,
			MaxIdleConns:           4,
			IdleConnTimeout:        o.Idle,
		},
	}
	return c
}

// Received returns how many bytes came over the network so far, headers and TLS with them.
func (c *Client) Received() int64 { return c.received.Load() }

// Close closes the connections that were kept for another fetch.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// counted counts the bytes that a connection receives.
type counted struct {
	net.Conn
	n *atomic.Int64
}

func (c *counted) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	c.n.Add(int64(n))
	return n, err
}

// File says what to fetch.
type File struct {
	// URLs are the places that have it, the best first.
	URLs []weburl.URL
	// Limit is the largest that it may be, in bytes. A server that announces more is refused before a byte is stored, one that sends more
	// without saying so when it does.
	Limit int64
	// SHA256 is the digest that it must have; nil if any will do.
	SHA256 *[32]byte
}

// Result is a file that was fetched.
type Result struct {
	URL  weburl.URL // the one of those given that it came from
	Size int64
	// SHA256 is the digest of the content; nil if it was not asked for.
	SHA256 *[32]byte
	// Resumed and Restarted are how often a broken connection was taken up where it broke, and from the beginning.
	Resumed, Restarted int
}

// request makes the request for what is behind the first have bytes of a file, if it is still the one that the validator says.
func request(ctx context.Context, u weburl.URL, have int64, validator string) (*http.Request, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return nil, err
	}
	r.Header.Set("User-Agent", "ddifetch/"+release.Version)
	r.Header.Set("Accept-Encoding", "identity")
	if have > 0 {
		r.Header.Set("Range", fmt.Sprintf("bytes=%d-", have))
		r.Header.Set("If-Range", validator)
	}
	return r, nil
}

// maxRedirects is how often a server may say that the file is somewhere else.
const maxRedirects = 5

// checkRedirect is asked before a redirection is followed.
func checkRedirect(r *http.Request, via []*http.Request) error {
	to, err := weburl.Parse(r.URL.String())
	switch last := via[len(via)-1].URL; {
	case err != nil:
		return fmt.Errorf("%w: %w", ErrRedirect, err)
	case len(via) > maxRedirects:
		return fmt.Errorf("%w: more than %d in a row", ErrRedirect, maxRedirects)
	case last.Scheme == "https" && to.Scheme != "https":
		return fmt.Errorf("%w: from https to %.200q", ErrRedirect, to)
	}
	r.Header.Del("Referer")
	return nil
}

// either returns v, or the default where v is zero.
func either[T comparable](v, standard T) T {
	var zero T
	if v == zero {
		return standard
	}
	return v
}
