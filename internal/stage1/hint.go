// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package stage1

import (
	"errors"
	"fmt"
	"slices"

	"github.com/initddi/initddi/internal/linux/tpm"
	"github.com/initddi/initddi/internal/plan"
	"github.com/initddi/initddi/internal/resolve"
)

// maxHints is how many different remedies a screen has room for.
const maxHints = 3

// hints are the sentences that say what to do next: one, or where candidates were refused for different reasons one for each
// remedy, with the rules that it is for. docs/ERRORS.md has the same table.
func hints(err error) []string {
	var refused *RefusedError
	if !errors.As(err, &refused) || len(refused.Refusals) == 0 {
		return []string{hint(err)}
	}
	var out []string
	rules := map[string][]resolve.Rule{}
	for _, r := range refused.Refusals {
		h := refusedHint(&r)
		if rules[h] == nil {
			out = append(out, h)
		}
		if !slices.Contains(rules[h], r.Rule) {
			rules[h] = append(rules[h], r.Rule)
		}
	}
	if len(out) == 1 {
		return out
	}
	for i, h := range out {
		out[i] = fmt.Sprintf("%s %v", h, rules[h])
	}
	if len(out) > maxHints {
		return append(out[:maxHints], "what to do: docs/ERRORS.md says it for every other rule")
	}
	return out
}

// hint is the sentence for a boot that failed otherwise.
func hint(err error) string {
	var timeout *TimeoutError
	var key *plan.KeyError
	var enter *EnterError
	var unmeasured *MeasureError
	var stack *StackError
	var stuck *StuckError
	var silent *SilentError
	switch {
	case errors.As(err, &key):
		return "what to do: correct that key (docs/CMDLINE.md lists them) and boot again"
	case errors.As(err, &timeout):
		return missingHint
	case errors.As(err, &unmeasured) && errors.Is(err, tpm.ErrTimeout):
		return "what to do: switch the machine off and on; if that does not help, clear the TPM in the firmware's setup, or take a disk out that does not answer"
	case errors.As(err, &unmeasured):
		return "what to do: switch the TPM on in the firmware's setup, or clear it if it fails; where there is none, build stage 1 without measure=require"
	case errors.As(err, &stuck):
		return "what to do: take the disk out that does not answer, or name the boot partition with ddi.device=PARTUUID=…: then nothing waits for the others"
	case errors.As(err, &silent):
		return "what to do: check the disk and its cable; the kernel's log (dmesg) says what it makes of them"
	case errors.As(err, &stack):
		return "what to do: build stage 1 for this kernel, with its modules (initddi initramfs --modules), or build loop and dm-verity into the kernel"
	case errors.As(err, &enter):
		return "what to do: check that the image's init runs on this machine (architecture, libraries)"
	}
	return "what to do: boot another entry, or rebuild stage 1; docs/DEBUGGING.md says how to see more"
}

const missingHint = "what to do: check that the disk is there; if a driver is missing, build stage 1 with its class (initddi initramfs --class); one in no class comes with initddi capture, and initramfs --for-host --root"

func refusedHint(r *resolve.Refusal) string {
	switch r.Rule {
	case resolve.RuleMissing:
		return missingHint
	case resolve.RuleReachable:
		return "what to do: check cable, address (ddi.ip=) and server (ddi.url=)"
	case resolve.RuleFound:
		switch r.Source {
		case plan.SourceInitrd:
			return "what to do: have the boot loader load an image as well, or leave initrd out of ddi.source="
		case plan.SourcePmem:
			return "what to do: reserve the memory that holds the image (memmap=SIZE!ADDRESS) and build stage 1 with its driver (initddi initramfs --class pmem)"
		case plan.SourceHTTP, plan.SourceNBD:
			return "what to do: put a signed image on the server, or name another one with ddi.url="
		}
		return "what to do: put a signed image (*.raw) into /loader/ddi of that partition"
	case resolve.RuleOnePartition:
		return "what to do: name the partition with ddi.device=PARTUUID=… (of copies, one with ddi.device=/dev/NAME), or take the other disk out"
	case resolve.RuleFileSystem:
		return "what to do: repair that partition's file system (fsck.vfat), or copy what is on it anew"
	case resolve.RuleSigned:
		return "what to do: sign the image with a key whose certificate was built into this stage 1, or build one that trusts its signer"
	case resolve.RuleIdentity, resolve.RulePin, resolve.RuleDenied:
		return "what to do: install the image that this stage 1 was built for"
	case resolve.RuleKernel:
		return "what to do: enroll the signer's certificate in the firmware (db) or MOK; or do without dm_verity.require_signatures"
	case resolve.RulePolicy:
		return "what to do: take an image that the policy allows; ddi.policy= narrows what was built in and can be left out"
	case resolve.RuleReadable:
		return "what to do: the image is damaged, copy it again; or this stage 1 lacks its file system, build one that carries it (initddi initramfs --fs)"
	case resolve.RuleVerity, resolve.RuleRootHash, resolve.RulePartitions:
		return "what to do: the image is damaged or incomplete; copy it again"
	case resolve.RuleRollback:
		return "what to do: install an image with a higher security level; if the floor in the TPM is gone, docs/SECURITY.md says how it is set anew"
	case resolve.RuleSettings:
		return "what to do: correct initddi.conf on the boot partition and sign it anew, or remove it"
	case resolve.RuleInit:
		return "what to do: the image lacks an init or a mount point; build it again, or name the init with ddi.init="
	}
	return "what to do: install another image"
}
