// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package sysext

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/initddi/initddi/internal/layers"
	"github.com/initddi/initddi/internal/linux/files"
	"github.com/initddi/initddi/internal/linux/inroot"
	"github.com/initddi/initddi/internal/osrelease"
)

// Image is an extension that was found.
type Image struct {
	Name string
	Type string // "directory", "subvolume", "raw" or "block"
	Path string
	// Time is when a file was changed, or a directory made; the zero time where that cannot be told.
	Time time.Time

	found string // path in the root, links not followed
	info  files.Info
}

// List returns the extensions that are installed, sorted by name: of each name the first in the search path.
func (s *System) List() ([]Image, error) {
	root, err := s.open()
	if err != nil {
		return nil, err
	}
	defer root.Close()
	return s.list(root)
}

func (s *System) list(root *os.File) ([]Image, error) {
	initrd, err := isInitrd(root)
	if err != nil {
		return nil, err
	}
	var out []Image
	for _, dir := range s.Class.SearchPath(initrd) {
		entries, err := readEntries(root, dir, true)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("cannot look for extensions: %w", err)
		}
		for _, f := range layers.Extensions(s.Class, entries, layers.Architectures(runtime.GOARCH)) {
			if slices.ContainsFunc(out, func(i Image) bool { return i.Name == f.Name }) {
				continue
			}
			img, err := newImage(root, f, dir+"/"+f.Path)
			if errors.Is(err, fs.ErrNotExist) {
				continue // it went away
			}
			if err != nil {
				return nil, err
			}
			out = append(out, img)
		}
	}
	slices.SortFunc(out, func(a, b Image) int { return strings.Compare(a.Name, b.Name) })
	return out, nil
}

func newImage(root *os.File, f layers.Found, where string) (Image, error) {
	h, err := inroot.Handle(root, where)
	if err != nil {
		return Image{}, fmt.Errorf("cannot find the extension %s: %w", f.Name, err)
	}
	defer h.Close()
	img := Image{Name: f.Name, found: where}
	if img.Path, err = inroot.Where(h); err != nil {
		return Image{}, err
	}
	if img.info, err = files.Look(inroot.ThroughProc(h)); err != nil {
		return Image{}, err
	}
	switch {
	case f.Kind == layers.File:
		img.Type, img.Time = "raw", img.info.Modified
	case f.Kind == layers.Block:
		img.Type = "block"
	case img.info.Subvolume:
		img.Type, img.Time = "subvolume", img.info.Birth
		if t, err := files.SubvolumeTime(inroot.ThroughProc(h)); err == nil {
			img.Time = t
		}
	default:
		img.Type, img.Time = "directory", img.info.Birth
	}
	return img, nil
}

// readEntries lists a directory of the root. Links are followed, and lead nowhere out of the root.
func readEntries(root *os.File, dir string, deep bool) ([]layers.Entry, error) {
	h, err := inroot.Handle(root, dir)
	if err != nil {
		return nil, err
	}
	defer h.Close()
	list, err := os.ReadDir(inroot.ThroughProc(h))
	if err != nil {
		return nil, err
	}
	var out []layers.Entry
	for _, e := range list {
		f, err := inroot.Handle(root, dir+"/"+e.Name())
		if err != nil {
			continue // a link that leads nowhere, or something that went away
		}
		info, err := f.Stat()
		f.Close()
		if err != nil {
			continue
		}
		entry := layers.Entry{Name: e.Name()}
		switch mode := info.Mode(); {
		case mode.IsRegular():
			entry.Kind = layers.File
		case mode.IsDir():
			entry.Kind = layers.Directory
		case mode.Type() == os.ModeDevice:
			entry.Kind = layers.Block
		}
		if deep && entry.Kind == layers.Directory && strings.HasSuffix(entry.Name, ".v") {
			if entry.Versions, err = readEntries(root, dir+"/"+e.Name(), false); err != nil {
				continue
			}
		}
		out = append(out, entry)
	}
	return out, nil
}

// isInitrd reports whether the root is that of an initrd.
func isInitrd(root *os.File) (bool, error) {
	f, err := inroot.Handle(root, "/etc/initrd-release")
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("cannot find out whether this is an initrd: %w", err)
	}
	return true, f.Close()
}

// host reads what the system says of itself.
func (s *System) host(root *os.File) (layers.Host, error) {
	h := layers.Host{Scope: layers.ScopeSystem, Arch: layers.Architectures(runtime.GOARCH)[0]}
	names := []string{"/etc/os-release", "/usr/lib/os-release"}
	if s.OSRelease != "" {
		names = []string{s.OSRelease}
	}
	var err error
	for _, name := range names {
		if h.Release, err = readFields(root, name); !errors.Is(err, fs.ErrNotExist) {
			break
		}
	}
	if err != nil {
		return h, fmt.Errorf("cannot find out which system %s is: %w", orElse(s.Root, "/"), err)
	}
	if h.Release.Get("ID") == "" {
		return h, fmt.Errorf("cannot merge into %s: %w", orElse(s.Root, "/"), layers.ErrNoID)
	}
	initrd, err := isInitrd(root)
	if initrd {
		h.Scope = layers.ScopeInitrd
	}
	return h, err
}

// readFields reads a file of assignments in a tree.
func readFields(tree *os.File, name string) (osrelease.Fields, error) {
	h, err := inroot.Handle(tree, name)
	if err != nil {
		return osrelease.Fields{}, err
	}
	defer h.Close()
	return readHandle(h)
}

func readHandle(h *os.File) (osrelease.Fields, error) {
	info, err := h.Stat()
	if err != nil {
		return osrelease.Fields{}, err
	}
	if !info.Mode().IsRegular() {
		return osrelease.Fields{}, fmt.Errorf("cannot read %s: not a file: %w", h.Name(), fs.ErrInvalid)
	}
	f, err := os.Open(inroot.ThroughProc(h))
	if err != nil {
		return osrelease.Fields{}, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, osrelease.MaxSize+1))
	if err != nil {
		return osrelease.Fields{}, err
	}
	fields, err := osrelease.Parse(b)
	if err != nil {
		return osrelease.Fields{}, fmt.Errorf("%s: %w", h.Name(), err)
	}
	return fields, nil
}

// errAmbiguous says that several files might be meant.
var errAmbiguous = errors.New("more than one extension-release file, and none that is called like the extension")

// readRelease reads the extension-release of an extension whose tree is open: the file that is called like it, else the only one that may
// be called otherwise.
func readRelease(tree *os.File, c layers.Class, name string) (osrelease.Fields, error) {
	return readReleaseIn(tree, c, name, c.ReleaseDir())
}

func readReleaseIn(tree *os.File, c layers.Class, name, dir string) (osrelease.Fields, error) {
	fields, err := readFields(tree, dir+"/"+layers.ReleasePrefix+name)
	if !errors.Is(err, fs.ErrNotExist) {
		return fields, err
	}
	notFound := fmt.Errorf("cannot find %s/%s%s: %w", dir, layers.ReleasePrefix, name, fs.ErrNotExist)
	h, err := inroot.Handle(tree, dir)
	if err != nil {
		return osrelease.Fields{}, notFound
	}
	defer h.Close()
	list, err := os.ReadDir(inroot.ThroughProc(h))
	if err != nil {
		return osrelease.Fields{}, notFound
	}
	file := ""
	for _, e := range list {
		if !e.Type().IsRegular() {
			continue
		}
		strict, ok := files.Attribute(filepath.Join(inroot.ThroughProc(h), e.Name()), "user.extension-release.strict")
		if !layers.Loose(name, e.Name(), strict, ok) {
			continue
		}
		if file != "" {
			return osrelease.Fields{}, errAmbiguous
		}
		file = e.Name()
	}
	if file == "" {
		return osrelease.Fields{}, notFound
	}
	return readFields(h, file)
}
