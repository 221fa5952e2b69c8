// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package vmtest

import (
	"bytes"
	"context"
	"io"
	"os"
	"path/filepath"

	"github.com/initddi/initddi/internal/keys"
	"github.com/initddi/initddi/internal/uki"
)

// policySections returns the sections .pcrpkey and .pcrsig for a UKI: a public key, and that key's signature over the value that PCR 11
// has when the initrd unlocks the disk. Systemd-measure of the initrd image's own packages computes and signs it.
func (w *Workshop) policySections(ctx context.Context, key string, o uki.Options) ([]uki.Section, error) {
	pair, err := w.pair(key)
	if err != nil {
		return nil, err
	}
	// Of the two keys made at once, the one for Secure Boot has 2048 bits: TPMs load none of an image key's 4096.
	pair = keys.In(filepath.Dir(pair.Key), keys.SecureBoot)
	tools, err := w.measureTools(ctx)
	if err != nil {
		return nil, err
	}
	public, err := w.run(ctx, nil, "openssl", "pkey", "-in", pair.Key, "-pubout")
	if err != nil {
		return nil, err
	}
	pkey := uki.Section{Name: ".pcrpkey", Data: public}
	o.Extra = []uki.Section{pkey}
	b, err := uki.Build(o)
	if err != nil {
		return nil, err
	}
	image, err := uki.Parse(bytes.NewReader(b), int64(len(b)))
	if err != nil {
		return nil, err
	}
	tmp, err := os.MkdirTemp("", "initddi-policy-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(tmp)
	lib := filepath.Join(tools, "usr/lib/x86_64-linux-gnu")
	args := []string{"--library-path", lib + ":" + filepath.Join(lib, "systemd"), filepath.Join(tools, "usr/lib/systemd/systemd-measure"),
		"sign", "--bank=sha256", "--phase=enter-initrd", "--private-key=" + pair.Key, "--public-key=" + filepath.Join(tmp, "public")}
	if err := os.WriteFile(filepath.Join(tmp, "public"), public, 0o644); err != nil {
		return nil, err
	}
	// What the stub measures, it measures as the section is in memory.
	for _, name := range []string{".linux", ".osrel", ".cmdline", ".initrd", ".ucode", ".splash", ".dtb", ".uname", ".sbat", ".pcrpkey"} {
		section := image.Section(name)
		if section == nil {
			continue
		}
		data := make([]byte, section.VirtualSize)
		if _, err := io.ReadFull(section.Open(bytes.NewReader(b)), data[:section.Size]); err != nil {
			return nil, err
		}
		file := filepath.Join(tmp, name[1:])
		if err := os.WriteFile(file, data, 0o644); err != nil {
			return nil, err
		}
		args = append(args, "--"+name[1:]+"="+file)
	}
	signed, err := w.run(ctx, nil, filepath.Join(tools, "usr/lib64/ld-linux-x86-64.so.2"), args...)
	if err != nil {
		return nil, err
	}
	return []uki.Section{pkey, {Name: ".pcrsig", Data: signed}}, nil
}

// measureTools returns a directory with systemd-measure and its libraries, out of the initrd image's packages.
func (w *Workshop) measureTools(ctx context.Context) (string, error) {
	image, err := w.Image(ctx, initrdImage)
	if err != nil {
		return "", err
	}
	stamp, err := stamps(image)
	if err != nil {
		return "", err
	}
	return w.make("measure-tools", stamp, func(tmp string) error {
		if err := os.Mkdir(tmp, 0o755); err != nil {
			return err
		}
		_, err := w.run(ctx, nil, "tar", "-C", tmp, "-xf", filepath.Join(w.Build, "initrd/tree.tar"), "./usr/lib/x86_64-linux-gnu", "./usr/lib64", "./usr/lib/systemd/systemd-measure")
		return err
	})
}
