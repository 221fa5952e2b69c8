// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package plan

import (
	"errors"
	"slices"
	"strings"
	"testing"
)

// TestSourcesNeedTheirProgram: a server among the sources is an error before anything is tried if nothing here could reach it.
func TestSourcesNeedTheirProgram(t *testing.T) {
	for _, value := range []string{"http", "esp,nbd", "nbd,http,esp"} {
		in := Input{CommandLine: "ddi.source=" + value}
		_, err := New(in)
		if !errors.Is(err, ErrNotHere) || !strings.Contains(err.Error(), "ddifetch") {
			t.Errorf("%s without ddifetch: %v", value, err)
		}
		in.HasFetch = true
		p, err := New(in)
		if err != nil || joinText(p.Sources) != value || p.SourcesByDefault {
			t.Errorf("%s: %v, %+v", value, err, p)
		}
	}
	p, err := New(Input{})
	if err != nil || !p.SourcesByDefault || !slices.Equal(p.Sources, []Source{SourceESP, SourceInitrd}) {
		t.Errorf("by default: %v, %v", err, p.Sources)
	}
	// A settings file that somebody signed may name a source, and nobody else's.
	p, _ = New(Input{HasFetch: true})
	if next, err := p.WithSettings("x", []byte("source=http\n"), true); err != nil || !slices.Equal(next.Sources, []Source{SourceHTTP}) {
		t.Errorf("signed settings: %v", err)
	}
	if _, err := p.WithSettings("x", []byte("source=http\n"), false); !errors.Is(err, ErrUnsigned) {
		t.Errorf("unsigned settings: %v", err)
	}
}
