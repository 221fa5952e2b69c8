// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package main

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/initddi/initddi/internal/initramfs"
	"github.com/initddi/initddi/internal/keys"
	"github.com/initddi/initddi/internal/plan"
)

// TestSettingsOfTemplates: what a template can do is taken as a setting, and nothing else, before anything is built.
func TestSettingsOfTemplates(t *testing.T) {
	needs := map[string]string{
		"fail=shell": "shell", "break=mount": "shell", "overlay=tmpfs": "merge", "merge=yes": "merge",
		"source=http": "fetch", "source=nbd,esp": "fetch", "source=esp,initrd,pmem": "", "overlay=no": "", "merge=no": "", "fail=halt": "",
	}
	for config, can := range map[string]string{
		"minimal": "", "host": "", "locked": "", "extensions": "merge", "network": "fetch", "debug": "shell merge fetch",
	} {
		o := initramfs.Options{Template: initramfs.Template{File: "../../templates/mkuimage.yaml", Config: config, Dir: "../.."}}
		set, err := o.Abilities()
		if err != nil {
			t.Fatal(err)
		}
		for setting, need := range needs {
			_, _, _, err := baked(nil, []string{"pin=" + strings.Repeat("0f", 32), setting}, set)
			if good := strings.Contains(can, need); good != (err == nil) || err != nil && !errors.Is(err, plan.ErrNotHere) {
				t.Errorf("%s with %s: %v", config, setting, err)
			}
		}
	}
	dir := t.TempDir()
	got := say(t, "initramfs", "--template", "../../templates/mkuimage.yaml", "--dir", "../..", "--config", "minimal", "--output", dir+"/out",
		"--set", "pin="+strings.Repeat("0f", 32), "--set", "fail=shell")
	if !strings.Contains(got, "no shell was built into it") || !strings.Contains(got, "--config and --template") {
		t.Error(got)
	}
	if _, err := os.Lstat(dir + "/out"); err == nil {
		t.Error("there is a stage 1 all the same")
	}
}

// TestSignSettings: the file may be for any stage 1, so all that one can do is signed.
func TestSignSettings(t *testing.T) {
	dir := t.TempDir()
	if _, err := keys.Make(dir); err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(dir, plan.SettingsName)
	sign := func(text string) error {
		write(t, name, text)
		return run(context.Background(), environment{Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr},
			[]string{"sign", "--key", filepath.Join(dir, "ddi.key"), "--cert", filepath.Join(dir, "ddi.crt"), name})
	}
	for _, good := range []string{"merge=yes\n", "overlay=tmpfs\n", "source=http\n", "source=nbd,http\nurl=nbd://a/x\n", "fail=shell\n", "break=mount\n"} {
		if err := sign(good); err != nil {
			t.Errorf("%q: %v", good, err)
		}
		// What is signed is also predicted.
		if _, err := output(t, "measure", "--trust", filepath.Join(dir, "ddi.crt"), "--config", name); err != nil {
			t.Errorf("measure %q: %v", good, err)
		}
	}
	for bad, want := range map[string]error{"merge=maybe\n": plan.ErrValue, "source=ftp\n": plan.ErrValue, "typo=1\n": plan.ErrUnknownKey, "policy=*\n": plan.ErrBakedOnly} {
		if err := sign(bad); !errors.Is(err, want) {
			t.Errorf("%q: %v", bad, err)
		}
	}
}
