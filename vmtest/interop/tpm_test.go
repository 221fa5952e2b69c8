// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package interop

import (
	"encoding/hex"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/initddi/initddi/internal/keys"
	"github.com/initddi/initddi/internal/measure"
	"github.com/initddi/initddi/internal/predict"
	"github.com/initddi/initddi/internal/tpm2"
	"github.com/initddi/initddi/internal/uki"
)

// fromLibexec is [trixie] for a program that is not in /usr/bin.
func fromLibexec(t *testing.T, program string, env ...string) func(dir string, args ...string) output {
	t.Helper()
	const libexec = "/usr/lib/systemd/"
	in := trixie(t, "env")
	if _, err := os.Stat(filepath.Join(built(t, "interop/trixie", "./just interop"), libexec, program)); err != nil {
		missing(t, "needs %s in build/interop/trixie (./just interop makes it)", program)
	}
	return func(dir string, args ...string) output {
		t.Helper()
		return in(dir, append(append(env, libexec+program), args...)...)
	}
}

// PCR 11 of our UKI, as systemd's own tool computes it from the same sections.
func TestPredictedUKI(t *testing.T) {
	systemdMeasure := fromLibexec(t, "systemd-measure")
	file := ourUKI(t, good(t))
	dir := t.TempDir()
	args := append([]string{"calculate", "--json=short"}, inMemory(t, file, dir, "linux", "osrel", "cmdline", "initrd", "uname", "sbat")...)
	steps, err := predict.UKI(file)
	if err != nil {
		t.Fatal(err)
	}
	for _, phase := range []string{"", "enter-initrd", "enter-initrd:leave-initrd:sysinit:ready"} {
		o := systemdMeasure(dir, append(args, "--phase="+phase)...)
		var theirs map[string][]struct {
			PCR  int
			Hash string
		}
		if err := json.Unmarshal([]byte(o.text), &theirs); o.err != nil || err != nil {
			t.Fatalf("systemd-measure: %v, %v\n%s", o.err, err, o.text)
		}
		all := steps
		if phase != "" {
			all = append(all[:len(all):len(all)], predict.Phases(strings.Split(phase, ":")...)...)
		}
		for _, alg := range predict.Banks() {
			got := hex.EncodeToString(predict.Value(all, 11, alg))
			if values := theirs[alg.String()]; len(values) != 1 || values[0].PCR != 11 || values[0].Hash != got {
				t.Errorf("phase %q: systemd-measure says %+v for bank %s, we %s", phase, values, alg, got)
			}
		}
	}
}

// inMemory writes sections of a UKI into a directory, as they lie in memory, and returns systemd-measure's options for them.
func inMemory(t *testing.T, file, dir string, names ...string) (args []string) {
	t.Helper()
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	img, err := uki.Parse(f, info.Size())
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		s := img.Section("." + name)
		if s == nil {
			t.Fatalf("the UKI has no section .%s", name)
		}
		b := make([]byte, s.VirtualSize)
		if _, err := io.ReadFull(s.Open(f), b[:s.Size]); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), b, 0o644); err != nil {
			t.Fatal(err)
		}
		args = append(args, "--"+name+"=/mnt/"+name)
	}
	return args
}

// The values of PCR 11 that we sign, held against those that systemd's own tool signs with the same key: RSASSA has no chance in it, so
// that even the signatures must be the same.
func TestSignedPolicy(t *testing.T) {
	systemdMeasure := fromLibexec(t, "systemd-measure")
	o, dir := ourOptions(t), t.TempDir()
	if _, err := keys.Make(dir); err != nil {
		t.Fatal(err)
	}
	pair := keys.In(dir, keys.SecureBoot)
	private, err := os.ReadFile(pair.Key)
	if err != nil {
		t.Fatal(err)
	}
	policy, err := predict.NewPolicy(private, nil)
	if err != nil {
		t.Fatal(err)
	}
	if o.Extra, err = policy.Sections(o); err != nil {
		t.Fatal(err)
	}
	file := signedUKI(t, o, pair)
	args := append([]string{"sign", "--bank=sha256", "--private-key=/mnt/" + filepath.Base(pair.Key), "--public-key=/mnt/pcrpkey"},
		inMemory(t, file, dir, "linux", "osrel", "cmdline", "initrd", "uname", "sbat", "pcrpkey")...)
	inMemory(t, file, dir, "pcrsig")
	ours, err := os.ReadFile(filepath.Join(dir, "pcrsig"))
	if err != nil {
		t.Fatal(err)
	}
	// Without --phase these are its default, which is ukify's as well.
	out := systemdMeasure(dir, args...)
	var got, want map[string][]map[string]any
	if err := json.Unmarshal(ours, &got); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal([]byte(out.text[max(0, strings.IndexByte(out.text, '{')):]), &want); out.err != nil || err != nil {
		t.Fatalf("systemd-measure: %v, %v\n%s", out.err, err, out.text)
	}
	if len(want["sha256"]) != len(predict.DefaultPhases()) || !reflect.DeepEqual(got, want) {
		t.Errorf("systemd-measure signs\n%s\nwe\n%s", out.text, ours)
	}
}

// Our records, as the reader of systemd's log takes them.
func TestMeasurementLog(t *testing.T) {
	pcrlock := fromLibexec(t, "systemd-pcrlock", "SYSTEMD_MEASURE_LOG_USERSPACE=/mnt/log", "SYSTEMD_MEASURE_LOG_FIRMWARE=/dev/null")
	var log []byte
	var banks []tpm2.Bank
	for _, alg := range []tpm2.Alg{tpm2.SHA1, tpm2.SHA256, tpm2.SHA384, tpm2.SHA512, tpm2.SM3256} {
		banks = append(banks, tpm2.Bank{Alg: alg, Select: []byte{0xff, 0xff, 0xff}})
	}
	events := append(measure.Shell(), measure.Image(measure.OS, "Ünd: \"so\".raw", make([]byte, 32), &[32]byte{1}), measure.Config("initddi.conf", nil, nil))
	for _, e := range events {
		log = append(log, e.Record(e.Digests(banks), strings.Repeat("0123456789abcdef", 2), 1234567*time.Microsecond)...)
	}
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "log"), log, 0o600); err != nil {
		t.Fatal(err)
	}
	o := pcrlock(dir, "cel", "--json=short")
	var records []struct {
		PCR     int
		Digests []predict.LogDigest
	}
	if err := json.Unmarshal([]byte(o.text[max(0, strings.IndexByte(o.text, '[')):]), &records); o.err != nil || err != nil || len(records) != len(events) {
		t.Fatalf("systemd-pcrlock reads %d of %d records: %v, %v\n%s", len(records), len(events), o.err, err, o.text)
	}
	for i, e := range events {
		got := map[string]string{}
		for _, d := range records[i].Digests {
			got[d.HashAlg] = d.Digest
		}
		if records[i].PCR != e.PCR || len(got) != 4 {
			t.Errorf("%s: systemd-pcrlock reads %+v", e.Text, records[i])
		}
		for _, alg := range predict.Banks() {
			if want := hex.EncodeToString(alg.Sum([]byte(e.Text))); got[alg.String()] != want {
				t.Errorf("%s: systemd-pcrlock reads %s for %s, want %s", e.Text, got[alg.String()], alg, want)
			}
		}
	}
}
