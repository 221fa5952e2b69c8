// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package mount

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/initddi/initddi/internal/linux/kerneltest"
)

// TestEmptyOnlyMemory: deleting the wrong root would be the end of somebody's files.
func TestEmptyOnlyMemory(t *testing.T) {
	for _, dir := range []string{"/proc/self", "/sys"} {
		f, err := os.Open(dir)
		if err != nil {
			t.Skipf("needs %s: %v", dir, err)
		}
		defer f.Close()
		if err := empty(int(f.Fd())); !errors.Is(err, unix.EXDEV) || !strings.Contains(err.Error(), "not a memory file system") {
			t.Errorf("%s: %v", dir, err)
		}
	}
}

// oldRoot makes a tmpfs with a tree like an initramfs in it, and returns its directory: the mount itself, or one below it.
func oldRoot(t *testing.T, below bool) string {
	t.Helper()
	dir := t.TempDir()
	attach(t, tmpfs(t, Request{}), dir)
	write(t, dir+"/outside", "must stay")
	if below {
		dir = mkdir(t, dir+"/root")
	}
	for _, name := range []string{"/init", "/bbin/bb", "/lib/modules/6.12/a.ko", "/etc/verity.d/x.crt"} {
		write(t, dir+name, "x")
	}
	if err := os.Symlink("/etc", dir+"/link"); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mknod(dir+"/console", unix.S_IFIFO|0o600, 0); err != nil {
		t.Fatal(err)
	}
	attach(t, tmpfs(t, Request{Source: "initddi-new"}), mkdir(t, dir+"/newroot"))
	write(t, dir+"/newroot/sbin/init", "x")
	attach(t, tmpfs(t, Request{}), mkdir(t, dir+"/other"))
	write(t, dir+"/other/file", "must stay")
	return dir
}

func list(t *testing.T, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

// TestNSSwitchRoot leaves a root that can be left by pivot_root, and one that cannot, as the kernel's initramfs before 7.0: a
// directory that is no mount point.
func TestNSSwitchRoot(t *testing.T) {
	kerneltest.NeedNamespace(t)
	mode := kerneltest.ChildMode()
	if mode == "" {
		kerneltest.Child(t, "pivot")
		kerneltest.Child(t, "cover")
		return
	}
	dir := oldRoot(t, mode == "cover")
	old, err := os.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	other, err := os.Open(dir + "/other")
	if err != nil {
		t.Fatal(err)
	}
	above, err := os.Open(filepath.Dir(dir))
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.Chroot(dir); err != nil {
		t.Fatal(err)
	}
	if err := unix.Chdir("/"); err != nil {
		t.Fatal(err)
	}
	left, err := SwitchRoot("/newroot")
	if !left || err != nil {
		t.Fatalf("%v, %v", left, err)
	}
	if got := list(t, "/"); !slices.Equal(got, []string{"sbin"}) {
		t.Errorf("the new root has %v", got)
	}
	if got := list(t, "."); !slices.Equal(got, []string{"sbin"}) {
		t.Errorf("the working directory is elsewhere: %v", got)
	}
	if names, err := other.Readdirnames(-1); err != nil || !slices.Equal(names, []string{"file"}) {
		t.Errorf("another file system was emptied: %v, %v", names, err)
	}
	if mode == "pivot" {
		return
	}
	names, err := old.Readdirnames(-1)
	slices.Sort(names)
	if err != nil || !slices.Equal(names, []string{"newroot", "other"}) && !slices.Equal(names, []string{"other"}) {
		t.Errorf("the old root still has %v, %v", names, err)
	}
	if names, err := above.Readdirnames(-1); err != nil || !slices.Contains(names, "outside") {
		t.Errorf("what is beside the old root is gone: %v, %v", names, err)
	}
}

func TestNSSwitchRootErrors(t *testing.T) {
	kerneltest.NeedNamespace(t)
	if kerneltest.ChildMode() == "" {
		kerneltest.Child(t, "errors")
		return
	}
	dir := oldRoot(t, true)
	if err := unix.Chroot(dir); err != nil {
		t.Fatal(err)
	}
	if err := unix.Chdir("/"); err != nil {
		t.Fatal(err)
	}
	// Nothing was given up yet, so that the next image can be tried.
	for _, name := range []string{"/nothing", "/init"} {
		if left, err := SwitchRoot(name); left || err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v, %v", name, left, err)
		}
	}
	if left, err := SwitchRoot("/etc"); left || err == nil {
		t.Errorf("a directory that is no mount point: %v, %v", left, err)
	}
	if got := list(t, "/"); !slices.Contains(got, "init") || !slices.Contains(got, "bbin") {
		t.Errorf("the initramfs was emptied: %v", got)
	}
}
