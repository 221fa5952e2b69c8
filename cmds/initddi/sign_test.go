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

	"github.com/initddi/initddi/internal/keys"
)

// TestWrongKey gives each verb that signs a key of another certificate. No program can be found: it is said before any would be run.
func TestWrongKey(t *testing.T) {
	dir := t.TempDir()
	if _, err := keys.Make(dir); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", filepath.Join(dir, "empty"))
	p := func(name string) string { return filepath.Join(dir, name) }
	for name, text := range map[string]string{"initddi.conf": "log=debug\n", "part": "x"} {
		if err := os.WriteFile(p(name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	env := environment{Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr}
	for _, args := range []string{"ddi --output OUT " + dir, "sign " + p("initddi.conf"), "uki --output OUT --stub " + p("part") + " --kernel " + p("part") + " --initramfs " + p("part")} {
		out := p("out")
		words := append(strings.Fields(strings.ReplaceAll(args, "OUT", out)), "--key", p("ddi.key"), "--cert")
		err := run(context.Background(), env, append(words, p("secureboot.crt")))
		if !errors.Is(err, keys.ErrMismatch) || !strings.HasPrefix(err.Error(), "cannot sign: "+p("ddi.key")+" does not belong to "+p("secureboot.crt")) {
			t.Errorf("%s: %v", args, err)
		}
		for _, name := range []string{out, p("initddi.conf.p7s")} {
			if _, err := os.Lstat(name); err == nil {
				t.Errorf("%s: made %s", args, name)
			}
		}
		// With the right one it goes on to what is missing here.
		if err := run(context.Background(), env, append(words, p("ddi.crt"))); err == nil || errors.Is(err, keys.ErrMismatch) {
			t.Errorf("%s with the right certificate: %v", args, err)
		}
	}
	for _, verb := range []string{"ddi", "uki"} {
		args := []string{verb, "--output", p("out"), "--stub", p("part"), "--kernel", p("part"), "--initramfs", p("part"), "--key", p("ddi.key")}
		if verb == "ddi" {
			args = []string{verb, "--output", p("out"), dir, "--key", p("ddi.key")}
		}
		if err := run(context.Background(), env, args); err == nil || !strings.Contains(err.Error(), "--key and --cert go together") {
			t.Errorf("%s without --cert: %v", verb, err)
		}
	}
}
