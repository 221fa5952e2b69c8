// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

// Package cmdline splits the kernel command line the way the kernel does, so that stage 1 and the kernel never disagree
// on where a parameter ends. It knows no parameter: what a key means is for its callers.
//
// Sources: next_arg in the kernel's lib/cmdline.c, parse_args and parameq in kernel/params.c, set_init_arg in
// init/main.c. In short:
//
//   - parameters are separated by white space: the six ASCII characters, and byte 0xA0, which the kernel's table of
//     characters calls a space. It does so in the middle of a UTF-8 sequence, too ("à" is C3 A0);
//   - white space between double quotes does not separate. Quotes may begin and end anywhere in a word, nothing else is
//     a quote, and there is no escape: a backslash is a backslash;
//   - the first "=" separates key and value, unless the word begins with it;
//   - quotes are removed only at the start of the word, at the start of the value, and, if there was one in either
//     place, at the end of the word. Others stay where they are;
//   - the word "--" ends the parameters. What follows is for init, up to a second "--", behind which nobody looks.
//
// In two points this package is stricter. The kernel lets a missing closing quote swallow the rest of the line; here that
// is an error, because an appended parameter must not be able to hide behind a quote that somebody else left open. And
// control characters are refused.
package cmdline

import (
	"errors"
	"fmt"
	"strings"
)

// MaxLength is the most bytes that [Parse] takes. The kernel's COMMAND_LINE_SIZE is 2048 on x86 and arm64, 4096 on most of
// the others; bootconfig (at most 32 KiB) can add to what /proc/cmdline shows.
const MaxLength = 64 << 10

var (
	// ErrUnbalancedQuote says that the last quoted text does not end.
	ErrUnbalancedQuote = errors.New("unbalanced quote")

	// ErrControlCharacter says that a byte is neither text nor white space.
	ErrControlCharacter = errors.New("control character")

	// ErrTooLong says that there is more text than MaxLength.
	ErrTooLong = errors.New("too long")
)

// Param is one parameter with the quotes removed that the kernel removes.
type Param struct {
	Key      string
	Value    string // empty if there is none
	HasValue bool   // whether there was a "=": "quiet" has no value, "quiet=" has an empty one
}

// Parse splits a command line, of which it takes every byte as it is in /proc/cmdline, the final newline included. It
// returns the parameters in their order, repeated ones too, and the arguments for init behind "--", which are nil where
// there are none.
//
// It returns an error that wraps [ErrUnbalancedQuote], [ErrControlCharacter] or [ErrTooLong], and then nothing else.
func Parse(s string) (params []Param, initArgs []string, err error) {
	if len(s) > MaxLength {
		return nil, nil, fmt.Errorf("cannot parse command line: %w: %d bytes, the most is %d", ErrTooLong, len(s), MaxLength)
	}
	for i := range len(s) {
		if c := s[i]; (c < ' ' || c == 0x7f) && !isSpace(c) {
			return nil, nil, fmt.Errorf("cannot parse command line: %w %#02x at byte %d", ErrControlCharacter, c, i)
		}
	}
	forInit := false
	for rest := trimLeft(s); rest != ""; rest = trimLeft(rest) {
		n, ok := wordLength(rest)
		if !ok {
			return nil, nil, fmt.Errorf("cannot parse command line: %w in %q", ErrUnbalancedQuote, rest)
		}
		p := split(rest[:n])
		rest = rest[n:]
		switch dashes := p == (Param{Key: "--"}); {
		case dashes && forInit:
			if strings.Count(rest, `"`)%2 != 0 {
				return nil, nil, fmt.Errorf("cannot parse command line: %w in %q", ErrUnbalancedQuote, rest)
			}
			return params, initArgs, nil
		case dashes:
			forInit = true
		case forInit && p.HasValue:
			initArgs = append(initArgs, p.Key+"="+p.Value)
		case forInit:
			initArgs = append(initArgs, p.Key)
		default:
			params = append(params, p)
		}
	}
	return params, initArgs, nil
}

// isSpace is the kernel's isspace.
func isSpace(c byte) bool {
	switch c {
	case ' ', '\t', '\n', '\v', '\f', '\r', 0xa0:
		return true
	}
	return false
}

func trimLeft(s string) string {
	for s != "" && isSpace(s[0]) {
		s = s[1:]
	}
	return s
}

// wordLength returns where the word ends that s begins with, and whether its quotes are balanced.
func wordLength(s string) (n int, ok bool) {
	quoted := false
	for i := range len(s) {
		switch {
		case s[i] == '"':
			quoted = !quoted
		case !quoted && isSpace(s[i]):
			return i, true
		}
	}
	return len(s), !quoted
}

// split takes a word with balanced quotes apart.
func split(word string) Param {
	p := Param{}
	var keyQuote, valueQuote bool
	p.Key, keyQuote = strings.CutPrefix(word, `"`)
	if i := strings.IndexByte(p.Key, '='); i == 0 {
		// A "=" at the start is part of the key, and the next one may still separate.
		if i = strings.IndexByte(p.Key[1:], '='); i >= 0 {
			p.Key, p.Value, p.HasValue = p.Key[:i+1], p.Key[i+2:], true
		}
	} else if i > 0 {
		p.Key, p.Value, p.HasValue = p.Key[:i], p.Key[i+1:], true
	}
	p.Value, valueQuote = strings.CutPrefix(p.Value, `"`)
	if !keyQuote && !valueQuote {
		return p
	}
	if p.HasValue {
		p.Value = strings.TrimSuffix(p.Value, `"`)
	} else {
		p.Key = strings.TrimSuffix(p.Key, `"`)
	}
	return p
}

// String returns the parameter as a word of a command line, with quotes where white space demands them. [Parse] gives the
// same parameter back, unless there is a double quote in it: the syntax has no way to write every such text.
func (p Param) String() string {
	switch {
	case p.Key == "" || hasSpace(p.Key):
		if p.HasValue {
			return `"` + p.Key + "=" + p.Value + `"`
		}
		return `"` + p.Key + `"`
	case !p.HasValue:
		return p.Key
	case hasSpace(p.Value):
		return p.Key + `="` + p.Value + `"`
	}
	return p.Key + "=" + p.Value
}

func hasSpace(s string) bool {
	for i := range len(s) {
		if isSpace(s[i]) {
			return true
		}
	}
	return false
}

// KeyEqual compares two keys as the kernel and systemd do: "-" and "_" are the same character.
func KeyEqual(a, b string) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range len(a) {
		if dash(a[i]) != dash(b[i]) {
			return false
		}
	}
	return true
}

func dash(c byte) byte {
	if c == '-' {
		return '_'
	}
	return c
}
