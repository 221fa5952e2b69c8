// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package mount

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/initddi/initddi/internal/linux/kerneltest"
)

func tmpfs(t *testing.T, r Request) *Mount {
	t.Helper()
	r.Type = "tmpfs"
	if r.Source == "" {
		r.Source = "test"
	}
	m, err := New(r)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.Close() })
	return m
}

func attach(t *testing.T, m *Mount, path string) {
	t.Helper()
	if err := m.Attach(path); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Unmount(path, unix.MNT_DETACH) })
}

func write(t *testing.T, name, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

func mkdir(t *testing.T, name string) string {
	t.Helper()
	if err := os.MkdirAll(name, 0o755); err != nil {
		t.Fatal(err)
	}
	return name
}

// mountLines returns the lines of /proc/self/mountinfo that mention s.
func mountLines(t *testing.T, s string) []string {
	t.Helper()
	b, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for line := range strings.SplitSeq(string(b), "\n") {
		if strings.Contains(line, s) {
			out = append(out, line)
		}
	}
	return out
}

func TestNSDetachedUntilAttached(t *testing.T) {
	kerneltest.NeedNamespace(t)
	dir := t.TempDir()
	m := tmpfs(t, Request{Source: "initddi-detached", Options: []Option{{Key: "mode", Value: "0751"}}, Attr: NoSuid | NoDev | NoExec | StrictAtime})
	if lines := mountLines(t, "initddi-detached"); len(lines) != 0 {
		t.Errorf("visible before it is attached: %v", lines)
	}
	if is, err := IsMountPoint(dir); is || err != nil {
		t.Errorf("%v, %v", is, err)
	}
	attach(t, m, dir)
	if is, err := IsMountPoint(dir); !is || err != nil {
		t.Errorf("%v, %v", is, err)
	}
	lines := mountLines(t, "initddi-detached")
	if len(lines) != 1 || !strings.Contains(lines[0], " "+dir+" ") {
		t.Fatalf("mounted as %v", lines)
	}
	for _, option := range []string{"nosuid", "nodev", "noexec"} {
		if !strings.Contains(lines[0], option) {
			t.Errorf("%s is not there: %s", option, lines[0])
		}
	}
	if strings.Contains(lines[0], "relatime") {
		t.Errorf("times are relative: %s", lines[0])
	}
	if info, err := os.Stat(dir); err != nil || info.Mode().Perm() != 0o751 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	write(t, filepath.Join(dir, "file"), "x")
	if err := errors.Join(m.Close(), m.Close()); err != nil {
		t.Errorf("closing twice: %v", err)
	}
	// An attached mount outlives the descriptor.
	if _, err := os.Stat(filepath.Join(dir, "file")); err != nil {
		t.Error(err)
	}
	if err := m.Attach(mkdir(t, dir+"/again")); err == nil {
		t.Error("a closed mount was attached")
	}
}

func TestNSReadOnly(t *testing.T) {
	kerneltest.NeedNamespace(t)
	dir := t.TempDir()
	attach(t, tmpfs(t, Request{Attr: ReadOnly}), dir)
	if err := os.WriteFile(filepath.Join(dir, "x"), nil, 0o644); !errors.Is(err, unix.EROFS) {
		t.Errorf("wrote to a read-only mount: %v", err)
	}
}

func TestNSErrors(t *testing.T) {
	kerneltest.NeedNamespace(t)
	_, err := New(Request{Type: "nonsensefs", Source: "x"})
	if !errors.Is(err, unix.ENODEV) || !strings.Contains(err.Error(), "this kernel has no file system nonsensefs") {
		t.Error(err)
	}
	for _, o := range []Option{{Key: "nonsense"}, {Key: "nonsense", Value: "1"}, {Key: "mode", Value: "x"}} {
		_, err = New(Request{Type: "tmpfs", Source: "x", Options: []Option{o}})
		if !errors.Is(err, unix.EINVAL) || !strings.Contains(err.Error(), "cannot mount tmpfs on x: "+o.Key) || !strings.Contains(err.Error(), "tmpfs:") {
			t.Errorf("%v lacks what the kernel has to say", err)
		}
	}
	m := tmpfs(t, Request{})
	if err := m.Attach("/nonexistent"); !errors.Is(err, unix.ENOENT) {
		t.Error(err)
	}
	if err := Move("/nonexistent", "/tmp"); !errors.Is(err, unix.ENOENT) || !strings.Contains(err.Error(), "/nonexistent") {
		t.Error(err)
	}
	if err := Unmount(t.TempDir()); !errors.Is(err, unix.EINVAL) {
		t.Error(err)
	}
	if _, err := IsMountPoint("/nonexistent"); !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
}

// TestNSOpenStaysInside: a tree that somebody else made must not lead out of it.
func TestNSOpenStaysInside(t *testing.T) {
	kerneltest.NeedNamespace(t)
	outside := filepath.Join(t.TempDir(), "etc/secret")
	write(t, outside, "outside")
	dir := t.TempDir()
	m := tmpfs(t, Request{})
	attach(t, m, dir)
	write(t, dir+"/etc/secret", "inside")
	write(t, dir+outside, "inside, too")
	for link, target := range map[string]string{
		"absolute": outside, "up": "../../../../../../../.." + outside, "dir": "/etc", "loop": "loop", "magic": "/proc/self/root/etc/passwd", "dangling": "nothing",
	} {
		if err := os.Symlink(target, filepath.Join(dir, link)); err != nil {
			t.Fatal(err)
		}
	}
	if err := unix.Mkfifo(dir+"/pipe", 0o644); err != nil {
		t.Fatal(err)
	}
	read := func(name string) (string, error) {
		f, err := m.Open(name)
		if err != nil {
			return "", err
		}
		defer f.Close()
		b := make([]byte, 100)
		n, err := f.Read(b)
		return string(b[:n]), err
	}
	for name, want := range map[string]string{
		"/etc/secret": "inside", "etc/secret": "inside", "/absolute": "inside, too", "/up": "inside, too", "/dir/secret": "inside", "/../../etc/secret": "inside",
	} {
		if got, err := read(name); got != want || err != nil {
			t.Errorf("%s: %q, %v, want %q", name, got, err, want)
		}
	}
	for name, want := range map[string]error{"/loop": unix.ELOOP, "/dangling": unix.ENOENT, "/magic": unix.ENOENT, "/etc/secret/x": unix.ENOTDIR} {
		if _, err := read(name); !errors.Is(err, want) {
			t.Errorf("%s: %v, want %v", name, err, want)
		}
	}
	if f, err := m.Open("/pipe"); err != nil {
		t.Error(err)
	} else {
		f.Close()
	}
}

func TestNSMove(t *testing.T) {
	kerneltest.NeedNamespace(t)
	dir := t.TempDir()
	attach(t, tmpfs(t, Request{}), dir)
	from, to := mkdir(t, dir+"/from"), mkdir(t, dir+"/to")
	attach(t, tmpfs(t, Request{}), from)
	attach(t, tmpfs(t, Request{}), mkdir(t, from+"/below"))
	write(t, from+"/below/file", "x")
	if err := Move(from, to); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(to + "/below/file"); err != nil {
		t.Error("what is mounted below did not come along:", err)
	}
	for path, want := range map[string]bool{from: false, to: true, to + "/below": true} {
		if is, err := IsMountPoint(path); is != want || err != nil {
			t.Errorf("%s: %v, %v", path, is, err)
		}
	}
}

func TestNSUnmount(t *testing.T) {
	kerneltest.NeedNamespace(t)
	dir := t.TempDir()
	attach(t, tmpfs(t, Request{}), dir)
	write(t, dir+"/file", "x")
	f, err := os.Open(dir + "/file")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := Release(dir); !errors.Is(err, unix.EBUSY) {
		t.Errorf("released while in use: %v", err)
	}
	outer, _, err := Device(filepath.Dir(dir))
	if err != nil {
		t.Fatal(err)
	}
	if major, minor, err := Device(dir); err != nil || major != 0 || minor == 0 {
		t.Errorf("tmpfs is on device %d:%d, %v (outside: %d)", major, minor, err, outer)
	}
	if err := Unmount(dir); err != nil {
		t.Error(err)
	}
	if is, _ := IsMountPoint(dir); is {
		t.Error("it is still there")
	}
	link := filepath.Join(t.TempDir(), "link")
	m := tmpfs(t, Request{})
	attach(t, m, dir)
	if err := os.Symlink(dir, link); err != nil {
		t.Fatal(err)
	}
	if err := Unmount(link); err == nil {
		t.Error("a link was followed")
	}
	// The descriptor is a user, too.
	if err := Release(dir); !errors.Is(err, unix.EBUSY) {
		t.Error(err)
	}
	if err := errors.Join(m.Close(), Release(dir)); err != nil {
		t.Error(err)
	}
}

// TestNSOpenWhileRenaming: the kernel gives up on a path with ".." if something was renamed meanwhile, wherever that is.
func TestNSOpenWhileRenaming(t *testing.T) {
	kerneltest.NeedNamespace(t)
	dir := t.TempDir()
	m := tmpfs(t, Request{})
	attach(t, m, dir)
	write(t, dir+"/a/file", "x")
	write(t, dir+"/one", "x")
	stop := make(chan struct{})
	var renaming sync.WaitGroup
	renaming.Go(func() {
		for from, to := dir+"/one", dir+"/other"; ; from, to = to, from {
			select {
			case <-stop:
				return
			default:
				os.Rename(from, to)
				// Without a pause no try has a chance, however many there are.
				time.Sleep(20 * time.Microsecond)
			}
		}
	})
	defer renaming.Wait()
	defer close(stop)
	for i := range 20000 {
		f, err := m.Open(strings.Repeat("a/../", 10) + "a/file")
		if err != nil {
			t.Fatalf("attempt %d: %v", i, err)
		}
		f.Close()
	}
}
