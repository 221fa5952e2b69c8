// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package vmtest

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/initddi/initddi/internal/esp"
	"github.com/initddi/initddi/internal/vm"
)

// TestUnchanged alters one byte of one file on a disk, and takes a file away.
func TestUnchanged(t *testing.T) {
	disk := filepath.Join(t.TempDir(), "disk")
	marked := bytes.Repeat([]byte("what nobody may change "), 1000)
	if _, err := esp.Build(t.Context(), disk, esp.Options{Files: []esp.File{{Path: "/loader/ddi/a.raw", Data: marked}, {Path: "/loader/ddi/b.raw", Data: []byte("b")}}}); err != nil {
		t.Fatal(err)
	}
	c := &Cell{Unchanged: []string{"/loader/ddi/a.raw", "/loader/ddi/b.raw"}}
	config := &vm.Config{Disks: []vm.Disk{{Path: disk}}}
	before, err := c.sums(config)
	if err != nil || len(before) != 2 || before[c.Unchanged[0]] == before[c.Unchanged[1]] {
		t.Fatalf("%v, %v", before, err)
	}
	if wrong := c.changed(config, before); len(wrong) != 0 {
		t.Errorf("nothing was changed: %q", wrong)
	}
	b, err := os.ReadFile(disk)
	if err != nil {
		t.Fatal(err)
	}
	at := bytes.Index(b, marked)
	b[at+len(marked)-1] ^= 1
	if err := os.WriteFile(disk, b, 0o644); err != nil {
		t.Fatal(err)
	}
	if wrong := c.changed(config, before); len(wrong) != 1 || !strings.HasPrefix(wrong[0], "/loader/ddi/a.raw on the ESP was changed") {
		t.Errorf("a byte was changed: %q", wrong)
	}
	c.Unchanged = append(c.Unchanged, "/loader/ddi/gone.raw")
	if wrong := c.changed(config, before); len(wrong) != 1 || !strings.Contains(wrong[0], "/loader/ddi/gone.raw") {
		t.Errorf("a file is gone: %q", wrong)
	}
	if _, err := c.sums(config); err == nil {
		t.Error("a file that never was there has a sum")
	}
	c.Unchanged = nil
	if sums, err := c.sums(&vm.Config{}); err != nil || sums != nil {
		t.Errorf("of no file: %v, %v", sums, err)
	}
}
