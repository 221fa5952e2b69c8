// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package modtable

import (
	"bytes"
	"fmt"
	"strings"
)

// magic is the first word of a table, version the second.
const (
	magic   = "initddi-modules"
	version = "1"
)

// Parse reads a table. Every error names the line and wraps [ErrSyntax] or [ErrInconsistent].
func Parse(data []byte) (*Table, error) {
	if len(data) > MaxSize {
		return nil, fmt.Errorf("%w: %d bytes, the limit is %d", ErrSyntax, len(data), MaxSize)
	}
	var spec Spec
	number := 0
	// One string for all: the names below are slices of it.
	for line := range strings.SplitSeq(string(data), "\n") {
		number++
		var err error
		switch {
		case len(line) > MaxLine:
			err = fmt.Errorf("%d bytes, the limit is %d", len(line), MaxLine)
		case number == 1:
			err = spec.parseFirst(line)
		case line == "" || line[0] == '#':
		default:
			err = spec.parseLine(line)
		}
		if err != nil {
			return nil, fmt.Errorf("%w: line %d: %w", ErrSyntax, number, err)
		}
	}
	return New(spec)
}

func (s *Spec) parseFirst(line string) error {
	words := strings.Split(line, " ")
	if len(words) != 3 || words[0] != magic {
		return fmt.Errorf("want %q, a version and a kernel release, found %.80q", magic, line)
	}
	if words[1] != version {
		return fmt.Errorf("want version %s, found %.20q", version, words[1])
	}
	s.Release = words[2]
	return nil
}

func (s *Spec) parseLine(line string) error {
	kind, rest, ok := strings.Cut(line, " ")
	if !ok {
		return fmt.Errorf("want a record, found %.80q", line)
	}
	first, more, _ := strings.Cut(rest, " ")
	switch kind {
	case "class":
		s.Classes = append(s.Classes, Class{Name: first, Description: more})
		return nil
	case "alias":
		if len(s.Aliases) == MaxAliases {
			return fmt.Errorf("more than %d aliases", MaxAliases)
		}
		s.Aliases = append(s.Aliases, Alias{Pattern: first, Module: more})
		return nil
	case "module":
		return s.parseModule(first, more)
	}
	var words []string
	if more != "" {
		words = strings.Split(more, " ")
	}
	switch kind {
	case "feature":
		s.Features = append(s.Features, Feature{Name: first, Modules: words})
	case "builtin":
		s.Builtin = append(append(s.Builtin, first), words...)
	case "crypto":
		a := Algorithm{Name: first, Modules: words}
		if n := len(words); n > 0 && words[n-1] == builtinWord {
			a.Builtin, a.Modules = true, words[:n-1]
		}
		if len(a.Modules) == 0 {
			a.Modules = nil
		}
		s.Algorithms = append(s.Algorithms, a)
	default:
		return fmt.Errorf("unknown record %.40q", kind)
	}
	return nil
}

func (s *Spec) parseModule(name, rest string) error {
	if len(s.Modules) == MaxModules {
		return fmt.Errorf("more than %d modules", MaxModules)
	}
	file, rest, _ := strings.Cut(rest, " ")
	m := Module{Name: name, File: file}
	for rest != "" {
		var option string
		option, rest, _ = strings.Cut(rest, " ")
		key, list, ok := strings.Cut(option, "=")
		var to *[]string
		switch key {
		case "dep":
			to = &m.Deps
		case "soft":
			to = &m.Soft
		}
		if !ok || to == nil || *to != nil {
			return fmt.Errorf("module %.60q: unexpected %.40q", name, option)
		}
		*to = strings.Split(list, ",")
	}
	s.Modules = append(s.Modules, m)
	return nil
}

// Encode returns the table's text, which Parse turns into an equal table.
func (t *Table) Encode() []byte {
	var b bytes.Buffer
	line := func(words ...string) {
		b.WriteString(strings.Join(words, " "))
		b.WriteByte('\n')
	}
	line(magic, version, t.Release)
	for _, c := range t.Classes {
		if c.Description == "" {
			line("class", c.Name)
		} else {
			line("class", c.Name, c.Description)
		}
	}
	for _, f := range t.Features {
		line(append([]string{"feature", f.Name}, f.Modules...)...)
	}
	for _, a := range t.Algorithms {
		words := append([]string{"crypto", a.Name}, a.Modules...)
		if a.Builtin {
			words = append(words, builtinWord)
		}
		line(words...)
	}
	for _, name := range t.Builtin {
		line("builtin", name)
	}
	for _, m := range t.Modules {
		words := []string{"module", m.Name, m.File}
		if len(m.Deps) > 0 {
			words = append(words, "dep="+strings.Join(m.Deps, ","))
		}
		if len(m.Soft) > 0 {
			words = append(words, "soft="+strings.Join(m.Soft, ","))
		}
		line(words...)
	}
	for _, a := range t.Aliases {
		line("alias", a.Pattern, a.Module)
	}
	return b.Bytes()
}
