// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package nbd

import (
	"errors"
	"strings"
	"testing"
)

func TestParseURL(t *testing.T) {
	for _, test := range []struct {
		text, want string // the export's name behind the address
		wrong      string // what is said of it
	}{
		{"nbd://server", "server:10809 ", ""},
		{"nbd://server/", "server:10809 ", ""},
		{"nbd://server/debian", "server:10809 debian", ""},
		{"nbd://server//disk", "server:10809 /disk", ""},
		{"nbd://server/a/b.raw", "server:10809 a/b.raw", ""},
		{"nbd://server/hello%20world", "server:10809 hello world", ""},
		{"nbd://server/%3F", "server:10809 ?", ""},
		{"nbd://10.0.0.1:99/x", "10.0.0.1:99 x", ""},
		{"nbd://[2001:db8::1]/x", "[2001:db8::1]:10809 x", ""},
		{"nbd://[fe80::1%25eth0]:1/x", "[fe80::1%eth0]:1 x", ""},
		{"NBD://server/x", "server:10809 x", ""},
		{"nbd://server/" + strings.Repeat("x", MaxName), "server:10809 " + strings.Repeat("x", MaxName), ""},
		{"nbd://server/" + strings.Repeat("x", MaxName+1), "", "4097 bytes"},
		{"nbd://server/%00", "", "no text"},
		{"nbd://server/%ff", "", "no text"},
		{"nbd://server/%zz", "", "no URL"},
		{"nbd://", "", "no host"},
		{"nbd:///x", "", "no host"},
		{"nbd:server", "", "no host"},
		{"nbd://:10809/x", "", "no host"},
		{"nbd://[::1%25a%2Cb]/x", "", "host"},
		{"nbd://a%20b/x", "", "no URL"},
		{"nbd://a,b/x", "", "host"},
		{"nbd://server:0/x", "", "port"},
		{"nbd://server:65536/x", "", "port"},
		{"nbd://server:x/x", "", "no URL"},
		{"nbd://me@server/x", "", "user"},
		{"nbd://server/x?tls-type=anon", "", "parameters"},
		{"nbd://server/x?", "", "parameters"},
		{"nbd://server/x#y", "", "parameters"},
		{"nbds://server/x", "", "TLS"},
		{"nbd+unix:///x?socket=y", "", "scheme"},
		{"http://server/x", "", "scheme"},
		{"server", "", "scheme"},
		{"", "", "scheme"},
		{"nbd://server/\n", "", "no URL"},
	} {
		u, err := ParseURL(test.text)
		if test.wrong != "" {
			if !errors.Is(err, ErrURL) || !strings.Contains(err.Error(), test.wrong) {
				t.Errorf("%q: %v, want %q", test.text, err, test.wrong)
			}
			continue
		}
		if err != nil {
			t.Errorf("%q: %v", test.text, err)
			continue
		}
		if got := u.Address() + " " + u.Export; got != test.want {
			t.Errorf("%q is %q, want %q", test.text, got, test.want)
		}
		if again, err := ParseURL(u.String()); err != nil || again != u {
			t.Errorf("%q becomes %q, which is %+v (%v), not %+v", test.text, u.String(), again, err, u)
		}
	}
}

func TestGeometry(t *testing.T) {
	for _, test := range []struct {
		name  string
		e     Export
		want  Geometry
		wrong string
	}{
		{"no sizes", Export{Size: 1 << 20}, Geometry{1 << 20, 512}, ""},
		{"bytes", Export{Size: 1<<20 + 700, Sizes: Sizes{1, 4096, 1 << 25}}, Geometry{1<<20 + 512, 512}, ""},
		{"4096", Export{Size: 1<<20 + 700, Sizes: Sizes{4096, 4096, 1 << 25}}, Geometry{1 << 20, 4096}, ""},
		{"larger than a page", Export{Size: 1 << 20, Sizes: Sizes{8192, 8192, 1 << 25}}, Geometry{}, "8192"},
		{"small requests", Export{Size: 1 << 20, Sizes: Sizes{1, 4096, 64 << 10}}, Geometry{}, "65536"},
		{"requests just large enough", Export{Size: 1 << 20, Sizes: Sizes{1, 4096, 128 << 10}}, Geometry{1 << 20, 512}, ""},
		{"nothing", Export{}, Geometry{}, "0 bytes"},
		{"less than a block", Export{Size: 511}, Geometry{}, "511 bytes"},
		{"more than there is", Export{Size: 1<<64 - 1}, Geometry{}, "18446744073709551615 bytes"},
	} {
		got, err := test.e.Geometry()
		if got != test.want || (err == nil) != (test.wrong == "") {
			t.Errorf("%s: %+v, %v, want %+v", test.name, got, err, test.want)
		}
		if err != nil && (!errors.Is(err, ErrUnusable) || !strings.Contains(err.Error(), test.wrong)) {
			t.Errorf("%s: %v, want %q", test.name, err, test.wrong)
		}
	}
}

func TestKernelFlags(t *testing.T) {
	// What stands in include/uapi/linux/nbd.h: has flags, read-only, can multi conn.
	if KernelFlags(1) != 0x003 || KernelFlags(2) != 0x103 {
		t.Errorf("%#x, %#x", KernelFlags(1), KernelFlags(2))
	}
}

func FuzzParseURL(f *testing.F) {
	for _, s := range []string{"nbd://server/x", "nbd://[fe80::1%25eth0]:1/a%20b", "nbds://x/y", "nbd://a:0/", "nbd://a//%2f", "nbd://me@a/?b#c"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		u, err := ParseURL(text)
		if err != nil {
			if !errors.Is(err, ErrURL) || u != (URL{}) {
				t.Errorf("%+v, %v", u, err)
			}
			return
		}
		if u.Host == "" || u.Port == 0 || len(u.Export) > MaxName || strings.ContainsRune(u.Export, 0) {
			t.Errorf("%+v", u)
		}
		if again, err := ParseURL(u.String()); err != nil || again != u {
			t.Errorf("%+v becomes %q, which is %+v: %v", u, u.String(), again, err)
		}
	})
}
