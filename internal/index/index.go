// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

// Package index reads SHA256SUMS, the list of files with which a web server says what images it has.
//
// The format is sha256sum(1)'s, as systemd-sysupdate reads it too: lines of 64 hexadecimal digits, a space, a space or "*",
// and the name of a file, each ended by a newline. There are no comments, no empty lines, no directories and no escapes, and no
// name stands there twice: what is signed must have one meaning. Beside it lies SHA256SUMS.p7s, a detached PKCS#7 signature of
// its bytes; checking that is the business of others.
package index

import (
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
)

// Names of the list and of its signature.
const (
	Name          = "SHA256SUMS"
	SignatureName = "SHA256SUMS.p7s"
)

// MaxSize bounds a list in bytes, and maxEntries the files in it: a few versions of a few images, with what lies beside them.
const (
	MaxSize    = 1 << 20
	maxEntries = 4096
	maxName    = 255
)

// ErrSyntax says that a list does not have the format.
var ErrSyntax = errors.New("not a list of SHA-256 sums")

// Entry is a file of the list.
type Entry struct {
	Name string // one path component of printable ASCII
	// SHA256 is the digest of the file's content.
	SHA256 [32]byte
}

// Parse reads a list. The error wraps [ErrSyntax] and names the line.
func Parse(text []byte) ([]Entry, error) {
	if len(text) > MaxSize {
		return nil, fmt.Errorf("cannot read %s: %w: %d bytes, wanted at most %d", Name, ErrSyntax, len(text), MaxSize)
	}
	var out []Entry
	seen := map[string]bool{}
	rest := string(text)
	for n := 1; rest != ""; n++ {
		line, after, ended := strings.Cut(rest, "\n")
		rest = after
		e, err := parseLine(line, ended)
		switch {
		case err == nil && seen[e.Name]:
			err = fmt.Errorf("%s stands there twice", e.Name)
		case err == nil && len(out) == maxEntries:
			err = fmt.Errorf("more than %d files", maxEntries)
		}
		if err != nil {
			return nil, fmt.Errorf("cannot read %s: %w: line %d: %w", Name, ErrSyntax, n, err)
		}
		seen[e.Name] = true
		out = append(out, e)
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("cannot read %s: %w: it is empty", Name, ErrSyntax)
	}
	return out, nil
}

func parseLine(line string, ended bool) (Entry, error) {
	var e Entry
	const digits = 2 * len(e.SHA256)
	if !ended {
		return e, errors.New("no newline at the end: the list was cut short")
	}
	if len(line) < digits+3 || line[digits] != ' ' || line[digits+1] != ' ' && line[digits+1] != '*' {
		return e, fmt.Errorf("%.40q, wanted %d hexadecimal digits, two spaces, a name", line, digits)
	}
	if _, err := hex.Decode(e.SHA256[:], []byte(line[:digits])); err != nil {
		return e, fmt.Errorf("%.40q, wanted %d hexadecimal digits", line, digits)
	}
	e.Name = line[digits+2:]
	if !isName(e.Name) {
		return e, fmt.Errorf("%.80q is not the name of a file in the list's own directory", e.Name)
	}
	return e, nil
}

// isName takes one component of a path, in characters that every console can show and nobody has to quote for a URL twice.
func isName(s string) bool {
	if s == "" || len(s) > maxName || s[0] == '.' {
		return false
	}
	for i := range len(s) {
		if c := s[i]; c <= ' ' || c > '~' || strings.IndexByte(`/\"<>|*?`, c) >= 0 {
			return false
		}
	}
	return true
}
