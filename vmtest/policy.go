// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package vmtest

import (
	"os"
	"path/filepath"

	"github.com/initddi/initddi/internal/keys"
	"github.com/initddi/initddi/internal/predict"
	"github.com/initddi/initddi/internal/uki"
)

// policySections returns the sections .pcrpkey and .pcrsig for a UKI: a public key, and that key's signature over the value that PCR 11
// has when the initrd unlocks the disk, as "initddi uki --pcr-private-key" makes them. That systemd-measure signs the same values, the
// package interop shows.
func (w *Workshop) policySections(key string, o uki.Options) ([]uki.Section, error) {
	pair, err := w.pair(key)
	if err != nil {
		return nil, err
	}
	// Of the two keys made at once, the one for Secure Boot has 2048 bits: TPMs load none of an image key's 4096.
	private, err := os.ReadFile(keys.In(filepath.Dir(pair.Key), keys.SecureBoot).Key)
	if err != nil {
		return nil, err
	}
	policy, err := predict.NewPolicy(private, nil)
	if err != nil {
		return nil, err
	}
	policy.Phases = []string{"enter-initrd"}
	return policy.Sections(o)
}
