// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package sysext

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/initddi/initddi/internal/layers"
	"github.com/initddi/initddi/internal/linux/kerneltest"
	"github.com/initddi/initddi/internal/linux/mount"
)

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// tmpfs mounts one at a directory, which is made.
func tmpfs(t *testing.T, dir string) {
	t.Helper()
	must(t, os.MkdirAll(dir, 0o755))
	m, err := mount.New(mount.Request{Type: "tmpfs", Source: "test", Options: []mount.Option{{Key: "mode", Value: "0755"}}})
	must(t, err)
	must(t, m.Attach(dir))
	must(t, m.Close())
}

func write(t *testing.T, name, text string) {
	t.Helper()
	must(t, os.MkdirAll(filepath.Dir(name), 0o755))
	must(t, os.WriteFile(name, []byte(text), 0o644))
}

// world is a fake root on a file system of its own, at the same place for every process.
type world struct {
	*System
	dir, root string
	said      *[]string
}

func newWorld(t *testing.T, dir string) world {
	t.Helper()
	said := new([]string)
	s := &System{
		Root: dir + "/root", Class: layers.Sysext, Workspace: dir + "/run/workspace", State: dir + "/run/state",
		Say: func(line string) { *said = append(*said, line) },
	}
	return world{s, dir, s.Root, said}
}

// populate makes the root: a Debian with two extensions, and file systems mounted below /usr.
func (w world) populate(t *testing.T) {
	t.Helper()
	tmpfs(t, w.dir)
	t.Cleanup(func() { must(t, mount.Unmount(w.dir)) })
	must(t, os.MkdirAll(w.dir+"/run", 0o755))
	write(t, w.root+"/usr/lib/os-release", "ID=debian\nVERSION_ID=13\n")
	write(t, w.root+"/usr/bin/tool", "host")
	must(t, os.MkdirAll(w.root+"/opt", 0o755))
	must(t, os.Chmod(w.root+"/usr", 0o751))
	w.extension(t, "one", "ID=debian\nVERSION_ID=13\n", map[string]string{"usr/bin/tool": "one", "usr/bin/one": "1", "opt/one/x": "1"})
	w.extension(t, "two", "ID=_any\n", map[string]string{"usr/bin/tool": "two", "usr/bin/two": "2"})
	w.extension(t, "other", "ID=other\n", map[string]string{"usr/bin/other": "x"})
	tmpfs(t, w.root+"/usr/local")
	write(t, w.root+"/usr/local/a", "local")
	tmpfs(t, w.root+"/usr/local/deep")
	write(t, w.root+"/usr/local/deep/b", "deep")
	write(t, w.root+"/usr/share/file", "below")
	write(t, w.dir+"/above", "above")
	m, err := mount.Clone(w.dir, false)
	must(t, err)
	must(t, m.Close())
	must(t, syscall.Mount(w.dir+"/above", w.root+"/usr/share/file", "", syscall.MS_BIND, ""))
}

func (w world) extension(t *testing.T, name, release string, files map[string]string) {
	t.Helper()
	dir := w.root + "/var/lib/extensions/" + name
	write(t, dir+"/usr/lib/extension-release.d/extension-release."+name, release)
	for f, text := range files {
		write(t, dir+"/"+f, text)
	}
}

// snapshot describes everything in the root that can be seen, and what is mounted there.
func (w world) snapshot(t *testing.T) []string {
	t.Helper()
	var out []string
	must(t, filepath.WalkDir(w.root, func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		line := strings.TrimPrefix(name, w.root) + " " + info.Mode().String()
		if info.Mode().IsRegular() {
			b, err := os.ReadFile(name)
			if err != nil {
				return err
			}
			line += fmt.Sprintf(" %q", b)
		}
		out = append(out, line)
		return nil
	}))
	return append(out, w.mounts(t)...)
}

func (w world) mounts(t *testing.T) []string {
	t.Helper()
	list, err := mount.List()
	must(t, err)
	var out []string
	for _, m := range list {
		if rest := layers.Below(m.Point, w.dir); rest != "" {
			out = append(out, "mounted "+rest+" "+m.Root+" "+m.Type+" "+m.Options)
		}
	}
	slices.Sort(out)
	return out
}

func (w world) read(t *testing.T, name string) string {
	t.Helper()
	b, err := os.ReadFile(w.root + "/" + name)
	if errors.Is(err, fs.ErrNotExist) {
		return ""
	}
	must(t, err)
	return string(b)
}

// check looks whether the root is what it is with the two extensions, or without.
func (w world) check(t *testing.T, merged bool) {
	t.Helper()
	want := map[string]string{
		"usr/bin/tool": "host", "usr/bin/one": "", "usr/bin/two": "", "usr/bin/other": "", "opt/one/x": "", "usr/lib/os-release": "ID=debian\nVERSION_ID=13\n",
		"usr/local/a": "local", "usr/local/deep/b": "deep", "usr/share/file": "above",
	}
	if merged {
		want["usr/bin/tool"], want["usr/bin/one"], want["usr/bin/two"], want["opt/one/x"] = "two", "1", "2", "1"
	}
	for name, text := range want {
		if got := w.read(t, name); got != text {
			t.Errorf("%s has %q, want %q", name, got, text)
		}
	}
	if info, err := os.Stat(w.root + "/usr"); err != nil || info.Mode().Perm() != 0o751 {
		t.Errorf("/usr: %v, %v", info.Mode(), err)
	}
	list, err := w.Status()
	must(t, err)
	for _, h := range list {
		if h.Merged != merged || merged && !slices.Equal(h.Extensions, []string{"one", "two"}) {
			t.Errorf("%+v", h)
		}
	}
}

// wantSame compares with an earlier snapshot.
func (w world) wantSame(t *testing.T, before []string) {
	t.Helper()
	after := w.snapshot(t)
	for _, line := range after {
		if !slices.Contains(before, line) {
			t.Errorf("new: %s", line)
		}
	}
	for _, line := range before {
		if !slices.Contains(after, line) {
			t.Errorf("gone: %s", line)
		}
	}
}

func TestNSMergeAndUnmerge(t *testing.T) {
	kerneltest.NeedNamespace(t)
	w := newWorld(t, t.TempDir())
	w.populate(t)
	before := w.snapshot(t)
	w.check(t, false)
	must(t, w.Merge(Options{}))
	w.check(t, true)
	if !slices.Contains(*w.said, "Using extensions 'one', 'two'.") || !strings.Contains(strings.Join(*w.said, "\n"), "Leaving out 'other': it is for another system: found ID=other, wanted debian.") {
		t.Errorf("%q", *w.said)
	}
	if err := os.WriteFile(w.root+"/usr/new", nil, 0o644); !errors.Is(err, syscall.EROFS) {
		t.Errorf("wrote to the merge: %v", err)
	}
	if err := w.Merge(Options{}); !errors.Is(err, ErrMerged) {
		t.Error(err)
	}
	w.check(t, true)
	merged := w.snapshot(t)
	must(t, w.Refresh(Options{}))
	w.check(t, true)
	if got, want := len(w.snapshot(t)), len(merged); got != want {
		t.Errorf("%d lines after a refresh, %d before", got, want)
	}
	must(t, w.Unmerge())
	w.wantSame(t, before)
	must(t, w.Unmerge())
	w.wantSame(t, before)
	if names, err := os.ReadDir(w.State); err != nil || len(names) != 1 {
		t.Errorf("left in the state directory: %v, %v", names, err)
	}
}

// TestNSRefresh follows what is installed.
func TestNSRefresh(t *testing.T) {
	kerneltest.NeedNamespace(t)
	w := newWorld(t, t.TempDir())
	w.populate(t)
	before := w.snapshot(t)
	must(t, w.Refresh(Options{}))
	w.check(t, true)
	// A mount that was made while things were merged stays.
	tmpfs(t, w.root+"/usr/lib")
	write(t, w.root+"/usr/lib/os-release", "ID=debian\nVERSION_ID=13\n")
	write(t, w.root+"/usr/lib/extension-release.d/extension-release.one", "ID=debian\nEXTENSION_RELOAD_MANAGER=1\n")
	if wants, err := w.WantsReload(); err != nil || !wants {
		t.Errorf("%v, %v", wants, err)
	}
	must(t, os.Rename(w.root+"/var/lib/extensions/one", w.root+"/var/lib/one"))
	must(t, w.Refresh(Options{}))
	if w.read(t, "usr/bin/one") != "" || w.read(t, "usr/bin/two") != "2" || w.read(t, "opt/one/x") != "" || w.read(t, "usr/local/deep/b") != "deep" {
		t.Error("not what is installed now")
	}
	must(t, mount.Unmount(w.root+"/usr/lib"))
	must(t, os.Rename(w.root+"/var/lib/extensions/two", w.root+"/var/lib/two"))
	must(t, w.Refresh(Options{}))
	must(t, os.Rename(w.root+"/var/lib/two", w.root+"/var/lib/extensions/two"))
	must(t, os.Rename(w.root+"/var/lib/one", w.root+"/var/lib/extensions/one"))
	w.wantSame(t, before)
	// One that cannot be merged changes nothing.
	must(t, w.Refresh(Options{}))
	write(t, w.root+"/var/lib/extensions/bad/usr/lib/os-release", "ID=other\n")
	if err := w.Refresh(Options{}); !errors.Is(err, ErrForbidden) {
		t.Error(err)
	}
	w.check(t, true)
	must(t, os.RemoveAll(w.root+"/var/lib/extensions/bad"))
	must(t, w.Unmerge())
	w.wantSame(t, before)
}

// TestNSFailure: a merge that fails in the last hierarchy leaves the first as it was.
func TestNSFailure(t *testing.T) {
	kerneltest.NeedNamespace(t)
	w := newWorld(t, t.TempDir())
	w.populate(t)
	before := w.snapshot(t)
	must(t, os.Remove(w.root+"/var/lib/extensions/one/opt/one/x"))
	must(t, os.Remove(w.root+"/var/lib/extensions/one/opt/one"))
	must(t, os.Remove(w.root+"/var/lib/extensions/one/opt"))
	write(t, w.root+"/var/lib/extensions/one/opt", "a file")
	if err := w.Merge(Options{}); !errors.Is(err, syscall.ENOTDIR) || !strings.Contains(err.Error(), "/opt in the extension one") {
		t.Error(err)
	}
	must(t, os.Remove(w.root+"/var/lib/extensions/one/opt"))
	write(t, w.root+"/var/lib/extensions/one/opt/one/x", "1")
	w.wantSame(t, before)
	// An extension that hides a mount point behind a link.
	w.extension(t, "link", "ID=_any\n", nil)
	must(t, os.Symlink("/etc", w.root+"/var/lib/extensions/link/usr/local"))
	if err := w.Merge(Options{}); err == nil || !strings.Contains(err.Error(), "usr/local") {
		t.Error(err)
	}
	must(t, os.RemoveAll(w.root+"/var/lib/extensions/link"))
	w.wantSame(t, before)
	// Extensions without a system that says what it is.
	must(t, os.Rename(w.root+"/usr/lib/os-release", w.root+"/usr/lib/x"))
	if err := w.Merge(Options{}); !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
	must(t, os.Rename(w.root+"/usr/lib/x", w.root+"/usr/lib/os-release"))
	w.wantSame(t, before)
}

// TestNSMissingHierarchy: one that is not there is made.
func TestNSMissingHierarchy(t *testing.T) {
	kerneltest.NeedNamespace(t)
	w := newWorld(t, t.TempDir())
	w.populate(t)
	must(t, os.Remove(w.root+"/opt"))
	must(t, w.Merge(Options{}))
	w.check(t, true)
	must(t, w.Unmerge())
	w.check(t, false)
	// A link in the root is followed in the root.
	must(t, os.Remove(w.root+"/opt"))
	must(t, os.MkdirAll(w.root+"/srv/opt", 0o755))
	must(t, os.Symlink("/srv/opt", w.root+"/opt"))
	must(t, w.Merge(Options{}))
	if got := w.read(t, "srv/opt/one/x"); got != "1" {
		t.Errorf("%q", got)
	}
	must(t, w.Unmerge())
	w.check(t, false)
}

// TestNSMany merges as many extensions as the kernel takes, and not one more.
func TestNSMany(t *testing.T) {
	kerneltest.NeedNamespace(t)
	w := newWorld(t, t.TempDir())
	w.populate(t)
	must(t, os.RemoveAll(w.root+"/var/lib/extensions"))
	long := strings.Repeat("n", 200)
	for i := range layers.MaxLayers - 2 {
		name := fmt.Sprintf("%s%03d", long, i)
		w.extension(t, name, "ID=_any\n", map[string]string{fmt.Sprintf("usr/many/%03d", i): name})
	}
	before := w.snapshot(t)
	must(t, w.Merge(Options{}))
	if list, err := os.ReadDir(w.root + "/usr/many"); err != nil || len(list) != layers.MaxLayers-2 {
		t.Errorf("%d, %v", len(list), err)
	}
	must(t, w.Unmerge())
	w.wantSame(t, before)
	w.extension(t, "more", "ID=_any\n", nil)
	if err := w.Merge(Options{}); !errors.Is(err, layers.ErrTooMany) {
		t.Error(err)
	}
}

// TestNSNames: what is hard to write down can be merged.
func TestNSNames(t *testing.T) {
	kerneltest.NeedNamespace(t)
	w := newWorld(t, t.TempDir()+"/a b:c,d\\e\nf")
	w.populate(t)
	w.extension(t, "x:y,z\\ ä", "ID=_any\n", map[string]string{"usr/strange": "1"})
	tmpfs(t, w.root+"/usr/sub mount\n1")
	before := w.snapshot(t)
	must(t, w.Merge(Options{}))
	if w.read(t, "usr/strange") != "1" {
		t.Error("not merged")
	}
	must(t, w.Refresh(Options{}))
	must(t, w.Unmerge())
	w.wantSame(t, before)
}
