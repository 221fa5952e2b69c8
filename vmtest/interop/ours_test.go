// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package interop

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// trixie returns a function that runs a program inside the Debian 13 tree, with dir as its /mnt.
func trixie(t *testing.T, program string) func(dir string, args ...string) output {
	t.Helper()
	needRoot(t)
	need(t, "unshare", "util-linux")
	tree := built(t, "interop/trixie", "./just interop")
	if _, err := os.Stat(filepath.Join(tree, "usr/bin", program)); err != nil {
		missing(t, "needs %s in build/interop/trixie (./just interop makes it)", program)
	}
	// Programs find each other in the tree, whatever this machine finds where. Those of systemd want /proc, and repart /dev with its
	// loop devices. The mounts go with their name space.
	const enter = `tree=$1 dir=$2; shift 2
		mount --bind "$dir" "$tree/mnt"
		mount -t proc proc "$tree/proc"
		mount --rbind /dev "$tree/dev"
		mount -t sysfs sysfs "$tree/sys"
		mount -t tmpfs tmpfs "$tree/run"
		mount -t tmpfs tmpfs "$tree/tmp"
		mount -t tmpfs tmpfs "$tree/var/tmp"
		exec chroot "$tree" /usr/bin/env PATH=/usr/sbin:/usr/bin "$@"`
	return func(dir string, args ...string) output {
		t.Helper()
		return run(t, []string{"SYSTEMD_LOG_LEVEL=info"}, "unshare",
			append([]string{"--mount", "--propagation", "private", "sh", "-euc", enter, "sh", tree, dir, program}, args...)...)
	}
}

// Our images, held against the tools that define the formats.
func TestOurDDI(t *testing.T) {
	key := good(t)
	tree := smallTree(t, []byte("#!/bin/sh\n"))
	for _, fs := range []string{"erofs", "squashfs", "ext4"} {
		t.Run(fs, func(t *testing.T) {
			file := ddi(t, tree, fs, "x86-64", &key)
			t.Run("veritysetup", func(t *testing.T) { testVeritysetup(t, file) })
			t.Run("sgdisk", func(t *testing.T) { testSgdisk(t, file) })
			t.Run("fsck", func(t *testing.T) { testFsck(t, fs, cutOut(t, file).data) })
			t.Run("dissect", func(t *testing.T) { testDissect(t, file) })
			t.Run("smime", func(t *testing.T) { testSMIME(t, file) })
		})
	}
}

func testVeritysetup(t *testing.T, file string) {
	veritysetup := need(t, "veritysetup", "cryptsetup-bin")
	p := cutOut(t, file)
	must(t, veritysetup, "verify", p.data, p.hash, p.rootHash)
	flip(t, p.data, 8193)
	refuses(t, veritysetup, "verify", p.data, p.hash, p.rootHash)
	flip(t, p.data, 8193)
	flip(t, p.hash, 4096+5)
	refuses(t, veritysetup, "verify", p.data, p.hash, p.rootHash)
}

func testSgdisk(t *testing.T, file string) {
	sgdisk := need(t, "sgdisk", "gdisk")
	if text := must(t, sgdisk, "-v", file); !strings.Contains(text, "No problems found") {
		t.Errorf("sgdisk -v says:\n%s", text)
	}
	bad := copyFile(t, file)
	flip(t, bad, 1024) // the first partition's type
	if text := run(t, nil, sgdisk, "-v", bad).text; strings.Contains(text, "No problems found") {
		t.Errorf("sgdisk -v takes a damaged table:\n%s", text)
	}
}

func testFsck(t *testing.T, fs, data string) {
	switch fs {
	case "erofs":
		must(t, need(t, "fsck.erofs", "erofs-utils"), "--extract", data)
	case "squashfs":
		must(t, need(t, "unsquashfs", "squashfs-tools"), "-d", filepath.Join(t.TempDir(), "x"), data)
	case "ext4":
		must(t, need(t, "e2fsck", "e2fsprogs"), "-f", "-n", data)
	}
}

// testDissect asks systemd 257 for its opinion of the partitions, under policies that it must and must not satisfy.
func testDissect(t *testing.T, file string) {
	dissect := trixie(t, "systemd-dissect")
	dir := filepath.Dir(file)
	inside := "/mnt/" + filepath.Base(file)
	for _, policy := range []string{"root=signed+absent:=ignore", "root=signed:=absent", "root=verity", "*"} {
		if o := dissect(dir, "--validate", "--image-policy="+policy, inside); o.err != nil {
			t.Errorf("systemd-dissect --validate --image-policy=%s: %v\n%s", policy, o.err, o.text)
		}
	}
	if o := dissect(dir, "--validate", inside); o.err != nil || !strings.Contains(o.text, "OK") {
		t.Errorf("systemd-dissect --validate: %v\n%s", o.err, o.text)
	}
	for _, policy := range []string{"root=encrypted", "root=absent", "~"} {
		if o := dissect(dir, "--validate", "--image-policy="+policy, inside); o.err == nil {
			t.Errorf("systemd-dissect --validate --image-policy=%s takes the image:\n%s", policy, o.text)
		}
	}
}

// testSMIME verifies the signature as anybody with openssl would.
func testSMIME(t *testing.T, file string) {
	openssl := need(t, "openssl", "openssl")
	dir := t.TempDir()
	sig, content := signatureOf(t, file)
	for name, data := range map[string][]byte{"sig": sig, "content": content} {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	args := []string{"smime", "-verify", "-binary", "-inform", "DER", "-in", filepath.Join(dir, "sig"), "-content", filepath.Join(dir, "content"),
		"-certfile", good(t).Cert, "-nointern", "-noverify", "-out", filepath.Join(dir, "out")}
	must(t, openssl, args...)
	flip(t, filepath.Join(dir, "content"), 3)
	refuses(t, openssl, args...)
}

// An image without a signature has the right partitions too. --validate looks at those alone: whether the signature is there,
// and good, comes out only when systemd mounts it (TestDissectMount).
func TestOurUnsignedDDI(t *testing.T) {
	dissect := trixie(t, "systemd-dissect")
	file := ddi(t, smallTree(t, []byte("#!/bin/sh\n")), "erofs", "x86-64", nil)
	if o := dissect(filepath.Dir(file), "--validate", "--image-policy=root=verity+absent:=ignore", "/mnt/"+filepath.Base(file)); o.err != nil {
		t.Errorf("systemd-dissect --validate with root=verity: %v\n%s", o.err, o.text)
	}
}
