// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package layers

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
)

// entries reads "name" (a directory), "name:file", "name:block", "name:other" and "name.v{a:file b}".
func entries(text string) []Entry {
	var out []Entry
	for text = strings.TrimSpace(text); text != ""; text = strings.TrimSpace(text) {
		word, rest, _ := strings.Cut(text, " ")
		var inside []Entry
		if name, after, ok := strings.Cut(text, "{"); ok && !strings.Contains(name, " ") {
			in, behind, _ := strings.Cut(after, "}")
			word, rest, inside = name, behind, entries(in)
		}
		name, kind, _ := strings.Cut(word, ":")
		out = append(out, Entry{Name: name, Kind: map[string]Kind{"": Directory, "file": File, "block": Block, "other": Other}[kind], Versions: inside})
		text = rest
	}
	return out
}

func TestExtensions(t *testing.T) {
	for _, test := range []struct {
		class      Class
		have, want string // want: NAME=PATH
	}{
		{Sysext, "foo bar.raw:file", "bar=bar.raw foo=foo"},
		{Sysext, "foo.sysext.raw:file foo.confext.raw:file", "foo.confext=foo.confext.raw foo=foo.sysext.raw"},
		{Confext, "foo.sysext.raw:file foo.confext.raw:file", "foo=foo.confext.raw foo.sysext=foo.sysext.raw"},
		{Sysext, "foo.sysext foo_1.2.raw:file", "foo=foo.sysext foo_1.2=foo_1.2.raw"},
		{Sysext, "foo:file foo.img:file foo.raw:other x:other", ""},
		{Sysext, "foo.raw", "foo.raw=foo.raw"},
		{Sysext, "disk:block disk.raw:block", "disk=disk disk.raw=disk.raw"},
		{Sysext, "foo foo.raw:file", "foo=foo"},
		{Sysext, "foo.sysext.raw:file foo.raw:file", "foo=foo.raw"},
		{Sysext, ".sysupdate.foo.raw:file .sysupdate.bar", ""},
		{Sysext, ".raw:file .#x .#y.raw:file .sysext.raw:file", ""},
		{Sysext, "a\x01b \xff.raw:file ä.raw:file", "ä=ä.raw"},
		{Sysext, strings.Repeat("x", 255) + " " + strings.Repeat("y", 256), strings.Repeat("x", 255) + "=" + strings.Repeat("x", 255)},
		{Sysext, "foo.raw.v{foo_1.raw:file foo_10.raw:file foo_9.raw:file foo.raw:file bar_99.raw:file}", "foo=foo.raw.v/foo_10.raw"},
		{Sysext, "foo.sysext.raw.v{foo_1.sysext.raw:file foo_2.raw:file}", "foo=foo.sysext.raw.v/foo_1.sysext.raw"},
		{Sysext, "foo.v{foo_1 foo_2:file}", ""},
		{Sysext, "foo.v{foo_2 foo_1:file}", "foo=foo.v/foo_2"},
		{Sysext, "foo.sysext.v{foo_2.sysext foo_3}", "foo=foo.sysext.v/foo_2.sysext"},
		{Sysext, "foo.raw.v{foo_1.raw:file foo_2.raw}", ""},
		{Sysext, "foo.raw.v{foo_1.raw:block}", "foo=foo.raw.v/foo_1.raw"},
		{Sysext, "foo.raw.v{} .v{_1}", ""},
		{Sysext, "foo.raw.v{foo_1_x86-64.raw:file foo_2_arm64.raw:file foo_1.raw:file foo_1_x86.raw:file}", "foo=foo.raw.v/foo_1_x86-64.raw"},
		{Sysext, "foo.raw.v{foo_1_x86.raw:file foo_1.raw:file}", "foo=foo.raw.v/foo_1_x86.raw"},
		{Sysext, "foo.raw.v{foo_2+0-3.raw:file foo_1.raw:file}", "foo=foo.raw.v/foo_1.raw"},
		{Sysext, "foo.raw.v{foo_2+0-3.raw:file foo_1+0.raw:file}", "foo=foo.raw.v/foo_2+0-3.raw"},
		{Sysext, "foo.raw.v{foo_2+1.raw:file foo_2+2-1.raw:file}", "foo=foo.raw.v/foo_2+2-1.raw"},
		{Sysext, "foo.raw.v{foo_2+2.raw:file foo_2+2-1.raw:file}", "foo=foo.raw.v/foo_2+2.raw"},
		{Sysext, "foo.raw.v{foo_2.raw:file foo_2+3.raw:file}", "foo=foo.raw.v/foo_2.raw"},
		{Sysext, "foo.raw.v{foo_1.2_rc1.raw:file foo_1.2.1.raw:file}", "foo=foo.raw.v/foo_1.2.1.raw"},
		{Sysext, "foo.raw.v{foo__.raw:file foo__x.raw:file}", ""},
		{Sysext, "foo.raw.v{foo_1~2.raw:file foo_0.raw:file}", "foo=foo.raw.v/foo_0.raw"},
		{Sysext, "foo.v{foo_1} foo.raw:file", "foo=foo.raw"},
	} {
		have := entries(test.have)
		slices.Reverse(have) // the order in which a directory is read means nothing
		var got []string
		for _, f := range Extensions(test.class, have, []string{"x86-64", "x86"}) {
			got = append(got, f.Name+"="+f.Path)
		}
		if strings.Join(got, " ") != test.want {
			t.Errorf("%s %.80s: %v, want %s", test.class, test.have, got, test.want)
		}
	}
}

func TestOrder(t *testing.T) {
	names := strings.Fields("b a10 a9 a_1 a-1 B 10 9 a")
	Order(names)
	if want := strings.Fields("B a a-1 a_1 a9 a10 b 9 10"); !slices.Equal(names, want) {
		t.Errorf("%v, want %v", names, want)
	}
}

func TestClasses(t *testing.T) {
	for _, c := range []Class{Sysext, Confext} {
		for _, initrd := range []bool{false, true} {
			for _, dir := range c.SearchPath(initrd) {
				want := "unprotected"
				if strings.HasPrefix(dir, "/.extra/") {
					want = "root=signed+absent"
				}
				if got := c.Policy(dir+"/x.raw", initrd); !strings.Contains(got, want) {
					t.Errorf("%s in %s: %s", c, dir, got)
				}
			}
		}
		if got := c.Policy("/.extra/other/x.raw", true); got != "~" {
			t.Errorf("%s: %s", c, got)
		}
		if got := c.Policy("/.extraordinary/x.raw", true); !strings.Contains(got, "unprotected") {
			t.Errorf("%s: %s", c, got)
		}
	}
	if Confext.MetaDir() != ".systemd-confext" || Sysext.MetaDir() != ".systemd-sysext" || Confext.Plural() != "confexts" || Sysext.Plural() != "extensions" {
		t.Error("the metadata directory is not systemd's")
	}
	for text, want := range map[string]string{
		"/a:/b/c": "/a /b/c", "/a//b/": "/a//b/", "": "", "a": "", "/": "", "/a:": "", "/a/../b": "", "/a/.": "", "//": "", "/a:b": "",
	} {
		got, err := ParseHierarchies(text)
		if strings.Join(got, " ") != want || (err == nil) != (want != "") {
			t.Errorf("%q: %q, %v", text, got, err)
		}
	}
	for _, test := range []struct{ name, dir, want string }{
		{"/a/b", "/a", "/b"}, {"/a/b", "/a/", "/b"}, {"/a", "/a", ""}, {"/ab", "/a", ""}, {"/a/", "/a", ""}, {"/x", "/", "/x"}, {"/b/a", "/a", ""},
	} {
		if got := Below(test.name, test.dir); got != test.want {
			t.Errorf("%+v: %q", test, got)
		}
	}
	if got := Component("/foo//bar/"); got != "foo..bar" {
		t.Error(got)
	}
}

func FuzzExtensions(f *testing.F) {
	f.Add("foo.raw.v", "foo_1_x86-64+3-0.raw", "foo_1.raw", uint8(1))
	f.Add("foo.sysext.v", "foo_1.sysext", "foo_.sysext", uint8(2))
	f.Add("x.raw", ".#x", "\xff", uint8(3))
	f.Fuzz(func(t *testing.T, dir, a, b string, kinds uint8) {
		list := []Entry{{a, Kind(kinds & 3), nil}, {b, Kind(kinds >> 2 & 3), nil}}
		all := append(slices.Clone(list), Entry{dir, Directory, list})
		for _, c := range []Class{Sysext, Confext} {
			got := Extensions(c, all, []string{"x86-64", "x86"})
			slices.Reverse(all)
			if again := Extensions(c, all, []string{"x86-64", "x86"}); a != b && a != dir && b != dir && !reflect.DeepEqual(got, again) {
				t.Errorf("%v, and in another order %v", got, again)
			}
			seen := map[string]bool{}
			for _, x := range got {
				if !ValidName(x.Name) || seen[x.Name] || !strings.Contains(x.Path, x.Name) {
					t.Errorf("%s", fmt.Sprint(got))
				}
				seen[x.Name] = true
			}
		}
	})
}
