// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package vmtest

import "github.com/initddi/initddi/vmtest/guest"

func stagesLocked() []Stage1 {
	return []Stage1{
		// The two that every cell boots with are no keys that a fleet needs.
		{Name: "locked", Config: "locked", Set: []string{"id=debian", "allow-key=cryptomgr.notests", "allow-key=no_timer_check", "allow-key=tsc=unstable"}},
	}
}

// cellsLocked boot the template that takes no word that it does not know, however it gets onto the command line.
func cellsLocked() []Cell {
	const notAllowed = " from the kernel command line: not among the keys that this stage 1 was built to allow"
	cells := []Cell{
		{Name: "locked-boots", Test: true, Doc: "the locked template boots with the words that it allows", Cmdline: "quiet ddi.log=info", SMBIOS: byOwner("ddi.image=signed*"),
			Verdict: Entered, Must: []string{"Secure Boot on", "entering vda1:/loader/ddi/signed.raw", guest.Sentence}, MustNot: []string{"shell"}},
		{Name: "locked-fail", Doc: "ddi.fail= takes less in the locked template", SMBIOS: byOwner("ddi.fail=halt"),
			Verdict: Refused, Must: []string{"cannot use ddi.fail=halt" + notAllowed, "powering off (ddi.fail=poweroff)"}},
		{Name: "locked-init-args", Doc: "nor does the locked template pass arguments on to the next init", SMBIOS: byOwner("-- emergency"),
			Verdict: Refused, Must: []string{"cannot use -- emergency" + notAllowed}},
	}
	for _, word := range []struct{ name, text string }{{"init", "init=/bin/sh"}, {"debug-shell", "systemd.debug_shell=1"}, {"emergency", "rd.systemd.unit=emergency.target"}} {
		must := []string{"cannot use " + word.text + notAllowed, "powering off"}
		cells = append(cells,
			Cell{Name: "locked-" + word.name + "-uki", Doc: word.text + " in the UKI", Verdict: Refused, Cmdline: word.text, Must: must},
			Cell{Name: "locked-" + word.name + "-addon", Doc: word.text + " in a signed addon", Verdict: Refused, Must: must,
				Disks: []Disk{{Place: append(onESP("signed").Place, Place{Path: "/EFI/BOOT/BOOTX64.EFI.extra.d/more.addon.efi", Addon: word.text})}}},
			Cell{Name: "locked-" + word.name + "-smbios", Doc: word.text + " from the machine, by SMBIOS", Verdict: Refused, SMBIOS: byOwner(word.text), Must: must, Test: word.name == "init"})
	}
	for i := range cells {
		c := &cells[i]
		c.Group, c.Firmware, c.Stage1 = "locked", SecureBoot, "locked"
		if c.Disks == nil {
			c.Disks = []Disk{onESP("signed")}
		}
		if c.Verdict == Refused {
			c.MustNot = append(c.MustNot, guest.Sentence)
		}
	}
	return cells
}
