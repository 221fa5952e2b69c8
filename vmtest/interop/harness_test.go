// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package interop

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/initddi/initddi/internal/esp"
	"github.com/initddi/initddi/internal/gpt"
	"github.com/initddi/initddi/internal/image"
	"github.com/initddi/initddi/internal/keys"
)

// scratch is removed when the tests end.
var scratch string

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "initddi-interop-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	scratch = dir
	code := m.Run()
	if err := os.RemoveAll(dir); err != nil {
		fmt.Fprintln(os.Stderr, err)
	}
	os.Exit(code)
}

// checkout is the top of the source tree.
func checkout(t *testing.T) string {
	t.Helper()
	dir, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

// missing skips a test, or fails it where everything is required.
func missing(t *testing.T, format string, args ...any) {
	t.Helper()
	if os.Getenv("INITDDI_REQUIRE") == "all" {
		t.Fatalf(format+" (INITDDI_REQUIRE=all)", args...)
	}
	t.Skipf(format, args...)
}

// need returns the path of a program, or skips.
func need(t *testing.T, tool, pkg string) string {
	t.Helper()
	for _, name := range []string{tool, "/usr/sbin/" + tool} {
		if p, err := exec.LookPath(name); err == nil {
			return p
		}
	}
	missing(t, "needs %s (Debian package %s)", tool, pkg)
	return ""
}

// needMaker skips without the program that makes the file system.
func needMaker(t *testing.T, fs string) {
	t.Helper()
	switch fs {
	case "erofs":
		need(t, "mkfs.erofs", "erofs-utils")
	case "squashfs":
		need(t, "mksquashfs", "squashfs-tools")
	case "ext4":
		need(t, "mke2fs", "e2fsprogs")
	}
}

func needRoot(t *testing.T) {
	t.Helper()
	if os.Getuid() != 0 {
		missing(t, "needs root, for a chroot and loop devices")
	}
}

// slow skips what takes long unless it was asked for.
func slow(t *testing.T) {
	t.Helper()
	if os.Getenv("INITDDI_SLOW") == "" && os.Getenv("INITDDI_REQUIRE") != "all" {
		t.Skip("takes minutes: ./just interop and ./just test-build run it (INITDDI_SLOW=1)")
	}
}

// built returns the path of something below build/, which a recipe makes.
func built(t *testing.T, name, recipe string) string {
	t.Helper()
	p := filepath.Join(checkout(t), "build", name)
	if _, err := os.Stat(p); err != nil {
		missing(t, "needs build/%s (%s makes it)", name, recipe)
	}
	return p
}

// output is what a program said and how it ended.
type output struct {
	text string
	err  error
}

// run runs a program; env is added to its environment.
func run(t *testing.T, env []string, name string, args ...string) output {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), name, args...)
	cmd.Env = append(os.Environ(), append([]string{"LC_ALL=C.UTF-8"}, env...)...)
	b, err := cmd.CombinedOutput()
	return output{strings.TrimSpace(string(b)), err}
}

// must runs a program that has to succeed.
func must(t *testing.T, name string, args ...string) string {
	t.Helper()
	o := run(t, nil, name, args...)
	if o.err != nil {
		t.Fatalf("%s %s: %v\n%s", filepath.Base(name), strings.Join(args, " "), o.err, o.text)
	}
	return o.text
}

// refuses runs a program that has to end with an exit status other than 0, and returns what it said.
func refuses(t *testing.T, name string, args ...string) string {
	t.Helper()
	o := run(t, nil, name, args...)
	var exit *exec.ExitError
	if !errors.As(o.err, &exit) {
		t.Errorf("%s %s: got %v, wanted a refusal\n%s", filepath.Base(name), strings.Join(args, " "), o.err, o.text)
	}
	return o.text
}

// pair makes a key with a self-signed certificate.
func pair(t *testing.T, name string, bits int) keys.Pair {
	t.Helper()
	openssl := need(t, "openssl", "openssl")
	p := keys.In(scratch, name)
	if _, err := os.Stat(p.Cert); err == nil {
		return p
	}
	must(t, openssl, "req", "-x509", "-newkey", fmt.Sprintf("rsa:%d", bits), "-noenc", "-sha256", "-days", "3650",
		"-subj", "/CN=interop "+name, "-keyout", p.Key, "-out", p.Cert)
	return p
}

func good(t *testing.T) keys.Pair     { return pair(t, "good", 2048) }
func stranger(t *testing.T) keys.Pair { return pair(t, "stranger", 2048) }

// smallTree makes the tree of a boot image around an init.
func smallTree(t *testing.T, init []byte) string {
	t.Helper()
	dir := t.TempDir()
	for _, d := range []string{"dev", "proc", "sys", "run", "etc", "sbin", "usr/lib"} {
		if err := os.MkdirAll(filepath.Join(dir, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for name, data := range map[string][]byte{
		"sbin/init":          init,
		"usr/lib/os-release": []byte("ID=interop\nVERSION_ID=1\n"),
		"usr/lib/filler":     filler(1 << 20),
	} {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink("../usr/lib/os-release", filepath.Join(dir, "etc/os-release")); err != nil {
		t.Fatal(err)
	}
	return dir
}

// filler makes bytes that do not compress, the same each time, so that images have more than a block.
func filler(n int) []byte {
	var out []byte
	sum := sha256.Sum256([]byte("filler"))
	for len(out) < n {
		out = append(out, sum[:]...)
		sum = sha256.Sum256(sum[:])
	}
	return out[:n]
}

// ddi builds an image with our own code; without a key it is unsigned.
func ddi(t *testing.T, tree, fs string, arch gpt.Arch, key *keys.Pair) string {
	t.Helper()
	needMaker(t, fs)
	o := image.Options{Source: tree, Output: filepath.Join(t.TempDir(), fs+".raw"), FileSystem: fs, Arch: arch}
	if key != nil {
		der, err := keys.CertificateDER(key.Cert)
		if err != nil {
			t.Fatal(err)
		}
		o.Certificate, o.Signer = der, key.Sign
	}
	if _, err := image.Build(context.Background(), o); err != nil {
		t.Fatal(err)
	}
	return o.Output
}

// signedBy builds an erofs image that is signed with another digest than usual.
func signedBy(t *testing.T, tree string, arch gpt.Arch, key keys.Pair, digest string) string {
	t.Helper()
	need(t, "mkfs.erofs", "erofs-utils")
	der, err := keys.CertificateDER(key.Cert)
	if err != nil {
		t.Fatal(err)
	}
	o := image.Options{Source: tree, Output: filepath.Join(t.TempDir(), digest+".raw"), Arch: arch, Certificate: der}
	o.Signer = func(ctx context.Context, content []byte) ([]byte, error) {
		cmd := exec.CommandContext(ctx, "openssl", "smime", "-sign", "-binary", "-noattr", "-outform", "DER", "-md", digest, "-signer", key.Cert, "-inkey", key.Key)
		cmd.Stdin = bytes.NewReader(content)
		return cmd.Output()
	}
	if _, err := image.Build(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	return o.Output
}

// espDisk makes a disk with the image on its ESP, and says where the ESP is.
func espDisk(t *testing.T, file string) (disk string, size, start, length int64) {
	t.Helper()
	need(t, "mkfs.vfat", "dosfstools")
	need(t, "mcopy", "mtools")
	disk = filepath.Join(t.TempDir(), "disk")
	table, err := esp.Build(t.Context(), disk, esp.Options{Files: []esp.File{{Path: "/loader/ddi/image.raw", Source: file, ReadOnly: true}}})
	if err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(disk)
	if err != nil {
		t.Fatal(err)
	}
	p := table.Partitions[0]
	return disk, info.Size(), p.Offset(table.SectorSize), p.Size(table.SectorSize)
}

// parts are an image's partitions, cut out into files of their own.
type parts struct {
	data, hash, rootHash string
}

func cutOut(t *testing.T, file string) parts {
	t.Helper()
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	table, err := gpt.Read(f, info.Size(), 0)
	if err != nil {
		t.Fatal(err)
	}
	var p parts
	dir := t.TempDir()
	cut := func(q gpt.Partition, name string) string {
		out, err := os.Create(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.Copy(out, io.NewSectionReader(f, q.Offset(table.SectorSize), q.Size(table.SectorSize))); err != nil {
			t.Fatal(err)
		}
		if err := out.Close(); err != nil {
			t.Fatal(err)
		}
		return out.Name()
	}
	var first, last string
	for _, q := range table.Partitions {
		switch d, _, _ := gpt.Lookup(q.Type); d {
		case gpt.Root:
			p.data, first = cut(q, "data"), fmt.Sprintf("%x", q.UUID[:])
		case gpt.RootVerity:
			p.hash, last = cut(q, "hash"), fmt.Sprintf("%x", q.UUID[:])
		}
	}
	p.rootHash = first + last
	if len(p.rootHash) != 64 {
		t.Fatalf("the partition UUIDs of %s make no root hash: %q", file, p.rootHash)
	}
	return p
}

// flip changes one byte of a file.
func flip(t *testing.T, file string, at int64) {
	t.Helper()
	f, err := os.OpenFile(file, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	b := make([]byte, 1)
	if _, err := f.ReadAt(b, at); err != nil {
		t.Fatal(err)
	}
	b[0] ^= 1
	if _, err := f.WriteAt(b, at); err != nil {
		t.Fatal(err)
	}
}

// copyFile copies a file to a new one in a directory of its own.
func copyFile(t *testing.T, from string) string {
	t.Helper()
	b, err := os.ReadFile(from)
	if err != nil {
		t.Fatal(err)
	}
	to := filepath.Join(t.TempDir(), filepath.Base(from))
	if err := os.WriteFile(to, b, 0o644); err != nil {
		t.Fatal(err)
	}
	return to
}
