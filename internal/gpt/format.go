// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package gpt

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"sort"
	"unicode/utf16"

	"github.com/initddi/initddi/internal/guid"
)

const (
	signature  = "EFI PART"
	revision   = 0x00010000
	headerSize = 92
	entrySize  = 128
	nameOffset = 56
)

// errNoSignature tells "there is no header here" from "the header here is wrong".
var errNoSignature = errors.New("no signature \"" + signature + "\"")

// header is the UEFI specification's GPT header, less what is constant.
type header struct {
	myLBA        uint64
	alternateLBA uint64
	firstUsable  uint64
	lastUsable   uint64
	diskUUID     guid.GUID
	entriesLBA   uint64
	count        uint32
	entrySize    uint32
	entriesCRC   uint32
}

// parseHeader reads the header at the start of sector and checks what can be checked without knowing the disk:
// signature, revision, length and checksum.
func parseHeader(sector []byte) (header, error) {
	le := binary.LittleEndian
	if string(sector[:8]) != signature {
		return header{}, errNoSignature
	}
	if v := le.Uint32(sector[8:]); v != revision {
		return header{}, fmt.Errorf("revision is %#08x, want %#08x", v, revision)
	}
	n := le.Uint32(sector[12:])
	if n < headerSize || uint64(n) > uint64(len(sector)) {
		return header{}, fmt.Errorf("header size is %d, want %d to %d", n, headerSize, len(sector))
	}
	want := le.Uint32(sector[16:])
	// The checksum is made with its own field set to zero.
	sum := crc32.ChecksumIEEE(sector[:16])
	sum = crc32.Update(sum, crc32.IEEETable, []byte{0, 0, 0, 0})
	sum = crc32.Update(sum, crc32.IEEETable, sector[20:n])
	if sum != want {
		return header{}, fmt.Errorf("header checksum is %#08x, want %#08x", sum, want)
	}
	return header{
		myLBA:        le.Uint64(sector[24:]),
		alternateLBA: le.Uint64(sector[32:]),
		firstUsable:  le.Uint64(sector[40:]),
		lastUsable:   le.Uint64(sector[48:]),
		diskUUID:     guid.FromMixedEndian([16]byte(sector[56:72])),
		entriesLBA:   le.Uint64(sector[72:]),
		count:        le.Uint32(sector[80:]),
		entrySize:    le.Uint32(sector[84:]),
		entriesCRC:   le.Uint32(sector[88:]),
	}, nil
}

// encode returns the sector that holds h.
func (h *header) encode(sectorSize int64) []byte {
	b := make([]byte, sectorSize)
	le := binary.LittleEndian
	copy(b, signature)
	le.PutUint32(b[8:], revision)
	le.PutUint32(b[12:], headerSize)
	le.PutUint64(b[24:], h.myLBA)
	le.PutUint64(b[32:], h.alternateLBA)
	le.PutUint64(b[40:], h.firstUsable)
	le.PutUint64(b[48:], h.lastUsable)
	disk := h.diskUUID.MixedEndian()
	copy(b[56:], disk[:])
	le.PutUint64(b[72:], h.entriesLBA)
	le.PutUint32(b[80:], h.count)
	le.PutUint32(b[84:], h.entrySize)
	le.PutUint32(b[88:], h.entriesCRC)
	le.PutUint32(b[16:], crc32.ChecksumIEEE(b[:headerSize]))
	return b
}

// parseEntry reads one entry of at least 128 bytes; ok is false for an unused one.
func parseEntry(b []byte, number int) (p Partition, ok bool) {
	typ := guid.FromMixedEndian([16]byte(b[:16]))
	if typ.IsZero() {
		return Partition{}, false
	}
	le := binary.LittleEndian
	units := make([]uint16, 0, MaxNameUnits)
	for i := range MaxNameUnits {
		u := le.Uint16(b[nameOffset+2*i:])
		if u == 0 {
			break
		}
		units = append(units, u)
	}
	return Partition{
		Number:     number,
		Type:       typ,
		UUID:       guid.FromMixedEndian([16]byte(b[16:32])),
		FirstLBA:   le.Uint64(b[32:]),
		LastLBA:    le.Uint64(b[40:]),
		Attributes: le.Uint64(b[48:]),
		Name:       string(utf16.Decode(units)),
	}, true
}

// encodeEntry writes p into the 128 bytes of b. The name was checked before.
func encodeEntry(b []byte, p *Partition) {
	le := binary.LittleEndian
	typ, uuid := p.Type.MixedEndian(), p.UUID.MixedEndian()
	copy(b, typ[:])
	copy(b[16:], uuid[:])
	le.PutUint64(b[32:], p.FirstLBA)
	le.PutUint64(b[40:], p.LastLBA)
	le.PutUint64(b[48:], p.Attributes)
	for i, u := range utf16.Encode([]rune(p.Name)) {
		le.PutUint16(b[nameOffset+2*i:], u)
	}
}

// checkLayout checks that every partition lies in the usable sectors and inside the disk of sectors sectors, and that
// no two overlap.
func checkLayout(parts []Partition, firstUsable, lastUsable, sectors uint64) error {
	for i := range parts {
		p := &parts[i]
		switch {
		case p.FirstLBA > p.LastLBA:
			return fmt.Errorf("partition %d starts at sector %d and ends at sector %d", p.Number, p.FirstLBA, p.LastLBA)
		case p.FirstLBA < firstUsable:
			return fmt.Errorf("partition %d starts at sector %d, before the first usable sector %d", p.Number, p.FirstLBA, firstUsable)
		case p.LastLBA > lastUsable:
			return fmt.Errorf("partition %d ends at sector %d, behind the last usable sector %d", p.Number, p.LastLBA, lastUsable)
		case p.LastLBA >= sectors:
			return fmt.Errorf("partition %d ends at sector %d, but there are only %d sectors", p.Number, p.LastLBA, sectors)
		}
	}
	order := make([]*Partition, len(parts))
	for i := range parts {
		order[i] = &parts[i]
	}
	sort.Slice(order, func(i, j int) bool { return order[i].FirstLBA < order[j].FirstLBA })
	for i := 1; i < len(order); i++ {
		if a, b := order[i-1], order[i]; b.FirstLBA <= a.LastLBA {
			return fmt.Errorf("partition %d (sectors %d to %d) overlaps partition %d (sectors %d to %d)",
				b.Number, b.FirstLBA, b.LastLBA, a.Number, a.FirstLBA, a.LastLBA)
		}
	}
	return nil
}
