// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package sysext

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/initddi/initddi/internal/layers"
	"github.com/initddi/initddi/internal/linux/files"
	"github.com/initddi/initddi/internal/linux/mount"
)

// overlay makes the mount of one hierarchy, if it has layers.
func (b *builder) overlay(u uncovered, r *layers.Request, origin *layers.Origin) error {
	stack, err := layers.Plan(*r)
	if err != nil {
		return err
	}
	if stack == nil {
		if u.old != nil {
			b.w.gone = append(b.w.gone, u.path)
		}
		return nil
	}
	at := filepath.Join(b.workspace(), "overlay", u.hierarchy)
	if err := b.mountStack(stack, r, at, origin); err != nil {
		return err
	}
	p := part{hierarchy: u.hierarchy, path: u.path}
	if p.path == "" {
		p.path = filepath.Join(orElse(b.Root, "/"), u.hierarchy)
	}
	for _, m := range u.submounts {
		if err := attachBelow(m.mount, at, m.rest); err != nil {
			return err
		}
		p.submounts = append(p.submounts, m.rest)
	}
	if p.mount, err = mount.Clone(at, true); err != nil {
		return err
	}
	if u.old != nil {
		// The one in u is closed with the namespace.
		if p.old, err = u.old.Copy(); err != nil {
			p.mount.Close()
			return err
		}
	}
	b.w.parts = append(b.w.parts, p)
	return nil
}

// mountStack mounts the overlay at a directory of the workspace, metadata included.
func (b *builder) mountStack(stack *layers.Stack, r *layers.Request, at string, origin *layers.Origin) error {
	meta := filepath.Join(r.Meta, b.Class.MetaDir())
	top := r.Meta
	for _, dir := range []struct {
		name string
		perm os.FileMode
	}{{at, 0o700}, {r.Meta, 0o700}, {meta, 0o755}, {stack.Work, 0o700}} {
		if dir.name == "" {
			continue
		}
		if dir.name == stack.Work && !b.o.Mutable.InMemory() {
			b.made = append(b.made, dir.name)
		}
		if err := os.MkdirAll(dir.name, dir.perm); err != nil {
			return fmt.Errorf("cannot make a directory for %s: %w", r.Hierarchy, err)
		}
	}
	if stack.Upper != "" {
		top = stack.Upper
	}
	// The top of the tree has the permissions of its topmost layer.
	if err := os.Chmod(top, os.FileMode(stack.Mode)); err != nil {
		return fmt.Errorf("cannot set the permissions of %s: %w", r.Hierarchy, err)
	}
	o := mount.Overlay{Source: string(b.Class), Lower: stack.Lower, Upper: stack.Upper, Work: stack.Work, Options: stack.Options}
	for _, a := range []struct {
		is   bool
		attr int
	}{{stack.ReadOnly, mount.ReadOnly}, {stack.NoSuid, mount.NoSuid}, {stack.NoDev, mount.NoDev}, {stack.NoExec, mount.NoExec}, {stack.NoAtime, mount.NoAtime}} {
		if a.is {
			o.Attr |= a.attr
		}
	}
	if err := o.AttachAt(at); err != nil {
		return err
	}
	if err := b.writeMeta(meta, stack, r, at, origin); err != nil {
		return fmt.Errorf("cannot write the metadata of %s: %w", r.Hierarchy, err)
	}
	now := time.Now()
	if err := os.Chtimes(r.Meta, now, now); err != nil {
		return err
	}
	if stack.Upper == "" {
		return nil
	}
	// Who could write here could make others believe that this is no merge.
	m, err := mount.Clone(filepath.Join(at, b.Class.MetaDir()), false)
	if err != nil {
		return err
	}
	defer m.Close()
	if err := m.SetAttr(mount.ReadOnly, false); err != nil {
		return err
	}
	return m.Attach(filepath.Join(at, b.Class.MetaDir()))
}

// tree describes a directory; nil if it does not exist.
func tree(path string) (*layers.Tree, error) {
	if path == "" {
		return nil, nil
	}
	info, err := files.Look(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	above, err := files.Look(filepath.Dir(path))
	if err != nil {
		return nil, err
	}
	list, err := os.ReadDir(path)
	if err != nil {
		return nil, err
	}
	return &layers.Tree{
		Path: path, Mode: uint32(info.Mode.Perm()), Empty: len(list) == 0, ReadOnly: info.ReadOnly,
		Parent: above.Major == info.Major && above.Minor == info.Minor,
		Node:   strconv.FormatUint(uint64(info.Major), 10) + ":" + strconv.FormatUint(uint64(info.Minor), 10) + ":" + strconv.FormatUint(info.Inode, 10),
	}, nil
}
