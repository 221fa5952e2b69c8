// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

// Package linetables takes out of a Go program what it knows of its source files and lines, which is an eighth of it when it is
// compressed and of use in stack traces alone. The linker has no word for that.
//
// What Go's runtime knows of functions is in one section, .gopclntab (runtime/symtab.go, cmd/link/internal/ld/pcln.go, Go 1.26):
//
//	header    magic, sizes, number of functions, and where the others begin
//	names     of functions: the runtime looks at them, and stack traces say them
//	cutab     indexes of compilation units into the files
//	files     names
//	pctab     tables of numbers by program counter: stack depth, stack maps, unsafe points; and files and lines
//	functab   by address, which struct describes a function; and these, with offsets into pctab
//	data      that these point to otherwise: stack maps
//
// A function whose tables of files and lines have the offset 0 has none, as some that are written in assembler: the runtime prints "?:0"
// for its place, and after that how far into the function it is, which is enough to find the line in a program that was built from the
// same with them.
package linetables

import (
	"bytes"
	"debug/buildinfo"
	"debug/elf"
	"encoding/binary"
	"errors"
	"fmt"
	"go/version"
	"slices"
	"strings"
)

// ErrUnknown says that a program's tables are not laid out as this package knows them.
var ErrUnknown = errors.New("unknown layout")

// release is the version of Go whose layout this is. Another may have the same; it has to be looked at first.
const release = "go1.26"

const (
	magic      = 0xfffffff1 // since Go 1.20
	headerSize = 8 + 8*8
)

// Places of members in the struct of a function, and its size before the offsets of its further tables (runtime._func).
const (
	funcStack     = 16
	funcFile      = 20
	funcLine      = 24
	funcTables    = 28 // how many tables by program counter there are
	funcUnit      = 32
	funcStartLine = 36
	funcData      = 43 // how many pointers to other data there are, a byte
	funcSize      = 44
)

// Remove takes the names and the numbers of source lines out of a program for Linux, in place: no address changes, nor does the size, and
// what is of no use any more becomes zeroes. The error wraps [ErrUnknown] if that cannot be done; the program is as it was then, and
// runs as well.
func Remove(program []byte) error {
	section, err := find(program)
	if err != nil {
		return err
	}
	t, err := parse(section)
	if err != nil {
		return err
	}
	t.write()
	return nil
}

// find returns the section with the tables.
func find(program []byte) ([]byte, error) {
	info, err := buildinfo.Read(bytes.NewReader(program))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrUnknown, err)
	}
	built, _, _ := strings.Cut(info.GoVersion, " ") // experiments
	if version.Lang(built) != release {
		return nil, fmt.Errorf("%w: known is that of %s, the program was built with %s", ErrUnknown, release, info.GoVersion)
	}
	f, err := elf.NewFile(bytes.NewReader(program))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrUnknown, err)
	}
	s := f.Section(".gopclntab")
	if f.Class != elf.ELFCLASS64 || f.Data != elf.ELFDATA2LSB || s == nil || s.Type != elf.SHT_PROGBITS || s.Offset > uint64(len(program)) || s.FileSize > uint64(len(program))-s.Offset {
		return nil, fmt.Errorf("%w: no section .gopclntab of 64 bits, little-endian", ErrUnknown)
	}
	return program[s.Offset:][:s.FileSize], nil
}

// tables are what is in the section.
type tables struct {
	units, pcs []byte // cutab with the files, and pctab
	funcs      [][]byte
	// keep are the offsets in pcs of the tables that are needed, ascending, with the ends.
	keep []span
}

type span struct{ from, to uint32 }

// parse finds everything, and that it is as expected, and changes nothing.
func parse(s []byte) (*tables, error) {
	le := binary.LittleEndian
	if len(s) < headerSize || le.Uint32(s) != magic || le.Uint16(s[4:]) != 0 || s[7] != 8 {
		return nil, fmt.Errorf("%w: it begins with % x", ErrUnknown, s[:min(len(s), 8)])
	}
	word := func(i int) uint64 { return le.Uint64(s[8+8*i:]) }
	count, names, units, files, pcs, functab := word(0), word(3), word(4), word(5), word(6), word(7)
	if places := []uint64{headerSize, names, units, files, pcs, functab, uint64(len(s))}; !slices.IsSorted(places) || pcs == functab || count > (uint64(len(s))-functab)/8 {
		return nil, fmt.Errorf("%w: %d functions, parts at %d", ErrUnknown, count, places)
	}
	t := &tables{units: s[units:pcs], pcs: s[pcs:functab]}
	index := s[functab:]
	kept := map[uint32]bool{}
	for i := range int(count) {
		at := uint64(le.Uint32(index[8*i+4:]))
		if at+funcSize > uint64(len(index)) {
			return nil, fmt.Errorf("%w: function %d is at %d", ErrUnknown, i, at)
		}
		f := index[at:]
		size := funcSize + 4*uint64(le.Uint32(f[funcTables:])) + 4*uint64(f[funcData])
		// The next one begins where this one ends, but for alignment.
		last, end := i+1 == int(count), uint64(len(index))
		if !last {
			end = min(end, uint64(le.Uint32(index[8*i+12:])))
		}
		if end < at+size || end-at-size >= 8 && !last {
			return nil, fmt.Errorf("%w: function %d has %d bytes at %d, and the next one begins at %d", ErrUnknown, i, size, at, end)
		}
		f = f[:size]
		t.funcs = append(t.funcs, f)
		for _, p := range needed(f) {
			kept[le.Uint32(p)] = true
		}
	}
	delete(kept, 0) // stands for no table
	for from := range kept {
		n := tableLen(t.pcs[min(int(from), len(t.pcs)):])
		if n == 0 {
			return nil, fmt.Errorf("%w: no table at %d", ErrUnknown, from)
		}
		t.keep = append(t.keep, span{from, from + uint32(n)})
	}
	slices.SortFunc(t.keep, func(a, b span) int { return int(a.from) - int(b.from) })
	for i := 1; i < len(t.keep); i++ {
		if t.keep[i].from < t.keep[i-1].to {
			return nil, fmt.Errorf("%w: tables overlap at %d", ErrUnknown, t.keep[i].from)
		}
	}
	return t, nil
}

// needed returns where a function's struct has the offsets of the tables that it needs.
func needed(f []byte) [][]byte {
	out := [][]byte{f[funcStack:][:4]}
	for i := range binary.LittleEndian.Uint32(f[funcTables:]) {
		out = append(out, f[funcSize+4*i:][:4])
	}
	return out
}

// tableLen returns how long the table is at the beginning of b, 0 if there is none: pairs of varints, of which the first one is not zero,
// except in the first pair, until a zero.
func tableLen(b []byte) int {
	at := 0
	for first := true; at < len(b); first = false {
		if !first && b[at] == 0 {
			return at + 1
		}
		for range 2 {
			_, n := binary.Uvarint(b[at:])
			if n <= 0 {
				return 0
			}
			at += n
		}
	}
	return 0
}

// write moves what is needed together and makes zeroes of all else.
func (t *tables) write() {
	le := binary.LittleEndian
	moved := make([]byte, 1, len(t.pcs)) // nothing is at 0
	to := map[uint32]uint32{0: 0}
	for _, s := range t.keep {
		to[s.from] = uint32(len(moved))
		moved = append(moved, t.pcs[s.from:s.to]...)
	}
	clear(t.pcs[copy(t.pcs, moved):])
	clear(t.units)
	for _, f := range t.funcs {
		for _, p := range needed(f) {
			le.PutUint32(p, to[le.Uint32(p)])
		}
		for _, at := range []int{funcFile, funcLine, funcUnit, funcStartLine} {
			clear(f[at : at+4])
		}
	}
}
