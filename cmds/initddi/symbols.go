// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package main

import (
	"bytes"
	"cmp"
	"debug/elf"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// symbolSizes is what a Go binary consists of, by its own symbol table.
type symbolSizes struct {
	Sections []namedSize `json:"sections"`
	Packages []namedSize `json:"packages"`
	Symbols  []namedSize `json:"symbols"`
}

// namedSize is a part of something and how many bytes it takes there.
type namedSize struct {
	Name string `json:"name"`
	Size int64  `json:"size"`
}

// readSymbols reads the symbol table of an ELF file made by the Go linker. Symbols that take no place in the file (.bss) do not
// count; the run-time's tables of functions (.gopclntab) are one section without symbols, about a third of the whole.
func readSymbols(binary []byte) (*symbolSizes, error) {
	f, err := elf.NewFile(bytes.NewReader(binary))
	if err != nil {
		return nil, fmt.Errorf("cannot read the busybox: %w", err)
	}
	defer f.Close()
	s := &symbolSizes{}
	for _, sec := range f.Sections {
		if sec.Flags&elf.SHF_ALLOC != 0 && sec.Type != elf.SHT_NOBITS && sec.Size > 0 {
			s.Sections = append(s.Sections, namedSize{sec.Name, int64(sec.Size)})
		}
	}
	symbols, err := f.Symbols()
	if err != nil {
		return nil, fmt.Errorf("cannot read the symbols of the busybox: %w", err)
	}
	packages := map[string]int64{}
	for _, sym := range symbols {
		i := int(sym.Section)
		if sym.Size == 0 || i <= 0 || i >= len(f.Sections) || f.Sections[i].Type == elf.SHT_NOBITS {
			continue
		}
		packages[symbolPackage(sym.Name)] += int64(sym.Size)
		s.Symbols = append(s.Symbols, namedSize{sym.Name, int64(sym.Size)})
	}
	for _, name := range slices.Sorted(maps.Keys(packages)) {
		s.Packages = append(s.Packages, namedSize{name, packages[name]})
	}
	largestFirst(s.Packages)
	largestFirst(s.Symbols)
	return s, nil
}

func largestFirst(list []namedSize) {
	slices.SortStableFunc(list, func(a, b namedSize) int { return cmp.Compare(b.Size, a.Size) })
}

// symbolPackage returns the import path in a symbol's name, as the linker writes it: "PATH.NAME", with what the compiler makes
// for a type ("type:.eq.PATH.NAME") counted for the type's package. An instance of a generic function belongs to the package
// that has the function.
func symbolPackage(name string) string {
	for _, prefix := range []string{"type:.eq.", "type:.hash.", "type:.namedata.", "go:itab."} {
		name = strings.TrimPrefix(name, prefix)
	}
	name = strings.TrimLeft(name, "*")
	end := len(name)
	if i := strings.IndexAny(name, "[({,"); i >= 0 {
		end = i
	}
	slash := strings.LastIndexByte(name[:end], '/')
	dot := strings.IndexByte(name[slash+1:end], '.')
	if dot < 0 {
		return name[:end]
	}
	path := name[:slash+1+dot]
	// A dot in the last element of a path is written so.
	return strings.ReplaceAll(path, "%2e", ".")
}
