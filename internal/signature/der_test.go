// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package signature

import (
	"encoding/hex"
	"errors"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/crypto/cryptobyte"
)

// TestReaders has the readers of single elements say yes or no to the elements of a table, in hexadecimal.
func TestReaders(t *testing.T) {
	integer := func(s *cryptobyte.String) (string, bool) {
		var b []byte
		ok := readInteger(s, &b)
		return hex.EncodeToString(b), ok
	}
	unsigned := func(s *cryptobyte.String) (string, bool) {
		var b []byte
		ok := readUnsigned(s, &b)
		return hex.EncodeToString(b), ok
	}
	version := func(s *cryptobyte.String) (string, bool) {
		var v int
		ok := readVersion(s, &v)
		return hex.EncodeToString([]byte{byte(v)}), ok
	}
	identifier := func(s *cryptobyte.String) (string, bool) {
		var a algorithm
		ok := readAlgorithm(s, &a)
		return hex.EncodeToString([]byte(a.id)) + " " + hex.EncodeToString(a.parameters), ok
	}
	for _, test := range []struct {
		read     func(*cryptobyte.String) (string, bool)
		in, want string
	}{
		{integer, "020100", "00"},
		{integer, "02017f", "7f"},
		{integer, "020180", "80"},
		{integer, "02020080", "0080"},
		{integer, "0202ff7f", "ff7f"},
		{integer, "0200", "refused"},
		{integer, "0202007f", "refused"},
		{integer, "0202ff80", "refused"},
		{integer, "03017f", "refused"},
		{integer, "02027f", "refused"},     // shorter than it says
		{integer, "0281017f", "refused"},   // long form of a short length
		{integer, "02807f0000", "refused"}, // indefinite length
		{unsigned, "020100", ""},
		{unsigned, "02020080", "80"},
		{unsigned, "020180", "refused"},
		{unsigned, "0202ff7f", "refused"},
		{version, "020103", "03"},
		{version, "020180", "refused"},
		{version, "02020100", "refused"},
		{version, "02020080", "refused"},
		{identifier, "300306012a", "2a "},
		{identifier, "300506012a0500", "2a 0500"},
		{identifier, "300706012a05000500", "refused"},
		{identifier, "300406012a05", "refused"},
		{identifier, "30020600", "refused"},
		{identifier, "3000", "refused"},
		{identifier, "310306012a", "refused"},
	} {
		in, err := hex.DecodeString(test.in)
		if err != nil {
			t.Fatal(err)
		}
		s := cryptobyte.String(in)
		got, ok := test.read(&s)
		if !ok {
			got = "refused"
		}
		if got != test.want || ok && !s.Empty() {
			t.Errorf("%s: got %q, wanted %q", test.in, got, test.want)
		}
	}
}

// TestMemory feeds the largest inputs of the worst kinds and wants what is allocated, over the whole call, to stay below the
// 64 MB that parsing anything hostile may take.
func TestMemory(t *testing.T) {
	fill := func(head, unit, tail string, size int) []byte {
		return []byte(head + strings.Repeat(unit, (size-len(head)-len(tail))/len(unit)) + tail)
	}
	document := func(b []byte) func() error {
		return func() error { _, err := ParseDocument(b); return err }
	}
	certificates := func(b []byte) func() error {
		return func() error { _, err := ParseCertificatesPEM(b); return err }
	}
	message := func(o outer, specs ...spec) func() error {
		m := build(t, nil, o, specs...)
		if len(m) < maxMessage*9/10 || len(m) > maxMessage {
			t.Fatalf("message of %d bytes is not large, or is refused by size alone", len(m))
		}
		return func() error { _, err := Verify(m, nil, nil); return err }
	}
	s := spec{signer: newECDSA(t, "ec")}
	large := s
	large.tail = list(constructed1, 500000)
	pem := string(read(t, "p256.crt"))
	for name, call := range map[string]func() error{
		"document of one string":  document(fill(`{"x":"`, "y", `"}`, maxDocument)),
		"document of escapes":     document(fill(`{"rootHash":"`, `\ud800`, `"}`, maxDocument)),
		"document of one array":   document(fill(`{"x":[0`, ",0", `]}`, maxDocument)),
		"document of brackets":    document(fill(`{"x":`, "[", "", maxDocument)),
		"document of objects":     document(fill(`{"x":`, `{"a":`, "", maxDocument)),
		"document of one key":     document(fill(`{"`, "y", `":0}`, maxDocument)),
		"document of base64":      document(fill(`{"rootHash":"`+strings.Repeat("ab", 32)+`","signature":"`, "A", `"}`, maxDocument)),
		"document of NULs":        document(make([]byte, maxDocument)),
		"message of certificates": message(outer{certificates: list(constructed0, 500000)}, s),
		"message of digests":      message(outer{digests: repeat(oidSHA256, 66000)}, s),
		"message of signers":      message(outer{digests: []oid{oidSHA256}}, repeat(s, 7000)...),
		"message of attributes":   message(outer{}, large),
		"certificates of nothing": certificates(fill("", "-----BEGIN CERTIFICATE-----\n", "", maxPEM)),
		"certificates after text": certificates(fill(pem, "-----BEGIN X-----\n", pem[:100], maxPEM)),
	} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		err := call()
		runtime.ReadMemStats(&after)
		if !errors.Is(err, ErrMalformed) {
			t.Errorf("%s: got %v, wanted %v", name, err, ErrMalformed)
		}
		n := after.TotalAlloc - before.TotalAlloc
		if n > 64<<20 {
			t.Errorf("%s: %d bytes allocated", name, n)
		}
		t.Logf("%s: %d kB: %v", name, n>>10, err)
	}
}

// TestReadOID has identifiers that are no DER: with a number that does not end, or that is longer than it must be.
func TestReadOID(t *testing.T) {
	for _, tt := range []struct {
		der  string
		want oid
	}{
		{"\x06\x03\x2b\x65\x70", oidEd25519}, {"\x06\x05\x2b\x81\x04\x00\x22", oidP384},
		{"\x06\x00", ""}, {"\x06\x02\x2b\x81", ""}, {"\x06\x03\x9c\x9c\x9c", ""}, {"\x06\x03\x2b\x80\x01", ""}, {"\x06\x03\x80\x2b\x01", ""}, {"\x06\x05\x2b\x81", ""}, {"\x04\x01\x2b", ""},
	} {
		s := cryptobyte.String(tt.der)
		var got oid
		if ok := readOID(&s, &got); ok != (tt.want != "") || ok && got != tt.want {
			t.Errorf("%x gives %v, %v", tt.der, got, ok)
		}
	}
}
