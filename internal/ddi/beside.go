// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package ddi

import (
	"errors"
	"io"
	"os"
	"path/filepath"

	"github.com/initddi/initddi/internal/discover"
	"github.com/initddi/initddi/internal/gpt"
)

// besideFile is the directory that an image's file lies in.
type besideFile string

// Read implements [discover.Sidecars].
func (d besideFile) Read(name string, limit int64) ([]byte, error) {
	f, err := os.Open(filepath.Join(string(d), name))
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return discover.ReadSidecar(f, limit)
}

// Size implements [discover.Sidecars].
func (d besideFile) Size(name string) (int64, error) {
	info, err := os.Stat(filepath.Join(string(d), name))
	if err != nil {
		return 0, err
	}
	return discover.SidecarSize(info)
}

// isBare reports whether the image is a file system without a partition table, with its hash tree beside it; tableErr is why
// there is no table. If so, the hash tree is opened and its bytes follow those of the image.
func (img *Image) isBare(tableErr error, beside discover.Sidecars) bool {
	if beside == nil {
		return false
	}
	b, err := discover.ReadBeside(beside, img.name)
	if err != nil {
		return false
	}
	if wrong, err := discover.Complete(nil, tableErr, b); wrong != nil || err != nil {
		return false
	}
	name := b.Files[len(b.Files)-1]
	if img.tree, err = os.Open(filepath.Join(filepath.Dir(img.file.Name()), name)); err != nil {
		return false
	}
	img.facts.Beside = b
	img.r = joined{img.file, img.tree, img.size}
	return true
}

// joined are two files one behind the other, the first of which has size bytes.
type joined struct {
	first, second io.ReaderAt
	size          int64
}

// ReadAt implements [io.ReaderAt].
func (j joined) ReadAt(b []byte, off int64) (int, error) {
	if off >= j.size {
		return j.second.ReadAt(b, off-j.size)
	}
	n := int(min(int64(len(b)), j.size-off))
	done, err := j.first.ReadAt(b[:n], off)
	if err != nil && !(errors.Is(err, io.EOF) && done == n) || n == len(b) {
		return done, err
	}
	more, err := j.second.ReadAt(b[n:], 0)
	return done + more, err
}

// partitions returns those of a table that may be nil.
func partitions(t *gpt.Table) []gpt.Partition {
	if t == nil {
		return nil
	}
	return t.Partitions
}
