// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package vmtest

import (
	"slices"
	"time"

	"github.com/initddi/initddi/vmtest/guest"
)

func stagesKernel() []Stage1 { return []Stage1{{Name: "no-modules"}} }

// cellsKernel boot the kernel of templates/kernel, which "just kernel" makes: every driver is built in, and stage 1 has no modules.
func cellsKernel() []Cell {
	return []Cell{
		{Name: "builtin", Group: "kernel", Doc: "templates/kernel, nothing is loaded: the hand-over is the same", Kernel: "template", Stage1: "no-modules", Disks: []Disk{onESP("signed")},
			Verdict: Entered, Must: []string{"0 modules", "root hash {roothash signed} signed by", "in place in", guest.Sentence}, Check: noModules},
		{Name: "builtin-nvme", Group: "kernel", Doc: "templates/kernel, a disk on NVMe", Kernel: "template", Stage1: "no-modules", Disks: []Disk{onESP("signed").on("nvme")},
			Verdict: Entered, Must: []string{"FAT12 on /dev/nvme0n1p1", guest.Sentence}, Check: noModules},
		{Name: "builtin-behind", Group: "kernel", Doc: "templates/kernel with CONFIG_BLK_DEV_RAM: the image itself appended to the initramfs, kept as /initrd.image", Kernel: "template-ramdisk", Stage1: "no-modules", Cmdline: "ddi.source=initrd", Delivered: []Delivered{{Image: "signed"}},
			Verdict: Entered, Must: []string{"/initrd.image: 6291456 bytes in 1 extents", "in place in 2 pieces", "entering initrd:/initrd.image", guest.Sentence}, Check: inInitramfs("/initrd.image")},
		{Name: "builtin-debian", Group: "kernel", Doc: "templates/kernel, Debian 13 to multi-user.target, nothing failed", Kernel: "template", Stage1: "no-modules", Ready: "disk.img",
			Credentials: map[string]string{"initddi.report": "poweroff"}, Limit: 6 * time.Minute,
			Verdict: Entered, Must: []string{"0 modules", "entering vda1:/loader/ddi/debian_13.raw"}, Report: debianIsUnrecorded},
	}
}

// noModules is the contract, and that no module is loaded.
func noModules(f *guest.Facts) []string {
	c := &checker{wrong: contractOS(f)}
	loaded := slices.DeleteFunc(slices.Clone(f.Modules), func(m string) bool {
		// The marker's own, with which it mounts the ESP.
		return m == "" || slices.Contains([]string{"fat", "vfat", "nls_cp437", "nls_ascii"}, m)
	})
	c.ok(len(loaded) == 0, "the modules %v are loaded", loaded)
	return c.wrong
}
