// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package jsontext

import (
	"errors"
	"fmt"
	"unicode/utf16"
	"unicode/utf8"
)

// Sentinels of [Object] and [String].
var (
	// ErrSyntax says that the text is not the JSON that was asked for.
	ErrSyntax = errors.New("not JSON")
	// ErrTwice says that a name comes twice: readers differ in which of the two they believe.
	ErrTwice = errors.New("ambiguous")
	// ErrTooMuch says that there are more members, or deeper values, than anything has that means well.
	ErrTooMuch = errors.New("too much")
)

// maxDepth is how deep arrays and objects may lie in each other, the outermost object included.
const maxDepth = 32

// Member is one member of an object. Value is its text, which is valid JSON.
type Member struct {
	Name  string
	Value []byte
}

// Object takes text apart, which must be one object of at most limit members and nothing else but white space. Names are
// compared as they read after their escapes. What lies deeper is only checked for syntax; there, a name may come twice.
//
// It is stricter than encoding/json: text must be UTF-8, and an escaped surrogate must have its other half. Errors wrap
// [ErrSyntax], [ErrTwice] or [ErrTooMuch]. It takes no memory but for the members and their names.
func Object(text []byte, limit int) ([]Member, error) {
	s := scanner{text: text}
	s.space()
	if s.peek() != '{' {
		return nil, s.fail("wanted an object")
	}
	var members []Member
	err := s.object(1, func(name, value []byte) error {
		n, err := String(name)
		if err != nil {
			return err
		}
		for _, m := range members {
			if m.Name == n {
				return fmt.Errorf("%.64q comes twice: %w", n, ErrTwice)
			}
		}
		if len(members) == limit {
			return fmt.Errorf("more than %d members: %w", limit, ErrTooMuch)
		}
		members = append(members, Member{n, value})
		return nil
	})
	if err != nil {
		return nil, err
	}
	s.space()
	if s.at < len(text) {
		return nil, s.fail("something after the object")
	}
	return members, nil
}

// String returns what a value says if it is a string. The error wraps [ErrSyntax] if it is not.
func String(value []byte) (string, error) {
	s := scanner{text: value}
	if err := s.str(); err != nil {
		return "", err
	}
	if s.at < len(value) {
		return "", s.fail("something after the string")
	}
	return unquote(value[1 : len(value)-1]), nil
}

// unquote resolves the escapes of what [scanner.str] has checked.
func unquote(b []byte) string {
	out := make([]byte, 0, len(b))
	for i := 0; i < len(b); i++ {
		if b[i] != '\\' {
			out = append(out, b[i])
			continue
		}
		i++
		switch b[i] {
		case 'b':
			out = append(out, '\b')
		case 'f':
			out = append(out, '\f')
		case 'n':
			out = append(out, '\n')
		case 'r':
			out = append(out, '\r')
		case 't':
			out = append(out, '\t')
		case 'u':
			r, _ := unit(b[i+1:])
			i += 4
			if utf16.IsSurrogate(r) {
				low, _ := unit(b[i+3:])
				r = utf16.DecodeRune(r, low)
				i += 6
			}
			out = utf8.AppendRune(out, r)
		default:
			out = append(out, b[i])
		}
	}
	return string(out)
}

// unit returns the UTF-16 code unit that four hexadecimal digits at the front of b name.
func unit(b []byte) (rune, bool) {
	if len(b) < 4 {
		return 0, false
	}
	var r rune
	for _, c := range b[:4] {
		switch {
		case '0' <= c && c <= '9':
			c -= '0'
		case 'a' <= c && c <= 'f':
			c -= 'a' - 10
		case 'A' <= c && c <= 'F':
			c -= 'A' - 10
		default:
			return 0, false
		}
		r = r<<4 | rune(c)
	}
	return r, true
}

// scanner goes over a text once, from its start to its end.
type scanner struct {
	text []byte
	at   int
}

func (s *scanner) fail(what string) error {
	return fmt.Errorf("byte %d: %s: %w", s.at, what, ErrSyntax)
}

// peek returns the next byte, and a NUL at the end, which is nowhere allowed in JSON.
func (s *scanner) peek() byte {
	if s.at < len(s.text) {
		return s.text[s.at]
	}
	return 0
}

func (s *scanner) space() {
	for {
		switch s.peek() {
		case ' ', '\t', '\n', '\r':
			s.at++
		default:
			return
		}
	}
}

// value goes over any value; depth is how many arrays and objects are around it.
func (s *scanner) value(depth int) error {
	switch c := s.peek(); {
	case c == '{':
		return s.object(depth+1, func(_, _ []byte) error { return nil })
	case c == '[':
		return s.array(depth + 1)
	case c == '"':
		return s.str()
	case c == '-' || '0' <= c && c <= '9':
		return s.number()
	}
	for _, word := range [...]string{"true", "false", "null"} {
		if end := s.at + len(word); end <= len(s.text) && string(s.text[s.at:end]) == word {
			s.at = end
			return nil
		}
	}
	return s.fail("wanted a value")
}

// object goes over an object and gives each member's name, still quoted, and value.
func (s *scanner) object(depth int, member func(name, value []byte) error) error {
	return s.list('}', depth, func() error {
		begin := s.at
		if err := s.str(); err != nil {
			return err
		}
		name := s.text[begin:s.at]
		s.space()
		if s.peek() != ':' {
			return s.fail("wanted a colon")
		}
		s.at++
		s.space()
		begin = s.at
		if err := s.value(depth); err != nil {
			return err
		}
		return member(name, s.text[begin:s.at])
	})
}

func (s *scanner) array(depth int) error {
	return s.list(']', depth, func() error { return s.value(depth) })
}

// list goes over what stands between brackets, with commas between.
func (s *scanner) list(end byte, depth int, element func() error) error {
	if depth > maxDepth {
		return fmt.Errorf("more than %d levels: %w", maxDepth, ErrTooMuch)
	}
	s.at++
	s.space()
	if s.peek() == end {
		s.at++
		return nil
	}
	for {
		if err := element(); err != nil {
			return err
		}
		s.space()
		switch s.peek() {
		case end:
			s.at++
			return nil
		case ',':
			s.at++
			s.space()
		default:
			return s.fail("wanted a comma or the end")
		}
	}
}

// str goes over a string.
func (s *scanner) str() error {
	if s.peek() != '"' {
		return s.fail("wanted a string")
	}
	s.at++
	for s.at < len(s.text) {
		c := s.text[s.at]
		switch {
		case c == '"':
			s.at++
			return nil
		case c == '\\':
			if err := s.escape(); err != nil {
				return err
			}
		case c < ' ':
			return s.fail("a control character in a string")
		case c < utf8.RuneSelf:
			s.at++
		default:
			r, n := utf8.DecodeRune(s.text[s.at:])
			if r == utf8.RuneError && n == 1 {
				return s.fail("not UTF-8")
			}
			s.at += n
		}
	}
	return s.fail("a string without an end")
}

// escape goes over a backslash and what belongs to it.
func (s *scanner) escape() error {
	s.at++
	c := s.peek()
	s.at++
	switch c {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		return nil
	case 'u':
	default:
		return s.fail("an unknown escape")
	}
	r, ok := unit(s.text[s.at:])
	if !ok {
		return s.fail("wanted four hexadecimal digits")
	}
	s.at += 4
	if !utf16.IsSurrogate(r) {
		return nil
	}
	if s.at+2 <= len(s.text) && string(s.text[s.at:s.at+2]) == `\u` {
		if low, ok := unit(s.text[s.at+2:]); ok && utf16.DecodeRune(r, low) != utf8.RuneError {
			s.at += 6
			return nil
		}
	}
	return s.fail("half a surrogate pair")
}

// number goes over a number; its value is nobody's business here.
func (s *scanner) number() error {
	if s.peek() == '-' {
		s.at++
	}
	if s.peek() == '0' {
		s.at++
	} else if !s.digits() {
		return s.fail("wanted a digit")
	}
	if s.peek() == '.' {
		s.at++
		if !s.digits() {
			return s.fail("wanted a digit")
		}
	}
	if c := s.peek(); c == 'e' || c == 'E' {
		s.at++
		if c := s.peek(); c == '+' || c == '-' {
			s.at++
		}
		if !s.digits() {
			return s.fail("wanted a digit")
		}
	}
	return nil
}

func (s *scanner) digits() bool {
	begin := s.at
	for c := s.peek(); '0' <= c && c <= '9'; c = s.peek() {
		s.at++
	}
	return s.at > begin
}
