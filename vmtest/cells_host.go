// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package vmtest

import (
	"context"
	"os"
	"path/filepath"

	"github.com/initddi/initddi/internal/capture"
	"github.com/initddi/initddi/internal/initramfs"
	"github.com/initddi/initddi/internal/kmodules"
	"github.com/initddi/initddi/vmtest/guest"
)

func stagesHost() []Stage1 {
	return []Stage1{
		{Name: "host", Config: "host", Host: "matrix"},
		{Name: "host-xz", Config: "host", Host: "matrix", Compression: initramfs.XZ},
	}
}

// cellsHost are boots of a stage 1 that was built for one machine, the captured one of this matrix with a virtio disk.
func cellsHost() []Cell {
	return []Cell{
		{Name: "for-host", Group: "host", Doc: "a stage 1 for one machine boots that machine: virtio, and modules for nothing else", Stage1: "host", Disks: []Disk{onESP("signed")},
			Verdict: Entered, Must: []string{"entering vda1:/loader/ddi/signed.raw", guest.Sentence}, Check: onlyModules("virtio_blk")},
		{Name: "for-host-xz", Group: "host", Doc: "the same compressed with xz and its filter for machine code", Stage1: "host-xz", Disks: []Disk{onESP("signed")},
			Verdict: Entered, Must: []string{"entering vda1:/loader/ddi/signed.raw", guest.Sentence}},
		{Name: "for-other-host", Group: "host", Doc: "the disk of that machine moved to SATA: the console names the controller without a driver, and the class that is not carried",
			Stage1: "host", Cmdline: "ddi.timeout=5", Disks: []Disk{onESP("signed").on("sata")},
			Verdict: Refused, Must: []string{"cannot find the only EFI system partition", "no driver for pci:v00008086d00002922", ", not sata", "build stage 1 with its class"}},
	}
}

// onlyModules judges that of the drivers of disks only these were loaded.
func onlyModules(drivers ...string) func(*guest.Facts) []string {
	return func(f *guest.Facts) []string {
		var wrong []string
		loaded := map[string]bool{}
		for _, m := range f.Modules {
			loaded[m] = true
		}
		for _, d := range drivers {
			if !loaded[d] {
				wrong = append(wrong, "module "+d+" is not loaded")
			}
		}
		for _, m := range []string{"ahci", "scsi_mod", "sd_mod", "virtio_scsi", "efivarfs"} {
			if loaded[m] {
				wrong = append(wrong, "module "+m+" is loaded: it is not on the way to the disk")
			}
		}
		return wrong
	}
}

// captured is where the archive of a captured machine is.
func (w *Workshop) captured(name string) string {
	return filepath.Join(w.Module, "internal/capture/testdata/machines", name+".tar.gz")
}

// hostKey is what a stage 1 for one machine depends on besides.
func (w *Workshop) hostKey(s *Stage1) string {
	if s.Host == "" {
		return ""
	}
	sum, err := hashFiles(w.captured(s.Host))
	if err != nil {
		return err.Error()
	}
	return sum
}

// host finds the way to the disk of a captured machine, as "initddi initramfs --for-host" does.
func (w *Workshop) host(ctx context.Context, name string) (*kmodules.Host, error) {
	dir, cleanup, err := capture.Open(ctx, w.captured(name))
	if err != nil {
		return nil, asMissing(err)
	}
	defer cleanup()
	sys, err := os.OpenRoot(filepath.Join(dir, "sys"))
	if err != nil {
		return nil, err
	}
	defer sys.Close()
	dev, err := os.OpenRoot(filepath.Join(dir, "dev"))
	if err != nil {
		return nil, err
	}
	defer dev.Close()
	return kmodules.FindHost(sys, dev, "")
}
