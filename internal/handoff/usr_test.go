// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package handoff

import (
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// baseOf makes a /usr with the files, the base around it, and says what is there beside /usr.
func baseOf(t *testing.T, initrd, extra bool, files ...string) []string {
	t.Helper()
	root := t.TempDir()
	for _, f := range files {
		name := filepath.Join(root, "usr", f)
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, nil, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := makeBase(root, initrd, extra); err != nil {
		t.Fatal(err)
	}
	var out []string
	err := filepath.WalkDir(root, func(name string, d fs.DirEntry, err error) error {
		if err != nil || name == root {
			return err
		}
		rel, _ := filepath.Rel(root, name)
		if rel == "usr" {
			return filepath.SkipDir
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		if to, err := os.Readlink(name); err == nil {
			out = append(out, rel+"->"+to)
		} else {
			out = append(out, rel+" "+info.Mode().Perm().String()[1:])
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(out)
	return out
}

func TestBase(t *testing.T) {
	ld := loader()
	const bare = "dev r-xr-xr-x, etc rwxr-xr-x, proc r-xr-xr-x, root rwxr-x---, run r-xr-xr-x, sys r-xr-xr-x, var rwxr-xr-x"
	for _, test := range []struct {
		name          string
		initrd, extra bool
		files         []string
		want          string // beside bare
	}{
		{"nothing", false, false, nil, ""},
		{"a system", false, false, []string{"bin/sh", "sbin/init", "lib/systemd/systemd", "lib64/" + ld}, "bin->usr/bin, lib->usr/lib, sbin->usr/sbin, lib64->usr/lib64"},
		{"the loader in /lib", false, false, []string{"lib/" + ld, "lib64/other"}, "lib->usr/lib, lib64->usr/lib"},
		{"the loader twice", false, false, []string{"lib/" + ld, "lib64/" + ld}, "lib->usr/lib, lib64->usr/lib64"},
		{"a static init", false, false, []string{"sbin/init"}, "sbin->usr/sbin"},
		{"an initrd", true, false, []string{"lib/initrd-release"}, "lib->usr/lib, sysroot rwxr-xr-x, etc/initrd-release->../usr/lib/initrd-release"},
		{"what the boot loader left", false, true, []string{"sbin/init"}, "sbin->usr/sbin, .extra rwxr-xr-x"},
	} {
		t.Run(test.name, func(t *testing.T) {
			want := strings.Split(bare, ", ")
			if test.want != "" {
				want = append(want, strings.Split(test.want, ", ")...)
			}
			slices.Sort(want)
			if got := baseOf(t, test.initrd, test.extra, test.files...); !slices.Equal(got, want) {
				t.Errorf("got  %q\nwant %q", got, want)
			}
		})
	}
}

// TestBaseTwice: whoever has been there before is an error, not a surprise.
func TestBaseTwice(t *testing.T) {
	root := t.TempDir()
	if err := makeBase(root, false, false); err != nil {
		t.Fatal(err)
	}
	if err := makeBase(root, false, false); err == nil {
		t.Error("made twice")
	}
}
