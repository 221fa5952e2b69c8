// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

// Package capture records a machine as far as stage 1 would look at it: into a tar archive that, unpacked, is a root for
// "storageinit --dry-run --root" and "initddi initramfs --for-host --root", for bug reports and as a fixture of tests.
//
// What is recorded is a list of what is wanted and nothing besides, because the archive goes to strangers: devices with what
// they ask for and who drives them, block devices with their sizes, partition tables, the EFI variables about the boot partition,
// known words of the kernel command line, and of FAT file systems on boot partitions the directories in which images may lie and
// where their files are. No content of any file, no serial number, no address of a network card. UUIDs and names in partition
// tables and names of files are recorded: which partition is taken hangs on them. So does whether two disks have one name, which has
// a serial number in it: that they have is recorded, and the name is replaced.
//
// # Format
//
// A tar archive (POSIX pax), names without a leading slash, sorted, owned by nobody in particular, of the beginning of time. Disks
// and partitions are sparse files of their full size, in version 1.0 of GNU's format (GNU tar manual, "PAX Format, Versions 0.0 and
// 0.1" and following), which GNU tar and bsdtar unpack to files that take a few blocks.
package capture
