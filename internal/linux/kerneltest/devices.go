// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package kerneltest

import (
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// InUse lists the device mapper and loop devices that are there.
func InUse() string {
	var out []string
	for _, pattern := range []string{"/sys/block/dm-*/dm/name", "/sys/block/loop*/loop/backing_file"} {
		names, _ := filepath.Glob(pattern)
		out = append(out, names...)
	}
	return strings.Join(out, " ")
}

// WantInUse waits for the devices to be what [InUse] said before: the kernel takes them away in its own time.
func WantInUse(t testing.TB, before string) {
	t.Helper()
	for range 300 {
		if InUse() == before {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Errorf("left behind: %s, before: %s", InUse(), before)
}
