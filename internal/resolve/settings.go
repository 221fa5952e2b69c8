// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package resolve

import (
	"encoding/hex"
	"path"
	"slices"
	"strings"

	"github.com/initddi/initddi/internal/plan"
	"github.com/initddi/initddi/internal/signature"
)

// Settings is what is known of the settings file on the boot partition.
type Settings struct {
	Path string
	Text []byte
	// Signature is the detached signature beside the file, nil if there is none.
	Signature []byte
	// Err says why the file cannot be read.
	Err error

	// Accepted says that the plan has what the file says, Signer whose signature made that possible; nil for a file that nobody signed.
	Accepted bool
	Signer   *signature.Certificate
}

// AcceptSettings decides about a settings file, notes the decision in s, and returns the plan that results. A file that is refused changes
// nothing at all, and the boot goes on with what was built in: whoever can spoil the file could remove it as well. A file that has a
// signature is held to it; a bad one does not make it an unsigned file.
func AcceptSettings(p *plan.Plan, node string, s *Settings) (*plan.Plan, *Refusal) {
	name := node + ":" + s.Path
	refuse := func(err error, found, wanted string) (*plan.Plan, *Refusal) {
		return nil, &Refusal{Candidate: name, Rule: RuleSettings, Err: err, Found: found, Wanted: wanted}
	}
	if s.Err != nil {
		return refuse(s.Err, "", "")
	}
	var signer *signature.Certificate
	if s.Signature != nil {
		var err error
		if signer, err = signature.Verify(s.Signature, s.Text, p.Trust); err != nil {
			return refuse(err, signedBy(nil, s.Signature, err), "a signature by "+trustText(p)+", or none")
		}
		if fp := signer.Fingerprint(); slices.Contains(p.DenyCerts, fp) {
			return refuse(nil, "signer "+hex.EncodeToString(fp[:]), "one that deny-cert does not list")
		}
	}
	next, err := p.WithSettings(name, s.Text, signer != nil)
	if err != nil {
		return refuse(err, "", "")
	}
	s.Accepted, s.Signer = true, signer
	return next, nil
}

// settingsFile returns the path of the settings file: that in the running UKI's own directory, else the shared one; empty if there is none.
func settingsFile(f *Facts, files []File) string {
	for _, dir := range []string{ownDir(f.Firmware.UKI), sharedDir} {
		for _, file := range files {
			if dir != "" && strings.EqualFold(path.Dir(file.Path), dir) && strings.EqualFold(path.Base(file.Path), plan.SettingsName) {
				return file.Path
			}
		}
	}
	return ""
}
