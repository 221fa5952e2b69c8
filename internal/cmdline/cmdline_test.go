// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package cmdline

import (
	"errors"
	"reflect"
	"strings"
	"testing"
)

func kv(key, value string) Param { return Param{Key: key, Value: value, HasValue: true} }
func flag(key string) Param      { return Param{Key: key} }

func TestParse(t *testing.T) {
	tests := []struct {
		in     string
		params []Param
		init   []string
	}{
		{in: ""},
		{in: " \t\r\n\v\f\xa0"},
		{in: "quiet\n", params: []Param{flag("quiet")}},
		{in: "  root=/dev/sda1   ro\n", params: []Param{kv("root", "/dev/sda1"), flag("ro")}},
		{in: "a=", params: []Param{kv("a", "")}},
		{in: "a==b=c", params: []Param{kv("a", "=b=c")}},
		{in: "a=1 a=2 a", params: []Param{kv("a", "1"), kv("a", "2"), flag("a")}},
		{in: "a\tb\nc\vd\fe\rf\xa0g", params: []Param{flag("a"), flag("b"), flag("c"), flag("d"), flag("e"), flag("f"), flag("g")}},
		{in: "n=\xc3\xa9", params: []Param{kv("n", "é")}},
		{in: "n=\xc3\xa0x", params: []Param{kv("n", "\xc3"), flag("x")}}, // "à" holds the kernel's space

		// Quotes at the three places where they are removed.
		{in: `a="b c" d`, params: []Param{kv("a", "b c"), flag("d")}},
		{in: `"a=b c" d`, params: []Param{kv("a", "b c"), flag("d")}},
		{in: `"a b"`, params: []Param{flag("a b")}},
		{in: `"a b=c"`, params: []Param{kv("a b", "c")}},
		{in: `a=""`, params: []Param{kv("a", "")}},
		{in: `""`, params: []Param{flag("")}},
		{in: `"" x`, params: []Param{flag(""), flag("x")}},
		{in: `"a="`, params: []Param{kv("a", "")}},
		{in: `a="b\"c`, params: []Param{kv("a", `b\"c`)}}, // no escapes

		// Quotes elsewhere stay.
		{in: `a=b" "c`, params: []Param{kv("a", `b" "c`)}},
		{in: `a" "b`, params: []Param{flag(`a" "b`)}},
		{in: `a=x"y z"`, params: []Param{kv("a", `x"y z"`)}},
		{in: `a="x"y`, params: []Param{kv("a", `x"y`)}},
		{in: `a="x"" y"`, params: []Param{kv("a", `x"" y`)}},
		{in: `foo"x=y"`, params: []Param{kv(`foo"x`, `y"`)}},
		{in: `"a="b"c"`, params: []Param{kv("a", `b"c`)}},
		{in: `"a="b c""`, params: []Param{kv("a", "b"), flag(`c""`)}}, // the second quote ends the first
		{in: `""a`, params: []Param{flag(`"a`)}},
		{in: `a"b="`, params: []Param{kv(`a"b`, "")}},
		{in: `a='b c'`, params: []Param{kv("a", "'b"), flag("c'")}}, // single quotes are text

		// "=" at the start of a word.
		{in: "=", params: []Param{flag("=")}},
		{in: "=a", params: []Param{flag("=a")}},
		{in: "=a=b", params: []Param{kv("=a", "b")}},
		{in: "==b", params: []Param{kv("=", "b")}},
		{in: `"=a b"`, params: []Param{flag("=a b")}},
		{in: `"==a b"`, params: []Param{kv("=", "a b")}},

		// Arguments for init.
		{in: "a -- b c=d", params: []Param{flag("a")}, init: []string{"b", "c=d"}},
		{in: "-- single", init: []string{"single"}},
		{in: "a --", params: []Param{flag("a")}},
		{in: `-- "x y" k="v w" k2=`, init: []string{"x y", "k=v w", "k2="}},
		{in: `a "--" b`, params: []Param{flag("a")}, init: []string{"b"}},
		{in: "a -- b -- c", params: []Param{flag("a")}, init: []string{"b"}},
		{in: "--=x ---", params: []Param{kv("--", "x"), flag("---")}},
		{in: "a --b", params: []Param{flag("a"), flag("--b")}},
	}
	for _, tt := range tests {
		params, init, err := Parse(tt.in)
		if err != nil {
			t.Errorf("Parse(%q): %v", tt.in, err)
			continue
		}
		if !reflect.DeepEqual(params, tt.params) {
			t.Errorf("Parse(%q) params:\n got %+v\nwant %+v", tt.in, params, tt.params)
		}
		if !reflect.DeepEqual(init, tt.init) {
			t.Errorf("Parse(%q) init arguments: %q, want %q", tt.in, init, tt.init)
		}
	}
}

func TestParseErrors(t *testing.T) {
	tests := []struct {
		in   string
		want error
		text string
	}{
		{`root="`, ErrUnbalancedQuote, `root=\"`},
		{`"`, ErrUnbalancedQuote, ""},
		{`a "b c`, ErrUnbalancedQuote, ""},
		{`a"b ddi.policy=x`, ErrUnbalancedQuote, "ddi.policy"},
		{`a=""" b`, ErrUnbalancedQuote, ""},
		{`a -- b"`, ErrUnbalancedQuote, ""},
		{`a -- b -- c"`, ErrUnbalancedQuote, ""},
		{"a\x00b", ErrControlCharacter, "0x00 at byte 1"},
		{"a \x1b[0m", ErrControlCharacter, "0x1b at byte 2"},
		{"a -- \x7f", ErrControlCharacter, "0x7f at byte 5"},
		{"\x08", ErrControlCharacter, "0x08"},
		{"\x0e", ErrControlCharacter, "0x0e"},
		{strings.Repeat("a", MaxLength+1), ErrTooLong, "65537 bytes, the most is 65536"},
	}
	for _, tt := range tests {
		params, init, err := Parse(tt.in)
		if !errors.Is(err, tt.want) {
			t.Errorf("Parse(%.40q): error %v, want %v", tt.in, err, tt.want)
			continue
		}
		if !strings.Contains(err.Error(), tt.text) {
			t.Errorf("Parse(%.40q): error %q does not contain %q", tt.in, err, tt.text)
		}
		if params != nil || init != nil {
			t.Errorf("Parse(%.40q): a result together with an error", tt.in)
		}
	}
	if params, _, err := Parse(strings.Repeat("a ", MaxLength/2)); err != nil || len(params) != MaxLength/2 {
		t.Errorf("longest: %d parameters, %v", len(params), err)
	}
}

func TestString(t *testing.T) {
	tests := []struct {
		p    Param
		want string
	}{
		{flag("quiet"), "quiet"},
		{kv("a", "b"), "a=b"},
		{kv("a", ""), "a="},
		{kv("a", "b c"), `a="b c"`},
		{kv("a", "b\xa0c"), "a=\"b\xa0c\""},
		{kv("a b", "c d"), `"a b=c d"`},
		{flag("a b"), `"a b"`},
		{flag(""), `""`},
	}
	for _, tt := range tests {
		if got := tt.p.String(); got != tt.want {
			t.Errorf("%+v: %s, want %s", tt.p, got, tt.want)
		}
	}
}

func TestKeyEqual(t *testing.T) {
	tests := []struct {
		a, b string
		want bool
	}{
		{"", "", true},
		{"ddi.sysext-policy", "ddi.sysext_policy", true},
		{"a-b_c", "a_b-c", true},
		{"a", "A", false},
		{"a", "ab", false},
		{"a.b", "a_b", false},
		{"a-", "a", false},
	}
	for _, tt := range tests {
		if got := KeyEqual(tt.a, tt.b); got != tt.want {
			t.Errorf("KeyEqual(%q, %q) = %t", tt.a, tt.b, got)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{
		"", `root="`, "quiet root=/dev/sda1 -- single\n", `a="b c" "d=e f" g" "h`, `=a =b=c ""`, "x\xa0y", `"a="b"c"`, `a -- "b -- c" -- d`,
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		params, init, err := Parse(s)
		if err != nil {
			if params != nil || init != nil {
				t.Error("a result together with an error")
			}
			return
		}
		if strings.Count(s, `"`)%2 != 0 {
			t.Error("unbalanced quotes accepted")
		}
		// Nothing is invented: the texts appear in the input in this order.
		rest := s
		take := func(text string) {
			_, after, ok := strings.Cut(rest, text)
			if !ok {
				t.Fatalf("%q is not in %q behind what came before", text, s)
			}
			rest = after
		}
		for _, p := range params {
			take(p.Key)
			take(p.Value)
			if !p.HasValue && p.Value != "" {
				t.Errorf("%+v: a value that is not there", p)
			}
			if p.HasValue && p.Key == "" {
				t.Errorf("%+v: a value without a key", p)
			}
		}
		for _, a := range init {
			take(strings.Split(a, "=")[0])
		}
		// Without quotes the words of the input are the parameters.
		if strings.Contains(s, `"`) {
			return
		}
		var words []string
		for _, p := range params {
			words = append(words, p.String())
		}
		if len(init) > 0 {
			words = append(append(words, "--"), init...)
		}
		joined := strings.Join(words, " ")
		params2, init2, err := Parse(joined)
		if err != nil || !reflect.DeepEqual(params, params2) || !reflect.DeepEqual(init, init2) {
			t.Errorf("%q joined to %q, which gives %+v %q %v, want %+v %q", s, joined, params2, init2, err, params, init)
		}
	})
}

// FuzzString checks that any parameter without a double quote survives being written and read.
func FuzzString(f *testing.F) {
	f.Add("root", "/dev/sda1", true)
	f.Add("a b", "c\td", true)
	f.Add("=", "", false)
	f.Add("==", "=", true)
	f.Fuzz(func(t *testing.T, key, value string, hasValue bool) {
		if !hasValue {
			value = ""
		}
		p := Param{Key: key, Value: value, HasValue: hasValue}
		// What no command line can say: a key that ends at an earlier "=", and "--", which is no parameter.
		if strings.Contains(strings.TrimPrefix(key, "="), "=") || hasValue && key == "" || key == "--" && !hasValue {
			return
		}
		if strings.Contains(key+value, `"`) {
			_, _, _ = Parse(p.String())
			return
		}
		got, init, err := Parse(p.String())
		if errors.Is(err, ErrControlCharacter) || errors.Is(err, ErrTooLong) {
			return
		}
		if err != nil || len(init) != 0 || len(got) != 1 || got[0] != p {
			t.Errorf("%+v is written %q, which gives %+v %q %v", p, p.String(), got, init, err)
		}
	})
}
