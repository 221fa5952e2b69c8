// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package netconf

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"
	"github.com/insomniacslk/dhcp/dhcpv4/nclient4"
	"github.com/insomniacslk/dhcp/dhcpv6"
	"github.com/insomniacslk/dhcp/dhcpv6/nclient6"
	"github.com/insomniacslk/dhcp/iana"

	"github.com/initddi/initddi/internal/linux/process"
	"github.com/initddi/initddi/internal/linux/rtnetlink"
)

// A question is asked again after firstWait, then after twice that, and so on, tries times; then from the beginning.
const (
	firstWait = time.Second
	tries     = 5
	// afterRefusal is a pause before a server that refused or made no sense is asked again.
	afterRefusal = time.Second
)

// askDHCP4 asks until somebody gives an address, which only ctx ends. What goes wrong meanwhile is told.
func askDHCP4(ctx context.Context, l rtnetlink.Link, tell func(error)) (lease, error) {
	for {
		got, err := tryDHCP4(ctx, l, tell)
		if err == nil || ctx.Err() != nil {
			return got, err
		}
		if !errors.Is(err, nclient4.ErrNoResponse) {
			tell(err)
			pause(ctx, afterRefusal)
		}
	}
}

// tryDHCP4 asks once, as RFC 2131 has it: discover, offer, request, acknowledgement.
func tryDHCP4(ctx context.Context, l rtnetlink.Link, tell func(error)) (got lease, err error) {
	defer process.Guard(&err)
	c, err := nclient4.New(l.Name, nclient4.WithHWAddr(l.MAC), nclient4.WithTimeout(firstWait), nclient4.WithRetry(tries))
	if err != nil {
		return got, fmt.Errorf("cannot ask by DHCP on %s: %w", l.Name, err)
	}
	defer c.Close()
	options := []dhcpv4.Modifier{
		// The same as of an operating system that says so by its hardware address, so that it is given the same address.
		dhcpv4.WithOption(dhcpv4.OptClientIdentifier(append([]byte{byte(iana.HWTypeEthernet)}, l.MAC...))),
		dhcpv4.WithOption(dhcpv4.OptMaxMessageSize(nclient4.MaxMessageSize)),
		dhcpv4.WithRequestedOptions(dhcpv4.OptionSubnetMask, dhcpv4.OptionRouter, dhcpv4.OptionDomainNameServer, dhcpv4.OptionInterfaceMTU, dhcpv4.OptionClasslessStaticRoute),
	}
	discover, err := dhcpv4.NewDiscovery(l.MAC, options...)
	if err != nil {
		return got, fmt.Errorf("cannot ask by DHCP on %s: %w", l.Name, err)
	}
	offer, err := c.SendAndRead(ctx, c.RemoteAddr(), discover, func(m *dhcpv4.DHCPv4) bool {
		if m == nil || m.MessageType() != dhcpv4.MessageTypeOffer || m.ServerIdentifier() == nil {
			return false
		}
		// Another server may have something better.
		_, err := fromDHCP4(m)
		if err != nil {
			tell(err)
		}
		return err == nil
	})
	if err != nil {
		return got, err
	}
	request, err := dhcpv4.NewRequestFromOffer(offer, options...)
	if err != nil {
		return got, fmt.Errorf("cannot ask by DHCP on %s: %w", l.Name, err)
	}
	answer, err := c.SendAndRead(ctx, c.RemoteAddr(), request, func(m *dhcpv4.DHCPv4) bool {
		return m != nil && m.ServerIdentifier().Equal(offer.ServerIdentifier()) && (m.MessageType() == dhcpv4.MessageTypeAck || m.MessageType() == dhcpv4.MessageTypeNak)
	})
	if err != nil {
		return got, err
	}
	if answer.MessageType() == dhcpv4.MessageTypeNak {
		return got, fmt.Errorf("%w: %s offers an address and refuses it", errAnswer, offer.ServerIdentifier())
	}
	return fromDHCP4(answer)
}

// askDHCP6 asks for name servers, and for an address if managed, until somebody answers, which only ctx ends.
func askDHCP6(ctx context.Context, l rtnetlink.Link, managed bool, tell func(error)) (lease, error) {
	for {
		got, err := tryDHCP6(ctx, l, managed)
		if err == nil || ctx.Err() != nil {
			return got, err
		}
		if !errors.Is(err, nclient6.ErrNoResponse) {
			tell(err)
			pause(ctx, afterRefusal)
		}
	}
}

// tryDHCP6 asks once (RFC 8415 sections 18.2.1, 18.2.2 and 18.2.6).
func tryDHCP6(ctx context.Context, l rtnetlink.Link, managed bool) (got lease, err error) {
	defer process.Guard(&err)
	own, err := linkLocal(l.Index)
	if err != nil {
		return got, fmt.Errorf("cannot ask by DHCPv6 on %s: %w", l.Name, err)
	}
	// By number: package net remembers for a minute which link has a name.
	conn, err := net.ListenUDP("udp6", &net.UDPAddr{IP: own.AsSlice(), Port: dhcpv6.DefaultClientPort, Zone: strconv.Itoa(l.Index)})
	if err != nil {
		return got, fmt.Errorf("cannot ask by DHCPv6 on %s: %w", l.Name, err)
	}
	c, err := nclient6.NewWithConn(conn, l.MAC, nclient6.WithTimeout(firstWait), nclient6.WithRetry(tries))
	if err != nil {
		conn.Close()
		return got, fmt.Errorf("cannot ask by DHCPv6 on %s: %w", l.Name, err)
	}
	defer c.Close()
	// The time of day is no part of who this is: the next boot is to be given the same address.
	duid := &dhcpv6.DUIDLL{HWType: iana.HWTypeEthernet, LinkLayerAddr: l.MAC}
	var reply *dhcpv6.Message
	if managed {
		reply, err = c.RapidSolicit(ctx, dhcpv6.WithClientID(duid))
	} else {
		reply, err = inform(ctx, c, duid)
	}
	if err != nil {
		return got, err
	}
	if reply == nil {
		return got, nclient6.ErrNoResponse
	}
	return fromDHCP6(reply, duid, managed)
}

// linkLocal returns the address that a link has for itself.
func linkLocal(index int) (netip.Addr, error) {
	c, err := rtnetlink.Open()
	if err != nil {
		return netip.Addr{}, err
	}
	defer c.Close()
	list, err := c.Addresses(index)
	for _, a := range list {
		if p := a.Prefix.Addr(); p.Is6() && p.IsLinkLocalUnicast() && !a.Tentative && !a.Duplicate {
			return p, nil
		}
	}
	return netip.Addr{}, errors.Join(err, errors.New("it has no address of its own yet"))
}

// inform asks for everything but an address.
func inform(ctx context.Context, c *nclient6.Client, duid dhcpv6.DUID) (*dhcpv6.Message, error) {
	m, err := dhcpv6.NewMessage(dhcpv6.WithClientID(duid), dhcpv6.WithRequestedOptions(dhcpv6.OptionDNSRecursiveNameServer))
	if err != nil {
		return nil, err
	}
	m.MessageType = dhcpv6.MessageTypeInformationRequest
	m.AddOption(dhcpv6.OptElapsedTime(0))
	return c.SendAndRead(ctx, c.RemoteAddr(), m, nclient6.IsMessageType(dhcpv6.MessageTypeReply))
}

// pause waits, or until ctx ends.
func pause(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}
