// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package image

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/initddi/initddi/internal/gpt"
)

// TestDirectoryOrder: the order in which the host lists a directory makes no difference. Tmpfs lists what was made last first.
func TestDirectoryOrder(t *testing.T) {
	const shm, tmpfsMagic = "/dev/shm", 0x01021994
	var fs syscall.Statfs_t
	if err := syscall.Statfs(shm, &fs); err != nil || fs.Type != tmpfsMagic {
		t.Skipf("needs a tmpfs at %s: %v", shm, err)
	}
	var names []string
	for i := range 40 {
		names = append(names, fmt.Sprintf("d%d/f%02d", i%3, i))
	}
	make := func(names []string) string {
		dir, err := os.MkdirTemp(shm, "initddi-test-")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { os.RemoveAll(dir) })
		for _, n := range names {
			if err := os.MkdirAll(filepath.Join(dir, filepath.Dir(n)), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(dir, n), []byte(strings.Repeat(n, 2000)), 0o644); err != nil {
				t.Fatal(err)
			}
			if err := os.Link(filepath.Join(dir, n), filepath.Join(dir, n+".link")); err != nil {
				t.Fatal(err)
			}
		}
		return dir
	}
	listed := func(dir string) []string {
		f, err := os.Open(filepath.Join(dir, "d1"))
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		list, err := f.Readdirnames(-1)
		if err != nil {
			t.Fatal(err)
		}
		return list
	}
	up := make(names)
	slices.Reverse(names)
	down := make(names)
	if slices.Equal(listed(up), listed(down)) {
		t.Fatalf("both directories are listed in one order: %v", listed(up))
	}
	for _, fs := range []struct{ name, tool, pkg string }{{"erofs", "mkfs.erofs", "erofs-utils"}, {"squashfs", "mksquashfs", "squashfs-tools"}, {"ext4", "mke2fs", "e2fsprogs"}} {
		t.Run(fs.name, func(t *testing.T) {
			need(t, fs.tool, fs.pkg)
			image := func(source string) []byte {
				out := filepath.Join(t.TempDir(), "os.raw")
				build(t, Options{Source: source, Output: out, FileSystem: fs.name, Arch: gpt.X86_64})
				return read(t, out)
			}
			if !bytes.Equal(image(up), image(down)) {
				t.Error("one tree, listed in two orders, makes two images")
			}
		})
	}
}

// ext4Of makes the file system of a tree.
func ext4Of(t *testing.T, tree string) string {
	t.Helper()
	need(t, "mke2fs", "e2fsprogs")
	out := filepath.Join(t.TempDir(), "ext4")
	if err := makeExt4(t.Context(), tree, out, derivedUUID("test", nil), 1_700_000_000); err != nil {
		t.Fatal(err)
	}
	if said, err := exec.Command("e2fsck", "-fn", out).CombinedOutput(); err != nil {
		t.Errorf("e2fsck: %v: %s", err, said)
	}
	return out
}

// debugfs returns what it answers.
func debugfs(t *testing.T, image, request string) string {
	t.Helper()
	out, err := exec.Command("debugfs", "-R", request, image).Output()
	if err != nil {
		t.Fatalf("debugfs %s: %v", request, err)
	}
	return string(out)
}

// TestExt4 looks for everything that a file can be, with names that a shell would stumble over.
func TestExt4Content(t *testing.T) {
	dir := t.TempDir()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	files := []string{"plain", "a b", `say "hi"`, "<12>", "ünï", "back\\slash", "#comment", "deep/er/file", "-dash"}
	for _, n := range files {
		must(os.MkdirAll(filepath.Join(dir, filepath.Dir(n)), 0o750))
		must(os.WriteFile(filepath.Join(dir, n), []byte("content of "+n), 0o640))
	}
	big := bytes.Repeat([]byte("0123456789abcdef"), 300_000)
	must(os.WriteFile(filepath.Join(dir, "big"), big, 0o644))
	must(os.WriteFile(filepath.Join(dir, "setuid"), nil, 0o755))
	must(os.Chmod(filepath.Join(dir, "setuid"), 0o755|os.ModeSetuid))
	must(os.Link(filepath.Join(dir, "plain"), filepath.Join(dir, "deep/second")))
	must(os.Link(filepath.Join(dir, "plain"), filepath.Join(dir, "zlast")))
	long := strings.Repeat("long/", 40)
	must(os.Symlink("plain", filepath.Join(dir, "short")))
	must(os.Symlink(long, filepath.Join(dir, "longlink")))
	must(syscall.Mkfifo(filepath.Join(dir, "fifo"), 0o600))
	must(os.Mkdir(filepath.Join(dir, "lost+found"), 0o700))
	root := os.Getuid() == 0
	if root {
		must(os.Chown(filepath.Join(dir, "plain"), 70_000, 80_000))
		must(syscall.Mknod(filepath.Join(dir, "null"), syscall.S_IFCHR|0o666, 1<<8|3))
		must(syscall.Mknod(filepath.Join(dir, "disk"), syscall.S_IFBLK|0o660, 259<<8|0x12))
	}
	value := []byte("a\x00binary\nvalue")
	attribute := syscall.Setxattr(filepath.Join(dir, "a b"), "user.test", value, 0) == nil

	image := ext4Of(t, dir)
	out := t.TempDir()
	debugfs(t, image, fmt.Sprintf("rdump / %s", out))
	for _, n := range files {
		if got := read(t, filepath.Join(out, n)); string(got) != "content of "+n {
			t.Errorf("%s holds %q", n, got)
		}
		if info, err := os.Stat(filepath.Join(out, n)); err != nil || info.Mode() != 0o640 {
			t.Errorf("%s: %v, %v", n, info.Mode(), err)
		}
	}
	if !bytes.Equal(read(t, filepath.Join(out, "big")), big) {
		t.Error("the big file is another")
	}
	for name, want := range map[string]string{"short": "plain", "longlink": long} {
		if got, err := os.Readlink(filepath.Join(out, name)); err != nil || got != want {
			t.Errorf("%s points to %s, %v", name, got, err)
		}
	}
	for path, want := range map[string][]string{
		"/plain":       {"Links: 3", "mtime: 0x6553f100", "crtime: 0x6553f100"},
		"/deep/second": {"Links: 3"},
		"/zlast":       {"Links: 3"},
		"/setuid":      {"Mode:  04755"},
		"/fifo":        {"Type: FIFO", "Mode:  0600"},
		"/deep":        {"Type: directory", "Mode:  0750", "Links: 3"},
		"/lost+found":  {"atime: 0x6553f100"},
	} {
		got := debugfs(t, image, "stat "+path)
		for _, w := range want {
			if !strings.Contains(got, w) {
				t.Errorf("%s: not %q:\n%s", path, w, got)
			}
		}
	}
	if root {
		for path, want := range map[string]string{
			"/plain": "User: 70000   Group: 80000", "/null": "Device major/minor number: 01:03", "/disk": "Device major/minor number: 259:18",
		} {
			if got := debugfs(t, image, "stat "+path); !strings.Contains(got, want) {
				t.Errorf("%s: not %q:\n%s", path, want, got)
			}
		}
	}
	if attribute {
		file := filepath.Join(out, "value")
		debugfs(t, image, fmt.Sprintf(`ea_get -f %s "/a b" user.test`, file))
		if got := read(t, file); !bytes.Equal(got, value) {
			t.Errorf("the attribute is %q", got)
		}
	}
}
