// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package uki

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"strings"
	"unicode/utf8"
)

const (
	// MaxImage bounds an assembled image. Firmware loads it whole into memory, mostly below 4 GiB; file offsets in a PE
	// image are 32 bits and are treated as signed by some tools.
	MaxImage = 1 << 31

	// maxText bounds .cmdline, .uname and .osrel. The kernel's own command line limit is 2 KiB on x86-64.
	maxText = 64 << 10

	// pageSize is the least distance between sections in memory. Firmware that protects memory by page (and asserts that
	// it can) needs it; Debian 12's stub says SectionAlignment 512 although its own sections are on pages.
	pageSize = 4096

	stubMagic  = "#### LoaderInfo: systemd-stub "
	addonMagic = "#### LoaderInfo: systemd-addon "
)

// Section is one additional section of an image.
type Section struct {
	Name string // with the dot, at most eight bytes
	Data []byte
}

// Options says what goes into an image. Stub and Kernel are required; whatever is empty gets no section.
type Options struct {
	Stub      []byte    // systemd-stub, linuxx64.efi.stub or that of another architecture, unsigned
	Kernel    []byte    // a kernel with an EFI stub: bzImage, arm64 Image, or an EFI zboot image
	Initrds   [][]byte  // concatenated in this order, each padded to four bytes as the kernel wants it
	Cmdline   string    // one line of UTF-8, stored without a terminator
	OSRelease []byte    // os-release(5) text; boot menus name the image after it
	Uname     string    // kernel release; empty: taken from the kernel where [KernelRelease] can read it
	Microcode []byte    // an uncompressed cpio; needs systemd-stub 256 or newer, older ones ignore it
	Splash    []byte    // BMP
	Extra     []Section // .pcrpkey, .pcrsig, .dtb, …; names must not repeat
}

// Build assembles an image. The same options give the same bytes.
//
// New sections follow the stub's in memory, each on a boundary of the stub's SectionAlignment and of a page; VirtualSize
// is the exact length of the data, because that is what systemd-stub measures. .linux comes last, so that nothing lies
// behind it that an in-place decompression could run over; current kernels do not need that, since the stub has them
// relocated into pages of their own.
//
// Errors wrap [ErrNotPE], [ErrNotStub], [ErrHeaderRoom], [ErrDuplicateSection] or [ErrTooLarge].
func Build(o Options) ([]byte, error) {
	image, h, err := openStub(o.Stub, stubMagic)
	if err != nil {
		return nil, fmt.Errorf("cannot use stub: %w", err)
	}
	if err := checkKernel(o.Kernel, h.machine); err != nil {
		return nil, fmt.Errorf("cannot use kernel: %w", err)
	}
	sections, err := o.sections()
	if err != nil {
		return nil, err
	}
	room, err := headerRoom(image, h)
	if err != nil {
		return nil, fmt.Errorf("cannot use stub: %w", err)
	}
	if len(sections) > room {
		return nil, fmt.Errorf("cannot add %d sections, the last of them %s: %w (it has room for %d)",
			len(sections), sections[len(sections)-1].Name, ErrHeaderRoom, room)
	}
	return appendSections(image, h, sections)
}

// openStub checks a stub and returns a copy of it that ends with its last section, without the symbol table that Debian
// 12's still carries: image files should have none, and signing tools warn about data behind the sections.
func openStub(stub []byte, wanted string) ([]byte, *peHeader, error) {
	h, err := parsePE(stub, int64(len(stub)))
	if err != nil {
		return nil, nil, err
	}
	pow2 := func(v uint32) bool { return v != 0 && v&(v-1) == 0 }
	switch magic := h.find(".sdmagic"); {
	case h.subsystem != subsystemEFIApplication:
		return nil, nil, fmt.Errorf("%w: PE subsystem %d, wanted %d (EFI application)", ErrNotStub, h.subsystem, subsystemEFIApplication)
	case h.certSize != 0:
		return nil, nil, fmt.Errorf("%w: it is signed; sign the finished image instead", ErrNotStub)
	case magic == nil || !bytes.HasPrefix(stub[magic.rawOff:], []byte(wanted)):
		return nil, nil, fmt.Errorf("%w: no section .sdmagic that says %q", ErrNotStub, strings.TrimSpace(wanted))
	case !pow2(h.sectionAlign) || !pow2(h.fileAlign) || h.fileAlign > h.sectionAlign || h.sectionAlign > MaxImage>>8:
		return nil, nil, fmt.Errorf("%w: SectionAlignment %#x, FileAlignment %#x", ErrNotStub, h.sectionAlign, h.fileAlign)
	}
	end := uint64(h.tableOff + sectionSize*len(h.sections))
	for _, s := range h.sections {
		if s.rawOff%h.fileAlign != 0 {
			return nil, nil, fmt.Errorf("%w: data of section %s at %#x, not a multiple of FileAlignment %#x (a stripped stub?)",
				ErrNotStub, s.name, s.rawOff, h.fileAlign)
		}
		end = max(end, uint64(s.rawOff)+uint64(s.rawSize))
	}
	if end < uint64(len(stub)) && uint64(h.symbolTable) < end {
		return nil, nil, fmt.Errorf("%w: %d bytes of unknown data behind its sections", ErrNotStub, uint64(len(stub))-end)
	}
	image := bytes.Clone(stub[:end])
	clear(image[h.peOff+12 : h.peOff+20]) // PointerToSymbolTable, NumberOfSymbols
	return image, h, nil
}

// checkKernel refuses what systemd-stub could not start.
func checkKernel(kernel []byte, machine uint16) error {
	k, err := parsePE(kernel, int64(len(kernel)))
	switch {
	case len(kernel) == 0:
		return fmt.Errorf("%w: it is empty", ErrNotPE)
	case bytes.HasPrefix(kernel, []byte{0x1f, 0x8b}):
		return fmt.Errorf("%w: it is gzip data; decompress it, or build it with CONFIG_EFI_ZBOOT", ErrNotPE)
	case err != nil:
		return fmt.Errorf("%w (a kernel needs CONFIG_EFI_STUB)", err)
	case k.machine != machine:
		return fmt.Errorf("%w: it is for %s, the stub for %s", ErrNotPE, archName(k.machine), archName(machine))
	}
	return nil
}

// sections lists the new sections in the order in which they are written.
func (o *Options) sections() ([]Section, error) {
	if strings.ContainsAny(o.Cmdline, "\x00\n\r") || !utf8.ValidString(o.Cmdline) {
		return nil, fmt.Errorf("cannot store command line %q: it must be one line of UTF-8", o.Cmdline)
	}
	uname := o.Uname
	if uname == "" {
		// Best effort: the section is informative, and not every kernel says its release.
		uname, _ = KernelRelease(o.Kernel)
	}
	out := []Section{
		{".osrel", o.OSRelease}, {".cmdline", []byte(o.Cmdline)}, {".uname", []byte(uname)},
	}
	for _, s := range out {
		if len(s.Data) > maxText {
			return nil, fmt.Errorf("cannot store %s of %d bytes: %w (limit %d)", s.Name, len(s.Data), ErrTooLarge, maxText)
		}
	}
	out = append(out, Section{".splash", o.Splash}, Section{".ucode", o.Microcode})
	for _, s := range o.Extra {
		if len(s.Name) < 2 || len(s.Name) > 8 || s.Name[0] != '.' || strings.ContainsFunc(s.Name, func(r rune) bool { return r <= ' ' || r > '~' }) {
			return nil, fmt.Errorf("cannot store section %q: a name is a dot and up to seven ASCII characters", s.Name)
		}
		if len(s.Data) == 0 {
			return nil, fmt.Errorf("cannot store section %s: it is empty", s.Name)
		}
		out = append(out, s)
	}
	out = append(out, Section{".initrd", joinInitrds(o.Initrds)}, Section{".linux", o.Kernel})
	kept := out[:0]
	for _, s := range out {
		if len(s.Data) > 0 {
			kept = append(kept, s)
		}
	}
	return kept, nil
}

// joinInitrds concatenates archives. The kernel's unpacker skips zeros between archives and wants each to begin on a
// multiple of four (Documentation/driver-api/early-userspace/buffer-format.rst).
func joinInitrds(initrds [][]byte) []byte {
	if len(initrds) == 1 {
		return initrds[0]
	}
	n := uint64(0)
	for _, in := range initrds {
		n = alignUp(n, 4) + uint64(len(in))
	}
	out := make([]byte, 0, n)
	for _, in := range initrds {
		out = append(out, make([]byte, alignUp(uint64(len(out)), 4)-uint64(len(out)))...)
		out = append(out, in...)
	}
	return out
}

// headerRoom counts the section headers that can be added before something else begins in the file or in memory. Bytes
// that are not zero there are somebody's (bound imports, for instance) and are not overwritten.
func headerRoom(image []byte, h *peHeader) (int, error) {
	end := alignUp(uint64(h.sizeOfHdrs), uint64(h.fileAlign))
	for _, s := range h.sections {
		if s.rawSize > 0 {
			end = min(end, uint64(s.rawOff))
		}
		end = min(end, uint64(s.vaddr))
	}
	end = min(end, uint64(len(image)))
	start := uint64(h.tableOff + sectionSize*len(h.sections))
	if end < start {
		return 0, fmt.Errorf("%w: headers end at %#x, the first section begins at %#x", ErrNotPE, start, end)
	}
	room := 0
	for start+sectionSize <= end && room+len(h.sections) < maxSections &&
		len(bytes.Trim(image[start:start+sectionSize], "\x00")) == 0 {
		start += sectionSize
		room++
	}
	return room, nil
}

func appendSections(image []byte, h *peHeader, sections []Section) ([]byte, error) {
	le := binary.LittleEndian
	align := uint64(max(h.sectionAlign, pageSize))
	va, total := uint64(h.sizeOfImage), uint64(len(image))
	names := make(map[string]bool)
	for _, s := range h.sections {
		va = max(va, uint64(s.vaddr)+uint64(max(s.vsize, s.rawSize)))
		names[s.name] = true
	}
	for _, s := range sections {
		total += uint64(len(s.Data)) + align + uint64(h.fileAlign)
	}
	if total+va > MaxImage {
		return nil, fmt.Errorf("cannot assemble image of about %d bytes: %w (limit %d)", total, ErrTooLarge, MaxImage)
	}
	image = append(make([]byte, 0, total), image...)
	initialized := uint64(0)
	for i, s := range sections {
		if names[s.Name] {
			return nil, fmt.Errorf("cannot add section %s: %w", s.Name, ErrDuplicateSection)
		}
		names[s.Name] = true
		va = alignUp(va, align)
		rawOff := alignUp(uint64(len(image)), uint64(h.fileAlign))
		rawSize := alignUp(uint64(len(s.Data)), uint64(h.fileAlign))
		hdr := image[h.tableOff+sectionSize*(len(h.sections)+i):][:sectionSize]
		copy(hdr, s.Name)
		le.PutUint32(hdr[8:], uint32(len(s.Data)))
		le.PutUint32(hdr[12:], uint32(va))
		le.PutUint32(hdr[16:], uint32(rawSize))
		le.PutUint32(hdr[20:], uint32(rawOff))
		flags := uint32(scnInitData | scnMemRead)
		if s.Name == ".linux" {
			// Firmware that protects memory lets code run, and systemd-stub runs kernels that are started by the old EFI
			// handover protocol where they lie.
			flags = scnCode | scnMemRead
		}
		le.PutUint32(hdr[36:], flags)
		image = append(image, make([]byte, rawOff-uint64(len(image)))...)
		image = append(image, s.Data...)
		image = append(image, make([]byte, rawSize-uint64(len(s.Data)))...)
		va += uint64(len(s.Data))
		initialized += rawSize
	}
	opt := image[h.optOff:]
	le.PutUint16(image[h.peOff+6:], uint16(len(h.sections)+len(sections)))
	le.PutUint32(opt[optInitializedData:], le.Uint32(opt[optInitializedData:])+uint32(initialized))
	le.PutUint32(opt[optSizeOfImage:], uint32(alignUp(va, uint64(h.sectionAlign))))
	le.PutUint32(opt[optSizeOfHeaders:], uint32(alignUp(uint64(h.sizeOfHdrs), uint64(h.fileAlign))))
	le.PutUint32(opt[optCheckSum:], checkSum(image, h.optOff+optCheckSum))
	return image, nil
}
