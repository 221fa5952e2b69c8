// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package main

import "strings"

// The kernels.
const (
	cloud    = "cloud"    // Debian's for virtual machines, everything that matters here as modules
	template = "template" // templates/kernel, everything built in
)

// The rows that budgets are held against.
const (
	rowCloudAlone  = "cloud kernel alone"
	rowCloud       = "cloud, stage 1 virtio"
	rowCloudBig    = "cloud, stage 1 virtio, +500 MB"
	rowTemplate    = "template, stage 1"
	rowTemplateBig = "template, stage 1, +500 MB"
	rowMounted     = "template kernel mounts the image"
)

// unusedMiB is how much content that nobody reads the large images have.
const unusedMiB = 500

// row is one machine.
type row struct {
	Name, Doc string
	Kernel    string
	// Stage1 is the driver classes of a stage 1 "minimal", "none" for one without modules. Without it there is none.
	Stage1 string
	// Mounted lets the kernel itself put dm-verity over the image and mount it, without any initramfs.
	Mounted bool
	// Unused is how many MiB the image holds that nobody reads.
	Unused int
	// Copy copies the image into memory.
	Copy bool
	// Peer is the image of another generator, of those that ./just peers makes. It mounts the root of the image as a partition of the disk, without
	// dm-verity: none of them verifies anything unless told to.
	Peer string
	// Tests leaves the kernel's cryptographic self-tests on.
	Tests bool
}

// table returns the rows.
func table() []row {
	return []row{
		{Name: "cloud kernel alone, as is", Kernel: cloud, Tests: true, Doc: "an initramfs with nothing but the marker"},
		{Name: "cloud, stage 1 virtio, as is", Kernel: cloud, Stage1: "virtio", Tests: true, Doc: "signature checked, image on the ESP"},
		{Name: rowCloudAlone, Kernel: cloud, Doc: "from here on with cryptomgr.notests=1"},
		{Name: rowCloud, Kernel: cloud, Stage1: "virtio"},
		{Name: "cloud, stage 1 all classes", Kernel: cloud, Stage1: "virtio,nvme,sata", Doc: "the machine has an AHCI controller, so its driver is loaded"},
		{Name: rowCloudBig, Kernel: cloud, Stage1: "virtio", Unused: unusedMiB, Doc: "the same image with content that is not used"},
		{Name: rowCloudBig + ", copied", Kernel: cloud, Stage1: "virtio", Unused: unusedMiB, Copy: true, Doc: "ddi.attach=copy: all of it is read into memory"},
		{Name: "cloud, initramfs-tools", Kernel: cloud, Peer: "initramfs-tools-most", Doc: "Debian's own, MODULES=most: the same root as a partition, not verified, by it and all below"},
		{Name: "cloud, initramfs-tools, virtio", Kernel: cloud, Peer: "initramfs-tools-list", Doc: "MODULES=list: virtio and erofs alone"},
		{Name: "cloud, dracut", Kernel: cloud, Peer: "dracut-any", Doc: "--no-hostonly"},
		{Name: "cloud, dracut, virtio", Kernel: cloud, Peer: "dracut-this", Doc: "systemd and what mounts a root, virtio and erofs alone"},
		{Name: "cloud, mkosi-initrd", Kernel: cloud, Peer: "mkosi-initrd", Doc: "ordinary packages, and every module of the kernel"},
		{Name: "template kernel alone", Kernel: template, Doc: "templates/kernel with an initramfs of the marker"},
		{Name: rowMounted, Kernel: template, Mounted: true, Doc: "dm-mod.create= and root=, no initramfs"},
		{Name: rowTemplate, Kernel: template, Stage1: "none"},
		{Name: rowTemplateBig, Kernel: template, Stage1: "none", Unused: unusedMiB},
	}
}

// noTests switches the self-tests off. That is what makes loading Debian's signed modules half as slow.
const noTests = "cryptomgr.notests=1"

// flavour keeps rows apart that must not be compared with each other.
func flavour(cmdline string) string {
	if strings.Contains(cmdline, noTests) {
		return ""
	}
	return " with tests"
}
