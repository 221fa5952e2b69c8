// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package modtable

import (
	"slices"
	"strings"
)

// maxModalias bounds the modaliases that Match looks at. The kernel prints one into one page; the longest are those of
// processors, with a list of all features.
const maxModalias = 16 << 10

// Glob reports whether name matches pattern in the language of module aliases, which is that of fnmatch(3) without
// flags: '*' stands for any bytes, '?' for one, '[a-f0]' for one of a set, '[!a]' and '[^a]' for one outside of it, and
// a backslash takes the next byte literally. A '[' without its ']' stands for itself. It compares bytes; the whole name
// must match. The time is at most the product of the lengths.
func Glob(pattern, name string) bool {
	var p, n int
	retryP, retryN := -1, 0 // where to go on if the last star has to take one byte more
	for n < len(name) {
		if p < len(pattern) && pattern[p] == '*' {
			p++
			retryP, retryN = p, n
			continue
		}
		if next, ok := matchOne(pattern, p, name[n]); ok {
			p = next
			n++
			continue
		}
		if retryP < 0 {
			return false
		}
		retryN++
		p, n = retryP, retryN
	}
	for p < len(pattern) && pattern[p] == '*' {
		p++
	}
	return p == len(pattern)
}

// matchOne matches the element of pattern at p, which is no star, against c and returns the index behind the element.
func matchOne(pattern string, p int, c byte) (int, bool) {
	if p >= len(pattern) {
		return p, false
	}
	switch pattern[p] {
	case '?':
		return p + 1, true
	case '[':
		if end := setEnd(pattern, p); end > 0 {
			return end, inSet(pattern[p+1:end-1], c)
		}
	case '\\':
		if p+1 < len(pattern) {
			p++
		}
	}
	return p + 1, pattern[p] == c
}

// setEnd returns the index behind the ']' that closes the set which begins at p, or 0 if none does. A ']' that comes
// first in the set is one of its members.
func setEnd(pattern string, p int) int {
	i := p + 1
	if i < len(pattern) && (pattern[i] == '!' || pattern[i] == '^') {
		i++
	}
	for first := true; i < len(pattern); i++ {
		switch {
		case pattern[i] == '\\' && i+1 < len(pattern):
			i++
		case pattern[i] == ']' && !first:
			return i + 1
		}
		first = false
	}
	return 0
}

// inSet reports whether c is in set, the text between the brackets.
func inSet(set string, c byte) bool {
	negated := set[0] == '!' || set[0] == '^'
	if negated {
		set = set[1:]
	}
	found := false
	for i := 0; i < len(set); {
		var lo byte
		lo, i = setByte(set, i)
		hi := lo
		if i+1 < len(set) && set[i] == '-' {
			hi, i = setByte(set, i+1)
		}
		found = found || (lo <= c && c <= hi)
	}
	return found != negated
}

// setByte returns the member at i, which a backslash may precede, and the index behind it.
func setByte(set string, i int) (byte, int) {
	if set[i] == '\\' && i+1 < len(set) {
		i++
	}
	return set[i], i + 1
}

// normalize turns '-' into '_' outside of sets, as kmod does with both sides before it compares them: the kernel's own
// module aliases are not consistent about the two.
func normalize(s string) string {
	if strings.IndexByte(s, '-') < 0 {
		return s
	}
	b := []byte(s)
	for i := 0; i < len(b); i++ {
		switch b[i] {
		case '-':
			b[i] = '_'
		case '[':
			if end := setEnd(s, i); end > 0 {
				i = end - 1
			}
		}
	}
	return string(b)
}

// MatchAlias reports whether a modalias matches an alias pattern as kmod compares them: by [Glob], with '-' and '_' the same
// outside of sets.
func MatchAlias(pattern, modalias string) bool { return Glob(normalize(pattern), normalize(modalias)) }

// literalPrefix returns what every name that matches pattern begins with.
func literalPrefix(pattern string) string {
	if i := strings.IndexAny(pattern, `*?[\`); i >= 0 {
		return pattern[:i]
	}
	return pattern
}

// Match returns the modules whose aliases match a modalias, in the order of the table, each once. Modules that are built
// in have no aliases here.
//
// Only aliases whose literal prefix the modalias begins with are compared: one binary search for each length that a
// prefix can have, instead of a walk over thousands of patterns for each of a machine's hundreds of devices.
func (t *Table) Match(modalias string) []string {
	modalias = strings.TrimSuffix(modalias, "\n") // sysfs ends it so
	if len(modalias) > maxModalias {
		return nil
	}
	modalias = normalize(modalias)
	var out []string
	for _, n := range t.lengths {
		if n > len(modalias) {
			break
		}
		prefix := modalias[:n]
		i, _ := slices.BinarySearch(t.literal, prefix)
		for ; i < len(t.literal) && t.literal[i] == prefix; i++ {
			if name := t.Aliases[i].Module; Glob(t.Aliases[i].Pattern, modalias) && !slices.Contains(out, name) {
				out = append(out, name)
			}
		}
	}
	return out
}
