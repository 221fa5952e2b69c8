// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

//go:build !nomerge

package stage1

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"github.com/initddi/initddi/internal/apply"
	"github.com/initddi/initddi/internal/discover/machinetest"
	"github.com/initddi/initddi/internal/layers"
	"github.com/initddi/initddi/internal/plan"
	"github.com/initddi/initddi/internal/report"
	"github.com/initddi/initddi/internal/resolve"
	"github.com/initddi/initddi/internal/signature"
)

// TestUnmergedIsMeasured: what was measured and could not be merged then leaves another value in PCR 13 than a boot in which it was merged.
func TestUnmergedIsMeasured(t *testing.T) {
	a := &resolve.Authentic{RootHash: bytes.Repeat([]byte{0xab}, 32), Signer: &signature.Certificate{}}
	list := []bringing{{
		Extension: resolve.Extension{Class: layers.Confext, Name: "site", Candidate: resolve.Candidate{Source: plan.SourceESP, Node: "vda1", File: resolve.File{Path: "/loader/ddi/site.confext.raw"}}},
		image:     &resolve.Image{Authentic: a}, up: &apply.Image{},
	}}
	because := errors.New("no overlay")
	for _, test := range []struct {
		measure plan.Measure
		tpm     says
		done    bool
		err     bool
	}{
		{plan.MeasureYes, says{response: yesSays}, true, false},
		{plan.MeasureRequire, says{response: yesSays}, true, false},
		{plan.MeasureYes, says{response: failureSays}, false, false},
		{plan.MeasureRequire, says{response: failureSays}, false, true},
		{plan.MeasureNo, says{response: yesSays}, false, false},
	} {
		var console bytes.Buffer
		machine, _ := remembering(t, machinetest.New(t))
		b := &boot{world: machine.world, plan: &plan.Plan{Measure: test.measure}, report: &report.Boot{}, log: &report.Log{Console: &console}, tpm: withTPM(t, test.tpm)}
		err := b.notMerged(list, because)
		var require *MeasureError
		if errors.As(err, &require) != test.err || (err != nil) != test.err {
			t.Errorf("ddi.measure=%s: %v", test.measure, err)
		}
		is := len(b.report.Measured) == 1 && b.report.Measured[0].PCR == 13 && strings.HasPrefix(b.report.Measured[0].Text, "ddi:unmerged:site:abab")
		if is != test.done {
			t.Errorf("ddi.measure=%s: measured %+v", test.measure, b.report.Measured)
		}
		if len(b.report.LeftOut) != 1 || !strings.Contains(b.report.LeftOut[0].Text, because.Error()) {
			t.Errorf("left out: %+v", b.report.LeftOut)
		}
	}
}
