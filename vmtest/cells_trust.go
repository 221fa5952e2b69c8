// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package vmtest

import "github.com/initddi/initddi/vmtest/guest"

func imagesTrust() []Image { return nil }

func stagesTrust() []Stage1 {
	return []Stage1{
		{Name: "unprotected", Set: []string{"id=debian", "policy=root=signed+unprotected+absent"}},
		{Name: "only-squashfs", Set: []string{"id=debian", "policy=root=signed+squashfs"}},
	}
}

// cellsTrust are boots about what is acceptable beyond a signature that is there and good.
func cellsTrust() []Cell {
	refused := []Cell{
		{Name: "policy-pinned", Doc: "an image that is acceptable as a pin alone is refused if the command line narrows the image policy to signed ones", Stage1: "pinned",
			Cmdline: "ddi.policy=root=signed+absent", Disks: []Disk{onESP("unsigned")},
			Must: []string{"/loader/ddi/unsigned.raw refused (policy): found an image that is pinned and not signed (verity), wanted root=signed+absent of the image policy", "what to do: take an image that the policy allows"}},
		{Name: "policy-widened", Test: true, Doc: "a policy on the command line makes no unsigned image acceptable", Cmdline: "ddi.policy=*", Disks: []Disk{onESP("unsigned")},
			Must: []string{"/loader/ddi/unsigned.raw refused (signed)"}},
		{Name: "policy-nothing-left", Doc: "a policy on the command line that has nothing in common with the one that was built in is an error", Cmdline: "ddi.policy=root=unprotected", Disks: []Disk{onESP("unsigned")},
			Must: []string{"cannot use ddi.policy=root=unprotected from the kernel command line: nothing is left of what was built in", "root can be neither: signed+absent and unprotected have nothing in common", "correct that key"}},
		{Name: "policy-file-system", Doc: "a signed image whose file system the policy does not name", Stage1: "only-squashfs", Disks: []Disk{onESP("signed")},
			Must: []string{"attach:", "/loader/ddi/signed.raw refused (policy): found file system erofs, wanted root=signed+squashfs"}},
		{Name: "policy-read-only", Doc: "the policy's bits of the partition table count", Cmdline: "ddi.policy=root=signed+read-only-off", Disks: []Disk{onESP("signed")},
			Must: []string{"refused (policy): found a root partition with read-only-on+growfs-off, wanted root=signed+read-only-off"}},
	}
	for i := range refused {
		refused[i].Group, refused[i].Verdict = "trust", Refused
		refused[i].MustNot = append(refused[i].MustNot, guest.Sentence)
	}
	return append(refused, []Cell{
		{Name: "policy-signed", Group: "trust", Doc: "a signed image under a narrower policy", Cmdline: "ddi.policy=root=signed+erofs:=absent", Disks: []Disk{onESP("signed")},
			Verdict: Entered, Must: []string{"root hash {roothash signed} signed by", guest.Sentence}},
		{Name: "policy-unprotected", Group: "trust", Doc: "an unsigned image is entered where unprotected was built in, and the console says what that means", Stage1: "unprotected", Disks: []Disk{onESP("unsigned")},
			Verdict: Entered, Must: []string{"for which nobody vouches", "whoever can write to the disk decides what runs here", guest.Sentence}},
	}...)
}
