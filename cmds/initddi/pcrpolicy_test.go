// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/u-root/mkuimage/cpio"

	"github.com/initddi/initddi/internal/keys"
	"github.com/initddi/initddi/internal/uki"
)

func TestUKIWithPolicy(t *testing.T) {
	const stub = "/usr/lib/systemd/boot/efi/linuxx64.efi.stub"
	program, err := os.ReadFile(stub)
	if err != nil {
		t.Skipf("needs %s (Debian package systemd-boot-efi)", stub)
	}
	dir := t.TempDir()
	if _, err := keys.Make(dir); err != nil {
		t.Fatal(err)
	}
	p := func(name string) string { return filepath.Join(dir, name) }
	var archive bytes.Buffer
	w := cpio.Newc.Writer(&archive)
	if err := errors.Join(cpio.WriteRecords(w, []cpio.Record{cpio.StaticFile("init", "x", 0o755)}), cpio.WriteTrailer(w)); err != nil {
		t.Fatal(err)
	}
	write(t, p("stage1"), archive.String())
	write(t, p("kernel"), zboot(t, program, "6.1-test"))
	env := environment{Stdin: os.Stdin, Stderr: os.Stderr}
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	env.Stdout = null
	build := func(args ...string) error {
		return run(context.Background(), env, append([]string{"uki", "--output", p("out.efi"), "--stub", stub, "--kernel", p("kernel"), "--initramfs", p("stage1")}, args...))
	}
	if err := build("--pcr-private-key", p("secureboot.key"), "--phases", "enter-initrd"); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(p("out.efi"))
	if err != nil {
		t.Fatal(err)
	}
	img, err := uki.Parse(bytes.NewReader(b), int64(len(b)))
	if err != nil {
		t.Fatal(err)
	}
	var signed map[string][]json.RawMessage
	if s := img.Section(".pcrsig"); s == nil {
		t.Error("the UKI has no .pcrsig")
	} else if err := json.NewDecoder(s.Open(bytes.NewReader(b))).Decode(&signed); err != nil || len(signed["sha256"]) != 1 {
		t.Errorf(".pcrsig: %v, %s", err, signed)
	}
	if img.Section(".pcrpkey") == nil {
		t.Error("the UKI has no .pcrpkey")
	}
	for _, c := range []struct{ args, want string }{
		{"--pcr-private-key DIR/ddi.key", "ddi.key: not a key for signing PCR policies: it has 4096 bits"},
		{"--pcr-public-key DIR/ddi.crt", "without --pcr-private-key"},
		{"--pcr-private-key DIR/secureboot.key --pcr-public-key DIR/secureboot.crt", "not that of the private one"},
		{"--pcr-private-key DIR/secureboot.key --phases a::b", "empty word"},
		{"--pcr-private-key DIR/none", "no such file"},
	} {
		if err := build(strings.Fields(strings.ReplaceAll(c.args, "DIR", dir))...); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", c.args, err, c.want)
		}
	}
	err = run(context.Background(), env, []string{"uki", "--addon", "--output", p("out.efi"), "--stub", stub, "--cmdline", "x", "--pcr-private-key", p("secureboot.key")})
	if err == nil || !strings.Contains(err.Error(), "cannot build an addon") {
		t.Errorf("an addon with a policy: %v", err)
	}
}
