// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package apply

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/initddi/initddi/internal/extent"
	"github.com/initddi/initddi/internal/gpt"
	"github.com/initddi/initddi/internal/osrelease"
	"github.com/initddi/initddi/internal/plan"
)

// directory is a tree that lies in a directory, with errors for some names.
type directory struct {
	dir    string
	errs   map[string]error
	broken string // this one can be opened, but not read
}

func (d directory) Open(name string) (*os.File, error) {
	if err := d.errs[name]; err != nil {
		return nil, &os.PathError{Op: "open", Path: name, Err: err}
	}
	f, err := os.OpenFile(filepath.Join(d.dir, name), os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err == nil && name == d.broken {
		f.Close()
	}
	return f, err
}

// treeOf makes a tree of lines: "DIR/", "FILE", "FILE*" (executable), "FILE=TEXT", "LINK->TARGET".
func treeOf(t *testing.T, lines ...string) directory {
	t.Helper()
	d := directory{dir: t.TempDir(), errs: map[string]error{}}
	for _, line := range lines {
		var err error
		name := func(s string) string {
			p := filepath.Join(d.dir, s)
			if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
				t.Fatal(err)
			}
			return p
		}
		if link, target, ok := strings.Cut(line, "->"); ok {
			err = os.Symlink(target, name(link))
		} else if strings.HasSuffix(line, "/") {
			err = os.MkdirAll(filepath.Join(d.dir, line), 0o755)
		} else if file, ok := strings.CutSuffix(line, "*"); ok {
			err = os.WriteFile(name(file), []byte("#!"), 0o755)
		} else {
			file, text, _ := strings.Cut(line, "=")
			err = os.WriteFile(name(file), []byte(text), 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return d
}

var mountPoints = []string{"dev/", "proc/", "sys/", "run/"}

func TestReadTree(t *testing.T) {
	inits := func(k plan.Kind) []string { return []string{"/sbin/init", "/" + string(k)} }
	for _, test := range []struct {
		name  string
		lines []string
		want  string // kind, init, ID, extension, missing
	}{
		{"an OS", append([]string{"sbin/init*", "etc/os-release=ID=debian\n"}, mountPoints...), "os /sbin/init debian  []"},
		{"an initrd", append([]string{"initrd*", "etc/initrd-release=x", "etc/os-release=ID=debian\n"}, mountPoints...), "initrd /initrd debian  []"},
		{"initrd-release is a link to nothing", append([]string{"sbin/init*", "etc/initrd-release->nothing", "etc/os-release=ID=a\n"}, mountPoints...), "os /sbin/init a  []"},
		{"/etc before /usr/lib", append([]string{"etc/os-release=ID=a\n", "usr/lib/os-release=ID=b\n"}, mountPoints...), "os  a  []"},
		{"/usr/lib alone", append([]string{"usr/lib/os-release=ID=b\n"}, mountPoints...), "os  b  []"},
		{"by a link", append([]string{"etc/os-release->../usr/lib/os-release", "usr/lib/os-release=ID=b\n"}, mountPoints...), "os  b  []"},
		{"a link to nothing", append([]string{"etc/os-release->nothing", "usr/lib/os-release=ID=b\n"}, mountPoints...), "os  b  []"},
		{"nothing at all", nil, "no os-release os    [/dev /proc /sys /run]"},
		{"files for directories", []string{"dev", "proc->dev", "sys/", "run/"}, "no os-release os    [/dev /proc]"},
		{"the second init", append([]string{"sbin/init", "os*"}, mountPoints...), "no os-release os /os   []"},
		{"an init that is a directory", append([]string{"sbin/init/x*", "os*"}, mountPoints...), "no os-release os /os   []"},
		{"an init by a link", append([]string{"sbin->usr/sbin", "usr/sbin/init->../lib/init", "usr/lib/init*"}, mountPoints...), "no os-release os /sbin/init   []"},
		{"a link that turns in circles", append([]string{"sbin->sbin"}, mountPoints...), "no os-release os    []"},
		{"a sysext", append([]string{"usr/lib/extension-release.d/extension-release.x=ID=_any\n"}, mountPoints...), "no os-release os   /usr/lib/extension-release.d/extension-release.x []"},
		{"a confext", append([]string{"etc/extension-release.d/extension-release.x=ID=_any\n"}, mountPoints...), "no os-release os   /etc/extension-release.d/extension-release.x []"},
		{"a file for a directory of extensions", append([]string{"usr/lib/extension-release.d"}, mountPoints...), "no os-release os    []"},
		{"an empty directory of extensions", append([]string{"usr/lib/extension-release.d/"}, mountPoints...), "no os-release os    []"},
	} {
		t.Run(test.name, func(t *testing.T) {
			tree, err := ReadTree(treeOf(t, test.lines...), gpt.Root, "erofs", inits)
			if err != nil {
				t.Fatal(err)
			}
			got := fmt.Sprint(tree.Kind, " ", tree.Init, " ", tree.OSRelease.Get("ID"), " ", tree.Extension, " ", tree.MissingDirs)
			if !tree.HasOS {
				got = "no os-release " + got
			}
			if got != test.want || tree.FileSystem != "erofs" {
				t.Errorf("got  %q\nwant %q", got, test.want)
			}
		})
	}
}

// TestReadTreeErrors: what cannot be read is not taken for absent. A corrupt block must not make an initrd an OS.
func TestReadTreeErrors(t *testing.T) {
	inits := func(plan.Kind) []string { return []string{"/sbin/init"} }
	whole := append([]string{"sbin/init*", "etc/os-release=ID=debian\n", "etc/initrd-release", "usr/lib/extension-release.d/"}, mountPoints...)
	for _, name := range []string{"/etc/initrd-release", "/etc/os-release", "/usr/lib/extension-release.d", "/etc/extension-release.d", "dev", "run", "/sbin/init"} {
		d := treeOf(t, whole...)
		d.errs[name] = syscall.EIO
		if _, err := ReadTree(d, gpt.Root, "erofs", inits); !errors.Is(err, syscall.EIO) || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
	}
	d := treeOf(t, append([]string{"etc/extension-release.d/extension-release.x"}, whole...)...)
	d.broken = "/etc/extension-release.d"
	if tree, err := ReadTree(d, gpt.Root, "erofs", inits); err == nil {
		t.Errorf("an extension whose directory cannot be read is a boot image: %+v", tree)
	}
	var syntax *osrelease.SyntaxError
	if _, err := ReadTree(treeOf(t, append([]string{"etc/os-release=nonsense"}, mountPoints...)...), gpt.Root, "erofs", inits); !errors.As(err, &syntax) {
		t.Error(err)
	}
	for name, line := range map[string]string{"too large": "etc/os-release=" + strings.Repeat("#", maxOSRelease+1), "a directory": "etc/os-release/x"} {
		if _, err := ReadTree(treeOf(t, append([]string{line}, mountPoints...)...), gpt.Root, "erofs", inits); !errors.Is(err, fs.ErrInvalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
	// A pipe must not block process 1.
	d = treeOf(t, append([]string{"etc/x"}, mountPoints...)...)
	if err := syscall.Mkfifo(filepath.Join(d.dir, "etc/os-release"), 0o644); err != nil {
		t.Skip("needs a file system with pipes: ", err)
	}
	if _, err := ReadTree(d, gpt.Root, "erofs", inits); !errors.Is(err, fs.ErrInvalid) {
		t.Errorf("a pipe: %v", err)
	}
}

// TestRootIsNoUsr: nobody signs whether an image is a root or a /usr. A root with merged /usr looks like a /usr through its links.
func TestRootIsNoUsr(t *testing.T) {
	inits := func(plan.Kind) []string { return []string{"/usr/sbin/init"} }
	usr := []string{"sbin/init*", "lib/os-release=ID=a\n", "bin/", "share/"}
	root := append([]string{"sbin->usr/sbin", "lib->usr/lib", "usr/sbin/init*", "usr/lib/os-release=ID=a\n"}, mountPoints...)
	for _, test := range []struct {
		name  string
		lines []string
		want  string
	}{
		{"a /usr", usr, ""}, {"a root", root, "/usr"}, {"a root without /usr", append(slices.Clone(usr), mountPoints...), "/dev"}, {"a file", append(slices.Clone(usr), "dev=x"), ""},
	} {
		tree, err := ReadTree(treeOf(t, test.lines...), gpt.Usr, "erofs", inits)
		if err != nil {
			t.Fatal(err)
		}
		if tree.RootDir != test.want || tree.Init != "/usr/sbin/init" || tree.OSRelease.Get("ID") != "a" {
			t.Errorf("%s: RootDir is %q, wanted %q; %+v", test.name, tree.RootDir, test.want, tree)
		}
	}
	d := treeOf(t, usr...)
	d.errs["/usr"] = syscall.EIO
	if _, err := ReadTree(d, gpt.Usr, "erofs", inits); !errors.Is(err, syscall.EIO) {
		t.Errorf("what cannot be read is taken for absent: %v", err)
	}
}

func TestLoopOffset(t *testing.T) {
	for _, test := range []struct {
		extents extent.List
		want    int64
	}{
		{nil, 0},
		{extent.List{{Offset: 0, Length: 4096}}, 0},
		{extent.List{{Offset: 8191, Length: 4096}}, 0},
		{extent.List{{Offset: 8192, Length: 4096}}, 4096},
		{extent.List{{Offset: 1 << 20, Length: 4096}, {Offset: 40960, Length: 4096}}, 36864},
		{extent.List{{Offset: 1<<20 + 512, Length: 512}}, 1<<20 - 4096},
	} {
		got := loopOffset(Source{Extents: test.extents})
		if got != test.want {
			t.Errorf("%v: %d, want %d", test.extents, got, test.want)
		}
		// What is mapped lies behind the offset, which the loop driver takes in whole blocks of any disk.
		if got%4096 != 0 || slices.ContainsFunc(test.extents, func(e extent.Extent) bool { return e.Offset < got }) {
			t.Errorf("%v: %d", test.extents, got)
		}
	}
}
