// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package sysext

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/initddi/initddi/internal/ddi"
	"github.com/initddi/initddi/internal/layers"
	"github.com/initddi/initddi/internal/linux/kerneltest"
	"github.com/initddi/initddi/internal/linux/mount"
	"github.com/initddi/initddi/internal/policy"
	"github.com/initddi/initddi/internal/resolve"
)

// images is where the machine has extension images.
const images = "/tests/extensions"

// newMachineWorld makes a root in memory, and a System that trusts what the good images are signed by.
func newMachineWorld(t *testing.T) world {
	t.Helper()
	kerneltest.NeedMachine(t)
	w := newWorld(t, t.TempDir())
	tmpfs(t, w.dir)
	t.Cleanup(func() { must(t, mount.Unmount(w.dir)) })
	must(t, os.MkdirAll(w.dir+"/run", 0o755))
	write(t, w.root+"/usr/lib/os-release", "ID=debian\nVERSION_ID=13\n")
	write(t, w.root+"/usr/bin/tool", "host")
	write(t, w.root+"/etc/file", "host")
	must(t, os.MkdirAll(w.root+"/opt", 0o755))
	w.Open = func(path string, p policy.Policy, plain bool) (*ddi.Image, error) {
		store, err := ddi.ReadTrust([]string{images + "/ours.crt"}, false)
		if err != nil {
			return nil, err
		}
		return ddi.Open(path, ddi.Options{Plan: store, Policy: &p, Plain: plain})
	}
	return w
}

// install copies an image to a path of the root.
func (w world) install(t *testing.T, name, to string) {
	t.Helper()
	b, err := os.ReadFile(images + "/" + name + ".raw")
	must(t, err)
	write(t, w.root+to, string(b))
}

func (w world) want(t *testing.T, files map[string]string) {
	t.Helper()
	for name, text := range files {
		if got := w.read(t, name); got != text {
			t.Errorf("%s has %q, want %q", name, got, text)
		}
	}
}

// TestVMImages merges every kind of image beside a directory, and leaves nothing behind.
func TestVMImages(t *testing.T) {
	w := newMachineWorld(t)
	before, devices := w.snapshot(t), kerneltest.InUse()
	w.install(t, "signed", "/var/lib/extensions/signed.raw")
	w.install(t, "usr", "/var/lib/extensions/usr.sysext.raw")
	w.install(t, "other", "/var/lib/extensions/other.raw")
	w.install(t, "versioned", "/run/extensions/versioned.raw.v/versioned_2.raw")
	w.install(t, "other", "/run/extensions/versioned.raw.v/versioned_1.raw")
	w.extension(t, "dir", "ID=_any\n", map[string]string{"usr/bin/tool": "dir"})
	list, err := w.List()
	must(t, err)
	var names []string
	for _, img := range list {
		names = append(names, img.Name+" "+img.Type)
	}
	if want := []string{"dir directory", "other raw", "signed raw", "usr raw", "versioned raw"}; !slices.Equal(names, want) {
		t.Errorf("installed are %q", names)
	}
	for _, verb := range []string{"merge", "refresh", "refresh"} {
		must(t, w.do(verb))
		w.want(t, map[string]string{
			"usr/bin/signed": "1", "opt/signed": "1", "usr/bin/usr": "1", "usr/bin/versioned": "2", "usr/bin/tool": "dir", "usr/bin/other": "",
			"usr/.systemd-sysext/extensions": "dir\nsigned\nusr\nversioned\n",
		})
	}
	if origin := w.read(t, "usr/.systemd-sysext/origin"); strings.Count(origin, "verityHash") != 3 || !strings.Contains(origin, "/var/lib/extensions/usr.sysext.raw") {
		t.Errorf("origin: %s", origin)
	}
	must(t, w.Unmerge())
	must(t, os.RemoveAll(w.root+"/var"))
	must(t, os.RemoveAll(w.root+"/run"))
	w.wantSame(t, before)
	kerneltest.WantInUse(t, devices)
	// The other class.
	w.Class = layers.Confext
	w.install(t, "conf", "/var/lib/confexts/conf.confext.raw")
	must(t, w.Merge(Options{}))
	w.want(t, map[string]string{"etc/conf": "1", "etc/file": "host", "etc/.systemd-confext/confexts": "conf\n"})
	must(t, w.Unmerge())
	kerneltest.WantInUse(t, devices)
}

// TestVMRefused: one image that must not be merged keeps all from being merged, and says why.
func TestVMRefused(t *testing.T) {
	w := newMachineWorld(t)
	strict, err := policy.Parse("root=signed+absent:usr=signed+absent")
	must(t, err)
	lax := policy.All()
	for _, test := range []struct {
		name, at string
		o        Options
		initrd   bool
		rule     resolve.Rule // "" if it is merged
		err      error
	}{
		{"signed", "/var/lib/extensions", Options{Policy: &strict}, false, "", nil},
		{"stranger", "/var/lib/extensions", Options{Policy: &strict}, false, resolve.RuleSigned, nil},
		{"unsigned", "/var/lib/extensions", Options{Policy: &strict}, false, resolve.RuleSigned, nil},
		{"unsigned", "/var/lib/extensions", Options{}, false, "", nil},
		{"stranger", "/var/lib/extensions", Options{}, false, "", nil},
		{"signed", "/.extra/sysext", Options{Force: true}, true, "", nil},
		{"stranger", "/.extra/sysext", Options{Force: true}, true, resolve.RuleSigned, nil},
		{"unsigned", "/.extra/global_sysext", Options{Force: true}, true, resolve.RuleSigned, nil},
		{"unsigned", "/run/extensions", Options{Force: true}, true, "", nil},
		{"flipped", "/var/lib/extensions", Options{Policy: &strict}, false, resolve.RuleVerity, nil},
		{"forbidden", "/var/lib/extensions", Options{}, false, "", ErrForbidden},
		{"alone", "/var/lib/extensions", Options{}, false, "", nil},
		{"alone-ext4", "/var/lib/extensions", Options{}, false, "", nil},
		{"stripped", "/var/lib/extensions", Options{}, false, "", nil},
		{"stripped", "/run/extensions", Options{Force: true}, true, "", nil},
		{"alone", "/var/lib/extensions", Options{Policy: &strict}, false, resolve.RulePolicy, nil},
		{"stripped", "/var/lib/extensions", Options{Policy: &strict}, false, resolve.RulePolicy, nil},
		{"alone", "/.extra/sysext", Options{Force: true, Policy: &lax}, true, "", ddi.ErrNotDDI},
		{"stripped", "/.extra/global_sysext", Options{Force: true, Policy: &lax}, true, resolve.RulePartitions, nil},
	} {
		t.Run(test.name+test.at, func(t *testing.T) {
			if test.initrd {
				write(t, w.root+"/etc/initrd-release", "ID=debian\n")
				defer os.Remove(w.root + "/etc/initrd-release")
			}
			w.extension(t, "dir", "ID=_any\nSYSEXT_SCOPE=\"system initrd\"\n", map[string]string{"usr/bin/tool": "dir"})
			before, devices := w.snapshot(t), kerneltest.InUse()
			w.install(t, test.name, test.at+"/"+test.name+".raw")
			err := w.Merge(test.o)
			var refusal *resolve.Refusal
			switch {
			case test.rule == "" && test.err == nil:
				must(t, err)
				w.want(t, map[string]string{"usr/bin/" + test.name: "1", "usr/bin/tool": "dir"})
				must(t, w.Unmerge())
			case test.err != nil && !errors.Is(err, test.err):
				t.Error(err)
			case test.rule != "" && (!errors.As(err, &refusal) || refusal.Rule != test.rule):
				t.Errorf("%v, want the rule %s", err, test.rule)
			}
			must(t, os.Remove(w.root+test.at+"/"+test.name+".raw"))
			for dir := test.at; dir != "/" && os.Remove(w.root+dir) == nil; dir = filepath.Dir(dir) {
			}
			w.wantSame(t, before)
			kerneltest.WantInUse(t, devices)
		})
	}
}
