// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

// Package command is what the programs below vmtest have in common: their exit status, and the options of those that boot cells.
package command

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
)

// ErrFailed says that something which was tested failed; what was printed has said why.
var ErrFailed = errors.New("there were failures")

// Main runs a program and ends the process: with 0 if all is well or help was asked for, 1 if run returned [ErrFailed], and 2 if it could
// not do its work, which is said.
func Main(name string, run func(ctx context.Context, args []string) error) {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:])
	stop()
	status := Status(err)
	if status > 1 {
		fmt.Fprintf(os.Stderr, "%s: %v\n", name, err)
	}
	os.Exit(status)
}

// Status is the exit status that [Main] makes of an error.
func Status(err error) int {
	switch {
	case err == nil, errors.Is(err, flag.ErrHelp):
		return 0
	case errors.Is(err, ErrFailed):
		return 1
	}
	return 2
}

// Options are those of a program that boots cells.
type Options struct {
	Only       string // names and groups, with commas; empty is all
	List, JSON bool
	Parallel   int    // machines at a time
	Build      string // the directory with what is booted, absolute
	Module     string // the directory of the sources: the one that the program was started in
}

// Parse reads the options of the program called name. things is what it runs, such as "cells"; more is said of --only.
func Parse(name, things, more string, args []string) (*Options, error) {
	flags := flag.NewFlagSet(name, flag.ContinueOnError)
	o := &Options{}
	flags.StringVar(&o.Only, "only", "", "run the "+things+" of these groups, or with these names; a `LIST` with commas"+more)
	flags.BoolVar(&o.List, "list", false, "list the "+things+", and run nothing")
	flags.BoolVar(&o.JSON, "json", false, "write JSON to standard output")
	flags.IntVar(&o.Parallel, "j", 2, "machines at a time")
	flags.StringVar(&o.Build, "build", "build", "the build `DIRECTORY`")
	if err := flags.Parse(args); err != nil {
		return nil, err
	}
	if flags.NArg() > 0 || o.Parallel < 1 {
		return nil, fmt.Errorf("cannot use the arguments %q: %s takes options only, and -j at least 1", flags.Args(), name)
	}
	var err error
	if o.Module, err = os.Getwd(); err != nil {
		return nil, err
	}
	if o.Build, err = filepath.Abs(o.Build); err != nil {
		return nil, err
	}
	return o, nil
}
