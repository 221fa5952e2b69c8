// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/u-root/mkuimage/cpio"

	"github.com/initddi/initddi/internal/capture"
	"github.com/initddi/initddi/internal/program"
)

const machines = "../../internal/capture/testdata/machines/"

// say runs a verb and returns what it printed, and its error as text.
func say(t *testing.T, args ...string) string {
	t.Helper()
	out, err := os.Create(filepath.Join(t.TempDir(), "stdout"))
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	null, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	err = run(context.Background(), environment{Stdin: os.Stdin, Stdout: out, Stderr: null}, args)
	if errors.Is(err, program.ErrMissing) {
		t.Skip("needs ", err)
	}
	b, readErr := os.ReadFile(out.Name())
	if readErr != nil {
		t.Fatal(readErr)
	}
	if err != nil {
		return fmt.Sprintf("%serror: %v\n", b, err)
	}
	return string(b)
}

func write(t *testing.T, name, text string) string {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return name
}

// monolith makes, below dir, a kernel with these modules built in and no others, and an archive base.cpio with an init.
func monolith(t *testing.T, dir, modules string) {
	t.Helper()
	var base bytes.Buffer
	w := cpio.Newc.Writer(&base)
	if err := errors.Join(cpio.WriteRecords(w, []cpio.Record{cpio.StaticFile("init", "init", 0o755)}), cpio.WriteTrailer(w)); err != nil {
		t.Fatal(err)
	}
	write(t, dir+"/base.cpio", base.String())
	var builtin string
	for _, m := range strings.Fields(modules) {
		builtin += "kernel/" + m + ".ko\n"
	}
	write(t, dir+"/lib/modules/6.12.0/modules.builtin", builtin)
}

// TestForHost builds stages 1 of a kernel with everything built in for captured machines, and looks at what is said of them.
func TestForHost(t *testing.T) {
	dir := t.TempDir()
	monolith(t, dir, "loop dm_mod dm_verity erofs sha256_generic virtio_blk virtio_mmio nvme efivarfs")
	common := []string{"initramfs", "--output", dir + "/out", "--base", dir + "/base.cpio", "--compress", "none", "--modules", dir, "--set", "pin=" + strings.Repeat("0f", 32)}
	for _, tt := range []struct {
		args string
		want []string
	}{
		{"--for-host --root " + machines + "microvm.tar.gz", []string{"for the machine whose /dev/vdb1 hangs on virtio1 (virtio_blk), LNRO0005:01 (virtio-mmio)\n",
			"\ncarries   virtio    built into the kernel\n", "\nleft out  sata      the kernel has no driver of this class\n", "\nleft out  efivarfs  the machine was not started by UEFI firmware\n"}},
		{"--for-host --root " + machines + "q35.tar.gz --device /dev/sdb", []string{"error: cannot make a stage 1 for the machine: ", "6:0:0:0 (sd) scsi:t-0x00 is driven by sd_mod, and kernel 6.12.0 has it neither"}},
		{"--for-host --root " + machines + "firecracker.tar.gz", []string{"error: cannot tell which disk the machine boots from: cannot find the only EFI system partition", "--device names it"}},
		{"--for-host --class sata --root " + machines + "microvm.tar.gz", []string{"error: cannot find modules for class sata"}},
		{"--class floppy", []string{`error: unknown class "floppy" (there are virtio, nvme,`}},
		{"--root " + machines, []string{"error: cannot use --root or --device without --for-host"}},
		{"--for-host --root " + dir + "/nothing", []string{"error: cannot open the machine: "}},
	} {
		got := say(t, append(common, strings.Fields(tt.args)...)...)
		for _, want := range tt.want {
			if !strings.Contains(got, want) {
				t.Errorf("%s:\n%swant %q", tt.args, got, want)
			}
		}
	}
	got := say(t, "initramfs", "--output", dir+"/out", "--for-host", "--root", machines+"microvm.tar.gz")
	if !strings.Contains(got, "--modules names its modules") {
		t.Error(got)
	}
	var v struct {
		Choices []struct{ Name, Why string }
		Host    struct{ Node string }
	}
	text := say(t, append(common, "--json", "--for-host", "--root", machines+"microvm.tar.gz")...)
	if err := json.Unmarshal([]byte(text), &v); err != nil || v.Host.Node != "vdb1" || len(v.Choices) < 10 || v.Choices[0].Why != "built into the kernel" {
		t.Errorf("%v: %s", err, text)
	}
}

func TestCapture(t *testing.T) {
	root, cleanup, err := capture.Open(context.Background(), machines+"microvm.tar.gz")
	if errors.Is(err, program.ErrMissing) {
		t.Skip("needs ", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	defer cleanup()
	out := filepath.Join(t.TempDir(), "again.tar.gz")
	got := say(t, "capture", "--root", root, "--output", out)
	for _, want := range []string{"recorded  /dev/vdb: 6291456 bytes in sectors of 512, a GPT with 1 partitions\n", "left out  the content of every file", out + ": "} {
		if !strings.Contains(got, want) {
			t.Errorf("%swant %q", got, want)
		}
	}
	// A capture of a capture is the same.
	a, err1 := os.ReadFile(out)
	b, err2 := os.ReadFile(machines + "microvm.tar.gz")
	if err := errors.Join(err1, err2); err != nil || !bytes.Equal(a, b) {
		t.Errorf("%d bytes out of %d, %v", len(a), len(b), err)
	}
	var v struct{ Lines []capture.Line }
	text := say(t, "capture", "--root", root, "--output", out, "--json")
	if err := json.Unmarshal([]byte(text), &v); err != nil || len(v.Lines) < 5 {
		t.Errorf("%v: %s", err, text)
	}
	if got := say(t, "capture"); !strings.Contains(got, "without --output") {
		t.Error(got)
	}
}
