// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package main

import (
	"context"
	"flag"

	"github.com/initddi/initddi/internal/ddi"
	"github.com/initddi/initddi/internal/inspect"
	"github.com/initddi/initddi/internal/terminal"
)

func runInspect(ctx context.Context, env environment, flags *flag.FlagSet, args []string) error {
	var trust list
	flags.Var(&trust, "trust", "judge images by the certificates (PEM) in this file, or in the *.crt of this directory: `PLACE`; can be given several times (default: none is trusted)")
	digest := flags.Bool("digest", false, "compute the file's SHA-256 too")
	asJSON := flags.Bool("json", false, "print JSON")
	rest, err := parse(flags, args, 1)
	if err != nil {
		return err
	}
	p, err := ddi.ReadTrust(trust, false)
	if err != nil {
		return err
	}
	progress := terminal.NewProgress(env.Stderr)
	r, err := inspect.Inspect(ctx, rest[0], inspect.Options{Plan: p, Digest: *digest, Progress: progress.Step})
	progress.Done()
	if err != nil {
		return err
	}
	if *asJSON {
		return printJSON(env.Stdout, r)
	}
	r.Print(env.Stdout)
	return nil
}
