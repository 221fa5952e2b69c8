// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package jsontext

import (
	"encoding/json"
	"errors"
	"math"
	"strings"
	"testing"
	"unicode/utf8"
)

type word string

// text marshals itself.
type text [2]byte

func (t text) MarshalText() ([]byte, error) {
	if t[0] == 'x' {
		return nil, errors.New("unspeakable")
	}
	return []byte("<" + string(t[:]) + ">"), nil
}

type part struct {
	Name  string         `json:"name"`
	Words []word         `json:"words,omitempty"`
	Pairs [][2]int64     `json:"pairs"`
	Next  *part          `json:"next,omitempty"`
	On    *bool          `json:"on,omitempty"`
	Text  text           `json:"text"`
	Texts []text         `json:"texts,omitempty"`
	Count uint32         `json:"count,omitempty"`
	Err   error          `json:"-"`
	Plain int8           // by its own name
	Inner struct{}       `json:"inner,omitempty"`
	Map   map[word]int   `json:"map"`
	Any   map[string]any `json:"any,omitempty"`
	inner string
}

func values() []any {
	yes := true
	full := part{
		Name: "a", Words: []word{"<b>", "c&d"}, Pairs: [][2]int64{{math.MinInt64, math.MaxInt64}, {}}, Next: &part{Name: "\u2028\u2029\x00\x1f\x7f"}, On: &yes,
		Text: text{'o', 'k'}, Texts: []text{{'a', 'b'}}, Count: math.MaxUint32, Err: errors.New("x"), Plain: -1, Map: map[word]int{"b": 1, "a": 2, "": 0},
		Any: map[string]any{"n": nil, "p": &yes, "s": []string{}, "m": map[string]string{}}, inner: "y",
	}
	return []any{nil, true, false, 0, -5, uint64(math.MaxUint64), "", "\"\\\b\f\n\r\t", "\xff\ufffd\xc3", "\U0001f600ü", word("w"), text{'a', 'b'}, &text{'c', 'd'},
		[]int(nil), []int{}, []int{1}, [0]string{}, map[string]string(nil), map[string]string{}, map[string]bool{"b": true, "a": false}, (*part)(nil),
		part{}, full, &full, []part{{}, full}, struct{}{}, []struct{}{{}}, []any{1, "a", nil}}
}

// TestMarshal holds every value against encoding/json.
func TestMarshal(t *testing.T) {
	for _, v := range values() {
		for _, indent := range []string{"", "  ", "\t"} {
			want, err := json.Marshal(v)
			if indent != "" {
				want, err = json.MarshalIndent(v, "", indent)
			}
			if err != nil {
				t.Fatal(err)
			}
			got, err := Marshal(v, indent)
			if string(got) != string(want) || err != nil {
				t.Errorf("%#v: got %v\n%s\nwant\n%s", v, err, got, want)
			}
		}
	}
}

func TestMarshalRefuses(t *testing.T) {
	for _, v := range []any{1.5, []byte("a"), [2]byte{}, struct{ part }{}, map[int]string{}, make(chan int), func() {}, 1i, []any{1.5}, map[string]any{"a": 1.5}} {
		if got, err := Marshal(v, ""); !errors.Is(err, ErrType) || got != nil {
			t.Errorf("%T: got %s, %v", v, got, err)
		}
	}
	if got, err := Marshal([]text{{'x', 'y'}}, ""); err == nil || !strings.Contains(err.Error(), "unspeakable") || got != nil {
		t.Errorf("got %s, %v", got, err)
	}
}

// FuzzMarshal: whatever is in a string, it is written as encoding/json writes it, and our own reader gets it back.
func FuzzMarshal(f *testing.F) {
	for _, s := range []string{"", "a", "\xff", "\u2028<\x00\\\"", "\U0001f600"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		got, err := Marshal(map[string]string{s: s}, "")
		if err != nil {
			t.Fatal(err)
		}
		want, err := json.Marshal(map[string]string{s: s})
		if err != nil || string(got) != string(want) {
			t.Errorf("%q: got %s, want %s, %v", s, got, want, err)
		}
		m, err := Object(got, 1)
		if err != nil {
			t.Fatalf("%s: %v", got, err)
		}
		back, err := String(m[0].Value)
		if err != nil || back != m[0].Name || utf8.ValidString(s) && back != s {
			t.Errorf("%q comes back as %q, %v", s, back, err)
		}
	})
}
