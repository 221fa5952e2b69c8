// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/initddi/initddi/internal/jsontext"
	"github.com/initddi/initddi/internal/netconf"
	"github.com/initddi/initddi/internal/release"
)

var (
	// errUsage says that the command line makes no sense.
	errUsage = errors.New("ddifetch --help explains the options")
	// errReported says that the failure was told already.
	errReported = errors.New("it failed")
)

// environment is what the program uses of its process.
type environment struct {
	Stdout, Stderr *os.File
	// Image and Events are the file descriptors of "ddifetch boot", nil where nobody left one.
	Image, Events *os.File
	// Trust and EFIVars are the directories with stage 1's trust store, and with efivarfs.
	Trust, EFIVars string
	// Network brings the network up for a boot; nil is that there is one.
	Network func(ctx context.Context, o networkOptions) (*netconf.Network, error)
}

// verb is one thing that the program does.
type verb struct {
	name     string
	synopsis string // one line for the list of verbs
	help     string
	run      func(ctx context.Context, env environment, args []string) error
}

// verbs returns all verbs in the order in which --help lists them.
func verbs() []verb {
	return []verb{
		{"get", "fetch an image from a web server into a file; also without the verb", getHelp, runGet},
		{"index", "show which images a web server has", indexHelp, runIndex},
		{"boot", "do what storageinit asks for", bootHelp, runBoot},
		{"net", "bring the network up, and show it", netHelp, runNet},
		{"nbd", "make a block device of an export of an NBD server", nbdHelp, runNBD},
	}
}

// run does what args say. The error wraps errUsage if they say nothing that could be done.
func run(ctx context.Context, env environment, args []string) error {
	if len(args) == 0 {
		return fmt.Errorf("cannot do nothing: a verb is missing; %w", errUsage)
	}
	switch args[0] {
	case "-h", "--help", "help":
		_, err := io.WriteString(env.Stdout, helpText())
		return err
	case "--version":
		_, err := fmt.Fprintln(env.Stdout, "ddifetch", release.Version)
		return err
	}
	for _, v := range verbs() {
		if v.name != args[0] {
			continue
		}
		for _, a := range args[1:] {
			if a == "--" {
				break
			}
			if a == "-h" || a == "--help" {
				_, err := io.WriteString(env.Stdout, v.help)
				return err
			}
		}
		return v.run(ctx, env, args[1:])
	}
	if slices.ContainsFunc(args, isWeb) {
		return runGet(ctx, env, args)
	}
	word := args[0]
	scheme, _, isURL := strings.Cut(strings.ToLower(word), "://")
	switch {
	case len(word) > 1 && word[0] == '-':
		return fmt.Errorf("cannot use %s: there is no such option, and no URL behind it; %w", word, errUsage)
	case isURL && scheme == "nbd":
		return fmt.Errorf("cannot fetch %q: it is of the verb nbd, ddifetch nbd URL; %w", word, errUsage)
	case isURL:
		return fmt.Errorf("cannot fetch %q: http and https only; %w", word, errUsage)
	}
	return fmt.Errorf("cannot do %q: there is no such verb; %w", word, errUsage)
}

// isWeb reports whether an argument is meant to be an address of a web server.
func isWeb(arg string) bool {
	scheme, _, ok := strings.Cut(strings.ToLower(arg), "://")
	return ok && (scheme == "http" || scheme == "https")
}

// helpText says what a person needs to begin.
func helpText() string {
	var b strings.Builder
	b.WriteString("ddifetch VERB [OPTION...] [ARGUMENT...]\n\nReach images over the network, as stage 1 does for ddi.source=.\n\nVerbs:\n")
	for _, v := range verbs() {
		fmt.Fprintf(&b, "  %-10s %s\n", v.name, v.synopsis)
	}
	b.WriteString(`
Options:
  -h --help    Show this help; behind a verb, that of the verb
     --version Show the version

Exit status: 0 all is well; 1 something failed; 2 the command line makes no sense.
`)
	return b.String()
}

// parse parses a verb's flags, which may stand between its arguments, and returns the arguments.
func parse(flags *flag.FlagSet, args []string) ([]string, error) {
	flags.SetOutput(io.Discard)
	flags.Usage = func() {}
	var out []string
	for {
		if err := flags.Parse(args); err != nil {
			return nil, fmt.Errorf("%w; %w", err, errUsage)
		}
		if flags.NArg() == 0 {
			return out, nil
		}
		out = append(out, flags.Arg(0))
		args = flags.Args()[1:]
	}
}

// printJSON prints v for programs.
func printJSON(env environment, v any) error {
	b, err := jsontext.Marshal(v, "\t")
	if err != nil {
		return err
	}
	_, err = env.Stdout.Write(append(b, '\n'))
	return err
}
