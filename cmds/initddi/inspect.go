// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package main

import (
	"context"
	"errors"
	"flag"
)

func runInspect(_ context.Context, env environment, flags *flag.FlagSet, args []string) error {
	return errors.ErrUnsupported
}
