// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package main

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/initddi/initddi/internal/ddi/dditest"
	"github.com/initddi/initddi/internal/keys"
	"github.com/initddi/initddi/internal/measure"
	"github.com/initddi/initddi/internal/tpm2"
)

// output runs a verb and returns what it writes.
func output(t *testing.T, args ...string) (string, error) {
	t.Helper()
	out, err := os.Create(filepath.Join(t.TempDir(), "out"))
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	rerr := run(context.Background(), environment{Stdin: os.Stdin, Stdout: out, Stderr: os.Stderr}, args)
	if _, err := out.Seek(0, io.SeekStart); err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(out)
	if err != nil {
		t.Fatal(err)
	}
	return string(b), rerr
}

func TestMeasure(t *testing.T) {
	s := dditest.Make(t)
	der, err := keys.CertificateDER(s.Path(dditest.Cert))
	if err != nil {
		t.Fatal(err)
	}
	cert := hex.EncodeToString(tpm2.SHA256.Sum(der))
	want := "ddi:os:os_1.2:" + s.RootHash + ":" + cert
	value := measure.Extend(make([]byte, 32), tpm2.Digest{Alg: tpm2.SHA256, Bytes: tpm2.SHA256.Sum([]byte(want))})
	pcrs := filepath.Join(t.TempDir(), "pcrs")
	trust := s.Path(dditest.Cert)

	got, err := output(t, "measure", "--os", "OS_1.2+3-0.raw="+s.Path(dditest.Good), "--trust", trust, "--bank", "sha256", "--pcr-file", pcrs)
	zeros := strings.Repeat("0", 64)
	if text := "# PCR 13: " + want + "\n11:sha256=" + zeros + "\n12:sha256=" + zeros + "\n13:sha256=" + hex.EncodeToString(value) + "\n"; err != nil || got != text {
		t.Errorf("%v\n%s\nwant\n%s", err, got, text)
	}
	if b, err := os.ReadFile(pcrs); err != nil || hex.EncodeToString(b) != zeros+zeros+hex.EncodeToString(value) {
		t.Errorf("--pcr-file has %x, %v", b, err)
	}

	// Extensions keep their order.
	got, err = output(t, "measure", "--initrd", s.Path(dditest.Good), "--confext", "b.confext.raw="+s.Path(dditest.Good), "--sysext", "a.sysext.raw="+s.Path(dditest.Good), "--trust", trust, "--json")
	var m measurement
	if uerr := json.Unmarshal([]byte(got), &m); err != nil || uerr != nil || len(m.PCRs) != 12 || len(m.Steps) != 3 {
		t.Fatalf("%v, %v\n%s", err, uerr, got)
	}
	for i, kind := range []string{"initrd:good", "confext:b", "sysext:a"} {
		if text := "ddi:" + kind + ":" + s.RootHash + ":" + cert; m.Steps[i].What != text || m.Steps[i].Digests["sha1"] != hex.EncodeToString(tpm2.SHA1.Sum([]byte(text))) {
			t.Errorf("step %d is %+v, want %s", i, m.Steps[i], text)
		}
	}
	// An image that is acceptable as a pin has no signer.
	if got, err = output(t, "measure", "--os", s.Path(dditest.Good), "--pin", s.RootHash); err != nil || !strings.Contains(got, "# PCR 13: ddi:os:good:"+s.RootHash+":\n") {
		t.Errorf("%v\n%s", err, got)
	}

	// The log of such a boot replays to what is predicted.
	log := filepath.Join(t.TempDir(), "log")
	e := measure.Event{PCR: 13, Text: want}
	if err := os.WriteFile(log, e.Record(e.Digests([]tpm2.Bank{{Alg: tpm2.SHA256, Select: []byte{0, 0x20}}}), "", 0), 0o600); err != nil {
		t.Fatal(err)
	}
	if got, err := output(t, "measure", "--log", log); err != nil || got != "# PCR 13: "+want+"\n13:sha256="+hex.EncodeToString(value)+"\n" {
		t.Errorf("%v\n%s", err, got)
	}

	for _, bad := range []struct {
		args, says string
	}{
		{"", "a boot without anything in it"},
		{"--os " + s.Path(dditest.Unsigned), "stage 1 would refuse it"},
		{"--trust " + trust + " --os " + s.Path(dditest.Stranger), "refused (signed)"},
		{"--os " + s.Path(dditest.Good) + ".not", "no such file"},
		{"--os =", "NAME=FILE"},
		{"--sysext " + s.Path(dditest.Good) + " --pin " + s.RootHash, "stage 1 would refuse it"},
		{"--shell early --cmdline-extra x", "none of the stages"},
		{"--cmdline-extra x --bank md5", "sha1,sha256,sha384,sha512"},
		{"--cmdline-extra x --pcr-file " + pcrs, "one --bank"},
		{"--cmdline-extra x --pin 00", "64, 96 or 128 hexadecimal digits"},
		{"--log " + trust, "not systemd's log"},
		{"--log " + trust + ".not", "no such file"},
	} {
		if _, err := output(t, append([]string{"measure"}, strings.Fields(bad.args)...)...); err == nil || !strings.Contains(err.Error(), bad.says) {
			t.Errorf("%s: %v, want %q", bad.args, err, bad.says)
		}
	}
}
