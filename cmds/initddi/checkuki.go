// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/initddi/initddi/internal/inspect"
	"github.com/initddi/initddi/internal/uki"
)

// errNoKernel says that what was given as a kernel is another program.
var errNoKernel = errors.New("it is no Linux kernel")

// buildUKI assembles a UKI and looks at it as initddi inspect does. What never boots is an error; what stage 1 would complain about is said,
// as another command line, an addon's or SMBIOS's, may still make it right.
func buildUKI(ctx context.Context, env environment, o uki.Options) ([]byte, error) {
	b, err := uki.Build(o)
	if err != nil {
		return nil, err
	}
	if !uki.IsKernel(o.Kernel) {
		return nil, fmt.Errorf("cannot use kernel: %w", errNoKernel)
	}
	problems, err := inspect.CheckUKI(ctx, b)
	if err != nil {
		return nil, err
	}
	for _, p := range problems {
		fmt.Fprintln(env.Stderr, "initddi: warning:", p)
	}
	return b, nil
}
