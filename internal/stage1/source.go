// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package stage1

import (
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/initddi/initddi/internal/apply"
	"github.com/initddi/initddi/internal/discover"
	"github.com/initddi/initddi/internal/gpt"
	"github.com/initddi/initddi/internal/plan"
	"github.com/initddi/initddi/internal/report"
	"github.com/initddi/initddi/internal/resolve"
)

// fallbackAfter is how long the boot partition is waited for, where nothing says that it must be there, before the next sources are looked
// at; it is waited for on and on if they have nothing. A disk that spins up slower than that behind a machine without EFI variables loses to
// a fallback: ddi.device= or ddi.source= say what is wanted.
const fallbackAfter = 5 * time.Second

// readImage reads what a candidate on this machine says of itself.
func readImage(w *World, m *discover.Machine, f *resolve.Facts, arch gpt.Arch, a *resolve.Action) *resolve.Image {
	switch a.Source {
	case plan.SourceInitrd:
		return m.ReadInitrd(w.Root, a.Image, arch)
	case plan.SourcePmem:
		return m.ReadDevice(findDevice(f.Pmem, a.Partition), arch)
	}
	return m.ReadImage(*f.Partition(a.Partition), arch, a.Image)
}

// place says where the bytes of a candidate are.
func (b *boot) place(a *resolve.Action, img *resolve.Image) (apply.Source, error) {
	src := apply.Source{Device: "/dev/" + a.Partition, Extents: img.Extents, Copy: b.plan.Attach == plan.AttachCopy, Memory: b.copying(), Ask: b.machine.Ask}
	switch a.Source {
	case plan.SourceInitrd:
		src.Device, src.Kind, src.BlockSize = a.Image, apply.InFile, 512
	case plan.SourcePmem:
		src.Kind, src.BlockSize = apply.Own, findDevice(b.facts.Pmem, a.Partition).SectorSize
	case plan.SourceHTTP, plan.SourceNBD:
		return b.served(a, src)
	default:
		src.BlockSize = b.facts.Partition(a.Partition).SectorSize
	}
	return src, nil
}

// inMemory returns the file of the initramfs that the image is, empty for another source.
func inMemory(a *resolve.Action) string {
	if a.Source == plan.SourceInitrd {
		return a.Image
	}
	return ""
}

func (b *boot) chosen(from *resolve.Action, img *resolve.Image, c plan.Corruption) *report.Chosen {
	a, t := img.Authentic, img.Tree
	ch := &report.Chosen{
		RootHash: hex.EncodeToString(a.RootHash), Pinned: a.Pinned,
		Kind: string(t.Kind), FileSystem: t.FileSystem, Init: t.Init,
		ID: t.OSRelease.Get("ID"), ImageID: t.OSRelease.Get("IMAGE_ID"), Version: t.OSRelease.Get("IMAGE_VERSION"),
		Device: deviceName(t, a.RootHash), Corruption: string(c), Copied: b.images[from.Name()].Copied != nil,
		Overlay: string(b.plan.Overlay),
	}
	ch.Beside = img.Beside.Files
	b.fillChosen(ch, from, img)
	if a.Signer != nil {
		fp := a.Signer.Fingerprint()
		ch.Signer, ch.SignerHash = a.Signer.Subject, hex.EncodeToString(fp[:])
	}
	return ch
}

// deviceName is the name under which the next init finds the image. An initrd image's must not be a designator, or systemd
// would take it for the real root.
func deviceName(t *resolve.Tree, rootHash []byte) string {
	if t.Kind == plan.KindOS {
		return string(t.Designator)
	}
	return verityName(rootHash)
}

// verityName names a device after what is in it. A device's name has at most 127 bytes: of a SHA-512 root hash, its first half.
func verityName(rootHash []byte) string {
	return hex.EncodeToString(rootHash[:min(len(rootHash), 48)]) + "-verity"
}

// fillChosen says in the report where the image that is entered is, and to people how many ways lead there.
func (b *boot) fillChosen(ch *report.Chosen, a *resolve.Action, img *resolve.Image) {
	ch.Source, ch.Node, ch.Path, ch.URL = string(a.Source), a.Partition, a.Image, a.URL
	if a.Source.FromServer() {
		b.fillServed(ch, a)
	}
	if a.Source != plan.SourceESP {
		return
	}
	ch.Partition = b.facts.Partition(a.Partition).UUID.String()
	b.report.BootPartition = ch.Partition
	if ch.Paths = resolve.Paths(&b.facts, a.Partition); ch.Paths != nil {
		b.log.Info("/dev/%s are %d paths to one partition: /dev/%s is used", strings.Join(ch.Paths, ", /dev/"), len(ch.Paths), a.Partition)
	}
	for _, e := range img.Extents {
		ch.Extents = append(ch.Extents, [2]int64{e.Offset, e.Length})
	}
}

// refuse says why a candidate was refused, and remembers that it did.
func (b *boot) refuse(r error) {
	b.log.Err("%v", r)
	b.told = append(b.told, r.Error())
}

// turnTo says it where the boot goes on with another source, and what was wrong with the ones before as far as nobody has said so yet.
func (b *boot) turnTo(source plan.Source) {
	if source == b.source {
		return
	}
	for _, r := range resolve.Refusals(b.plan, &b.facts) {
		if !slices.Contains(b.told, r.Error()) {
			b.refuse(&r)
		}
	}
	before := b.source
	if before == "" && len(b.plan.Sources) > 0 {
		before = b.plan.Sources[0]
	}
	if before != source {
		b.log.Warn("nothing from %s can be entered up to now: going on with %s", before, source)
	}
	b.source = source
}

// where names what holds the candidates that an action is about.
func (b *boot) where(a *resolve.Action) string {
	if a.Partition != "" {
		return "/dev/" + a.Partition
	}
	return string(a.Source)
}

// list reads the directories of a partition; an empty text says that it is not ready.
func (b *boot) list(a *resolve.Action) string {
	part := b.facts.Partition(a.Partition)
	listing := b.machine.List(*part, a.Dirs)
	if b.notReady(part.Node, listing.Err) {
		return ""
	}
	part.Listing = listing
	if listing.Err != nil {
		return listing.Err.Error()
	}
	return fmt.Sprintf("%s on /dev/%s holds %d files in %s", listing.FileSystem, part.Node, len(listing.Files), strings.Join(a.Dirs, ", "))
}

// authenticate has resolve judge an image by its partition table and signature.
func (b *boot) authenticate(candidate string, img *resolve.Image) string {
	img.Authentic, img.Refusal = resolve.Authenticate(b.plan, candidate, b.arch, img)
	if img.Authentic == nil {
		return ""
	}
	text := img.Authentic.String()
	if !img.Authentic.Vouched() {
		b.log.Warn("%s: whoever can write to the disk decides what runs here", text)
	}
	if n := resolve.FailedAttempts(b.plan, &b.facts, img.Authentic); n > 0 {
		text += fmt.Sprintf(", but entered %d times without coming up well: the others are tried first", n)
	}
	return text
}

// release gives up what a server's image takes, unless devices still lie on it.
func (b *boot) release(candidate string) {
	if img := b.facts.Images[candidate]; img != nil && img.Device != "" {
		return
	}
	if err := b.servers.giveUp(candidate); err != nil {
		b.log.Warn("%v", err)
	}
}

// keepOnly takes away what was brought up and is not entered after all: behind the hand-over nobody could, nor knows of it.
func (b *boot) keepOnly(names ...string) {
	for name, up := range b.images {
		if slices.Contains(names, name) {
			continue
		}
		if img := b.facts.Images[name]; img != nil {
			b.discard(name, img)
		} else if err := up.Discard(); err != nil { // an extension
			b.log.Warn("%v", err)
		}
		delete(b.images, name)
	}
}

func findDevice(list []resolve.Device, node string) resolve.Device {
	for _, d := range list {
		if d.Node == node {
			return d
		}
	}
	return resolve.Device{}
}
