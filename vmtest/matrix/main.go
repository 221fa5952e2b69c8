// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

// Matrix boots the cells of the boot matrix and says which did what they must.
//
//	matrix [--only LIST] [--list] [--json] [-j N]
//
// Each cell gives a row; a failed one also its reasons, the end of its console and how to run it again. The last line is
// "matrix: N passed, N failed, N skipped", and the exit status is 1 if any failed. With --json standard output is a JSON
// document and the rows go to standard error.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	"github.com/initddi/initddi/vmtest"
)

// errFailed says that a cell failed; its row has said why.
var errFailed = errors.New("cells failed")

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:])
	stop()
	switch {
	case err == nil, errors.Is(err, flag.ErrHelp):
	case errors.Is(err, errFailed):
		os.Exit(1)
	default:
		fmt.Fprintln(os.Stderr, "matrix:", err)
		os.Exit(2)
	}
}

func run(ctx context.Context, args []string) error {
	flags := flag.NewFlagSet("matrix", flag.ContinueOnError)
	only := flags.String("only", "", "run the cells of these groups, or with these names; a `LIST` with commas")
	list := flags.Bool("list", false, "list the cells, and boot nothing")
	asJSON := flags.Bool("json", false, "write JSON to standard output")
	parallel := flags.Int("j", 2, "machines at a time")
	build := flags.String("build", "build", "the build `DIRECTORY`")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if flags.NArg() > 0 || *parallel < 1 {
		return fmt.Errorf("cannot use the arguments %q: matrix takes options only, and -j at least 1", flags.Args())
	}
	cells, err := vmtest.Choose(vmtest.Cells(), *only)
	if err != nil {
		return err
	}
	if *list {
		if *asJSON {
			return vmtest.WriteJSON(os.Stdout, cells)
		}
		vmtest.List(os.Stdout, cells)
		return nil
	}
	module, err := os.Getwd()
	if err != nil {
		return err
	}
	if *build, err = filepath.Abs(*build); err != nil {
		return err
	}
	w, err := vmtest.NewWorkshop(module, *build, vmtest.Matrix(), func(what string) { fmt.Fprintln(os.Stderr, what) })
	if err != nil {
		return err
	}
	rows := io.Writer(os.Stdout)
	if *asJSON {
		rows = os.Stderr
	}
	s := w.RunAll(ctx, cells, *parallel, rows)
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("stopped: %w", err)
	}
	if *only == "" {
		if err := w.Sweep(); err != nil {
			return err
		}
	}
	if *asJSON {
		if err := vmtest.WriteJSON(os.Stdout, s); err != nil {
			return err
		}
	}
	fmt.Fprintln(rows, s.Line())
	if s.Failed > 0 {
		return errFailed
	}
	return nil
}
