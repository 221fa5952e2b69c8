// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package module

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/initddi/initddi/internal/linux/kerneltest"
)

func TestLoadFromNothing(t *testing.T) {
	root, err := os.OpenRoot(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	for _, name := range []string{"a.ko", "../a.ko"} {
		if err := LoadFrom(root, name, ""); err == nil || !strings.Contains(err.Error(), "cannot load module "+name) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := LoadFrom(root, "a.ko", ""); !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
}

// moduleDir is where the virtual machine's modules are.
func moduleDir(t *testing.T) *os.Root {
	t.Helper()
	dirs, err := filepath.Glob("/lib/modules/*")
	if err != nil || len(dirs) != 1 {
		t.Fatal(dirs, err)
	}
	root, err := os.OpenRoot(dirs[0])
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { root.Close() })
	return root
}

func loaded(t *testing.T, name string) bool {
	t.Helper()
	b, err := os.ReadFile("/proc/modules")
	if err != nil {
		t.Fatal(err)
	}
	return strings.Contains("\n"+string(b), "\n"+name+" ")
}

// TestVMLoad loads a module that no other test needs.
func TestVMLoad(t *testing.T) {
	kerneltest.NeedMachine(t)
	root := moduleDir(t)
	const name = "dummy"
	if loaded(t, name) {
		t.Fatalf("%s is loaded already", name)
	}
	if err := LoadFrom(root, name+".ko", "nonsense=1"); err != nil {
		t.Errorf("an unknown parameter is only worth a line in the log: %v", err)
	}
	if !loaded(t, name) {
		t.Errorf("%s is not loaded", name)
	}
	if err := LoadFrom(root, name+".ko", ""); err != nil {
		t.Errorf("loading again: %v", err)
	}
	b, err := root.ReadFile(name + ".ko")
	if err != nil {
		t.Fatal(err)
	}
	for file, content := range map[string][]byte{"text.ko": []byte("not a module"), "cut.ko": b[:len(b)/2]} {
		path := filepath.Join(t.TempDir(), file)
		if err := os.WriteFile(path, content, 0o644); err != nil {
			t.Fatal(err)
		}
		f, err := os.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		err = Load(f, "")
		f.Close()
		if !errors.Is(err, unix.ENOEXEC) && !errors.Is(err, unix.EBADMSG) || !strings.Contains(err.Error(), file) {
			t.Errorf("%s: %v", file, err)
		}
	}
}
