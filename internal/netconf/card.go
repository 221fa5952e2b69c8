// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package netconf

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/initddi/initddi/internal/linux/rtnetlink"
	"github.com/initddi/initddi/internal/ndopt"
)

// maxTold bounds what is told of one card's servers: who talks much says nothing.
const maxTold = 8

// card is a network card, or a VLAN on one.
type card struct {
	link     rtnetlink.Link
	isParent bool      // only what a VLAN is on
	switched bool      // switched on by us
	off      string    // why it could not be switched on, if it could not
	ready    bool      // its settings of IPv6 were made
	asked    time.Time // since when somebody is asked on it; zero is not yet
	stop     func()    // ends what asks on it
	told     []string

	four, six bool // has an answer of the family
	noSix     bool // has no IPv6
	// servers are those that router advertisements named.
	servers []netip.Addr
	// asked6 says that DHCPv6 is asked, six6 what it gave, over6 that it will not give any more.
	asked6, over6 bool
	six6          *lease
	duplicate     bool
}

// asks6 reports whether DHCPv6 is still asked.
func (k *card) asks6() bool { return k.asked6 && !k.over6 }

// look finds out what there is, and does what can be done with it.
func (m *manager) look(ctx context.Context) error {
	links, err := m.conn.Links()
	if err != nil {
		return err
	}
	m.names = m.names[:0]
	there := map[int]bool{}
	for _, l := range links {
		// What a driver made has no kind. A veth is the card of a container, and of tests.
		if !l.Ethernet || l.Loopback || l.Kind != "" && l.Kind != "veth" {
			continue
		}
		m.names = append(m.names, l.Name)
		if n := m.Want.NIC; n != "" && n != l.Name && n != l.MAC.String() {
			continue
		}
		there[l.Index] = true
		k := m.card(l)
		if m.Want.VLAN == 0 {
			err = m.care(ctx, k)
		} else {
			err = m.careVLAN(ctx, k, links, there)
		}
		if err != nil {
			return err
		}
	}
	for index, k := range m.cards {
		if !there[index] {
			k.stop()
			delete(m.cards, index)
		}
	}
	return nil
}

// card returns what is known of a link.
func (m *manager) card(l rtnetlink.Link) *card {
	k := m.cards[l.Index]
	if k == nil {
		k = &card{stop: func() {}}
		m.cards[l.Index] = k
	}
	k.link = l
	return k
}

// careVLAN switches a card on and makes the VLAN on it.
func (m *manager) careVLAN(ctx context.Context, parent *card, links []rtnetlink.Link, there map[int]bool) error {
	parent.isParent = true
	if !m.switchOn(parent, false) {
		return nil
	}
	for _, l := range links {
		if l.Kind == "vlan" && l.Parent == parent.link.Index && l.VLAN == m.Want.VLAN {
			there[l.Index] = true
			return m.care(ctx, m.card(l))
		}
	}
	name := parent.link.Name + "." + strconv.Itoa(m.Want.VLAN)
	if len(name) > 15 {
		name = "vlan" + strconv.Itoa(m.Want.VLAN)
	}
	if m.VLAN != nil {
		if err := m.VLAN(); err != nil {
			m.Debug("network: %v", err)
		}
	}
	// The look that its appearing causes goes on.
	if err := m.conn.AddVLAN(parent.link.Index, name, m.Want.VLAN); err != nil && err.Error() != m.vlanFailed {
		m.vlanFailed = err.Error()
		m.Say("network: %v", err)
	}
	return nil
}

// switchOn switches a card on, with IPv6 as it must be, and reports whether it was on already.
func (m *manager) switchOn(k *card, six bool) bool {
	if !k.ready {
		k.ready = true
		k.noSix = !m.prepare6(k.link.Name, six)
	}
	if k.link.Up {
		return true
	}
	if err := m.conn.SetUp(k.link.Index, true); err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			// The card is there; what is not is a file that its driver asked for, which the kernel has named.
			err = fmt.Errorf("%w: the driver lacks its firmware (initddi initramfs --firmware)", err)
		}
		k.off = err.Error()
		m.tell(k, err)
		return false
	}
	k.switched, k.off = true, ""
	return false
}

// prepare6 says to the kernel whether router advertisements count on a link. It returns false where there is no IPv6.
func (m *manager) prepare6(name string, six bool) bool {
	on := "0"
	if six {
		on = "1"
	}
	for _, s := range []struct{ file, value string }{
		{"disable_ipv6", "0"},
		{"accept_ra", on}, {"accept_ra_defrtr", on}, {"accept_ra_pinfo", on}, {"autoconf", on},
		// Routers are asked at once, and not after up to a second each for what comes before.
		{"router_solicitation_delay", "0"},
		// The address of this machine is the same at every boot.
		{"use_tempaddr", "0"}, {"addr_gen_mode", "0"},
	} {
		err := m.Proc.WriteFile("sys/net/ipv6/conf/"+name+"/"+s.file, []byte(s.value), 0)
		if errors.Is(err, fs.ErrNotExist) && s.file == "disable_ipv6" {
			return false
		}
		if err != nil {
			m.Debug("network: %s: cannot set %s: %v", name, s.file, err)
		}
	}
	return six
}

// care does for a card what is next.
func (m *manager) care(ctx context.Context, k *card) error {
	if m.winner != nil && m.winner != k {
		return nil
	}
	if !m.switchOn(k, m.Want.Address == "") || !k.link.Carrier {
		return nil
	}
	if m.Want.Address != "" {
		return m.static(k)
	}
	if k.asked.IsZero() {
		m.ask(ctx, k)
	}
	return m.look6(ctx, k)
}

// ask begins to ask on a card.
func (m *manager) ask(ctx context.Context, k *card) {
	k.asked = time.Now()
	ctx, k.stop = context.WithCancel(ctx)
	link := k.link
	m.start(ctx, k, DHCP4, func(tell func(error)) (lease, error) { return askDHCP4(ctx, link, tell) })
	if !k.switched && !k.noSix {
		// What the routers said when it came up is heard no more.
		if err := rtnetlink.Solicit(link.Index); err != nil {
			m.Debug("network: %s: %v", link.Name, err)
		}
	}
}

// start asks in a goroutine of its own.
func (m *manager) start(ctx context.Context, k *card, how string, ask func(tell func(error)) (lease, error)) {
	send := func(a answer) {
		a.card, a.how = k, how
		select {
		case m.answers <- a:
		case <-ctx.Done():
		}
	}
	m.asking.Go(func() {
		got, err := ask(func(err error) { send(answer{err: err}) })
		send(answer{lease: got, err: err, over: true})
	})
}

// take takes an answer.
func (m *manager) take(a answer) error {
	k := a.card
	if a.err != nil {
		if a.over {
			k.over6 = k.over6 || a.how == DHCP6
		}
		m.tell(k, a.err)
		return nil
	}
	if m.winner != nil && m.winner != k {
		return nil
	}
	if a.how == DHCP6 {
		k.over6 = true
		k.six6 = &a.lease
		for _, p := range a.lease.Addresses {
			// Usable when the kernel has found that nobody else has it.
			if err := m.conn.AddAddress(k.link.Index, p, m.term(a.lease)); err != nil {
				m.tell(k, err)
			}
		}
		return nil
	}
	if err := m.configure(k, a.lease); err != nil {
		m.tell(k, err)
		return nil
	}
	k.four = true
	return m.give(k, a.lease.Given)
}

// term is how long the kernel may keep the addresses of a lease. Without an address a root file system that comes over the network is gone: then it
// is for the next init to see that the lease is renewed.
func (m *manager) term(l lease) time.Duration {
	if m.Keep {
		return 0
	}
	return time.Duration(l.Lease) * time.Second
}

// configure gives a card its addresses and routes.
func (m *manager) configure(k *card, l lease) error {
	for _, p := range l.Addresses {
		if err := m.conn.AddAddress(k.link.Index, p, m.term(l)); err != nil {
			return fmt.Errorf("%s: %w", k.link.Name, err)
		}
	}
	// A network can ask for less than a card can do, not for more.
	if l.mtu != 0 && l.mtu < k.link.MTU {
		if err := m.conn.SetMTU(k.link.Index, l.mtu); err != nil {
			m.tell(k, err)
		}
	}
	for _, r := range l.Routes {
		if err := m.conn.AddRoute(k.link.Index, r.To, r.Gateway); err != nil {
			m.tell(k, err)
		}
	}
	if !l.Gateway.IsValid() {
		return nil
	}
	everything := netip.PrefixFrom(netip.IPv4Unspecified(), 0)
	if l.Gateway.Is6() {
		everything = netip.PrefixFrom(netip.IPv6Unspecified(), 0)
	}
	if err := m.conn.AddRoute(k.link.Index, everything, l.Gateway); err != nil {
		return fmt.Errorf("%s: %w", k.link.Name, err)
	}
	return nil
}

// static gives a card what it was told to have. The plan has checked the words.
func (m *manager) static(k *card) error {
	p, err := netip.ParsePrefix(m.Want.Address)
	if err != nil {
		return err
	}
	l := lease{Given: Given{How: Static, Addresses: []netip.Prefix{p}}}
	if m.Want.DNS != "" {
		a, err := netip.ParseAddr(m.Want.DNS)
		if err != nil {
			return err
		}
		l.DNS = []netip.Addr{a}
	}
	if m.Want.Gateway != "" {
		if l.Gateway, err = netip.ParseAddr(m.Want.Gateway); err != nil {
			return err
		}
	}
	if k.asked.IsZero() {
		k.asked = time.Now()
		if err := m.configure(k, l); err != nil {
			return err
		}
	}
	if p.Addr().Is6() {
		usable, err := m.usable6(k)
		if err != nil || len(usable) == 0 {
			return err
		}
	}
	return m.give(k, l.Given)
}

// look6 sees what IPv6 has come to on a card.
func (m *manager) look6(ctx context.Context, k *card) error {
	if !k.link.Advertised || k.noSix {
		return nil
	}
	if managed := k.link.Managed; (managed || k.link.Other) && !k.asked6 {
		k.asked6 = true
		link := k.link
		m.start(ctx, k, DHCP6, func(tell func(error)) (lease, error) {
			ctx, cancel := context.WithTimeout(ctx, patience6)
			defer cancel()
			return askDHCP6(ctx, link, managed, tell)
		})
	}
	usable, err := m.usable6(k)
	if err != nil || len(usable) == 0 {
		return err
	}
	// A name server is worth the wait, if there is none yet.
	if k.asks6() && !k.four && len(k.servers) == 0 {
		return nil
	}
	gateway, err := m.conn.Gateway(k.link.Index, true)
	if err != nil {
		return err
	}
	slaac := Given{How: SLAAC, Gateway: gateway, DNS: slices.Clone(k.servers)}
	for _, p := range usable {
		if k.six6 == nil || !slices.Contains(k.six6.Addresses, p) {
			slaac.Addresses = append(slaac.Addresses, p)
			continue
		}
		k.six = true
		six6 := k.six6.Given
		six6.Gateway = gateway
		if err := m.give(k, six6); err != nil {
			return err
		}
	}
	if len(slaac.Addresses) == 0 && len(slaac.DNS) == 0 {
		return nil
	}
	k.six = true
	if err := m.give(k, slaac); err != nil {
		return err
	}
	if k.six6 != nil && len(k.six6.Addresses) == 0 && len(k.six6.DNS) > 0 {
		return m.give(k, k.six6.Given)
	}
	return nil
}

// usable6 returns the IPv6 addresses of a card that can be used beyond the link.
func (m *manager) usable6(k *card) ([]netip.Prefix, error) {
	list, err := m.conn.Addresses(k.link.Index)
	if err != nil {
		return nil, err
	}
	var out []netip.Prefix
	for _, a := range list {
		switch {
		case !a.Prefix.Addr().Is6() || !a.Global:
		case a.Duplicate:
			if !k.duplicate {
				k.duplicate = true
				m.Say("network: %s: somebody else has the address %s", k.link.Name, a.Prefix.Addr())
			}
		case !a.Tentative:
			out = append(out, a.Prefix)
		}
	}
	return out, nil
}

// hear takes the name servers out of a router advertisement.
func (m *manager) hear(e rtnetlink.Event) {
	k := m.cards[e.Index]
	if k == nil || e.Options == nil {
		return
	}
	list, err := ndopt.Servers(e.Options)
	if err != nil {
		m.tell(k, err)
		return
	}
	for _, s := range list {
		k.servers = slices.DeleteFunc(k.servers, func(a netip.Addr) bool { return a == s.Address })
		if s.Lifetime != 0 && len(k.servers) < maxServers {
			k.servers = append(k.servers, s.Address)
		}
	}
}

// tell says what went wrong on a card, each thing once.
func (m *manager) tell(k *card, err error) {
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return
	}
	text := err.Error()
	if slices.Contains(k.told, text) || len(k.told) >= maxTold {
		return
	}
	k.told = append(k.told, text)
	m.Say("network: %s: %s", k.link.Name, text)
}

// missing says what is waited for.
func (m *manager) missing() string {
	if len(m.cards) == 0 {
		switch {
		case m.Want.NIC != "" && len(m.names) > 0:
			return fmt.Sprintf("no network card %s: there is %s", m.Want.NIC, strings.Join(m.names, ", "))
		case m.Want.NIC != "":
			return fmt.Sprintf("no network card, so no %s", m.Want.NIC)
		}
		return "no network card with a driver"
	}
	var out []string
	for _, k := range m.cards {
		if k.isParent && m.vlanFailed == "" && k.link.Carrier {
			continue
		}
		out = append(out, m.missingOf(k))
	}
	slices.Sort(out)
	return strings.Join(out, "; ")
}

func (m *manager) missingOf(k *card) string {
	since := time.Since(k.asked).Round(time.Second)
	switch {
	case k.isParent && m.vlanFailed != "":
		return m.vlanFailed
	case !k.link.Up && k.off != "":
		return k.link.Name + ": " + k.off
	case !k.link.Carrier:
		return "no carrier on " + k.link.Name
	case k.asked.IsZero():
		return k.link.Name + " is coming up"
	case m.Want.Address != "":
		return "nobody knows yet whether another machine on " + k.link.Name + " has the address"
	}
	s := fmt.Sprintf("no DHCP answer on %s in %s", k.link.Name, since)
	switch {
	case k.noSix:
		return s + ", and there is no IPv6"
	case !k.link.Advertised:
		return s + ", no router advertisement"
	case k.asks6():
		return s + ", no DHCPv6 answer"
	}
	return s + ", no IPv6 address"
}
