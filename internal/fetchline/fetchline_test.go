// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package fetchline

import (
	"errors"
	"strings"
	"testing"
)

func TestParse(t *testing.T) {
	sum := strings.Repeat("ab", 32)
	for line, want := range map[string]Event{
		`{"event":"network","interface":"eth0","addresses":["10.0.2.15/24"],"gateway":"10.0.2.2","dns":["10.0.2.3"],"how":"dhcp4"}`: {Kind: Network, Interface: "eth0", How: "dhcp4"},
		`{"event":"candidate","name":"os.raw","url":"http://a/os.raw","size":7,"sha256":"` + sum + `"}`:                             {Kind: Candidate, Name: "os.raw", URL: "http://a/os.raw", Size: 7, SHA256: sum},
		"{\"event\":\"progress\",\"done\":5,\"total\":0}\n":                                                                         {Kind: Progress, Done: 5},
		`{"event":"device","node":"nbd0","size":1048576,"block_size":4096}`:                                                         {Kind: Device, Node: "nbd0", Size: 1 << 20, BlockSize: 4096},
		`{"event":"done","size":9223372036854775807,"received":9}`:                                                                  {Kind: Done, Size: 1<<63 - 1, Received: 9},
		`{"event":"error","text":"cannot: \u001b[2J","code":"not-found"}`:                                                           {Kind: Error, Text: "cannot: \x1b[2J", Code: NotFound},
		`{"event":"one of the future","what":{"is":["this"]}}`:                                                                      {Kind: "one of the future"},
	} {
		if got, err := Parse([]byte(line)); err != nil || got != want {
			t.Errorf("%s: %+v, %v", line, got, err)
		}
	}
	for _, line := range []string{
		"", "x", "[]", `"event"`, "{}", `{"event":""}`, `{"event":7}`, `{"event":"done"} {"event":"done"}`, `{"event":"done","event":"error"}`,
		`{"event":"candidate","name":"os.raw"}`, `{"event":"candidate","url":"http://a/"}`, `{"event":"candidate","name":"a","url":"b","size":-1}`,
		`{"event":"candidate","name":"a","url":"b","size":1.5}`, `{"event":"candidate","name":"a","url":"b","size":"7"}`, `{"event":"done","size":9223372036854775808}`,
		`{"event":"candidate","name":"a","url":"b","sha256":"` + sum[1:] + `"}`, `{"event":"candidate","name":"a","url":"b","sha256":"` + strings.Repeat("xy", 32) + `"}`,
		`{"event":"error","text":"` + strings.Repeat("x", MaxLine) + `"}`,
	} {
		if got, err := Parse([]byte(line)); !errors.Is(err, ErrLine) || got != (Event{}) {
			t.Errorf("%.80s: %+v, %v", line, got, err)
		}
	}
}

// FuzzParse: whatever is said, what is taken from it is as it should be.
func FuzzParse(f *testing.F) {
	f.Add([]byte(`{"event":"candidate","name":"os.raw","url":"http://a/os.raw","size":7}`))
	f.Add([]byte(`{"event":"error","text":"cannot","code":"not-found"}`))
	f.Add([]byte(`{"event":"network","addresses":["10.0.2.15/24"]}`))
	f.Fuzz(func(t *testing.T, line []byte) {
		e, err := Parse(line)
		switch {
		case err != nil && (!errors.Is(err, ErrLine) || e != Event{}):
			t.Errorf("%+v, %v", e, err)
		case err == nil && (e.Kind == "" || e.Size < 0 || e.BlockSize < 0 || e.Done < 0 || e.Total < 0 || e.Received < 0):
			t.Errorf("%+v", e)
		case err == nil && e.Kind == Candidate && (e.Name == "" || e.URL == "" || e.SHA256 != "" && len(e.SHA256) != 64):
			t.Errorf("%+v", e)
		}
	})
}
