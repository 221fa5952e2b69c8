// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/initddi/initddi/internal/layers"
	"github.com/initddi/initddi/internal/linux/kerneltest"
	"github.com/initddi/initddi/internal/linux/mount"
	"github.com/initddi/initddi/internal/mountinfo"
)

// machine is the running system as the namespace of these tests sees it: with no extensions but those of the test, and a systemctl that
// writes down what it is asked for.
type machine struct {
	t         *testing.T
	log       string
	variables map[string]string
}

func newMachine(t *testing.T) *machine {
	t.Helper()
	kerneltest.NeedNamespace(t)
	for _, c := range []layers.Class{layers.Sysext, layers.Confext} {
		for _, dir := range append(c.SearchPath(false), "/run", "/var/lib/extensions.mutable") {
			if _, err := os.Stat(dir); err == nil && (dir == "/run" || !strings.HasPrefix(dir, "/run/")) {
				hide(t, dir)
			}
		}
	}
	m := &machine{t: t, log: filepath.Join(t.TempDir(), "log"), variables: map[string]string{}}
	bin := t.TempDir()
	m.write(filepath.Join(bin, "systemctl"), "#!/bin/sh\necho \"$@\" >>"+m.log+"\n[ ! -e "+m.log+".broken ]\n")
	if err := os.Chmod(filepath.Join(bin, "systemctl"), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", bin+":"+os.Getenv("PATH"))
	return m
}

// hide mounts an empty file system at a directory for as long as the test runs.
func hide(t *testing.T, dir string) {
	t.Helper()
	m, err := mount.New(mount.Request{Type: "tmpfs", Source: "test", Options: []mount.Option{{Key: "mode", Value: "0755"}}})
	if err != nil {
		t.Fatal(err)
	}
	if err := m.Attach(dir); err != nil {
		t.Fatal(err)
	}
	m.Close()
	t.Cleanup(func() {
		if err := mount.Unmount(dir); err != nil {
			t.Error(err)
		}
	})
}

func (m *machine) write(name, text string) {
	m.t.Helper()
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		m.t.Fatal(err)
	}
	if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
		m.t.Fatal(err)
	}
}

// extension installs an extension for any system that has one file.
func (m *machine) extension(name, more string) {
	dir := "/run/extensions/" + name
	m.write(dir+"/usr/lib/extension-release.d/extension-release."+name, "ID=_any\n"+more)
	m.write(dir+"/usr/share/initddi-test/"+name, name)
}

// do runs the program, and returns what systemctl was asked for.
func (m *machine) do(args ...string) (asked string, err error) {
	m.t.Helper()
	os.Remove(m.log)
	env := environment{Stdout: os.Stdout, Stderr: os.Stderr, Name: "sysextmerge", Lookup: func(v string) (string, bool) {
		text, ok := m.variables[v]
		return text, ok
	}}
	err = run(m.t.Context(), env, args)
	b, _ := os.ReadFile(m.log)
	return strings.TrimSpace(string(b)), err
}

// must is do, where no error is wanted.
func (m *machine) must(asked string, args ...string) {
	m.t.Helper()
	if got, err := m.do(args...); err != nil || got != asked {
		m.t.Errorf("%q: %v, and it asked systemctl for %q, want %q", args, err, got, asked)
	}
}

// TestNSReload: the service manager reads its units again where an extension asks for it, whether that comes or goes.
func TestNSReload(t *testing.T) {
	m := newMachine(t)
	const reload = "daemon-reload"
	m.extension("quiet", "")
	m.must("", "merge")
	m.must("", "unmerge")
	m.extension("loud", "EXTENSION_RELOAD_MANAGER=1\n")
	m.must(reload, "merge")
	m.must("", "status")
	m.must(reload, "refresh")
	m.must("", "--no-reload", "refresh")
	m.must("", "--root=/", "refresh") // as for a system that somebody looks after
	m.must(reload, "unmerge")
	m.must("", "unmerge")
	m.must("", "merge", "--no-reload")
	if err := os.Rename("/run/extensions/loud", "/run/loud"); err != nil {
		t.Fatal(err)
	}
	m.must(reload, "refresh")
	m.must("", "refresh")
	m.must("", "unmerge")
	// All is done when the service manager fails, and it is an error all the same.
	m.extension("loud", "EXTENSION_RELOAD_MANAGER=1\n")
	m.write(m.log+".broken", "")
	if asked, err := m.do("merge"); asked != reload || err == nil || !strings.Contains(err.Error(), "all else is done") {
		t.Errorf("%q, %v", asked, err)
	}
	if b, err := os.ReadFile("/usr/share/initddi-test/loud"); string(b) != "loud" {
		t.Errorf("%q, %v", b, err)
	}
	m.must("", "unmerge", "--no-reload")
	if _, err := os.Stat("/usr/share/initddi-test"); err == nil {
		t.Error("it is still merged")
	}
}

// TestNSMountOptions: the variable replaces the overlay's options, and one that the kernel does not know is an error before anything is seen. What
// the options of a writable merge are without it is not for a user namespace; vmtest/differential holds it against systemd.
func TestNSMountOptions(t *testing.T) {
	m := newMachine(t)
	m.extension("one", "")
	const variable, other = "SYSTEMD_SYSEXT_OVERLAYFS_MOUNT_OPTIONS", "SYSTEMD_CONFEXT_OVERLAYFS_MOUNT_OPTIONS"
	usual := m.options()
	m.variables[variable] = "userxattr"
	for _, args := range [][]string{nil, {"--mutable=ephemeral"}} {
		if got := m.options(args...); !slices.Contains(got, "userxattr") || slices.Contains(usual, "userxattr") || slices.Contains(got, "redirect_dir=on") {
			t.Errorf("%q: the options are %q, and without the variable %q", args, got, usual)
		}
	}
	m.variables[variable] = "nonsense=1"
	if _, err := m.do("merge"); err == nil || !strings.Contains(err.Error(), "nonsense") {
		t.Error(err)
	}
	if _, err := os.Stat("/usr/share/initddi-test"); err == nil {
		t.Error("it is merged")
	}
	// Those of the other class are none of its business.
	delete(m.variables, variable)
	m.variables[other] = "nonsense=1"
	if got := m.options(); !slices.Equal(got, usual) {
		t.Errorf("the options are %q, and were %q", got, usual)
	}
}

// options merges and returns the options of the overlay on /usr.
func (m *machine) options(args ...string) (out []string) {
	m.t.Helper()
	m.must("", append(args, "merge")...)
	b, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		m.t.Fatal(err)
	}
	list, err := mountinfo.Parse(string(b))
	if err != nil {
		m.t.Fatal(err)
	}
	for _, mount := range list {
		if mount.Point == "/usr" && mount.Source == "sysext" {
			out = slices.DeleteFunc(strings.Split(mount.SuperOptions, ","), func(o string) bool { return strings.Contains(o, "dir=/") || strings.Contains(o, "dir+=/") })
		}
	}
	m.must("", "unmerge")
	return out
}
