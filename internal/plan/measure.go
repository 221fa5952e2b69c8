// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package plan

import "slices"

// Measure is whether what is entered is written into the TPM's PCRs first.
type Measure string

// The words of ddi.measure=. A debug shell is measured with each of them.
const (
	MeasureNo      Measure = "no"
	MeasureYes     Measure = "yes"     // if there is a TPM; one that does not work is a warning
	MeasureRequire Measure = "require" // no TPM, or one that does not work, ends the boot
)

// setMeasure takes ddi.measure=. What was built into stage 1 can be asked for more strictly, never less: who measures nothing
// enters one signed image and lets it pretend in the PCRs to be another.
func (p *Plan) setMeasure(value string, baked bool) error {
	order := []Measure{MeasureNo, MeasureYes, MeasureRequire}
	m := p.Measure
	if err := word(&m, value, order...); err != nil {
		return err
	}
	if !baked && slices.Index(order, m) < slices.Index(order, p.MeasureFloor) {
		return &KeyError{Allowed: "nothing less than the " + string(p.MeasureFloor) + " in " + ConfigPath, Err: ErrBakedOnly}
	}
	if baked {
		p.MeasureFloor = m
	}
	p.Measure = m
	return nil
}
