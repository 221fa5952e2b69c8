// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package bless

import (
	"bytes"
	"errors"
	"flag"
	"os/exec"
	"strings"
	"testing"

	"github.com/initddi/initddi/internal/floor"
	"github.com/initddi/initddi/internal/program"
	"github.com/initddi/initddi/internal/report"
	"github.com/initddi/initddi/internal/swtpm"
)

// keep is a TPM that outlives being closed.
type keep struct{ *swtpm.TPM }

func (keep) Close() error { return nil }

// withFloor is a system that stage 1 has booted with a floor, and its TPM.
func withFloor(t *testing.T, mode string, level int64) (System, *swtpm.TPM) {
	t.Helper()
	e, err := swtpm.ForTools(t.Context(), t.TempDir())
	if errors.Is(err, program.ErrMissing) {
		t.Skip("missing:", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { e.Close() })
	s := booted(t)
	s.OpenTPM = func() (TPM, error) { return keep{e}, nil }
	s.rollback(t, mode, level)
	return s, e
}

// rollback has stage 1 report a floor.
func (s System) rollback(t *testing.T, mode string, level int64) {
	t.Helper()
	b := report.Boot{Version: report.Version, Chosen: &report.Chosen{Path: "/loader/ddi/os.raw", RootHash: strings.Repeat("ab", 32)},
		Rollback: &report.Rollback{Mode: mode, Index: int64(floor.DefaultIndex), State: "ready", Level: level}}
	if err := b.Write(s.Report); err != nil {
		t.Fatal(err)
	}
}

func TestBlessRaisesTheFloor(t *testing.T) {
	s, e := withFloor(t, "yes", 3)
	st, err := s.Bless()
	if err != nil || st.Floor != 3 || !st.Good || !strings.HasSuffix(st.String(), "rollback floor 3") {
		t.Fatalf("%+v, %v", st, err)
	}
	if f := floor.Read(e, floor.DefaultIndex); f.Value != 3 {
		t.Errorf("the TPM has %+v", f)
	}
	s.rollback(t, "required", 5)
	if st, err = s.Bless(); err != nil || st.Floor != 5 {
		t.Errorf("%+v, %v", st, err)
	}
	// An image that says nothing leaves it alone.
	s.rollback(t, "required", 0)
	if st, err = s.Bless(); err != nil || floor.Read(e, floor.DefaultIndex).Value != 5 {
		t.Errorf("%+v, %v", st, err)
	}
	// Good is noted even where the floor cannot be raised; that is an error all the same.
	s.rollback(t, "required", 4)
	if st, err = s.Bless(); !errors.Is(err, floor.ErrAhead) || !s.record(t).Look(hash).Good {
		t.Errorf("%+v, %v", st, err)
	}
	if st, err = s.Look(); err != nil {
		t.Errorf("%+v, %v", st, err)
	}
}

// TestRequiredIsNotDefined: what is required is set by somebody who means it, not by whoever boots.
func TestRequiredIsNotDefined(t *testing.T) {
	s, e := withFloor(t, "required", 3)
	if st, err := s.Bless(); err == nil {
		t.Errorf("%+v", st)
	}
	if f := floor.Read(e, floor.DefaultIndex); f.State != floor.Missing {
		t.Errorf("the TPM has %+v", f)
	}
	if f, err := s.DefineFloor(floor.DefaultIndex, 2); err != nil || f.Value != 2 {
		t.Errorf("%+v, %v", f, err)
	}
	if st, err := s.Bless(); err != nil || st.Floor != 3 {
		t.Errorf("%+v, %v", st, err)
	}
}

func TestDefineRefuses(t *testing.T) {
	for _, args := range [][]string{{"--define=1", "--index=1"}, {"--define=x"}, {"--define=1", "--index=0x02000000"}} {
		var out bytes.Buffer
		flags := flag.NewFlagSet("x", flag.ContinueOnError)
		flags.SetOutput(&out)
		if err := Command(&out, flags, args); err == nil {
			t.Errorf("%q was taken: %s", args, &out)
		}
	}
}

// TestAgainstTools: what is defined here is what tpm2-tools see.
func TestAgainstTools(t *testing.T) {
	if _, err := exec.LookPath("tpm2_nvread"); err != nil {
		t.Skip("missing: tpm2_nvread (Debian package tpm2-tools)")
	}
	s, e := withFloor(t, "yes", 2)
	if _, err := s.Bless(); err != nil {
		t.Fatal(err)
	}
	out, err := e.Tool(t.Context(), "tpm2_nvreadpublic", "0x018dd100")
	if err != nil || !strings.Contains(out, "nt=0x1") || !strings.Contains(out, "no_da") {
		t.Errorf("%v\n%s", err, out)
	}
}
