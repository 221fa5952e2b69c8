// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package inspect

import (
	"bytes"
	"compress/gzip"
	"context"
	"debug/elf"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/initddi/initddi/internal/modtable"
)

// newc makes an archive; a name that ends in "@" is a symlink, one that ends in "/" a directory.
func newc(files ...[2]string) []byte {
	var b bytes.Buffer
	pad := func() {
		for b.Len()%4 != 0 {
			b.WriteByte(0)
		}
	}
	for i, f := range append(files, [2]string{"TRAILER!!!", ""}) {
		name, mode := f[0], 0o100644
		switch {
		case strings.HasSuffix(name, "@"):
			name, mode = strings.TrimSuffix(name, "@"), 0o120777
		case strings.HasSuffix(name, "/"):
			name, mode = strings.TrimSuffix(name, "/"), 0o040755
		}
		fmt.Fprintf(&b, "070701%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X", i+1, mode, 0, 0, 1, 0, len(f[1]), 0, 0, 0, 0, len(name)+1, 0)
		b.WriteString(name + "\x00")
		pad()
		b.WriteString(f[1])
		pad()
	}
	return b.Bytes()
}

func sourceOf(b []byte) source {
	return source{ctx: context.Background(), name: "test", r: bytes.NewReader(b), size: int64(len(b)), o: Options{Progress: func(string, int64, int64) {}}}
}

// pipe compresses with the tool that initddi initramfs uses, or the kernel's users do.
func pipe(t *testing.T, b []byte, pkg, tool string, args ...string) []byte {
	t.Helper()
	if _, err := exec.LookPath(tool); err != nil {
		t.Skipf("needs %s (Debian package %s)", tool, pkg)
	}
	cmd := exec.Command(tool, args...)
	cmd.Stdin = bytes.NewReader(b)
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestReadArchives(t *testing.T) {
	one := newc([2]string{"bin/", ""}, [2]string{"bin/a", strings.Repeat("x", 70000)}, [2]string{"init@", "bin/a"})
	two := newc([2]string{"two", "2"})
	var gz bytes.Buffer
	z := gzip.NewWriter(&gz)
	z.Write(one)
	z.Close()
	zst := pipe(t, one, "zstd", "zstd", "-19", "--stdout", "--quiet")
	xzed := pipe(t, one, "xz-utils", "xz", "--check=crc32", "--stdout")
	padded := func(b []byte) []byte { return append(slices.Clone(b), make([]byte, 512-len(b)%512)...) }
	for _, c := range []struct {
		name  string
		data  []byte
		kinds []Compression
		names string
	}{
		{"plain", one, []Compression{"none"}, "bin bin/a init"},
		{"plain and padded", padded(one), []Compression{"none"}, "bin bin/a init"},
		{"zstd", zst, []Compression{"zstd"}, "bin bin/a init"},
		{"xz", xzed, []Compression{"xz"}, "bin bin/a init"},
		{"gzip", gz.Bytes(), []Compression{"gzip"}, "bin bin/a init"},
		{"microcode before", slices.Concat(padded(two), zst), []Compression{"none", "zstd"}, "two bin bin/a init"},
		{"behind zstd", slices.Concat(padded(zst), two), []Compression{"zstd", "none"}, "bin bin/a init two"},
		{"behind xz", slices.Concat(padded(xzed), two), []Compression{"xz", "none"}, "bin bin/a init two"},
		{"behind gzip", slices.Concat(padded(gz.Bytes()), two), []Compression{"gzip", "none"}, "bin bin/a init two"},
		{"three of them", slices.Concat(padded(xzed), padded(gz.Bytes()), zst), []Compression{"xz", "gzip", "zstd"}, "bin bin/a init bin bin/a init bin bin/a init"},
	} {
		var names []string
		members, err := sourceOf(c.data).readArchives(func(r record) { names = append(names, r.name) })
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		var kinds []Compression
		for _, m := range members {
			kinds = append(kinds, m.Compression)
			if m.Compression != "none" && m.Unpacked != int64(len(one)) {
				t.Errorf("%s: %s has %d bytes unpacked, want %d", c.name, m.Compression, m.Unpacked, len(one))
			}
		}
		if !slices.Equal(kinds, c.kinds) || strings.Join(names, " ") != c.names {
			t.Errorf("%s: %v %v, want %v %s", c.name, kinds, names, c.kinds, c.names)
		}
	}
}

func TestReadArchivesRefuses(t *testing.T) {
	one := newc([2]string{"a", "content"})
	for name, b := range map[string][]byte{
		"no trailer":       one[:len(one)-124],
		"cut in a name":    one[:111],
		"cut in a file":    one[:118],
		"rubbish behind":   slices.Concat(one, []byte("rubbish!")),
		"name of no bytes": bytes.Replace(one, []byte("00000002"), []byte("00000000"), 1),
		"not hexadecimal":  bytes.Replace(one, []byte("000081A4"), []byte("00zz81A4"), 1),
		"cut zstd":         {0x28, 0xb5, 0x2f, 0xfd, 0, 0, 0},
	} {
		if _, err := sourceOf(b).readArchives(func(record) {}); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

// TestStage1 describes an archive as initddi initramfs makes it.
func TestStage1(t *testing.T) {
	table, err := modtable.New(modtable.Spec{
		Release: "6.1-test", Classes: []modtable.Class{{Name: "virtio", Description: "virtio disks"}},
		Features: []modtable.Feature{{Name: "loop", Modules: []string{"loop"}}}, Modules: []modtable.Module{{Name: "loop", File: "loop.ko"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	b := newc([2]string{"bbin/", ""}, [2]string{"bbin/bb", "binary"}, [2]string{"bbin/storageinit@", "bb"}, [2]string{"bbin/ddimount@", "bb"},
		[2]string{"etc/initddi/modules", string(table.Encode())}, [2]string{"etc/initddi/stage1.conf", "# mine\nid=debian\nbogus=1\n"},
		[2]string{"init@", "bbin/storageinit"}, [2]string{"lib/modules/6.1-test/loop.ko", "module"}, [2]string{"etc/motd", "hello"})
	rep, err := sourceOf(b).inspect()
	if err != nil {
		t.Fatal(err)
	}
	a := rep.Initramfs
	if rep.Kind != KindStage1 || a.Init != "bbin/storageinit" || a.Kernel != "6.1-test" || a.Shell || a.CommandsSize != 6 || a.ModulesSize != 6 || a.Files != 8 {
		t.Errorf("%s %+v", rep.Kind, a)
	}
	if got := fmt.Sprint(a.Commands, a.Classes, a.Features, a.Modules, a.Settings, a.Others); got != "[ddimount storageinit] [virtio] [loop] [{loop 6}] [id=debian bogus=1] [{/etc/motd 5}]" {
		t.Error(got)
	}
	problems := strings.Join(a.Problems, "\n")
	for _, want := range []string{"bogus=1 from the /etc/initddi/stage1.conf line 3: unknown key", "it accepts no image"} {
		if !strings.Contains(problems, want) {
			t.Errorf("problems are %q, want %q", problems, want)
		}
	}
	var out bytes.Buffer
	rep.Print(&out)
	for _, want := range []string{"test: stage 1, ", "    Commands: 2 in 6 bytes: ddimount storageinit\n", "       Shell: none\n", "     Setting: id=debian\n", "     Problem: it accepts no image"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("the text lacks %q:\n%s", want, &out)
		}
	}
}

// elfModule is a kernel module that consists of its .modinfo.
func elfModule(t *testing.T, lines ...string) string {
	t.Helper()
	names, text := "\x00.modinfo\x00.shstrtab\x00", strings.Join(lines, "\x00")+"\x00"
	const sections = 64
	var b bytes.Buffer
	for _, v := range []any{
		elf.Header64{
			Ident: [16]byte{0x7f, 'E', 'L', 'F', byte(elf.ELFCLASS64), byte(elf.ELFDATA2LSB), byte(elf.EV_CURRENT)},
			Type:  uint16(elf.ET_REL), Version: uint32(elf.EV_CURRENT), Shoff: sections, Ehsize: 64, Shentsize: 64, Shnum: 3, Shstrndx: 2,
		},
		elf.Section64{},
		elf.Section64{Name: 1, Type: uint32(elf.SHT_PROGBITS), Off: sections + 3*64, Size: uint64(len(text))},
		elf.Section64{Name: 10, Type: uint32(elf.SHT_STRTAB), Off: uint64(sections + 3*64 + len(text)), Size: uint64(len(names))},
		[]byte(text + names),
	} {
		if err := binary.Write(&b, binary.LittleEndian, v); err != nil {
			t.Fatal(err)
		}
	}
	return b.String()
}

// TestStage1Firmware: what drivers can have of the kernel, and what not.
func TestStage1Firmware(t *testing.T) {
	b := newc([2]string{"bbin/storageinit@", "bb"}, [2]string{"lib/firmware/bnx2x/e2.fw", "blob"}, [2]string{"lib/firmware/any.bin", "b"},
		[2]string{"lib/modules/6.1-test/bnx2x.ko", elfModule(t, "firmware=bnx2x/e2.fw", "firmware=bnx2x/e1.fw")},
		[2]string{"lib/modules/6.1-test/qed.ko", elfModule(t, "depends=", "firmware=qed/values.bin")}, [2]string{"lib/modules/6.1-test/other.ko", "damaged"},
		[2]string{"lib/modules/6.1-test/loop.ko", elfModule(t, "depends=")}, [2]string{"lib/modules/6.1-test/all.ko", elfModule(t, "firmware=any.bin")})
	rep, err := sourceOf(b).inspect()
	if err != nil {
		t.Fatal(err)
	}
	a := rep.Initramfs
	if got := fmt.Sprint(a.Firmware, a.FirmwareSize, a.MissingFirmware, len(a.Modules), a.Others); got != "[{bnx2x/e2.fw 4} {any.bin 1}] 5 [{bnx2x [bnx2x/e1.fw]} {qed [qed/values.bin]}] 5 []" {
		t.Error(got)
	}
	var out bytes.Buffer
	rep.Print(&out)
	for _, want := range []string{"    Firmware: 2 in 5 bytes: bnx2x/e2.fw any.bin\n", "       Lacks: firmware that bnx2x may ask for: bnx2x/e1.fw\n", "firmware that qed may ask for: qed/values.bin\n"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("the text lacks %q:\n%s", want, &out)
		}
	}
	// Names without end are not kept.
	many := make([]string, 3*maxAsked/1000)
	for i := range many {
		many[i] = "firmware=" + strings.Repeat("x", 1000)
	}
	if rep, err = sourceOf(newc([2]string{"bbin/storageinit@", "bb"}, [2]string{"lib/modules/6.1-test/a.ko", elfModule(t, many...)})).inspect(); err != nil || rep.Initramfs.asked > maxAsked+1000 {
		t.Errorf("%d bytes of names, %v", rep.Initramfs.asked, err)
	}
}

func TestUnknown(t *testing.T) {
	for name, b := range map[string][]byte{"empty": nil, "text": []byte("hello\n"), "zeros": make([]byte, 9000), "json": []byte(`{"a":1}`)} {
		if _, err := sourceOf(b).inspect(); !errors.Is(err, ErrUnknown) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := Inspect(context.Background(), t.TempDir(), Options{}); !errors.Is(err, ErrUnknown) {
		t.Errorf("a directory: %v", err)
	}
	if _, err := Inspect(context.Background(), filepath.Join(t.TempDir(), "x"), Options{}); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("nothing: %v", err)
	}
}

func TestBootReport(t *testing.T) {
	rep, err := sourceOf([]byte(`{"version":1,"release":"0.1","kernel":"6.1","secure_boot":true,"stages":[{"name":"plan","start_us":1500000,"us":2500,"text":"x"}],
		"refused":[{"candidate":"a","rule":"signed","text":"a refused"}],"chosen":{"path":"/loader/ddi/os.raw","node":"vda1","roothash":"00ff","extents":[[1,2],[3,4]]}}`)).inspect()
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	rep.Print(&out)
	for _, want := range []string{"/loader/ddi/os.raw on /dev/vda1", "in 2 pieces", " Secure Boot: on\n", "     Refused: a refused\n", "plan   1.500 s  2.5 ms  x\n"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("the text lacks %q:\n%s", want, &out)
		}
	}
	if _, err := sourceOf([]byte(`{"version":2,"stages":[]}`)).inspect(); !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("a report from the future: %v", err)
	}
}

// FuzzInspect: no input makes it panic, take long, or write control characters.
func FuzzInspect(f *testing.F) {
	f.Add(newc([2]string{"bbin/storageinit@", "bb"}, [2]string{"etc/initddi/stage1.conf", "id=x"}))
	f.Add([]byte(`{"version":1,"stages":[]}`))
	f.Add([]byte("MZ"))
	f.Add(append(make([]byte, 40), "_FVH"...))
	f.Add([]byte("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"))
	f.Add([]byte("\x28\xb5\x2f\xfd\x24\x0a\x51\x00\x00test\n"))
	f.Add([]byte("\xfd7zXZ\x00\x00\x01"))
	f.Add([]byte("\x1f\x8b\x08\x00"))
	f.Fuzz(func(t *testing.T, b []byte) {
		rep, err := sourceOf(b).inspect()
		if err != nil {
			return
		}
		var out bytes.Buffer
		rep.Print(&out)
		if bytes.ContainsRune(out.Bytes(), 0x1b) {
			t.Errorf("the text controls a terminal: %q", &out)
		}
		if rep.Initramfs != nil && rep.Initramfs.Unpacked > maxArchive {
			t.Errorf("%d bytes unpacked", rep.Initramfs.Unpacked)
		}
		_, _ = io.Copy(io.Discard, &out)
	})
}
