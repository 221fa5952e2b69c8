// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package layers

import (
	"cmp"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/initddi/initddi/internal/version"
)

// Kind is what a directory entry is, links followed.
type Kind int

// The kinds.
const (
	Other Kind = iota
	File
	Directory
	Block
)

// Entry is an entry of a directory of the search path, or of a directory of versions.
type Entry struct {
	Name string
	Kind Kind
	// Versions is what lies in a directory whose name ends in ".v".
	Versions []Entry
}

// Found is an entry that is an extension by its name and kind.
type Found struct {
	Name string // the extension's name
	Path string // below the directory of the search path: "foo.raw", or "foo.raw.v/foo_2.raw"
	Kind Kind
}

// maxName is the longest file name, in bytes (NAME_MAX).
const maxName = 255

// ValidName reports whether an extension can be called so: a file name, UTF-8, without control characters, and not one of a file that is
// just being written.
func ValidName(s string) bool {
	if s == "" || s == "." || s == ".." || len(s) > maxName || !utf8.ValidString(s) || strings.HasPrefix(s, ".#") {
		return false
	}
	return strings.IndexFunc(s, func(r rune) bool { return r == '/' || r < ' ' || r == 0x7f }) < 0
}

// Extensions returns the extensions among the entries of one directory, sorted by their paths, with each name once: of two entries
// for one name the first in the order of their bytes counts, a directory before an image. arches are the architectures that can be used, the
// best first; a file in a directory of versions may be for one of them.
func Extensions(c Class, entries []Entry, arches []string) []Found {
	sorted := slices.Clone(entries)
	slices.SortFunc(sorted, func(a, b Entry) int { return cmp.Compare(a.Name, b.Name) })
	var out []Found
	for _, e := range sorted {
		f, ok := extension(c, e, arches)
		if ok && !slices.ContainsFunc(out, func(g Found) bool { return g.Name == f.Name }) {
			out = append(out, f)
		}
	}
	return out
}

func extension(c Class, e Entry, arches []string) (Found, bool) {
	f := Found{Name: e.Name, Path: e.Name, Kind: e.Kind}
	switch {
	case strings.HasPrefix(e.Name, ".sysupdate."):
		return Found{}, false // it is just being downloaded
	case e.Kind == File:
		name, ok := strings.CutSuffix(e.Name, ".raw")
		if !ok {
			return Found{}, false
		}
		f.Name = strings.TrimSuffix(name, "."+string(c))
	case e.Kind == Directory && strings.HasSuffix(e.Name, ".v"):
		return pick(c, e, arches)
	case e.Kind == Directory:
		f.Name = strings.TrimSuffix(e.Name, "."+string(c))
	case e.Kind == Block:
	default:
		return Found{}, false
	}
	return f, ValidName(f.Name)
}

// candidate is a file in a directory of versions.
type candidate struct {
	entry   Entry
	name    version.Name
	version string
	arch    int // index in the list of architectures, its length for none
}

// pick chooses from a directory of versions, see systemd.v(7). The best name is chosen first and its kind looked at then, so
// that what lies there wrongly is not passed over silently in favour of something older.
func pick(c Class, dir Entry, arches []string) (Found, bool) {
	stem := strings.TrimSuffix(dir.Name, ".v")
	name, suffix := stem, ""
	for _, s := range [...]string{".raw", "." + string(c)} {
		if rest, ok := strings.CutSuffix(name, s); ok {
			name, suffix = rest, s+suffix
		}
	}
	if !ValidName(name) {
		return Found{}, false
	}
	best := candidate{}
	for _, e := range dir.Versions {
		n, err := version.ParseInV(dir.Name, e.Name, suffix)
		if err != nil || strings.IndexAny(n.Version, "~^") >= 0 {
			continue
		}
		this := candidate{entry: e, name: n, version: n.Version, arch: len(arches)}
		if n.Arch != "" {
			if this.arch = slices.Index(arches, n.Arch); this.arch < 0 {
				continue
			}
		} else if i := strings.LastIndexByte(n.Version, '_'); i >= 0 {
			// Systemd takes what follows for the name of an architecture, even of one that it does not know.
			if this.version = n.Version[:i]; i == 0 {
				continue
			}
		}
		if best.entry.Name == "" || this.compare(best) > 0 {
			best = this
		}
	}
	image := strings.HasSuffix(suffix, ".raw")
	switch {
	case best.entry.Name == "",
		image && best.entry.Kind != File && best.entry.Kind != Block,
		!image && best.entry.Kind != Directory:
		return Found{}, false
	}
	return Found{Name: name, Path: dir.Name + "/" + best.entry.Name, Kind: best.entry.Kind}, true
}

// compare is positive if c is to be preferred to d: tries left before none, a newer version, a better architecture, more tries
// left, fewer tries done, and the greater name. No counter counts as any number of tries.
func (c candidate) compare(d candidate) int {
	left := func(n version.Name) uint { return uint(n.TriesLeft) }
	done := func(n version.Name) uint {
		if n.TriesLeft >= 0 {
			return uint(max(n.TriesDone, 0))
		}
		return uint(n.TriesDone)
	}
	if x, y := c.name.Exhausted(), d.name.Exhausted(); x != y {
		if x {
			return -1
		}
		return 1
	}
	return cmp.Or(
		version.Compare(c.version, d.version),
		cmp.Compare(d.arch, c.arch),
		cmp.Compare(left(c.name), left(d.name)),
		cmp.Compare(done(d.name), done(c.name)),
		cmp.Compare(c.entry.Name, d.entry.Name),
	)
}

// Architectures returns the names of the architectures whose programs a machine runs, the best first. goarch is Go's name.
func Architectures(goarch string) []string {
	switch goarch {
	case "amd64":
		return []string{"x86-64", "x86"}
	case "arm64":
		return []string{"arm64", "arm"}
	case "386":
		return []string{"x86"}
	case "ppc64le":
		return []string{"ppc64-le", "ppc-le"}
	}
	return []string{goarch}
}

// Order sorts names of extensions, the lowest layer first.
func Order(names []string) {
	slices.SortFunc(names, CompareNames)
}

// CompareNames compares the names of two extensions in that order.
func CompareNames(a, b string) int { return cmp.Or(version.Compare(a, b), cmp.Compare(a, b)) }
