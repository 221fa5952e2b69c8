// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package interop

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// helloTree is a tree that is a portable service, a container, and might be booted.
func helloTree(t *testing.T) string {
	t.Helper()
	program := filepath.Join(t.TempDir(), "hello")
	if o := run(t, []string{"CGO_ENABLED=0", "GOOS=linux", "GOARCH=amd64"}, "go", "build", "-trimpath", "-ldflags=-s -w", "-o", program, "./testdata/hello"); o.err != nil {
		t.Fatalf("%v: %s", o.err, o.text)
	}
	b, err := os.ReadFile(program)
	if err != nil {
		t.Fatal(err)
	}
	tree := smallTree(t, b)
	put(t, tree, map[string]string{
		"usr/bin/hello": string(b), "etc/machine-id": "", "etc/resolv.conf": "", "usr/lib/systemd/system/hello.service": "[Service]\nType=exec\nExecStart=/usr/bin/hello --stay\n",
	})
	for _, d := range []string{"tmp", "var/tmp", "root"} {
		must(t, "mkdir", "-p", filepath.Join(tree, d))
	}
	return tree
}

// put writes files into a tree.
func put(t *testing.T, tree string, files map[string]string) {
	t.Helper()
	for name, text := range files {
		name = filepath.Join(tree, name)
		must(t, "mkdir", "-p", filepath.Dir(name))
		if err := os.WriteFile(name, []byte(text), 0o755); err != nil {
			t.Fatal(err)
		}
	}
}

// extensionTree is a sysext for a system.
func extensionTree(t *testing.T, release string) string {
	t.Helper()
	tree := t.TempDir()
	put(t, tree, map[string]string{
		"usr/lib/extension-release.d/extension-release.extra": release, "usr/share/extra": "extra\n",
		// Of a portable service the units of the extension get the extension, those of the image do not.
		"usr/lib/systemd/system/hello-extra.service": "[Service]\nType=exec\nExecStart=/usr/bin/hello --stay\n",
	})
	return tree
}

// Our images as a portable service (portablectl), as a container (systemd-nspawn) and as an extension (systemd-sysext) of a Debian 13 that our
// stage 1 booted: signed, with dm-verity, under a policy that takes nothing else. That systemd-dissect mounts them is [TestDissectMount].
func TestContainers(t *testing.T) {
	slow(t)
	key, other := good(t), stranger(t)
	tree := helloTree(t)
	names := []string{"good", "stranger", "unsigned", "extra", "extra-stranger", "extra-portable"}
	host := extensionTree(t, "ID=debian\nVERSION_ID=13\n")
	images := map[string]string{
		"good": ddi(t, tree, "erofs", "x86-64", &key), "stranger": ddi(t, tree, "erofs", "x86-64", &other), "unsigned": ddi(t, tree, "erofs", "x86-64", nil),
		"extra": ddi(t, host, "erofs", "x86-64", &key), "extra-stranger": ddi(t, host, "erofs", "x86-64", &other),
		"extra-portable": ddi(t, extensionTree(t, "ID=interop\nVERSION_ID=1\n"), "erofs", "x86-64", &key),
	}
	system := systemImage(t, "containers", map[string]string{"disks": strings.Join(names, " ")})
	m := machine{image: system, cmdline: "systemd.unit=interop.service", limit: 2 * bootLimit}
	for _, n := range names {
		m.disks = append(m.disks, images[n])
	}
	console, report := boot(t, m)
	got := answers(report)
	if _, ok := got["done"]; !ok {
		t.Fatalf("the machine did not finish; its report:\n%s\nthe end of its console:\n%s", report, tail(console))
	}
	t.Logf("the machine's report:\n%s", report)

	const hello = "hello from ID=interop VERSION_ID=1, extension none, read 1048576 bytes: <nil>"
	ran := func(name string, wanted ...string) {
		t.Helper()
		a := got[name]
		for _, want := range wanted {
			if a.status != "0" || !strings.Contains(a.text, want) {
				t.Errorf("%s: status %s, wanted it to run, with %q:\n%s", name, a.status, want, a.text)
				return
			}
		}
	}
	refused := func(name, not string) {
		t.Helper()
		if a, ok := got[name]; !ok || a.status == "0" || strings.Contains(a.text, not) {
			t.Errorf("%s: status %s, wanted a refusal:\n%s", name, a.status, a.text)
		}
	}
	ran("portable good", "active: active", "attached: running-runtime", hello, cutOut(t, images["good"]).rootHash)
	ran("portable extension", "active: active", strings.Replace(hello, "extension none", "extension extra", 1), cutOut(t, images["extra-portable"]).rootHash)
	refused("portable stranger", "hello from")
	refused("portable unsigned", "hello from")
	ran("container good", hello, "left: nothing")
	refused("container stranger", "hello from")
	refused("container unsigned", "hello from")
	ran("extension good", `"hierarchy":"/usr","extensions":["extra"]`, "extra: extra")
	refused("extension stranger", "extra: extra")
}
