// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package resolve

import (
	"fmt"

	"github.com/initddi/initddi/internal/plan"
)

// goodAttempts is how often an image that has come up well before may be entered without doing so again: somebody who switches a machine
// off while it starts has not broken it.
const goodAttempts = 3

// failedBefore is [FailedAttempts] of a candidate. Which image a candidate is, is known only after [Authenticate]; up to then its name
// decides alone.
func failedBefore(p *plan.Plan, f *Facts, c Candidate) int {
	if img := f.Images[c.Name()]; img != nil && img.Authentic != nil {
		return FailedAttempts(p, f, img.Authentic)
	}
	return 0
}

// FailedAttempts returns how often the image was entered at earlier boots without coming up well, 0 as long as that is not often enough
// to try others first.
func FailedAttempts(p *plan.Plan, f *Facts, a *Authentic) int {
	seen := f.Record.Look(a.RootHash)
	limit := p.Attempts
	if seen.Good && limit > 0 {
		limit = max(limit, goodAttempts)
	}
	if limit == 0 || int(seen.Tries) < limit {
		return 0
	}
	return int(seen.Tries)
}

// LastFailure says in a sentence what went wrong with the boot before this one, empty if nothing did. With attempts=no nobody is expected
// to say that an image came up well.
func LastFailure(p *plan.Plan, f *Facts) string {
	r := &f.Record
	switch {
	case r.Failures > 0 && r.Text != "":
		return fmt.Sprintf("entered nothing (%d in a row): %s", r.Failures, r.Text)
	case r.Failures > 0:
		return fmt.Sprintf("entered nothing (%d in a row)", r.Failures)
	case p.Attempts > 0 && len(r.Images) > 0 && r.Images[0].Tries > 0:
		return fmt.Sprintf("entered the image with root hash %x…, which did not come up well (%d in a row)", r.Images[0].Hash[:8], r.Images[0].Tries)
	}
	return ""
}
