// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

// Initddi-bless is what a booted system needs of initddi, for an image to carry: it tells stage 1 that the system came up well, as "initddi bless"
// does, and says how the system was booted, as "initddi status".
//
// A unit starts it after boot-complete.target (templates/debian). Under the name initddi, which a link gives it, it takes these verbs as the
// host tool does. What it does is in packages bless and status.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	"github.com/initddi/initddi/internal/bless"
	"github.com/initddi/initddi/internal/options"
	"github.com/initddi/initddi/internal/status"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	name := filepath.Base(os.Args[0])
	err := run(ctx, os.Stdout, name, os.Args[1:])
	stop()
	if err != nil {
		fmt.Fprintf(os.Stderr, "%s: %v\n", name, err)
		if errors.Is(err, options.ErrSyntax) {
			os.Exit(2)
		}
		os.Exit(1)
	}
}

// short is the name under which the program takes verbs.
const short = "initddi"

const help = `usage: initddi status|bless [OPTION...]

Say how the running system was booted, or tell stage 1 that it came up well.

Verbs:
  status     say what was booted, from where, by whose signature, and how long it took
  bless      tell stage 1 that the running image came up well

initddi VERB --help tells more. This is the part of initddi that an image carries.
`

func run(ctx context.Context, out *os.File, name string, args []string) error {
	verb := "bless"
	if name == short {
		if len(args) == 0 || args[0] == "help" || args[0] == "--help" || args[0] == "-h" {
			_, err := fmt.Fprint(out, help)
			return err
		}
		verb, args = args[0], args[1:]
		name += " " + verb
	}
	flags := flag.NewFlagSet(name, flag.ContinueOnError)
	var err error
	switch verb {
	case "bless":
		err = bless.Command(out, flags, args)
	case "status":
		err = status.Command(ctx, out, flags, args)
	default:
		return options.Usage(fmt.Errorf("cannot find the verb %q in this image's initddi: there are status and bless", verb))
	}
	if errors.Is(err, flag.ErrHelp) {
		return nil
	}
	return err
}
