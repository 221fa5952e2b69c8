// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package sysext

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/initddi/initddi/internal/layers"
	"github.com/initddi/initddi/internal/linux/mount"
	"github.com/initddi/initddi/internal/osrelease"
)

// Given is an extension that somebody has found, accepted and mounted: whether it may be used is no question any more.
type Given struct {
	Name string
	Path string // where its file is, for the metadata
	// Tree is mounted detached. [Into] closes it.
	Tree *mount.Mount
	// Usr says that it is the tree of a /usr.
	Usr      bool
	RootHash string // in hexadecimal
}

// Left is an extension that was left out, and why.
type Left struct {
	Name string
	Err  error
}

// Merged is what [Into] made.
type Merged struct {
	// Tree is the whole tree, detached: with the extensions in it, or as it was after an error.
	Tree *mount.Mount
	Used []string // the lowest layer first
	Left []Left
}

// Into merges extensions of one class into a tree that is mounted detached, such as a boot image before the hand-over, and that nobody
// sees before, meanwhile or afterwards. It uses tree up: what is to be used instead is in the result, which is never nil, also beside
// an error, when it is the tree without extensions; only if even that could not be had is there no Tree. An extension that does not fit, or
// has what no extension may have, is left out.
//
// check, unless it is nil, is shown the whole tree before it takes the place of the one without extensions. Its error keeps that: extensions do not have
// to have a file to take one away, where links of the tree lead into what they extend.
//
// Whoever looks at the tree later, systemd or [System], finds a merge like any other. workspace is a directory that a tmpfs is mounted at
// meanwhile, in a namespace of its own; "" is [DefaultWorkspace].
func Into(tree *mount.Mount, class layers.Class, list []Given, check func(whole *mount.Mount) error, workspace string) (*Merged, error) {
	s := &System{Class: class, Workspace: workspace}
	s.Root = filepath.Join(s.workspace(), "root")
	b := &builder{System: s, w: &work{}}
	out := &Merged{}
	defer func() {
		tree.Close()
		for _, g := range list {
			g.Tree.Close()
		}
		b.w.close()
	}()
	err := mount.InNamespace(func() error { return b.into(tree, list, check, out) })
	out.Left = b.left
	if err != nil {
		return out, fmt.Errorf("cannot merge extensions: %w", err)
	}
	out.Used = b.names()
	return out, nil
}

func (b *builder) into(tree *mount.Mount, list []Given, check func(*mount.Mount) error, out *Merged) error {
	if err := b.makeWorkspace(); err != nil {
		out.Tree, _ = tree.Copy()
		return err
	}
	if err := os.Mkdir(b.Root, 0o700); err != nil {
		out.Tree, _ = tree.Copy()
		return err
	}
	// The layers of an overlay have to be mounted somewhere, and what was once attached goes with its namespace: a copy stays.
	if err := tree.Attach(b.Root); err != nil {
		out.Tree, _ = tree.Copy()
		return err
	}
	var err error
	if out.Tree, err = mount.Clone(b.Root, true); err != nil {
		return err
	}
	if b.root, err = b.open(); err != nil {
		return err
	}
	defer b.root.Close()
	host, err := b.host(b.root)
	if err != nil {
		return err
	}
	for _, g := range list {
		if err := b.takeGiven(g, host); err != nil {
			return err
		}
	}
	if err := b.assemble(); err != nil {
		return err
	}
	if len(b.w.parts) == 0 {
		return nil
	}
	if err := b.attachAll(b.root, b.w); err != nil {
		return err
	}
	whole, err := mount.Clone(b.Root, true)
	if err != nil {
		return err
	}
	if check != nil {
		if err := check(whole); err != nil {
			return errors.Join(err, whole.Close())
		}
	}
	err = out.Tree.Close()
	out.Tree = whole
	return err
}

// takeGiven puts an extension that is mounted already into the workspace and keeps it if it fits.
func (b *builder) takeGiven(g Given, host layers.Host) error {
	u := used{Image: Image{Name: g.Name, Type: "raw", Path: g.Path}, tree: filepath.Join(b.workspace(), b.Class.Plural(), g.Name), rootHash: g.RootHash}
	if !layers.ValidName(g.Name) {
		b.leaveOut(g.Name, fmt.Errorf("has a name that no extension can have: %w", os.ErrInvalid))
		return nil
	}
	if _, err := os.Lstat(u.tree); err == nil {
		b.leaveOut(g.Name, fmt.Errorf("has the name of another: %w", os.ErrExist))
		return nil
	}
	at := u.tree
	if g.Usr {
		at += "/usr"
	}
	if err := os.MkdirAll(at, 0o700); err != nil {
		return err
	}
	if err := g.Tree.Attach(at); err != nil {
		return err
	}
	dir, err := os.Open(u.tree)
	if err != nil {
		return err
	}
	defer dir.Close()
	what, err := b.contents(dir, true, false)
	if err != nil {
		return refuse(g.Name, "", err)
	}
	if what != "" {
		b.leaveOut(g.Name, fmt.Errorf("has %s: %w", what, ErrForbidden))
		return nil
	}
	return b.judge(u, host)
}

// Inspect reads what an extension that is mounted detached says of itself: its extension-release, or why there is none that can be read,
// and what it has that no extension may have, "" if nothing. usr says that it is the tree of a /usr. The error is that of a tree that
// cannot be read.
func Inspect(m *mount.Mount, class layers.Class, name string, usr bool) (release osrelease.Fields, missing error, forbidden string, err error) {
	tree, err := m.Open("/")
	if err != nil {
		return release, nil, "", err
	}
	defer tree.Close()
	release, missing = readReleaseIn(tree, class, name, below(class.ReleaseDir(), usr))
	s := &System{Class: class}
	if usr {
		forbidden, err = s.contentsOf(tree, "/usr", true, false)
	} else {
		forbidden, err = s.contents(tree, true, false)
	}
	if err != nil {
		return release, missing, "", fmt.Errorf("cannot look into the extension %s: %w", name, err)
	}
	return release, missing, forbidden, nil
}

// below returns where something is in a tree, which may be that of a /usr alone.
func below(path string, usr bool) string {
	if usr {
		return strings.TrimPrefix(path, "/usr")
	}
	return path
}
