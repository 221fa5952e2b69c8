// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package vmtest

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/initddi/initddi/internal/netlab"
	"github.com/initddi/initddi/vmtest/guest"
)

// onNBD is what ddi.url= says of the server in a cell's network. nbdkit has the one image under every name.
const onNBD = "nbd://" + netlab.Address4 + "/"

func imagesNBD() []Image { return []Image{{Name: "debian", Ready: "debian_13.raw"}} }

// serves is a network in which an NBD server has an image.
func serves(image string, options ...string) *Network {
	return &Network{Dnsmasq: netlab.DHCP4, NBD: &NBD{Image: image, Options: options}}
}

// cellsNBD are boots from an NBD server: nbdkit, which counts what it was asked for.
func cellsNBD() []Cell {
	const next = "going on with esp"
	cells := []Cell{
		{Name: "nbd", Test: true, Doc: "an export of an NBD server, used where it is: only what is read crosses the network", Cmdline: "ddi.source=nbd ddi.url=" + onNBD + "signed", Network: serves("signed"),
			Verdict: Entered, Must: []string{"nbd offers 1 images", "in place in 2 pieces", "entering " + onNBD + "signed", guest.Sentence}, Check: overNBD(onNBD + "signed"), Served: servedLess(6291456 / 2)},
		{Name: "nbd-debian", Doc: "Debian 13 to multi-user.target out of an export: nothing failed, and less was read than there is", Cmdline: "ddi.source=nbd ddi.url=" + onNBD + "debian", Network: serves("debian"),
			Credentials: map[string]string{"initddi.report": "poweroff"}, Limit: 8 * time.Minute,
			Verdict: Entered, Must: []string{"entering " + onNBD + "debian"}, Report: debianRuns, Served: servedLess(60 << 20)},
		{Name: "nbd-blocks", Doc: "a server that takes whole blocks of 4096 bytes only", Cmdline: "ddi.source=nbd ddi.url=" + onNBD + "signed",
			Network: &Network{Dnsmasq: netlab.DHCP4, NBD: &NBD{Image: "signed", Options: []string{"--filter=blocksize-policy"},
				Parameters: []string{"blocksize-minimum=4096", "blocksize-preferred=4096", "blocksize-maximum=1M", "blocksize-error-policy=error"}}},
			Verdict: Entered, Must: []string{"entering " + onNBD + "signed", guest.Sentence}, Check: overNBD(onNBD + "signed")},
		{Name: "nbd-unsigned", Doc: "an unsigned image on a server is refused as one on a disk", Cmdline: "ddi.source=nbd ddi.url=" + onNBD + "os", Network: serves("unsigned"),
			Verdict: Refused, Must: []string{onNBD + "os refused (signed)"}},
		{Name: "nbd-flipped", Doc: "a server with a flipped bit in a block that stage 1 reads", Cmdline: "ddi.source=nbd ddi.url=" + onNBD + "os", Network: serves("flipped-first"),
			Verdict: Refused, Must: []string{onNBD + "os refused (verity)", "found a block that is not what was signed"}},
		{Name: "nbd-flipped-late", Doc: "a server with a flipped bit in a block that only the next init reads: the machine restarts before it gets the block", Cmdline: "ddi.source=nbd ddi.url=" + onNBD + "os", Network: serves("flipped-late"),
			Verdict: Restarted, Must: []string{"entering " + onNBD + "os", "device-mapper: verity:", "is corrupted", sentenceCorrupt}, MustNot: []string{guest.Sentence}},
		{Name: "nbd-next-url", Doc: "nobody is at the first URL, the second has the image", Cmdline: "ddi.source=nbd ddi.url=nbd://" + netlab.Address4 + ":10810/os," + onNBD + "signed", Network: serves("signed"),
			Verdict: Entered, Must: []string{"cannot use nbd://" + netlab.Address4 + ":10810/os: ", "nbd offers 1 images", "entering " + onNBD + "signed", guest.Sentence}},
		{Name: "nbd-no-export", Doc: "the server has no such export, and the image on the disk is entered", Cmdline: "ddi.source=nbd,esp ddi.url=" + onNBD + "os", Disks: []Disk{onESP("signed")},
			Network: &Network{Dnsmasq: netlab.DHCP4, NBD: &NBD{Image: "signed", Options: []string{"--filter=exportname"}, Parameters: []string{"exportname-strict=true", "exportname=fedora"}}},
			Verdict: Entered, Must: []string{"the server has no such export", next, "entering vda1:/loader/ddi/signed.raw", guest.Sentence}},
		{Name: "nbd-gone", Doc: "the server ends after it was asked, before it is read from: the image on the disk is entered", Cmdline: "ddi.source=nbd,esp ddi.timeout=10 ddi.url=" + onNBD + "os", Disks: []Disk{onESP("signed")},
			Network: serves("signed", "--filter=exitlast"),
			Verdict: Entered, Must: []string{"nbd offers 1 images", onNBD + "os refused (", next, "entering vda1:/loader/ddi/signed.raw", guest.Sentence}, Check: contractOS},
		{Name: "nbd-dies", Doc: "the server dies while it is read from: the image on the disk is entered", Cmdline: "ddi.source=nbd,esp ddi.timeout=10 ddi.url=" + onNBD + "os", Disks: []Disk{onESP("signed")},
			Network: &Network{Dnsmasq: netlab.DHCP4, NBD: &NBD{Image: "signed", Plugin: diesAfter(6)}},
			Verdict: Entered, Must: []string{"nbd offers 1 images", onNBD + "os refused (readable)", next, "entering vda1:/loader/ddi/signed.raw", guest.Sentence}, Check: contractOS},
		{Name: "nbd-hangs", Doc: "the server agrees and then answers nothing: given up within ddi.timeout=, and the image on the disk is entered", Cmdline: "ddi.source=nbd,esp ddi.timeout=10 ddi.url=" + onNBD + "os", Disks: []Disk{onESP("signed")},
			Network: &Network{Dnsmasq: netlab.DHCP4, NBD: &NBD{Image: "signed", Options: []string{"--filter=delay"}, Parameters: []string{"rdelay=1000"}}},
			Verdict: Entered, Must: []string{"nbd offers 1 images", onNBD + "os refused (readable)", next, "entering vda1:/loader/ddi/signed.raw", guest.Sentence}, Check: contractOS},
		{Name: "nbd-broken", Doc: "the server has errors for an answer: the image on the disk is entered", Cmdline: "ddi.source=nbd,esp ddi.url=" + onNBD + "os", Disks: []Disk{onESP("signed")},
			Network: &Network{Dnsmasq: netlab.DHCP4, NBD: &NBD{Image: "signed", Options: []string{"--filter=error"}, Parameters: []string{"error-pread-rate=100%"}}},
			Verdict: Entered, Must: []string{onNBD + "os refused (readable)", next, "entering vda1:/loader/ddi/signed.raw", guest.Sentence}, Check: contractOS},
	}
	for i := range cells {
		cells[i].Group = "sources"
		cells[i].Stage1 = "network"
	}
	return cells
}

// diesAfter is a plugin of nbdkit that serves an image and kills its server at a read.
func diesAfter(reads int) []string {
	return []string{
		"eval", "get_size=stat -Lc %s {image}",
		"pread=printf x >>$tmpdir/n; [ $(wc -c <$tmpdir/n) -lt " + strconv.Itoa(reads) + " ] || kill -9 $PPID; dd if={image} iflag=skip_bytes,count_bytes skip=$4 count=$3 status=none",
	}
}

// overNBD is the contract for an image that is used where a server has it: dm-linear lies on the device itself, and the network is still
// there.
func overNBD(url string) func(*guest.Facts) []string {
	return func(f *guest.Facts) []string {
		c := &checker{elsewhere: true, held: 24 << 10}
		boot := c.common(f)
		c.ok(boot.Source == "nbd" && boot.URL == url && boot.Node == "nbd0" && !boot.Copied, "boot.json says %+v", *boot)
		c.devices(f, "root")
		c.ok(len(f.Loops) == 0, "the loop devices are %v, wanted none", f.Loops)
		c.ok(slices.Contains(f.Modules, "nbd"), "the modules are %v, without nbd", f.Modules)
		return c.wrong
	}
}

// debianRuns is debianIsWell without what only a machine with an ESP has.
func debianRuns(report string) []string {
	var wrong []string
	for _, want := range []string{"state=running", "failed-units=0", "jobs=0", "done=1"} {
		if !slices.ContainsFunc(strings.Split(report, "\n"), func(line string) bool {
			value, _, _ := strings.Cut(strings.TrimRight(line, "\r"), ":")
			return value == want
		}) {
			wrong = append(wrong, fmt.Sprintf("the system does not say %s: %s", want, report))
		}
	}
	return wrong
}

// servedLess holds what the server was asked for against a bound: over http all of the image would have come.
func servedLess(bound int) func(map[string]string) []string {
	request := regexp.MustCompile(`debug: file: pread count=(\d+)`)
	return func(logs map[string]string) []string {
		total := 0
		for _, m := range request.FindAllStringSubmatch(logs[netlab.NBD], -1) {
			n, err := strconv.Atoi(m[1])
			if err != nil {
				return []string{err.Error()}
			}
			total += n
		}
		if total == 0 || total >= bound {
			return []string{fmt.Sprintf("the server was asked for %d bytes, wanted some, and less than %d", total, bound)}
		}
		return nil
	}
}
