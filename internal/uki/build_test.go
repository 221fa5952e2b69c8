// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package uki

import (
	"bytes"
	"crypto/sha256"
	"debug/pe"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

const debianStub = "/usr/lib/systemd/boot/efi/linuxx64.efi.stub"

// miniPE makes a PE32+ image: headers of hdrs bytes, then one section per entry of contents, in the given alignments. Its
// section table begins at 0x188, as in real stubs.
func miniPE(machine uint16, hdrs, sectionAlign, fileAlign int, contents ...Section) []byte {
	le := binary.LittleEndian
	b := make([]byte, alignUp(uint64(hdrs), uint64(fileAlign)))
	copy(b, "MZ")
	le.PutUint32(b[0x3c:], 0x80)
	copy(b[0x80:], "PE\x00\x00")
	le.PutUint16(b[0x84:], machine)
	le.PutUint16(b[0x86:], uint16(len(contents)))
	le.PutUint16(b[0x94:], 240)
	le.PutUint16(b[0x96:], 0x206)
	opt := b[0x98:]
	le.PutUint16(opt, magicPE32P)
	le.PutUint32(opt[optSectionAlign:], uint32(sectionAlign))
	le.PutUint32(opt[optFileAlign:], uint32(fileAlign))
	le.PutUint32(opt[optSizeOfHeaders:], uint32(hdrs))
	le.PutUint16(opt[optSubsystem:], subsystemEFIApplication)
	le.PutUint32(opt[108:], 16)
	va := alignUp(uint64(len(b)), uint64(sectionAlign))
	for i, s := range contents {
		h := b[0x188+40*i:]
		copy(h[:8], s.Name)
		raw := alignUp(uint64(len(s.Data)), uint64(fileAlign))
		le.PutUint32(h[8:], uint32(len(s.Data)))
		le.PutUint32(h[12:], uint32(va))
		le.PutUint32(h[16:], uint32(raw))
		le.PutUint32(h[20:], uint32(len(b)))
		le.PutUint32(h[36:], scnInitData|scnMemRead)
		b = append(b, s.Data...)
		b = append(b, make([]byte, int(raw)-len(s.Data))...)
		va = alignUp(va+uint64(len(s.Data)), uint64(sectionAlign))
	}
	le.PutUint32(b[0x98+optSizeOfImage:], uint32(va))
	return b
}

func miniStub(hdrs, sectionAlign int) []byte {
	return miniPE(machineAMD64, hdrs, sectionAlign, 512,
		Section{".text", bytes.Repeat([]byte{0xcc}, 700)},
		Section{".sbat", []byte("sbat,1,…")},
		Section{".sdmagic", []byte("#### LoaderInfo: systemd-stub 999~test ####\x00")})
}

func miniKernel() []byte {
	k := miniPE(machineAMD64, 0x1000, 0x1000, 512, Section{".text", bytes.Repeat([]byte("kernel "), 3000)})
	copy(k[0x202:], "HdrS")
	binary.LittleEndian.PutUint16(k[0x20e:], 0x300)
	copy(k[0x500:], "6.12.1-test-amd64 (builder@host) #1 SMP\x00")
	return k
}

// stubs returns the stubs to test with: our own, and every real one that is there.
func stubs(t *testing.T) map[string][]byte {
	out := map[string][]byte{"mini-512": miniStub(0x600, 512), "mini-4096": miniStub(0x600, 4096)}
	for _, path := range []string{debianStub, os.Getenv("INITDDI_TEST_STUB")} {
		if b, err := os.ReadFile(path); err == nil {
			out[filepath.Base(path)+"-"+hex.EncodeToString(checksum8(b))] = b
		} else if path != "" {
			t.Logf("without stub %s: %v (Debian package systemd-boot-efi)", path, err)
		}
	}
	if os.Getenv("INITDDI_TEST_STUB") == "" {
		t.Log("set INITDDI_TEST_STUB to the stub of another systemd version to test with that one too")
	}
	return out
}

func checksum8(b []byte) []byte { s := sha256.Sum256(b); return s[:4] }

func fullOptions(stub []byte) Options {
	return Options{
		Stub: stub, Kernel: miniKernel(),
		Initrds: [][]byte{[]byte("first"), bytes.Repeat([]byte("second"), 1000)},
		Cmdline: "console=ttyS0 ddi.timeout=30s", OSRelease: []byte("ID=initddi\nPRETTY_NAME=\"initddi test\"\n"),
		Microcode: []byte("ucode"), Extra: []Section{{".pcrpkey", []byte("a key")}},
	}
}

func TestBuildRoundTrip(t *testing.T) {
	for name, stub := range stubs(t) {
		t.Run(name, func(t *testing.T) {
			o := fullOptions(stub)
			image, err := Build(o)
			if err != nil {
				t.Fatal(err)
			}
			again, err := Build(fullOptions(stub))
			if err != nil || !bytes.Equal(image, again) {
				t.Fatalf("not reproducible (err %v)", err)
			}
			img, err := Parse(bytes.NewReader(image), int64(len(image)))
			if err != nil {
				t.Fatal(err)
			}
			if img.Cmdline != o.Cmdline || img.Uname != "6.12.1-test-amd64" || img.OSRelease != string(o.OSRelease) ||
				img.Architecture != "x86-64" || !strings.HasPrefix(img.Stub, "systemd-stub ") || !img.IsUKI() || img.Signatures != nil {
				t.Errorf("parsed back as %+v", img)
			}
			initrd := append([]byte("first\x00\x00\x00"), o.Initrds[1]...)
			want := map[string][]byte{
				".osrel": o.OSRelease, ".cmdline": []byte(o.Cmdline), ".uname": []byte("6.12.1-test-amd64"),
				".ucode": o.Microcode, ".initrd": initrd, ".linux": o.Kernel, ".pcrpkey": []byte("a key"),
			}
			checkSections(t, image, img, stub, want)
			checkObjcopy(t, image, want)
		})
	}
}

// checkSections compares with debug/pe's reading, which is not ours, and checks every rule of placement.
func checkSections(t *testing.T, image []byte, img *Image, stub []byte, want map[string][]byte) {
	t.Helper()
	f, err := pe.NewFile(bytes.NewReader(image))
	if err != nil {
		t.Fatal(err)
	}
	old, err := pe.NewFile(bytes.NewReader(stub))
	if err != nil {
		t.Fatal(err)
	}
	opt := f.OptionalHeader.(*pe.OptionalHeader64)
	if f.NumberOfSymbols != 0 || f.PointerToSymbolTable != 0 {
		t.Errorf("symbol table left: %+v", f.FileHeader)
	}
	if len(f.Sections) != len(old.Sections)+len(want) || len(img.Sections) != len(f.Sections) {
		t.Fatalf("%d sections (we read %d), wanted %d + %d", len(f.Sections), len(img.Sections), len(old.Sections), len(want))
	}
	prevVA, prevRaw, seen := uint64(0), uint64(0), map[string]bool{}
	for i, s := range f.Sections {
		if img.Sections[i].Name != s.Name || seen[s.Name] {
			t.Errorf("section %d: debug/pe says %q, Parse %q, repeated %v", i, s.Name, img.Sections[i].Name, seen[s.Name])
		}
		seen[s.Name] = true
		if uint64(s.VirtualAddress) < prevVA || uint64(s.Offset) < prevRaw {
			t.Errorf("%s overlaps its predecessor: address %#x < %#x or offset %#x < %#x", s.Name, s.VirtualAddress, prevVA, s.Offset, prevRaw)
		}
		prevVA, prevRaw = uint64(s.VirtualAddress)+uint64(s.VirtualSize), uint64(s.Offset)+uint64(s.Size)
		if i < len(old.Sections) {
			if a, b := sectionData(t, s), sectionData(t, old.Sections[i]); s.SectionHeader != old.Sections[i].SectionHeader || !bytes.Equal(a, b) {
				t.Errorf("the stub's section %s was changed", s.Name)
			}
			continue
		}
		data, ok := want[s.Name]
		sum := sha256.Sum256(data)
		if !ok || int(s.VirtualSize) != len(data) || !bytes.Equal(sectionData(t, s)[:len(data)], data) || img.Sections[i].SHA256 != hex.EncodeToString(sum[:]) {
			t.Errorf("%s: wrong data (VirtualSize %d, wanted %d)", s.Name, s.VirtualSize, len(data))
		}
		if s.VirtualAddress%opt.SectionAlignment != 0 || s.VirtualAddress%4096 != 0 {
			t.Errorf("%s at address %#x: not aligned to SectionAlignment %#x and to a page", s.Name, s.VirtualAddress, opt.SectionAlignment)
		}
		if s.Offset%opt.FileAlignment != 0 || s.Size%opt.FileAlignment != 0 {
			t.Errorf("%s at offset %#x, size %#x: not aligned to FileAlignment %#x", s.Name, s.Offset, s.Size, opt.FileAlignment)
		}
	}
	if last := f.Sections[len(f.Sections)-1]; last.Name != ".linux" {
		t.Errorf("last section is %s", last.Name)
	}
	if uint64(opt.SizeOfImage) != alignUp(prevVA, uint64(opt.SectionAlignment)) || prevRaw != uint64(len(image)) {
		t.Errorf("SizeOfImage %#x, last section ends at %#x; file of %#x bytes, data ends at %#x", opt.SizeOfImage, prevVA, len(image), prevRaw)
	}
	h, _ := parsePE(image, int64(len(image)))
	if got := checkSum(image, h.optOff+optCheckSum); opt.CheckSum != got || got == 0 {
		t.Errorf("CheckSum %#x, wanted %#x", opt.CheckSum, got)
	}
}

func sectionData(t *testing.T, s *pe.Section) []byte {
	t.Helper()
	b, err := s.Data()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func checkObjcopy(t *testing.T, image []byte, want map[string][]byte) {
	t.Helper()
	if _, err := exec.LookPath("objcopy"); err != nil {
		t.Log("needs objcopy (Debian package binutils)")
		return
	}
	dir := t.TempDir()
	in := filepath.Join(dir, "image.efi")
	if err := os.WriteFile(in, image, 0o644); err != nil {
		t.Fatal(err)
	}
	for name, data := range want {
		out := filepath.Join(dir, "out")
		if text, err := exec.Command("objcopy", "-O", "binary", "--only-section="+name, in, out).CombinedOutput(); err != nil {
			t.Fatalf("objcopy: %v: %s", err, text)
		}
		if got, err := os.ReadFile(out); err != nil || !bytes.Equal(got, data) {
			t.Errorf("objcopy reads %d bytes of %s, wanted %d (err %v)", len(got), name, len(data), err)
		}
	}
}

// The checksum must be what other people's tools compute: the stub of systemd 252 comes with one from binutils.
func TestCheckSum(t *testing.T) {
	b, err := os.ReadFile(debianStub)
	if err != nil {
		t.Skip("needs ", debianStub, " (Debian package systemd-boot-efi)")
	}
	h, err := parsePE(b, int64(len(b)))
	if err != nil {
		t.Fatal(err)
	}
	want := binary.LittleEndian.Uint32(b[h.optOff+optCheckSum:])
	if want == 0 {
		t.Skip("this stub carries no checksum")
	}
	if got := checkSum(b, h.optOff+optCheckSum); got != want {
		t.Errorf("checksum %#x, the linker says %#x", got, want)
	}
}

func TestBuildErrors(t *testing.T) {
	signed := miniStub(0x600, 4096)
	binary.LittleEndian.PutUint32(signed[0x98+112+8*dirSecurity+4:], 8)
	trailing := append(miniStub(0x600, 4096), "more"...)
	unaligned := miniStub(0x600, 4096)
	binary.LittleEndian.PutUint32(unaligned[0x188+20:], 0x604)
	loader := bytes.Replace(miniStub(0x600, 4096), []byte("systemd-stub"), []byte("systemd-boot"), 1)
	occupied := miniStub(0x600, 4096)
	occupied[0x188+4*40+3] = 1 // in what would be the second new header
	good := func(change func(*Options)) Options {
		o := fullOptions(miniStub(0x600, 4096))
		change(&o)
		return o
	}
	tests := []struct {
		name string
		o    Options
		want error
		text string
	}{
		{"no stub", good(func(o *Options) { o.Stub = nil }), ErrNotPE, "stub"},
		{"signed stub", good(func(o *Options) { o.Stub = signed }), ErrNotStub, "signed"},
		{"boot loader as stub", good(func(o *Options) { o.Stub = loader }), ErrNotStub, "systemd-stub"},
		{"data behind sections", good(func(o *Options) { o.Stub = trailing }), ErrNotStub, "4 bytes"},
		{"stripped stub", good(func(o *Options) { o.Stub = unaligned }), ErrNotStub, "FileAlignment"},
		{"no kernel", good(func(o *Options) { o.Kernel = nil }), ErrNotPE, "empty"},
		{"gzip kernel", good(func(o *Options) { o.Kernel = []byte("\x1f\x8b\x08") }), ErrNotPE, "gzip"},
		{"kernel without EFI stub", good(func(o *Options) { o.Kernel = []byte("\x7fELF") }), ErrNotPE, "CONFIG_EFI_STUB"},
		{"other architecture", good(func(o *Options) { o.Kernel = miniPE(machineARM64, 0x400, 4096, 512, Section{".text", []byte("x")}) }),
			ErrNotPE, "for arm64, the stub for x86-64"},
		{"duplicate of our own", good(func(o *Options) { o.Extra = []Section{{".linux", []byte("x")}} }), ErrDuplicateSection, ".linux"},
		{"duplicate of the stub's", good(func(o *Options) { o.Extra = []Section{{".sbat", []byte("x")}} }), ErrDuplicateSection, ".sbat"},
		{"duplicate extra", good(func(o *Options) { o.Extra = []Section{{".dtb", []byte("x")}, {".dtb", []byte("y")}} }), ErrDuplicateSection, ".dtb"},
		{"long name", good(func(o *Options) { o.Extra = []Section{{".toolong-", []byte("x")}} }), nil, "seven"},
		{"empty extra", good(func(o *Options) { o.Extra = []Section{{".dtb", nil}} }), nil, "empty"},
		{"cmdline of two lines", good(func(o *Options) { o.Cmdline = "a\nb" }), nil, "one line"},
		{"cmdline not UTF-8", good(func(o *Options) { o.Cmdline = "\xff" }), nil, "UTF-8"},
		{"long cmdline", good(func(o *Options) { o.Cmdline = strings.Repeat("a", maxText+1) }), ErrTooLarge, ".cmdline"},
		{"no room", good(func(o *Options) { o.Stub = miniStub(0x200, 4096) }), ErrHeaderRoom, "room for 0"},
		{"occupied header area", good(func(o *Options) { o.Stub = occupied }), ErrHeaderRoom, "room for 1"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			image, err := Build(tt.o)
			if err == nil || image != nil || tt.want != nil && !errors.Is(err, tt.want) || !strings.Contains(err.Error(), tt.text) {
				t.Errorf("got %v, wanted %v with %q", err, tt.want, tt.text)
			}
		})
	}
}

// Fewer sections fit where not all do, and empty inputs make no section.
func TestBuildMinimal(t *testing.T) {
	image, err := Build(Options{Stub: miniStub(0x300, 4096), Kernel: miniKernel(), Cmdline: "quiet"})
	if err != nil {
		t.Fatal(err)
	}
	img, err := Parse(bytes.NewReader(image), int64(len(image)))
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, s := range img.Sections {
		names = append(names, s.Name)
	}
	if got, want := strings.Join(names, " "), ".text .sbat .sdmagic .cmdline .uname .linux"; got != want {
		t.Errorf("sections %q, wanted %q", got, want)
	}
}

func TestIsKernel(t *testing.T) {
	at := func(off int, magic string) []byte {
		b := make([]byte, 0x400)
		copy(b, "MZ")
		copy(b[off:], magic)
		return b
	}
	for name, c := range map[string]struct {
		b    []byte
		want bool
	}{
		"bzImage": {at(0x202, "HdrS"), true}, "arm64": {at(0x38, "ARM\x64"), true}, "riscv": {at(0x38, "RSC\x05"), true},
		"loongarch": {at(0x38, "\xcd\x23\x82\x81"), true}, "zboot": {at(4, "zimg"), true},
		"another program": {at(0, "MZ"), false}, "elsewhere": {at(0x206, "HdrS"), false}, "short": {[]byte("MZ"), false}, "nothing": {nil, false},
	} {
		if got := IsKernel(c.b); got != c.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}
