// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package weburl

import (
	"errors"
	"fmt"
	"net/url"
	"path"
	"strings"
	"testing"
)

func TestParse(t *testing.T) {
	for _, test := range []struct{ text, want string }{
		{"http://a", "http://a/"},
		{"http://a/", ""},
		{"HTTPS://a/x", "https://a/x"},
		{"https://images.example.com/initddi/OS_1.2.raw", ""},
		{"http://192.0.2.1:8080/x?y=1&z=%20", ""},
		{"http://[2001:db8::1]/x", ""},
		{"http://[2001:db8::1]:8443/x", ""},
		{"http://a?x", "http://a/?x"},
		{"http://a/b%20c/", ""},
		{"http://my_server/x", ""},
		{"http://a//b", ""},
	} {
		u, err := Parse(test.text)
		want := either(test.want, test.text)
		if err != nil || u.String() != want {
			t.Errorf("%s: %s, %v, wanted %s", test.text, u, err, want)
		}
	}
	for _, text := range []string{
		"", "a", "/a", "http:", "http:/a", "http://", "http:///a", "http://?x", "ftp://a/", "file:///etc/passwd", "nbd://a/b", "http://a b/", "http://a/b c", "http://a/\u00e4",
		"http://a/\x00", "http://a/\n", "http://user@a/", "http://user:pass@a/", "http://a/#x", "http://a:/", "http://a:0/", "http://a:65536/", "http://a:x/", "http://a:+1/", "http://a:1:2/",
		"http://[::1/", "http://[]/", "http://[a]/", "http://[::1]x/", "http://[::1%25eth0]/", "http://a%41/", "http://a/%", "http://a/%4", "http://a/%zz", "http://a/%2f", "http://a/%00", "http://a/%0a",
		"http://a/../b", "http://a/.", "http://a/b/..", "http://a/\"", "http://a/<", "http://a/\\", "http://a/^", "http://a/`", "http://a/{", "http://a/|", "http://" + strings.Repeat("a", 254) + "/",
		"http://a/" + strings.Repeat("a", maxLength),
	} {
		if u, err := Parse(text); !errors.Is(err, ErrSyntax) || u != (URL{}) || len(err.Error()) > 400 || strings.ContainsAny(err.Error(), "\n\x00") {
			t.Errorf("%q: %+v, %v", text, u, err)
		}
	}
}

func either(a, b string) string {
	if a != "" {
		return a
	}
	return b
}

func TestPlaces(t *testing.T) {
	for _, test := range []struct {
		text   string
		index  bool
		name   string
		beside string // of "x y.raw"
		uki    string // OfUKI
	}{
		{"http://a/", true, "", "http://a/x%20y.raw", "[]"},
		{"http://a/b/OS.raw.v/", true, "OS.raw.v", "http://a/b/OS.raw.v/x%20y.raw", "[]"},
		{"http://a/b/OS%201.raw?token=1", false, "OS 1.raw", "http://a/b/x%20y.raw?token=1", "[http://a/b/OS%201.raw.ddi.d/?token=1 http://a/b/loader/ddi/?token=1]"},
		{"http://a/initddi.efi", false, "initddi.efi", "http://a/x%20y.raw", "[http://a/initddi.efi.ddi.d/ http://a/loader/ddi/]"},
		{"http://a/t/EFI/Linux/os.efi", false, "os.efi", "http://a/t/EFI/Linux/x%20y.raw", "[http://a/t/EFI/Linux/os.efi.ddi.d/ http://a/t/loader/ddi/]"},
		{"http://a/efi/boot/bootx64.efi", false, "bootx64.efi", "http://a/efi/boot/x%20y.raw", "[http://a/efi/boot/bootx64.efi.ddi.d/ http://a/loader/ddi/]"},
		{"http://a/EFI/x/EFI/Linux/os.efi", false, "os.efi", "http://a/EFI/x/EFI/Linux/x%20y.raw", "[http://a/EFI/x/EFI/Linux/os.efi.ddi.d/ http://a/EFI/x/loader/ddi/]"},
		{"http://a/efi", false, "efi", "http://a/x%20y.raw", "[http://a/efi.ddi.d/ http://a/loader/ddi/]"},
	} {
		u, err := Parse(test.text)
		if err != nil {
			t.Fatal(err)
		}
		if u.IsIndex() != test.index || u.Name() != test.name || u.Beside("x y.raw").String() != test.beside || fmt.Sprint(OfUKI(u)) != test.uki {
			t.Errorf("%s: %v, %q, %v, %v", u, u.IsIndex(), u.Name(), u.Beside("x y.raw"), OfUKI(u))
		}
	}
}

func TestExpand(t *testing.T) {
	for text, want := range map[string]string{
		"http://a/%a/": "http://a/x86-64/", "http://a/OS_1_%a.raw": "http://a/OS_1_x86-64.raw", "http://a/%a": "http://a/x86-64",
		"http://a/%ab": "http://a/%ab", "http://a/%20%a%20": "http://a/%20x86-64%20", "http://a/%25a": "http://a/%25a", "http://a/%v": "http://a/%v", "%": "%",
	} {
		if got := Expand(text, "x86-64"); got != want {
			t.Errorf("%s: %s, wanted %s", text, got, want)
		}
	}
}

// FuzzParse holds what is taken against package net/url, which is what asks the server in the end.
func FuzzParse(f *testing.F) {
	for _, s := range []string{"http://a", "https://[2001:db8::1]:8443/x?y=1", "http://a/b%20c/", "http://a:80/%41", "http://user@a/", "http://a/../b"} {
		f.Add(s, "OS_1.raw")
	}
	f.Fuzz(func(t *testing.T, text, name string) {
		u, err := Parse(text)
		if err != nil {
			return
		}
		if again, err := Parse(u.String()); err != nil || again != u {
			t.Fatalf("%q is %+v, written as %q, which is %+v, %v", text, u, u, again, err)
		}
		std, err := url.Parse(u.String())
		if err != nil {
			t.Fatalf("%q: %v", u, err)
		}
		if std.Scheme != u.Scheme || std.Host != u.Host || std.EscapedPath() != u.Path || std.RawQuery != u.Query || std.User != nil || std.Fragment != "" {
			t.Fatalf("%q is %+v here and %#v there", text, u, std)
		}
		if u.Name() != strings.TrimPrefix(path.Base(std.Path), "/") && !strings.HasSuffix(std.Path, "//") {
			t.Fatalf("%q: name is %q, and %q there", text, u.Name(), path.Base(std.Path))
		}
		if strings.ContainsAny(name, "/") || name == "" {
			return
		}
		beside, err := url.Parse(u.Beside(name).String())
		if err != nil || beside.Host != std.Host || path.Base(beside.Path) != name && name != "." && name != ".." {
			t.Fatalf("%q beside %q is %q: %v", name, text, u.Beside(name), err)
		}
	})
}
