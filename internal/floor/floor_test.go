// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package floor

import (
	"encoding/binary"
	"errors"
	"os"
	"os/exec"
	"testing"

	"github.com/initddi/initddi/internal/program"
	"github.com/initddi/initddi/internal/swtpm"
	"github.com/initddi/initddi/internal/tpm2"
)

// emulated starts an emulated TPM, and skips the test where there is none.
func emulated(t *testing.T) *swtpm.TPM {
	t.Helper()
	if _, err := exec.LookPath("tpm2_clear"); err != nil {
		t.Skip("missing: tpm2_clear (Debian package tpm2-tools)")
	}
	e, err := swtpm.ForTools(t.Context(), t.TempDir())
	if errors.Is(err, program.ErrMissing) {
		t.Skip("missing:", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { e.Close() })
	return e
}

func tool(t *testing.T, e *swtpm.TPM, name string, args ...string) {
	t.Helper()
	if _, err := e.Tool(t.Context(), name, args...); err != nil {
		t.Fatal(err)
	}
}

func want(t *testing.T, f Floor, err error, state State, value uint64) {
	t.Helper()
	if err != nil || f.State != state || f.Value != value || f.Index != DefaultIndex || (f.Err == nil) != (state == Ready) {
		t.Fatalf("got %+v, %v, want %s %d", f, err, state, value)
	}
}

func TestFloor(t *testing.T) {
	e := emulated(t)
	want(t, Read(e, DefaultIndex), nil, Missing, 0)
	if f, err := Raise(e, DefaultIndex, 1); err == nil || f.State != Missing {
		t.Errorf("a floor that is not there was raised: %+v, %v", f, err)
	}
	f, err := Define(e, DefaultIndex, 2)
	want(t, f, err, Ready, 2)
	want(t, Read(e, DefaultIndex), nil, Ready, 2)
	f, err = Raise(e, DefaultIndex, 2)
	want(t, f, err, Ready, 2)
	f, err = Raise(e, DefaultIndex, 5)
	want(t, f, err, Ready, 5)
	if f, err = Raise(e, DefaultIndex, 4); !errors.Is(err, ErrAhead) || f.Value != 5 {
		t.Errorf("%+v, %v", f, err)
	}
	if f, err = Raise(e, DefaultIndex, 5+maxRaise+1); !errors.Is(err, tpm2.ErrArgument) || f.Value != 5 {
		t.Errorf("%+v, %v", f, err)
	}
	f, err = Define(e, DefaultIndex, 6)
	want(t, f, err, Ready, 6)

	// Removed and defined anew it does not begin below where it was.
	tool(t, e, "tpm2_nvundefine", "-C", "o", "0x018dd100")
	want(t, Read(e, DefaultIndex), nil, Missing, 0)
	if f, err = Define(e, DefaultIndex, 3); !errors.Is(err, ErrAhead) || f.Value <= 6 {
		t.Errorf("defined anew for level 3: %+v, %v", f, err)
	}
	want(t, Read(e, DefaultIndex), nil, Missing, 0)

	// Nor after a clear of the TPM, which removes it.
	tool(t, e, "tpm2_clear", "-c", "p")
	want(t, Read(e, DefaultIndex), nil, Missing, 0)
	if f, err = Define(e, DefaultIndex, 3); !errors.Is(err, ErrAhead) || f.Value <= 6 {
		t.Errorf("defined anew after a clear: %+v, %v", f, err)
	}
	// A new counter that cannot be raised as far is not left behind, for an image of a lower level to pass.
	if f, err = Define(e, DefaultIndex, 2026); !errors.Is(err, tpm2.ErrArgument) || f.Value == 0 {
		t.Errorf("defined far below what is wanted: %+v, %v", f, err)
	}
	want(t, Read(e, DefaultIndex), nil, Missing, 0)
	f, err = Define(e, DefaultIndex, 20)
	want(t, f, err, Ready, 20)
}

func TestForeign(t *testing.T) {
	for _, attributes := range []string{
		"ownerread|ownerwrite|authread|authwrite|no_da",
		"nt=counter|ownerread|ownerwrite|no_da",
		"nt=counter|authread|authwrite|no_da|read_stclear",
		"nt=counter|authread|authwrite",
	} {
		e := emulated(t)
		tool(t, e, "tpm2_nvdefine", "-C", "o", "-a", attributes, "-s", "8", "0x018dd100")
		want(t, Read(e, DefaultIndex), nil, Foreign, 0)
		if f, err := Define(e, DefaultIndex, 1); err == nil || f.State != Foreign {
			t.Errorf("%s: %+v, %v", attributes, f, err)
		}
	}
	// What tpm2-tools define as we do is ours, and missing until it is incremented.
	e := emulated(t)
	tool(t, e, "tpm2_nvdefine", "-C", "o", "-a", "nt=counter|authread|authwrite|no_da", "0x018dd100")
	want(t, Read(e, DefaultIndex), nil, Missing, 0)
	tool(t, e, "tpm2_nvincrement", "-C", "0x018dd100", "0x018dd100")
	want(t, Read(e, DefaultIndex), nil, Ready, 1)
}

// fixed is a TPM that always says the same.
type fixed []byte

func (f fixed) Transmit([]byte) ([]byte, error) { return f, nil }

// broken is a TPM that says nothing.
type broken struct{}

func (broken) Transmit([]byte) ([]byte, error) { return nil, os.ErrDeadlineExceeded }

func TestUnreachable(t *testing.T) {
	want(t, Read(broken{}, DefaultIndex), nil, Unreachable, 0)
	failed := binary.BigEndian.AppendUint32([]byte{0x80, 1, 0, 0, 0, 10}, uint32(tpm2.RCFailure))
	want(t, Read(fixed(failed), DefaultIndex), nil, Unreachable, 0)
	want(t, Read(fixed("nonsense"), DefaultIndex), nil, Unreachable, 0)
	if _, err := Define(broken{}, DefaultIndex, 1); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Error(err)
	}
}
