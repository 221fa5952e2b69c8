// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package plan

import (
	"errors"
	"testing"
)

// TestMeasure has every combination of what was built in and what the command line asks for.
func TestMeasure(t *testing.T) {
	words := []string{"", "no", "yes", "require"}
	want := map[[2]string]Measure{
		{"", ""}: MeasureYes, {"", "no"}: MeasureNo, {"", "yes"}: MeasureYes, {"", "require"}: MeasureRequire,
		{"no", ""}: MeasureNo, {"no", "no"}: MeasureNo, {"no", "yes"}: MeasureYes, {"no", "require"}: MeasureRequire,
		{"yes", ""}: MeasureYes, {"yes", "yes"}: MeasureYes, {"yes", "require"}: MeasureRequire,
		{"require", ""}: MeasureRequire, {"require", "require"}: MeasureRequire,
	}
	for _, baked := range words {
		for _, told := range words {
			var in Input
			if baked != "" {
				in.Config = []byte("measure=" + baked + "\n")
			}
			if told != "" {
				in.CommandLine = "ddi.measure=" + told
			}
			p, err := New(in)
			m, allowed := want[[2]string{baked, told}]
			switch {
			case allowed && (err != nil || p.Measure != m):
				t.Errorf("built in %q, told %q: %s, %v; want %s", baked, told, p.Measure, err, m)
			case !allowed && (!errors.Is(err, ErrBakedOnly) || p.Measure != Measure(baked)):
				t.Errorf("built in %q, told %q: %s, %v; want it refused", baked, told, p.Measure, err)
			}
		}
	}
}
