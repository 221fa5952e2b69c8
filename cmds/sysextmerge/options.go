// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"path/filepath"
	"strings"

	"github.com/initddi/initddi/internal/layers"
	"github.com/initddi/initddi/internal/policy"
)

// errUsage says that the command line makes no sense.
var errUsage = errors.New("sysextmerge --help explains the options")

// options is the command line, and what the environment says.
type options struct {
	verb func(context.Context, environment, *options) error

	class        layers.Class
	root         string
	osRelease    string
	hierarchies  []string
	mutable      layers.Mutable
	mountOptions string
	policy       *policy.Policy
	trust        []string
	noExec       *bool
	json         string

	force, noReload, noLegend bool
}

// given is what the command line says that does not stand in options as it is.
type given struct {
	confext, help, version bool
	mutable                layers.Mutable // empty if --mutable= is not given
}

func parse(env environment, args []string) (*options, error) {
	o := &options{json: "off", class: layers.Sysext, mutable: layers.MutableNo}
	var g given
	flags := flag.NewFlagSet("sysextmerge", flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	flags.Usage = func() {}
	o.define(flags, &g)
	var words []string
	for {
		if err := flags.Parse(args); err != nil {
			return nil, fmt.Errorf("%w; %w", err, errUsage)
		}
		if flags.NArg() == 0 {
			break
		}
		words = append(words, flags.Arg(0))
		args = flags.Args()[1:]
	}
	if g.confext || strings.Contains(filepath.Base(env.Name), "confext") {
		o.class = layers.Confext
	}
	if err := o.environment(env, g.mutable); err != nil {
		return nil, err
	}
	return o, o.choose(words, g)
}

func (o *options) define(flags *flag.FlagSet, g *given) {
	flags.BoolVar(&g.confext, "confext", false, "")
	flags.BoolVar(&g.help, "help", false, "")
	flags.BoolVar(&g.help, "h", false, "")
	flags.BoolVar(&g.version, "version", false, "")
	flags.BoolVar(&o.force, "force", false, "")
	flags.BoolVar(&o.noReload, "no-reload", false, "")
	flags.BoolVar(&o.noLegend, "no-legend", false, "")
	flags.BoolVar(new(bool), "no-pager", false, "") // there is none
	flags.Func("always-refresh", "", func(s string) error {
		_, err := layers.ParseBool(s) // a refresh leaves no moment without a merge, so there is no reason to save one
		return err
	})
	flags.Func("root", "", func(s string) (err error) {
		// Whoever looks after another system does not want this one's units to be read again.
		o.noReload, o.root = true, ""
		if s != "" {
			o.root, err = filepath.Abs(s)
		}
		return err
	})
	flags.Func("json", "", func(s string) error {
		if s != "pretty" && s != "short" && s != "off" {
			return errors.New("it takes pretty, short or off")
		}
		o.json = s
		return nil
	})
	flags.Func("image-policy", "", func(s string) error {
		p, err := policy.Parse(s)
		o.policy = &p
		return err
	})
	flags.Func("trust", "", func(s string) error {
		o.trust = append(o.trust, s)
		return nil
	})
	flags.Func("noexec", "", func(s string) error {
		is, err := layers.ParseBool(s)
		o.noExec = &is
		return err
	})
	flags.Func("mutable", "", func(s string) (err error) {
		g.mutable, err = layers.ParseMutable(s)
		return err
	})
}

// environment reads systemd's variables. What the command line says goes before.
func (o *options) environment(env environment, asked layers.Mutable) error {
	if text, ok := env.Lookup(o.class.MutableVariable()); ok {
		m, err := layers.ParseMutable(text)
		if err != nil {
			fmt.Fprintf(env.Stderr, "sysextmerge: ignoring $%s: %v\n", o.class.MutableVariable(), err)
		} else {
			o.mutable = m
		}
	}
	if asked != "" {
		o.mutable = asked
	}
	if text, ok := env.Lookup(o.class.HierarchiesVariable()); ok {
		var err error
		if o.hierarchies, err = layers.ParseHierarchies(text); err != nil {
			return fmt.Errorf("cannot use $%s: %w", o.class.HierarchiesVariable(), err)
		}
	}
	o.mountOptions, _ = env.Lookup(o.class.MountOptionsVariable())
	o.osRelease, _ = env.Lookup("SYSTEMD_OS_RELEASE")
	return nil
}

// choose sets the verb.
func (o *options) choose(words []string, g given) error {
	switch {
	case g.help:
		o.verb = showHelp
		return nil
	case g.version:
		o.verb = showVersion
		return nil
	case len(words) == 0:
		words = []string{"status"}
	case len(words) > 1:
		return fmt.Errorf("cannot use %q: one command at a time, and it takes no arguments; %w", words[1], errUsage)
	}
	switch words[0] {
	case "status":
		o.verb = showStatus
	case "list":
		o.verb = showList
	case "merge":
		o.verb = merge
	case "unmerge":
		o.verb = unmerge
	case "refresh":
		o.verb = refresh
	case "help":
		o.verb = showHelp
	default:
		return fmt.Errorf("cannot do %q: there is no such command; %w", words[0], errUsage)
	}
	return nil
}
