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

// TestInitramfsElsewhere: whoever builds a stage 1 outside of the source tree is told of it, whatever is missing first.
func TestInitramfsElsewhere(t *testing.T) {
	template, err := filepath.Abs("../../" + defaultTemplate)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	t.Chdir(dir)
	env := environment{Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr}
	for _, c := range []struct{ args, want string }{
		{"", "templates/mkuimage.yaml"},
		{"--modules " + dir, "templates/mkuimage.yaml"},
		{"--dir " + dir, filepath.Join(dir, "templates/mkuimage.yaml")},
		{"--template " + template, "not in a Go module"},
	} {
		args := append([]string{"initramfs", "--output", "out", "--set", "pin=" + strings.Repeat("0", 64)}, strings.Fields(c.args)...)
		if err := run(context.Background(), env, args); err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), "source tree") {
			t.Errorf("%q: %v, want %q and the source tree", c.args, err, c.want)
		}
	}
}
