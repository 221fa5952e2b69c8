// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package uki

import (
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
)

// Errors that callers decide on.
var (
	// ErrNotPE says that a file is not a PE image, or one whose headers contradict themselves.
	ErrNotPE = errors.New("not a valid PE image")
	// ErrNotStub says that a PE image is not an unsigned systemd-stub.
	ErrNotStub = errors.New("not a usable systemd-stub")
	// ErrHeaderRoom says that the stub's header area has no room for another section header.
	ErrHeaderRoom = errors.New("no room for another section header in the stub")
	// ErrDuplicateSection says that a section would be in the image twice; systemd-stub would take one of them.
	ErrDuplicateSection = errors.New("section already in the image")
	// ErrTooLarge says that an image would exceed [MaxImage], or that a text section exceeds what is reasonable.
	ErrTooLarge = errors.New("too large")
)

const (
	// maxHeader bounds what is read of a file before its section table is known. Real images need under 2 KiB.
	maxHeader = 64 << 10
	// maxSections is the limit that Microsoft's loader and EDK2's tools share.
	maxSections = 96

	coffSize    = 24 // "PE\0\0" and the COFF file header
	sectionSize = 40 // one section header
	magicPE32   = 0x10b
	magicPE32P  = 0x20b

	// Offsets in the optional header that are the same in PE32 and PE32+.
	optInitializedData = 8
	optSectionAlign    = 32
	optFileAlign       = 36
	optSizeOfImage     = 56
	optSizeOfHeaders   = 60
	optCheckSum        = 64
	optSubsystem       = 68

	dirSecurity = 4 // index of the attribute certificate table; its "address" is a file offset

	subsystemEFIApplication = 10

	machineI386  = 0x14c
	machineAMD64 = 0x8664
	machineARM   = 0x1c2
	machineARM64 = 0xaa64
	machineRV64  = 0x5064
	machineLA64  = 0x6264

	scnCode     = 0x00000020
	scnInitData = 0x00000040
	scnMemRead  = 0x40000000
)

// section is one section header as stored.
type section struct {
	name            string
	vsize, vaddr    uint32
	rawSize, rawOff uint32
}

// peHeader is what assembling and inspecting need of a PE image's headers.
type peHeader struct {
	peOff, optOff, tableOff int // file offsets: "PE\0\0", optional header, section table
	machine, subsystem      uint16
	symbolTable             uint32
	sectionAlign, fileAlign uint32
	sizeOfImage, sizeOfHdrs uint32
	securityOff             int // file offset of the data directory entry, 0 if the image has none
	certOff, certSize       uint32
	sections                []section
}

func (h *peHeader) find(name string) *section {
	for i := range h.sections {
		if h.sections[i].name == name {
			return &h.sections[i]
		}
	}
	return nil
}

func peError(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrNotPE, fmt.Sprintf(format, args...))
}

// parsePE reads the headers of an image of size bytes from head, its beginning. It checks that the headers lie inside head,
// that every section's data lies inside the file, and that the data of all sections together is no larger than the file,
// so that reading all of them costs no more than reading the file once.
func parsePE(head []byte, size int64) (*peHeader, error) {
	le := binary.LittleEndian
	if len(head) < 64 || head[0] != 'M' || head[1] != 'Z' {
		return nil, peError("no MZ header")
	}
	peOff := int64(le.Uint32(head[0x3c:]))
	if peOff < 64 || peOff+coffSize+optSubsystem+2 > int64(len(head)) {
		return nil, peError("PE header at offset %d, but only %d bytes were looked at", peOff, len(head))
	}
	b := head[peOff:]
	if string(b[:4]) != "PE\x00\x00" {
		return nil, peError("no PE signature at offset %d", peOff)
	}
	n, optSize := int(le.Uint16(b[6:])), int(le.Uint16(b[20:]))
	opt := b[coffSize:]
	h := &peHeader{
		peOff: int(peOff), optOff: int(peOff) + coffSize, tableOff: int(peOff) + coffSize + optSize,
		machine: le.Uint16(b[4:]), symbolTable: le.Uint32(b[12:]),
		sectionAlign: le.Uint32(opt[optSectionAlign:]), fileAlign: le.Uint32(opt[optFileAlign:]),
		sizeOfImage: le.Uint32(opt[optSizeOfImage:]), sizeOfHdrs: le.Uint32(opt[optSizeOfHeaders:]),
		subsystem: le.Uint16(opt[optSubsystem:]),
	}
	dirs := 112
	switch magic := le.Uint16(opt); magic {
	case magicPE32P:
	case magicPE32:
		dirs = 96
	default:
		return nil, peError("optional header magic %#x", magic)
	}
	if n == 0 || n > maxSections {
		return nil, peError("%d sections, at most %d are accepted", n, maxSections)
	}
	if optSize < dirs || h.tableOff+n*sectionSize > len(head) {
		return nil, peError("headers of %d sections do not fit", n)
	}
	if count := le.Uint32(opt[dirs-4:]); count > dirSecurity && optSize >= dirs+8*(dirSecurity+1) {
		h.securityOff = h.optOff + dirs + 8*dirSecurity
		h.certOff, h.certSize = le.Uint32(head[h.securityOff:]), le.Uint32(head[h.securityOff+4:])
	}
	total := int64(0)
	for i := range n {
		s := head[h.tableOff+i*sectionSize:]
		sec := section{
			name:  strings.TrimRight(string(s[:8]), "\x00"),
			vsize: le.Uint32(s[8:]), vaddr: le.Uint32(s[12:]), rawSize: le.Uint32(s[16:]), rawOff: le.Uint32(s[20:]),
		}
		if int64(sec.rawOff)+int64(sec.rawSize) > size {
			return nil, peError("section %q ends at %d, the file at %d", sec.name, int64(sec.rawOff)+int64(sec.rawSize), size)
		}
		total += int64(sec.rawSize)
		h.sections = append(h.sections, sec)
	}
	if total > size {
		return nil, peError("sections overlap: %d bytes of data in a file of %d", total, size)
	}
	if int64(h.certOff)+int64(h.certSize) > size {
		return nil, peError("certificate table ends at %d, the file at %d", int64(h.certOff)+int64(h.certSize), size)
	}
	return h, nil
}

// checkSum is the PE checksum: the file as 16-bit words in ones' complement, with the checksum field at off taken as zero,
// plus the file's length. The field is aligned in every image this package writes.
func checkSum(image []byte, off int) uint32 {
	sum := uint64(0)
	for i := 0; i+1 < len(image); i += 2 {
		if i == off || i == off+2 {
			continue
		}
		sum += uint64(image[i]) | uint64(image[i+1])<<8
	}
	if len(image)%2 == 1 {
		sum += uint64(image[len(image)-1])
	}
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	return uint32(sum) + uint32(len(image))
}

// archName gives systemd's name of a PE machine type.
func archName(machine uint16) string {
	switch machine {
	case machineI386:
		return "x86"
	case machineAMD64:
		return "x86-64"
	case machineARM:
		return "arm"
	case machineARM64:
		return "arm64"
	case machineRV64:
		return "riscv64"
	case machineLA64:
		return "loongarch64"
	}
	return fmt.Sprintf("machine-%#x", machine)
}

// alignUp rounds v up to a multiple of a power of two.
func alignUp(v, align uint64) uint64 { return (v + align - 1) &^ (align - 1) }
