// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

// Initddi-bless is "initddi bless" alone, for an image to carry: it tells stage 1 that the system came up well.
//
// A unit starts it after boot-complete.target (templates/debian). What it does is in package bless.
package main

import (
	"errors"
	"flag"
	"fmt"
	"os"

	"github.com/initddi/initddi/internal/bless"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "initddi-bless:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	flags := flag.NewFlagSet("initddi-bless", flag.ContinueOnError)
	err := bless.Command(os.Stdout, flags, args)
	if errors.Is(err, flag.ErrHelp) {
		return nil
	}
	return err
}
