// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

// Package esp builds disk images with an EFI System Partition: a GPT, one FAT file system with files in it, and further
// partitions if wanted.
//
// It makes new images only; it never changes an existing disk. The file system comes from mkfs.vfat and mtools, the
// partition table from package gpt. The same options, source files and tool versions give the same bytes: times, UUIDs
// and the volume id come from [Options], never from the clock or from chance. [File.Fragments] scatters a file over the
// partition on purpose, for tests of code that maps files.
//
// Sources: UEFI 2.10 section 13.3 (system partition, FAT variants), Microsoft's "FAT: General Overview of On-Disk Format"
// (fatgen103) for the little that is written here.
package esp

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/initddi/initddi/internal/gpt"
	"github.com/initddi/initddi/internal/guid"
)

var (
	// ErrTooSmall says that something does not fit into the partition or the disk that was asked for.
	ErrTooSmall = errors.New("too small")
	// ErrFileTooLarge says that a file is larger than FAT allows, see [MaxFile].
	ErrFileTooLarge = errors.New("file larger than FAT allows")
	// ErrOptions says that options contradict each other or FAT's rules.
	ErrOptions = errors.New("invalid options")
)

const (
	// MaxFile is the largest file on any FAT: its size is stored in 32 bits.
	MaxFile = 1<<32 - 1
	// Align is where partitions begin and end: a multiple of every usual erase block and stripe.
	Align = 1 << 20
)

// File is one file on the ESP. Its content is Source, or Data if Source is empty.
type File struct {
	Path      string // on the ESP, separated by slashes; directories are made as needed
	Source    string // path of a regular file on the host
	Data      []byte
	ReadOnly  bool // set FAT's read-only attribute
	Fragments int  // more than 1: split into exactly that many extents, none next to its successor
}

// Partition is a partition other than the ESP. Its content is Source, or Data if Source is empty, padded with zeros.
type Partition struct {
	Type       guid.GUID
	UUID       guid.GUID // zero: derived
	Name       string
	Attributes uint64
	Size       int64 // in bytes, rounded up to [Align]; 0: as large as the content
	Source     string
	Data       []byte
}

// Options says what is on the disk. The zero value gives an empty FAT of the smallest sensible size.
type Options struct {
	SectorSize int64     // 512 (0 stands for it) or 4096
	Size       int64     // of the disk in bytes, a multiple of SectorSize; 0: as large as needed
	Seed       guid.GUID // UUIDs that are not given are derived from this; give every disk of a machine its own
	DiskUUID   guid.GUID
	Time       time.Time // of all files and directories; zero: 1980-01-01, the earliest that FAT knows

	ESPSize     int64     // in bytes, rounded up to [Align]; 0: what the files need, and some room
	ESPUUID     guid.GUID // of the partition
	ESPName     string    // of the partition; empty: "esp"
	FATType     int       // 12, 16, 32; 0: by size, as mkfs.vfat does
	ClusterSize int64     // in bytes; 0: by size, as mkfs.vfat does
	Label       string    // of the file system; at most 11 upper-case characters; empty: none
	VolumeID    uint32    // of the file system; 0: derived
	Files       []File

	Partitions []Partition
}

// Build writes a disk image to path, replacing what is there when it is complete, and returns its partition table. The ESP
// is partition 1, the others follow in the order given.
//
// Errors wrap [ErrTooSmall], [ErrFileTooLarge], [ErrOptions] or [program.ErrMissing], or are those of the file system and the tools.
func Build(ctx context.Context, path string, o Options) (*gpt.Table, error) {
	t, err := build(ctx, path, o)
	if err != nil {
		return nil, fmt.Errorf("cannot build disk image %s: %w", path, err)
	}
	return t, nil
}

func build(ctx context.Context, path string, o Options) (*gpt.Table, error) {
	tools, err := findTools()
	if err != nil {
		return nil, err
	}
	if err := o.defaults(); err != nil {
		return nil, err
	}
	tr, err := newTree(o.Files)
	if err != nil {
		return nil, err
	}
	table, size, err := o.layout(tr)
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp(filepath.Dir(path), ".esp-*")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	f, err := os.OpenFile(filepath.Join(dir, "disk"), os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if err := f.Truncate(size); err != nil {
		return nil, err
	}
	v := &volume{
		tools: tools, dir: dir, disk: f, o: &o, tree: tr,
		offset: table.Partitions[0].Offset(o.SectorSize), size: table.Partitions[0].Size(o.SectorSize),
	}
	if err := v.make(ctx); err != nil {
		return nil, err
	}
	for i, p := range o.Partitions {
		if err := p.write(ctx, f, table.Partitions[i+1].Offset(o.SectorSize)); err != nil {
			return nil, fmt.Errorf("partition %d: %w", i+2, err)
		}
	}
	if err := gpt.Write(f, size, table); err != nil {
		return nil, err
	}
	if err := f.Close(); err != nil {
		return nil, err
	}
	return table, os.Rename(f.Name(), path)
}

// defaults fills in what was left to us and checks the rest.
func (o *Options) defaults() error {
	bad := func(format string, args ...any) error {
		return fmt.Errorf("%w: %s", ErrOptions, fmt.Sprintf(format, args...))
	}
	if o.SectorSize == 0 {
		o.SectorSize = 512
	}
	if o.Time.IsZero() {
		o.Time = time.Date(1980, 1, 1, 0, 0, 0, 0, time.UTC)
	}
	if o.ESPName == "" {
		o.ESPName = "esp"
	}
	if o.DiskUUID.IsZero() {
		o.DiskUUID = derive(o.Seed, "disk-uuid")
	}
	if o.ESPUUID.IsZero() {
		o.ESPUUID = derive(o.Seed, "partition-1-uuid")
	}
	if o.VolumeID == 0 {
		id := derive(o.Seed, "fat-volume-id")
		o.VolumeID = max(binary.BigEndian.Uint32(id[:4]), 1)
	}
	switch {
	case o.SectorSize != 512 && o.SectorSize != 4096:
		return bad("sector size %d, wanted 512 or 4096", o.SectorSize)
	case o.Size < 0 || o.ESPSize < 0 || o.Size%o.SectorSize != 0:
		return bad("disk of %d bytes, ESP of %d, in sectors of %d", o.Size, o.ESPSize, o.SectorSize)
	case o.FATType != 0 && o.FATType != 12 && o.FATType != 16 && o.FATType != 32:
		return bad("FAT type %d, wanted 12, 16, 32, or 0 for automatic", o.FATType)
	case o.ClusterSize != 0 && (o.ClusterSize < o.SectorSize || o.ClusterSize > 128*o.SectorSize || o.ClusterSize&(o.ClusterSize-1) != 0):
		return bad("cluster size %d, wanted a power of two from %d to %d", o.ClusterSize, o.SectorSize, 128*o.SectorSize)
	case o.Time.UTC().Year() < 1980 || o.Time.UTC().Year() > 2107:
		return bad("time %s, FAT knows the years 1980 to 2107", o.Time.UTC().Format(time.RFC3339))
	case len(o.Label) > 11 || o.Label != strings.ToUpper(o.Label) || strings.TrimSpace(o.Label) != o.Label ||
		strings.ContainsFunc(o.Label, func(r rune) bool { return r < ' ' || r > '~' || strings.ContainsRune(`"*+,./:;<=>?[\]|`, r) }):
		return bad("label %q, wanted at most 11 upper-case letters, digits or -_", o.Label)
	}
	return nil
}

// layout places the partitions and sizes the disk.
func (o *Options) layout(tr *tree) (*gpt.Table, int64, error) {
	t := &gpt.Table{SectorSize: o.SectorSize, DiskUUID: o.DiskUUID}
	next := int64(Align)
	add := func(p gpt.Partition, size int64) {
		p.Number = len(t.Partitions) + 1
		p.FirstLBA, p.LastLBA = uint64(next/o.SectorSize), uint64((next+size)/o.SectorSize-1)
		t.Partitions = append(t.Partitions, p)
		next += size
	}
	espSize := o.ESPSize
	if espSize == 0 {
		espSize = o.estimate(tr)
	}
	kind, _ := gpt.TypeOf(gpt.ESP, gpt.NoArch)
	add(gpt.Partition{Type: kind, UUID: o.ESPUUID, Name: o.ESPName}, roundUp(espSize, Align))
	for i := range o.Partitions {
		p := &o.Partitions[i]
		n, err := contentSize(p.Source, p.Data)
		if err != nil {
			return nil, 0, fmt.Errorf("partition %d: %w", i+2, err)
		}
		if p.Size < 0 || p.Size == 0 && n == 0 {
			return nil, 0, fmt.Errorf("partition %d: %w: neither size nor content", i+2, ErrOptions)
		}
		if p.Size > 0 && p.Size < n {
			return nil, 0, fmt.Errorf("partition %d: %w: content of %d bytes, given %d", i+2, ErrTooSmall, n, p.Size)
		}
		u := p.UUID
		if u.IsZero() {
			u = derive(o.Seed, "partition-"+strconv.Itoa(i+2)+"-uuid")
		}
		add(gpt.Partition{Type: p.Type, UUID: u, Name: p.Name, Attributes: p.Attributes}, roundUp(max(p.Size, n), Align))
	}
	size := o.Size
	if size == 0 {
		size = next + Align // room for the backup table
	}
	_, last, err := gpt.Usable(size, o.SectorSize)
	if end := t.Partitions[len(t.Partitions)-1].LastLBA; err != nil || end > last {
		return nil, 0, fmt.Errorf("disk: %w: partitions and tables need %d bytes, given %d", ErrTooSmall, next+Align, size)
	}
	return t, size, nil
}

// derive makes a version 4 UUID of a seed and a role, so that it is stable and looks random.
func derive(seed guid.GUID, role string) guid.GUID {
	mac := hmac.New(sha256.New, seed[:])
	mac.Write([]byte(role))
	g := guid.GUID(mac.Sum(nil)[:16])
	g[6], g[8] = g[6]&0x0f|0x40, g[8]&0x3f|0x80
	return g
}

// contentSize returns the length of a content in bytes.
func contentSize(source string, data []byte) (int64, error) {
	if source == "" {
		return int64(len(data)), nil
	}
	st, err := os.Stat(source)
	if err != nil {
		return 0, err
	}
	if !st.Mode().IsRegular() {
		return 0, fmt.Errorf("%s: %w: not a regular file", source, ErrOptions)
	}
	return st.Size(), nil
}

// openContent returns a content to read from, and how to close it.
func openContent(source string, data []byte) (io.ReaderAt, func() error, error) {
	if source == "" {
		return strings.NewReader(string(data)), func() error { return nil }, nil
	}
	f, err := os.Open(source)
	if err != nil {
		return nil, nil, err
	}
	return f, f.Close, nil
}

// write copies the content to the disk at off, leaving holes for zeros.
func (p *Partition) write(ctx context.Context, disk io.WriterAt, off int64) error {
	n, err := contentSize(p.Source, p.Data)
	if err != nil {
		return err
	}
	if size := roundUp(max(p.Size, n), Align); p.Size > 0 && n > size {
		return fmt.Errorf("%w: %s grew to %d bytes meanwhile", ErrTooSmall, p.Source, n)
	}
	r, done, err := openContent(p.Source, p.Data)
	if err != nil {
		return err
	}
	defer done()
	return copySparse(ctx, disk, off, io.NewSectionReader(r, 0, n))
}

// copySparse copies to a part of w that is known to be zeros.
func copySparse(ctx context.Context, w io.WriterAt, off int64, r io.Reader) error {
	buf := make([]byte, 256<<10)
	for {
		n, err := io.ReadFull(r, buf)
		if n > 0 && !allZero(buf[:n]) {
			if _, err := w.WriteAt(buf[:n], off); err != nil {
				return err
			}
		}
		off += int64(n)
		if err == io.EOF || err == io.ErrUnexpectedEOF {
			return nil
		}
		if err != nil {
			return err
		}
		if err := ctx.Err(); err != nil {
			return err
		}
	}
}

func allZero(b []byte) bool {
	for _, c := range b {
		if c != 0 {
			return false
		}
	}
	return true
}

func roundUp(n, unit int64) int64 { return (n + unit - 1) / unit * unit }
