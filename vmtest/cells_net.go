// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package vmtest

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/initddi/initddi/internal/netlab"
	"github.com/initddi/initddi/internal/report"
	"github.com/initddi/initddi/vmtest/guest"
)

// stagesNet are stages 1 with a network. Nothing in them knows a disk.
func stagesNet() []Stage1 {
	return []Stage1{
		{Name: "network", Config: "network", Classes: []string{"virtio", "net"}},
		{Name: "network-usb", Config: "network", Classes: []string{"virtio", "net", "net-usb"}},
		{Name: "network-firmware", Config: "network", Classes: []string{"virtio", "net"}, Modules: []string{"e100"}, Firmware: map[string]int{"e100/d102e_ucode.bin": 539}},
		{Name: "network-no-firmware", Config: "network", Classes: []string{"virtio", "net"}, Modules: []string{"e100"}},
		{Name: "network-debug", Config: "debug", Classes: []string{"virtio", "net"}},
	}
}

// onWeb is a network with what is said, and a web server that has an image.
func onWeb(n Network) *Network {
	n.Web = &Web{Place: []Place{{Path: "/os.raw", Image: "signed"}}}
	return &n
}

// Where that image is: by address, and by a name that the network's own name server knows.
const (
	byAddress4 = "ddi.url=http://" + netlab.Address4 + "/os.raw"
	byAddress6 = "ddi.url=http://[" + netlab.Address6 + "]/os.raw"
	byName     = "ddi.url=http://" + netlab.Host + "/os.raw"
)

// cellsNet are ways to a network, each to an image on a web server.
func cellsNet() []Cell {
	both := slices.Concat(netlab.DHCP4, netlab.SLAAC)
	up := func(words ...string) []string {
		out := []string{"going on with http", "network: "}
		return append(append(out, words...), "entering http:", guest.Sentence)
	}
	cells := []Cell{
		{Name: "net-dhcp4", Test: true, Doc: "DHCP for IPv4, the name server it names, and an image by name", Cmdline: byName, Network: onWeb(Network{Dnsmasq: netlab.DHCP4}),
			Must: up("(dhcp4 from 192.0.2.1), gateway 192.0.2.1, DNS 192.0.2.1"), Served: served("DHCPACK", "GET /os.raw")},
		{Name: "net-slaac", Doc: "router advertisements alone: an address of the machine's own making, and the name server they name", Cmdline: byName, Network: onWeb(Network{Dnsmasq: netlab.SLAAC}),
			Must: up("(slaac), gateway fe80:", "DNS fd00:db8::1"), Served: served("GET /os.raw")},
		{Name: "net-dhcp6", Doc: "router advertisements that send to DHCPv6 for an address", Cmdline: byAddress6, Network: onWeb(Network{Dnsmasq: netlab.DHCP6}),
			Must: up("fd00:db8::1", "(dhcp6), gateway fe80:"), Served: served("DHCPREPLY", "GET /os.raw")},
		{Name: "net-slaac-dhcp6", Doc: "router advertisements that send to DHCPv6 for all but an address", Cmdline: byName, Network: onWeb(Network{Dnsmasq: netlab.SLAAC6}),
			Must: up("(slaac), gateway fe80:"), Served: served("DHCPINFORMATION-REQUEST", "GET /os.raw")},
		{Name: "net-both", Doc: "IPv4 answers first, the image is to be had by IPv6 alone: it is waited for", Cmdline: byAddress6, Network: onWeb(Network{Dnsmasq: both}),
			Must: up("(dhcp4 from 192.0.2.1)", "trying again"), Served: served("GET /os.raw")},
		{Name: "net-vlan", Test: true, Doc: "the servers are in a VLAN", Cmdline: byName + " ddi.ip=dhcp,eth0.5", Network: onWeb(Network{VLAN: 5, Dnsmasq: both}),
			Must: up("eth0.5: 192.0.2."), Served: served("DHCPACK", "GET /os.raw")},
		{Name: "net-static", Doc: "an address that the command line says; nobody is asked", Cmdline: byAddress4 + " ddi.ip=192.0.2.7/24,192.0.2.1,192.0.2.1", Network: onWeb(Network{}),
			Must: up("192.0.2.7/24 (static), gateway 192.0.2.1, DNS 192.0.2.1"), Served: served("GET /os.raw")},
		{Name: "net-static6-vlan", Doc: "the same for IPv6, in a VLAN, on a card that is named by its hardware address", Cmdline: byAddress6 + " ddi.ip=fd00:db8::7/64,,,52:54:00:12:34:57.7",
			Network: onWeb(Network{VLAN: 7, Cards: []Card{{Alone: true}, {}}}), Must: up("fd00:db8::7/64 (static), no gateway"), Served: served("GET /os.raw")},
		{Name: "net-cards", Doc: "of three cards the one is used on which somebody answers", Cmdline: byAddress4, Network: onWeb(Network{Dnsmasq: netlab.DHCP4, Cards: []Card{{Alone: true}, {Alone: true}, {}}}),
			Must: up("eth2: 192.0.2."), Served: served("DHCPACK", "GET /os.raw")},
		{Name: "net-vmware", Doc: "VMware's card (vmxnet3), Debian's generic kernel", Kernel: "generic", Cmdline: byAddress4, Network: onWeb(Network{Dnsmasq: netlab.DHCP4, Cards: []Card{{Model: "vmxnet3"}}}),
			Must: up("(dhcp4 from 192.0.2.1)"), Served: served("DHCPACK", "GET /os.raw")},
		{Name: "net-usb", Doc: "a USB network card (RNDIS or CDC Ethernet), Debian's generic kernel", Kernel: "generic", Stage1: "network-usb", Cmdline: byAddress4, Network: onWeb(Network{Dnsmasq: netlab.DHCP4, Cards: []Card{{Model: "usb-net"}}}),
			Must: up("(dhcp4 from 192.0.2.1)"), Served: served("DHCPACK", "GET /os.raw")},
		{Name: "net-intel", Doc: "an Intel card (e1000e), Debian's generic kernel", Kernel: "generic", Cmdline: byAddress4, Network: onWeb(Network{Dnsmasq: netlab.DHCP4, Cards: []Card{{Model: "e1000e"}}}),
			Must: up("(dhcp4 from 192.0.2.1)"), Served: served("DHCPACK", "GET /os.raw")},
		{Name: "net-firmware", Doc: "an Intel card (82551) whose driver asks for firmware, which is in stage 1; Debian's generic kernel", Kernel: "generic", Stage1: "network-firmware", Cmdline: byAddress4,
			Network: onWeb(Network{Dnsmasq: netlab.DHCP4, Cards: []Card{{Model: "i82551"}}}), Must: up("(dhcp4 from 192.0.2.1)"), MustNot: []string{"Failed to load firmware"}, Served: served("DHCPACK", "GET /os.raw")},
		{Name: "net-no-firmware", Doc: "the same card without its firmware: the console says what is missing", Kernel: "generic", Stage1: "network-no-firmware", Cmdline: byAddress4 + " ddi.timeout=15",
			Network: onWeb(Network{Dnsmasq: netlab.DHCP4, Cards: []Card{{Model: "i82551"}}}), Verdict: Refused, Must: []string{"Failed to load firmware \"e100/d102e_ucode.bin\"", "cannot switch network device", "the driver lacks its firmware", "cannot boot:", "there is no network after 15s: eth0: cannot switch", "the driver lacks its firmware"}},

		{Name: "net-nobody", Doc: "nobody answers: said while it is waited for and at the end", Cmdline: byAddress4 + " ddi.timeout=15", Network: &Network{Cards: []Card{{Alone: true}}},
			Verdict: Refused, Must: []string{"network: waiting: no DHCP answer on eth0 in ", "no router advertisement", "cannot boot:", "there is no network after 15s: no DHCP answer on eth0 in "}},
		{Name: "net-no-card", Doc: "there is no network card", Cmdline: byAddress4 + " ddi.timeout=15", Network: &Network{Cards: []Card{}},
			Verdict: Refused, Must: []string{"network: waiting: no network card with a driver", "cannot boot:", "no network card with a driver"}},
		{Name: "net-no-such-card", Doc: "another card than there is was asked for", Cmdline: byAddress4 + " ddi.timeout=15 ddi.ip=dhcp,eth3", Network: onWeb(Network{Dnsmasq: netlab.DHCP4}),
			Verdict: Refused, Must: []string{"cannot boot:", "no network card eth3: there is eth0"}},
		{Name: "net-wrong-vlan", Doc: "the servers are in another VLAN", Cmdline: byAddress4 + " ddi.timeout=15 ddi.ip=dhcp,eth0.6", Network: onWeb(Network{VLAN: 5, Dnsmasq: netlab.DHCP4}),
			Verdict: Refused, Must: []string{"cannot boot:", "no DHCP answer on eth0.6 in "}},
		{Name: "net-grammar", Doc: "a network that is none is said before anything is tried", Cmdline: byAddress4 + " ddi.ip=192.0.2.7", Network: &Network{},
			Verdict: Refused, Must: []string{"cannot use ddi.ip=192.0.2.7 from the kernel command line"}, MustNot: []string{"network: "}},
	}
	// The network has to outlive stage 1 where an image is used over it.
	nbd := "nbd://[" + netlab.Address6 + "]/signed"
	last := Cell{Name: "net-nbd-vlan", Group: "sources", Stage1: "network", Doc: "an NBD server that is to be had by IPv6 alone, in a VLAN: it still is when the next init reads", Cmdline: "ddi.source=nbd ddi.ip=dhcp,eth0.5 ddi.url=" + nbd,
		Network: &Network{VLAN: 5, Dnsmasq: netlab.SLAAC, NBD: &NBD{Image: "signed"}}, Verdict: Entered, Must: []string{"eth0.5: fd00:db8:", "nbd offers 1 images", "entering " + nbd, guest.Sentence}, Check: overNBD(nbd)}
	// What is loaded for the network must not wait for the disk that it takes the place of.
	silentDisk := Cell{Name: "net-vlan-silent", Group: "sources", Stage1: "network", Kernel: "generic", Doc: "the boot disk does not answer, and a server in a VLAN has the image: what ddifetch loads for that waits for no disk",
		Cmdline: noEDD + byPartUUID(0) + " ddi.timeout=20 ddi.source=esp,http ddi.ip=dhcp,eth0.5 " + byName, Disks: []Disk{silent("scsi")}, Network: onWeb(Network{VLAN: 5, Dnsmasq: both}),
		Verdict: Entered, Must: []string{"nothing appeared in 20s", "going on with http", "eth0.5: 192.0.2.", "entering http:", guest.Sentence}, Served: served("DHCPACK", "GET /os.raw")}
	for i := range cells {
		c := &cells[i]
		c.Group = "sources"
		if c.Stage1 == "" {
			c.Stage1 = "network"
		}
		c.Cmdline = "ddi.source=http " + c.Cmdline
		if c.Verdict == "" {
			c.Verdict = Entered
			c.Must = slices.DeleteFunc(c.Must, func(s string) bool { return s == "going on with http" })
			c.Check = networkSays
		}
	}
	return append(cells, last, silentDisk)
}

// served finds sentences in what the servers wrote, whichever of them.
func served(want ...string) func(map[string]string) []string {
	return func(logs map[string]string) []string {
		var wrong []string
		for _, w := range want {
			found := false
			for _, text := range logs {
				found = found || strings.Contains(text, w)
			}
			if !found {
				wrong = append(wrong, fmt.Sprintf("no server wrote %q", w))
			}
		}
		return wrong
	}
}

// networkSays is the contract of an image that came over the network into memory: it is verified as any other, and the report says where it
// came from.
func networkSays(f *guest.Facts) []string {
	c := &checker{}
	boot := &report.Boot{}
	if err := json.Unmarshal(f.Boot, boot); err != nil {
		return []string{err.Error()}
	}
	c.ok(boot.Chosen != nil && boot.Chosen.Source == "http" && strings.HasSuffix(boot.Chosen.URL, "/os.raw"), "boot.json says %+v", boot.Chosen)
	c.ok(len(f.Processes) == 0, "these processes are left behind: %v", f.Processes)
	return c.wrong
}
