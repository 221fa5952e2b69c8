// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package handoff

import (
	"errors"
	"io/fs"
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/initddi/initddi/internal/linux/kerneltest"
	"github.com/initddi/initddi/internal/linux/mount"
)

// rootfs makes this process's root a tmpfs of its own, as that of stage 1 is one, and returns a tree in it, mounted at /tree.
func rootfs(t *testing.T) *mount.Mount {
	t.Helper()
	dir := t.TempDir()
	tmpfs(t, dir).Close()
	must(t, os.Mkdir(dir+"/proc", 0o755))
	must(t, unix.Mount("/proc", dir+"/proc", "", unix.MS_BIND|unix.MS_REC, ""))
	must(t, unix.Chroot(dir))
	must(t, unix.Chdir("/"))
	write(t, "/self", "", 0o755)
	write(t, "/.extra/os-release", "x", 0o644)
	return tree(t, false)
}

// TestNSCompose: roots that are put together before anybody sees them, and what is left where that was done: nothing.
func TestNSCompose(t *testing.T) {
	kerneltest.NeedNamespace(t)
	if kerneltest.ChildMode() == "" {
		for _, mode := range []string{"writable", "usr"} {
			kerneltest.Child(t, mode)
		}
		return
	}
	source := rootfs(t)
	must(t, os.Chmod("/tree", 0o711))
	write(t, "/tree/lib/initrd-release", "", 0o644)
	// As of an image: mounted nowhere, and read-only.
	lower, err := mount.Clone("/tree", false)
	must(t, err)
	must(t, lower.SetAttr(mount.ReadOnly, false))
	source.Close()
	must(t, unix.Unmount("/tree", unix.MNT_DETACH))
	before, err := mount.List()
	must(t, err)
	var m *mount.Mount
	if kerneltest.ChildMode() == "writable" {
		m, err = Writable(lower)
	} else {
		m, err = AroundUsr(lower, true)
	}
	must(t, err)
	after, err := mount.List()
	must(t, err)
	if len(after) != len(before) {
		t.Errorf("%d mounts before, %d after", len(before), len(after))
	}
	for _, dir := range []string{NewRoot, overlayAt} {
		if _, err := os.Stat(dir); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s was left: %v", dir, err)
		}
	}
	must(t, os.Mkdir("/seen", 0o755))
	must(t, m.Attach("/seen"))
	if kerneltest.ChildMode() == "usr" {
		for _, name := range []string{"/usr/etc/os-release", "/etc/initrd-release", "/sysroot", "/.extra", "/sbin/init"} {
			if _, err := os.Lstat("/seen" + name); err != nil {
				t.Error(err)
			}
		}
		if err := os.WriteFile("/seen/usr/new", nil, 0o600); !errors.Is(err, unix.EROFS) {
			t.Errorf("writing below /usr: %v", err)
		}
		return
	}
	if b, err := os.ReadFile("/seen/etc/os-release"); err != nil || string(b) != "ID=test" {
		t.Errorf("%q, %v", b, err)
	}
	must(t, os.WriteFile("/seen/etc/os-release", []byte("ID=else"), 0o600))
	must(t, os.WriteFile("/seen/new", nil, 0o600))
	if info, err := os.Stat("/seen"); err != nil || info.Mode().Perm() != 0o711 {
		t.Errorf("the root is %v, %v", info.Mode(), err)
	}
	var st unix.Statfs_t
	must(t, unix.Statfs("/seen", &st))
	if st.Type != unix.OVERLAYFS_SUPER_MAGIC || st.Flags&unix.ST_NODEV == 0 || st.Flags&unix.ST_RDONLY != 0 {
		t.Errorf("the root is a file system %#x with flags %#x", st.Type, st.Flags)
	}
}

// TestNSComposeFails: a tree that is gone is an error, and leaves nothing.
func TestNSComposeFails(t *testing.T) {
	kerneltest.NeedNamespace(t)
	if kerneltest.ChildMode() == "" {
		kerneltest.Child(t, "fails")
		return
	}
	rootfs(t).Close()
	for name, f := range map[string]func(*mount.Mount) (*mount.Mount, error){"writable": Writable, "usr": func(m *mount.Mount) (*mount.Mount, error) { return AroundUsr(m, false) }} {
		m := tmpfs(t, "")
		must(t, m.Close())
		if _, err := f(m); err == nil || !strings.Contains(err.Error(), "cannot attach") {
			t.Errorf("%s: %v", name, err)
		}
		for _, dir := range []string{NewRoot, overlayAt} {
			if _, err := os.Stat(dir); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("%s: %s was left: %v", name, dir, err)
			}
		}
	}
}
