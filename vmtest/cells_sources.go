// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package vmtest

import (
	"encoding/json"
	"strings"
	"time"

	"github.com/initddi/initddi/internal/netlab"
	"github.com/initddi/initddi/internal/report"
	"github.com/initddi/initddi/vmtest/guest"
)

func stagesSources() []Stage1 {
	return []Stage1{{Name: "pmem", Classes: []string{"virtio", "pmem"}}, {Name: "with-image", Image: "signed"}}
}

// secondInitrd is an image in a second archive of the boot loader's.
func secondInitrd(images ...string) []Delivered {
	var out []Delivered
	for _, i := range images {
		out = append(out, Delivered{Image: i, Path: "/ddi/" + i + ".raw"})
	}
	return out
}

// pmemAt is where images for memory lie, in MiB, and reserved what tells the kernel so.
const (
	pmemAt   = 512
	reserved = "memmap=64M!512M"
)

func atAddress(image string) []Delivered { return []Delivered{{Image: image, Address: pmemAt}} }

// cellsSources are boots of images that are not on the ESP, and of what becomes of it if one source has nothing good.
func cellsSources() []Cell {
	const from = "nothing from esp can be entered up to now: going on with initrd"
	cells := []Cell{
		{Name: "initrd-second", Test: true, Doc: "no disk at all, the image in a second initrd: the ESP is not waited for until ddi.timeout= is over", Delivered: secondInitrd("signed"),
			Verdict: Entered, Must: []string{from, "read-image: /ddi/signed.raw: 6291456 bytes in 1 extents", "in place in 2 pieces", "entering initrd:/ddi/signed.raw", guest.Sentence}, Check: inInitramfs("/ddi/signed.raw")},
		{Name: "initrd-own", Doc: "Secure Boot, the image in stage 1's own archive, and nothing on the ESP", Firmware: SecureBoot, Stage1: "with-image", Disks: []Disk{{}},
			Verdict: Entered, Must: []string{"Secure Boot on", from, "entering initrd:/ddi/signed.raw", guest.Sentence}, Check: inInitramfs("/ddi/signed.raw")},
		{Name: "initrd-only", Doc: "ddi.source=initrd waits for no disk", Cmdline: "ddi.source=initrd", Disks: []Disk{onESP("signed9")}, Delivered: secondInitrd("signed"),
			Verdict: Entered, Must: []string{"storage: initrd", "entering initrd:/ddi/signed.raw", guest.Sentence}, MustNot: []string{"vda1"}, Check: inInitramfs("/ddi/signed.raw")},
		{Name: "initrd-newest", Doc: "of two images in memory the newer one is entered", Cmdline: "ddi.source=initrd", Delivered: secondInitrd("signed9", "signed10"),
			Verdict: Entered, Must: []string{"entering initrd:/ddi/signed10.raw", guest.Sentence}, MustNot: []string{"signed9.raw refused"}},
		{Name: "initrd-copy", Doc: "ddi.attach=copy of an image in memory: the first copy goes with the initramfs", Cmdline: "ddi.source=initrd ddi.attach=copy", Delivered: secondInitrd("signed"),
			Verdict: Entered, Must: []string{"the image is copied into memory: ddi.attach=copy", "entering initrd:/ddi/signed.raw", guest.Sentence}, Check: copiedFromMemory},
		{Name: "initrd-kind", Doc: "an initrd image in memory", Cmdline: "ddi.source=initrd", Delivered: secondInitrd("initrd"),
			Verdict: Entered, Must: []string{"initrd image, erofs", "entering initrd:/ddi/initrd.raw", guest.Sentence}},
		{Name: "initrd-behind", Test: true, Doc: "the image itself appended to the initramfs, which retain_initrd keeps", Cmdline: "ddi.source=initrd retain_initrd", Delivered: []Delivered{{Image: "signed"}},
			Verdict: Entered, Must: []string{"/sys/firmware/initrd: 6291456 bytes in 1 extents", "in place in 2 pieces", "entering initrd:/sys/firmware/initrd", guest.Sentence}, Check: inInitramfs("/sys/firmware/initrd")},
		{Name: "initrd-behind-generic", Doc: "the same with Debian's generic kernel", Kernel: "generic", Cmdline: "ddi.source=initrd retain_initrd", Delivered: []Delivered{{Image: "signed"}},
			Verdict: Entered, Must: []string{"/sys/firmware/initrd: 6291456 bytes in 1 extents", "entering initrd:/sys/firmware/initrd", guest.Sentence}, Check: inInitramfs("/sys/firmware/initrd")},
		{Name: "initrd-beside", Doc: "the signature of an image in memory lies in a file beside it", Cmdline: "ddi.source=initrd", Delivered: []Delivered{{Image: "unsigned", Path: "/ddi/os.raw"}, {Text: "rubbish", Path: "/ddi/os.roothash.p7s"}},
			Verdict: Refused, Must: []string{"initrd:/ddi/os.raw refused (signed)", "what to do: sign the image"}},

		{Name: "initrd-forgotten", Doc: "an image appended to the initramfs that nobody told the kernel to keep: the console says what is missing", Cmdline: "ddi.source=initrd", Delivered: []Delivered{{Image: "signed"}},
			Verdict: Refused, Must: []string{"cannot boot:", "initrd refused (found): found no image, wanted a file *.raw in /ddi, or an image behind the initramfs and retain_initrd", "what to do: have the boot loader load an image as well"}},
		{Name: "initrd-unsigned", Test: true, Doc: "an unsigned image in memory", Cmdline: "ddi.source=initrd", Delivered: secondInitrd("unsigned"),
			Verdict: Refused, Must: []string{"initrd:/ddi/unsigned.raw refused (signed)", "what to do: sign the image"}},
		{Name: "initrd-stranger-behind", Doc: "a stranger's image behind the initramfs", Cmdline: "ddi.source=initrd retain_initrd", Delivered: []Delivered{{Image: "stranger"}},
			Verdict: Refused, Must: []string{"initrd:/sys/firmware/initrd refused (signed)"}},
		{Name: "initrd-flipped", Doc: "a flipped bit in an image in memory", Cmdline: "ddi.source=initrd", Delivered: secondInitrd("flipped-first"),
			Verdict: Refused, Must: []string{"initrd:/ddi/flipped-first.raw refused (verity)", "found a block that is not what was signed"}},
		{Name: "initrd-other-id", Doc: "another product's image in memory, signed by the same key", Cmdline: "ddi.source=initrd", Delivered: secondInitrd("other"),
			Verdict: Refused, Must: []string{"initrd:/ddi/other.raw refused (identity)"}},
		{Name: "server-without-program", Doc: "a server among the sources, and nothing in stage 1 that reaches one: said before anything is tried", Cmdline: "ddi.source=esp,http", Disks: []Disk{onESP("signed")},
			Verdict: Refused, Must: []string{"cannot use ddi.source=esp,http", "ddifetch, which reaches servers, was not built into it"}, MustNot: []string{"vda1"}},

		{Name: "fallback-empty", Test: true, Doc: "nothing on the ESP: the image in memory is entered", Disks: []Disk{{}}, Delivered: secondInitrd("signed"),
			Verdict: Entered, Must: []string{"/dev/vda1 refused (found): found no image", from, "entering initrd:/ddi/signed.raw", guest.Sentence}, Check: refusedIn("esp", "/dev/vda1", "found")},
		{Name: "fallback-refused", Doc: "the image on the ESP is refused: the one in memory is entered", Disks: []Disk{onESP("unsigned")}, Delivered: secondInitrd("signed"),
			Verdict: Entered, Must: []string{"vda1:/loader/ddi/unsigned.raw refused (signed)", from, "entering initrd:/ddi/signed.raw", guest.Sentence}, Check: refusedIn("esp", "vda1:/loader/ddi/unsigned.raw", "signed")},
		{Name: "fallback-esp", Doc: "ddi.source=initrd,esp: the image in memory is refused, the one on the ESP entered", Cmdline: "ddi.source=initrd,esp", Disks: []Disk{onESP("signed")}, Delivered: secondInitrd("flipped-first"),
			Verdict: Entered, Must: []string{"initrd:/ddi/flipped-first.raw refused (verity)", "nothing from initrd can be entered up to now: going on with esp", "entering vda1:/loader/ddi/signed.raw", guest.Sentence},
			Check: namesRefused("initrd:/ddi/flipped-first.raw", "verity")},
		{Name: "fallback-image", Doc: "ddi.image= holds for every source", Cmdline: "ddi.image=signed9.raw", Disks: []Disk{onESP("signed10")}, Delivered: secondInitrd("signed", "signed9"),
			Verdict: Entered, Must: []string{"/dev/vda1 refused (found)", "named signed9.raw (ddi.image=)", from, "entering initrd:/ddi/signed9.raw", guest.Sentence}},
		{Name: "fallback-all", Doc: "every source refused: one screen with all of them", Cmdline: "ddi.source=esp,initrd,pmem", Stage1: "pmem", Disks: []Disk{onESP("unsigned")}, Delivered: secondInitrd("other"),
			Verdict: Refused, Must: []string{"cannot boot:", "vda1:/loader/ddi/unsigned.raw refused (signed)", "initrd:/ddi/other.raw refused (identity)", "pmem refused (found)", "what to do: sign the image", "[signed]"}},
		{Name: "fallback-extra", Doc: "Secure Boot, nothing on the ESP but an image that systemd-stub delivers: it is entered, and not carried over as an extension", Firmware: SecureBoot,
			Disks:   []Disk{{Place: []Place{{Path: "/EFI/BOOT/BOOTX64.EFI.extra.d/os.raw", Image: "signed"}, credential()}}},
			Verdict: Entered, Must: []string{"Secure Boot on", from, "entering initrd:/.extra/sysext/os.raw", guest.Sentence}, Check: notCarried},

		{Name: "fallback-http", Doc: "ddi.source=esp,http: the image on the ESP is refused, the server's is entered", Stage1: "network", Cmdline: "ddi.source=esp,http " + byAddress4, Network: onWeb(Network{Dnsmasq: netlab.DHCP4}), Disks: []Disk{onESP("unsigned")},
			Verdict: Entered, Must: []string{"vda1:/loader/ddi/unsigned.raw refused (signed)", "nothing from esp can be entered up to now: going on with http", "entering http://" + netlab.Address4 + "/os.raw", guest.Sentence},
			Check: refusedIn("esp", "vda1:/loader/ddi/unsigned.raw", "signed")},
		{Name: "fallback-unneeded", Doc: "ddi.source=esp,http: the image on the ESP is good, and nobody touches the network", Stage1: "network", Cmdline: "ddi.source=esp,http " + byAddress4, Network: onWeb(Network{Dnsmasq: netlab.DHCP4}), Disks: []Disk{onESP("signed")},
			Verdict: Entered, Must: []string{"entering vda1:/loader/ddi/signed.raw", guest.Sentence}, MustNot: []string{"network: "}, Check: noNetwork},
		{Name: "fallback-from-http", Doc: "ddi.source=http,esp: the server's image is refused, the one on the ESP entered", Stage1: "network", Cmdline: "ddi.source=http,esp " + byAddress4, Disks: []Disk{onESP("signed")},
			Network: &Network{Dnsmasq: netlab.DHCP4, Web: &Web{Place: []Place{{Path: "/os.raw", Image: "flipped-first"}}}},
			Verdict: Entered, Must: []string{"http://" + netlab.Address4 + "/os.raw refused (verity)", "nothing from http can be entered up to now: going on with esp", "entering vda1:/loader/ddi/signed.raw", guest.Sentence},
			Check: namesRefused("http://"+netlab.Address4+"/os.raw", "verity")},

		{Name: "pmem", Test: true, Doc: "an image that lies in memory at an address (memmap=), signed like any other", Cmdline: "ddi.source=pmem " + reserved, Stage1: "pmem", Delivered: atAddress("signed"),
			Verdict: Entered, Must: []string{"storage: /dev/pmem0", "in place in 2 pieces", "entering pmem0", guest.Sentence}, Check: inPmem},
		{Name: "pmem-http-boot", Doc: "UEFI HTTP boot: the firmware fetches a whole disk into memory (NFIT) and boots the UKI on it, and stage 1 finds that disk's ESP", Firmware: HTTPBoot, Stage1: "pmem", Limit: 5 * time.Minute,
			Network: &Network{Cards: []Card{{Boot: true}}, Dnsmasq: httpServer(DiskPath), Web: &Web{Disk: &Disk{Place: onESP("signed").Place}}},
			Verdict: Entered, Must: []string{"StubDevicePartUUID=", "on /dev/pmem0p1 holds 1 files", "in place in 2 pieces", "entering pmem0p1:/loader/ddi/signed.raw", guest.Sentence}},
		{Name: "pmem-unsigned", Doc: "an unsigned image at an address", Cmdline: "ddi.source=pmem " + reserved, Stage1: "pmem", Delivered: atAddress("unsigned"),
			Verdict: Refused, Must: []string{"pmem0 refused (signed)"}},
		{Name: "pmem-flipped", Doc: "a flipped bit in an image at an address", Cmdline: "ddi.source=pmem " + reserved, Stage1: "pmem", Delivered: atAddress("flipped-first"),
			Verdict: Refused, Must: []string{"pmem0 refused (verity)"}},
		{Name: "pmem-nothing", Doc: "memory was reserved and nothing is in it: the image on the ESP is entered", Cmdline: "ddi.source=pmem,esp " + reserved, Stage1: "pmem", Disks: []Disk{onESP("signed")},
			Verdict: Entered, Must: []string{"pmem0 refused (readable)", "nothing from pmem can be entered up to now: going on with esp", "entering vda1:/loader/ddi/signed.raw", guest.Sentence}, Check: refusedIn("pmem", "pmem0", "readable")},
		{Name: "pmem-without-driver", Doc: "memory was reserved, and stage 1 has no driver for it", Cmdline: "ddi.source=pmem " + reserved, Delivered: atAddress("signed"),
			Verdict: Refused, Must: []string{"pmem refused (found): found no image, wanted a device of persistent memory (/dev/pmem0)", "initddi initramfs --class pmem"}},
	}
	for i := range cells {
		cells[i].Group = "sources"
	}
	return cells
}

// inInitramfs is the contract for an image that is used where the kernel left it: a loop device over the file, whose name went away with
// the initramfs.
func inInitramfs(path string) func(*guest.Facts) []string {
	return func(f *guest.Facts) []string {
		c := &checker{elsewhere: true, held: 8 << 10}
		boot := c.common(f)
		c.ok(boot.Source == "initrd" && boot.Path == path && boot.Node == "" && boot.Partition == "" && !boot.Copied && len(boot.Extents) == 0, "boot.json says %+v", *boot)
		c.devices(f, "root")
		c.ok(len(f.Loops) == 1, "the loop devices are %v, wanted one", f.Loops)
		for _, l := range f.Loops {
			c.ok(l.AutoClear && l.ReadOnly && !l.DirectIO, "loop device %+v, wanted autoclear, read-only, no direct I/O", l)
			c.ok(strings.TrimSuffix(l.Backing, " (deleted)") == path, "the loop device lies over %s", l.Backing)
		}
		return c.wrong
	}
}

// copiedFromMemory is the one for an image in memory that was copied: what it was copied from does not stay.
func copiedFromMemory(f *guest.Facts) []string {
	c := &checker{elsewhere: true, held: 8 << 10}
	boot := c.common(f)
	c.ok(boot.Copied && boot.Source == "initrd", "boot.json says %+v", *boot)
	c.ok(len(f.Loops) == 1 && strings.Contains(f.Loops[0].Backing, "memfd:"), "the loop devices are %v, wanted one over memory", f.Loops)
	return c.wrong
}

// inPmem is the one for an image that has a device of its own, which dm-linear lies on.
func inPmem(f *guest.Facts) []string {
	// The kernel does not count what is reserved.
	c := &checker{elsewhere: true, held: 72 << 10}
	boot := c.common(f)
	c.ok(boot.Source == "pmem" && boot.Node == "pmem0" && boot.Path == "" && !boot.Copied, "boot.json says %+v", *boot)
	c.devices(f, "root")
	c.ok(len(f.Loops) == 0, "the loop devices are %v, wanted none", f.Loops)
	c.ok(len(f.Holders) == 1, "the memory is held by %v, wanted dm-linear alone", f.Holders)
	return c.wrong
}

// notCarried is the one for an image that systemd-stub delivered among the extensions.
func notCarried(f *guest.Facts) []string {
	c := &checker{wrong: inInitramfs("/.extra/sysext/os.raw")(f)}
	for _, name := range f.Extra {
		c.ok(!strings.HasSuffix(name, ".raw"), "/.extra holds %s, which is what was entered", name)
	}
	c.ok(len(f.Extra) > 0, "/.extra holds nothing")
	return c.wrong
}

// refusedIn finds one refusal in boot.json, that of a source before the one that was entered.
func refusedIn(source, candidate, rule string) func(*guest.Facts) []string {
	return func(f *guest.Facts) []string {
		c := &checker{}
		boot := &report.Boot{}
		err := json.Unmarshal(f.Boot, boot)
		c.ok(err == nil && len(boot.Refused) == 1 && boot.Refused[0].Source == source && boot.Refused[0].Candidate == candidate && boot.Refused[0].Rule == rule,
			"boot.json says that %+v were refused, wanted %s of %s (%s)", boot.Refused, candidate, source, rule)
		return c.wrong
	}
}

// noNetwork is the contract for a boot that could have used the network.
func noNetwork(f *guest.Facts) []string {
	c := &checker{wrong: contractOS(f)}
	boot := &report.Boot{}
	c.ok(json.Unmarshal(f.Boot, boot) == nil && boot.Network == nil, "boot.json says that the network was up: %+v", boot.Network)
	for _, m := range boot.Modules {
		c.ok(m != "virtio_net" && m != "net_failover", "module %s was loaded", m)
	}
	return c.wrong
}
