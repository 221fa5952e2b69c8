// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package stage1

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
)

func TestUnreachable(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{".extra/sysext/a.raw", ".extra/sysext/os.raw", ".extra/global_confext/b.raw", ".extra/credentials/c.cred", ".extra/os-release"} {
		name = filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	if got, want := unreachable(root, "/.extra/sysext/os.raw", ""), []string{"/.extra/sysext/a.raw", "/.extra/global_confext/b.raw"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	empty, err := os.OpenRoot(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer empty.Close()
	if got := unreachable(empty); got != nil {
		t.Errorf("got %q out of nothing", got)
	}
}
