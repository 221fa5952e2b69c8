// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package layers

import (
	"strconv"
	"strings"
)

// ListText is the content of the file called [Class.Plural] in the metadata directory: the names of all extensions that were merged, in
// their order, also of those that have nothing for this hierarchy.
func ListText(names []string) string {
	if len(names) == 0 {
		return ""
	}
	return strings.Join(names, "\n") + "\n"
}

// ParseList reads [ListText]. Blank lines are left out.
func ParseList(text string) []string {
	return strings.FieldsFunc(text, func(r rune) bool { return r == '\n' || r == '\r' })
}

// DevText is the content of the files called "dev" and "backing": the number of a device.
func DevText(major, minor uint32) string {
	return strconv.FormatUint(uint64(major), 10) + ":" + strconv.FormatUint(uint64(minor), 10) + "\n"
}

// ParseDev reads [DevText].
func ParseDev(text string) (major, minor uint32, ok bool) {
	a, b, found := strings.Cut(strings.TrimSuffix(text, "\n"), ":")
	x, err1 := strconv.ParseUint(a, 10, 32)
	y, err2 := strconv.ParseUint(b, 10, 32)
	return uint32(x), uint32(y), found && err1 == nil && err2 == nil
}

// Origin is the content of the file called "origin": what a merge was made of, so that another one can tell whether anything would
// change. The names are systemd's.
type Origin struct {
	Mutable      OriginMutable              `json:"mutable"`
	MountOptions string                     `json:"mountOptions,omitempty"`
	Extensions   map[string]OriginExtension `json:"extensions,omitempty"`
}

// OriginMutable is the mode, and the mutable directory of each hierarchy that has one.
type OriginMutable struct {
	Mode Mutable           `json:"mode"`
	Dirs map[string]string `json:"mutableDirs,omitempty"`
}

// OriginExtension says which file an extension was. One with a root hash needs no more than that.
type OriginExtension struct {
	Path       string        `json:"path"`
	VerityHash string        `json:"verityHash,omitempty"`
	OnMountID  uint64        `json:"onMountId,omitempty"`
	FileHandle *OriginHandle `json:"fileHandle,omitempty"`
	Inode      uint64        `json:"inode,omitempty"`
	Crtime     *uint64       `json:"crtime,omitempty"` // microseconds since 1970
	Mtime      *uint64       `json:"mtime,omitempty"`  // likewise
}

// OriginHandle is a file handle of the kernel.
type OriginHandle struct {
	Type   int32  `json:"type"`
	Handle string `json:"handle"` // hexadecimal
}

// Escape writes a path as one line, in the escapes of C, for the file called "work_dir".
func Escape(s string) string {
	var b strings.Builder
	for i := range len(s) {
		switch c := s[i]; {
		case strings.IndexByte("\a\b\f\n\r\t\v\\\"'", c) >= 0:
			b.WriteByte('\\')
			b.WriteByte("abfnrtv\\\"'"[strings.IndexByte("\a\b\f\n\r\t\v\\\"'", c)])
		case c < ' ' || c >= 0x7f:
			b.WriteByte('\\')
			for shift := 6; shift >= 0; shift -= 3 {
				b.WriteByte('0' + c>>shift&7)
			}
		default:
			b.WriteByte(c)
		}
	}
	return b.String()
}

// Unescape reads what [Escape] wrote; ok is false for anything else.
func Unescape(s string) (text string, ok bool) {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] != '\\' {
			b.WriteByte(s[i])
			continue
		}
		if i++; i == len(s) {
			return "", false
		}
		if j := strings.IndexByte("abfnrtv\\\"'", s[i]); j >= 0 {
			b.WriteByte("\a\b\f\n\r\t\v\\\"'"[j])
			continue
		}
		if i+3 > len(s) {
			return "", false
		}
		n, err := strconv.ParseUint(s[i:i+3], 8, 8)
		if err != nil {
			return "", false
		}
		b.WriteByte(byte(n))
		i += 2
	}
	return b.String(), true
}

// splitOptions separates mount options at commas that have no backslash before them.
func splitOptions(text string) []string {
	var out []string
	var b strings.Builder
	for i := 0; i < len(text); i++ {
		switch {
		case text[i] == '\\' && i+1 < len(text):
			i++
			b.WriteByte(text[i])
		case text[i] == ',':
			if b.Len() > 0 {
				out = append(out, b.String())
			}
			b.Reset()
		default:
			b.WriteByte(text[i])
		}
	}
	if b.Len() > 0 {
		out = append(out, b.String())
	}
	return out
}
