// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package apply

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
	"syscall"

	"github.com/initddi/initddi/internal/gpt"
	"github.com/initddi/initddi/internal/osrelease"
	"github.com/initddi/initddi/internal/plan"
	"github.com/initddi/initddi/internal/resolve"
)

// Opener opens a file of a tree; symlinks must not lead out of it. [mount.Mount] is one.
type Opener interface {
	Open(name string) (*os.File, error)
}

// maxOSRelease bounds os-release; a real one has 500 bytes.
const maxOSRelease = 64 << 10

// handOverDirs must exist in the tree, or the hand-over has no place for what it carries.
var handOverDirs = [...]string{"dev", "proc", "sys", "run"}

// usrTree shows the tree of a /usr as the root will show it: at /usr, and at the links into it. A link with an absolute target
// leads where it leads on the root if that begins with one of the links; one into /usr by name leads nowhere.
type usrTree struct{ Opener }

func (t usrTree) Open(name string) (*os.File, error) {
	inside, ok := strings.CutPrefix(name, "/usr/")
	if !ok {
		if link, _, _ := strings.Cut(strings.TrimPrefix(name, "/"), "/"); link != "bin" && link != "sbin" && link != "lib" && link != "lib64" {
			return nil, &os.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
		}
		inside = strings.TrimPrefix(name, "/")
	}
	return t.Opener.Open("/" + inside)
}

// ReadTree reads what the identity rules and the hand-over need to know of a tree that is the root, or the /usr, of a system.
// inits returns the next inits to look for, best first.
func ReadTree(t Opener, d gpt.Designator, fstype string, inits func(plan.Kind) []string) (*resolve.Tree, error) {
	tree := &resolve.Tree{Designator: d, FileSystem: fstype, Kind: plan.KindOS}
	initrdRelease := "/etc/initrd-release"
	if d == gpt.Usr {
		var err error
		if tree.RootDir, err = rootDir(t); err != nil {
			return nil, err
		}
		t = usrTree{t}
		// The hand-over makes the link that /etc would have.
		initrdRelease = "/usr/lib/initrd-release"
	}
	if is, err := exists(t, initrdRelease); err != nil {
		return nil, err
	} else if is {
		tree.Kind = plan.KindInitrd
	}
	for _, name := range []string{"/etc/os-release", "/usr/lib/os-release"} {
		b, err := readFile(t, name, maxOSRelease)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		if tree.OSRelease, err = osrelease.Parse(b); err != nil {
			return nil, fmt.Errorf("cannot read %s of the image: %w", name, err)
		}
		tree.HasOS = true
		break
	}
	for _, dir := range []string{"/usr/lib/extension-release.d", "/etc/extension-release.d"} {
		name, err := firstEntry(t, dir)
		if err != nil {
			return nil, err
		}
		if name != "" {
			tree.Extension = dir + "/" + name
		}
	}
	for _, dir := range handOverDirs {
		if d == gpt.Usr {
			break // they are made
		}
		if is, err := isDir(t, dir); err != nil {
			return nil, err
		} else if !is {
			tree.MissingDirs = append(tree.MissingDirs, "/"+dir)
		}
	}
	for _, init := range inits(tree.Kind) {
		is, err := isExecutable(t, init)
		if err != nil {
			return nil, err
		}
		if is {
			tree.Init = init
			break
		}
	}
	return tree, nil
}

// rootDir returns a directory that the tree of a root has and that of a /usr does not, empty if t has none of them. A root that is
// entered as a /usr would lose its /etc, and with it whatever keeps people out.
func rootDir(t Opener) (string, error) {
	for _, dir := range append([]string{"usr"}, handOverDirs[:]...) {
		is, err := isDir(t, "/"+dir)
		if err != nil {
			return "", err
		}
		if is {
			return "/" + dir, nil
		}
	}
	return "", nil
}

// absent reports whether an error means that there is no such file, in any of the ways a tree can lack one.
func absent(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR) || errors.Is(err, syscall.ELOOP)
}

func exists(t Opener, name string) (bool, error) {
	_, err := stat(t, name)
	if err == nil {
		return true, nil
	}
	if absent(err) {
		return false, nil
	}
	return false, err
}

func stat(t Opener, name string) (os.FileInfo, error) {
	f, err := t.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return f.Stat()
}

func isDir(t Opener, name string) (bool, error) {
	info, err := stat(t, name)
	if err != nil {
		if absent(err) {
			return false, nil
		}
		return false, err
	}
	return info.IsDir(), nil
}

func isExecutable(t Opener, name string) (bool, error) {
	info, err := stat(t, name)
	if err != nil {
		if absent(err) {
			return false, nil
		}
		return false, err
	}
	return info.Mode().IsRegular() && info.Mode().Perm()&0o111 != 0, nil
}

func firstEntry(t Opener, dir string) (string, error) {
	f, err := t.Open(dir)
	if err != nil {
		if absent(err) {
			return "", nil
		}
		return "", err
	}
	defer f.Close()
	names, err := f.Readdirnames(1)
	if err != nil && !errors.Is(err, io.EOF) && !absent(err) {
		return "", err
	}
	if len(names) == 0 {
		return "", nil
	}
	return names[0], nil
}

func readFile(t Opener, name string, limit int64) ([]byte, error) {
	f, err := t.Open(name)
	if err != nil {
		if absent(err) {
			return nil, fmt.Errorf("cannot read %s of the image: %w", name, fs.ErrNotExist)
		}
		return nil, fmt.Errorf("cannot read %s of the image: %w", name, err)
	}
	defer f.Close()
	if info, err := f.Stat(); err != nil || !info.Mode().IsRegular() || info.Size() > limit {
		return nil, fmt.Errorf("cannot read %s of the image: not a file of at most %d bytes: %w", name, limit, errors.Join(err, fs.ErrInvalid))
	}
	b, err := io.ReadAll(io.LimitReader(f, limit))
	if err != nil {
		return nil, fmt.Errorf("cannot read %s of the image: %w", name, err)
	}
	return b, nil
}
