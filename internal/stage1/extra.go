// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package stage1

import (
	"os"
	"slices"
	"strings"

	"github.com/initddi/initddi/internal/resolve"
)

// unreachable returns the extensions below /.extra, but for those of except, that the next init does not get if its image has no directory of that
// name: anywhere else systemd would merge them without a signature.
func unreachable(root *os.Root, except ...string) (out []string) {
	for _, dir := range resolve.InitrdDirs() {
		if !strings.HasPrefix(dir, "/.extra/") {
			continue
		}
		f, err := root.Open(dir[1:])
		if err != nil {
			continue // most machines have none of these
		}
		entries, _ := f.ReadDir(-1)
		f.Close()
		for _, e := range entries {
			if name := dir + "/" + e.Name(); !slices.Contains(except, name) {
				out = append(out, name)
			}
		}
	}
	return out
}

// warnExtra says so.
func (b *boot) warnExtra(except ...string) {
	for _, name := range unreachable(b.world.Root, except...) {
		b.log.Warn("the image has no directory /.extra, so nobody can find %s", name)
	}
}
