// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package attack

import (
	"fmt"
	"unicode/utf16"
)

// imageChain alters the chain of the image file.
func imageChain(edit func(v *Disk, chain []uint32)) func(*Disk) {
	return func(v *Disk) { edit(v, v.chain(v.first(v.slot(imagePath)))) }
}

// imageSlot alters the directory entry of the image file.
func imageSlot(edit func(v *Disk, s []byte)) func(*Disk) {
	return func(v *Disk) { edit(v, v.slot(imagePath)) }
}

// clusterOf returns which cluster of the image holds one of its bytes.
func (v *Disk) clusterOf(offset int) int { return offset / v.cluster }

// casesChain are lies about where the image's bytes lie.
func casesChain() []Case {
	last := func(c []uint32) uint32 { return c[len(c)-1] }
	cases := []Case{
		{Name: "chain-loop", Doc: "the image's chain leads back to its start", Volume: imageChain(func(v *Disk, c []uint32) { v.setLink(last(c), c[0]) }), Verdict: Refused, Layer: File, Says: "its chain ", Boot: true, Test: true},
		{Name: "chain-loop-middle", Doc: "the image's chain leads back to its middle", Volume: imageChain(func(v *Disk, c []uint32) { v.setLink(last(c), c[len(c)/2]) }), Verdict: Refused, Layer: File, Says: "leads back"},
		{Name: "chain-self", Doc: "a cluster leads to itself", Volume: imageChain(func(v *Disk, c []uint32) { v.setLink(c[10], c[10]) }), Verdict: Refused, Layer: File, Says: "leads back", Boot: true},
		{Name: "chain-short", Doc: "the chain ends before the file does", Volume: imageChain(func(v *Disk, c []uint32) { v.setLink(c[len(c)-3], v.end()) }), Verdict: Refused, Layer: File, Says: "its", Boot: true},
		{Name: "chain-free", Doc: "a cluster of the chain is marked as free", Volume: imageChain(func(v *Disk, c []uint32) { v.setLink(c[10], 0) }), Verdict: Refused, Layer: File, Says: "marked as free", Boot: true},
		{Name: "chain-bad", Doc: "a cluster of the chain is marked as bad", Volume: imageChain(func(v *Disk, c []uint32) { v.setLink(c[10], v.bad()) }), Verdict: Refused, Layer: File, Says: "marked as bad"},
		{Name: "chain-reserved", Doc: "the chain leads to cluster 1", Volume: imageChain(func(v *Disk, c []uint32) { v.setLink(c[10], 1) }), Verdict: Refused, Layer: File, Says: "leads to cluster 1"},
		{Name: "chain-outside", Doc: "the chain leads out of the partition", Volume: imageChain(func(v *Disk, c []uint32) { v.setLink(c[10], uint32(v.clusters+2)) }), Verdict: Refused, Layer: File, Says: "leads to cluster", Boot: true},
		{Name: "chain-outside-far", Doc: "the chain leads to the highest number", Volume: imageChain(func(v *Disk, c []uint32) { v.setLink(c[10], v.bad()-1) }), Verdict: Refused, Layer: File, Says: "leads to cluster"},
		{Name: "chain-swapped", Doc: "two clusters of the payload have changed places in the chain", Volume: imageChain(func(v *Disk, c []uint32) {
			d, err := newDDI(v.image(), nil)
			must(err)
			i := v.clusterOf(d.payload(PayloadMiddle))
			v.setLink(c[i-1], c[i+1])
			v.setLink(c[i+1], c[i])
			v.setLink(c[i], c[i+2])
		}), Verdict: Contained, Layer: Late, Boot: true},
		{Name: "chain-skips", Doc: "the chain leaves a cluster of the data out, and has one more at its end", Volume: imageChain(func(v *Disk, c []uint32) {
			free := v.free(1)[0]
			v.setLink(c[300], c[302])
			v.setLink(last(c), free)
			v.setLink(free, v.end())
		}), Verdict: Refused, Layer: Signature, Says: "the image has no signature partition"},
		{Name: "chain-other-hash", Doc: "the hash partition's first cluster is another one, of zeros", Volume: imageChain(func(v *Disk, c []uint32) {
			d, err := newDDI(v.image(), nil)
			must(err)
			i := v.clusterOf(d.Hash.Offset)
			detour(v, c, i)
		}), Verdict: Refused, Layer: Superblock, Says: "no dm-verity superblock", Boot: true},
		{Name: "chain-other-payload", Doc: "a cluster of the payload is another one, of zeros", Volume: imageChain(func(v *Disk, c []uint32) {
			d, err := newDDI(v.image(), nil)
			must(err)
			detour(v, c, v.clusterOf(d.payload(PayloadMiddle)))
		}), Verdict: Contained, Layer: Late, Boot: true},
		{Name: "chain-other-table", Doc: "the first cluster is another one, of zeros: the image's table is gone, its backup is not", Volume: imageSlot(func(v *Disk, s []byte) {
			free := v.free(1)[0]
			v.setLink(free, v.link(v.first(s)))
			v.setFirst(s, free)
		}), Verdict: Harmless, Layer: Backup},
		{Name: "chain-shared", Doc: "another file shares the image's clusters", Volume: func(v *Disk) {
			s := v.slot("loader/entry.txt")
			v.setFirst(s, v.first(v.slot(imagePath)))
		}, Verdict: Harmless, Layer: Unread, Boot: true},
		{Name: "chain-joins-other", Doc: "the image's chain runs into another file's", Volume: imageChain(func(v *Disk, c []uint32) { v.setLink(c[10], v.first(v.slot("loader/entry.txt"))) }), Verdict: Refused, Layer: File, Says: "its"},
		{Name: "chain-longer", Doc: "the chain goes on behind the file's end", Volume: imageChain(func(v *Disk, c []uint32) {
			for _, f := range v.free(20) {
				v.setLink(last(c), f)
				v.setLink(f, v.end())
				c = append(c, f)
			}
		}), Verdict: Harmless, Layer: Unread},
		{Name: "chain-second-copy", Doc: "the second copy of the FAT says something else", Volume: func(v *Disk) { clear(v.at(v.tables[1]+16, 64)) }, Verdict: Harmless, Layer: Unread},
		{Name: "chain-first-copy", Doc: "the first copy of the FAT is zeros, the second is good", Volume: func(v *Disk) { clear(v.at(v.tables[0], v.tables[1]-v.tables[0])) }, Verdict: Refused, Layer: FileSystem, Says: "marked as free"},

		{Name: "size-more", Doc: "the file is said to be a cluster longer than its chain", Volume: imageSlot(func(v *Disk, s []byte) { add32(slotFileSize, uint32(v.cluster))(s) }), Verdict: Refused, Layer: File, Says: "its", Boot: true},
		{Name: "size-largest", Doc: "the file is said to have 4 GiB less a byte", Volume: imageSlot(func(_ *Disk, s []byte) { set32(slotFileSize, 1<<32-1)(s) }), Verdict: Refused, Layer: File, Says: "it has 4294967295 bytes", Boot: true},
		{Name: "size-zero", Doc: "the file is said to be empty", Volume: imageSlot(func(_ *Disk, s []byte) { set32(slotFileSize, 0)(s) }), Verdict: Refused, Layer: Table, Says: "no GUID partition table"},
		{Name: "size-less", Doc: "the file is said to be a byte shorter", Volume: imageSlot(func(_ *Disk, s []byte) { add32(slotFileSize, 1<<32-1)(s) }), Verdict: Harmless, Layer: Unread},
		{Name: "size-half", Doc: "the file is said to have half of its bytes", Volume: imageSlot(func(_ *Disk, s []byte) { le.PutUint32(s[slotFileSize:], le.Uint32(s[slotFileSize:])/2) }), Verdict: Refused, Layer: Table, Says: "there are only"},
		{Name: "first-zero", Doc: "the file is said to start at cluster 0", Volume: imageSlot(func(v *Disk, s []byte) { v.setFirst(s, 0) }), Verdict: Refused, Layer: File, Says: "it starts at cluster 0"},
		{Name: "first-one", Doc: "the file is said to start at cluster 1", Volume: imageSlot(func(v *Disk, s []byte) { v.setFirst(s, 1) }), Verdict: Refused, Layer: File, Says: "it starts at cluster 1"},
		{Name: "first-outside", Doc: "the file is said to start outside of the partition", Volume: imageSlot(func(v *Disk, s []byte) { v.setFirst(s, uint32(v.clusters+2)) }), Verdict: Refused, Layer: File, Says: "it starts at cluster"},
		{Name: "first-free", Doc: "the file is said to start at a free cluster", Volume: imageSlot(func(v *Disk, s []byte) { v.setFirst(s, v.free(1)[0]) }), Verdict: Refused, Layer: File, Says: "marked as free"},
		{Name: "first-next", Doc: "the file is said to start at its second cluster", Volume: imageSlot(func(v *Disk, s []byte) { v.setFirst(s, v.link(v.first(s))) }), Verdict: Refused, Layer: File, Says: "its"},
	}
	for i := range cases {
		cases[i].Group = "chain"
	}
	return append(cases, wider(cases)...)
}

// detour puts a free cluster in place of the i-th of a chain.
func detour(v *Disk, c []uint32, i int) {
	free := v.free(1)[0]
	v.setLink(c[i-1], free)
	v.setLink(free, c[i+1])
}

// wider repeats a few of the lies on the other kinds of FAT, whose entries have other widths.
func wider(cases []Case) []Case {
	var out []Case
	for _, c := range cases {
		switch c.Name {
		case "chain-loop", "chain-free", "chain-outside", "chain-swapped", "size-more":
			for _, fat := range []string{"fat16", "fat32"} {
				d := c
				d.Disk, d.Name = fat, c.Name+"-"+fat
				d.Doc = c.Doc + ", on " + fat
				d.Boot = c.Name == "chain-loop" || c.Name == "chain-swapped"
				d.Test = false
				out = append(out, d)
			}
		}
	}
	return out
}

// longName makes an entry with a long name: the image under another one. sum makes the checksum that the long name has, and edit
// changes the slots, of which the last is the short one.
func longName(v *Disk, dir, name string, sum func(short []byte) byte, edit func(slots [][]byte)) {
	units := append(utf16.Encode([]rune(name)), 0)
	n := (len(units) + 12) / 13
	slots := v.unused(dir, n+1)
	image := v.slot(imagePath)
	short := slots[n]
	copy(short, image)
	copy(short, fmt.Sprintf("L%02X~1   RAW", checksum([]byte(name)))) // another one for each name
	short[12] = 0
	for i := range n {
		s := slots[n-1-i]
		s[0] = byte(i + 1)
		if i == n-1 {
			s[0] |= 0x40
		}
		s[slotAttr], s[13] = attrLong, sum(short[:11])
		for j := range 13 {
			u := uint16(0xffff)
			if k := i*13 + j; k < len(units) {
				u = units[k]
			}
			at := 1 + 2*j
			switch {
			case j >= 11:
				at = 28 + 2*(j-11)
			case j >= 5:
				at = 14 + 2*(j-5)
			}
			le.PutUint16(s[at:], u)
		}
	}
	if edit != nil {
		edit(slots)
	}
}

// checksum is that of a short name, which its long name repeats.
func checksum(short []byte) byte {
	var sum byte
	for _, c := range short {
		sum = sum>>1 | sum<<7
		sum += c
	}
	return sum
}

// hidden takes the image's own entry away, so that only another name leads to it.
func hidden(v *Disk) { v.slot(imagePath)[0] = 0xe5 }

// casesDirectory are lies about names and directories.
func casesDirectory() []Case {
	const dir = "loader/ddi"
	// alone gives the image a long name and no other.
	alone := func(name string, edit func(slots [][]byte)) func(*Disk) {
		return func(v *Disk) {
			longName(v, dir, name, checksum, edit)
			hidden(v)
		}
	}
	cases := []Case{
		{Name: "name-escapes", Doc: "the image is named ../../os.raw", Volume: alone("../../os.raw", nil), Verdict: Refused, Layer: Found, Says: "found no image", Boot: true},
		{Name: "name-slash", Doc: "the image's name has a slash", Volume: alone("a/os.raw", nil), Verdict: Refused, Layer: Found, Says: "found no image"},
		{Name: "name-control", Doc: "the image's name has an escape sequence", Volume: alone("\x1b[2Jos.raw", nil), Verdict: Refused, Layer: Found, Says: "found no image"},
		{Name: "name-dots", Doc: "the image is named ..", Volume: alone("..", nil), Verdict: Refused, Layer: Found},
		{Name: "name-long-good", Doc: "the image has a good long name and no other", Volume: alone("a good long name.raw", nil), Verdict: Harmless, Layer: Unread},
		{Name: "name-checksum", Doc: "the long name's checksum is wrong: the short name counts", Volume: func(v *Disk) {
			longName(v, dir, "something.sysext.raw", func(s []byte) byte { return checksum(s) + 1 }, nil)
			hidden(v)
		}, Verdict: Harmless, Layer: Unread},
		{Name: "name-order", Doc: "the long name's parts are numbered wrongly", Volume: alone("a name of several parts.raw", func(s [][]byte) { s[0][0] = 0x45 }), Verdict: Harmless, Layer: Unread},
		{Name: "name-no-start", Doc: "the long name's first part is missing", Volume: alone("a name of several parts.raw", func(s [][]byte) { s[0][0] = 0xe5 }), Verdict: Harmless, Layer: Unread},
		{Name: "name-surrogates", Doc: "the long name is no UTF-16", Volume: alone("x.raw", func(s [][]byte) { le.PutUint16(s[0][1:], 0xdc00) }), Verdict: Harmless, Layer: Unread},
		{Name: "name-repeated", Doc: "a second entry with the image's name leads elsewhere", Volume: func(v *Disk) {
			v.add(dir, "OS      RAW", 0x20, v.first(v.slot("loader/entry.txt")), 27)
		}, Verdict: Harmless, Layer: Unread},
		{Name: "name-repeated-first", Doc: "an entry with the image's name that leads elsewhere comes before it", Volume: func(v *Disk) {
			good := append([]byte(nil), v.slot(imagePath)...)
			s := v.slot(imagePath)
			v.setFirst(s, v.first(v.slot("loader/entry.txt")))
			set32(slotFileSize, 27)(s)
			copy(v.unused(dir, 1)[0], good)
		}, Verdict: Refused, Layer: Table, Says: "no GUID partition table", Boot: true},
		{Name: "name-deleted", Doc: "the image's entry is deleted", Volume: hidden, Verdict: Refused, Layer: Found},
		{Name: "name-end-mark", Doc: "an end mark stands before the image's entry", Volume: func(v *Disk) { v.slots(dir)[0][0] = 0 }, Verdict: Refused, Layer: Found},
		{Name: "attr-directory", Doc: "the image is a directory", Volume: imageSlot(func(_ *Disk, s []byte) { s[slotAttr] = attrDir }), Verdict: Refused, Layer: Found, Boot: true},
		{Name: "attr-label", Doc: "the image is a volume label", Volume: imageSlot(func(_ *Disk, s []byte) { s[slotAttr] = 0x08 }), Verdict: Refused, Layer: Found},
		{Name: "attr-hidden", Doc: "the image is hidden, a system file, and not read-only", Volume: imageSlot(func(_ *Disk, s []byte) { s[slotAttr] = 0x06 }), Verdict: Harmless, Layer: Unread},

		{Name: "dir-loop", Doc: "the images' directory is its own parent", Volume: func(v *Disk) { v.setFirst(v.slot(dir), v.first(v.slot("loader"))) }, Verdict: Refused, Layer: FileSystem, Says: "as one above it does", Boot: true},
		{Name: "dir-root", Doc: "the images' directory is the root directory", Volume: func(v *Disk) { v.setFirst(v.slot(dir), 0) }, Verdict: Refused, Layer: FileSystem, Says: "as one above it does"},
		{Name: "dir-chain-loop", Doc: "the chain of the images' directory leads back", Volume: func(v *Disk) {
			c := v.first(v.slot(dir))
			fillSlots(v, c)
			v.setLink(c, c)
		}, Verdict: Refused, Layer: FileSystem, Says: "leads back", Boot: true},
		{Name: "dir-free", Doc: "the images' directory lies in a free cluster", Volume: func(v *Disk) { v.setFirst(v.slot(dir), v.free(1)[0]) }, Verdict: Refused, Layer: FileSystem, Says: "marked as free"},
		{Name: "dir-outside", Doc: "the images' directory lies outside of the partition", Volume: func(v *Disk) { v.setFirst(v.slot(dir), uint32(v.clusters+2)) }, Verdict: Refused, Layer: FileSystem, Says: "it starts at cluster"},
		{Name: "dir-in-image", Doc: "the images' directory is the image's first cluster", Volume: func(v *Disk) { v.setFirst(v.slot(dir), v.first(v.slot(imagePath))) }, Verdict: Refused, Layer: Found},
		{Name: "dir-file", Doc: "the images' directory is a file", Volume: func(v *Disk) { v.slot(dir)[slotAttr] = 0x20 }, Verdict: Refused, Layer: FileSystem, Says: "it is a file"},
		{Name: "dir-gone", Doc: "there is no directory of images", Volume: func(v *Disk) { v.slot(dir)[0] = 0xe5 }, Verdict: Refused, Layer: Found},
		{Name: "dir-loader-file", Doc: "the directory above it is a file", Volume: func(v *Disk) { v.slot("loader")[slotAttr] = 0x20 }, Verdict: Refused, Layer: Found},
		{Name: "dir-huge", Disk: "fat32", Doc: "the images' directory has more than 65,536 slots", Volume: func(v *Disk) { hugeDirectory(v, 1<<16*slotSize/v.cluster+1) }, Verdict: Refused, Layer: FileSystem, Says: "more than 65536 slots", Boot: true},
		{Name: "dir-large", Disk: "fat32", Doc: "the images' directory has 65,536 slots, all but a few deleted", Volume: func(v *Disk) { hugeDirectory(v, 1<<16*slotSize/v.cluster) }, Verdict: Harmless, Layer: Unread, Boot: true},
		{Name: "dir-many", Doc: "a hundred more files that are named like newer images and hold nothing", Volume: func(v *Disk) {
			for i := range 100 {
				v.add(dir, fmt.Sprintf("OS_%d  RAW", 900+i), 0x20, 0, 0)
			}
		}, Verdict: Harmless, Layer: Unread, Boot: true},
	}
	for i := range cases {
		cases[i].Group = "directory"
	}
	return cases
}

// fillSlots marks all slots of a directory's cluster that have never been used as deleted, so that it goes on behind it.
func fillSlots(v *Disk, c uint32) {
	b := v.clusterAt(c)
	for i := 0; i < len(b); i += slotSize {
		if b[i] == 0 {
			b[i] = 0xe5
		}
	}
}

// hugeDirectory makes the images' directory so many clusters long, all full.
func hugeDirectory(v *Disk, clusters int) {
	chain := v.chain(v.first(v.slot("loader/ddi")))
	for _, c := range v.free(clusters - len(chain)) {
		v.setLink(chain[len(chain)-1], c)
		v.setLink(c, v.end())
		chain = append(chain, c)
	}
	for _, c := range chain {
		fillSlots(v, c)
	}
}

// casesBootSector are lies about the file system as a whole.
func casesBootSector() []Case {
	lie := func(edit func(b []byte)) func(*Disk) { return func(v *Disk) { edit(v.boot()) } }
	set8 := func(at int, x byte) func([]byte) { return func(b []byte) { b[at] = x } }
	set16 := func(at int, x uint16) func([]byte) { return func(b []byte) { le.PutUint16(b[at:], x) } }
	cases := []Case{
		{Name: "fat-signature", Doc: "no boot signature", Volume: lie(set8(511, 0)), Says: "want 0x55aa", Boot: true},
		{Name: "fat-gone", Doc: "zeros", Volume: lie(func(b []byte) { clear(b) }), Says: "not a FAT file system"},
		{Name: "fat-sector-zero", Doc: "sectors of no size", Volume: lie(set16(11, 0)), Says: "sectors have 0 bytes", Boot: true},
		{Name: "fat-sector-odd", Doc: "sectors of 513 bytes", Volume: lie(set16(11, 513)), Says: "sectors have 513 bytes"},
		{Name: "fat-sector-huge", Doc: "sectors of 32 KiB", Volume: lie(set16(11, 32768)), Says: "sectors have 32768 bytes"},
		{Name: "fat-cluster-zero", Doc: "clusters of no sectors", Volume: lie(set8(13, 0)), Says: "clusters have 0 sectors", Boot: true},
		{Name: "fat-cluster-odd", Doc: "clusters of three sectors", Volume: lie(set8(13, 3)), Says: "clusters have 3 sectors"},
		{Name: "fat-reserved-zero", Doc: "no reserved sectors", Volume: lie(set16(14, 0)), Says: "0 reserved sectors"},
		{Name: "fat-reserved-huge", Doc: "all sectors reserved", Volume: lie(set16(14, 65535)), Says: "its first cluster starts at sector"},
		{Name: "fat-tables-zero", Doc: "no FAT", Volume: lie(set8(16, 0)), Says: "0 FATs"},
		{Name: "fat-tables-many", Doc: "255 FATs", Volume: lie(func(b []byte) { set8(16, 255)(b); set16(22, 200)(b) }), Says: "its first cluster starts at sector"},
		{Name: "fat-total", Doc: "more sectors than the partition has", Volume: lie(func(b []byte) { set16(19, 0)(b); set32(32, 1<<30)(b) }), Says: "its partition", Boot: true},
		{Name: "fat-total-zero", Doc: "no sectors", Volume: lie(func(b []byte) { set16(19, 0)(b); set32(32, 0)(b) }), Says: "it has 0 sectors"},
		{Name: "fat-table-zero", Doc: "a FAT of no sectors", Volume: lie(func(b []byte) { set16(22, 0)(b); set32(36, 0)(b) }), Says: "the FAT has no sectors"},
		{Name: "fat-table-short", Doc: "a FAT of one sector: the clusters behind it cannot be used", Volume: lie(set16(22, 1)), Verdict: Refused, Layer: Found},
		{Name: "fat-root-zero", Doc: "a root directory without slots", Volume: lie(set16(17, 0)), Says: "root directory has 0 slots"},
		{Name: "fat-media", Doc: "a media type that is none", Volume: lie(set8(21, 0x12)), Says: "the media type is"},
		{Name: "fat-jump", Doc: "the jump, the OEM name and the boot code, which nobody here reads", Volume: lie(func(b []byte) { copy(b, "XXXHACKED!"); b[100] ^= 0xff }), Verdict: Harmless, Layer: Unread},
		{Name: "fat32-version", Disk: "fat32", Doc: "a version of FAT32 that does not exist", Volume: lie(set16(42, 0x0100)), Says: "FAT32 of version 1.0"},
		{Name: "fat32-root-zero", Disk: "fat32", Doc: "a root directory at cluster 0", Volume: lie(set32(44, 0))},
		{Name: "fat32-root-outside", Disk: "fat32", Doc: "a root directory outside of the partition", Volume: lie(set32(44, 0x0ffffff0)), Boot: true},
		{Name: "fat32-root-image", Disk: "fat32", Doc: "a root directory in the image", Volume: func(v *Disk) { set32(44, v.first(v.slot(imagePath)))(v.boot()) }, Verdict: Refused, Layer: Found},
		{Name: "fat32-active", Disk: "fat32", Doc: "the second FAT is the one in use, and it is zeros", Volume: func(v *Disk) { set16(40, 0x81)(v.boot()); clear(v.at(v.tables[1]+12, 4096)) }},
		{Name: "fat32-active-none", Disk: "fat32", Doc: "the FAT in use is one that does not exist", Volume: lie(set16(40, 0x8f))},
		{Name: "fat32-info", Disk: "fat32", Doc: "the sector with the count of free clusters, which is only advice", Volume: func(v *Disk) { clear(v.at(512, 512)) }, Verdict: Harmless, Layer: Unread},
		{Name: "fat32-high-bits", Disk: "fat32", Doc: "the reserved bits of the FAT's entries", Volume: imageChain(func(v *Disk, c []uint32) {
			for _, x := range c {
				v.setLink(x, v.link(x)|0xf0000000)
			}
		}), Verdict: Harmless, Layer: Unread},
	}
	for i := range cases {
		c := &cases[i]
		c.Group, c.Doc = "boot-sector", "boot sector: "+c.Doc
		if c.Verdict == "" {
			c.Verdict, c.Layer = Refused, FileSystem
		}
	}
	return cases
}

// disk alters the disk's own partition table.
func diskTable(edit func(d *DDI)) func(*Disk) {
	return func(v *Disk) { edit(&DDI{B: v.B}) }
}

// casesDisk are lies in the partition table of the disk.
func casesDisk() []Case {
	const seen = "cannot find the only EFI system partition"
	cases := []Case{
		{Name: "disk-primary", Doc: "the primary header's checksum: the kernel makes no partitions of a disk like that", Volume: diskTable(func(d *DDI) { d.flip(sector + hdrCRC) }),
			Verdict: Refused, Layer: Partition, Says: seen, DirectVerdict: Harmless, DirectLayer: Unread, Boot: true},
		{Name: "disk-backup", Doc: "the backup header's checksum", Volume: diskTable(func(d *DDI) { d.flip(len(d.B) - sector + hdrCRC) }), Verdict: Harmless, Layer: Unread, Boot: true},
		{Name: "disk-both", Doc: "both headers' checksums", Volume: diskTable(func(d *DDI) { d.flip(sector + hdrCRC); d.flip(len(d.B) - sector + hdrCRC) }), Verdict: Refused, Layer: Partition, Says: seen},
		{Name: "disk-type", Doc: "the ESP has another type", Volume: diskTable(entry(1, setGUID(entType, typeOf("linux-generic", "")))), Verdict: Refused, Layer: Partition, Says: seen, Boot: true},
		{Name: "disk-start", Doc: "the ESP starts elsewhere than where the kernel has it", Volume: diskTable(entry(1, add64(entFirst, 8))), Verdict: Refused, Layer: Partition, Says: seen},
		{Name: "disk-second-esp", Doc: "a second ESP on the disk", Volume: diskTable(func(d *DDI) {
			last := uint64(len(d.B)/sector) - 34
			for i, e := range d.entries(2) {
				copy(e, d.entries(1)[i])
				set64(entFirst, last-63)(e)
				set64(entLast, last)(e)
				e[entUUID] ^= 1
			}
			d.resum(both)
		}), Verdict: Refused, Layer: Partition, Says: "found /dev/vda1 (PARTUUID=", DirectVerdict: Harmless, DirectLayer: Unread, Boot: true},
		{Name: "disk-name", Doc: "the ESP's name has control characters", Volume: diskTable(entry(1, setName("\x1b]0;esp\a\n"))), Verdict: Harmless, Layer: Unread},
		{Name: "disk-count", Doc: "the disk's table has 2^32-1 entries", Volume: diskTable(func(d *DDI) { table(set32(hdrCount, 1<<32-1))(d) }), Verdict: Refused, Layer: Partition, Says: seen, Boot: true},
		{Name: "disk-overlap", Doc: "another partition overlaps the ESP", Volume: diskTable(func(d *DDI) {
			for i, e := range d.entries(2) {
				copy(e, d.entries(1)[i])
				setGUID(entType, typeOf("linux-generic", ""))(e)
				add64(entFirst, 8)(e)
				e[entUUID] ^= 1
			}
			d.resum(both)
		}), Verdict: Refused, Layer: Partition, Says: seen, Boot: true},
	}
	for i := range cases {
		cases[i].Group = "disk"
	}
	return cases
}
