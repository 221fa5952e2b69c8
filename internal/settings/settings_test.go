// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package settings

import (
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
)

func TestParse(t *testing.T) {
	for _, test := range []struct {
		text string
		want []Setting
	}{
		{"", nil},
		{"\n \n\t\n", nil},
		{"# a comment\n  # another = one\n", nil},
		{"key=value", []Setting{{"key", "value", 1}}},
		{"key=value\n", []Setting{{"key", "value", 1}}},
		{"\n\nkey-2 = a value \n", []Setting{{"key-2", "a value", 3}}},
		{"\tkey\t=\tvalue\t\r\n", []Setting{{"key", "value", 1}}},
		{"key=", []Setting{{"key", "", 1}}},
		{"key=a=b", []Setting{{"key", "a=b", 1}}},
		{"key==", []Setting{{"key", "=", 1}}},
		{`key="quoted" # not a comment`, []Setting{{"key", `"quoted" # not a comment`, 1}}},
		{"b=1\na=2\nb=3", []Setting{{"b", "1", 1}, {"a", "2", 2}, {"b", "3", 3}}},
		{"key=Grüße", []Setting{{"key", "Grüße", 1}}},
	} {
		got, err := Parse("f", []byte(test.text))
		if err != nil || !reflect.DeepEqual(got, test.want) {
			t.Errorf("%q: %v, %v, want %v", test.text, got, err, test.want)
		}
	}
}

func TestParseErrors(t *testing.T) {
	for text, word := range map[string]string{
		"key":                               "line 1",
		"a=1\nkey value\n":                  "line 2",
		"=value":                            "line 1",
		"Key=value":                         "line 1",
		"key_2=value":                       "line 1",
		"key 2=value":                       "line 1",
		"ddi.key=value":                     "line 1",
		"key=a\tb":                          "line 1",
		"key=a\x00b":                        "line 1",
		"key=\x7f":                          "line 1",
		"key=a\rb":                          "line 1",
		"[section]":                         "line 1",
		"key=\xff":                          "UTF-8",
		strings.Repeat("\n", MaxLines+1):    "more than 1000 lines",
		strings.Repeat("#", MaxSize+1):      "65537 bytes",
		"a=" + strings.Repeat("x", MaxSize): "65538 bytes",
	} {
		got, err := Parse("/etc/x", []byte(text))
		if !errors.Is(err, ErrSyntax) || !strings.Contains(err.Error(), word) || !strings.Contains(err.Error(), "/etc/x") || got != nil {
			t.Errorf("%.40q: %v, %v, want an error with %q", text, got, err, word)
		}
	}
	if _, err := Parse("f", []byte(strings.Repeat("\n", MaxLines-1))); err != nil {
		t.Error(err)
	}
}

// FuzzParse: what was read can be written and read again.
func FuzzParse(f *testing.F) {
	for _, s := range []string{"", "a=b", "# x\n\n a = b \n", "a=\n=a\n", "a\n", "a=b\r\nc=\x00", strings.Repeat("a=b\n", 10)} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		list, err := Parse("f", b)
		if err != nil {
			if !errors.Is(err, ErrSyntax) {
				t.Error(err)
			}
			return
		}
		var text strings.Builder
		last := 0
		for _, s := range list {
			if s.Line <= last || s.Key == "" || strings.TrimSpace(s.Key) != s.Key || strings.ContainsAny(s.Key+s.Value, "\n\r\t\x00") {
				t.Errorf("%q: %+v", b, s)
			}
			fmt.Fprintf(&text, "%s%s=%s", strings.Repeat("\n", s.Line-max(last, 1)), s.Key, s.Value)
			last = s.Line
		}
		again, err := Parse("f", []byte(text.String()))
		if err != nil || !reflect.DeepEqual(again, list) {
			t.Errorf("%q: %v, then %v, %v", b, list, again, err)
		}
	})
}
