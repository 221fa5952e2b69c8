// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package resolve

import (
	"fmt"

	"github.com/initddi/initddi/internal/plan"
)

// Rule names what a candidate fell short of. The words are stable: tests, tools and docs/ERRORS.md use them.
type Rule string

// The rules.
const (
	RuleOnePartition Rule = "one-partition" // exactly one partition must answer
	RuleMissing      Rule = "missing"       // the partition must appear in time
	RuleReachable    Rule = "reachable"     // a server must answer
	RuleFileSystem   Rule = "file-system"   // the partition's FAT must be readable
	RuleFound        Rule = "found"         // there must be an image
	RuleReadable     Rule = "readable"      // partition table, superblock and file must be sound
	RulePartitions   Rule = "partitions"    // the image must have the right partitions
	RuleSigned       Rule = "signed"        // a signature by the trust store, or a baked-in pin
	RuleKernel       Rule = "kernel"        // the kernel's own check of the signature, where it knows the signer or requires one
	RuleRootHash     Rule = "root-hash"     // partition UUIDs, signature and superblock must speak of one root hash
	RulePolicy       Rule = "policy"        // the image policy, baked in and narrowed
	RulePin          Rule = "pin"           // ddi.roothash= narrows
	RuleDenied       Rule = "denied"        // deny-cert, deny-roothash
	RuleIdentity     Rule = "identity"      // kind, ID, IMAGE_ID, version
	RuleInit         Rule = "init"          // the next init must exist and be executable
	RuleRollback     Rule = "rollback"      // the security level must not be below the floor in the TPM
	RuleSettings     Rule = "settings"      // initddi.conf on the boot partition must be sound, and signed for what it says
	RuleVerity       Rule = "verity"        // blocks must be what was signed
	RuleExtension    Rule = "extension"     // what extensions must keep besides: a name, being for the image, leaving alone what it says it is
)

// Refusal says which candidate fell short of which rule, and both values that differ.
type Refusal struct {
	// Source is where the candidate comes from; Candidate is its name, or what there is of the source if the whole of it is refused.
	Source    plan.Source `json:"source,omitempty"`
	Candidate string      `json:"candidate"`
	Rule      Rule        `json:"rule"`
	Found     string      `json:"found,omitempty"`
	Wanted    string      `json:"wanted,omitempty"`
	Err       error       `json:"-"`
}

// Error makes one sentence.
func (r *Refusal) Error() string {
	s := fmt.Sprintf("%s refused (%s)", r.Candidate, r.Rule)
	if r.Err != nil {
		s += ": " + r.Err.Error()
	}
	if r.Found != "" || r.Wanted != "" {
		s += fmt.Sprintf(": found %s, wanted %s", orNothing(r.Found), orNothing(r.Wanted))
	}
	return s
}

// Unwrap returns the cause.
func (r *Refusal) Unwrap() error { return r.Err }

func orNothing(s string) string {
	if s == "" {
		return "nothing"
	}
	return s
}
