// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

// Package uki assembles, inspects and signs Unified Kernel Images: systemd-stub, the kernel, its initrds and its command
// line in one PE file that firmware loads, measures and verifies as a whole.
//
// [Build] appends sections to a stub, [Parse] reads any UKI back, [Sign] runs osslsigncode, which is the one Debian tool
// that can give identical output for identical input. Nothing here verifies a signature ([Image.Signatures] is what the
// file claims) and nothing computes PCR predictions: .pcrpkey and .pcrsig are passed through [Options.Extra].
//
// Sources: section names and meaning, UAPI.5 (Unified Kernel Image) and systemd-stub(7); the container, Microsoft's PE
// format (headers, "Section Table", "Attribute Certificate Table") and the Authenticode appendix of UEFI 2.10 chapter 32;
// kernel headers, the kernel's Documentation/arch/x86/boot.rst and Documentation/arch/arm64/booting.rst, and
// drivers/firmware/efi/libstub/zboot-header.S.
//
// All functions may be called concurrently.
package uki
