// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package fetch

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// flaky serves a file and breaks the connection behind each of the given numbers of bytes, one a request, then no more.
type flaky struct {
	mu      sync.Mutex
	content []byte
	etag    string
	breaks  []int
	plain   bool // knows no ranges
	ranges  []string
	// each is called before a request is answered, with its number, the first being 0.
	each func(f *flaky, n int)
	n    int
}

func (f *flaky) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	n := f.n
	f.n++
	if f.each != nil {
		f.each(f, n)
	}
	f.ranges = append(f.ranges, r.Header.Get("Range"))
	if len(f.breaks) > 0 {
		w = &breaking{w, f.breaks[0]}
		f.breaks = f.breaks[1:]
	}
	if f.plain {
		w.Header().Set("Content-Length", fmt.Sprint(len(f.content)))
		w.Write(f.content)
		return
	}
	w.Header().Set("Content-Type", "application/octet-stream")
	if f.etag != "" {
		w.Header().Set("Etag", f.etag)
	}
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(f.content))
}

// breaking lets so many bytes of a body through.
type breaking struct {
	http.ResponseWriter
	left int
}

func (b *breaking) Write(p []byte) (int, error) {
	n, err := b.ResponseWriter.Write(p[:min(len(p), b.left)])
	if b.left -= n; b.left == 0 {
		b.ResponseWriter.(http.Flusher).Flush()
		panic(http.ErrAbortHandler)
	}
	return n, err
}

// TestResume has connections break, and servers and files that are what they are when they are asked again.
func TestResume(t *testing.T) {
	old, updated := content(300000, 1), content(200000, 2)
	for _, test := range []struct {
		name      string
		server    *flaky
		want      []byte
		resumed   int
		restarted int
		ranges    string
	}{
		{"unbroken", &flaky{content: old, etag: `"1"`}, old, 0, 0, `[""]`},
		{"twice", &flaky{content: old, etag: `"1"`, breaks: []int{100000, 50000}}, old, 2, 0, `["" "bytes=100000-" "bytes=150000-"]`},
		{"after each byte of three", &flaky{content: old, etag: `"1"`, breaks: []int{1, 1, 1}}, old, 3, 0, `["" "bytes=1-" "bytes=2-" "bytes=3-"]`},
		{"before the last byte", &flaky{content: old, etag: `"1"`, breaks: []int{299999}}, old, 1, 0, `["" "bytes=299999-"]`},
		{"no ranges", &flaky{content: old, plain: true, breaks: []int{100000}}, old, 0, 1, `["" ""]`},
		{"no entity tag", &flaky{content: old, breaks: []int{100000}}, old, 0, 1, `["" ""]`},
		{"weak entity tag", &flaky{content: old, etag: `W/"1"`, breaks: []int{100000}}, old, 0, 1, `["" ""]`},
		{"changed", &flaky{content: old, etag: `"1"`, breaks: []int{100000}, each: func(f *flaky, n int) {
			if n == 1 {
				f.content, f.etag = updated, `"2"`
			}
		}}, updated, 0, 1, `["" "bytes=100000-"]`},
		{"changed, and shorter than what is there", &flaky{content: old, etag: `"1"`, breaks: []int{250000}, each: func(f *flaky, n int) {
			if n == 1 {
				f.content, f.etag = updated, `"2"`
			}
		}}, updated, 0, 1, `["" "bytes=250000-"]`},
		{"shortened without a new entity tag", &flaky{content: old, etag: `"1"`, breaks: []int{250000}, each: func(f *flaky, n int) {
			if n == 1 {
				f.content = updated
			}
		}}, updated, 0, 1, `["" "bytes=250000-" ""]`},
		{"lengthened without a new entity tag", &flaky{content: updated, etag: `"1"`, breaks: []int{100000}, each: func(f *flaky, n int) {
			if n == 1 {
				f.content = old
			}
		}}, old, 0, 1, `["" "bytes=100000-" ""]`},
	} {
		t.Run(test.name, func(t *testing.T) {
			b, r, err := get(t, quick(t), 1<<20, serve(t, test.server.ServeHTTP))
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(b, test.want) || r.Size != int64(len(test.want)) {
				t.Errorf("%d bytes that are not the file's %d", len(b), len(test.want))
			}
			if r.Resumed != test.resumed || r.Restarted != test.restarted {
				t.Errorf("resumed %d times and restarted %d, wanted %d and %d", r.Resumed, r.Restarted, test.resumed, test.restarted)
			}
			if got := fmt.Sprintf("%q", test.server.ranges); got != test.ranges {
				t.Errorf("asked for %s, wanted %s", got, test.ranges)
			}
		})
	}
}

// TestWrongParts has servers that answer the second request, for the rest, with something else.
func TestWrongParts(t *testing.T) {
	file := content(1000, 1)
	for name, part := range map[string]string{
		"other place":     "Content-Range: bytes 0-999/1000\r\nContent-Length: 1000\r\n\r\n" + string(file),
		"other size":      "Content-Range: bytes 400-998/999\r\nContent-Length: 599\r\n\r\n" + string(file[400:999]),
		"no range":        "Content-Length: 600\r\n\r\n" + string(file[400:]),
		"range of words":  "Content-Range: bytes a-b/c\r\nContent-Length: 600\r\n\r\n" + string(file[400:]),
		"negative":        "Content-Range: bytes -1--1/1000\r\nContent-Length: 600\r\n\r\n" + string(file[400:]),
		"several parts":   "Content-Type: multipart/byteranges; boundary=x\r\nContent-Length: 5\r\n\r\n--x--",
		"other version":   "Etag: \"2\"\r\nContent-Range: bytes 400-999/1000\r\nContent-Length: 600\r\n\r\n" + string(content(600, 2)),
		"more than there": "Content-Range: bytes 400-999/1000\r\nTransfer-Encoding: chunked\r\n\r\n400\r\n" + string(content(1024, 2)) + "\r\n0\r\n\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			var n atomic.Int32
			u := serve(t, func(w http.ResponseWriter, r *http.Request) {
				conn, _, err := w.(http.Hijacker).Hijack()
				if err != nil {
					t.Error(err)
					return
				}
				defer conn.Close()
				switch n.Add(1) {
				case 1:
					fmt.Fprintf(conn, "HTTP/1.1 200 OK\r\nEtag: \"1\"\r\nContent-Length: 1000\r\n\r\n%s", file[:400])
				case 2:
					if got := r.Header.Get("Range") + r.Header.Get("If-Range"); got != `bytes=400-"1"` {
						t.Errorf("asked for %s", got)
					}
					io.WriteString(conn, "HTTP/1.1 206 Partial Content\r\n"+part)
				default:
					fmt.Fprintf(conn, "HTTP/1.1 200 OK\r\nEtag: \"1\"\r\nContent-Length: 1000\r\n\r\n%s", file)
				}
			})
			b, r, err := get(t, quick(t), 1<<20, u)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(b, file) || r.Restarted != 1 {
				t.Errorf("not the file, or not fetched anew: %+v", r)
			}
		})
	}
}

// TestSlow has servers that take their time.
func TestSlow(t *testing.T) {
	file := content(100000, 1)
	hang := func(r *http.Request) { <-r.Context().Done() }
	start := func(w http.ResponseWriter) {
		w.Header().Set("Content-Length", fmt.Sprint(len(file)))
		w.Header().Set("Etag", `"1"`)
		w.Write(file[:10])
		w.(http.Flusher).Flush()
	}
	for _, test := range []struct {
		name  string
		serve func(n int32, w http.ResponseWriter, r *http.Request)
		err   error // nil: the file arrives, on a busy machine too
	}{
		{"never answers, and is asked for as long as a connection may be silent", func(n int32, _ http.ResponseWriter, r *http.Request) { hang(r) }, ErrStalled},
		{"never answers", func(_ int32, _ http.ResponseWriter, r *http.Request) { hang(r) }, ErrTimeout},
		{"answers the second time", func(n int32, w http.ResponseWriter, r *http.Request) {
			if n == 1 {
				hang(r)
				return
			}
			w.Write(file)
		}, nil},
		{"stops in the middle, once", func(n int32, w http.ResponseWriter, r *http.Request) {
			if n == 1 {
				start(w)
				hang(r)
				return
			}
			w.Header().Set("Etag", `"1"`)
			http.ServeContent(w, r, "x.raw", time.Time{}, bytes.NewReader(file))
		}, nil},
		{"stops in the middle, always", func(_ int32, w http.ResponseWriter, r *http.Request) { start(w); hang(r) }, ErrTimeout},
		{"a byte now and then", func(_ int32, w http.ResponseWriter, r *http.Request) {
			start(w)
			for i := 10; r.Context().Err() == nil; i++ {
				w.Write(file[i : i+1])
				w.(http.Flusher).Flush()
				time.Sleep(20 * time.Millisecond)
			}
		}, ErrTimeout},
		{"a byte of an unknown number now and then", func(_ int32, w http.ResponseWriter, r *http.Request) {
			for i := 0; r.Context().Err() == nil; i++ {
				w.Write(file[i : i+1])
				w.(http.Flusher).Flush()
				time.Sleep(20 * time.Millisecond)
			}
		}, ErrTimeout},
		{"longer than the time, but fast enough", func(_ int32, w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Length", fmt.Sprint(len(file)))
			for i := range 10 {
				w.Write(file[i*10000 : (i+1)*10000])
				w.(http.Flusher).Flush()
				time.Sleep(250 * time.Millisecond)
			}
		}, nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			var n atomic.Int32
			u := serve(t, func(w http.ResponseWriter, r *http.Request) { test.serve(n.Add(1), w, r) })
			o := quick(t)
			o.Timeout, o.Idle, o.MinRate, o.Attempts = 2*time.Second, 400*time.Millisecond, 10000, 1000
			if test.err != nil {
				o.Timeout, o.Idle, o.MinRate = 500*time.Millisecond, 100*time.Millisecond, 100000
			}
			began := time.Now()
			b, _, err := get(t, o, 1<<20, u)
			took := time.Since(began)
			if !errors.Is(err, test.err) || err == nil && !bytes.Equal(b, file) {
				t.Errorf("%v, wanted %v", err, test.err)
			}
			// A second and a half, and a busy machine.
			if took > 10*time.Second && err != nil {
				t.Errorf("it took %v", took)
			}
		})
	}
}
