// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package inspect

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/initddi/initddi/internal/ddi"
	"github.com/initddi/initddi/internal/ddi/dditest"
	"github.com/initddi/initddi/internal/esp"
	"github.com/initddi/initddi/internal/keys"
	"github.com/initddi/initddi/internal/ovmf"
	"github.com/initddi/initddi/internal/program"
	"github.com/initddi/initddi/internal/uki"
)

// inspected returns the report and its text.
func inspected(t *testing.T, path string, o Options) (*Report, string) {
	t.Helper()
	rep, err := Inspect(context.Background(), path, o)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := json.Marshal(rep); err != nil {
		t.Errorf("%s: %v", path, err)
	}
	var out bytes.Buffer
	rep.Print(&out)
	return rep, out.String()
}

func mustContain(t *testing.T, text string, want ...string) {
	t.Helper()
	for _, w := range want {
		if !strings.Contains(text, w) {
			t.Errorf("the text lacks %q:\n%s", w, text)
		}
	}
}

func TestImagesAndDisk(t *testing.T) {
	s := dditest.Make(t)
	p, err := ddi.ReadTrust([]string{s.Path(dditest.Cert)}, false)
	if err != nil {
		t.Fatal(err)
	}
	rep, text := inspected(t, s.Path(dditest.Good), Options{Plan: p, Digest: true})
	if rep.Kind != KindDDI || !rep.DDI.Verdict.Accepted || len(rep.SHA256) != 64 {
		t.Errorf("%+v", rep)
	}
	mustContain(t, text, ": discoverable disk image, ", "SHA-256: "+rep.SHA256, "Root Hash: "+s.RootHash+"\n", "Verdict: accepted: ")
	rep, text = inspected(t, s.Path(dditest.Good), Options{})
	if rep.DDI.Verdict.Accepted || rep.DDI.Verity == nil {
		t.Errorf("without trust: %+v", rep.DDI)
	}
	mustContain(t, text, "Verdict: not judged: no certificate was given (--trust)", "(not verified, nor is anything below)")
	if rep, _ := inspected(t, s.Path(dditest.Cert), Options{}); rep.Kind != KindCertificates || rep.Certificates[0].Subject != "initddi development image key" {
		t.Errorf("%+v", rep)
	}

	disk := filepath.Join(t.TempDir(), "disk")
	if _, err := esp.Build(context.Background(), disk, esp.Options{Label: "BOOT", Files: []esp.File{
		{Path: "/loader/ddi/os.raw", Source: s.Path(dditest.Good), ReadOnly: true, Fragments: 5},
		{Path: "/loader/ddi/theirs.raw", Source: s.Path(dditest.Stranger)},
		{Path: "/loader/note.txt", Data: []byte("hello")},
	}}); errors.Is(err, program.ErrMissing) {
		t.Skip(err)
	} else if err != nil {
		t.Fatal(err)
	}
	rep, text = inspected(t, disk, Options{Plan: p})
	if rep.Kind != KindDisk || len(rep.Disk.Partitions) != 1 || rep.Disk.Partitions[0].Volume.Label != "BOOT" {
		t.Fatalf("%+v", rep.Disk)
	}
	byPath := map[string]VolumeFile{}
	for _, f := range rep.Disk.Partitions[0].Volume.Files {
		byPath[f.Path] = f
	}
	if f := byPath["/loader/ddi/os.raw"]; f.Extents != 5 || !f.ReadOnly || f.What == nil || !f.What.DDI.Verdict.Accepted {
		t.Errorf("%+v", f)
	}
	if f := byPath["/loader/ddi/theirs.raw"]; f.Extents != 1 || f.ReadOnly || f.What == nil || f.What.DDI.Verdict.Accepted {
		t.Errorf("%+v", f)
	}
	if f := byPath["/loader/note.txt"]; f.Size != 5 || f.What != nil || f.Problem != "" {
		t.Errorf("%+v", f)
	}
	mustContain(t, text, ": disk, ", "/loader/ddi/os.raw ", "discoverable disk image, accepted: root hash "+s.RootHash)
}

func TestFirmware(t *testing.T) {
	const template = "/usr/share/OVMF/OVMF_VARS_4M.fd"
	b, err := os.ReadFile(template)
	if errors.Is(err, fs.ErrNotExist) {
		t.Skipf("needs %s (Debian package ovmf)", template)
	} else if err != nil {
		t.Fatal(err)
	}
	rep, text := inspected(t, template, Options{})
	if rep.Kind != KindFirmware || rep.Firmware.SecureBoot != "setup" {
		t.Errorf("%+v", rep.Firmware)
	}
	mustContain(t, text, "Secure Boot: off: no platform key, anybody may enrol one")
	dir := t.TempDir()
	if _, err := keys.Make(filepath.Join(dir, "keys")); err != nil {
		t.Fatal(err)
	}
	der, err := keys.CertificateDER(keys.In(filepath.Join(dir, "keys"), keys.SecureBoot).Cert)
	if err != nil {
		t.Fatal(err)
	}
	enrolled, err := ovmf.Enroll(b, ovmf.Keys{PK: der, KEK: [][]byte{der}, DB: [][]byte{der}})
	if err != nil {
		t.Fatal(err)
	}
	store := filepath.Join(dir, "vars.fd")
	if err := os.WriteFile(store, enrolled, 0o644); err != nil {
		t.Fatal(err)
	}
	rep, text = inspected(t, store, Options{})
	if rep.Firmware.SecureBoot != "on" || len(rep.Firmware.Keys) != 3 || rep.Firmware.Keys[0].Subject != "initddi development Secure Boot key" {
		t.Errorf("%+v", rep.Firmware)
	}
	mustContain(t, text, "Secure Boot: on\n", " db: initddi development Secure Boot key, RSA-")
}

func TestUKI(t *testing.T) {
	const name = "/usr/lib/systemd/boot/efi/linuxx64.efi.stub"
	stub, err := os.ReadFile(name)
	if errors.Is(err, fs.ErrNotExist) {
		t.Skipf("needs %s (Debian package systemd-boot-efi)", name)
	} else if err != nil {
		t.Fatal(err)
	}
	// A PE image has no room for a real one here; any will do for what is looked at.
	o := uki.Options{Stub: stub, Kernel: stub, Uname: "6.1-test", Cmdline: "console=ttyS0 ddi.bogus=1",
		Initrds: [][]byte{newc([2]string{"bbin/storageinit@", "bb"}, [2]string{"init@", "bbin/storageinit"}, [2]string{"etc/initddi/modules", "initddi-modules 1 6.2-other\n"})}}
	b, err := uki.Build(o)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "x.efi")
	if err := os.WriteFile(path, b, 0o644); err != nil {
		t.Fatal(err)
	}
	rep, text := inspected(t, path, Options{})
	if rep.Kind != KindUKI || rep.PE.InitramfsKind != KindStage1 {
		t.Fatalf("%s %+v", rep.Kind, rep.PE)
	}
	mustContain(t, text, ": unified kernel image, ", "Kernel: 6.1-test\n", `Command line: "console=ttyS0 ddi.bogus=1"`, "Signature: none\n", ".initrd: stage 1\n",
		"Problem: cannot use ddi.bogus=1 from the kernel command line: unknown key", "Problem: the modules are for kernel 6.2-other, the UKI has 6.1-test")
	rep, text = inspected(t, name, Options{})
	if rep.Kind != KindPE {
		t.Errorf("the stub alone is %s", rep.Kind)
	}
	mustContain(t, text, ": EFI program, ")
}
