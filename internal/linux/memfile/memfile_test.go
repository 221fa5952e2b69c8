// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package memfile

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func TestNew(t *testing.T) {
	f, err := New("image")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteAt([]byte("x"), 1<<20); err != nil {
		t.Error(err)
	}
	if info, err := f.Stat(); err != nil || info.Size() != 1<<20+1 {
		t.Errorf("%v, %v", info, err)
	}
	if flags, err := unix.FcntlInt(f.Fd(), unix.F_GETFD, 0); err != nil || flags&unix.FD_CLOEXEC == 0 {
		t.Errorf("the next init would inherit it: %v", err)
	}
	if target, err := os.Readlink(fmt.Sprintf("/proc/self/fd/%d", f.Fd())); err != nil || !strings.Contains(target, "memfd:image") {
		t.Errorf("%s, %v", target, err)
	}
	if _, err := New(strings.Repeat("x", 1000)); err == nil {
		t.Error("a name that the kernel refuses is no error")
	}
}
