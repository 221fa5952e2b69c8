// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package resolve

import (
	"slices"
	"strings"

	"github.com/initddi/initddi/internal/plan"
)

// Candidate is an image that might be booted, and where it is.
type Candidate struct {
	Source plan.Source
	// Node is the device below /dev: the boot partition for [plan.SourceESP], the image itself for [plan.SourcePmem].
	Node string
	File
}

// Name is what the candidate is called in messages and among [Facts.Images]: no two candidates have one name. A path begins with a
// slash, so nothing on a boot partition can be called like a device, a server, or a file of the initramfs.
func (c Candidate) Name() string {
	switch {
	case c.URL != "":
		return c.URL
	case c.Path == "":
		return c.Node
	case c.Node != "":
		return c.Node + ":" + c.Path
	}
	return string(c.Source) + ":" + c.Path
}

// Device is a block device that may hold one image and nothing else.
type Device struct {
	Node       string `json:"node"`        // the device's name below /dev
	Size       int64  `json:"size"`        // in bytes
	SectorSize int64  `json:"sector_size"` // logical block size in bytes
}

// sourcesOf returns the sources in their order.
func sourcesOf(p *plan.Plan) []plan.Source {
	if len(p.Sources) == 0 {
		return []plan.Source{plan.SourceESP}
	}
	return p.Sources
}

// walk goes through the sources in their order and says what to do next, and why what came before was refused. An image that failed at
// earlier boots comes after those of every other source: a fallback is for that. Nothing is asked of a source before all of the ones
// before it have nothing more to offer.
func walk(p *plan.Plan, f *Facts) (Step, []Refusal) {
	var refused []Refusal
	var waiting Step
	var last []Candidate
	refuse := func(source plan.Source, r Refusal) {
		r.Source = source
		refused = append(refused, r)
	}
	try := func(c Candidate) Step {
		step, r := nextFor(p, f, c)
		if r != nil {
			refuse(c.Source, *r)
		}
		return step
	}
	for _, source := range sourcesOf(p) {
		list, step, r := candidatesOf(p, f, source)
		if r != nil {
			refuse(source, *r)
		}
		if step.Do != nil || step.Missing != "" && r == nil {
			return step, refused
		}
		if step.Missing != "" {
			waiting = step
		}
		more := max(0, len(list)-MaxCandidates)
		for _, c := range list[:len(list)-more] {
			if n := failedBefore(p, f, c); n > 0 {
				i := len(last)
				for i > 0 && failedBefore(p, f, last[i-1]) > n {
					i--
				}
				last = slices.Insert(last, i, c)
			} else if step := try(c); step.Do != nil {
				return step, refused
			}
		}
		if more > 0 {
			refuse(source, tooMany(source, list[0], more))
		}
	}
	if waiting.Missing != "" {
		return waiting, refused
	}
	for _, c := range last {
		if step := try(c); step.Do != nil {
			return step, refused
		}
	}
	return Step{}, refused
}

// candidatesOf returns the images that a source has, best first. If that is not known yet the step says what to do, or what is missing.
// The refusal is that of the whole source; together with something that is missing, it says that other sources may be looked at meanwhile.
func candidatesOf(p *plan.Plan, f *Facts, source plan.Source) (list []Candidate, step Step, r *Refusal) {
	switch source {
	case plan.SourceESP:
		list, step, r = onESP(p, f)
	case plan.SourceInitrd:
		list, r = inInitrd(p, f)
	case plan.SourcePmem:
		list, step, r = inMemory(p, f)
	default:
		list, step, r = onServer(p, f, source)
	}
	if r == nil && step.Do == nil && step.Missing == "" && len(list) > 0 && hasFloor(p) && f.Floor == nil {
		step = do(ReadFloor, Candidate{Source: source, Node: list[0].Node}, "rollback=%s", p.Rollback)
	}
	return list, step, r
}

// onESP returns the candidates on the boot partition.
func onESP(p *plan.Plan, f *Facts) ([]Candidate, Step, *Refusal) {
	paths, step, r := bootPartition(p, f)
	if paths == nil {
		return nil, step, r
	}
	part := paths[0]
	if part.Listing == nil {
		return nil, list(p, f, part), nil
	}
	if err := part.Listing.Err; err != nil {
		return nil, Step{}, &Refusal{Candidate: "/dev/" + part.Node, Rule: RuleFileSystem, Err: err}
	}
	if file := settingsFile(f, part.Listing.Files); file != "" && f.Settings == nil {
		return nil, do(ReadSettings, Candidate{plan.SourceESP, part.Node, File{Path: file}}, "it may choose among what is acceptable"), nil
	}
	if dir := imageDir(p.Image); dir != "" && !slices.Contains(part.Listing.Dirs, dir) {
		return nil, list(p, f, part), nil // the settings named it
	}
	found := at(plan.SourceESP, part.Node, Candidates(p, f.Firmware.UKI, part.Listing.Files))
	if len(found) == 0 {
		r := noCandidate(p, f, part)
		return nil, Step{}, &r
	}
	for i := range found {
		found[i].Node = pathFor(f, paths, found[i])
	}
	return found, Step{}, nil
}

// BehindInitramfs are the files in which the kernel leaves all that the boot loader gave it as initramfs, if it does: what it could not
// unpack (CONFIG_BLK_DEV_RAM=y), and with retain_initrd. An image may lie at the end of it.
func BehindInitramfs() []string { return []string{"/initrd.image", "/sys/firmware/initrd"} }

// InitrdDirs are the directories of the initramfs in which images are looked for: one of its own, and where systemd-stub puts what it
// found beside a UKI.
func InitrdDirs() []string {
	return []string{"/ddi", "/.extra/sysext", "/.extra/global_sysext", "/.extra/confext", "/.extra/global_confext"}
}

// inInitrd returns the candidates that the boot loader left in memory. That there is none is worth a word only to who asked for them.
func inInitrd(p *plan.Plan, f *Facts) ([]Candidate, *Refusal) {
	l := f.Initrd
	if l == nil {
		l = &Listing{}
	}
	if l.Err != nil {
		return nil, &Refusal{Candidate: string(plan.SourceInitrd), Rule: RuleReadable, Err: l.Err}
	}
	found := at(plan.SourceInitrd, "", Candidates(p, "", l.Files))
	for _, file := range l.Files {
		if slices.Contains(BehindInitramfs(), file.Path) && selected(p.Image, file.Path) {
			found = append(found, Candidate{Source: plan.SourceInitrd, File: file})
		}
	}
	if len(found) > 0 || p.SourcesByDefault {
		return found, nil
	}
	return nil, nothingFound(p, plan.SourceInitrd, l.Files, "a file *.raw in /ddi, or an image behind the initramfs and retain_initrd on the kernel command line")
}

// inMemory returns the devices of persistent memory.
func inMemory(p *plan.Plan, f *Facts) ([]Candidate, Step, *Refusal) {
	var found []Candidate
	var files []File
	for _, d := range f.Pmem {
		files = append(files, File{Path: "/dev/" + d.Node, Size: d.Size})
		if selected(p.Image, "/dev/"+d.Node) {
			found = append(found, Candidate{plan.SourcePmem, d.Node, File{Size: d.Size}})
		}
	}
	switch {
	case len(found) > 0:
		return found, Step{}, nil
	case !f.Settled:
		return nil, Step{Missing: "a device of persistent memory (/dev/pmem0)"}, nil
	}
	return nil, Step{}, nothingFound(p, plan.SourcePmem, files, "a device of persistent memory (/dev/pmem0)")
}

// onServer returns the candidates that a server offers, in its order.
func onServer(p *plan.Plan, f *Facts, source plan.Source) ([]Candidate, Step, *Refusal) {
	l := f.Servers[source]
	if l == nil {
		return nil, do(ListSource, Candidate{Source: source}, "the sources before it have nothing to enter"), nil
	}
	if l.Err != nil {
		return nil, Step{}, &Refusal{Candidate: string(source), Rule: RuleReachable, Err: l.Err}
	}
	var found []Candidate
	for _, file := range l.Files {
		if isImageName(file.Path) && selected(p.Image, file.Path) {
			found = append(found, Candidate{Source: source, File: file})
		}
	}
	if len(found) == 0 {
		return nil, Step{}, nothingFound(p, source, l.Files, "an image *.raw")
	}
	return found, Step{}, nil
}

func at(source plan.Source, node string, files []File) []Candidate {
	var out []Candidate
	for _, file := range files {
		out = append(out, Candidate{source, node, file})
	}
	return out
}

// nothingFound is the refusal of a source without a candidate.
func nothingFound(p *plan.Plan, source plan.Source, files []File, wanted string) *Refusal {
	r := &Refusal{Candidate: string(source), Rule: RuleFound, Found: "no image" + among(files), Wanted: wanted}
	if p.Image != "" {
		r.Wanted += " that is named " + p.Image + " (ddi.image=)"
	}
	return r
}

// among names the first of the files that are there instead.
func among(files []File) string {
	if len(files) == 0 {
		return ""
	}
	var names []string
	for _, file := range files[:min(len(files), 8)] {
		names = append(names, file.Path)
	}
	return " among " + strings.Join(names, ", ")
}
