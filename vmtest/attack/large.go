// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package attack

import (
	"fmt"
	"os"
	"slices"
	"syscall"
)

// largestFile makes the image file on a disk as long as FAT allows. The disk is larger than one wants in memory, and mostly holes.
func largestFile(file string) (err error) {
	f, err := os.OpenFile(file, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	b, err := syscall.Mmap(int(f.Fd()), 0, int(info.Size()), syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_SHARED)
	if err != nil {
		return fmt.Errorf("cannot map %s: %w", file, err)
	}
	defer syscall.Munmap(b)
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("cannot make the largest file: %v", r)
		}
	}()
	v, err := newDisk(b)
	if err != nil {
		return err
	}
	const size = 1<<32 - 1
	s := v.slot(imagePath)
	chain := v.chain(v.first(s))
	last := chain[len(chain)-1]
	free := v.free((size+v.cluster-1)/v.cluster - len(chain))
	slices.Reverse(free) // ascending, so that they are one extent
	for _, c := range free {
		v.setLink(last, c)
		last = c
	}
	v.setLink(last, v.end())
	le.PutUint32(s[slotFileSize:], size)
	return nil
}
