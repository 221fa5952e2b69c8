// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package interop

import (
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/initddi/initddi/internal/discover"
	"github.com/initddi/initddi/internal/dmtable"
	"github.com/initddi/initddi/internal/fsprobe"
	"github.com/initddi/initddi/internal/keys"
	"github.com/initddi/initddi/internal/plan"
	"github.com/initddi/initddi/internal/resolve"
	"github.com/initddi/initddi/internal/signature"
	"github.com/initddi/initddi/internal/verity"
)

// repart makes DDIs with some version of systemd-repart.
type repart struct {
	name        string
	fileSystems []string
	build       func(t *testing.T, tree, fs string, key keys.Pair) string
}

// reparts are the versions this is held against. 252 knows no erofs.
func reparts() []repart {
	return []repart{
		{"252", []string{"squashfs", "ext4"}, repart252},
		{"257", []string{"erofs", "squashfs", "ext4"}, repart257},
	}
}

// definitions writes the repart.d files of a verity root with a signature. minimize is a line that 252 does not know.
func definitions(t *testing.T, dir, fs, minimize string) {
	t.Helper()
	for name, text := range map[string]string{
		"10-root.conf":   "Type=root\nFormat=" + fs + "\nCopyFiles=/\nVerity=data\nVerityMatchKey=root\n" + minimize,
		"20-verity.conf": "Type=root-verity\nVerity=hash\nVerityMatchKey=root\n" + minimize,
		"30-sig.conf":    "Type=root-verity-sig\nVerity=signature\nVerityMatchKey=root\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("[Partition]\n"+text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// repart252 uses the machine's own systemd-repart, Debian 12's. It formats through loop devices.
func repart252(t *testing.T, tree, fs string, key keys.Pair) string {
	t.Helper()
	needRoot(t)
	bin := need(t, "systemd-repart", "systemd")
	needMaker(t, fs)
	if v := must(t, bin, "--version"); !strings.HasPrefix(v, "systemd 252 ") {
		missing(t, "needs systemd-repart 252 (Debian 12's systemd), this is %s", strings.SplitN(v, "\n", 2)[0])
	}
	if _, err := os.Stat("/dev/loop-control"); err != nil {
		missing(t, "needs loop devices: %v", err)
	}
	defs, out := t.TempDir(), filepath.Join(t.TempDir(), "repart.raw")
	definitions(t, defs, fs, "")
	must(t, bin, "--empty=create", "--size=auto", "--dry-run=no", "--definitions="+defs, "--root="+tree,
		"--private-key="+key.Key, "--certificate="+key.Cert, out)
	return out
}

// repart257 uses Debian 13's, in its tree.
func repart257(t *testing.T, tree, fs string, key keys.Pair) string {
	t.Helper()
	in := trixie(t, "systemd-repart")
	work := t.TempDir()
	for _, d := range []string{"defs", "root"} {
		if err := os.Mkdir(filepath.Join(work, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	minimize := "Minimize=best\n"
	if fs == "ext4" {
		minimize = "SizeMinBytes=1M\n" // minimizing is for file systems that are read-only by nature
	}
	definitions(t, filepath.Join(work, "defs"), fs, minimize)
	must(t, "cp", "-a", tree+"/.", filepath.Join(work, "root"))
	must(t, "cp", key.Key, filepath.Join(work, "key"))
	must(t, "cp", key.Cert, filepath.Join(work, "crt"))
	if o := in(work, "--empty=create", "--size=auto", "--dry-run=no", "--offline=yes", "--definitions=/mnt/defs", "--root=/mnt/root",
		"--private-key=/mnt/key", "--certificate=/mnt/crt", "/mnt/repart.raw"); o.err != nil {
		t.Fatalf("systemd-repart 257: %v\n%s", o.err, o.text)
	}
	return filepath.Join(work, "repart.raw")
}

// verdict is what our code makes of an image.
type verdict struct {
	*resolve.Authentic
	superblock *verity.Superblock
	fileSystem string
	dataOffset int64 // of the data partition in the file
}

// verified checks an image as stage 1 would, in Go alone, and every block of it.
func verified(t *testing.T, file string, trusted ...keys.Pair) (*verdict, error) {
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
	table, doc, err := discover.ReadDDI(f, info.Size(), "x86-64")
	if err != nil {
		return nil, err
	}
	p := &plan.Plan{Policy: plan.DefaultPolicy(false)}
	for _, pair := range trusted {
		pem, err := os.ReadFile(pair.Cert)
		if err != nil {
			t.Fatal(err)
		}
		certs, err := signature.ParseCertificatesPEM(pem)
		if err != nil {
			t.Fatal(err)
		}
		p.Trust = append(p.Trust, certs...)
	}
	a, refusal := resolve.Authenticate(p, filepath.Base(file), "x86-64", &resolve.Image{Table: table, Signature: doc})
	if refusal != nil {
		return nil, refusal
	}
	section := func(r dmtable.Region) *io.SectionReader { return io.NewSectionReader(f, r.Offset, r.Length) }
	data, hash := section(a.Data), section(a.Hash)
	head := make([]byte, verity.SuperblockSize)
	if _, err := hash.ReadAt(head, 0); err != nil {
		return nil, err
	}
	sb, err := verity.ParseSuperblock(head)
	if err != nil {
		return nil, err
	}
	if err := verity.Verify(data, hash, sb, a.RootHash, nil); err != nil {
		return nil, err
	}
	r, err := verity.NewReader(data, hash, sb, a.RootHash)
	if err != nil {
		return nil, err
	}
	probed, err := fsprobe.Probe(r, r.Size())
	if err != nil {
		return nil, err
	}
	return &verdict{a, sb, fmt.Sprint(probed.Type), a.Data.Offset}, nil
}

// Images by systemd-repart, verified by our code.
func TestRepartDDI(t *testing.T) {
	for _, v := range reparts() {
		for _, fs := range v.fileSystems {
			t.Run(v.name+"/"+fs, func(t *testing.T) {
				file := v.build(t, smallTree(t, []byte("#!/bin/sh\n")), fs, good(t))
				a, err := verified(t, file, stranger(t), good(t))
				if err != nil {
					t.Fatal(err)
				}
				if a.fileSystem != fs || a.Signer == nil || a.Signer.Subject != "interop good" {
					t.Errorf("got file system %s, signer %v; wanted %s and interop good", a.fileSystem, a.Signer, fs)
				}
				t.Logf("verity blocks of %d and %d bytes", a.superblock.DataBlockSize, a.superblock.HashBlockSize)
				// The same root hash for cryptsetup.
				p := cutOut(t, file)
				if got := hex.EncodeToString(a.RootHash); got != p.rootHash {
					t.Errorf("root hash %s, the partitions' UUIDs make %s", got, p.rootHash)
				}
				must(t, need(t, "veritysetup", "cryptsetup-bin"), "verify", p.data, p.hash, p.rootHash)

				var refusal *resolve.Refusal
				if _, err := verified(t, file, stranger(t)); !errors.As(err, &refusal) || refusal.Rule != resolve.RuleSigned {
					t.Errorf("with a stranger's certificate alone: %v, wanted a refusal by rule %s", err, resolve.RuleSigned)
				}
				flip(t, file, a.dataOffset+2*int64(a.superblock.DataBlockSize))
				var corrupt *verity.CorruptError
				if _, err := verified(t, file, good(t)); !errors.As(err, &corrupt) || corrupt.Level != verity.DataLevel || corrupt.Block != 2 {
					t.Errorf("with a bit of data block 2 flipped: %v, wanted that block reported", err)
				}
			})
		}
	}
}

// signatureOf returns an image's signature and what was signed.
func signatureOf(t *testing.T, file string) (der, content []byte) {
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
	_, doc, err := discover.ReadDDI(f, info.Size(), "x86-64")
	if err != nil {
		t.Fatal(err)
	}
	if doc == nil {
		t.Fatalf("%s has no signature partition", file)
	}
	return doc.Signature, signature.Content(doc.RootHash)
}
