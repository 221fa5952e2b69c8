// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package vmtest

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/initddi/initddi/internal/esp"
	"github.com/initddi/initddi/internal/gpt"
	"github.com/initddi/initddi/internal/guid"
	"github.com/initddi/initddi/internal/initramfs"
	"github.com/initddi/initddi/internal/keys"
	"github.com/initddi/initddi/internal/plan"
	"github.com/initddi/initddi/internal/program"
	"github.com/initddi/initddi/internal/uki"
)

// starter is what a firmware starts from a disk; the zero value is nothing.
type starter struct {
	// UKI is started by UEFI.
	UKI string
	// Kernel, Initrd and Cmdline are started by syslinux, and that by a BIOS.
	Kernel, Initrd, Cmdline string
}

// Where a firmware looks for what it starts (UEFI 2.10, section 3.5.1.1), and systemd-boot for UKIs.
const (
	firstPath = "/EFI/BOOT/BOOTX64.EFI"
	ukiPath   = "/EFI/Linux/initddi.efi"
)

// partUUID returns the PARTUUID of the ESP of disks with that seed.
func partUUID(seed int) guid.GUID { return guid.GUID{0: 0x17, 6: 0x40, 8: 0x80, 15: byte(seed)} }

// byPartUUID is a word of the command line that names that ESP.
func byPartUUID(seed int) string { return "ddi.device=PARTUUID=" + partUUID(seed).String() }

// Disk returns a disk, from which a firmware can start s.
func (w *Workshop) Disk(ctx context.Context, d Disk, s starter) (string, error) {
	if d.Volume != "" {
		return w.Volume(ctx, d.Volume)
	}
	o := esp.Options{SectorSize: int64(d.SectorSize), Size: d.Size, ESPSize: d.ESPSize, ESPUUID: partUUID(d.Seed), ClusterSize: d.ClusterSize, FATType: d.FATType, Label: d.Label}
	if d.Seed != 0 {
		o.Seed = guid.GUID{0: 0x17, 15: byte(d.Seed)}
	}
	var err error
	switch {
	case s.UKI == "" || d.Extended != nil:
	case d.Loader:
		loader, err := w.Loader(ctx)
		if err != nil {
			return "", err
		}
		o.Files = append(o.Files, esp.File{Path: firstPath, Source: loader}, esp.File{Path: ukiPath, Source: s.UKI})
	default:
		o.Files = append(o.Files, esp.File{Path: firstPath, Source: s.UKI})
	}
	if s.Kernel != "" {
		config := fmt.Sprintf("SERIAL 0\nDEFAULT initddi\nLABEL initddi\n LINUX /linux\n INITRD /stage1\n APPEND %s\n", s.Cmdline)
		o.Files = append(o.Files, esp.File{Path: "/linux", Source: s.Kernel}, esp.File{Path: "/stage1", Source: s.Initrd}, esp.File{Path: "/syslinux.cfg", Data: []byte(config)})
	}
	places, err := w.files(ctx, d, d.Place)
	if err != nil {
		return "", err
	}
	o.Files = append(o.Files, places...)
	if d.Extended != nil {
		if o, err = w.extend(ctx, d, s, o); err != nil {
			return "", err
		}
	}
	if o, err = w.behind(ctx, d, o); err != nil {
		return "", err
	}
	// How it is attached makes no other disk.
	d.Bus, d.Attached, d.Late, d.ReadBurst, d.Rate, d.Wakes, d.WWN = "", 0, 0, 0, 0, "", 0
	key := []any{w.self, d, s, o.Files, o.Partitions}
	sum := sha256.Sum256(fmt.Appendf(nil, "%v", key))
	return w.make(fmt.Sprintf("disk-%x.img", sum[:4]), key, func(tmp string) error {
		table, err := esp.Build(ctx, tmp, o)
		if err == nil && s.Kernel != "" {
			err = w.installSyslinux(ctx, tmp, table)
		}
		return err
	})
}

// files returns what is placed on the ESP, or beside it.
func (w *Workshop) files(ctx context.Context, d Disk, places []Place) ([]esp.File, error) {
	var out []esp.File
	for _, p := range places {
		var err error
		if p.Path, err = w.fill(ctx, p.Path); err != nil {
			return nil, err
		}
		if p.Addon != "" {
			text, err := w.fill(ctx, p.Addon)
			if err != nil {
				return nil, err
			}
			source, err := w.Addon(ctx, text)
			if err != nil {
				return nil, err
			}
			out = append(out, esp.File{Path: p.Path, Source: source})
			continue
		}
		if p.Kernel != "" {
			k, err := w.kernel(p.Kernel)
			if err != nil {
				return nil, err
			}
			out = append(out, esp.File{Path: p.Path, Source: k.Image})
			continue
		}
		if p.Stage1 != "" {
			source, err := w.Stage1(ctx, p.Stage1, "", initramfs.Zstd)
			if err != nil {
				return nil, err
			}
			out = append(out, esp.File{Path: p.Path, Source: source})
			continue
		}
		if p.UKI != "" {
			source, err := w.placedUKI(ctx, p)
			if err != nil {
				return nil, err
			}
			out = append(out, esp.File{Path: p.Path, Source: source})
			continue
		}
		if p.Image == "" {
			out = append(out, esp.File{Path: p.Path, Data: []byte(p.Text)})
			if p.SignedBy == "" {
				continue
			}
			source, err := w.signatureOf(ctx, p)
			if err != nil {
				return nil, err
			}
			out = append(out, esp.File{Path: p.Path + plan.SignatureSuffix, Source: source})
			continue
		}
		source, err := w.Image(ctx, p.Image)
		if err != nil {
			return nil, err
		}
		out = append(out, esp.File{Path: p.Path, Source: source, ReadOnly: true, Fragments: d.Fragments})
		files, err := beside(source)
		if err != nil {
			return nil, err
		}
		for _, ext := range slices.Sorted(maps.Keys(files)) {
			f := esp.File{Path: strings.TrimSuffix(p.Path, ".raw") + ext, Source: files[ext], ReadOnly: true}
			if ext == ".verity" {
				f.Fragments = min(d.Fragments, 5)
			}
			out = append(out, f)
		}
	}
	return out, nil
}

// extend puts systemd-boot on the ESP, and everything else on an XBOOTLDR partition.
func (w *Workshop) extend(ctx context.Context, d Disk, s starter, o esp.Options) (esp.Options, error) {
	files, err := w.files(ctx, d, d.Extended)
	if err != nil {
		return o, err
	}
	if s.UKI != "" {
		loader, err := w.Loader(ctx)
		if err != nil {
			return o, err
		}
		o.Files = append(o.Files, esp.File{Path: firstPath, Source: loader})
		files = append(files, esp.File{Path: ukiPath, Source: s.UKI})
	}
	key := []any{w.self, o.Seed, o.SectorSize, files}
	sum := sha256.Sum256(fmt.Appendf(nil, "%v", key))
	volume, err := w.make(fmt.Sprintf("extended-%x.img", sum[:4]), key, func(tmp string) error {
		table, err := esp.Build(ctx, tmp+".disk", esp.Options{Seed: o.Seed, SectorSize: o.SectorSize, Files: files})
		if err != nil {
			return err
		}
		defer os.Remove(tmp + ".disk")
		return cut(tmp+".disk", tmp, table.Partitions[0].Offset(table.SectorSize), table.Partitions[0].Size(table.SectorSize))
	})
	if err != nil {
		return o, err
	}
	kind, _ := gpt.TypeOf(gpt.XBOOTLDR, gpt.NoArch)
	o.Partitions = append(o.Partitions, esp.Partition{Type: kind, Name: "boot", Source: volume})
	return o, nil
}

// cut copies a part of a file.
func cut(from, to string, offset, size int64) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.Create(to)
	if err != nil {
		return err
	}
	if _, err := io.Copy(out, io.NewSectionReader(in, offset, size)); err != nil {
		out.Close()
		return err
	}
	return out.Close()
}

// Loader returns Debian 13's systemd-boot, signed by our key.
func (w *Workshop) Loader(ctx context.Context) (string, error) {
	root, err := w.fetched("boot-efi-13", "trixie", "systemd-boot-efi")
	if err != nil {
		return "", err
	}
	program := filepath.Join(root, "usr/lib/systemd/boot/efi/systemd-bootx64.efi")
	pair, err := w.pair(keys.SecureBoot)
	if err != nil {
		return "", err
	}
	sum, err := hashFiles(program, pair.Cert)
	if err != nil {
		return "", err
	}
	return w.make("loader.efi", []any{w.self, sum}, func(tmp string) error {
		return uki.Sign(ctx, program, tmp, pair.Key, pair.Cert, uki.SignOptions{})
	})
}

const (
	// bootCode is syslinux's for the first sector of a disk with a GPT: it starts the partition that is marked as bootable.
	bootCode = "/usr/lib/SYSLINUX/gptmbr.bin"
	// maxBootCode ends where the first sector's table of partitions begins.
	maxBootCode = 440
	// legacyBoot is the attribute "legacy BIOS bootable" (UEFI 2.10, section 5.3.3).
	legacyBoot = 1 << 2
)

// installSyslinux makes a disk one that a BIOS boots.
func (w *Workshop) installSyslinux(ctx context.Context, disk string, table *gpt.Table) error {
	install, err := program.Find("syslinux", "syslinux")
	if err != nil {
		return asMissing(err)
	}
	code, err := os.ReadFile(bootCode)
	if errors.Is(err, os.ErrNotExist) {
		return &MissingError{What: bootCode + " (Debian package syslinux)"}
	}
	if err == nil && len(code) > maxBootCode {
		err = fmt.Errorf("cannot use %s: %d bytes, there is room for %d", bootCode, len(code), maxBootCode)
	}
	if err != nil {
		return err
	}
	offset := table.Partitions[0].Offset(table.SectorSize)
	if out, err := w.run(ctx, []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin"}, install, "--install", "--offset", strconv.FormatInt(offset, 10), disk); err != nil {
		return fmt.Errorf("%w: %s", err, bytes.TrimSpace(out))
	}
	f, err := os.OpenFile(disk, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	table.Partitions[0].Attributes |= legacyBoot
	if err := gpt.Write(f, info.Size(), table); err != nil {
		return err
	}
	if _, err := f.WriteAt(code, 0); err != nil {
		return err
	}
	return f.Close()
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
