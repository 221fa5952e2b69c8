// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package attack

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/initddi/initddi/internal/extent"
	"github.com/initddi/initddi/internal/fat"
	"github.com/initddi/initddi/internal/gpt"
	"github.com/initddi/initddi/vmtest"
	"github.com/initddi/initddi/vmtest/guest"
)

// proof is the file of an extension that shows whether it was merged.
const proof = "usr/share/proof/"

// extensionImages are those that lie beside boot images in the boots of this file.
func extensionImages() []vmtest.Image {
	sysext := func(image, name, release string, more map[string]string) vmtest.Image {
		files := map[string]string{"usr/lib/extension-release.d/extension-release." + name: release, proof + name: name}
		maps.Copy(files, more)
		return vmtest.Image{Name: image, Tree: "files", Key: good, Compress: "none", Files: files}
	}
	confext := func(image string, more map[string]string) vmtest.Image {
		files := map[string]string{"etc/extension-release.d/extension-release.tool": fits, "etc/proof/tool": "tool"}
		maps.Copy(files, more)
		return vmtest.Image{Name: image, Tree: "files", Key: good, Compress: "none", Files: files}
	}
	by := func(key string, i vmtest.Image) vmtest.Image {
		i.Key = key
		return i
	}
	return []vmtest.Image{
		sysext("ext-neighbour", neighbour, fits, nil), sysext("ext-tool", tool, fits, nil),
		by("", sysext("ext-unsigned", tool, fits, nil)), by("weak", sysext("ext-weak", tool, fits, nil)), by("next", sysext("ext-next", tool, fits, nil)),
		sysext("ext-metadata", tool, fits, map[string]string{"usr/.systemd-sysext/work_dir": "/home/.systemd-mine-workdir\n"}),
		sysext("ext-escape", tool, "ID=\"\x1b[2Jdebian\"\n", nil),
		sysext("ext-long", tool, fits+strings.Repeat("X=1\n", 1<<17), nil),
		sysext("ext-payload", tool, fits, map[string]string{proof + "payload": string(guest.Payload())}),
		confext("conf-initrd", map[string]string{"etc/initrd-release": fits}), confext("conf-os-release", map[string]string{"etc/os-release": "ID=other\n"}),
	}
}

// extensionStages are the stages 1 of these boots.
func extensionStages() []vmtest.Stage1 {
	return []vmtest.Stage1{
		{Name: "extensions", Config: "extensions", Set: []string{"id=debian"}},
		{Name: "extensions-two", Config: "extensions", Trust: []string{good, "weak", "next"}, Set: []string{"id=debian", "deny-cert={certificate next}"}},
	}
}

// extensionCells have an extension on the ESP beside a boot image and a good extension: the one is left out, the others are used.
func extensionCells() []vmtest.Cell {
	const at = "vda1:/loader/ddi/"
	disk := func(file, image string) vmtest.Disk {
		d := onDisk("fat16", goodImage)
		d.Place = append(d.Place, vmtest.Place{Path: "/loader/ddi/" + neighbour + ".sysext.raw", Image: "ext-neighbour"})
		if file != "" {
			d.Place = append(d.Place, vmtest.Place{Path: "/loader/ddi/" + file, Image: image})
		}
		return d
	}
	left := func(name, doc, file, image string, layer Layer, rule, says string) vmtest.Cell {
		c := vmtest.Cell{Name: name, Doc: doc, Stage1: "extensions", Disks: []vmtest.Disk{disk(file, image)}, Must: []string{at + file + " refused (" + rule + ")", says}}
		entered(&c)
		c.Layer = string(layer)
		c.MustNot = append(c.MustNot, "\x1b[2J")
		payload := c.Check
		c.Check = func(f *guest.Facts) []string {
			wrong := payload(f)
			if len(f.Proofs) != 1 || f.Proofs["/"+proof+neighbour] != neighbour {
				wrong = append(wrong, "wanted the good extension alone to be merged, and there is "+strings.Join(keysOf(f.Proofs), " "))
			}
			return wrong
		}
		return c
	}
	alter := func(c vmtest.Cell, edit func(extension, boot *DDI)) vmtest.Cell {
		c.Disks[0].Alter = editExtension("loader/ddi/"+tool+".sysext.raw", edit)
		return c
	}
	const sysext, confext = tool + ".sysext.raw", tool + ".confext.raw"
	widened := left("boot-extension-widened", "an unsigned extension, and a command line that lets everything through", sysext, "ext-unsigned", Signature, "signed", "the image has no signature partition")
	widened.Cmdline = "ddi.sysext-policy=*"
	delivered := left("boot-extension-delivered", "an unsigned extension that the boot loader left in memory", "", "", Signature, "signed", "")
	delivered.Delivered = []vmtest.Delivered{{Image: "ext-unsigned", Path: "/.extra/sysext/tool.raw"}}
	delivered.Must[0], delivered.Must[1] = "tool.raw refused (signed)", "the image has no signature partition"
	denied := left("boot-extension-denied", "an extension signed by a trusted key that deny-cert lists", sysext, "ext-next", Denied, "denied", "one that deny-cert does not list")
	denied.Stage1 = "extensions-two"
	weak := left("boot-extension-weak", "an extension signed by a trusted RSA key of 1024 bits", sysext, "ext-weak", Signature, "signed", "1024")
	weak.Stage1 = "extensions-two"
	superblock := alter(left("boot-extension-superblock", "an extension with a flipped bit in its file system's superblock", sysext, "ext-tool", Verity, "verity", "a block that is not what was signed"), func(d, _ *DDI) { d.flip(d.Data.Offset + 1024 + 20) })
	superblock.MustNot = nil // the kernel says of the extension that it is corrupted
	cells := []vmtest.Cell{
		widened, delivered, denied, weak, superblock,
		alter(left("boot-extension-swapped", "an extension with the signature of the boot image", sysext, "ext-tool", Signature, "signed", "cannot verify signature"), func(d, boot *DDI) { d.sign(boot.message()) }),
		alter(left("boot-extension-as-usr", "an extension whose partitions are all said to be those of a /usr", sysext, "ext-tool", Match, "extension", "does not say which system it is for"), func(d, _ *DDI) {
			for n, t := range map[int]gpt.Designator{dataPart: gpt.Usr, hashPart: gpt.UsrVerity, sigPart: gpt.UsrVeritySig} {
				entry(n, setGUID(entType, typeOf(t, arch)))(d)
			}
		}),
		left("boot-extension-metadata", "an extension that has a directory of the system removed when it is taken out", sysext, "ext-metadata", Contents, "extension", "/usr/.systemd-sysext"),
		left("boot-extension-escape", "an extension whose ID moves the cursor of whoever reads why it is left out", sysext, "ext-escape", Match, "extension", "control character"),
		left("boot-extension-long", "an extension-release of half a megabyte", sysext, "ext-long", Match, "extension", "too large"),
		left("boot-confext-initrd", "a confext that makes an OS image an initrd image", confext, "conf-initrd", Contents, "extension", "/etc/initrd-release"),
		left("boot-confext-os-release", "a confext with an os-release", confext, "conf-os-release", Contents, "extension", "/etc/os-release"),
	}
	for i := range cells {
		cells[i].Group = "extension-boot"
		cells[i].Test = cells[i].Name == "boot-extension-swapped"
	}
	return cells
}

// editExtension changes an extension on a disk in a file; boot is the boot image beside it.
func editExtension(path string, edit func(extension, boot *DDI)) func(string) error {
	return func(file string) (err error) {
		defer func() {
			if r := recover(); r != nil {
				err = fmt.Errorf("cannot alter %s: %v", path, r)
			}
		}()
		return editDisk(file, func(v *Disk) {
			boot, err := newDDI(v.image(), nil)
			must(err)
			esp := v.B[espStart : len(v.B)-espStart]
			vol, err := fat.Open(bytes.NewReader(esp), int64(len(esp)))
			must(err)
			e, err := vol.Stat(path)
			must(err)
			list, err := vol.Extents(e)
			must(err)
			b := make([]byte, e.Size)
			_, err = extent.NewReader(bytes.NewReader(esp), list).ReadAt(b, 0)
			must(err)
			d, err := newDDI(b, nil)
			must(err)
			edit(d, boot)
			b = d.B
			for _, x := range list {
				b = b[copy(esp[x.Offset:x.Offset+x.Length], b):]
			}
		})
	}
}

func keysOf(m map[string]string) []string { return slices.Sorted(maps.Keys(m)) }
