// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

// Package inspect says what is in a file that initddi makes or boots: an image, a UKI, a stage 1, a disk, a firmware's
// variables, a boot report, certificates.
//
// It recognises a file by its content, describes it as values ([Report]) and writes those for people ([Report.Print]). It
// judges nothing by itself: what is said of an image is what package ddi says, and so stage 1. Everything that is read
// counts as hostile, and memory is bounded by named constants. There is one file a kind.
package inspect

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/initddi/initddi/internal/ddi"
	"github.com/initddi/initddi/internal/plan"
	"github.com/initddi/initddi/internal/report"
)

// ErrUnknown says that a file is nothing that this package knows.
var ErrUnknown = errors.New("not an image, a UKI, an initramfs, a disk, a variable store, a boot report or a certificate")

// Kind is what a file is.
type Kind string

// The kinds.
const (
	KindDDI          Kind = "ddi"          // discoverable disk image
	KindUKI          Kind = "uki"          // unified kernel image
	KindPE           Kind = "pe"           // another EFI program
	KindStage1       Kind = "stage1"       // initramfs of this project
	KindInitramfs    Kind = "initramfs"    // any other
	KindDisk         Kind = "disk"         // GPT with an EFI system partition
	KindFAT          Kind = "fat"          // a FAT file system alone
	KindFirmware     Kind = "firmware"     // OVMF's variable store
	KindBootReport   Kind = "boot-report"  // boot.json
	KindCertificates Kind = "certificates" // PEM or DER
)

// Report describes a file. Besides the first fields, those of its kind are set.
type Report struct {
	File   string `json:"file"`
	Kind   Kind   `json:"kind"`
	Size   int64  `json:"size"`             // in bytes
	SHA256 string `json:"sha256,omitempty"` // if it was asked for

	DDI          *ddi.Report   `json:"ddi,omitempty"` // of a disk too that is both
	PE           *PE           `json:"pe,omitempty"`
	Initramfs    *Initramfs    `json:"initramfs,omitempty"`
	Disk         *Disk         `json:"disk,omitempty"`
	Firmware     *Firmware     `json:"firmware,omitempty"`
	Boot         *report.Boot  `json:"boot,omitempty"`
	Certificates []Certificate `json:"certificates,omitempty"`
}

// Options say how far to look.
type Options struct {
	// Plan holds the trust store against which images are judged; an empty one refuses all.
	Plan *plan.Plan
	// Digest computes the file's SHA-256.
	Digest bool
	// Progress, if not nil, is told what is being done; done and total are bytes, total 0 where it is not known.
	Progress func(what string, done, total int64)
}

// source is a file, or a part of one, that is being looked at.
type source struct {
	ctx  context.Context
	name string
	r    io.ReaderAt
	size int64
	o    Options
}

// Inspect describes the file or block device at path. The error wraps [ErrUnknown] if it is of no known kind; otherwise it
// is about reading, or says what is wrong with a file that looks like one of a kind.
func Inspect(ctx context.Context, path string, o Options) (*Report, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("cannot open the file: %w", err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, fmt.Errorf("cannot look at %s: %w", path, err)
	}
	if info.IsDir() {
		return nil, fmt.Errorf("cannot inspect %s: a directory is %w", path, ErrUnknown)
	}
	size, err := f.Seek(0, io.SeekEnd)
	if err != nil {
		return nil, fmt.Errorf("cannot find the size of %s: %w", path, err)
	}
	if o.Progress == nil {
		o.Progress = func(string, int64, int64) {}
	}
	s := source{ctx: ctx, name: filepath.Base(path), r: ddi.WithContext(ctx, f), size: size, o: o}
	rep, err := s.inspect()
	if err != nil {
		return nil, err
	}
	rep.File = path
	if o.Digest {
		if rep.SHA256, err = s.digest(); err != nil {
			return nil, err
		}
	}
	return rep, nil
}

// inspect finds out what the source is, and describes it.
func (s source) inspect() (*Report, error) {
	kind, err := s.detect()
	if err != nil {
		return nil, err
	}
	rep := &Report{File: s.name, Kind: kind, Size: s.size}
	describe := map[Kind]func(*Report) error{
		KindPE: s.pe, KindInitramfs: s.initramfs, KindDisk: s.disk, KindFAT: s.fat,
		KindFirmware: s.firmware, KindBootReport: s.bootReport, KindCertificates: s.certificates,
	}[kind]
	if err := describe(rep); err != nil {
		return nil, fmt.Errorf("cannot inspect %s: %w", s.name, err)
	}
	return rep, nil
}

// part returns a source for size bytes at off.
func (s source) part(name string, r io.ReaderAt, size int64) source {
	s.name, s.r, s.size = name, r, size
	return s
}

func (s source) digest() (string, error) {
	h := sha256.New()
	var done int64
	buf := make([]byte, 1<<20)
	for done < s.size {
		n, err := s.r.ReadAt(buf[:min(int64(len(buf)), s.size-done)], done)
		h.Write(buf[:n])
		done += int64(n)
		s.o.Progress("hashing "+s.name, done, s.size)
		if err != nil && (!errors.Is(err, io.EOF) || done < s.size) {
			return "", fmt.Errorf("cannot read %s: %w", s.name, err)
		}
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}
