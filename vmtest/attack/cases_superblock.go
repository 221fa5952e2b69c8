// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package attack

// Fields of dm-verity's superblock (cryptsetup's lib/verity/verity.c).
const (
	sbMagic         = 0
	sbVersion       = 8
	sbHashType      = 12
	sbUUID          = 16
	sbAlgorithm     = 32
	sbDataBlockSize = 64
	sbHashBlockSize = 68
	sbDataBlocks    = 72
	sbSaltSize      = 80
	sbReserved      = 82
	sbSalt          = 88
	sbSaltRoom      = 256
	sbEnd           = 344
	sbSize          = 512
)

// super alters the superblock.
func super(edit func(b []byte)) func(*DDI) {
	return func(d *DDI) { edit(d.B[d.Hash.Offset : d.Hash.Offset+sbSize]) }
}

func setAlgorithm(name string) func([]byte) {
	return func(b []byte) {
		clear(b[sbAlgorithm:sbDataBlockSize])
		copy(b[sbAlgorithm:sbDataBlockSize], name)
	}
}

// casesSuperblock alter the superblock, which no signature covers, field by field.
func casesSuperblock() []Case {
	set16 := func(at int, v uint16) func([]byte) { return func(b []byte) { le.PutUint16(b[at:], v) } }
	const refused = Refused
	cases := []Case{
		{Name: "sb-magic", Doc: "magic", DDI: super(invert(sbMagic)), Verdict: refused, Layer: Superblock, Says: "no dm-verity superblock", Boot: true},
		{Name: "sb-version", Doc: "version 2", DDI: super(set32(sbVersion, 2)), Verdict: refused, Layer: Superblock, Says: "superblock version 2", Boot: true},
		{Name: "sb-version-zero", Doc: "version 0", DDI: super(set32(sbVersion, 0)), Verdict: refused, Layer: Superblock, Says: "superblock version 0"},
		{Name: "sb-hash-type", Doc: "hash type 0, the one of Chrome OS, which has the salt behind the data", DDI: super(set32(sbHashType, 0)), Verdict: refused, Layer: Superblock, Says: "hash type 0", Boot: true},
		{Name: "sb-hash-type-huge", Doc: "hash type 2^32-1", DDI: super(set32(sbHashType, 1<<32-1)), Verdict: refused, Layer: Superblock, Says: "hash type 4294967295"},
		{Name: "sb-uuid", Doc: "UUID, which names the device and is not authenticated", DDI: super(invert(sbUUID)), Verdict: Harmless, Layer: Accepted, Boot: true},
		{Name: "sb-algorithm-sha1", Doc: "SHA-1", DDI: super(setAlgorithm("sha1")), Verdict: refused, Layer: Superblock, Says: `hash algorithm "sha1"`, Boot: true},
		{Name: "sb-algorithm-crc32", Doc: "a checksum for an algorithm", DDI: super(setAlgorithm("crc32")), Verdict: refused, Layer: Superblock, Says: `hash algorithm "crc32"`},
		{Name: "sb-algorithm-upper", Doc: "the right algorithm in upper case", DDI: super(setAlgorithm("SHA256")), Verdict: refused, Layer: Superblock, Says: `hash algorithm "SHA256"`},
		{Name: "sb-algorithm-driver", Doc: "the name of a kernel driver", DDI: super(setAlgorithm("sha256-generic")), Verdict: refused, Layer: Superblock, Says: "hash algorithm"},
		{Name: "sb-algorithm-hmac", Doc: "a construction that takes a key", DDI: super(setAlgorithm("hmac(sha256)")), Verdict: refused, Layer: Superblock, Says: "hash algorithm"},
		{Name: "sb-algorithm-inject", Doc: "an algorithm with table parameters behind it", DDI: super(setAlgorithm("sha256 0 - 1 ignore_corruption")), Verdict: refused, Layer: Superblock, Says: "hash algorithm", Boot: true},
		{Name: "sb-algorithm-full", Doc: "an algorithm that fills its field", DDI: super(setAlgorithm("sha256aaaaaaaaaaaaaaaaaaaaaaaaaa")), Verdict: refused, Layer: Superblock, Says: "hash algorithm"},
		{Name: "sb-algorithm-empty", Doc: "no algorithm", DDI: super(setAlgorithm("")), Verdict: refused, Layer: Superblock, Says: `hash algorithm ""`},
		{Name: "sb-algorithm-longer", Doc: "SHA-512, whose hashes are longer than the root hash that was signed", DDI: func(d *DDI) {
			entry(hashPart, add64(entLast, 64))(d)
			super(setAlgorithm("sha512"))(d)
		}, Verdict: refused, Layer: Superblock, Says: "the root hash has 32", Boot: true},
		{Name: "sb-algorithm-room", Doc: "SHA-512, for whose tree there is no room", DDI: super(setAlgorithm("sha512")), Verdict: refused, Layer: Superblock, Says: "partition too small"},
		{Name: "sb-algorithm-rest", Doc: "bytes behind the end of the algorithm's name", DDI: super(invert(sbDataBlockSize - 1)), Verdict: Harmless, Layer: Unread},
		{Name: "sb-data-block-zero", Doc: "data blocks of no size", DDI: super(set32(sbDataBlockSize, 0)), Verdict: refused, Layer: Superblock, Says: "data block size 0", Boot: true},
		{Name: "sb-data-block-odd", Doc: "data blocks of 4097 bytes", DDI: super(set32(sbDataBlockSize, 4097)), Verdict: refused, Layer: Superblock, Says: "data block size 4097"},
		{Name: "sb-data-block-small", Doc: "data blocks of 512 bytes", DDI: super(set32(sbDataBlockSize, 512)), Verdict: refused, Layer: Verity, Boot: true},
		{Name: "sb-data-block-large", Doc: "data blocks of 64 KiB", DDI: super(set32(sbDataBlockSize, 64<<10)), Verdict: refused, Layer: Superblock, Says: "data block size 65536"},
		{Name: "sb-data-block-huge", Doc: "data blocks of 2 GiB", DDI: super(set32(sbDataBlockSize, 1<<31)), Verdict: refused, Layer: Superblock, Says: "data block size 2147483648"},
		{Name: "sb-hash-block-zero", Doc: "hash blocks of no size", DDI: super(set32(sbHashBlockSize, 0)), Verdict: refused, Layer: Superblock, Says: "hash block size 0"},
		{Name: "sb-hash-block-small", Doc: "hash blocks of 512 bytes: the tree needs more of them", DDI: super(set32(sbHashBlockSize, 512)), Verdict: refused, Layer: Verity, Boot: true},
		{Name: "sb-hash-block-large", Doc: "hash blocks of 8192 bytes", DDI: super(set32(sbHashBlockSize, 8192)), Verdict: refused, Layer: Superblock, Says: "hash block size 8192"},
		{Name: "sb-blocks-more", Doc: "a data block more than there are", DDI: super(add64(sbDataBlocks, 1)), Verdict: refused, Layer: Superblock, Says: "partition too small", Boot: true},
		{Name: "sb-blocks-fewer", Doc: "a data block fewer: the tree's form is the same, and the file system is larger than its device", DDI: super(add64(sbDataBlocks, 1<<64-1)), Verdict: refused, Layer: Content, Says: "file system larger than its device", Boot: true},
		{Name: "sb-blocks-half", Doc: "so few data blocks that the tree has another form", DDI: super(set64(sbDataBlocks, 128)), Verdict: refused, Layer: Verity, Boot: true},
		{Name: "sb-blocks-one", Doc: "one data block, whose digest would be the root hash", DDI: super(set64(sbDataBlocks, 1)), Verdict: refused, Layer: Verity},
		{Name: "sb-blocks-zero", Doc: "no data blocks", DDI: super(set64(sbDataBlocks, 0)), Verdict: refused, Layer: Superblock, Says: "number of data blocks 0"},
		{Name: "sb-blocks-huge", Doc: "2^51 data blocks: the number fits, the bytes do not", DDI: super(set64(sbDataBlocks, 1<<51)), Verdict: refused, Layer: Superblock, Says: "number of data blocks"},
		{Name: "sb-blocks-wrap", Doc: "2^64-1 data blocks", DDI: super(set64(sbDataBlocks, 1<<64-1)), Verdict: refused, Layer: Superblock, Says: "number of data blocks 18446744073709551615", Boot: true},
		{Name: "sb-salt-none", Doc: "no salt", DDI: super(set16(sbSaltSize, 0)), Verdict: refused, Layer: Verity},
		{Name: "sb-salt-shorter", Doc: "a byte of salt less", DDI: super(set16(sbSaltSize, 31)), Verdict: refused, Layer: Verity},
		{Name: "sb-salt-longer", Doc: "a byte of salt more than its field has", DDI: super(set16(sbSaltSize, 257)), Verdict: refused, Layer: Superblock, Says: "salt size 257", Boot: true},
		{Name: "sb-salt-huge", Doc: "65535 bytes of salt", DDI: super(set16(sbSaltSize, 65535)), Verdict: refused, Layer: Superblock, Says: "salt size 65535"},
		{Name: "sb-salt", Doc: "a bit of the salt", DDI: super(invert(sbSalt + 5)), Verdict: refused, Layer: Verity, Boot: true},
		{Name: "sb-salt-rest", Doc: "bytes behind the salt's end", DDI: super(invert(sbSalt + sbSaltRoom - 1)), Verdict: Harmless, Layer: Unread},
		{Name: "sb-reserved", Doc: "the reserved bytes before the salt", DDI: super(invert(sbReserved + 1)), Verdict: Harmless, Layer: Unread},
		{Name: "sb-reserved-end", Doc: "the reserved bytes at the end", DDI: super(invert(sbEnd + 9)), Verdict: Harmless, Layer: Unread},
		{Name: "sb-rest-of-block", Doc: "what is behind the superblock in its block", DDI: func(d *DDI) { d.flip(d.Hash.Offset + sbSize + 100) }, Verdict: Harmless, Layer: Unread},
		{Name: "sb-gone", Doc: "zeros for a superblock", DDI: super(func(b []byte) { clear(b) }), Verdict: refused, Layer: Superblock, Says: "no dm-verity superblock"},
		{Name: "sb-of-other", Doc: "the superblock of another signed image", DDI: func(d *DDI) {
			other, err := newDDI(d.Others("other"), d.Keys)
			must(err)
			copy(d.B[d.Hash.Offset:][:sbSize], other.B[other.Hash.Offset:])
		}, Verdict: refused, Layer: Verity},
	}
	for i := range cases {
		cases[i].Group = "superblock"
		cases[i].Doc = "verity superblock: " + cases[i].Doc
	}
	return cases
}
