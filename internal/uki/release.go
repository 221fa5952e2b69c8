// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package uki

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/klauspost/compress/zstd"
)

// ErrNoRelease says that a kernel image does not say its release in a place this package knows.
var ErrNoRelease = errors.New("kernel release not found")

const (
	// maxKernel bounds the memory for decompressing a kernel; arm64 distribution kernels are 40 to 70 MB.
	maxKernel = 256 << 20
	// maxRelease is the kernel's own limit for a release (__NEW_UTS_LEN).
	maxRelease = 64

	banner = "Linux version "
)

// IsKernel reports whether a file is a Linux kernel that firmware can start, by what only those have in their headers: the boot protocol's
// of x86 (Documentation/arch/x86/boot.rst), that of arm64, riscv and loongarch (Documentation/arch/arm64/booting.rst, arch/riscv/boot-image-header.rst,
// arch/loongarch/booting.rst), or the EFI zboot image's (drivers/firmware/efi/libstub/zboot-header.S).
func IsKernel(kernel []byte) bool {
	at := func(off int, magic string) bool {
		return len(kernel) >= off+len(magic) && string(kernel[off:off+len(magic)]) == magic
	}
	return at(0x202, "HdrS") || at(0x38, "ARM\x64") || at(0x38, "RSC\x05") || at(0x38, "\xcd\x23\x82\x81") || at(4, "zimg")
}

// KernelRelease reads the release ("6.12.107+deb13-cloud-amd64") out of a kernel image: from the x86 boot protocol's
// header, or from the banner in an arm64 Image, plain, in gzip, or in an EFI zboot image (gzip or zstd). It returns an error that
// wraps [ErrNoRelease] where there is none.
func KernelRelease(kernel []byte) (string, error) {
	le := binary.LittleEndian
	switch {
	case len(kernel) > 0x210 && string(kernel[0x202:0x206]) == "HdrS":
		// The pointer counts from the end of the first sector; 0 means that there is no string.
		p := int(le.Uint16(kernel[0x20e:]))
		if p == 0 || p+0x200 >= len(kernel) {
			return "", fmt.Errorf("cannot read x86 boot header: %w (kernel_version pointer %#x)", ErrNoRelease, p)
		}
		return releaseAt(kernel[p+0x200:])
	case len(kernel) > 64 && string(kernel[:2]) == "MZ" && string(kernel[4:8]) == "zimg":
		return zbootRelease(kernel)
	case bytes.HasPrefix(kernel, []byte{0x1f, 0x8b}):
		image, err := decompress("gzip", kernel)
		if err != nil {
			return "", err
		}
		return bannerRelease(image)
	case len(kernel) > 64 && string(kernel[0x38:0x3c]) == "ARM\x64":
		return bannerRelease(kernel)
	}
	return "", fmt.Errorf("cannot recognise kernel image: %w (neither bzImage, arm64 Image, its gzip form, nor EFI zboot)", ErrNoRelease)
}

func zbootRelease(kernel []byte) (string, error) {
	le := binary.LittleEndian
	off, size := uint64(le.Uint32(kernel[8:])), uint64(le.Uint32(kernel[12:]))
	if off+size > uint64(len(kernel)) {
		return "", fmt.Errorf("cannot read EFI zboot image: %w (payload ends at %d, the image at %d)", ErrNoRelease, off+size, len(kernel))
	}
	method, _, _ := bytes.Cut(kernel[24:56], []byte{0})
	image, err := decompress(string(method), kernel[off:off+size])
	if err != nil {
		return "", err
	}
	return bannerRelease(image)
}

func decompress(method string, data []byte) ([]byte, error) {
	var r io.Reader
	switch method {
	case "gzip":
		z, err := gzip.NewReader(bytes.NewReader(data))
		if err != nil {
			return nil, fmt.Errorf("cannot decompress kernel: %w (%w)", ErrNoRelease, err)
		}
		z.Multistream(false) // zboot pads its payload
		r = z
	case "zstd", "zstd22":
		z, err := zstd.NewReader(bytes.NewReader(data), zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(maxKernel))
		if err != nil {
			return nil, fmt.Errorf("cannot decompress kernel: %w (%w)", ErrNoRelease, err)
		}
		defer z.Close()
		r = z
	default:
		return nil, fmt.Errorf("cannot decompress kernel: %w (method %q; gzip and zstd are known)", ErrNoRelease, method)
	}
	// Whatever came out before an error or the limit may hold the banner.
	var out bytes.Buffer
	_, err := io.Copy(&out, io.LimitReader(r, maxKernel))
	if out.Len() == 0 {
		return nil, fmt.Errorf("cannot decompress kernel: %w (%w)", ErrNoRelease, orEOF(err))
	}
	return out.Bytes(), nil
}

// bannerRelease finds "Linux version RELEASE (…" in a decompressed kernel. The text also occurs as a format string,
// which is told apart by its percent sign.
func bannerRelease(image []byte) (string, error) {
	for {
		i := bytes.Index(image, []byte(banner))
		if i < 0 {
			return "", fmt.Errorf("cannot find kernel banner: %w", ErrNoRelease)
		}
		image = image[i+len(banner):]
		if len(image) > 0 && image[0] >= '0' && image[0] <= '9' {
			return releaseAt(image)
		}
	}
}

// releaseAt reads the release at the beginning of b, up to a space or NUL.
func releaseAt(b []byte) (string, error) {
	b = b[:min(len(b), maxRelease+1)]
	end := bytes.IndexAny(b, " \x00")
	if end <= 0 {
		return "", fmt.Errorf("cannot read kernel release: %w (no text of 1 to %d characters)", ErrNoRelease, maxRelease)
	}
	for _, c := range b[:end] {
		if c <= ' ' || c > '~' {
			return "", fmt.Errorf("cannot read kernel release: %w (byte %#x in it)", ErrNoRelease, c)
		}
	}
	return string(b[:end]), nil
}
