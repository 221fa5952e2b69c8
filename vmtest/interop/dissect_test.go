// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package interop

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/initddi/initddi/internal/image"
	"github.com/initddi/initddi/internal/keys"
)

// systemImage makes a Debian 13 system with systemd's image tools in it, which trusts the good key in /etc/verity.d, as a signed image. Its
// interop.service runs testdata/PROGRAM, which finds the files in /usr/lib/interop.
func systemImage(t *testing.T, program string, files map[string]string) string {
	t.Helper()
	needRoot(t)
	tree := filepath.Join(t.TempDir(), "tree")
	must(t, "cp", "-a", "--reflink=auto", built(t, "interop/trixie", "./just interop"), tree)
	must(t, "cp", "-a", built(t, "debian/modules/lib/modules", "./just tree"), filepath.Join(tree, "usr/lib"))
	for _, d := range []string{"etc/verity.d", "usr/lib/interop/other", ".extra"} {
		must(t, "mkdir", "-p", filepath.Join(tree, d))
	}
	for to, from := range map[string]string{
		"etc/verity.d/good.crt":              good(t).Cert,
		"usr/lib/interop/other/stranger.crt": stranger(t).Cert,
		"usr/lib/interop/" + program:         "testdata/" + program,
		"etc/systemd/system/interop.service": "testdata/" + program + ".service",
		"etc/fstab":                          "../../templates/debian/skeleton/etc/fstab",
	} {
		must(t, "cp", from, filepath.Join(tree, to))
	}
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(tree, "usr/lib/interop", name), []byte(text+"\n"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	key := good(t)
	der, err := keys.CertificateDER(key.Cert)
	if err != nil {
		t.Fatal(err)
	}
	// lz4 and not lz4hc: it is read once.
	o := image.Options{Source: tree, Output: filepath.Join(t.TempDir(), "os.raw"), Arch: "x86-64", Compress: "lz4", Certificate: der, Signer: key.Sign}
	if _, err := image.Build(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	return o.Output
}

// answer is what the system in the machine said about one image.
type answer struct {
	name   string // of the image, and how it was tried
	status string
	text   string
}

// answers reads the report of testdata/dissect.
func answers(report string) map[string]answer {
	out := map[string]answer{}
	for _, part := range strings.Split("\n"+strings.ReplaceAll(report, "\r", ""), "\n== ")[1:] {
		head, text, _ := strings.Cut(part, "\n")
		i := strings.LastIndexByte(head, ' ')
		if i < 0 {
			continue
		}
		out[head[:i]] = answer{head[:i], head[i+1:], strings.TrimSpace(text)}
	}
	return out
}

// Our images, mounted by Debian 13's systemd-dissect, which checks the signature itself, inside a system that our stage 1
// booted.
func TestDissectMount(t *testing.T) {
	slow(t)
	key, other := good(t), stranger(t)
	tree := smallTree(t, []byte("#!/bin/sh\n"))
	names := []string{"good", "stranger", "unsigned", "tampered", "squashfs", "ext4"}
	images := map[string]string{
		"good":     ddi(t, tree, "erofs", "x86-64", &key),
		"stranger": ddi(t, tree, "erofs", "x86-64", &other),
		"unsigned": ddi(t, tree, "erofs", "x86-64", nil),
		"squashfs": ddi(t, tree, "squashfs", "x86-64", &key),
		"ext4":     ddi(t, tree, "ext4", "x86-64", &key),
	}
	images["tampered"] = copyFile(t, images["good"])
	flip(t, images["tampered"], 1<<20+600<<10) // in the filler
	// This one service and what it needs, nothing else of the system.
	m := machine{image: systemImage(t, "dissect", map[string]string{"disks": strings.Join(names, " "), "roothash": cutOut(t, images["unsigned"]).rootHash}), cmdline: "systemd.unit=interop.service", limit: 2 * bootLimit}
	for _, n := range names {
		m.disks = append(m.disks, images[n])
	}
	console, report := boot(t, m)
	got := answers(report)
	if _, ok := got["done"]; !ok {
		t.Fatalf("the machine did not finish; its report:\n%s\nthe end of its console:\n%s", report, tail(console))
	}
	t.Logf("the machine's report:\n%s", report)

	mounted := func(name, fs string) {
		t.Helper()
		a := got[name]
		for _, want := range []string{"mount: " + fs + " ", "table: ", " CRYPT-VERITY-", " verity ", "id: ID=interop", "all read"} {
			if a.status != "0" || !strings.Contains(a.text, want) {
				t.Errorf("%s: status %s, wanted it mounted, with %q:\n%s", name, a.status, want, a.text)
				return
			}
		}
	}
	refused := func(name string) {
		t.Helper()
		if a, ok := got[name]; !ok || a.status == "0" || strings.Contains(a.text, "mount: ") {
			t.Errorf("%s: status %s, wanted a refusal:\n%s", name, a.status, a.text)
		}
	}
	mounted("good strict", "erofs")
	mounted("good default", "erofs")
	mounted("squashfs strict", "squashfs")
	mounted("ext4 strict", "ext4")
	mounted("file strict", "erofs")
	refused("stranger strict")
	refused("unsigned strict")
	// Nothing of an image that is yet to be signed keeps it from being used in the meantime: unverified, or by its root hash.
	if a := got["unsigned default"]; a.status != "0" || !strings.Contains(a.text, "id: ID=interop") || strings.Contains(a.text, " verity ") {
		t.Errorf("unsigned default: status %s, wanted it mounted without verity:\n%s", a.status, a.text)
	}
	mounted("unsigned root-hash", "erofs")
	refused("good-other strict")
	mounted("stranger-other strict", "erofs")
	refused("good-kernel strict")
	if a := got["tampered strict"]; strings.Contains(a.text, "all read") {
		t.Errorf("tampered strict: all of it could be read:\n%s", a.text)
	}
	if !strings.Contains(report, "systemd 257 ") {
		t.Errorf("the machine's systemd is not 257:\n%s", report)
	}
}
