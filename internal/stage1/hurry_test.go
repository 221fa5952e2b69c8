// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package stage1

import (
	"os"
	"path/filepath"
	"testing"
)

func TestHurry(t *testing.T) {
	for _, c := range []struct{ before, during, after string }{
		{"0\n", "1\n", "0\n"},
		{"1\n", "1\n", "1\n"}, // somebody wants it so on the command line
		{"", "", ""},          // no such file
	} {
		dir := t.TempDir()
		name := filepath.Join(dir, expedited)
		read := func() string {
			b, _ := os.ReadFile(name)
			return string(b)
		}
		if c.before != "" {
			if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(name, []byte(c.before), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		sys, err := os.OpenRoot(dir)
		if err != nil {
			t.Fatal(err)
		}
		calm := hurry(sys)
		if got := read(); got != c.during {
			t.Errorf("%q becomes %q, want %q", c.before, got, c.during)
		}
		calm()
		if got := read(); got != c.after {
			t.Errorf("%q is left as %q, want %q", c.before, got, c.after)
		}
		sys.Close()
	}
}
