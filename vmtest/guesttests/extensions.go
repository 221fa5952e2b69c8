// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package main

import (
	"context"
	"os"
	"path/filepath"

	"github.com/initddi/initddi/internal/gpt"
	"github.com/initddi/initddi/internal/image"
	"github.com/initddi/initddi/internal/initramfs"
	"github.com/initddi/initddi/internal/keys"
)

// sampleExtensions makes extension images, called as their files say, that the tests in the machine find in the directory extensions, and the
// certificate of those who signed the good ones.
func sampleExtensions(ctx context.Context, tmp string) ([]initramfs.File, error) {
	var pairs [2]keys.Pair // ours, and a stranger's
	for i, dir := range []string{"ours", "stranger"} {
		if _, err := keys.MakeOf(filepath.Join(tmp, dir), "ecdsa-p256"); err != nil {
			return nil, err
		}
		pairs[i] = keys.In(filepath.Join(tmp, dir), keys.Image)
	}
	cert, err := os.ReadFile(pairs[0].Cert)
	if err != nil {
		return nil, err
	}
	out := []initramfs.File{{Name: "tests/extensions/ours.crt", Data: cert}}
	const usr, etc = "usr/lib/extension-release.d/extension-release.", "etc/extension-release.d/extension-release."
	for _, e := range []struct {
		name   string
		signer int // index of pairs, -1 for none
		files  map[string]string
		change func(*image.Options)
		edit   func([]byte)
		strip  bool // of what is not the file system
	}{
		{name: "signed", files: map[string]string{usr + "signed": "ID=debian\nVERSION_ID=13\n", "usr/bin/signed": "1", "opt/signed": "1"}},
		{name: "versioned", files: map[string]string{usr + "versioned": "ID=_any\n", "usr/bin/versioned": "2"}},
		{name: "usr", files: map[string]string{usr + "usr": "ID=_any\n", "usr/bin/usr": "1"}, change: func(o *image.Options) { o.Usr = true }},
		{name: "other", files: map[string]string{usr + "other": "ID=other\n", "usr/bin/other": "1"}},
		{name: "conf", files: map[string]string{etc + "conf": "ID=_any\n", "etc/conf": "1"}},
		{name: "forbidden", files: map[string]string{usr + "forbidden": "ID=_any\n", "usr/lib/os-release": "ID=x\n"}},
		{name: "stranger", signer: 1, files: map[string]string{usr + "stranger": "ID=_any\n", "usr/bin/stranger": "1"}},
		{name: "unsigned", signer: -1, files: map[string]string{usr + "unsigned": "ID=_any\n", "usr/bin/unsigned": "1"}},
		{name: "alone", signer: -1, files: map[string]string{usr + "alone": "ID=_any\n", "usr/bin/alone": "1"}, change: func(o *image.Options) { o.Bare = true }},
		{name: "alone-ext4", signer: -1, files: map[string]string{usr + "alone-ext4": "ID=_any\n", "usr/bin/alone-ext4": "1"}, change: func(o *image.Options) { o.Bare, o.FileSystem = true, "ext4" }},
		{name: "stripped", signer: -1, files: map[string]string{usr + "stripped": "ID=_any\n", "usr/bin/stripped": "1"}, strip: true},
		{name: "flipped", files: map[string]string{usr + "flipped": "ID=_any\n", "usr/bin/flipped": "1"}, edit: func(b []byte) { b[1<<20+1024+20] ^= 1 }},
	} {
		tree, file := filepath.Join(tmp, "extension-"+e.name), filepath.Join(tmp, e.name+".raw")
		for name, text := range e.files {
			name = filepath.Join(tree, name)
			if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
				return nil, err
			}
			if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
				return nil, err
			}
		}
		o := image.Options{Source: tree, Output: file, Arch: gpt.X86_64}
		if e.signer >= 0 {
			o.Signer = pairs[e.signer].Sign
			if o.Certificate, err = keys.CertificateDER(pairs[e.signer].Cert); err != nil {
				return nil, err
			}
		}
		if e.change != nil {
			e.change(&o)
		}
		if _, err := image.Build(ctx, o); err != nil {
			return nil, err
		}
		if e.strip {
			if err := strip(file); err != nil {
				return nil, err
			}
		}
		b, err := os.ReadFile(file)
		if err != nil {
			return nil, err
		}
		if e.edit != nil {
			e.edit(b)
		}
		out = append(out, initramfs.File{Name: "tests/extensions/" + e.name + ".raw", Data: b})
	}
	return out, nil
}

// strip leaves the first partition of an image alone.
func strip(file string) error {
	f, err := os.OpenFile(file, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	table, err := gpt.Read(f, info.Size(), 0)
	if err != nil {
		return err
	}
	table.Partitions = table.Partitions[:1]
	if err := gpt.Write(f, info.Size(), table); err != nil {
		return err
	}
	return f.Close()
}
