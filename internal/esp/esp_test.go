// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package esp

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/initddi/initddi/internal/fat"
	"github.com/initddi/initddi/internal/gpt"
	"github.com/initddi/initddi/internal/guid"
)

func needTools(t *testing.T, tools ...string) {
	t.Helper()
	if _, err := findTools(); err != nil {
		t.Skip("needs ", err)
	}
	for i := 0; i < len(tools); i += 2 {
		if _, err := exec.LookPath(tools[i]); err != nil {
			t.Skipf("needs %s (Debian package %s)", tools[i], tools[i+1])
		}
	}
}

func run(t *testing.T, tool string, args ...string) string {
	t.Helper()
	cmd := exec.Command(tool, args...)
	cmd.Env = append(os.Environ(), "MTOOLSRC=/dev/null", "LC_ALL=C.UTF-8", "TZ=UTC")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Errorf("%s %s: %v\n%s", tool, strings.Join(args, " "), err, out)
	}
	return string(out)
}

func noise(seed uint64, n int) []byte {
	r := rand.NewChaCha8([32]byte{byte(seed), byte(seed >> 8)})
	b := make([]byte, n)
	r.Read(b)
	return b
}

// image is a built disk and what is on its ESP.
type image struct {
	path  string
	table *gpt.Table
	file  *os.File
	esp   *io.SectionReader
	fs    *fat.FS
}

func mustBuild(t *testing.T, o Options) image {
	t.Helper()
	path := filepath.Join(t.TempDir(), "disk.img")
	table, err := Build(context.Background(), path, o)
	if err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	p := table.Partitions[0]
	esp := io.NewSectionReader(f, p.Offset(table.SectorSize), p.Size(table.SectorSize))
	fs, err := fat.Open(esp, esp.Size())
	if err != nil {
		t.Fatal(err)
	}
	return image{path, table, f, esp, fs}
}

func (i image) at() string {
	return fmt.Sprintf("%s@@%d", i.path, i.table.Partitions[0].Offset(i.table.SectorSize))
}

// fsck runs fsck.vfat on a copy of the ESP and wants no complaint.
func (i image) fsck(t *testing.T) {
	t.Helper()
	out := filepath.Join(t.TempDir(), "esp.img")
	f, err := os.Create(out)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := f.Truncate(i.esp.Size()); err != nil {
		t.Fatal(err)
	}
	if err := copySparse(context.Background(), f, 0, io.NewSectionReader(i.esp, 0, i.esp.Size())); err != nil {
		t.Fatal(err)
	}
	text := run(t, "/usr/sbin/fsck.vfat", "-n", "-v", out)
	if regexp.MustCompile(`(?i)error|differ|wrong|leak|orphan|reclaim|truncat`).MatchString(text) {
		t.Errorf("fsck.vfat:\n%s", text)
	}
}

// content reads a file with mtools, which nobody here wrote.
func (i image) content(t *testing.T, path string) []byte {
	t.Helper()
	out := filepath.Join(t.TempDir(), "out")
	run(t, "mcopy", "-i", i.at(), "-n", "::/"+path, out)
	b, _ := os.ReadFile(out)
	return b
}

func (i image) extents(t *testing.T, path string) int {
	t.Helper()
	e, err := i.fs.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	list, err := i.fs.Extents(e)
	if err != nil {
		t.Fatal(err)
	}
	return len(list)
}

func TestBuild(t *testing.T) {
	needTools(t, "sgdisk", "gdisk", "mdir", "mtools")
	source := filepath.Join(t.TempDir(), "source file")
	big := noise(1, 3<<20+123)
	if err := os.WriteFile(source, big, 0o600); err != nil {
		t.Fatal(err)
	}
	files := []File{
		{Path: "EFI/Linux/initddi_1.2.efi", Data: noise(2, 700_001), ReadOnly: true},
		{Path: "/EFI/BOOT/BOOTX64.EFI", Data: noise(3, 1000)},
		{Path: "loader/ddi/OS_1.2.raw", Source: source, ReadOnly: true},
		{Path: "loader/ddi/lang name with spaces, Ünïcode & more ~1.raw", Data: []byte("x")},
		{Path: "empty.txt"},
	}
	tests := []struct {
		name string
		o    Options
		kind fat.Type
		// cluster is the expected size, 0: any
		cluster int64
	}{
		{"defaults", Options{}, 12, 0},
		{"FAT12", Options{FATType: 12, ESPSize: 8 << 20}, 12, 0},
		{"FAT16", Options{FATType: 16, ESPSize: 20 << 20, ClusterSize: 2048}, 16, 2048},
		{"FAT16 automatic size", Options{FATType: 16}, 16, 0},
		{"FAT32 automatic size", Options{FATType: 32, ClusterSize: 1024, Label: "ESP"}, 32, 1024},
		{"FAT32", Options{FATType: 32, ESPSize: 300 << 20, ClusterSize: 4096, Label: "INITDDI ESP"}, 32, 4096},
		{"4096", Options{SectorSize: 4096}, 12, 0},
		{"4096 FAT32", Options{SectorSize: 4096, FATType: 32, VolumeID: 0xdeadbeef}, 32, 4096},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			o := tt.o
			o.Files = files
			img := mustBuild(t, o)
			if img.fs.Type() != tt.kind || tt.cluster != 0 && img.fs.ClusterSize() != tt.cluster || img.fs.Label() != o.Label {
				t.Errorf("%v with clusters of %d, label %q", img.fs.Type(), img.fs.ClusterSize(), img.fs.Label())
			}
			if o.VolumeID != 0 && img.fs.VolumeID() != o.VolumeID {
				t.Errorf("volume id %08x", img.fs.VolumeID())
			}
			if o.ESPSize != 0 && img.esp.Size() != o.ESPSize {
				t.Errorf("ESP of %d bytes, wanted %d", img.esp.Size(), o.ESPSize)
			}
			img.fsck(t)
			if o.SectorSize != 4096 { // on a file, sgdisk assumes sectors of 512 bytes
				if text := run(t, "/usr/sbin/sgdisk", "-v", img.path); !strings.Contains(text, "No problems found") {
					t.Errorf("sgdisk: %s", text)
				}
			}
			for _, f := range files {
				want := f.Data
				if f.Source != "" {
					want = big
				}
				if got := img.content(t, strings.TrimPrefix(f.Path, "/")); !bytes.Equal(got, want) {
					t.Errorf("%s: mtools reads %d bytes, wanted %d", f.Path, len(got), len(want))
				}
				e, err := img.fs.Stat(f.Path)
				if err != nil || e.ReadOnly != f.ReadOnly || e.ModTime != "1980-01-01 00:00:00" {
					t.Errorf("%s: %+v, %v", f.Path, e, err)
				}
				if text := run(t, "mattrib", "-i", img.at(), "::/"+strings.TrimPrefix(f.Path, "/")); strings.Contains(strings.Split(text, "::")[0], "R") != f.ReadOnly {
					t.Errorf("mattrib: %s", text)
				}
			}
			if text := run(t, "mdir", "-i", img.at(), "-/", "-b", "::/"); !strings.Contains(text, "::/EFI/Linux/initddi_1.2.efi\n") ||
				!strings.Contains(text, "::/loader/ddi/lang name with spaces, Ünïcode & more ~1.raw\n") {
				t.Errorf("mdir: %s", text)
			}
		})
	}
}

func TestReproducible(t *testing.T) {
	needTools(t)
	source := filepath.Join(t.TempDir(), "source")
	build := func(o Options) []byte {
		if err := os.WriteFile(source, noise(7, 100_000), 0o600); err != nil { // with a new mtime
			t.Fatal(err)
		}
		b, err := os.ReadFile(mustBuild(t, o).path)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	o := Options{
		ESPSize: 40 << 20, FATType: 32, ClusterSize: 512, Label: "ESP", Time: time.Date(2024, 2, 29, 12, 34, 56, 0, time.UTC),
		Files: []File{
			{Path: "EFI/Linux/a.efi", Source: source, ReadOnly: true}, {Path: "EFI/b", Data: []byte("b")},
			{Path: "fragmented.raw", Source: source, Fragments: 7},
		},
		Partitions: []Partition{{Type: guid.GUID{1}, Name: "extra", Source: source}},
	}
	a := build(o)
	time.Sleep(2100 * time.Millisecond) // FAT's clock has a resolution of two seconds
	t.Setenv("TZ", "Asia/Tokyo")
	t.Setenv("SOURCE_DATE_EPOCH", "1000000000")
	b := build(o)
	if !bytes.Equal(a, b) {
		for i := range a {
			if a[i] != b[i] {
				t.Fatalf("two builds differ, first at %#x", i)
			}
		}
	}
	o.Seed = guid.GUID{1}
	if bytes.Equal(a, build(o)) {
		t.Error("another seed gives the same image")
	}
	img := mustBuild(t, o)
	for _, path := range []string{"EFI", "EFI/Linux", "EFI/Linux/a.efi", "EFI/b", "fragmented.raw"} {
		if e, err := img.fs.Stat(path); err != nil || e.ModTime != "2024-02-29 12:34:56" {
			t.Errorf("%s: time %q, %v", path, e.ModTime, err)
		}
	}
}

func TestPartitions(t *testing.T) {
	needTools(t, "sgdisk", "gdisk")
	kind, _ := gpt.TypeOf("root", "x86-64")
	data := noise(9, 2<<20+5)
	id := guid.MustParse("00112233-4455-4677-8899-aabbccddeeff")
	for _, sector := range []int64{512, 4096} {
		o := Options{
			SectorSize: sector, Size: 64 << 20, ESPSize: 5<<20 + 1, ESPUUID: guid.GUID{5}, DiskUUID: guid.GUID{6},
			Partitions: []Partition{
				{Type: kind, Name: "root-x86-64", Data: data, Attributes: gpt.AttrReadOnly},
				{Type: kind, UUID: id, Size: 4 << 20},
			},
		}
		img := mustBuild(t, o)
		got, err := gpt.Read(img.file, o.Size, sector)
		if err != nil || got.Backup {
			t.Fatal(err)
		}
		if st, _ := img.file.Stat(); st.Size() != o.Size || got.DiskUUID != o.DiskUUID || len(got.Partitions) != 3 {
			t.Fatalf("disk of %d bytes: %+v", st.Size(), got)
		}
		for i, want := range []struct {
			off, size int64
			name      string
			uuid      guid.GUID
		}{
			{1 << 20, 6 << 20, "esp", guid.GUID{5}}, {7 << 20, 3 << 20, "root-x86-64", derive(guid.GUID{}, "partition-2-uuid")}, {10 << 20, 4 << 20, "", id},
		} {
			p := got.Partitions[i]
			if p.Offset(sector) != want.off || p.Size(sector) != want.size || p.Name != want.name || p.UUID != want.uuid || p != img.table.Partitions[i] {
				t.Errorf("partition %d: %+v, returned %+v", i+1, p, img.table.Partitions[i])
			}
		}
		b := make([]byte, 3<<20)
		if _, err := img.file.ReadAt(b, 7<<20); err != nil || !bytes.Equal(b[:len(data)], data) || !allZero(b[len(data):]) {
			t.Errorf("content of partition 2 (%v)", err)
		}
		img.fsck(t)
	}
}

func TestFragments(t *testing.T) {
	needTools(t)
	for _, tt := range []struct {
		o      Options
		counts []int
	}{
		{Options{FATType: 12, ClusterSize: 512, ESPSize: 1 << 20}, []int{2, 3, 50}},
		{Options{FATType: 16, ClusterSize: 2048, ESPSize: 100 << 20}, []int{2, 1000, 5000}},
		{Options{FATType: 32, ClusterSize: 512, ESPSize: 80 << 20, Label: "ESP"}, []int{2, 3, 4, 50, 1000, 5000}},
		{Options{FATType: 32, SectorSize: 4096}, []int{2, 1000}},
	} {
		t.Run(fmt.Sprintf("FAT%d-%d", tt.o.FATType, tt.o.SectorSize), func(t *testing.T) {
			o := tt.o
			cluster := max(o.ClusterSize, o.SectorSize)
			for _, n := range tt.counts {
				// The last cluster is not full.
				o.Files = append(o.Files, File{Path: fmt.Sprintf("sub/dir/%d.raw", n), Data: noise(uint64(n), n*int(cluster)+n*int(cluster)/3+17), Fragments: n, ReadOnly: n == 50},
					File{Path: fmt.Sprintf("sub/whole-%d", n), Data: noise(uint64(n+1), 3000)})
			}
			exact := File{Path: "exact.raw", Data: noise(3, 20*int(cluster)), Fragments: 20}
			o.Files = append(o.Files, exact)
			img := mustBuild(t, o)
			img.fsck(t)
			for _, f := range o.Files {
				if got := img.extents(t, f.Path); got != max(f.Fragments, 1) {
					t.Errorf("%s has %d extents, wanted %d", f.Path, got, f.Fragments)
				}
				if got := img.content(t, f.Path); !bytes.Equal(got, f.Data) {
					t.Errorf("%s: mtools reads other content (%d bytes, wanted %d)", f.Path, len(got), len(f.Data))
				}
			}
		})
	}
}

func TestErrors(t *testing.T) {
	needTools(t)
	dir := t.TempDir()
	huge := filepath.Join(dir, "huge")
	if f, err := os.Create(huge); err != nil || f.Truncate(MaxFile+1) != nil || f.Close() != nil {
		t.Fatal("cannot make a sparse file", err)
	}
	file := func(paths ...string) (o Options) {
		for _, p := range paths {
			o.Files = append(o.Files, File{Path: p, Data: []byte("x")})
		}
		return o
	}
	var many []string
	for i := range 300 {
		many = append(many, fmt.Sprintf("a file with a name %d", i))
	}
	tests := []struct {
		name string
		o    Options
		want error
		text string
	}{
		{"4 GiB", Options{Files: []File{{Path: "os.raw", Source: huge}}}, ErrFileTooLarge, "4294967296 bytes"},
		{"ESP too small", Options{ESPSize: 4 << 20, Files: []File{{Path: "os.raw", Data: make([]byte, 5<<20)}}}, ErrTooSmall, "need 524"},
		{"small FAT16", Options{FATType: 16, ESPSize: 1 << 20}, ErrTooSmall, "4085 clusters"},
		{"small FAT32", Options{FATType: 32, ESPSize: 20 << 20}, ErrTooSmall, "65525 clusters"},
		{"disk too small", Options{Size: 10 << 20, ESPSize: 10 << 20}, ErrTooSmall, "given 10485760"},
		{"content too large", Options{Partitions: []Partition{{Type: guid.GUID{1}, Size: 1 << 20, Data: make([]byte, 1<<20+1)}}}, ErrTooSmall, "partition 2"},
		{"root directory", func() Options { o := file(many...); o.FATType = 16; return o }(), ErrTooSmall, "root directory needs"},
		{"empty partition", Options{Partitions: []Partition{{Type: guid.GUID{1}}}}, ErrOptions, "partition 2"},
		{"absent source", Options{Files: []File{{Path: "a", Source: filepath.Join(dir, "absent")}}}, os.ErrNotExist, "absent"},
		{"directory as source", Options{Files: []File{{Path: "a", Source: dir}}}, ErrOptions, "regular"},
		{"case", file("EFI/a", "efi/A"), ErrOptions, "ignores case"},
		{"file as directory", file("EFI/a", "EFI/a/b"), ErrOptions, "there already"},
		{"directory as file", file("EFI/a/b", "EFI/a"), ErrOptions, "there already"},
		{"empty path", file(""), ErrOptions, "empty"},
		{"dots", file("EFI/../x"), ErrOptions, "empty, . or .."},
		{"pattern", file("a*"), ErrOptions, "in it"},
		{"trailing dot", file("a."), ErrOptions, "dot"},
		{"long name", file(strings.Repeat("a", 260)), ErrOptions, "longer"},
		{"fragments", Options{Files: []File{{Path: "a", Data: []byte("x"), Fragments: 2}}}, ErrOptions, "2 fragments of a file of 1 clusters"},
		{"sector size", Options{SectorSize: 1024}, ErrOptions, "1024"},
		{"cluster size", Options{ClusterSize: 1000}, ErrOptions, "1000"},
		{"label", Options{Label: "lower"}, ErrOptions, "lower"},
		{"time", Options{Time: time.Unix(0, 0)}, ErrOptions, "1970"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			out := filepath.Join(dir, "out")
			_, err := Build(context.Background(), out, tt.o)
			if !errors.Is(err, tt.want) || !strings.Contains(err.Error(), tt.text) {
				t.Errorf("got %v, wanted %v with %q", err, tt.want, tt.text)
			}
			if list, _ := os.ReadDir(dir); len(list) != 1 {
				t.Errorf("left behind: %v", list)
			}
		})
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := Build(ctx, filepath.Join(dir, "out"), Options{}); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

// A file system must hold what its estimate was made for, with any number of files.
func TestEstimate(t *testing.T) {
	needTools(t)
	for _, o := range []Options{{}, {FATType: 16}, {FATType: 32}, {FATType: 12}, {SectorSize: 4096}, {SectorSize: 4096, FATType: 16}, {ClusterSize: 32 << 10}, {FATType: 32, ClusterSize: 8192}} {
		for i := range 60 {
			o.Files = append(o.Files, File{Path: fmt.Sprintf("loader/ddi/d%d/file %d", i%7, i), Data: noise(uint64(i), i*i*150)})
		}
		mustBuild(t, o).fsck(t)
	}
}
