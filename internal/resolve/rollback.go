// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package resolve

import (
	"fmt"
	"slices"
	"strconv"

	"github.com/initddi/initddi/internal/floor"
	"github.com/initddi/initddi/internal/osrelease"
	"github.com/initddi/initddi/internal/plan"
)

// levelKey is the field of os-release with an image's security level: a number that its maker raises when images below it must not be
// booted any more.
const levelKey = "INITDDI_SECURITY_LEVEL"

// SecurityLevel returns the security level that a verified tree has: 0 if it does not say.
func SecurityLevel(fields osrelease.Fields) (uint64, error) {
	if slices.Contains(fields.Duplicates(), levelKey) {
		return 0, fmt.Errorf("%s stands in os-release more than once", levelKey)
	}
	text := fields.Get(levelKey)
	if text == "" {
		return 0, nil
	}
	n, err := strconv.ParseUint(text, 10, 16)
	if err != nil {
		return 0, fmt.Errorf("%s=%s is not a number from 0 to 65535", levelKey, text)
	}
	return n, nil
}

// hasFloor reports whether the plan wants one. The zero value does not.
func hasFloor(p *plan.Plan) bool {
	return p.Rollback == plan.RollbackYes || p.Rollback == plan.RollbackRequired
}

// CheckRollback holds the verified tree against the floor in the machine's TPM. Where rollback=required was built in, a machine whose
// floor is gone boots nothing; with rollback=yes it boots as if there had never been one.
func CheckRollback(p *plan.Plan, name string, t *Tree, f *floor.Floor) *Refusal {
	if !hasFloor(p) {
		return nil
	}
	refuse := func(err error, found, wanted string) *Refusal {
		return &Refusal{Candidate: name, Rule: RuleRollback, Err: err, Found: found, Wanted: wanted}
	}
	level, err := SecurityLevel(t.OSRelease)
	if err != nil {
		return refuse(err, "", "")
	}
	index := fmt.Sprintf("NV index %#x", uint32(p.RollbackIndex))
	switch {
	case f == nil:
		return refuse(nil, "a floor that nobody has read", index) // cannot happen: Next has it read first
	case f.State != floor.Ready && p.Rollback == plan.RollbackRequired:
		return refuse(f.Err, "a floor that is "+string(f.State), "one in the TPM's "+index+" (rollback=required)")
	case f.State == floor.Ready && level < f.Value:
		return refuse(nil, fmt.Sprintf("%s=%d", levelKey, level), fmt.Sprintf("at least %d, the floor in the TPM's %s", f.Value, index))
	}
	return nil
}
