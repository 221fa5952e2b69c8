// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package uki

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"
)

func TestParseErrors(t *testing.T) {
	le := binary.LittleEndian
	image, err := Build(fullOptions(miniStub(0x600, 4096)))
	if err != nil {
		t.Fatal(err)
	}
	change := func(f func(b []byte)) []byte { b := bytes.Clone(image); f(b); return b }
	tests := []struct {
		name  string
		image []byte
		want  error
		text  string
	}{
		{"empty", nil, ErrNotPE, "MZ"},
		{"PE header outside", change(func(b []byte) { le.PutUint32(b[0x3c:], 0xfffffff0) }), ErrNotPE, "offset 4294967280"},
		{"no signature", change(func(b []byte) { b[0x80] = 'X' }), ErrNotPE, "signature"},
		{"many sections", change(func(b []byte) { le.PutUint16(b[0x86:], 97) }), ErrNotPE, "97 sections"},
		{"no sections", change(func(b []byte) { le.PutUint16(b[0x86:], 0) }), ErrNotPE, "0 sections"},
		{"section outside", change(func(b []byte) { le.PutUint32(b[0x188+20:], 0xffffff00) }), ErrNotPE, "ends at"},
		{"overlap", change(func(b []byte) {
			for i := range 10 {
				le.PutUint32(b[0x188+40*i+16:], uint32(len(b)/2))
				le.PutUint32(b[0x188+40*i+20:], 0)
			}
		}), ErrNotPE, "overlap"},
		{"certificates outside", change(func(b []byte) { le.PutUint32(b[0x98+112+32:], 0xffff0000); le.PutUint32(b[0x98+112+36:], 0xffff) }), ErrNotPE, "certificate table"},
		{"truncated", image[:0x150], ErrNotPE, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := Parse(bytes.NewReader(tt.image), int64(len(tt.image)))
			if !errors.Is(err, tt.want) || !strings.Contains(err.Error(), tt.text) {
				t.Errorf("got %v, wanted %v with %q", err, tt.want, tt.text)
			}
		})
	}
	if _, err := Parse(bytes.NewReader(image[:len(image)-5]), int64(len(image))); err == nil {
		t.Error("a file shorter than announced was accepted")
	}
}

// Images of later ukify versions have a .linux section that is larger in memory than in the file, and profiles repeat names.
func TestParseOtherTools(t *testing.T) {
	image := miniPE(machineAMD64, 0x600, 4096, 512, Section{".cmdline", []byte("base")}, Section{".linux", []byte("kernel")},
		Section{".profile", []byte("ID=x")}, Section{".cmdline", []byte("of the profile")})
	binary.LittleEndian.PutUint32(image[0x188+40+8:], 0xffffffff)
	img, err := Parse(bytes.NewReader(image), int64(len(image)))
	if err != nil {
		t.Fatal(err)
	}
	if s := img.Section(".linux"); img.Cmdline != "base" || s.Size != 512 || s.VirtualSize != 0xffffffff || len(img.Sections) != 4 {
		t.Errorf("got %+v", img)
	}
}

func FuzzParse(f *testing.F) {
	image, err := Build(fullOptions(miniStub(0x600, 512)))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(image[:0x600])
	f.Add(image)
	withCerts := append(bytes.Clone(image[:0x1000]), 0x10, 0, 0, 0, 0, 2, 2, 0, 0x30, 6, 6, 1, 2, 0xa0, 1, 0)
	binary.LittleEndian.PutUint32(withCerts[0x98+112+32:], 0x1000)
	binary.LittleEndian.PutUint32(withCerts[0x98+112+36:], 16)
	f.Add(withCerts)
	f.Fuzz(func(t *testing.T, b []byte) {
		img, err := Parse(bytes.NewReader(b), int64(len(b)))
		if (img == nil) == (err == nil) {
			t.Fatalf("image %v, error %v", img, err)
		}
		if err != nil {
			return
		}
		total := int64(0)
		for _, s := range img.Sections {
			if s.Offset < 0 || s.Size < 0 || s.Offset+s.Size > int64(len(b)) {
				t.Errorf("section outside of the file: %+v", s)
			}
			total += s.Size
		}
		if total > int64(len(b)) || len(img.Sections) > maxSections || len(img.Signatures) > maxSignatures*maxSignatures {
			t.Errorf("more than the file holds: %+v", img)
		}
	})
}

func FuzzKernelRelease(f *testing.F) {
	f.Add(miniKernel()[:0x540])
	f.Add(zboot("gzip", gz([]byte(bannerText))))
	f.Add(gz([]byte(bannerText)))
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := KernelRelease(b)
		if (s == "") == (err == nil) || len(s) > maxRelease || err != nil && !errors.Is(err, ErrNoRelease) {
			t.Errorf("release %q, error %v", s, err)
		}
	})
}

const bannerText = "\x00Linux version %s (%s)\x00....Linux version 6.9.0-arm (gcc) #1\x00"

func gz(b []byte) []byte {
	var out bytes.Buffer
	z := gzip.NewWriter(&out)
	z.Write(b)
	z.Close()
	return out.Bytes()
}

func zboot(method string, payload []byte) []byte {
	b := make([]byte, 64)
	copy(b, "MZ\x00\x00zimg")
	binary.LittleEndian.PutUint32(b[8:], 64)
	binary.LittleEndian.PutUint32(b[12:], uint32(len(payload)))
	copy(b[24:56], method)
	return append(append(b, payload...), "trailing size"...)
}

func TestKernelRelease(t *testing.T) {
	enc, _ := zstd.NewWriter(nil)
	zst := enc.EncodeAll([]byte(bannerText), nil)
	raw := make([]byte, 64)
	copy(raw, "MZ")
	copy(raw[0x38:], "ARM\x64")
	noString := miniKernel()
	binary.LittleEndian.PutUint16(noString[0x20e:], 0)
	outside := miniKernel()[:0x400]
	binary.LittleEndian.PutUint16(outside[0x20e:], 0xfff0)
	long := miniKernel()
	copy(long[0x500:], strings.Repeat("6", 65)+" ")
	tests := []struct {
		name   string
		kernel []byte
		want   string
	}{
		{"bzImage", miniKernel(), "6.12.1-test-amd64"},
		{"arm64 Image", append(raw, bannerText...), "6.9.0-arm"},
		{"arm64 Image.gz", gz(append(raw, bannerText...)), "6.9.0-arm"},
		{"zboot gzip", zboot("gzip", gz([]byte(bannerText))), "6.9.0-arm"},
		{"zboot zstd", zboot("zstd", zst), "6.9.0-arm"},
		{"zboot unknown", zboot("xzkern", []byte("x")), ""},
		{"zboot corrupt", zboot("gzip", []byte("x")), ""},
		{"zboot outside", zboot("gzip", gz([]byte(bannerText)))[:70], ""},
		{"bzImage without string", noString, ""},
		{"bzImage, string outside", outside, ""},
		{"bzImage, long string", long, ""},
		{"arm64 without banner", raw, ""},
		{"empty", nil, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := KernelRelease(tt.kernel)
			if got != tt.want || (err == nil) != (tt.want != "") || err != nil && !errors.Is(err, ErrNoRelease) {
				t.Errorf("got %q, %v, wanted %q", got, err, tt.want)
			}
		})
	}
}

func TestKernelReleaseReal(t *testing.T) {
	path := os.Getenv("INITDDI_TEST_KERNEL")
	if path == "" {
		t.Skip("needs INITDDI_TEST_KERNEL=/path/to/vmlinuz-RELEASE")
	}
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	got, err := KernelRelease(b)
	if _, want, ok := strings.Cut(path, "vmlinuz-"); err != nil || ok && got != want {
		t.Errorf("%s: release %q, %v", path, got, err)
	}
	image, err := Build(Options{Stub: miniStub(0x600, 4096), Kernel: b})
	if err != nil {
		t.Fatal(err)
	}
	if img, err := Parse(bytes.NewReader(image), int64(len(image))); err != nil || img.Uname != got {
		t.Errorf("image with it: %+v, %v", img, err)
	}
}
