// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package attack

import (
	"bytes"
	"unicode/utf16"

	"github.com/initddi/initddi/internal/gpt"
	"github.com/initddi/initddi/internal/guid"
)

// Numbers of the partitions in the good image.
const (
	dataPart = 1
	hashPart = 2
	sigPart  = 3
)

// entry alters a partition's entry in both copies and makes the checksums right.
func entry(number int, edit func(e []byte)) func(*DDI) {
	return func(d *DDI) {
		for _, e := range d.entries(number) {
			edit(e)
		}
		d.resum(both)
	}
}

// setGUID puts a GUID into an entry.
func setGUID(at int, g guid.GUID) func([]byte) {
	return func(b []byte) {
		m := g.MixedEndian()
		copy(b[at:], m[:])
	}
}

func setName(name string) func([]byte) {
	return func(b []byte) {
		clear(b[entName:entSize])
		for i, u := range utf16.Encode([]rune(name)) {
			le.PutUint16(b[entName+2*i:], u)
		}
	}
}

// typeOf returns a partition type that is known.
func typeOf(d gpt.Designator, a gpt.Arch) guid.GUID {
	t, ok := gpt.TypeOf(d, a)
	if !ok {
		panic("no type of " + string(d))
	}
	return t
}

// extra adds a fourth partition: a copy of another's entry in the free sectors behind the last partition, altered.
func extra(of int, edit func(e []byte)) func(*DDI) {
	return func(d *DDI) {
		from := uint64(d.Sig.Offset+d.Sig.Length)/sector + 8
		for i, e := range d.entries(4) {
			copy(e, d.entries(of)[i])
			set64(entFirst, from)(e)
			set64(entLast, from+31)(e)
			setGUID(entUUID, guid.MustParse("5a9c5b0e-1f0a-4d4c-9e9b-2a4a8f0f6c03"))(e)
			if edit != nil {
				edit(e)
			}
		}
		d.resum(both)
	}
}

// casesPartition alter each field of each partition's entry.
func casesPartition() []Case {
	cases := []Case{
		{Name: "data-type", Doc: "the data partition is for another architecture", DDI: entry(dataPart, setGUID(entType, typeOf(gpt.Root, gpt.ARM64))), Verdict: Refused, Layer: Partitions, Says: "0 root partitions for x86-64", Boot: true},
		{Name: "data-type-unused", Doc: "the data partition's entry has no type", DDI: entry(dataPart, setGUID(entType, guid.GUID{})), Verdict: Refused, Layer: Partitions, Says: "0 root partitions for x86-64"},
		{Name: "data-uuid", Doc: "a bit of the data partition's UUID, which must be the root hash's beginning", DDI: entry(dataPart, invert(entUUID+3)), Verdict: Refused, Layer: RootHash, Says: "found partition UUIDs", Boot: true},
		{Name: "data-start-later", Doc: "the data partition starts a block later, and is too short", DDI: entry(dataPart, add64(entFirst, 8)), Verdict: Refused, Layer: Superblock, Says: "partition too small"},
		{Name: "data-start-earlier", Doc: "the data partition starts a block earlier: all its blocks are others", DDI: entry(dataPart, add64(entFirst, 1<<64-8)), Verdict: Refused, Layer: Verity, Boot: true},
		{Name: "data-start-unaligned", Doc: "the data partition starts a sector earlier", DDI: entry(dataPart, add64(entFirst, 1<<64-1)), Verdict: Refused, Layer: Verity},
		{Name: "data-end-earlier", Doc: "the data partition ends a block earlier", DDI: entry(dataPart, add64(entLast, 1<<64-8)), Verdict: Refused, Layer: Superblock, Says: "partition too small", Boot: true},
		{Name: "data-end-later", Doc: "the data partition ends a block later, of which dm-verity knows nothing", DDI: entry(dataPart, add64(entLast, 8)), Verdict: Harmless, Layer: Accepted, Boot: true},
		{Name: "data-reversed", Doc: "the data partition ends before it starts", DDI: entry(dataPart, set64(entLast, 1)), Verdict: Refused, Layer: Table, Says: "and ends at sector 1"},
		{Name: "data-outside", Doc: "the data partition ends behind the image", DDI: entry(dataPart, set64(entLast, 1<<40)), Verdict: Refused, Layer: Table, Says: "behind the last usable sector", Boot: true},
		{Name: "data-outside-usable", Doc: "the data partition ends behind the image, and the usable sectors are said to", DDI: func(d *DDI) {
			for _, at := range d.headers(both) {
				set64(hdrLastUsable, 1<<41)(d.B[at:])
			}
			entry(dataPart, set64(entLast, 1<<40))(d)
		}, Verdict: Refused, Layer: Table},
		{Name: "data-at-zero", Doc: "the data partition starts at sector 0", DDI: entry(dataPart, set64(entFirst, 0)), Verdict: Refused, Layer: Table, Says: "before the first usable sector"},
		{Name: "data-wraps", Doc: "the data partition's last sector is 2^64-1", DDI: entry(dataPart, set64(entLast, 1<<64-1)), Verdict: Refused, Layer: Table, Says: "behind the last usable sector"},
		{Name: "data-noauto", Doc: "the data partition says it is not to be used automatically", DDI: entry(dataPart, set64(entAttributes, gpt.AttrNoAuto)), Verdict: Refused, Layer: Partitions, Says: "0 root partitions"},
		{Name: "data-writable", Doc: "the data partition does not say that it is read-only", DDI: entry(dataPart, set64(entAttributes, 0)), Verdict: Harmless, Layer: Accepted, Boot: true},
		{Name: "data-growfs", Doc: "the data partition asks for its file system to be grown", DDI: entry(dataPart, set64(entAttributes, gpt.AttrGrowFS)), Verdict: Harmless, Layer: Accepted},
		{Name: "data-attributes", Doc: "all attributes that mean nothing here", DDI: entry(dataPart, set64(entAttributes, ^gpt.AttrNoAuto)), Verdict: Harmless, Layer: Accepted},
		{Name: "data-name", Doc: "the data partition's name has control characters", DDI: entry(dataPart, setName("ro\x1b[2Jot\r\nx")), Verdict: Harmless, Layer: Accepted, Boot: true},
		{Name: "data-name-surrogate", Doc: "the data partition's name is no UTF-16", DDI: entry(dataPart, func(e []byte) { le.PutUint16(e[entName:], 0xd800) }), Verdict: Harmless, Layer: Accepted},
		{Name: "data-name-empty", Doc: "the data partition is named as systemd-sysupdate names an empty one", DDI: entry(dataPart, setName("_empty")), Verdict: Refused, Layer: Partitions, Says: "0 root partitions"},

		{Name: "hash-type", Doc: "the hash partition is for another architecture", DDI: entry(hashPart, setGUID(entType, typeOf(gpt.RootVerity, gpt.ARM64))), Verdict: Refused, Layer: Partitions, Says: "0 root-verity partitions", Boot: true},
		{Name: "hash-uuid", Doc: "a bit of the hash partition's UUID, which must be the root hash's end", DDI: entry(hashPart, invert(entUUID+15)), Verdict: Refused, Layer: RootHash, Says: "found partition UUIDs", Boot: true},
		{Name: "hash-start-later", Doc: "the hash partition starts a block later, where no superblock is", DDI: entry(hashPart, add64(entFirst, 8)), Verdict: Refused, Layer: Superblock, Says: "no dm-verity superblock", Boot: true},
		{Name: "hash-start-earlier", Doc: "the hash partition starts a sector earlier", DDI: entry(hashPart, add64(entFirst, 1<<64-1)), Verdict: Refused, Layer: Superblock, Says: "no dm-verity superblock"},
		{Name: "hash-end-earlier", Doc: "the hash partition ends a block earlier", DDI: entry(hashPart, add64(entLast, 1<<64-8)), Verdict: Refused, Layer: Superblock, Says: "partition too small"},
		{Name: "hash-end-later", Doc: "the hash partition ends a block later", DDI: entry(hashPart, add64(entLast, 8)), Verdict: Harmless, Layer: Accepted},
		{Name: "hash-noauto", Doc: "the hash partition says it is not to be used automatically", DDI: entry(hashPart, set64(entAttributes, gpt.AttrNoAuto)), Verdict: Refused, Layer: Partitions, Says: "0 root-verity partitions"},
		{Name: "hash-over-data", Doc: "the hash partition lies in the data partition", DDI: entry(hashPart, func(e []byte) { set64(entFirst, 2048+8)(e); set64(entLast, 2048+63)(e) }), Verdict: Refused, Layer: Table, Says: "overlaps partition", Boot: true},
		{Name: "data-is-hash", Doc: "data and hash partition have changed places in the table", DDI: swapTypes(dataPart, hashPart), Verdict: Refused, Layer: RootHash},
		{Name: "uuids-swapped", Doc: "data and hash partition have each other's UUID", DDI: swap(dataPart, hashPart, entUUID, 16), Verdict: Refused, Layer: RootHash},

		{Name: "sig-type", Doc: "the signature partition is none any more", DDI: entry(sigPart, setGUID(entType, typeOf(gpt.Generic, gpt.NoArch))), Verdict: Refused, Layer: Signature, Says: "the image has no signature partition", Boot: true},
		{Name: "sig-gone", Doc: "the signature partition's entry is empty", DDI: entry(sigPart, func(e []byte) { clear(e) }), Verdict: Refused, Layer: Signature, Says: "the image has no signature partition", Boot: true},
		{Name: "sig-uuid", Doc: "the signature partition's UUID, which means nothing", DDI: entry(sigPart, invert(entUUID)), Verdict: Harmless, Layer: Accepted},
		{Name: "sig-start-later", Doc: "the signature partition starts a sector later, in the middle of the JSON", DDI: entry(sigPart, add64(entFirst, 1)), Verdict: Refused, Layer: Document, Says: "not JSON", Boot: true},
		{Name: "sig-start-earlier", Doc: "the signature partition starts a sector earlier, with zeros", DDI: entry(sigPart, add64(entFirst, 1<<64-1)), Verdict: Refused, Layer: Document},
		{Name: "sig-end-earlier", Doc: "the signature partition is one sector long: the JSON is cut off", DDI: entry(sigPart, func(e []byte) { le.PutUint64(e[entLast:], le.Uint64(e[entFirst:])) }), Verdict: Refused, Layer: Document, Says: "not JSON"},
		{Name: "sig-end-later", Doc: "the signature partition is a sector longer", DDI: entry(sigPart, add64(entLast, 1)), Verdict: Harmless, Layer: Accepted},
		{Name: "sig-huge", Disk: "fat16", Doc: "the signature partition has more than 4 MiB", DDI: hugeSignature, Verdict: Refused, Layer: Document, Says: "at most 4194304 are allowed", Boot: true},
		{Name: "sig-noauto", Doc: "the signature partition says it is not to be used automatically", DDI: entry(sigPart, set64(entAttributes, gpt.AttrNoAuto)), Verdict: Harmless, Layer: Accepted},
		{Name: "sig-over-hash", Doc: "the signature partition lies in the hash partition", DDI: func(d *DDI) {
			from := uint64(d.Hash.Offset / sector)
			entry(sigPart, func(e []byte) { set64(entFirst, from)(e); set64(entLast, from+7)(e) })(d)
		}, Verdict: Refused, Layer: Table, Says: "overlaps partition"},

		{Name: "two-data", Doc: "a second data partition", DDI: extra(dataPart, nil), Verdict: Refused, Layer: Partitions, Says: "2 root partitions", Boot: true},
		{Name: "two-data-named-higher", Doc: "a second data partition, with a name that systemd would prefer", DDI: extra(dataPart, setName("root_99")), Verdict: Refused, Layer: Partitions, Says: "2 root partitions"},
		{Name: "two-hash", Doc: "a second hash partition", DDI: extra(hashPart, nil), Verdict: Refused, Layer: Partitions, Says: "2 root-verity partitions"},
		{Name: "two-sig", Doc: "a second signature partition", DDI: extra(sigPart, nil), Verdict: Refused, Layer: Document, Says: "2 signature partitions", Boot: true},
		{Name: "swap-beside", Doc: "a swap partition beside the others", DDI: extra(dataPart, setGUID(entType, typeOf(gpt.Swap, gpt.NoArch))), Verdict: Harmless, Layer: Accepted},
		{Name: "unknown-beside", Doc: "a partition of a type that nobody knows", DDI: extra(dataPart, setGUID(entType, guid.MustParse("5a9c5b0e-1f0a-4d4c-9e9b-2a4a8f0f6c09"))), Verdict: Harmless, Layer: Accepted},
		{Name: "other-arch-beside", Doc: "a data partition for another architecture", DDI: extra(dataPart, setGUID(entType, typeOf(gpt.Root, gpt.ARM64))), Verdict: Harmless, Layer: Accepted, Boot: true},
		{Name: "usr-beside", Doc: "a data partition for /usr beside the one for the root", DDI: extra(dataPart, setGUID(entType, typeOf(gpt.Usr, arch))), Verdict: Refused, Layer: Partitions, Says: "a root and a usr partition"},
		{Name: "usr-verity-beside", Doc: "a hash partition for /usr without one for its data", DDI: extra(hashPart, setGUID(entType, typeOf(gpt.UsrVerity, arch))), Verdict: Harmless, Layer: Accepted},
		{Name: "usr-instead", Doc: "the data partition is said to be one of /usr, and the hash partition with it", DDI: func(d *DDI) {
			entry(dataPart, setGUID(entType, typeOf(gpt.Usr, arch)))(d)
			entry(hashPart, setGUID(entType, typeOf(gpt.UsrVerity, arch)))(d)
		}, Verdict: Refused, Layer: Signature, Says: "the image has no signature partition"},
		{Name: "same-uuid-beside", Doc: "a partition with the UUID of the data partition", DDI: func(d *DDI) {
			extra(dataPart, func(e []byte) {
				setGUID(entType, typeOf(gpt.Swap, gpt.NoArch))(e)
				setGUID(entUUID, guid.GUID(d.RootHash[:16]))(e)
			})(d)
		}, Verdict: Harmless, Layer: Accepted},
		{Name: "extra-overlaps", Doc: "a partition that overlaps the data", DDI: extra(dataPart, func(e []byte) {
			setGUID(entType, typeOf(gpt.Swap, gpt.NoArch))(e)
			set64(entFirst, 2048)(e)
			set64(entLast, 2049)(e)
		}), Verdict: Refused, Layer: Table, Says: "overlaps partition"},
		{Name: "entries-reordered", Doc: "data and signature partition have each other's place in the table", DDI: swap(dataPart, sigPart, 0, entSize), Verdict: Harmless, Layer: Accepted},
		{Name: "one-entry", Doc: "the table holds the data partition alone", DDI: func(d *DDI) {
			for _, n := range []int{hashPart, sigPart} {
				for _, e := range d.entries(n) {
					clear(e)
				}
			}
			d.resum(both)
		}, Verdict: Refused, Layer: Partitions, Says: "0 root-verity partitions"},
	}
	for i := range cases {
		cases[i].Group = "partition"
	}
	return cases
}

// swap exchanges a field of two entries.
func swap(a, b, at, n int) func(*DDI) {
	return func(d *DDI) {
		for i, x := range d.entries(a) {
			y := d.entries(b)[i]
			old := bytes.Clone(x[at : at+n])
			copy(x[at:at+n], y[at:at+n])
			copy(y[at:at+n], old)
		}
		d.resum(both)
	}
}

func swapTypes(a, b int) func(*DDI) { return swap(a, b, entType, 16) }

// hugeSignature gives the image the room, and its signature partition all of it.
func hugeSignature(d *DDI) {
	const more = 5 << 20
	size := len(d.B)
	d.B = append(d.B, make([]byte, more)...)
	add64(entLast, more/sector)(d.B[2*sector+(sigPart-1)*entSize:])
	h := d.B[sector : 2*sector]
	add64(hdrLastUsable, more/sector)(h)
	add64(hdrAlternate, more/sector)(h)
	clear(d.B[size-33*sector : size])
	d.resum(primary)
}
