// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package fat

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/initddi/initddi/internal/extent"
)

// need skips the test where a tool is missing.
func need(t *testing.T, tool, pkg string) {
	t.Helper()
	if _, err := exec.LookPath(tool); err != nil {
		t.Skipf("needs %s (Debian package %s)", tool, pkg)
	}
}

func run(t *testing.T, name string, args ...string) string {
	t.Helper()
	cmd := exec.Command(name, args...)
	cmd.Env = append(os.Environ(), "LC_ALL=C.UTF-8", "TZ=UTC", "MTOOLSRC=/dev/null")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v\n%s", cmd, err, out)
	}
	return string(out)
}

// mkfs makes a file system with mkfs.vfat and returns the image's path.
func mkfs(t *testing.T, size int64, args ...string) string {
	t.Helper()
	need(t, "mkfs.vfat", "dosfstools")
	need(t, "mcopy", "mtools")
	img := filepath.Join(t.TempDir(), "fat.img")
	if err := os.WriteFile(img, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(img, size); err != nil {
		t.Fatal(err)
	}
	run(t, "mkfs.vfat", append(args, img)...)
	return img
}

// openImage opens the image file with this package; the counter is its device.
func openImage(t *testing.T, img string) (*FS, *counter) {
	t.Helper()
	file, err := os.Open(img)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { file.Close() })
	info, err := file.Stat()
	if err != nil {
		t.Fatal(err)
	}
	dev := &counter{ReaderAt: file}
	f, err := Open(dev, info.Size())
	if err != nil {
		t.Fatal(err)
	}
	return f, dev
}

// content reads a file through its extents and checks them.
func content(t *testing.T, f *FS, path string) []byte {
	t.Helper()
	e, err := f.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	list, err := f.Extents(e)
	if err != nil {
		t.Fatal(err)
	}
	if list.Size() != e.Size {
		t.Fatalf("%s: the extents have %d bytes, the file %d", path, list.Size(), e.Size)
	}
	b := make([]byte, e.Size)
	if _, err := extent.NewReader(f.dev, list).ReadAt(b, 0); err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	return b
}

// clusters formats a file's extents as mshowfat does: "<3-5> <7>".
func clusters(f *FS, list extent.List) string {
	var s []string
	for _, e := range list {
		first := (e.Offset-f.data)/f.cluster + 2
		last := (e.Offset+e.Length-1-f.data)/f.cluster + 2
		if first == last {
			s = append(s, fmt.Sprintf("<%d>", first))
		} else {
			s = append(s, fmt.Sprintf("<%d-%d>", first, last))
		}
	}
	return strings.Join(s, " ")
}

// tree returns the paths of everything in f.
func tree(t *testing.T, f *FS) []string {
	t.Helper()
	var paths []string
	var walk func(dir string)
	walk = func(dir string) {
		list, err := f.ReadDir(dir)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range list {
			path := dir + "/" + e.Name
			if e.Dir {
				paths = append(paths, path+"/")
				walk(path)
			} else {
				paths = append(paths, path)
			}
		}
	}
	walk("")
	return paths
}

// TestTools reads what mkfs.vfat and mtools wrote, and compares it with what mtools reads.
func TestTools(t *testing.T) {
	const mib = 1 << 20
	for _, c := range []struct {
		name    string
		size    int64
		args    []string
		kind    Type
		cluster int64
		label   string
		id      uint32
	}{
		{"FAT12 floppy", 1440 << 10, []string{"-F", "12", "-s", "1", "-n", "FLOPPY", "-i", "00000001"}, FAT12, 512, "FLOPPY", 1},
		{"FAT12 4 KiB sectors", 8 * mib, []string{"-F", "12", "-S", "4096", "-s", "1"}, FAT12, 4096, "", 0},
		{"FAT12 64 KiB clusters", 40 * mib, []string{"-F", "12", "-s", "128", "-n", "BIG ONES"}, FAT12, 65536, "BIG ONES", 0},
		{"FAT12 one FAT", 2 * mib, []string{"-F", "12", "-s", "2", "-f", "1"}, FAT12, 1024, "", 0},
		{"FAT16", 8 * mib, []string{"-F", "16", "-s", "2", "-i", "deadbeef"}, FAT16, 1024, "", 0xdeadbeef},
		{"FAT16 64 KiB clusters", 400 * mib, []string{"-F", "16", "-s", "128"}, FAT16, 65536, "", 0},
		{"FAT16 1 KiB sectors", 32 * mib, []string{"-F", "16", "-S", "1024", "-s", "4"}, FAT16, 4096, "", 0},
		{"FAT16 4 KiB sectors", 64 * mib, []string{"-F", "16", "-S", "4096", "-s", "1", "-n", "a b c"}, FAT16, 4096, "a b c", 0},
		{"FAT16 many root slots", 16 * mib, []string{"-F", "16", "-r", "1024", "-s", "4"}, FAT16, 2048, "", 0},
		{"FAT32", 64 * mib, []string{"-F", "32", "-s", "1", "-n", "ESP"}, FAT32, 512, "ESP", 0},
		{"FAT32 4 KiB clusters", 300 * mib, []string{"-F", "32", "-s", "8", "-R", "64"}, FAT32, 4096, "", 0},
		{"FAT32 64 KiB clusters", 4400 * mib, []string{"-F", "32", "-s", "128"}, FAT32, 65536, "", 0},
		{"FAT32 4 KiB sectors", 300 * mib, []string{"-F", "32", "-S", "4096", "-s", "1", "-n", "WITH SPACES"}, FAT32, 4096, "WITH SPACES", 0},
		{"FAT32 one FAT", 40 * mib, []string{"-F", "32", "-s", "1", "-f", "1"}, FAT32, 512, "", 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			img := mkfs(t, c.size, c.args...)
			src := t.TempDir()
			n := int(c.cluster)
			files := map[string][]byte{
				"EMPTY":                        {},
				"one.txt":                      {'x'},
				"CLUSTER":                      pattern(n, 1),
				"MORE.bin":                     pattern(n+1, 2),
				"three.RAW":                    pattern(3*n-5, 3),
				"OS.with several.dots_1.2.raw": pattern(100, 4),
				"Größe — ελληνικά 日本語.raw":           pattern(101, 5),
				strings.Repeat("long ", 40) + ".raw": pattern(102, 6),
				"thirteen.char":                      pattern(103, 7),
				"é.txt":                              pattern(104, 8),
			}
			names := slices.Sorted(maps.Keys(files))
			written := time.Date(2026, 3, 4, 5, 6, 8, 0, time.UTC)
			var args []string
			for _, name := range names {
				p := filepath.Join(src, name)
				if err := os.WriteFile(p, files[name], 0o600); err != nil {
					t.Fatal(err)
				}
				if err := os.Chtimes(p, written, written); err != nil {
					t.Fatal(err)
				}
				args = append(args, p)
			}
			deep := "/EFI/Linux/Some Name.efi.ddi.d/a/B/c/D"
			for i := 1; i <= len(deep); i++ {
				if i == len(deep) || deep[i] == '/' {
					run(t, "mmd", "-i", img, "::"+deep[:i])
				}
			}
			run(t, "mcopy", append(append([]string{"-m", "-i", img}, args...), "::/")...)
			run(t, "mcopy", append(append([]string{"-m", "-i", img}, args...), "::"+deep+"/")...)
			run(t, "mattrib", "-i", img, "+r", "::"+deep+"/three.RAW")

			f, _ := openImage(t, img)
			if f.Type() != c.kind || f.ClusterSize() != c.cluster || f.Label() != c.label {
				t.Errorf("%v, clusters of %d, label %q; want %v, %d, %q", f.Type(), f.ClusterSize(), f.Label(), c.kind, c.cluster, c.label)
			}
			if f.VolumeID() != c.id && c.id != 0 {
				t.Errorf("volume ID %#x, want %#x", f.VolumeID(), c.id)
			}
			root, err := f.ReadDir("/")
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, e := range root {
				got = append(got, e.Name)
			}
			if want := append([]string{"EFI"}, names...); !slices.Equal(got, want) {
				t.Errorf("the root has\n%q, want\n%q", got, want)
			}
			for _, dir := range []string{"", deep} {
				for _, name := range names {
					path := dir + "/" + name
					e, err := f.Stat(path)
					if err != nil {
						t.Error(err)
						continue
					}
					if e.Name != name || e.Size != int64(len(files[name])) || e.Dir || e.ModTime != "2026-03-04 05:06:08" {
						t.Errorf("%s is %+v", path, e)
					}
					if want := path == deep+"/three.RAW"; e.ReadOnly != want {
						t.Errorf("%s: read-only is %t, want %t", path, e.ReadOnly, want)
					}
					if !bytes.Equal(content(t, f, path), files[name]) {
						t.Errorf("%s has another content", path)
					}
					short, err := f.Stat(strings.ToUpper(dir) + "/" + e.ShortName)
					if err != nil || short != e {
						t.Errorf("%s is not found as %s: %v", path, e.ShortName, err)
					}
				}
			}
			if f.VolumeID() == 0 {
				t.Error("no volume ID")
			}
		})
	}
}

// TestFragments fills file systems, deletes every third file, fills the holes with one, and compares its clusters with
// what mshowfat says.
func TestFragments(t *testing.T) {
	for _, c := range []struct {
		args []string
		size int64
	}{
		{[]string{"-F", "12", "-s", "1"}, 1 << 20},
		{[]string{"-F", "16", "-s", "1"}, 3 << 20},
		{[]string{"-F", "32", "-s", "1"}, 34 << 20},
	} {
		t.Run(strings.Join(c.args, " "), func(t *testing.T) {
			img := mkfs(t, c.size, c.args...)
			f, _ := openImage(t, img)
			n := int(f.ClusterSize())
			src := t.TempDir()
			small := []string{"-i", img}
			deleted := []string{"-i", img}
			for i := range 60 {
				p := filepath.Join(src, fmt.Sprintf("small%d", i))
				if err := os.WriteFile(p, pattern((i%4+1)*n, uint32(i)), 0o600); err != nil {
					t.Fatal(err)
				}
				small = append(small, p)
				if i%3 == 1 {
					deleted = append(deleted, "::/d/"+filepath.Base(p))
				}
			}
			run(t, "mmd", "-i", img, "::/d")
			run(t, "mcopy", append(small, "::/d")...)
			// One file takes all that is left, so that the next one has to use the holes.
			f, _ = openImage(t, img)
			var free int
			for k := uint32(2); k < f.limit; k++ {
				if v, err := f.link(k); err != nil {
					t.Fatal(err)
				} else if v == 0 {
					free++
				}
			}
			rest := pattern(free*n, 98)
			if err := os.WriteFile(filepath.Join(src, "rest"), rest, 0o600); err != nil {
				t.Fatal(err)
			}
			run(t, "mcopy", "-i", img, filepath.Join(src, "rest"), "::/rest")
			run(t, "mdel", deleted...)
			big := pattern(40*n-7, 99)
			if err := os.WriteFile(filepath.Join(src, "big"), big, 0o600); err != nil {
				t.Fatal(err)
			}
			run(t, "mcopy", "-i", img, filepath.Join(src, "big"), "::/d/a big one.raw")

			f, _ = openImage(t, img)
			if !bytes.Equal(content(t, f, "/d/A BIG ONE.RAW"), big) || !bytes.Equal(content(t, f, "rest"), rest) {
				t.Error("another content")
			}
			for i := range 60 {
				if i%3 != 1 && !bytes.Equal(content(t, f, fmt.Sprintf("d/small%d", i)), pattern((i%4+1)*n, uint32(i))) {
					t.Errorf("small%d has another content", i)
				}
			}
			if _, err := f.Stat("d/small1"); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("a deleted file: %v", err)
			}
			e, err := f.Stat("/d/a big one.raw")
			if err != nil {
				t.Fatal(err)
			}
			list, err := f.Extents(e)
			if err != nil {
				t.Fatal(err)
			}
			if len(list) < 10 {
				t.Errorf("the file has only %d extents", len(list))
			}
			want := strings.TrimPrefix(strings.TrimSpace(run(t, "mshowfat", "-i", img, "::/d/a big one.raw")), "::/d/a big one.raw ")
			if got := clusters(f, list); got != want {
				t.Errorf("clusters %s, mshowfat says %s", got, want)
			}
		})
	}
}

// TestTree compares the names in a tree that has all kinds of them with mdir's.
func TestTree(t *testing.T) {
	img := mkfs(t, 4<<20, "-F", "12", "-s", "4", "-n", "TREE")
	src := filepath.Join(t.TempDir(), "top")
	var want []string
	add := func(path string) {
		p := filepath.Join(src, path)
		if err := os.MkdirAll(filepath.Dir(p), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(p, []byte(path), 0o600); err != nil {
			t.Fatal(err)
		}
		want = append(want, "/top/"+path)
	}
	for i := range 150 { // more than a cluster of slots
		add(fmt.Sprintf("many/file number %03d.raw", i))
	}
	for _, name := range []string{"a", "A.B", "abc.DEF", "Abc.def", "ABC.def", "x.y.z", ".hidden", "trailing_", "a+b,c;d=e[f]", "12345678.123", "123456789.1234"} {
		add("kinds of/" + fmt.Sprint(len(want)) + "/" + name)
	}
	add("many/DEEP/er/and/Deeper/file")
	run(t, "mcopy", "-s", "-i", img, src, "::/")
	f, _ := openImage(t, img)
	var mdir, got []string
	for line := range strings.Lines(run(t, "mdir", "-/", "-b", "-i", img, "::/")) {
		mdir = append(mdir, strings.TrimPrefix(strings.TrimSpace(line), "::"))
	}
	for _, path := range tree(t, f) {
		got = append(got, path)
		if !strings.HasSuffix(path, "/") && string(content(t, f, path)) != strings.TrimPrefix(path, "/top/") {
			t.Errorf("%s has another content", path)
		}
	}
	files := slices.DeleteFunc(slices.Clone(got), func(p string) bool { return strings.HasSuffix(p, "/") })
	slices.Sort(files)
	slices.Sort(want)
	if !slices.Equal(files, want) {
		t.Errorf("read\n%q, wrote\n%q", files, want)
	}
	// mdir -b shows names without a long form in upper case, and directories in its own order.
	fold := func(list []string) []string {
		for i := range list {
			list[i] = strings.ToUpper(list[i])
		}
		slices.Sort(list)
		return list
	}
	if got, mdir := fold(got), fold(mdir); !slices.Equal(got, mdir) {
		t.Errorf("read\n%q, mdir says\n%q", got, mdir)
	}
}
