// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package image

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/initddi/initddi/internal/fsprobe"
	"github.com/initddi/initddi/internal/gpt"
	"github.com/initddi/initddi/internal/keys"
	"github.com/initddi/initddi/internal/program"
	"github.com/initddi/initddi/internal/signature"
	"github.com/initddi/initddi/internal/verity"
)

func need(t *testing.T, tool, pkg string) {
	t.Helper()
	if _, err := exec.LookPath(tool); err != nil {
		t.Skipf("needs %s (Debian package %s)", tool, pkg)
	}
}

// tree makes a small tree. Its times are now: nothing of them may be seen in the image.
func tree(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "tree")
	for name, size := range map[string]int{"etc/os-release": 20, "usr/lib/blob": 700_000, "sbin/init": 3} {
		name = filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		b := make([]byte, size)
		for i := range b {
			b[i] = byte(i * i >> 8)
		}
		if err := os.WriteFile(name, b, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink("usr/lib", filepath.Join(dir, "lib")); err != nil {
		t.Fatal(err)
	}
	return dir
}

// signerOf makes a key that signs images; the Secure Boot one, because it is made faster.
func signerOf(t *testing.T) keys.Pair {
	t.Helper()
	need(t, "openssl", "openssl")
	dir := t.TempDir()
	p := keys.In(dir, "x")
	out, err := exec.Command("openssl", "req", "-x509", "-nodes", "-newkey", "rsa:2048", "-keyout", p.Key, "-out", p.Cert, "-subj", "/CN=test").CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return p
}

func build(t *testing.T, o Options) *Result {
	t.Helper()
	res, err := Build(context.Background(), o)
	if err != nil {
		t.Fatal(err)
	}
	return res
}

func read(t *testing.T, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// parts reads an image's table and copies its partitions into files.
func parts(t *testing.T, name string) (table *gpt.Table, data, hash string, sig []byte) {
	t.Helper()
	b := read(t, name)
	table, err := gpt.Read(bytes.NewReader(b), int64(len(b)), 0)
	if err != nil {
		t.Fatal(err)
	}
	if len(table.Partitions) < 2 || table.Backup {
		t.Fatalf("%+v", table)
	}
	var files []string
	for i, p := range table.Partitions {
		piece := b[p.Offset(table.SectorSize):][:p.Size(table.SectorSize)]
		if i == 2 {
			sig = piece
		}
		file := filepath.Join(t.TempDir(), fmt.Sprint(i))
		if err := os.WriteFile(file, piece, 0o644); err != nil {
			t.Fatal(err)
		}
		files = append(files, file)
	}
	return table, files[0], files[1], sig
}

func TestBuild(t *testing.T) {
	need(t, "mkfs.erofs", "erofs-utils")
	pair := signerOf(t)
	der, err := keys.CertificateDER(pair.Cert)
	if err != nil {
		t.Fatal(err)
	}
	src := tree(t)
	for _, fs := range []struct {
		name, tool, pkg string
		magic           string
	}{{"", "mkfs.erofs", "erofs-utils", "erofs"}, {"squashfs", "mksquashfs", "squashfs-tools", "squashfs"}, {"ext4", "mke2fs", "e2fsprogs", "ext4"}} {
		for _, sector := range []int64{0, 4096} {
			block := uint32(sector / 4) // and so the default with the default
			t.Run(fmt.Sprint(fs.magic, sector), func(t *testing.T) {
				need(t, fs.tool, fs.pkg)
				out := filepath.Join(t.TempDir(), "os.raw")
				var steps []string
				o := Options{Source: src, Output: out, FileSystem: fs.name, Arch: gpt.X86_64, SectorSize: sector, DataBlockSize: block, Signer: pair.Sign, Certificate: der,
					Progress: func(what string, done, total int64) {
						if len(steps) == 0 || steps[len(steps)-1] != what {
							steps = append(steps, what)
						}
						if total != 0 && done > total {
							t.Errorf("%s: %d of %d", what, done, total)
						}
					}}
				res := build(t, o)
				checkImage(t, out, res, fs.magic, sector, pair)
				if got := strings.Join(steps, ", "); got != "making "+fs.magic+", hashing" {
					t.Errorf("the steps are %s", got)
				}
				left, err := filepath.Glob(filepath.Join(filepath.Dir(out), ".*"))
				if err != nil || len(left) != 0 {
					t.Errorf("left behind: %v", left)
				}
			})
		}
	}
}

// checkImage holds an image against the Discoverable Partitions Specification, with tools that others wrote.
func checkImage(t *testing.T, name string, res *Result, magic string, sector int64, pair keys.Pair) {
	t.Helper()
	table, data, hash, sig := parts(t, name)
	if want := max(sector, 512); table.SectorSize != want {
		t.Errorf("sectors of %d bytes", table.SectorSize)
	}
	rootHash, err := hex.DecodeString(res.RootHash)
	if err != nil {
		t.Fatal(err)
	}
	dataUUID, hashUUID, err := gpt.RootHashUUIDs(rootHash)
	if err != nil {
		t.Fatal(err)
	}
	kinds := []gpt.Designator{gpt.Root, gpt.RootVerity, gpt.RootVeritySig}
	if !res.Signed {
		kinds = kinds[:2]
	}
	if len(table.Partitions) != len(kinds) {
		t.Fatalf("%d partitions, wanted %v", len(table.Partitions), kinds)
	}
	for i, want := range kinds {
		p := table.Partitions[i]
		d, arch, _ := gpt.Lookup(p.Type)
		if d != want || arch != gpt.X86_64 || p.Attributes != gpt.AttrReadOnly || p.Offset(table.SectorSize)%align != 0 {
			t.Errorf("partition %d: %+v", i, p)
		}
	}
	if table.Partitions[0].UUID != dataUUID || table.Partitions[1].UUID != hashUUID {
		t.Error("the UUIDs are not the root hash's")
	}
	if info, err := os.Stat(name); err != nil || info.Size() != res.Size {
		t.Errorf("%d bytes, said %d", info.Size(), res.Size)
	}
	f, err := os.Open(data)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if probe, err := fsprobe.Probe(f, res.Data); err != nil || probe.Type != magic {
		t.Errorf("the file system is %v, %v", probe, err)
	}
	if path, err := exec.LookPath("e2fsck"); err == nil && magic == "ext4" {
		if out, err := exec.Command(path, "-fn", data).CombinedOutput(); err != nil {
			t.Errorf("e2fsck: %v: %s", err, out)
		}
	}
	if res.Signed {
		doc, err := signature.ParseDocument(sig)
		if err != nil || !bytes.Equal(doc.RootHash, rootHash) {
			t.Fatalf("%v, %v", doc, err)
		}
		checkSignature(t, doc, pair)
	}
	if path, err := exec.LookPath("sgdisk"); err == nil && sector <= 512 {
		if out, err := exec.Command(path, "-v", name).CombinedOutput(); err != nil || !bytes.Contains(out, []byte("No problems found")) {
			t.Errorf("sgdisk -v: %v: %s", err, out)
		}
	}
	checkVerity(t, data, hash, res, rootHash)
}

func checkSignature(t *testing.T, doc *signature.Document, pair keys.Pair) {
	t.Helper()
	certs, err := signature.ParseCertificatesPEM(read(t, pair.Cert))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := signature.Verify(doc.Signature, signature.Content(doc.RootHash), certs); err != nil {
		t.Error(err)
	}
	if fp := certs[0].Fingerprint(); !bytes.Equal(doc.CertificateFingerprint, fp[:]) {
		t.Error("the fingerprint is another one's")
	}
}

func checkVerity(t *testing.T, data, hash string, res *Result, rootHash []byte) {
	t.Helper()
	if path, err := exec.LookPath("veritysetup"); err == nil {
		if out, err := exec.Command(path, "verify", data, hash, res.RootHash).CombinedOutput(); err != nil {
			t.Errorf("veritysetup: %v: %s", err, out)
		}
		rootHash[0] ^= 1
		if err := exec.Command(path, "verify", data, hash, hex.EncodeToString(rootHash)).Run(); err == nil {
			t.Error("veritysetup takes another root hash too")
		}
		rootHash[0] ^= 1
	} else {
		t.Log("not asked: veritysetup (Debian package cryptsetup-bin)")
	}
	b := read(t, hash)
	sb, err := verity.ParseSuperblock(b)
	if err != nil {
		t.Fatal(err)
	}
	if sb.HashTreeSize() != res.Hash || sb.DataSize() != res.Data {
		t.Errorf("%d and %d bytes, said %d and %d", sb.DataSize(), sb.HashTreeSize(), res.Data, res.Hash)
	}
	if err := verity.Verify(bytes.NewReader(read(t, data)), bytes.NewReader(b), sb, rootHash, nil); err != nil {
		t.Error(err)
	}
}

func TestReproducible(t *testing.T) {
	need(t, "mkfs.erofs", "erofs-utils")
	pair := signerOf(t)
	src := tree(t)
	for _, fs := range []struct{ name, tool, pkg string }{{"erofs", "mkfs.erofs", "erofs-utils"}, {"squashfs", "mksquashfs", "squashfs-tools"}, {"ext4", "mke2fs", "e2fsprogs"}} {
		t.Run(fs.name, func(t *testing.T) {
			need(t, fs.tool, fs.pkg)
			image := func(source string, stamp int64) []byte {
				out := filepath.Join(t.TempDir(), "os.raw")
				build(t, Options{Source: source, Output: out, FileSystem: fs.name, Arch: gpt.X86_64, Time: stamp, Signer: pair.Sign})
				return read(t, out)
			}
			first := image(src, 1)
			again := time.Now().Add(-time.Hour)
			for _, name := range []string{"etc/os-release", "etc"} {
				if err := os.Chtimes(filepath.Join(src, name), again, again); err != nil {
					t.Fatal(err)
				}
			}
			second := image(src, 1)
			if !bytes.Equal(first, second) {
				t.Error("the same tree makes two images")
			}
			if bytes.Equal(first, image(src, 2)) {
				t.Error("the time makes no difference")
			}
		})
	}
}

// TestArchive builds from a tar archive what it builds from the directory.
func TestArchive(t *testing.T) {
	need(t, "mkfs.erofs", "erofs-utils")
	need(t, "tar", "tar")
	if os.Geteuid() != 0 {
		t.Skip("needs root: the files of an archive have owners")
	}
	src := tree(t)
	archive := filepath.Join(t.TempDir(), "tree.tar")
	if out, err := exec.Command("tar", "-C", src, "-cf", archive, ".").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	a := build(t, Options{Source: src, Output: filepath.Join(t.TempDir(), "os.raw"), Arch: gpt.X86_64})
	b := build(t, Options{Source: archive, Output: filepath.Join(t.TempDir(), "os.raw"), Arch: gpt.X86_64})
	if a.RootHash != b.RootHash {
		t.Error("the archive and the directory make two images")
	}
}

func TestBuildErrors(t *testing.T) {
	need(t, "mkfs.erofs", "erofs-utils")
	src := tree(t)
	fails := errors.New("no token")
	for _, test := range []struct {
		name string
		o    Options
		want error
	}{
		{"file system", Options{Source: src, FileSystem: "vfat", Arch: gpt.X86_64}, ErrUnsupported},
		{"architecture", Options{Source: src, Arch: "pdp11"}, ErrUnsupported},
		{"no architecture", Options{Source: src}, ErrUnsupported},
		{"no tree", Options{Source: src + "x", Arch: gpt.X86_64}, os.ErrNotExist},
		{"signer", Options{Source: src, Arch: gpt.X86_64, Signer: func(context.Context, []byte) ([]byte, error) { return nil, fails }}, fails},
		{"sector size", Options{Source: src, Arch: gpt.X86_64, SectorSize: 777}, gpt.ErrInvalid},
		{"data block size", Options{Source: src, Arch: gpt.X86_64, DataBlockSize: 777}, verity.ErrUnsupported},
		{"compressor", Options{Source: src, Arch: gpt.X86_64, Compress: "nonsense"}, nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			test.o.Output = filepath.Join(t.TempDir(), "os.raw")
			res, err := Build(context.Background(), test.o)
			if err == nil || res != nil || test.want != nil && !errors.Is(err, test.want) {
				t.Errorf("%v, %v, want %v", res, err, test.want)
			}
			if left, _ := os.ReadDir(filepath.Dir(test.o.Output)); len(left) != 0 {
				t.Errorf("left behind: %v", left)
			}
		})
	}
	// What is there stays until something better is complete.
	out := filepath.Join(t.TempDir(), "os.raw")
	if err := os.WriteFile(out, []byte("old"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := Build(context.Background(), Options{Source: src, Output: out, Arch: "pdp11"}); err == nil || string(read(t, out)) != "old" {
		t.Error("the old image is gone")
	}
	t.Setenv("PATH", t.TempDir())
	if _, err := Build(context.Background(), Options{Source: src, Output: out, Arch: gpt.X86_64}); !errors.Is(err, program.ErrMissing) || !strings.Contains(err.Error(), "erofs-utils") {
		t.Error(err)
	}
}
