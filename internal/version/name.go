// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package version

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// ErrName says that a file name does not have the form that was asked for.
var ErrName = errors.New("not a versioned file name")

// maxTries bounds the two counters; real ones have one digit.
const maxTries = 1<<31 - 1

// Name is what the name of an image file says about it.
type Name struct {
	Base    string // never empty
	Version string // empty if there is none
	Arch    string // in systemd's words, "x86-64"; empty if there is none

	// The counters of boot assessment, -1 where the name has none. "+LEFT" has no TriesDone, which counts as 0.
	TriesLeft, TriesDone int
}

// ParseName reads the name of a file in an ordinary directory: BASE[_VERSION][_ARCH][+LEFT[-DONE]]SUFFIX. The suffix
// includes its dot and is compared byte by byte.
//
// Here nothing says where the base ends, and it may contain "_" itself. So these rules apply, from the end of the name:
//
//   - "+LEFT" or "+LEFT-DONE" are counters if LEFT and DONE are decimal numbers; else the "+" belongs to what is before;
//   - what follows the last "_" is an architecture if systemd knows it by that name; else it belongs to what is before;
//   - the version begins behind the first "_" that a digit follows, if all that follows is made of ASCII letters, digits
//     and ".,_-+~^"; else there is none, and all of it is the base.
//
// "my_os_1.2_rc1_arm64+3.raw" is "my_os", "1.2_rc1", "arm64", 3 tries left; "OS_v2.raw" has no version, which [ParseInV]
// would find. ParseName returns an error that wraps [ErrName] if the suffix is another one, nothing is before it, or the
// name contains "/" or a control character.
func ParseName(file, suffix string) (Name, error) {
	stem, err := cutSuffix(file, suffix)
	if err != nil {
		return Name{}, err
	}
	n, stem := parseEnd(stem)
	n.Base = stem
	for i := 1; i+1 < len(stem); i++ {
		if stem[i] == '_' && isDigit(stem[i+1]) {
			if isVersion(stem[i+1:]) {
				n.Base, n.Version = stem[:i], stem[i+1:]
			}
			break
		}
	}
	return n, nil
}

// ParseInV reads the name of a file in a directory of versions, see systemd.v(7): in BASE.SUFFIX.v lie files
// BASE_VERSION[_ARCH][+LEFT[-DONE]].SUFFIX. dir is the last component of the directory's path. There the base is known,
// and the version is all that follows it up to architecture and counters.
//
// It returns an error that wraps [ErrName] if dir does not end in ".v" or file does not belong into it; such a file is to
// be ignored. Unlike systemd it never drops a last part of the version that is not an architecture.
func ParseInV(dir, file, suffix string) (Name, error) {
	base, ok := strings.CutSuffix(dir, ".v")
	base = strings.TrimSuffix(base, suffix)
	if !ok || base == "" {
		return Name{}, fmt.Errorf("cannot use directory %q: %w: want NAME%s.v", dir, ErrName, suffix)
	}
	stem, err := cutSuffix(file, suffix)
	if err != nil {
		return Name{}, err
	}
	rest, ok := strings.CutPrefix(stem, base+"_")
	if !ok {
		return Name{}, fmt.Errorf("cannot use file %q in %q: %w: want %s_VERSION%s", file, dir, ErrName, base, suffix)
	}
	n, rest := parseEnd(rest)
	if !isVersion(rest) {
		return Name{}, fmt.Errorf("cannot use file %q in %q: %w: version is %q", file, dir, ErrName, rest)
	}
	n.Base, n.Version = base, rest
	return n, nil
}

// cutSuffix checks the characters of a file name and removes the suffix.
func cutSuffix(file, suffix string) (string, error) {
	stem, ok := strings.CutSuffix(file, suffix)
	if !ok || stem == "" {
		return "", fmt.Errorf("cannot use file %q: %w: want NAME%s", file, ErrName, suffix)
	}
	for i := range len(stem) {
		if c := stem[i]; c < ' ' || c == 0x7f || c == '/' {
			return "", fmt.Errorf("cannot use file %q: %w: it contains %q", file, ErrName, c)
		}
	}
	return stem, nil
}

// parseEnd takes counters and architecture off the end of a name and leaves at least one character.
func parseEnd(stem string) (n Name, rest string) {
	n = Name{TriesLeft: -1, TriesDone: -1}
	if i := strings.LastIndexByte(stem, '+'); i > 0 {
		left, done, hasDone := strings.Cut(stem[i+1:], "-")
		l, okLeft := parseTries(left)
		d, okDone := -1, true
		if hasDone {
			d, okDone = parseTries(done)
		}
		if okLeft && okDone {
			n.TriesLeft, n.TriesDone = l, d
			stem = stem[:i]
		}
	}
	if i := strings.LastIndexByte(stem, '_'); i > 0 && isArch(stem[i+1:]) {
		n.Arch = stem[i+1:]
		stem = stem[:i]
	}
	return n, stem
}

func parseTries(s string) (int, bool) {
	if s == "" || prefix(s, isDigit) < len(s) {
		return 0, false
	}
	n, err := strconv.ParseUint(s, 10, 64)
	if err != nil || n > maxTries {
		return 0, false
	}
	return int(n), true
}

// isVersion is what systemd demands of a version in a file name, and the two marks of UAPI.10 that it leaves out.
func isVersion(s string) bool {
	return s != "" && prefix(s, func(c byte) bool {
		return isDigit(c) || isLetter(c) || strings.IndexByte(".,_-+~^", c) >= 0
	}) == len(s)
}

// isArch knows the architectures of systemd's ConditionArchitecture=.
func isArch(s string) bool {
	switch s {
	case "alpha", "arc", "arc-be", "arm", "arm-be", "arm64", "arm64-be", "cris", "ia64", "loongarch64", "m68k",
		"mips", "mips-le", "mips64", "mips64-le", "nios2", "parisc", "parisc64", "ppc", "ppc-le", "ppc64", "ppc64-le",
		"riscv32", "riscv64", "s390", "s390x", "sh", "sh64", "sparc", "sparc64", "tilegx", "x86", "x86-64":
		return true
	}
	return false
}

// File returns the name of the file, the inverse of [ParseName] and [ParseInV] but for leading zeros of the counters.
func (n Name) File(suffix string) string {
	s := n.Base
	if n.Version != "" {
		s += "_" + n.Version
	}
	if n.Arch != "" {
		s += "_" + n.Arch
	}
	if n.TriesLeft >= 0 {
		s += "+" + strconv.Itoa(n.TriesLeft)
		if n.TriesDone >= 0 {
			s += "-" + strconv.Itoa(n.TriesDone)
		}
	}
	return s + suffix
}

// Exhausted reports whether the name says that every try was used up without success.
func (n Name) Exhausted() bool { return n.TriesLeft == 0 }

// CompareNames orders candidates, the best first: it is negative if a is to be tried before b. It is a total order, zero
// only for equal names, and serves slices.SortFunc. What systemd.v(7) defines for one base is rules 1 and 3 to 7, in its
// order; files for other architectures are filtered by the caller.
//
//  1. exhausted names are last;
//  2. bases in the order of their bytes, since versions of different things do not compare;
//  3. newer versions first, see [Compare]; no version is the oldest;
//  4. with an architecture before without: it was made for this machine;
//  5. more tries left first, no counter before any counter;
//  6. fewer tries done first;
//  7. what is left, such as versions that only Compare finds equal: by bytes, the greater first.
func CompareNames(a, b Name) int {
	if a.Exhausted() != b.Exhausted() {
		return first(b.Exhausted())
	}
	if r := strings.Compare(a.Base, b.Base); r != 0 {
		return r
	}
	if r := Compare(b.Version, a.Version); r != 0 {
		return r
	}
	if (a.Arch == "") != (b.Arch == "") {
		return first(b.Arch == "")
	}
	if a.TriesLeft != b.TriesLeft {
		// As an unsigned number the -1 of "no counter" is the largest.
		return first(uint(a.TriesLeft) > uint(b.TriesLeft))
	}
	if x, y := max(a.TriesDone, 0), max(b.TriesDone, 0); x != y {
		return first(x < y)
	}
	if r := strings.Compare(b.Version, a.Version); r != 0 {
		return r
	}
	if r := strings.Compare(b.Arch, a.Arch); r != 0 {
		return r
	}
	if a.TriesDone != b.TriesDone {
		return first(a.TriesDone > b.TriesDone)
	}
	return 0
}

// first is the result of a comparison that a wins or loses.
func first(a bool) int {
	if a {
		return -1
	}
	return 1
}
