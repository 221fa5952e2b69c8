// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

// Package guid holds 128-bit identifiers in the byte order in which people write them.
//
// GPT and UEFI store the first three fields of a GUID little-endian (UEFI specification, appendix A); systemd's 128-bit
// ids, the dm-verity superblock and root hashes are plain bytes in text order. A [GUID] is always in text order, so the
// two never mix; [FromMixedEndian] and [GUID.MixedEndian] are the only places that know the other one.
package guid

import (
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
)

// ErrSyntax says that a text is not a GUID.
var ErrSyntax = errors.New("not a GUID")

// GUID is a 128-bit identifier; byte 0 is the first that is written.
type GUID [16]byte

// Parse reads the dashed form in either case, with or without braces, as firmware and people write it. It returns an
// error wrapping [ErrSyntax] for anything else.
func Parse(s string) (GUID, error) {
	var g GUID
	t := s
	if len(t) == 38 && t[0] == '{' && t[37] == '}' {
		t = t[1:37]
	}
	if len(t) != 36 || t[8] != '-' || t[13] != '-' || t[18] != '-' || t[23] != '-' {
		return GUID{}, fmt.Errorf("cannot parse %q: %w", s, ErrSyntax)
	}
	digits := strings.ReplaceAll(t, "-", "")
	if len(digits) != 32 {
		return GUID{}, fmt.Errorf("cannot parse %q: %w", s, ErrSyntax)
	}
	if _, err := hex.Decode(g[:], []byte(digits)); err != nil {
		return GUID{}, fmt.Errorf("cannot parse %q: %w", s, ErrSyntax)
	}
	return g, nil
}

// MustParse is [Parse] for constants in the source; it panics on a typing error.
func MustParse(s string) GUID {
	g, err := Parse(s)
	if err != nil {
		panic(err)
	}
	return g
}

// FromMixedEndian converts from the on-disk form of GPT and UEFI.
func FromMixedEndian(b [16]byte) GUID {
	return GUID{b[3], b[2], b[1], b[0], b[5], b[4], b[7], b[6], b[8], b[9], b[10], b[11], b[12], b[13], b[14], b[15]}
}

// MixedEndian converts to the on-disk form of GPT and UEFI. It is its own inverse.
func (g GUID) MixedEndian() [16]byte { return [16]byte(FromMixedEndian([16]byte(g))) }

// IsZero reports whether g is the nil GUID, which GPT uses for an unused entry.
func (g GUID) IsZero() bool { return g == GUID{} }

// String returns the dashed lower-case form.
func (g GUID) String() string {
	h := hex.EncodeToString(g[:])
	return h[:8] + "-" + h[8:12] + "-" + h[12:16] + "-" + h[16:20] + "-" + h[20:]
}

// MarshalText makes a GUID a plain string in JSON.
func (g GUID) MarshalText() ([]byte, error) { return []byte(g.String()), nil }

// UnmarshalText is the inverse of [GUID.MarshalText].
func (g *GUID) UnmarshalText(b []byte) error {
	v, err := Parse(string(b))
	if err != nil {
		return err
	}
	*g = v
	return nil
}
