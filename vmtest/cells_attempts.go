// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package vmtest

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/initddi/initddi/vmtest/guest"
)

// byOwner is how the machine's owner adds to the command line: an SMBIOS string that systemd-stub takes.
func byOwner(text string) []string { return []string{"io.systemd.stub.kernel-cmdline-extra=" + text} }

// cellsAttempts are machines that boot more than once: what stage 1 remembers of the boot before.
func cellsAttempts() []Cell {
	const (
		entered9, entered10 = "entering vda1:/loader/ddi/os_9.raw", "entering vda1:/loader/ddi/os_10.raw"
		behind              = "but entered 1 times without coming up well: the others are tried first"
		before              = "the boot before this one "
	)
	cells := []Cell{
		{Name: "attempts-next", Test: true, Doc: "an image that was entered and did not come up goes behind the other, which is kept once it is blessed", Disks: []Disk{twoVersions()},
			Verdict: Entered, Must: []string{entered10, guest.Sentence}, MustNot: []string{before},
			Again: []Again{
				{SMBIOS: byOwner("marker.bless"), Verdict: Entered, Must: []string{before + "entered the image with root hash", behind, entered9, guest.Sentence, "marker: blessed: good: /loader/ddi/os_9.raw"},
					Check: lastFailure("did not come up well")},
				{Verdict: Entered, Must: []string{behind, entered9, guest.Sentence}, MustNot: []string{before}, Check: lastFailure("")},
			}},
		{Name: "attempts-good", Doc: "an image that was blessed is entered again, and once more after a crash", Disks: []Disk{twoVersions()}, SMBIOS: byOwner("marker.bless"),
			Verdict: Entered, Must: []string{entered10, guest.Sentence, "marker: blessed: good: /loader/ddi/os_10.raw"}, MustNot: []string{before},
			Again: []Again{
				{Verdict: Entered, Must: []string{entered10, guest.Sentence}, MustNot: []string{before, behind}},
				{Verdict: Entered, Must: []string{before + "entered the image", entered10, guest.Sentence}, MustNot: []string{behind}},
			}},
		{Name: "attempts-only", Doc: "the only image is entered however often it failed", Disks: []Disk{onESP("signed")},
			Verdict: Entered, Must: []string{guest.Sentence},
			Again: []Again{{Verdict: Entered, Must: []string{before, behind, "entering vda1:/loader/ddi/signed.raw", guest.Sentence}}}},
		{Name: "attempts-hostile", Doc: "a record that makes no sense is said to be so, and nothing else comes of it", Disks: []Disk{twoVersions()}, SMBIOS: byOwner("marker.record=rubbish"),
			Verdict: Entered, Must: []string{entered10, guest.Sentence, "marker: wrote a record: <nil>"},
			Again: []Again{{Verdict: Entered, Must: []string{"cannot use the record of earlier boots: malformed attempt record: version", entered10, guest.Sentence}}}},
		{Name: "v-directory", Doc: "of a .v directory the newest version is entered, and one whose boot counter has run out comes behind all others",
			Disks:   []Disk{{Place: []Place{{Path: "/loader/ddi/os.raw.v/os_10+0-3.raw", Image: "signed10"}, {Path: "/loader/ddi/os.raw.v/os_9.raw", Image: "signed9"}, {Path: "/loader/ddi/os.raw.v/os_8.raw", Image: "unsigned"}}}},
			Verdict: Entered, Must: []string{"entering vda1:/loader/ddi/os.raw.v/os_9.raw", guest.Sentence}, MustNot: []string{"refused"},
			Again: []Again{
				// By the record it goes behind even that.
				{Verdict: Entered, Must: []string{behind, "os_8.raw refused (signed)", "entering vda1:/loader/ddi/os.raw.v/os_10+0-3.raw", guest.Sentence}},
			}},
		{Name: "last-failure", Doc: "why a boot failed is shown by the next one, and in its boot.json", SMBIOS: byOwner("ddi.image=os_2*"),
			Disks:   []Disk{{Place: []Place{{Path: "/loader/ddi/os_2.raw", Image: "unsigned"}, {Path: "/loader/ddi/os_1.raw", Image: "signed"}}}},
			Verdict: Refused, Must: []string{"os_2.raw refused (signed)"}, MustNot: []string{guest.Sentence},
			Again: []Again{
				{Verdict: Entered, Must: []string{before + "entered nothing (1 in a row): vda1:/loader/ddi/os_2.raw refused (signed)", "entering vda1:/loader/ddi/os_1.raw", guest.Sentence},
					Check: lastFailure("os_2.raw refused (signed)")},
				{Verdict: Refused, SMBIOS: byOwner("ddi.nosuch=1"), Must: []string{"cannot use ddi.nosuch=1"}, MustNot: []string{guest.Sentence}},
				{Verdict: Entered, Must: []string{before + "entered nothing (1 in a row): cannot use ddi.nosuch=1", guest.Sentence}},
			}},
		{Name: "back-off", Doc: "ddi.fail=reboot waits longer after each failure in a row", Cmdline: "ddi.fail=reboot", Disks: []Disk{{}},
			Verdict: Refused, Must: []string{"refused (found)", "rebooting in 30s (ddi.fail=reboot)"}, MustNot: []string{guest.Sentence},
			Again: []Again{{Verdict: Refused, Must: []string{before + "entered nothing (1 in a row)", "refused (found)", "rebooting in 1m0s (ddi.fail=reboot, failure 2 in a row)"}, MustNot: []string{guest.Sentence}}}},
	}
	for i := range cells {
		cells[i].Group, cells[i].Firmware = "attempts", SecureBoot
	}
	return cells
}

// lastFailure checks what boot.json says of the boot before; nothing is wanted if text is empty.
func lastFailure(text string) func(*guest.Facts) []string {
	return func(f *guest.Facts) []string {
		var boot struct {
			LastFailure string `json:"last_failure"`
		}
		if err := json.Unmarshal(f.Boot, &boot); err != nil {
			return []string{err.Error()}
		}
		if !strings.Contains(boot.LastFailure, text) || text == "" && boot.LastFailure != "" {
			return []string{fmt.Sprintf("boot.json says last_failure=%q, wanted %q", boot.LastFailure, text)}
		}
		return nil
	}
}
