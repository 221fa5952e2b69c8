// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

// Ddimount looks at, checks, mounts and unmounts a discoverable disk image, and takes or refuses it as stage 1 does.
//
// Synopsis:
//
//	ddimount [OPTION...] IMAGE
//	ddimount [OPTION...] --validate IMAGE
//	ddimount [OPTION...] --mount IMAGE PATH
//	ddimount [OPTION...] --umount PATH
//
// Verbs and options are systemd-dissect's where it has them; ddimount --help explains all. The exit status is 0 if all is
// well, 1 if the image was refused or something failed, 2 if the command line makes no sense.
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
	// A mount is finished or undone, never left half-way; only reading can be interrupted.
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	err := run(ctx, environment{Stdout: os.Stdout, Stderr: os.Stderr}, args)
	if err == nil {
		return 0
	}
	// A refusal stands in the report already.
	if !errors.Is(err, errReported) {
		fmt.Fprintln(os.Stderr, "ddimount:", err)
	}
	if errors.Is(err, errUsage) {
		return 2
	}
	return 1
}

// environment is what the program uses of its process.
type environment struct {
	Stdout, Stderr *os.File
}

// run does what args say. The error wraps errUsage if they say nothing that could be done.
func run(ctx context.Context, env environment, args []string) error {
	o, err := parse(args)
	if err != nil {
		return err
	}
	return o.verb(ctx, env, o)
}
