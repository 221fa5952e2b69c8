// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package uki

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"strings"
)

// SectionInfo describes one section of an image.
type SectionInfo struct {
	Name           string `json:"name"`
	Offset         int64  `json:"offset"`         // of the data in the file
	Size           int64  `json:"size"`           // bytes of data in the file, without padding to FileAlignment
	VirtualAddress uint32 `json:"virtualAddress"` // relative to where the image is loaded
	VirtualSize    uint32 `json:"virtualSize"`    // bytes in memory; more than Size: the rest is zeros
	SHA256         string `json:"sha256"`         // of the Size bytes, hex
}

// Image describes a PE image that may be a UKI. What a section does not say is empty.
type Image struct {
	Architecture     string        `json:"architecture"` // systemd's name: x86-64, arm64, …
	Size             int64         `json:"size"`
	SectionAlignment uint32        `json:"sectionAlignment"`
	FileAlignment    uint32        `json:"fileAlignment"`
	Sections         []SectionInfo `json:"sections"`
	Stub             string        `json:"stub,omitempty"` // what .sdmagic says, for instance "systemd-stub 252.39-1~deb12u2"
	Cmdline          string        `json:"cmdline,omitempty"`
	Uname            string        `json:"uname,omitempty"`
	OSRelease        string        `json:"osRelease,omitempty"`
	Signatures       []Signature   `json:"signatures,omitempty"`
}

// IsUKI reports whether the image has what UAPI.5 demands of one: a kernel.
func (i *Image) IsUKI() bool { return i.Section(".linux") != nil }

// Section returns the first section of that name, or nil. Images with several profiles repeat names; the first belongs to
// the base profile.
func (i *Image) Section(name string) *SectionInfo {
	for k := range i.Sections {
		if i.Sections[k].Name == name {
			return &i.Sections[k]
		}
	}
	return nil
}

// Open returns the data of a section that [Parse] described, read from the same file.
func (s *SectionInfo) Open(r io.ReaderAt) *io.SectionReader {
	return io.NewSectionReader(r, s.Offset, s.Size)
}

// Parse reads the headers, the text sections, the certificate table, and every section once to hash it, from an image of
// size bytes. It trusts nothing in it; memory is bounded by some 100 KiB and the certificate table's limit of 1 MiB.
// Errors wrap [ErrNotPE] or [ErrTooLarge], or are read errors.
func Parse(r io.ReaderAt, size int64) (*Image, error) {
	head := make([]byte, min(max(size, 0), maxHeader))
	if _, err := r.ReadAt(head, 0); err != nil && err != io.EOF {
		return nil, fmt.Errorf("cannot read PE headers: %w", err)
	}
	h, err := parsePE(head, size)
	if err != nil {
		return nil, err
	}
	img := &Image{
		Architecture: archName(h.machine), Size: size,
		SectionAlignment: h.sectionAlign, FileAlignment: h.fileAlign,
	}
	for _, s := range h.sections {
		info := SectionInfo{
			Name: s.name, Offset: int64(s.rawOff), Size: int64(min(s.vsize, s.rawSize)),
			VirtualAddress: s.vaddr, VirtualSize: s.vsize,
		}
		hash := sha256.New()
		if n, err := io.Copy(hash, info.Open(r)); err != nil || n != info.Size {
			return nil, fmt.Errorf("cannot read section %s (%d of %d bytes): %w", s.name, n, info.Size, orEOF(err))
		}
		info.SHA256 = hex.EncodeToString(hash.Sum(nil))
		if err := img.readText(r, &info); err != nil {
			return nil, err
		}
		img.Sections = append(img.Sections, info)
	}
	if h.certSize > 0 {
		if img.Signatures, err = readSignatures(r, int64(h.certOff), int64(h.certSize)); err != nil {
			return nil, err
		}
	}
	return img, nil
}

// readText fills in the field that belongs to a section, unless an earlier section of that name has.
func (i *Image) readText(r io.ReaderAt, s *SectionInfo) error {
	var field *string
	switch s.Name {
	case ".sdmagic":
		field = &i.Stub
	case ".cmdline":
		field = &i.Cmdline
	case ".uname":
		field = &i.Uname
	case ".osrel":
		field = &i.OSRelease
	default:
		return nil
	}
	if i.Section(s.Name) != nil {
		return nil
	}
	if s.Size > maxText {
		return fmt.Errorf("cannot read section %s of %d bytes: %w (limit %d)", s.Name, s.Size, ErrTooLarge, maxText)
	}
	b := make([]byte, s.Size)
	if n, err := io.ReadFull(s.Open(r), b); err != nil {
		return fmt.Errorf("cannot read section %s (%d of %d bytes): %w", s.Name, n, s.Size, err)
	}
	b, _, _ = bytes.Cut(b, []byte{0})
	text := strings.ToValidUTF8(string(b), "\uFFFD")
	if s.Name == ".sdmagic" {
		// "#### LoaderInfo: systemd-stub 252.39-1~deb12u2 ####"
		text = strings.TrimSpace(strings.Trim(strings.TrimSpace(text), "#"))
		text = strings.TrimPrefix(text, "LoaderInfo: ")
	}
	*field = text
	return nil
}

// orEOF names the cause of a short read that reported none.
func orEOF(err error) error {
	if err == nil {
		return io.ErrUnexpectedEOF
	}
	return err
}
