// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package modtable

import (
	"fmt"
	"strings"
)

// word reports whether s can stand between two spaces of a line.
func word(s string, limit int) bool {
	if s == "" || len(s) > limit || s[0] == '#' {
		return false
	}
	for i := range len(s) {
		if s[i] <= ' ' || s[i] >= 0x7f {
			return false
		}
	}
	return true
}

// moduleName reports whether s can be the name of a module in /proc/modules. It may not contain '-' (the kernel turns it
// into '_') nor ',' nor '=', which separate words here.
func moduleName(s string) bool {
	if s == "" || len(s) > maxName || s == builtinWord {
		return false
	}
	for i := range len(s) {
		c := s[i]
		if c != '_' && (c < '0' || c > '9') && (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') {
			return false
		}
	}
	return true
}

// plainName reports whether s can name a class, a feature or an algorithm.
func plainName(s string) bool {
	return word(s, maxName) && !strings.ContainsAny(s, ",=")
}

// fileName reports whether s is a path below /lib/modules/RELEASE: relative and without a way out.
func fileName(s string) bool {
	if !word(s, maxFile) {
		return false
	}
	for part := range strings.SplitSeq(s, "/") {
		if part == "" || part == "." || part == ".." {
			return false
		}
	}
	return true
}

// checkWords checks each word by itself, so that Encode can write what New accepted and Parse reads the same again.
func (t *Table) checkWords() error {
	if !word(t.Release, maxFile) {
		return fmt.Errorf("%w: kernel release %q", ErrSyntax, t.Release)
	}
	if len(t.Modules) > MaxModules || len(t.Aliases) > MaxAliases || len(t.Builtin) > MaxModules ||
		len(t.Classes)+len(t.Features)+len(t.Algorithms) > MaxModules {
		return fmt.Errorf("%w: %d modules and %d aliases, limits are %d and %d",
			ErrSyntax, len(t.Modules), len(t.Aliases), MaxModules, MaxAliases)
	}
	for _, c := range t.Classes {
		if !plainName(c.Name) || len(c.Description) > maxFile || strings.TrimSpace(c.Description) != c.Description ||
			strings.ContainsFunc(c.Description, func(r rune) bool { return r < ' ' || r == 0x7f }) {
			return fmt.Errorf("%w: class %q, %q", ErrSyntax, c.Name, c.Description)
		}
	}
	for _, f := range t.Features {
		if !plainName(f.Name) || len(f.Modules) > MaxModules {
			return fmt.Errorf("%w: feature %q", ErrSyntax, f.Name)
		}
	}
	for _, a := range t.Algorithms {
		if !plainName(a.Name) || len(a.Modules) > MaxModules {
			return fmt.Errorf("%w: algorithm %q", ErrSyntax, a.Name)
		}
	}
	for _, name := range t.Builtin {
		if !moduleName(name) {
			return fmt.Errorf("%w: builtin %q", ErrSyntax, name)
		}
	}
	for _, m := range t.Modules {
		if !moduleName(m.Name) || !fileName(m.File) || len(m.Deps) > MaxModules || len(m.Soft) > MaxModules {
			return fmt.Errorf("%w: module %q, file %q", ErrSyntax, m.Name, m.File)
		}
	}
	for _, a := range t.Aliases {
		if !word(a.Pattern, MaxPattern) {
			return fmt.Errorf("%w: alias %.80q", ErrSyntax, a.Pattern)
		}
	}
	return nil
}

// checkReferences checks that every name that a record uses is there, once.
func (t *Table) checkReferences() error {
	seen := make(map[string]bool)
	once := func(kind, name string) error {
		if seen[kind+" "+name] {
			return fmt.Errorf("%w: %s %s is listed twice", ErrInconsistent, kind, name)
		}
		seen[kind+" "+name] = true
		return nil
	}
	isModule := func(of, name string) error {
		if _, ok := t.modules[name]; !ok {
			return fmt.Errorf("%w: %s needs %q, which is no module of it", ErrInconsistent, of, name)
		}
		return nil
	}
	either := func(of, name string) error {
		if _, ok := t.algorithm(name); ok {
			return nil
		}
		return isModule(of, name)
	}
	for _, c := range t.Classes {
		if err := once("class", c.Name); err != nil {
			return err
		}
	}
	for _, name := range t.Builtin {
		if _, ok := t.modules[name]; ok {
			return fmt.Errorf("%w: %s is both a module and built in", ErrInconsistent, name)
		}
	}
	for _, f := range t.Features {
		if err := once("feature", f.Name); err != nil {
			return err
		}
		if err := each(f.Modules, "feature "+f.Name, either); err != nil {
			return err
		}
	}
	for _, a := range t.Algorithms {
		if err := once("algorithm", a.Name); err != nil {
			return err
		}
		if err := each(a.Modules, "algorithm "+a.Name, isModule); err != nil {
			return err
		}
	}
	for _, m := range t.Modules {
		if err := each(m.Deps, "module "+m.Name, isModule); err != nil {
			return err
		}
		if err := each(m.Soft, "module "+m.Name, either); err != nil {
			return err
		}
	}
	for _, a := range t.Aliases {
		if _, ok := t.modules[a.Module]; !ok { // isModule would cost a string for each of thousands
			return isModule("alias "+a.Pattern, a.Module)
		}
	}
	return nil
}

func each(names []string, of string, check func(of, name string) error) error {
	for _, name := range names {
		if err := check(of, name); err != nil {
			return err
		}
	}
	return nil
}

// checkCycles makes sure that an order exists in which every module comes after all it needs, whichever implementation of
// an algorithm is chosen.
func (t *Table) checkCycles() error {
	const (
		untouched = iota
		active
		done
	)
	state := make([]uint8, len(t.Modules))
	var visit func(i int) error
	visitAll := func(names []string) error {
		for _, name := range names {
			if err := visit(t.modules[name]); err != nil {
				return err
			}
		}
		return nil
	}
	// The recursion is as deep as the longest chain, MaxModules at most.
	visit = func(i int) error {
		switch state[i] {
		case done:
			return nil
		case active:
			return fmt.Errorf("%w: module %s needs itself", ErrInconsistent, t.Modules[i].Name)
		}
		state[i] = active
		if err := visitAll(t.Modules[i].Deps); err != nil {
			return err
		}
		for _, name := range t.Modules[i].Soft {
			names := []string{name}
			if a, ok := t.algorithm(name); ok {
				names = a.Modules
			}
			if err := visitAll(names); err != nil {
				return err
			}
		}
		state[i] = done
		return nil
	}
	for i := range t.Modules {
		if err := visit(i); err != nil {
			return err
		}
	}
	return nil
}
