// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package process

import (
	"fmt"
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// maxHeld is how far descriptors are looked for.
const maxHeld = 256

// StartHolder starts this program once more and hands it everything that this process has open under a path that held takes. The last
// close of a disk waits for all that is being read from it (block/bdev.c, blkdev_put_whole), even if that is the close-on-exec of
// [Exec]: with the holder, the last close is that one's.
//
// argv begins with the program's name; the other process's standard input ends when the returned file is closed, and it must not end before.
func StartHolder(argv []string, held func(path string) bool) (*os.File, error) {
	r, w, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("cannot start another %s: %w", argv[0], err)
	}
	files := []*os.File{r, os.Stdout, os.Stderr}
	defer func() {
		for i, f := range files {
			if i == 0 || i > 2 {
				f.Close()
			}
		}
	}()
	for fd := 3; fd < maxHeld; fd++ {
		name := "/proc/self/fd/" + strconv.Itoa(fd)
		if path, err := os.Readlink(name); err != nil || !held(path) {
			continue
		}
		// A copy, since whoever has opened it still reads.
		if n, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, maxHeld); err == nil {
			files = append(files, os.NewFile(uintptr(n), name))
		}
	}
	if _, err := startSelf(argv, files...); err != nil {
		w.Close()
		return nil, err
	}
	return w, nil
}
