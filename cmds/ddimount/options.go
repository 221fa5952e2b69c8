// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"github.com/initddi/initddi/internal/options"
	"github.com/initddi/initddi/internal/policy"
	"github.com/initddi/initddi/internal/signature"
)

var (
	// errUsage says that the command line makes no sense.
	errUsage = errors.New("ddimount --help explains the options")
	// errReported says that the failure stands in the report that was printed.
	errReported = errors.New("the image was refused")
)

// request is the command line.
type request struct {
	verb func(context.Context, environment, *request) error
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

func (m *jsonMode) set(s string) error {
	switch s {
	case "":
		s = "pretty"
	case "pretty", "short", "off":
	default:
		return errors.New("it takes pretty, short or off")
	}
	*m = jsonMode(s)
	return nil
}

// verbs are the options that choose what is done.
type verbs struct{ validate, mount, mountMkdir, umount, umountRmdir, help, version bool }

func parse(args []string) (*request, error) {
	o := &request{json: "off"}
	var v verbs
	var set options.Set
	o.define(&set, &v)
	rest, err := set.Parse(args)
	if err != nil {
		return nil, fmt.Errorf("%w; %w", err, errUsage)
	}
	o.args = rest
	return o, o.choose(v)
}

func (o *request) define(set *options.Set, v *verbs) {
	set.Bool(&v.help, "help", "h")
	set.Bool(&v.version, "version")
	set.Bool(&v.validate, "validate")
	set.Bool(&v.mount, "mount", "m")
	set.Bool(&v.mountMkdir, "M")
	set.Bool(&v.umount, "umount", "u")
	set.Bool(&v.umountRmdir, "U")
	set.Bool(&o.mkdir, "mkdir")
	set.Bool(&o.rmdir, "rmdir")
	set.Bool(&o.noLegend, "no-legend")
	set.Bool(&o.unverified, "allow-unverified")
	// There is no pager, and nothing is ever mounted writable: both are taken so that a script for systemd-dissect works.
	set.Bool(new(bool), "no-pager")
	set.Bool(new(bool), "read-only", "r")
	set.Optional("json", o.json.set)
	set.Value("root-hash-sig", func(s string) error {
		o.signature = s
		return nil
	})
	set.Value("image-policy", func(s string) error {
		p, err := policy.Parse(s)
		o.policy = &p
		return err
	})
	set.Value("trust", func(s string) error {
		o.trust = append(o.trust, s)
		return nil
	})
	set.Value("root-hash", func(s string) (err error) {
		o.rootHash, err = signature.RootHashOf(s)
		return err
	})
}

// choose sets the verb and holds the arguments against it.
func (o *request) choose(v verbs) error {
	o.mkdir = o.mkdir || v.mountMkdir
	o.rmdir = o.rmdir || v.umountRmdir
	chosen, name, want := 0, "", "IMAGE"
	for _, c := range []struct {
		is   bool
		name string
		verb func(context.Context, environment, *request) error
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
