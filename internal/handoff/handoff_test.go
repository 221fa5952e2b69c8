// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package handoff

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/initddi/initddi/internal/linux/kerneltest"
	"github.com/initddi/initddi/internal/linux/mount"
)

// TestMain is also the next init: the tests put their own program into the tree that is entered.
func TestMain(m *testing.M) {
	if os.Args[0] == "/sbin/init" {
		tellState()
		return
	}
	os.Exit(m.Run())
}

// state is what the next init finds.
type state struct {
	Args   []string
	Env    []string
	Files  []string // all that is not a directory, with its content
	Ours   []string // names in /run/initddi
	Mounts []string
	FDs    map[string]string
	Cwd    string
}

// reportFD is where the next init tells its state: the only descriptor that is open beside the first three.
const reportFD = 9

func tellState() {
	s := state{Args: os.Args, Env: os.Environ(), FDs: map[string]string{}}
	s.Cwd, _ = os.Getwd()
	filepath.WalkDir("/", func(path string, d fs.DirEntry, err error) error {
		if path == "/proc" {
			return filepath.SkipDir
		}
		if err == nil && !d.IsDir() && path != "/sbin/init" {
			b, _ := os.ReadFile(path)
			info, _ := d.Info()
			s.Files = append(s.Files, fmt.Sprintf("%s %v %s", path, info.Mode(), b))
		}
		return nil
	})
	ours, _ := os.ReadDir("/run/initddi")
	for _, e := range ours {
		s.Ours = append(s.Ours, e.Name())
	}
	b, _ := os.ReadFile("/proc/self/mountinfo")
	for line := range strings.Lines(string(b)) {
		s.Mounts = append(s.Mounts, strings.Fields(line)[4])
	}
	entries, _ := os.ReadDir("/proc/self/fd")
	for _, e := range entries {
		if target, err := os.Readlink("/proc/self/fd/" + e.Name()); err == nil && !strings.HasPrefix(target, "anon_inode:") {
			s.FDs[e.Name()] = target
		}
	}
	out := os.NewFile(reportFD, "report")
	json.NewEncoder(out).Encode(s)
	out.Close()
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func write(t *testing.T, name, text string, mode fs.FileMode) {
	t.Helper()
	must(t, os.MkdirAll(filepath.Dir(name), 0o755))
	must(t, os.WriteFile(name, []byte(text), mode))
	must(t, os.Chmod(name, mode))
}

func tmpfs(t *testing.T, path string) *mount.Mount {
	t.Helper()
	m, err := mount.New(mount.Request{Type: "tmpfs", Source: "test"})
	must(t, err)
	if path != "" {
		must(t, os.MkdirAll(path, 0o755))
		must(t, m.Attach(path))
	}
	return m
}

// initramfs makes this process's root a tmpfs with an initramfs in it, in which /dev and so on are mounted, and returns a
// detached tree to enter. files "/.extra/…" are what systemd-stub left.
func initramfs(t *testing.T, hasExtra bool, extra ...string) *mount.Mount {
	t.Helper()
	self, err := os.ReadFile("/proc/self/exe")
	must(t, err)
	dir := t.TempDir()
	tmpfs(t, dir).Close()
	root := dir + "/root" // no mount point, so that pivot_root cannot leave it
	write(t, root+"/init", "x", 0o755)
	for _, name := range extra {
		write(t, root+name, "content of "+name, 0o440)
	}
	for _, path := range carried {
		must(t, os.MkdirAll(root+path, 0o755))
	}
	must(t, unix.Mount("/proc", root+"/proc", "", unix.MS_BIND|unix.MS_REC, ""))
	for _, path := range []string{"/dev", "/sys", "/run"} {
		tmpfs(t, root+path).Close()
	}
	write(t, root+"/dev/console", "", 0o600)
	write(t, root+"/run/initddi/boot.json", "{}", 0o644)
	must(t, unix.Chroot(root))
	must(t, unix.Chdir("/"))
	must(t, os.WriteFile("/self", self, 0o755))
	return tree(t, hasExtra)
}

// tree makes what is entered, in a tmpfs at /tree.
func tree(t *testing.T, hasExtra bool) *mount.Mount {
	t.Helper()
	self, err := os.ReadFile("/self")
	must(t, err)
	m := tmpfs(t, "/tree")
	write(t, "/tree/sbin/init", string(self), 0o755)
	write(t, "/tree/etc/os-release", "ID=test", 0o644)
	for _, path := range carried {
		must(t, os.MkdirAll("/tree"+path, 0o755))
	}
	if hasExtra {
		must(t, os.MkdirAll("/tree/.extra", 0o755))
	}
	return m
}

// enter runs the hand-over in a child and returns what the next init found.
func enter(t *testing.T, mode string) state {
	t.Helper()
	out := kerneltest.Child(t, mode)
	var s state
	if err := json.Unmarshal([]byte(out), &s); err != nil {
		t.Fatalf("%s: %v: %q", mode, err, out)
	}
	return s
}

func TestNSEnter(t *testing.T) {
	kerneltest.NeedNamespace(t)
	extra := []string{"/.extra/credentials/a.cred", "/.extra/global_credentials/a.cred", "/.extra/global_credentials/b.cred", "/.extra/sysext/x.sysext.raw", "/.extra/os-release", "/.extra/boot-secret"}
	if mode := kerneltest.ChildMode(); mode != "" {
		files := extra
		if mode == "nothing" || mode == "found alone" {
			files = nil
		}
		hasExtra := mode == "extra" || strings.HasPrefix(mode, "found")
		m := initramfs(t, hasExtra, files...)
		var found []Found
		if strings.HasPrefix(mode, "found") {
			tmpfs(t, "/modules").Close()
			write(t, "/modules/file", "merged", 0o644)
			modules, err := mount.Clone("/modules", false)
			must(t, err)
			must(t, unix.Unmount("/modules", unix.MNT_DETACH))
			found = []Found{{modules, "sysext/modules"}, {tmpfs(t, ""), "sysext/user/usr"}}
		}
		// What whoever runs the tests left open is not ours.
		must(t, unix.CloseRange(3, 1<<20, unix.CLOSE_RANGE_CLOEXEC))
		must(t, unix.Dup3(1, reportFD, 0))
		lost, err := Enter(Next{Tree: m, Init: "/sbin/init", Args: []string{"single", "a b"}, Env: []string{"TERM=linux", "x="}, HasExtra: hasExtra, NoCredentials: mode == "no credentials", Found: found})
		t.Fatal(lost, err)
	}
	const always = "/dev/console -rw------- |/etc/os-release -rw-r--r-- ID=test|/run/initddi/boot.json -rw-r--r-- {}"
	for mode, want := range map[string]struct{ env, files, mounts string }{
		"nothing": {"TERM=linux x=", always, "/ /proc /dev /sys /run"},
		"extra": {"TERM=linux x=", "/.extra/boot-secret -r--r----- content of /.extra/boot-secret|/.extra/credentials/a.cred -r--r----- content of /.extra/credentials/a.cred|/.extra/global_credentials/a.cred -r--r----- content of /.extra/global_credentials/a.cred|" +
			"/.extra/global_credentials/b.cred -r--r----- content of /.extra/global_credentials/b.cred|/.extra/os-release -r--r----- content of /.extra/os-release|" +
			"/.extra/sysext/x.sysext.raw -r--r----- content of /.extra/sysext/x.sysext.raw|" + always, "/ /.extra /proc /dev /sys /run"},
		"no directory": {"TERM=linux x=", "/dev/console -rw------- |/etc/os-release -rw-r--r-- ID=test|" +
			"/run/credstore.encrypted/a -r-------- content of /.extra/credentials/a.cred|/run/credstore.encrypted/b -r-------- content of /.extra/global_credentials/b.cred|" +
			"/run/initddi/boot.json -rw-r--r-- {}|/run/systemd/stub/boot-secret -r-------- content of /.extra/boot-secret|" +
			"/run/systemd/stub/os-release -r--r--r-- content of /.extra/os-release", "/ /proc /dev /sys /run"},
		"found alone": {"TERM=linux x=", "/.extra/sysext/modules/file -rw-r--r-- merged|" + always, "/ /.extra /.extra/sysext/modules /.extra/sysext/user/usr /proc /dev /sys /run"},
		"found beside": {"TERM=linux x=", "/.extra/boot-secret -r--r----- content of /.extra/boot-secret|/.extra/credentials/a.cred -r--r----- content of /.extra/credentials/a.cred|/.extra/global_credentials/a.cred -r--r----- content of /.extra/global_credentials/a.cred|" +
			"/.extra/global_credentials/b.cred -r--r----- content of /.extra/global_credentials/b.cred|/.extra/os-release -r--r----- content of /.extra/os-release|" +
			"/.extra/sysext/modules/file -rw-r--r-- merged|/.extra/sysext/x.sysext.raw -r--r----- content of /.extra/sysext/x.sysext.raw|" + always, "/ /.extra /.extra/sysext/modules /.extra/sysext/user/usr /proc /dev /sys /run"},
		"no credentials": {"TERM=linux x=", always + "|/run/systemd/stub/boot-secret -r-------- content of /.extra/boot-secret|" +
			"/run/systemd/stub/os-release -r--r--r-- content of /.extra/os-release", "/ /proc /dev /sys /run"},
	} {
		s := enter(t, mode)
		if !slices.Equal(s.Args, []string{"/sbin/init", "single", "a b"}) || s.Cwd != "/" {
			t.Errorf("%s: arguments %q in %s", mode, s.Args, s.Cwd)
		}
		if got := strings.Join(s.Env, " "); got != want.env {
			t.Errorf("%s: environment %q, want %q", mode, got, want.env)
		}
		if got := strings.Join(s.Files, "|"); got != want.files {
			t.Errorf("%s: files\n%s\nwant\n%s", mode, strings.Join(s.Files, "\n"), strings.ReplaceAll(want.files, "|", "\n"))
		}
		if !slices.Equal(s.Ours, []string{"boot.json"}) {
			t.Errorf("%s: /run/initddi holds %q, wanted boot.json alone", mode, s.Ours)
		}
		var mounts []string
		for _, m := range s.Mounts {
			if !strings.HasPrefix(m, "/proc/") {
				mounts = append(mounts, m)
			}
		}
		wanted := strings.Fields(want.mounts)
		slices.Sort(mounts)
		slices.Sort(wanted)
		if !slices.Equal(mounts, wanted) {
			t.Errorf("%s: mounted %v, want %v", mode, mounts, wanted)
		}
		for fd, target := range s.FDs {
			switch {
			case fd == "0" || fd == "1" || fd == "2":
				if target != "/dev/console" {
					t.Errorf("%s: descriptor %s is %s", mode, fd, target)
				}
			case fd != fmt.Sprint(reportFD) && !strings.HasPrefix(target, "/proc/"):
				t.Errorf("%s: descriptor %s, %s, was left open", mode, fd, target)
			}
		}
	}
}

// TestNSEnterFails: before the point of no return nothing is lost.
func TestNSEnterFails(t *testing.T) {
	kerneltest.NeedNamespace(t)
	if kerneltest.ChildMode() == "" {
		kerneltest.Child(t, "fails")
		return
	}
	m := initramfs(t, false)
	must(t, m.Close())
	if lost, err := Enter(Next{Tree: m, Init: "/sbin/init"}); lost || err == nil {
		t.Errorf("a tree that is gone was entered: %v, %v", lost, err)
	}
	if _, err := os.Stat("/init"); err != nil {
		t.Error(err)
	}
	must(t, unix.Unmount("/tree", unix.MNT_DETACH))
	next := tmpfs(t, "/tree")
	for _, path := range carried {
		must(t, os.MkdirAll("/tree"+path, 0o755))
	}
	lost, err := Enter(Next{Tree: next, Init: "/sbin/init"})
	if !lost || !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), "cannot execute /sbin/init") {
		t.Errorf("%v, %v", lost, err)
	}
}

// TestNSEnterAgain: what fails before the point of no return leaves nothing that keeps the devices below the tree, and does not keep
// another attempt from succeeding.
func TestNSEnterAgain(t *testing.T) {
	kerneltest.NeedNamespace(t)
	if kerneltest.ChildMode() == "" {
		s := enter(t, "again")
		if got := strings.Join(s.Files, "\n"); !strings.Contains(got, "/run/credstore.encrypted/a -r-------- content of /.extra/credentials/a.cred") {
			t.Errorf("files\n%s", got)
		}
		return
	}
	m := initramfs(t, false, "/.extra/credentials/a.cred")
	must(t, unix.CloseRange(3, 1<<20, unix.CLOSE_RANGE_CLOEXEC))
	must(t, unix.Dup3(1, reportFD, 0))
	// No room for the credentials, which come after the tree was attached.
	write(t, "/run/credstore.encrypted", "in the way", 0o600)
	lost, err := Enter(Next{Tree: m, Init: "/sbin/init"})
	if lost || err == nil || !strings.Contains(err.Error(), "cannot pass on what the boot loader delivered") {
		t.Fatalf("%v, %v", lost, err)
	}
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	must(t, err)
	if strings.Contains(string(mounts), NewRoot) || strings.Contains(string(mounts), staging) {
		t.Fatalf("still mounted:\n%s", mounts)
	}
	if _, err := m.Open("/sbin/init"); err == nil {
		t.Fatal("the tree is held open")
	}
	// Somebody has made room, and put something else where the copy was.
	must(t, os.Remove("/run/credstore.encrypted"))
	write(t, staging+"/file", "", 0o600)
	t.Fatal(Enter(Next{Tree: tree(t, false), Init: "/sbin/init"}))
}

func TestNSPseudoKeepsWhatIsMounted(t *testing.T) {
	kerneltest.NeedNamespace(t)
	if kerneltest.ChildMode() == "" {
		kerneltest.Child(t, "pseudo")
		return
	}
	initramfs(t, false).Close()
	if err := Pseudo(); err != nil {
		t.Error(err)
	}
	if b, err := os.ReadFile("/run/initddi/boot.json"); string(b) != "{}" {
		t.Errorf("something new was mounted over it: %v", err)
	}
}

func TestCopyTree(t *testing.T) {
	from, to := t.TempDir(), t.TempDir()
	write(t, from+"/dir/file", "text", 0o440)
	write(t, from+"/empty", "", 0o600)
	must(t, os.Mkdir(from+"/closed", 0o700))
	must(t, os.Symlink("/etc/passwd", from+"/link"))
	must(t, unix.Mkfifo(from+"/pipe", 0o600))
	write(t, from+"/image.raw", "large", 0o600)
	must(t, copyTree(from, to, []string{from + "/image.raw"}))
	var got bytes.Buffer
	must(t, filepath.WalkDir(to, func(path string, d fs.DirEntry, err error) error {
		if path != to {
			info, _ := d.Info()
			fmt.Fprintf(&got, "%s %v\n", strings.TrimPrefix(path, to), info.Mode())
		}
		return err
	}))
	if want := "/closed drwx------\n/dir drwxr-xr-x\n/dir/file -r--r-----\n/empty -rw-------\n"; got.String() != want {
		t.Errorf("got\n%s\nwant\n%s", got.String(), want)
	}
	if b, err := os.ReadFile(to + "/dir/file"); string(b) != "text" || err != nil {
		t.Errorf("%q, %v", b, err)
	}
	if err := copyTree(from, to, nil); !errors.Is(err, fs.ErrExist) {
		t.Errorf("copied over what was there: %v", err)
	}
	if err := copyTree(from+"/nothing", to, nil); !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
	if err := copyFile(from, to+"/part", 0o600); err == nil {
		t.Error("a directory was copied as a file")
	}
	if _, err := os.Stat(to + "/part"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a file that was not copied whole is left: %v", err)
	}
	if m, err := carryExtra(from+"/nothing", nil); m != nil || err != nil {
		t.Errorf("%v, %v", m, err)
	}
	if m, err := carryExtra(from+"/closed", nil); m != nil || err != nil {
		t.Errorf("an empty directory: %v, %v", m, err)
	}
	if _, err := carryExtra(from+"/empty", nil); err == nil {
		t.Error("a file is a directory")
	}
}
