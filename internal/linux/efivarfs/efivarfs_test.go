// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package efivarfs

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"time"
)

func open(t *testing.T) (*os.Root, string) {
	t.Helper()
	dir := t.TempDir()
	r, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	return r, dir
}

func TestReadAndWrite(t *testing.T) {
	r, dir := open(t)
	if b, err := Read(r, "x", 10); b != nil || err != nil {
		t.Errorf("a variable that is not there: %q, %v", b, err)
	}
	for _, content := range []string{"\a\x00\x00\x00one", "\a\x00\x00\x00two", "\a\x00\x00\x00longer", "\a\x00\x00\x00s", "\a\x00\x00\x00longer"} {
		if err := Write(r, "x", []byte(content)); err != nil {
			t.Fatal(err)
		}
		if b, err := Read(r, "x", 10); string(b) != content || err != nil {
			t.Errorf("got %q, %v, want %q", b, err, content)
		}
	}
	if b, err := Read(r, "x", 9); !errors.Is(err, ErrTooLarge) {
		t.Errorf("beyond the limit: %q, %v", b, err)
	}
	// What is there already is not written again.
	old := time.Unix(1, 0)
	if err := os.Chtimes(filepath.Join(dir, "x"), old, old); err != nil {
		t.Fatal(err)
	}
	if err := Write(r, "x", []byte("\a\x00\x00\x00longer")); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(filepath.Join(dir, "x")); err != nil || !info.ModTime().Equal(old) {
		t.Errorf("written again: %v, %v", info.ModTime(), err)
	}
}

func TestErrors(t *testing.T) {
	r, dir := open(t)
	if err := os.Mkdir(filepath.Join(dir, "d"), 0o755); err != nil {
		t.Fatal(err)
	}
	if _, err := Read(r, "d", 10); err == nil {
		t.Error("a directory was read")
	}
	if err := Write(r, "d", []byte("x")); err == nil {
		t.Error("a directory was written")
	}
	if _, err := Read(r, "../x", 10); err == nil || errors.Is(err, fs.ErrNotExist) {
		t.Errorf("outside of the directory: %v", err)
	}
}
