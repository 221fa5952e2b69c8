// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package bless

import (
	"fmt"
	"os"

	"github.com/initddi/initddi/internal/floor"
	"github.com/initddi/initddi/internal/linux/tpm"
	"github.com/initddi/initddi/internal/report"
	"github.com/initddi/initddi/internal/tpm2"
)

// TPM is a machine's TPM.
type TPM interface {
	tpm2.Transport
	Close() error
}

// openTPM opens that of this machine.
func openTPM() (TPM, error) {
	sys, err := os.OpenRoot("/sys")
	if err != nil {
		return nil, fmt.Errorf("cannot look for a TPM: %w", err)
	}
	defer sys.Close()
	return tpm.Open(sys, "/dev")
}

// raise raises the rollback floor to the security level of the image that came up well, so that none below it is entered any more.
// Where there is none, rollback=yes defines it; rollback=required would not have got this far. An image without a level leaves the floor
// alone.
func (s System) raise(r *report.Rollback) (*floor.Floor, error) {
	if r == nil || r.Level == 0 {
		return nil, nil
	}
	do := floor.Raise
	if r.Mode == "yes" {
		do = floor.Define
	}
	return s.withTPM(tpm2.Handle(r.Index), uint64(r.Level), do)
}

// DefineFloor defines the counter of the rollback floor and raises it to level, for a machine that a stage 1 with rollback=required
// shall boot. It needs no boot by stage 1.
func (s System) DefineFloor(index tpm2.Handle, level uint64) (*floor.Floor, error) {
	return s.withTPM(index, level, floor.Define)
}

func (s System) withTPM(index tpm2.Handle, level uint64, do func(tpm2.Transport, tpm2.Handle, uint64) (floor.Floor, error)) (*floor.Floor, error) {
	d, err := s.OpenTPM()
	if err != nil {
		return nil, fmt.Errorf("cannot raise the rollback floor: %w", err)
	}
	defer d.Close()
	f, err := do(d, index, level)
	if err != nil {
		return nil, fmt.Errorf("cannot raise the rollback floor: %w", err)
	}
	return &f, nil
}
