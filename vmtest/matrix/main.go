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
	"fmt"
	"io"
	"os"

	"github.com/initddi/initddi/vmtest"
	"github.com/initddi/initddi/vmtest/command"
)

func main() { command.Main("matrix", run) }

func run(ctx context.Context, args []string) error {
	o, err := command.Parse("matrix", "cells", "", args)
	if err != nil {
		return err
	}
	cells, err := vmtest.Choose(vmtest.Cells(), o.Only)
	if err != nil {
		return err
	}
	if o.List {
		if o.JSON {
			return vmtest.WriteJSON(os.Stdout, cells)
		}
		vmtest.List(os.Stdout, cells)
		return nil
	}
	w, err := vmtest.NewWorkshop(o.Module, o.Build, vmtest.Matrix(), func(what string) { fmt.Fprintln(os.Stderr, what) })
	if err != nil {
		return err
	}
	rows := io.Writer(os.Stdout)
	if o.JSON {
		rows = os.Stderr
	}
	s := w.RunAll(ctx, cells, o.Parallel, rows)
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("stopped: %w", err)
	}
	if o.Only == "" {
		if err := w.Sweep(); err != nil {
			return err
		}
	}
	if o.JSON {
		if err := vmtest.WriteJSON(os.Stdout, s); err != nil {
			return err
		}
	}
	fmt.Fprintln(rows, s.Line())
	if s.Failed > 0 {
		return command.ErrFailed
	}
	return nil
}
