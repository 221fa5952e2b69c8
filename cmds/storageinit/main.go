// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

// Storageinit is the init of stage 1: it finds a DDI on the disk the machine booted from, verifies it and enters it.
//
// Synopsis:
//
//	storageinit                                as PID 1
//	storageinit --dry-run [--root DIR] [--cmdline TEXT] [--arch ARCH] [--json]
//
// With --dry-run it prints what a boot would do and why, without doing it: on this machine, or on one that was captured
// below DIR as sys, proc, dev and etc, with files for block devices. It needs no privilege but to read those. The exit status is 0 if
// an image would be entered, 1 if none would or something failed, 2 if the command line makes no sense.
//
// As PID 1 it starts itself with --load-module FILE PARAMETERS, --probe DEVICE or --hold, where the kernel may wait for ever.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/initddi/initddi/internal/stage1"
)

func main() {
	if os.Getpid() == 1 {
		stage1.Main(os.Args[1:], os.Environ())
	}
	err := run(context.Background(), os.Args[1:])
	if err != nil {
		fmt.Fprintln(os.Stderr, "storageinit:", err)
	}
	os.Exit(status(err))
}

func status(err error) int {
	switch {
	case err == nil:
		return 0
	case errors.Is(err, stage1.ErrUsage):
		return 2
	}
	return 1
}

func run(ctx context.Context, args []string) error {
	return stage1.Command(ctx, os.Stdout, args)
}
