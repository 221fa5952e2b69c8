// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package vmtest

import (
	"maps"
	"slices"
	"time"

	"github.com/initddi/initddi/internal/layers"
	"github.com/initddi/initddi/vmtest/guest"
)

func imagesShared() []Image {
	return []Image{
		{Name: "os13", Key: "ddi", Release: "SYSEXT_LEVEL=1\n"},
		{Name: "os14", Key: "ddi", Release: "VERSION_ID=14\nSYSEXT_LEVEL=1\n"},
		extensionOf(layers.Sysext, "level", "ID=debian\nSYSEXT_LEVEL=1\n", "usr/share/proof/level", "level"),
	}
}

// cellsShared are machines whose extensions are not those of one boot alone: two UKIs that share them, and a person in a shell before they are merged.
func cellsShared() []Cell {
	cells := []Cell{sharedByUKIs(), breakMerge()}
	for i := range cells {
		cells[i].Group, cells[i].Verdict = "extensions", Entered
	}
	return cells
}

// sharedByUKIs is a machine with two UKIs on one ESP, of different stages 1 and command lines, each with a version of the system in its own
// directory, and with the same extensions for both. What the one starts, it starts with the extensions that fit; nobody writes to any.
func sharedByUKIs() Cell {
	const (
		at    = "vda1:/loader/ddi/"
		next  = "/EFI/Linux/next.efi"
		other = " refused (extension): is for another system: found VERSION_ID="
		old   = "versions.sysext.raw.v/versions_10.sysext.raw"
		young = "versions.sysext.raw.v/versions_11.sysext.raw"
	)
	shared := map[string]string{
		// For both versions.
		"upper.sysext.raw": "upper-ext", "level.sysext.raw": "level-ext",
		// For one of them.
		"tool.sysext.raw": "tool-ext", "settings.confext.raw": "settings-conf",
		// An image of /usr, which one of the stages 1 takes.
		"user.sysext.raw": "user-ext",
		// A version for each.
		old: "versions-10", young: "versions-11",
	}
	disk := Disk{Loader: true, Place: []Place{
		{Path: "/loader/loader.conf", Text: "default initddi.efi\ntimeout 0\n"},
		{Path: ukiPath + ".ddi.d/os.raw", Image: "os13"},
		{Path: next, UKI: "extensions-narrow", Cmdline: "marker.uki=next"}, {Path: next + ".ddi.d/os.raw", Image: "os14"},
	}}
	for _, name := range slices.Sorted(maps.Keys(shared)) {
		disk.Place = append(disk.Place, Place{Path: "/loader/ddi/" + name, Image: shared[name]})
	}
	c := Cell{Name: "ext-shared", Doc: "Secure Boot, two UKIs and two versions of a system on one ESP: the extensions that both can use are merged by both, and what is for the other version is left out, with its reason",
		Firmware: SecureBoot, Stage1: "extensions", Cmdline: "marker.oneshot=next.efi", Disks: []Disk{disk}, Keep: true, Limit: 4 * time.Minute,
		Must: []string{"Secure Boot on", at + young + other + "14, wanted 13: it is left out", "merge: sysext level, tool, upper, user, versions", "merge: confext settings",
			"entering vda1:" + ukiPath + ".ddi.d/os.raw", guest.Sentence, "marker: chose an entry for the next boot: <nil>"},
		Check: merged{sysext: []string{"level", "tool", "upper", "user", "versions"}, confext: []string{"settings"}, left: map[string]string{at + young: "extension"},
			proofs: map[string]string{"/usr/share/proof/tool": "tool", "/usr/share/proof/both": "upper", "/usr/share/proof/upper": "upper", "/usr/share/proof/level": "level",
				"/usr/share/proof/user": "user", "/usr/share/proof/version": "10", "/etc/proof/settings": "settings"}}.check,
		Again: []Again{{Verdict: Entered, MustNot: []string{ukiPath},
			Must: []string{"Secure Boot on", at + "tool.sysext.raw" + other + "13, wanted 14: it is left out", at + "user.sysext.raw refused (policy): found a usr partition", at + "settings.confext.raw" + other + "13, wanted 14: it is left out",
				"merge: sysext level, upper, versions", "entering vda1:" + next + ".ddi.d/os.raw", guest.Sentence},
			Check: merged{sysext: []string{"level", "upper", "versions"}, left: map[string]string{at + "settings.confext.raw": "extension", at + "tool.sysext.raw": "extension", at + "user.sysext.raw": "policy"},
				proofs: map[string]string{"/usr/share/proof/both": "upper", "/usr/share/proof/upper": "upper", "/usr/share/proof/level": "level", "/usr/share/proof/version": "11"}}.check}},
	}
	for _, p := range disk.Place {
		if p.Image != "" {
			c.Unchanged = append(c.Unchanged, p.Path)
		}
	}
	return c
}

// breakMerge is a shell between the boot image and its extensions, in which a person merges another extension into another tree, and takes it
// out again: neither shows outside of that tree, and the boot goes on as if nobody had been there.
func breakMerge() Cell {
	const root = "/tmp/sys"
	return Cell{Name: "break-merge", Doc: "ddi.break=merge: the image is verified and cannot be seen yet, no extension was looked at, and sysextmerge works; leaving the shell lets the merge go on",
		Stage1: "debug", Cmdline: "ddi.break=merge", Disks: []Disk{withExtensions("signed", map[string]string{"tool.sysext.raw": "tool-ext"})},
		Delivered: []Delivered{{Image: "upper-ext", Path: "/given/upper.raw"}, {Image: "tool-unsigned", Path: "/given/tool.raw"}},
		Dialogue: []Line{
			{"ddi.break=merge: a shell", "set -- /sys/block/dm-*; echo devices-$#; grep -q erofs /proc/mounts || echo seen-$((0)); [ -e /run/extensions ] || echo places-$((0))"},
			{"places-0", "mkdir -p " + root + "/usr/lib " + root + "/opt " + root + "/run/extensions; echo ID=other >" + root + "/usr/lib/os-release; cp /given/upper.raw " + root + "/run/extensions/; sysextmerge --root=" + root + " merge; echo merge-$?"},
			{"merge-0", "sysextmerge --root=" + root + " --json=short status; echo proof-$(cat " + root + "/usr/share/proof/upper)-$(cat " + root + "/usr/lib/os-release)"},
			{"proof-upper-ID=other", "cp /given/tool.raw " + root + "/run/extensions/; sysextmerge --root=" + root + " refresh; echo refresh-$?; echo still-$(cat " + root + "/usr/share/proof/upper)"},
			{"still-upper", "sysextmerge --root=" + root + " unmerge; echo unmerge-$?; echo left-$(ls " + root + "/usr)"},
			{"left-lib", "exit"},
		},
		Must: []string{"mount: os image, erofs", "ddi.break=merge: a shell", "devices-2", "seen-0", "places-0", "Using extensions 'upper.raw'", "merge-0", `"hierarchy":"/usr","extensions":["upper"]`, "proof-upper-ID=other",
			"refused (signed)", "refresh-1", "still-upper", "unmerge-0", "left-lib", "mount-extension: sysext tool", "merge: sysext tool", "entering vda1:/loader/ddi/signed.raw", guest.Sentence},
		Check: merged{sysext: []string{"tool"}, proofs: map[string]string{"/usr/share/proof/tool": "tool", "/usr/share/proof/both": "tool"}}.check}
}
