// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package sysext

import (
	"os"
	"strings"
	"syscall"
	"testing"

	"github.com/initddi/initddi/internal/layers"
)

// TestContentsAttributes: a directory that is said to replace or to redirect those below hides the os-release, however much the attribute says.
func TestContentsAttributes(t *testing.T) {
	for _, test := range []struct{ attribute, value, want string }{
		{"trusted.overlay.opaque", "y", "/usr/lib with trusted.overlay.opaque"},
		{"trusted.overlay.redirect", "/bin", "/usr/lib with trusted.overlay.redirect"},
		{"trusted.overlay.redirect", strings.Repeat("/"+strings.Repeat("d", 200), 5), "/usr/lib with trusted.overlay.redirect"},
		{"trusted.overlay.origin", "x", ""},
	} {
		dir := t.TempDir()
		must(t, os.MkdirAll(dir+"/usr/lib", 0o755))
		if err := syscall.Setxattr(dir+"/usr/lib", test.attribute, []byte(test.value), 0); err != nil {
			t.Skip("needs the machine's root and a file system with trusted attributes: ", err)
		}
		tree, err := os.Open(dir)
		must(t, err)
		defer tree.Close()
		s := &System{Class: layers.Sysext}
		if what, err := s.contents(tree, true, false); what != test.want || err != nil {
			t.Errorf("%s of %d bytes: %q, %v, wanted %q", test.attribute, len(test.value), what, err, test.want)
		}
	}
}
