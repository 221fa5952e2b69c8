// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

//go:build !nomerge

package stage1

import (
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/initddi/initddi/internal/apply"
	"github.com/initddi/initddi/internal/gpt"
	"github.com/initddi/initddi/internal/handoff"
	"github.com/initddi/initddi/internal/layers"
	"github.com/initddi/initddi/internal/linux/mount"
	"github.com/initddi/initddi/internal/linux/process"
	"github.com/initddi/initddi/internal/measure"
	"github.com/initddi/initddi/internal/plan"
	"github.com/initddi/initddi/internal/report"
	"github.com/initddi/initddi/internal/resolve"
	"github.com/initddi/initddi/internal/sysext"
)

// hasMerge says whether this program can merge extensions and make overlays.
const hasMerge = true

// An extension never keeps a boot from going on: one that is refused, does not fit or cannot be brought up is left out, and said so.
// Whoever could spoil its file could remove it as well.

// extend carries out an action about an extension.
func (b *boot) extend(a *resolve.Action) error {
	boot := b.facts.Images[a.For]
	if boot.Extensions == nil {
		boot.Extensions = map[string]*resolve.Image{}
	}
	name, verb := a.Name(), string(a.Verb)+"-extension"
	end := b.report.Begin(process.Uptime, verb)
	x := boot.Extensions[name]
	text := name
	switch a.Verb {
	case resolve.ReadImage:
		x = readImage(b.world, b.machine, &b.facts, b.arch, a)
		boot.Extensions[name] = x
		boundExtents(b.facts.Images, x)
		text = fmt.Sprintf("%s: %d bytes in %d extents", name, x.Extents.Size(), len(x.Extents))
	case resolve.Verify:
		x.Authentic, x.Refusal = resolve.AuthenticateExtension(b.plan, name, b.arch, x)
		if x.Authentic != nil {
			text = fmt.Sprintf("%s: %s", name, x.Authentic)
		}
	case resolve.Attach:
		text = b.attachExtension(a, x)
	case resolve.Mount:
		text = b.mountExtension(a, x)
	case resolve.Discard:
		// The refusal is said when all of them are known.
		x.Device = ""
		x.Forget()
		if err := b.images[name].Discard(); err != nil {
			b.log.Warn("%v", err)
		}
		return nil
	}
	d := end(text)
	if x.Err != nil || x.Refusal != nil {
		x.Forget()
		return nil
	}
	b.done(verb, d, "%s", text)
	return nil
}

func (b *boot) attachExtension(a *resolve.Action, x *resolve.Image) string {
	if old := b.images[a.Name()]; old != nil {
		_ = old.Discard() // it was brought up for another boot image
	}
	src, err := b.place(a, x)
	if err == nil {
		src.Copy, src.InPlace = false, true
		var up *apply.Image
		if up, err = b.attachAsking(src, a.Name(), x); err == nil {
			b.images[a.Name()] = up
			x.Device = up.Device
			return fmt.Sprintf("%s %s at /dev/%s: %d MiB in place in %d pieces", a.Class, a.Extension, up.Device, up.Superblock.DataSize()>>20, up.Pieces)
		}
	}
	if x.Refusal == nil {
		x.Err = err
	}
	return err.Error()
}

func (b *boot) mountExtension(a *resolve.Action, x *resolve.Image) string {
	up, auth := b.images[a.Name()], x.Authentic
	fail := func(err error) string { return failed(up, a.Name(), x, err) }
	fstype, err := up.FileSystem("/dev")
	if err != nil {
		return fail(err)
	}
	if x.Refusal = resolve.CheckFileSystem(resolve.ForExtensions(b.plan), a.Name(), auth.Designator, fstype); x.Refusal != nil {
		return x.Refusal.Error()
	}
	if err := b.devices.needFileSystem(fstype); err != nil {
		return fail(err)
	}
	m, err := up.Mount(fstype, "/dev/"+up.Device)
	if err != nil {
		return fail(err)
	}
	t := &resolve.ExtensionTree{FileSystem: fstype, Arch: b.arch}
	if t.Release, t.Err, t.Forbidden, err = sysext.Inspect(m, a.Class, a.Extension, auth.Designator == gpt.Usr); err != nil {
		return fail(err)
	}
	if t.Err != nil && up.Corrupt() {
		return fail(t.Err)
	}
	x.Extension = t
	return fmt.Sprintf("%s %s, %s, ID=%s VERSION_ID=%s", a.Class, a.Extension, fstype, t.Release.Get("ID"), t.Release.Get("VERSION_ID"))
}

// bringing is what is being merged.
type bringing struct {
	resolve.Extension
	image  *resolve.Image
	up     *apply.Image
	device string // its name for the next init
}

// chooseExtensions returns what is merged into the image that is entered, and says what is not and why. What is merged is measured.
func (b *boot) chooseExtensions(a *resolve.Action, img *resolve.Image) ([]bringing, error) {
	chosen, left, _ := resolve.Chosen(b.plan, &b.facts, a.Candidate())
	for _, r := range left {
		b.leaveOut(&r)
	}
	var out []bringing
	for _, e := range chosen {
		x := img.Extensions[e.Candidate.Name()]
		kind := measure.SysExt
		if e.Class == layers.Confext {
			kind = measure.ConfExt
		}
		fp := x.Authentic.Signer.Fingerprint()
		if err := b.measure(measure.Image(kind, e.Path, x.Authentic.RootHash, &fp)); err != nil {
			return nil, err
		}
		out = append(out, bringing{e, x, b.images[e.Candidate.Name()], verityName(x.Authentic.RootHash)})
	}
	return out, nil
}

func (b *boot) leaveOut(r *resolve.Refusal) {
	b.log.Warn("%v: it is left out", r)
	b.report.LeftOut = append(b.report.LeftOut, report.Entry{Source: string(r.Source), Candidate: r.Candidate, Rule: string(r.Rule), Text: r.Error()})
}

// compose makes the tree that is entered out of the image's, which it uses up: extensions are merged into it, and what is written is put
// aside where ddi.overlay= says so. whole says that the tree is that of a root by now, whatever it was. A merge that fails leaves
// the tree without it, and the boot goes on.
func (b *boot) compose(m *mount.Mount, img *resolve.Image, list []bringing) (_ *mount.Mount, whole bool, err error) {
	usr := img.Tree.Designator == gpt.Usr
	writable := b.plan.Overlay == plan.OverlayTmpfs && !usr // the root around a /usr is in memory
	if !writable && len(list) == 0 {
		return m, !usr, nil
	}
	if err := b.devices.feature("overlay"); err != nil && writable {
		return m, !usr, err
	} else if err != nil {
		if err := b.notMerged(list, err); err != nil {
			return nil, false, errors.Join(err, m.Close())
		}
		return m, !usr, nil
	}
	if writable {
		if m, err = handoff.Writable(m); err != nil {
			return nil, false, fmt.Errorf("%w (ddi.overlay=tmpfs)", err)
		}
	}
	if len(list) > 0 && usr {
		if m, err = handoff.AroundUsr(m, img.Tree.Kind == plan.KindInitrd); err != nil {
			return nil, false, err
		}
	}
	for _, class := range []layers.Class{layers.Sysext, layers.Confext} {
		if m, err = b.mergeClass(m, class, list, img.Tree); err != nil {
			if m != nil {
				err = errors.Join(err, m.Close())
			}
			return nil, false, err
		}
	}
	return m, true, nil
}

// mergeClass merges the extensions of one class. The error is that of a tree that was lost over it, or of what must be measured before it is entered.
func (b *boot) mergeClass(m *mount.Mount, class layers.Class, all []bringing, image *resolve.Tree) (*mount.Mount, error) {
	var list []bringing
	var given []sysext.Given
	for _, x := range all {
		if x.Class != class {
			continue
		}
		g, err := b.given(x, image.Kind)
		if err != nil {
			if err := b.notMerged([]bringing{x}, err); err != nil {
				return m, err
			}
			continue
		}
		list, given = append(list, x), append(given, g)
	}
	if len(list) == 0 {
		return m, nil
	}
	end := b.report.Begin(process.Uptime, "merge")
	merged, err := sysext.Into(m, class, given, sameSystem(image), "")
	if err != nil {
		end(err.Error())
		if merged.Tree == nil {
			return nil, err
		}
		return merged.Tree, b.notMerged(list, err)
	}
	text := fmt.Sprintf("%s %s", class, strings.Join(merged.Used, ", "))
	b.done("merge", end(text), "%s", text)
	for _, l := range merged.Left {
		for _, x := range list {
			if x.Name == l.Name {
				if err := b.notMerged([]bringing{x}, l.Err); err != nil {
					return merged.Tree, err
				}
			}
		}
	}
	for _, x := range list {
		if slices.Contains(merged.Used, x.Name) {
			b.note(x, image.Kind)
		}
	}
	return merged.Tree, nil
}

// sameSystem returns what looks at the image with extensions in it: links of the image may lead into what they replace.
func sameSystem(image *resolve.Tree) func(*mount.Mount) error {
	return func(whole *mount.Mount) error {
		t, err := apply.ReadTree(whole, gpt.Root, image.FileSystem, func(plan.Kind) []string { return []string{image.Init} })
		if err != nil {
			return err
		}
		return resolve.CheckMerged(image, t)
	}
}

// given gives the devices of an extension the names under which the next init knows them, and mounts it.
func (b *boot) given(x bringing, kind plan.Kind) (sysext.Given, error) {
	g := sysext.Given{Name: x.Name, Path: placeFor(x.Class, x.Name, kind), Usr: x.image.Authentic.Designator == gpt.Usr, RootHash: hex.EncodeToString(x.image.Authentic.RootHash)}
	// A restart would come again at the next boot: there is no other image to fall back to.
	if err := x.up.Settle(x.device, b.plan.Corruption.DMOption()); err != nil {
		return g, err
	}
	if err := relink("../"+x.up.Device, "/dev/mapper/"+x.device); err != nil {
		return g, fmt.Errorf("cannot name the verity device: %w", err)
	}
	var err error
	g.Tree, err = x.up.Mount(x.image.Extension.FileSystem, "/dev/mapper/"+x.device)
	return g, err
}

// notMerged leaves out what was to be merged. It was measured before that, and PCR 13 must not hold what it holds where all went well: it is measured
// again, as what is not there. The error is that of ddi.measure=require.
func (b *boot) notMerged(list []bringing, err error) error {
	for _, x := range list {
		b.leaveOut(&resolve.Refusal{Source: x.Source, Candidate: x.Candidate.Name(), Rule: resolve.RuleExtension, Err: err})
		if derr := x.up.Discard(); derr != nil {
			b.log.Debug("%v", derr) // mostly gone with the mount already
		}
		_ = b.world.Dev.Remove("mapper/" + x.device) // mostly not there
		fp := x.image.Authentic.Signer.Fingerprint()
		if err := b.measure(measure.Image(measure.Unmerged, x.Path, x.image.Authentic.RootHash, &fp)); err != nil {
			return err
		}
	}
	return nil
}

// candidates are the files of extensions.
func candidates(list []bringing) (out []string) {
	for _, x := range list {
		out = append(out, x.Candidate.Name())
	}
	return out
}

// carriedAlready are the files of the initramfs that need not be carried over because they are merged, by now.
func (b *boot) carriedAlready() []string {
	var out []string
	for _, e := range b.report.Extensions {
		if e.Source == string(plan.SourceInitrd) {
			out = append(out, e.Path)
		}
	}
	return out
}
