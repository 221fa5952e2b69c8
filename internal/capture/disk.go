// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package capture

import (
	"encoding/binary"
	"fmt"
	"io"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/initddi/initddi/internal/discover"
	"github.com/initddi/initddi/internal/drivers"
	"github.com/initddi/initddi/internal/gpt"
)

// sysSector is the unit of the sizes in sysfs, whatever the disk's sectors have.
const sysSector = 512

// blockDevices records the block devices with their sizes, the partition tables of disks, and the boot partitions' directories.
func (r *recorder) blockDevices() {
	boot := map[string]bool{} // nodes of partitions of which the type says that images may lie there
	var partitions []string
	for _, name := range drivers.List(r.sys, "class/block") {
		dir := r.link("class/block/" + name)
		if dir == "" {
			continue
		}
		for _, attribute := range []string{"size", "start", "partition", "ro", "removable", "queue/logical_block_size"} {
			r.attribute(dir + "/" + attribute)
		}
		r.uevent(dir)
		switch {
		case strings.HasPrefix(dir, discover.MultipathNVMe):
			r.controllers(path.Dir(dir))
		case strings.HasPrefix(dir, "devices/virtual/"):
			continue // made of others, or of memory
		}
		if r.has(dir + "/partition") {
			partitions = append(partitions, dir)
			continue
		}
		r.wwid(dir)
		r.disk(name, dir, boot)
	}
	for _, dir := range partitions {
		name, size := path.Base(dir), r.number(dir+"/size")*sysSector
		f, err := r.dev.Open(name)
		if err != nil {
			r.cannot("/dev/"+name, "what is on it is not", err)
			continue
		}
		n := node{size: size}
		if boot[path.Base(path.Dir(dir))+" "+strconv.FormatInt(r.number(dir+"/partition"), 10)] {
			n.parts = r.fat(name, f, size)
		}
		f.Close()
		r.out["dev/"+name] = n
	}
}

// controllers records which NVMe controllers lead to the disks of a subsystem.
func (r *recorder) controllers(subsystem string) {
	for _, name := range drivers.List(r.sys, subsystem) {
		if strings.HasPrefix(name, "nvme") && !strings.Contains(strings.TrimPrefix(name, "nvme"), "n") {
			r.link(subsystem + "/" + name)
		}
	}
}

// wwid records that a disk has a name, and which disks have one and the same: whether they are one disk over several paths hangs on that. A
// name often has the serial number in it, so that another of its kind takes its place.
func (r *recorder) wwid(dir string) {
	name := discover.WWID(r.sys, dir)
	if name == "" {
		return
	}
	i := slices.Index(r.wwids, name)
	if i < 0 {
		i, r.wwids = len(r.wwids), append(r.wwids, name)
	}
	kind, rest, _ := strings.Cut(name, ".")
	switch {
	case strings.Trim(rest, "0-") == "":
	case kind == "naa":
		rest = fmt.Sprintf("%.1s%015d", rest, i+1)
	default:
		rest = fmt.Sprintf("%016d", i+1)
	}
	r.out["sys/"+dir+"/wwid"] = node{data: []byte(kind + "." + rest + "\n")}
}

// number returns a number that was recorded, 0 if there is none.
func (r *recorder) number(name string) int64 {
	n, err := strconv.ParseInt(strings.TrimSpace(string(r.out["sys/"+name].data)), 10, 64)
	if err != nil || n < 0 || n > 1<<53 {
		return 0
	}
	return n
}

// disk records the partition table of a disk, both copies, and notes the partitions that images may lie on.
func (r *recorder) disk(name, dir string, boot map[string]bool) {
	size, sector := r.number(dir+"/size")*sysSector, r.number(dir+"/queue/logical_block_size")
	if size == 0 || sector == 0 {
		return // a drive without a medium
	}
	f, err := r.dev.Open(name)
	if err != nil {
		r.cannot("/dev/"+name, "its partition table is not", err)
		return
	}
	defer f.Close()
	n := node{size: size, parts: tables(f, size, sector)}
	table, err := gpt.Read(f, size, sector)
	r.out["dev/"+name] = n
	if err != nil {
		r.say(Recorded, "/dev/%s: %d bytes in sectors of %d: %v", name, size, sector, err)
		return
	}
	for _, p := range table.Partitions {
		if d, _, _ := gpt.Lookup(p.Type); d == gpt.ESP || d == gpt.XBOOTLDR {
			boot[name+" "+strconv.Itoa(p.Number)] = true
		}
	}
	r.say(Recorded, "/dev/%s: %d bytes in sectors of %d, a GPT with %d partitions", name, size, sector, len(table.Partitions))
}

// GPT headers (UEFI 2.11, 5.3.2) begin so, and have these fields; an MBR has its table there.
const (
	gptSignature     = "EFI PART"
	gptHeaderSize    = 12
	gptMinSize       = 92
	gptAlternate     = 32
	gptEntriesAt     = 72
	gptEntryCount    = 80
	gptEntrySize     = 84
	maxTable         = 1 << 20
	mbrPartitions    = 446
	mbrPartitionSize = 16
)

// tables returns the partition tables of a disk: the one in the first sector, and both copies of a GPT, as far as they are there,
// whether they are good or not.
func tables(r io.ReaderAt, size, sector int64) []part {
	var out []part
	if b := make([]byte, 512); readFull(r, b, 0) {
		out = append(out, part{0, mbr(b)})
	}
	le := binary.LittleEndian
	places := []int64{sector, size - sector}
	for i := 0; i < len(places); i++ {
		b := make([]byte, sector)
		if !readFull(r, b, places[i]) || string(b[:len(gptSignature)]) != gptSignature {
			continue
		}
		// Behind the header the sector should be empty, and need not be.
		clear(b[min(max(le.Uint32(b[gptHeaderSize:]), gptMinSize), uint32(sector)):])
		out = append(out, part{places[i], b})
		if alternate := le.Uint64(b[gptAlternate:]); i == 0 && alternate < 1<<40 && int64(alternate)*sector != places[1] {
			places = append(places, int64(alternate)*sector)
		}
		n := uint64(le.Uint32(b[gptEntryCount:])) * uint64(le.Uint32(b[gptEntrySize:]))
		if at := le.Uint64(b[gptEntriesAt:]); n > 0 && n <= maxTable && at < 1<<40 {
			if entries := make([]byte, n); readFull(r, entries, int64(at)*sector) {
				out = append(out, part{int64(at) * sector, entries})
			}
		}
	}
	return out
}

func readFull(r io.ReaderAt, b []byte, offset int64) bool {
	n, _ := r.ReadAt(b, offset)
	return n == len(b)
}

// mbr returns the first sector of a disk with nothing but a partition table in it: without boot code and the disk's identifier; and
// of one that has no such table, nothing.
func mbr(b []byte) []byte {
	out := make([]byte, len(b))
	if len(b) < 512 || b[510] != 0x55 || b[511] != 0xaa {
		return out
	}
	for i := range 4 {
		// Active or not; boot code and text have other bytes there.
		if status := b[mbrPartitions+i*mbrPartitionSize]; status&0x7f != 0 {
			return out
		}
	}
	copy(out[mbrPartitions:], b[mbrPartitions:512])
	return out
}
