// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package tpm2

import (
	"bytes"
	"encoding/hex"
	"errors"
	"strings"
	"testing"
)

// script is a TPM that expects one command and has one response.
type script struct {
	t        *testing.T
	want     string
	response string
	err      error
}

func (s script) Transmit(cmd []byte) ([]byte, error) {
	if s.want != "" {
		if got := hex.EncodeToString(cmd); got != strings.ReplaceAll(s.want, " ", "") {
			s.t.Errorf("sent %s, want %s", got, s.want)
		}
	}
	return unhex(s.t, s.response), s.err
}

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestGetCapabilityPCRs(t *testing.T) {
	const cmd = "8001 00000016 0000017a 00000005 00000000 00000001"
	// What swtpm 0.7.1 says: SHA-1 is off.
	banks, err := GetCapabilityPCRs{}.Execute(script{t, cmd, "8001 0000002b 00000000 00 00000005 00000004 0004 03 000000 000b 03 ffffff 000c 03 ffffff 000d 03 ffffff", nil})
	if err != nil || len(banks) != 4 {
		t.Fatalf("got %v, %v", banks, err)
	}
	for i, want := range []struct {
		name string
		has  bool
	}{{"sha1", false}, {"sha256", true}, {"sha384", true}, {"sha512", true}} {
		b := banks[i]
		if b.Alg.String() != want.name || b.Has(0) != want.has || b.Has(13) != want.has || b.Has(23) != want.has || b.Has(24) || b.Has(-1) {
			t.Errorf("bank %d is %v", i, b)
		}
	}
}

func TestPCRExtend(t *testing.T) {
	one := strings.Repeat("11", 20)
	two := strings.Repeat("22", 32)
	const ok = "8002 00000013 00000000 00000000 0000 01 0000"
	cmd := "8002 00000057 00000182 0000000d 00000009 40000009 0000 00 0000 00000002 0004" + one + "000b" + two
	c := PCRExtend{PCRHandle: 13, Digests: []Digest{{SHA1, unhex(t, one)}, {SHA256, unhex(t, two)}}}
	if err := c.Execute(script{t, cmd, ok, nil}); err != nil {
		t.Error(err)
	}
	err := c.Execute(script{t, cmd, "8001 0000000a 00000907", nil})
	if !errors.Is(err, RCLocality) || err.Error() != "cannot extend PCR 13: the TPM says 0x907 (LOCALITY)" {
		t.Errorf("got %v", err)
	}
	for _, bad := range []PCRExtend{
		{PCRHandle: 24, Digests: c.Digests}, {PCRHandle: -1, Digests: c.Digests}, {PCRHandle: 1}, {PCRHandle: 1, Digests: make([]Digest, maxBanks+1)},
		{PCRHandle: 1, Digests: []Digest{{SHA256, make([]byte, 20)}}}, {PCRHandle: 1, Digests: []Digest{{Alg(1), nil}}},
	} {
		if err := bad.Execute(script{t: t, err: errors.New("was sent")}); !errors.Is(err, ErrArgument) {
			t.Errorf("%+v: %v", bad, err)
		}
	}
}

func TestPCRRead(t *testing.T) {
	const cmd = "8001 00000014 0000017e 00000001 000b 03 002000"
	value := strings.Repeat("ab", 32)
	rsp := "8001 0000003e 00000000 00000017 00000001 000b 03 002000 00000001 0020" + value
	got, err := PCRRead{SHA256, 13}.Execute(script{t, cmd, rsp, nil})
	if err != nil || hex.EncodeToString(got) != value {
		t.Errorf("got %x, %v", got, err)
	}
	for name, rsp := range map[string]string{
		"no digest":         "8001 0000001c 00000000 00000017 00000001 000b 03 002000 00000000",
		"another bank":      strings.Replace(rsp, "000b 03", "0012 03", 1),
		"another PCR":       strings.Replace(rsp, "002000 0", "004000 0", 1),
		"of another length": "8001 00000032 00000000 00000017 00000001 000b 03 002000 00000001 0014" + value[:40],
		"bank not there":    "8001 00000016 00000000 00000017 00000000 00000000",
	} {
		if got, err := (PCRRead{SHA256, 13}).Execute(script{t, "", rsp, nil}); !errors.Is(err, ErrMalformed) || got != nil {
			t.Errorf("%s: got %x, %v", name, got, err)
		}
	}
	for _, bad := range []PCRRead{{SHA256, 24}, {SHA256, -1}, {Alg(9), 0}} {
		if _, err := bad.Execute(script{t: t, err: errors.New("was sent")}); !errors.Is(err, ErrArgument) {
			t.Errorf("%+v: %v", bad, err)
		}
	}
}

func TestNV(t *testing.T) {
	// swtpm's answer about an index that tpm2_nvdefine made: nt=counter, ownerwrite, authread, ownerread, written, no_da.
	const index = 0x01800001
	const public = "01800001 000b 22060012 0000 0008"
	name := "000b" + hex.EncodeToString(SHA256.Sum(unhex(t, public)))
	rsp := "8001 0000003e 00000000 000e" + public + "0022" + name
	p, err := NVReadPublic{index}.Execute(script{t, "8001 0000000e 00000169 01800001", rsp, nil})
	if err != nil {
		t.Fatal(err)
	}
	if p.NVIndex != index || p.NameAlg != SHA256 || p.DataSize != 8 || p.Attributes&NVType != NVCounter || p.Attributes&NVWritten == 0 || hex.EncodeToString(p.Name) != name {
		t.Errorf("got %+v", p)
	}
	for what, rsp := range map[string]string{
		"the name of another": strings.Replace(rsp, name, "000b"+strings.Repeat("00", 32), 1),
		"another index":       strings.Replace(rsp, "01800001", "01800002", 1),
		"too short inside":    "8001 00000018 00000000 0008 01800001 000b 2206 0002 000b",
	} {
		if p, err := (NVReadPublic{index}).Execute(script{t, "", rsp, nil}); !errors.Is(err, ErrMalformed) || p != nil {
			t.Errorf("%s: got %+v, %v", what, p, err)
		}
	}
	_, err = NVReadPublic{index}.Execute(script{t, "", "8001 0000000a 0000018b", nil})
	if !errors.Is(err, RCHandle) || errors.Is(err, RCValue) || !strings.Contains(err.Error(), "0x18b (HANDLE) about handle 1") {
		t.Errorf("got %v", err)
	}

	const read = "8002 00000023 0000014e 01800001 01800001 00000009 40000009 0000 00 0000 0008 0000"
	got, err := NVRead{AuthHandle: index, NVIndex: index, Size: 8}.Execute(script{t, read, "8002 0000001d 00000000 0000000a 0008 0000000000000007 0000 01 0000", nil})
	if err != nil || !bytes.Equal(got, []byte{7: 7}) {
		t.Errorf("got %x, %v", got, err)
	}
	if got, err = (NVRead{AuthHandle: index, NVIndex: index, Size: 8}).Execute(script{t, "", "8002 00000019 00000000 00000006 0004 00000000 0000 01 0000", nil}); !errors.Is(err, ErrMalformed) || got != nil {
		t.Errorf("half of it: %x, %v", got, err)
	}
	if _, err = (NVRead{Size: maxNV + 1}).Execute(script{t: t, err: errors.New("was sent")}); !errors.Is(err, ErrArgument) {
		t.Error(err)
	}
	const inc = "8002 0000001f 00000134 40000001 01800001 00000009 40000009 0000 00 0000"
	if err := (NVIncrement{HandleOwner, index}).Execute(script{t, inc, "8002 00000013 00000000 00000000 0000 01 0000", nil}); err != nil {
		t.Error(err)
	}
}

// TestResponses gives an extend, which has an authorization and no parameters, everything but a good response.
func TestResponses(t *testing.T) {
	c := PCRExtend{Digests: []Digest{{SHA1, make([]byte, 20)}}}
	lost := errors.New("lost")
	if err := c.Execute(script{t, "", "8002 00000013 00000000 00000000 0000 01 0000", lost}); !errors.Is(err, lost) {
		t.Error(err)
	}
	for _, test := range []struct {
		name, response string
		want           error
	}{
		{"nothing", "", ErrMalformed},
		{"half a header", "8001 0000000a 00", ErrMalformed},
		{"a TPM 1.2", "00c4 0000000a 0000001e", ErrTPM12},
		{"longer than it says", "8001 0000000a 00000101 00", ErrMalformed},
		{"shorter than it says", "8001 0000000b 00000101", ErrMalformed},
		{"a refusal with a session", "8002 0000000a 00000101", ErrMalformed},
		{"a refusal with parameters", "8001 0000000c 00000101 0000", ErrMalformed},
		{"failure mode", "8001 0000000a 00000101", RCFailure},
		{"success without a session", "8001 0000000a 00000000", ErrMalformed},
		{"an unknown tag", "8003 00000013 00000000 00000000 0000 01 0000", ErrMalformed},
		{"no authorization", "8002 0000000e 00000000 00000000", ErrMalformed},
		{"a nonce", "8002 00000015 00000000 00000000 0002 0000 01 0000", ErrMalformed},
		{"an HMAC", "8002 00000015 00000000 00000000 0000 01 0002 0000", ErrMalformed},
		{"two authorizations", "8002 00000018 00000000 00000000 0000 01 0000 0000 01 0000", ErrMalformed},
		{"a parameter", "8002 00000014 00000000 00000001 00 0000 01 0000", ErrMalformed},
		{"parameters beyond the end", "8002 00000013 00000000 ffffffff 0000 01 0000", ErrMalformed},
		{"too long", "8002 00001001 00000000" + strings.Repeat("00", 4097-10), ErrMalformed},
	} {
		if err := c.Execute(script{t, "", test.response, nil}); !errors.Is(err, test.want) {
			t.Errorf("%s: got %v, want %v", test.name, err, test.want)
		}
	}
}

func TestBanksAreBounded(t *testing.T) {
	head := "00 00000005"
	for name, body := range map[string]string{
		"too many":    head + "00000011" + strings.Repeat("000b 00", 17),
		"twice":       head + "00000002 000b 03 ffffff 000b 03 ffffff",
		"wide":        head + "00000001 000b 05 ffffffffff",
		"not there":   head + "00000002 000b 03 ffffff",
		"rest":        head + "00000001 000b 03 ffffff 00",
		"another cap": "00 00000006 00000000",
		"billions":    head + "ffffffff 000b 03 ffffff",
	} {
		n := len(unhex(t, body)) + headerSize
		rsp := "8001" + hex.EncodeToString([]byte{0, 0, byte(n >> 8), byte(n)}) + "00000000" + body
		if banks, err := (GetCapabilityPCRs{}).Execute(script{t, "", rsp, nil}); !errors.Is(err, ErrMalformed) {
			t.Errorf("%s: got %v, %v", name, banks, err)
		}
	}
}

func TestRC(t *testing.T) {
	for _, test := range []struct {
		rc   RC
		is   RC
		text string
	}{
		{0x101, RCFailure, "the TPM says 0x101 (FAILURE)"},
		{0x18b, RCHandle, "the TPM says 0x18b (HANDLE) about handle 1"},
		{0x98e, RCAuthFail, "the TPM says 0x98e (AUTH_FAIL) about session 1"},
		{0x1c4, RCValue, "the TPM says 0x1c4 (VALUE) about parameter 1"},
		{0x2d5, 0x095, "the TPM says 0x2d5 about parameter 2"},
		{0x082, RCAttributes, "the TPM says 0x082 (ATTRIBUTES)"},
	} {
		if !errors.Is(test.rc, test.is) || test.rc.Error() != test.text {
			t.Errorf("%#x: %v, is %v: %v", uint32(test.rc), test.rc, test.is, errors.Is(test.rc, test.is))
		}
	}
	if errors.Is(RCLocality, RCFailure) || errors.Is(RCFailure, ErrMalformed) {
		t.Error("codes are taken for one another")
	}
}

func TestAlg(t *testing.T) {
	for a, want := range map[Alg]string{
		SHA1: "a9993e364706816aba3e25717850c26c9cd0d89d", SHA256: "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
		SM3256: "", SHA3_256: "", SHA3_384: "", SHA3_512: "", Alg(0x1234): "",
	} {
		if got := hex.EncodeToString(a.Sum([]byte("abc"))); got != want {
			t.Errorf("%s: got %s, want %s", a, got, want)
		}
	}
	for _, a := range []Alg{SHA1, SHA256, SHA384, SHA512} {
		if len(a.Sum(nil)) != a.Size() {
			t.Errorf("%s has a digest of %d bytes and says %d", a, len(a.Sum(nil)), a.Size())
		}
	}
	if got := Alg(0x1234).String(); got != "0x1234" || Alg(0x1234).Size() != 0 {
		t.Error(got)
	}
}
