// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

//go:build nomerge

package resolve

import (
	"path"
	"strings"

	"github.com/initddi/initddi/internal/plan"
)

type foundExtensions struct{}

// nextExtension says what to do about extensions before a candidate is entered: nothing, where they cannot be merged.
func nextExtension(*plan.Plan, *Facts, Candidate) Step { return Step{} }

// CountExtensions returns how many files beside a candidate on the boot partition are called like extensions.
func CountExtensions(f *Facts, c Candidate) int {
	n := 0
	part := f.Partition(c.Node)
	if part == nil || part.Listing == nil {
		return 0
	}
	for _, file := range part.Listing.Files {
		stem, is := cutSuffixFold(path.Base(file.Path), imageSuffix)
		if is && (strings.HasSuffix(stem, ".sysext") || strings.HasSuffix(stem, ".confext")) {
			n++
		}
	}
	return n
}
