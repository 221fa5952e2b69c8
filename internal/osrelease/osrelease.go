// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

// Package osrelease reads os-release(5) files, and initrd-release and extension-release files, which have the same
// syntax. It gives no meaning to a field and fills in no defaults ("ID=linux").
//
// The syntax is that of the manual page, which is a subset of what a shell takes and of what systemd takes. Between the
// two there are texts that they read differently; because an identity is decided with these fields, such a line is an
// error here:
//
//   - a line is blank, a comment that begins with "#", or NAME=VALUE without white space around the "=". NAME consists of
//     ASCII letters, digits and "_", and does not begin with a digit. White space around all of it is ignored;
//   - a value in single quotes is taken as it is; in double quotes a backslash removes itself before a double quote,
//     "$", "`" and backslash, and stays before anything else; without quotes it removes itself before any character;
//   - "$" and "`" must be escaped outside of single quotes: nothing is ever expanded;
//   - without quotes there is no white space, none of the characters "|&;<>()", and no "~" at the start or behind ":",
//     unless escaped;
//   - behind a closing quote the line ends. Concatenation, lines that are continued, and comments behind a value are not
//     supported;
//   - text outside of comments is UTF-8 without control characters.
package osrelease

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"
)

const (
	// MaxSize is the most bytes in a file. The longest real ones have 2 KiB.
	MaxSize = 256 << 10

	// MaxLines is the most lines in a file, comments and blank lines included. The longest real ones have 40.
	MaxLines = 1000
)

// ErrTooLarge says that a file exceeds MaxSize or MaxLines.
var ErrTooLarge = errors.New("too large")

// SyntaxError says which line is not an assignment.
type SyntaxError struct {
	Line   int    // counted from 1
	Reason string // without the line's text, which may hold anything
}

func (e *SyntaxError) Error() string {
	return fmt.Sprintf("cannot parse os-release line %d: %s", e.Line, e.Reason)
}

// Fields holds the assignments of a file. The zero value is an empty file.
type Fields struct {
	fields     []field // sorted by key
	duplicates []string
}

type field struct{ key, value string }

// Parse reads a whole file. A key that is assigned repeatedly has its last value, as in a shell and in systemd;
// os-release(5) forbids it, and [Fields.Duplicates] tells.
//
// It returns a [*SyntaxError] for the first line that is not valid, or an error that wraps [ErrTooLarge].
func Parse(b []byte) (Fields, error) {
	if len(b) > MaxSize {
		return Fields{}, fmt.Errorf("cannot parse os-release: %w: %d bytes, the most is %d", ErrTooLarge, len(b), MaxSize)
	}
	var f Fields
	rest := string(b)
	for n := 1; rest != ""; n++ {
		if n > MaxLines {
			return Fields{}, fmt.Errorf("cannot parse os-release: %w: more than %d lines", ErrTooLarge, MaxLines)
		}
		var line string
		line, rest, _ = strings.Cut(rest, "\n")
		key, value, reason := parseLine(line)
		if reason != "" {
			return Fields{}, &SyntaxError{Line: n, Reason: reason}
		}
		if key != "" {
			f.set(key, value)
		}
	}
	return f, nil
}

func (f *Fields) set(key, value string) {
	i, found := f.find(key)
	if !found {
		f.fields = slices.Insert(f.fields, i, field{key, value})
		return
	}
	f.fields[i].value = value
	if i, found := slices.BinarySearch(f.duplicates, key); !found {
		f.duplicates = slices.Insert(f.duplicates, i, key)
	}
}

func (f Fields) find(key string) (int, bool) {
	return slices.BinarySearchFunc(f.fields, key, func(f field, key string) int { return strings.Compare(f.key, key) })
}

// Get returns the value of a key, or "" if it is not assigned.
func (f Fields) Get(key string) string {
	value, _ := f.Lookup(key)
	return value
}

// Lookup returns the value of a key, and whether it is assigned at all.
func (f Fields) Lookup(key string) (value string, ok bool) {
	if i, found := f.find(key); found {
		return f.fields[i].value, true
	}
	return "", false
}

// Equal reports whether both have the same keys with the same values, in whatever order the files have them.
func (f Fields) Equal(g Fields) bool { return slices.Equal(f.fields, g.fields) }

// Keys returns all keys that are assigned, sorted.
func (f Fields) Keys() []string {
	keys := make([]string, len(f.fields))
	for i := range f.fields {
		keys[i] = f.fields[i].key
	}
	return keys
}

// Duplicates returns the keys that are assigned more than once, sorted, even if each time to the same value. Who decides
// anything by such a key should refuse the file.
func (f Fields) Duplicates() []string { return slices.Clone(f.duplicates) }

// parseLine returns the assignment in a line; an empty key if it is blank or a comment; or the reason why it is neither.
func parseLine(line string) (key, value, reason string) {
	line = strings.Trim(line, " \t")
	if line == "" || line[0] == '#' {
		return "", "", ""
	}
	if !utf8.ValidString(line) {
		return "", "", "invalid UTF-8"
	}
	for i := range len(line) {
		if c := line[i]; c < ' ' || c == 0x7f {
			return "", "", fmt.Sprintf("control character %#02x", c)
		}
	}
	key, value, ok := strings.Cut(line, "=")
	if !ok {
		return "", "", `no "="`
	}
	if !validKey(key) {
		return "", "", "invalid name before \"=\""
	}
	switch {
	case strings.HasPrefix(value, `'`):
		value, reason = singleQuoted(value[1:])
	case strings.HasPrefix(value, `"`):
		value, reason = doubleQuoted(value[1:])
	default:
		value, reason = unquoted(value)
	}
	return key, value, reason
}

func validKey(key string) bool {
	for i := range len(key) {
		c := key[i]
		switch {
		case 'A' <= c && c <= 'Z', 'a' <= c && c <= 'z', c == '_':
		case '0' <= c && c <= '9' && i > 0:
		default:
			return false
		}
	}
	return key != ""
}

const (
	reasonOpen    = "quote is not closed"
	reasonBehind  = "text behind the closing quote"
	reasonExpand  = `"$" or "` + "`" + `" without a backslash`
	reasonSpecial = "white space, quote or shell character in a value without quotes"
	reasonTilde   = `"~" without a backslash where a shell expands it`
	reasonEscape  = "backslash at the end of the line"
)

// singleQuoted takes what is behind the opening quote.
func singleQuoted(s string) (value, reason string) {
	value, behind, ok := strings.Cut(s, "'")
	switch {
	case !ok:
		return "", reasonOpen
	case behind != "":
		return "", reasonBehind
	}
	return value, ""
}

// doubleQuoted takes what is behind the opening quote.
func doubleQuoted(s string) (value, reason string) {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		switch c := s[i]; c {
		case '"':
			if i+1 < len(s) {
				return "", reasonBehind
			}
			return b.String(), ""
		case '$', '`':
			return "", reasonExpand
		case '\\':
			// At the end of the line the loop ends, too, and the quote is not closed.
			if i+1 < len(s) && strings.IndexByte("\"$`\\", s[i+1]) >= 0 {
				i++
			}
			b.WriteByte(s[i])
		default:
			b.WriteByte(c)
		}
	}
	return "", reasonOpen
}

func unquoted(s string) (value, reason string) {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		switch c := s[i]; c {
		case '$', '`':
			return "", reasonExpand
		case ' ', '\t', '\'', '"', '|', '&', ';', '<', '>', '(', ')':
			return "", reasonSpecial
		case '~':
			if i == 0 || s[i-1] == ':' {
				return "", reasonTilde
			}
			b.WriteByte(c)
		case '\\':
			if i++; i == len(s) {
				return "", reasonEscape
			}
			b.WriteByte(s[i])
		default:
			b.WriteByte(c)
		}
	}
	return b.String(), ""
}
