// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package mount

import (
	"errors"
	"os"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/initddi/initddi/internal/linux/kerneltest"
)

func TestNSClone(t *testing.T) {
	kerneltest.NeedNamespace(t)
	dir := t.TempDir()
	attach(t, tmpfs(t, Request{}), dir)
	write(t, dir+"/file", "x")
	attach(t, tmpfs(t, Request{}), mkdir(t, dir+"/below"))
	write(t, dir+"/below/file", "y")
	for _, recursive := range []bool{false, true} {
		m, err := Clone(dir, recursive)
		if err != nil {
			t.Fatal(err)
		}
		again, err := m.Copy()
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(m.SetAttr(ReadOnly, recursive), m.Close()); err != nil {
			t.Fatal(err)
		}
		to, err := os.Open(t.TempDir())
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(again.AttachTo(to), again.Close()); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { unix.Unmount(to.Name(), unix.MNT_DETACH); to.Close() })
		if _, err := os.Stat(to.Name() + "/below/file"); (err == nil) != recursive {
			t.Errorf("recursive %v: %v", recursive, err)
		}
		if err := os.WriteFile(to.Name()+"/file", nil, 0o644); !errors.Is(err, unix.EROFS) {
			t.Errorf("the copy can be written to: %v", err)
		}
		if err := os.WriteFile(dir+"/file", []byte("x"), 0o644); err != nil {
			t.Errorf("the original cannot: %v", err)
		}
	}
	if _, err := Clone(dir+"/missing", true); !errors.Is(err, unix.ENOENT) || !strings.Contains(err.Error(), "missing") {
		t.Error(err)
	}
}

// TestNSBeneath replaces a mount without a moment between.
func TestNSBeneath(t *testing.T) {
	kerneltest.NeedNamespace(t)
	dir := t.TempDir()
	attach(t, tmpfs(t, Request{}), dir)
	write(t, dir+"/old", "x")
	m := tmpfs(t, Request{Source: "initddi-new"})
	if err := m.AttachBeneath(dir); err != nil {
		t.Skip("needs Linux 6.5: ", err)
	}
	if _, err := os.Stat(dir + "/old"); err != nil {
		t.Error("the new one is to be seen already:", err)
	}
	before, err := At(dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := Unmount(dir); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Unmount(dir, unix.MNT_DETACH) })
	after, err := At(dir)
	if err != nil || after == before {
		t.Errorf("mount %d before, %d after, %v", before, after, err)
	}
	list, err := List()
	if err != nil {
		t.Fatal(err)
	}
	found := false
	for _, m := range list {
		found = found || m.ID == after && m.Point == dir && m.Source == "initddi-new"
	}
	if !found {
		t.Errorf("%d is not in the list", after)
	}
}

// TestNSInNamespace: nothing of it shows outside, on whichever thread the caller is, but what is held.
func TestNSInNamespace(t *testing.T) {
	kerneltest.NeedNamespace(t)
	dir := t.TempDir()
	attach(t, tmpfs(t, Request{}), dir)
	if err := unix.Mount("", dir, "", unix.MS_SHARED, ""); err != nil {
		t.Fatal(err)
	}
	mkdir(t, dir+"/inside")
	var held *Mount
	for range 20 {
		err := InNamespace(func() (err error) {
			m, err := New(Request{Type: "tmpfs", Source: "initddi-inside"})
			if err != nil {
				return err
			}
			defer m.Close()
			if err := m.Attach(dir + "/inside"); err != nil {
				return err
			}
			write(t, dir+"/inside/file", "x")
			if held == nil {
				held, err = Clone(dir+"/inside", true)
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		if lines := mountLines(t, "initddi-inside"); len(lines) > 0 {
			t.Fatalf("it shows: %v", lines)
		}
		// The caller's thread is in its own namespace still.
		runtime.LockOSThread()
		list, err := List()
		runtime.UnlockOSThread()
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range list {
			if m.Source == "initddi-inside" {
				t.Fatal("the thread was not left behind")
			}
		}
	}
	if err := errors.Join(held.Attach(dir+"/inside"), held.Close()); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(dir + "/inside/file"); err != nil {
		t.Error("what is held is gone:", err)
	}
	if want := errors.New("x"); InNamespace(func() error { return want }) != want {
		t.Error("the error is lost")
	}
}

func TestNSOverlay(t *testing.T) {
	kerneltest.NeedNamespace(t)
	dir := t.TempDir()
	attach(t, tmpfs(t, Request{}), dir)
	odd := dir + "/" + strings.Repeat("o", 200) + "/b:c,d\\" + strings.Repeat("o", 100)
	for i, l := range []string{dir + "/a", odd, dir + "/c"} {
		write(t, l+"/file", string(rune('a'+i)))
		write(t, l+"/"+string(rune('a'+i)), "")
	}
	o := Overlay{Source: "initddi-overlay", Lower: []string{odd, dir + "/a", dir + "/c"}, Attr: ReadOnly | NoDev}
	check := func(at string) {
		t.Helper()
		t.Cleanup(func() { unix.Unmount(at, unix.MNT_DETACH) })
		b, err := os.ReadFile(at + "/file")
		if err != nil || string(b) != "b" {
			t.Errorf("%q, %v", b, err)
		}
		for _, name := range []string{"a", "b", "c"} {
			if _, err := os.Stat(at + "/" + name); err != nil {
				t.Error(err)
			}
		}
		if err := os.WriteFile(at+"/x", nil, 0o644); !errors.Is(err, unix.EROFS) {
			t.Error(err)
		}
	}
	at := mkdir(t, dir+"/at")
	if err := o.AttachAt(at); err != nil {
		t.Fatal(err)
	}
	check(at)
	// As an older kernel takes it.
	plain := mkdir(t, dir+"/plain")
	write(t, plain+"/file", "b")
	write(t, plain+"/b", "")
	old := mkdir(t, dir+"/old")
	if err := o.attachOld(old, []string{plain, dir + "/a", dir + "/c"}, nil); err != nil {
		t.Fatal(err)
	}
	check(old)
	if lines := mountLines(t, " "+old+" "); len(lines) != 1 || !strings.Contains(lines[0], "ro,nodev") {
		t.Errorf("%v", lines)
	}
	long := make([]string, 50)
	for i := range long {
		long[i] = dir + "/" + strings.Repeat("l", 100)
	}
	if err := o.attachOld(old, long, []Option{{"x", "y"}}); !errors.Is(err, unix.E2BIG) {
		t.Error(err)
	}
	o.Upper = dir + "/missing"
	if err := o.AttachAt(at); !errors.Is(err, unix.ENOENT) {
		t.Error(err)
	}
	o.Options, o.Upper = []string{"nonsense=1"}, ""
	if err := o.AttachAt(at); !errors.Is(err, unix.EINVAL) || !strings.Contains(err.Error(), "nonsense") {
		t.Error(err)
	}
}
