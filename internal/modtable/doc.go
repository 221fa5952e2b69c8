// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

// Package modtable is the table of the kernel modules that a stage 1 carries: which files they are, what must be loaded
// before each, and which devices ask for them. The host writes it when it builds stage 1, stage 1 reads it once at boot.
//
// It replaces modules.dep, modules.alias and modules.softdep, which describe a whole kernel and are megabytes; it holds a
// few dozen modules. It loads nothing, and it knows nothing of sysfs.
//
// # Format
//
// Text, one record per line, words separated by single spaces; empty lines and lines that begin with '#' are skipped.
// The first line names the format, its version and the kernel release that the modules belong to:
//
//	initddi-modules 1 6.12.107+deb13-amd64
//	class virtio virtio disks (QEMU, KVM, clouds)
//	feature verity dm_verity crypto-sha256
//	crypto sha256 sha256_ssse3 builtin
//	builtin nvme nvme_core
//	module libcrc32c libcrc32c.ko soft=crypto-crc32c
//	module virtio_blk virtio_blk.ko dep=virtio,virtio_ring
//	alias virtio:d00000002v* virtio_blk
//
// A class is a kind of storage that was asked for when stage 1 was built, with the words a person reads when no driver
// was found. A feature names the modules that no device asks for: file systems, loop, device mapper. One without modules
// is built into the kernel; one that is not listed is not carried. A crypto line names the implementations of an
// algorithm in order of preference, because stage 1 has no modprobe for the kernel to call when it wants one: a module
// that has "cpu:" aliases can be used only where one of them matches the processor. The word builtin at the end says
// that the kernel has an implementation of its own. A builtin line names modules that were wanted and need no loading.
//
// Module names are the kernel's (underscores, never hyphens), so that a name with the prefix "crypto-" is always an
// algorithm. Aliases are those of modules.alias (the pattern language of fnmatch(3), see [Glob]).
package modtable
