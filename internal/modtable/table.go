// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package modtable

import (
	"errors"
	"fmt"
	"slices"
	"sort"
	"strings"
)

// Bounds of a table. The largest real one (Debian's generic kernels, every class) has 155 modules and 2,800 aliases in
// 159 kB; the bounds leave room for twenty times that and keep a damaged file from costing memory or time.
const (
	MaxSize    = 4 << 20 // bytes of text
	MaxModules = 4096    // module lines, and words on any one line
	MaxAliases = 1 << 16
	MaxLine    = 64 << 10
	MaxPattern = 1024 // bytes of an alias pattern; the longest that depmod writes has about 130
	maxName    = 55   // MODULE_NAME_LEN of include/linux/moduleparam.h, less the NUL, on 64-bit machines
	maxFile    = 255
)

// Sentinels of the errors of this package.
var (
	// ErrSyntax says that the text is no table.
	ErrSyntax = errors.New("not a valid module table")
	// ErrInconsistent says that the table contradicts itself: a dependency that is not in it, a name used twice, a cycle.
	ErrInconsistent = errors.New("inconsistent module table")
	// ErrUnknown says that a name is no module, builtin or algorithm of the table.
	ErrUnknown = errors.New("not in the module table")
	// ErrNoProvider says that no implementation of an algorithm can run on this processor.
	ErrNoProvider = errors.New("no implementation for this processor")
)

// CryptoPrefix marks a name that stands for a crypto algorithm instead of a module. It is the prefix of the aliases that
// the kernel gives to request_module.
const CryptoPrefix = "crypto-"

// builtinWord ends a crypto line if the kernel has an implementation of its own.
const builtinWord = "builtin"

// Module is one module file.
type Module struct {
	Name string   // as in /proc/modules
	File string   // relative to /lib/modules/RELEASE
	Deps []string // modules that must be loaded before it
	// Soft names modules and algorithms that should be loaded before it; it works, perhaps worse, where loading them
	// fails. In the modules that Plan returns it holds only modules of that plan.
	Soft []string
}

// Class is a kind of storage that a stage 1 was built for.
type Class struct {
	Name        string
	Description string
}

// Feature is something that no device asks for, with the modules and algorithms it needs. It needs none if all of it is
// built into the kernel.
type Feature struct {
	Name    string
	Modules []string
}

// Algorithm is a crypto algorithm with the modules that implement it, the best first.
type Algorithm struct {
	Name    string // without CryptoPrefix
	Modules []string
	Builtin bool // the kernel has an implementation without any module
}

// Alias says that devices whose modalias matches a pattern want a module.
type Alias struct {
	Pattern string
	Module  string
}

// Spec is the content of a table.
type Spec struct {
	Release    string // the kernel's release, as uname -r prints it
	Classes    []Class
	Features   []Feature
	Algorithms []Algorithm
	Builtin    []string
	Modules    []Module
	Aliases    []Alias
}

// Table is a checked table with its indexes. It never changes, so that any number of goroutines may use it.
type Table struct {
	Spec
	modules map[string]int // name -> index in Modules
	literal []string       // literal prefix of each alias of Aliases, which are sorted by it
	lengths []int          // the lengths that occur in literal, ascending
}

// New checks spec and returns a table of it. The table's Spec is a copy in canonical order: classes as given, everything
// else sorted, duplicate aliases dropped. The error wraps [ErrSyntax] if a word does not fit the format, and
// [ErrInconsistent] if the words do not fit each other.
func New(spec Spec) (*Table, error) {
	t := &Table{Spec: canonical(spec)}
	if err := t.checkWords(); err != nil {
		return nil, err
	}
	t.modules = make(map[string]int, len(t.Modules))
	for i, m := range t.Modules {
		if _, ok := t.modules[m.Name]; ok {
			return nil, fmt.Errorf("%w: module %s is listed twice", ErrInconsistent, m.Name)
		}
		t.modules[m.Name] = i
	}
	if err := t.checkReferences(); err != nil {
		return nil, err
	}
	if err := t.checkCycles(); err != nil {
		return nil, err
	}
	t.indexAliases()
	return t, nil
}

// canonical returns a deep enough copy of s in the order that Encode writes.
func canonical(s Spec) Spec {
	s.Classes = slices.Clone(s.Classes)
	s.Features = slices.Clone(s.Features)
	s.Algorithms = slices.Clone(s.Algorithms)
	s.Builtin = slices.Clone(s.Builtin)
	s.Modules = slices.Clone(s.Modules)
	s.Aliases = slices.Clone(s.Aliases)
	sort.Slice(s.Features, func(i, j int) bool { return s.Features[i].Name < s.Features[j].Name })
	sort.Slice(s.Algorithms, func(i, j int) bool { return s.Algorithms[i].Name < s.Algorithms[j].Name })
	sort.Slice(s.Modules, func(i, j int) bool { return s.Modules[i].Name < s.Modules[j].Name })
	slices.Sort(s.Builtin)
	s.Builtin = slices.Compact(s.Builtin)
	for i := range s.Aliases {
		s.Aliases[i].Pattern = normalize(s.Aliases[i].Pattern)
	}
	sort.Slice(s.Aliases, func(i, j int) bool {
		a, b := s.Aliases[i], s.Aliases[j]
		if c := strings.Compare(literalPrefix(a.Pattern), literalPrefix(b.Pattern)); c != 0 {
			return c < 0
		}
		if a.Pattern != b.Pattern {
			return a.Pattern < b.Pattern
		}
		return a.Module < b.Module
	})
	s.Aliases = slices.Compact(s.Aliases)
	return s
}

// indexAliases prepares Match: Aliases are sorted by literal prefix already.
func (t *Table) indexAliases() {
	t.literal = make([]string, len(t.Aliases))
	var seen [MaxPattern + 1]bool
	for i, a := range t.Aliases {
		t.literal[i] = literalPrefix(a.Pattern)
		seen[len(t.literal[i])] = true
	}
	for n, ok := range seen {
		if ok {
			t.lengths = append(t.lengths, n)
		}
	}
}

// Module returns the module of that name.
func (t *Table) Module(name string) (Module, bool) {
	i, ok := t.modules[name]
	if !ok {
		return Module{}, false
	}
	return t.Modules[i], true
}

// IsBuiltin reports whether name was wanted and is built into the kernel.
func (t *Table) IsBuiltin(name string) bool {
	_, ok := slices.BinarySearch(t.Builtin, name)
	return ok
}

// Feature returns what a feature needs, ready for [Table.Plan], and whether this stage 1 has it. Nothing needs loading if
// it is true and the list is empty.
func (t *Table) Feature(name string) ([]string, bool) {
	for _, f := range t.Features {
		if f.Name == name {
			return f.Modules, true
		}
	}
	return nil, false
}

// algorithm returns the algorithm that a name with CryptoPrefix stands for.
func (t *Table) algorithm(name string) (Algorithm, bool) {
	name, ok := strings.CutPrefix(name, CryptoPrefix)
	if !ok {
		return Algorithm{}, false
	}
	for _, a := range t.Algorithms {
		if a.Name == name {
			return a, true
		}
	}
	return Algorithm{}, false
}
