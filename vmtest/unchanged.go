// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package vmtest

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"

	"github.com/initddi/initddi/internal/extent"
	fatfs "github.com/initddi/initddi/internal/fat"
	"github.com/initddi/initddi/internal/vm"
)

// sums returns the SHA-256 of the files that the cell names as Unchanged, by path, as they are on the machine's first disk.
func (c *Cell) sums(config *vm.Config) (map[string]string, error) {
	if len(c.Unchanged) == 0 {
		return nil, nil
	}
	return sumsOf(config.Disks[0].Path, c.Unchanged)
}

// sumsOf returns the SHA-256 of files on the ESP of a disk, by path.
func sumsOf(disk string, files []string) (map[string]string, error) {
	table, err := tableOf(disk)
	if err != nil {
		return nil, err
	}
	f, err := os.Open(disk)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	p := table.Partitions[0]
	dev := io.NewSectionReader(f, p.Offset(table.SectorSize), p.Size(table.SectorSize))
	vol, err := fatfs.Open(dev, dev.Size())
	if err != nil {
		return nil, fmt.Errorf("cannot read the ESP of %s: %w", disk, err)
	}
	out := map[string]string{}
	for _, name := range files {
		if out[name], err = sumOf(vol, dev, name); err != nil {
			return nil, fmt.Errorf("cannot read %s on the ESP: %w", name, err)
		}
	}
	return out, nil
}

func sumOf(vol *fatfs.FS, dev io.ReaderAt, name string) (string, error) {
	entry, err := vol.Stat(name)
	if err != nil {
		return "", err
	}
	list, err := vol.Extents(entry)
	if err != nil {
		return "", err
	}
	h := sha256.New()
	if _, err := io.Copy(h, io.NewSectionReader(extent.NewReader(dev, list), 0, entry.Size)); err != nil {
		return "", err
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// changed says which of the files are not what they were before.
func (c *Cell) changed(config *vm.Config, before map[string]string) (wrong []string) {
	after, err := c.sums(config)
	if err != nil {
		return []string{err.Error()}
	}
	for _, name := range slices.Sorted(maps.Keys(before)) {
		if after[name] != before[name] {
			wrong = append(wrong, fmt.Sprintf("%s on the ESP was changed: its SHA-256 is %s, and was %s", name, after[name], before[name]))
		}
	}
	return wrong
}
