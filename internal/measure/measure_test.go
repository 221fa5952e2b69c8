// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package measure

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/initddi/initddi/internal/tpm2"
)

func TestEvents(t *testing.T) {
	hash := bytes.Repeat([]byte{0xab}, 32)
	signer := [32]byte{0: 1, 31: 2}
	ab, cert := strings.Repeat("ab", 32), "01"+strings.Repeat("00", 30)+"02"
	for _, test := range []struct {
		got  Event
		pcr  int
		text string
	}{
		{Image(OS, "/loader/ddi/debian_13.raw", hash, &signer), 13, "ddi:os:debian_13:" + ab + ":" + cert},
		{Image(Initrd, "/loader/ddi/initrd.raw", hash, nil), 13, "ddi:initrd:initrd:" + ab + ":"},
		{Image(SysExt, "TOOLS_1.2.SYSEXT.RAW", hash, nil), 13, "ddi:sysext:tools_1.2:" + ab + ":"},
		{Image(ConfExt, "site.confext.raw", hash, nil), 13, "ddi:confext:site:" + ab + ":"},
		{Image(Unmerged, "/loader/ddi/site.confext.raw", hash, &signer), 13, "ddi:unmerged:site:" + ab + ":" + cert},
		{Config("/loader/ddi/initddi.conf", []byte("abc"), &signer), 12, "ddi:config:initddi.conf:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad:" + cert},
		{Config("initddi.conf", nil, nil), 12, "ddi:config:initddi.conf:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855:"},
	} {
		if test.got.PCR != test.pcr || test.got.Text != test.text {
			t.Errorf("got PCR %d %s\nwant PCR %d %s", test.got.PCR, test.got.Text, test.pcr, test.text)
		}
	}
	for i, e := range Shell() {
		if e.PCR != 11+i || e.Text != "ddi:shell" {
			t.Errorf("shell event %d is %+v", i, e)
		}
	}
}

func TestName(t *testing.T) {
	for file, want := range map[string]string{
		"/loader/ddi/os.raw":                     "os",
		"os_1.2+3-0.raw":                         "os_1.2",
		"os_1.2+0.raw":                           "os_1.2",
		"os_1.2_x86-64+3-1.raw":                  "os_1.2_x86-64",
		"/loader/ddi/os.raw.v/os_1.2+3.raw":      "os_1.2",
		"c++.raw":                                "c++",
		"Debian_13.RAW":                          "debian_13",
		"tools.sysext.raw":                       "tools",
		"a:b%c\"d\\e f\x01\u00e9\xff.raw":        "a%3ab%25c%22d%5ce%20f%01%c3%a9%ff",
		"image":                                  "image",
		".raw":                                   ".raw",
		".sysext.raw":                            ".sysext",
		"ddi:os:other:" + strings.Repeat("0", 8): "ddi%3aos%3aother%3a00000000",
	} {
		if got := Name(file); got != want {
			t.Errorf("%q is called %q, want %q", file, got, want)
		}
	}
}

func TestDigests(t *testing.T) {
	all := []byte{0xff, 0xff, 0xff}
	banks := []tpm2.Bank{{Alg: tpm2.SHA1, Select: []byte{0, 0, 0}}, {Alg: tpm2.SHA256, Select: all}, {Alg: tpm2.SM3256, Select: all}, {Alg: tpm2.SHA3_384, Select: all},
		{Alg: tpm2.SHA512, Select: []byte{0, 0x20, 0}}, {Alg: 0x1234, Select: all}}
	sha := "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
	got := Event{13, "abc"}.Digests(banks)
	if len(got) != 4 || got[0].Alg != tpm2.SHA256 || hex.EncodeToString(got[0].Bytes) != sha {
		t.Fatalf("got %v", got)
	}
	if got[1].Alg != tpm2.SM3256 || hex.EncodeToString(got[1].Bytes) != sha || hex.EncodeToString(got[2].Bytes) != sha+strings.Repeat("00", 16) {
		t.Errorf("banks without a sum get %x and %x", got[1].Bytes, got[2].Bytes)
	}
	if got[3].Alg != tpm2.SHA512 {
		t.Errorf("got %v", got[3])
	}
	if got := (Event{12, "abc"}).Digests(banks); len(got) != 3 {
		t.Errorf("a bank that has PCR 13 only gets PCR 12: %v", got)
	}
	// The log does not show what nobody can check.
	if r := string(Event{13, "abc"}.Record(got, "", 0)); strings.Contains(r, "sm3") || strings.Contains(r, "sha3") || strings.Count(r, "hashAlg") != 2 {
		t.Errorf("logged %s", r)
	}
}

func TestExtend(t *testing.T) {
	// Two extensions by tpm2_pcrextend of a TPM's empty PCR, and what tpm2_pcrread says then.
	v := make([]byte, 32)
	for range 2 {
		v = Extend(v, tpm2.Digest{Alg: tpm2.SHA256, Bytes: tpm2.SHA256.Sum([]byte("abc"))})
	}
	if got := hex.EncodeToString(v); got != twice {
		t.Errorf("got %s", got)
	}
}

const twice = "bdeb6c6dc63852834c89f67066194207ce7d3806ea40ca58dc079246ef58a926"

// golden is what systemd 257 writes for the same event, but for its own text, in the same order of fields.
const golden = "\x1e" + `{"pcr":13,"digests":[{"hashAlg":"sha1","digest":"a9993e364706816aba3e25717850c26c9cd0d89d"},` +
	`{"hashAlg":"sha256","digest":"ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"}],` +
	`"content_type":"systemd","content":{"string":"abc","bootId":"0123456789abcdef0123456789abcdef","timestamp":1500000}}` + "\n"

func TestRecord(t *testing.T) {
	e := Event{13, "abc"}
	all := []byte{0xff, 0xff, 0xff}
	r := e.Record(e.Digests([]tpm2.Bank{{Alg: tpm2.SHA1, Select: all}, {Alg: tpm2.SHA256, Select: all}}), "0123456789abcdef0123456789abcdef", 1500*time.Millisecond)
	if string(r) != golden {
		t.Errorf("got %s", r)
	}
	if !json.Valid(r[1:]) {
		t.Error("it is not JSON")
	}
}

// FuzzName asserts that no file name makes a line that reads as another, or a record that is not JSON.
func FuzzName(f *testing.F) {
	for _, s := range []string{"os.raw", "a:b.raw", "\x00\x1e\n", "\"\\", "é\xff.raw", "x+3-1.raw"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, file string) {
		e := Image(OS, file, make([]byte, 32), nil)
		if strings.Count(e.Text, ":") != 4 {
			t.Errorf("%q makes %q", file, e.Text)
		}
		var r struct {
			Content struct{ String string }
		}
		if err := json.Unmarshal(e.Record(nil, "", 0)[1:], &r); err != nil || r.Content.String != e.Text {
			t.Errorf("%q makes a record of %q, %v", e.Text, r.Content.String, err)
		}
	})
}
