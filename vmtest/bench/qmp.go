// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"

	"github.com/initddi/initddi/internal/vm"
)

// follow waits until the guest is off, counts what was read from its disks, and lets QEMU go.
func (s *sample) follow(ctx context.Context, path string) error {
	m, err := vm.Connect(ctx, path)
	if err != nil {
		return err
	}
	defer m.Close()
	if err := m.Wait("SHUTDOWN"); err != nil {
		if errors.Is(err, os.ErrDeadlineExceeded) {
			return fmt.Errorf("the machine was still running after %s: %w", bootLimit, err)
		}
		return err
	}
	answer, err := m.Command("query-blockstats", nil)
	if err != nil {
		return err
	}
	var disks []struct {
		Device string `json:"device"`
		Stats  struct {
			Bytes int64 `json:"rd_bytes"`
			Reads int64 `json:"rd_operations"`
		} `json:"stats"`
	}
	if err := json.Unmarshal(answer, &disks); err != nil {
		return fmt.Errorf("cannot read QEMU's block statistics: %w", err)
	}
	for _, d := range disks {
		s.HostBytes += d.Stats.Bytes
		s.HostReads += d.Stats.Reads
	}
	_, err = m.Command("quit", nil)
	return err
}
