// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package fat

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/initddi/initddi/internal/extent"
)

var kinds = []Type{FAT12, FAT16, FAT32}

// TestImageIsValid has fsck.vfat check the images that the other tests are made of.
func TestImageIsValid(t *testing.T) {
	need(t, "fsck.vfat", "dosfstools")
	for _, kind := range kinds {
		t.Run(kind.String(), func(t *testing.T) {
			m := sample(t, shape{kind: kind})
			// It wants one label in both places, and for FAT32 what nothing else here looks at.
			if kind == FAT32 {
				copy(m.b[71:], "TEST VOL   ")
				m.put16(48, 1)
				m.put16(50, 6)
				copy(m.b[6*512:7*512], m.b[:512])
				copy(m.b[512:], "RRaA")
				copy(m.b[512+484:], "rrAa\xff\xff\xff\xff\xff\xff\xff\xff")
				m.b[1022], m.b[1023] = 0x55, 0xaa
			} else {
				copy(m.b[43:], "TEST VOL   ")
			}
			img := filepath.Join(t.TempDir(), "fat.img")
			if err := os.WriteFile(img, m.b, 0o600); err != nil {
				t.Fatal(err)
			}
			out := run(t, "fsck.vfat", "-n", "-l", img)
			for _, want := range []string{"/loader/ddi/OS_1.2.raw", "22 files"} {
				if !strings.Contains(out, want) {
					t.Errorf("fsck.vfat does not say %q:\n%s", want, out)
				}
			}
		})
	}
}

func TestSample(t *testing.T) {
	for _, kind := range kinds {
		t.Run(kind.String(), func(t *testing.T) {
			m := sample(t, shape{kind: kind})
			f := m.mustOpen()
			if f.Type() != kind || f.ClusterSize() != 512 || f.VolumeID() != 0x1234abcd || f.Label() != "TEST VOL" {
				t.Errorf("%v, clusters of %d, ID %#x, label %q", f.Type(), f.ClusterSize(), f.VolumeID(), f.Label())
			}
			e, err := f.Stat("LOADER//Ddi/os_1.2.RAW/")
			if err != nil {
				t.Fatal(err)
			}
			want := Entry{Name: "OS_1.2.raw", ShortName: "LONG~AD.RAW", Size: 2500, ModTime: "2026-11-22 12:34:56", first: 10}
			if e != want {
				t.Errorf("got %+v, want %+v", e, want)
			}
			if again, err := f.Stat("loader/ddi/" + strings.ToLower(e.ShortName)); err != nil || again != e {
				t.Errorf("short name: %+v, %v", again, err)
			}
			data := int64(m.data)
			list, err := f.Extents(e)
			if want := (extent.List{{Offset: data + 8*512, Length: 1024}, {Offset: data + 11*512, Length: 512},
				{Offset: data + 10*512, Length: 512}, {Offset: data + 18*512, Length: 452}}); err != nil || !slices.Equal(list, want) {
				t.Errorf("extents %v, want %v, error %v", list, want, err)
			}
			if !bytes.Equal(content(t, f, osPath), pattern(2500, 2)) {
				t.Error("another content")
			}
			if list, err := f.Extents(Entry{Name: "EMPTY.TXT"}); err != nil || len(list) != 0 {
				t.Errorf("empty file: %v, %v", list, err)
			}
			if two, err := f.ReadDir("loader/two"); err != nil || len(two) != 15 || two[0].Name != "FA" || two[14].Name != "LAST" {
				t.Errorf("a directory of two clusters: %v, %v", two, err)
			}
			for _, path := range []string{"", "/", "//"} {
				root, err := f.ReadDir(path)
				if err != nil || len(root) != 2 || root[0].Name != "README.TXT" || root[1].Name != "loader" || !root[1].Dir {
					t.Errorf("root as %q: %v, %v", path, root, err)
				}
			}
			if e, err := f.Stat("/"); err != nil || e.Name != "/" || !e.Dir {
				t.Errorf("root: %+v, %v", e, err)
			}
			if b, err := f.ReadFile("readme.txt", 700); err != nil || !bytes.Equal(b, pattern(700, 1)) {
				t.Errorf("ReadFile: %v", err)
			}
		})
	}
}

func TestPaths(t *testing.T) {
	m := newImage(t, shape{clusters: 200})
	dir, path := m.top, ""
	for range MaxDepth {
		dir = m.mkdir(dir, "D")
		path += "/d"
	}
	m.file(m.top, "A.TXT", []byte("a"))
	f := m.mustOpen()
	if _, err := f.ReadDir(path); err != nil {
		t.Errorf("the deepest directory: %v", err)
	}
	readDir := func(path string) error { _, err := f.ReadDir(path); return err }
	stat := func(path string) error { _, err := f.Stat(path); return err }
	read := func(path string) error { _, err := f.ReadFile(path, 0); return err }
	extents := func(path string) error {
		e, err := f.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		_, err = f.Extents(e)
		return err
	}
	for _, c := range []struct {
		name string
		do   func(string) error
		path string
		want error
	}{
		{"too deep", stat, path + "/D", ErrTooMany},
		{"absent", stat, "/nothing", fs.ErrNotExist},
		{"absent directory", readDir, "D/nothing", fs.ErrNotExist},
		{"below what is absent", stat, "/nothing/at/all", fs.ErrNotExist},
		{"below a file", stat, "A.TXT/D", fs.ErrNotExist},
		{"dot", stat, "D/.", fs.ErrNotExist},
		{"dot dot", stat, "D/..", fs.ErrNotExist},
		{"space", stat, " ", fs.ErrNotExist},
		{"padded", stat, "A       .TXT", fs.ErrNotExist},
		{"list of a file", readDir, "A.TXT", fs.ErrInvalid},
		{"extents of a directory", extents, "D", fs.ErrInvalid},
		{"extents of the root", extents, "", fs.ErrInvalid},
		{"content of a directory", read, "D", fs.ErrInvalid},
		{"content over the limit", read, "A.TXT", ErrTooMany},
		{"content of what is absent", read, "B.TXT", fs.ErrNotExist},
	} {
		if err := c.do(c.path); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", c.name, err, c.want)
		}
	}
}

func TestLabel(t *testing.T) {
	for _, c := range []struct {
		name, root, boot, want string
	}{
		{"none", "", "NO NAME    ", ""},
		{"boot sector", "", "BOOT LABEL ", "BOOT LABEL"},
		{"root directory wins", "ROOT       ", "BOOT       ", "ROOT"},
		{"CP437 and 0x05", "\x05\x8e B        ", "NO NAME    ", "σÄ B"},
		{"control character", "A\x1b[2J      ", "NO NAME    ", ""},
		{"control character, then the boot sector's", "A\x7f         ", "BOOT       ", "BOOT"},
		{"deleted", "\xe5OOT       ", "NO NAME    ", ""},
	} {
		m := newImage(t, shape{})
		copy(m.b[43:], c.boot)
		m.file(m.top, "FILE", nil)
		if c.root != "" {
			m.raw(m.top, c.root, 0x28, 0, 0)
		}
		f := m.mustOpen()
		if got := f.Label(); got != c.want {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
	m := newImage(t, shape{})
	copy(m.b[43:], "STALE      ")
	m.b[38] = 0x28
	if f := m.mustOpen(); f.Label() != "" || f.VolumeID() != 0x1234abcd {
		t.Errorf("signature 0x28: label %q, ID %#x", f.Label(), f.VolumeID())
	}
	m.b[38] = 0
	if f := m.mustOpen(); f.Label() != "" || f.VolumeID() != 0 {
		t.Errorf("no signature: label %q, ID %#x", f.Label(), f.VolumeID())
	}
}

// TestPreallocated has chains that go on behind their files, as fallocate with FALLOC_FL_KEEP_SIZE leaves them.
func TestPreallocated(t *testing.T) {
	for _, kind := range kinds {
		m := newImage(t, shape{kind: kind})
		m.file(m.top, "A", pattern(513, 1), 10, 12, 14, 13, 20, 21, 22, 23)
		m.file(m.top, "EMPTY", nil, 30, 31)
		f := m.mustOpen()
		if !bytes.Equal(content(t, f, "A"), pattern(513, 1)) || len(content(t, f, "EMPTY")) != 0 {
			t.Errorf("%v: another content", kind)
		}
	}
}

// TestActiveFAT breaks the FAT that is not in use.
func TestActiveFAT(t *testing.T) {
	m := sample(t, shape{kind: FAT32, tables: 3})
	for c := range uint32(m.count) {
		m.linkIn(0, c+2, 0)
		m.linkIn(2, c+2, 0)
	}
	read := func() error {
		_, err := m.mustOpen().ReadFile(osPath, 2500)
		return err
	}
	m.put16(40, 0x81)
	if err := read(); err != nil {
		t.Errorf("the second FAT is active: %v", err)
	}
	m.put16(40, 0x01) // without the flag the number means nothing
	if err := read(); !errors.Is(err, ErrCorrupt) {
		t.Errorf("all FATs are active: %v, want %v", err, ErrCorrupt)
	}
}

// TestReservedBits has the upper four bits of FAT32's entries set, and OS/2's use of the upper half of a cluster number.
func TestReservedBits(t *testing.T) {
	m := sample(t, shape{kind: FAT32})
	for c := range m.count + 2 {
		m.b[m.table+c*4+3] |= 0xf0
	}
	if !bytes.Equal(content(t, m.mustOpen(), osPath), pattern(2500, 2)) {
		t.Error("FAT32: another content")
	}
	m = sample(t, shape{kind: FAT16})
	m.put16(m.at["OS_1.2.raw"]+20, 0x1234)
	if !bytes.Equal(content(t, m.mustOpen(), osPath), pattern(2500, 2)) {
		t.Error("FAT16: another content")
	}
}

// TestHighClusters has a file in the last clusters of each FAT, which need all bits of an entry.
func TestHighClusters(t *testing.T) {
	for _, s := range []shape{{kind: FAT12, clusters: 4084}, {kind: FAT16, clusters: 65524}, {kind: FAT32, clusters: 70000}} {
		m := newImage(t, s)
		last := uint32(s.clusters + 1)
		m.file(m.top, "A", pattern(2000, 1), last-1, last, last-4, last-1365)
		f := m.mustOpen()
		if f.Type() != s.kind || !bytes.Equal(content(t, f, "A"), pattern(2000, 1)) {
			t.Errorf("%v: another type or content", s.kind)
		}
	}
}

// TestEdges has a root directory that ends within a sector, and a directory in a last cluster that ends within a block.
func TestEdges(t *testing.T) {
	m := newImage(t, shape{rootSlots: 17, clusters: 61})
	if len(m.b)%cacheBlock == 0 {
		t.Fatal("the test's image ends with a block")
	}
	for i := range 16 {
		m.file(m.top, "F"+string(rune('A'+i)), nil)
	}
	d := m.mkdir(m.top, "LAST", uint32(m.count+1))
	for i := range 14 {
		m.file(d, "F"+string(rune('A'+i)), nil)
	}
	copy(m.b[m.root+17*32:], "OUTSIDE    ")
	f := m.mustOpen()
	if root, err := f.ReadDir(""); err != nil || len(root) != 17 || root[16].Name != "LAST" {
		t.Errorf("root: %v, %v", root, err)
	}
	if list, err := f.ReadDir("last"); err != nil || len(list) != 14 {
		t.Errorf("last cluster: %v, %v", list, err)
	}
}

// TestReads counts what it takes to find 80 MiB in one piece on an ESP of 512 MiB: at 4 bytes for each of 20,480
// clusters of 4 KiB that is 80 KiB of the FAT, the boot sector and three directories.
func TestReads(t *testing.T) {
	img := mkfs(t, 512<<20, "-F", "32", "-s", "8")
	run(t, "mmd", "-i", img, "::/loader", "::/loader/ddi")
	f, _ := openImage(t, img)
	root, err := f.Stat("loader/ddi")
	if err != nil {
		t.Fatal(err)
	}
	w, err := os.OpenFile(img, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	const first, count = 1000, 20480
	m := &image{t: t, kind: FAT32, copies: 1, b: make([]byte, (first+count)*4)}
	for c := uint32(first); c < first+count; c++ {
		m.link(c, c+1)
	}
	m.link(first+count-1, m.end())
	if _, err := w.WriteAt(m.b[first*4:], f.table+first*4); err != nil {
		t.Fatal(err)
	}
	d := &image{b: make([]byte, 32)}
	d.raw(&folder{slots: []int{0}}, "OS      RAW", 0x21, first, count*4096)
	if _, err := w.WriteAt(d.b, f.offset(root.first)+64); err != nil {
		t.Fatal(err)
	}

	f, dev := openImage(t, img)
	e, err := f.Stat("/loader/ddi/os.raw")
	if err != nil {
		t.Fatal(err)
	}
	list, err := f.Extents(e)
	if want := (extent.List{{Offset: f.offset(first), Length: count * 4096}}); err != nil || !slices.Equal(list, want) {
		t.Fatalf("extents %v, want %v, error %v", list, want, err)
	}
	if limit := count*4 + 6*cacheBlock; dev.bytes > limit {
		t.Errorf("read %d bytes, want at most %d", dev.bytes, limit)
	}
	if !e.ReadOnly {
		t.Error("not read-only")
	}
	before := dev.bytes
	// The file's chain has pushed out the three directories and their part of the FAT, but no more than once.
	if _, err := f.ReadDir("loader/ddi"); err != nil || dev.bytes-before > 4*cacheBlock {
		t.Errorf("the directories again: %d bytes, error %v", dev.bytes-before, err)
	}
}

var errBroken = errors.New("broken disk")

// broken fails from one offset on.
type broken struct {
	io.ReaderAt
	from int64
}

func (b *broken) ReadAt(p []byte, off int64) (int, error) {
	if n := b.from - off; n < int64(len(p)) {
		n, _ := b.ReaderAt.ReadAt(p[:max(0, n)], off)
		return n, errBroken
	}
	return b.ReaderAt.ReadAt(p, off)
}

func TestDeviceErrors(t *testing.T) {
	m := sample(t, shape{kind: FAT16})
	size := int64(len(m.b))
	dev := &broken{readerAt(m.b), 100}
	check := func(what string, err, want error) {
		t.Helper()
		if !errors.Is(err, want) || errors.Is(err, ErrCorrupt) || errors.Is(err, ErrNotFAT) {
			t.Errorf("%s: %v, want %v", what, err, want)
		}
	}
	_, err := Open(dev, size)
	check("boot sector", err, errBroken)
	_, err = Open(readerAt(m.b[:300]), size)
	check("device shorter than it says", err, io.ErrUnexpectedEOF)

	dev.from = int64(m.table)
	f, err := Open(dev, size)
	if err != nil {
		t.Fatal(err)
	}
	_, err = f.ReadDir("")
	check("root directory", err, errBroken)
	if got := f.Label(); got != "" {
		t.Errorf("label %q of a root directory that cannot be read", got)
	}
	dev.from = size
	if got := f.Label(); got != "TEST VOL" { // the failure was not kept
		t.Errorf("label %q, want TEST VOL", got)
	}
	e, err := f.Stat("README.TXT")
	if err != nil {
		t.Fatal(err)
	}
	dev.from = int64(m.table)
	_, err = f.Extents(e)
	check("FAT", err, errBroken)
	dev.from = int64(m.data)
	_, err = f.ReadFile("README.TXT", 1000)
	check("content", err, errBroken)
	dev.from = size
	if _, err := f.ReadFile("README.TXT", 1000); err != nil {
		t.Errorf("repaired: %v", err)
	}
}
