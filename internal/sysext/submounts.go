// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package sysext

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/initddi/initddi/internal/layers"
	"github.com/initddi/initddi/internal/linux/inroot"
	"github.com/initddi/initddi/internal/linux/mount"
)

// submount is something that is mounted below a hierarchy, with all that is mounted below that.
type submount struct {
	rest  string // path behind the hierarchy's, "/local"
	mount *mount.Mount
}

// submounts returns copies of what is mounted below path and can be seen there, but the metadata directory. Whoever calls it closes them.
func (s *System) submounts(path string) (out []submount, err error) {
	defer func() {
		if err != nil {
			closeAll(out)
			out = nil
		}
	}()
	list, err := mount.List()
	if err != nil {
		return nil, err
	}
	for _, m := range list {
		rest := layers.Below(m.Point, path)
		if rest == "" || rest == "/"+s.Class.MetaDir() || isBelowOne(rest, out) {
			continue
		}
		// It may be hidden by another mount, or be gone.
		if id, err := mount.At(m.Point); err != nil || id != m.ID {
			continue
		}
		c, err := mount.Clone(m.Point, true)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return out, err
		}
		out = append(out, submount{rest, c})
	}
	return out, nil
}

func isBelowOne(rest string, list []submount) bool {
	for _, m := range list {
		if m.rest == rest || layers.Below(rest, m.rest) != "" {
			return true
		}
	}
	return false
}

func closeAll(list []submount) {
	for _, m := range list {
		m.mount.Close()
	}
}

// mountPoint opens the place for what was mounted at rest in the tree at path, and makes it if it is missing. The tree may be
// somebody else's: no link is followed.
func mountPoint(path, rest string, isDir bool) (*os.File, error) {
	tree, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer tree.Close()
	top, err := inroot.Where(tree)
	if err != nil {
		return nil, err
	}
	h, err := inroot.Handle(tree, rest)
	if errors.Is(err, fs.ErrNotExist) {
		if isDir {
			h, err = inroot.MkdirAll(tree, rest, 0o755)
		} else {
			h, err = makeFile(tree, rest)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("cannot make the mount point %s: %w", path+rest, err)
	}
	if where, err := inroot.Where(h); err != nil || where != filepath.Clean(top+rest) {
		h.Close()
		return nil, fmt.Errorf("cannot use the mount point %s: a link leads to %s: %w", path+rest, where, errors.Join(err, fs.ErrInvalid))
	}
	return h, nil
}

// makeFile makes an empty file and the directories above it.
func makeFile(tree *os.File, rest string) (*os.File, error) {
	above, err := inroot.MkdirAll(tree, filepath.Dir(rest), 0o755)
	if err != nil {
		return nil, err
	}
	defer above.Close()
	f, err := os.OpenFile(filepath.Join(inroot.ThroughProc(above), filepath.Base(rest)), os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o644)
	if err != nil {
		return nil, err
	}
	f.Close()
	return inroot.Handle(tree, rest)
}

// attachBelow attaches a mount at rest in the tree at path.
func attachBelow(m *mount.Mount, path, rest string) error {
	top, err := m.Open(".")
	isDir := true
	if err == nil {
		info, serr := top.Stat()
		top.Close()
		isDir = serr != nil || info.IsDir()
	} else {
		isDir = false // a mount of a file has no directory to open
	}
	at, err := mountPoint(path, rest, isDir)
	if err != nil {
		return err
	}
	defer at.Close()
	return m.AttachTo(at)
}
