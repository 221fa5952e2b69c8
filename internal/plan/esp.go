// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package plan

import (
	"errors"
	"fmt"
	"slices"

	"github.com/initddi/initddi/internal/settings"
)

// SettingsName is the name of the settings file on the boot partition, and SignatureSuffix what is appended to that for its
// detached signature.
const (
	SettingsName    = "initddi.conf"
	SignatureSuffix = ".p7s"
)

// ErrUnsigned says that a key of a settings file counts only with a signature.
var ErrUnsigned = errors.New("counts only in a file that is signed by the trust store")

// isHarmless reports whether a settings file that nobody signed may have the key: whoever can write it can take images away, and put others
// there, too, and that is all that these can do, apart from what the console shows. Where an image comes from makes none acceptable.
func isHarmless(name string) bool {
	return slices.Contains([]string{"image", "roothash", "usrhash", "log", "url", "ip"}, name)
}

// WithSettings returns the plan with what a settings file on the boot partition says; where names it in errors. The file is less than the
// kernel command line: a key that stands on that too is as it is there. It can never say what is acceptable, signed or not, and where
// allow-key lines lock the command line they hold for the file as well. Signed says that a certificate of the trust store signed the text.
//
// An error joins everything that is wrong with the file, each part a [KeyError]; then nothing of it counts, and there is no plan.
func (p *Plan) WithSettings(where string, text []byte, signed bool) (*Plan, error) {
	list, err := settings.Parse(where, text)
	if err != nil {
		return nil, err
	}
	// A value is checked even where the command line overrules it.
	next, overruled := *p, *p
	next.Warnings = slices.Clone(p.Warnings)
	var errs []error
	seen := map[string]bool{}
	for _, s := range list {
		to := &next
		if p.given[s.Key] {
			to = &overruled
		}
		if err := to.setFromFile(s, seen[s.Key], signed); err != nil {
			errs = append(errs, withPlace(err, s.Key, s.Value, fmt.Sprintf("%s line %d", where, s.Line)))
		} else if p.given[s.Key] {
			next.Warnings = append(next.Warnings, fmt.Sprintf("%s says %s=%s, and the kernel command line something else: that is what counts", where, s.Key, s.Value))
		}
		seen[s.Key] = true
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	return &next, nil
}

func (p *Plan) setFromFile(s settings.Setting, repeated, signed bool) error {
	switch {
	case isBakedOnly(s.Key), s.Key == "policy", s.Key == "sysext-policy":
		return ErrBakedOnly
	case s.Key == "device", s.Key == "timeout":
		// When the file is read, the partition that it lies on was found, and nothing is waited for any more.
		return ErrNotHere
	case repeated:
		return ErrRepeated
	}
	if !p.allows("ddi."+s.Key, s.Value) {
		return ErrNotAllowed
	}
	// Checked before the signature, so that a mistake is called what it is.
	scratch := *p
	if err := scratch.set(s.Key, s.Value, Input{HasShell: p.hasShell, HasFetch: p.hasFetch, HasMerge: p.hasMerge}); err != nil {
		return err
	}
	if !signed && !isHarmless(s.Key) {
		return ErrUnsigned
	}
	*p = scratch
	return nil
}
