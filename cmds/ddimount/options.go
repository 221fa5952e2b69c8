// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"strconv"

	"github.com/initddi/initddi/internal/policy"
	"github.com/initddi/initddi/internal/signature"
)

var (
	// errUsage says that the command line makes no sense.
	errUsage = errors.New("ddimount --help explains the options")
	// errReported says that the failure stands in the report that was printed.
	errReported = errors.New("the image was refused")
)

// options is the command line.
type options struct {
	verb func(context.Context, environment, *options) error
	args []string

	json                 jsonMode
	noLegend, unverified bool
	mkdir, rmdir         bool
	trust                []string
	rootHash             []byte
	signature            string
	policy               *policy.Policy
}

// jsonMode is --json=: off, short or pretty, which is also what --json alone means.
type jsonMode string

func (m *jsonMode) String() string   { return string(*m) }
func (m *jsonMode) IsBoolFlag() bool { return true }

func (m *jsonMode) Set(s string) error {
	switch s {
	case "true":
		s = "pretty"
	case "pretty", "short", "off":
	default:
		return errors.New("it takes pretty, short or off")
	}
	*m = jsonMode(s)
	return nil
}

// verbs counts the flags that choose what is done.
type verbs struct{ validate, mount, mountMkdir, umount, umountRmdir, help, version bool }

func parse(args []string) (*options, error) {
	o := &options{json: "off"}
	var v verbs
	flags := flag.NewFlagSet("ddimount", flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	flags.Usage = func() {}
	o.define(flags, &v)
	for {
		if err := flags.Parse(args); err != nil {
			return nil, fmt.Errorf("%w; %w", err, errUsage)
		}
		if flags.NArg() == 0 {
			break
		}
		o.args = append(o.args, flags.Arg(0))
		args = flags.Args()[1:]
	}
	return o, o.choose(v)
}

func (o *options) define(flags *flag.FlagSet, v *verbs) {
	both := func(to *bool, names ...string) {
		for _, name := range names {
			flags.BoolVar(to, name, false, "")
		}
	}
	both(&v.help, "help", "h")
	both(&v.version, "version")
	both(&v.validate, "validate")
	both(&v.mount, "mount", "m")
	both(&v.mountMkdir, "M")
	both(&v.umount, "umount", "u")
	both(&v.umountRmdir, "U")
	both(&o.mkdir, "mkdir")
	both(&o.rmdir, "rmdir")
	both(&o.noLegend, "no-legend")
	both(&o.unverified, "allow-unverified")
	// There is no pager, and nothing is ever mounted writable: both are taken so that a script for systemd-dissect works.
	both(new(bool), "no-pager")
	both(new(bool), "read-only", "r")
	flags.Var(&o.json, "json", "")
	flags.StringVar(&o.signature, "root-hash-sig", "", "")
	flags.Func("image-policy", "", func(s string) error {
		p, err := policy.Parse(s)
		o.policy = &p
		return err
	})
	flags.Func("trust", "", func(s string) error {
		o.trust = append(o.trust, s)
		return nil
	})
	flags.Func("root-hash", "", func(s string) (err error) {
		o.rootHash, err = signature.RootHashOf(s)
		return err
	})
}

// choose sets the verb and holds the arguments against it.
func (o *options) choose(v verbs) error {
	o.mkdir = o.mkdir || v.mountMkdir
	o.rmdir = o.rmdir || v.umountRmdir
	chosen, name, want := 0, "", "IMAGE"
	for _, c := range []struct {
		is   bool
		name string
		verb func(context.Context, environment, *options) error
		want string
	}{
		{v.validate, "--validate", validate, "IMAGE"},
		{v.mount || v.mountMkdir, "--mount", mount, "IMAGE PATH"},
		{v.umount || v.umountRmdir, "--umount", umount, "PATH"},
	} {
		if c.is {
			chosen++
			o.verb, name, want = c.verb, c.name, c.want
		}
	}
	n := 1
	switch {
	case v.help:
		o.verb = help
		return nil
	case v.version:
		o.verb = version
		return nil
	case chosen > 1:
		return fmt.Errorf("cannot do two things at once; %w", errUsage)
	case chosen == 0:
		o.verb, name = inspect, "ddimount"
	case want == "IMAGE PATH":
		n = 2
	}
	if len(o.args) != n {
		return fmt.Errorf("cannot use %s with %s: it takes %s; %w", name, plural(len(o.args)), want, errUsage)
	}
	if o.unverified && chosen > 0 {
		return fmt.Errorf("cannot use --allow-unverified with %s: nothing unverified is mounted or valid; %w", name, errUsage)
	}
	return nil
}

func plural(n int) string {
	if n == 1 {
		return "1 argument"
	}
	return strconv.Itoa(n) + " arguments"
}
