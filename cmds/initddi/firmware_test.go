// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"strings"
	"testing"
)

// TestFirmware builds stages 1 of a kernel whose drivers are built in and ask for firmware.
func TestFirmware(t *testing.T) {
	dir := t.TempDir()
	monolith(t, dir, "loop dm_mod dm_verity erofs sha256_generic bnx2x ice")
	write(t, dir+"/lib/modules/6.12.0/modules.builtin.modinfo", "bnx2x.firmware=bnx2x/e1.fw\x00bnx2x.firmware=bnx2x/e2.fw\x00ice.firmware=intel/ice.pkg\x00")
	// build returns what stage 1 is said to be, and the warnings.
	build := func(more ...string) (string, string) {
		t.Helper()
		var files [2]*os.File
		for i := range files {
			f, err := os.CreateTemp(dir, "out")
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			files[i] = f
		}
		args := append([]string{"initramfs", "--output", dir + "/out.cpio", "--base", dir + "/base.cpio", "--compress", "none", "--modules", dir,
			"--set", "pin=" + strings.Repeat("0f", 32), "--class", "net-server"}, more...)
		if err := run(context.Background(), environment{Stdin: os.Stdin, Stdout: files[0], Stderr: files[1]}, args); err != nil {
			t.Fatal(err)
		}
		var text [2]string
		for i, f := range files {
			b, err := os.ReadFile(f.Name())
			if err != nil {
				t.Fatal(err)
			}
			text[i] = string(b)
		}
		return text[0], text[1]
	}
	warning := "initddi: warning: bnx2x asks for firmware, and there is no bnx2x/e1.fw, bnx2x/e2.fw: its network cards cannot be switched on\n"
	// Without any, with a warning for the one driver that needs it.
	said, warned := build()
	if strings.Contains(said, "firmware") || strings.Count(warned, "warning") != 1 || !strings.Contains(warned, warning) {
		t.Errorf("said:\n%swarned:\n%s", said, warned)
	}
	before, err := os.ReadFile(dir + "/out.cpio")
	if err != nil || bytes.Contains(before, []byte("lib/firmware")) {
		t.Errorf("an archive with a directory for nothing, %v", err)
	}
	if said, warned = build("--json"); !strings.Contains(warned, warning) {
		t.Errorf("with --json:\n%s", warned)
	}
	var v struct {
		Firmware []struct {
			Module, Without  string
			Carried, Missing []string
			Size             int64
			Dispensable      bool
		}
	}
	if err := json.Unmarshal([]byte(said), &v); err != nil || len(v.Firmware) != 2 || len(v.Firmware[0].Missing) != 2 || !v.Firmware[1].Dispensable {
		t.Errorf("%v: %s", err, said)
	}
	if said, warned = build("--firmware", "none"); strings.Contains(said+warned, "firmware") {
		t.Errorf("none:\n%s%s", said, warned)
	}
	// With that of another system, no warning and no line too many.
	write(t, dir+"/other/lib/firmware/bnx2x/e2.fw", "12345")
	said, warned = build("--firmware", dir+"/other")
	if !strings.HasPrefix(said, "firmware of bnx2x: 5 bytes, 1 of the 2 files that it may ask for\n") || !strings.HasSuffix(said, ", firmware 5\n") || strings.Contains(warned, "warning") {
		t.Errorf("said:\n%swarned:\n%s", said, warned)
	}
	after, err := os.ReadFile(dir + "/out.cpio")
	if err != nil || !bytes.Contains(after, []byte("lib/firmware/bnx2x/e2.fw\x00")) {
		t.Errorf("not in the archive, %v", err)
	}
	if got := say(t, "inspect", dir+"/out.cpio"); !strings.Contains(got, "Firmware: 1 in 5 bytes") {
		t.Errorf("inspect:\n%s", got)
	}
}
