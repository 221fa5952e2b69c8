// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

// Package settings reads files of "key=value" lines, such as /etc/initddi/stage1.conf.
//
// Grammar: one setting a line; blank lines and lines that start with '#' are skipped; white space around key and value is
// dropped; a value is taken as it is, without quotes or escapes. What the keys mean is decided by package plan.
package settings

import (
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"
)

// Bounds of a file; a real one has a dozen lines.
const (
	MaxSize  = 64 << 10
	MaxLines = 1000
)

// ErrSyntax says that a file does not follow the grammar.
var ErrSyntax = errors.New("not a line of key=value")

// Setting is one line.
type Setting struct {
	Key, Value string
	Line       int // counted from 1
}

// Parse reads a file; name is for errors. It returns an error wrapping [ErrSyntax] that names the line.
func Parse(name string, b []byte) ([]Setting, error) {
	if len(b) > MaxSize {
		return nil, fmt.Errorf("cannot read %s: %d bytes, at most %d are allowed: %w", name, len(b), MaxSize, ErrSyntax)
	}
	if !utf8.Valid(b) {
		return nil, fmt.Errorf("cannot read %s: not UTF-8: %w", name, ErrSyntax)
	}
	var out []Setting
	n := 0
	for line := range strings.SplitSeq(string(b), "\n") {
		n++
		if n > MaxLines {
			return nil, fmt.Errorf("cannot read %s: more than %d lines: %w", name, MaxLines, ErrSyntax)
		}
		line = strings.Trim(line, " \t\r")
		if line == "" || line[0] == '#' {
			continue
		}
		key, value, ok := strings.Cut(line, "=")
		key, value = strings.TrimRight(key, " \t"), strings.TrimLeft(value, " \t")
		if !ok || !validKey(key) || strings.ContainsFunc(value, isControl) {
			return nil, fmt.Errorf("cannot read %s: line %d: %q: %w", name, n, line, ErrSyntax)
		}
		out = append(out, Setting{Key: key, Value: value, Line: n})
	}
	return out, nil
}

func isControl(r rune) bool { return r < ' ' || r == 0x7f }

// validKey reports whether key is made of lower-case letters, digits and '-'.
func validKey(key string) bool {
	for _, c := range []byte(key) {
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' {
			return false
		}
	}
	return key != ""
}
