// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package drivers

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/initddi/initddi/internal/cmdline"
)

func TestParameters(t *testing.T) {
	params, _, err := cmdline.Parse(`console=ttyS0 dm_verity.require_signatures=1 dm-verity.prefetch_cluster=4096 dm_verity=1 dm_verity. dm_verityx.y=1 nvme.quirks="a b" nvme.flag nbd.max_part=8 ddi.log=err -- dm_verity.late=1`)
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{
		"dm_verity": "require_signatures=1 prefetch_cluster=4096", "dm-verity": "require_signatures=1 prefetch_cluster=4096",
		"nvme": `quirks="a b" flag`, "loop": "max_loop=0", "console": "",
		"nbd": "nbds_max=0 max_part=0 max_part=8",
	} {
		if got := Parameters(params, name); got != want {
			t.Errorf("%s gets %q, want %q", name, got, want)
		}
	}
}

// TestAsynchronous: whatever a module is told, loading it waits for no device.
func TestAsynchronous(t *testing.T) {
	dir := t.TempDir()
	proc, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer proc.Close()
	if p := ReadParameters(proc); p != nil {
		t.Errorf("without a command line: %v", p)
	}
	if err := os.WriteFile(filepath.Join(dir, "cmdline"), []byte("quiet tpm_tis.interrupts=0\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	params := ReadParameters(proc)
	for name, want := range map[string]string{"tpm_tis": "interrupts=0 async_probe", "8021q": "async_probe", "nbd": "nbds_max=0 max_part=0 async_probe"} {
		if got := Asynchronous(params, name); got != want {
			t.Errorf("%s gets %q, want %q", name, got, want)
		}
	}
}
