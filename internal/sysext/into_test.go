// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package sysext

import (
	"errors"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/initddi/initddi/internal/layers"
	"github.com/initddi/initddi/internal/linux/kerneltest"
	"github.com/initddi/initddi/internal/linux/mount"
)

// detached returns a tree with files in it that is mounted nowhere.
func detached(t *testing.T, files map[string]string) *mount.Mount {
	t.Helper()
	dir := t.TempDir()
	tmpfs(t, dir)
	for name, text := range files {
		write(t, dir+"/"+name, text)
	}
	m, err := mount.Clone(dir, true)
	must(t, err)
	must(t, m.SetAttr(mount.ReadOnly, true))
	must(t, mount.Unmount(dir))
	return m
}

// TestNSInto and TestVMInto: older kernels have other rules for what is mounted nowhere.
func TestNSInto(t *testing.T) {
	kerneltest.NeedNamespace(t)
	testInto(t)
}

func TestVMInto(t *testing.T) {
	kerneltest.NeedMachine(t)
	testInto(t)
}

const someOS = "ID=debian\nVERSION_ID=13\n"

func testInto(t *testing.T) {
	const sys, conf = "usr/lib/extension-release.d/extension-release.", "etc/extension-release.d/extension-release."
	workspace := t.TempDir() + "/systemd/sysext"
	defer func() {
		// Everybody's sockets are in there later.
		if info, err := os.Stat(workspace + "/.."); err != nil || info.Mode().Perm() != 0o755 {
			t.Errorf("above the workspace: %v, %v", info.Mode(), err)
		}
	}()
	boot := detached(t, map[string]string{"usr/lib/os-release": someOS, "usr/bin/tool": "host", "etc/file": "host", "opt/.keep": ""})
	given := func(name, hash string, usr bool, files map[string]string) Given {
		return Given{Name: name, Path: "/loader/ddi/" + name + ".raw", RootHash: hash, Usr: usr, Tree: detached(t, files)}
	}
	before, err := mount.List()
	must(t, err)
	m, err := Into(boot, layers.Sysext, []Given{
		given("b", "bb", false, map[string]string{sys + "b": "ID=_any\n", "usr/bin/tool": "b", "opt/b": "b"}),
		given("a", "aa", true, map[string]string{"lib/extension-release.d/extension-release.a": "ID=debian\nVERSION_ID=13\n", "bin/tool": "a", "bin/a": "a"}),
		given("other", "cc", false, map[string]string{sys + "other": "ID=other\n", "usr/bin/other": "x"}),
		given("forbidden", "dd", false, map[string]string{sys + "forbidden": "ID=_any\n", "usr/lib/os-release": "ID=x\n"}),
		given("con\x01trol", "ee", false, map[string]string{sys + "x": "ID=_any\n"}),
	}, nil, workspace)
	must(t, err)
	var left []string
	for _, l := range m.Left {
		left = append(left, l.Name)
	}
	if !slices.Equal(m.Used, []string{"a", "b"}) || !slices.Equal(left, []string{"other", "forbidden", "con\x01trol"}) || !errors.Is(m.Left[1].Err, ErrForbidden) {
		t.Errorf("used %q, left %v", m.Used, m.Left)
	}
	m, err = Into(m.Tree, layers.Confext, []Given{given("c", "ff", false, map[string]string{conf + "c": "ID=_any\n", "etc/c": "c"})}, nil, workspace)
	must(t, err)
	if after, err := mount.List(); err != nil || len(after) != len(before) {
		t.Errorf("%d mounts before, %d after, %v", len(before), len(after), err)
	}
	w := newWorld(t, t.TempDir())
	must(t, os.MkdirAll(w.root, 0o755))
	must(t, m.Tree.Attach(w.root))
	t.Cleanup(func() { must(t, mount.Unmount(w.root)) })
	must(t, m.Tree.Close())
	check := func(files map[string]string) {
		t.Helper()
		for name, text := range files {
			if got := w.read(t, name); got != text {
				t.Errorf("%s has %q, want %q", name, got, text)
			}
		}
	}
	check(map[string]string{
		"usr/bin/tool": "b", "usr/bin/a": "a", "opt/b": "b", "usr/bin/other": "", "etc/c": "c", "etc/file": "host",
		"usr/.systemd-sysext/extensions": "a\nb\n", "etc/.systemd-confext/confexts": "c\n", "usr/lib/os-release": someOS,
	})
	if origin := w.read(t, "usr/.systemd-sysext/origin"); !strings.Contains(origin, `"verityHash": "aa"`) || !strings.Contains(origin, `"path": "/loader/ddi/b.raw"`) {
		t.Error(origin)
	}
	if err := os.WriteFile(w.root+"/usr/x", nil, 0o644); !errors.Is(err, syscall.EROFS) {
		t.Error(err)
	}
	// It is a merge like any other.
	list, err := w.Status()
	must(t, err)
	for _, h := range list {
		if !h.Merged || !slices.Equal(h.Extensions, []string{"a", "b"}) {
			t.Errorf("%+v", h)
		}
	}
	must(t, w.Unmerge())
	check(map[string]string{"usr/bin/tool": "host", "usr/bin/a": "", "opt/b": "", "etc/c": "c"})
	w.Class = layers.Confext
	must(t, w.Unmerge())
	check(map[string]string{"etc/c": ""})
}

// TestNSIntoFails: after an error there is the tree without extensions.
func TestNSIntoFails(t *testing.T) {
	kerneltest.NeedNamespace(t)
	testIntoFails(t)
}

func TestVMIntoFails(t *testing.T) {
	kerneltest.NeedMachine(t)
	testIntoFails(t)
}

func testIntoFails(t *testing.T) {
	const sys = "usr/lib/extension-release.d/extension-release."
	workspace := t.TempDir()
	for _, test := range []struct {
		name            string
		boot, extension map[string]string
		workspace       string
		want            error
	}{
		{"a file for a hierarchy", map[string]string{"usr/lib/os-release": someOS, "opt/x": ""}, map[string]string{sys + "e": "ID=_any\n", "opt": "x"}, workspace, syscall.ENOTDIR},
		{"no place for a hierarchy", map[string]string{"usr/lib/os-release": someOS}, map[string]string{sys + "e": "ID=_any\n", "opt/x": "x"}, workspace, syscall.EROFS},
		{"no system", map[string]string{"usr/lib/os-release": "X=1\n"}, map[string]string{sys + "e": "ID=_any\n"}, workspace, layers.ErrNoID},
		{"no workspace", map[string]string{"usr/lib/os-release": someOS}, map[string]string{sys + "e": "ID=_any\n"}, "/proc/nowhere", os.ErrNotExist},
	} {
		test.boot["usr/bin/tool"] = "host"
		m, err := Into(detached(t, test.boot), layers.Sysext, []Given{{Name: "e", Tree: detached(t, test.extension)}}, nil, test.workspace)
		if !errors.Is(err, test.want) || m == nil || m.Tree == nil {
			t.Errorf("%s: %+v, %v", test.name, m, err)
			continue
		}
		dir := t.TempDir()
		must(t, m.Tree.Attach(dir))
		must(t, m.Tree.Close())
		if b, err := os.ReadFile(dir + "/usr/bin/tool"); err != nil || string(b) != "host" {
			t.Errorf("%s: %q, %v", test.name, b, err)
		}
		if _, err := os.Stat(dir + "/usr/.systemd-sysext"); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s: merged: %v", test.name, err)
		}
		must(t, mount.Unmount(dir))
	}
}

// TestNSIntoChecked and TestVMIntoChecked: who is shown the whole tree sees it, and can keep the one without extensions.
func TestNSIntoChecked(t *testing.T) {
	kerneltest.NeedNamespace(t)
	testIntoChecked(t)
}

func TestVMIntoChecked(t *testing.T) {
	kerneltest.NeedMachine(t)
	testIntoChecked(t)
}

func testIntoChecked(t *testing.T) {
	const sys = "usr/lib/extension-release.d/extension-release."
	no := errors.New("no init any more")
	before, err := mount.List()
	must(t, err)
	for _, want := range []error{nil, no} {
		boot := detached(t, map[string]string{"usr/lib/os-release": someOS, "usr/sbin/init": "host", "etc/file": "host"})
		// A file where the tree has a directory hides all that is in it, and says nothing of that.
		given := []Given{{Name: "e", Tree: detached(t, map[string]string{sys + "e": "ID=_any\n", "usr/sbin": "x"})}}
		checked := 0
		m, err := Into(boot, layers.Sysext, given, func(whole *mount.Mount) error {
			checked++
			if f, err := whole.Open("/usr/sbin/init"); err == nil {
				t.Error("init is there in the whole tree")
				f.Close()
			}
			f, err := whole.Open("/etc/file")
			must(t, err)
			must(t, f.Close())
			return want
		}, t.TempDir())
		if !errors.Is(err, want) || checked != 1 || m.Tree == nil {
			t.Fatalf("checked %d times, %+v, %v", checked, m, err)
		}
		f, err := m.Tree.Open("/usr/sbin/init")
		if (err == nil) != (want != nil) || (len(m.Used) == 0) != (want != nil) {
			t.Errorf("the check says %v: used %q, init: %v", want, m.Used, err)
		}
		if err == nil {
			must(t, f.Close())
		}
		must(t, m.Tree.Close())
	}
	if after, err := mount.List(); err != nil || len(after) != len(before) {
		t.Errorf("%d mounts before, %d after, %v", len(before), len(after), err)
	}
}

// TestNSInspect and TestVMInspect: what is read of an extension before anything is merged.
func TestNSInspect(t *testing.T) {
	kerneltest.NeedNamespace(t)
	testInspect(t)
}

func TestVMInspect(t *testing.T) {
	kerneltest.NeedMachine(t)
	testInspect(t)
}

func testInspect(t *testing.T) {
	const sys, conf = "usr/lib/extension-release.d/extension-release.", "etc/extension-release.d/extension-release."
	for _, test := range []struct {
		name      string
		class     layers.Class
		usr       bool
		files     map[string]string
		id        string // of the extension-release, "" if there is none
		forbidden string
	}{
		{"a sysext", layers.Sysext, false, map[string]string{sys + "x": "ID=debian\n", "usr/bin/x": ""}, "debian", ""},
		{"an image of /usr", layers.Sysext, true, map[string]string{"lib/extension-release.d/extension-release.x": "ID=debian\n"}, "debian", ""},
		{"a confext", layers.Confext, false, map[string]string{conf + "x": "ID=debian\n"}, "debian", ""},
		{"a sysext as a confext", layers.Confext, false, map[string]string{sys + "x": "ID=debian\n"}, "", ""},
		{"another name", layers.Sysext, false, map[string]string{sys + "y": "ID=debian\n"}, "", ""},
		{"os-release", layers.Sysext, false, map[string]string{sys + "x": "ID=debian\n", "usr/lib/os-release": "ID=else\n"}, "debian", "/usr/lib/os-release"},
		{"os-release of /usr", layers.Sysext, true, map[string]string{"lib/extension-release.d/extension-release.x": "ID=debian\n", "lib/os-release": "ID=else\n"}, "debian", "/usr/lib/os-release"},
		{"initrd-release", layers.Confext, false, map[string]string{conf + "x": "ID=debian\n", "etc/initrd-release": ""}, "debian", "/etc/initrd-release"},
		{"initrd-release of /usr", layers.Sysext, true, map[string]string{"lib/extension-release.d/extension-release.x": "ID=debian\n", "lib/initrd-release": ""}, "debian", "/usr/lib/initrd-release"},
		{"initrd-release below /usr", layers.Sysext, false, map[string]string{sys + "x": "ID=debian\n", "usr/lib/initrd-release": ""}, "debian", "/usr/lib/initrd-release"},
		{"a merge", layers.Sysext, false, map[string]string{sys + "x": "ID=debian\n", "usr/.systemd-sysext/dev": ""}, "debian", "/usr/.systemd-sysext"},
	} {
		m := detached(t, test.files)
		release, missing, forbidden, err := Inspect(m, test.class, "x", test.usr)
		if err != nil || release.Get("ID") != test.id || (missing == nil) != (test.id != "") || forbidden != test.forbidden {
			t.Errorf("%s: ID %q, %v, forbidden %q, %v", test.name, release.Get("ID"), missing, forbidden, err)
		}
		must(t, m.Close())
		if _, _, _, err := Inspect(m, test.class, "x", test.usr); err == nil {
			t.Errorf("%s: a tree that is gone could be read", test.name)
		}
	}
}
