// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package initramfs

import (
	"bytes"
	"debug/buildinfo"
	"fmt"
	"io"
	"path"
	"slices"
	"strings"

	"github.com/u-root/mkuimage/cpio"

	"github.com/initddi/initddi/internal/ability"
)

// CommandDir is where the commands lie in the archive.
const CommandDir = "bbin"

// initCommand is the one whose build tags say what stage 1 can do.
const initCommand = "storageinit"

// Programs gathers the commands of an archive, to know what it can do. The zero value has none.
type Programs struct {
	links map[string]string   // command -> what it is a link to
	tags  map[string][]string // program -> the tags that Go says it was built with
}

// AddLink adds a command that is a link, as those of a busybox are. Paths are relative to the archive's root; what is not in
// [CommandDir] is no command.
func (p *Programs) AddLink(name, target string) {
	if path.Dir(name) != CommandDir {
		return
	}
	if p.links == nil {
		p.links = map[string]string{}
	}
	p.links[path.Base(name)] = path.Base(target)
}

// AddProgram adds a command that is a file. A program of which Go does not say how it was built counts as built without tags: what it
// can do, it says at boot.
func (p *Programs) AddProgram(name string, r io.ReaderAt) {
	if path.Dir(name) != CommandDir {
		return
	}
	if p.tags == nil {
		p.tags = map[string][]string{}
	}
	p.tags[path.Base(name)] = buildTags(r)
}

// Names returns the commands, sorted, without the busybox that they are links to.
func (p *Programs) Names() []string {
	var out []string
	for name := range p.links {
		out = append(out, name)
	}
	for name := range p.tags {
		if !slices.ContainsFunc(out, func(link string) bool { return p.links[link] == name }) {
			out = append(out, name)
		}
	}
	slices.Sort(out)
	return out
}

// Abilities returns what a stage 1 with these commands can do.
func (p *Programs) Abilities() ability.Set {
	program := initCommand
	if target, ok := p.links[program]; ok {
		program = target
	}
	return ability.Of(p.Names(), p.tags[program])
}

// buildTags returns the tags that a Go program was built with; none if it does not say.
func buildTags(r io.ReaderAt) []string {
	info, err := buildinfo.Read(r)
	if err != nil {
		return nil
	}
	for _, s := range info.Settings {
		if s.Key == "-tags" {
			return strings.Split(s.Value, ",")
		}
	}
	return nil
}

// Abilities returns what the stage 1 that Build makes of the options can do, as [Template.Abilities] does.
func (o *Options) Abilities() (ability.Set, error) {
	if o.Base != "" {
		records, err := o.readBase()
		if err != nil {
			return ability.Set{}, err
		}
		return abilitiesOf(records)
	}
	return o.Template.Abilities()
}

// Abilities returns what a stage 1 of the template can do at most: nothing is built, and so a pattern among its commands counts as
// all that it could match. [Image.Abilities] is what it can do.
func (t Template) Abilities() (ability.Set, error) {
	named, tags, err := t.Commands()
	if err != nil {
		return ability.Set{}, err
	}
	var commands []string
	for _, c := range named {
		if slices.Contains(t.Without, c) || strings.HasPrefix(c, "-") {
			continue
		}
		commands = append(commands, c)
		for _, name := range [...]string{ability.Shell, ability.Fetch} {
			if ok, err := path.Match(path.Base(c), name); ok || err != nil || path.Base(c) == "..." {
				commands = append(commands, name)
			}
		}
	}
	return ability.Of(commands, tags), nil
}

// abilitiesOf returns what a stage 1 with these records can do.
func abilitiesOf(records []cpio.Record) (ability.Set, error) {
	var p Programs
	for _, r := range records {
		name := cpio.MakeReproducible(r).Name
		content := io.NewSectionReader(r, 0, int64(r.FileSize))
		switch r.Mode & cpio.S_IFMT {
		case cpio.S_IFLNK:
			var target bytes.Buffer
			if _, err := io.Copy(&target, content); err != nil {
				return ability.Set{}, fmt.Errorf("cannot read %s of the archive: %w", name, err)
			}
			p.AddLink(name, target.String())
		case cpio.S_IFREG:
			p.AddProgram(name, content)
		}
	}
	return p.Abilities(), nil
}
