// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package vmtest

import (
	"fmt"
	"maps"
	"strings"
	"time"

	"github.com/initddi/initddi/vmtest/guest"
)

// onESP is a disk with one image in the shared directory.
func onESP(image string) Disk {
	return Disk{Place: []Place{{Path: "/loader/ddi/" + image + ".raw", Image: image}}}
}

// on attaches the disk to a bus.
func (d Disk) on(bus string) Disk {
	d.Bus = bus
	return d
}

func imagesChain() []Image {
	return []Image{
		{Name: "signed", Key: "ddi"},
		{Name: "initrd", Tree: "initrd", Key: "ddi"},
		{Name: "unsigned"},
		{Name: "bare", Key: "ddi", Tree: "bare"},
		{Name: "squashfs", Key: "ddi", FileSystem: "squashfs"},
		{Name: "ext4", Key: "ddi", FileSystem: "ext4"},
		{Name: "signed9", Key: "ddi", Version: "9"},
		{Name: "signed10", Key: "ddi", Version: "10"},
	}
}

func stagesChain() []Stage1 {
	return []Stage1{
		{Name: "minimal"},
		{Name: "debug", Config: "debug"},
		{Name: "pinned", Trust: []string{}, Set: []string{"id=debian", "pin={roothash unsigned}"}},
		{Name: "filesystems", FileSystems: []string{"erofs", "squashfs", "ext4"}},
		{Name: "nvme-only", Classes: []string{"nvme"}},
	}
}

// credential is a file that systemd-stub takes for a credential of the UKI.
func credential() Place {
	return Place{Path: "/EFI/BOOT/BOOTX64.EFI.extra.d/matrix.cred", Text: "not encrypted, and nobody reads it"}
}

// cellsChain are boots that must get through.
func cellsChain() []Cell {
	return []Cell{
		{Name: "debian", Group: "chain", Test: true, Doc: "the demonstration: Debian 13 to multi-user.target under UEFI Secure Boot, nothing failed, its ESP writable",
			Firmware: SecureBoot, Ready: "disk.img", Credentials: map[string]string{"initddi.report": "poweroff"}, Limit: 6 * time.Minute,
			Verdict: Entered, Must: []string{"Secure Boot on", "entering vda1:/loader/ddi/debian_13.raw"}, Report: debianIsWell},
		{Name: "login", Group: "chain", Doc: "the demonstration's console lets a person in: root at the serial login, a command, power off",
			Firmware: SecureBoot, Ready: "disk.img", Limit: 6 * time.Minute,
			Dialogue: []Line{{"initddi login:", "root"}, {"root@initddi", "echo pid1-$(cat /proc/1/comm) tty-$(tty)"}, {"pid1-systemd tty-/dev/ttyS0", "systemctl poweroff"}},
			Verdict:  Entered, Must: []string{"entering vda1:/loader/ddi/debian_13.raw", "initddi login:", "pid1-systemd tty-/dev/ttyS0", "Power down"}},
		{Name: "secureboot", Group: "chain", Test: true, Doc: "UEFI Secure Boot; the UKI's own directory comes before the shared one; what the stub delivers is at /.extra",
			Firmware: SecureBoot, Disks: []Disk{{Place: []Place{{Path: "/EFI/BOOT/BOOTX64.EFI.ddi.d/own.raw", Image: "signed"}, {Path: "/loader/ddi/shared_99.raw", Image: "signed10"}, credential()}}},
			Verdict: Entered, Must: []string{"StubDevicePartUUID=", "Secure Boot on", "entering vda1:/EFI/BOOT/BOOTX64.EFI.ddi.d/own.raw", guest.Sentence}, Check: contractUEFI},
		{Name: "stub-252", Group: "chain", Doc: "Debian 12's systemd-stub, which sets LoaderDevicePartUUID only", Firmware: SecureBoot, Stub: "12", Disks: []Disk{onESP("signed")},
			Verdict: Entered, Must: []string{"LoaderDevicePartUUID=", "root hash {roothash signed} signed by", guest.Sentence}, MustNot: []string{"StubDevicePartUUID="}},
		{Name: "credentials", Group: "chain", Doc: "an image without /.extra finds its credentials in the store", Firmware: SecureBoot,
			Disks:   []Disk{{Place: append(onESP("bare").Place, credential())}},
			Verdict: Entered, Must: []string{"entering vda1:/loader/ddi/bare.raw", guest.Sentence}, Check: contractCredentials},
		{Name: "two-esps-uefi", Group: "chain", Doc: "of two ESPs the one that the firmware booted from is taken, and no other is looked at", Firmware: SecureBoot,
			Disks:   []Disk{onESP("signed9"), {Seed: 2, Place: []Place{{Path: "/loader/ddi/signed_99.raw", Image: "signed10"}}}},
			Verdict: Entered, Must: []string{"entering vda1:/loader/ddi/signed9.raw", guest.Sentence}, MustNot: []string{"signed_99"}},
		{Name: "virtio", Group: "chain", Test: true, Doc: "a signed image on a virtio disk", Disks: []Disk{onESP("signed")},
			Verdict: Entered, Must: []string{"root hash {roothash signed} signed by", "in place in", "os image, erofs, ID=debian", "entering vda1:/loader/ddi/signed.raw", guest.Sentence}, Check: contractOS},
		{Name: "initrd", Group: "chain", Doc: "an initrd image is entered under a device name that systemd does not take for the root", Disks: []Disk{onESP("initrd")},
			Verdict: Entered, Must: []string{"initrd image, erofs", "/init as {roothash initrd}-verity", guest.Sentence}, Check: contractInitrd},
		{Name: "pin-baked", Group: "chain", Doc: "an unsigned image is entered if its root hash was built into stage 1", Stage1: "pinned", Disks: []Disk{onESP("unsigned")},
			Verdict: Entered, Must: []string{"0 trusted certificates, 1 pins", "root hash {roothash unsigned} pinned in stage 1", guest.Sentence}},
		{Name: "pin-narrows", Group: "chain", Doc: "ddi.roothash= chooses the one of two good images that it names, though the other is newer",
			Cmdline: "ddi.roothash={roothash signed9}", Disks: []Disk{twoVersions()},
			Verdict: Entered, Must: []string{"os_10.raw refused (pin)", "wanted ddi.roothash={roothash signed9}", "entering vda1:/loader/ddi/os_9.raw", guest.Sentence}},
		{Name: "newest", Group: "chain", Doc: "of two good images the newer one is entered, by version and not by letters", Disks: []Disk{twoVersions()},
			Verdict: Entered, Must: []string{"IMAGE_VERSION=10", "entering vda1:/loader/ddi/os_10.raw", guest.Sentence}, MustNot: []string{"refused"}},
		{Name: "older-boots", Group: "chain", Test: true, Doc: "if the newer image is refused the older one boots, and the console says which and why",
			Disks:   []Disk{{Place: []Place{{Path: "/loader/ddi/os_2.raw", Image: "unsigned"}, {Path: "/loader/ddi/os_1.raw", Image: "signed"}}}},
			Verdict: Entered, Must: []string{"/loader/ddi/os_2.raw refused (signed)", "entering vda1:/loader/ddi/os_1.raw", guest.Sentence}, Check: namesRefused("vda1:/loader/ddi/os_2.raw", "signed")},
		{Name: "image-glob", Group: "chain", Doc: "ddi.image= chooses by name", Cmdline: "ddi.image=os_9*", Disks: []Disk{twoVersions()},
			Verdict: Entered, Must: []string{"entering vda1:/loader/ddi/os_9.raw", guest.Sentence}, MustNot: []string{"refused"}},
		{Name: "attach-copy", Group: "chain", Doc: "ddi.attach=copy puts the image into memory", Cmdline: "ddi.attach=copy", Disks: []Disk{onESP("signed")},
			Verdict: Entered, Must: []string{"the image is copied into memory: ddi.attach=copy", "in memory", guest.Sentence}, Check: copied},
		{Name: "squashfs", Group: "chain", Doc: "a squashfs image", Stage1: "filesystems", Disks: []Disk{onESP("squashfs")},
			Verdict: Entered, Must: []string{"os image, squashfs", guest.Sentence}, Check: rootIs("squashfs")},
		{Name: "ext4", Group: "chain", Doc: "an ext4 image", Stage1: "filesystems", Disks: []Disk{onESP("ext4")},
			Verdict: Entered, Must: []string{"os image, ext4", guest.Sentence}, Check: rootIs("ext4")},
		{Name: "arguments", Group: "chain", Doc: "arguments and environment reach the next init as the kernel gave them", Disks: []Disk{onESP("signed")},
			Cmdline: "MATRIX=yes bareword ddi.log=debug -- one two", Verdict: Entered, Must: []string{"waiting for", guest.Sentence}, Check: arguments},
		{Name: "quiet", Group: "chain", Doc: "quiet leaves the console to errors", Cmdline: "quiet", Disks: []Disk{onESP("signed")},
			Verdict: Entered, Must: []string{guest.Sentence}, MustNot: []string{"initddi: plan", "initddi: attach", "entering vda1"}},
		{Name: "no-console", Group: "chain", Test: true, Doc: "the kernel finds no console, so that files 0 to 2 are closed when stage 1 begins", NoConsole: true, Disks: []Disk{onESP("signed")},
			Verdict: Entered, Must: []string{"Booting from ROM"}, Check: noFiles},
		{Name: "break-shell", Group: "shell", Doc: "ddi.break=mount opens a shell that answers; leaving it lets the boot go on", Stage1: "debug", Cmdline: "ddi.break=mount", Disks: []Disk{onESP("signed")},
			Dialogue: []Line{{"ddi.break=mount: a shell", "echo answer-$((6*7))"}, {"answer-42", "cat /etc/initddi/stage1.conf && echo listed-$((1+1))"}, {"listed-2", "exit"}},
			Verdict:  Entered, Must: []string{"a debug shell is built into this stage 1", "verify: root hash", "ddi.break=mount: a shell", "answer-42", "id=debian", "listed-2", "attach:", guest.Sentence}},
		{Name: "fail-shell", Group: "shell", Doc: "ddi.fail=shell opens a shell after a refusal, from which the machine can be switched off", Stage1: "debug", Cmdline: "ddi.fail=shell", Disks: []Disk{{}},
			Dialogue: []Line{{"a shell: leave it", "echo still-$((40+2))"}, {"still-42", "shutdown halt"}},
			Verdict:  Shell, Must: []string{"refused (found)", "a shell: leave it", "still-42"}, MustNot: []string{guest.Sentence}},
		{Name: "fail-shell-retry", Group: "shell", Doc: "leaving the shell of ddi.fail=shell tries again", Stage1: "debug", Cmdline: "ddi.fail=shell", Disks: []Disk{{}},
			Dialogue: []Line{{"a shell: leave it", "exit"}, {"a shell: leave it", "shutdown halt"}},
			Verdict:  Shell, Must: []string{"refused (found)", "a shell: leave it", "refused (found)", "a shell: leave it"}},
	}
}

// twoVersions is a disk with versions 9 and 10 of an image.
func twoVersions() Disk {
	return Disk{Place: []Place{{Path: "/loader/ddi/os_9.raw", Image: "signed9"}, {Path: "/loader/ddi/os_10.raw", Image: "signed10"}}}
}

// debianIsWell judges what the demonstration reports of itself.
func debianIsWell(report string) []string { return debianReports(report, "good") }

// debianIsUnrecorded is debianIsWell on a machine without EFI variables: there is no record in which it could be blessed.
func debianIsUnrecorded(report string) []string { return debianReports(report, "not recorded") }

func debianReports(report, blessed string) []string {
	got := reported(report)
	var wrong []string
	for _, want := range [][2]string{{"state", "running"}, {"failed-units", "0"}, {"jobs", "0"}, {"trouble", "0"}, {"esp", "rw"}, {"esp-uuid-devices", "1"}, {"blessed", blessed}, {"done", "1"}} {
		// Behind a colon there is more for people.
		if value, _, _ := strings.Cut(got[want[0]], ":"); value != want[1] {
			wrong = append(wrong, fmt.Sprintf("the system says %s=%s, wanted %s (failed: %s)", want[0], got[want[0]], want[1], got["failed-names"]))
		}
	}
	return wrong
}

// noFiles checks that the next init has nothing in the place of a console, out of an initramfs that is no longer.
func noFiles(f *guest.Facts) []string {
	const null = "/dev/null (deleted)"
	if want := map[int]string{0: null, 1: null, 2: null}; !maps.Equal(f.FDs, want) {
		return []string{fmt.Sprintf("the open descriptors are %v, wanted %v", f.FDs, want)}
	}
	return nil
}
