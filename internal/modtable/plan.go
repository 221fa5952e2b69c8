// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package modtable

import (
	"fmt"
	"slices"
	"strings"
)

// Plan returns the modules to load for names, each after all that its Deps and Soft name; what does not depend on each
// other may be loaded at the same time. names are what [Table.Match] and [Table.Feature] return: modules, algorithms
// (with [CryptoPrefix]), builtins, which need nothing. cpu is the processor's modalias, the content of
// /sys/devices/system/cpu/modalias; without it (not every architecture has one) only the implementations that run
// everywhere are taken.
//
// The error wraps [ErrUnknown] for a name that is not in the table, and [ErrNoProvider] for an algorithm that no module
// implements on this processor; the same among a module's Soft is not an error.
func (t *Table) Plan(cpu string, names ...string) ([]Module, error) {
	p := planner{table: t, onCPU: t.Match(cpu), added: make([]bool, len(t.Modules))}
	for _, name := range names {
		if a, ok := t.algorithm(name); ok {
			provider, ok := p.provider(a)
			if !ok {
				return nil, fmt.Errorf("cannot load %s: %w (tried %s)", name, ErrNoProvider, strings.Join(a.Modules, ", "))
			}
			if provider != "" {
				p.add(provider)
			}
			continue
		}
		if _, ok := t.modules[name]; ok {
			p.add(name)
		} else if !t.IsBuiltin(name) {
			return nil, fmt.Errorf("cannot load %q: %w", name, ErrUnknown)
		}
	}
	return p.out, nil
}

type planner struct {
	table *Table
	onCPU []string // modules that the processor asks for
	added []bool   // by index in table.Modules
	out   []Module
}

// provider returns the module to load for an algorithm, "" if none is needed, and false if there is none.
func (p *planner) provider(a Algorithm) (string, bool) {
	for _, name := range a.Modules {
		if slices.Contains(p.onCPU, name) || !p.table.wantsCPU(name) {
			return name, true
		}
	}
	return "", a.Builtin
}

// wantsCPU reports whether a module runs only on some processors.
func (t *Table) wantsCPU(name string) bool {
	i, _ := slices.BinarySearch(t.literal, "cpu:")
	for ; i < len(t.literal) && strings.HasPrefix(t.literal[i], "cpu:"); i++ {
		if t.Aliases[i].Module == name {
			return true
		}
	}
	return false
}

// add appends a module behind everything that it needs. It ends because New refused cycles.
func (p *planner) add(name string) {
	i := p.table.modules[name]
	if p.added[i] {
		return
	}
	p.added[i] = true
	m := p.table.Modules[i]
	for _, dep := range m.Deps {
		p.add(dep)
	}
	var soft []string
	for _, name := range m.Soft {
		if a, ok := p.table.algorithm(name); ok {
			if name, ok = p.provider(a); !ok || name == "" {
				continue
			}
		}
		p.add(name)
		soft = append(soft, name)
	}
	m.Soft = soft
	p.out = append(p.out, m)
}
