// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package discover

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"strings"

	"github.com/initddi/initddi/internal/extent"
	"github.com/initddi/initddi/internal/fat"
	"github.com/initddi/initddi/internal/gpt"
	"github.com/initddi/initddi/internal/plan"
	"github.com/initddi/initddi/internal/resolve"
	"github.com/initddi/initddi/internal/settings"
	"github.com/initddi/initddi/internal/signature"
)

// MaxSignature bounds a signature partition, as systemd does; one that systemd-repart makes has 16 KiB.
const MaxSignature = 4 << 20

// Bounds of a listing. Directories on a hostile file system can share their clusters, so that a small disk has any number of files; on
// a boot partition there are a few.
const (
	MaxFiles = 4096
	MaxVDirs = 64
)

// ErrTooMany says that the boot partition has more files than anybody keeps there.
var ErrTooMany = errors.New("too many files")

// List reads the given directories of the partition's FAT file system, and the .v directories in them. A directory that
// does not exist holds nothing. What goes wrong is in the listing; if that is [ErrSilent], the answer may be there the next time.
func (m *Machine) List(part resolve.Partition, dirs []string) *resolve.Listing {
	q := m.asked[part.Node]
	for {
		late := q != nil
		if !late {
			l := &resolve.Listing{Dirs: dirs}
			q = ask(part.Node, func() error {
				m.list(part, l)
				return nil
			})
			q.listing = l
			m.remember(q)
		}
		err := q.wait(m.patience())
		if !q.answered() || err != nil {
			return &resolve.Listing{Dirs: dirs, Err: err}
		}
		delete(m.asked, part.Node)
		if q.listing != nil && slices.Equal(q.listing.Dirs, dirs) {
			return q.listing
		}
		q = nil // that was the answer to something else
	}
}

// list is List without patience.
func (m *Machine) list(part resolve.Partition, l *resolve.Listing) {
	dev, err := m.open(part.Node)
	if err != nil {
		l.Err = err
		return
	}
	defer dev.Close()
	vol, err := fat.Open(dev, part.Size)
	if err != nil {
		l.Err = fmt.Errorf("cannot read /dev/%s: %w", part.Node, err)
		return
	}
	l.FileSystem, l.Label = vol.Type().String(), vol.Label()
	for _, dir := range l.Dirs {
		versions, err := listDir(vol, dir, l)
		if err == nil && len(versions) > MaxVDirs {
			err = fmt.Errorf("%s has %d directories *.v, at most %d are read: %w", dir, len(versions), MaxVDirs, ErrTooMany)
		}
		for _, v := range versions {
			if err == nil {
				_, err = listDir(vol, v, l)
			}
		}
		if err != nil {
			l.Files = nil
			l.Err = fmt.Errorf("cannot read /dev/%s: %w", part.Node, err)
			return
		}
	}
}

// listDir adds the files of a directory to the listing and returns its directories *.v.
func listDir(vol *fat.FS, dir string, l *resolve.Listing) (versions []string, err error) {
	entries, err := vol.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		p := strings.TrimSuffix(dir, "/") + "/" + e.Name
		switch {
		case !e.Dir && len(l.Files) == MaxFiles:
			return nil, fmt.Errorf("%s and what was read before it have more than %d files: %w", dir, MaxFiles, ErrTooMany)
		case !e.Dir:
			l.Files = append(l.Files, resolve.File{Path: p, Size: e.Size})
		case strings.HasSuffix(strings.ToLower(e.Name), ".v"):
			versions = append(versions, p)
		}
	}
	return versions, nil
}

// maxSignature bounds the signature of a settings file; one with a certificate chain has a few KiB.
const maxSignature = 64 << 10

// ReadSettings reads a settings file and its signature, if it has one. What goes wrong is in the result.
func (m *Machine) ReadSettings(part resolve.Partition, file string) *resolve.Settings {
	s := &resolve.Settings{Path: file}
	err := m.Ask(part.Node, func() error {
		m.readSettings(part, s)
		return nil
	})
	if err != nil {
		return &resolve.Settings{Path: file, Err: err}
	}
	return s
}

func (m *Machine) readSettings(part resolve.Partition, s *resolve.Settings) {
	file := s.Path
	dev, err := m.Dev.Open(part.Node)
	if err != nil {
		s.Err = fmt.Errorf("cannot open /dev/%s: %w", part.Node, err)
		return
	}
	defer dev.Close()
	vol, err := fat.Open(dev, part.Size)
	if err == nil {
		s.Text, err = vol.ReadFile(file, settings.MaxSize)
	}
	if err == nil {
		s.Signature, err = vol.ReadFile(file+plan.SignatureSuffix, maxSignature)
		if errors.Is(err, fs.ErrNotExist) {
			s.Signature, err = nil, nil
		}
	}
	s.Err = err
}

// ReadImage reads an image file's place on the partition, its partition table and its signature partition: what is needed
// to decide whether it may be looked at any further. What goes wrong is in the image.
func (m *Machine) ReadImage(part resolve.Partition, arch gpt.Arch, file string) *resolve.Image {
	var img *resolve.Image
	err := m.Ask(part.Node, func() error {
		img = m.readImage(part, arch, file)
		return nil
	})
	if err != nil {
		return &resolve.Image{Err: err}
	}
	return img
}

func (m *Machine) readImage(part resolve.Partition, arch gpt.Arch, file string) *resolve.Image {
	img := &resolve.Image{}
	dev, err := m.Dev.Open(part.Node)
	if err != nil {
		img.Err = fmt.Errorf("cannot open /dev/%s: %w", part.Node, err)
		return img
	}
	defer dev.Close()
	vol, err := fat.Open(dev, part.Size)
	if err != nil {
		img.Err = fmt.Errorf("cannot read /dev/%s: %w", part.Node, err)
		return img
	}
	entry, err := vol.Stat(file)
	if err == nil {
		img.Extents, err = vol.Extents(entry)
	}
	if err != nil {
		img.Err = fmt.Errorf("cannot find the blocks of %s: %w", file, err)
		return img
	}
	read(img, dev, img.Extents, arch)
	if img.Signature != nil {
		return img
	}
	dir := onFAT{vol, part.Listing}
	img.Beside, err = ReadBeside(dir, file)
	if err == nil {
		img.Err, err = Complete(img.Table, img.Err, img.Beside)
	}
	if err == nil && img.Err == nil && img.Beside.Tree > 0 {
		var tree extent.List
		if entry, err = vol.Stat(img.Beside.Files[len(img.Beside.Files)-1]); err == nil {
			tree, err = vol.Extents(entry)
		}
		img.Extents = append(img.Extents, tree...)
	}
	if err != nil {
		img.Err = fmt.Errorf("cannot use what lies beside %s: %w", file, err)
	}
	return img
}

// onFAT are the files of a FAT file system of which a listing is there already: what is not in it is not looked for.
type onFAT struct {
	vol     *fat.FS
	listing *resolve.Listing
}

func (d onFAT) has(name string) bool {
	return d.listing != nil && slices.ContainsFunc(d.listing.Files, func(f resolve.File) bool { return strings.EqualFold(f.Path, name) })
}

// Read implements [Sidecars].
func (d onFAT) Read(name string, limit int64) ([]byte, error) {
	if !d.has(name) {
		return nil, fs.ErrNotExist
	}
	return d.vol.ReadFile(name, limit)
}

// Size implements [Sidecars].
func (d onFAT) Size(name string) (int64, error) {
	if !d.has(name) {
		return 0, fs.ErrNotExist
	}
	e, err := d.vol.Stat(name)
	if err == nil && e.Dir {
		err = fs.ErrInvalid
	}
	return e.Size, err
}

func count(table *gpt.Table, d gpt.Designator, arch gpt.Arch) int {
	t, ok := gpt.TypeOf(d, arch)
	if !ok {
		return 0
	}
	return len(table.ByType(t))
}

// ReadDDI reads the partition table and the signature partition for arch of the image in r. An image without a signature
// partition is none the worse for it here.
func ReadDDI(r io.ReaderAt, size int64, arch gpt.Arch) (*gpt.Table, *signature.Document, error) {
	table, err := gpt.Read(r, size, 0)
	if err != nil {
		return nil, nil, fmt.Errorf("cannot read the image's partition table: %w", err)
	}
	// An image has one file system that is protected, the root or /usr; a signature for the other is none of its.
	of := gpt.RootVeritySig
	if count(table, gpt.Usr, arch) > 0 && count(table, gpt.Root, arch) == 0 {
		of = gpt.UsrVeritySig
	}
	var found []gpt.Partition
	if t, ok := gpt.TypeOf(of, arch); ok {
		found = table.ByType(t)
	}
	switch len(found) {
	case 0:
		return table, nil, nil
	case 1:
	default:
		return nil, nil, fmt.Errorf("cannot read the signature partition: there are %d signature partitions, wanted one: %w", len(found), fs.ErrInvalid)
	}
	n := found[0].Size(table.SectorSize)
	if n > MaxSignature {
		return nil, nil, fmt.Errorf("cannot read the signature partition: it has %d bytes, at most %d are allowed: %w", n, MaxSignature, fs.ErrInvalid)
	}
	b := make([]byte, n)
	if _, err := r.ReadAt(b, found[0].Offset(table.SectorSize)); err != nil && !errors.Is(err, io.EOF) {
		return nil, nil, fmt.Errorf("cannot read the signature partition: %w", err)
	}
	if len(bytes.Trim(b, "\x00")) == 0 {
		// Room for a signature that nobody has made yet.
		return table, nil, nil
	}
	doc, err := signature.ParseDocument(b)
	if err != nil {
		return nil, nil, fmt.Errorf("cannot read the signature partition: %w", err)
	}
	return table, doc, nil
}
