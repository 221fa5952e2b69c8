// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package fetch

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"

	"testing"
	"time"

	"github.com/initddi/initddi/internal/weburl"
)

// quick are options with which nothing takes long.
func quick(t *testing.T) Options {
	return Options{Timeout: time.Minute, Idle: 10 * time.Second, Pause: time.Millisecond, MaxPause: 10 * time.Millisecond, Note: func(s string) { t.Log(s) }}
}

func mustURL(t *testing.T, s string) weburl.URL {
	t.Helper()
	u, err := weburl.Parse(s)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

// serve starts a web server for the test.
func serve(t *testing.T, h http.HandlerFunc) weburl.URL {
	t.Helper()
	s := httptest.NewServer(h)
	// Handlers that hang would keep Close waiting.
	t.Cleanup(func() { s.CloseClientConnections(); s.Close() })
	return mustURL(t, s.URL+"/OS_1.raw")
}

// raw starts a server that answers every connection with the same bytes and closes it.
func raw(t *testing.T, answer string) weburl.URL {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				if _, err := c.Read(make([]byte, 4096)); err == nil {
					io.WriteString(c, answer)
				}
			}()
		}
	}()
	return mustURL(t, "http://"+l.Addr().String()+"/OS_1.raw")
}

// content returns n bytes that nothing can be mistaken for.
func content(n int, seed uint64) []byte {
	b := make([]byte, n)
	rng := rand.New(rand.NewPCG(seed, 1))
	for i := range b {
		b[i] = byte(rng.Uint32())
	}
	return b
}

func get(t *testing.T, o Options, limit int64, urls ...weburl.URL) ([]byte, *Result, error) {
	t.Helper()
	c := New(o)
	defer c.Close()
	var m Memory
	r, err := c.Get(t.Context(), File{URLs: urls, Limit: limit}, &m)
	if int64(len(m)) > limit {
		t.Errorf("%d bytes were stored, and %d are allowed", len(m), limit)
	}
	return m, r, err
}

// TestRefused has servers that answer wrongly, whatever they are asked.
func TestRefused(t *testing.T) {
	const limit = 1 << 20
	head := func(s string) func(t *testing.T) weburl.URL {
		return func(t *testing.T) weburl.URL { return raw(t, "HTTP/1.1 200 OK\r\n"+s) }
	}
	handler := func(h http.HandlerFunc) func(t *testing.T) weburl.URL {
		return func(t *testing.T) weburl.URL { return serve(t, h) }
	}
	status := func(code int) func(t *testing.T) weburl.URL {
		return handler(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(code) })
	}
	for _, test := range []struct {
		name  string
		serve func(t *testing.T) weburl.URL
		err   error
		text  string
		once  bool // asking again is of no use
	}{
		{"not found", status(404), fs.ErrNotExist, "/OS_1.raw: server answered 404 Not Found", true},
		{"gone", status(410), fs.ErrNotExist, "410 Gone", true},
		{"forbidden", status(403), fs.ErrPermission, "403 Forbidden", true},
		{"teapot", status(418), nil, "418 I'm a teapot", true},
		{"broken server", status(500), nil, "500 Internal Server Error", false},
		{"busy server", status(503), nil, "503 Service Unavailable", false},
		{"unknown status", status(599), nil, "server answered 599", false},
		{"part that nobody asked for", status(206), nil, "206 Partial Content", true},
		{"reason of the server's own", func(t *testing.T) weburl.URL {
			return raw(t, "HTTP/1.1 404 \x1b[31mgotcha\r\nContent-Length: 0\r\n\r\n")
		}, fs.ErrNotExist, "404 Not Found", true},
		{"empty", head("Content-Length: 0\r\n\r\n"), ErrEmpty, "empty", true},
		{"empty chunks", head("Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n"), ErrEmpty, "empty", true},
		{"no length", head("\r\nsomething"), ErrNoLength, "neither how long", true},
		{"web page", head("Content-Type: text/html; charset=utf-8\r\nContent-Length: 5\r\n\r\nhello"), ErrWebPage, "web page", true},
		{"web page in disguise", head("Content-Type: application/octet-stream\r\nContent-Length: 40\r\n\r\n\n\xef\xbb\xbf <!DOCTYPE HTML><title>Log in</title>  "), ErrWebPage, "web page", true},
		{"compressed", head("Content-Encoding: gzip\r\nContent-Length: 5\r\n\r\nhello"), ErrProtocol, `"gzip"`, false},
		{"announced too large", head("Content-Length: 1048577\r\n\r\nhello"), ErrTooLarge, "it has 1048577 bytes, and 1048576 are allowed", true},
		{"announced enormous", head("Content-Length: 9223372036854775807\r\n\r\nhello"), ErrTooLarge, "it has 9223372036854775807 bytes", true},
		{"announced beyond numbers", head("Content-Length: 92233720368547758070\r\n\r\nhello"), nil, "Content-Length", false},
		{"two lengths", head("Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello!"), nil, "Content-Length", false},
		{"endless", handler(func(w http.ResponseWriter, _ *http.Request) {
			for b := content(64<<10, 1); ; {
				if _, err := w.Write(b); err != nil {
					return
				}
			}
		}), ErrTooLarge, "more than the 1048576 bytes", true},
		{"always short", head("Content-Length: 1000\r\n\r\nhello"), io.ErrUnexpectedEOF, "the connection broke", false},
		{"always short chunks", head("Transfer-Encoding: chunked\r\n\r\nff\r\nhello"), io.ErrUnexpectedEOF, "the connection broke", false},
		{"broken chunks", head("Transfer-Encoding: chunked\r\n\r\nxyz\r\nhello"), nil, "chunk length", false},
		{"says nothing and hangs up", func(t *testing.T) weburl.URL { return raw(t, "") }, io.EOF, "the connection broke", false},
		{"no web server", func(t *testing.T) weburl.URL { return raw(t, "SSH-2.0-OpenSSH_9.2\r\n") }, nil, "malformed HTTP", false},
		{"endless headers", head(strings.Repeat("X-Filler: 0123456789abcdef\r\n", 10000) + "\r\n"), nil, "header", false},
		{"redirected to itself", handler(func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, r.URL.Path, 302) }), ErrRedirect, "more than 5 in a row", true},
		{"redirected to a file", handler(func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "file:///etc/passwd", 302) }), ErrRedirect, "", true},
		{"redirected to a user", handler(func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "http://root@127.0.0.1/", 302) }), ErrRedirect, "user name", true},
		{"nobody listens", func(t *testing.T) weburl.URL { return mustURL(t, "http://127.0.0.1:1/OS_1.raw") }, nil, "cannot connect to 127.0.0.1:1", false},
		{"no such name", func(t *testing.T) weburl.URL { return mustURL(t, "http://name.invalid/OS_1.raw") }, nil, `cannot resolve "name.invalid"`, false},
		{"https without CAs", func(t *testing.T) weburl.URL { return mustURL(t, "https://127.0.0.1:1/OS_1.raw") }, ErrNoCA, "CA certificates", true},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			o := quick(t)
			retries := 0
			o.Note = func(string) { retries++ }
			o.Attempts = 3
			u := test.serve(t)
			_, r, err := get(t, o, limit, u)
			if err == nil {
				t.Fatalf("fetched %+v", r)
			}
			if test.err != nil && !errors.Is(err, test.err) || !strings.Contains(err.Error(), test.text) || !strings.HasPrefix(err.Error(), "cannot fetch "+u.String()+": ") {
				t.Errorf("%v\nwanted %v, with %q", err, test.err, test.text)
			}
			if strings.ContainsAny(err.Error(), "\x1b\n") || len(err.Error()) > 600 {
				t.Errorf("nothing for a console: %q", err)
			}
			if (retries == 0) != test.once {
				t.Errorf("%d retries, wanted none: %v", retries, test.once)
			}
		})
	}
}

// TestNothingIsStored has a server announce too much: refused before a byte is stored.
func TestNothingIsStored(t *testing.T) {
	u := raw(t, "HTTP/1.1 200 OK\r\nContent-Length: 1001\r\n\r\n"+strings.Repeat("x", 1001))
	b, _, err := get(t, quick(t), 1000, u)
	if !errors.Is(err, ErrTooLarge) || len(b) != 0 {
		t.Errorf("%d bytes were stored: %v", len(b), err)
	}
}

// TestSeveral has more than one place for a file.
func TestSeveral(t *testing.T) {
	file := content(100000, 1)
	good := func(t *testing.T) weburl.URL {
		return serve(t, (&flaky{content: file, etag: `"1"`}).ServeHTTP)
	}
	missing := func(t *testing.T) weburl.URL { return serve(t, http.NotFound) }
	dead := func(t *testing.T) weburl.URL { return mustURL(t, "http://127.0.0.1:1/OS_1.raw") }
	breaks := func(t *testing.T) weburl.URL {
		f := &flaky{content: file, etag: `"1"`, each: func(f *flaky, n int) {
			if n > 0 {
				panic(http.ErrAbortHandler)
			}
		}, breaks: []int{50000}}
		return serve(t, f.ServeHTTP)
	}
	later := func(t *testing.T) weburl.URL {
		return serve(t, (&flaky{content: file, etag: `"1"`, each: func(_ *flaky, n int) {
			if n < 2 {
				panic(http.ErrAbortHandler)
			}
		}}).ServeHTTP)
	}
	type places []func(*testing.T) weburl.URL
	for _, test := range []struct {
		name   string
		places places
		from   int // -1: from none
		err    error
		not    error
	}{
		{"the first", places{good, dead}, 0, nil, nil},
		{"missing, good", places{missing, good}, 1, nil, nil},
		{"dead, good", places{dead, good}, 1, nil, nil},
		{"breaks for good, good", places{breaks, good}, 1, nil, nil},
		{"missing, dead, starts later", places{missing, dead, later}, 2, nil, nil},
		{"missing twice", places{missing, missing}, -1, fs.ErrNotExist, nil},
		{"missing, dead", places{missing, dead}, -1, nil, fs.ErrNotExist},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			var urls []weburl.URL
			for _, p := range test.places {
				urls = append(urls, p(t))
			}
			b, r, err := get(t, quick(t), 1<<20, urls...)
			if test.from >= 0 {
				if err != nil || !bytes.Equal(b, file) || r.URL != urls[test.from] {
					t.Errorf("%+v: %v, wanted the file of place %d", r, err, test.from)
				}
				return
			}
			if err == nil || test.err != nil && !errors.Is(err, test.err) || test.not != nil && errors.Is(err, test.not) {
				t.Errorf("%v, wanted %v and not %v", err, test.err, test.not)
			}
			for _, u := range urls {
				if !strings.Contains(fmt.Sprint(err), u.String()) {
					t.Errorf("%v does not say what became of %v", err, u)
				}
			}
			var status *StatusError
			if !errors.As(err, &status) {
				t.Errorf("%v is no status error", err)
			}
		})
	}
}

func TestDigest(t *testing.T) {
	file := content(100000, 1)
	good, bad := sha256.Sum256(file), sha256.Sum256(nil)
	for _, broken := range []bool{false, true} {
		for _, want := range [][32]byte{good, bad} {
			server := &flaky{content: file, etag: `"1"`}
			if broken {
				server.breaks = []int{33333}
			}
			c := New(quick(t))
			var m Memory
			r, err := c.Get(t.Context(), File{URLs: []weburl.URL{serve(t, server.ServeHTTP)}, Limit: 1 << 20, SHA256: &want}, &m)
			if want == good && (err != nil || *r.SHA256 != good || !bytes.Equal(m, file)) {
				t.Errorf("broken %v: %v", broken, err)
			}
			if want == bad && (!errors.Is(err, ErrDigest) || len(m) != 0 || server.n > 2) {
				t.Errorf("broken %v: %v, %d bytes, %d requests", broken, err, len(m), server.n)
			}
		}
	}
}

// full is a target that takes so many bytes.
type full struct{ left int }

func (f *full) WriteAt(b []byte, _ int64) (int, error) {
	if f.left -= len(b); f.left < 0 {
		return 0, errors.New("no space left on device")
	}
	return len(b), nil
}
func (f *full) Truncate(int64) error { return nil }

// TestTargetIsFull does not blame the server, nor ask it again.
func TestTargetIsFull(t *testing.T) {
	server := &flaky{content: content(100000, 1), etag: `"1"`}
	_, err := New(quick(t)).Get(t.Context(), File{URLs: []weburl.URL{serve(t, server.ServeHTTP)}, Limit: 1 << 20}, &full{1000})
	if err == nil || !strings.Contains(err.Error(), "cannot store what was fetched: no space left on device") || server.n != 1 {
		t.Errorf("%v after %d requests", err, server.n)
	}
}

func TestProgress(t *testing.T) {
	file := content(600000, 1)
	var last, total int64
	o := quick(t)
	o.Progress = func(done, all int64) {
		if done <= last {
			t.Errorf("%d bytes after %d", done, last)
		}
		last, total = done, all
	}
	c := New(o)
	var m Memory
	if _, err := c.Get(t.Context(), File{URLs: []weburl.URL{serve(t, (&flaky{content: file, etag: `"1"`, breaks: []int{300000}}).ServeHTTP)}, Limit: 1 << 20}, &m); err != nil {
		t.Fatal(err)
	}
	if last != 600000 || total != 600000 {
		t.Errorf("it ends with %d of %d", last, total)
	}
	if n := c.Received(); n < 600000 || n > 602000 {
		t.Errorf("%d bytes were received", n)
	}
}

// TestNoProxy has an environment that names a proxy.
func TestNoProxy(t *testing.T) {
	t.Setenv("HTTP_PROXY", "http://127.0.0.1:1")
	t.Setenv("http_proxy", "http://127.0.0.1:1")
	// A name, because nobody asks a proxy for 127.0.0.1.
	u := serve(t, (&flaky{content: []byte("hello")}).ServeHTTP)
	u.Host = strings.Replace(u.Host, "127.0.0.1", "localhost", 1)
	if _, _, err := get(t, quick(t), 100, u); err != nil {
		t.Error(err)
	}
}

func TestValidatorOf(t *testing.T) {
	const older, same = "Wed, 25 Nov 2026 10:00:00 GMT", "Wed, 25 Nov 2026 10:00:05 GMT"
	for _, test := range []struct{ etag, modified, date, want string }{
		{`"x"`, "", "", `"x"`},
		{`"x"`, older, same, `"x"`},
		{`W/"x"`, older, same, older},
		{`x`, "", same, ""},
		{`""`, "", same, ""},
		{"", older, same, older},
		{"", same, same, ""}, // it may have been changed again within that second
		{"", older, "", ""},
		{"", "yesterday", same, ""},
		{`"` + strings.Repeat("x", 300) + `"`, "", "", ""},
	} {
		h := http.Header{}
		for k, v := range map[string]string{"Etag": test.etag, "Last-Modified": test.modified, "Date": test.date} {
			if v != "" {
				h.Set(k, v)
			}
		}
		if got := validatorOf(h); got != test.want {
			t.Errorf("%+v: %q", test, got)
		}
	}
}
