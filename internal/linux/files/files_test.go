// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package files

import (
	"errors"
	"io/fs"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func TestLook(t *testing.T) {
	dir := t.TempDir()
	name := dir + "/file"
	if err := os.WriteFile(name, nil, 0o640); err != nil {
		t.Fatal(err)
	}
	when := time.Unix(1000000000, 123456000)
	if err := os.Chtimes(name, when, when); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("file", dir+"/link"); err != nil {
		t.Fatal(err)
	}
	a, err := Look(name)
	if err != nil {
		t.Fatal(err)
	}
	b, err := Look(dir + "/link")
	if err != nil || a != b {
		t.Errorf("%+v, %+v, %v", a, b, err)
	}
	var st unix.Stat_t
	if err := unix.Stat(name, &st); err != nil {
		t.Fatal(err)
	}
	if a.Mode != 0o640 || a.Inode != st.Ino || unix.Mkdev(a.Major, a.Minor) != st.Dev || !a.Modified.Equal(when) || a.MountID == 0 || a.ReadOnly || a.Subvolume {
		t.Errorf("%+v", a)
	}
	if d, err := Look(dir); err != nil || d.Mode&^0o777 != os.ModeDir || d.Inode == a.Inode {
		t.Errorf("%+v, %v", d, err)
	}
	if d, err := Look("/dev/null"); err != nil || d.Mode.IsRegular() || d.Mode.IsDir() {
		t.Errorf("%+v, %v", d, err)
	}
	if when, err := SubvolumeTime(t.TempDir() + "/missing"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("%v, %v", when, err)
	}
	if when, err := SubvolumeTime("/proc/self"); !errors.Is(err, unix.ENOTTY) { // of real ones it is a matter of vmtest/differential
		t.Errorf("%v, %v", when, err)
	}
	if d, err := Look("/proc/self"); err != nil || d.Subvolume {
		t.Errorf("%+v, %v", d, err)
	}
	if _, err := Look(dir + "/missing"); !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
}

func TestAttribute(t *testing.T) {
	name := t.TempDir() + "/file"
	if err := os.WriteFile(name, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if v, ok := Attribute(name, "user.x"); ok {
		t.Errorf("%q", v)
	}
	if err := unix.Setxattr(name, "user.x", []byte("0\x00y"), 0); err != nil {
		t.Skip("needs a file system with attributes for users: ", err)
	}
	if v, ok := Attribute(name, "user.x"); v != "0" || !ok {
		t.Errorf("%q, %v", v, ok)
	}
	if err := unix.Setxattr(name, "user.x", []byte(strings.Repeat("x", maxAttribute+1)), 0); err != nil {
		t.Fatal(err)
	}
	if v, ok := Attribute(name, "user.x"); ok {
		t.Errorf("%q", v)
	}
	if !HasAttribute(name, "user.x") {
		t.Error("a long attribute is taken for missing")
	}
	if HasAttribute(name, "user.y") || HasAttribute("/proc/self/status", "user.x") {
		t.Error("an attribute that is not there is taken for one")
	}
	if !HasAttribute(name+"/x", "user.x") {
		t.Error("an attribute that cannot be asked for is taken for missing")
	}
}

func TestLock(t *testing.T) {
	name := t.TempDir() + "/lock"
	one, err := Lock(name)
	if err != nil {
		t.Fatal(err)
	}
	got := make(chan error)
	go func() {
		two, err := Lock(name)
		if err == nil {
			err = two.Close()
		}
		got <- err
	}()
	select {
	case err := <-got:
		t.Errorf("two have it: %v", err)
	case <-time.After(50 * time.Millisecond):
	}
	one.Close()
	if err := <-got; err != nil {
		t.Error(err)
	}
	if err := os.Symlink("/etc/passwd", name+"-link"); err != nil {
		t.Fatal(err)
	}
	if f, err := Lock(name + "-link"); err == nil {
		f.Close()
		t.Error("a link was followed")
	}
}

// TestTrim: what has no blocks has none to forget. That a FAT has is shown by a boot that trims one.
func TestTrim(t *testing.T) {
	if _, err := Trim(t.TempDir() + "/missing"); !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
	if _, err := Trim("/proc/self"); !errors.Is(err, unix.ENOTTY) && !errors.Is(err, unix.EOPNOTSUPP) {
		t.Error(err)
	}
}
