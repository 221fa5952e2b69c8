// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package vmtest

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/initddi/initddi/internal/report"
	"github.com/initddi/initddi/vmtest/guest"
)

func imagesStorage() []Image {
	return []Image{
		{Name: "signed-4096", Key: "ddi", SectorSize: 4096},
		{Name: "small-blocks", Key: "ddi", DataBlockSize: 1024},
		{Name: "large", Key: "ddi", Tree: "files", Files: map[string]string{"usr/share/large": "what makes it large is beside this\n"}, Random: 24 << 20, Compress: "none"},
	}
}

func stagesStorage() []Stage1 {
	// What Debian's generic kernel has for disks in machines and virtual machines.
	classes := []string{"virtio", "nvme", "sata", "usb", "scsi", "mmc", "vmware", "mpt", "megaraid"}
	return []Stage1{
		{Name: "disks", Classes: classes},
		{Name: "broken-module", Classes: classes, Broken: "virtio_scsi"},
	}
}

// cellsStorage boot Debian's generic kernel from every disk that QEMU has.
//
// Where OVMF has a driver for the bus, the machine boots from that disk. Where it has none, the UKI comes from a small virtio disk, or
// QEMU loads the kernel, and ddi.device= names the image's partition.
func cellsStorage() []Cell {
	cells := []Cell{
		fromDisk("virtio-blk", "vda1"),
		fromDisk("scsi", "sda1"),
		fromDisk("sata", "sda1"),
		fromDisk("usb-hub", "sda1"),
		{Name: "nvme", Test: true, Doc: "the second namespace of an NVMe controller, and a disk behind another one", Firmware: SecureBoot,
			Disks: []Disk{Disk{Seed: 2, Place: []Place{bootFile()}}.on("nvme-ns"), onESP("signed").on("nvme-ns"), onESP("signed9").seeded(3).on("nvme")}, Cmdline: byPartUUID(0),
			// Linux probes controllers and namespaces at the same time, and numbers them as they come.
			Must: []string{"in place in", "p1:/loader/ddi/signed.raw", guest.Sentence}, MustNot: []string{"signed9"}},
		{Name: "ide", Doc: "an IDE disk of QEMU's older machine, and no Secure Boot", Firmware: UEFI, Disks: []Disk{onESP("signed").on("ide")}, Must: entered("sda1", "signed")},
		besideUKI("uas", "sda1"),
		besideUKI("pvscsi", "sda1"),
		withKernel("mpt", "sda1"),
		withKernel("lsi", "sda1"),
		withKernel("megaraid", "sda1"),
		withKernel("sd", "mmcblk0p1"),
		withKernel("emmc", "mmcblk0p1"),

		{Name: "nvme-4kn", Doc: "an NVMe disk with sectors of 4096 bytes, and an image whose partition table is for 512", Firmware: SecureBoot,
			Disks: []Disk{{Bus: "nvme", SectorSize: 4096, Place: onESP("signed").Place}}, Must: entered("nvme0n1p1", "signed")},
		{Name: "image-4096", Doc: "an image whose partition table is for sectors of 4096 bytes, on a disk with 512", Disks: []Disk{onESP("signed-4096")}, Must: entered("vda1", "signed-4096")},
		{Name: "image-4096-on-4kn", Doc: "the same on a disk with 4096", Disks: []Disk{{SectorSize: 4096, Place: onESP("signed-4096").Place}}, Must: entered("vda1", "signed-4096")},
		{Name: "small-blocks", Doc: "an image whose hash tree is over blocks of 1024 bytes, on a disk with sectors of 512", Disks: []Disk{onESP("small-blocks")}, Must: entered("vda1", "small-blocks")},
		{Name: "small-blocks-on-4kn", Doc: "the same on a disk with 4096, over which dm-verity does not take such blocks: the image is copied", Disks: []Disk{{SectorSize: 4096, Place: onESP("small-blocks").Place}},
			Must: []string{"the image is copied into memory: dm-verity's blocks of 1024 bytes are smaller than the disk's of 4096", "in memory", "entering vda1:/loader/ddi/small-blocks.raw", guest.Sentence}, Check: copied},
		{Name: "table-for-other-sectors", Doc: "a disk with sectors of 4096 bytes that was copied from one with 512: the kernel sees no partition, and the console says why", Cmdline: "ddi.timeout=5",
			Disks: []Disk{{Bus: "nvme", Attached: 4096, Place: onESP("signed").Place}}, Verdict: Refused,
			Must: []string{"cannot find the only EFI system partition", "seen: /dev/nvme0n1: the kernel found no partitions; there is a partition table for sectors of 512 bytes, the disk's have 4096"}},

		{Name: "late", Test: true, Doc: "a disk that appears 15 seconds after stage 1 began", Disks: []Disk{{Late: 15 * time.Second, Place: onESP("signed").Place}}, Must: entered("vda1", "signed"), Look: waited(12 * time.Second)},
		{Name: "twins", Test: true, Doc: "two disks that are copies of each other, with one image, label and PARTUUID: refused, both are listed", Firmware: SecureBoot,
			Disks: []Disk{onESP("signed").labelled("ESP"), onESP("signed").labelled("ESP")}, Verdict: Refused,
			Must: []string{"StubDevicePartUUID=", "refused (one-partition)", "/dev/vda1 (PARTUUID=" + partUUID(0).String() + "), /dev/vdb1 (PARTUUID=" + partUUID(0).String() + ")", "take the other disk out"}},
		{Name: "twins-named", Doc: "the same without EFI variables, named by ddi.device=", Cmdline: byPartUUID(0), Disks: []Disk{onESP("signed"), onESP("signed").on("nvme")}, Verdict: Refused,
			Must: []string{"refused (one-partition)", "/dev/nvme0n1p1 (PARTUUID=", "/dev/vda1 (PARTUUID="}},
		{Name: "two-paths", Test: true, Doc: "one SCSI disk over two paths: one name (VPD page 0x83), one content, two nodes. One is used, and the console says that there are two", Firmware: SecureBoot,
			Disks: []Disk{onESP("signed").called(wwn), onESP("signed").called(wwn)},
			Must:  []string{"StubDevicePartUUID=", "in place in", "/dev/sda1, /dev/sdb1 are 2 paths to one partition: /dev/sd", "entering sd", guest.Sentence}},
		{Name: "path-dies", Doc: "the same, and over one path nothing can be read any more when the kernel and stage 1 have read the partition table", Cmdline: noEDD + "ddi.timeout=10 " + byPartUUID(0),
			Disks: []Disk{{Bus: "scsi", WWN: wwn, ReadBurst: 128 << 10, Place: onESP("signed").Place}, onESP("signed").called(wwn)}, Must: []string{"in place in", "entering sd", guest.Sentence}},
		{Name: "twins-scsi", Doc: "two SCSI disks that are copies of each other and have names of their own, as those of a RAID by firmware have: refused", Firmware: SecureBoot,
			Disks: []Disk{onESP("signed").called(wwn), onESP("signed").called(wwn + 1)}, Verdict: Refused,
			Must: []string{"refused (one-partition)", "/dev/sda1 (PARTUUID=", "/dev/sdb1 (PARTUUID=", "ddi.device=/dev/NAME"}},
		{Name: "twins-usb", Doc: "two disks with one name, of which one is on USB, where a name is worth nothing: refused, as \"the only ESP\" waits for both",
			Disks: []Disk{onESP("signed").called(wwn), {Bus: "uas", WWN: wwn, Place: onESP("signed").Place}}, Verdict: Refused,
			Must: []string{"refused (one-partition)", "/dev/sda1 (PARTUUID=", "/dev/sdb1 (PARTUUID="}},
		{Name: "xbootldr", Doc: "systemd-boot on the ESP, the UKI and the image on an XBOOTLDR partition", Firmware: SecureBoot, Disks: []Disk{{Extended: onESP("signed").Place}},
			Must: append([]string{"/EFI/Linux/initddi.efi"}, entered("vda2", "signed")...)},
		{Name: "bios", Test: true, Doc: "no EFI at all: SeaBIOS and syslinux, from an IDE disk", Firmware: BIOS, Disks: []Disk{onESP("signed").on("ide")}, Must: append([]string{"no EFI variable names"}, entered("sda1", "signed")...)},

		fat("fat12", Disk{FATType: 12}, "FAT12"), fat("fat16", Disk{FATType: 16}, "FAT16"), fat("fat32", Disk{FATType: 32}, "FAT32"),
		fat("fat-clusters-64k", Disk{FATType: 16, ClusterSize: 64 << 10, ESPSize: 300 << 20}, "FAT16"),
		fragmented(2), fragmented(50), fragmented(5000),
		{Name: "label-spaces", Doc: "an ESP whose volume label is mostly spaces, named by it", Cmdline: `"ddi.device=LABEL=a    b   c"`, Disks: []Disk{onESP("signed").labelled("A    B   C"), onESP("signed9").seeded(2).labelled("OTHER")},
			Must: entered("vda1", "signed")},
		{Name: "label-blank", Doc: "an ESP whose volume label is nothing but spaces", Disks: []Disk{{Place: onESP("signed").Place, Alter: blankLabel}}, Must: entered("vda1", "signed")},
		{Name: "long-name", Doc: "an image with a long name that is not ASCII", Disks: []Disk{{Place: []Place{{Path: "/loader/ddi/" + longName, Image: "signed"}}}},
			Must: []string{"entering vda1:/loader/ddi/" + longName, guest.Sentence}},

		{Name: "slow-order", Doc: "eight virtio disks that take their time are named in the order in which they are on the bus all the same: people write those names into files", Cmdline: noEDD + byPartUUID(2), Disks: append(slices.Repeat([]Disk{{Volume: "empty", Rate: 8192}}, 7), onESP("signed").seeded(2)),
			Must: entered("vdh1", "signed"), Check: inBusOrder},
		{Name: "silent-behind", Doc: "a disk that never answers, behind the right one, takes nothing from the next init but itself", Cmdline: noEDD + byPartUUID(2), Disks: []Disk{onESP("signed").seeded(2), silent(""), onESP("signed9").seeded(3)},
			Must: entered("vda1", "signed"), Check: hasPartitions("vda1", "vdc1")},
		{Name: "late-behind", Doc: "one that answers when the next init runs is all there, and so are those behind it", Cmdline: noEDD + "marker.later=10s " + byPartUUID(2), Disks: []Disk{onESP("signed").seeded(2), {ReadBurst: 1, Wakes: guest.Sentence, Place: onESP("signed9").Place}, onESP("signed9").seeded(3)},
			Must: []string{"in place in", "a device does not answer", "entering vda1:/loader/ddi/signed.raw", guest.Sentence}, Check: hasPartitions("vda1", "vdb1", "vdc1")},
		{Name: "silent-virtio", Test: true, Doc: "a disk that never answers, before the right one on the same bus", Cmdline: noEDD + byPartUUID(2), Disks: []Disk{silent(""), onESP("signed").seeded(2)}, Must: entered("vdb1", "signed")},
		{Name: "silent-scsi", Doc: "a SCSI disk that never answers, and the right one on USB, which takes longer to appear", Cmdline: noEDD + byPartUUID(2), Disks: []Disk{silent("scsi"), onESP("signed").seeded(2).on("usb")}, Must: entered("sdb1", "signed")},
		{Name: "silent-usb", Doc: "a USB disk that never answers, and the right one appears after it", Cmdline: noEDD + byPartUUID(2), Disks: []Disk{silent("usb"), {Seed: 2, Late: 6 * time.Second, Place: onESP("signed").Place}}, Must: entered("vda1", "signed")},
		{Name: "silent-unnamed", Doc: "a SCSI disk that never answers, and another one that nothing names: nobody can know that it is the only one, and the console says what to do", Cmdline: noEDD + "ddi.timeout=8 ddi.fail=reboot", Disks: []Disk{silent("scsi"), onESP("signed").seeded(2)}, Verdict: Refused,
			Must: []string{"module sd_mod is still being loaded after 2s", "cannot hand over: a device does not answer, and keeps the kernel from finishing with module ", "sd_mod", "name the boot partition with ddi.device=", "the kernel does not end in 30s", "resetting the machine"}},
		{Name: "silent-alone", Doc: "a disk that never answers, and no other: the boot fails in time, says why, and the machine restarts though the kernel waits for the disk", Cmdline: noEDD + "ddi.timeout=5 ddi.fail=reboot",
			Disks: []Disk{silent("scsi")}, Verdict: Refused, Must: []string{"module sd_mod is still being loaded after 2s", "nothing appeared in 5s", "module sd_mod is still being loaded", "rebooting in", "the kernel does not end in 30s", "resetting the machine"}},
		{Name: "dying", Doc: "a disk that dies when the kernel has read its partition table, and another one whose label is looked for: all ESPs have to be read for that",
			Cmdline: noEDD + "ddi.timeout=10 ddi.device=LABEL=RIGHT", Disks: []Disk{{Bus: "scsi", ReadBurst: dyingBurst, Place: onESP("signed9").Place}, onESP("signed").seeded(2).labelled("RIGHT")},
			Must: append([]string{" has not answered for 1s: the boot goes on without it", "devices are still appearing after 10s"}, entered("vda1", "signed")...)},
		{Name: "dying-copy", Doc: "a disk that dies while an image is copied from it: the boot fails in time, says why, and the machine restarts", Cmdline: noEDD + "ddi.timeout=5 ddi.attach=copy ddi.fail=reboot", Disks: []Disk{{ReadBurst: 12 << 20, Place: onESP("large").Place}}, Verdict: Refused,
			Must: []string{"the image is copied into memory", "cannot attach vda1:/loader/ddi/large.raw: nothing has come of it for 25s: /dev/vda1 does not answer", "what to do: check the disk", "rebooting in"}},
		{Name: "broken-module", Doc: "a module that does not load is one line, and the disk on another bus boots", Stage1: "broken-module", Cmdline: byPartUUID(2), Disks: []Disk{onESP("signed9").on("scsi"), onESP("signed").seeded(2).on("nvme")},
			Must: append([]string{"cannot load module /lib/modules/"}, entered("nvme0n1p1", "signed")...)},
		{Name: "no-driver", Doc: "nothing has a driver: every device is listed, and every class that this stage 1 carries", Stage1: "nvme-only", Cmdline: "ddi.timeout=5", Disks: []Disk{onESP("signed").on("pvscsi"), onESP("signed").seeded(2).on("usb")}, Verdict: Refused,
			Must: []string{"nothing appeared in 5s", "no driver for pci:v00001B36d0000000D", "this stage 1 carries nvme", "no driver, and no disk as a rule: acpi:"}, Look: listed("pci:v000015ADd000007C0", "pci:v00001B36d0000000D", "pci:v00008086d00002922")},
	}
	for i := range cells {
		c := &cells[i]
		c.Group, c.Kernel = "storage", "generic"
		if c.Stage1 == "" {
			c.Stage1 = "disks"
		}
		if c.Verdict == "" {
			c.Verdict = Entered
			if c.Check == nil {
				c.Check = usedInPlace
			}
		} else {
			c.MustNot = append(c.MustNot, guest.Sentence)
		}
	}
	return cells
}

// usedInPlace checks that the image is used where it lies, and that nothing else is: the rest of the hand-over does not depend on the disk.
func usedInPlace(f *guest.Facts) []string {
	c := &checker{}
	boot := &report.Boot{}
	if err := json.Unmarshal(f.Boot, boot); err != nil || boot.Chosen == nil {
		return []string{fmt.Sprintf("hand-over: boot.json names no image: %v", err)}
	}
	c.devices(f, "root")
	c.inPlace(f, boot.Chosen)
	c.hashing(f, boot)
	c.ok(len(f.FDs) == 3, "the open descriptors are %v, wanted 0, 1 and 2", f.FDs)
	return c.wrong
}

// inBusOrder checks that the names of disks are in the order of their places on the bus.
func inBusOrder(f *guest.Facts) []string {
	places := slices.Sorted(maps.Values(f.Disks))
	nodes := slices.SortedFunc(maps.Keys(f.Disks), func(a, b string) int { return strings.Compare(f.Disks[a], f.Disks[b]) })
	if len(places) != 8 || !slices.IsSorted(nodes) {
		return []string{fmt.Sprintf("the disks at %s are named %s, wanted eight with names in order", places, nodes)}
	}
	return nil
}

// hasPartitions checks that these partitions are there, and no others.
func hasPartitions(want ...string) func(*guest.Facts) []string {
	return func(f *guest.Facts) []string {
		if !slices.Equal(f.Partitions, want) {
			return []string{fmt.Sprintf("the partitions are %s, wanted %s; on the bus are %v, processes %q", f.Partitions, want, f.Disks, f.Processes)}
		}
		return nil
	}
}

// bootFile makes a disk of its own of one without an image.
func bootFile() Place { return Place{Path: "/readme.txt", Text: "here is the UKI alone\n"} }

// seeded is the disk with other UUIDs.
func (d Disk) seeded(seed int) Disk {
	d.Seed = seed
	return d
}

// labelled is the disk with that volume label.
func (d Disk) labelled(label string) Disk {
	d.Label = label
	return d
}

// wwn is the name of a disk, of the kind that SAS disks have (NAA 5).
const wwn = 0x5000c50015ea71ac

// called is the disk on a SCSI bus, with that name.
func (d Disk) called(name uint64) Disk {
	d.Bus, d.WWN = "scsi", name
	return d
}

// noEDD keeps the kernel's first code from asking the BIOS for the first sector of each disk, for which that waits.
const noEDD = "edd=off "

// dyingBurst is more than what the kernel reads of a disk to find its partition, and less than what stage 1 reads besides to find a label.
const dyingBurst = 48 << 10

// silent is a disk that answers nothing before the boot is long over.
func silent(bus string) Disk { return Disk{Bus: bus, ReadBurst: 1, Place: onESP("signed9").Place} }

// entered is what the console shows of a boot from an image on a partition, in place.
func entered(node, image string) []string {
	return []string{"in place in", "entering " + node + ":/loader/ddi/" + image + ".raw", guest.Sentence}
}

// fromDisk is a boot by UEFI from a disk on a bus.
func fromDisk(bus, node string) Cell {
	c := Cell{Name: bus, Doc: "UEFI Secure Boot and everything behind it from a disk on " + bus, Firmware: SecureBoot, Disks: []Disk{onESP("signed").on(bus)},
		Must: append([]string{"StubDevicePartUUID="}, entered(node, "signed")...)}
	if bus == "virtio-blk" {
		c.Disks[0].Bus = ""
	}
	return c
}

// besideUKI is a boot from a disk on a bus that OVMF has no driver for, with the UKI on a small disk.
func besideUKI(bus, node string) Cell {
	return Cell{Name: bus, Test: bus == "uas", Doc: "the UKI from a small disk, the image from one on " + bus, Firmware: SecureBoot, Cmdline: byPartUUID(2),
		Disks: []Disk{{Place: []Place{bootFile()}}, onESP("signed").seeded(2).on(bus)}, Must: entered(node, "signed")}
}

// withKernel is a boot from a disk on a bus with the kernel from QEMU.
func withKernel(bus, node string) Cell {
	// The size of an SD card is a power of two.
	disk := onESP("signed").seeded(2).on(bus)
	disk.Size = 64 << 20
	return Cell{Name: bus, Doc: "the image from a disk on " + bus, Cmdline: byPartUUID(2), Disks: []Disk{disk}, Must: entered(node, "signed")}
}

// fat is a boot from an ESP of some kind.
func fat(name string, d Disk, kind string) Cell {
	d.Place = onESP("signed").Place
	doc := "an ESP of " + kind
	if d.ClusterSize != 0 {
		doc += fmt.Sprintf(" with clusters of %d bytes", d.ClusterSize)
	}
	return Cell{Name: name, Doc: doc, Disks: []Disk{d}, Must: append([]string{kind + " on /dev/vda1"}, entered("vda1", "signed")...)}
}

// fragmented is a boot from an image in pieces.
func fragmented(pieces int) Cell {
	return Cell{Name: fmt.Sprintf("fragments-%d", pieces), Doc: fmt.Sprintf("an image in %d pieces is used in place", pieces),
		Disks: []Disk{{Place: onESP("signed").Place, Fragments: pieces, ClusterSize: 1024}},
		Must:  append([]string{fmt.Sprintf("bytes in %d extents", pieces)}, entered("vda1", "signed")...), MustNot: []string{"copied"}}
}

// longName has more than one entry of a long name, and letters that the console must show as they are.
const longName = "Übergrößenabbild für Rechner 7 – набор образов, версия 1.0 (проверено) 日本語 and forty more letters so that it is long.raw"

// blankLabel overwrites the volume label in the boot sector of the ESP with spaces: all that there is of one, since there is none in the
// root directory.
func blankLabel(disk string) error {
	f, err := os.OpenFile(disk, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	const (
		esp        = 1 << 20 // where the partition begins
		label      = 43      // BS_VolLab of FAT12 and FAT16
		labelBytes = 11
	)
	if _, err := f.WriteAt([]byte(strings.Repeat(" ", labelBytes)), esp+label); err != nil {
		return err
	}
	return f.Close()
}

// listed judges that the console names devices without a driver, each once and with the classes that there are.
func listed(modaliases ...string) func(string) []string {
	return func(console string) (wrong []string) {
		for _, m := range modaliases {
			n := 0
			for line := range strings.Lines(console) {
				if strings.Contains(line, "no driver for "+m) && strings.Contains(line, "; this stage 1 carries ") {
					n++
				}
			}
			if n != 1 {
				wrong = append(wrong, fmt.Sprintf("the console says %d times that %s has no driver, wanted once", n, m))
			}
		}
		return wrong
	}
}

// waited judges that stage 1 waited so long for its disk.
func waited(least time.Duration) func(string) []string {
	return func(console string) []string {
		_, rest, _ := strings.Cut(console, "initddi: storage: ")
		line, _, _ := strings.Cut(rest, "\n")
		i := strings.LastIndex(line, "(")
		took, err := time.ParseDuration(strings.ReplaceAll(strings.TrimSuffix(line[i+1:], ")"), " ", ""))
		if err != nil || took < least {
			return []string{fmt.Sprintf("stage 1 says of its disk %q (%v), wanted a wait of at least %s", line, err, least)}
		}
		return nil
	}
}
