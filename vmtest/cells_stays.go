// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package vmtest

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/initddi/initddi/internal/layers"
	"github.com/initddi/initddi/vmtest/guest"
)

// An operating system that stays in its boot image, with extensions: Debian 13 and its own systemd-sysext and systemd-confext, which
// know nothing of stage 1.

// bigSize is the size of an extension of which next to nothing is read, in bytes.
const bigSize = 600_000_000

// checkScript is what an extension brings and a person at the console starts. It says what the system's own tools make of the merge, line
// by line: "check NAME: VALUE". It goes on when the extension that it lies in is taken out.
const checkScript = `#!/bin/sh
if [ "$0" != /run/ext-check ]; then cp "$0" /run/ext-check; exec sh /run/ext-check; fi
say() { echo "check $1: $2"; }
has() { for f in "$@"; do [ -e $f ] && printf ' %s' $f; done; }
proofs() { has /usr/share/proof/service /usr/share/proof/big /etc/proof/settings; }
say state "$(systemctl is-system-running --wait)"
say failed "$(systemctl --failed --no-legend --plain | cut -d' ' -f1 | tr '\n' ' ')"
systemctl --failed --no-legend --plain | while read -r unit rest; do journalctl -b -o cat -n 5 -u "$unit"; done
say service "$(systemctl is-active ext-proof.service)"
say proofs "$(proofs)"
say root "$(findmnt -n -o FSTYPE /) $(touch /written 2>/dev/null && echo writable || echo read-only)"
say sysext "$(systemd-sysext status --json=short)"
say confext "$(systemd-confext status --json=short)"
say list "$(systemd-sysext list --json=short)"
systemd-sysext refresh >/run/log.1 2>&1; say refresh "$? $(systemd-sysext status --json=short)"
systemd-confext refresh >/run/log.2 2>&1; say confext-refresh "$? $(systemd-confext status --json=short)"
say refreshed "$(proofs)"
systemd-sysext unmerge >/run/log.3 2>&1; say unmerge "$? $(systemd-sysext status --json=short)"
systemd-confext unmerge >/run/log.4 2>&1; say confext-unmerge "$? $(systemd-confext status --json=short)"
say unmerged "$(proofs)"
systemd-sysext merge >/run/log.5 2>&1; say merge "$? $(systemd-sysext status --json=short)"
systemd-confext merge >/run/log.6 2>&1; say confext-merge "$? $(systemd-confext status --json=short)"
say merged "$(proofs)"
cat /run/log.*
say service-again "$(systemctl is-active ext-proof.service)"
systemd-sysext unmerge >/dev/null 2>&1; systemd-confext unmerge >/dev/null 2>&1
for at in /run/extensions/* /run/confexts/*; do umount "$at"; done
say devices "$(cat /sys/block/dm-*/dm/name | grep -c -- -verity)"
say end now
`

func imagesStays() []Image {
	service := extensionOf(layers.Sysext, "service", fits, "usr/share/proof/service", "service", "usr/bin/ext-check", checkScript,
		"usr/lib/systemd/system/ext-proof.service", "[Service]\nType=oneshot\nRemainAfterExit=yes\nExecStart=/bin/sh -c 'echo ext-proof: started >/dev/kmsg'\n",
		"usr/lib/systemd/system/multi-user.target.d/10-ext-proof.conf", "[Unit]\nUpholds=ext-proof.service\n")
	big := extensionOf(layers.Sysext, "big", fits, "usr/share/proof/big", "big")
	big.Random, big.Compress = bigSize, "none"
	return []Image{service, big}
}

// status is an element of what "status --json=short" says; the extensions are "none" or a list.
type status struct {
	Hierarchy  string          `json:"hierarchy"`
	Extensions json.RawMessage `json:"extensions"`
}

// saw returns what the script said of name.
func saw(console, name string) string {
	for line := range strings.Lines(console) {
		if _, value, ok := strings.Cut(line, "check "+name+": "); ok {
			return strings.TrimSpace(value)
		}
	}
	return ""
}

// stays judges what the system's own tools said: which extensions they see merged, at every step, and which files were there.
func stays(writable bool, sysexts, confexts []string) func(string) []string {
	return func(console string) []string {
		var wrong []string
		want := func(name, value string) {
			if got := saw(console, name); got != value {
				wrong = append(wrong, fmt.Sprintf("the system says %s %q, wanted %q", name, got, value))
			}
		}
		statusIs := func(name string, class layers.Class, names []string) {
			text := saw(console, name)
			code, rest, ok := strings.Cut(text, " ")
			if ok && !strings.HasPrefix(text, "[") {
				if code != "0" {
					wrong = append(wrong, fmt.Sprintf("%s ended with %s", name, code))
				}
				text = rest
			}
			var list []status
			if err := json.Unmarshal([]byte(text), &list); err != nil {
				wrong = append(wrong, fmt.Sprintf("the system says %s %q: %v", name, text, err))
				return
			}
			for _, h := range list {
				var got []string
				_ = json.Unmarshal(h.Extensions, &got) // "none" is none
				expect := names
				if h.Hierarchy == "/opt" {
					expect = nil
				}
				if !slices.Equal(got, expect) {
					wrong = append(wrong, fmt.Sprintf("%s: at %s the system sees %q merged, wanted %q", name, h.Hierarchy, got, expect))
				}
			}
			if len(list) != len(class.Hierarchies()) {
				wrong = append(wrong, fmt.Sprintf("%s is about %d hierarchies", name, len(list)))
			}
		}
		var proofs []string
		for _, name := range []string{"service", "big"} {
			if slices.Contains(sysexts, name) {
				proofs = append(proofs, "/usr/share/proof/"+name)
			}
		}
		proofs = append(proofs, "/etc/proof/settings")
		want("state", "running")
		want("failed", "")
		want("service", "active")
		want("service-again", "active")
		root := "erofs read-only"
		if writable {
			root = "overlay writable"
		}
		want("root", root)
		for _, step := range []string{"sysext", "refresh", "merge"} {
			statusIs(step, layers.Sysext, sysexts)
		}
		for _, step := range []string{"confext", "confext-refresh", "confext-merge"} {
			statusIs(step, layers.Confext, confexts)
		}
		for _, step := range []string{"proofs", "refreshed", "merged"} {
			want(step, strings.Join(proofs, " "))
		}
		want("unmerged", "")
		statusIs("unmerge", layers.Sysext, nil)
		statusIs("confext-unmerge", layers.Confext, nil)
		// What was started from the merged /usr holds its layers; nothing holds those of /etc.
		want("devices", strconv.Itoa(len(sysexts)))
		return wrong
	}
}

// cellsStays are boots of Debian 13 with extensions, up to the login and beyond.
func cellsStays() []Cell {
	extensions := []Place{{Path: "/loader/ddi/service.sysext.raw", Image: "service-ext"}, {Path: "/loader/ddi/settings.confext.raw", Image: "settings-conf"}, {Path: "/loader/ddi/other.sysext.raw", Image: "other-ext"}}
	debian := append([]Place{{Path: "/loader/ddi/debian_13.raw", Image: "debian"}}, extensions...)
	login := []Line{{"initddi login:", "root"}, {"root@initddi", "ext-check"}, {"check end: now", "systemctl poweroff"}}
	must := []string{"Secure Boot on", "other.sysext.raw refused (extension): is for another system: found VERSION_ID=12, wanted 13: it is left out", "merge: sysext service", "merge: confext settings", "entering vda", "initddi login:", "check end: now"}
	cells := []Cell{
		{Name: "stays", Doc: "Debian 13 that stays in its image on the ESP, with a system extension whose service starts and a configuration extension: its own systemd sees the merge as its own, and refreshes, unmerges and merges again",
			Disks: []Disk{{Place: debian}}, Look: stays(false, []string{"service"}, []string{"settings"})},
		{Name: "stays-xbootldr", Doc: "the same on an XBOOTLDR partition, with a root that can be written to", Cmdline: "ddi.overlay=tmpfs",
			Disks: []Disk{{Extended: debian}}, Look: stays(true, []string{"service"}, []string{"settings"})},
		{Name: "stays-big", Doc: "the same with a further extension of 600 MB of which next to nothing is read",
			Disks: []Disk{{Place: append(slices.Clone(debian), Place{Path: "/loader/ddi/big.sysext.raw", Image: "big-ext"})}}, Look: stays(false, []string{"big", "service"}, []string{"settings"})},
	}
	for i := range cells {
		c := &cells[i]
		c.Firmware, c.Stage1, c.Verdict, c.Dialogue, c.Must, c.Limit = SecureBoot, "extensions", Entered, login, must, 8*time.Minute
	}
	cells[2].Must = append([]string{"mount-extension: sysext big"}, must[2:]...)
	cells[2].Must[1] = "merge: sysext big, service"
	cells = append(cells, Cell{Name: "ext-big", Doc: "an extension of 600 MB costs no memory, and of its file next to nothing is read", Stage1: "extensions", Verdict: Entered,
		Disks: []Disk{withExtensions("signed", map[string]string{"big.sysext.raw": "big-ext"})}, Must: []string{"mount-extension: sysext big", "merge: sysext big", guest.Sentence}, Check: costsNothing})
	for i := range cells {
		cells[i].Group = "extensions"
	}
	return cells
}

// costsNothing checks that the memory for an extension of 600 MB is that of a small one, and that as much was read.
func costsNothing(f *guest.Facts) []string {
	c := &checker{wrong: merged{sysext: []string{"big"}, proofs: map[string]string{"/usr/share/proof/big": "big"}}.check(f)}
	c.ok(f.MemAvailable >= 840_000, "%d kB of memory are available, wanted at least 840000", f.MemAvailable)
	n := int64(0)
	for _, bytes := range f.Read {
		n += bytes
	}
	c.ok(n < 8_000_000, "%d bytes were read of the disk, wanted less than 8 MB", n)
	return c.wrong
}
