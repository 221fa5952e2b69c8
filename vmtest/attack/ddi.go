// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package attack

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/crc32"

	"github.com/initddi/initddi/internal/gpt"
	"github.com/initddi/initddi/internal/signature"
	"github.com/initddi/initddi/internal/verity"
	"github.com/initddi/initddi/vmtest/guest"
)

// le is how partition tables, superblocks and FAT store numbers.
var le = binary.LittleEndian

// sector is the sector size of the good images' partition tables.
const sector = 512

// block is the size of the good images' data and hash blocks.
const block = 4096

// Range is a part of an image in bytes.
type Range struct{ Offset, Length int }

// DDI is an image that is being tampered with. Where things are is that of the good image, whatever is done to it meanwhile.
type DDI struct {
	B []byte
	// Data, Hash and Sig are its partitions, in the order of the table.
	Data, Hash, Sig Range
	Superblock      *verity.Superblock
	RootHash        []byte
	Keys            *Keys
	// Others are other good images by name.
	Others func(name string) []byte
}

// newDDI looks at a good image.
func newDDI(b []byte, keys *Keys) (*DDI, error) {
	d := &DDI{B: bytes.Clone(b), Keys: keys}
	table, err := gpt.Read(bytes.NewReader(b), int64(len(b)), sector)
	if err != nil {
		return nil, err
	}
	if len(table.Partitions) != 3 {
		return nil, fmt.Errorf("cannot tamper with an image of %d partitions, wanted 3", len(table.Partitions))
	}
	for i, r := range []*Range{&d.Data, &d.Hash, &d.Sig} {
		p := table.Partitions[i]
		*r = Range{int(p.Offset(sector)), int(p.Size(sector))}
	}
	if d.Superblock, err = verity.ParseSuperblock(b[d.Hash.Offset:]); err != nil {
		return nil, err
	}
	doc, err := signature.ParseDocument(d.part(d.Sig))
	if err != nil {
		return nil, err
	}
	d.RootHash = doc.RootHash
	return d, nil
}

// part returns a part of the image, to be read or written.
func (d *DDI) part(r Range) []byte { return d.B[r.Offset : r.Offset+r.Length] }

// flip inverts the lowest bit of a byte.
func (d *DDI) flip(at int) { d.B[at] ^= 1 }

// Copies of the partition table.
const (
	primary = 1 << iota
	backup
	both = primary | backup
)

// headers returns where the headers of the copies lie.
func (d *DDI) headers(copies int) []int {
	var out []int
	if copies&primary != 0 {
		out = append(out, sector)
	}
	if copies&backup != 0 {
		out = append(out, len(d.B)-sector)
	}
	return out
}

// Fields of a header (UEFI specification, table 5-5) by their offsets.
const (
	hdrSignature   = 0
	hdrRevision    = 8
	hdrSize        = 12
	hdrCRC         = 16
	hdrReserved    = 20
	hdrMyLBA       = 24
	hdrAlternate   = 32
	hdrFirstUsable = 40
	hdrLastUsable  = 48
	hdrDiskUUID    = 56
	hdrEntries     = 72
	hdrCount       = 80
	hdrEntrySize   = 84
	hdrEntriesCRC  = 88
	hdrEnd         = 92
)

// Fields of an entry (table 5-6), and what tables of ours have of them.
const (
	entType       = 0
	entUUID       = 16
	entFirst      = 32
	entLast       = 40
	entAttributes = 48
	entName       = 56

	entSize  = 128
	entCount = 128
)

// resum makes the checksums right again, so that what was altered is found by what it says and not by its checksum. A table
// that lies so much that there are no entries to sum keeps what it has.
func (d *DDI) resum(copies int) {
	for _, at := range d.headers(copies) {
		h := d.B[at : at+sector]
		first, n := le.Uint64(h[hdrEntries:]), uint64(le.Uint32(h[hdrCount:]))*uint64(le.Uint32(h[hdrEntrySize:]))
		if size := uint64(len(d.B)); first < size/sector && n <= size-first*sector {
			le.PutUint32(h[hdrEntriesCRC:], crc32.ChecksumIEEE(d.B[first*sector:][:n]))
		}
		d.resumHeader(at)
	}
}

// resumHeader makes the checksum of one header right.
func (d *DDI) resumHeader(at int) {
	h := d.B[at : at+sector]
	le.PutUint32(h[hdrCRC:], 0)
	if n := le.Uint32(h[hdrSize:]); n <= sector {
		le.PutUint32(h[hdrCRC:], crc32.ChecksumIEEE(h[:n]))
	}
}

// entries returns partition number's entry in each copy.
func (d *DDI) entries(number int) [][]byte {
	var out [][]byte
	for _, at := range []int{2 * sector, len(d.B) - sector - entCount*entSize} {
		out = append(out, d.B[at+(number-1)*entSize:][:entSize])
	}
	return out
}

// document replaces the content of the signature partition.
func (d *DDI) document(text string) {
	p := d.part(d.Sig)
	clear(p)
	copy(p, text)
}

// text returns the JSON in the signature partition.
func (d *DDI) text() string {
	p := d.part(d.Sig)
	return string(p[:bytes.IndexByte(p, 0)])
}

// message returns the PKCS#7 message in the signature partition.
func (d *DDI) message() []byte {
	doc, err := signature.ParseDocument(d.part(d.Sig))
	must(err)
	return doc.Signature
}

// sign puts a message into the signature partition, beside the image's root hash.
func (d *DDI) sign(message []byte) { d.signFor(d.RootHash, message) }

func (d *DDI) signFor(rootHash, message []byte) {
	b, err := signature.Document{RootHash: rootHash, Signature: message}.Encode()
	must(err)
	d.document(string(bytes.TrimRight(b, "\x00")))
}

// payload returns where the n-th block of the payload lies; a negative n counts from the end.
func (d *DDI) payload(n int) int {
	if n < 0 {
		n += guest.PayloadBlocks
	}
	want := guest.PayloadBlock(n)
	i := bytes.Index(d.part(d.Data), want)
	if i < 0 || i%block != 0 {
		panic(fmt.Errorf("cannot tamper with the payload: its block %d is not in the image", n))
	}
	return d.Data.Offset + i
}

// hashBlock returns where the lowest hash block that covers the data at a byte of the image lies.
func (d *DDI) hashBlock(at int) int {
	const fanout = block / 32
	n := (at - d.Data.Offset) / block / fanout
	// The superblock's block, the root of the tree, and the level below it, which is the last.
	return d.Hash.Offset + (2+n)*block
}

// treeRoot returns where the top of the hash tree lies.
func (d *DDI) treeRoot() int { return d.Hash.Offset + block }

// must ends a generator that cannot do what its name says; whoever runs it turns that into the case's failure.
func must(err error) {
	if err != nil {
		panic(err)
	}
}

// replace puts a text in place of another of the same length, once, in the data.
func replace(d *DDI, from, to string) {
	i := bytes.Index(d.part(d.Data), []byte(from))
	if i < 0 || len(from) != len(to) {
		panic(fmt.Errorf("cannot replace %q by %q in the image", from, to))
	}
	copy(d.part(d.Data)[i:], to)
}
