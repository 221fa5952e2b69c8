// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package inspect

import (
	"errors"
	"fmt"
	"io"

	"github.com/initddi/initddi/internal/ddi"
	"github.com/initddi/initddi/internal/extent"
	"github.com/initddi/initddi/internal/fat"
	"github.com/initddi/initddi/internal/gpt"
	"github.com/initddi/initddi/internal/guid"
)

// Disk describes a partition table and the FAT file systems in it.
type Disk struct {
	SectorSize int64       `json:"sector_size,omitempty"`
	UUID       guid.GUID   `json:"uuid"`
	Damaged    string      `json:"damaged,omitempty"` // what is wrong with the first copy of the table
	Partitions []Partition `json:"partitions"`
}

// Partition describes a partition, and what is in it if that is a FAT file system.
type Partition struct {
	Number     int            `json:"number"`
	Designator gpt.Designator `json:"designator,omitempty"`
	Type       guid.GUID      `json:"type"`
	UUID       guid.GUID      `json:"uuid"`
	Label      string         `json:"label,omitempty"`
	Offset     int64          `json:"offset"` // in bytes
	Size       int64          `json:"size"`
	Volume     *Volume        `json:"volume,omitempty"`
	Problem    string         `json:"problem,omitempty"` // why it cannot be read
}

// Volume describes a FAT file system.
type Volume struct {
	Type        string       `json:"type"` // "FAT12", "FAT16", "FAT32"
	ID          string       `json:"id"`   // as Linux shows it
	Label       string       `json:"label,omitempty"`
	ClusterSize int64        `json:"cluster_size"`
	Files       []VolumeFile `json:"files,omitempty"`
	Truncated   bool         `json:"truncated,omitempty"` // there are more than are listed
}

// VolumeFile is a file on a FAT file system.
type VolumeFile struct {
	Path     string `json:"path"`
	Size     int64  `json:"size"`
	ReadOnly bool   `json:"read_only"`
	// Extents is in how many pieces it lies.
	Extents int    `json:"extents"`
	Problem string `json:"problem,omitempty"`
	// What describes a file of a known kind.
	What *Report `json:"what,omitempty"`
}

// Bounds of a walk over a FAT file system, whose directories can share directories: an ESP has a few dozen files.
const (
	maxFiles = 4096
	maxDirs  = 1024
	// maxNested is how many files are described; each may be a UKI of which every byte is hashed.
	maxNested = 64
)

func (s source) disk(rep *Report) error {
	t, err := gpt.Read(s.r, s.size, 0)
	if err != nil {
		return err
	}
	d := &Disk{SectorSize: t.SectorSize, UUID: t.DiskUUID}
	if t.Backup {
		d.Damaged = t.PrimaryErr.Error()
	}
	hasESP, hasImage := false, false
	for _, p := range t.Partitions {
		des, _, _ := gpt.Lookup(p.Type)
		q := Partition{Number: p.Number, Designator: des, Type: p.Type, UUID: p.UUID, Label: p.Name, Offset: p.Offset(t.SectorSize), Size: p.Size(t.SectorSize)}
		switch des {
		case gpt.ESP, gpt.XBOOTLDR:
			hasESP = true
			if q.Volume, err = s.volume(io.NewSectionReader(s.r, q.Offset, q.Size), q.Size); err != nil {
				if s.ctx.Err() != nil {
					return s.ctx.Err()
				}
				q.Problem = err.Error()
			}
		case gpt.Root, gpt.Usr, gpt.RootVerity, gpt.UsrVerity:
			hasImage = true
		}
		d.Partitions = append(d.Partitions, q)
	}
	if hasImage {
		img, err := ddi.Read(s.r, s.size, s.name, ddi.Options{Plan: s.o.Plan, Unverified: true})
		if err != nil {
			return err
		}
		rep.DDI, rep.Kind = img.Report(), KindDDI
		if p := s.o.Plan; p == nil || len(p.Trust) == 0 && len(p.Pins) == 0 {
			rep.DDI.Verdict = ddi.Verdict{Text: "not judged: no certificate was given (--trust)"}
		}
	}
	if hasESP || !hasImage {
		rep.Disk, rep.Kind = d, KindDisk
	}
	return nil
}

func (s source) fat(rep *Report) error {
	v, err := s.volume(s.r, s.size)
	if err != nil {
		return err
	}
	rep.Disk = &Disk{Partitions: []Partition{{Size: s.size, Volume: v}}}
	return nil
}

func (s source) volume(r io.ReaderAt, size int64) (*Volume, error) {
	f, err := fat.Open(r, size)
	if err != nil {
		return nil, err
	}
	id := f.VolumeID()
	v := &Volume{Type: f.Type().String(), ID: fmt.Sprintf("%04X-%04X", id>>16, id&0xffff), Label: f.Label(), ClusterSize: f.ClusterSize()}
	w := walk{s: s, r: r, fs: f, v: v}
	return v, w.dir("", 0)
}

// walk lists a file system.
type walk struct {
	s            source
	r            io.ReaderAt
	fs           *fat.FS
	v            *Volume
	dirs, nested int
}

func (w *walk) dir(name string, depth int) error {
	if w.dirs++; w.dirs > maxDirs || depth > fat.MaxDepth {
		w.v.Truncated = true
		return nil
	}
	entries, err := w.fs.ReadDir(name)
	if err != nil {
		return err
	}
	for _, e := range entries {
		p := name + "/" + e.Name
		if e.Dir {
			if err := w.dir(p, depth+1); err != nil {
				return err
			}
			continue
		}
		if len(w.v.Files) == maxFiles {
			w.v.Truncated = true
			return nil
		}
		f := VolumeFile{Path: p, Size: e.Size, ReadOnly: e.ReadOnly}
		extents, err := w.fs.Extents(e)
		if err != nil {
			f.Problem = err.Error()
		} else if f.Extents = len(extents); w.nested < maxNested && e.Size > 0 {
			w.nested++
			f.What, err = w.s.part(e.Name, extent.NewReader(w.r, extents), e.Size).inspect()
			switch {
			case w.s.ctx.Err() != nil:
				return w.s.ctx.Err()
			case err != nil && !errors.Is(err, ErrUnknown):
				f.Problem = err.Error()
			}
		}
		w.v.Files = append(w.v.Files, f)
	}
	return nil
}
