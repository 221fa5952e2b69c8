// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package kmodules

import (
	"bytes"
	"compress/gzip"
	"debug/elf"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/klauspost/compress/zstd"
	"github.com/ulikunitz/xz"
)

// maxModule bounds an uncompressed module. The largest that distributions ship (graphics drivers with debug symbols) have
// about 60 MB; those of storage are below 3 MB.
const maxModule = 256 << 20

// ErrModule says that a file is not a kernel module.
var ErrModule = errors.New("not a kernel module")

// info is what a module's .modinfo says.
type info struct {
	depends []string // names as modpost writes them, of modules that were not built in
	pre     []string // softdeps to load before: names of modules, or aliases
	aliases []string
	// firmware are names of files that the module may ask for, below /lib/firmware (MODULE_FIRMWARE).
	firmware []string
}

// suffixes are the names of module files, in the order of the compressors of decompress.
var suffixes = [...]string{".ko", ".ko.gz", ".ko.xz", ".ko.zst"}

// moduleName returns the name under which the kernel knows a module file, and whether it is one.
func moduleName(file string) (string, bool) {
	for _, suffix := range suffixes {
		if name, ok := strings.CutSuffix(file, suffix); ok && name != "" {
			return canonical(name), true
		}
	}
	return "", false
}

// canonical returns the form of a module's name that the kernel uses: file names have hyphens where /proc/modules and
// the symbols of the module have underscores.
func canonical(name string) string { return strings.ReplaceAll(name, "-", "_") }

// format is how a file is compressed.
type format int

const (
	plain format = iota
	gzipped
	xzip
	zstandard
)

// expand returns what is in a compressed file, at most limit bytes.
func expand(data []byte, f format, limit int) ([]byte, error) {
	var r io.Reader
	switch f {
	case gzipped:
		z, err := gzip.NewReader(bytes.NewReader(data))
		if err != nil {
			return nil, fmt.Errorf("cannot decompress gzip: %w", err)
		}
		r = z
	case xzip:
		z, err := xz.NewReader(bytes.NewReader(data))
		if err != nil {
			return nil, fmt.Errorf("cannot decompress xz: %w", err)
		}
		r = z
	case zstandard:
		z, err := zstd.NewReader(bytes.NewReader(data), zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(uint64(limit)))
		if err != nil {
			return nil, fmt.Errorf("cannot decompress zstd: %w", err)
		}
		defer z.Close()
		r = z
	default:
		r = bytes.NewReader(data)
	}
	out, err := io.ReadAll(io.LimitReader(r, int64(limit)+1))
	if err != nil {
		return nil, fmt.Errorf("cannot decompress: %w", err)
	}
	if len(out) > limit {
		return nil, fmt.Errorf("%w: more than %d bytes", errTooLarge, limit)
	}
	return out, nil
}

// errTooLarge says that a compressed file has too much in it.
var errTooLarge = errors.New("too large")

// decompress returns the ELF file in data, which may be compressed as modules are; the first bytes tell how.
func decompress(data []byte) ([]byte, error) {
	var f format
	switch {
	case bytes.HasPrefix(data, []byte(elf.ELFMAG)):
		return data, nil
	case bytes.HasPrefix(data, []byte{0x1f, 0x8b}):
		f = gzipped
	case bytes.HasPrefix(data, []byte{0xfd, '7', 'z', 'X', 'Z', 0}):
		f = xzip
	case bytes.HasPrefix(data, []byte{0x28, 0xb5, 0x2f, 0xfd}):
		f = zstandard
	default:
		return nil, fmt.Errorf("%w: neither ELF nor gzip, xz or zstd, it begins with %x", ErrModule, data[:min(len(data), 6)])
	}
	return expand(data, f, maxModule)
}

// readInfo reads the .modinfo of an uncompressed module: strings "key=value", each ended by a NUL.
func readInfo(data []byte) (info, error) {
	f, err := elf.NewFile(bytes.NewReader(data))
	if err != nil {
		return info{}, fmt.Errorf("%w: %w", ErrModule, err)
	}
	section := f.Section(".modinfo")
	if section == nil {
		return info{}, fmt.Errorf("%w: no .modinfo section", ErrModule)
	}
	text, err := section.Data()
	if err != nil {
		return info{}, fmt.Errorf("%w: cannot read .modinfo: %w", ErrModule, err)
	}
	var out info
	for line := range strings.SplitSeq(string(text), "\x00") {
		key, value, _ := strings.Cut(line, "=")
		switch key {
		case "depends":
			for name := range strings.SplitSeq(value, ",") {
				if name != "" {
					out.depends = append(out.depends, canonical(name))
				}
			}
		case "softdep":
			out.pre = append(out.pre, preSoftdeps(value)...)
		case "alias":
			out.aliases = append(out.aliases, value)
		case "firmware":
			out.firmware = append(out.firmware, value)
		}
	}
	return out, nil
}

// preSoftdeps returns what "pre: a b post: c" wants loaded before the module. What it wants afterwards adds features that
// no disk needs (none of the modules of the classes has any), and so do weakdeps, which modprobe does not load either.
func preSoftdeps(value string) []string {
	var out []string
	pre := false
	for word := range strings.FieldsSeq(value) {
		switch {
		case word == "pre:":
			pre = true
		case strings.HasSuffix(word, ":"):
			pre = false
		case pre:
			out = append(out, word)
		}
	}
	return out
}
