// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package tpm2

import (
	"encoding/hex"
	"errors"
	"os/exec"
	"strings"
	"testing"

	"github.com/initddi/initddi/internal/program"
	"github.com/initddi/initddi/internal/swtpm"
)

// emulated starts an emulated TPM, and skips the test where there is none.
func emulated(t *testing.T) *swtpm.TPM {
	t.Helper()
	if _, err := exec.LookPath("tpm2_pcrread"); err != nil {
		t.Skip("missing: tpm2_pcrread (Debian package tpm2-tools)")
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

func tool(t *testing.T, e *swtpm.TPM, name string, args ...string) string {
	t.Helper()
	out, err := e.Tool(t.Context(), name, args...)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// TestSwtpm holds the commands against an emulator and tools that nobody here wrote.
func TestSwtpm(t *testing.T) {
	e := emulated(t)
	banks, err := GetCapabilityPCRs{}.Execute(e)
	if err != nil {
		t.Fatal(err)
	}
	var digests []Digest
	for _, b := range banks {
		if b.Has(13) && b.Alg.Sum(nil) != nil {
			digests = append(digests, Digest{b.Alg, b.Alg.Sum([]byte("measured"))})
		}
	}
	if len(digests) < 2 {
		t.Fatalf("only %v of the banks %v can be extended", digests, banks)
	}
	if err := (PCRExtend{13, digests}).Execute(e); err != nil {
		t.Fatal(err)
	}
	for _, d := range digests {
		got, err := PCRRead{d.Alg, 13}.Execute(e)
		want := d.Alg.Sum(append(make([]byte, d.Alg.Size()), d.Bytes...))
		if err != nil || hex.EncodeToString(got) != hex.EncodeToString(want) {
			t.Errorf("%s: got %x, %v, want %x", d.Alg, got, err, want)
		}
		theirs := strings.ToLower(tool(t, e, "tpm2_pcrread", d.Alg.String()+":13"))
		if !strings.Contains(theirs, "0x"+hex.EncodeToString(want)) {
			t.Errorf("tpm2_pcrread says %s, want %x", theirs, want)
		}
	}
	if _, err := (NVReadPublic{0x01800001}).Execute(e); !errors.Is(err, RCHandle) {
		t.Errorf("an index that is not there: %v", err)
	}
	// PCR 17 belongs to a locality that nobody has who asks like this.
	if err := (PCRExtend{17, digests}).Execute(e); !errors.Is(err, RCLocality) {
		t.Errorf("PCR 17: %v", err)
	}
}

func TestSwtpmNV(t *testing.T) {
	e := emulated(t)
	const index = Handle(0x01800001)
	tool(t, e, "tpm2_nvdefine", "-C", "o", "-a", "nt=counter|ownerwrite|ownerread|authread|no_da", "0x01800001")
	p, err := NVReadPublic{index}.Execute(e)
	if err != nil {
		t.Fatal(err)
	}
	if p.Attributes != NVCounter|NVOwnerWrite|NVOwnerRead|NVAuthRead|NVNoDA || p.DataSize != 8 || len(p.AuthPolicy) != 0 {
		t.Errorf("got %+v", p)
	}
	read := NVRead{AuthHandle: index, NVIndex: index, Size: 8}
	if _, err := read.Execute(e); !errors.Is(err, RCNVUninitialized) {
		t.Errorf("before it was written: %v", err)
	}
	tool(t, e, "tpm2_nvincrement", "-C", "o", "0x01800001")
	before, err := read.Execute(e)
	if err != nil {
		t.Fatal(err)
	}
	if err := (NVIncrement{HandleOwner, index}).Execute(e); err != nil {
		t.Fatal(err)
	}
	after, err := read.Execute(e)
	if err != nil || after[7] != before[7]+1 {
		t.Errorf("%x was incremented to %x, %v", before, after, err)
	}
	if p, err = (NVReadPublic{index}).Execute(e); err != nil || p.Attributes&NVWritten == 0 {
		t.Errorf("%+v, %v", p, err)
	}
	if theirs := tool(t, e, "tpm2_nvreadpublic", "0x01800001"); !strings.Contains(theirs, hex.EncodeToString(p.Name)) {
		t.Errorf("tpm2_nvreadpublic says %s, we %x", theirs, p.Name)
	}
	if _, err := (NVRead{AuthHandle: index, NVIndex: index, Size: 8, Offset: 1}).Execute(e); !errors.Is(err, RCNVRange) {
		t.Errorf("beyond its end: %v", err)
	}
}
