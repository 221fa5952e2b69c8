// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package bless

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/initddi/initddi/internal/attempt"
	"github.com/initddi/initddi/internal/efivar"
	"github.com/initddi/initddi/internal/report"
)

var hash = bytes.Repeat([]byte{0xab}, 32)

// booted is a system that stage 1 has booted.
func booted(t *testing.T) System {
	t.Helper()
	s := System{Report: filepath.Join(t.TempDir(), "boot.json"), EFIVars: t.TempDir()}
	b := report.Boot{Version: report.Version, LastFailure: "why", Chosen: &report.Chosen{Path: "/loader/ddi/os.raw", RootHash: strings.Repeat("ab", 32)}}
	if err := b.Write(s.Report); err != nil {
		t.Fatal(err)
	}
	return s
}

func (s System) variable() string {
	return filepath.Join(s.EFIVars, efivar.FileName(attempt.Variable, attempt.Vendor()))
}

func (s System) set(t *testing.T, data []byte) {
	t.Helper()
	if err := os.WriteFile(s.variable(), efivar.Encode(7, data), 0o644); err != nil {
		t.Fatal(err)
	}
}

func (s System) record(t *testing.T) attempt.Record {
	t.Helper()
	b, err := os.ReadFile(s.variable())
	if err != nil {
		t.Fatal(err)
	}
	attrs, data, err := efivar.Decode(b)
	if err != nil || attrs != efivar.NonVolatile|efivar.BootServiceAccess|efivar.RuntimeAccess {
		t.Fatalf("attributes %#x, %v", attrs, err)
	}
	r, err := attempt.Parse(data)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestBless(t *testing.T) {
	s := booted(t)
	r := (&attempt.Record{}).Entered(hash)
	r = r.Entered(hash)
	s.set(t, r.Encode())
	st, err := s.Look()
	if want := (Status{Image: "/loader/ddi/os.raw", RootHash: strings.Repeat("ab", 32), Recorded: true, Attempts: 2, LastFailure: "why"}); st != want || err != nil {
		t.Errorf("before: %+v, %v", st, err)
	}
	if got := st.String(); !strings.Contains(got, "on trial") || !strings.Contains(got, "2 times") {
		t.Error(got)
	}
	if st, err = s.Bless(); err != nil || !st.Good || st.Attempts != 0 || !strings.HasPrefix(st.String(), "good: ") {
		t.Errorf("%+v, %v", st, err)
	}
	if got := s.record(t).Look(hash); got.Tries != 0 || !got.Good {
		t.Errorf("the record has %+v", got)
	}
	if again, err := s.Look(); again != st || err != nil {
		t.Errorf("after: %+v, %v", again, err)
	}
}

func TestBlessWithoutARecord(t *testing.T) {
	s := booted(t)
	if st, err := s.Look(); err != nil || st.Recorded || !strings.HasPrefix(st.String(), "not recorded") {
		t.Errorf("nothing written: %+v, %v", st, err)
	}
	// A record that makes no sense is begun anew.
	s.set(t, []byte("nonsense"))
	if st, err := s.Bless(); err != nil || !st.Good {
		t.Errorf("%+v, %v", st, err)
	}
	if got := s.record(t); len(got.Images) != 1 || !got.Images[0].Good {
		t.Errorf("the record has %+v", got)
	}
	// No EFI variables: nothing to do, and no error, or the unit would fail on such machines.
	s.EFIVars = filepath.Join(s.EFIVars, "none")
	if st, err := s.Bless(); err != nil || st.Recorded || st.Good {
		t.Errorf("%+v, %v", st, err)
	}
}

func TestNotBooted(t *testing.T) {
	s := booted(t)
	for text, want := range map[string]error{
		"":              ErrReport,
		"{":             ErrReport,
		`{"version":2}`: ErrReport,
		`{"version":1}`: ErrReport,
		`{"version":1,"chosen":{"path":"x","roothash":"zz"}}`:   ErrReport,
		`{"version":1,"chosen":{"path":"x","roothash":"abcd"}}`: ErrReport,
	} {
		if err := os.WriteFile(s.Report, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		if st, err := s.Bless(); !errors.Is(err, want) {
			t.Errorf("%s: %+v, %v", text, st, err)
		}
		if _, err := os.Stat(s.variable()); err == nil {
			t.Errorf("%s: something was written", text)
		}
	}
	if err := os.Remove(s.Report); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Bless(); !errors.Is(err, ErrNotBooted) {
		t.Error(err)
	}
}

func TestCommand(t *testing.T) {
	s := booted(t)
	run := func(args ...string) (string, error) {
		var out bytes.Buffer
		flags := flag.NewFlagSet("x", flag.ContinueOnError)
		flags.SetOutput(&out)
		err := Command(&out, flags, append(args, "--report", s.Report, "--efivars", s.EFIVars))
		return out.String(), err
	}
	if out, err := run("--status"); err != nil || !strings.HasPrefix(out, "not recorded: /loader/ddi/os.raw") {
		t.Errorf("%q, %v", out, err)
	}
	out, err := run("--json")
	var st Status
	if jerr := json.Unmarshal([]byte(out), &st); err != nil || jerr != nil || !st.Good {
		t.Errorf("%q, %v, %v", out, err, jerr)
	}
	if _, err := run("--no-such"); err == nil {
		t.Error("an unknown option was taken")
	}
}
