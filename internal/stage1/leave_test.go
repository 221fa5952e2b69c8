// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

//go:build !nomerge

package stage1

import (
	"errors"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/initddi/initddi/internal/apply"
	"github.com/initddi/initddi/internal/discover/machinetest"
	"github.com/initddi/initddi/internal/plan"
	"github.com/initddi/initddi/internal/report"
	"github.com/initddi/initddi/internal/resolve"
	"github.com/initddi/initddi/internal/signature"
)

// TestCarriedAlready: the next init gets out of the initramfs what is not merged.
func TestCarriedAlready(t *testing.T) {
	b, _ := remembering(t, machinetest.New(t))
	if got := b.carriedAlready(); got != nil {
		t.Errorf("nothing is merged, and %q need not be carried over", got)
	}
	b.report.Extensions = []report.Extension{{Source: "esp", Path: "/loader/ddi/a.sysext.raw"}, {Source: "initrd", Path: "/.extra/sysext/b.raw"}}
	if got, want := b.carriedAlready(), []string{"/.extra/sysext/b.raw"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

// bring is an extension below /.extra that was brought up.
func bring(b *boot, name string) bringing {
	c := resolve.Candidate{Source: plan.SourceInitrd, File: resolve.File{Path: "/.extra/sysext/" + name + ".raw"}}
	b.images[c.Name()] = &apply.Image{}
	return bringing{Extension: resolve.Extension{Class: "sysext", Name: name, Candidate: c}, image: &resolve.Image{Authentic: &resolve.Authentic{Signer: &signature.Certificate{}}}, up: b.images[c.Name()], device: name + "-verity"}
}

// TestNotMerged: what is left out has no name any more, and what is beside it has.
func TestNotMerged(t *testing.T) {
	m := machinetest.New(t)
	b, console := remembering(t, m)
	b.images, b.tpm, b.plan.Measure = map[string]*apply.Image{}, newMeasurer(b.world, b.log), plan.MeasureNo
	for _, name := range []string{"a-verity", "root"} {
		m.Write("dev/mapper/"+name, "")
		if err := relink("../dm-7", m.Path("dev/mapper/"+name)); err != nil {
			t.Fatal(err)
		}
	}
	if err := b.notMerged([]bringing{bring(b, "a"), bring(b, "b")}, errors.New("no reason")); err != nil {
		t.Error(err)
	}
	if _, err := os.Lstat(m.Path("dev/mapper/a-verity")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("/dev/mapper/a-verity is still there: %v", err)
	}
	if to, err := os.Readlink(m.Path("dev/mapper/root")); to != "../dm-7" || err != nil {
		t.Errorf("/dev/mapper/root: %q, %v", to, err)
	}
	if len(b.report.LeftOut) != 2 || strings.Count(console.String(), "it is left out") != 2 {
		t.Errorf("%+v, %s", b.report.LeftOut, console)
	}
}

// TestKeepOnly: of what was brought up, what is entered and what is merged into it stay.
func TestKeepOnly(t *testing.T) {
	b, _ := remembering(t, machinetest.New(t))
	b.images = map[string]*apply.Image{"esp:entered": {}, "esp:other": {}}
	other := &resolve.Image{Device: "dm-1"}
	b.facts.Images = map[string]*resolve.Image{"esp:other": other}
	merged := bring(b, "merged")
	bring(b, "for-the-other")
	b.keepOnly(append(candidates([]bringing{merged}), "esp:entered")...)
	if got, want := slices.Sorted(maps.Keys(b.images)), []string{"esp:entered", merged.Candidate.Name()}; !slices.Equal(got, want) || other.Device != "" {
		t.Errorf("%q stay, wanted %q; the other one is at %q", got, want, other.Device)
	}
}
