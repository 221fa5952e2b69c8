// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package vmtest

import (
	"context"
	"fmt"
	"time"

	"github.com/initddi/initddi/internal/vm"
)

// begun is what stage 1 says first.
const begun = "initddi: plan:"

// plug plugs the cell's late disks in, and has silent ones answer, when their time has come. It ends with the machine.
func plug(ctx context.Context, c *Cell, config *vm.Config, console *console) error {
	if config.Monitor == "" {
		return nil
	}
	m, err := vm.Connect(ctx, config.Monitor)
	if err != nil {
		return err
	}
	defer m.Close()
	if !console.wait(ctx, begun) {
		return nil // what is wrong with the boot is for others to say
	}
	for i, d := range c.Disks {
		if d.Wakes != "" {
			if !console.wait(ctx, d.Wakes) {
				return nil
			}
			if err := config.Wake(m, i); err != nil {
				return fmt.Errorf("cannot have disk %d answer: %w", i, err)
			}
		}
		if d.Late == 0 {
			continue
		}
		select {
		case <-time.After(d.Late):
		case <-console.over:
			return nil
		}
		if err := config.Plug(m, i); err != nil {
			return fmt.Errorf("cannot plug disk %d in: %w", i, err)
		}
	}
	return nil
}
