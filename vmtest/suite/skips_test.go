// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package main

import (
	"bytes"
	"strings"
	"testing"
)

// TestSkips: in CI a test that skips for want of a tool is a failure, and only what allowed-skips.txt explains is not.
func TestSkips(t *testing.T) {
	for _, test := range []struct {
		skip            string
		lenient, strict string // the closing line
	}{
		{"vmtest/interop.TestRepartDDI/252/squashfs: needs mksquashfs (Debian package squashfs-tools)", "1 passed, 0 failed, 1 skipped", "1 passed, 1 failed, 0 skipped"},
		{"vmtest/interop.TestOurDDI: needs build/interop/trixie (./just interop makes it)", "1 passed, 0 failed, 1 skipped", "1 passed, 1 failed, 0 skipped"},
		{"internal/image.TestBuild: needs mkfs.erofs (Debian package erofs-utils)", "1 passed, 0 failed, 1 skipped", "1 passed, 1 failed, 0 skipped"},
		{"internal/x.TestY: no reason given", "1 passed, 0 failed, 1 skipped", "1 passed, 1 failed, 0 skipped"},
		{"boots debian: missing: QEMU", "1 passed, 0 failed, 1 skipped", "1 passed, 1 failed, 0 skipped"},
		{"boots builtin-nvme: missing: /x/build/kernel/initddi/bzImage (just kernel makes it)", "1 passed, 0 failed, 1 skipped", "1 passed, 0 failed, 1 skipped"},
		{"vmtest/interop.TestBuild: takes minutes: ./just test-build runs it", "1 passed, 0 failed, 1 skipped", "1 passed, 0 failed, 1 skipped"},
	} {
		for _, strict := range []bool{false, true} {
			var out bytes.Buffer
			s := &suite{out: &out, passed: 1, skipped: []string{test.skip}}
			err := s.finish(strict, "allowed-skips.txt")
			want := test.lenient
			if strict {
				want = test.strict
			}
			if !strings.HasSuffix(out.String(), "test: "+want+"\n") || (err != nil) != strings.Contains(want, "1 failed") {
				t.Errorf("%s, strict %v: %v, wanted %q\n%s", test.skip, strict, err, want, out.String())
			}
			if !strings.Contains(out.String(), "SKIP "+test.skip) {
				t.Errorf("the reason is not shown:\n%s", out.String())
			}
		}
	}
}

// TestChosen: a kind of tests that does not exist is an error, not nothing to do.
func TestChosen(t *testing.T) {
	for only, want := range map[string]string{"": "unit ns fuzz vm differential boots tamper", "ns": "ns", "ns,unit": "ns unit", "namespace": "", "ns,": "", "ns unit": ""} {
		list, err := chosen(only)
		var got []string
		for _, p := range list {
			got = append(got, p.name)
		}
		if strings.Join(got, " ") != want || (err != nil) != (want == "") {
			t.Errorf("%q: %v, %v, wanted %q", only, got, err, want)
		}
	}
}
