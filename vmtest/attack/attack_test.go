// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package attack

import (
	"os/exec"
	"slices"
	"testing"
)

// TestCases has every case's disk judged without a virtual machine.
func TestCases(t *testing.T) {
	for _, tool := range []struct{ name, pkg string }{{"mkfs.erofs", "erofs-utils"}, {"openssl", "openssl"}, {"mcopy", "mtools"}, {"/usr/sbin/mkfs.vfat", "dosfstools"}} {
		if _, err := exec.LookPath(tool.name); err != nil {
			t.Skipf("needs %s (Debian package %s)", tool.name, tool.pkg)
		}
	}
	goods := NewGoods(t.TempDir())
	desk, err := NewDesk(goods, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range Cases() {
		t.Run(c.Name, func(t *testing.T) {
			f, wrong := desk.Try(&c)
			for _, w := range wrong {
				t.Error(w)
			}
			t.Log(f)
		})
	}
}

func TestAround(t *testing.T) {
	for _, tt := range []struct {
		got, bad []int
		want     bool
	}{
		{nil, nil, true}, {[]int{5}, []int{5}, true}, {[]int{4, 5, 6, 7}, []int{5}, true},
		{nil, []int{5}, false}, {[]int{4, 6}, []int{5}, false}, {[]int{5, 200}, []int{5}, false}, {[]int{5}, nil, false},
	} {
		if got := around(tt.got, tt.bad); got != tt.want {
			t.Errorf("around(%v, %v) = %v", tt.got, tt.bad, got)
		}
	}
}

// TestTables finds what was forgotten in a case.
func TestTables(t *testing.T) {
	seen := map[string]bool{}
	boots := 0
	for _, c := range Cases() {
		if seen[c.Name] {
			t.Errorf("two cases are named %q", c.Name)
		}
		seen[c.Name] = true
		if c.Boot {
			boots++
		}
		if c.Doc == "" || c.Verdict == "" || c.Layer == "" || c.Group == "" {
			t.Errorf("case %s does not say everything: %+v", c.Name, c)
		}
		if c.Test && !c.Boot {
			t.Errorf("case %s is for every run of the tests, and is no boot", c.Name)
		}
		if (c.Verdict == Refused) != (c.Layer.sentences() != nil) {
			t.Errorf("case %s is %s by %s, which never gives that", c.Name, c.Verdict, c.Layer)
		}
		if c.Verdict != Refused && c.Layer != Settings && c.Says != "" {
			t.Errorf("case %s says %q, and is not refused", c.Name, c.Says)
		}
		if c.Verdict == Harmless && !slices.Contains([]Layer{Backup, Unread, Accepted, Settings}, c.Layer) {
			t.Errorf("case %s is harmless by %s", c.Name, c.Layer)
		}
	}
	t.Logf("%d cases, %d of them boots", len(seen), boots)
}
