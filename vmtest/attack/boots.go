// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package attack

import (
	"bytes"
	"os"
	"slices"
	"strings"

	"github.com/initddi/initddi/internal/gpt"
	"github.com/initddi/initddi/vmtest"
	"github.com/initddi/initddi/vmtest/guest"
)

// images are those that the machines boot. All are signed by the good key if nothing else is said.
func images() []vmtest.Image {
	image := func(name, tree, version, release string) vmtest.Image {
		return vmtest.Image{Name: name, Tree: tree, Key: good, Compress: "none", Version: version, Release: release}
	}
	return append(extensionImages(), []vmtest.Image{
		image(goodImage, "payload", "", ""),
		image(otherImage, "payload", "other", ""),
		image("payload-initrd", "payload-initrd", "", ""),
		image("sysext", "sysext", "", ""), image("confext", "confext", "", ""), image("initrd", "payload-initrd", "9", ""),
		image("other-product", "other", "", ""), image("no-init", "noinit", "", ""), image("no-release", "norelease", "", ""),
		image("merged-usr", "merged", "", ""),
		image("init-not-executable", "plaininit", "", ""), image("no-directories", "nodirs", "", ""),
		image("version-1", "payload", "1.9", ""), image("version-2", "payload", "2.0", ""), image("version-rc", "payload", "2.0~rc1", ""),
		image("image-id-other", "payload", "", "IMAGE_ID=other\n"), image("image-id-twice", "payload", "", "IMAGE_ID=wanted\nIMAGE_ID=other\n"),
		image("image-id-wanted", "payload", "", "IMAGE_ID=wanted\n"), image("id-twice", "payload", "", "ID=debian\n"),
		{Name: "unsigned", Tree: "payload", Compress: "none"},
	}...)
}

// stages are the stages 1 of the machines: those of the cases, and these.
func stages() []vmtest.Stage1 {
	out := []vmtest.Stage1{
		{Name: "minimal"}, {Name: "debug", Config: "debug"},
		{Name: "kind-os", Set: []string{"id=debian", "kind=os"}}, {Name: "kind-initrd", Set: []string{"id=debian", "kind=initrd"}},
		{Name: "version-2", Set: []string{"id=debian", "min-version=2.0"}}, {Name: "image-id", Set: []string{"image-id=wanted"}},
	}
	out = append(out, extensionStages()...)
	for _, c := range Cases() {
		if s, ok := stageOf(&c); ok && c.Boot {
			out = append(out, s)
		}
	}
	return out
}

// bootCells are the boots that show what no judge without a kernel can.
func (b *Booth) bootCells() []vmtest.Cell {
	return slices.Concat(identityCells(), lateCells(), b.meanwhileCells(), secureBootCells(), largeCells(), extensionCells())
}

// as is a disk on which an image has a name.
func as(name, image string) vmtest.Disk {
	d := onDisk("plain", image)
	d.Place[0].Path = "/loader/ddi/" + name
	return d
}

// identityCells are signed images that are not what this stage 1 was built for.
func identityCells() []vmtest.Cell {
	refuse := func(name, doc, stage1, file, image string, layer Layer, says string) vmtest.Cell {
		c := vmtest.Cell{Name: name, Doc: doc, Stage1: stage1, Disks: []vmtest.Disk{as(file, image)}}
		refused(&c, layer, says)
		return c
	}
	enter := func(name, doc, stage1, file, image string) vmtest.Cell {
		c := vmtest.Cell{Name: name, Doc: doc, Stage1: stage1, Disks: []vmtest.Disk{as(file, image)}, Layer: string(Accepted)}
		entered(&c)
		return c
	}
	cells := []vmtest.Cell{
		refuse("identity-sysext", "a signed system extension under a boot image's name", "", "os.raw", "sysext", Identity, "found an extension"),
		refuse("identity-confext", "a signed configuration extension under a boot image's name", "", "os.raw", "confext", Identity, "found an extension"),
		refuse("identity-initrd", "a signed initrd image under the OS image's name, where an OS image is wanted", "kind-os", "os.raw", "initrd", Identity, "found kind initrd, wanted kind os"),
		refuse("identity-os", "a signed OS image where an initrd image is wanted", "kind-initrd", "os.raw", goodImage, Identity, "found kind os, wanted kind initrd"),
		refuse("identity-product", "another product's image, signed by the same key, under this one's name", "", "os.raw", "other-product", Identity, "found ID=other, wanted ID=debian"),
		refuse("identity-image-id", "another variant of the product", "image-id", "os.raw", "image-id-other", Identity, "found IMAGE_ID=other, wanted IMAGE_ID=wanted"),
		refuse("identity-image-id-missing", "an image that does not say which variant it is", "image-id", "os.raw", goodImage, Identity, "found IMAGE_ID=, wanted IMAGE_ID=wanted"),
		refuse("identity-image-id-twice", "an image that says two variants, the wanted one first", "image-id", "os.raw", "image-id-twice", Identity, "more than once"),
		enter("identity-image-id-good", "the wanted variant", "image-id", "os.raw", "image-id-wanted"),
		refuse("identity-id-twice", "an image that says its ID twice", "", "os.raw", "id-twice", Identity, "more than once"),
		refuse("identity-none", "a signed image without os-release", "", "os.raw", "no-release", Identity, "no os-release file"),
		asUsr(refuse("identity-root-as-usr", "a signed root file system whose partitions are all said to be those of a /usr: it would lose its /etc", "", "os.raw", "merged-usr", Identity, "found a root file system, with /usr")),
		refuse("version-old", "a signed image below the minimum version", "version-2", "os_1.9.raw", "version-1", Identity, "found IMAGE_VERSION=1.9, wanted at least 2.0"),
		refuse("version-renamed", "a signed image below the minimum version, renamed to a newer one", "version-2", "os_99.raw", "version-1", Identity, "found IMAGE_VERSION=1.9, wanted at least 2.0"),
		refuse("version-candidate", "a release candidate of the minimum version, which is older", "version-2", "os.raw", "version-rc", Identity, "found IMAGE_VERSION=2.0~rc1"),
		enter("version-equal", "the minimum version itself", "version-2", "os.raw", "version-2"),
		refuse("init-none", "a signed image without an init", "", "os.raw", "no-init", Init, "none that can be executed"),
		refuse("init-plain", "a signed image whose init cannot be executed", "", "os.raw", "init-not-executable", Init, "none that can be executed"),
		refuse("init-directories", "a signed image without a mount point for the hand-over", "", "os.raw", "no-directories", Init, "no directory [/run]"),
	}
	for i := range cells {
		cells[i].Group = "identity"
		cells[i].Test = cells[i].Name == "version-renamed"
	}
	return cells
}

// asUsr has a disk's image say that it is one of /usr, which its signature does not cover.
func asUsr(c vmtest.Cell) vmtest.Cell {
	c.Disks[0].Alter = editImage(func(d *DDI) {
		for n, t := range map[int]gpt.Designator{dataPart: gpt.Usr, hashPart: gpt.UsrVerity, sigPart: gpt.UsrVeritySig} {
			entry(n, setGUID(entType, typeOf(t, arch)))(d)
		}
	})
	return c
}

// lateCells are bits that flip where only the running system looks, under each ddi.corruption.
func lateCells() []vmtest.Cell {
	at := func(where func(d *DDI) int) func(string) error {
		return editImage(func(d *DDI) { d.flip(where(d)) })
	}
	data := func(d *DDI) int { return d.payload(PayloadMiddle) + 77 }
	tree := func(d *DDI) int { return d.hashBlock(d.payload(PayloadMiddle)) + 4 }
	cell := func(name, doc, image, cmdline string, where func(d *DDI) int, verdict vmtest.Verdict, must ...string) vmtest.Cell {
		disk := onDisk("plain", image)
		disk.Alter = at(where)
		return vmtest.Cell{Name: name, Group: "late", Doc: doc, Cmdline: cmdline, Disks: []vmtest.Disk{disk}, Verdict: verdict, Layer: string(Late),
			Must: append([]string{"entering vda1:/", guest.Sentence, "is corrupted"}, must...)}
	}
	const restarts, panics = "Restarting system with command 'dm-verity device corrupted'", "Kernel panic - not syncing: dm-verity device corrupted"
	cells := []vmtest.Cell{
		cell("late-default-os", "a flipped bit under an OS image: the machine restarts", goodImage, "", data, vmtest.Restarted, restarts),
		cell("late-default-initrd", "a flipped bit under an initrd image: reading it fails", "payload-initrd", "", data, vmtest.Entered),
		cell("late-restart", "a flipped bit, ddi.corruption=restart", "payload-initrd", "ddi.corruption=restart", data, vmtest.Restarted, restarts),
		cell("late-eio", "a flipped bit, ddi.corruption=eio", goodImage, "ddi.corruption=eio", data, vmtest.Entered),
		cell("late-panic", "a flipped bit, ddi.corruption=panic", goodImage, "ddi.corruption=panic", data, vmtest.Panicked, panics),
		cell("late-tree-restart", "a flipped bit in the hash tree, ddi.corruption=restart", goodImage, "ddi.corruption=restart", tree, vmtest.Restarted, restarts),
		cell("late-tree-panic", "a flipped bit in the hash tree, ddi.corruption=panic", goodImage, "ddi.corruption=panic", tree, vmtest.Panicked, panics),
	}
	for i := range cells {
		if cells[i].Verdict == vmtest.Entered {
			cells[i].Check = payloadIs(func() (*guest.PayloadFacts, error) { return without([]int{PayloadMiddle}), nil })
		}
		cells[i].Test = cells[i].Name == "late-panic"
	}
	return cells
}

// editImage changes the image on a disk in a file.
func editImage(edit func(d *DDI)) func(string) error {
	return func(file string) error {
		disk, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		c := Case{Name: file, DDI: edit}
		if disk, err = c.Apply(disk, nil, nil); err != nil {
			return err
		}
		// In place: a machine may have it open.
		f, err := os.OpenFile(file, os.O_WRONLY, 0)
		if err != nil {
			return err
		}
		defer f.Close()
		if _, err := f.Write(disk); err != nil {
			return err
		}
		return f.Close()
	}
}

// meanwhileCells change the disk under a machine that has verified its image already.
func (b *Booth) meanwhileCells() []vmtest.Cell {
	edit := func(do func(d *DDI)) func([]string) error {
		return func(disks []string) error { return editImage(do)(disks[0]) }
	}
	stopped := func(name, doc string, meanwhile func([]string) error) vmtest.Cell {
		return vmtest.Cell{Name: name, Doc: doc, Stage1: "debug", Cmdline: "ddi.corruption=eio ddi.break=mount", Disks: []vmtest.Disk{onDisk("plain", goodImage)},
			Must: []string{"verify: root hash {roothash payload} signed by", "ddi.break=mount: a shell"}, Meanwhile: meanwhile,
			Dialogue: []vmtest.Line{{Wait: "ddi.break=mount: a shell", Type: "exit"}}}
	}
	whole := func(disks []string) error {
		return editImage(func(d *DDI) { d.B = bytes.Clone(b.other("other")) })(disks[0])
	}
	fs := stopped("meanwhile-superblock", "the file system's superblock is changed after the signature was checked", edit(func(d *DDI) { d.flip(d.Data.Offset + 1024 + 20) }))
	refused(&fs, Verity, "")
	tree := stopped("meanwhile-tree", "the top of the hash tree is changed after the signature was checked", edit(func(d *DDI) { d.flip(d.treeRoot()) }))
	refused(&tree, Verity, "")
	other := stopped("meanwhile-image", "the whole image is replaced by another signed one after the signature was checked", whole)
	refused(&other, Verity, "")
	payload := stopped("meanwhile-payload", "a block of the payload is changed after the signature was checked", edit(func(d *DDI) { d.flip(d.payload(PayloadMiddle)) }))
	contained(&payload, func() (*guest.PayloadFacts, error) { return without([]int{PayloadMiddle}), nil })
	chain := stopped("meanwhile-chain", "the FAT is zeroed after the signature was checked: where the image lies is known", func(disks []string) error {
		return editDisk(disks[0], func(v *Disk) { clear(v.at(v.tables[0], v.rootAt-v.tables[0])) })
	})
	entered(&chain)
	table := stopped("meanwhile-table", "the image's partition table is replaced after the signature was checked: where its partitions lie is known", edit(func(d *DDI) { clear(d.B[:34*sector]) }))
	entered(&table)
	sig := stopped("meanwhile-signature", "the signature is taken away after it was checked", edit(func(d *DDI) { d.document("") }))
	entered(&sig)
	running := vmtest.Cell{Name: "meanwhile-running", Doc: "a block of the payload is changed while the booted system runs", Cmdline: "ddi.corruption=eio MARKER_WAIT=1",
		Disks: []vmtest.Disk{onDisk("plain", goodImage)}, Meanwhile: edit(func(d *DDI) { d.flip(d.payload(PayloadMiddle)) }),
		Dialogue: []vmtest.Line{{Wait: "marker: waiting for a line", Type: ""}}}
	contained(&running, func() (*guest.PayloadFacts, error) { return without([]int{PayloadMiddle}), nil })
	gone := vmtest.Cell{Name: "meanwhile-removed", Doc: "the image file's bytes are overwritten while the booted system runs", Cmdline: "ddi.corruption=eio MARKER_WAIT=1",
		Disks: []vmtest.Disk{onDisk("plain", goodImage)}, Meanwhile: edit(func(d *DDI) { clear(d.B) }), Dialogue: []vmtest.Line{{Wait: "marker: waiting for a line", Type: ""}}}
	all := make([]int, guest.PayloadBlocks)
	for i := range all {
		all[i] = i
	}
	contained(&gone, func() (*guest.PayloadFacts, error) { return without(all), nil })
	cells := []vmtest.Cell{fs, tree, other, payload, chain, table, sig, running, gone}
	for i := range cells {
		cells[i].Group = "meanwhile"
		if cells[i].Layer == "" {
			cells[i].Layer = string(Unread)
		}
		cells[i].Test = cells[i].Name == "meanwhile-payload"
	}
	return cells
}

// editDisk changes a disk in a file, in place.
func editDisk(file string, edit func(v *Disk)) error {
	disk, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	v, err := newDisk(disk)
	if err != nil {
		return err
	}
	edit(v)
	f, err := os.OpenFile(file, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	if _, err := f.Write(v.B); err != nil {
		return err
	}
	return f.Close()
}

// secureBootCells have the owner of the machine add to the command line of a signed UKI, as SMBIOS strings may even under Secure Boot.
func secureBootCells() []vmtest.Cell {
	const extra = "io.systemd.stub.kernel-cmdline-extra="
	cell := func(name, doc, image, cmdline, smbios string, layer Layer, says string) vmtest.Cell {
		c := vmtest.Cell{Name: name, Group: "secure-boot", Doc: doc, Firmware: vmtest.SecureBoot, Cmdline: cmdline,
			// The UKI has to fit beside the image.
			Disks: []vmtest.Disk{{ESPSize: 64 << 20, Place: onDisk("plain", image).Place}}, Must: []string{"Secure Boot on"}}
		if smbios != "" {
			c.SMBIOS = []string{extra + smbios}
		}
		if layer == CommandLine {
			c.Must = nil // the plan comes before the firmware is asked
		}
		refused(&c, layer, says)
		return c
	}
	const pin = "{roothash unsigned}"
	// addon has a signed addon, that was made for something else, bring it.
	addon := func(name, doc, image, cmdline, text string, layer Layer, says string) vmtest.Cell {
		c := cell(name, doc, image, cmdline, "", layer, says)
		c.Disks[0].Place = append(c.Disks[0].Place, vmtest.Place{Path: "/EFI/BOOT/BOOTX64.EFI.extra.d/more.addon.efi", Addon: text})
		return c
	}
	return []vmtest.Cell{
		addon("addon-roothash", "a signed addon names an unsigned image", "unsigned", "", "ddi.roothash="+pin, Signature, "the image has no signature partition"),
		addon("addon-pin", "a signed addon brings a pin for an unsigned image", "unsigned", "", "ddi.pin="+pin, CommandLine, "can only be built into stage 1"),
		addon("addon-policy", "a signed addon brings a policy that lets everything through", "unsigned", "", "ddi.policy=*", Signature, "the image has no signature partition"),
		addon("addon-twice", "a signed addon brings a second ddi.roothash= beside that of the signed UKI", goodImage, "ddi.roothash="+strings.Repeat("ab", 32), "ddi.roothash={roothash payload}", CommandLine, "given more than once"),
		cell("smbios-roothash", "an SMBIOS string names an unsigned image", "unsigned", "", "ddi.roothash="+pin, Signature, "the image has no signature partition"),
		cell("smbios-pin", "an SMBIOS string brings a pin for an unsigned image", "unsigned", "", "ddi.pin="+pin, CommandLine, "can only be built into stage 1"),
		cell("smbios-twice", "an SMBIOS string brings a second ddi.roothash= beside that of the signed UKI", goodImage, "ddi.roothash="+strings.Repeat("ab", 32), "ddi.roothash={roothash payload}", CommandLine, "given more than once"),
	}
}

// largeCells have the largest file that FAT can hold.
func largeCells() []vmtest.Cell {
	disk := onDisk("large", goodImage)
	disk.Alter = largestFile
	c := vmtest.Cell{Name: "file-largest", Group: "chain", Doc: "an image of 4 GiB less a byte: the good one, and zeros behind it", Disks: []vmtest.Disk{disk}, Layer: string(Unread)}
	entered(&c)
	c.Must = append([]string{"4294967295 bytes in"}, c.Must...)
	return []vmtest.Cell{c}
}
