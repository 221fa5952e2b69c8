// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

// Package ability says what a stage 1 can do that not every one can, and so which settings it takes.
//
// There are three ways to know: from a template's commands and build tags, before it is built; from the same in an archive;
// and from the program that runs. [Of] is the one rule for all of them. Who reads settings that are for another stage 1, and
// does not know which, says so with [Unasked]. Nobody else makes a [plan.Input]; housetest sees to it.
package ability

import (
	"path"
	"slices"

	"github.com/initddi/initddi/internal/plan"
)

// The commands that an ability depends on, as they are called in /bbin.
const (
	Shell = "gosh"
	Fetch = "ddifetch"
)

// Build tags that leave an ability out of storageinit.
const (
	NoServers = "noservers"
	NoMerge   = "nomerge"
)

// Set is what a stage 1 can do. The zero value can do only what all can.
type Set struct {
	shell, fetch, merge bool
}

// Of returns what a stage 1 can do that has these commands, by name or import path, and was built with these tags.
func Of(commands, tags []string) Set {
	has := func(name string) bool {
		return slices.ContainsFunc(commands, func(c string) bool { return path.Base(c) == name })
	}
	return Set{
		shell: has(Shell),
		fetch: has(Fetch) && !slices.Contains(tags, NoServers),
		merge: !slices.Contains(tags, NoMerge),
	}
}

// Unasked returns a set of everything, for settings of which only the grammar matters: whether a stage 1 can do what they
// say is known to somebody else.
func Unasked() Set { return Set{shell: true, fetch: true, merge: true} }

// Fetches reports whether images of servers can be booted.
func (s Set) Fetches() bool { return s.fetch }

// Merges reports whether extensions can be merged and overlays made.
func (s Set) Merges() bool { return s.merge }

// Input returns what a plan is made of, with nothing but the abilities in it.
func (s Set) Input() plan.Input {
	return plan.Input{HasShell: s.shell, HasFetch: s.fetch, HasMerge: s.merge}
}
