// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package options

import (
	"errors"
	"fmt"
	"strings"
	"testing"
)

func TestUsage(t *testing.T) {
	cause := errors.New("no such flag")
	if err := Usage(cause); !errors.Is(err, ErrSyntax) || !errors.Is(err, cause) || err.Error() != cause.Error() {
		t.Error(err)
	}
}

func TestParse(t *testing.T) {
	errRefused := errors.New("refused")
	for _, test := range []struct {
		args, want string
		err        error
	}{
		{"", "false [] []", nil},
		{"a --mount b -m c", "true [] [a b c]", nil},
		{"-mount", "true [] []", nil},
		{"--trust=x --trust y -trust z", "false [trust x trust y trust z] []", nil},
		{"--trust= --trust --mount", "false [trust  trust --mount] []", nil},
		{"--trust=a=b", "false [trust a=b] []", nil},
		{"--json a --json=short", "false [json  json short] [a]", nil},
		{"- -- --mount -x", "false [] [- --mount -x]", nil},
		{"--mount=yes", "--mount=yes", ErrSyntax},
		{"--json=", "--json=", ErrSyntax},
		{"a --trust", "--trust: it takes a value", ErrSyntax},
		{"--nonsense", "--nonsense: there is no such option", ErrSyntax},
		{"--nonsense=1", "--nonsense=1", ErrSyntax},
		{"---mount", "---mount", ErrSyntax},
		{"--mou", "--mou", ErrSyntax},
		{"--trust bad", "--trust=bad: refused", errRefused},
	} {
		var mount bool
		var seen []string
		var s Set
		note := func(name string) func(string) error {
			return func(value string) error {
				if value == "bad" {
					return errRefused
				}
				seen = append(seen, name, value)
				return nil
			}
		}
		s.Bool(&mount, "mount", "m")
		s.Value("trust", note("trust"))
		s.Optional("json", note("json"))
		if names := strings.Join(s.Names(), " "); names != "json m mount trust" {
			t.Errorf("the names are %s", names)
		}
		rest, err := s.Parse(strings.Fields(test.args))
		if !errors.Is(err, test.err) || (err == nil) != (test.err == nil) {
			t.Errorf("%q: %v, want %v", test.args, err, test.err)
			continue
		}
		got := fmt.Sprintf("%v %v %v", mount, seen, rest)
		if err != nil {
			got = err.Error()
		}
		if err == nil && got != test.want || err != nil && !strings.Contains(got, test.want) {
			t.Errorf("%q: %s, want %s", test.args, got, test.want)
		}
	}
}
