// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package vmtest

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/initddi/initddi/internal/gpt"
)

// initrdImage is the image of "just initrd-image": a full initrd made of ordinary packages.
const initrdImage = "initrd_13"

func imagesComplex() []Image {
	return []Image{
		{Name: initrdImage, Ready: "initrd_13.raw", Recipe: "initrd-image"},
		{Name: "initrd-repart", Ready: "initrd_repart.raw", Recipe: "initrd-image-by repart"},
		{Name: "initrd-mkosi", Ready: "initrd_mkosi.raw", Recipe: "initrd-image-by mkosi"},
		{Name: "initrd-sid", Ready: "initrd_sid.raw", Recipe: "_initrd-image-sid"},
		{Name: "complex-usr", Tree: "complex-usr", Usr: true, Key: "ddi"},
		{Name: initrdImage + "-damaged", From: initrdImage, Damage: flip(1024)},
	}
}

func volumesComplex() []Volume {
	const (
		// There is no udev that would make nodes.
		lvm = `
lv() { cmd=$1; shift; lvm "$cmd" --yes --config 'activation { udev_sync=0 udev_rules=0 }' "$@"; }
volume() { lv pvcreate "$1"; lv vgcreate vg "$1"; lv lvcreate -Wn -Zn -n "$2" -l 100%FREE vg; }`
		mirror = `
mdadm --create /dev/md0 --run --level=1 --raid-devices=2 --metadata=1.2 --assume-clean --bitmap=none --homehost=any --name=root --uuid=` + mdUUID + ` /dev/vdd /dev/vde`
	)
	return []Volume{
		{Name: "xfs", Sizes: []int64{640}, Script: `
mkfs.xfs -q -f -m uuid=` + rootUUID + ` /dev/vdd
mkdir /run/m/from /run/m/to; mount -o ro /dev/vdc /run/m/from; mount /dev/vdd /run/m/to; cp -a /run/m/from/. /run/m/to; umount /run/m/to`},
		{Name: "btrfs", Sizes: []int64{640}, Script: `
mkfs.btrfs -q -f -U ` + rootUUID + ` /dev/vdd
mkdir /run/m/from /run/m/to; mount -o ro /dev/vdc /run/m/from; mount /dev/vdd /run/m/to; btrfs subvolume create /run/m/to/system
cp -a /run/m/from/. /run/m/to/system; umount /run/m/to`},
		{Name: "without-usr", Sizes: []int64{128}, Script: `
mkfs.ext4 -q -U ` + rootUUID + ` /dev/vdd
mkdir /run/m/from /run/m/to; mount -o ro /dev/vdc /run/m/from; mount /dev/vdd /run/m/to
for f in /run/m/from/*; do [ "$f" = /run/m/from/usr ] || cp -a "$f" /run/m/to; done; mkdir /run/m/to/usr; umount /run/m/to`},
		{Name: "luks", Sizes: []int64{672}, Script: `
luks /dev/vdd; unlock /dev/vdd root; fill /dev/mapper/root; cryptsetup close root`},
		{Name: "lvm-on-luks", Sizes: []int64{688}, Script: lvm + `
luks /dev/vdd; unlock /dev/vdd pv; volume /dev/mapper/pv root; fill /dev/vg/root; lv vgchange -an vg; cryptsetup close pv`},
		{Name: "luks-on-lvm", Sizes: []int64{688}, Script: lvm + `
volume /dev/vdd crypt; luks /dev/vg/crypt; unlock /dev/vg/crypt root; fill /dev/mapper/root; cryptsetup close root; lv vgchange -an vg`},
		{Name: "raid1", Sizes: []int64{656, 656}, Script: mirror + `
fill /dev/md0; mdadm --stop /dev/md0`},
		{Name: "stack", Sizes: []int64{704, 704}, Script: lvm + mirror + `
luks /dev/md0; unlock /dev/md0 pv; volume /dev/mapper/pv root; fill /dev/vg/root; lv vgchange -an vg; cryptsetup close pv; mdadm --stop /dev/md0`},
	}
}

// complexLimit is for two systems that start one after the other on an emulated processor, which somebody else may use as well.
const complexLimit = 20 * time.Minute

// patience has systemd wait longer than usual. A job that never ends is found all the same: the boot does not end either.
const patience = "systemd.default_timeout_start_sec=10min systemd.default_device_timeout_sec=10min"

// realRoot is a cell in which stage 1 enters the initrd image, and that the real root: a Debian 13 that reports of itself. words are those of the
// command line that say where the root is.
func realRoot(name, doc, words string, disks ...Disk) Cell {
	boot := Disk{Place: []Place{{Path: "/loader/ddi/initrd_13.raw", Image: initrdImage}}}
	return Cell{
		Name: name, Group: "complex", Doc: doc, Firmware: SecureBoot, Limit: complexLimit,
		Cmdline: strings.TrimSpace("rw " + patience + " " + words), Disks: append([]Disk{boot}, disks...),
		Verdict: Entered, Must: slices.Concat([]string{"Secure Boot on"}, twoSystems(), []string{"Power down"}),
		MustNot: slices.Concat(troubleAtShutdown(), troubleWithDevices()), Report: isWell(nil),
	}
}

// twoSystems is what the console shows when stage 1 enters the initrd image, and that the real root.
func twoSystems() []string {
	return []string{"initrd image, erofs", "entering vda1:/loader/ddi/initrd_13.raw", "Booting initrd of Debian GNU/Linux 13 (trixie) (initrd)", "Welcome to Debian GNU/Linux 13 (trixie)!"}
}

// twoOfAnyName is the same for an initrd image whose os-release does not say in its name that it is one.
func twoOfAnyName() []string {
	two := twoSystems()
	two[2] = "Booting initrd of Debian GNU/Linux"
	return two
}

// troubleAtShutdown is what systemd and, after it, systemd-shutdown say of what they cannot unmount.
func troubleAtShutdown() []string {
	return []string{"Failed unmounting", "Failed to unmount", "Unable to finalize remaining file systems", "Failed to finalize file systems"}
}

// troubleWithDevices is what it says of devices that it cannot detach. Below a root, which stays mounted to the last, there is no other way.
func troubleWithDevices() []string {
	return []string{"Could not detach", "Unable to finalize"}
}

// Passphrases are asked for in these words, by systemd-ask-password on the console.
const asksPassphrase = "Please enter passphrase for disk"

// typed is what a person does who is asked for the passphrase.
func typed() []Line { return []Line{{asksPassphrase, passphrase}} }

// saying returns the cell with more facts that the real system must report.
func (c Cell) saying(facts map[string]string) Cell {
	c.Report = isWell(facts)
	if facts["dm"] != "" || facts["md"] != "" {
		c.MustNot = troubleAtShutdown()
	}
	return c
}

// doing returns the cell with a script that the real system runs at the end of each boot; $1 is how many there were before.
func (c Cell) doing(script string) Cell {
	c.Credentials = maps.Clone(c.Credentials)
	if c.Credentials == nil {
		c.Credentials = map[string]string{}
	}
	c.Credentials["cell.script"] = script
	return c
}

// isWell judges what the real system reports of itself; more are further facts that must be as they are here.
func isWell(more map[string]string) func(string) []string {
	return func(report string) []string {
		got := reported(report)
		want := map[string]string{"state": "running", "failed-units": "0", "jobs": "0", "trouble": "", "multi-user": "active", "pid1": "systemd", "dm": "No devices found;", "loops": "",
			"esp": "rw", "stage1-in-journal": "1", "done": "1"}
		if _, ok := got["script-status"]; ok {
			want["script-status"] = "0"
		}
		maps.Copy(want, more)
		var wrong []string
		for k, v := range want {
			if got[k] != v {
				wrong = append(wrong, fmt.Sprintf("the system says %s=%q, wanted %q", k, got[k], v))
			}
		}
		slices.Sort(wrong)
		if len(wrong) > 0 {
			wrong = append(wrong, fmt.Sprintf("it says besides: failed units %q, trouble %q, its script's standard error %q", got["failed-names"], got["trouble"], got["script-stderr"]))
		}
		return wrong
	}
}

// with returns the disk with a partition of type root behind the ESP, which has to say that it is FAT16: mkfs.vfat goes by the whole disk's size.
func (d Disk) with(volume string) Disk {
	d.FATType, d.Parts = 16, []Part{{Type: gpt.Root, Volume: volume}}
	return d
}

// byLUKS names the LUKS container on the command line; what is in it becomes /dev/mapper/NAME.
func byLUKS(name string) string { return "rd.luks.name=" + luksUUID + "=" + name }

// withKey says that a key file opens it, which is the credential in keyFile.
const withKey = " rd.luks.key=" + luksUUID + "=/run/credentials/@system/disk.key"

func keyFile() map[string]string { return map[string]string{"disk.key": passphrase} }

func cellsComplex() []Cell {
	root := "root=UUID=" + rootUUID
	cells := []Cell{
		realRoot("root-ext4", "a real root on ext4, found by root=UUID=", root, Disk{Volume: "ext4"}),
		realRoot("root-xfs", "a real root on xfs", root, Disk{Volume: "xfs"}),
		realRoot("root-btrfs", "a real root in a subvolume of btrfs", root+" rootflags=subvol=system", Disk{Volume: "btrfs"}).saying(map[string]string{"root-source": "/dev/vdb[/system]"}),
		realRoot("gpt-auto", "a real root beside the ESP, found by its partition type", ""),
		realRoot("gpt-auto-luks", "a real root in LUKS2 beside the ESP, found by its partition type; a person types the passphrase at the console", "").saying(map[string]string{"dm": "root;"}),
		realRoot("luks-keyfile", "LUKS2 with a key file that is a credential of the machine's owner", byLUKS("root")+withKey+" "+root, Disk{Volume: "luks"}).saying(map[string]string{"dm": "root;"}),
		realRoot("luks-on-lvm", "LUKS2 in a logical volume", byLUKS("root")+withKey+" "+root, Disk{Volume: "luks-on-lvm"}).saying(map[string]string{"dm": "root;vg-crypt;"}),
		realRoot("lvm-on-luks", "a logical volume in LUKS2", byLUKS("pv")+withKey+" "+root, Disk{Volume: "lvm-on-luks"}).saying(map[string]string{"dm": "pv;vg-root;"}),
		realRoot("raid1", "a mirror of two disks", root, Disk{Volume: "raid1/0"}, Disk{Volume: "raid1/1"}).saying(map[string]string{"md": "md127 active raid1;"}),
		realRoot("raid1-degraded", "a mirror of which one disk is missing", root, Disk{Volume: "raid1/1"}).saying(map[string]string{"md": "md127 active raid1;", "members": "[2/1]"}).
			doing(`echo "members=$(grep -o '\[[0-9]*/[0-9]*\]' /proc/mdstat)"` + "\n"),
		realRoot("raid1-luks-lvm", "ext4 in a logical volume in LUKS2 on a mirror", byLUKS("pv")+withKey+" "+root, Disk{Volume: "stack/0"}, Disk{Volume: "stack/1"}).saying(map[string]string{"dm": "pv;vg-root;"}),
	}
	cells = append(cells,
		realRoot("verity-usr", "a root without /usr, which is on a disk with dm-verity and named by usrhash=", root+" usrhash={roothash complex-usr} mount.usrfstype=erofs", Disk{Volume: "without-usr"}, Disk{Volume: "image complex-usr"}).
			saying(map[string]string{"dm": "usr;"}),
		factory(),
		realRoot("initrd-repart", "the initrd image that systemd-repart makes of templates/repart.d/initrd", root, Disk{Volume: "ext4"}),
		realRoot("initrd-mkosi", "the initrd image that mkosi makes of templates/mkosi/initrd", root, Disk{Volume: "ext4"}))
	for i := range cells {
		switch c := &cells[i]; c.Name {
		case "root-ext4":
			c.Test, c.Keep, c.After = true, true, espIsClean
		case "initrd-repart":
			c.Disks[0].Place[0].Image = c.Name
		case "initrd-mkosi":
			c.Disks[0].Place[0].Image = c.Name
			c.Must = slices.Concat([]string{"Secure Boot on"}, twoOfAnyName(), []string{"Power down"})
		case "gpt-auto":
			c.Disks[0] = c.Disks[0].with("ext4")
		case "gpt-auto-luks":
			c.Disks[0] = c.Disks[0].with("luks")
			c.Dialogue = typed()
		case "luks-keyfile", "luks-on-lvm", "lvm-on-luks", "raid1-luks-lvm":
			c.Credentials = keyFile()
		}
	}
	return slices.Concat(cellsUnlock(), cells, cellsAgain(), cellsNewest())
}

// cellsNewest have an initrd image of Debian sid, whose systemd knows more ways to a root, and the same real root.
func cellsNewest() []Cell {
	cells := []Cell{
		realRoot("root-dissect", "Debian sid's systemd takes the disk that was booted from for a discoverable image, and its root for the root", "root=dissect"),
		realRoot("root-bind", "Debian sid's systemd enters a directory that it has mounted", "rd.systemd.mount-extra=/dev/vdb:/run/real:ext4 root=bind:/run/real", Disk{Volume: "ext4"}),
	}
	cells[0].Disks[0] = cells[0].Disks[0].with("ext4")
	for i := range cells {
		c := &cells[i]
		c.Disks[0].Place[0].Image = "initrd-sid"
		c.Must = slices.Concat([]string{"Secure Boot on"}, twoOfAnyName(), []string{"Power down"})
	}
	return cells
}

// factory is a machine whose disk is empty when it is started first.
func factory() Cell {
	c := realRoot("factory", "the disk is empty; systemd-repart in the initrd makes and fills the root at the first boot, and the second one finds it",
		"root=PARTLABEL=factory", Disk{Volume: "empty"}, Disk{Volume: "ext4"})
	c.Keep = true
	// Without --root= the definitions, and what they copy, would be those of the root that is not there yet. With it no block device may be
	// copied, so it is files.
	c.Credentials = map[string]string{
		"tmpfiles.extra": `f /run/repart.d/50-root.conf 0644 root root - [Partition]\nType=root\nLabel=factory\nFormat=ext4\nCopyFiles=/run/factory:/\n` + "\n",
		// A mount unit would wait for a file system check, and that for the root's. When repart closes the disk, udev reads the table anew and takes the
		// partition away for a moment: nobody may have begun with it, and where it is there already, repart stays away.
		"systemd.unit-dropin.systemd-repart.service": "[Unit]\nConditionPathExists=!/dev/vdb1\nAfter=systemd-tmpfiles-setup.service dev-vdb.device dev-vdc.device\nBefore=systemd-fsck-root.service sysroot.mount\nWants=dev-vdb.device dev-vdc.device\n" +
			"[Service]\nExecStartPre=mkdir /run/factory\nExecStartPre=mount -o ro /dev/vdc /run/factory\nExecStartPost=umount /run/factory\nExecStartPost=rmdir /run/factory\nExecStartPost=udevadm settle\n" +
			"StandardError=journal+console\nEnvironment=SYSTEMD_LOG_TARGET=console\nExecStart=\nExecStart=systemd-repart --root=/ --dry-run=no --empty=allow /dev/vdb\n",
	}
	c = c.saying(map[string]string{"root-source": "/dev/vdb1", "boots": "0"})
	c.Again = []Again{{Verdict: Entered, Must: c.Must, MustNot: c.MustNot, Report: isWell(map[string]string{"root-source": "/dev/vdb1", "boots": "1"})}}
	return c
}

// mountESP is a line of a script that the real system runs, in which the partition that stage 1 booted from is mounted where the report had it.
const mountESP = `mount "/dev/disk/by-partuuid/$(sed -n 's/^ *"boot_partition": "\(.*\)",*$/\1/p' /run/initddi/boot.json)" /run/esp`

// cellsAgain are those in which the real system starts anew without the firmware's help.
func cellsAgain() []Cell {
	root := "root=UUID=" + rootUUID
	c := realRoot("soft-reboot-kexec", "systemd restarts the real root's user space, then the kernel, as Debian signed it, is started by kexec under Secure Boot with stage 1 as its initrd, and all of it comes up again", root, Disk{Volume: "ext4"}).
		saying(map[string]string{"boots": "2", "cmdline-again": "1"}).
		doing(`case $1 in
0) echo end=soft-reboot ;;
1)
	` + mountESP + `
	kexec -s -l /run/esp/kexec/linux --initrd=/run/esp/kexec/stage1 --append="$(cat /proc/cmdline) again"
	umount /run/esp
	echo end=kexec ;;
2) echo "cmdline-again=$(grep -c ' again$' /proc/cmdline)" ;;
esac
`)
	c.Vendor = true
	c.Disks[0].Place = append(c.Disks[0].Place, Place{Path: "/kexec/linux", Kernel: "cloud"}, Place{Path: "/kexec/stage1", Stage1: "minimal"})
	c.Must = slices.Concat([]string{"Secure Boot on"}, twoSystems(), []string{"Welcome to Debian GNU/Linux 13 (trixie)!"}, twoSystems(), []string{"Power down"})
	return []Cell{c, hibernation()}
}

// hibernation is a machine without Secure Boot, which forbids it: the image in the swap partition is not signed.
func hibernation() Cell {
	c := realRoot("hibernate", "the real system is hibernated, and stage 1 and the initrd image lead back to where it was", "root=UUID="+rootUUID, Disk{Volume: "ext4"}, Disk{Volume: "empty"}).
		saying(map[string]string{"done": ""}).
		doing(`mkswap /dev/vdc
swapon /dev/vdc
systemctl start systemd-hibernate.service
echo "resumed=$(journalctl -b -k -o cat --no-pager | grep -c 'hibernation: hibernation exit')"
`)
	c.Firmware, c.Keep = UEFI, true
	c.Must = twoSystems()
	c.Again = []Again{{Verdict: Entered, Must: append(twoSystems()[:3:3], "Power down"), MustNot: append(troubleAtShutdown(), twoSystems()[3]), Report: func(report string) []string {
		var wrong []string
		for _, line := range []string{"resumed=1", "script-status=0", "done=1"} {
			if !strings.Contains(report, line) {
				wrong = append(wrong, fmt.Sprintf("the system that was hibernated does not say %s: %q", line, report))
			}
		}
		return wrong
	}}}
	return c
}

// cellsUnlock are those that boot several times: a person unlocks the disk once and has the TPM do it from then on.
func cellsUnlock() []Cell {
	root := byLUKS("root") + " rd.luks.options=tpm2-device=auto root=UUID=" + rootUUID
	dm := map[string]string{"dm": "root;"}
	again := func(must []string) Again {
		return Again{Verdict: Entered, Must: must, MustNot: append(troubleAtShutdown(), asksPassphrase), Report: isWell(dm)}
	}
	enroll := func(options string) string {
		return `if [ "$1" = 0 ]; then
	umask 077
	printf '%s' '` + passphrase + `' >/run/key
	systemd-cryptenroll --unlock-key-file=/run/key --tpm2-device=auto ` + options + ` /dev/vdb
fi
`
	}
	pcr7 := realRoot("luks-tpm2", "LUKS2 that a person unlocks once, and from then on the TPM (PCR 7); a credential sealed to that TPM on the ESP reaches a service", root, Disk{Volume: "luks"}).saying(dm).
		doing(enroll("--tpm2-pcrs=7") + `if [ "$1" = 0 ]; then
	` + mountESP + `
	mkdir -p /run/esp/loader/credentials
	echo sealed-and-opened | systemd-creds encrypt --with-key=tpm2 --name=cell.sealed - /run/esp/loader/credentials/cell.sealed.cred
	umount /run/esp
else
	echo "sealed=$(cat "$CREDENTIALS_DIRECTORY/cell.sealed")"
fi
`)
	pcr7.TPM, pcr7.Keep, pcr7.Test, pcr7.Dialogue = &TPM{}, true, true, typed()
	second := again(pcr7.Must)
	second.Report = isWell(map[string]string{"dm": "root;", "sealed": "sealed-and-opened"})
	pcr7.Again = []Again{second}

	pcr11 := realRoot("luks-tpm2-signed", "LUKS2 sealed to PCR 7 and to a signed value of PCR 11: another UKI with the same signature does not open it, and another image is not entered", root, Disk{Volume: "luks"}).saying(dm).
		doing(enroll("--tpm2-pcrs=7 --tpm2-public-key=/run/systemd/tpm2-pcr-public-key.pem --tpm2-public-key-pcrs=11"))
	pcr11.TPM, pcr11.Keep, pcr11.Dialogue, pcr11.PolicyKey = &TPM{}, true, typed(), "policy"
	other := pcr11
	other.Name, other.Afterwards = "luks-tpm2-other", " other"
	pcr11.Again = []Again{
		again(pcr11.Must),
		{Verdict: Entered, Must: slices.Concat(twoSystems()[:3], []string{asksPassphrase}, twoSystems()[3:]), MustNot: troubleAtShutdown(), Dialogue: typed(), Report: isWell(dm),
			Alter: onFirstESP(firstPath, func(ctx context.Context, w *Workshop) (string, error) {
				cmdline, err := w.cmdline(ctx, &other)
				if err != nil {
					return "", err
				}
				return w.UKI(ctx, &other, cmdline)
			})},
		{Verdict: Refused, Must: []string{"cannot boot:"}, MustNot: []string{"Booting initrd of", asksPassphrase},
			Alter: onFirstESP("/loader/ddi/initrd_13.raw", func(ctx context.Context, w *Workshop) (string, error) {
				return w.Image(ctx, initrdImage+"-damaged")
			})},
	}
	return []Cell{pcr7, pcr11}
}
