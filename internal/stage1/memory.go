// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package stage1

import (
	"bytes"
	"os"
	"strconv"
	"time"

	"github.com/initddi/initddi/internal/apply"
)

// leastFree is what a copy into memory leaves free whatever happens, in bytes: enough for the kernel and this process to go on.
const leastFree = 64 << 20

// copyLimit returns how many bytes of memory a copy of an image may take: three quarters of what is available, so that the system in
// it has something to start with. It is 0, no limit, where the kernel does not say what is available.
func copyLimit(proc *os.Root) int64 {
	b, err := proc.ReadFile("meminfo")
	if err != nil {
		return 0
	}
	for line := range bytes.Lines(b) {
		rest, ok := bytes.CutPrefix(line, []byte("MemAvailable:"))
		if !ok {
			continue
		}
		n, err := strconv.ParseInt(string(bytes.TrimSpace(bytes.TrimSuffix(bytes.TrimSpace(rest), []byte("kB")))), 10, 40)
		if err != nil || n < 0 {
			return 0
		}
		available := n << 10
		return max(1, available-max(available/4, leastFree))
	}
	return 0
}

// progressEvery is how often a person at the console is told how far a copy is.
const progressEvery = 5 * time.Second

// copying returns what a copy of an image into memory has to keep to, and tells of it as it goes on.
func (b *boot) copying() apply.Memory {
	var last time.Time
	return apply.Memory{Limit: func() int64 { return copyLimit(b.world.Proc) }, Say: func(why error, done, total int64) {
		b.move()
		switch now := time.Now(); {
		case done == 0:
			last = now
			b.log.Warn("the image is copied into memory: %v, %d MiB", why, total>>20)
		case now.Sub(last) >= progressEvery:
			last = now
			b.log.Info("copied %d of %d MiB", done>>20, total>>20)
		}
	}}
}
