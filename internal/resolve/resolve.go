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
	"github.com/initddi/initddi/internal/guid"
	"github.com/initddi/initddi/internal/layers"
	"github.com/initddi/initddi/internal/plan"
)

// Verb is what an action does.
type Verb string

// The actions, in the order in which a boot carries them out.
const (
	ListPartition Verb = "list-partition" // read the FAT directories that may hold images
	ListSource    Verb = "list-source"    // ask a server which images it has
	ReadSettings  Verb = "read-settings"  // read initddi.conf and its signature, and decide about them: AcceptSettings
	ReadFloor     Verb = "read-floor"     // read the rollback floor out of the TPM
	ReadImage     Verb = "read-image"     // read a candidate's partition table and signature
	Verify        Verb = "verify"         // check signature, pins and lists: Authenticate, no I/O
	Attach        Verb = "attach"         // loop, dm-linear, dm-verity
	Mount         Verb = "mount"          // mount the verified file system detached and read its os-release
	Discard       Verb = "discard"        // take a refused candidate's devices away
	Merge         Verb = "merge"          // merge an extension, which a boot does together with Enter; no step of its own
	Enter         Verb = "enter"          // hand over
)

// Action is one step, with the reason for it.
type Action struct {
	Verb   Verb        `json:"verb"`
	Source plan.Source `json:"source"`
	// Partition is the device's name below /dev, where there is one.
	Partition string `json:"partition,omitempty"`
	// Dirs are the directories that ListPartition reads.
	Dirs []string `json:"dirs,omitempty"`
	// Image is the candidate's path on the partition or in the initramfs, or its name on a server, URL where it is there.
	Image  string `json:"image,omitempty"`
	URL    string `json:"url,omitempty"`
	Reason string `json:"reason"`
	// Class and Extension say, of an action about an extension, what that is; For is the candidate that it is to be merged into.
	Class     layers.Class `json:"class,omitempty"`
	Extension string       `json:"extension,omitempty"`
	For       string       `json:"for,omitempty"`
}

// Name is that of the candidate, as [Candidate.Name] has it; for an action that is about a source, the source's.
func (a *Action) Name() string {
	c := a.Candidate()
	if name := c.Name(); name != string(a.Source)+":" && name != "" {
		return name
	}
	return string(a.Source)
}

// Candidate is the one that the action is about.
func (a *Action) Candidate() Candidate {
	return Candidate{a.Source, a.Partition, File{Path: a.Image, URL: a.URL}}
}

// FileName is what the candidate is called by its measurement: its file's path or name, or the device's.
func (a *Action) FileName() string {
	if a.Image == "" {
		return a.Partition
	}
	return a.Image
}

func (a Action) String() string {
	s := a.Name()
	if a.Partition != "" {
		s = "/dev/" + s
	}
	for _, d := range a.Dirs {
		s += " " + d
	}
	verb := string(a.Verb)
	if a.Class != "" {
		verb += " " + string(a.Class)
	}
	return verb + " " + s + ": " + a.Reason
}

// Stage returns the ddi.break= stage that the action belongs to.
func (a Action) Stage() plan.Stage {
	if a.Class != "" {
		return plan.StageMerge
	}
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

func do(v Verb, c Candidate, format string, args ...any) Step {
	return Step{Do: &Action{Verb: v, Source: c.Source, Partition: c.Node, Image: c.Path, URL: c.URL, Reason: fmt.Sprintf(format, args...)}}
}

// Next says what to do next.
func Next(p *plan.Plan, f *Facts) Step {
	step, refused := walk(p, f)
	if step.Do == nil && step.Missing == "" {
		step.Refused = refused
	}
	return step
}

// Refusals returns why candidates, and whole sources, have been refused up to now, in the order in which they are tried.
func Refusals(p *plan.Plan, f *Facts) []Refusal {
	_, refused := walk(p, f)
	return refused
}

// MaxCandidates is how many files of a source are looked at before a boot gives it up. Each takes time and memory, and whoever can write to
// the boot partition can name any number; nobody keeps that many images there.
const MaxCandidates = 256

// refusalOf returns why a candidate was refused, nil if it was not, or not yet.
func refusalOf(p *plan.Plan, f *Facts, c Candidate) *Refusal {
	img, name := f.Images[c.Name()], c.Name()
	switch {
	case img == nil:
		return nil
	case img.Refusal != nil:
		return img.Refusal
	case img.Unreached:
		return &Refusal{Candidate: name, Rule: RuleReachable, Err: img.Err}
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
func nextFor(p *plan.Plan, f *Facts, c Candidate) (Step, *Refusal) {
	img := f.Images[c.Name()]
	if img == nil {
		if part := f.Partition(c.Node); c.Source == plan.SourceESP && part.Listing == nil {
			return list(p, f, part), nil // another path to the disk
		}
		return do(ReadImage, c, "it is the first candidate that was not refused"), nil
	}
	refusal := refusalOf(p, f, c)
	switch {
	case refusal != nil && img.Device != "":
		return do(Discard, c, "%s", refusal.Error()), nil
	case refusal != nil:
		return Step{}, refusal
	case img.Authentic == nil:
		return do(Verify, c, "nothing of an image is used before its root hash is known to be acceptable"), nil
	case img.Device == "":
		return do(Attach, c, "%s", img.Authentic), nil
	case img.Tree == nil:
		return do(Mount, c, "what the verified tree says of itself decides, not its file name"), nil
	}
	if step := nextExtension(p, f, c); step.Do != nil {
		return step, nil
	}
	return do(Enter, c, "%s image, %s, init %s", img.Tree.Kind, img.Authentic, img.Tree.Init), nil
}

// BootPartition returns the one partition that may hold boot images, nil while there is none. The step says then what is missing, what to look
// at first, or why there cannot be one.
func BootPartition(p *plan.Plan, f *Facts) (*Partition, Step) {
	paths, step, r := bootPartition(p, f)
	if r != nil && step.Missing == "" {
		r.Source = plan.SourceESP
		step.Refused = []Refusal{*r}
	}
	if paths == nil {
		return nil, step
	}
	return paths[0], step
}

// bootPartition returns the one partition that may hold boot images, as often as there are paths to its disk, the best in front; or what to
// do while there is none. Something that is missing, with a refusal: others may be looked at meanwhile.
func bootPartition(p *plan.Plan, f *Facts) ([]*Partition, Step, *Refusal) {
	if p.Device.Label != "" {
		// A volume label is known only after looking at the file system.
		for i := range f.Partitions {
			if q := &f.Partitions[i]; q.Listing == nil && isBootType(q.Designator()) {
				return nil, list(p, f, q), nil
			}
		}
	}
	var found []*Partition
	for i := range f.Partitions {
		if matches(p, f, &f.Partitions[i]) {
			found = append(found, &f.Partitions[i])
		}
	}
	named := !p.Device.IsZero() || !f.Firmware.BootPartition.IsZero()
	unique := !named || p.Device.Label != "" || p.Device.PartLabel != ""
	switch {
	case len(found) == 0:
		missing := &Refusal{Candidate: wanted(p, f), Rule: RuleMissing, Found: "no such partition", Wanted: "one that appears in time"}
		switch {
		case f.TimeUp:
			return nil, Step{}, missing
		case named || !f.Late || !f.Settled:
			missing = nil
		}
		return nil, Step{Missing: wanted(p, f)}, missing
	case !areOne(found):
		return nil, Step{}, tooManyPartitions(p, f, found)
	case unique && !f.Settled:
		return nil, Step{Missing: "the other disks, to know that /dev/" + found[0].Node + " is " + wanted(p, f)}, nil
	}
	slices.SortStableFunc(found, comparePaths)
	return found, Step{}, nil
}

// tooManyPartitions is the refusal of partitions that are not one.
func tooManyPartitions(p *plan.Plan, f *Facts, found []*Partition) *Refusal {
	r := &Refusal{Candidate: wanted(p, f), Rule: RuleOnePartition, Wanted: "one partition; ddi.device= can name it"}
	var names []string
	seen := map[guid.GUID]bool{}
	for _, q := range found {
		names = append(names, fmt.Sprintf("/dev/%s (PARTUUID=%s)", q.Node, q.UUID))
		if seen[q.UUID] {
			r.Wanted = "one partition; of copies, ddi.device=/dev/NAME can name it"
		}
		seen[q.UUID] = true
	}
	r.Found = strings.Join(names, ", ")
	return r
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
	a := Action{Verb: ListPartition, Source: plan.SourceESP, Partition: part.Node, Reason: "it is " + wanted(p, f)}
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
