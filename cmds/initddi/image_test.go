// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package main

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/initddi/initddi/internal/ability"
	"github.com/initddi/initddi/internal/ddi"
	"github.com/initddi/initddi/internal/ddi/dditest"
)

// TestImageFiles: an image lies where stage 1 looks for it, and one that it would not find, or would refuse, is an error.
func TestImageFiles(t *testing.T) {
	s := dditest.Make(t)
	p, err := ddi.ReadTrust([]string{s.Path(dditest.Cert)}, false)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	in := func(name string) string { return filepath.Join(dir, name) }
	for name, from := range map[string]string{"OS_1.raw": dditest.Good, "OS_2.RAW": dditest.Good, "os.img": dditest.Good, "theirs.raw": dditest.Stranger} {
		if err := os.Link(s.Path(from), in(name)); err != nil {
			b, err := os.ReadFile(s.Path(from))
			if err != nil {
				t.Fatal(err)
			}
			write(t, in(name), string(b))
		}
	}
	write(t, in("empty.raw"), "")
	write(t, in("text.raw"), strings.Repeat("no image\n", 1000))
	files, err := imageFiles(list{in("OS_1.raw"), in("OS_2.RAW")}, p)
	if err != nil || len(files) != 2 || files[0].Name != "ddi/OS_1.raw" || files[1].Name != "ddi/OS_2.RAW" || files[0].Mode != 0o444 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	if b, err := os.ReadFile(s.Path(dditest.Good)); err != nil || !bytes.Equal(b, files[1].Data) {
		t.Errorf("it has %d bytes, the image %d, %v", len(files[1].Data), len(b), err)
	}
	for name, want := range map[string]string{
		"os.img": "looks for files *.raw", "none.raw": "no such file", "empty.raw": ddi.ErrNotDDI.Error(), "text.raw": ddi.ErrNotDDI.Error(), "theirs.raw": "trust",
	} {
		if _, err := imageFiles(list{in(name)}, p); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := imageFiles(list{in("empty.raw")}, p); !errors.Is(err, ddi.ErrNotDDI) {
		t.Errorf("an empty file: %v", err)
	}
	if files, err := imageFiles(nil, p); err != nil || files != nil {
		t.Errorf("without: %+v, %v", files, err)
	}
}

// TestOptionsForNothing: an option that would change nothing is an error.
func TestOptionsForNothing(t *testing.T) {
	dir := t.TempDir()
	base := []string{"initramfs", "--template", "../../templates/mkuimage.yaml", "--dir", "../..", "--output", dir + "/out", "--set", "pin=" + strings.Repeat("0f", 32)}
	for args, want := range map[string]string{
		"--class foo":                  "cannot use --class without --modules",
		"--release 6.1 --fs bogus":     "cannot use --release without --modules",
		"--fs erofs":                   "cannot use --fs without --modules",
		"--ca x.pem":                   "this stage 1 has no ddifetch",
		"--ca x.pem --config network":  "no such file",
		"--image " + dir + "/none.raw": "no such file",
	} {
		if got := say(t, append(base, strings.Fields(args)...)...); !strings.Contains(got, want) {
			t.Errorf("%s: %s, want %q", args, got, want)
		}
	}
	if _, err := moreFiles("", ability.Set{}, nil, nil); err != nil {
		t.Error(err)
	}
	if _, err := os.Lstat(dir + "/out"); err == nil {
		t.Error("there is a stage 1 all the same")
	}
}
