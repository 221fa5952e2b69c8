// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

// Sysextmerge merges system and configuration extensions into a system, as systemd-sysext and systemd-confext do.
//
// Synopsis:
//
//	sysextmerge [OPTION...] [status|list|merge|unmerge|refresh]
//
// sysextmerge --help explains all. The exit status is 0 if all is well and 1 if something failed, the command line included, which is
// systemd's.
package main

import (
	"context"
	"fmt"
	"os"
)

func main() { os.Exit(status(os.Args)) }

// status runs the program and returns its exit status.
func status(args []string) int {
	env := environment{Stdout: os.Stdout, Stderr: os.Stderr, Name: args[0], Lookup: os.LookupEnv}
	if err := run(context.Background(), env, args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "sysextmerge:", err)
		return 1
	}
	return 0
}

// environment is what the program uses of its process.
type environment struct {
	Stdout, Stderr *os.File
	Name           string // as the program was called
	Lookup         func(variable string) (string, bool)
}

// run does what args say. The error wraps errUsage if they say nothing that could be done.
func run(ctx context.Context, env environment, args []string) error {
	o, err := parse(env, args)
	if err != nil {
		return err
	}
	return o.verb(ctx, env, o)
}
