// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

// Package verity reads, writes and checks dm-verity metadata: the superblock, the hash tree and the line of parameters
// that the kernel's verity target takes.
//
// It is not the device mapper: nothing here makes a device, and it does not decide whether a root hash is trusted. It
// does not do forward error correction (FEC) and does not know hash type 0 (Chrome OS).
//
// Sources: the on-disk format as cryptsetup defines it (lib/verity/verity.c and its wiki page DMVerity), the kernel's
// Documentation/admin-guide/device-mapper/verity.rst for tree and table.
//
// # Shape of the tree
//
// Each data block is hashed as digest(salt || block). Digests are padded with zeros to a power of two and packed into
// hash blocks; these are hashed in the same way, until one block is left, whose digest is the root hash. A device of one
// data block has no tree: its root hash is the digest of that block. Levels are numbered as the kernel does, 0 holds the
// digests of the data, and they lie on the hash partition from the top level down, behind the superblock.
//
// # What the root hash does not cover
//
// The superblock. Whoever can write the hash partition chooses salt, block sizes and the number of data blocks, and data
// and hash blocks are hashed alike. What can be done with that:
//
//   - fewer data blocks within the same number of levels: the device ends early, and what is left verifies. A reader
//     meets the end of the device, never other bytes;
//   - a level more or less: blocks of the tree appear as data, or blocks of data are used as tree. Both verify, neither
//     gives a writer bytes of his choice, unless the image itself carries such blocks on purpose;
//   - moving the border between salt and block is not possible: a salt has at most 256 bytes, and two block sizes differ
//     by 512 or more.
//
// So the file system inside must be mounted from block 0 and must know its own size, as erofs, squashfs and ext4 do.
package verity
