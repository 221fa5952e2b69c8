// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package kmodules

import (
	"errors"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"

	"github.com/initddi/initddi/internal/modtable"
)

// Sentinels of Select.
var (
	// ErrUnknown says that there is no class or feature of that name.
	ErrUnknown = errors.New("unknown")
	// ErrEmptyClass says that a kernel has no driver for a class, neither as a module nor built in. The error is a
	// [*MissingError].
	ErrEmptyClass = errors.New("the kernel has no driver of this class")
	// ErrNoFeature says that a kernel lacks what a feature needs. The error is a [*MissingError].
	ErrNoFeature = errors.New("the kernel does not have this feature")
)

// MissingError says what a kernel does not have.
type MissingError struct {
	Kind    error    // ErrEmptyClass, ErrNotAsked or ErrNoFeature
	Name    string   // of the class or feature
	Release string   // of the kernel
	Wanted  []string // the modules that were looked for and are not there
}

func (e *MissingError) Error() string {
	what := "class"
	if e.Kind == ErrNoFeature {
		what = "feature"
	}
	return fmt.Sprintf("cannot find modules for %s %s in kernel %s: %v (looked for %s)",
		what, e.Name, e.Release, e.Kind, strings.Join(e.Wanted, ", "))
}

// Unwrap returns Kind.
func (e *MissingError) Unwrap() error { return e.Kind }

// Options say what to select. Names are those of [Classes] and [Features].
type Options struct {
	Classes          []string
	OptionalClasses  []string // taken if the kernel has them
	Features         []string
	OptionalFeatures []string // taken if the kernel has them
	// Modules are more modules to carry; they must exist or be built in. They are loaded where a device asks for them.
	Modules []string
	// Host, if not nil, is the only machine that stage 1 is for: of OptionalClasses, modules that nothing on the way to its disk
	// asks for are left out, and of Classes those that no device of it asks for.
	Host *Host
	// Firmware is where the files are that modules ask for: a directory with lib/firmware below it, or that directory itself. It is
	// what belongs to the kernel's tree if it is empty, and [NoFirmware] for none.
	Firmware string
}

// File is a module of a selection.
type File struct {
	Name   string   // as in /proc/modules
	Path   string   // in the archive: lib/modules/RELEASE/NAME.ko
	Source string   // in the kernel's tree
	For    []string // the classes and features that need it, sorted; "modules" stands for Options.Modules
	Data   []byte   // uncompressed: the archive is compressed as a whole, which is smaller and faster
}

// Selection is the modules of a stage 1.
type Selection struct {
	Table *modtable.Table
	Files []File // sorted by name
	// Firmware are files that these ask for, sorted by name, and ModuleFirmware is what each module says of it, sorted by module.
	Firmware       []FirmwareFile
	ModuleFirmware []ModuleFirmware
	// Absent are modules of the chosen classes that this kernel does not have.
	Absent []string
	// Choices say what became of each class, in the order in which they were asked for, and of features that were left out.
	Choices []Choice
	// Unresolved are softdeps "MODULE: ALIAS" of which it is not known what they mean, and which are ignored.
	Unresolved []string
}

// Select picks modules from t.
//
// The error wraps [ErrUnknown] for names that are none, [ErrEmptyClass] or [ErrNoFeature] if the kernel lacks something that
// is not optional, [ErrNotAsked] or [ErrNoDriver] if that does not fit the only machine that stage 1 is for, [ErrFirmware] if a
// place that was named for firmware is none.
func Select(t *Tree, o Options) (*Selection, error) {
	s := &selector{
		tree: t, options: o, spec: modtable.Spec{Release: t.release},
		why: make(map[string]map[string]bool), absent: make(map[string]bool), algorithms: make(map[string]modtable.Algorithm),
	}
	if err := s.pickClasses(); err != nil {
		return nil, err
	}
	if err := s.pickWay(); err != nil {
		return nil, err
	}
	if err := s.pickFeatures(); err != nil {
		return nil, err
	}
	for _, name := range o.Modules {
		name = canonical(name)
		found, err := s.want(name, "modules")
		if err != nil {
			return nil, err
		}
		if !found {
			return nil, fmt.Errorf("cannot find module %s in kernel %s: neither a file nor built in", name, t.release)
		}
	}
	return s.finish()
}

// selector is the state of Select.
type selector struct {
	tree       *Tree
	options    Options
	spec       modtable.Spec
	why        map[string]map[string]bool // module -> classes and features that need it
	absent     map[string]bool
	algorithms map[string]modtable.Algorithm
	choices    []Choice
	unresolved []string
}

func (s *selector) pickFeatures() error {
	all := Features()
	for _, name := range slices.Concat(s.options.Features, s.options.OptionalFeatures) {
		i := slices.IndexFunc(all, func(f Feature) bool { return f.Name == name })
		if i < 0 {
			return fmt.Errorf("%w feature %q (there are %s)", ErrUnknown, name, strings.Join(FeatureNames(), ", "))
		}
		if slices.ContainsFunc(s.spec.Features, func(f modtable.Feature) bool { return f.Name == name }) {
			continue
		}
		var missing []string
		for _, word := range all[i].Modules {
			if !s.exists(word) {
				missing = append(missing, word)
			}
		}
		if len(missing) > 0 {
			if !slices.Contains(s.options.Features, name) {
				s.choices = append(s.choices, Choice{Name: name, Why: "the kernel does not have it"})
				continue
			}
			return &MissingError{Kind: ErrNoFeature, Name: name, Release: s.tree.release, Wanted: missing}
		}
		if name == "efivarfs" && s.options.Host != nil && !s.options.Host.EFI {
			s.choices = append(s.choices, Choice{Name: name, Why: "the machine was not started by UEFI firmware"})
			continue
		}
		feature := modtable.Feature{Name: name}
		for _, word := range all[i].Modules {
			if a, ok := s.algorithm(word); ok {
				if len(a.Modules) == 0 {
					continue
				}
				if err := s.useAlgorithm(a, name); err != nil {
					return err
				}
			} else if _, err := s.want(word, name); err != nil {
				return err
			}
			if !s.tree.Builtin(word) {
				feature.Modules = append(feature.Modules, word)
			}
		}
		s.spec.Features = append(s.spec.Features, feature)
	}
	return nil
}

// exists reports whether the kernel has a module or an algorithm, in whatever form.
func (s *selector) exists(name string) bool {
	if a, ok := s.algorithm(name); ok {
		return a.Builtin || len(a.Modules) > 0
	}
	return s.tree.Builtin(name) || s.tree.Has(name)
}

// want adds a module and all that it needs, and reports whether the kernel has it.
func (s *selector) want(name, reason string) (bool, error) {
	if s.tree.Builtin(name) {
		s.spec.Builtin = append(s.spec.Builtin, name)
		return true, nil
	}
	if !s.tree.Has(name) {
		s.absent[name] = true
		return false, nil
	}
	return true, s.add(name, reason)
}

// add adds a module that is in the tree, and all that it needs.
func (s *selector) add(name, reason string) error {
	if s.why[name][reason] {
		return nil
	}
	if s.why[name] == nil {
		s.why[name] = make(map[string]bool)
	}
	s.why[name][reason] = true
	deps, err := s.tree.depends(name)
	if err != nil {
		return err
	}
	soft, algorithms, err := s.softdeps(name)
	if err != nil {
		return err
	}
	for _, dep := range slices.Concat(deps, soft) {
		if err := s.add(dep, reason); err != nil {
			return err
		}
	}
	for _, a := range algorithms {
		if err := s.useAlgorithm(a, reason); err != nil {
			return err
		}
	}
	return nil
}

// useAlgorithm adds an algorithm with the modules that implement it.
func (s *selector) useAlgorithm(a modtable.Algorithm, reason string) error {
	s.algorithms[a.Name] = a
	for _, name := range a.Modules {
		if err := s.add(name, reason); err != nil {
			return err
		}
	}
	return nil
}

// softdeps returns the modules and the algorithms that a module would like to have loaded before it and that are not
// built in.
func (s *selector) softdeps(name string) (modules []string, algorithms []modtable.Algorithm, err error) {
	m, err := s.tree.module(name)
	if err != nil {
		return nil, nil, err
	}
	for _, word := range m.pre {
		switch a, ok := s.algorithm(word); {
		case ok:
			if len(a.Modules) > 0 {
				algorithms = append(algorithms, a)
			}
		case s.tree.Builtin(word):
		case s.tree.Has(word):
			modules = append(modules, canonical(word))
		default:
			// Debian 12's crc_t10dif wants crct10dif, which is an alias; without it, it uses its own code.
			s.unresolved = append(s.unresolved, name+": "+word)
		}
	}
	return modules, algorithms, nil
}

// algorithm returns what this kernel has of the algorithm that a word means. It has no Modules if nothing needs loading.
func (s *selector) algorithm(word string) (modtable.Algorithm, bool) {
	a, ok := findAlgorithm(word)
	if !ok || !strings.HasPrefix(word, modtable.CryptoPrefix) && s.tree.Has(word) {
		return modtable.Algorithm{}, false
	}
	out := modtable.Algorithm{Name: a.name}
	out.Builtin = s.tree.implements(a.name) || slices.ContainsFunc(a.portable, s.tree.Builtin)
	if !out.Builtin || a.accelerate {
		for _, name := range a.fast {
			if s.tree.Builtin(name) {
				// As good as it gets, on the processors that have it.
				out.Builtin = true
				break
			}
			if ok, err := s.asked(name, false); s.tree.Has(name) && (ok || err != nil) {
				out.Modules = append(out.Modules, name)
			}
		}
	}
	// Of the only machine's processor it is known whether it has the fast one.
	if !out.Builtin && (s.options.Host == nil || len(out.Modules) == 0) {
		if i := slices.IndexFunc(a.portable, s.tree.Has); i >= 0 {
			out.Modules = append(out.Modules, a.portable[i])
		}
	}
	return out, true
}

// finish turns what was gathered into a selection.
func (s *selector) finish() (*Selection, error) {
	out := &Selection{Absent: slices.Sorted(maps.Keys(s.absent)), Unresolved: slices.Clone(s.unresolved), Choices: s.choices}
	slices.Sort(out.Unresolved)
	out.Unresolved = slices.Compact(out.Unresolved)
	for _, name := range slices.Sorted(maps.Keys(s.algorithms)) {
		s.spec.Algorithms = append(s.spec.Algorithms, s.algorithms[name])
	}
	names := slices.Sorted(maps.Keys(s.why))
	needs := make(map[string][]string) // the graph so far
	for _, name := range names {
		m, err := s.tree.module(name)
		if err != nil {
			return nil, err
		}
		deps, err := s.tree.depends(name)
		if err != nil {
			return nil, err
		}
		needs[name] = deps
		file := name + ".ko"
		s.spec.Modules = append(s.spec.Modules, modtable.Module{Name: name, File: file, Deps: deps})
		for _, alias := range m.aliases {
			if isModalias(alias) {
				s.spec.Aliases = append(s.spec.Aliases, modtable.Alias{Pattern: alias, Module: name})
			}
		}
		out.Files = append(out.Files, File{
			Name: name, Path: path.Join("lib/modules", s.tree.release, file), Source: s.tree.files[name],
			For: slices.Sorted(maps.Keys(s.why[name])), Data: m.data,
		})
	}
	for i := range s.spec.Modules {
		if err := s.addSoft(&s.spec.Modules[i], needs); err != nil {
			return nil, err
		}
	}
	table, err := modtable.New(s.spec)
	if err != nil {
		return nil, fmt.Errorf("cannot make the module table of kernel %s: %w", s.tree.release, err)
	}
	out.Table = table
	if err := s.addFirmware(out); err != nil {
		return nil, err
	}
	return out, nil
}

// addSoft adds a module's softdeps to the table. One that needs the module itself is left out: modprobe breaks such cycles at
// run time, modtable refuses them.
func (s *selector) addSoft(m *modtable.Module, needs map[string][]string) error {
	modules, algorithms, err := s.softdeps(m.Name)
	if err != nil {
		return err
	}
	slices.Sort(modules)
	for _, name := range slices.Compact(modules) {
		if !slices.Contains(m.Deps, name) && !reaches(needs, name, m.Name) {
			m.Soft = append(m.Soft, name)
			needs[m.Name] = append(slices.Clone(needs[m.Name]), name)
		}
	}
	for _, a := range algorithms {
		word := modtable.CryptoPrefix + a.Name
		if !slices.Contains(m.Soft, word) && !slices.ContainsFunc(a.Modules, func(p string) bool { return reaches(needs, p, m.Name) }) {
			m.Soft = append(m.Soft, word)
			needs[m.Name] = append(slices.Clone(needs[m.Name]), a.Modules...)
		}
	}
	return nil
}

// reaches reports whether a module is another one, or needs it.
func reaches(needs map[string][]string, from, to string) bool {
	seen := make(map[string]bool)
	var walk func(string) bool
	walk = func(name string) bool {
		if name == to {
			return true
		}
		if seen[name] {
			return false
		}
		seen[name] = true
		return slices.ContainsFunc(needs[name], walk)
	}
	return walk(from)
}
