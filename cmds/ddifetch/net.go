// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/initddi/initddi/internal/ddi"
	"github.com/initddi/initddi/internal/jsontext"
	"github.com/initddi/initddi/internal/netconf"
	"github.com/initddi/initddi/internal/plan"
)

const netHelp = `ddifetch net [OPTION...]

Bring the network up as a boot does, and print what came of it. It stays up when
the command ends; /run/initddi/network.json has the same as --json, and
/etc/resolv.conf the name servers.

Without --ip every network card with a carrier is asked at the same time, by DHCP
and by IPv6's router advertisements (SLAAC, DHCPv6), and the first that gets an
answer is used. The others are switched off again.

Options:
  --ip=NETWORK          What ddi.ip= takes: dhcp, dhcp,NIC[.VLAN], or
                        ADDRESS/LENGTH,GATEWAY,DNS[,NIC[.VLAN]], where GATEWAY and
                        DNS may be empty. NIC is a name or a hardware address.
                        Default: dhcp
  --timeout=TIME        How long to try: seconds, or with ms, s, min behind it.
                        Default: 60
  --keep                Leave word for the next init to keep the network as it is:
                        for a root file system that comes over it
  --json                Print JSON
  -v --verbose          Say more on standard error
  -h --help             Show this help

Examples:
  ddifetch net
  ddifetch net --ip=dhcp,eth0.5 --timeout=10
  ddifetch net --ip=192.0.2.5/24,192.0.2.1,192.0.2.53,eth1
`

// networkOptions say how the network is brought up.
type networkOptions struct {
	ip    string
	keep  bool
	say   func(format string, args ...any)
	debug func(format string, args ...any)
	// drivers says that the drivers of cards are not somebody else's to load.
	drivers bool
}

// bootNetwork is what brings the network up for a boot, nil where this is none: a person who tries what storageinit does has a network, or
// brings it up first, and would not want to have it taken over.
func bootNetwork() func(context.Context, networkOptions) (*netconf.Network, error) {
	if os.Getppid() != 1 {
		return nil
	}
	return bringUp
}

// bringUp brings the network of this machine up.
func bringUp(ctx context.Context, o networkOptions) (*netconf.Network, error) {
	want, err := plan.ParseNetwork(o.ip)
	if err != nil {
		return nil, fmt.Errorf("cannot use the network %q: %w", o.ip, err)
	}
	root, err := os.OpenRoot("/")
	if err != nil {
		return nil, fmt.Errorf("cannot bring the network up: %w", err)
	}
	// Open until the program ends: what comes in late is written as well.
	proc, err := os.OpenRoot("/proc")
	if err != nil {
		return nil, fmt.Errorf("cannot bring the network up: %w", err)
	}
	modules, err := ddi.StageDrivers()
	if err != nil {
		return nil, err
	}
	if err := modules.Need("packet"); err != nil {
		o.debug("network: %v", err)
	}
	c := netconf.Config{
		Want: want, Root: root, Proc: proc, Say: o.say, Debug: o.debug, Keep: o.keep,
		VLAN: func() error { return modules.Need("vlan") },
	}
	if o.drivers {
		c.Drivers = modules.OfferAll
	}
	return netconf.Up(ctx, c)
}

// recorded reports whether an earlier run has brought the network up.
func recorded() bool {
	root, err := os.OpenRoot("/")
	if err != nil {
		return false
	}
	defer root.Close()
	return netconf.Recorded(root)
}

// netOptions is the command line of the verb net.
type netOptions struct {
	networkOptions
	json, verbose bool
	timeout       time.Duration
}

func (o *netOptions) define(flags *flag.FlagSet) {
	flags.StringVar(&o.ip, "ip", "dhcp", "")
	flags.BoolVar(&o.keep, "keep", false, "")
	flags.BoolVar(&o.json, "json", false, "")
	flags.BoolVar(&o.verbose, "verbose", false, "")
	flags.BoolVar(&o.verbose, "v", false, "")
	flags.Func("timeout", "", func(s string) (err error) {
		o.timeout, err = parseTime(s)
		return err
	})
}

func runNet(ctx context.Context, env environment, args []string) error {
	o := netOptions{networkOptions: networkOptions{drivers: true}, timeout: time.Minute}
	flags := flag.NewFlagSet("net", flag.ContinueOnError)
	o.define(flags)
	rest, err := parse(flags, args)
	if err != nil {
		return err
	}
	if len(rest) > 0 {
		return fmt.Errorf("cannot use %q: net takes options only; %w", rest[0], errUsage)
	}
	if _, err := plan.ParseNetwork(o.ip); err != nil {
		var key *plan.KeyError
		if errors.As(err, &key) {
			err = fmt.Errorf("%w: it takes %s", key.Err, key.Allowed)
		}
		return fmt.Errorf("cannot use --ip=%s: %w; %w", o.ip, err, errUsage)
	}
	o.say = func(format string, args ...any) { fmt.Fprintf(env.Stderr, format+"\n", args...) }
	o.debug = func(string, ...any) {}
	if o.verbose {
		o.debug = o.say
	}
	ctx, cancel := context.WithTimeout(ctx, o.timeout)
	defer cancel()
	n, err := bringUp(ctx, o.networkOptions)
	if err != nil {
		return err
	}
	n.Settle(ctx)
	if o.json {
		b, err := jsontext.Marshal(n.State(), "  ")
		if err != nil {
			return err
		}
		_, err = env.Stdout.Write(append(b, '\n'))
		return err
	}
	return printNetwork(env, n.State())
}

// printNetwork prints a table for people.
func printNetwork(env environment, s netconf.State) error {
	fmt.Fprintf(env.Stdout, "%s  %s\n\n", s.Interface, s.MAC)
	w := tabwriter.NewWriter(env.Stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "HOW\tADDRESS\tGATEWAY\tDNS\tSERVER\tLEASE")
	for _, g := range s.Given {
		lease := "-"
		if g.Lease != 0 {
			lease = (time.Duration(g.Lease) * time.Second).String()
		}
		fmt.Fprintln(w, strings.Join([]string{g.How, joined(g.Addresses), text(g.Gateway), joined(g.DNS), text(g.Server), lease}, "\t"))
	}
	return w.Flush()
}

// text is an address for people.
func text[T interface {
	comparable
	fmt.Stringer
}](a T) string {
	var none T
	if a == none {
		return "-"
	}
	return a.String()
}

func joined[T fmt.Stringer](list []T) string {
	if len(list) == 0 {
		return "-"
	}
	return strings.Join(texts(list), " ")
}

func texts[T fmt.Stringer](list []T) []string {
	out := []string{}
	for _, a := range list {
		out = append(out, a.String())
	}
	return out
}

// network brings the network up, if no earlier run has, and tells of it.
func (b *booter) network(ctx context.Context) error {
	if b.env.Network == nil || b.o.get != "" && recorded() {
		return nil
	}
	limit, cancel := context.WithTimeout(ctx, b.o.timeout)
	// What comes in late comes in as long as this runs.
	context.AfterFunc(ctx, cancel)
	n, err := b.env.Network(limit, networkOptions{
		ip: b.o.ip, keep: b.o.source == "nbd",
		say:   func(format string, args ...any) { b.events.info(fmt.Sprintf(format, args...)) },
		debug: func(format string, args ...any) { b.events.say("<7>", fmt.Sprintf(format, args...)) },
	})
	if err != nil {
		return err
	}
	b.events.network(n.State())
	return nil
}

// network tells of each part of a network.
func (e *events) network(s netconf.State) {
	for _, g := range s.Given {
		v := event{Event: "network", Interface: s.Interface, Addresses: texts(g.Addresses), DNS: texts(g.DNS), How: g.How}
		if g.Gateway.IsValid() {
			v.Gateway = g.Gateway.String()
		}
		e.send(v)
	}
}
