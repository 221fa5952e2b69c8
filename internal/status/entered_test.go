// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package status

import (
	"testing"

	"github.com/initddi/initddi/internal/report"
)

func TestEntered(t *testing.T) {
	esp := report.Chosen{Node: "vda1", Partition: "P", Path: "/loader/ddi/os.raw", Extents: [][2]int64{{0, 1}, {2, 3}}}
	now := esp
	now.Source = "esp"
	paths := now
	paths.Paths = []string{"vda1", "vdb1"}
	for want, c := range map[string]report.Chosen{
		"/ddi/os.raw in memory, out of the initramfs":               {Source: "initrd", Path: "/ddi/os.raw"},
		"/dev/pmem0 (pmem)":                                         {Source: "pmem", Node: "pmem0"},
		"http://a/os.raw, fetched into memory, 4711 bytes":          {Source: "http", Path: "os.raw", URL: "http://a/os.raw", Received: 4711},
		"nbd://a/os by /dev/nbd0":                                   {Source: "nbd", Node: "nbd0", Path: "os.raw", URL: "nbd://a/os"},
		"/loader/ddi/os.raw on /dev/vda1 (PARTUUID=P), in 2 pieces": now,
		"/loader/ddi/os.raw on /dev/vda1 (PARTUUID=P), in 2 pieces; one path of 2: /dev/vda1, /dev/vdb1": paths,
	} {
		if got := Entered(&c); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
	if Entered(&esp) != Entered(&now) {
		t.Error("an older report reads otherwise")
	}
}
