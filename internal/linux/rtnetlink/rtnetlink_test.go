// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package rtnetlink

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"net/netip"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/initddi/initddi/internal/linux/kerneltest"
)

func TestParse(t *testing.T) {
	one := message{kind: unix.RTM_NEWLINK, flags: 2, seq: 3, body: []byte("abcde")}.encode()
	two := message{kind: unix.NLMSG_DONE, seq: 4}.encode()
	list, err := parse(slices.Concat(one, make([]byte, 3), two))
	if err != nil || len(list) != 2 || string(list[0].body) != "abcde" || list[0].seq != 3 || list[1].kind != unix.NLMSG_DONE || len(list[1].body) != 0 {
		t.Errorf("%+v, %v", list, err)
	}
	for _, bad := range [][]byte{one[:8], one[:18], append([]byte{3, 0, 0, 0}, one[4:]...), append(slices.Clone(one), make([]byte, 3+5)...)} {
		if list, err := parse(bad); !errors.Is(err, ErrMessage) {
			t.Errorf("%q: %+v, %v", bad, list, err)
		}
	}
}

func TestAttributes(t *testing.T) {
	inner := attribute32(attribute(nil, 1, []byte("vlan\x00")), 2, 7)
	b := attribute(attribute(nil, 5, []byte{1}), 18|unix.NLA_F_NESTED, inner)
	if got := find(b, 18, 1); text(got) != "vlan" {
		t.Errorf("%q", got)
	}
	if got := number(find(b, 18, 2)); got != 7 {
		t.Error(got)
	}
	for _, path := range [][]uint16{{1}, {18, 3}, {5, 1}} {
		if got := find(b, path...); got != nil {
			t.Errorf("%v: %q", path, got)
		}
	}
	if number([]byte{1, 2, 3}) != 0 {
		t.Error("three bytes are a number")
	}
}

// TestUserOptions: the length of the options that a message of the kernel says is held against the message.
func TestUserOptions(t *testing.T) {
	head := make([]byte, unix.SizeofNdUseroptmsg)
	head[0] = unix.AF_INET6
	binary.NativeEndian.PutUint16(head[2:], 8)
	binary.NativeEndian.PutUint32(head[4:], 7)
	options := []byte("12345678")
	index, got, ok := userOptions(message{kind: unix.RTM_NEWNDUSEROPT, body: slices.Concat(head, options, []byte("more"))})
	if !ok || index != 7 || !bytes.Equal(got, options) {
		t.Errorf("%d, %q, %t", index, got, ok)
	}
	for _, body := range [][]byte{nil, head[:15], append(slices.Clone(head), options[:7]...)} {
		if _, _, ok := userOptions(message{kind: unix.RTM_NEWNDUSEROPT, body: body}); ok {
			t.Errorf("%q is taken", body)
		}
	}
}

// FuzzMessages: no bytes lead out of them.
func FuzzMessages(f *testing.F) {
	link1 := attribute(infoMessage(3, unix.IFF_UP, 0), unix.IFLA_IFNAME, []byte("eth0\x00"))
	f.Add(message{kind: unix.RTM_NEWLINK, body: link1}.encode())
	f.Add(message{kind: unix.RTM_NEWADDR, body: attribute([]byte{unix.AF_INET, 24, 0, 0, 3, 0, 0, 0}, unix.IFA_LOCAL, []byte{192, 0, 2, 1})}.encode())
	f.Fuzz(func(t *testing.T, b []byte) {
		list, _ := parse(b)
		for _, m := range list {
			link(m)
			if a, _, ok := address(m); ok && !a.Prefix.IsValid() {
				t.Fatalf("%+v", a)
			}
			defaultRoute(m)
			userOptions(m)
		}
	})
}

// run is the command ip, which nobody here wrote.
func run(t *testing.T, line string) string {
	t.Helper()
	out, err := exec.Command("ip", strings.Fields(line)...).CombinedOutput()
	if errors.Is(err, exec.ErrNotFound) {
		t.Skip("needs the command ip (iproute2)")
	}
	if err != nil {
		t.Fatalf("ip %s: %v: %s", line, err, out)
	}
	return string(out)
}

func open(t *testing.T) *Conn {
	t.Helper()
	c, err := Open()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func named(t *testing.T, c *Conn, name string) Link {
	t.Helper()
	list, err := c.Links()
	if err != nil {
		t.Fatal(err)
	}
	i := slices.IndexFunc(list, func(l Link) bool { return l.Name == name })
	if i < 0 {
		t.Fatalf("no %s in %+v", name, list)
	}
	return list[i]
}

// TestNSLink sets a link up and holds what the kernel then says against what the command ip says.
func TestNSLink(t *testing.T) {
	kerneltest.NeedNamespace(t)
	run(t, "link add here type veth peer name there")
	defer run(t, "link delete here")
	c := open(t)
	l := named(t, c, "here")
	if l.Up || l.Carrier || l.Kind != "veth" || !l.Ethernet || len(l.MAC) != 6 || l.MTU != 1500 {
		t.Errorf("%+v", l)
	}
	w, err := Watch()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	events, ended := make(chan Event), make(chan error, 1)
	go func() { ended <- w.Run(ctx, events) }()
	if err := c.SetUp(l.Index, true); err != nil {
		t.Fatal(err)
	}
	<-events
	if l = named(t, c, "here"); !l.Up || l.Carrier {
		t.Errorf("no peer, and %+v", l)
	}
	run(t, "link set there up")
	for !named(t, c, "here").Carrier {
		select {
		case <-events:
		case <-ctx.Done():
			t.Fatal("no carrier")
		}
	}
	p := netip.MustParsePrefix("192.0.2.5/24")
	for range 2 { // the second changes the lifetime
		if err := c.AddAddress(l.Index, p, time.Hour); err != nil {
			t.Fatal(err)
		}
	}
	gateway := netip.MustParseAddr("192.0.2.1")
	for range 2 {
		if err := c.AddRoute(l.Index, netip.MustParsePrefix("0.0.0.0/0"), gateway); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(c.AddRoute(l.Index, netip.MustParsePrefix("198.51.100.0/24"), netip.Addr{}), c.AddRoute(l.Index, netip.MustParsePrefix("203.0.113.0/24"), netip.MustParseAddr("10.0.0.1")), c.SetMTU(l.Index, 1400)); err != nil {
		t.Fatal(err)
	}
	list, err := c.Addresses(l.Index)
	if err != nil || !slices.Contains(list, Address{Prefix: p, Global: true}) {
		t.Errorf("%+v, %v", list, err)
	}
	if got, err := c.Gateway(l.Index, false); err != nil || got != gateway {
		t.Errorf("%v, %v", got, err)
	}
	if got, err := c.Gateway(l.Index, true); err != nil || got.IsValid() {
		t.Errorf("%v, %v", got, err)
	}
	said := run(t, "address show dev here") + run(t, "route")
	for _, want := range []string{"inet 192.0.2.5/24 brd 192.0.2.255 scope global", "valid_lft 3600sec", "mtu 1400", "default via 192.0.2.1 dev here onlink", "198.51.100.0/24 dev here scope link", "203.0.113.0/24 via 10.0.0.1 dev here onlink"} {
		if !strings.Contains(said, want) {
			t.Errorf("ip does not say %q:\n%s", want, said)
		}
	}
	if err := c.SetUp(l.Index, false); err != nil || named(t, c, "here").Up {
		t.Error("not switched off", err)
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

func TestNSErrors(t *testing.T) {
	kerneltest.NeedNamespace(t)
	c := open(t)
	const none = 1 << 20
	for _, err := range []error{c.SetUp(none, true), c.SetMTU(none, 1400), c.AddAddress(none, netip.MustParsePrefix("192.0.2.5/24"), 0)} {
		if !errors.Is(err, unix.ENODEV) {
			t.Errorf("%v, want %v", err, unix.ENODEV)
		}
	}
	if err := c.AddRoute(none, netip.MustParsePrefix("192.0.2.0/24"), netip.Addr{}); err == nil {
		t.Error("a route through nothing")
	}
	if err := Solicit(none); err == nil {
		t.Error("a question through nothing")
	}
	w, err := Watch()
	if err != nil {
		t.Fatal(err)
	}
	w.Close()
	if err := w.Run(context.Background(), nil); err != nil {
		t.Errorf("a closed watcher: %v", err)
	}
}
