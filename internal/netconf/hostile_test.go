// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package netconf

import (
	"encoding/binary"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"

	"github.com/initddi/initddi/internal/linux/rtnetlink"
	"github.com/initddi/initddi/internal/linux/tap"
	"github.com/initddi/initddi/internal/netlab"
)

// liar answers on a port of the network that is this process's.
type liar struct {
	t    *testing.T
	f    *os.File
	seen atomic.Int32
}

// listen reads what the machine sends until the card goes, and has answer say what comes back for each message of DHCP.
func (l *liar) listen(answer func(n int, m *dhcpv4.DHCPv4) [][]byte) {
	buf := make([]byte, 4096)
	for {
		n, err := l.f.Read(buf)
		if err != nil {
			return
		}
		// Ethernet, IPv4 without options, UDP to port 67.
		if n < 14+20+8 || binary.BigEndian.Uint16(buf[12:]) != 0x0800 || buf[14] != 0x45 || buf[23] != 17 || binary.BigEndian.Uint16(buf[36:]) != 67 {
			continue
		}
		m, err := dhcpv4.FromBytes(buf[42:n])
		if err != nil {
			l.t.Errorf("the machine says what is no DHCP: %v", err)
			continue
		}
		for _, payload := range answer(int(l.seen.Add(1)), m) {
			if _, err := l.f.Write(frame(m.ClientHWAddr, payload)); err != nil {
				return
			}
		}
	}
}

// frame wraps a payload as a server's broadcast.
func frame(to net.HardwareAddr, payload []byte) []byte {
	b := append(append(append([]byte{}, to...), 2, 0, 0, 0, 0, 1), 8, 0)
	ip := make([]byte, 20)
	ip[0], ip[8], ip[9] = 0x45, 64, 17
	binary.BigEndian.PutUint16(ip[2:], uint16(28+len(payload)))
	copy(ip[12:], []byte{192, 0, 2, 1})
	copy(ip[16:], []byte{255, 255, 255, 255})
	sum := uint32(0)
	for i := 0; i < 20; i += 2 {
		sum += uint32(binary.BigEndian.Uint16(ip[i:]))
	}
	binary.BigEndian.PutUint16(ip[10:], ^uint16(sum>>16+sum&0xffff))
	udp := make([]byte, 8)
	binary.BigEndian.PutUint16(udp, 67)
	binary.BigEndian.PutUint16(udp[2:], 68)
	binary.BigEndian.PutUint16(udp[4:], uint16(8+len(payload)))
	return append(append(append(b, ip...), udp...), payload...)
}

// reply is an honest answer to a message, before it is spoilt.
func reply(t *testing.T, m *dhcpv4.DHCPv4, modifiers ...dhcpv4.Modifier) *dhcpv4.DHCPv4 {
	t.Helper()
	kind := dhcpv4.MessageTypeOffer
	if m.MessageType() == dhcpv4.MessageTypeRequest {
		kind = dhcpv4.MessageTypeAck
	}
	r, err := dhcpv4.NewReplyFromRequest(m, append([]dhcpv4.Modifier{
		dhcpv4.WithMessageType(kind), dhcpv4.WithYourIP(ip("192.0.2.66")), dhcpv4.WithNetmask(mask24), dhcpv4.WithServerIP(ip("192.0.2.1")),
		dhcpv4.WithOption(dhcpv4.OptServerIdentifier(ip("192.0.2.1"))), dhcpv4.WithRouter(ip("192.0.2.1")), dhcpv4.WithLeaseTime(600),
	}, modifiers...)...)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// liarsBench is a bench with nobody on its network but the liar.
func liarsBench(t *testing.T) (*bench, *liar) {
	t.Helper()
	b := newBench(t)
	f, err := tap.Open(b.Pid(), "liar0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	b.ip("link set liar0 master " + netlab.Switch + " up")
	b.card("eth0")
	return b, &liar{t: t, f: f}
}

// TestNSHostileDHCP: answers of no use are passed over, and one that is of use is taken.
func TestNSHostileDHCP(t *testing.T) {
	b, l := liarsBench(t)
	random := rand.New(rand.NewPCG(1, 2))
	go l.listen(func(n int, m *dhcpv4.DHCPv4) [][]byte {
		good := reply(t, m).ToBytes()
		var out [][]byte
		if m.MessageType() == dhcpv4.MessageTypeDiscover {
			for _, bad := range []dhcpv4.Modifier{
				dhcpv4.WithYourIP(ip("127.0.0.1")), dhcpv4.WithYourIP(ip("255.255.255.255")), dhcpv4.WithNetmask(net.IPMask{255, 0, 255, 0}), dhcpv4.WithNetmask(net.IPMask{0, 0, 0, 0}),
				dhcpv4.WithTransactionID(dhcpv4.TransactionID{1, 2, 3, 4}), dhcpv4.WithHwAddr(net.HardwareAddr{2, 2, 2, 2, 2, 2}), dhcpv4.WithMessageType(dhcpv4.MessageTypeAck),
			} {
				out = append(out, reply(t, m, bad).ToBytes())
			}
		}
		// Cut and spoilt at random places, with the right number of the question.
		for range 200 {
			cut := append([]byte{}, good[:random.IntN(len(good))]...)
			if len(cut) > 240 {
				cut[240+random.IntN(len(cut)-240)] = byte(random.IntN(256))
			}
			out = append(out, cut)
		}
		if n < 3 {
			return out
		}
		return append(out, good)
	})
	n, err := b.up("dhcp,eth0", 30*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	g := n.State().Given
	if len(g) != 1 || len(g[0].Addresses) != 1 || !netip.MustParsePrefix("192.0.2.0/24").Contains(g[0].Addresses[0].Addr()) {
		t.Errorf("%+v", g)
	}
	if len(b.said) > 2*maxTold {
		t.Errorf("%d lines on the console: %q", len(b.said), b.said)
	}
}

// TestNSHostileRefusal: a server that offers and refuses, for ever, is an error at the end, and no flood of questions.
func TestNSHostileRefusal(t *testing.T) {
	b, l := liarsBench(t)
	go l.listen(func(_ int, m *dhcpv4.DHCPv4) [][]byte {
		if m.MessageType() == dhcpv4.MessageTypeRequest {
			return [][]byte{reply(t, m, dhcpv4.WithMessageType(dhcpv4.MessageTypeNak)).ToBytes()}
		}
		return [][]byte{reply(t, m).ToBytes()}
	})
	_, err := b.up("dhcp,eth0", 5*time.Second)
	if err == nil || !strings.Contains(err.Error(), "no DHCP answer on eth0") {
		t.Error(err)
	}
	if n := l.seen.Load(); n > 20 {
		t.Errorf("%d questions in 5 s", n)
	}
	found := false
	for _, s := range b.said {
		found = found || strings.Contains(s, "192.0.2.1 offers an address and refuses it")
	}
	if !found {
		t.Errorf("nobody said why: %q", b.said)
	}
}

// TestNSHostileAdvertisement: options that make no sense change nothing. The kernel takes an advertisement only whole, so that they are put
// where its events come in.
func TestNSHostileAdvertisement(t *testing.T) {
	b := newBench(t)
	m := &manager{Config: b.config("dhcp"), cards: map[int]*card{3: {link: rtnetlink.Link{Index: 3, Name: "eth0"}}}}
	for _, options := range []string{"\x19", "\x19\x00aaaaaa", "\x19\x05aaaaaa", strings.Repeat("\x19\x01aaaaaa", 1000), "\x19\x03\x00\x00\xff\xff\xff\xff" + strings.Repeat("\xff", 16)} {
		m.hear(rtnetlink.Event{Index: 3, Options: []byte(options)})
		m.hear(rtnetlink.Event{Index: 4, Options: []byte(options)})
	}
	for i := range 20 {
		m.hear(rtnetlink.Event{Index: 3, Options: []byte("\x19\x03\x00\x00\x00\x00\x0e\x10\x20\x01\x0d\xb8\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00" + string(rune(i+1)))})
	}
	if k := m.cards[3]; len(k.servers) != maxServers || len(k.told) > maxTold {
		t.Errorf("%v, %q", k.servers, k.told)
	}
}

// advertisement is a router advertisement in its frame (RFC 4861 section 4.2).
func advertisement(options ...string) []byte {
	message := []byte{134, 0, 0, 0, 64, 0, 7, 8, 0, 0, 0, 0, 0, 0, 0, 0}
	message = append(message, strings.Join(options, "")...)
	from, to := netip.MustParseAddr("fe80::bad").AsSlice(), netip.MustParseAddr("ff02::1").AsSlice()
	head := []byte{0x60, 0, 0, 0, 0, 0, 58, 255}
	binary.BigEndian.PutUint16(head[4:], uint16(len(message)))
	sum := uint32(58 + len(message))
	for _, part := range [][]byte{from, to, message} {
		for i := 0; i < len(part); i += 2 {
			sum += uint32(binary.BigEndian.Uint16(part[i:]))
		}
	}
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	binary.BigEndian.PutUint16(message[2:], ^uint16(sum))
	frame := append([]byte{0x33, 0x33, 0, 0, 0, 1, 2, 0, 0, 0, 0, 1, 0x86, 0xdd}, head...)
	return append(append(append(frame, from...), to...), message...)
}

// rdnss names servers, all of which end in one of the bytes of last.
func rdnss(prefix, last string) string {
	option := "\x19" + string([]byte{byte(1 + 2*len(last))}) + "\x00\x00\x00\x00\x0e\x10"
	for i := range len(last) {
		option += prefix + strings.Repeat("\x00", 15-len(prefix)) + last[i:i+1]
	}
	return option
}

// TestNSHostileRouter: of what a router says, the kernel passes name servers on without looking; those of use are taken.
func TestNSHostileRouter(t *testing.T) {
	b, l := liarsBench(t)
	const (
		prefix = "\x03\x04\x40\xc0\x00\x00\x0e\x10\x00\x00\x0e\x10\x00\x00\x00\x00\xfd\x00\x0d\xb8\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"
		good   = "\xfd\x00\x0d\xb8"
	)
	go func() {
		buf := make([]byte, 4096)
		for {
			n, err := l.f.Read(buf)
			if err != nil {
				return
			}
			// A solicitation, behind Ethernet and IPv6.
			if n < 14+40+8 || binary.BigEndian.Uint16(buf[12:]) != 0x86dd || buf[20] != 58 || buf[54] != 133 {
				continue
			}
			for _, options := range [][]string{
				{"\x19\x01\x00\x00\x00\x00\x0e\x10"},                     // a list of nobody
				{rdnss(good, "\x09")[:16], "\x19\x02aaaaaa", "bbbbbbbb"}, // half a server
				{rdnss("\xff\x02", "\x01\x02"), rdnss("", "\x00\x01")},   // what is no machine
				{"\x19\x00\x00\x00\x00\x00\x0e\x10"},                     // no length: the kernel drops it
				{prefix, rdnss(good, "\x05"), rdnss(good, strings.Repeat("\x06", 80))},
			} {
				if _, err := l.f.Write(advertisement(options...)); err != nil {
					return
				}
			}
		}
	}()
	s := b.comes("dhcp", 1, true)
	if dns := s.DNS(); len(s.Given) != 1 || s.Given[0].How != SLAAC || s.Given[0].Gateway != netip.MustParseAddr("fe80::bad") ||
		len(dns) != 2 || dns[0] != netip.MustParseAddr("fd00:db8::5") || dns[1] != netip.MustParseAddr("fd00:db8::6") {
		t.Errorf("%+v", s)
	}
	if len(b.said) > maxTold {
		t.Errorf("%d lines on the console: %q", len(b.said), b.said)
	}
}
