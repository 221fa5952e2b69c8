// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package resolve

import (
	"errors"
	"testing"

	"github.com/initddi/initddi/internal/floor"
	"github.com/initddi/initddi/internal/gpt"
	"github.com/initddi/initddi/internal/plan"
)

func TestCheckRollback(t *testing.T) {
	gone := errors.New("it says why")
	ready := func(n uint64) *floor.Floor {
		return &floor.Floor{Index: floor.DefaultIndex, State: floor.Ready, Value: n}
	}
	bad := func(s floor.State) *floor.Floor { return &floor.Floor{Index: floor.DefaultIndex, State: s, Err: gone} }
	for _, test := range []struct {
		name    string
		mode    plan.Rollback
		floor   *floor.Floor
		release string
		words   []string // of the refusal; nil if there is none
	}{
		{"nobody asked", plan.RollbackNo, nil, "", nil},
		{"nobody asked, though there is one", plan.RollbackNo, ready(9), "INITDDI_SECURITY_LEVEL=1", nil},
		{"the zero value", "", ready(9), "", nil},
		{"the same", plan.RollbackYes, ready(3), "INITDDI_SECURITY_LEVEL=3", nil},
		{"above", plan.RollbackRequired, ready(3), "INITDDI_SECURITY_LEVEL=4", nil},
		{"below", plan.RollbackYes, ready(3), "INITDDI_SECURITY_LEVEL=2", []string{"found INITDDI_SECURITY_LEVEL=2, wanted at least 3, the floor in the TPM's NV index 0x18dd100"}},
		{"numbers, not letters", plan.RollbackYes, ready(9), "INITDDI_SECURITY_LEVEL=10", nil},
		{"no level", plan.RollbackYes, ready(1), "", []string{"found INITDDI_SECURITY_LEVEL=0, wanted at least 1"}},
		{"not a number", plan.RollbackYes, ready(1), "INITDDI_SECURITY_LEVEL=1.2", []string{"is not a number"}},
		{"negative", plan.RollbackYes, ready(0), "INITDDI_SECURITY_LEVEL=-1", []string{"is not a number"}},
		{"beyond all bounds", plan.RollbackYes, ready(1), "INITDDI_SECURITY_LEVEL=18446744073709551616", []string{"is not a number"}},
		{"twice", plan.RollbackYes, ready(1), "INITDDI_SECURITY_LEVEL=1\nINITDDI_SECURITY_LEVEL=2", []string{"more than once"}},
		{"missing", plan.RollbackYes, bad(floor.Missing), "", nil},
		{"missing, required", plan.RollbackRequired, bad(floor.Missing), "INITDDI_SECURITY_LEVEL=65535", []string{"it says why", "found a floor that is missing", "rollback=required"}},
		{"foreign", plan.RollbackYes, bad(floor.Foreign), "", nil},
		{"foreign, required", plan.RollbackRequired, bad(floor.Foreign), "INITDDI_SECURITY_LEVEL=65535", []string{"found a floor that is foreign"}},
		{"no TPM", plan.RollbackYes, bad(floor.Unreachable), "", nil},
		{"no TPM, required", plan.RollbackRequired, bad(floor.Unreachable), "INITDDI_SECURITY_LEVEL=65535", []string{"found a floor that is unreachable"}},
		{"never read", plan.RollbackYes, nil, "INITDDI_SECURITY_LEVEL=65535", []string{"nobody has read"}},
	} {
		p := &plan.Plan{Rollback: test.mode, RollbackIndex: floor.DefaultIndex}
		r := CheckRollback(p, "vda1:x", osTree(t, "ID=debian\n"+test.release+"\n"), test.floor)
		if test.words == nil {
			if r != nil {
				t.Errorf("%s: %v", test.name, r)
			}
			continue
		}
		t.Run(test.name, func(t *testing.T) { wantRefusal(t, r, RuleRollback, test.words...) })
	}
}

// TestNextReadsTheFloor: it is read before any image is looked at, once, and an image below it is discarded.
func TestNextReadsTheFloor(t *testing.T) {
	ours := newSigner(t, "ours")
	p := trusting(ours)
	p.Rollback, p.RollbackIndex = plan.RollbackRequired, floor.DefaultIndex
	const os = "/loader/ddi/os.raw"
	f := &Facts{Settled: true, Images: map[string]*Image{}, Partitions: []Partition{espOn("vda", uuid1)}}
	f.Partitions[0].Listing = &Listing{Files: filesOf(os)}
	wantStep(t, p, f, "read-floor vda1")
	f.Floor = &floor.Floor{Index: floor.DefaultIndex, State: floor.Ready, Value: 2}
	wantStep(t, p, f, "read-image vda1 "+os)
	img := ddi(t, hashOf("image"), ours)
	img.Authentic, _ = Authenticate(p, "vda1:"+os, gpt.X86_64, img)
	img.Device, img.Tree = "dm-0", osTree(t, "ID=debian\nINITDDI_SECURITY_LEVEL=1\n")
	f.Images["vda1:"+os] = img
	wantStep(t, p, f, "discard vda1 "+os)
	img.Device = ""
	wantStep(t, p, f, "refused: rollback vda1:"+os)
	img.Device, img.Tree = "dm-0", osTree(t, "ID=debian\nINITDDI_SECURITY_LEVEL=2\n")
	wantStep(t, p, f, "enter vda1 "+os)
}
