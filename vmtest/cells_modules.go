// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package vmtest

import (
	"maps"
	"slices"

	"github.com/initddi/initddi/internal/layers"
)

// bareImage is the initrd image without modules, which has them from an extension for the kernel that runs.
const bareImage = "initrd-bare"

// forInitrd is the extension-release of one that fits every initrd image.
const forInitrd = "ID=_any\nSYSEXT_SCOPE=initrd\n"

func imagesModules() []Image {
	return []Image{
		{Name: bareImage, Ready: "initrd-bare_13.raw", Recipe: "initrd-modules cloud"},
		{Name: "modules-cloud", Ready: "initrd-modules/cloud.sysext.raw", Recipe: "initrd-modules cloud"},
		{Name: "modules-generic", Ready: "initrd-modules/generic.sysext.raw", Recipe: "initrd-modules generic"},
		{Name: "probe", Ready: "complex/probe.sysext.raw", Recipe: "_kernels-probe"},
		// Nobody can log in to the initrd image, and the emergency shell waits for one who can.
		extensionOf(layers.Sysext, "ends", forInitrd, "usr/lib/systemd/system/emergency.service.d/end.conf", "[Service]\nExecStartPre=\nExecStart=\nExecStart=/usr/bin/systemctl --force --force poweroff\n"),
	}
}

func volumesModules() []Volume {
	return []Volume{{Name: "two-kernels", Ready: "complex/root.btrfs", Recipe: "_kernels-root"}}
}

// modulesFor returns where the extension with a kernel's modules lies in a directory of the ESP.
func modulesFor(dir, kernel string) Place {
	return Place{Path: dir + "/modules-{release " + kernel + "}.sysext.raw", Image: "modules-" + kernel}
}

// withoutModules is a cell in which the initrd image has no modules of its own, and enters a root for which one is needed of which stage 1 knows nothing.
func withoutModules(name, doc, kernel, words, module string, facts map[string]string, root []Disk, places ...Place) Cell {
	const shared = "/loader/ddi"
	facts["left"], facts["module"] = "[]", "1"
	c := realRoot(name, doc, "root=UUID="+rootUUID+words, root...).saying(facts).
		doing(`echo "left=[$(ls -d /run/extensions /run/confexts 2>/dev/null; findmnt -rno TARGET -t erofs,overlay)]"
echo "module=$(lsmod | grep -c '^` + module + ` ')"
`)
	c.Kernel, c.Stage1 = kernel, "extensions"
	c.Disks[0] = Disk{Place: append([]Place{{Path: shared + "/initrd_13.raw", Image: bareImage}}, places...)}
	c.Must = slices.Concat([]string{"on Linux {release " + kernel + "}", "Secure Boot on", "merge: sysext modules-"}, twoSystems()[1:], []string{"Power down"})
	c.MustNot = append(c.MustNot, "has no modules for")
	return c
}

// byModules is one whose root is on btrfs.
func byModules(name, doc, kernel, words string, places ...Place) Cell {
	return withoutModules(name, doc, kernel, words, "btrfs", map[string]string{"root-source": "/dev/vdb"}, []Disk{{Volume: "two-kernels"}}, places...)
}

// cellsModules boot one initrd image under several kernels, each of which has its modules in an extension beside the image.
func cellsModules() []Cell {
	const shared, own, stub = "/loader/ddi", "/EFI/BOOT/BOOTX64.EFI.ddi.d", "/EFI/BOOT/BOOTX64.EFI.extra.d"
	both := []Place{modulesFor(shared, "cloud"), modulesFor(shared, "generic")}

	again := byModules("modules-again", "the initrd's own systemd-sysext merges once more, because of an extension that systemd-stub left and stage 1 did not merge: the modules are there before and after, and nothing is afterwards", "cloud",
		" rd.systemd.wants=systemd-sysext.service", modulesFor(own, "cloud"), Place{Path: shared + "/probe.sysext.raw", Image: "probe"}, Place{Path: stub + "/other.sysext.raw", Image: "other-ext"})
	again.Must = slices.Concat([]string{"initrd:/.extra/sysext/other.sysext.raw refused (extension)", "merge: sysext modules-{release cloud}, probe"}, twoSystems()[1:3],
		[]string{"probe: Using extensions 'modules-{release cloud}', 'probe'.", "probe: Merged extensions into '/usr'.", "probe: xfs can be loaded"}, twoSystems()[3:], []string{"Power down"})

	stack := withoutModules("modules-stack", "ext4 in a logical volume in LUKS2 on a mirror: every driver of it comes out of the extension", "cloud", " "+byLUKS("pv")+withKey, "raid1",
		map[string]string{"dm": "pv;vg-root;", "md": "md127 active raid1;"}, []Disk{{Volume: "stack/0"}, {Volume: "stack/1"}}, modulesFor(shared, "cloud"))
	maps.Copy(stack.Credentials, keyFile())

	missing := byModules("modules-missing", "only another kernel's modules are there: stage 1 says what is missing, and the initrd image is entered, where the root never becomes ready", "cloud",
		" systemd.default_device_timeout_sec=1min", modulesFor(shared, "generic"), Place{Path: shared + "/ends.sysext.raw", Image: "ends-ext"})
	missing.Must = []string{"merge: sysext ends, modules-{release generic}", "the initrd image has no modules for Linux {release cloud}, only for {release generic}", "entering vda1:/loader/ddi/initrd_13.raw",
		"Booting initrd of", "Timed out waiting for device", "Power down"}
	missing.MustNot, missing.Report, missing.Credentials = []string{"Welcome to Debian"}, nil, nil

	return []Cell{
		byModules("modules-cloud", "an initrd image without modules and two kernels' beside it, the cloud kernel running: a root on btrfs", "cloud", "", both...),
		byModules("modules-generic", "the same disk with the generic kernel in the UKI", "generic", "", both...),
		again,
		stack,
		missing,
	}
}
