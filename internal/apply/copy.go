// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package apply

import (
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/initddi/initddi/internal/dmtable"
	"github.com/initddi/initddi/internal/extent"
	"github.com/initddi/initddi/internal/linux/loop"
	"github.com/initddi/initddi/internal/linux/memfile"
)

// errAsked is the reason for a copy that was asked for.
var errAsked = errors.New("ddi.attach=copy")

// ErrMemory says that an image is larger than the memory that a copy may take.
var ErrMemory = errors.New("not enough memory")

// Memory is what a copy into memory may take, and who is told of it. How large an image is, nobody signed; without a limit a kernel
// that runs out of memory would end the only process there is, before the next candidate had its turn.
type Memory struct {
	// Limit, asked only if there is something to copy, returns bytes; 0, or no function, is no limit.
	Limit func() int64
	// Say, if it is not nil, is called before the first byte is copied, with the reason, and again after every few MiB.
	Say func(why error, done, total int64)
}

// copyStep is how much is copied between two calls of Memory.Say, in bytes.
const copyStep = 4 << 20

// copy reads the regions of the image into memory and makes a loop device over that. What it returns is what gather returns. The error
// wraps [ErrMemory] if they are larger than allowed; then nothing was read.
func (img *Image) copy(dev, name string, f *os.File, src Source, data, hash dmtable.Region) (string, int64, error) {
	total := data.Length + hash.Length
	if src.Memory.Limit != nil {
		if limit := src.Memory.Limit(); limit > 0 && total > limit {
			return "", 0, fmt.Errorf("cannot copy the image into memory (%w): it takes %d MiB, and %d MiB may be used: %w", img.Copied, mib(total), limit>>20, ErrMemory)
		}
	}
	say := func(done int64) {
		if src.Memory.Say != nil {
			src.Memory.Say(img.Copied, done, total)
		}
	}
	mem, err := memfile.New(name)
	if err != nil {
		return "", 0, err
	}
	defer mem.Close()
	say(0)
	file := extent.NewReader(f, src.Extents)
	hashBlock := int64(img.Superblock.HashBlockSize)
	hashStart := (data.Length + hashBlock - 1) / hashBlock * hashBlock
	done := int64(0)
	for _, part := range []struct {
		region dmtable.Region
		to     int64
	}{{data, 0}, {hash, hashStart}} {
		w := io.NewOffsetWriter(mem, part.to)
		r := io.NewSectionReader(file, part.region.Offset, part.region.Length)
		for left := part.region.Length; left > 0; {
			n, err := io.CopyN(w, r, min(left, copyStep))
			if err != nil {
				return "", 0, fmt.Errorf("cannot copy the image into memory: %w", err)
			}
			left -= n
			done += n
			say(done)
		}
	}
	backing, err := loop.Attach(dev, mem, loop.Options{})
	if err != nil {
		return "", 0, err
	}
	img.backing = append(img.backing, backing)
	return fmt.Sprintf("7:%d", backing.Minor), hashStart, nil
}

// mib rounds bytes up to MiB.
func mib(n int64) int64 { return (n + 1<<20 - 1) >> 20 }
