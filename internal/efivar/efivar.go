// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

// Package efivar reads and makes the contents of files in efivarfs (/sys/firmware/efi/efivars), above all those of the
// boot loader interface, in which systemd-boot and systemd-stub say where they were started from.
//
// A file is named NAME-VENDOR and holds 32 bits of attributes, little-endian, then the variable's data (the kernel's
// Documentation/filesystems/efivarfs.rst). Texts are UTF-16, little-endian, ended by a NUL (systemd's
// BOOT_LOADER_INTERFACE). The package opens no files. What it reads can have been written by whoever was root on the
// machine before: it says where to look, never what to trust.
package efivar

import (
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/initddi/initddi/internal/guid"
)

// ErrSyntax says that a file does not hold what the variable is defined to hold.
var ErrSyntax = errors.New("malformed EFI variable")

// Attributes of a variable, by the UEFI specification.
const (
	NonVolatile       uint32 = 1 << 0
	BootServiceAccess uint32 = 1 << 1
	RuntimeAccess     uint32 = 1 << 2
)

const (
	// attributeSize is what efivarfs puts in front of the data.
	attributeSize = 4
	// maxString bounds texts, in bytes: an order of magnitude above the longest path that firmware handles.
	maxString = 16 << 10
)

// LoaderVendor returns the vendor GUID of the boot loader interface, 4a67b082-0a4c-41cf-b6c7-440b29bb8c4f.
func LoaderVendor() guid.GUID {
	return guid.GUID{0x4a, 0x67, 0xb0, 0x82, 0x0a, 0x4c, 0x41, 0xcf, 0xb6, 0xc7, 0x44, 0x0b, 0x29, 0xbb, 0x8c, 0x4f}
}

// GlobalVendor returns the vendor GUID of the UEFI specification's own variables, such as SecureBoot:
// 8be4df61-93ca-11d2-aa0d-00e098032b8c.
func GlobalVendor() guid.GUID {
	return guid.GUID{0x8b, 0xe4, 0xdf, 0x61, 0x93, 0xca, 0x11, 0xd2, 0xaa, 0x0d, 0x00, 0xe0, 0x98, 0x03, 0x2b, 0x8c}
}

// FileName returns the name of a variable's file in efivarfs. The name is not checked: it is meant to be a constant.
func FileName(name string, vendor guid.GUID) string { return name + "-" + vendor.String() }

// Decode splits a file into attributes and data; data refers to file. The error wraps [ErrSyntax].
func Decode(file []byte) (attrs uint32, data []byte, err error) {
	if len(file) < attributeSize {
		return 0, nil, fmt.Errorf("%w: %d bytes, want at least %d", ErrSyntax, len(file), attributeSize)
	}
	return binary.LittleEndian.Uint32(file), file[attributeSize:], nil
}

// Encode is the inverse of [Decode].
func Encode(attrs uint32, data []byte) []byte {
	return append(binary.LittleEndian.AppendUint32(make([]byte, 0, attributeSize+len(data)), attrs), data...)
}

// String decodes the data of a text variable. The NUL at the end may be missing, and may be repeated, as systemd accepts
// it from other boot loaders; there must be none inside. Text with half a character, half a surrogate pair or more than
// 16 KiB is refused with an error wrapping [ErrSyntax].
func String(data []byte) (string, error) {
	if len(data) > maxString || len(data)%2 != 0 {
		return "", fmt.Errorf("%w: text has %d bytes, want an even number up to %d", ErrSyntax, len(data), maxString)
	}
	units := make([]uint16, len(data)/2)
	for i := range units {
		units[i] = binary.LittleEndian.Uint16(data[2*i:])
	}
	for len(units) > 0 && units[len(units)-1] == 0 {
		units = units[:len(units)-1]
	}
	var b strings.Builder
	for i := 0; i < len(units); i++ {
		r := rune(units[i])
		if r == 0 {
			return "", fmt.Errorf("%w: text goes on behind the NUL at unit %d", ErrSyntax, i)
		}
		if utf16.IsSurrogate(r) {
			var low rune
			if i+1 < len(units) {
				low = rune(units[i+1])
			}
			pair := utf16.DecodeRune(r, low)
			if pair == utf8.RuneError {
				return "", fmt.Errorf("%w: text has an unpaired surrogate %#04x at unit %d", ErrSyntax, r, i)
			}
			r = pair
			i++
		}
		b.WriteRune(r)
	}
	return b.String(), nil
}

// EncodeString is the inverse of [String]: UTF-16 with a NUL. What is not UTF-8 in s becomes U+FFFD.
func EncodeString(s string) []byte {
	var b []byte
	for _, u := range utf16.AppendRune(utf16.Encode([]rune(s)), 0) {
		b = binary.LittleEndian.AppendUint16(b, u)
	}
	return b
}

// text reads the file of a text variable.
func text(file []byte) (string, error) {
	_, data, err := Decode(file)
	if err != nil {
		return "", err
	}
	return String(data)
}

// PartUUID reads the file of LoaderDevicePartUUID or StubDevicePartUUID: the UUID of the partition that the boot loader
// or the stub was loaded from. The error wraps [ErrSyntax] or [guid.ErrSyntax].
func PartUUID(file []byte) (guid.GUID, error) {
	s, err := text(file)
	if err != nil {
		return guid.GUID{}, fmt.Errorf("cannot read partition UUID: %w", err)
	}
	g, err := guid.Parse(s)
	if err != nil {
		return guid.GUID{}, fmt.Errorf("cannot read partition UUID: %w", err)
	}
	return g, nil
}

// IsEmpty reports whether the file of a text variable holds no text, but the NUL at its end: systemd-stub writes such where it has nothing
// to say, as of the image's path when it came over HTTP.
func IsEmpty(file []byte) bool {
	_, data, err := Decode(file)
	return err == nil && (len(data) == 0 || len(data) == 2 && data[0] == 0 && data[1] == 0)
}

// Path reads the file of LoaderImageIdentifier or StubImageIdentifier: the path of the boot loader's or the stub's file
// on the partition that [PartUUID] gives. The result has slashes, starts with one, and has no empty, "." or ".."
// components; a path that leaves the partition's root or names no file is refused. The error wraps [ErrSyntax].
func Path(file []byte) (string, error) {
	s, err := text(file)
	if err != nil {
		return "", fmt.Errorf("cannot read image path: %w", err)
	}
	var names []string
	for name := range strings.SplitSeq(strings.ReplaceAll(s, `\`, "/"), "/") {
		switch name {
		case "", ".":
		case "..":
			if len(names) == 0 {
				return "", fmt.Errorf("cannot read image path: %w: %.200q leads out of the file system", ErrSyntax, s)
			}
			names = names[:len(names)-1]
		default:
			names = append(names, name)
		}
	}
	if len(names) == 0 {
		return "", fmt.Errorf("cannot read image path: %w: %.200q names no file", ErrSyntax, s)
	}
	return "/" + strings.Join(names, "/"), nil
}

// URL reads the file of LoaderDeviceURL or StubDeviceURL: where the firmware fetched the boot loader or the stub from, if it booted by HTTP
// (systemd 258). The text is as it stands there: what a URL is, is for package weburl to say. The error wraps [ErrSyntax].
func URL(file []byte) (string, error) {
	s, err := text(file)
	if err == nil && s == "" {
		err = fmt.Errorf("%w: it is empty", ErrSyntax)
	}
	if err != nil {
		return "", fmt.Errorf("cannot read URL: %w", err)
	}
	return s, nil
}

// Bool reads the file of a variable that is one byte, 0 or 1, such as SecureBoot. The error wraps [ErrSyntax].
func Bool(file []byte) (bool, error) {
	_, data, err := Decode(file)
	if err == nil && (len(data) != 1 || data[0] > 1) {
		err = fmt.Errorf("%w: data is %x, want 00 or 01", ErrSyntax, data[:min(len(data), 16)])
	}
	if err != nil {
		return false, fmt.Errorf("cannot read switch: %w", err)
	}
	return data[0] == 1, nil
}
