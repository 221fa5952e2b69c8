// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package inroot

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

func TestPaths(t *testing.T) {
	real, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{"/a/b", "/elsewhere"} {
		if err := os.MkdirAll(real+dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for link, target := range map[string]string{"abs": "/a", "up": "../../../../a", "dangling": "/missing", "loop": "loop"} {
		if err := os.Symlink(target, filepath.Join(real, link)); err != nil {
			t.Fatal(err)
		}
	}
	if err := unix.Mkfifo(real+"/pipe", 0o644); err != nil {
		t.Fatal(err)
	}
	root, err := os.Open(real)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	for name, want := range map[string]string{"/a": "/a", "abs/b": "/a/b", "/up": "/a", "/../a/../a/b": "/a/b", "pipe": "/pipe", "/": ""} {
		h, err := Handle(root, name)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if got, err := Where(h); got != real+want || err != nil {
			t.Errorf("%s is %s, %v", name, got, err)
		}
		if _, err := os.Stat(ThroughProc(h)); err != nil {
			t.Error(err)
		}
		h.Close()
	}
	for name, want := range map[string]error{"/missing": fs.ErrNotExist, "dangling": fs.ErrNotExist, "loop": unix.ELOOP, "/pipe/x": unix.ENOTDIR} {
		if h, err := Handle(root, name); !errors.Is(err, want) {
			t.Errorf("%s: %v, %v", name, h, err)
		}
	}
	for name, want := range map[string]string{"/new/deep/dir": "/new/deep/dir", "abs/c//./d/": "/a/c/d", "/a/b": "/a/b", "up/e": "/a/e"} {
		h, err := MkdirAll(root, name, 0o700)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if got, err := Where(h); got != real+want || err != nil {
			t.Errorf("%s is %s, %v", name, got, err)
		}
		h.Close()
	}
	if info, err := os.Stat(real + "/new/deep"); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("%v, %v", info, err)
	}
	for name, want := range map[string]error{"/pipe": unix.ENOTDIR, "/pipe/x": unix.ENOTDIR, "dangling/x": unix.ENOENT, "loop": unix.ELOOP} {
		if h, err := MkdirAll(root, name, 0o700); !errors.Is(err, want) && !errors.Is(err, unix.EEXIST) {
			t.Errorf("%s: %v, %v", name, h, err)
		}
	}
	if list, err := os.ReadDir(real + "/elsewhere"); err != nil || len(list) != 0 {
		t.Errorf("%v, %v", list, err)
	}
}
