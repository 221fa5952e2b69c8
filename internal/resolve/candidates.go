// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package resolve

import (
	"fmt"
	"path"
	"sort"
	"strings"

	"github.com/initddi/initddi/internal/plan"
	"github.com/initddi/initddi/internal/version"
)

// imageSuffix is what a boot image's file name ends in; extensions end in it, too, and are never booted.
const imageSuffix = ".raw"

// Candidates returns the files that may be boot images, best first: those of the running UKI's own directory before the
// shared ones, newest version first by UAPI.10, and files whose boot counter has run out behind all others. Names only
// order: nothing is believed of an image because of what it is called.
func Candidates(p *plan.Plan, uki string, files []File) []File {
	own := ownDir(uki)
	var out []candidate
	for _, f := range files {
		if !isImageName(f.Path) || !selected(p.Image, f.Path) {
			continue
		}
		out = append(out, candidate{File: f, own: own != "" && isBelow(f.Path, own), name: nameOf(f.Path)})
	}
	sort.SliceStable(out, func(i, j int) bool { return compareCandidates(out[i], out[j]) < 0 })
	result := make([]File, len(out))
	for i, c := range out {
		result[i] = c.File
	}
	return result
}

type candidate struct {
	File
	own  bool
	name version.Name
}

// compareCandidates orders candidates, best first. Exhausted names are last wherever they lie, so that an image that keeps
// failing does not keep the shared ones from being tried.
func compareCandidates(a, b candidate) int {
	switch {
	case a.name.Exhausted() != b.name.Exhausted():
		return order(b.name.Exhausted())
	case a.own != b.own:
		return order(a.own)
	}
	if c := version.CompareNames(a.name, b.name); c != 0 {
		return c
	}
	return strings.Compare(a.Path, b.Path)
}

// order puts the first of two in front if first is true.
func order(first bool) int {
	if first {
		return -1
	}
	return 1
}

// nameOf takes a file's name apart. In a NAME.raw.v directory NAME is known; a name that does not fit there, or anywhere, is a
// base without a version and thus the oldest.
func nameOf(p string) version.Name {
	dir, base := path.Split(p)
	parent := path.Base(dir)
	// FAT may have stored the name in capitals.
	n, err := version.ParseName(base, base[max(0, len(base)-len(imageSuffix)):])
	if strings.HasSuffix(parent, ".v") {
		n, err = version.ParseInV(parent, base, imageSuffix)
	}
	if err != nil {
		return version.Name{Base: base, TriesLeft: -1, TriesDone: -1}
	}
	return n
}

// isImageName reports whether a file is named like a boot image.
func isImageName(p string) bool {
	_, base := path.Split(p) // what ends in a slash is no file
	for _, ext := range []string{".sysext.raw", ".confext.raw"} {
		if _, is := cutSuffixFold(base, ext); is {
			return false
		}
	}
	_, is := cutSuffixFold(base, imageSuffix)
	return is && !strings.HasPrefix(base, ".")
}

// selected reports whether ddi.image= takes the file. FAT does not tell case apart, so neither does this.
func selected(pattern, p string) bool {
	if pattern == "" {
		return true
	}
	what := path.Base(p)
	if strings.Contains(pattern, "/") {
		what, pattern = p, path.Clean("/"+pattern)
	}
	ok, err := path.Match(strings.ToLower(pattern), strings.ToLower(what))
	return err == nil && ok
}

func isBelow(p, dir string) bool {
	return len(p) > len(dir) && p[len(dir)] == '/' && strings.EqualFold(p[:len(dir)], dir)
}

func cutSuffixFold(s, suffix string) (string, bool) {
	if len(s) <= len(suffix) || !strings.EqualFold(s[len(s)-len(suffix):], suffix) {
		return s, false
	}
	return s[:len(s)-len(suffix)], true
}

// stripCounter takes a boot counter, +LEFT or +LEFT-DONE, off the end of a name.
func stripCounter(stem string) string {
	i := strings.LastIndexByte(stem, '+')
	if i <= 0 {
		return stem
	}
	left, done, both := strings.Cut(stem[i+1:], "-")
	if !isNumber(left) || both && !isNumber(done) {
		return stem
	}
	return stem[:i]
}

func isNumber(s string) bool {
	return s != "" && strings.Trim(s, "0123456789") == ""
}

// tooMany is the refusal of the candidates of a source that were not looked at.
func tooMany(source plan.Source, first Candidate, more int) Refusal {
	r := Refusal{Candidate: string(source), Rule: RuleFound, Found: fmt.Sprintf("%d images more", more),
		Wanted: fmt.Sprintf("at most %d: these were not looked at", MaxCandidates)}
	if source == plan.SourceESP {
		r.Candidate = "/dev/" + first.Node
	}
	return r
}

// noCandidate is the refusal for an empty partition.
func noCandidate(p *plan.Plan, f *Facts, part *Partition) Refusal {
	wanted := "a file *.raw in " + sharedDir
	if own := ownDir(f.Firmware.UKI); own != "" {
		wanted += " or " + own
	}
	r := nothingFound(p, plan.SourceESP, part.Listing.Files, wanted)
	r.Candidate = "/dev/" + part.Node
	return *r
}
