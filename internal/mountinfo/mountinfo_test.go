// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package mountinfo

import (
	"errors"
	"os"
	"slices"
	"strings"
	"testing"
)

func TestParse(t *testing.T) {
	const text = `22 27 0:21 / /proc rw,relatime - proc proc rw
137 98 0:47 / /a\040b\012c\134d ro,nodev shared:11 master:3 - overlay sysext ro,lowerdir+=/x\054y,lowerdir+=/z
4294967296 1 259:4 /@root/usr /usr rw - btrfs /dev/disk\040x rw,ssd
`
	got, err := Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	want := []Mount{
		{ID: 22, Parent: 27, Minor: 21, Root: "/", Point: "/proc", Options: "rw,relatime", Type: "proc", Source: "proc", SuperOptions: "rw"},
		{ID: 137, Parent: 98, Minor: 47, Root: "/", Point: "/a b\nc\\d", Options: "ro,nodev", Type: "overlay", Source: "sysext", SuperOptions: "ro,lowerdir+=/x,y,lowerdir+=/z"},
		{ID: 1 << 32, Parent: 1, Major: 259, Minor: 4, Root: "/@root/usr", Point: "/usr", Options: "rw", Type: "btrfs", Source: "/dev/disk x", SuperOptions: "rw,ssd"},
	}
	if !slices.Equal(got, want) {
		t.Errorf("got %+v\nwant %+v", got, want)
	}
	for _, bad := range []string{
		"x", "\n", "22 27 0:21 / /proc rw,relatime", "22 27 0:21 / /proc rw - proc proc", "x 27 0:21 / /p rw - p p rw", "22 x 0:21 / /p rw - p p rw",
		"22 27 0 / /p rw - p p rw", "22 27 x:1 / /p rw - p p rw", "22 27 1:x / /p rw - p p rw", "22 27 1:4294967296 / /p rw - p p rw", "22 27 0:21 / /p - p p rw",
	} {
		if got, err := Parse("22 27 0:21 / /proc rw,relatime - proc proc rw\n" + bad); !errors.Is(err, ErrSyntax) || !strings.Contains(err.Error(), "line 2") || got != nil {
			t.Errorf("%q: %v, %v", bad, got, err)
		}
	}
}

// TestParseOwn reads this process's own.
func TestParseOwn(t *testing.T) {
	b, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		t.Skip("needs /proc: ", err)
	}
	list, err := Parse(string(b))
	if err != nil || len(list) == 0 {
		t.Errorf("%d mounts, %v", len(list), err)
	}
}

func FuzzParse(f *testing.F) {
	f.Add("22 27 0:21 / /proc rw,relatime - proc proc rw\n")
	f.Add("137 98 0:47 / /a\\040b ro shared:11 master:3 - overlay sysext ro,lowerdir+=/x\\054y\n")
	f.Add("1 1 1:1 / / rw - - - - a b c\n\n")
	f.Add("1 1 1:1 \\ \\1 \\12 - \\777 \\08 \\\\134\n")
	f.Fuzz(func(t *testing.T, text string) {
		list, err := Parse(text)
		if err != nil {
			if !errors.Is(err, ErrSyntax) || list != nil {
				t.Errorf("%v, %v", list, err)
			}
			return
		}
		lines := strings.Count(text, "\n")
		if text != "" && !strings.HasSuffix(text, "\n") {
			lines++
		}
		if len(list) != lines {
			t.Errorf("%d mounts in %d lines", len(list), lines)
		}
		for _, m := range list {
			if len(m.Point) > len(text) || strings.Contains(text, "\\") == false && !strings.Contains(text, m.Point) {
				t.Errorf("%q comes from nowhere", m.Point)
			}
		}
	})
}
