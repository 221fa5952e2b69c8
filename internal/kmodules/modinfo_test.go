// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package kmodules

import (
	"bytes"
	"errors"
	"reflect"
	"strings"
	"testing"
)

func TestReadInfo(t *testing.T) {
	got, err := readInfo(fakeModule(t, "license=GPL", "softdep=pre: ehci-pci a post: b pre: c", "alias=usb:v*", "alias=x=y",
		"depends=usb-common,usbcore", "", "novalue", "firmware=a/b.fw", "firmware=c.bin"))
	want := info{depends: []string{"usb_common", "usbcore"}, pre: []string{"ehci-pci", "a", "c"}, aliases: []string{"usb:v*", "x=y"},
		firmware: []string{"a/b.fw", "c.bin"}}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, %v, want %+v", got, err, want)
	}
}

func TestDecompress(t *testing.T) {
	want := fakeModule(t, "depends=", "alias="+strings.Repeat("x", 10000))
	for _, suffix := range suffixes {
		data := compressed(t, suffix, want)
		if got, err := decompress(data); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s: %v", suffix, err)
		}
		if suffix == ".ko" {
			continue
		}
		if _, err := decompress(data[:len(data)/2]); err == nil {
			t.Errorf("%s: no error for half a file", suffix)
		}
	}
	for _, data := range []string{"", "text", "BZh91AY"} {
		if _, err := decompress([]byte(data)); !errors.Is(err, ErrModule) {
			t.Errorf("%q: %v", data, err)
		}
	}
}

func TestModuleName(t *testing.T) {
	for file, want := range map[string]string{
		"usb-storage.ko": "usb_storage", "a.ko.xz": "a", "a.ko.gz": "a", "a.ko.zst": "a",
		".ko": "", "a.ko.bz2": "", "a.o": "", "modules.dep": "",
	} {
		if got, ok := moduleName(file); got != want || ok != (want != "") {
			t.Errorf("moduleName(%q) = %q, %v", file, got, ok)
		}
	}
}

func FuzzReadInfo(f *testing.F) {
	f.Add(fakeModule(f, "depends=a,b-c", "alias=pci:v*", "softdep=pre: x post: y"))
	f.Add(fakeModule(f))
	f.Add([]byte("\x7fELF"))
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) > 1<<16 {
			return
		}
		i, err := readInfo(data)
		if err != nil {
			if !errors.Is(err, ErrModule) {
				t.Fatalf("error of another kind: %v", err)
			}
			return
		}
		for _, name := range i.depends {
			if name == "" || name != canonical(name) {
				t.Fatalf("dependency %q", name)
			}
		}
	})
}
