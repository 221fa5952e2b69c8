// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package predict

import (
	"bytes"
	"encoding/hex"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/initddi/initddi/internal/measure"
	"github.com/initddi/initddi/internal/plan"
	"github.com/initddi/initddi/internal/tpm2"
	"github.com/initddi/initddi/internal/uki"
)

func TestCommandLine(t *testing.T) {
	s := CommandLine(" a=é ")
	// printf 'a=é\0' | iconv -f UTF-8 -t UTF-16LE | sha256sum
	const want = "a9607d274f88b4ed770f7cb09b901d9fb446165429e12eb7d88613a727ab424d"
	if s.PCR != 12 || hex.EncodeToString(s.Digests[1]) != want {
		t.Errorf("PCR %d, %x", s.PCR, s.Digests[1])
	}
}

// TestValue: in each bank a PCR is a chain of that bank's own digests, and other PCRs have no part in it.
func TestValue(t *testing.T) {
	steps := Events(measure.Event{PCR: 13, Text: "a"}, measure.Event{PCR: 12, Text: "b"}, measure.Event{PCR: 13, Text: "c"})
	for _, alg := range Banks() {
		want := make([]byte, alg.Size())
		for _, text := range []string{"a", "c"} {
			want = alg.Sum(append(want, alg.Sum([]byte(text))...))
		}
		if got := Value(steps, 13, alg); !bytes.Equal(got, want) {
			t.Errorf("%s: %x, want %x", alg, got, want)
		}
	}
	if got := Value(steps, 11, tpm2.SHA256); !bytes.Equal(got, make([]byte, 32)) {
		t.Errorf("an untouched PCR is %x", got)
	}
	if got := Value(steps, 13, tpm2.SM3256); bytes.Equal(got, Value(steps, 13, tpm2.SHA256)) {
		t.Errorf("a bank that is not computed is %x", got)
	}
}

func TestDigestsOfZeros(t *testing.T) {
	got, err := digests(strings.NewReader("text"), 5000)
	if err != nil {
		t.Fatal(err)
	}
	for i, alg := range Banks() {
		if want := alg.Sum(append([]byte("text"), make([]byte, 5000)...)); !bytes.Equal(got[i], want) {
			t.Errorf("%s: %x, want %x", alg, got[i], want)
		}
	}
}

func TestOrderOfSteps(t *testing.T) {
	config := &Config{Name: "initddi.conf", Content: []byte("timeout=5\n")}
	conf := measure.Config("initddi.conf", config.Content, nil).Text
	for shell, want := range map[plan.Stage]string{
		"":                "command line x|" + conf + "|enter-initrd|leave-initrd",
		plan.StageStorage: "command line x|ddi:shell|ddi:shell|ddi:shell|" + conf + "|enter-initrd|leave-initrd",
		plan.StageHandoff: "command line x|" + conf + "|ddi:shell|ddi:shell|ddi:shell|enter-initrd|leave-initrd",
	} {
		b := &Boot{CommandLines: []string{"x"}, Config: config, Shell: shell, Phases: []string{"enter-initrd", "leave-initrd"}, Plan: &plan.Plan{}}
		steps, err := b.Steps()
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, s := range steps {
			got = append(got, s.What)
		}
		if strings.Join(got, "|") != want {
			t.Errorf("shell %q: %s\nwant %s", shell, strings.Join(got, "|"), want)
		}
	}
}

func TestWhatIsRefused(t *testing.T) {
	b := &Boot{Config: &Config{Name: "initddi.conf", Signature: []byte("nonsense")}, Plan: &plan.Plan{}}
	if _, err := b.Steps(); !errors.Is(err, ErrRefused) {
		t.Errorf("settings with a bad signature: %v", err)
	}
	name := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(name, []byte("MZ and no more"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := UKI(name); !errors.Is(err, uki.ErrNotPE) {
		t.Errorf("no UKI: %v", err)
	}
	if _, err := UKI(name + ".not"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("nothing: %v", err)
	}
	if err := os.WriteFile(name, make([]byte, maxConfig+1), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := ReadBounded(name); !errors.Is(err, os.ErrInvalid) {
		t.Errorf("a large file: %v", err)
	}
}

func TestParseLog(t *testing.T) {
	e := measure.Event{PCR: 13, Text: "abc"}
	one := string(e.Record([]tpm2.Digest{{Alg: tpm2.SHA256, Bytes: tpm2.SHA256.Sum([]byte("abc"))}}, "", 7000))
	const nv = "\x1e{\"nv_index\":1,\"digests\":[],\"content_type\":\"systemd\",\"content\":{}}\n"
	records, err := ParseLog([]byte(one + nv + one))
	if err != nil || len(records) != 3 || records[1].PCR != nil || records[2].Content.String != "abc" || records[0].Content.Timestamp != 7 {
		t.Fatalf("%+v, %v", records, err)
	}
	if got, want := Replay(records, 13, tpm2.SHA256), Value(Events(e, e), 13, tpm2.SHA256); !bytes.Equal(got, want) {
		t.Errorf("replayed %x, want %x", got, want)
	}
	if got := Replay(records, 13, tpm2.SHA1); got != nil {
		t.Errorf("a bank that is in no record is %x", got)
	}
	for name, bad := range map[string]string{
		"no separator": "{}\n", "cut off": one + "\x1e{\"pcr\":1", "no JSON": "\x1e{\n", "long": strings.Repeat("x", maxLog+1),
	} {
		if _, err := ParseLog([]byte(bad)); !errors.Is(err, ErrLog) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if records, err := ParseLog(nil); err != nil || records != nil {
		t.Errorf("an empty log: %v, %v", records, err)
	}
}

// FuzzParseLog asserts that a log is read or refused, and that what is read can be replayed.
func FuzzParseLog(f *testing.F) {
	e := measure.Event{PCR: 13, Text: "abc"}
	f.Add(e.Record([]tpm2.Digest{{Alg: tpm2.SHA256, Bytes: tpm2.SHA256.Sum([]byte("abc"))}}, "00", 7000), 13)
	f.Add([]byte("\x1e{\"nv_index\":1}\n"), 0)
	f.Fuzz(func(t *testing.T, b []byte, pcr int) {
		records, err := ParseLog(b)
		if err != nil && !errors.Is(err, ErrLog) {
			t.Errorf("an error of nobody: %v", err)
		}
		if v := Replay(records, pcr, tpm2.SHA256); v != nil && len(v) != 32 {
			t.Errorf("replayed %x", v)
		}
	})
}
