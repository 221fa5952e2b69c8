// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package efivar

import (
	"bytes"
	"errors"
	"path"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/initddi/initddi/internal/guid"
)

// wide spells ASCII as UTF-16 without help from the package.
func wide(s string) []byte {
	var b []byte
	for _, c := range []byte(s) {
		b = append(b, c, 0)
	}
	return b
}

// variable is the file of a volatile variable.
func variable(data []byte) []byte { return append([]byte{6, 0, 0, 0}, data...) }

func TestNames(t *testing.T) {
	for _, tt := range []struct {
		name   string
		vendor guid.GUID
		want   string
	}{
		{"StubDevicePartUUID", LoaderVendor(), "StubDevicePartUUID-4a67b082-0a4c-41cf-b6c7-440b29bb8c4f"},
		{"SecureBoot", GlobalVendor(), "SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c"},
	} {
		if got := FileName(tt.name, tt.vendor); got != tt.want {
			t.Errorf("got %s, want %s", got, tt.want)
		}
	}
}

func TestDecode(t *testing.T) {
	for _, file := range [][]byte{nil, {}, {6, 0, 0}} {
		if _, _, err := Decode(file); !errors.Is(err, ErrSyntax) {
			t.Errorf("%x: got %v", file, err)
		}
	}
	for _, tt := range []struct {
		file  []byte
		attrs uint32
		data  []byte
	}{
		{[]byte{6, 0, 0, 0}, BootServiceAccess | RuntimeAccess, []byte{}},
		{[]byte{7, 0, 0, 0x80, 1, 2}, 0x80000000 | NonVolatile | BootServiceAccess | RuntimeAccess, []byte{1, 2}},
	} {
		attrs, data, err := Decode(tt.file)
		if attrs != tt.attrs || !bytes.Equal(data, tt.data) || err != nil {
			t.Errorf("%x: got %#x, %x, %v", tt.file, attrs, data, err)
		}
		if got := Encode(attrs, data); !bytes.Equal(got, tt.file) {
			t.Errorf("%x was encoded as %x", tt.file, got)
		}
	}
}

func TestString(t *testing.T) {
	for _, tt := range []struct {
		name string
		data []byte
		want string
		text string // of the error, if there is to be one
	}{
		{"text", wide("11\x00"), "11", ""},
		{"no terminator", wide("systemd-stub 257"), "systemd-stub 257", ""},
		{"padded", wide("x\x00\x00\x00"), "x", ""},
		{"empty", wide("\x00"), "", ""},
		{"nothing at all", nil, "", ""},
		{"not ASCII", []byte{0xfc, 0, 0xac, 0x20, 0, 0}, "ü€", ""},
		{"surrogate pair", []byte{0x3d, 0xd8, 0x00, 0xde, 0, 0}, "😀", ""},
		{"U+FFFD itself", []byte{0xfd, 0xff, 0, 0}, "\ufffd", ""},
		{"odd length", []byte{'a', 0, 0}, "", "text has 3 bytes, want an even number"},
		{"longest", wide(strings.Repeat("x", 8192)), strings.Repeat("x", 8192), ""},
		{"too long", wide(strings.Repeat("x", 8193)), "", "text has 16386 bytes, want an even number up to 16384"},
		{"goes on behind the NUL", wide("a\x00b\x00"), "", "text goes on behind the NUL at unit 1"},
		{"high surrogate alone", []byte{0x3d, 0xd8, 'a', 0}, "", "unpaired surrogate 0xd83d at unit 0"},
		{"high surrogate last", []byte{'a', 0, 0x3d, 0xd8, 0, 0}, "", "unpaired surrogate 0xd83d at unit 1"},
		{"low surrogate first", []byte{0x00, 0xde, 0x3d, 0xd8}, "", "unpaired surrogate 0xde00 at unit 0"},
	} {
		got, err := String(tt.data)
		if got != tt.want || (err != nil) != (tt.text != "") {
			t.Errorf("%s: got %q, %v, want %q", tt.name, got, err, tt.want)
		}
		if err != nil && (!errors.Is(err, ErrSyntax) || !strings.Contains(err.Error(), tt.text)) {
			t.Errorf("%s: got %v, want %q", tt.name, err, tt.text)
		}
	}
}

func TestEncodeString(t *testing.T) {
	for _, tt := range []struct {
		s    string
		want []byte
	}{
		{"", []byte{0, 0}},
		{"aü", []byte{'a', 0, 0xfc, 0, 0, 0}},
		{"😀", []byte{0x3d, 0xd8, 0x00, 0xde, 0, 0}},
		{"\xff", []byte{0xfd, 0xff, 0, 0}},
	} {
		if got := EncodeString(tt.s); !bytes.Equal(got, tt.want) {
			t.Errorf("%q: got %x, want %x", tt.s, got, tt.want)
		}
	}
}

func TestPartUUID(t *testing.T) {
	const text = "0A1B2C3D-1234-5678-9ABC-DEF012345678"
	want := guid.MustParse(strings.ToLower(text))
	for _, tt := range []struct {
		name string
		file []byte
		err  error
	}{
		{"as systemd-stub writes it", variable(wide(text + "\x00")), nil},
		{"lower case", variable(wide(strings.ToLower(text) + "\x00")), nil},
		{"no terminator", variable(wide(text)), nil},
		{"cut off", variable(wide(text[:35] + "\x00")), guid.ErrSyntax},
		{"something behind it", variable(wide(text + "x\x00")), guid.ErrSyntax},
		{"16 raw bytes", variable(want[:]), guid.ErrSyntax},
		{"ASCII", variable([]byte(text)), guid.ErrSyntax},
		{"empty", variable(nil), guid.ErrSyntax},
		{"no attributes", []byte{6}, ErrSyntax},
		{"odd", variable([]byte{1}), ErrSyntax},
	} {
		got, err := PartUUID(tt.file)
		if !errors.Is(err, tt.err) || (err == nil) != (tt.err == nil) {
			t.Errorf("%s: got %v, want %v", tt.name, err, tt.err)
		} else if err == nil && got != want || err != nil && !got.IsZero() {
			t.Errorf("%s: got %s, want %s", tt.name, got, want)
		}
	}
}

func TestPath(t *testing.T) {
	for _, tt := range []struct{ path, want, text string }{
		{`\EFI\Linux\os_1.2+3-0.efi`, "/EFI/Linux/os_1.2+3-0.efi", ""},
		{`EFI\BOOT\BOOTX64.EFI`, "/EFI/BOOT/BOOTX64.EFI", ""},
		{`/EFI/Linux/os.efi`, "/EFI/Linux/os.efi", ""},
		{`\\EFI\\.\Linux\\os.efi`, "/EFI/Linux/os.efi", ""},
		{`\EFI\Linux\..\BOOT\a b.efi`, "/EFI/BOOT/a b.efi", ""},
		{`\EFI\...\ü.efi`, "/EFI/.../ü.efi", ""},
		{`\..\os.efi`, "", `"\\..\\os.efi" leads out of the file system`},
		{`..`, "", "leads out"},
		{`\EFI\..\..\EFI\os.efi`, "", "leads out"},
		{`\EFI/../..\os.efi`, "", "leads out"},
		{``, "", `"" names no file`},
		{`\`, "", "names no file"},
		{`\EFI\..`, "", "names no file"},
	} {
		got, err := Path(variable(EncodeString(tt.path)))
		if got != tt.want || (err != nil) != (tt.text != "") {
			t.Errorf("%s: got %q, %v, want %q", tt.path, got, err, tt.want)
		}
		if err != nil && (!errors.Is(err, ErrSyntax) || !strings.Contains(err.Error(), tt.text)) {
			t.Errorf("%s: got %v, want %q", tt.path, err, tt.text)
		}
	}
	for _, file := range [][]byte{nil, variable([]byte{'a'}), variable(wide("a\x00/../../b"))} {
		if got, err := Path(file); got != "" || !errors.Is(err, ErrSyntax) {
			t.Errorf("%x: got %q, %v", file, got, err)
		}
	}
}

func TestBool(t *testing.T) {
	for _, tt := range []struct {
		file []byte
		want bool
		ok   bool
	}{
		{[]byte{6, 0, 0, 0, 0}, false, true},
		{[]byte{6, 0, 0, 0, 1}, true, true},
		{[]byte{6, 0, 0, 0, 2}, false, false},
		{[]byte{6, 0, 0, 0, 1, 0}, false, false},
		{[]byte{6, 0, 0, 0}, false, false},
		{[]byte{1}, false, false},
		{nil, false, false},
	} {
		got, err := Bool(tt.file)
		if got != tt.want || (err == nil) != tt.ok || err != nil && !errors.Is(err, ErrSyntax) {
			t.Errorf("%x: got %v, %v, want %v", tt.file, got, err, tt.want)
		}
	}
}

func FuzzRead(f *testing.F) {
	f.Add(variable(wide("0A1B2C3D-1234-5678-9ABC-DEF012345678\x00")))
	f.Add(variable(EncodeString(`\EFI\Linux\..\ü😀.efi`)))
	f.Add(variable([]byte{1}))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, file []byte) {
		attrs, data, err := Decode(file)
		if err == nil && !bytes.Equal(Encode(attrs, data), file) {
			t.Fatalf("%x became %x", file, Encode(attrs, data))
		}
		s, err := String(data)
		if err == nil {
			if !utf8.ValidString(s) || strings.ContainsRune(s, 0) {
				t.Fatalf("got %q", s)
			}
			// Equal but for the number of NULs.
			if b := EncodeString(s); !bytes.HasPrefix(data, b[:len(b)-2]) || len(bytes.Trim(data[len(b)-2:], "\x00")) != 0 {
				t.Fatalf("%x became %x", data, b)
			}
		}
		if p, err := Path(file); err == nil {
			if p[0] != '/' || p == "/" || path.Clean(p) != p || strings.Contains(p, `\`) {
				t.Fatalf("got path %q", p)
			}
			if again, err := Path(Encode(attrs, EncodeString(p))); err != nil || again != p {
				t.Fatalf("path %q became %q, %v", p, again, err)
			}
		}
		if g, err := PartUUID(file); err == nil && !strings.EqualFold(strings.Trim(s, "{}"), g.String()) {
			t.Fatalf("%q became %s", s, g)
		}
		if b, err := Bool(file); err == nil && (len(file) != 5 || b != (file[4] == 1)) {
			t.Fatalf("%x became %v", file, b)
		}
	})
}

func TestIsEmpty(t *testing.T) {
	for want, files := range map[bool][][]byte{true: {variable(nil), variable(EncodeString(""))}, false: {nil, variable([]byte{'a'}), variable(EncodeString("a"))}} {
		for _, file := range files {
			if got := IsEmpty(file); got != want {
				t.Errorf("%x: %v", file, got)
			}
		}
	}
}

func TestURL(t *testing.T) {
	if got, err := URL(variable(EncodeString("http://192.0.2.1/initddi.efi"))); err != nil || got != "http://192.0.2.1/initddi.efi" {
		t.Errorf("%q, %v", got, err)
	}
	for _, file := range [][]byte{nil, variable(nil), variable([]byte{'a'}), variable(EncodeString("")), variable(wide("a\x00b"))} {
		if got, err := URL(file); got != "" || !errors.Is(err, ErrSyntax) {
			t.Errorf("%x: got %q, %v", file, got, err)
		}
	}
}
