// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

// Package version compares versions, and reads them out of file names.
//
// Versions are those of UAPI.10, the Version Format Specification; file names are those of systemd.v(7) and of the
// Discoverable Disk Image specification: NAME_VERSION_ARCHITECTURE+LEFT-DONE.SUFFIX. It is not the version of this
// program. A file name is a hint that orders candidates, nothing more: no signature covers it.
package version

import "strings"

// Compare returns -1 if version a is older than b, 1 if it is newer, and 0 if the two count as the same version.
//
// Any strings can be compared. Characters other than ASCII letters, digits and "-.~^" only separate, so that "1_2" and
// "1+2" are the same version. Where the text of UAPI.10, its examples and systemd (strverscmp_improved, the implementation
// that the text refers to) differ, systemd decides, since its tools sort the same files:
//
//   - "~" is older than the empty version;
//   - "^" is newer than the end of a version and than "-", but older than everything else: "1" < "1^1" < "1.1";
//   - a missing number is older than any number, 0 included: "a" < "0".
//
// Only where systemd depends on the sign of char the text decides: of two versions that are equal up to a "~", the one
// that goes on with a byte above 127 is newer than the one that ends.
func Compare(a, b string) int {
	for {
		a, b = trimSeparators(a), trimSeparators(b)
		var r int
		if a, b, r = compareMark(a, b, '~'); r != 0 {
			return r
		}
		// Only "~" is older than the end of a version.
		switch {
		case a == "" && b == "":
			return 0
		case a == "":
			return -1
		case b == "":
			return 1
		}
		for _, mark := range [...]byte{'-', '^', '.'} {
			if a, b, r = compareMark(a, b, mark); r != 0 {
				return r
			}
		}
		if prefix(a, isDigit) > 0 || prefix(b, isDigit) > 0 {
			a, b, r = compareNumbers(a, b)
		} else {
			a, b, r = compareWords(a, b)
		}
		if r != 0 {
			return r
		}
	}
}

// compareMark says that the version which has the mark here is older. Where both have it, it is removed.
func compareMark(a, b string, mark byte) (restA, restB string, r int) {
	hasA := a != "" && a[0] == mark
	hasB := b != "" && b[0] == mark
	switch {
	case hasA && hasB:
		return a[1:], b[1:], 0
	case hasA:
		return a, b, -1
	case hasB:
		return a, b, 1
	}
	return a, b, 0
}

// compareNumbers compares the digits at the start of both and removes them. Numbers have any length.
func compareNumbers(a, b string) (restA, restB string, r int) {
	na, nb := prefix(a, isDigit), prefix(b, isDigit)
	switch {
	case na == 0:
		return a, b, -1
	case nb == 0:
		return a, b, 1
	}
	x, y := strings.TrimLeft(a[:na], "0"), strings.TrimLeft(b[:nb], "0")
	switch {
	case len(x) < len(y):
		r = -1
	case len(x) > len(y):
		r = 1
	default:
		r = strings.Compare(x, y)
	}
	return a[na:], b[nb:], r
}

// compareWords compares the letters at the start of both and removes them. One of them may have none.
func compareWords(a, b string) (restA, restB string, r int) {
	na, nb := prefix(a, isLetter), prefix(b, isLetter)
	return a[na:], b[nb:], strings.Compare(a[:na], b[:nb])
}

// prefix returns how many bytes at the start of s are of a kind.
func prefix(s string, kind func(byte) bool) int {
	n := 0
	for n < len(s) && kind(s[n]) {
		n++
	}
	return n
}

func trimSeparators(s string) string {
	return s[prefix(s, func(c byte) bool {
		return !isDigit(c) && !isLetter(c) && c != '-' && c != '.' && c != '~' && c != '^'
	}):]
}

func isDigit(c byte) bool  { return '0' <= c && c <= '9' }
func isLetter(c byte) bool { return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' }
