// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package kmodules

import (
	"bytes"
	"compress/gzip"
	"debug/elf"
	"encoding/binary"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"
	"github.com/ulikunitz/xz"
)

// fakeModule returns an ELF file with a .modinfo section of these lines.
func fakeModule(t testing.TB, lines ...string) []byte {
	t.Helper()
	names := "\x00.modinfo\x00.shstrtab\x00"
	text := strings.Join(lines, "\x00") + "\x00"
	const headerSize, sectionSize = 64, 64
	var b bytes.Buffer
	write := func(v any) {
		if err := binary.Write(&b, binary.LittleEndian, v); err != nil {
			t.Fatal(err)
		}
	}
	textAt := headerSize + 3*sectionSize
	write(elf.Header64{
		Ident: [16]byte{0x7f, 'E', 'L', 'F', byte(elf.ELFCLASS64), byte(elf.ELFDATA2LSB), byte(elf.EV_CURRENT)},
		Type:  uint16(elf.ET_REL), Machine: uint16(elf.EM_X86_64), Version: uint32(elf.EV_CURRENT),
		Shoff: headerSize, Ehsize: headerSize, Shentsize: sectionSize, Shnum: 3, Shstrndx: 2,
	})
	write(elf.Section64{})
	write(elf.Section64{Name: 1, Type: uint32(elf.SHT_PROGBITS), Off: uint64(textAt), Size: uint64(len(text))})
	write(elf.Section64{Name: 10, Type: uint32(elf.SHT_STRTAB), Off: uint64(textAt + len(text)), Size: uint64(len(names))})
	b.WriteString(text + names)
	return b.Bytes()
}

// compressed returns data as a file with that suffix holds it.
func compressed(t testing.TB, suffix string, data []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	var w io.WriteCloser
	var err error
	switch suffix {
	case ".ko":
		return data
	case ".ko.gz":
		w = gzip.NewWriter(&b)
	case ".ko.xz":
		// As the kernel's build does it, which is what the kernel itself can read.
		w, err = xz.WriterConfig{CheckSum: xz.CRC32}.NewWriter(&b)
	case ".ko.zst":
		w, err = zstd.NewWriter(&b)
	}
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(data); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// writeFile writes a file of a fake tree.
func writeFile(t testing.TB, dir, name string, data []byte) {
	t.Helper()
	name = filepath.Join(dir, name)
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, data, 0o644); err != nil {
		t.Fatal(err)
	}
}

const fakeRelease = "6.12.0-fake"

// fakeTree writes a small kernel, with lines taken from Debian's, below root/lib/modules, and returns root. Like an unpacked
// package it has no modules.dep.
func fakeTree(t testing.TB) string {
	t.Helper()
	root := t.TempDir()
	dir := filepath.Join(root, "lib/modules", fakeRelease)
	add := func(name string, lines ...string) {
		_, suffix, _ := strings.Cut(name, ".")
		writeFile(t, dir, "kernel/"+name, compressed(t, "."+suffix, fakeModule(t, lines...)))
	}
	add("drivers/block/virtio_blk.ko.xz", "alias=virtio:d00000002v*", "depends=")
	add("drivers/scsi/virtio_scsi.ko.xz", "alias=virtio:d00000008v*", "depends=scsi_mod")
	add("drivers/scsi/scsi_mod.ko.zst", "depends=scsi_common")
	add("drivers/scsi/scsi_common.ko.gz", "depends=")
	add("drivers/scsi/sd_mod.ko", "alias=scsi:t-0x00*", "alias=block-major-8-*", "depends=scsi_mod,scsi_common")
	add("drivers/usb/usbcore.ko", "depends=usb-common", "alias=usb:v*p*d*dc09dsc*dp*ic*isc*ip*in*")
	add("drivers/usb/usb-common.ko", "depends=")
	add("drivers/usb/ehci-hcd.ko", "depends=usbcore,usb-common")
	add("drivers/usb/ehci-pci.ko", "alias=pci:v*d*sv*sd*bc0Csc03i20*", "depends=ehci-hcd,usbcore", "softdep=pre: uhci_hcd")
	add("drivers/usb/uhci-hcd.ko", "alias=pci:v*d*sv*sd*bc0Csc03i00*", "softdep=pre: ehci_pci post: unknown", "depends=usbcore")
	add("drivers/usb/usb-storage.ko", "alias=usb:v*p*d*dc*dsc*dp*ic08isc06ip50in*", "depends=scsi_mod,usbcore")
	add("drivers/block/loop.ko", "alias=devname:loop-control", "alias=block-major-7-*", "depends=")
	add("drivers/md/dm-mod.ko", "alias=devname:mapper/control", "depends=")
	add("drivers/md/dm-bufio.ko", "depends=dm-mod")
	add("drivers/md/dm-verity.ko", "depends=dm-bufio,dm-mod,reed_solomon")
	add("lib/reed_solomon.ko", "depends=")
	add("fs/erofs.ko", "alias=fs-erofs", "depends=libcrc32c,netfs")
	add("fs/squashfs.ko", "alias=fs-squashfs", "depends=", "softdep=pre: mystery")
	add("lib/libcrc32c.ko", "softdep=pre: crc32c", "depends=")
	add("crypto/crc32c_generic.ko", "alias=crypto-crc32c", "depends=")
	add("crypto/crc32c-intel.ko", "alias=crypto-crc32c", "alias=cpu:type:x86,ven*fam*mod*:feature:*0094*", "depends=")
	add("crypto/sha256-ssse3.ko", "alias=crypto-sha256", "alias=cpu:type:x86,ven*fam*mod*:feature:*0089*", "depends=")
	writeFile(t, dir, "modules.builtin", []byte("kernel/crypto/sha256_generic.ko\nkernel/drivers/nvme/host/nvme.ko\n"+
		"kernel/drivers/virtio/virtio_pci.ko\nkernel/fs/netfs/netfs.ko\nkernel/fs/efivarfs/efivarfs.ko\n"))
	writeFile(t, dir, "modules.builtin.modinfo",
		[]byte("sha256_generic.alias=crypto-sha256\x00nvme.license=GPL\x00sha256_generic.alias=sha256\x00"))
	return root
}
