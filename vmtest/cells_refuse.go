// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package vmtest

import "github.com/initddi/initddi/vmtest/guest"

func imagesRefuse() []Image {
	return []Image{
		{Name: "stranger", Key: "stranger"},
		{Name: "truncated", From: "signed", Damage: truncate},
		// The erofs superblock is at byte 1024; stage 1 reads it to know the file system.
		{Name: "flipped-first", From: "signed", Damage: flip(1024)},
		// In a file that is not compressed the sentence that the init prints is found, and spoilt: the block is read when it is printed.
		{Name: "plain", Key: "ddi", Compress: "none"},
		{Name: "flipped-late", From: "plain", Damage: flipBehind(guest.Sentence)},
		{Name: "sysext", Key: "ddi", Tree: "sysext"},
		{Name: "other", Key: "ddi", Tree: "other"},
		{Name: "noinit", Key: "ddi", Tree: "noinit"},
	}
}

// cellsRefuse are boots that must not get through, each with the sentence that says why.
func cellsRefuse() []Cell {
	cells := []Cell{
		{Name: "unsigned", Test: true, Doc: "an unsigned image", Disks: []Disk{onESP("unsigned")},
			Must: []string{"/loader/ddi/unsigned.raw refused (signed): the image has no signature partition", "wanted a signature by"}},
		{Name: "stranger", Test: true, Doc: "an image signed by somebody whose certificate is not in the trust store", Disks: []Disk{onESP("stranger")},
			Must: []string{"/loader/ddi/stranger.raw refused (signed)", "wanted a signature by"}},
		{Name: "pin-cmdline", Doc: "a root hash on the command line is no excuse for a missing signature", Cmdline: "ddi.roothash={roothash unsigned}", Disks: []Disk{onESP("unsigned")},
			Must: []string{"refused (signed)"}},
		{Name: "pin-other", Doc: "a good image that is not the one ddi.roothash= names", Cmdline: "ddi.roothash={roothash initrd}", Disks: []Disk{onESP("signed")},
			Must: []string{"refused (pin): found root hash {roothash signed}, wanted ddi.roothash={roothash initrd}"}},
		{Name: "empty", Test: true, Doc: "nothing on the ESP", Disks: []Disk{{}},
			Must: []string{"/dev/vda1 refused (found): found no image, wanted a file *.raw in /loader/ddi", "what to do:"}},
		{Name: "two-esps", Doc: "two ESPs and no EFI variable: both are listed", Disks: []Disk{onESP("signed"), {Seed: 2, Place: onESP("signed").Place}},
			Must: []string{"refused (one-partition)", "/dev/vda1 (PARTUUID=", "/dev/vdb1 (PARTUUID=", "ddi.device= can name it"}},
		{Name: "two-esps-usb", Doc: "two ESPs, one on a USB disk, which appears a second after its driver and without a word meanwhile: both are listed",
			Kernel: "generic", Disks: []Disk{onESP("signed").on("nvme"), Disk{Seed: 2, Place: onESP("signed").Place}.on("usb")},
			Must: []string{"refused (one-partition)", "/dev/nvme0n1p1 (PARTUUID=", "/dev/sda1 (PARTUUID=", "ddi.device= can name it"}},
		{Name: "truncated", Test: true, Doc: "an image that was cut off", Disks: []Disk{onESP("truncated")},
			Must: []string{"/loader/ddi/truncated.raw refused (readable)", "what to do: the image is damaged"}},
		{Name: "flipped-first", Test: true, Doc: "a flipped bit in a block that stage 1 reads: the image is refused by verity", Disks: []Disk{onESP("flipped-first")},
			Must: []string{"device-mapper: verity:", "is corrupted", "refused (verity)", "wanted root hash {roothash signed}"}},
		{Name: "sysext", Test: true, Doc: "a signed system extension that was given a boot image's name", Disks: []Disk{onESP("sysext")},
			Must: []string{"refused (identity): found an extension", "wanted a boot image"}},
		{Name: "sysext-by-name", Doc: "an extension under its own name is no candidate", Disks: []Disk{{Place: []Place{{Path: "/loader/ddi/tool.sysext.raw", Image: "sysext"}}}},
			Must: []string{"refused (found): found no image among /loader/ddi/tool.sysext.raw"}},
		{Name: "other-id", Doc: "another product's image, signed by the same key", Disks: []Disk{onESP("other")},
			Must: []string{"refused (identity): found ID=other, wanted ID=debian"}},
		{Name: "no-init", Doc: "an image without an init is found out before anything is given up", Disks: []Disk{onESP("noinit")},
			Must: []string{"refused (init): found none that can be executed, wanted one of [/sbin/init"}},
		{Name: "init-missing", Doc: "ddi.init= names a file that is not there", Cmdline: "ddi.init=/sbin/nothing", Disks: []Disk{onESP("signed")},
			Must: []string{"refused (init)", "wanted one of [/sbin/nothing]"}},
		{Name: "unknown-key", Test: true, Doc: "an unknown ddi. key is named", Cmdline: "ddi.nosuch=1", Disks: []Disk{onESP("signed")},
			Must: []string{"cannot use ddi.nosuch=1 from the kernel command line: unknown key", "correct that key"}},
		{Name: "bad-value", Doc: "a value outside a key's grammar is named with what it takes", Cmdline: "ddi.attach=sideways", Disks: []Disk{onESP("signed")},
			Must: []string{"cannot use ddi.attach=sideways from the kernel command line", "it takes one of direct,copy"}},
		{Name: "repeated-key", Doc: "a key that is given twice", Cmdline: "ddi.timeout=50 ddi.timeout=60", Disks: []Disk{onESP("signed")},
			Must: []string{"cannot use ddi.timeout=60 from the kernel command line: given more than once"}},
		{Name: "baked-only-key", Doc: "what is acceptable cannot be said on the command line", Cmdline: "ddi.pin={roothash unsigned}", Disks: []Disk{onESP("unsigned")},
			Must: []string{"cannot use ddi.pin={roothash unsigned} from the kernel command line: can only be built into stage 1"}},
		{Name: "break-minimal", Doc: "ddi.break= without a shell in stage 1 is an error", Cmdline: "ddi.break=mount", Disks: []Disk{onESP("signed")},
			Must: []string{"cannot use ddi.break=mount from the kernel command line: no shell was built into it"}},
		{Name: "missing-driver", Test: true, Doc: "a disk whose driver stage 1 does not carry: the console names the device and what is carried",
			Stage1: "nvme-only", Kernel: "generic", Cmdline: "ddi.timeout=10", Disks: []Disk{onESP("signed")},
			Must: []string{"cannot find the only EFI system partition", "nothing appeared in 10s", "no driver for virtio:d00000002", "this stage 1 carries nvme", "build stage 1 with its class"}},
		{Name: "no-disk", Doc: "no disk at all", Cmdline: "ddi.timeout=10",
			Must: []string{"cannot find the only EFI system partition", "what to do: check that the disk is there"}},
		{Name: "no-squashfs", Doc: "a file system that stage 1 does not carry", Disks: []Disk{onESP("squashfs")},
			Must: []string{"/loader/ddi/squashfs.raw refused (readable): cannot mount", "squashfs"}},
	}
	for i := range cells {
		cells[i].Group, cells[i].Verdict = "refuse", Refused
		cells[i].MustNot = append(cells[i].MustNot, guest.Sentence)
	}
	// Not refused, because nobody reads the block in time: contained. The kernel restarts the machine before the block's content
	// gets to anybody, so the next boot can take another image.
	return append(cells, Cell{Name: "flipped-late", Group: "refuse", Doc: "a flipped bit in a block that only the next init reads: the machine restarts before it gets the block",
		Disks: []Disk{onESP("flipped-late")}, Verdict: Restarted, Must: []string{"entering vda1", "device-mapper: verity:", "is corrupted", sentenceCorrupt}, MustNot: []string{guest.Sentence}})
}
