// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package attack

import (
	"crypto/sha256"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"github.com/initddi/initddi/internal/layers"
)

// Extension is a system with a good extension that is being tampered with. Both are directories: what a signature has to do with them is the
// other cases'.
type Extension struct {
	// Dir is a file system of its own, Root the system in it.
	Dir, Root string
	Class     layers.Class
	// Name is what the extension is called; At is where it lies, below Root.
	Name, At string
	// More are other extensions, by name, that must be merged as well, though nothing else does that.
	More []string
	// Twice is where a second one of the same name is, for who is given both.
	Twice string
}

// The good extensions: the one that is tampered with, and its neighbour, which must not suffer.
const (
	tool      = "tool"
	neighbour = "neighbour"
)

// fits is an extension-release that fits the system.
const fits = "ID=debian\nVERSION_ID=13\n"

// newExtension writes the good system and its extensions to dir.
func newExtension(dir string, class layers.Class) *Extension {
	e := &Extension{Dir: dir, Root: dir + "/root", Class: class, Name: tool}
	for name, text := range map[string]string{
		"usr/lib/os-release": "ID=debian\nVERSION_ID=13\nSYSEXT_LEVEL=2\nCONFEXT_LEVEL=2\n", "usr/bin/tool": "the system's", "usr/lib/secret": "secret", "etc/passwd": "root",
		"home/.systemd-mine-workdir/letter": "mine", "opt/.keep": "",
	} {
		e.system(name, text)
	}
	must(os.Symlink("../usr/lib/os-release", e.Root+"/etc/os-release"))
	must(os.Chmod(e.Root+"/usr", 0o751))
	for _, name := range []string{neighbour, tool} {
		e.Name, e.At = name, e.places()[1]+"/"+name
		e.release(fits)
		if name == neighbour {
			e.release(fits + "SYSEXT_SCOPE=\"system initrd\"\nCONFEXT_SCOPE=\"system initrd\"\n")
		}
		if class == layers.Confext {
			e.file("etc/"+name, name)
			continue
		}
		e.file("usr/bin/"+name, name)
		e.file("opt/"+name+"/x", name)
	}
	return e
}

// places are the directories in which extensions lie.
func (e *Extension) places() []string { return e.Class.SearchPath(false) }

// in returns the path of a file of the extension.
func (e *Extension) in(name string) string { return e.Root + e.At + "/" + name }

// system writes a file of the system.
func (e *Extension) system(name, text string) { writeFile(e.Root+"/"+name, text) }

// file writes a file of the extension.
func (e *Extension) file(name, text string) { writeFile(e.in(name), text) }

func writeFile(name, text string) {
	must(os.MkdirAll(filepath.Dir(name), 0o755))
	must(os.WriteFile(name, []byte(text), 0o644))
}

// releaseName is the path of the file that says which system the extension is for.
func (e *Extension) releaseName() string {
	return strings.Trim(e.Class.ReleaseDir(), "/") + "/" + layers.ReleasePrefix + e.Name
}

// release writes that file.
func (e *Extension) release(text string) { e.file(e.releaseName(), text) }

// remove removes something from the extension.
func (e *Extension) remove(name string) { must(os.RemoveAll(e.in(name))) }

// link puts a link in the place of whatever is there.
func (e *Extension) link(name, target string) {
	e.remove(name)
	must(os.MkdirAll(filepath.Dir(e.in(name)), 0o755))
	must(os.Symlink(target, e.in(name)))
}

// node puts a special file in the place of whatever is there.
func (e *Extension) node(name string, mode uint32, major, minor int) {
	e.remove(name)
	must(os.MkdirAll(filepath.Dir(e.in(name)), 0o755))
	must(syscall.Mknod(e.in(name), mode|0o666, major<<8|minor))
}

// whiteout puts what an overlay takes for a file that was removed in the place of whatever is there.
func (e *Extension) whiteout(name string) { e.node(name, syscall.S_IFCHR, 0, 0) }

// attribute sets an extended attribute of something in the extension.
func (e *Extension) attribute(name, key, value string) {
	must(syscall.Setxattr(e.in(name), key, []byte(value), 0))
}

// rename gives the extension another name, and its extension-release with it.
func (e *Extension) rename(name string) {
	old := e.in(e.releaseName())
	before := e.Root + e.At
	e.Name, e.At = name, filepath.Dir(e.At)+"/"+name
	must(os.Rename(before, e.Root+e.At))
	must(os.Rename(filepath.Join(e.Root+e.At, strings.TrimPrefix(old, before)), e.in(e.releaseName())))
}

// move puts the extension, as it is, somewhere else in the system.
func (e *Extension) move(at string) {
	must(os.MkdirAll(filepath.Dir(e.Root+at), 0o755))
	must(os.Rename(e.Root+e.At, e.Root+at))
	e.At = at
}

// mount mounts something at a place of the system.
func (e *Extension) mount(at string) {
	must(os.MkdirAll(e.Root+at, 0o755))
	must(syscall.Mount("tamper", e.Root+at, "tmpfs", 0, ""))
}

// another makes one more good extension beside the good ones, with something else in it.
func (e *Extension) another(name string) *Extension {
	other := *e
	other.Name, other.At = name, e.places()[1]+"/"+name
	other.release(fits)
	return &other
}

// snapshot describes everything below a directory: kinds, permissions, owners and contents. It reads no more of a file than its beginning.
func snapshot(dir string) (string, error) {
	var out strings.Builder
	err := filepath.WalkDir(dir, func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		st := info.Sys().(*syscall.Stat_t)
		fmt.Fprintf(&out, "%q %v %d:%d %d", strings.TrimPrefix(name, dir), info.Mode(), st.Uid, st.Gid, st.Rdev)
		switch {
		case info.Mode().IsRegular():
			f, err := os.Open(name)
			if err != nil {
				return err
			}
			h := sha256.New()
			_, err = io.Copy(h, io.LimitReader(f, 4096))
			f.Close()
			if err != nil {
				return err
			}
			fmt.Fprintf(&out, " %d %x", info.Size(), h.Sum(nil))
		case info.Mode().Type() == fs.ModeSymlink:
			target, err := os.Readlink(name)
			if err != nil {
				return err
			}
			fmt.Fprintf(&out, " -> %q", target)
		}
		out.WriteString(attributes(name))
		out.WriteByte('\n')
		return nil
	})
	return out.String(), err
}

// attributes describes the extended attributes that cases set.
func attributes(name string) string {
	out := ""
	for _, key := range []string{"trusted.overlay.opaque", "trusted.overlay.redirect", "trusted.overlay.metacopy", "user.overlay.opaque", "user.overlay.redirect", "user.extension-release.strict", "security.capability"} {
		b := make([]byte, 4096)
		if n, err := syscall.Getxattr(name, key, b); err == nil {
			out += fmt.Sprintf(" %s=%q", key, b[:n])
		}
	}
	return out
}

// differences returns the lines that one of two snapshots has and the other has not.
func differences(before, after string) []string {
	var out []string
	a, b := strings.Split(before, "\n"), strings.Split(after, "\n")
	for _, l := range a {
		if !slices.Contains(b, l) {
			out = append(out, "gone: "+l)
		}
	}
	for _, l := range b {
		if !slices.Contains(a, l) {
			out = append(out, "new: "+l)
		}
	}
	return out
}
