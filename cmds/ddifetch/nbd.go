// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"strconv"
	"time"

	"github.com/initddi/initddi/internal/ddi"
	kernel "github.com/initddi/initddi/internal/linux/nbd"
	"github.com/initddi/initddi/internal/linux/process"
	"github.com/initddi/initddi/internal/nbd"
	"github.com/initddi/initddi/internal/netblock"
)

const nbdHelp = `ddifetch nbd [OPTION...] URL...
ddifetch nbd --list URL...
ddifetch nbd --status
ddifetch nbd --reconnect DEVICE
ddifetch nbd --watch DEVICE
ddifetch nbd --disconnect DEVICE

Make a read-only block device of an export of an NBD server. Of several URLs the
first that has an export is taken. The kernel keeps the connections: ddifetch ends,
the device stays, and only blocks that are read cross the network. Nothing vouches
for them: put dm-verity over the device, as ddimount and stage 1 do.

A URL is nbd://HOST[:PORT]/EXPORT, port 10809 if none is given. DEVICE is nbd0 or
/dev/nbd0, or the URL that it was made of.

Commands:
  (none)                Connect, and print the device
  --list                Only ask: print what the servers offer
  --status              Print the devices that there are
  --reconnect           Give a device new connections in the place of lost ones
  --watch               Stay, and do that whenever connections are lost. For a
                        service of a system whose root the device is: everything
                        it needs is held in memory
  --disconnect          Take the device away. Whoever uses it gets errors

Options:
  --timeout=SECONDS     How long to try to reach a server. Default: 30
  --connections=N       How many connections, 1 to 4, where the server lets a client
                        have several. Default: as there are processors, at least 2
  --request-timeout=SECONDS
                        After how long without an answer a connection is given up.
                        Default: 30
  --dead-timeout=SECONDS
                        For how long readers wait for --reconnect or --watch when
                        the last connection is lost, before they get errors.
                        Default: 0; with --watch 600
  --json                Print JSON
  -h --help             Show this help

Examples:
  ddifetch nbd nbd://10.0.0.1/debian
  ddifetch nbd --status --json
  ddimount --validate /dev/nbd0
  ddifetch nbd --disconnect nbd0
`

// nbdOptions is the command line of the verb nbd.
type nbdOptions struct {
	list, status, reconnect, watch, disconnect bool

	json                   bool
	timeout, request, dead seconds
	connections            int
	args                   []string
}

// seconds is a number of seconds on a command line.
type seconds uint64

// maxSeconds is ten years: what is meant to be for ever.
const maxSeconds = 10 * 365 * 86400

func (s *seconds) String() string { return strconv.FormatUint(uint64(*s), 10) }

func (s *seconds) Set(text string) error {
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil || n > maxSeconds {
		return fmt.Errorf("it takes a number of seconds, at most %d", maxSeconds)
	}
	*s = seconds(n)
	return nil
}

func (o *nbdOptions) define(flags *flag.FlagSet) {
	for name, to := range map[string]*bool{
		"list": &o.list, "status": &o.status, "reconnect": &o.reconnect, "watch": &o.watch, "disconnect": &o.disconnect,
		"json": &o.json,
	} {
		flags.BoolVar(to, name, false, "")
	}
	flags.Var(&o.timeout, "timeout", "")
	flags.Var(&o.request, "request-timeout", "")
	flags.Var(&o.dead, "dead-timeout", "")
	flags.IntVar(&o.connections, "connections", 0, "")
}

// watchDead is how long readers wait for what watches their device.
const watchDead = 600

func parseNBD(args []string) (*nbdOptions, error) {
	o := &nbdOptions{timeout: 30}
	flags := flag.NewFlagSet("nbd", flag.ContinueOnError)
	o.define(flags)
	var err error
	if o.args, err = parse(flags, args); err != nil {
		return nil, err
	}
	given := map[string]bool{}
	flags.Visit(func(f *flag.Flag) { given[f.Name] = true })
	if o.watch && !given["dead-timeout"] {
		o.dead = watchDead
	}
	chosen, least, most, what := 0, 1, 16, "URLs"
	for _, c := range []struct {
		is          bool
		least, most int
		what        string
	}{{o.list, 1, 16, "URLs"}, {o.status, 0, 0, "arguments"}, {o.reconnect, 1, 1, "DEVICE"}, {o.watch, 1, 1, "DEVICE"}, {o.disconnect, 1, 1, "DEVICE"}} {
		if c.is {
			chosen++
			least, most, what = c.least, c.most, c.what
		}
	}
	switch {
	case chosen > 1:
		return nil, fmt.Errorf("cannot do two things at once; %w", errUsage)
	case len(o.args) < least || len(o.args) > most:
		return nil, fmt.Errorf("cannot use %d %s; %w", len(o.args), what, errUsage)
	case given["connections"] && (o.connections < 1 || o.connections > 4):
		return nil, fmt.Errorf("cannot have %d connections; %w", o.connections, errUsage)
	case o.timeout == 0 || given["request-timeout"] && o.request == 0:
		return nil, fmt.Errorf("cannot wait for 0 seconds; %w", errUsage)
	}
	return o, nil
}

func (o *nbdOptions) netblock() netblock.Options {
	return netblock.Options{Connections: o.connections, Limits: kernel.Limits{Request: uint64(o.request), Dead: uint64(o.dead)}}
}

func runNBD(ctx context.Context, env environment, args []string) error {
	o, err := parseNBD(args)
	if err != nil {
		return err
	}
	if o.list {
		return o.listExports(ctx, env)
	}
	if !o.status && !o.reconnect && !o.watch && !o.disconnect {
		if _, err := o.urls(); err != nil {
			return err
		}
	}
	control, err := openNBD()
	if err != nil {
		return err
	}
	defer control.Close()
	sys, err := os.OpenRoot("/sys")
	if err != nil {
		return fmt.Errorf("cannot look at block devices: %w", err)
	}
	defer sys.Close()
	switch {
	case o.status:
		return o.printDevices(env, sys, control)
	case o.reconnect, o.watch, o.disconnect:
		d, err := netblock.Find(sys, control, o.args[0])
		if err != nil {
			return err
		}
		return o.change(ctx, env, sys, control, d)
	}
	return o.connect(ctx, env, control)
}

// openNBD finds the driver, and loads the module that this stage 1 may have.
func openNBD() (*kernel.Control, error) {
	control, err := kernel.Open()
	if !errors.Is(err, kernel.ErrNoDriver) {
		return control, err
	}
	if loadErr := loadDriver(); loadErr != nil {
		return nil, fmt.Errorf("%w (%w)", err, loadErr)
	}
	return kernel.Open()
}

// loadDriver loads the module where stage 1 has it. It makes no devices before somebody wants one, and leaves partition tables alone.
func loadDriver() error {
	modules, err := ddi.StageDrivers()
	if err != nil {
		return err
	}
	return modules.Need("nbd")
}

// urls reads the arguments as URLs.
func (o *nbdOptions) urls() ([]nbd.URL, error) {
	var out []nbd.URL
	for _, a := range o.args {
		u, err := nbd.ParseURL(a)
		if err != nil {
			return nil, fmt.Errorf("%w; %w", err, errUsage)
		}
		out = append(out, u)
	}
	return out, nil
}

// exports asks the servers.
func (o *nbdOptions) exports(ctx context.Context, env environment) ([]netblock.Export, error) {
	urls, err := o.urls()
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, time.Duration(o.timeout)*time.Second)
	defer cancel()
	list, err := netblock.List(ctx, urls, func(_ nbd.URL, err error) {
		if len(urls) > 1 {
			fmt.Fprintln(env.Stderr, "ddifetch:", err)
		}
	})
	if err != nil && len(urls) > 1 {
		return nil, fmt.Errorf("cannot use any of the %d URLs", len(urls))
	}
	return list, err
}

// exportJSON and deviceJSON are what --json prints.
type (
	exportJSON struct {
		URL         string `json:"url"`
		Size        uint64 `json:"size"`
		BlockSize   uint32 `json:"block_size"`
		Connections int    `json:"connections"`
	}
	deviceJSON struct {
		Node        string `json:"node"`
		URL         string `json:"url"`
		Size        uint64 `json:"size"`
		BlockSize   uint32 `json:"block_size"`
		Connections int    `json:"connections,omitempty"`
		ReadOnly    bool   `json:"read_only"`
	}
)

func (o *nbdOptions) listExports(ctx context.Context, env environment) error {
	list, err := o.exports(ctx, env)
	if err != nil {
		return err
	}
	if o.json {
		out := []exportJSON{}
		for _, e := range list {
			out = append(out, exportJSON{e.URL.String(), e.Size, e.BlockSize, e.Connections})
		}
		return printJSON(env, out)
	}
	fmt.Fprintf(env.Stdout, "%12s  %5s  %11s  %s\n", "SIZE", "BLOCK", "CONNECTIONS", "URL")
	for _, e := range list {
		fmt.Fprintf(env.Stdout, "%12d  %5d  %11d  %s\n", e.Size, e.BlockSize, e.Connections, e.URL)
	}
	return nil
}

func (o *nbdOptions) connect(ctx context.Context, env environment, control *kernel.Control) error {
	list, err := o.exports(ctx, env)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, time.Duration(o.timeout)*time.Second)
	defer cancel()
	d, err := netblock.Connect(ctx, control, list[0].URL, o.netblock())
	if err != nil {
		return err
	}
	if o.json {
		return printJSON(env, deviceJSON{d.Node(), d.URL.String(), d.Size, d.BlockSize, d.Connections, true})
	}
	_, err = fmt.Fprintf(env.Stdout, "/dev/%s: %d bytes of %s, over %d connections\n", d.Node(), d.Size, d.URL, d.Connections)
	return err
}

func (o *nbdOptions) printDevices(env environment, sys *os.Root, control *kernel.Control) error {
	list, err := netblock.Devices(sys, control)
	if err != nil {
		return err
	}
	if o.json {
		out := []deviceJSON{}
		for _, d := range list {
			out = append(out, deviceJSON{Node: d.Node, URL: d.Backend, Size: d.Size, BlockSize: d.BlockSize, ReadOnly: d.ReadOnly})
		}
		return printJSON(env, out)
	}
	fmt.Fprintf(env.Stdout, "%-6s  %12s  %5s  %s\n", "DEVICE", "SIZE", "BLOCK", "URL")
	for _, d := range list {
		fmt.Fprintf(env.Stdout, "%-6s  %12d  %5d  %s\n", d.Node, d.Size, d.BlockSize, d.Backend)
	}
	return nil
}

// change does something to a device that is there.
func (o *nbdOptions) change(ctx context.Context, env environment, sys *os.Root, control *kernel.Control, d netblock.Status) error {
	if o.disconnect {
		return control.Disconnect(d.Index)
	}
	u, err := nbd.ParseURL(d.Backend)
	if err != nil {
		return fmt.Errorf("cannot tell what %s was made of: %w", d.Node, err)
	}
	if o.watch {
		return o.watchDevice(ctx, env, sys, control, d, u)
	}
	ctx, cancel := context.WithTimeout(ctx, time.Duration(o.timeout)*time.Second)
	defer cancel()
	return netblock.Reconnect(ctx, sys, control, d.Index, u, o.netblock())
}

// watchDevice stays. What it needs is held in memory, and the server's address is found out now: the device may be what this program,
// its libraries' files and the resolver's lie on.
func (o *nbdOptions) watchDevice(ctx context.Context, env environment, sys *os.Root, control *kernel.Control, d netblock.Status, u nbd.URL) error {
	w, err := control.Watch()
	if err != nil {
		return err
	}
	defer w.Close()
	if err := process.HoldInMemory(); err != nil {
		return err
	}
	err = netblock.Watch(ctx, sys, control, w, d.Index, u, o.netblock(), func(text string) { fmt.Fprintf(env.Stderr, "ddifetch: %s: %s\n", d.Node, text) })
	if errors.Is(err, context.Canceled) {
		return nil
	}
	return err
}
