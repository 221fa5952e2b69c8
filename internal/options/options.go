// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

// Package options understands the command lines of the programs in stage 1, as getopt_long does as far as they need it. It is for
// them because package flag is 15 kB of the compressed archive; programs of the host use that.
package options

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// ErrSyntax says that the arguments make no sense.
var ErrSyntax = errors.New("not a valid command line")

// Usage makes err one that wraps [ErrSyntax] and says no more than err does, for programs that parse with package flag.
func Usage(err error) error { return usageError{err} }

type usageError struct{ err error }

func (e usageError) Error() string   { return e.err.Error() }
func (e usageError) Unwrap() []error { return []error{e.err, ErrSyntax} }

// Set is what options a program has. The zero value has none.
type Set struct{ list []option }

type option struct {
	name  string
	value kind
	set   func(string) error
}

// kind is whether an option takes a value.
type kind int

const (
	none kind = iota
	required
	optional
)

// Bool adds an option without value, which may have several names.
func (s *Set) Bool(to *bool, names ...string) {
	for _, name := range names {
		s.list = append(s.list, option{name, none, func(string) error {
			*to = true
			return nil
		}})
	}
}

// Value adds an option with a value, "--NAME=VALUE" or "--NAME VALUE", for each of which set is called.
func (s *Set) Value(name string, set func(string) error) {
	s.list = append(s.list, option{name, required, set})
}

// Optional adds an option that has a value only behind "=". Without one, set gets the empty string.
func (s *Set) Optional(name string, set func(string) error) {
	s.list = append(s.list, option{name, optional, set})
}

// Parse calls what belongs to the options among the arguments, which may have one dash or two, and returns the other arguments. Behind
// "--" there are no options. The error names the option; it wraps [ErrSyntax], or what set said.
func (s *Set) Parse(args []string) (rest []string, err error) {
	for len(args) > 0 {
		word := args[0]
		args = args[1:]
		switch {
		case word == "--":
			return append(rest, args...), nil
		case len(word) < 2 || word[0] != '-':
			rest = append(rest, word)
			continue
		}
		name, value, has := strings.Cut(strings.TrimPrefix(word[1:], "-"), "=")
		o := s.find(name)
		switch {
		case o == nil:
			return nil, fmt.Errorf("cannot use %s: there is no such option: %w", word, ErrSyntax)
		case has && o.value == none:
			return nil, fmt.Errorf("cannot use %s: it takes no value: %w", word, ErrSyntax)
		case has && value == "" && o.value == optional:
			return nil, fmt.Errorf("cannot use %s: its value is empty: %w", word, ErrSyntax)
		case !has && o.value == required && len(args) == 0:
			return nil, fmt.Errorf("cannot use %s: it takes a value: %w", word, ErrSyntax)
		case !has && o.value == required:
			value, args = args[0], args[1:]
		}
		if err := o.set(value); err != nil {
			return nil, fmt.Errorf("cannot use --%s=%s: %w", name, value, err)
		}
	}
	return rest, nil
}

// Names returns the names of all options, sorted.
func (s *Set) Names() []string {
	var out []string
	for _, o := range s.list {
		out = append(out, o.name)
	}
	slices.Sort(out)
	return out
}

func (s *Set) find(name string) *option {
	for i := range s.list {
		if s.list[i].name == name {
			return &s.list[i]
		}
	}
	return nil
}
