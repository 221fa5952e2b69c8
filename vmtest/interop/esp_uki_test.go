// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package interop

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/initddi/initddi/internal/esp"
	"github.com/initddi/initddi/internal/keys"
	"github.com/initddi/initddi/internal/uki"
)

const ukiCmdline = "console=ttyS0 quiet"

// ourUKI builds a signed UKI of Debian 13's kernel and stub, with a small file for stage 1: nothing here looks into that.
func ourUKI(t *testing.T, key keys.Pair) string {
	t.Helper()
	need(t, "osslsigncode", "osslsigncode")
	return signedUKI(t, ourOptions(t), key)
}

// ourOptions are what ourUKI is made of.
func ourOptions(t *testing.T) uki.Options {
	t.Helper()
	o := uki.Options{Cmdline: ukiCmdline, OSRelease: []byte("ID=interop\nPRETTY_NAME=interop\n"), Initrds: [][]byte{filler(100001)}}
	for _, f := range []struct {
		to   *[]byte
		name string
	}{{&o.Stub, "debian/boot/linuxx64.efi.stub"}, {&o.Kernel, "debian/boot/vmlinuz"}} {
		b, err := os.ReadFile(built(t, f.name, "./just tree"))
		if err != nil {
			t.Fatal(err)
		}
		*f.to = b
	}
	return o
}

func signedUKI(t *testing.T, o uki.Options, key keys.Pair) string {
	t.Helper()
	need(t, "osslsigncode", "osslsigncode")
	b, err := uki.Build(o)
	if err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(t.TempDir(), "our.efi")
	if err := os.WriteFile(name, b, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := uki.Sign(t.Context(), name, name, key.Key, key.Cert, uki.SignOptions{}); err != nil {
		t.Fatal(err)
	}
	return name
}

// Our UKI's signature, by the tool of those who sign for Secure Boot.
func TestOurUKISignature(t *testing.T) {
	sbverify := need(t, "sbverify", "sbsigntool")
	file := ourUKI(t, good(t))
	if text := must(t, sbverify, "--cert", good(t).Cert, file); !strings.Contains(text, "Signature verification OK") {
		t.Errorf("sbverify says:\n%s", text)
	}
	refuses(t, sbverify, "--cert", stranger(t).Cert, file)
	info, err := os.Stat(file)
	if err != nil {
		t.Fatal(err)
	}
	flip(t, file, info.Size()/2)
	refuses(t, sbverify, "--cert", good(t).Cert, file)
}

// Our UKI, as systemd's own builder sees it.
func TestOurUKIInspected(t *testing.T) {
	ukify := trixie(t, "ukify")
	file := ourUKI(t, good(t))
	dir, inside := filepath.Dir(file), "/mnt/"+filepath.Base(file)
	o := ukify(dir, "inspect", inside, "--json=short")
	if o.err != nil {
		t.Fatalf("ukify inspect: %v\n%s", o.err, o.text)
	}
	var got map[string]struct {
		Size   int64
		SHA256 string
		Text   string
	}
	// Python may warn above it.
	text := o.text[max(0, strings.IndexByte(o.text, '{')):]
	if err := json.Unmarshal([]byte(text), &got); err != nil {
		t.Fatalf("cannot read what ukify says: %v\n%s", err, o.text)
	}
	kernel, err := os.ReadFile(built(t, "debian/boot/vmlinuz", "./just tree"))
	if err != nil {
		t.Fatal(err)
	}
	release, err := os.ReadFile(built(t, "debian/boot/release", "./just tree"))
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string][]byte{".linux": kernel, ".initrd": filler(100001)} {
		sum := sha256.Sum256(want)
		if s := got[name]; s.Size != int64(len(want)) || s.SHA256 != hex.EncodeToString(sum[:]) {
			t.Errorf("ukify sees %s of %d bytes, SHA-256 %s; wanted %d, %x", name, s.Size, s.SHA256, len(want), sum)
		}
	}
	for name, want := range map[string]string{".cmdline": ukiCmdline, ".uname": strings.TrimSpace(string(release)), ".osrel": "ID=interop\nPRETTY_NAME=interop\n"} {
		if s := got[name]; s.Text != want {
			t.Errorf("ukify sees %s %q, wanted %q", name, s.Text, want)
		}
	}
	if _, ok := got[".sbat"]; !ok {
		t.Errorf("ukify sees no .sbat, only %s", text)
	}
}

// Our disk and its file system, by the tools that made such things first, with a UKI and images on it.
func TestOurESP(t *testing.T) {
	fsck := need(t, "fsck.vfat", "dosfstools")
	mcopy := need(t, "mcopy", "mtools")
	sgdisk := need(t, "sgdisk", "gdisk")
	key := good(t)
	image := ddi(t, smallTree(t, []byte("#!/bin/sh\n")), "erofs", "x86-64", &key)
	efi := filepath.Join(t.TempDir(), "boot.efi")
	if err := os.WriteFile(efi, filler(3<<20+7), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, c := range []esp.Options{
		{},
		{SectorSize: 4096},
		{FATType: 16, ESPSize: 64 << 20},
		{FATType: 32, ESPSize: 64 << 20},
		{FATType: 32, ESPSize: 300 << 20},
		{ClusterSize: 2048},
	} {
		for _, fragments := range []int{1, 50} {
			t.Run(fmt.Sprintf("sector %d FAT%d size %d cluster %d fragments %d", c.SectorSize, c.FATType, c.ESPSize>>20, c.ClusterSize, fragments), func(t *testing.T) {
				o := c
				if fragments > 1 && o.FATType == 0 {
					o.ESPSize = 64 << 20
				}
				o.Files = []esp.File{
					{Path: "/EFI/Linux/a long name that is no 8.3 name.efi", Source: efi},
					{Path: "/loader/ddi/OS_1.2.raw", Source: image, ReadOnly: true, Fragments: fragments},
				}
				disk := filepath.Join(t.TempDir(), "disk")
				table, err := esp.Build(t.Context(), disk, o)
				if err != nil {
					t.Fatal(err)
				}
				if table.SectorSize == 512 {
					// sgdisk takes an image file's sectors for 512 bytes.
					if text := must(t, sgdisk, "-v", disk); !strings.Contains(text, "No problems found") {
						t.Errorf("sgdisk -v says:\n%s", text)
					}
				}
				part := cutFirst(t, disk, table.Partitions[0].Offset(table.SectorSize), table.Partitions[0].Size(table.SectorSize))
				must(t, fsck, "-n", part)
				for path, from := range map[string]string{o.Files[0].Path: efi, o.Files[1].Path: image} {
					to := filepath.Join(t.TempDir(), "out")
					must(t, mcopy, "-i", part, "::"+path, to)
					same(t, to, from)
				}
				flip(t, part, int64(reserved(t, part))+4)
				refuses(t, fsck, "-n", part)
			})
		}
	}
}

func cutFirst(t *testing.T, disk string, offset, size int64) string {
	t.Helper()
	in, err := os.Open(disk)
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	out, err := os.Create(filepath.Join(t.TempDir(), "esp"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(out, io.NewSectionReader(in, offset, size)); err != nil {
		t.Fatal(err)
	}
	if err := out.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Name()
}

// reserved returns where the first allocation table begins.
func reserved(t *testing.T, part string) int {
	t.Helper()
	f, err := os.Open(part)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	b := make([]byte, 16)
	if _, err := io.ReadFull(f, b); err != nil {
		t.Fatal(err)
	}
	return (int(b[11]) | int(b[12])<<8) * (int(b[14]) | int(b[15])<<8)
}

func same(t *testing.T, a, b string) {
	t.Helper()
	x, err := os.ReadFile(a)
	if err != nil {
		t.Fatal(err)
	}
	y, err := os.ReadFile(b)
	if err != nil {
		t.Fatal(err)
	}
	if sha256.Sum256(x) != sha256.Sum256(y) {
		t.Errorf("%s, of %d bytes, came back as %d other bytes", b, len(y), len(x))
	}
}
