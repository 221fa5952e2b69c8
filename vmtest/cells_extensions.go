// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package vmtest

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/initddi/initddi/internal/layers"
	"github.com/initddi/initddi/internal/report"
	"github.com/initddi/initddi/vmtest/guest"
)

func stagesExtensions() []Stage1 {
	return []Stage1{
		{Name: "extensions", Config: "extensions"},
		{Name: "extensions-narrow", Config: "extensions", Set: []string{"id=debian", "sysext-policy=root=signed+absent:usr=absent"}},
		{Name: "extensions-open", Config: "extensions", Set: []string{"id=debian", "sysext-policy=*"}},
		{Name: "extensions-denied", Config: "extensions", Set: []string{"id=debian", "deny-roothash={roothash tool-ext}"}},
	}
}

// fits is the extension-release of one that fits the test images.
const fits = "ID=debian\nVERSION_ID=13\n"

// extension is the image of an extension called name: with an extension-release, unless that is empty, and further files.
func extensionOf(c layers.Class, name, release string, more ...string) Image {
	i := Image{Name: name + "-ext", Tree: "files", Key: "ddi", Files: map[string]string{}}
	if c == layers.Confext {
		i.Name = name + "-conf"
	}
	if release != "" {
		i.Files[strings.TrimPrefix(c.ReleaseDir(), "/")+"/"+layers.ReleasePrefix+name] = release
	}
	for n := 0; n < len(more); n += 2 {
		i.Files[more[n]] = more[n+1]
	}
	return i
}

// named gives an image another name in the tables.
func (i Image) named(name string) Image {
	i.Name = name
	return i
}

func imagesExtensions() []Image {
	tool := extensionOf(layers.Sysext, "tool", fits, "usr/share/proof/tool", "tool", "usr/share/proof/both", "tool")
	unsigned, stranger := tool.named("tool-unsigned"), tool.named("tool-stranger")
	unsigned.Key, stranger.Key = "", "stranger"
	usr := extensionOf(layers.Sysext, "user", fits, "usr/share/proof/user", "user")
	usr.Usr = true
	return []Image{
		tool, unsigned, stranger, usr,
		{Name: "tool-flipped", From: "tool-ext", Damage: flip(1024)},
		extensionOf(layers.Sysext, "upper", "ID=_any\n", "usr/share/proof/both", "upper", "usr/share/proof/upper", "upper"),
		extensionOf(layers.Sysext, "tool_1", fits, "usr/share/proof/version", "1").named("tool-1"),
		extensionOf(layers.Sysext, "tool_2", fits, "usr/share/proof/version", "2").named("tool-2"),
		extensionOf(layers.Sysext, "versions", fits, "usr/share/proof/version", "10").named("versions-10"),
		extensionOf(layers.Sysext, "versions", "ID=debian\nVERSION_ID=14\n", "usr/share/proof/version", "11").named("versions-11"),
		extensionOf(layers.Sysext, "other", "ID=debian\nVERSION_ID=12\n", "usr/share/proof/other", "other"),
		extensionOf(layers.Sysext, "initrd", fits+"SYSEXT_SCOPE=initrd\n", "usr/share/proof/initrd", "initrd"),
		extensionOf(layers.Sysext, "replace", fits, "usr/lib/os-release", "ID=else\n", "usr/share/proof/replace", "replace"),
		extensionOf(layers.Sysext, "blind", fits, "usr/sbin", "where the image has its init"),
		extensionOf(layers.Sysext, "optional", fits, "opt/proof/optional", "optional"),
		extensionOf(layers.Confext, "settings", fits, "etc/proof/settings", "settings"),
	}
}

// beside is a disk with a boot image and extensions in the shared directory, by their names there.
func withExtensions(image string, extensions map[string]string) Disk {
	d := onESP(image)
	for _, path := range slices.Sorted(maps.Keys(extensions)) {
		at := path
		if !strings.HasPrefix(path, "/") {
			at = "/loader/ddi/" + path
		}
		d.Place = append(d.Place, Place{Path: at, Image: extensions[path]})
	}
	return d
}

// merged checks what stage 1 merged: the names of the extensions, of the lowest layer first, what they bring, and what was left out
// and by which rule.
type merged struct {
	sysext, confext []string
	proofs          map[string]string
	left            map[string]string // rule by candidate
	usr             bool              // the boot image is one of /usr
	writable        bool
	others          bool // the next init finds others that were not merged
}

func (m merged) check(f *guest.Facts) []string {
	c := &checker{usr: m.usr}
	boot := &report.Boot{}
	if err := json.Unmarshal(f.Boot, boot); err != nil {
		return []string{err.Error()}
	}
	c.ok(len(f.Errors) == 0, "the marker could not find out: %q", f.Errors)
	for _, class := range []layers.Class{layers.Sysext, layers.Confext} {
		want := m.sysext
		if class == layers.Confext {
			want = m.confext
		}
		var got []string
		for _, e := range boot.Extensions {
			if e.Class == string(class) {
				got = append(got, e.Name)
				c.found(f, &e, m.place(&e, boot.Chosen))
			}
		}
		c.ok(slices.Equal(got, want), "boot.json says that the %s %q were merged, wanted %q", class, got, want)
	}
	left := map[string]string{}
	for _, e := range boot.LeftOut {
		left[e.Candidate] = e.Rule
	}
	c.ok(maps.Equal(left, m.left), "boot.json says that %v were left out, wanted %v", left, m.left)
	proofs := maps.Clone(m.proofs)
	if proofs == nil {
		proofs = map[string]string{}
	}
	c.ok(maps.Equal(f.Proofs, proofs), "what the extensions bring is %v, wanted %v", f.Proofs, proofs)
	if usr := f.At("/usr"); len(m.sysext) > 0 {
		c.ok(usr != nil && usr.Type == "overlay" && usr.Source == "sysext" && has(usr.Options, "ro") && has(usr.Options, "nodev"), "at /usr there is %+v, wanted an overlay sysext, read-only", usr)
	}
	if etc := f.At("/etc"); len(m.confext) > 0 {
		c.ok(etc != nil && etc.Type == "overlay" && etc.Source == "confext" && has(etc.Options, "noexec"), "at /etc there is %+v, wanted an overlay confext, noexec", etc)
	}
	c.ok((f.WriteToRoot == "") == (m.usr || m.writable), "writing to the root gives %q", f.WriteToRoot)
	c.ok(slices.Contains([]string{"rw", "no vfat"}, f.ESP), "the ESP cannot be mounted read-write: %s", f.ESP)
	// Whatever was left out has no devices; for each image that is used there are two.
	want := 2 * (1 + len(m.sysext) + len(m.confext))
	c.ok(len(f.DM) == want, "there are %d dm devices, wanted %d", len(f.DM), want)
	c.ok(len(f.Loops) == want/2, "there are %d loop devices, wanted %d", len(f.Loops), want/2)
	return c.wrong
}

// carrying is [merged.check], and that of the extensions below /.extra the next init has these alone.
func (m merged) carrying(want ...string) func(*guest.Facts) []string {
	return func(f *guest.Facts) []string {
		wrong := m.check(f)
		got := slices.DeleteFunc(slices.Clone(f.Extra), func(name string) bool { return !strings.HasSuffix(name, ".raw") })
		if !slices.Equal(got, want) {
			wrong = append(wrong, fmt.Sprintf("/.extra holds the extensions %q, wanted %q", got, want))
		}
		return wrong
	}
}

// place is where the next init is to find an extension: an initrd image does if there are others that its systemd would merge.
func (m merged) place(e *report.Extension, chosen *report.Chosen) string {
	switch {
	case chosen.Kind == "initrd" && m.others:
		return "/.extra/" + e.Class + "/" + e.Name
	case chosen.Kind == "initrd":
		return ""
	}
	return "/run/" + layers.Class(e.Class).Plural() + "/" + e.Name
}

// found checks that the next init finds an extension at a place, or nowhere at all.
func (c *checker) found(f *guest.Facts, e *report.Extension, at string) {
	m := f.At(at)
	if m == nil {
		m = f.At(at + "/usr")
	}
	c.ok(e.Place == at, "%s %s is to be found at %q, wanted %q", e.Class, e.Name, e.Place, at)
	if at == "" {
		for _, m := range f.Mounts {
			c.ok(m.Type != "erofs" || m.Path == "/", "%s is mounted at %s, where the system behind the initrd inherits it or nobody wants it", m.Source, m.Path)
		}
		m = nil
	} else {
		c.ok(m != nil && m.Type == "erofs" && m.Source == "/dev/mapper/"+e.RootHash+"-verity" && has(m.Options, "ro") && has(m.Options, "nodev"),
			"%s %s is to be found at %q, and there is %+v", e.Class, e.Name, at, m)
	}
	confext := e.Class == string(layers.Confext)
	c.ok(m == nil || has(m.Options, "nosuid") == confext && has(m.Options, "noexec") == confext, "%s %s is mounted with %+v: programs run out of a sysext, and none out of a confext", e.Class, e.Name, m)
	c.ok(slices.ContainsFunc(f.DM, func(d guest.DM) bool { return d.Name == e.Device && strings.HasPrefix(d.UUID, "CRYPT-VERITY-") }), "no dm device is called %s", e.Device)
	c.ok(e.Signer != "" && len(e.Extents) > 0, "boot.json says of %s: %+v", e.Name, e)
}

func has(options, option string) bool { return slices.Contains(strings.Split(options, ","), option) }

// cellsExtensions are boots of images with extensions beside them, and with something to write to.
func cellsExtensions() []Cell {
	const at = "vda1:/loader/ddi/"
	const entering = "entering vda1:/loader/ddi/signed.raw"
	tool := map[string]string{"/usr/share/proof/tool": "tool", "/usr/share/proof/both": "tool"}
	disk := func(extensions map[string]string) []Disk { return []Disk{withExtensions("signed", extensions)} }
	leftOut := func(file, image, rule, says string) Cell {
		return Cell{Disks: disk(map[string]string{file: image, "upper.sysext.raw": "upper-ext"}),
			Must: []string{at + file + " refused (" + rule + ")", says, "it is left out", "merge: sysext upper", entering, guest.Sentence}, Check: merged{sysext: []string{"upper"}, left: map[string]string{at + file: rule},
				proofs: map[string]string{"/usr/share/proof/both": "upper", "/usr/share/proof/upper": "upper"}}.check}
	}
	like := func(name, doc string, c Cell) Cell {
		c.Name, c.Doc = name, doc
		return c
	}
	versions := Cell{
		Disks: disk(map[string]string{"tool_1.sysext.raw": "tool-1", "tool_2.sysext.raw": "tool-2", "versions.sysext.raw.v/versions_10.sysext.raw": "versions-10", "versions.sysext.raw.v/versions_11.sysext.raw": "versions-11"}),
		Must:  []string{at + "versions.sysext.raw.v/versions_11.sysext.raw refused (extension): is for another system: found VERSION_ID=14, wanted 13: it is left out", "merge: sysext tool_2, versions", entering, guest.Sentence}, MustNot: []string{"tool_1.sysext.raw"},
		Check: merged{sysext: []string{"tool_2", "versions"}, left: map[string]string{at + "versions.sysext.raw.v/versions_11.sysext.raw": "extension"}, proofs: map[string]string{"/usr/share/proof/version": "10"}}.check,
	}
	var many []Place
	for n := range 1000 {
		many = append(many, Place{Path: fmt.Sprintf("/loader/ddi/x%03d.sysext.raw", n), Text: "no image"})
	}
	cells := []Cell{
		{Name: "ext-merged", Test: true, Doc: "two system extensions and a configuration extension from /loader/ddi, merged in place and in layers",
			Disks: disk(map[string]string{"tool.sysext.raw": "tool-ext", "upper.sysext.raw": "upper-ext", "settings.confext.raw": "settings-conf"}),
			Must: []string{"verify-extension: " + at + "tool.sysext.raw: root hash {roothash tool-ext} signed by", "attach-extension: sysext tool at /dev/dm-", "mount-extension: sysext tool, erofs, ID=debian VERSION_ID=13",
				"merge: sysext tool, upper", "merge: confext settings", entering, guest.Sentence},
			Check: merged{sysext: []string{"tool", "upper"}, confext: []string{"settings"}, proofs: map[string]string{"/usr/share/proof/tool": "tool", "/usr/share/proof/both": "upper", "/usr/share/proof/upper": "upper", "/etc/proof/settings": "settings"}}.check},
		{Name: "ext-own", Doc: "Secure Boot: the running UKI's own directory comes before the shared one", Firmware: SecureBoot,
			Disks: disk(map[string]string{"/EFI/BOOT/BOOTX64.EFI.ddi.d/tool.sysext.raw": "tool-ext", "tool.sysext.raw": "tool-unsigned", "settings.confext.raw": "settings-conf"}),
			Must:  []string{"verify-extension: vda1:/EFI/BOOT/BOOTX64.EFI.ddi.d/tool.sysext.raw", "merge: sysext tool", entering, guest.Sentence}, MustNot: []string{"refused"},
			Check: merged{sysext: []string{"tool"}, confext: []string{"settings"}, proofs: map[string]string{"/usr/share/proof/tool": "tool", "/usr/share/proof/both": "tool", "/etc/proof/settings": "settings"}}.check},
		like("ext-versions", "of the versions of an extension the newest that fits is merged, in a directory of versions and beside each other", versions),
		{Name: "ext-usr", Doc: "an extension that is an image of /usr", Disks: disk(map[string]string{"user.sysext.raw": "user-ext"}),
			Must: []string{"merge: sysext user", entering, guest.Sentence}, Check: merged{sysext: []string{"user"}, proofs: map[string]string{"/usr/share/proof/user": "user"}}.check},
		{Name: "ext-into-usr", Test: true, Doc: "a boot image of /usr: the extensions are merged into the root around it", Disks: []Disk{withExtensions("usr", map[string]string{"tool.sysext.raw": "tool-ext", "settings.confext.raw": "settings-conf"})},
			Must:  []string{"merge: sysext tool", "merge: confext settings", "entering vda1:/loader/ddi/usr.raw", guest.Sentence},
			Check: merged{usr: true, sysext: []string{"tool"}, confext: []string{"settings"}, proofs: map[string]string{"/usr/share/proof/tool": "tool", "/usr/share/proof/both": "tool", "/etc/proof/settings": "settings"}}.check},
		{Name: "ext-initrd", Doc: "an initrd image takes what says that it is for one, and nothing else; what it took ends with it", Disks: []Disk{withExtensions("initrd", map[string]string{"tool.sysext.raw": "tool-ext", "initrd.sysext.raw": "initrd-ext"})},
			Must:  []string{at + "tool.sysext.raw refused (extension): is for another system: found no SYSEXT_SCOPE, wanted initrd", "merge: sysext initrd", "the initrd image has no modules for Linux {release cloud}: nothing can be loaded in it", guest.Sentence},
			Check: merged{sysext: []string{"initrd"}, left: map[string]string{at + "tool.sysext.raw": "extension"}, proofs: map[string]string{"/usr/share/proof/initrd": "initrd"}}.check},
		{Name: "ext-initrd-again", Doc: "an initrd image that finds an extension which was not merged finds those that were: its systemd will merge anew", Disks: []Disk{withExtensions("initrd", map[string]string{"initrd.sysext.raw": "initrd-ext"})},
			Delivered: []Delivered{{Image: "tool-ext", Path: "/.extra/sysext/tool.raw"}}, Must: []string{"initrd:/.extra/sysext/tool.raw refused (extension)", "merge: sysext initrd", guest.Sentence},
			Check: merged{others: true, sysext: []string{"initrd"}, left: map[string]string{"initrd:/.extra/sysext/tool.raw": "extension"}, proofs: map[string]string{"/usr/share/proof/initrd": "initrd"}}.carrying("sysext/tool.raw")},
		{Name: "ext-in-memory", Doc: "what the boot loader left in memory is merged, too, and not carried over a second time", Disks: disk(nil), Delivered: []Delivered{{Image: "tool-ext", Path: "/.extra/sysext/tool.raw"}, {Image: "settings-conf", Path: "/.extra/confext/settings.confext.raw"}},
			Must:    []string{"merge: sysext tool", "merge: confext settings", entering, guest.Sentence},
			MustNot: []string{"going on with"},
			Check:   merged{sysext: []string{"tool"}, confext: []string{"settings"}, proofs: map[string]string{"/usr/share/proof/tool": "tool", "/usr/share/proof/both": "tool", "/etc/proof/settings": "settings"}}.carrying()},
		{Name: "ext-in-memory-whole", Doc: "what the boot loader left in memory and cannot be merged is carried over: the next init may know what to do with it", Disks: disk(nil), Delivered: []Delivered{{Image: "optional-ext", Path: "/.extra/sysext/optional.raw"}},
			Must:  []string{"initrd:/.extra/sysext/optional.raw refused (extension): cannot merge extensions", entering, guest.Sentence},
			Check: merged{left: map[string]string{"initrd:/.extra/sysext/optional.raw": "extension"}}.carrying("sysext/optional.raw")},
		{Name: "ext-writable", Test: true, Doc: "ddi.overlay=tmpfs: the root can be written to, with an extension over it", Cmdline: "ddi.overlay=tmpfs", Disks: disk(map[string]string{"tool.sysext.raw": "tool-ext"}),
			Must: []string{"merge: sysext tool", entering, guest.Sentence}, Check: merged{sysext: []string{"tool"}, proofs: tool, writable: true}.check},
		{Name: "ext-overlay", Doc: "ddi.overlay=tmpfs and nothing to merge", Cmdline: "ddi.overlay=tmpfs", Disks: disk(nil), Must: []string{entering, guest.Sentence}, Check: merged{writable: true}.check},
		{Name: "ext-overlay-usr", Doc: "ddi.overlay=tmpfs and a boot image of /usr, whose root is in memory anyway", Cmdline: "ddi.overlay=tmpfs", Disks: []Disk{onESP("usr")},
			Must: []string{"entering vda1:/loader/ddi/usr.raw", guest.Sentence}, Check: merged{usr: true}.check},
		{Name: "ext-measured", Doc: "extensions are in PCR 13 behind the boot image, in the order of their layers, as the host predicts", TPM: &TPM{Image: "signed", Merged: []string{"tool-ext", "upper-ext", "settings-conf"}},
			Disks: disk(map[string]string{"tool.sysext.raw": "tool-ext", "upper.sysext.raw": "upper-ext", "settings.confext.raw": "settings-conf", "other.sysext.raw": "other-ext"}),
			Must:  []string{"ddi:os:signed:{roothash signed}:", "ddi:sysext:tool:{roothash tool-ext}:", "ddi:sysext:upper:", "ddi:confext:settings:", "merge: sysext tool, upper", guest.Sentence}},
		{Name: "ext-unmerged", Doc: "what is measured and cannot be merged then is measured a second time: PCR 13 has another value than after a merge", TPM: &TPM{Image: "signed", Merged: []string{"optional-ext", "tool-ext"}, Unmerged: []string{"optional-ext", "tool-ext"}},
			Disks: disk(map[string]string{"optional.sysext.raw": "optional-ext", "tool.sysext.raw": "tool-ext"}),
			Must:  []string{"ddi:sysext:tool:{roothash tool-ext}:", at + "tool.sysext.raw refused (extension): cannot merge extensions", "ddi:unmerged:tool:{roothash tool-ext}:", guest.Sentence}},
		{Name: "ext-no", Doc: "ddi.merge=no: extensions are not looked at", Cmdline: "ddi.merge=no", Disks: disk(map[string]string{"tool.sysext.raw": "tool-ext"}),
			Must: []string{entering, guest.Sentence}, MustNot: []string{"extension"}, Check: merged{}.check},
		{Name: "ext-unable", Doc: "a stage 1 that cannot merge says so in one sentence, and boots", Stage1: "minimal", Disks: disk(map[string]string{"tool.sysext.raw": "tool-ext", "settings.confext.raw": "settings-conf"}),
			Must: []string{"this stage 1 cannot merge extensions, and there are 2: they are left out", entering, guest.Sentence}, Check: contractOS},
		{Name: "ext-unable-asked", Doc: "one that is asked to refuses the command line", Stage1: "minimal", Cmdline: "ddi.overlay=tmpfs", Disks: disk(nil), Verdict: Refused,
			Must: []string{"cannot use ddi.overlay=tmpfs from the kernel command line", "was not built into it"}},

		like("ext-unsigned", "an unsigned extension is left out, and the others are merged", leftOut("tool.sysext.raw", "tool-unsigned", "signed", "the image has no signature partition")),
		like("ext-stranger", "a stranger's extension", leftOut("tool.sysext.raw", "tool-stranger", "signed", "wanted a signature by")),
		like("ext-flipped", "an extension with a flipped bit", leftOut("tool.sysext.raw", "tool-flipped", "verity", "a block that is not what was signed")),
		like("ext-other-version", "one that is for another version of the system", leftOut("other.sysext.raw", "other-ext", "extension", "is for another system: found VERSION_ID=12, wanted 13")),
		like("ext-os-release", "one that would change what the system says it is", leftOut("replace.sysext.raw", "replace-ext", "extension", "found /usr/lib/os-release in it")),
		like("ext-renamed", "a system extension that is called a configuration extension", leftOut("tool.confext.raw", "tool-ext", "extension", "does not say which system it is for")),
		like("ext-boot-image", "a boot image that is called an extension", leftOut("os.sysext.raw", "signed9", "extension", "does not say which system it is for")),
		like("ext-another-name", "one that was renamed", leftOut("tools.sysext.raw", "tool-ext", "extension", "does not say which system it is for: cannot find /usr/lib/extension-release.d/extension-release.tools")),
		{Name: "ext-denied", Doc: "one whose root hash is on the list of denied ones", Stage1: "extensions-denied", Disks: disk(map[string]string{"tool.sysext.raw": "tool-ext"}),
			Must: []string{at + "tool.sysext.raw refused (denied)", entering, guest.Sentence}, Check: merged{left: map[string]string{at + "tool.sysext.raw": "denied"}}.check},
		{Name: "ext-narrow", Doc: "sysext-policy= keeps out what it does not name", Stage1: "extensions-narrow", Disks: disk(map[string]string{"user.sysext.raw": "user-ext", "tool.sysext.raw": "tool-ext"}),
			Must: []string{at + "user.sysext.raw refused (policy)", "merge: sysext tool", entering, guest.Sentence}, Check: merged{sysext: []string{"tool"}, proofs: tool, left: map[string]string{at + "user.sysext.raw": "policy"}}.check},
		{Name: "ext-always-signed", Doc: "whatever the policy says, an extension is signed", Stage1: "extensions-open", Disks: disk(map[string]string{"tool.sysext.raw": "tool-unsigned"}),
			Must: []string{at + "tool.sysext.raw refused (signed): an extension is always signed", entering, guest.Sentence}, Check: merged{left: map[string]string{at + "tool.sysext.raw": "signed"}}.check},
		{Name: "ext-twice", Doc: "the same extension under two names", Disks: disk(map[string]string{"tool.sysext.raw": "tool-ext", "tool_1.sysext.raw": "tool-ext", "zoo.sysext.raw": "tool-ext"}),
			Must: []string{at + "zoo.sysext.raw refused (extension): found the root hash of " + at + "tool", "merge: sysext tool", entering, guest.Sentence}},
		{Name: "ext-whole", Doc: "a merge that cannot be made as a whole is not made at all: this image has no /opt", Disks: disk(map[string]string{"optional.sysext.raw": "optional-ext", "tool.sysext.raw": "tool-ext"}),
			Must:  []string{at + "optional.sysext.raw refused (extension): cannot merge extensions", entering, guest.Sentence},
			Check: merged{left: map[string]string{at + "optional.sysext.raw": "extension", at + "tool.sysext.raw": "extension"}}.check},
		{Name: "ext-init", Doc: "one that hides the init of the image is not merged: the image is entered as it is", Disks: []Disk{withExtensions("usr", map[string]string{"blind.sysext.raw": "blind-ext", "settings.confext.raw": "settings-conf"})},
			Must:  []string{at + "blind.sysext.raw refused (extension): cannot merge extensions: with them nothing that can be executed would be at /sbin/init", "merge: confext settings", "entering vda1:/loader/ddi/usr.raw", guest.Sentence},
			Check: merged{usr: true, confext: []string{"settings"}, left: map[string]string{at + "blind.sysext.raw": "extension"}, proofs: map[string]string{"/etc/proof/settings": "settings"}}.check},
		{Name: "ext-thousand", Doc: "a thousand extensions: so many as are looked at are, the others are counted, and the boot goes on", Disks: []Disk{{Place: append(onESP("signed").Place, many...)}},
			Must: []string{at + "x000.sysext.raw refused (readable)", "872 extensions for " + at + "signed.raw refused (found): found 1000, wanted at most 128: these were not looked at", entering, guest.Sentence}, MustNot: []string{"x128"}},
	}
	for i := range cells {
		c := &cells[i]
		c.Group = "extensions"
		if c.Stage1 == "" {
			c.Stage1 = "extensions"
		}
		if c.Verdict == "" {
			c.Verdict = Entered
		}
	}
	return cells
}
