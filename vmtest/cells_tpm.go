// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package vmtest

import (
	"encoding/json"
	"strings"

	"github.com/initddi/initddi/internal/plan"
	"github.com/initddi/initddi/internal/report"
	"github.com/initddi/initddi/vmtest/guest"
)

func imagesTPM() []Image {
	return []Image{{Name: "tpm", Tree: "tpm", Key: "ddi"}}
}

func stagesTPM() []Stage1 {
	return []Stage1{
		{Name: "measured", Set: []string{"id=debian", "measure=yes"}},
		{Name: "measured-or-nothing", Set: []string{"id=debian", "measure=require"}},
	}
}

// cellsTPM are boots with a TPM, and ones that want one and have none.
func cellsTPM() []Cell {
	// Before it is asked for its banks: all that is left to do then is to find the disk, which takes half a second.
	const early = "initddi: plan:"
	const no20 = "there is no TPM 2.0: cannot use tpm0: it is a TPM 1.2, not a TPM 2.0"
	return []Cell{
		{Name: "measured", Group: "tpm", Test: true, Doc: "the image is in PCR 13 of every bank, as predicted; the log accounts for it; what was sealed against the prediction opens",
			TPM: &TPM{Image: "tpm", Seal: true}, Disks: []Disk{onESP("tpm")},
			Verdict: Entered, Must: []string{"measure: PCR 13: ddi:os:tpm:{roothash tpm}:", "entering vda1:/loader/ddi/tpm.raw", guest.Sentence}},
		{Name: "measured-uefi", Group: "tpm", Doc: "the same under UEFI Secure Boot: PCR 11 holds the UKI, as predicted", Firmware: SecureBoot,
			TPM: &TPM{Image: "tpm", Seal: true}, Disks: []Disk{onESP("tpm")},
			Verdict: Entered, Must: []string{"Secure Boot on", "measure: PCR 13: ddi:os:tpm:{roothash tpm}:", guest.Sentence}},
		{Name: "measured-initrd", Group: "tpm", Doc: "an initrd image is measured as one, under the name without its boot counter", TPM: &TPM{Image: "initrd"},
			Disks:   []Disk{{Place: []Place{{Path: "/loader/ddi/Initrd_5+3-0.raw", Image: "initrd"}}}},
			Verdict: Entered, Must: []string{"measure: PCR 13: ddi:initrd:initrd_5:{roothash initrd}:", guest.Sentence}},
		{Name: "measured-settings", Group: "tpm", Doc: "accepted settings are in PCR 12, as predicted", TPM: &TPM{Image: "signed"},
			Disks:   []Disk{{Place: append(onESP("signed").Place, Place{Path: "/loader/ddi/initddi.conf", Text: "corruption=panic\n", SignedBy: "ddi"})}},
			Verdict: Entered, Must: []string{"measure: PCR 12: ddi:config:initddi.conf:", "measure: PCR 13: ddi:os:signed:{roothash signed}:", guest.Sentence}},
		{Name: "sealed-after-shell", Group: "tpm", Test: true, Doc: "after ddi.break= PCRs 11, 12 and 13 hold ddi:shell as well: the secret stays sealed", Stage1: "debug", Cmdline: "ddi.break=mount",
			TPM: &TPM{Image: "tpm", Seal: true, Shell: plan.StageMount}, Disks: []Disk{onESP("tpm")},
			Dialogue: []Line{{"ddi.break=mount: a shell", "echo answer-$((6*7))"}, {"answer-42", "exit"}},
			Verdict:  Entered, Must: []string{"ddi:shell is in PCRs 11, 12 and 13", "ddi.break=mount: a shell", "answer-42", "measure: PCR 13: ddi:os:tpm:", guest.Sentence}},
		{Name: "sealed-after-shell-unmeasured", Group: "tpm", Doc: "the shell is measured with ddi.measure=no, too", Stage1: "debug", Cmdline: "ddi.break=storage ddi.measure=no",
			TPM: &TPM{Image: "tpm", Seal: true, Shell: plan.StageStorage, Unmeasured: true}, Disks: []Disk{onESP("tpm")},
			Dialogue: []Line{{"ddi.break=storage: a shell", "exit"}},
			Verdict:  Entered, Must: []string{"ddi:shell is in PCRs 11, 12 and 13", guest.Sentence}, MustNot: []string{"measure: PCR 13"}},
		{Name: "no-shell-without-measuring", Group: "tpm", Doc: "a TPM that fails cannot be told that there is a shell, so there is none", Stage1: "debug", Cmdline: "ddi.break=mount",
			TPM: &TPM{Dies: early}, Disks: []Disk{onESP("tpm")},
			Verdict: Refused, Must: []string{"cannot open a debug shell without ddi:shell in PCR 11", "what to do: "}, MustNot: []string{"a shell; leave it", guest.Sentence}},
		{Name: "measure-no", Group: "tpm", Doc: "ddi.measure=no leaves the TPM alone", Cmdline: "ddi.measure=no", TPM: &TPM{}, Disks: []Disk{onESP("signed")},
			Verdict: Entered, Must: []string{"entering vda1:/loader/ddi/signed.raw", guest.Sentence}, MustNot: []string{"PCR"}, Check: nothingMeasured},
		{Name: "measure-no-refused", Group: "tpm", Doc: "where measure=yes was built in, the command line cannot switch it off", Stage1: "measured", Cmdline: "ddi.measure=no", TPM: &TPM{}, Disks: []Disk{onESP("signed")},
			Verdict: Refused, Must: []string{"cannot use ddi.measure=no from the kernel command line", "can only be built into stage 1"}, MustNot: []string{guest.Sentence}},
		{Name: "measure-broken", Group: "tpm", Doc: "a TPM that fails is a warning with ddi.measure=yes, the default, and nothing is in the log", TPM: &TPM{Dies: early}, Disks: []Disk{onESP("signed")},
			Verdict: Entered, Must: []string{"ddi:os:signed:{roothash signed}:", "is not measured: ", "what is sealed against PCR 13 will not open", guest.Sentence}, Check: unmeasured("the PCR banks")},
		{Name: "require-without-tpm", Group: "tpm", Test: true, Doc: "ddi.measure=require enters nothing on a machine without a TPM", Cmdline: "ddi.measure=require", Disks: []Disk{onESP("signed")},
			Verdict: Refused, Must: []string{"cannot go on without ddi:os:signed:{roothash signed}:", "(ddi.measure=require): there is no TPM", "what to do: "}, MustNot: []string{guest.Sentence}},
		{Name: "tpm12", Group: "tpm", Test: true, Doc: "a TPM 1.2 is no TPM: the debug shell opens, and nothing is warned of", Stage1: "debug", Cmdline: "ddi.break=mount ddi.log=debug", TPM: &TPM{Old: true}, Disks: []Disk{onESP("signed")},
			Dialogue: []Line{{"ddi.break=mount: a shell", "cat /sys/class/tpm/tpm0/tpm_version_major; echo answer-$((6*7))"}, {"answer-42", "exit"}},
			Verdict:  Entered, Must: []string{"the debug shell is not measured: " + no20, "ddi.break=mount: a shell", "answer-42", "nothing is measured: " + no20, guest.Sentence}, MustNot: []string{"will not open"}},
		{Name: "require-tpm12", Group: "tpm", Doc: "and does not do for ddi.measure=require", Cmdline: "ddi.measure=require", TPM: &TPM{Old: true}, Disks: []Disk{onESP("signed")},
			Verdict: Refused, Must: []string{"(ddi.measure=require): " + no20, "what to do: "}, MustNot: []string{guest.Sentence}},
		{Name: "require-broken", Group: "tpm", Doc: "a TPM that fails enters nothing where measure=require was built in", Stage1: "measured-or-nothing", TPM: &TPM{Dies: early}, Disks: []Disk{onESP("signed")},
			Verdict: Refused, Must: []string{"cannot go on without ddi:os:signed:{roothash signed}:", "(ddi.measure=require): cannot ask for the PCR banks: ", "what to do: "}, MustNot: []string{guest.Sentence}},
	}
}

// nothingMeasured checks that PCRs and log are as at power-on.
func nothingMeasured(f *guest.Facts) []string {
	c := &checker{wrong: contractOS(f)}
	if f.TPM == nil {
		c.ok(false, "the kernel has no TPM")
		return c.wrong
	}
	for bank, values := range f.TPM.PCRs {
		for pcr, value := range values {
			c.ok(value != "" && zeros(value), "PCR %d of bank %s is %q", pcr, bank, value)
		}
	}
	c.ok(len(f.TPM.PCRs) > 1, "the banks are %v", f.TPM.PCRs)
	c.ok(f.TPM.LogMode == "", "there is a log of mode %s: %q", f.TPM.LogMode, f.TPM.Log)
	return c.wrong
}

func zeros(hex string) bool {
	return strings.Trim(hex, "0") == ""
}

// unmeasured checks that boot.json says why nothing was measured.
func unmeasured(why string) func(*guest.Facts) []string {
	return func(f *guest.Facts) []string {
		c := &checker{wrong: contractOS(f)}
		boot := &report.Boot{}
		if err := json.Unmarshal(f.Boot, boot); err != nil {
			c.ok(false, "%v", err)
		}
		c.ok(len(boot.Measured) == 0 && strings.Contains(boot.Unmeasured, why), "boot.json has measured %v and unmeasured %q, wanted nothing and %q", boot.Measured, boot.Unmeasured, why)
		return c.wrong
	}
}
