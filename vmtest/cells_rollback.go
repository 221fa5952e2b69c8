// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package vmtest

import (
	"context"

	"github.com/initddi/initddi/internal/swtpm"
	"github.com/initddi/initddi/vmtest/guest"
)

func imagesRollback() []Image {
	return []Image{
		{Name: "level1", Key: "ddi", Release: "INITDDI_SECURITY_LEVEL=1\n"},
		{Name: "level2", Key: "ddi", Release: "INITDDI_SECURITY_LEVEL=2\n"},
	}
}

func stagesRollback() []Stage1 {
	return []Stage1{
		{Name: "rollback", Set: []string{"id=debian", "rollback=yes", "attempts=no"}},
		{Name: "rollback-required", Set: []string{"id=debian", "rollback=required", "attempts=no"}},
	}
}

// tpmTool runs one of tpm2-tools on a machine's TPM.
func tpmTool(name string, args ...string) func(context.Context, *swtpm.TPM) error {
	return func(ctx context.Context, t *swtpm.TPM) error {
		_, err := t.Tool(ctx, name, args...)
		return err
	}
}

// cellsRollback are machines with a floor in their TPM, or with none though one is wanted.
func cellsRollback() []Cell {
	const (
		old, young = "entering vda1:/loader/ddi/os_1.raw", "entering vda1:/loader/ddi/os_2.raw"
		takeOld    = "ddi.image=os_1*"
		noFloor    = "there is no rollback floor, it is missing"
		tooOld     = "os_1.raw refused (rollback): found INITDDI_SECURITY_LEVEL=1, wanted at least 2, the floor in the TPM's NV index 0x18dd100"
		gone       = "os_2.raw refused (rollback)"
	)
	disk := []Disk{{Place: []Place{{Path: "/loader/ddi/os_1.raw", Image: "level1"}, {Path: "/loader/ddi/os_2.raw", Image: "level2"}}}}
	cells := []Cell{
		{Name: "rollback-old", Doc: "once an image of a higher level came up well, the older signed one is refused; a crash before that raises nothing", Stage1: "rollback", TPM: &TPM{},
			SMBIOS: byOwner("marker.bless " + takeOld), Verdict: Entered, Must: []string{noFloor, old, guest.Sentence, "marker: blessed: good: /loader/ddi/os_1.raw", "rollback floor 1 <nil>"},
			Again: []Again{
				{Verdict: Entered, Must: []string{"images need a security level of at least 1", young, guest.Sentence}},
				{SMBIOS: byOwner(takeOld), Verdict: Entered, Must: []string{"at least 1", old, guest.Sentence}},
				{SMBIOS: byOwner("marker.bless"), Verdict: Entered, Must: []string{"at least 1", young, "rollback floor 2 <nil>"}},
				{SMBIOS: byOwner(takeOld), Verdict: Refused, Must: []string{"images need a security level of at least 2", tooOld, "what to do: install an image with a higher security level"}, MustNot: []string{guest.Sentence}},
				{Verdict: Entered, Must: []string{"at least 2", young, guest.Sentence}},
			}},
		{Name: "rollback-missing", Test: true, Doc: "where a floor is required and nobody has set one, nothing is entered", Stage1: "rollback-required", TPM: &TPM{},
			Verdict: Refused, Must: []string{noFloor, gone, "found a floor that is missing, wanted one in the TPM's NV index 0x18dd100 (rollback=required)"}, MustNot: []string{guest.Sentence}},
		{Name: "rollback-no-tpm", Doc: "nor on a machine without a TPM", Stage1: "rollback-required",
			Verdict: Refused, Must: []string{gone, "there is no TPM", "found a floor that is unreachable"}, MustNot: []string{guest.Sentence}},
		{Name: "rollback-foreign", Doc: "nor where something else is defined in the counter's place", Stage1: "rollback-required",
			TPM:     &TPM{Prepare: tpmTool("tpm2_nvdefine", "-C", "o", "-a", "ownerread|ownerwrite|authread|authwrite|no_da", "-s", "8", "0x018dd100")},
			Verdict: Refused, Must: []string{gone, "found a floor that is foreign"}, MustNot: []string{guest.Sentence}},
		{Name: "rollback-cleared", Doc: "a clear of the TPM takes the floor away: where it is required, nothing is entered until it is set again, and that not below what it was", Stage1: "rollback-required",
			TPM:     &TPM{Prepare: tpmTool("tpm2_nvdefine", "-C", "o", "-a", "nt=counter|authread|authwrite|no_da", "0x018dd100")},
			Verdict: Refused, Must: []string{noFloor, gone}, MustNot: []string{guest.Sentence},
			Again: []Again{
				{Prepare: tpmTool("tpm2_nvincrement", "-C", "0x018dd100", "0x018dd100"), SMBIOS: byOwner("marker.bless"), Verdict: Entered, Must: []string{"at least 1", young, "rollback floor 2 <nil>"}},
				{Prepare: tpmTool("tpm2_clear", "-c", "p"), Verdict: Refused, Must: []string{noFloor, gone, "found a floor that is missing"}, MustNot: []string{guest.Sentence}},
			}},
		{Name: "rollback-yes-cleared", Doc: "with rollback=yes a cleared machine boots, with a warning, and cannot be given a lower floor than it had", Stage1: "rollback", TPM: &TPM{},
			SMBIOS: byOwner("marker.bless"), Verdict: Entered, Must: []string{noFloor, young, "rollback floor 2 <nil>"},
			Again: []Again{
				{Prepare: tpmTool("tpm2_clear", "-c", "p"), SMBIOS: byOwner(takeOld + " marker.bless"), Verdict: Entered,
					Must: []string{noFloor, old, guest.Sentence, "cannot define a floor for level 1: a new counter of this TPM begins with 3"}},
				{Verdict: Entered, Must: []string{noFloor, young, guest.Sentence}},
			}},
	}
	for i := range cells {
		cells[i].Group, cells[i].Firmware, cells[i].Disks = "rollback", SecureBoot, disk
	}
	return cells
}
