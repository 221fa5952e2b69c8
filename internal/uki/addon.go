// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package uki

import (
	"errors"
	"fmt"
)

// BuildAddon assembles an addon: a PE image that holds more command line for UKIs, which systemd-stub finds beside them
// (UKI.efi.extra.d/NAME.addon.efi) and takes if the firmware accepts its signature. stub is systemd's addonx64.efi.stub or that of another
// architecture. An empty uname fits every kernel.
//
// Errors are those of [Build].
func BuildAddon(stub []byte, cmdline, uname string) ([]byte, error) {
	image, h, err := openStub(stub, addonMagic)
	if err != nil {
		return nil, fmt.Errorf("cannot use addon stub: %w", err)
	}
	if cmdline == "" {
		return nil, errors.New("cannot build an addon without a command line")
	}
	o := Options{Cmdline: cmdline, Uname: uname}
	sections, err := o.sections()
	if err != nil {
		return nil, err
	}
	room, err := headerRoom(image, h)
	if err != nil {
		return nil, fmt.Errorf("cannot use addon stub: %w", err)
	}
	if len(sections) > room {
		return nil, fmt.Errorf("cannot add %d sections: %w (it has room for %d)", len(sections), ErrHeaderRoom, room)
	}
	return appendSections(image, h, sections)
}
