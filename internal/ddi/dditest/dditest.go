// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

// Package dditest makes the images that tests of packages and commands judge: a good one, and what is wrong in one way each.
package dditest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/initddi/initddi/internal/gpt"
	"github.com/initddi/initddi/internal/guid"
	"github.com/initddi/initddi/internal/image"
	"github.com/initddi/initddi/internal/keys"
)

// OSRelease is what every image's tree says of itself.
const OSRelease = "ID=example\nVERSION_ID=7\nIMAGE_ID=tiny\nIMAGE_VERSION=7.1\nPRETTY_NAME=\"Tiny 7\"\n"

// The files of a [Set], in its directory.
const (
	Good      = "good.raw"      // signed by Cert
	Stranger  = "stranger.raw"  // signed by StrangerCert
	Unsigned  = "unsigned.raw"  // with an empty signature partition
	Flipped   = "flipped.raw"   // one bit of the last data block
	FirstData = "firstdata.raw" // one bit of the file system's superblock
	Tree      = "tree.raw"      // one bit of the hash tree's root block
	Super     = "super.raw"     // the verity superblock names an unknown algorithm
	Cut       = "cut.raw"       // ends in the middle of the data partition
	BadSig    = "badsig.raw"    // one digit of the signature partition
	NoSig     = "nosig.raw"     // unsigned, without a signature partition
	WrongUUID = "uuid.raw"      // the data partition's UUID belongs to no root hash
	TwoRoots  = "two.raw"       // two data partitions
	NoRoot    = "noroot.raw"    // only a swap partition
	Backup    = "backup.raw"    // the first copy of the partition table is gone
	Foreign   = "foreign.raw"   // for another architecture than this machine's
	Empty     = "empty.raw"     // zeros

	// Images that more than one file makes, or several; [Sidecars] names the other files.
	Usr     = "usr.raw"     // of /usr alone
	Both    = "both.raw"    // for both architectures
	Beside  = "beside.raw"  // has partitions, and its signature beside it
	Bare    = "bare.raw"    // a file system without a partition table
	BareUsr = "bareusr.raw" // the same of /usr

	Cert         = "ddi.crt"
	StrangerCert = "stranger.crt"
	Signature    = "good.p7s"  // detached, of the good image's root hash
	HashFile     = "good.hash" // that root hash, in hexadecimal
)

// Set is a directory of images.
type Set struct {
	Dir      string
	RootHash string // of the good image, in hexadecimal
	Pair     keys.Pair
	t        testing.TB
}

// Images returns the names of all images.
func Images() []string {
	return []string{Good, Stranger, Unsigned, Flipped, FirstData, Tree, Super, Cut, BadSig, NoSig, WrongUUID, TwoRoots, NoRoot, Backup, Foreign, Empty}
}

// Sidecars returns the names of the files beside images.
func Sidecars() []string {
	return []string{
		"beside.roothash.p7s", "bare.roothash", "bare.roothash.p7s", "bare.verity", "bareusr.usrhash", "bareusr.usrhash.p7s", "bareusr.verity",
	}
}

// Make makes all images. It skips the test where a tool is missing.
func Make(t testing.TB) *Set {
	t.Helper()
	for _, tool := range []struct{ name, pkg string }{{"mkfs.erofs", "erofs-utils"}, {"openssl", "openssl"}} {
		if _, err := exec.LookPath(tool.name); err != nil {
			t.Skipf("needs %s (Debian package %s)", tool.name, tool.pkg)
		}
	}
	s := &Set{Dir: t.TempDir(), t: t}
	tree := s.tree()
	dir := filepath.Join(s.t.TempDir(), "keys")
	_, err := keys.Make(dir)
	s.must(err)
	// The Secure Boot key is a stranger to images.
	s.Pair = s.pair(dir, keys.Image, Cert)
	stranger := s.pair(dir, keys.SecureBoot, StrangerCert)
	arch, other := gpt.X86_64, gpt.ARM64
	if own, _ := gpt.ArchOf(runtime.GOARCH); own == gpt.ARM64 {
		arch, other = other, arch
	}
	s.RootHash = s.build(Good, tree, arch, &s.Pair)
	s.build(Stranger, tree, arch, &stranger)
	s.build(Foreign, tree, other, &s.Pair)
	s.make(Usr, tree, arch, func(o *image.Options) { o.Usr = true })
	s.must(image.Combine(s.Path(Both), []string{s.Path(Foreign), s.Path(Good)}))
	s.make(Bare, tree, arch, func(o *image.Options) { o.Bare = true })
	s.make(BareUsr, tree, arch, func(o *image.Options) { o.Bare, o.Usr = true, true })
	sig, err := s.Pair.Sign(context.Background(), []byte(s.RootHash))
	s.must(err)
	s.must(os.WriteFile(s.Path(Signature), sig, 0o644))
	s.must(os.WriteFile(s.Path(HashFile), []byte(s.RootHash), 0o644))
	s.must(os.WriteFile(s.Path("beside.roothash.p7s"), sig, 0o644))
	s.damage()
	return s
}

// Path returns the path of a file of the set.
func (s *Set) Path(name string) string { return filepath.Join(s.Dir, name) }

// damage makes the images that are wrong out of the good one.
func (s *Set) damage() {
	t := s.table(Good)
	data, hash, sig := t.Partitions[0], t.Partitions[1], t.Partitions[2]
	at := func(p gpt.Partition) int64 { return p.Offset(t.SectorSize) }
	flip := func(off int64) func([]byte) []byte {
		return func(b []byte) []byte { b[off] ^= 1; return b }
	}
	s.change(Flipped, flip(at(data)+data.Size(t.SectorSize)-4096))
	s.change(FirstData, flip(at(data)+1024+20))
	s.change(Tree, flip(at(hash)+4096))
	s.change(Super, func(b []byte) []byte { copy(b[at(hash)+32:], "crc32\x00\x00"); return b })
	s.change(Cut, func(b []byte) []byte { return b[:at(data)+4096] })
	s.change(BadSig, func(b []byte) []byte {
		i := at(sig)
		for b[i] != '"' { // the first letter of the first member's name
			i++
		}
		b[i+1] ^= 1
		return b
	})
	s.change(Backup, func(b []byte) []byte { clear(b[512:1024]); return b })
	s.change(Empty, func(b []byte) []byte { clear(b); return b })
	s.change(Unsigned, func(b []byte) []byte { clear(b[at(sig):][:sig.Size(t.SectorSize)]); return b })
	s.retable(NoSig, func(t *gpt.Table) { t.Partitions = t.Partitions[:2] })
	s.retable(Beside, func(t *gpt.Table) { t.Partitions = t.Partitions[:2] })
	s.retable(WrongUUID, func(t *gpt.Table) { t.Partitions[0].UUID[3] ^= 1 })
	s.retable(TwoRoots, func(t *gpt.Table) {
		p := t.Partitions[0]
		p.Number, p.UUID = 4, guid.MustParse("5a9c5b0e-1f0a-4d4c-9e9b-2a4a8f0f6c01")
		p.FirstLBA, p.LastLBA = t.Partitions[2].LastLBA+1, t.Partitions[2].LastLBA+8
		t.Partitions = append(t.Partitions, p)
	})
	s.retable(NoRoot, func(t *gpt.Table) {
		t.Partitions = t.Partitions[:1]
		t.Partitions[0].Type, _ = gpt.TypeOf(gpt.Swap, gpt.NoArch)
	})
}

func (s *Set) tree() string {
	tree := filepath.Join(s.t.TempDir(), "tree")
	for _, dir := range []string{"etc", "usr/lib", "sbin", "dev", "proc", "sys", "run"} {
		s.must(os.MkdirAll(filepath.Join(tree, dir), 0o755))
	}
	s.must(os.WriteFile(filepath.Join(tree, "usr/lib/os-release"), []byte(OSRelease), 0o644))
	s.must(os.WriteFile(filepath.Join(tree, "sbin/init"), []byte("#!/bin/sh\n"), 0o755))
	// More than one block of hashes, so that the tree has two levels.
	blob := make([]byte, 140*4096)
	for i := range blob {
		blob[i] = byte(i * 7 >> (i % 11))
	}
	s.must(os.WriteFile(filepath.Join(tree, "usr/lib/blob"), blob, 0o644))
	return tree
}

func (s *Set) pair(dir, name, cert string) keys.Pair {
	p := keys.In(dir, name)
	b, err := os.ReadFile(p.Cert)
	s.must(err)
	s.must(os.WriteFile(s.Path(cert), b, 0o644))
	return p
}

func (s *Set) build(name, tree string, arch gpt.Arch, pair *keys.Pair) string {
	o := image.Options{Source: tree, Output: s.Path(name), Arch: arch, Compress: "none"}
	if pair != nil {
		der, err := keys.CertificateDER(pair.Cert)
		s.must(err)
		o.Certificate, o.Signer = der, pair.Sign
	}
	res, err := image.Build(context.Background(), o)
	s.must(err)
	return res.RootHash
}

// make makes a signed image, changed by change.
func (s *Set) make(name, tree string, arch gpt.Arch, change func(*image.Options)) {
	der, err := keys.CertificateDER(s.Pair.Cert)
	s.must(err)
	o := image.Options{Source: tree, Output: s.Path(name), Arch: arch, Compress: "none", Certificate: der, Signer: s.Pair.Sign}
	change(&o)
	_, err = image.Build(context.Background(), o)
	s.must(err)
}

func (s *Set) table(name string) *gpt.Table {
	f, err := os.Open(s.Path(name))
	s.must(err)
	defer f.Close()
	info, err := f.Stat()
	s.must(err)
	t, err := gpt.Read(f, info.Size(), 0)
	s.must(err)
	if len(t.Partitions) != 3 {
		s.must(fmt.Errorf("%d partitions, not 3: %w", len(t.Partitions), errors.ErrUnsupported))
	}
	return t
}

// change writes a changed copy of the good image.
func (s *Set) change(name string, edit func([]byte) []byte) {
	b, err := os.ReadFile(s.Path(Good))
	s.must(err)
	s.must(os.WriteFile(s.Path(name), edit(b), 0o644))
}

// retable writes a copy of the good image with another partition table.
func (s *Set) retable(name string, edit func(*gpt.Table)) {
	t := s.table(Good)
	edit(t)
	s.change(name, func(b []byte) []byte { return b })
	f, err := os.OpenFile(s.Path(name), os.O_RDWR, 0)
	s.must(err)
	defer f.Close()
	info, err := f.Stat()
	s.must(err)
	s.must(gpt.Write(f, info.Size(), t))
}

func (s *Set) must(err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatal(err)
	}
}
