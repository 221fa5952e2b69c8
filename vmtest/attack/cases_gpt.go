// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package attack

import (
	"fmt"

	"github.com/initddi/initddi/internal/gpt"
	"github.com/initddi/initddi/internal/guid"
)

// field is a field of a partition table's header, and a lie to tell in it.
type field struct {
	name string
	at   int
	lie  func(h []byte)
	// stale leaves the header's checksum as it was.
	stale bool
	// says is what is said of the lie in both copies; empty is a field that decides nothing.
	says string
}

func set32(at int, v uint32) func([]byte) { return func(b []byte) { le.PutUint32(b[at:], v) } }
func set64(at int, v uint64) func([]byte) { return func(b []byte) { le.PutUint64(b[at:], v) } }
func add32(at int, v uint32) func([]byte) {
	return func(b []byte) { le.PutUint32(b[at:], le.Uint32(b[at:])+v) }
}
func add64(at int, v uint64) func([]byte) {
	return func(b []byte) { le.PutUint64(b[at:], le.Uint64(b[at:])+v) }
}
func invert(at int) func([]byte) { return func(b []byte) { b[at] ^= 1 } }

// headerFields are all fields of the header.
func headerFields() []field {
	return []field{
		{name: "signature", lie: invert(hdrSignature), says: "no GUID partition table"},
		{name: "revision", lie: set32(hdrRevision, 0x00020000), says: "revision is 0x00020000"},
		{name: "size-small", lie: set32(hdrSize, 91), stale: true, says: "header size is 91"},
		{name: "size-large", lie: set32(hdrSize, 513), stale: true, says: "header size is 513"},
		{name: "crc", lie: invert(hdrCRC), stale: true, says: "header checksum is"},
		{name: "reserved", lie: set32(hdrReserved, 7)},
		{name: "my-lba", lie: add64(hdrMyLBA, 1), says: "header says it is in sector"},
		{name: "alternate-lba", lie: add64(hdrAlternate, 5)},
		{name: "first-usable", lie: set64(hdrFirstUsable, 4096), says: "before the first usable sector 4096"},
		{name: "last-usable", lie: set64(hdrLastUsable, 2050), says: "behind the last usable sector 2050"},
		{name: "disk-uuid", lie: invert(hdrDiskUUID)},
		{name: "entries-lba", lie: add64(hdrEntries, 1), stale: true, says: "header checksum is"},
		{name: "count", lie: set32(hdrCount, 127), stale: true, says: "header checksum is"},
		{name: "entry-size", lie: set32(hdrEntrySize, 256), stale: true, says: "header checksum is"},
		{name: "entries-crc", lie: invert(hdrEntriesCRC), stale: true, says: "header checksum is"},
		{name: "rest-of-sector", lie: invert(hdrEnd + 8), stale: true},
	}
}

// casesHeader alter each field of the header in the primary copy, in the backup, and in both.
func casesHeader() []Case {
	var out []Case
	for _, f := range headerFields() {
		lie := func(copies int) func(*DDI) {
			return func(d *DDI) {
				for _, at := range d.headers(copies) {
					f.lie(d.B[at : at+sector])
					if !f.stale {
						d.resumHeader(at)
					}
				}
			}
		}
		c := Case{Name: "header-" + f.name, Group: "header", Doc: "the field of both headers: " + f.name, DDI: lie(both), Verdict: Refused, Layer: Table, Says: f.says}
		p := Case{Name: c.Name + "-primary", Group: "header", Doc: "the field of the primary header: " + f.name + "; the backup is read", DDI: lie(primary), Verdict: Harmless, Layer: Backup}
		b := Case{Name: c.Name + "-backup", Group: "header", Doc: "the field of the backup header, which nobody reads: " + f.name, DDI: lie(backup), Verdict: Harmless, Layer: Unread}
		switch f.name {
		case "reserved", "rest-of-sector", "alternate-lba":
			c.Verdict, c.Layer, p.Layer = Harmless, Unread, Unread
			p.Doc = "the field of the primary header, which decides nothing: " + f.name
		case "disk-uuid":
			c.Verdict, c.Layer, p.Layer = Harmless, Accepted, Accepted
			p.Doc = "the field of the primary header, which decides nothing: " + f.name
		}
		c.Boot = f.name == "my-lba"
		p.Boot = f.name == "signature"
		b.Boot = f.name == "crc"
		out = append(out, c, p, b)
	}
	return out
}

// table alters both copies and makes their checksums right.
func table(edit func(h []byte)) func(*DDI) {
	return func(d *DDI) {
		for _, at := range d.headers(both) {
			edit(d.B[at : at+sector])
		}
		d.resum(both)
	}
}

// casesTable are lies that a table can tell as a whole.
func casesTable() []Case {
	cases := []Case{
		{Name: "gpt-gone", Doc: "both copies of the image's partition table are gone", DDI: func(d *DDI) {
			clear(d.B[:34*sector])
			clear(d.B[len(d.B)-33*sector:])
		}, Verdict: Refused, Layer: Table, Says: "no GUID partition table", Boot: true},
		{Name: "gpt-backup-only", Doc: "protective MBR, primary header and entries are gone: the backup is read", DDI: func(d *DDI) { clear(d.B[:34*sector]) },
			Verdict: Harmless, Layer: Backup, Boot: true, Test: true},
		{Name: "gpt-primary-only", Doc: "backup header and entries are gone", DDI: func(d *DDI) { clear(d.B[len(d.B)-33*sector:]) }, Verdict: Harmless, Layer: Unread},
		{Name: "gpt-entries-primary", Doc: "a bit of the primary entries: their checksum sends stage 1 to the backup", DDI: func(d *DDI) { d.flip(2*sector + 500) }, Verdict: Harmless, Layer: Backup, Boot: true},
		{Name: "gpt-entries-backup", Doc: "a bit of the backup's entries", DDI: func(d *DDI) { d.flip(len(d.B) - 33*sector + 500) }, Verdict: Harmless, Layer: Unread},
		{Name: "gpt-entries-both", Doc: "a bit of both copies' entries", DDI: func(d *DDI) { d.flip(2*sector + 500); d.flip(len(d.B) - 33*sector + 500) },
			Verdict: Refused, Layer: Table, Says: "checksum of the entries is"},
		{Name: "gpt-count-huge", Doc: "2^32-1 entries", DDI: table(set32(hdrCount, 1<<32-1)), Verdict: Refused, Layer: Table, Says: "4294967295 entries of 128 bytes", Boot: true},
		{Name: "gpt-count-zero", Doc: "no entries", DDI: table(set32(hdrCount, 0)), Verdict: Refused, Layer: Table, Says: "0 entries of 128 bytes"},
		{Name: "gpt-entry-size-zero", Doc: "entries of no size", DDI: table(set32(hdrEntrySize, 0)), Verdict: Refused, Layer: Table, Says: "entry size is 0", Boot: true},
		{Name: "gpt-entry-size-odd", Doc: "entries of 129 bytes", DDI: table(set32(hdrEntrySize, 129)), Verdict: Refused, Layer: Table, Says: "entry size is 129"},
		{Name: "gpt-entry-size-huge", Doc: "entries of 2 GiB each", DDI: table(set32(hdrEntrySize, 1<<31)), Verdict: Refused, Layer: Table, Says: "entry size is 2147483648"},
		{Name: "gpt-entries-in-header", Doc: "the entries are said to lie over the header", DDI: table(set64(hdrEntries, 1)), Verdict: Refused, Layer: Table, Says: "entries take 32 sectors from sector 1"},
		{Name: "gpt-entries-behind-end", Doc: "the entries are said to lie behind the image", DDI: table(set64(hdrEntries, 1<<40)), Verdict: Refused, Layer: Table, Says: "there are only"},
		{Name: "gpt-entries-overflow", Doc: "the entries' sector is near 2^64", DDI: table(set64(hdrEntries, 1<<64-1)), Verdict: Refused, Layer: Table, Says: "there are only"},
		{Name: "gpt-entries-in-data", Doc: "the entries are said to lie in the middle of the data", DDI: table(set64(hdrEntries, 2048)), Verdict: Refused, Layer: Table, Says: "contain the entries"},
		{Name: "gpt-usable-reversed", Doc: "the first usable sector comes behind the last", DDI: table(func(h []byte) { set64(hdrFirstUsable, 4000)(h); set64(hdrLastUsable, 3999)(h) }),
			Verdict: Refused, Layer: Table, Says: "usable sectors are 4000 to 3999"},
		{Name: "gpt-usable-from-zero", Doc: "the header lies in the usable sectors", DDI: table(set64(hdrFirstUsable, 1)), Verdict: Refused, Layer: Table, Says: "usable sectors are 1 to"},
		{Name: "gpt-two-sector-sizes", Doc: "a second table is there for sectors of 4096 bytes, with other partitions", DDI: secondTable, Verdict: Refused, Layer: Table, Says: "valid partition tables for more than one sector size: 512 and 4096", Boot: true},
		{Name: "gpt-cut-in-backup", Doc: "the image ends within the backup table", DDI: func(d *DDI) { d.B = d.B[:len(d.B)-10*sector] }, Verdict: Harmless, Layer: Unread},
		{Name: "gpt-cut-in-backup-no-primary", Doc: "the image ends within the backup table, and the primary is gone", DDI: func(d *DDI) { clear(d.B[:34*sector]); d.B = d.B[:len(d.B)-10*sector] },
			Verdict: Refused, Layer: Table, Says: "no GUID partition table"},
		{Name: "gpt-old-backup", Doc: "the primary is broken, and the backup is that of another image with the same layout", DDI: func(d *DDI) {
			other := d.Others("other")
			copy(d.B[len(d.B)-33*sector:], other[len(other)-33*sector:])
			d.flip(sector)
		}, Verdict: Refused, Layer: RootHash, Says: "found partition UUIDs"},
		{Name: "mbr-signature", Doc: "the protective MBR has no boot signature", DDI: func(d *DDI) { d.B[511] = 0 }, Verdict: Harmless, Layer: Unread},
		{Name: "mbr-type", Doc: "the protective MBR names a FAT partition instead", DDI: func(d *DDI) { d.B[446+4] = 0x0c }, Verdict: Harmless, Layer: Unread, Boot: true},
		{Name: "mbr-size", Doc: "the protective MBR covers one sector only", DDI: func(d *DDI) { le.PutUint32(d.B[446+12:], 1) }, Verdict: Harmless, Layer: Unread},
		{Name: "mbr-code", Doc: "there is boot code in the protective MBR", DDI: func(d *DDI) { copy(d.B[:440], "\xeb\xfe") }, Verdict: Harmless, Layer: Unread},
		{Name: "mbr-hybrid", Doc: "a second MBR partition lies over the data", DDI: func(d *DDI) {
			e := d.B[446+16:]
			e[4] = 0x83
			le.PutUint32(e[8:], 2048)
			le.PutUint32(e[12:], 2048)
		}, Verdict: Harmless, Layer: Unread},
		{Name: "image-empty", Doc: "the image file holds zeros only", DDI: func(d *DDI) { clear(d.B) }, Verdict: Refused, Layer: Table, Says: "no GUID partition table"},
		{Name: "image-one-sector", Doc: "the image file has 512 bytes", DDI: func(d *DDI) { d.B = d.B[:sector] }, Verdict: Refused, Layer: Table, Says: "no GUID partition table"},
		{Name: "image-of-nothing", Doc: "the image file has no bytes", DDI: func(d *DDI) { d.B = nil }, Verdict: Refused, Layer: Table, Says: "no GUID partition table"},
		{Name: "image-fs-only", Doc: "the bare file system under the image's name", DDI: func(d *DDI) { d.B = append([]byte(nil), d.part(d.Data)...) }, Verdict: Refused, Layer: Table, Says: "no GUID partition table"},
		{Name: "image-shifted", Doc: "a sector was put in front of the image", DDI: func(d *DDI) { d.B = append(make([]byte, sector), d.B...) }, Verdict: Refused, Layer: Table},
		{Name: "trailing-bytes", Doc: "a megabyte of something behind the image", DDI: func(d *DDI) {
			rest := make([]byte, 1<<20)
			for i := range rest {
				rest[i] = byte(i * 7)
			}
			d.B = append(d.B, rest...)
		}, Verdict: Harmless, Layer: Unread, Boot: true},
		{Name: "trailing-table", Disk: "fat16", Doc: "a whole other image behind the image, whose backup table is the last", DDI: func(d *DDI) { d.B = append(d.B, d.Others("other")...) }, Verdict: Harmless, Layer: Unread},
		{Name: "gap", Doc: "bytes between the partitions", DDI: func(d *DDI) { d.B[d.Data.Offset-1] ^= 0xff; d.B[d.Hash.Offset-1] ^= 0xff; d.B[d.Sig.Offset-1] ^= 0xff }, Verdict: Harmless, Layer: Unread, Boot: true},
	}
	for i := range cases {
		cases[i].Group = "table"
	}
	return cases
}

// secondTable puts a table for sectors of 4096 bytes beside the first, whose entries it moves out of the way: both are good.
func secondTable(d *DDI) {
	const big = 4096
	const moved = 128 // sector
	h := d.B[sector : 2*sector]
	copy(d.B[moved*sector:], d.B[2*sector:][:entCount*entSize])
	set64(hdrEntries, moved)(h)
	set64(hdrFirstUsable, 2048)(h)
	d.resum(primary)
	root, _ := gpt.TypeOf(gpt.Root, arch)
	w := &bytesWriter{make([]byte, len(d.B))}
	must(gpt.Write(w, int64(len(d.B))/big*big, &gpt.Table{SectorSize: big, DiskUUID: guid.MustParse("5a9c5b0e-1f0a-4d4c-9e9b-2a4a8f0f6c02"), Partitions: []gpt.Partition{
		{Number: 1, Type: root, UUID: guid.MustParse("5a9c5b0e-1f0a-4d4c-9e9b-2a4a8f0f6c01"), FirstLBA: 256, LastLBA: 300, Name: "other"},
	}}))
	copy(d.B[big:6*big], w.b[big:6*big])
}

type bytesWriter struct{ b []byte }

func (w *bytesWriter) WriteAt(p []byte, off int64) (int, error) {
	if off < 0 || off+int64(len(p)) > int64(len(w.b)) {
		return 0, fmt.Errorf("cannot write %d bytes at %d of %d", len(p), off, len(w.b))
	}
	return copy(w.b[off:], p), nil
}
