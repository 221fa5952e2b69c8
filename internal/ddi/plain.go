// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package ddi

import (
	"errors"
	"fmt"

	"github.com/initddi/initddi/internal/apply"
	"github.com/initddi/initddi/internal/discover"
	"github.com/initddi/initddi/internal/fsprobe"
	"github.com/initddi/initddi/internal/gpt"
	"github.com/initddi/initddi/internal/linux/loop"
	"github.com/initddi/initddi/internal/resolve"
)

// isFileSystem reports whether the image is a file system and nothing else, with nothing beside it; tableErr is why there is no partition table.
func (img *Image) isFileSystem(tableErr error, beside discover.Sidecars) bool {
	if !errors.Is(tableErr, gpt.ErrNoTable) {
		return false
	}
	if beside != nil {
		if b, err := discover.ReadBeside(beside, img.name); err != nil || len(b.Files) > 0 {
			return false
		}
	}
	fs, err := fsprobe.Probe(img.r, img.size)
	return err == nil && apply.Mountable(fs.Type)
}

// readPlain reads what file system an image without a hash tree is.
func (img *Image) readPlain() error {
	v := &img.verity
	var err error
	if v.fs, err = fsprobe.Probe(img.section(v.data), v.data.Length); err != nil {
		return fmt.Errorf("cannot recognise the file system of the image: %w", err)
	}
	if !apply.Mountable(v.fs.Type) {
		return fmt.Errorf("cannot use the file system of the image: found %s, wanted erofs, squashfs or ext4: %w", v.fs.Type, errors.ErrUnsupported)
	}
	if img.Refusal == nil {
		img.Refusal = resolve.CheckFileSystem(img.plan, img.name, img.facts.Authentic.Designator, v.fs.Type)
	}
	return nil
}

// mountPlain is Mount for an image without a hash tree: a loop device is all that is below the file system.
func (img *Image) mountPlain(dir string, drivers *Drivers) (*Mounted, error) {
	fstype := img.verity.fs.Type
	if err := drivers.Need("loop", fstype); err != nil {
		return nil, err
	}
	blockSize, err := img.blockSize()
	if err != nil {
		return nil, err
	}
	dev, err := loop.Attach("/dev", img.file, loop.Options{Offset: img.verity.data.Offset, BlockSize: uint32(blockSize)})
	if err != nil {
		return nil, err
	}
	// From the mount on that alone keeps the device.
	defer dev.Close()
	m, err := apply.MountDetached(fstype, dev.Name())
	if err != nil {
		return nil, fmt.Errorf("cannot mount %s: %w", img.name, err)
	}
	defer m.Close()
	if err := m.Attach(dir); err != nil {
		return nil, err
	}
	return &Mounted{Image: img.file.Name(), Path: dir, Device: dev.Name(), FileSystem: fstype}, nil
}
