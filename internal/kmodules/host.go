// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package kmodules

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"
)

// HostModaliases returns the modaliases of the devices of a machine, and of its processor, each once. sys is its /sys.
func HostModaliases(sys *os.Root) ([]string, error) {
	seen := make(map[string]bool)
	// Only below devices: the rest of /sys is symbolic links to it.
	err := fs.WalkDir(sys.FS(), "devices", func(p string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) && p != "devices" {
			return nil // unplugged in the meantime
		}
		if err != nil {
			return err
		}
		if d.Name() != "modalias" || d.IsDir() {
			return nil
		}
		// Reading some of them says ENODEV; such a device has no modalias.
		if data, err := sys.ReadFile(p); err == nil && len(data) > 0 {
			seen[strings.TrimSpace(string(data))] = true
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("cannot read the machine's modaliases: %w", err)
	}
	var out []string
	for alias := range seen {
		if alias != "" {
			out = append(out, alias)
		}
	}
	slices.Sort(out)
	return out, nil
}
