// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

// Package resolve decides: it holds what must exist (package plan) against what does ([Facts]) and says what to do next.
//
// Every decision that matters for security is made here and in package policy, by pure functions over values. [Next] is
// called again after every change; it returns an [Action] to carry out, or says what is still missing, or that everything
// was refused and why. The order of its checks is the order of trust: partition, signature, identity, and only then entry.
package resolve

import (
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/initddi/initddi/internal/gpt"
	"github.com/initddi/initddi/internal/plan"
)

// Verb is what an action does.
type Verb string

// The actions, in the order in which a boot carries them out.
const (
	ListPartition Verb = "list-partition" // read the FAT directories that may hold images
	ReadSettings  Verb = "read-settings"  // read initddi.conf and its signature, and decide about them: AcceptSettings
	ReadFloor     Verb = "read-floor"     // read the rollback floor out of the TPM
	ReadImage     Verb = "read-image"     // read a candidate's partition table and signature
	Verify        Verb = "verify"         // check signature, pins and lists: Authenticate, no I/O
	Attach        Verb = "attach"         // loop, dm-linear, dm-verity
	Mount         Verb = "mount"          // mount the verified file system detached and read its os-release
	Discard       Verb = "discard"        // take a refused candidate's devices away
	Enter         Verb = "enter"          // hand over
)

// Action is one step, with the reason for it.
type Action struct {
	Verb      Verb   `json:"verb"`
	Partition string `json:"partition"`
	// Dirs are the directories that ListPartition reads.
	Dirs []string `json:"dirs,omitempty"`
	// Image is the candidate's path on the partition.
	Image  string `json:"image,omitempty"`
	Reason string `json:"reason"`
}

func (a Action) String() string {
	s := string(a.Verb) + " /dev/" + a.Partition
	if a.Image != "" {
		s += ":" + a.Image
	}
	for _, d := range a.Dirs {
		s += " " + d
	}
	return s + ": " + a.Reason
}

// Stage returns the ddi.break= stage that the action belongs to.
func (a Action) Stage() plan.Stage {
	switch a.Verb {
	case Verify, ReadImage:
		return plan.StageVerify
	case Attach, Mount:
		return plan.StageMount
	case Enter:
		return plan.StageHandoff
	}
	return plan.StageStorage
}

// Step is the outcome of [Next]: exactly one of the fields is set.
type Step struct {
	Do *Action `json:"do,omitempty"`
	// Missing says in words what has to appear before anything can be done.
	Missing string `json:"missing,omitempty"`
	// Refused says why nothing can be entered, one entry a candidate.
	Refused []Refusal `json:"refused,omitempty"`
}

func do(v Verb, part, image, format string, args ...any) Step {
	return Step{Do: &Action{Verb: v, Partition: part, Image: image, Reason: fmt.Sprintf(format, args...)}}
}

// Next says what to do next.
func Next(p *plan.Plan, f *Facts) Step {
	part, step := BootPartition(p, f)
	if part == nil {
		return step
	}
	if part.Listing == nil {
		return list(p, f, part)
	}
	if err := part.Listing.Err; err != nil {
		return Step{Refused: []Refusal{{Candidate: "/dev/" + part.Node, Rule: RuleFileSystem, Err: err}}}
	}
	if file := settingsFile(f, part.Listing.Files); file != "" && f.Settings == nil {
		return do(ReadSettings, part.Node, file, "it may choose among what is acceptable")
	}
	if dir := imageDir(p.Image); dir != "" && !slices.Contains(part.Listing.Dirs, dir) {
		return list(p, f, part) // the settings named it
	}
	if hasFloor(p) && f.Floor == nil {
		return do(ReadFloor, part.Node, "", "rollback=%s", p.Rollback)
	}
	candidates, more := ordered(p, f, part)
	var refused []Refusal
	for _, c := range candidates {
		step, r := nextFor(p, f, part, c)
		if r == nil {
			return step
		}
		refused = append(refused, *r)
	}
	switch {
	case len(refused) == 0:
		refused = []Refusal{noCandidate(p, f, part)}
	case more > 0:
		refused = append(refused, tooMany(part, more))
	}
	return Step{Refused: refused}
}

// Refusals returns why candidates have been refused up to now, in the order in which candidates are tried.
func Refusals(p *plan.Plan, f *Facts) []Refusal {
	part, _ := BootPartition(p, f)
	if part == nil || part.Listing == nil || part.Listing.Err != nil {
		return nil
	}
	candidates, _ := ordered(p, f, part)
	var out []Refusal
	for _, c := range candidates {
		if r := refusalOf(p, f, part, c); r != nil {
			out = append(out, *r)
		}
	}
	return out
}

// MaxCandidates is how many files are looked at before a boot gives up. Each takes time and memory, and whoever can write to the
// boot partition can name any number; nobody keeps that many images there.
const MaxCandidates = 256

// ordered returns the candidates on the partition in the order in which they are tried, and how many there are besides.
func ordered(p *plan.Plan, f *Facts, part *Partition) (list []File, more int) {
	list = Candidates(p, f.Firmware.UKI, part.Listing.Files)
	more = max(0, len(list)-MaxCandidates)
	first, last := byRecord(p, f, list[:len(list)-more])
	return slices.Concat(first, last), more
}

// refusalOf returns why a candidate was refused, nil if it was not, or not yet.
func refusalOf(p *plan.Plan, f *Facts, part *Partition, c File) *Refusal {
	img := f.Images[c.Path]
	name := part.Node + ":" + c.Path
	switch {
	case img == nil:
		return nil
	case img.Refusal != nil:
		return img.Refusal
	case img.Err != nil:
		return &Refusal{Candidate: name, Rule: RuleReadable, Err: img.Err}
	case img.Tree == nil:
		return nil
	}
	if r := CheckIdentity(p, name, img.Tree); r != nil {
		return r
	}
	return CheckRollback(p, name, img.Tree, f.Floor)
}

// nextFor returns what to do about one candidate, or why it was refused.
func nextFor(p *plan.Plan, f *Facts, part *Partition, c File) (Step, *Refusal) {
	img := f.Images[c.Path]
	if img == nil {
		return do(ReadImage, part.Node, c.Path, "it is the first candidate that was not refused"), nil
	}
	refusal := refusalOf(p, f, part, c)
	switch {
	case refusal != nil && img.Device != "":
		return do(Discard, part.Node, c.Path, "%s", refusal.Error()), nil
	case refusal != nil:
		return Step{}, refusal
	case img.Authentic == nil:
		return do(Verify, part.Node, c.Path, "nothing of an image is used before its root hash is known to be acceptable"), nil
	case img.Device == "":
		return do(Attach, part.Node, c.Path, "%s", img.Authentic), nil
	case img.Tree == nil:
		return do(Mount, part.Node, c.Path, "what the verified tree says of itself decides, not its file name"), nil
	}
	return do(Enter, part.Node, c.Path, "%s image, %s, init %s", img.Tree.Kind, img.Authentic, img.Tree.Init), nil
}

// BootPartition returns the one partition that may hold boot images, or what to do while there is none.
func BootPartition(p *plan.Plan, f *Facts) (*Partition, Step) {
	if p.Device.Label != "" {
		// A volume label is known only after looking at the file system.
		for i := range f.Partitions {
			if q := &f.Partitions[i]; q.Listing == nil && isBootType(q.Designator()) {
				return nil, list(p, f, q)
			}
		}
	}
	var found []*Partition
	for i := range f.Partitions {
		if matches(p, f, &f.Partitions[i]) {
			found = append(found, &f.Partitions[i])
		}
	}
	unique := p.Device.IsZero() && f.Firmware.BootPartition.IsZero() || p.Device.Label != "" || p.Device.PartLabel != ""
	switch {
	case len(found) == 0:
		return nil, Step{Missing: wanted(p, f)}
	case len(found) > 1:
		var names []string
		for _, q := range found {
			names = append(names, fmt.Sprintf("/dev/%s (PARTUUID=%s)", q.Node, q.UUID))
		}
		return nil, Step{Refused: []Refusal{{
			Candidate: wanted(p, f), Rule: RuleOnePartition,
			Found: strings.Join(names, ", "), Wanted: "one partition; ddi.device= can name it",
		}}}
	case unique && !f.Settled:
		return nil, Step{Missing: "the other disks, to know that /dev/" + found[0].Node + " is " + wanted(p, f)}
	}
	return found[0], Step{}
}

func isBootType(d gpt.Designator) bool { return d == gpt.ESP || d == gpt.XBOOTLDR }

func matches(p *plan.Plan, f *Facts, q *Partition) bool {
	switch d := p.Device; {
	case !d.PartUUID.IsZero():
		return q.UUID == d.PartUUID
	case d.PartLabel != "":
		return q.Label == d.PartLabel
	case d.Label != "":
		return q.Listing != nil && q.Listing.Err == nil && strings.EqualFold(q.Listing.Label, d.Label)
	case d.Node != "":
		return q.Node == d.Node || q.Disk == d.Node && q.Designator() == gpt.ESP
	case !f.Firmware.BootPartition.IsZero():
		return q.UUID == f.Firmware.BootPartition
	}
	return q.Designator() == gpt.ESP
}

// wanted names the partition that is looked for.
func wanted(p *plan.Plan, f *Facts) string {
	switch {
	case !p.Device.IsZero():
		return p.Device.String() + " (ddi.device=)"
	case !f.Firmware.BootPartition.IsZero():
		return "PARTUUID=" + f.Firmware.BootPartition.String() + " (" + f.Firmware.Variable + ")"
	}
	return "the only EFI system partition (no EFI variable names one)"
}

// sharedDir holds the images that every UKI may use.
const sharedDir = "/loader/ddi"

// list returns the action that reads the directories in which images may lie.
func list(p *plan.Plan, f *Facts, part *Partition) Step {
	a := Action{Verb: ListPartition, Partition: part.Node, Reason: "it is " + wanted(p, f)}
	if own := ownDir(f.Firmware.UKI); own != "" {
		a.Dirs = append(a.Dirs, own)
	}
	a.Dirs = append(a.Dirs, sharedDir)
	if dir := imageDir(p.Image); dir != "" && !slices.Contains(a.Dirs, dir) {
		a.Dirs = append(a.Dirs, dir)
	}
	return Step{Do: &a}
}

// imageDir returns the directory of a ddi.image= that is a path, empty if it is a name or if its directory is itself a pattern.
func imageDir(image string) string {
	if !strings.Contains(image, "/") {
		return ""
	}
	dir := path.Dir("/" + image)
	if strings.ContainsAny(dir, `*?[\`) || dir == sharedDir {
		return ""
	}
	return dir
}

// ownDir returns the directory of the images that belong to the UKI at uki alone: its path with the boot counter taken out
// and ".ddi.d" behind it.
func ownDir(uki string) string {
	if uki == "" {
		return ""
	}
	dir, base := path.Split(path.Clean("/" + uki))
	stem, ok := cutSuffixFold(base, ".efi")
	if !ok {
		return ""
	}
	return dir + stripCounter(stem) + base[len(stem):] + ".ddi.d"
}
