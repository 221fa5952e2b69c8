// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package netconf

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strings"

	"github.com/initddi/initddi/internal/plan"
)

// Where the next init is told that the network has to stay: systemd-networkd reads the first (systemd.network(5)), initramfs-tools' readers
// (cloud-init among them) the second, as klibc's ipconfig writes it.
const (
	networkdDir = "/run/systemd/network/"
	// networkdName comes before what systems have of their own, which begins with 80 or more, and behind what an administrator puts first.
	networkdName = "70-initddi"
	klibcPrefix  = "/run/net"
)

// keep leaves word that the network has to stay as it is.
func (s State) keep(root *os.Root, want plan.Network) error {
	errs := []error{write(root, networkdDir+networkdName+".network", s.networkd(want))}
	if s.VLAN != 0 {
		// Of the card that the VLAN is on, nothing is wanted but that it stays.
		parent := fmt.Sprintf("# of initddi\n[Match]\nMACAddress=%s\nType=ether\n\n[Network]\nVLAN=%s\nLinkLocalAddressing=no\nIPv6AcceptRA=no\nKeepConfiguration=yes\nIgnoreCarrierLoss=yes\n", s.MAC, s.Interface)
		device := fmt.Sprintf("# of initddi\n[NetDev]\nName=%s\nKind=vlan\n\n[VLAN]\nId=%d\n", s.Interface, s.VLAN)
		errs = append(errs, write(root, networkdDir+networkdName+"-card.network", parent), write(root, networkdDir+networkdName+".netdev", device))
	}
	for _, g := range s.Given {
		if name, text := s.klibc(g); text != "" {
			errs = append(errs, write(root, name, text))
		}
	}
	return errors.Join(errs...)
}

// networkd is what systemd-networkd has to be told: to go on with the leases under the same name, so that servers give the same addresses, and to
// take nothing away, least of all when it stops.
func (s State) networkd(want plan.Network) string {
	match := "Name=" + s.Interface
	if s.VLAN == 0 {
		// The name will be another. Not every card says what its permanent address is; what is made on it has the same, but not its type.
		match = "MACAddress=" + s.MAC + "\nType=ether"
	}
	text := "# of initddi: the root file system comes over this network\n[Match]\n" + match + "\n\n[Network]\nKeepConfiguration=yes\nIgnoreCarrierLoss=yes\n"
	if want.Address == "" {
		mac, _ := net.ParseMAC(s.MAC)
		return text + fmt.Sprintf("DHCP=yes\nIPv6AcceptRA=yes\n\n[DHCPv4]\nClientIdentifier=mac\nUseMTU=yes\n\n[DHCPv6]\nDUIDType=link-layer\nIAID=%d\n", iaid(mac))
	}
	text += "IPv6AcceptRA=no\n"
	for _, g := range s.Given {
		for _, a := range g.Addresses {
			text += "Address=" + a.String() + "\n"
		}
		for _, d := range g.DNS {
			text += "DNS=" + d.String() + "\n"
		}
		if g.Gateway.IsValid() {
			text += "\n[Route]\nGateway=" + g.Gateway.String() + "\nGatewayOnLink=yes\n"
		}
	}
	return text
}

// iaid is what DHCPv6 calls the card: the end of its hardware address.
func iaid(mac net.HardwareAddr) uint32 {
	var n uint32
	for _, b := range mac[max(0, len(mac)-4):] {
		n = n<<8 | uint32(b)
	}
	return n
}

// klibc writes one part as klibc's ipconfig does. Words of an address or of this program need no quoting beyond what stands there.
func (s State) klibc(g Given) (name, text string) {
	if len(g.Addresses) == 0 {
		return "", ""
	}
	a := g.Addresses[0]
	line := func(key, value string) { text += key + "='" + value + "'\n" }
	proto := "none"
	if g.How != Static {
		proto = "dhcp"
	}
	line("DEVICE", s.Interface)
	line("PROTO", proto)
	var dns []netip.Addr
	for _, d := range g.DNS {
		if d.Is4() == a.Addr().Is4() {
			dns = append(dns, d)
		}
	}
	if a.Addr().Is6() {
		line("IPV6PROTO", proto)
		line("IPV6ADDR", a.Addr().String())
		line("IPV6NETMASK", fmt.Sprint(a.Bits()))
		line("IPV6GATEWAY", textOf(g.Gateway))
		for i := range 2 {
			line(fmt.Sprintf("IPV6DNS%d", i), textAt(dns, i))
		}
		return klibcPrefix + "6-" + s.Interface + ".conf", text
	}
	line("IPV4ADDR", a.Addr().String())
	line("IPV4NETMASK", net.IP(net.CIDRMask(a.Bits(), 32)).String())
	gateway := g.Gateway
	if !gateway.IsValid() {
		gateway = netip.IPv4Unspecified()
	}
	line("IPV4GATEWAY", gateway.String())
	for i := range 2 {
		d := textAt(dns, i)
		if d == "" {
			d = "0.0.0.0"
		}
		line(fmt.Sprintf("IPV4DNS%d", i), d)
	}
	if g.Lease != 0 {
		line("DHCPLEASETIME", fmt.Sprint(g.Lease))
	}
	return klibcPrefix + "-" + strings.ReplaceAll(s.Interface, "/", "_") + ".conf", text
}

func textOf(a netip.Addr) string {
	if !a.IsValid() {
		return ""
	}
	return a.String()
}

func textAt(list []netip.Addr, i int) string {
	if i >= len(list) {
		return ""
	}
	return list[i].String()
}
