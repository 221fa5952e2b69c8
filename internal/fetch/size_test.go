// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package fetch

import (
	"context"
	"errors"
	"io/fs"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

func TestSize(t *testing.T) {
	for _, test := range []struct {
		name string
		h    func(n int32, w http.ResponseWriter, r *http.Request)
		want int64
		err  error
		text string
	}{
		{"known", func(_ int32, w http.ResponseWriter, r *http.Request) { w.Header().Set("Content-Length", "1234") }, 1234, nil, ""},
		{"unknown", func(_ int32, w http.ResponseWriter, r *http.Request) { w.Header().Set("Transfer-Encoding", "chunked") }, 0, nil, ""},
		{"not allowed to ask", func(_ int32, w http.ResponseWriter, r *http.Request) { w.WriteHeader(405) }, 0, nil, ""},
		{"missing", func(_ int32, w http.ResponseWriter, r *http.Request) { w.WriteHeader(404) }, 0, fs.ErrNotExist, "404 Not Found"},
		{"page", func(_ int32, w http.ResponseWriter, r *http.Request) { w.Header().Set("Content-Type", "text/html") }, 0, ErrWebPage, ""},
		{"later", func(n int32, w http.ResponseWriter, r *http.Request) {
			if n < 3 {
				w.WriteHeader(503)
			}
			w.Header().Set("Content-Length", "7")
		}, 7, nil, ""},
		{"never", func(_ int32, w http.ResponseWriter, r *http.Request) { w.WriteHeader(503) }, 0, nil, "503 Service Unavailable"},
	} {
		var n atomic.Int32
		u := serve(t, func(w http.ResponseWriter, r *http.Request) {
			if r.Method != http.MethodHead {
				t.Errorf("%s: %s", test.name, r.Method)
			}
			test.h(n.Add(1), w, r)
		})
		got, err := New(quick(t)).Size(t.Context(), u)
		isBad := test.err != nil || test.text != ""
		if got != test.want || (err != nil) != isBad || test.err != nil && !errors.Is(err, test.err) || err != nil && !strings.Contains(err.Error(), test.text) {
			t.Errorf("%s: %d, %v", test.name, got, err)
		}
	}
}

// TestSizeEnds has a server that never answers.
func TestSizeEnds(t *testing.T) {
	u := serve(t, func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	o := quick(t)
	o.Idle, o.Attempts = 50*time.Millisecond, 1000
	ctx, cancel := context.WithTimeoutCause(t.Context(), 300*time.Millisecond, ErrTimeout)
	defer cancel()
	if _, err := New(o).Size(ctx, u); !errors.Is(err, ErrTimeout) && !errors.Is(err, ErrStalled) {
		t.Errorf("%v", err)
	}
}
