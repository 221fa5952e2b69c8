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

// TestSeal seals a file that was made to be sealed, and others, which stay as they are.
func TestSeal(t *testing.T) {
	fd, err := unix.MemfdCreate("image", unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING)
	if err != nil {
		t.Fatal(err)
	}
	f := os.NewFile(uintptr(fd), "image")
	defer f.Close()
	if _, err := f.WriteString("hello"); err != nil {
		t.Fatal(err)
	}
	if err := Seal(f); err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteAt([]byte("x"), 0); err == nil {
		t.Error("it can be written")
	}
	if f.Truncate(0) == nil || f.Truncate(10) == nil {
		t.Error("its size can be changed")
	}
	plain, err := os.Create(t.TempDir() + "/plain")
	if err != nil {
		t.Fatal(err)
	}
	defer plain.Close()
	unsealable, err := unix.MemfdCreate("image", unix.MFD_CLOEXEC)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range []*os.File{plain, os.NewFile(uintptr(unsealable), "image")} {
		if err := Seal(f); err != nil {
			t.Error(err)
		}
		if _, err := f.WriteString("x"); err != nil {
			t.Error(err)
		}
		f.Close()
	}
	if err := Seal(plain); err == nil {
		t.Error("a closed file was sealed")
	}
}
