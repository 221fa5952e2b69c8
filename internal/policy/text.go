// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package policy

import (
	"errors"
	"fmt"
	"strings"

	"github.com/initddi/initddi/internal/gpt"
)

// Errors that [Parse] returns, inside one that says where.
var (
	ErrSyntax     = errors.New("not of the form DESIGNATOR=FLAG+FLAG:…")
	ErrRepeated   = errors.New("more than one rule for a partition")
	ErrDesignator = errors.New("unknown partition")
	ErrFlag       = errors.New("unknown flag")
)

// names are the flags' words, in the order in which a policy is written.
var names = [...]struct {
	flag Flags
	name string
}{
	{Verity, "verity"}, {Signed, "signed"}, {Encrypted, "encrypted"}, {EncryptedWithIntegrity, "encryptedwithintegrity"},
	{Unprotected, "unprotected"}, {Unused, "unused"}, {Absent, "absent"},
	{ReadOnlyOn, "read-only-on"}, {ReadOnlyOff, "read-only-off"}, {GrowFSOff, "growfs-off"}, {GrowFSOn, "growfs-on"},
	{Btrfs, "btrfs"}, {Erofs, "erofs"}, {Ext4, "ext4"}, {F2fs, "f2fs"}, {Squashfs, "squashfs"}, {Vfat, "vfat"}, {Xfs, "xfs"},
	{Open, "open"}, {Ignore, "ignore"},
}

func flagOf(word string) (Flags, bool) {
	for _, n := range names {
		if n.name == word {
			return n.flag, true
		}
	}
	return 0, false
}

// Parse reads a policy as systemd does, white space and backslashes included: "-" and nothing at all use nothing, "*" allows
// everything, "~" nothing but an empty image, and everything else is rules with colons between them. The error wraps
// [ErrSyntax], [ErrRepeated], [ErrDesignator] or [ErrFlag].
func Parse(text string) (Policy, error) {
	switch text {
	case "", "-":
		return Policy{}, nil
	case "*":
		return All(), nil
	case "~":
		return Policy{other: Absent, hasOther: true}, nil
	}
	var p Policy
	seen := false
	rest := text
	for more := true; more; {
		var rule string
		var ok bool
		if rule, rest, more, ok = word(rest, ':'); !ok {
			return Policy{}, fmt.Errorf("cannot read image policy %q: it ends in a backslash: %w", text, ErrSyntax)
		}
		name, value, has, ok := word(rule, '=')
		if !ok || !has {
			return Policy{}, fmt.Errorf("cannot read rule %q of the image policy: %w", rule, ErrSyntax)
		}
		name = strip(name)
		i := indexOf(gpt.Designator(name))
		if _, has := p.written(max(i, 0)); name == "" && seen || i >= 0 && has {
			return Policy{}, fmt.Errorf("cannot use a second rule %q in the image policy: %w", rule, ErrRepeated)
		}
		if name != "" && i < 0 {
			return Policy{}, fmt.Errorf("cannot use %q in the image policy: %w", name, ErrDesignator)
		}
		flags, err := parseFlags(strip(value))
		if err != nil {
			return Policy{}, err
		}
		if name == "" {
			seen = true
			p.setOther(flags)
		} else {
			p.set(i, flags)
		}
	}
	return p, nil
}

func parseFlags(text string) (Flags, error) {
	if text == "" || text == "-" {
		return 0, nil
	}
	var out Flags
	for more := true; more; {
		var w string
		var ok bool
		if w, text, more, ok = word(text, '+'); !ok {
			return 0, fmt.Errorf("cannot read a rule of the image policy: it ends in a backslash: %w", ErrSyntax)
		}
		f, ok := flagOf(strip(w))
		if !ok {
			return 0, fmt.Errorf("cannot use %q in the image policy: %w", strip(w), ErrFlag)
		}
		out |= f
	}
	return out, nil
}

// word takes the text up to the first separator off s; found says that there was one. A backslash makes the next byte count for
// itself, and disappears; ok is false if there is no next one.
func word(s string, sep byte) (w, rest string, found, ok bool) {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		switch c := s[i]; c {
		case sep:
			return b.String(), s[i+1:], true, true
		case '\\':
			if i++; i == len(s) {
				return "", s, false, false
			}
			b.WriteByte(s[i])
		default:
			b.WriteByte(c)
		}
	}
	return b.String(), "", false, true
}

func strip(s string) string { return strings.Trim(s, " \t\n\r") }

// String writes the policy as short as it can be said: what the default says anyway is left out.
func (p Policy) String() string {
	for _, special := range [...]struct {
		text  string
		flags Flags
	}{{"*", Open}, {"-", Ignore}, {"~", Absent}} {
		var q Policy
		if q.setOther(special.flags); Equivalent(p, q) {
			return special.text
		}
	}
	var out []string
	for i, d := range designators {
		if f, has := p.written(i); has && f != normal(p.rest(), d) {
			out = append(out, string(d)+"="+f.String())
		}
	}
	if fill(p.rest()) != fill(Ignore) {
		out = append(out, "="+p.rest().String())
	}
	if len(out) == 0 {
		return "-"
	}
	return strings.Join(out, ":")
}

// Long writes the policy with every rule it has and every flag by its own name.
func (p Policy) Long() string {
	var out []string
	for i, d := range designators {
		if f, has := p.written(i); has {
			out = append(out, string(d)+"="+f.text(0))
		}
	}
	return strings.Join(append(out, "="+p.rest().text(0)), ":")
}

// String writes a rule, with "open" and "ignore" for the sets that they stand for, and without bits that do not matter.
func (f Flags) String() string {
	for _, set := range [...]Flags{ReadOnly, GrowFS} {
		if f&set == set {
			f &^= set
		}
	}
	switch f & Uses {
	case Open, Ignore:
		return f.text(f & Uses)
	}
	return f.text(0)
}

// text writes a rule; short is what of it shall be written with its own word.
func (f Flags) text(short Flags) string {
	var out []string
	if short != 0 {
		for _, n := range names {
			if n.flag == short {
				out = append(out, n.name)
			}
		}
		f &^= short
	}
	for _, n := range names {
		if f&n.flag == n.flag && n.flag != Open && n.flag != Ignore {
			out = append(out, n.name)
		}
	}
	if len(out) == 0 {
		return "-"
	}
	return strings.Join(out, "+")
}
