// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package main

import (
	"os"
	"strings"
	"testing"

	"github.com/initddi/initddi/internal/initramfs"
	"github.com/initddi/initddi/internal/keys"
)

// TestNameCertificates has two keys of one name, as while they are changed, one of them twice, and one that is called otherwise.
func TestNameCertificates(t *testing.T) {
	dir := t.TempDir()
	var pem []string
	for _, name := range []string{"a", "b"} {
		if _, err := keys.MakeOf(dir+"/"+name, "ecdsa-p256"); err != nil {
			t.Fatal(err)
		}
		b, err := os.ReadFile(dir + "/" + name + "/ddi.crt")
		if err != nil {
			t.Fatal(err)
		}
		pem = append(pem, string(b))
	}
	file := func(name, text string) initramfs.File { return initramfs.File{Name: name, Data: []byte(text)} }
	for _, test := range []struct {
		files []initramfs.File
		want  string // "FP" is some fingerprint
		data  []string
	}{
		{[]initramfs.File{file("ddi.crt", pem[0])}, "ddi.crt", []string{pem[0]}},
		{[]initramfs.File{file("ddi.crt", pem[0]), file("ddi.crt", pem[1])}, "ddi.crt ddi-FP.crt", pem},
		{[]initramfs.File{file("ddi.crt", pem[0]), file("ddi.crt", "a comment\n"+pem[0])}, "ddi.crt", []string{pem[0]}},
		{[]initramfs.File{file("ddi.crt", pem[0]), file("ddi.crt", pem[1]), file("ddi.crt", pem[1])}, "ddi.crt ddi-FP.crt", pem},
		{[]initramfs.File{file("mycert.pem", pem[0]), file("mycert.cer", pem[1]), file("other", pem[1])}, "mycert.crt mycert-FP.crt other.crt", []string{pem[0], pem[1], pem[1]}},
	} {
		got, err := nameCertificates(test.files)
		want := strings.Fields(test.want)
		if err != nil || len(got) != len(want) {
			t.Fatalf("%s: %v, %v", test.want, got, err)
		}
		for i, f := range got {
			before, after, has := strings.Cut(want[i], "FP")
			if f.Name != want[i] && !(has && strings.HasPrefix(f.Name, before) && strings.HasSuffix(f.Name, after) && len(f.Name) == len(want[i])-2+16) || string(f.Data) != test.data[i] {
				t.Errorf("%s: %s is called %s", test.want, want[i], f.Name)
			}
		}
	}
	if _, err := nameCertificates([]initramfs.File{file("x.crt", "nothing")}); err == nil {
		t.Error("no certificate is taken for one")
	}
}
