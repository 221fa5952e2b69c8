// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package stage1

import (
	"bytes"
	"strings"
	"testing"

	"github.com/initddi/initddi/internal/discover"
	"github.com/initddi/initddi/internal/discover/machinetest"
)

// TestBare: what one process says of disks without partitions is what the other reads, up to where it stopped saying anything.
func TestBare(t *testing.T) {
	m := machinetest.New(t)
	m.Disk("sda", machineWithESP(t).Path("dev/vda"), 512, nil)
	m.Write("dev/sda", "nothing")
	machine := &discover.Machine{Sys: m.Root("sys"), Dev: m.Root("dev")}
	var said bytes.Buffer
	if err := sayBare(&said, machine); err != nil {
		t.Fatal(err)
	}
	text := said.String()
	want := machine.Bare()["sda"]
	if want == nil {
		t.Fatal("nothing to say")
	}
	for _, s := range []string{text, text + "sdb more\n", strings.TrimSuffix(text, ".\n")} {
		if got := readBare(strings.NewReader(s)); len(got) != 1 || got["sda"] == nil || got["sda"].Error() != want.Error() {
			t.Errorf("%q was read as %v", s, got)
		}
	}
	if got := readBare(strings.NewReader("")); len(got) != 0 {
		t.Errorf("nothing was read as %v", got)
	}
}
