// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package image

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/initddi/initddi/internal/gpt"
	"github.com/initddi/initddi/internal/guid"
)

// Combine puts the partitions of several images into one, such as the same system for two architectures; each machine takes the
// ones made for it. Signatures stay what they are. Two partitions of one type are an error that wraps [ErrUnsupported]: nobody
// could choose; an output that is read-only is one that wraps [ErrReadOnly]. The output appears under its name only when it is complete.
func Combine(output string, inputs []string) (err error) {
	fail := func(err error) error { return fmt.Errorf("cannot combine images into %s: %w", output, err) }
	if err := Replaceable(output); err != nil {
		return err
	}
	out, err := os.CreateTemp(filepath.Dir(output), ".ddi-")
	if err != nil {
		return fail(err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.Remove(out.Name()))
		}
	}()
	defer out.Close()
	var all gpt.Table
	var disks []byte
	next := int64(align)
	from := map[guid.GUID]string{}
	for _, name := range inputs {
		f, err := os.Open(name)
		if err != nil {
			return fail(err)
		}
		defer f.Close()
		info, err := f.Stat()
		if err != nil {
			return fail(err)
		}
		t, err := gpt.Read(f, info.Size(), 0)
		if err != nil {
			return fail(fmt.Errorf("%s: %w", name, err))
		}
		if all.SectorSize == 0 {
			all.SectorSize = t.SectorSize
		}
		if t.SectorSize != all.SectorSize {
			return fail(fmt.Errorf("%s has sectors of %d bytes, %s of %d: %w", name, t.SectorSize, inputs[0], all.SectorSize, ErrUnsupported))
		}
		disks = append(disks, t.DiskUUID[:]...)
		for _, p := range t.Partitions {
			if other, has := from[p.Type]; has {
				return fail(fmt.Errorf("%s and %s both have a partition of type %s (%s): %w", other, name, p.Type, p.Name, ErrUnsupported))
			}
			from[p.Type] = name
			size := p.Size(t.SectorSize)
			if _, err := io.Copy(io.NewOffsetWriter(out, next), io.NewSectionReader(f, p.Offset(t.SectorSize), size)); err != nil {
				return fail(err)
			}
			p.Number = len(all.Partitions) + 1
			p.FirstLBA, p.LastLBA = uint64(next/t.SectorSize), uint64((next+size)/t.SectorSize)-1
			all.Partitions = append(all.Partitions, p)
			next = (next + size + align - 1) / align * align
		}
	}
	all.DiskUUID = derivedUUID("disk", disks)
	if err := out.Truncate(next + align); err != nil {
		return fail(err)
	}
	if err := gpt.Write(out, next+align, &all); err != nil {
		return fail(err)
	}
	if err := errors.Join(out.Chmod(0o644), out.Close(), os.Rename(out.Name(), output)); err != nil {
		return fail(err)
	}
	return nil
}
