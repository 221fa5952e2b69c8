// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package netconf

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/initddi/initddi/internal/linux/kerneltest"
	"github.com/initddi/initddi/internal/linux/rtnetlink"
	"github.com/initddi/initddi/internal/netlab"
	"github.com/initddi/initddi/internal/plan"
	"github.com/initddi/initddi/internal/program"
)

// bench is a network, and a machine on it, which is this test's namespace.
type bench struct {
	*netlab.Lab
	t    *testing.T
	root string
	mu   sync.Mutex
	said []string
}

func newBench(t *testing.T, dnsmasq ...string) *bench {
	t.Helper()
	kerneltest.NeedNamespace(t)
	l, err := netlab.Open(context.Background(), t.TempDir(), 0)
	skipMissing(t, err)
	t.Cleanup(l.Close)
	b := &bench{Lab: l, t: t, root: t.TempDir()}
	if dnsmasq != nil {
		_, err := l.Dnsmasq(context.Background(), dnsmasq...)
		skipMissing(t, err)
	}
	return b
}

func skipMissing(t *testing.T, err error) {
	t.Helper()
	if errors.Is(err, program.ErrMissing) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// card connects a card; a port that is down is a cable that is not plugged in.
func (b *bench) card(name string) {
	b.t.Helper()
	if err := b.Veth(context.Background(), "p-"+name, os.Getpid(), name); err != nil {
		b.t.Fatal(err)
	}
	// It would go with the namespace of its other end, but not at once.
	b.t.Cleanup(func() { b.ip("link delete p-" + name) })
}

func (b *bench) ip(line string) {
	b.t.Helper()
	if err := b.IP(context.Background(), line); err != nil {
		b.t.Fatal(err)
	}
}

func (b *bench) config(ip string) Config {
	b.t.Helper()
	want, err := plan.ParseNetwork(ip)
	if err != nil {
		b.t.Fatal(err)
	}
	root, err := os.OpenRoot(b.root)
	if err != nil {
		b.t.Fatal(err)
	}
	proc, err := os.OpenRoot("/proc")
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() { root.Close(); proc.Close() })
	say := func(format string, args ...any) {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.said = append(b.said, fmt.Sprintf(format, args...))
		b.t.Logf(format, args...)
	}
	return Config{Want: want, Root: root, Proc: proc, Say: say, Debug: say}
}

func (b *bench) up(ip string, limit time.Duration) (*Network, error) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	b.t.Cleanup(cancel)
	return Up(ctx, b.config(ip))
}

// comes brings the network up and waits for as many parts, with a name server in one of them if there is one to be had.
func (b *bench) comes(ip string, parts int, dns bool) State {
	b.t.Helper()
	n, err := b.up(ip, 30*time.Second)
	if err != nil {
		b.t.Fatal(err)
	}
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		if s := n.State(); len(s.Given) >= parts && (!dns || len(s.DNS()) > 0) {
			return s
		}
	}
	return n.State()
}

// check holds the state and what was written against what is wanted: for each part how it came, what its first address begins with, the gateway,
// and name servers.
func (b *bench) check(s State, name string, want map[string][3]string) {
	b.t.Helper()
	if s.Interface != name {
		b.t.Errorf("it is %s, want %s", s.Interface, name)
	}
	if len(s.Given) != len(want) {
		b.t.Errorf("%d parts, want %d: %+v", len(s.Given), len(want), s.Given)
	}
	for _, g := range s.Given {
		w, ok := want[g.How]
		gateway, dns := "", ""
		if g.Gateway.IsValid() {
			gateway = g.Gateway.String()
		}
		for _, d := range g.DNS {
			dns += d.String()
		}
		address := ""
		if len(g.Addresses) > 0 {
			address = g.Addresses[0].String()
		}
		if !ok || !strings.HasPrefix(address, w[0]) || w[0] == "" && address != "" || w[1] == "link" && !strings.HasPrefix(gateway, "fe80:") || w[1] != "link" && gateway != w[1] || dns != w[2] {
			b.t.Errorf("%+v, want %q", g, w)
		}
	}
	text, err := os.ReadFile(filepath.Join(b.root, resolvPath))
	if err != nil {
		b.t.Fatal(err)
	}
	for _, d := range s.DNS() {
		if !strings.Contains(string(text), "nameserver "+d.String()+"\n") {
			b.t.Errorf("%s is missing %s: %s", resolvPath, d, text)
		}
	}
	root, err := os.OpenRoot(b.root)
	if err != nil {
		b.t.Fatal(err)
	}
	defer root.Close()
	record, err := root.ReadFile(strings.TrimPrefix(RecordPath, "/"))
	if err != nil || !Recorded(root) {
		b.t.Fatal(err)
	}
	var again State
	if err := json.Unmarshal(record, &again); err != nil || fmt.Sprint(again) != fmt.Sprint(s) {
		b.t.Errorf("the record says %+v, %v, want %+v", again, err, s)
	}
}

// fetches sees whether the servers can be reached.
func (b *bench) fetches(addresses ...string) {
	b.t.Helper()
	for _, a := range addresses {
		c := http.Client{Timeout: 5 * time.Second}
		r, err := c.Get("http://" + net.JoinHostPort(a, "80") + "/")
		if err != nil {
			b.t.Error(err)
			continue
		}
		r.Body.Close()
	}
}

func (b *bench) web() {
	b.t.Helper()
	_, err := b.Nginx(context.Background(), b.t.TempDir(), "", "")
	skipMissing(b.t, err)
}

const dns4, dns6 = netlab.Address4, netlab.Address6

func TestNSDHCP4(t *testing.T) {
	b := newBench(t, netlab.DHCP4...)
	b.web()
	b.card("eth0")
	n, err := b.up("dhcp", 30*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	b.check(n.State(), "eth0", map[string][3]string{DHCP4: {"192.0.2.1", netlab.Address4, dns4}})
	b.fetches(netlab.Address4)
	start := time.Now()
	n.Settle(context.Background())
	if took := time.Since(start); took > patience6+15*time.Second {
		t.Errorf("it took %s to find that there is no more", took)
	}
	if g := n.State().Given[0]; g.Lease != 3600 || g.Server != netip.MustParseAddr(netlab.Address4) {
		t.Errorf("%+v", g)
	}
}

func TestNSIPv6(t *testing.T) {
	kerneltest.NeedNamespace(t)
	for _, test := range []struct {
		name    string
		dnsmasq []string
		want    map[string][3]string
		reach   []string
	}{
		{"slaac", netlab.SLAAC, map[string][3]string{SLAAC: {"fd00:db8:", "link", dns6}}, []string{netlab.Address6}},
		{"dhcp6", netlab.DHCP6, map[string][3]string{DHCP6: {"fd00:db8::1", "link", dns6}, SLAAC: {"", "link", dns6}}, []string{netlab.Address6}},
		{"slaac and dhcp6", netlab.SLAAC6, map[string][3]string{SLAAC: {"fd00:db8:", "link", dns6}, DHCP6: {"", "", dns6}}, []string{netlab.Address6}},
		{"everything", slices.Concat(netlab.DHCP4, netlab.SLAAC), map[string][3]string{DHCP4: {"192.0.2.1", netlab.Address4, dns4}, SLAAC: {"fd00:db8:", "link", dns6}}, []string{netlab.Address4, netlab.Address6}},
	} {
		t.Run(test.name, func(t *testing.T) {
			b := newBench(t, test.dnsmasq...)
			b.web()
			b.card("eth0")
			b.check(b.comes("dhcp", len(test.want), true), "eth0", test.want)
			b.fetches(test.reach...)
		})
	}
}

func TestNSStatic(t *testing.T) {
	b := newBench(t)
	b.web()
	b.card("eth0")
	b.check(b.comes("192.0.2.7/24,192.0.2.1,192.0.2.53", 1, true), "eth0", map[string][3]string{Static: {"192.0.2.7/24", "192.0.2.1", "192.0.2.53"}})
	b.fetches(netlab.Address4)
	b = newBench(t)
	b.web()
	b.card("eth1")
	b.check(b.comes("fd00:db8::7/64,fd00:db8::1,fd00:db8::1,eth1", 1, true), "eth1", map[string][3]string{Static: {"fd00:db8::7/64", netlab.Address6, dns6}})
	b.fetches(netlab.Address6)
}

// TestNSCards: of several cards the one that gets an answer is taken, and the others are as they were.
func TestNSCards(t *testing.T) {
	b := newBench(t, netlab.DHCP4...)
	b.web()
	b.card("eth0")
	b.ip("link set p-eth0 down") // no cable
	b.card("eth1")
	b.ip("link set p-eth1 nomaster") // nobody at the other end
	b.card("eth2")
	b.check(b.comes("dhcp", 1, true), "eth2", map[string][3]string{DHCP4: {"192.0.2.1", netlab.Address4, dns4}})
	b.fetches(netlab.Address4)
	for _, l := range links(t) {
		if (l.Name == "eth0" || l.Name == "eth1") && l.Up {
			t.Errorf("%s is left up", l.Name)
		}
	}
}

func links(t *testing.T) []rtnetlink.Link {
	t.Helper()
	c, err := rtnetlink.Open()
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	list, err := c.Links()
	if err != nil {
		t.Fatal(err)
	}
	return list
}

// TestNSChoice: a card is wanted by its hardware address, comes late, and gets its cable later.
func TestNSChoice(t *testing.T) {
	b := newBench(t, netlab.DHCP4...)
	b.card("eth0")
	plugged := make(chan error, 1)
	go func() {
		time.Sleep(700 * time.Millisecond)
		ctx := context.Background()
		err := b.IP(ctx, fmt.Sprintf("link add p-eth1 type veth peer name eth1x netns %d", os.Getpid()))
		time.Sleep(700 * time.Millisecond)
		plugged <- errors.Join(err, b.IP(ctx, "link set p-eth1 master "+netlab.Switch+" up"))
	}()
	state := b.comes("dhcp,eth1x", 1, true)
	if err := <-plugged; err != nil {
		t.Fatal(err)
	}
	b.check(state, "eth1x", map[string][3]string{DHCP4: {"192.0.2.1", netlab.Address4, dns4}})
	i := slices.IndexFunc(links(t), func(l rtnetlink.Link) bool { return l.Name == "eth0" })
	b.check(b.comes("dhcp,"+links(t)[i].MAC.String(), 1, true), "eth0", map[string][3]string{DHCP4: {"192.0.2.1", netlab.Address4, dns4}})
}

// TestNSAgain: a second run hears again what the routers said to the first.
func TestNSAgain(t *testing.T) {
	b := newBench(t, netlab.SLAAC...)
	b.card("eth0")
	for range 2 {
		b.check(b.comes("dhcp", 1, true), "eth0", map[string][3]string{SLAAC: {"fd00:db8:", "link", dns6}})
	}
}

// TestNSNothing: what is missing is said, while it is waited for and at the end.
func TestNSNothing(t *testing.T) {
	kerneltest.NeedNamespace(t)
	for _, test := range []struct{ name, ip, want string }{
		{"no card", "dhcp", "no network card with a driver"},
		{"no such card", "dhcp,eth7", "no network card eth7: there is eth0"},
		{"no carrier", "dhcp", "no carrier on eth0"},
		{"nobody", "dhcp", "no DHCP answer on eth0 in "},
	} {
		t.Run(test.name, func(t *testing.T) {
			b := newBench(t)
			if test.name != "no card" {
				b.card("eth0")
			}
			if test.name == "no carrier" {
				b.ip("link set p-eth0 down")
			}
			start := time.Now()
			n, err := b.up(test.ip, 6*time.Second)
			if n != nil || !errors.Is(err, ErrNoNetwork) || !strings.Contains(err.Error(), test.want) || !strings.Contains(err.Error(), "there is no network after ") {
				t.Errorf("%v, %v", n, err)
			}
			if took := time.Since(start); took > 20*time.Second {
				t.Errorf("it took %s", took)
			}
			if !slices.ContainsFunc(b.said, func(s string) bool { return strings.Contains(s, "waiting: "+test.want) }) {
				t.Errorf("nobody said what is waited for: %q", b.said)
			}
		})
	}
}

// TestNSCancel: who does not want a network any more is obeyed at once.
func TestNSCancel(t *testing.T) {
	b := newBench(t)
	b.card("eth0")
	ctx, cancel := context.WithCancel(context.Background())
	time.AfterFunc(500*time.Millisecond, cancel)
	start := time.Now()
	if _, err := Up(ctx, b.config("dhcp")); !errors.Is(err, context.Canceled) || time.Since(start) > 15*time.Second {
		t.Errorf("%v after %s", err, time.Since(start))
	}
}

func TestNSVLAN(t *testing.T) {
	b := newBench(t)
	b.Lab.Close()
	lab, err := netlab.Open(context.Background(), t.TempDir(), 5)
	skipMissing(t, err)
	t.Cleanup(lab.Close)
	b.Lab = lab
	if _, err := lab.Dnsmasq(context.Background(), slices.Concat(netlab.DHCP4, netlab.SLAAC)...); err != nil {
		t.Fatal(err)
	}
	b.web()
	b.card("eth0")
	c, err := rtnetlink.Open()
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	i := slices.IndexFunc(links(t), func(l rtnetlink.Link) bool { return l.Name == "eth0" })
	if err := c.AddVLAN(links(t)[i].Index, "probe", 9); errors.Is(err, errors.ErrUnsupported) {
		t.Skip("needs a kernel with VLANs (8021q)")
	} else if err != nil {
		t.Fatal(err)
	}
	n, err := b.up("dhcp,eth0.5", 10*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	n.Settle(context.Background())
	b.check(n.State(), "eth0.5", map[string][3]string{DHCP4: {"192.0.2.1", netlab.Address4, dns4}, SLAAC: {"fd00:db8:", "link", dns6}})
	b.fetches(netlab.Address4, netlab.Address6)
	if s := n.State(); s.Parent != "eth0" || s.VLAN != 5 {
		t.Errorf("%+v", s)
	}
}
