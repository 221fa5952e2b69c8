// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

// Ddifetch reaches images over the network: it is what stage 1 starts for ddi.source=http and nbd, and what a person at a shell can
// do the same things with, one after the other.
//
// Synopsis:
//
//	ddifetch VERB [OPTION...] [ARGUMENT...]
//
// ddifetch --help lists the verbs, ddifetch VERB --help explains one. The exit status is 0 if all is well, 1 if something failed,
// 2 if the command line makes no sense.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"
)

func main() { os.Exit(status(os.Args[1:])) }

// status runs the program and returns its exit status.
func status(args []string) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	err := run(ctx, environment{Stdout: os.Stdout, Stderr: os.Stderr}, args)
	if err == nil {
		return 0
	}
	// What stands in a report already is not said again.
	if !errors.Is(err, errReported) {
		fmt.Fprintln(os.Stderr, "ddifetch:", err)
	}
	if errors.Is(err, errUsage) {
		return 2
	}
	return 1
}
