// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package main

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/u-root/mkuimage/cpio"

	"github.com/initddi/initddi/internal/inspect"
)

// zboot makes an EFI zboot image of that release out of any EFI program.
func zboot(t *testing.T, program []byte, release string) string {
	t.Helper()
	var payload bytes.Buffer
	z := gzip.NewWriter(&payload)
	if _, err := z.Write([]byte("Linux version " + release + " (x)\x00")); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	b := append(bytes.Clone(program), payload.Bytes()...)
	copy(b[4:], "zimg")
	binary.LittleEndian.PutUint32(b[8:], uint32(len(program)))
	binary.LittleEndian.PutUint32(b[12:], uint32(payload.Len()))
	copy(b[24:56], "gzip\x00")
	return string(b)
}

// TestCheckedUKI: a UKI that never boots is not made, and what stage 1 would complain about is said.
func TestCheckedUKI(t *testing.T) {
	const stub = "/usr/lib/systemd/boot/efi/linuxx64.efi.stub"
	program, err := os.ReadFile(stub)
	if errors.Is(err, fs.ErrNotExist) {
		t.Skipf("needs %s (Debian package systemd-boot-efi)", stub)
	} else if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	p := func(name string) string { return filepath.Join(dir, name) }
	var archive bytes.Buffer
	w := cpio.Newc.Writer(&archive)
	if err := errors.Join(cpio.WriteRecords(w, []cpio.Record{
		cpio.Directory("bbin", 0o755), cpio.Symlink("bbin/storageinit", "bb"), cpio.Symlink("init", "bbin/storageinit"), cpio.StaticFile("etc/initddi/modules", "initddi-modules 1 6.1-test\n", 0o644),
		cpio.StaticFile("etc/initddi/stage1.conf", "pin="+strings.Repeat("0f", 32)+"\n", 0o644),
	}), cpio.WriteTrailer(w)); err != nil {
		t.Fatal(err)
	}
	write(t, p("stage1"), archive.String())
	write(t, p("kernel"), zboot(t, program, "6.1-test"))
	write(t, p("other"), zboot(t, program, "6.2-other"))
	write(t, p("os.raw"), strings.Repeat("\x00", 512)+"EFI PART no archive")
	build := func(args string) (warnings string, err error) {
		stderr, err := os.Create(p("stderr"))
		if err != nil {
			t.Fatal(err)
		}
		defer stderr.Close()
		os.Remove(p("out"))
		for _, name := range []string{"stage1", "kernel", "other", "os.raw"} {
			args = strings.ReplaceAll(args, "="+name, "="+p(name))
		}
		err = run(t.Context(), environment{Stdin: os.Stdin, Stdout: stderr, Stderr: stderr}, append(strings.Fields(args), "--output", p("out"), "--stub", stub))
		b, readErr := os.ReadFile(p("stderr"))
		if readErr != nil {
			t.Fatal(readErr)
		}
		if _, statErr := os.Lstat(p("out")); (statErr == nil) != (err == nil) {
			t.Errorf("%s: %v, and the file: %v", args, err, statErr)
		}
		return string(b), err
	}
	for args, want := range map[string]string{
		"uki --kernel=kernel --initramfs=stage1":                                               "",
		"uki --kernel=other --initramfs=stage1":                                                "warning: the modules are for kernel 6.1-test, the UKI has 6.2-other\n",
		"uki --kernel=kernel --initramfs=stage1 --cmdline=ddi.typo=1":                          "warning: cannot use ddi.typo=1 from the kernel command line: unknown key",
		"uki --kernel=kernel --initramfs=stage1 --initramfs=os.raw":                            "warning: the kernel unpacks the first 1 archives only",
		"uki --kernel=kernel --initramfs=stage1 --initramfs=os.raw --cmdline=retain_initrd":    "",
		"uki --kernel=kernel --initramfs=stage1 --initramfs=os.raw --cmdline=retain_initrd=no": "warning: the kernel unpacks the first 1 archives only",
	} {
		got, err := build(args)
		if err != nil || strings.Contains(got, "warning") != (want != "") || !strings.Contains(got, want) {
			t.Errorf("%s: %v, %q, want %q", args, err, got, want)
		}
	}
	for args, want := range map[string]error{
		"uki --kernel=kernel --initramfs=os.raw":       inspect.ErrNoInitramfs,
		"uki --kernel=" + stub + " --initramfs=stage1": errNoKernel,
	} {
		if _, err := build(args); !errors.Is(err, want) {
			t.Errorf("%s: %v, want %v", args, err, want)
		}
	}
}
