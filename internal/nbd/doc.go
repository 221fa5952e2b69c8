// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

// Package nbd speaks the first half of the NBD protocol: the URL that names an export, and the handshake after which a
// connection is the kernel's to read blocks from.
//
// The protocol is doc/proto.md of the project NetworkBlockDevice/nbd (fixed newstyle negotiation, NBD_OPT_GO), the URL is
// doc/uri.md beside it. There is no TLS: with it the kernel would need a process that encrypts for it, or that keeps the
// session's keys fresh, for as long as the device is used, and nothing of stage 1 stays behind. Nor does it add to what
// dm-verity says of every block; what it would add is that nobody sees which blocks are read.
//
// Everything that a server says is hostile until dm-verity stands over it. A [Handshake] reads a bounded number of bytes; the
// time that it may take is bounded by the deadline of the connection.
package nbd
