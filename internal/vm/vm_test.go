// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package vm

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/initddi/initddi/internal/program"
)

var update = flag.Bool("update", false, "write the golden files anew")

// fakeQEMU is a program that says it is QEMU of that version, and for anything else prints its arguments, one a line.
func fakeQEMU(t *testing.T, version string) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "qemu")
	script := fmt.Sprintf("#!/bin/sh\nif [ \"$1\" = --version ]; then echo %q; exit; fi\nfor a; do echo \"$a\"; done\n", version)
	if err := os.WriteFile(name, []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	return name
}

const (
	qemu7  = "QEMU emulator version 7.2.22 (Debian 1:7.2+dfsg-7+deb12u18)"
	qemu10 = "QEMU emulator version 10.0.8 (Debian 1:10.0.8+ds-0+deb13u1)"
)

// machines are what the golden files show.
var machines = []struct {
	name   string
	config Config
}{
	{"default", Config{}},
	{"kvm", Config{Accel: "kvm", CPUs: 4, MemoryMiB: 2048}},
	{"two processors", Config{CPUs: 2}},
	{"virtual time", Config{CPUs: 2, Icount: true}},
	{"secure boot", Config{FirmwareCode: "/usr/share/OVMF/OVMF_CODE_4M.secboot.fd", FirmwareVars: "vars.fd", Disks: []Disk{{Path: "disk.img", Snapshot: true}}}},
	{"no secure boot", Config{FirmwareCode: "/usr/share/OVMF/OVMF_CODE_4M.fd", FirmwareVars: "vars,with,commas.fd"}},
	{"every bus", Config{Disks: []Disk{{Path: "a"}, {Path: "b", Bus: "nvme"}, {Path: "c", Bus: "sata"}, {Path: "d", Bus: "usb"}, {Path: "e", Bus: "scsi"}, {Path: "f", Bus: "sd"}}}},
	{"more buses", Config{Monitor: "/tmp/a,b/qmp", Disks: []Disk{{Path: "a", Bus: "nvme-ns"}, {Path: "b", Bus: "nvme-ns", SectorSize: 4096}, {Path: "c", Bus: "usb-hub"}, {Path: "d", Bus: "uas"}, {Path: "e", Bus: "pvscsi"},
		{Path: "f", Bus: "mpt"}, {Path: "g", Bus: "lsi"}, {Path: "h", Bus: "megaraid"}}}},
	{"IDE", Config{Machine: "pc", Disks: []Disk{{Path: "a", Bus: "ide"}}}},
	{"disks with moods", Config{Disks: []Disk{{Path: "b", Bus: "sata", Snapshot: true, ReadBurst: 4096}, {Path: "c", Late: true}, {Path: "d", Rate: 300}}}},
	{"two paths to a disk", Config{Disks: []Disk{{Path: "a", Bus: "scsi", Snapshot: true, WWN: 0x5000c50015ea71ac}, {Path: "a", Bus: "scsi", Snapshot: true, WWN: 0x5000c50015ea71ac}}}},
	{"one controller for two", Config{Disks: []Disk{{Path: "a", Bus: "usb"}, {Path: "b", Bus: "usb", SectorSize: 4096}, {Path: "c,d", Bus: "scsi"}, {Path: "e", Bus: "scsi"}}}},
	{"a network", Config{Network: "user"}},
	{"cards", Config{Disks: []Disk{{Path: "a"}}, Cards: []Card{{Tap: "vm0"}, {Tap: "vm1", Model: "e1000e", Boot: true}, {Tap: "vm2", Model: "usb-net"}}}},
	{"no network", Config{Network: "none"}},
	{"a TPM", Config{TPM: "/tmp/a,b/socket"}},
	{"a TPM 1.2", Config{TPM: "/tmp/socket", OldTPM: true}},
	{"credentials", Config{Credentials: map[string]string{"b": "two", "a": "one,\x00"}, SMBIOS: []string{"a,b"}, Extra: []string{"-snapshot"}}},
}

func TestArgs(t *testing.T) {
	for _, version := range []string{qemu7, qemu10} {
		binary := fakeQEMU(t, version)
		var b strings.Builder
		for _, m := range machines {
			m.config.Binary = binary
			args, err := m.config.Args(context.Background())
			if err != nil {
				t.Fatal(err)
			}
			fmt.Fprintf(&b, "== %s\n", m.name)
			for _, a := range args {
				if strings.HasPrefix(a, "-") {
					b.WriteString(a + "\n")
				} else {
					b.WriteString("    " + a + "\n")
				}
			}
		}
		file := filepath.Join("testdata", "qemu-"+strings.Split(strings.Fields(version)[3], ".")[0]+".txt")
		if *update {
			if err := os.WriteFile(file, []byte(b.String()), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if b.String() != string(want) {
			t.Errorf("%s: got\n%s\nwant\n%s", file, b.String(), want)
		}
	}
}

// TestProcessor: the emulation of one instruction in QEMU before 8 crashes kernels.
func TestProcessor(t *testing.T) {
	for _, test := range []struct{ version, accel, want string }{
		{qemu7, "", "max,cx16=off"},
		{qemu7, "tcg", "max,cx16=off"},
		{qemu7, "kvm", "max"},
		{qemu10, "", "max"},
		{"QEMU emulator version 8.0.0", "", "max"},
	} {
		args, err := Config{Binary: fakeQEMU(t, test.version), Accel: test.accel}.Args(context.Background())
		if err != nil || !strings.Contains(strings.Join(args, " ")+" ", "-cpu "+test.want+" ") {
			t.Errorf("%s, %s: %v, %v", test.version, test.accel, args, err)
		}
	}
}

func TestArgsErrors(t *testing.T) {
	ctx := context.Background()
	if _, err := (Config{Binary: "/nonexistent/qemu"}).Args(ctx); err == nil {
		t.Error("no QEMU is no error")
	}
	t.Setenv("PATH", t.TempDir())
	if _, err := (Config{}).Args(ctx); !errors.Is(err, program.ErrMissing) || !strings.Contains(err.Error(), "qemu-system-x86") {
		t.Error(err)
	}
	t.Setenv("PATH", "/usr/bin:/bin")
	if _, err := (Config{Binary: fakeQEMU(t, "something else")}).Args(ctx); !errors.Is(err, errors.ErrUnsupported) {
		t.Error(err)
	}
	if _, err := (Config{Binary: fakeQEMU(t, qemu10), Disks: []Disk{{Path: "x", Bus: "floppy"}}}).Args(ctx); !errors.Is(err, errors.ErrUnsupported) || !strings.Contains(err.Error(), "floppy") {
		t.Error(err)
	}
	for _, test := range []struct {
		version string
		config  Config
		is      error
		word    string
	}{
		{qemu10, Config{Machine: "pc", Disks: []Disk{{Path: "x", Bus: "sata"}}}, errors.ErrUnsupported, "only q35"},
		{qemu10, Config{Disks: []Disk{{Path: "x", Bus: "ide"}}}, errors.ErrUnsupported, "only pc"},
		{qemu10, Config{Disks: []Disk{{Path: "x", Bus: "usb", Late: true}}}, errors.ErrUnsupported, "only virtio"},
		{qemu10, Config{Disks: []Disk{{Path: "x", Bus: "emmc"}}}, program.ErrMissing, "soldered"},
	} {
		test.config.Binary = fakeQEMU(t, test.version)
		if _, err := test.config.Args(ctx); !errors.Is(err, test.is) || err != nil && !strings.Contains(err.Error(), test.word) {
			t.Errorf("%+v: %v", test.config, err)
		}
	}
	// A QEMU of the future.
	future := filepath.Join(t.TempDir(), "qemu")
	script := fmt.Sprintf("#!/bin/sh\ncase $1 in --version) echo %q;; -device) echo 'name \"emmc\", bus sd-bus';; esac\n", qemu10)
	if err := os.WriteFile(future, []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	if args, err := (Config{Binary: future, Disks: []Disk{{Path: "x", Bus: "emmc"}}}).Args(ctx); err != nil || !slices.Contains(args, "emmc,drive=disk0") {
		t.Errorf("%q, %v", args, err)
	}
	if _, err := (Config{Binary: fakeQEMU(t, qemu10), Network: "tap"}).Args(ctx); !errors.Is(err, errors.ErrUnsupported) || !strings.Contains(err.Error(), "tap") {
		t.Error(err)
	}
	failing := filepath.Join(t.TempDir(), "qemu")
	if err := os.WriteFile(failing, []byte("#!/bin/sh\nexit 3\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	if _, err := (Config{Binary: failing}).Args(ctx); err == nil {
		t.Error("a QEMU that fails is no error")
	}
}

// closer keeps what is written.
type closer struct {
	bytes.Buffer
	closed bool
}

func (c *closer) Close() error { c.closed = true; return nil }

func TestRun(t *testing.T) {
	t.Setenv("VMTEST_QEMU", "")
	t.Setenv("VMTEST_QEMU_APPEND", "")
	var out closer
	c := Config{Binary: fakeQEMU(t, qemu10), Report: "report.txt", Kernel: "vmlinuz", Initrd: "stage1.zst", Append: "console=ttyS0 quiet"}
	if err := c.Run(context.Background(), &out, 30*time.Second); err != nil {
		t.Fatal(err)
	}
	text := "\n" + strings.ReplaceAll(out.String(), "\r", "")
	for _, want := range []string{"-kernel\nvmlinuz\n", "-initrd\nstage1.zst\n", "-serial\nmon:stdio\n-serial\nfile:report.txt\n", "\n-nographic\n", "console=ttyS0 quiet"} {
		if !strings.Contains(text, want) {
			t.Errorf("QEMU was not told %q:\n%s", want, text)
		}
	}
	if !out.closed {
		t.Error("the console is left open")
	}
}
