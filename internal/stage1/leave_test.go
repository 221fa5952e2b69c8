// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

//go:build !nomerge

package stage1

import (
	"slices"
	"testing"

	"github.com/initddi/initddi/internal/discover/machinetest"
	"github.com/initddi/initddi/internal/report"
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
