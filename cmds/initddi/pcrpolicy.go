// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"strings"

	"github.com/initddi/initddi/internal/predict"
	"github.com/initddi/initddi/internal/uki"
)

// pcrPolicy are the flags of "initddi uki" about the signed values of PCR 11. Their names are ukify's.
type pcrPolicy struct {
	private, public, phases *string
}

func pcrPolicyFlags(flags *flag.FlagSet) pcrPolicy {
	return pcrPolicy{
		private: flags.String("pcr-private-key", "", "sign what PCR 11 will hold, for the sections .pcrpkey and .pcrsig, with the key in `FILE` (PEM, RSA, 2048 bits)"),
		public:  flags.String("pcr-public-key", "", "the public key for .pcrpkey: `FILE` (PEM; default: that of the private key)"),
		phases: flags.String("phases", strings.Join(predict.DefaultPhases(), ","),
			"the phases of the boot to sign for: `LIST` of paths, with commas or spaces between them"),
	}
}

// wanted says whether any of it was asked for.
func (p pcrPolicy) wanted() bool { return *p.private != "" || *p.public != "" }

// sections returns what is to be added to the UKI that o makes; nothing without a key.
func (p pcrPolicy) sections(o uki.Options) ([]uki.Section, error) {
	if !p.wanted() {
		return nil, nil
	}
	if *p.private == "" {
		return nil, errors.New("cannot use --pcr-public-key without --pcr-private-key")
	}
	private, err := os.ReadFile(*p.private)
	if err != nil {
		return nil, fmt.Errorf("cannot sign a PCR policy: %w", err)
	}
	var public []byte
	if *p.public != "" {
		if public, err = os.ReadFile(*p.public); err != nil {
			return nil, fmt.Errorf("cannot sign a PCR policy: %w", err)
		}
	}
	policy, err := predict.NewPolicy(private, public)
	if err != nil {
		return nil, fmt.Errorf("cannot sign a PCR policy with %s: %w", *p.private, err)
	}
	if err := policy.SetPhases(*p.phases); err != nil {
		return nil, err
	}
	return policy.Sections(o)
}

// readInitrds reads what is joined into the UKI's .initrd.
func readInitrds(names []string) (out [][]byte, err error) {
	for _, name := range names {
		b, err := os.ReadFile(name)
		if err != nil {
			return nil, fmt.Errorf("cannot build the UKI: %w", err)
		}
		out = append(out, b)
	}
	return out, nil
}
