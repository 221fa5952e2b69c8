// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package main

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestExitStatus tells what makes no sense from what fails.
func TestExitStatus(t *testing.T) {
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	dir := t.TempDir()
	write(t, dir+"/text", strings.Repeat("no disk ", 200))
	for _, test := range []struct {
		args   string
		status int
		says   string
	}{
		{"bogus", 2, "cannot find the verb"}, {"help bogus", 2, "cannot find the verb"}, {"ddi", 2, "it takes 1"}, {"ddi --bogus x", 2, "not defined: -bogus"}, {"ddi x", 2, "without --output"},
		{"keys", 2, "it takes 1"}, {"combine --output x", 2, "two or more"}, {"status --bogus", 2, "not defined"}, {"status x", 2, "options only"}, {"bless x", 2, "options only"},
		{"bless --index 5", 2, "0x01000000 to 0x01ffffff"}, {"bless --define 70000", 2, "from 1 to 65535"}, {"bless --define 0", 2, "from 1 to 65535"},
		{"boot --bus foo DIR/text", 2, "cannot use --bus foo: it is one of virtio, nvme"},
		{"boot DIR/none", 1, "cannot boot: open"}, {"boot --headless=false DIR/text", 1, "it is not a disk: it has no partition table"}, {"boot DIR", 1, "cannot boot DIR: it is not a disk"},
		{"ddi --output DIR/o.raw DIR/none", 1, "cannot read the tree"}, {"ddi --output DIR/o.raw --sector-size 1024 DIR", 1, "only 512 and 4096"}, {"inspect --trust DIR DIR/text", 1, "no *.crt in DIR"},
	} {
		args := strings.Fields(strings.ReplaceAll(test.args, "DIR", dir))
		err := run(context.Background(), environment{Stdin: null, Stdout: null, Stderr: null}, args)
		if err == nil || exitStatus(err) != test.status || !strings.Contains(err.Error(), strings.ReplaceAll(test.says, "DIR", dir)) {
			t.Errorf("%s: %v, want status %d and %q", test.args, err, test.status, test.says)
		}
	}
	for args, want := range map[string]string{"--version": "initddi 0", "help": "Verbs:", "": "Exit status: 0"} {
		if got := say(t, strings.Fields(args)...); !strings.Contains(got, want) {
			t.Errorf("%q: %s", args, got)
		}
	}
	help, err := os.Create(filepath.Join(dir, "help"))
	if err != nil {
		t.Fatal(err)
	}
	defer help.Close()
	for verb, want := range map[string]string{"join": "--signature FILE --cert FILE IMAGE", "bless": "(default 0x018dd100)", "boot": "virtio, nvme, nvme-ns,"} {
		if err := run(context.Background(), environment{Stdin: null, Stdout: null, Stderr: help}, []string{"help", verb}); err != nil {
			t.Error(err)
		}
		b, err := os.ReadFile(help.Name())
		if err != nil || !strings.Contains(string(b), want) {
			t.Errorf("help %s: %v: %s", verb, err, b)
		}
		if strings.Contains(string(b), "(default true)") {
			t.Errorf("help %s has two defaults: %s", verb, b)
		}
	}
}
