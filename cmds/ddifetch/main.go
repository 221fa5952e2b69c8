// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

// Ddifetch reaches images over the network: it is what stage 1 starts for ddi.source=http and nbd, and what a person at a shell can
// do the same things with, one after the other.
//
// Synopsis:
//
//	ddifetch VERB [OPTION...] [ARGUMENT...]
//	ddifetch [OPTION...] URL...		the same with the verb get
//
// ddifetch --help lists the verbs, ddifetch VERB --help explains one. The exit status is 0 if all is well, 1 if something failed,
// 2 if the command line makes no sense.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"os"
	"os/signal"
	"syscall"

	"github.com/initddi/initddi/internal/fetch"
	"github.com/initddi/initddi/internal/linux/process"
)

func main() { os.Exit(status(os.Args[1:])) }

// status runs the program and returns its exit status.
func status(args []string) int {
	// Before anything else: Go's library reads this when TLS is used for the first time.
	if err := fetch.Harden(); err != nil {
		fmt.Fprintln(os.Stderr, "ddifetch:", err)
		return 1
	}
	// Package net/http has things to say that are in no error, and in no language of ours.
	log.SetOutput(io.Discard)
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	err := run(ctx, environment{
		Stdout: os.Stdout, Stderr: os.Stderr, Image: process.Inherited(imageFD, "image"), Events: process.Inherited(eventFD, "events"),
		Trust: "/etc/verity.d", EFIVars: "/sys/firmware/efi/efivars", Network: bootNetwork(),
	}, args)
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
