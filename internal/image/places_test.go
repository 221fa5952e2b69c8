// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package image

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/initddi/initddi/internal/gpt"
)

// nobody is a user who owns nothing.
const nobody = 65534

// TestOwners builds as a user who is not root: of an archive nothing, of a directory an image with a warning.
func TestOwners(t *testing.T) {
	need(t, "mkfs.erofs", "erofs-utils")
	need(t, "tar", "tar")
	if dir := os.Getenv("TEST_OWNERS_DIR"); dir != "" {
		buildAsNobody(t, dir)
		return
	}
	if os.Geteuid() != 0 {
		t.Skip("needs root, to be somebody else")
	}
	// Everything on the way has to be open to the other user: t.TempDir is not.
	dir, err := os.MkdirTemp("", "initddi-owners-")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "image.test"), read(t, self), 0o755); err != nil {
		t.Fatal(err)
	}
	script := `umask 022; chmod 755 . && mkdir -p tree/sbin root/sbin out && echo x >tree/sbin/init && echo x >root/sbin/init && tar -cf tree.tar -C tree . && chown -R 65534:65534 tree out`
	cmd := exec.Command("sh", "-euc", script)
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	child := exec.Command(filepath.Join(dir, "image.test"), "-test.run=^TestOwners$", "-test.v")
	child.Dir, child.Env = dir, append(os.Environ(), "TEST_OWNERS_DIR="+dir, "FAKEROOTKEY=", "TMPDIR="+dir+"/out")
	child.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
	if out, err := child.CombinedOutput(); err != nil || !strings.Contains(string(out), "--- PASS: TestOwners") {
		t.Errorf("%v: %s", err, out)
	}
}

func buildAsNobody(t *testing.T, dir string) {
	t.Helper()
	out := filepath.Join(dir, "out", "os.raw")
	res, err := Build(context.Background(), Options{Source: filepath.Join(dir, "tree.tar"), Output: out, Arch: gpt.X86_64})
	if res != nil || !errors.Is(err, ErrOwners) || !strings.Contains(err.Error(), "as user 65534") {
		t.Errorf("an archive: %v, %v", res, err)
	}
	if left, _ := os.ReadDir(filepath.Dir(out)); len(left) != 0 {
		t.Errorf("left behind: %v", left)
	}
	for tree, warnings := range map[string]int{"tree": 1, "root": 0} {
		res, err := Build(context.Background(), Options{Source: filepath.Join(dir, tree), Output: out, Arch: gpt.X86_64})
		if err != nil || len(res.Warnings) != warnings || warnings != 0 && !strings.Contains(res.Warnings[0], "belongs to user 65534") {
			t.Errorf("a directory: %+v, %v, want %d warnings", res, err, warnings)
		}
	}
}

// TestOutputInTree writes an image to where it would have to hold itself.
func TestOutputInTree(t *testing.T) {
	need(t, "mkfs.erofs", "erofs-utils")
	src := tree(t)
	link := filepath.Join(t.TempDir(), "link")
	if err := os.Symlink(filepath.Join(src, "etc"), link); err != nil {
		t.Fatal(err)
	}
	beside := filepath.Join(filepath.Dir(src), "tree2")
	if err := os.Mkdir(beside, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		output string
		usr    bool
		want   error
	}{
		{src + "/os.raw", false, ErrInside}, {src + "/usr/lib/os.raw", false, ErrInside}, {link + "/os.raw", false, ErrInside},
		{src + "/../tree/os.raw", false, ErrInside}, {src + "/usr/os.raw", true, ErrInside},
		{src + "/os.raw", true, nil}, {beside + "/os.raw", false, nil}, {filepath.Dir(src) + "/..os.raw", false, nil},
	} {
		res, err := Build(context.Background(), Options{Source: src, Output: test.output, Usr: test.usr, Arch: gpt.X86_64})
		if !errors.Is(err, test.want) || (res == nil) != (test.want != nil) {
			t.Errorf("%s, usr %v: %v, want %v", test.output, test.usr, err, test.want)
		}
		if _, err := os.Stat(test.output); (err == nil) != (test.want == nil) {
			t.Errorf("%s: %v", test.output, err)
		}
	}
	// The table's package would take sectors of 1024 bytes; no kernel has them.
	if _, err := Build(context.Background(), Options{Source: src, Output: beside + "/os.raw", SectorSize: 1024, Arch: gpt.X86_64}); !errors.Is(err, gpt.ErrInvalid) {
		t.Errorf("sectors of 1024 bytes: %v", err)
	}
	t.Chdir(src)
	if _, err := Build(context.Background(), Options{Source: ".", Output: "o.raw", Arch: gpt.X86_64}); !errors.Is(err, ErrInside) {
		t.Errorf("in the working directory: %v", err)
	}
}

// TestReadOnly leaves a file alone that is as a running system's image is, and its mode.
func TestReadOnly(t *testing.T) {
	need(t, "mkfs.erofs", "erofs-utils")
	src, name := tree(t), filepath.Join(t.TempDir(), "os.raw")
	build(t, Options{Source: src, Output: name, Arch: gpt.X86_64})
	other := filepath.Join(t.TempDir(), "arm.raw")
	build(t, Options{Source: src, Output: other, Arch: gpt.ARM64})
	before, pair := read(t, name), signerOf(t)
	for _, mode := range []os.FileMode{0o444, 0o400, 0o555} {
		if err := os.Chmod(name, mode); err != nil {
			t.Fatal(err)
		}
		_, buildErr := Build(context.Background(), Options{Source: src, Output: name, FileSystem: "squashfs", Arch: gpt.X86_64})
		_, joinErr := Join(name, nil, read(t, pair.Cert))
		for what, err := range map[string]error{"build": buildErr, "combine": Combine(name, []string{other, other}), "join": joinErr} {
			if !errors.Is(err, ErrReadOnly) || !strings.Contains(err.Error(), name) {
				t.Errorf("%s, mode %o: %v", what, mode, err)
			}
		}
		if info, err := os.Stat(name); err != nil || info.Mode().Perm() != mode || string(read(t, name)) != string(before) {
			t.Errorf("mode %o: it is another file: %v, %v", mode, info, err)
		}
	}
	if err := os.Chmod(name, 0o644); err != nil {
		t.Fatal(err)
	}
	build(t, Options{Source: src, Output: name, Arch: gpt.X86_64})
	if string(read(t, name)) != string(before) {
		t.Error("it is not what it was")
	}
}
