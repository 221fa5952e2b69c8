// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package vmtest

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/initddi/initddi/internal/keys"
	"github.com/initddi/initddi/internal/program"
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

// onFirstESP returns a function that puts another file in place of one on the ESP of a machine's first disk.
func onFirstESP(path string, other func(ctx context.Context, w *Workshop) (string, error)) func(context.Context, *Workshop, []string) error {
	return func(ctx context.Context, w *Workshop, disks []string) error {
		source, err := other(ctx, w)
		if err != nil {
			return err
		}
		at, err := espOf(disks[0])
		if err != nil {
			return err
		}
		for _, args := range [][]string{{"mattrib", "-i", at, "-r", "::" + path}, {"mdel", "-i", at, "::" + path}, {"mcopy", "-i", at, source, "::" + path}} {
			tool, err := program.Find(args[0], "mtools")
			if err != nil {
				return err
			}
			if _, err := w.run(ctx, []string{"MTOOLS_SKIP_CHECK=1"}, tool, args[1:]...); err != nil {
				return err
			}
		}
		return nil
	}
}

// espOf names the ESP of a disk as mtools want it.
func espOf(disk string) (string, error) {
	offset, err := espOffset(disk)
	return fmt.Sprintf("%s@@%d", disk, offset), err
}

func espOffset(disk string) (int64, error) {
	table, err := tableOf(disk)
	if err != nil {
		return 0, err
	}
	return table.Partitions[0].Offset(table.SectorSize), nil
}

// espIsClean judges the ESP's file system when the machine has ended: Linux marks it while it is mounted read-write.
func espIsClean(disks []string) []string {
	offset, err := espOffset(disks[0])
	if err != nil {
		return []string{err.Error()}
	}
	f, err := os.Open(disks[0])
	if err != nil {
		return []string{err.Error()}
	}
	defer f.Close()
	sector := make([]byte, 512)
	if _, err := f.ReadAt(sector, offset); err != nil {
		return []string{err.Error()}
	}
	// The byte behind the drive number (fatgen103, BS_Reserved1), where Linux has its FAT_STATE_DIRTY.
	state := sector[0x25]
	if strings.HasPrefix(string(sector[0x52:]), "FAT32") {
		state = sector[0x41]
	}
	if state&1 != 0 {
		return []string{"the ESP is marked as not unmounted"}
	}
	return nil
}
