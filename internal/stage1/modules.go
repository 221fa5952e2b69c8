// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package stage1

import (
	"fmt"
	"slices"
	"strings"

	"github.com/initddi/initddi/internal/apply"
	"github.com/initddi/initddi/internal/plan"
)

// moduleDir is where kmod looks for the modules of a kernel, in a directory of its release.
const moduleDir = "/lib/modules"

// maxReleases bounds how many directories of modules are named.
const maxReleases = 4

// warnModules says so where the tree that is entered has no modules for the kernel that runs. An initrd image is there to load some; an OS image that has none
// at all may well do without. It is no reason to refuse an image: whoever starts a kernel with all that is needed built in knows why.
func (b *boot) warnModules(whole apply.Opener, kind plan.Kind) {
	if len(b.report.Modules) == 0 {
		return // stage 1 had none to load either: this is such a kernel
	}
	has, others := modulesIn(whole, b.report.Kernel)
	if has || kind == plan.KindOS && len(others) == 0 {
		return
	}
	text := fmt.Sprintf("the %s image has no modules for Linux %s", kind, b.report.Kernel)
	if len(others) > 0 {
		text += ", only for " + strings.Join(others, ", ")
	}
	text += ": nothing can be loaded in it; take one for this kernel, or put a sysext with its modules beside it"
	b.report.Warnings = append(b.report.Warnings, text)
	b.log.Warn("%s", text)
}

// modulesIn says whether a tree has modules for a release of the kernel, and else for which it has some.
func modulesIn(whole apply.Opener, release string) (has bool, others []string) {
	if f, err := whole.Open(moduleDir + "/" + release); err == nil {
		f.Close()
		return true, nil
	}
	f, err := whole.Open(moduleDir)
	if err != nil {
		return false, nil
	}
	defer f.Close()
	names, _ := f.Readdirnames(maxReleases)
	slices.Sort(names)
	return false, names
}
