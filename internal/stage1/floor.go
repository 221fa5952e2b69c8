// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package stage1

import (
	"fmt"

	"github.com/initddi/initddi/internal/floor"
	"github.com/initddi/initddi/internal/report"
	"github.com/initddi/initddi/internal/resolve"
	"github.com/initddi/initddi/internal/tpm2"
)

// floor reads the rollback floor out of the TPM.
func (m *measurer) floor(index tpm2.Handle) *floor.Floor {
	if err := m.open(); err != nil {
		return &floor.Floor{Index: index, State: floor.Unreachable, Err: err}
	}
	f := floor.Read(m.device, index)
	return &f
}

// readFloor puts the rollback floor among the facts, and warns where there is none though one was wanted.
func (b *boot) readFloor() string {
	f := b.tpm.floor(b.plan.RollbackIndex)
	b.facts.Floor = f
	b.report.Rollback = &report.Rollback{Mode: string(b.plan.Rollback), Index: int64(f.Index), State: string(f.State), Floor: int64(f.Value)}
	if f.State == floor.Ready {
		return fmt.Sprintf("images need a security level of at least %d", f.Value)
	}
	b.log.Warn("there is no rollback floor, it is %s: %v", f.State, f.Err)
	return "the rollback floor is " + string(f.State)
}

// noteLevel reports the security level of the image that is entered, for whoever raises the floor later.
func (b *boot) noteLevel(t *resolve.Tree) {
	if b.report.Rollback != nil {
		level, _ := resolve.SecurityLevel(t.OSRelease) // which was held against the floor
		b.report.Rollback.Level = int64(level)
	}
}
