// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package vmtest

import (
	"time"

	"github.com/initddi/initddi/vmtest/guest"
)

func imagesTrust() []Image {
	return []Image{
		{Name: "usr", Tree: "usr", Usr: true, Key: "ddi"},
		{Name: "debian-usr", Tree: "debian-usr", Usr: true, Key: "ddi"},
		{Name: "arm", Arch: "arm64", Key: "ddi", Tree: "noinit"},
		{Name: "both", With: "arm", Key: "ddi"},
		{Name: "naked", Bare: true, Key: "ddi"},
		{Name: "naked-usr", Bare: true, Usr: true, Tree: "usr", Key: "ddi"},
		{Name: "naked-stranger", Bare: true, Key: "stranger"},
		{Name: "naked-unsigned", Bare: true},
		{Name: "by-db", Key: "secureboot"},
	}
}

func stagesTrust() []Stage1 {
	return []Stage1{
		{Name: "unprotected", Set: []string{"id=debian", "policy=root=verity+signed+unprotected+absent"}},
		{Name: "from-13", Set: []string{"id=debian", "min-version=13"}},
		{Name: "from-14", Set: []string{"id=debian", "min-version=14"}},
		{Name: "trusts-db", Trust: []string{"secureboot"}},
		{Name: "only-squashfs", Set: []string{"id=debian", "policy=root=signed+squashfs"}},
	}
}

// cellsTrust are boots about what is acceptable beyond a signature that is there and good.
func cellsTrust() []Cell {
	refused := []Cell{
		{Name: "policy-pinned", Doc: "an image that is acceptable as a pin alone is refused if the command line narrows the image policy to signed ones", Stage1: "pinned",
			Cmdline: "ddi.policy=root=signed+absent", Disks: []Disk{onESP("unsigned")},
			Must: []string{"/loader/ddi/unsigned.raw refused (policy): found an image that is pinned and not signed, used as verity, wanted root=signed+absent of the image policy", "what to do: take an image that the policy allows"}},
		{Name: "policy-widened", Test: true, Doc: "a policy on the command line makes no unsigned image acceptable", Cmdline: "ddi.policy=*", Disks: []Disk{onESP("unsigned")},
			Must: []string{"/loader/ddi/unsigned.raw refused (signed)"}},
		{Name: "policy-nothing-left", Doc: "a policy on the command line that has nothing in common with the one that was built in is an error", Cmdline: "ddi.policy=root=unprotected", Disks: []Disk{onESP("unsigned")},
			Must: []string{"cannot use ddi.policy=root=unprotected from the kernel command line: nothing is left of what was built in", "root can be neither: signed+absent and unprotected have nothing in common", "correct that key"}},
		{Name: "policy-file-system", Doc: "a signed image whose file system the policy does not name", Stage1: "only-squashfs", Disks: []Disk{onESP("signed")},
			Must: []string{"attach:", "/loader/ddi/signed.raw refused (policy): found file system erofs, wanted root=signed+squashfs"}},
		{Name: "policy-read-only", Doc: "the policy's bits of the partition table count", Cmdline: "ddi.policy=root=signed+read-only-off", Disks: []Disk{onESP("signed")},
			Must: []string{"refused (policy): found a root partition with read-only-on+growfs-off, wanted root=signed+read-only-off"}},
		{Name: "kernel-requires", Doc: "a kernel that requires signatures refuses an image whose signer is in none of its keyrings", Cmdline: "dm_verity.require_signatures=1", Disks: []Disk{onESP("signed")},
			Must: []string{"/loader/ddi/signed.raw refused (kernel): cannot have the kernel check the signature", "whose certificate the kernel does not know, wanted one by a certificate in the kernel's keyrings", "what to do: enroll the signer's certificate"}},
		{Name: "kernel-requires-pin", Doc: "so it does with one that is acceptable as a pin alone", Stage1: "pinned", Cmdline: "dm_verity.require_signatures=1", Disks: []Disk{onESP("unsigned")},
			Must: []string{"refused (kernel)", "found no signature, wanted one by a certificate in the kernel's keyrings"}},
		{Name: "min-version-id", Doc: "without IMAGE_VERSION the lowest version is held against VERSION_ID", Stage1: "from-14", Disks: []Disk{onESP("signed")},
			Must: []string{"refused (identity): found VERSION_ID=13, wanted at least 14"}},
		{Name: "usrhash-other", Doc: "ddi.usrhash= of another image", Cmdline: "ddi.usrhash={roothash signed}", Disks: []Disk{onESP("usr")},
			Must: []string{"refused (pin): found root hash {roothash usr}, wanted ddi.usrhash={roothash signed}"}},
		{Name: "usrhash-root", Doc: "ddi.usrhash= takes no image of a root", Cmdline: "ddi.usrhash={roothash signed}", Disks: []Disk{onESP("signed")},
			Must: []string{"refused (pin): found an image of a root file system, wanted one of /usr"}},
		{Name: "other-machine", Doc: "an image for another architecture alone", Disks: []Disk{onESP("arm")},
			Must: []string{"refused (partitions): found 0 root partitions for x86-64"}},
		{Name: "naked-stranger", Doc: "a bare file system, with a stranger's signature beside it", Disks: []Disk{onESP("naked-stranger")},
			Must: []string{"/loader/ddi/naked-stranger.raw refused (signed)", "wanted a signature by"}},
		{Name: "naked-unsigned", Doc: "a bare file system with its root hash beside it and no signature", Disks: []Disk{onESP("naked-unsigned")},
			Must: []string{"refused (signed): there is no signature beside the image"}},
		{Name: "naked-alone", Doc: "a file system without anything beside it is no image", Disks: []Disk{{Place: []Place{{Path: "/loader/ddi/os.raw", Text: "no partition table"}}}},
			Must: []string{"/loader/ddi/os.raw refused (readable): cannot read the image's partition table"}},
	}
	for i := range refused {
		refused[i].Group, refused[i].Verdict = "trust", Refused
		refused[i].MustNot = append(refused[i].MustNot, guest.Sentence)
	}
	return append([]Cell{
		{Name: "debian-usr", Group: "trust", Doc: "Debian 13 out of an image of /usr alone: systemd fills the root in memory and gets to multi-user.target",
			Firmware: SecureBoot, Cmdline: "systemd.firstboot=no", Credentials: map[string]string{"initddi.report": "poweroff"}, Limit: 8 * time.Minute, Disks: []Disk{onESP("debian-usr")},
			Verdict: Entered, Must: []string{"Secure Boot on", "/sbin/init as usr", "entering vda1:/loader/ddi/debian-usr.raw"}, Report: debianIsWell},
	}, append(refused, []Cell{
		{Name: "usr", Group: "trust", Test: true, Doc: "an image of /usr is entered on a root in memory", Disks: []Disk{onESP("usr")},
			Verdict: Entered, Must: []string{"root hash {roothash usr} signed by", "os image, erofs, ID=debian", "/sbin/init as usr", guest.Sentence}, Check: contractUsr},
		{Name: "usr-pinned", Group: "trust", Doc: "ddi.usrhash= names an image of /usr", Cmdline: "ddi.usrhash={roothash usr}", Disks: []Disk{onESP("usr")},
			Verdict: Entered, Must: []string{"/sbin/init as usr", guest.Sentence}, Check: contractUsr},
		{Name: "both-machines", Group: "trust", Doc: "of an image for two architectures this machine's partitions are taken", Disks: []Disk{onESP("both")},
			Verdict: Entered, Must: []string{"root hash {roothash both} signed by", guest.Sentence}, MustNot: []string{"{roothash arm}"}, Check: contractOS},
		{Name: "naked", Group: "trust", Test: true, Doc: "a bare file system with hash tree, root hash and signature beside it, both files in pieces, used in place", Disks: []Disk{{Place: onESP("naked").Place, Fragments: 50, ClusterSize: 4096}},
			Verdict: Entered, Must: []string{"root hash {roothash naked} signed by", "in place in", guest.Sentence}, MustNot: []string{"copied"}, Check: contractOS},
		{Name: "naked-usr", Group: "trust", Doc: "the same of /usr", Disks: []Disk{onESP("naked-usr")},
			Verdict: Entered, Must: []string{"root hash {roothash naked-usr} signed by", "/sbin/init as usr", guest.Sentence}, Check: contractUsr},
		{Name: "min-version-id-reached", Group: "trust", Doc: "an image that says VERSION_ID alone, and enough", Stage1: "from-13", Disks: []Disk{onESP("signed")},
			Verdict: Entered, Must: []string{"VERSION_ID=13", guest.Sentence}},
		{Name: "kernel-unknown", Group: "trust", Doc: "a kernel that does not know the signer is not asked: no error lines of its", Cmdline: "loglevel=7 ddi.log=debug", Disks: []Disk{onESP("signed")},
			Verdict: Entered, Must: []string{"verify: root hash", "attach:", guest.Sentence}, MustNot: []string{"PKCS#7", "PKEY", "is used without", "takes the signature as well"}},
		{Name: "kernel-known", Group: "trust", Doc: "an image signed by the key in the firmware's db: the kernel knows it and takes the signature as well, and requires one", Firmware: SecureBoot, Stage1: "trusts-db",
			Cmdline: "dm_verity.require_signatures=1", Disks: []Disk{onESP("by-db")},
			Verdict: Entered, Must: []string{"Secure Boot on", "root hash {roothash by-db} signed by", "takes the signature as well", guest.Sentence}},
		{Name: "policy-signed", Group: "trust", Doc: "a signed image under a narrower policy", Cmdline: "ddi.policy=root=signed+erofs:=absent", Disks: []Disk{onESP("signed")},
			Verdict: Entered, Must: []string{"root hash {roothash signed} signed by", guest.Sentence}},
		{Name: "policy-unprotected", Group: "trust", Doc: "an unsigned image is entered where unprotected was built in, and the console says what that means", Stage1: "unprotected", Disks: []Disk{onESP("unsigned")},
			Verdict: Entered, Must: []string{"for which nobody vouches", "whoever can write to the disk decides what runs here", guest.Sentence}},
	}...)...)
}
