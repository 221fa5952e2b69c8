// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package ovmf

import (
	"bytes"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/binary"
	"errors"
	"math/big"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/initddi/initddi/internal/guid"
)

const (
	blankVars    = "/usr/share/OVMF/OVMF_VARS_4M.fd"
	snakeoilVars = "/usr/share/OVMF/OVMF_VARS_4M.snakeoil.fd"
)

// miniStore is a volume of 64 KiB with a store of size bytes.
func miniStore(size int) []byte {
	le := binary.LittleEndian
	b := bytes.Repeat([]byte{0xff}, 64<<10)
	clear(b[:0x48+32])
	fv, store := fvSystemNVData().MixedEndian(), authenticatedStore().MixedEndian()
	copy(b[16:], fv[:])
	le.PutUint64(b[32:], uint64(len(b)))
	copy(b[40:], "_FVH")
	le.PutUint16(b[48:], 0x48)
	copy(b[0x48:], store[:])
	le.PutUint32(b[0x48+16:], uint32(size))
	b[0x48+20], b[0x48+21] = storeFormatted, storeHealthy
	for i := 0x48 + storeHeader; i < 0x48+32; i++ {
		b[i] = 0xff
	}
	fixSum(b)
	return b
}

func fixSum(b []byte) {
	le := binary.LittleEndian
	le.PutUint16(b[50:], 0)
	sum := uint16(0)
	for i := 0; i < 0x48; i += 2 {
		sum += le.Uint16(b[i:])
	}
	le.PutUint16(b[50:], -sum)
}

func makeCert(t testing.TB, name string) (*rsa.PrivateKey, []byte) {
	t.Helper()
	k, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name},
		NotBefore: time.Unix(1_700_000_000, 0), NotAfter: time.Unix(3_000_000_000, 0)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &k.PublicKey, k)
	if err != nil {
		t.Fatal(err)
	}
	return k, der
}

func find(list []Variable, name string) *Variable {
	for i := range list {
		if list[i].Name == name {
			return &list[i]
		}
	}
	return nil
}

// The bytes of one variable, from the structures in VariableFormat.h.
func TestSetGolden(t *testing.T) {
	vendor := guid.MustParse("00112233-4455-6677-8899-aabbccddeeff")
	got, err := Set(miniStore(4096), Variable{"AB", vendor, NonVolatile | BootAccess | TimeBasedWrite, []byte{1, 2, 3},
		time.Date(2026, 3, 4, 5, 6, 7, 999, time.UTC)}, Variable{"C", vendor, NonVolatile, []byte{9}, time.Time{}})
	if err != nil {
		t.Fatal(err)
	}
	want := "\xaa\x55\x3f\x00" + "\x23\x00\x00\x00" + "\x00\x00\x00\x00\x00\x00\x00\x00" + // id, state, attributes, count
		"\xea\x07\x03\x04\x05\x06\x07\x00\x00\x00\x00\x00\x00\x00\x00\x00" + "\x00\x00\x00\x00" + // time, key index
		"\x06\x00\x00\x00" + "\x03\x00\x00\x00" + "\x33\x22\x11\x00\x55\x44\x77\x66\x88\x99\xaa\xbb\xcc\xdd\xee\xff" +
		"A\x00B\x00\x00\x00" + "\x01\x02\x03" + "\xff\xff\xff" + // up to a multiple of four in the file
		"\xaa\x55\x3f\x00" + "\x01\x00\x00\x00"
	if g := string(got[0x64 : 0x64+len(want)]); g != want {
		t.Errorf("got\n%x, wanted\n%x", g, want)
	}
	if !bytes.Equal(got[:0x64], miniStore(4096)[:0x64]) || !bytes.Equal(got[0x48+4096:], miniStore(4096)[0x48+4096:]) {
		t.Error("something outside of the store was changed")
	}
}

func TestSetReplaces(t *testing.T) {
	a, b := guid.MustParse("00000000-0000-0000-0000-00000000000a"), guid.MustParse("00000000-0000-0000-0000-00000000000b")
	image, err := Set(miniStore(4096), Variable{"X", a, 7, []byte("old"), time.Time{}}, Variable{"X", b, 7, []byte("other"), time.Time{}})
	if err != nil {
		t.Fatal(err)
	}
	image, err = Set(image, Variable{"X", a, 3, []byte("new value"), time.Time{}})
	if err != nil {
		t.Fatal(err)
	}
	list, err := List(image)
	if err != nil || len(list) != 2 || string(list[0].Data) != "other" || string(list[1].Data) != "new value" || list[1].Attributes != 3 {
		t.Errorf("%+v, %v", list, err)
	}
}

func TestListStates(t *testing.T) {
	g := guid.GUID{1}
	image, err := Set(miniStore(4096), Variable{"A", g, 7, []byte("1"), time.Time{}}, Variable{"B", g, 7, []byte("2"), time.Time{}},
		Variable{"C", g, 7, []byte("3"), time.Time{}})
	if err != nil {
		t.Fatal(err)
	}
	const step = 68 // of one of these variables
	at := func(i int) []byte { return image[0x64+i*step:] }
	copy(at(2)[variableHeader:], "B") // A, B, B
	at(0)[2], at(1)[2], at(2)[2] = 0x3d, stateMoving, stateAdded
	if list, err := List(image); err != nil || len(list) != 1 || string(list[0].Data) != "3" {
		t.Errorf("deleted, moving, added: %+v, %v", list, err)
	}
	at(2)[2] = 0x7f // header written, data not
	if list, err := List(image); err != nil || len(list) != 1 || string(list[0].Data) != "2" {
		t.Errorf("deleted, moving, incomplete: %+v, %v", list, err)
	}
}

func TestErrors(t *testing.T) {
	g := guid.GUID{1}
	change := func(f func([]byte)) []byte { b := miniStore(4096); f(b); fixSum(b); return b }
	ok := Variable{"X", g, NonVolatile, []byte{1}, time.Time{}}
	wrongSum := miniStore(4096)
	wrongSum[50]++
	tests := []struct {
		name  string
		image []byte
		vars  []Variable
		want  error
		text  string
	}{
		{"empty", nil, nil, ErrNotStore, "0 bytes"},
		{"code instead of variables", change(func(b []byte) { b[16] = 0 }), nil, ErrNotStore, "of type"},
		{"no volume", change(func(b []byte) { b[40] = 0 }), nil, ErrNotStore, "signature"},
		{"checksum", wrongSum, nil, ErrNotStore, "off by 0x1"},
		{"cut off", miniStore(4096)[:32<<10], nil, ErrNotStore, "in a file of 32768"},
		{"long header", change(func(b []byte) { b[49] = 0xff }), nil, ErrNotStore, "header of"},
		{"not authenticated", change(func(b []byte) { b[0x48] = 0 }), nil, ErrNotStore, "authenticated"},
		{"large store", change(func(b []byte) { b[0x48+18] = 1 }), nil, ErrNotStore, "in a volume of"},
		{"unformatted", change(func(b []byte) { b[0x48+20] = 0xff }), nil, ErrNotStore, "format 0xff"},
		{"variable outside", change(func(b []byte) { copy(b[0x64:], ok.encode()); b[0x64+42] = 1 }), nil, ErrNotStore, "data of 65537"},
		{"full", miniStore(128), []Variable{ok, {"Y", g, NonVolatile, []byte{1}, time.Time{}}}, ErrFull, "65 bytes needed, 32 left of 100"},
		{"one too large", miniStore(60000), []Variable{{"Y", g, NonVolatile, make([]byte, MaxVariable), time.Time{}}}, ErrFull, "limit 33792"},
		{"no name", miniStore(4096), []Variable{{"", g, NonVolatile, []byte{1}, time.Time{}}}, ErrVariable, "name"},
		{"no data", miniStore(4096), []Variable{{"X", g, NonVolatile, nil, time.Time{}}}, ErrVariable, "data"},
		{"volatile", miniStore(4096), []Variable{{"X", g, BootAccess, []byte{1}, time.Time{}}}, ErrVariable, "non-volatile"},
		{"twice", miniStore(4096), []Variable{ok, ok}, ErrVariable, "twice"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := Set(tt.image, tt.vars...)
			if got != nil || !errors.Is(err, tt.want) || !strings.Contains(err.Error(), tt.text) {
				t.Errorf("got %v, wanted %v with %q", err, tt.want, tt.text)
			}
		})
	}
	if _, err := Set(miniStore(128), ok); err != nil {
		t.Errorf("one variable fits: %v", err)
	}
}

func TestEnroll(t *testing.T) {
	_, pk := makeCert(t, "PK")
	_, kek := makeCert(t, "KEK")
	_, db := makeCert(t, "db")
	owner := guid.MustParse("00112233-4455-6677-8899-aabbccddeeff")
	templates := map[string][]byte{"mini": miniStore(32 << 10)}
	for _, path := range []string{blankVars, snakeoilVars} {
		if b, err := os.ReadFile(path); err == nil {
			templates[path] = b
		} else {
			t.Logf("without %s (Debian package ovmf)", path)
		}
	}
	for name, template := range templates {
		t.Run(name, func(t *testing.T) {
			before := bytes.Clone(template)
			keys := Keys{PK: pk, KEK: [][]byte{kek}, DB: [][]byte{db, pk}, Owner: owner}
			order := Variable{"BootOrder", GlobalVendor(), 7, []byte{1, 0}, time.Time{}}
			image, err := Enroll(template, keys, order)
			if err != nil {
				t.Fatal(err)
			}
			again, _ := Enroll(image, keys, order)
			if !bytes.Equal(again, image) {
				t.Error("enrolling twice changes the store")
			}
			list, err := List(image)
			if err != nil || !bytes.Equal(before, template) || len(image) != len(template) {
				t.Fatalf("err %v, template changed %v", err, !bytes.Equal(before, template))
			}
			lists := func(certs ...[]byte) string {
				var b []byte
				for _, c := range certs {
					b = append(b, "\xa1\x59\xc0\xa5\xe4\x94\xa7\x4a\x87\xb5\xab\x15\x5c\x2b\xf0\x72"...)
					b = binary.LittleEndian.AppendUint32(b, uint32(len(c)+44))
					b = append(b, 0, 0, 0, 0)
					b = binary.LittleEndian.AppendUint32(b, uint32(len(c)+16))
					b = append(b, "\x33\x22\x11\x00\x55\x44\x77\x66\x88\x99\xaa\xbb\xcc\xdd\xee\xff"...)
					b = append(b, c...)
				}
				return string(b)
			}
			for _, w := range []struct {
				name, vendor string
				attrs        uint32
				data         string
			}{
				{"PK", "8be4df61-93ca-11d2-aa0d-00e098032b8c", 0x27, lists(pk)},
				{"KEK", "8be4df61-93ca-11d2-aa0d-00e098032b8c", 0x27, lists(kek)},
				{"db", "d719b2cb-3d3a-4596-a3bc-dad00e67656f", 0x27, lists(db, pk)},
				{"SecureBootEnable", "f0a30bc7-af08-4556-99c4-001009c93a44", 0x3, "\x01"},
				{"BootOrder", "8be4df61-93ca-11d2-aa0d-00e098032b8c", 0x7, "\x01\x00"},
			} {
				v := find(list, w.name)
				if v == nil || v.Vendor.String() != w.vendor || v.Attributes != w.attrs || string(v.Data) != w.data {
					t.Errorf("%s: %+v", w.name, v)
				} else if w.attrs == 0x27 && !v.Time.Equal(time.Unix(0, 0)) {
					t.Errorf("%s has time %v", w.name, v.Time)
				}
			}
			if v := find(list, "dbx"); v != nil {
				t.Errorf("a dbx of somebody else was left: %+v", v)
			}
			if name == snakeoilVars && find(list, "PlatformLang") == nil {
				t.Error("variables that are no keys were lost")
			}
		})
	}
	for _, keys := range []Keys{{}, {PK: pk}, {DB: [][]byte{db}}, {PK: []byte("-----BEGIN CERTIFICATE"), DB: [][]byte{db}}} {
		if image, err := Enroll(miniStore(32<<10), keys); image != nil || !errors.Is(err, ErrVariable) {
			t.Errorf("%+v: %v", keys, err)
		}
	}
}

// Debian's own store with keys, written by EDK2 itself, in terms of the specification.
func TestListSnakeoil(t *testing.T) {
	b, err := os.ReadFile(snakeoilVars)
	if err != nil {
		t.Skip("needs ", snakeoilVars, " (Debian package ovmf)")
	}
	list, err := List(b)
	if err != nil {
		t.Fatal(err)
	}
	if pk := find(list, "PK"); pk == nil || pk.Attributes != 0x27 || pk.Vendor != GlobalVendor() || pk.Time.IsZero() {
		t.Errorf("PK: %+v", pk)
	}
	if v := find(list, "SecureBootEnable"); v == nil || !bytes.Equal(v.Data, []byte{1}) || v.Attributes != NonVolatile|BootAccess {
		t.Errorf("SecureBootEnable: %+v", v)
	}
	seen := map[string]bool{}
	for _, v := range list {
		if k := v.Name + v.Vendor.String(); seen[k] {
			t.Errorf("%s is there twice", v.Name)
		} else {
			seen[k] = true
		}
	}
}

func FuzzList(f *testing.F) {
	image, err := Set(miniStore(4096), Variable{"X", guid.GUID{1}, 7, []byte("data"), time.Unix(1e9, 0)}, Variable{"Y", guid.GUID{1}, 7, []byte("data"), time.Time{}})
	if err != nil {
		f.Fatal(err)
	}
	// The fuzzer works on the store; the volume's header has a checksum.
	f.Add(image[0x48 : 0x48+512])
	f.Fuzz(func(t *testing.T, b []byte) {
		in := miniStore(4096)
		copy(in[0x48:], b[:min(len(b), 8192)])
		list, err := List(in)
		if err != nil {
			if !errors.Is(err, ErrNotStore) {
				t.Fatal(err)
			}
			return
		}
		for i := range list {
			if len(list[i].Data) > len(in) {
				t.Errorf("%d bytes of data", len(list[i].Data))
			}
		}
		// What was read can be written, unless names collide or the store is at its limits.
		out, err := Set(in)
		if err != nil {
			if !errors.Is(err, ErrFull) {
				t.Fatal(err)
			}
			return
		}
		if again, err := List(out); err != nil || len(again) != len(list) {
			t.Errorf("%d variables, %d after writing them: %v", len(list), len(again), err)
		}
	})
}
