// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

//go:build !nomerge

package resolve

import (
	"encoding/hex"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/initddi/initddi/internal/gpt"
	"github.com/initddi/initddi/internal/layers"
	"github.com/initddi/initddi/internal/plan"
	"github.com/initddi/initddi/internal/version"
)

// MaxExtensions is how many files are looked at as extensions of an image. Each takes time, and what is merged takes memory; whoever can
// write to the boot partition can name any number.
const MaxExtensions = 128

// maxExtensionSignature bounds the signature of an extension, in bytes: those of all that are signed are kept until it is known which are
// merged, and anybody can put into one as many certificates as there is room for. One with a chain has a few KiB.
const maxExtensionSignature = 64 << 10

// Extension is a file that may be an extension of the image that is entered.
type Extension struct {
	Class layers.Class
	Name  string // as systemd-sysext and systemd-confext call it
	Candidate
}

// extensionPlace says which class a file has because of where it lies and what it is called, and what its name ends in. What systemd-stub
// put into a directory for one class need not have that in its name.
func extensionPlace(dir, base string) (class layers.Class, suffix string) {
	for _, c := range [...]layers.Class{layers.Sysext, layers.Confext} {
		if _, is := cutSuffixFold(base, "."+string(c)+imageSuffix); is {
			return c, base[len(base)-len(c)-len(imageSuffix)-1:]
		}
	}
	if _, is := cutSuffixFold(base, imageSuffix); is {
		switch dir {
		case "/.extra/sysext", "/.extra/global_sysext":
			return layers.Sysext, imageSuffix
		case "/.extra/confext", "/.extra/global_confext":
			return layers.Confext, imageSuffix
		}
	}
	return "", ""
}

// extension is an extension with what orders it.
type extension struct {
	Extension
	candidate
}

// asExtension returns the extension that a file below one of the directories is by its name.
func asExtension(dirs []string, source plan.Source, node string, f File) (extension, bool) {
	dir, base := path.Split(f.Path)
	dir = path.Clean(dir)
	class, suffix := extensionPlace(dir, base)
	if class == "" || strings.HasPrefix(base, ".") {
		return extension{}, false
	}
	e := extension{Extension{Class: class, Candidate: Candidate{source, node, f}}, candidate{File: f}}
	among := func(d string) bool {
		return slices.ContainsFunc(dirs, func(s string) bool { return s != "" && strings.EqualFold(s, d) })
	}
	switch parent := path.Base(dir); {
	case strings.HasSuffix(parent, ".v") && among(path.Dir(dir)):
		n, err := version.ParseInV(parent, base, suffix)
		if err != nil {
			return extension{}, false
		}
		e.name, e.Extension.Name = n, n.Base
	case among(dir):
		e.Extension.Name = stripCounter(base[:len(base)-len(suffix)])
		n, err := version.ParseName(base, suffix)
		if err != nil {
			n = version.Name{Base: e.Extension.Name, TriesLeft: -1, TriesDone: -1}
		}
		e.name = n
	default:
		return extension{}, false
	}
	return e, true
}

// Extensions returns the files that may be extensions of a candidate: those beside it on the boot partition, and those that the boot loader
// left in memory. Files of one class and name in different versions are a group, of which the first that is good is merged: the
// running UKI's own before shared ones, newer ones before older ones, and those whose boot counter has run out last. Groups are in
// the order of their names, system extensions first. more says how many files were left out because of [MaxExtensions].
func Extensions(f *Facts, c Candidate) (groups [][]Extension, more int) {
	var found []extension
	add := func(dirs []string, source plan.Source, node string, files []File) {
		for _, file := range files {
			if e, ok := asExtension(dirs, source, node, file); ok && e.Candidate.Name() != c.Name() {
				e.own = source == plan.SourceESP && dirs[0] != "" && isBelow(file.Path, dirs[0])
				found = append(found, e)
			}
		}
	}
	own := ownDir(f.Firmware.UKI)
	if c.Source == plan.SourceESP {
		if part := f.Partition(c.Node); part != nil && part.Listing != nil {
			add([]string{own, sharedDir}, c.Source, c.Node, part.Listing.Files)
		}
	}
	if f.Initrd != nil {
		add(InitrdDirs(), plan.SourceInitrd, "", f.Initrd.Files)
	}
	slices.SortStableFunc(found, compareExtensions)
	if len(found) > MaxExtensions {
		found, more = found[:MaxExtensions], len(found)-MaxExtensions
	}
	for i, e := range found {
		if i == 0 || e.Class != found[i-1].Class || e.name.Base != found[i-1].name.Base {
			groups = append(groups, nil)
		}
		last := &groups[len(groups)-1]
		*last = append(*last, e.Extension)
	}
	return groups, more
}

func compareExtensions(a, b extension) int {
	switch {
	case a.Class != b.Class:
		return order(a.Class == layers.Sysext)
	case a.name.Base != b.name.Base:
		if c := version.Compare(a.name.Base, b.name.Base); c != 0 {
			return c
		}
		return strings.Compare(a.name.Base, b.name.Base)
	case a.Source != b.Source:
		return order(a.Source == plan.SourceESP)
	}
	return compareCandidates(a.candidate, b.candidate)
}

// foundExtensions is what [Extensions] returned.
type foundExtensions struct {
	groups [][]Extension
	more   int
}

// Chosen returns the extensions that will be merged into a candidate that is about to be entered, system extensions first, each class in the
// order of its layers, and why others will not be. The step says what has to be found out first, if anything has.
func Chosen(p *plan.Plan, f *Facts, c Candidate) (chosen []Extension, left []Refusal, step Step) {
	img := f.Images[c.Name()]
	if !p.Merge || img == nil || img.Tree == nil {
		return nil, nil, Step{}
	}
	if img.found == nil {
		// Asked for at every step, and what lies beside an image that is about to be entered does not change any more.
		groups, more := Extensions(f, c)
		img.found = &foundExtensions{groups, more}
	}
	groups, more := img.found.groups, img.found.more
	taken := NewTaken(img.Authentic, c.Name())
	next := func(v Verb, e Extension, format string, args ...any) ([]Extension, []Refusal, Step) {
		s := do(v, e.Candidate, format, args...)
		s.Do.Class, s.Do.Extension, s.Do.For = e.Class, e.Name, c.Name()
		return nil, nil, s
	}
	for _, group := range groups {
		for _, e := range group {
			x := img.Extensions[e.Candidate.Name()]
			r := taken.RefuseName(e)
			if r == nil && x == nil {
				return next(ReadImage, e, "it may be a %s for %s", e.Class, c.Name())
			}
			if r == nil {
				r = taken.Refuse(img.Tree, e, x)
			}
			if r != nil {
				r.Source = e.Source
				if x != nil && x.Device != "" {
					return next(Discard, e, "%s", r.Error())
				}
				left = append(left, *r)
				continue
			}
			switch {
			case x.Authentic == nil:
				return next(Verify, e, "an extension is always signed")
			case x.Device == "":
				return next(Attach, e, "%s", x.Authentic)
			case x.Extension == nil:
				return next(Mount, e, "what the verified tree says of itself decides, not its file name")
			}
			taken.Add(e, x)
			chosen = append(chosen, e)
			break
		}
	}
	if more > 0 {
		left = append(left, *TooManyExtensions(c, more))
	}
	slices.SortFunc(chosen, func(a, b Extension) int {
		if a.Class != b.Class {
			return order(a.Class == layers.Sysext)
		}
		return layers.CompareNames(a.Name, b.Name)
	})
	return chosen, left, Step{}
}

// TooManyExtensions is the refusal of those that were not looked at.
func TooManyExtensions(c Candidate, more int) *Refusal {
	return &Refusal{Source: c.Source, Candidate: fmt.Sprintf("%d extensions for %s", more, c.Name()), Rule: RuleFound,
		Found: fmt.Sprint(MaxExtensions + more), Wanted: fmt.Sprintf("at most %d: these were not looked at", MaxExtensions)}
}

// nextExtension says what to do about the extensions of a candidate before that is entered, nothing if all is done.
func nextExtension(p *plan.Plan, f *Facts, c Candidate) Step {
	_, _, step := Chosen(p, f, c)
	return step
}

// Taken is what is used already: the image that is going to be entered, and the extensions that will be merged into it. Of each name, and of
// each root hash, there is room for one.
type Taken struct{ names, hashes map[string]string } // whose they are

// NewTaken returns what is used before there are extensions: the boot image called name.
func NewTaken(boot *Authentic, name string) *Taken {
	return &Taken{map[string]string{}, map[string]string{hex.EncodeToString(boot.RootHash): name}}
}

func (e Extension) id() string { return string(e.Class) + "/" + e.Name }

// Add says that an extension will be merged.
func (t *Taken) Add(e Extension, x *Image) {
	t.names[e.id()], t.hashes[hex.EncodeToString(x.Authentic.RootHash)] = e.Candidate.Name(), e.Candidate.Name()
}

// RefuseName returns why an extension is not even read, nil if nothing speaks against that. A name can have the form of a version, so that two
// files can have one.
func (t *Taken) RefuseName(e Extension) *Refusal {
	name := e.Candidate.Name()
	if !layers.ValidName(e.Name) {
		return &Refusal{Candidate: name, Rule: RuleExtension, Found: fmt.Sprintf("the name %q", e.Name), Wanted: "one that an extension can have"}
	}
	if other := t.names[e.id()]; other != "" {
		return &Refusal{Candidate: name, Rule: RuleExtension, Found: "the name of " + other, Wanted: "one of its own"}
	}
	return nil
}

// Refuse returns why an extension, of which as much is known as is in x, is not merged into an image with this tree, nil if nothing speaks
// against it yet. The tree is not looked at before that of the extension is known.
func (t *Taken) Refuse(image *Tree, e Extension, x *Image) *Refusal {
	name := e.Candidate.Name()
	switch {
	case x.Refusal != nil:
		return x.Refusal
	case x.Err != nil:
		return &Refusal{Candidate: name, Rule: RuleReadable, Err: x.Err}
	case x.Authentic == nil:
		return nil
	}
	if r := checkClass(e.Class, name, x.Authentic); r != nil {
		return r
	}
	// No two have the same devices.
	if other := t.hashes[hex.EncodeToString(x.Authentic.RootHash)]; other != "" {
		return &Refusal{Candidate: name, Rule: RuleExtension, Found: "the root hash of " + other, Wanted: "one of its own"}
	}
	if x.Extension == nil {
		return nil
	}
	return CheckExtension(e.Class, name, image, x.Extension)
}

// AuthenticateExtension is [Authenticate] for an extension: the rules of its image policy are sysext-policy's, what the boot image is held
// against (the pins, and those of the command line) says nothing about it, and whatever the policy, a certificate of the trust store must have signed it.
func AuthenticateExtension(p *plan.Plan, name string, arch gpt.Arch, img *Image) (*Authentic, *Refusal) {
	a, r := Authenticate(ForExtensions(p), name, arch, img)
	if r == nil && a.Signer == nil {
		a, r = nil, &Refusal{Candidate: name, Rule: RuleSigned, Err: errors.New("an extension is always signed")}
	}
	if r == nil && len(a.Message) > maxExtensionSignature {
		a, r = nil, &Refusal{Candidate: name, Rule: RuleSigned, Err: fmt.Errorf("the signature has %d bytes, at most %d are taken", len(a.Message), maxExtensionSignature)}
	}
	if r != nil && r.Rule == RuleSigned {
		r.Wanted = "a signature by " + trustText(p)
	}
	return a, r
}

// checkClass holds the class of an extension against what its signed image is by its partition table, which nobody signs. A confext that
// was made one of /usr there would be measured, and add nothing.
func checkClass(c layers.Class, name string, a *Authentic) *Refusal {
	if c == layers.Confext && a.Designator == gpt.Usr {
		return &Refusal{Candidate: name, Rule: RuleExtension, Found: "an image of /usr", Wanted: "one of a root: a confext extends /etc"}
	}
	return nil
}

// CheckMerged holds the tree that an image with extensions in it is against what was accepted, which was the image alone: it is the same system, of the
// same kind, and the init that is going to be started is still there.
func CheckMerged(image, merged *Tree) error {
	switch {
	case merged.Kind != image.Kind:
		return fmt.Errorf("the image would be an %s image with them, and is an %s image", merged.Kind, image.Kind)
	case merged.HasOS != image.HasOS || !merged.OSRelease.Equal(image.OSRelease):
		return errors.New("the image would have another os-release with them")
	case merged.Init != image.Init:
		return fmt.Errorf("with them nothing that can be executed would be at %s, the init of the image", image.Init)
	case len(merged.MissingDirs) > 0:
		return fmt.Errorf("the image would have no directory %v with them, for the hand-over", merged.MissingDirs)
	}
	return nil
}

// CheckExtension holds what the verified tree of an extension says of itself against the image that is entered.
func CheckExtension(c layers.Class, name string, image *Tree, x *ExtensionTree) *Refusal {
	if x.Forbidden != "" {
		return &Refusal{Candidate: name, Rule: RuleExtension, Found: x.Forbidden + " in it", Wanted: "a " + string(c) + " without"}
	}
	err := x.Err
	if err != nil {
		err = &layers.MismatchError{Err: err}
	} else {
		host := layers.Host{Release: image.OSRelease, Scope: layers.ScopeSystem, Arch: string(x.Arch)}
		if image.Kind == plan.KindInitrd {
			host.Scope = layers.ScopeInitrd
		}
		err = layers.Match(c, host, x.Release)
	}
	if err != nil {
		return &Refusal{Candidate: name, Rule: RuleExtension, Err: err}
	}
	return nil
}
