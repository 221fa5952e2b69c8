// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package resolve

import (
	"cmp"
	"slices"
	"strings"
)

// A disk to which several paths lead (two ports of a SAS disk, two fabrics to a LUN) is several disks to the kernel, each with the same
// partitions. NVMe has one node for all of them; for SCSI that is the work of the next init's multipathd. Here one path is enough, but all
// of them must be known for one disk, and a copy of that disk must not.

// areOne reports whether partitions are one, over several paths.
func areOne(found []*Partition) bool {
	for _, q := range found[1:] {
		if !sameDisk(found[0], q) {
			return false
		}
	}
	return true
}

// sameDisk reports whether two partitions are one: in the same place of a disk of which both paths say the same, in what is written on it
// and in what nobody writes there.
func sameDisk(a, b *Partition) bool {
	return a.Disk != b.Disk && isUnique(a) && isUnique(b) && a.WWID == b.WWID && a.DiskSize == b.DiskSize && a.SectorSize == b.SectorSize &&
		a.UUID == b.UUID && a.Type == b.Type && a.Number == b.Number && a.Start == b.Start && a.Size == b.Size
}

// isUnique reports whether no other disk has the name that the partition's disk says it has, neither by accident nor because it was made to
// say so by who may plug something in.
//
// Names that the IEEE's registry keeps apart are unique (SPC-5, 7.7.6: NAA 2, 5 and 6, EUI-64 and UUID); one that a site gives out (NAA 3)
// or that is put together from vendor, model and serial number ("t10.", "nvme.") is as good as whoever chose it. A disk on USB or FireWire
// says whatever it likes, and one on a port of ATA has no other path: two of one name are a lie.
func isUnique(q *Partition) bool {
	kind, name, _ := strings.Cut(q.WWID, ".")
	switch kind {
	case "naa":
		if name == "" || !strings.ContainsRune("256", rune(name[0])) {
			return false
		}
		name = name[1:]
	case "eui", "uuid":
	default:
		return false
	}
	if strings.Trim(name, "0-") == "" {
		return false
	}
	isSCSI, isNVMe := false, false
	for _, dir := range strings.Split(q.Where, "/") {
		for _, port := range [...]string{"usb", "fw", "ata"} {
			if n, is := strings.CutPrefix(dir, port); is && isNumber(n) {
				return false
			}
		}
		isSCSI = isSCSI || strings.HasPrefix(dir, "target")
		isNVMe = isNVMe || dir == "nvme"
	}
	return isSCSI || isNVMe
}

// comparePaths orders paths to one partition: those that answered, then those that nobody asked, and in each the kernel's order.
func comparePaths(a, b *Partition) int {
	return cmp.Or(cmp.Compare(answer(a), answer(b)), compareNodes(a.Node, b.Node))
}

// compareNodes orders names as the kernel gives them out: sdb comes before sdaa.
func compareNodes(a, b string) int {
	return cmp.Or(cmp.Compare(len(a), len(b)), strings.Compare(a, b))
}

func answer(q *Partition) int {
	switch {
	case q.Listing == nil:
		return 1
	case q.Listing.Err != nil:
		return 2
	}
	return 0
}

// pathFor returns the node over which a candidate is read: the first over which it did not fail. What is wrong with an image, and not with a
// path, is found over the others as well; it is refused when it failed over all.
func pathFor(f *Facts, paths []*Partition, c Candidate) string {
	next := ""
	for _, q := range paths {
		c.Node = q.Node
		img := f.Images[c.Name()]
		switch {
		case img == nil:
			if next == "" && answer(q) < 2 {
				next = q.Node
			}
		case img.Err == nil || img.Device != "":
			return q.Node // at work, or judged
		}
	}
	return cmp.Or(next, paths[0].Node)
}

// Paths returns the nodes of the partition that is called node, in the kernel's order, if several paths lead to its disk; else nil.
func Paths(f *Facts, node string) []string {
	part := f.Partition(node)
	if part == nil {
		return nil
	}
	out := []string{node}
	for i := range f.Partitions {
		if q := &f.Partitions[i]; sameDisk(part, q) {
			out = append(out, q.Node)
		}
	}
	if len(out) == 1 {
		return nil
	}
	slices.SortFunc(out, compareNodes)
	return out
}
