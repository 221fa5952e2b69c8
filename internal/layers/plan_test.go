// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package layers

import (
	"errors"
	"strings"
	"testing"
)

func TestPlan(t *testing.T) {
	yes, no := true, false
	host := &Tree{Path: "/usr", Mode: 0o711, Parent: true, Node: "1"}
	upper := &Tree{Path: "/m/usr", Parent: true, Node: "2"}
	kept := &Tree{Path: "/kept/usr", Parent: true, Node: "3"}
	base := Request{Class: Sysext, Hierarchy: "/usr", Meta: "/meta", Extensions: []string{"/b", "/a"}, Host: host}
	with := func(f func(*Request)) Request {
		r := base
		f(&r)
		return r
	}
	for _, test := range []struct {
		name  string
		r     Request
		lower string
		upper string // and work directory
		flags string
		err   error
	}{
		{"read-only", base, "/meta /b /a /usr", "", "ro nodev", nil},
		{"a confext", with(func(r *Request) { r.Class = Confext }), "/meta /b /a /usr", "", "ro nosuid nodev noexec", nil},
		{"a confext with programs", with(func(r *Request) { r.Class, r.NoExec = Confext, &no }), "/meta /b /a /usr", "", "ro nosuid nodev", nil},
		{"a sysext without", with(func(r *Request) { r.NoExec = &yes }), "/meta /b /a /usr", "", "ro nodev noexec", nil},
		{"empty hierarchy", with(func(r *Request) { r.Host = &Tree{Path: "/usr", Empty: true} }), "/meta /b /a", "", "ro nodev", nil},
		{"no hierarchy", with(func(r *Request) { r.Host = nil }), "/meta /b /a", "", "ro nodev", nil},
		{"nothing", with(func(r *Request) { r.Extensions = nil }), "", "", "", nil},
		{"nothing but writing", with(func(r *Request) { r.Extensions, r.Mutable, r.Upper = nil, MutableYes, upper }), "/meta /usr", "/m/usr /m/.systemd-usr-workdir", "nodev noatime redirect_dir=on metacopy=off index=off", nil},
		{"nothing, and nothing to write to", with(func(r *Request) { r.Extensions, r.Mutable = nil, MutableAuto }), "", "", "", nil},
		{"nothing, and nothing to import", with(func(r *Request) { r.Extensions, r.Mutable = nil, MutableImport }), "", "", "", nil},
		{"nothing but an import", with(func(r *Request) { r.Extensions, r.Mutable, r.Upper = nil, MutableImport, upper }), "/meta /m/usr /usr", "", "ro nodev", nil},
		{"auto without a directory", with(func(r *Request) { r.Mutable = MutableAuto }), "/meta /b /a /usr", "", "ro nodev", nil},
		{"auto", with(func(r *Request) { r.Mutable, r.Upper = MutableAuto, upper }), "/meta /b /a /usr", "/m/usr /m/.systemd-usr-workdir", "nodev noatime redirect_dir=on metacopy=off index=off", nil},
		{"the hierarchy itself", with(func(r *Request) { r.Mutable, r.Upper = MutableYes, host }), "/meta /b /a", "/usr /.systemd-usr-workdir", "nodev noatime redirect_dir=on metacopy=off index=off", nil},
		{"import", with(func(r *Request) { r.Mutable, r.Upper = MutableImport, upper }), "/meta /m/usr /b /a /usr", "", "ro nodev", nil},
		{"import of nothing", with(func(r *Request) { r.Mutable = MutableImport }), "/meta /b /a /usr", "", "ro nodev", nil},
		{"import of the hierarchy", with(func(r *Request) { r.Mutable, r.Upper = MutableImport, host }), "", "", "", ErrOwnLayer},
		{"ephemeral", with(func(r *Request) { r.Mutable, r.Upper = MutableEphemeral, upper }), "/meta /b /a /usr", "/m/usr /m/.systemd-usr-workdir", "nodev noatime redirect_dir=on metacopy=off index=off", nil},
		{"ephemeral import", with(func(r *Request) { r.Mutable, r.Upper, r.Import = MutableEphemeralImport, upper, kept }), "/meta /kept/usr /b /a /usr", "/m/usr /m/.systemd-usr-workdir", "nodev noatime redirect_dir=on metacopy=off index=off", nil},
		{"ephemeral import of the hierarchy", with(func(r *Request) { r.Mutable, r.Upper, r.Import = MutableEphemeralImport, upper, host }), "", "", "", ErrOwnLayer},
		{"read-only mutable directory", with(func(r *Request) { r.Mutable, r.Upper = MutableYes, &Tree{Path: "/m", ReadOnly: true, Parent: true} }), "", "", "", ErrReadOnly},
		{"mutable directory is a mount point", with(func(r *Request) { r.Mutable, r.Upper = MutableYes, &Tree{Path: "/m"} }), "", "", "", ErrWorkDir},
		{"own options", with(func(r *Request) { r.Options = `xino=on,,noatime,x\,y` }), "/meta /b /a /usr", "", "ro nodev noatime xino=on x,y", nil},
		{"the most layers", with(func(r *Request) { r.Extensions = make([]string, MaxLayers-2) }), "/meta" + strings.Repeat(" ", MaxLayers-2) + " /usr", "", "ro nodev", nil},
		{"too many layers", with(func(r *Request) { r.Extensions = make([]string, MaxLayers-1) }), "", "", "", ErrTooMany},
	} {
		t.Run(test.name, func(t *testing.T) {
			s, err := Plan(test.r)
			if !errors.Is(err, test.err) || err != nil && !strings.Contains(err.Error(), "/usr") {
				t.Fatal(err)
			}
			if s == nil {
				s = &Stack{}
			} else if test.r.Host != nil && s.Mode != test.r.Host.Mode || test.r.Host == nil && s.Mode != 0o755 {
				t.Errorf("mode %o", s.Mode)
			}
			if got := strings.Join(s.Lower, " "); got != test.lower {
				t.Errorf("layers %s", got)
			}
			if got := strings.TrimSpace(s.Upper + " " + s.Work); got != test.upper {
				t.Errorf("upper %s", got)
			}
			var flags []string
			for _, f := range []struct {
				is   bool
				name string
			}{{s.ReadOnly, "ro"}, {s.NoSuid, "nosuid"}, {s.NoDev, "nodev"}, {s.NoExec, "noexec"}, {s.NoAtime, "noatime"}} {
				if f.is {
					flags = append(flags, f.name)
				}
			}
			if got := strings.Join(append(flags, s.Options...), " "); got != test.flags {
				t.Errorf("flags %s", got)
			}
		})
	}
}

func TestMutable(t *testing.T) {
	for text, want := range map[string]Mutable{
		"no": MutableNo, "0": MutableNo, "off": MutableNo, "yes": MutableYes, "TRUE": MutableYes, "1": MutableYes, "auto": MutableAuto,
		"import": MutableImport, "ephemeral": MutableEphemeral, "ephemeral-import": MutableEphemeralImport,
	} {
		if got, err := ParseMutable(text); got != want || err != nil {
			t.Errorf("%q: %s, %v", text, got, err)
		}
	}
	for _, text := range []string{"", "Auto", "maybe"} {
		if got, err := ParseMutable(text); got != MutableNo || !errors.Is(err, ErrMutable) {
			t.Errorf("%q: %s, %v", text, got, err)
		}
	}
	if err := CheckMode("/usr", &Tree{Path: "/m", Mode: 0o700}, 0o755); !errors.Is(err, ErrMode) || !strings.Contains(err.Error(), "0700") || !strings.Contains(err.Error(), "0755") {
		t.Error(err)
	}
	if err := errors.Join(CheckMode("/usr", nil, 0o755), CheckMode("/usr", &Tree{Mode: 0o755}, 0o755)); err != nil {
		t.Error(err)
	}
}

func TestMeta(t *testing.T) {
	if got := ListText([]string{"a", "b"}) + ListText(nil); got != "a\nb\n" {
		t.Errorf("%q", got)
	}
	if got := ParseList("a\n\nb\n"); len(got) != 2 || got[1] != "b" {
		t.Errorf("%q", got)
	}
	if a, b, ok := ParseDev(DevText(253, 1048575)); a != 253 || b != 1048575 || !ok {
		t.Error(a, b, ok)
	}
	for _, bad := range []string{"", "1", "1:", ":1", "1:x", "1:4294967296", "-1:1", "1:1 "} {
		if _, _, ok := ParseDev(bad); ok {
			t.Errorf("%q", bad)
		}
	}
	if got := Escape("a\nb\\c\x01\x7fä\"'"); got != `a\nb\\c\001\177\303\244\"\'` {
		t.Error(got)
	}
	for _, bad := range []string{`\`, `\x`, `\12`, `\999`, `\400`} {
		if got, ok := Unescape(bad); ok {
			t.Errorf("%q: %q", bad, got)
		}
	}
}

func FuzzEscape(f *testing.F) {
	f.Add("var/lib/.systemd-usr-workdir", `a\nb\001\\`)
	f.Add("\x00\n\r\t\"'\\\xff", `\`)
	f.Fuzz(func(t *testing.T, text, escaped string) {
		e := Escape(text)
		if got, ok := Unescape(e); got != text || !ok || strings.ContainsAny(e, "\n\x00") {
			t.Errorf("%q is written %q, which gives %q, %v", text, e, got, ok)
		}
		if got, ok := Unescape(escaped); ok && len(got) > len(escaped) {
			t.Errorf("%q gives %q", escaped, got)
		}
	})
}
