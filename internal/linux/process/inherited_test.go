// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package process

import (
	"os"
	"testing"

	"golang.org/x/sys/unix"
)

func TestInherited(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	fd := int(w.Fd())
	if Inherited(fd, "w") != nil {
		t.Error("a file of this process's own was inherited")
	}
	// As a file is that was inherited: without the mark.
	other, err := unix.Dup(fd)
	if err != nil {
		t.Fatal(err)
	}
	f := Inherited(other, "w")
	if f == nil {
		t.Fatal("there is none")
	}
	defer f.Close()
	if _, err := f.WriteString("x"); err != nil {
		t.Error(err)
	}
	if Inherited(other, "w") != nil {
		t.Error("it is not close-on-exec now")
	}
	w.Close()
	if Inherited(1<<20, "none") != nil {
		t.Error("a descriptor that is not open is a file")
	}
}
