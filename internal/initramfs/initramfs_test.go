// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package initramfs

import (
	"bytes"
	"context"
	"debug/elf"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"
	"github.com/u-root/mkuimage/cpio"

	"github.com/initddi/initddi/internal/kmodules"
	"github.com/initddi/initddi/internal/modtable"
)

// need skips the test if a tool is missing.
func need(t *testing.T, tool, pkg string) {
	t.Helper()
	if _, err := exec.LookPath(tool); err != nil {
		t.Skipf("needs %s (Debian package %s)", tool, pkg)
	}
}

// baseArchive writes an archive like that of mkuimage, with a busybox that is none.
func baseArchive(t *testing.T, records ...cpio.Record) string {
	t.Helper()
	var b bytes.Buffer
	w := cpio.Newc.Writer(&b)
	records = append([]cpio.Record{
		cpio.StaticFile("bbin/bb", "busybox", 0o755), cpio.Symlink("bbin/storageinit", "bb"), cpio.Symlink("init", "bbin/storageinit"),
	}, records...)
	if err := cpio.WriteRecords(w, records); err != nil {
		t.Fatal(err)
	}
	if err := cpio.WriteTrailer(w); err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(t.TempDir(), "base.cpio")
	if err := os.WriteFile(name, b.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
	return name
}

// selection is one with a module.
func selection(t *testing.T) *kmodules.Selection {
	t.Helper()
	table, err := modtable.New(modtable.Spec{Release: "6.12.0", Modules: []modtable.Module{{Name: "loop", File: "loop.ko"}}})
	if err != nil {
		t.Fatal(err)
	}
	return &kmodules.Selection{Table: table, Files: []kmodules.File{
		{Name: "loop", Path: "lib/modules/6.12.0/loop.ko", For: []string{"loop"}, Data: []byte("ELF")},
	}, Firmware: []kmodules.FirmwareFile{
		{Name: "loop/blob.bin", Path: "lib/firmware/loop/blob.bin", For: []string{"loop"}, Data: []byte("blob")},
	}}
}

// options is an archive with something of every kind.
func options(t *testing.T) Options {
	return Options{
		Base:         baseArchive(t, cpio.Directory("tmp", 0o1777), cpio.Directory("bbin", 0o750)),
		Modules:      selection(t),
		Certificates: []File{{Name: "b.crt", Data: []byte("B")}, {Name: "a.crt", Data: []byte("AA")}},
		Config:       []byte("policy=root=signed\n"),
		Files:        []File{{Name: "etc/x/y", Data: []byte("yy"), Mode: 0o4755}},
		Time:         1700000000,
		Compression:  None,
	}
}

// listing returns a line for each record of an archive.
func listing(t *testing.T, archive []byte) string {
	t.Helper()
	records, err := cpio.ReadAllRecords(cpio.Newc.Reader(bytes.NewReader(archive)))
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	for _, r := range records {
		var data []byte
		if r.FileSize > 0 {
			data = make([]byte, r.FileSize)
			if _, err := r.ReadAt(data, 0); err != nil {
				t.Fatal(err)
			}
		}
		fmt.Fprintf(&b, "%d %06o %d %d:%d %d %s %q\n", r.Ino, r.Mode, r.NLink, r.UID, r.GID, r.MTime, r.Name, data)
	}
	return b.String()
}

const wantListing = `1 040750 2 0:0 1700000000 bbin ""
2 040755 2 0:0 1700000000 dev ""
3 040755 2 0:0 1700000000 etc ""
4 040755 2 0:0 1700000000 etc/initddi ""
5 040755 2 0:0 1700000000 etc/verity.d ""
6 040755 2 0:0 1700000000 etc/x ""
7 040755 2 0:0 1700000000 lib ""
8 040755 2 0:0 1700000000 lib/firmware ""
9 040755 2 0:0 1700000000 lib/firmware/loop ""
10 040755 2 0:0 1700000000 lib/modules ""
11 040755 2 0:0 1700000000 lib/modules/6.12.0 ""
12 041777 2 0:0 1700000000 tmp ""
13 100755 1 0:0 1700000000 bbin/bb "busybox"
14 120777 1 0:0 1700000000 bbin/storageinit "bb"
15 020600 1 0:0 1700000000 dev/console ""
16 020666 1 0:0 1700000000 dev/null ""
17 100644 1 0:0 1700000000 etc/initddi/modules "initddi-modules 1 6.12.0\nmodule loop loop.ko\n"
18 100644 1 0:0 1700000000 etc/initddi/stage1.conf "policy=root=signed\n"
19 100644 1 0:0 1700000000 etc/verity.d/a.crt "AA"
20 100644 1 0:0 1700000000 etc/verity.d/b.crt "B"
21 104755 1 0:0 1700000000 etc/x/y "yy"
22 120777 1 0:0 1700000000 init "bbin/storageinit"
23 100644 1 0:0 1700000000 lib/firmware/loop/blob.bin "blob"
24 100644 1 0:0 1700000000 lib/modules/6.12.0/loop.ko "ELF"
`

func TestBuildBase(t *testing.T) {
	image, err := Build(context.Background(), options(t), nil)
	if err != nil {
		t.Fatal(err)
	}
	if got := listing(t, image.Data); got != wantListing {
		t.Errorf("got\n%s\nwant\n%s", got, wantListing)
	}
	if image.CPIOSize != int64(len(image.Data)) {
		t.Errorf("CPIOSize = %d, want %d", image.CPIOSize, len(image.Data))
	}
	want := []Part{
		{Kind: KindBase, Name: "bbin/bb", Size: 7},
		{Kind: KindBase, Name: "bbin/storageinit", Size: 2},
		{Kind: KindBase, Name: "dev/console"},
		{Kind: KindBase, Name: "dev/null"},
		{Kind: KindTable, Name: "etc/initddi/modules", Size: 45},
		{Kind: KindConfig, Name: "etc/initddi/stage1.conf", Size: 19},
		{Kind: KindTrust, Name: "etc/verity.d/a.crt", Size: 2},
		{Kind: KindTrust, Name: "etc/verity.d/b.crt", Size: 1},
		{Kind: KindFile, Name: "etc/x/y", Size: 2},
		{Kind: KindBase, Name: "init", Size: 16},
		{Kind: KindFirmware, Name: "lib/firmware/loop/blob.bin", Size: 4, For: []string{"loop"}},
		{Kind: KindModule, Name: "lib/modules/6.12.0/loop.ko", Size: 3, For: []string{"loop"}},
	}
	if !reflect.DeepEqual(image.Parts, want) {
		t.Errorf("Parts = %+v", image.Parts)
	}
	if n := image.Size(KindTrust); n != 3 {
		t.Errorf("Size(trust) = %d", n)
	}
}

// TestBuildOrder makes sure that the order of the inputs is not that of the archive.
func TestBuildOrder(t *testing.T) {
	o := options(t)
	first, err := Build(context.Background(), o, nil)
	if err != nil {
		t.Fatal(err)
	}
	slices.Reverse(o.Certificates)
	second, err := Build(context.Background(), o, nil)
	if err != nil || !bytes.Equal(first.Data, second.Data) {
		t.Errorf("other bytes, %v", err)
	}
	o.Time++
	if third, err := Build(context.Background(), o, nil); err != nil || bytes.Equal(first.Data, third.Data) {
		t.Errorf("Time has no effect, %v", err)
	}
}

func TestBuildErrors(t *testing.T) {
	good := options(t)
	for name, tt := range map[string]struct {
		change func(*Options)
		want   error
		words  string
	}{
		"neither":             {func(o *Options) { o.Base = "" }, ErrOptions, "not both"},
		"both":                {func(o *Options) { o.Template.File = "x" }, ErrOptions, "not both"},
		"negative time":       {func(o *Options) { o.Time = -1 }, ErrOptions, "-1"},
		"late time":           {func(o *Options) { o.Time = 1 << 32 }, ErrOptions, "4294967296"},
		"compression":         {func(o *Options) { o.Compression = "lzma" }, ErrOptions, "lzma"},
		"certificate suffix":  {func(o *Options) { o.Certificates[0].Name = "a.pem" }, ErrOptions, "a.pem"},
		"certificate path":    {func(o *Options) { o.Certificates[0].Name = "../a.crt" }, ErrOptions, "../a.crt"},
		"absolute file":       {func(o *Options) { o.Files[0].Name = "/etc/x" }, ErrOptions, "/etc/x"},
		"file outside":        {func(o *Options) { o.Files[0].Name = "../x" }, ErrOptions, "../x"},
		"empty file name":     {func(o *Options) { o.Files[0].Name = "" }, ErrOptions, `""`},
		"trailer":             {func(o *Options) { o.Files[0].Name = "TRAILER!!!" }, ErrOptions, "TRAILER"},
		"mode":                {func(o *Options) { o.Files[0].Mode = 0o100644 }, ErrOptions, "0100644"},
		"same certificate":    {func(o *Options) { o.Certificates[0].Name = "a.crt" }, ErrDuplicate, "etc/verity.d/a.crt"},
		"file over busybox":   {func(o *Options) { o.Files[0].Name = "bbin/bb" }, ErrDuplicate, "bbin/bb"},
		"file over directory": {func(o *Options) { o.Files[0].Name = "etc" }, ErrDuplicate, "etc"},
		"file below file":     {func(o *Options) { o.Files[0].Name = "init/x" }, ErrDuplicate, "init"},
		"no base":             {func(o *Options) { o.Base = "/nonexistent" }, os.ErrNotExist, "/nonexistent"},
		"compressed base": {func(o *Options) {
			o.Base = filepath.Join(t.TempDir(), "x")
			_ = os.WriteFile(o.Base, []byte("\x28\xb5\x2f\xfd...."), 0o644)
		}, ErrOptions, "uncompressed"},
		"hard links": {func(o *Options) {
			r := cpio.StaticFile("a", "", 0o644)
			r.NLink, r.Ino = 2, 7
			o.Base = baseArchive(t, r)
		}, ErrOptions, "hard links"},
		"base outside": {func(o *Options) { o.Base = baseArchive(t, cpio.StaticFile("../x", "", 0o644)) }, ErrOptions, "../x"},
	} {
		o := good
		o.Certificates, o.Files = slices.Clone(good.Certificates), slices.Clone(good.Files)
		tt.change(&o)
		if _, err := Build(context.Background(), o, nil); !errors.Is(err, tt.want) || !strings.Contains(err.Error(), tt.words) {
			t.Errorf("%s: got %v, want %v with %q", name, err, tt.want, tt.words)
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := Build(ctx, good, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("canceled: %v", err)
	}
}

func TestCompression(t *testing.T) {
	o := options(t)
	plain, err := Build(context.Background(), o, nil)
	if err != nil {
		t.Fatal(err)
	}
	for compression, tool := range map[Compression][2]string{"": {"zstd", "zstd"}, Zstd: {"zstd", "zstd"}, XZ: {"xz", "xz-utils"}} {
		t.Run(compression.String(), func(t *testing.T) {
			need(t, tool[0], tool[1])
			o.Compression = compression
			image, err := Build(context.Background(), o, nil)
			if err != nil {
				t.Fatal(err)
			}
			cmd := exec.Command(tool[0], "-d", "-c")
			cmd.Stdin = bytes.NewReader(image.Data)
			got, err := cmd.Output()
			if err != nil || !bytes.Equal(got, plain.Data) || image.CPIOSize != int64(len(got)) {
				t.Errorf("%v, %d bytes, want %d", err, len(got), len(plain.Data))
			}
			// What the kernel takes for its buffers is twice what the frame says.
			var h zstd.Header
			if err := h.Decode(image.Data); compression != XZ && (err != nil || h.WindowSize > 2<<20) {
				t.Errorf("%v, a window of %d bytes, wanted 2 MiB at most", err, h.WindowSize)
			}
		})
	}
	t.Run("machine code", func(t *testing.T) {
		need(t, "xz", "xz-utils")
		for _, test := range []struct {
			machine elf.Machine
			want    bool
		}{{elf.EM_X86_64, true}, {elf.EM_AARCH64, false}} {
			program := append([]byte(elf.ELFMAG), make([]byte, 1000)...)
			program[18] = byte(test.machine)
			o := o
			o.Compression, o.Files = XZ, append(slices.Clone(o.Files), File{Name: "0", Data: program})
			image, err := Build(context.Background(), o, nil)
			if err != nil {
				t.Fatal(err)
			}
			name := filepath.Join(t.TempDir(), "x.xz")
			if err := os.WriteFile(name, image.Data, 0o644); err != nil {
				t.Fatal(err)
			}
			out, err := exec.Command("xz", "--list", "-vv", name).CombinedOutput()
			if err != nil || bytes.Contains(out, []byte("--x86")) != test.want {
				t.Errorf("%v: %v, %s", test.machine, err, out)
			}
		}
	})
	t.Run("no tool", func(t *testing.T) {
		t.Setenv("PATH", t.TempDir())
		o.Compression = Zstd
		if _, err := Build(context.Background(), o, nil); err == nil || !strings.Contains(err.Error(), "Debian package zstd") {
			t.Errorf("got %v", err)
		}
	})
}

// TestCPIOTool unpacks an archive with GNU cpio.
func TestCPIOTool(t *testing.T) {
	need(t, "cpio", "cpio")
	image, err := Build(context.Background(), options(t), nil)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	cmd := exec.Command("cpio", "-i", "-d", "-m", "--quiet", "--no-absolute-filenames")
	cmd.Dir, cmd.Stdin = dir, bytes.NewReader(image.Data)
	if out, err := cmd.CombinedOutput(); err != nil || len(out) > 0 {
		t.Fatalf("cpio: %v: %s", err, out)
	}
	if data, err := os.ReadFile(filepath.Join(dir, "lib/modules/6.12.0/loop.ko")); err != nil || string(data) != "ELF" {
		t.Errorf("loop.ko: %q, %v", data, err)
	}
	if data, err := os.ReadFile(filepath.Join(dir, "init")); err != nil || string(data) != "busybox" {
		t.Errorf("init leads to %q, %v", data, err)
	}
	fi, err := os.Stat(filepath.Join(dir, "etc/x/y"))
	if err != nil || fi.ModTime().Unix() != 1700000000 || fi.Mode()&os.ModeSetuid == 0 {
		t.Errorf("etc/x/y: %v, %v", fi, err)
	}
}
