// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package attack

import (
	"bytes"
	"fmt"
	"slices"
	"strings"

	"github.com/initddi/initddi/internal/gpt"
)

// Disk is a disk that is being tampered with: a partition table and an ESP with a FAT. It was made by esp.Build, so that what
// its boot sector says is true, at first.
type Disk struct {
	B []byte
	// ESP is the partition.
	ESP Range

	keys   *Keys
	others func(name string) []byte

	kind      int // 12, 16, 32
	cluster   int // size in bytes
	clusters  int
	tables    []int // where the copies of the FAT lie, counted from the partition's start
	rootAt    int   // FAT12, FAT16
	rootSlots int
	rootFirst uint32 // FAT32
	data      int    // where cluster 2 lies
}

// newDisk looks at a good disk, whose bytes it keeps.
func newDisk(b []byte) (*Disk, error) {
	v := &Disk{B: b}
	table, err := gpt.Read(bytes.NewReader(b), int64(len(b)), sector)
	if err != nil {
		return nil, err
	}
	p := table.Partitions[0]
	v.ESP = Range{int(p.Offset(sector)), int(p.Size(sector))}
	boot := v.at(0, 512)
	bytesPerSector, reserved := int(le.Uint16(boot[11:])), int(le.Uint16(boot[14:]))
	total, perTable := int(le.Uint16(boot[19:])), int(le.Uint16(boot[22:]))
	if total == 0 {
		total = int(le.Uint32(boot[32:]))
	}
	v.cluster, v.rootSlots = int(boot[13])*bytesPerSector, int(le.Uint16(boot[17:]))
	if perTable == 0 {
		v.kind, perTable, v.rootFirst = 32, int(le.Uint32(boot[36:])), le.Uint32(boot[44:])
	}
	for i := range int(boot[16]) {
		v.tables = append(v.tables, (reserved+i*perTable)*bytesPerSector)
	}
	v.rootAt = (reserved + int(boot[16])*perTable) * bytesPerSector
	v.data = v.rootAt + v.rootSlots*slotSize
	v.clusters = (total*bytesPerSector - v.data) / v.cluster
	if v.kind == 0 {
		v.kind = 16
		if v.clusters < 4085 {
			v.kind = 12
		}
	}
	return v, nil
}

// at returns n bytes of the partition.
func (v *Disk) at(off, n int) []byte { return v.B[v.ESP.Offset+off : v.ESP.Offset+off+n] }

// boot returns the boot sector.
func (v *Disk) boot() []byte { return v.at(0, 512) }

// link returns the FAT's entry of a cluster.
func (v *Disk) link(c uint32) uint32 {
	t := v.tables[0]
	switch v.kind {
	case 12:
		x := uint32(le.Uint16(v.at(t+int(c+c/2), 2)))
		if c%2 == 1 {
			return x >> 4
		}
		return x & 0xfff
	case 16:
		return uint32(le.Uint16(v.at(t+2*int(c), 2)))
	}
	return le.Uint32(v.at(t+4*int(c), 4)) & 0x0fffffff
}

// setLink sets a cluster's entry in all copies of the FAT.
func (v *Disk) setLink(c, to uint32) {
	for _, t := range v.tables {
		switch v.kind {
		case 12:
			b := v.at(t+int(c+c/2), 2)
			x := le.Uint16(b)
			if c%2 == 1 {
				x = x&0x000f | uint16(to)<<4
			} else {
				x = x&0xf000 | uint16(to)&0x0fff
			}
			le.PutUint16(b, x)
		case 16:
			le.PutUint16(v.at(t+2*int(c), 2), uint16(to))
		default:
			le.PutUint32(v.at(t+4*int(c), 4), to)
		}
	}
}

// end is the entry that ends a chain, the one below the lowest of them marks a bad cluster.
func (v *Disk) end() uint32 { return uint32(1)<<min(v.kind, 28) - 1 }

func (v *Disk) bad() uint32 { return v.end() - 8 }

// chain returns the clusters of a good file or directory.
func (v *Disk) chain(first uint32) []uint32 {
	var out []uint32
	for c := first; c >= 2 && c < v.end()-7; c = v.link(c) {
		if len(out) > v.clusters {
			panic("cannot tamper with a chain that has been tampered with")
		}
		out = append(out, c)
	}
	return out
}

// clusterAt returns a cluster's bytes.
func (v *Disk) clusterAt(c uint32) []byte { return v.at(v.data+int(c-2)*v.cluster, v.cluster) }

// free returns n clusters that nothing uses, the highest first.
func (v *Disk) free(n int) []uint32 {
	var out []uint32
	for c := uint32(v.clusters + 1); c >= 2 && len(out) < n; c-- {
		if v.link(c) == 0 {
			out = append(out, c)
		}
	}
	if len(out) < n {
		panic(fmt.Errorf("cannot tamper with a file system without %d free clusters", n))
	}
	return out
}

// The layout of a directory's slot.
const (
	slotSize      = 32
	slotAttr      = 11
	slotFirstHigh = 20
	slotFirst     = 26
	slotFileSize  = 28

	attrDir  = 0x10
	attrLong = 0x0f
)

// slots returns the slots of a directory, "" being the root.
func (v *Disk) slots(dir string) [][]byte {
	var raw []byte
	var out [][]byte
	cut := func(b []byte) {
		for i := 0; i+slotSize <= len(b); i += slotSize {
			out = append(out, b[i:i+slotSize])
		}
	}
	first := v.rootFirst
	if dir != "" {
		first = v.first(v.slot(dir))
	} else if v.kind != 32 {
		raw = v.at(v.rootAt, v.rootSlots*slotSize)
		cut(raw)
		return out
	}
	for _, c := range v.chain(first) {
		cut(v.clusterAt(c))
	}
	return out
}

// slot returns the slot of the file or directory at a path, whose names have at most eight characters, a dot, and three.
func (v *Disk) slot(path string) []byte {
	dir, name := "", path
	if i := strings.LastIndexByte(path, '/'); i >= 0 {
		dir, name = path[:i], path[i+1:]
	}
	stem, ext, _ := strings.Cut(strings.ToUpper(name), ".")
	short := fmt.Sprintf("%-8s%-3s", stem, ext)
	for _, s := range v.slots(dir) {
		if string(s[:11]) == short && s[slotAttr] != attrLong {
			return s
		}
	}
	panic(fmt.Errorf("cannot tamper with %s: it is not on the disk", path))
}

func (v *Disk) first(slot []byte) uint32 {
	return uint32(le.Uint16(slot[slotFirst:])) | uint32(le.Uint16(slot[slotFirstHigh:]))<<16
}

func (v *Disk) setFirst(slot []byte, c uint32) {
	le.PutUint16(slot[slotFirst:], uint16(c))
	le.PutUint16(slot[slotFirstHigh:], uint16(c>>16))
}

// unused returns n consecutive slots of a directory that have never been used.
func (v *Disk) unused(dir string, n int) [][]byte {
	all := v.slots(dir)
	i := slices.IndexFunc(all, func(s []byte) bool { return s[0] == 0 })
	if i < 0 || i+n >= len(all) {
		panic(fmt.Errorf("cannot tamper with a directory without %d unused slots", n))
	}
	return all[i : i+n]
}

// add makes an entry in a directory, with a short name only, and returns its slot.
func (v *Disk) add(dir, short string, attr byte, first uint32, size uint32) []byte {
	s := v.unused(dir, 1)[0]
	copy(s, fmt.Sprintf("%-11s", short))
	s[slotAttr] = attr
	v.setFirst(s, first)
	le.PutUint32(s[slotFileSize:], size)
	return s
}

// write makes a file in a directory.
func (v *Disk) write(dir, name string, data []byte) {
	free := v.free((len(data) + v.cluster - 1) / v.cluster)
	for i, c := range free {
		clear(v.clusterAt(c))
		copy(v.clusterAt(c), data[i*v.cluster:])
		v.setLink(c, v.end())
		if i > 0 {
			v.setLink(free[i-1], c)
		}
	}
	longName(v, dir, name, checksum, func(slots [][]byte) {
		short := slots[len(slots)-1]
		short[slotAttr] = 0x20
		v.setFirst(short, free[0])
		le.PutUint32(short[slotFileSize:], uint32(len(data)))
	})
}

// imagePath is where the good image lies on the good disks.
const imagePath = "loader/ddi/os.raw"

// image returns the content of the image file.
func (v *Disk) image() []byte {
	s := v.slot(imagePath)
	size := int(le.Uint32(s[slotFileSize:]))
	out := make([]byte, 0, size)
	for _, c := range v.chain(v.first(s)) {
		out = append(out, v.clusterAt(c)...)
	}
	return out[:size]
}

// setImage replaces the content of the image file, which may become shorter or longer.
func (v *Disk) setImage(b []byte) {
	s := v.slot(imagePath)
	chain := v.chain(v.first(s))
	for _, c := range v.free(max(0, (len(b)+v.cluster-1)/v.cluster-len(chain))) {
		v.setLink(chain[len(chain)-1], c)
		v.setLink(c, v.end())
		chain = append(chain, c)
	}
	le.PutUint32(s[slotFileSize:], uint32(len(b)))
	for _, c := range chain {
		clear(v.clusterAt(c))
		b = b[copy(v.clusterAt(c), b):]
	}
}
