// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package kmodules

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

// Sentinels of Open.
var (
	// ErrNoTree says that there is no module tree.
	ErrNoTree = errors.New("no kernel modules")
	// ErrManyTrees says that there are several kernels and none was named.
	ErrManyTrees = errors.New("modules of several kernels")
)

// Tree is the modules of one kernel.
type Tree struct {
	release  string
	dir      string                            // "" if everything is built in
	files    map[string]string                 // name -> path relative to dir
	after    map[string][]string               // name -> all that modules.dep wants before it
	builtin  map[string]bool                   // names of modules that are built in
	crypto   map[string]bool                   // algorithms that the kernel implements without modules
	firmware map[string][]string               // built-in module -> files of firmware that it names
	cache    map[string]*module                // modules that were read
	read     func(name string) ([]byte, error) // of a path relative to dir
}

// module is a module that was read.
type module struct {
	info
	data []byte
}

// Open returns the modules of a kernel. place is either the directory /lib/modules/RELEASE itself, the build directory of a
// kernel without loadable modules (it has a modules.builtin), or a directory with lib/modules or usr/lib/modules below it:
// the root of a system, or of an unpacked package. release chooses among several kernels; it may be empty if there is one.
//
// The error wraps [ErrNoTree] if there is nothing, [ErrManyTrees] if release does not decide.
func Open(place, release string) (*Tree, error) {
	dir, err := findTree(place, release)
	if err != nil {
		return nil, err
	}
	if release == "" {
		if release, err = releaseOf(dir); err != nil {
			return nil, err
		}
	}
	t := newTree(release)
	t.dir = dir
	t.read = func(name string) ([]byte, error) { return os.ReadFile(filepath.Join(dir, filepath.FromSlash(name))) }
	if err := t.readBuiltin(); err != nil {
		return nil, err
	}
	if err := t.findFiles(); err != nil {
		return nil, err
	}
	if err := t.readDep(); err != nil {
		return nil, err
	}
	if len(t.files) == 0 && len(t.builtin) == 0 {
		return nil, fmt.Errorf("%w in %s: neither module files nor a modules.builtin that names any", ErrNoTree, dir)
	}
	return t, nil
}

func newTree(release string) *Tree {
	return &Tree{
		release:  release,
		files:    make(map[string]string),
		after:    make(map[string][]string),
		builtin:  make(map[string]bool),
		crypto:   make(map[string]bool),
		firmware: make(map[string][]string),
		cache:    make(map[string]*module),
	}
}

// Monolithic returns the tree of a kernel of which the caller knows that everything a stage 1 needs is built in, and of
// which no modules.builtin is at hand.
func Monolithic(release string) *Tree {
	t := newTree(release)
	t.builtin = nil
	return t
}

// Release returns the kernel's release, as uname -r prints it.
func (t *Tree) Release() string { return t.release }

// Builtin reports whether a module is built into the kernel.
func (t *Tree) Builtin(name string) bool { return t.builtin == nil || t.builtin[canonical(name)] }

// Has reports whether there is a file of a module.
func (t *Tree) Has(name string) bool {
	_, ok := t.files[canonical(name)]
	return ok
}

// implements reports whether the kernel has a crypto algorithm without any module.
func (t *Tree) implements(algorithm string) bool { return t.builtin == nil || t.crypto[algorithm] }

// findTree returns the directory with the modules of a kernel.
func findTree(place, release string) (string, error) {
	if isTree(place) {
		return place, nil
	}
	var found []string
	for _, sub := range []string{"lib/modules", "usr/lib/modules"} {
		parent := filepath.Join(place, sub)
		if release != "" {
			if dir := filepath.Join(parent, release); isTree(dir) {
				return dir, nil
			}
			continue
		}
		entries, err := os.ReadDir(parent)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return "", fmt.Errorf("cannot look for kernel modules: %w", err)
		}
		for _, e := range entries {
			if dir := filepath.Join(parent, e.Name()); isTree(dir) {
				found = append(found, dir)
			}
		}
		if len(found) > 0 {
			break // /lib is often a symbolic link to /usr/lib
		}
	}
	switch {
	case len(found) == 1:
		return found[0], nil
	case len(found) > 1:
		return "", fmt.Errorf("%w in %s, name one: %s", ErrManyTrees, place, strings.Join(baseNames(found), ", "))
	case release != "":
		return "", fmt.Errorf("%w of %s in %s (looked for modules.builtin, modules.dep or kernel/ in it and in its lib/modules/%s)",
			ErrNoTree, release, place, release)
	}
	return "", fmt.Errorf("%w in %s (looked for modules.builtin, modules.dep or kernel/ in it and in its lib/modules/*)", ErrNoTree, place)
}

func baseNames(paths []string) []string {
	out := make([]string, len(paths))
	for i, p := range paths {
		out[i] = filepath.Base(p)
	}
	return out
}

// isTree reports whether dir is a module tree: an empty directory that a removed kernel left behind is none.
func isTree(dir string) bool {
	for _, name := range []string{"modules.builtin", "modules.dep", "kernel"} {
		fi, err := os.Stat(filepath.Join(dir, name))
		if err == nil && fi.IsDir() == (name == "kernel") {
			// The source of a kernel has a directory "kernel" too.
			if name != "kernel" || !fileExists(filepath.Join(dir, "Kbuild")) {
				return true
			}
		}
	}
	return false
}

func fileExists(name string) bool {
	_, err := os.Stat(name)
	return err == nil
}

// releaseOf returns the release of the kernel whose modules are in dir. In a build directory it is in a file.
func releaseOf(dir string) (string, error) {
	data, err := os.ReadFile(filepath.Join(dir, "include/config/kernel.release"))
	if err == nil {
		return strings.TrimSpace(string(data)), nil
	}
	abs, err := filepath.Abs(dir)
	if err != nil {
		return "", fmt.Errorf("cannot tell the release of the kernel in %s: %w", dir, err)
	}
	return filepath.Base(abs), nil
}

// readOptional returns a file of the tree, empty if there is none.
func (t *Tree) readOptional(name string) (string, error) {
	data, err := t.read(name)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("cannot read the modules of %s: %w", t.release, err)
	}
	return string(data), nil
}

// readBuiltin reads modules.builtin, the paths that built-in modules would have, and modules.builtin.modinfo, their
// .modinfo with the name of the module in front: "sha256_generic.alias=crypto-sha256".
func (t *Tree) readBuiltin() error {
	text, err := t.readOptional("modules.builtin")
	if err != nil {
		return err
	}
	for line := range strings.Lines(text) {
		if name, ok := moduleName(path.Base(strings.TrimSpace(line))); ok {
			t.builtin[name] = true
		}
	}
	if text, err = t.readOptional("modules.builtin.modinfo"); err != nil {
		return err
	}
	for line := range strings.SplitSeq(text, "\x00") {
		name, rest, _ := strings.Cut(line, ".")
		if alias, ok := strings.CutPrefix(rest, "alias=crypto-"); ok && t.builtin[canonical(name)] {
			t.crypto[alias] = true
		}
		if file, ok := strings.CutPrefix(rest, "firmware="); ok {
			t.firmware[canonical(name)] = append(t.firmware[canonical(name)], file)
		}
	}
	return nil
}

// findFiles finds the module files. Of two with the same name depmod takes the one below updates/, unless configured
// otherwise; what modules.dep says comes later and wins.
func (t *Tree) findFiles() error {
	err := filepath.WalkDir(t.dir, func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			return nil
		}
		name, ok := moduleName(d.Name())
		if !ok {
			return nil
		}
		rel, err := filepath.Rel(t.dir, p)
		if err != nil {
			return err
		}
		rel = filepath.ToSlash(rel)
		if _, ok := t.files[name]; !ok || strings.HasPrefix(rel, "updates/") {
			t.files[name] = rel
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("cannot list the modules of %s: %w", t.release, err)
	}
	return nil
}

// readDep reads modules.dep: lines "PATH: PATH PATH", where the paths behind the colon are everything to load before.
func (t *Tree) readDep() error {
	text, err := t.readOptional("modules.dep")
	if err != nil {
		return err
	}
	for line := range strings.Lines(text) {
		file, rest, ok := strings.Cut(strings.TrimSuffix(line, "\n"), ":")
		name, isModule := moduleName(path.Base(file))
		if !ok || !isModule || path.IsAbs(file) || !filepath.IsLocal(file) {
			return fmt.Errorf("cannot read modules.dep of %s: %q is not \"module: dependencies\"", t.release, strings.TrimSpace(line))
		}
		if !fileExists(filepath.Join(t.dir, file)) {
			return fmt.Errorf("modules.dep of %s names %s, which does not exist: run depmod (Debian package kmod)", t.release, file)
		}
		t.files[name] = file
		for dep := range strings.FieldsSeq(rest) {
			if depName, ok := moduleName(path.Base(dep)); ok {
				t.after[name] = append(t.after[name], depName)
			}
		}
	}
	return nil
}

// module reads a module.
func (t *Tree) module(name string) (*module, error) {
	if m, ok := t.cache[name]; ok {
		return m, nil
	}
	file, ok := t.files[name]
	if !ok {
		return nil, fmt.Errorf("cannot find module %s of kernel %s: %w", name, t.release, fs.ErrNotExist)
	}
	raw, err := t.read(file)
	if err != nil {
		return nil, fmt.Errorf("cannot read module %s: %w", name, err)
	}
	data, err := decompress(raw)
	if err != nil {
		return nil, fmt.Errorf("cannot read module %s: %w", file, err)
	}
	i, err := readInfo(data)
	if err != nil {
		return nil, fmt.Errorf("cannot read module %s: %w", file, err)
	}
	m := &module{info: i, data: data}
	t.cache[name] = m
	return m, nil
}

// depends returns the modules to load before name: those that it declares, and those of modules.dep that do not follow
// from them. The rest of what modules.dep lists is left out, so that the result is the same with and without depmod.
func (t *Tree) depends(name string) ([]string, error) {
	m, err := t.module(name)
	if err != nil {
		return nil, err
	}
	var out []string
	reached := map[string]bool{name: true}
	var reach func(string) error
	reach = func(name string) error {
		m, err := t.module(name)
		if err != nil {
			return err
		}
		for _, dep := range m.depends {
			if !reached[dep] && !t.Builtin(dep) {
				reached[dep] = true
				if err := reach(dep); err != nil {
					return err
				}
			}
		}
		return nil
	}
	for _, dep := range m.depends {
		if !t.Builtin(dep) {
			out = append(out, dep)
		}
	}
	if len(t.after[name]) > 0 {
		if err := reach(name); err != nil {
			return nil, err
		}
	}
	for _, dep := range t.after[name] {
		if !reached[dep] {
			out = append(out, dep)
		}
	}
	slices.Sort(out)
	return slices.Compact(out), nil
}
