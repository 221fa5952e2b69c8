// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package main

import (
	"context"
	"flag"

	"github.com/initddi/initddi/internal/bless"
	"github.com/initddi/initddi/internal/status"
)

func runBless(_ context.Context, env environment, flags *flag.FlagSet, args []string) error {
	return bless.Command(env.Stdout, flags, args)
}

func runStatus(ctx context.Context, env environment, flags *flag.FlagSet, args []string) error {
	return status.Command(ctx, env.Stdout, flags, args)
}
