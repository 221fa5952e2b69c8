// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package vmtest

import "github.com/initddi/initddi/vmtest/guest"

// cellsSettings are boots with an initddi.conf on the ESP.
func cellsSettings() []Cell {
	const (
		file      = "/loader/ddi/initddi.conf"
		newest    = "entering vda1:/loader/ddi/os_10.raw"
		older     = "entering vda1:/loader/ddi/os_9.raw"
		noChange  = ": it changes nothing"
		overruled = "and the kernel command line something else: that is what counts"
	)
	with := func(p ...Place) []Disk { return []Disk{{Place: append(twoVersions().Place, p...)}} }
	cells := []Cell{
		{Name: "settings-unsigned", Test: true, Doc: "an initddi.conf that nobody signed may choose among good images", Disks: with(Place{Path: file, Text: "# ours\nimage=os_9*\nlog=debug\n"}),
			Must: []string{"read-settings: " + file + ": 29 bytes, unsigned", older, guest.Sentence}},
		{Name: "settings-signed", Doc: "one that is signed by the trust store may say more", Disks: with(Place{Path: file, Text: "corruption=panic\nimage=os_9*\n", SignedBy: "ddi"}),
			Must: []string{"read-settings: " + file + ": 29 bytes, signed by", older, guest.Sentence}},
		{Name: "settings-needs-signature", Doc: "what needs a signature and has none is refused, and the file with it", Disks: with(Place{Path: file, Text: "image=os_9*\ninit=/bin/sh\n"}),
			Must: []string{"vda1:" + file + " refused (settings): cannot use init=/bin/sh from the vda1:" + file + " line 2: counts only in a file that is signed by the trust store" + noChange, newest, guest.Sentence}},
		{Name: "settings-stranger", Doc: "a signature by somebody else does not make it an unsigned file", Disks: with(Place{Path: file, Text: "image=os_9*\n", SignedBy: "stranger"}),
			Must: []string{"vda1:" + file + " refused (settings): cannot verify signature", noChange, newest, guest.Sentence}},
		{Name: "settings-altered", Doc: "nor does a signature of something else", Disks: with(Place{Path: file, Text: "image=os_9*\n"}, Place{Path: file + ".p7s", Text: "no signature"}),
			Must: []string{"vda1:" + file + " refused (settings)", noChange, newest, guest.Sentence}},
		{Name: "settings-widen", Doc: "what is acceptable cannot be said in it, signed or not", Disks: with(Place{Path: file, Text: "policy=*\n", SignedBy: "ddi"}),
			Must: []string{"cannot use policy=* from the vda1:" + file + " line 1: can only be built into stage 1" + noChange, newest, guest.Sentence}},
		{Name: "settings-unknown", Doc: "a key that nobody knows is named", Disks: with(Place{Path: file, Text: "nosuch=1\n"}),
			Must: []string{"cannot use nosuch=1 from the vda1:" + file + " line 1: unknown key" + noChange, newest, guest.Sentence}},
		{Name: "settings-overruled", Doc: "the command line overrules it", Cmdline: "ddi.image=os_10*", Disks: with(Place{Path: file, Text: "image=os_9*\n"}),
			Must: []string{file + " says image=os_9*, " + overruled, newest, guest.Sentence}},
		{Name: "settings-elsewhere", Doc: "it may name a directory that nobody has looked into yet",
			Disks: with(Place{Path: file, Text: "image=/other/os.raw\n"}, Place{Path: "/other/os.raw", Image: "signed"}),
			Must:  []string{"read-settings:", "holds", "/other", "entering vda1:/other/os.raw", guest.Sentence}},
		{Name: "settings-own", Doc: "that in the UKI's own directory counts, and the shared one does not", Firmware: SecureBoot,
			Disks: with(Place{Path: "/EFI/BOOT/BOOTX64.EFI.ddi.d/initddi.conf", Text: "image=os_9*\n"}, Place{Path: file, Text: "image=os_10*\n"}),
			Must:  []string{"read-settings: /EFI/BOOT/BOOTX64.EFI.ddi.d/initddi.conf", older, guest.Sentence}},
		{Name: "settings-locked", Doc: "the list of the locked template holds for the file, too", Firmware: SecureBoot, Stage1: "locked",
			Disks: with(Place{Path: file, Text: "init=/sbin/init\n", SignedBy: "ddi"}),
			Must:  []string{"cannot use init=/sbin/init from the vda1:" + file + " line 1: not among the keys that this stage 1 was built to allow" + noChange, newest, guest.Sentence}},
	}
	for i := range cells {
		cells[i].Group, cells[i].Verdict = "settings", Entered
	}
	return cells
}
