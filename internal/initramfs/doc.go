// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

// Package initramfs builds the archive of a stage 1 on the host: a busybox of Go commands, kernel modules with their table,
// the trust store and the built-in configuration.
//
// The commands are built in-process by github.com/u-root/mkuimage from a template file, or come from an archive that was
// built before. Everything else is added here, because mkuimage knows neither modules nor reproducible times. What mkuimage
// adds by default (/etc/resolv.conf with somebody's name server, /etc/localtime, most device nodes, /tcz) is left out:
// storageinit mounts devtmpfs.
//
// The same inputs give the same bytes: records are sorted (directories first), times, owners and inode numbers are fixed, Go
// builds without paths and build IDs, and the compressor runs in one thread. Another version of Go or of the compressor
// gives other bytes.
//
// The archive is "newc" cpio as in the kernel's Documentation/driver-api/early-userspace/buffer-format.rst.
package initramfs
