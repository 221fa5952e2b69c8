// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package jsontext

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"unicode/utf8"
)

func TestObject(t *testing.T) {
	for _, test := range []struct {
		in   string
		want string // NAME=VALUE, one a line
		err  error
	}{
		{`{}`, ``, nil},
		{" \t\r\n{ \n } \n", ``, nil},
		{`{"a":1,"b" : [ 1 , {"a":2,"a":3} ] ,"c":"x\"}"}`, "a=1\nb=[ 1 , {\"a\":2,\"a\":3} ]\nc=\"x\\\"}\"", nil},
		{`{"\u0061\n\ud83d\ude00\/":null}`, "a\n\U0001f600/=null", nil},
		{`{"":-0.1e+5,"n":-0,"e":1E9}`, "=-0.1e+5\nn=-0\ne=1E9", nil},
		{`{"t":true,"f":false}`, "t=true\nf=false", nil},
		{`{"ü":"é"}`, `ü="é"`, nil},

		{``, ``, ErrSyntax},
		{`[]`, ``, ErrSyntax},
		{`"x"`, ``, ErrSyntax},
		{`{`, ``, ErrSyntax},
		{`{"a"`, ``, ErrSyntax},
		{`{"a":`, ``, ErrSyntax},
		{`{"a":1`, ``, ErrSyntax},
		{`{"a":1,`, ``, ErrSyntax},
		{`{"a":1,}`, ``, ErrSyntax},
		{`{,"a":1}`, ``, ErrSyntax},
		{`{"a" 1}`, ``, ErrSyntax},
		{`{a:1}`, ``, ErrSyntax},
		{`{'a':1}`, ``, ErrSyntax},
		{`{"a":1}{}`, ``, ErrSyntax},
		{`{"a":1} x`, ``, ErrSyntax},
		{"{\"a\":1}\x00", ``, ErrSyntax},
		{`{"a":[1,]}`, ``, ErrSyntax},
		{`{"a":[1}`, ``, ErrSyntax},
		{`{"a":01}`, ``, ErrSyntax},
		{`{"a":+1}`, ``, ErrSyntax},
		{`{"a":-}`, ``, ErrSyntax},
		{`{"a":.5}`, ``, ErrSyntax},
		{`{"a":1.}`, ``, ErrSyntax},
		{`{"a":1e}`, ``, ErrSyntax},
		{`{"a":1e+}`, ``, ErrSyntax},
		{`{"a":nul}`, ``, ErrSyntax},
		{`{"a":nulll}`, ``, ErrSyntax},
		{`{"a":NaN}`, ``, ErrSyntax},
		{"{\"a\":\"\n\"}", ``, ErrSyntax},
		{`{"a":"\x"}`, ``, ErrSyntax},
		{`{"a":"\`, ``, ErrSyntax},
		{`{"a":"\u12`, ``, ErrSyntax},
		{`{"a":"\u12g4"}`, ``, ErrSyntax},
		{"{\"a\":1\u00a0}", ``, ErrSyntax},
		{"{/**/}", ``, ErrSyntax},
		// encoding/json takes these and puts a replacement character where something is wrong.
		{"{\"a\xff\":1}", ``, ErrSyntax},
		{`{"a":"\ud83d"}`, ``, ErrSyntax},
		{`{"a":"\ud83dx"}`, ``, ErrSyntax},
		{`{"a":"\ud83d\u0041"}`, ``, ErrSyntax},
		{`{"a":"\ude00\ud83d"}`, ``, ErrSyntax},

		{`{"a":1,"a":1}`, ``, ErrTwice},
		{`{"a":1,"\u0061":1}`, ``, ErrTwice},
		{`{"1":1,"2":2,"3":3,"4":4,"5":5,"6":6,"7":7,"8":8,"9":9}`, ``, ErrTooMuch},
		{`{"a":` + strings.Repeat("[", 32), ``, ErrTooMuch},
		{strings.Repeat(`{"a":`, 1<<20), ``, ErrTooMuch},
	} {
		got, err := Object([]byte(test.in), 8)
		var lines []string
		for _, m := range got {
			lines = append(lines, m.Name+"="+string(m.Value))
		}
		if text := strings.Join(lines, "\n"); text != test.want || !errors.Is(err, test.err) {
			t.Errorf("%.60q: got %q, %v; want %q, %v", test.in, text, err, test.want, test.err)
		}
	}
	if _, err := Object([]byte(`{"a":`+strings.Repeat("[", 31)+strings.Repeat("]", 31)+`}`), 8); err != nil {
		t.Errorf("32 levels: %v", err)
	}
}

func TestString(t *testing.T) {
	for in, want := range map[string]string{
		`""`: "", `"a"`: "a", `"\"\\\/\b\f\n\r\t"`: "\"\\/\b\f\n\r\t", `"\u00fC\uFFFD"`: "ü\ufffd", `"\u0000"`: "\x00", `"\uD83D\uDE00x"`: "\U0001f600x",
	} {
		if got, err := String([]byte(in)); got != want || err != nil {
			t.Errorf("%s: got %q, %v", in, got, err)
		}
	}
	for _, in := range []string{``, `"`, `a`, `"a`, `"a"b`, `"a" `, ` "a"`, `1`, `null`, `["a"]`} {
		if got, err := String([]byte(in)); got != "" || !errors.Is(err, ErrSyntax) {
			t.Errorf("%s: got %q, %v", in, got, err)
		}
	}
}

// theirs takes an object apart with encoding/json.
func theirs(t *testing.T, text []byte) []Member {
	dec := json.NewDecoder(bytes.NewReader(text))
	if tok, err := dec.Token(); err != nil || tok != json.Delim('{') {
		t.Fatalf("encoding/json finds no object in %q: %v, %v", text, tok, err)
	}
	var out []Member
	for dec.More() {
		tok, err := dec.Token()
		if err != nil {
			t.Fatalf("%q: %v", text, err)
		}
		var raw json.RawMessage
		if err := dec.Decode(&raw); err != nil {
			t.Fatalf("%q: %v", text, err)
		}
		out = append(out, Member{tok.(string), raw})
	}
	return out
}

// FuzzObject holds Object against encoding/json: what it takes means the same there, and what it calls a mistake in the
// syntax is one there, but for text that is no Unicode.
func FuzzObject(f *testing.F) {
	for _, s := range []string{`{}`, `{"a":[1,{"b":"\u00e9\ud83d\ude00"}],"c":-1.5e3}`, `{"a":"\ud83d"}`, "{\"\xff\":1}", `{"a":1,"a":2}`, `[]`, `{"rootHash":"ab","signature":"AA=="}` + "\n"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		got, err := Object(text, 64)
		if err != nil {
			first := bytes.TrimLeft(text, " \t\r\n")
			// A replacement character in what encoding/json read may stand for half a surrogate pair.
			unicode := utf8.Valid(text) && !bytes.Contains(text, []byte(`\u`))
			if errors.Is(err, ErrSyntax) && unicode && len(first) > 0 && first[0] == '{' && json.Valid(text) {
				t.Errorf("%q is refused: %v", text, err)
			}
			if !errors.Is(err, ErrSyntax) && !errors.Is(err, ErrTwice) && !errors.Is(err, ErrTooMuch) || got != nil {
				t.Errorf("%q: got %v with %v", text, got, err)
			}
			return
		}
		if !json.Valid(text) {
			t.Fatalf("%q is taken, and is not JSON", text)
		}
		want := theirs(t, text)
		if len(got) != len(want) {
			t.Fatalf("%q: got %q, want %q", text, got, want)
		}
		for i := range got {
			if got[i].Name != want[i].Name || !bytes.Equal(got[i].Value, want[i].Value) {
				t.Errorf("%q: got %q, want %q", text, got[i], want[i])
			}
			var s string
			mine, err := String(got[i].Value)
			if is := got[i].Value[0] == '"'; is != (err == nil) || is && (json.Unmarshal(got[i].Value, &s) != nil || s != mine) {
				t.Errorf("%q: got %q, %v, want %q", got[i].Value, mine, err, s)
			}
		}
	})
}
