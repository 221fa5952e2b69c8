// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"

	"github.com/initddi/initddi/internal/esp"
	"github.com/initddi/initddi/internal/gpt"
	"github.com/initddi/initddi/internal/uki"
	"github.com/initddi/initddi/internal/vm"
)

// machine is one to capture.
type machine struct {
	name, doc    string
	qemu, debian string // the program, and the Debian package that has it
	goarch       string
	kernel       string // as in build/kernel-NAME
	args         func(ctx context.Context, s *studio, kernel, initrd string) ([]string, error)
}

const cmdline = " quiet loglevel=1 panic=-1 no_timer_check cryptomgr.notests=1 ddi.log=debug"

func machines() []machine {
	return []machine{
		{"q35", "QEMU's PC with UEFI firmware: virtio, NVMe with two namespaces and with two controllers, SATA, USB behind a hub, virtio-scsi",
			"qemu-system-x86_64", "qemu-system-x86", "amd64", "generic", q35},
		{"matrix", "the machine of the boot matrix, with one virtio disk", "qemu-system-x86_64", "qemu-system-x86", "amd64", "cloud", matrix},
		{"microvm", "QEMU's microvm: two disks on virtio-mmio, no PCI, no firmware", "qemu-system-x86_64", "qemu-system-x86", "amd64", "cloud", microvm},
		{"arm64-virt", "QEMU's virt machine for arm64: virtio, an SD card, a USB disk behind an IOMMU that supplies the PCI host", "qemu-system-aarch64", "qemu-system-arm", "arm64", "arm64", virt},
	}
}

// q35 boots a UKI that OVMF finds on the first disk.
func q35(ctx context.Context, s *studio, kernel, initrd string) ([]string, error) {
	stub, err1 := os.ReadFile(filepath.Join(s.build, "debian/boot/linuxx64.efi.stub"))
	image, err2 := os.ReadFile(kernel)
	archive, err3 := os.ReadFile(initrd)
	for _, err := range []error{err1, err2, err3} {
		if err != nil {
			return nil, err
		}
	}
	b, err := uki.Build(uki.Options{Stub: stub, Kernel: image, Initrds: [][]byte{archive}, Cmdline: "console=ttyS0" + cmdline, OSRelease: []byte("ID=initddi\n")})
	if err != nil {
		return nil, err
	}
	boot, err := s.disk(ctx, "boot", esp.Options{Files: append(images(), esp.File{Path: "/EFI/BOOT/BOOTX64.EFI", Data: b}, esp.File{Path: "/EFI/BOOT/BOOTX64.EFI.ddi.d/own_3.raw", Data: content(1)})})
	if err != nil {
		return nil, err
	}
	other, err := s.disk(ctx, "other", esp.Options{Files: images(), SectorSize: 4096, ESPSize: 40 << 20})
	if err != nil {
		return nil, err
	}
	home, _ := gpt.TypeOf(gpt.Home, gpt.NoArch)
	usb, err := s.disk(ctx, "usb", esp.Options{Files: images(), Partitions: []esp.Partition{{Type: home, Name: "home", Size: 1 << 20}}})
	if err != nil {
		return nil, err
	}
	empty, err := s.empty("empty")
	if err != nil {
		return nil, err
	}
	vars := filepath.Join(s.tmp, "vars.fd")
	store, err := os.ReadFile("/usr/share/OVMF/OVMF_VARS_4M.fd")
	if err != nil {
		return nil, err
	}
	if err := os.WriteFile(vars, store, 0o600); err != nil {
		return nil, err
	}
	return []string{
		"-machine", "q35", "-cpu", "max,cx16=off", "-m", "1024",
		"-drive", "if=pflash,format=raw,unit=0,readonly=on,file=/usr/share/OVMF/OVMF_CODE_4M.fd", "-drive", "if=pflash,format=raw,unit=1,file=" + vars,
		"-drive", drive("boot", boot), "-device", "virtio-blk-pci,drive=boot,bootindex=1",
		"-device", "nvme,id=spaces,serial=one,logical_block_size=4096,physical_block_size=4096",
		"-drive", drive("first", other), "-device", "nvme-ns,bus=spaces,nsid=1,drive=first,logical_block_size=4096,physical_block_size=4096",
		"-drive", drive("second", empty), "-device", "nvme-ns,bus=spaces,nsid=2,drive=second",
		"-device", "nvme-subsys,id=subsystem", "-device", "nvme,id=left,serial=two,subsys=subsystem", "-device", "nvme,id=right,serial=two,subsys=subsystem",
		"-drive", drive("shared", usb), "-device", "nvme-ns,bus=left,nsid=1,drive=shared,shared=on",
		"-drive", drive("sata", empty), "-device", "ide-hd,drive=sata",
		"-device", "qemu-xhci,id=xhci", "-device", "usb-hub,bus=xhci.0,port=1", "-drive", drive("stick", usb), "-device", "usb-storage,bus=xhci.0,port=1.2,drive=stick",
		"-device", "virtio-scsi-pci,id=scsi", "-drive", drive("scsi", empty), "-device", "scsi-hd,bus=scsi.0,drive=scsi",
	}, nil
}

// matrix is what package vmtest boots directly.
func matrix(ctx context.Context, s *studio, kernel, initrd string) ([]string, error) {
	disk, err := s.disk(ctx, "boot", esp.Options{Files: images()})
	if err != nil {
		return nil, err
	}
	args, err := vm.Config{Disks: []vm.Disk{{Path: disk, Snapshot: true}}}.Args(ctx)
	return append(args, "-kernel", kernel, "-initrd", initrd, "-append", "console=ttyS0"+cmdline), err
}

func microvm(ctx context.Context, s *studio, kernel, initrd string) ([]string, error) {
	disk, err := s.disk(ctx, "boot", esp.Options{Files: images(), Label: "BOOT"})
	if err != nil {
		return nil, err
	}
	empty, err := s.empty("empty")
	if err != nil {
		return nil, err
	}
	return []string{
		// Emulated, the machine has nothing to hold its clock against, so that its frequency has to be said.
		"-machine", "microvm,acpi=on,pit=on,pic=on,rtc=on", "-cpu", "max,cx16=off", "-m", "512", "-kernel", kernel, "-initrd", initrd, "-append", "console=ttyS0 tsc_early_khz=2000000" + cmdline,
		"-drive", drive("empty", empty), "-device", "virtio-blk-device,drive=empty",
		"-drive", drive("boot", disk), "-device", "virtio-blk-device,drive=boot",
	}, nil
}

func virt(ctx context.Context, s *studio, kernel, initrd string) ([]string, error) {
	disk, err := s.disk(ctx, "boot", esp.Options{Files: images(), ESPSize: 80 << 20, FATType: 32, ClusterSize: 512})
	if err != nil {
		return nil, err
	}
	usb, err := s.empty("usb")
	if err != nil {
		return nil, err
	}
	return []string{
		// An IOMMU supplies what lies behind it only where the kernel is strict about it.
		"-machine", "virt,iommu=smmuv3", "-cpu", "cortex-a72", "-m", "1024", "-kernel", kernel, "-initrd", initrd, "-append", "console=ttyAMA0 fw_devlink.strict=1" + cmdline,
		"-drive", drive("boot", disk), "-device", "virtio-blk-pci,drive=boot",
		"-device", "sdhci-pci", "-drive", drive("card", usb), "-device", "sd-card,drive=card",
		"-device", "qemu-xhci,id=xhci", "-drive", drive("stick", usb), "-device", "usb-storage,bus=xhci.0,drive=stick",
	}, nil
}

// images are files that only look like images: what is in them is not recorded.
func images() []esp.File {
	return []esp.File{
		{Path: "/loader/ddi/os_2.raw", Data: content(3), Fragments: 3, ReadOnly: true},
		{Path: "/loader/ddi/Ein längerer Name_1.raw", Data: content(2), Fragments: 2},
		{Path: "/loader/ddi/os.raw.v/os_10.raw", Data: content(1)},
		{Path: "/loader/ddi/tool.sysext.raw", Data: content(1)},
	}
}

// content is some hundred kilobytes for each n.
func content(n int) []byte { return bytes.Repeat([]byte("not an image\n"), n*20000) }

// disk makes a disk whose UUIDs come from its name.
func (s *studio) disk(ctx context.Context, name string, o esp.Options) (string, error) {
	copy(o.Seed[:], name)
	o.Seed[15] = 1
	path := filepath.Join(s.tmp, name+".img")
	_, err := esp.Build(ctx, path, o)
	return path, err
}

// empty makes a disk with nothing on it.
func (s *studio) empty(name string) (string, error) {
	path := filepath.Join(s.tmp, name+".img")
	if err := os.WriteFile(path, nil, 0o644); err != nil {
		return "", err
	}
	return path, os.Truncate(path, 64<<20)
}

// drive describes a disk, of which nothing is changed.
func drive(id, file string) string {
	return fmt.Sprintf("if=none,id=%s,format=raw,snapshot=on,file=%s", id, file)
}
