// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package inroot

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
)

func TestReadFile(t *testing.T) {
	outside := t.TempDir()
	root := filepath.Join(outside, "root")
	for _, dir := range []string{"root/bus/devices", "root/devices/one"} {
		if err := os.MkdirAll(filepath.Join(outside, dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for name, content := range map[string]string{"secret": "outside", "root/secret": "inside", "root/devices/one/modalias": "pci:one\n"} {
		if err := os.WriteFile(filepath.Join(outside, name), []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for name, target := range map[string]string{
		"bus/devices/one": "../../devices/one", "up": "../secret", "absolute": "/secret", "loop": "loop",
	} {
		if err := os.Symlink(target, filepath.Join(root, name)); err != nil {
			t.Fatal(err)
		}
	}
	dir, err := os.Open(root)
	if err != nil {
		t.Fatal(err)
	}
	defer dir.Close()
	for _, c := range []struct {
		name, want string
		limit      int
	}{
		{"devices/one/modalias", "pci:one\n", 100},
		{"bus/devices/one/modalias", "pci:one\n", 100},
		{"bus/devices/one/modalias", "pci", 3},
		{"secret", "inside", 6},
		// No link leads out.
		{"up", "inside", 100},
		{"absolute", "inside", 100},
		{"../secret", "inside", 100},
	} {
		if got, err := ReadFile(dir, c.name, c.limit); err != nil || string(got) != c.want {
			t.Errorf("ReadFile(%q, %d) = %q, %v, want %q", c.name, c.limit, got, err, c.want)
		}
	}
	if _, err := ReadFile(dir, "none", 10); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a file that does not exist: %v, want %v", err, fs.ErrNotExist)
	}
	for _, name := range []string{"loop", "devices"} {
		var perr *os.PathError
		if _, err := ReadFile(dir, name, 10); !errors.As(err, &perr) || perr.Path != name {
			t.Errorf("ReadFile(%q): %v, want an error with the path", name, err)
		}
	}
}
