// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

//go:build nomerge

package stage1

import (
	"fmt"

	"github.com/initddi/initddi/internal/apply"
	"github.com/initddi/initddi/internal/discover"
	"github.com/initddi/initddi/internal/gpt"
	"github.com/initddi/initddi/internal/handoff"
	"github.com/initddi/initddi/internal/linux/mount"
	"github.com/initddi/initddi/internal/plan"
	"github.com/initddi/initddi/internal/resolve"
)

// hasMerge says whether this program can merge extensions and make overlays. This one cannot: it says so where there are any.
const hasMerge = false

type bringing struct{}

func (b *boot) extend(*resolve.Action) error { return nil }

func (b *boot) chooseExtensions(a *resolve.Action, _ *resolve.Image) ([]bringing, error) {
	if s := notMerged(b.plan, &b.facts, a); s != "" {
		b.log.Warn("%s", s)
	}
	return nil, nil
}

// notMerged says that there are extensions, where somebody may expect them to be merged.
func notMerged(p *plan.Plan, f *resolve.Facts, a *resolve.Action) string {
	if n := resolve.CountExtensions(f, a.Candidate()); n > 0 && p.CannotMerge {
		return fmt.Sprintf("this stage 1 cannot merge extensions, and there are %d: they are left out; it takes one of the template extensions (ddi.merge=no: do not say so)", n)
	}
	return ""
}

func (t *Trace) extensions(_ *World, _ *discover.Machine, p *plan.Plan, f *resolve.Facts, _ gpt.Arch, image *resolve.Action) []resolve.Action {
	if s := notMerged(p, f, image); s != "" {
		t.Warnings = append(t.Warnings, s)
	}
	return nil
}

func (b *boot) compose(m *mount.Mount, img *resolve.Image, _ []bringing) (*mount.Mount, bool, error) {
	return m, img.Tree.Designator != gpt.Usr, nil
}

func (b *boot) findable(apply.Opener, plan.Kind, bool, []bringing, []string) []handoff.Found {
	return nil
}

func (b *boot) carriedAlready() []string { return nil }

func candidates([]bringing) []string { return nil }
