// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package program

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestFind(t *testing.T) {
	dir := t.TempDir()
	for name, mode := range map[string]os.FileMode{"there": 0o755, "text": 0o644} {
		if err := os.WriteFile(filepath.Join(dir, name), nil, mode); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("PATH", dir)
	for name, want := range map[string]string{"there": dir + "/there", dir + "/there": dir + "/there", "text": "", "no-such-program": "", dir + "/nothing": ""} {
		path, err := Find(name, "some-package")
		if path != want || errors.Is(err, ErrMissing) != (want == "") {
			t.Errorf("%s: %q, %v", name, path, err)
		}
		if want == "" && (!strings.Contains(err.Error(), name) || !strings.Contains(err.Error(), "some-package")) {
			t.Errorf("%s: %v", name, err)
		}
	}
	// In every Debian, and in nobody's PATH here.
	if _, err := os.Stat("/usr/sbin/chroot"); err != nil {
		t.Skip("needs a program in /usr/sbin: ", err)
	}
	if path, err := Find("chroot", "coreutils"); path != "/usr/sbin/chroot" || err != nil {
		t.Errorf("%q, %v", path, err)
	}
}
