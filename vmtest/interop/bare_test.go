// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package interop

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"testing"
)

// bareVariable marks the runs in which TestBareMachine tries the others.
const bareVariable = "INITDDI_BARE"

var (
	skipped = regexp.MustCompile(`(?m)^ *--- SKIP`)
	// reason is what a skip says: what is missing and where that comes from, or how it is run.
	reason = regexp.MustCompile(`(?m)_test\.go:\d+: (needs .+ \(.+\)|needs root,.*|takes minutes: .+)$`)
)

// TestBareMachine runs the other tests where their tools are not installed: each passes, or skips and says what it needs. That CI
// lets no such skip through is package suite's.
func TestBareMachine(t *testing.T) {
	if os.Getenv(bareVariable) != "" {
		t.Skip("needs the whole machine (this is the bare one)")
	}
	// What every Debian has, and what the tests ask for.
	always := []string{"sh", "cp", "mkdir", "tar", "cat", "unshare", "chroot", "mount"}
	tools := []string{"openssl", "mkfs.erofs", "fsck.erofs", "mke2fs", "mkfs.ext4", "debugfs", "e2fsck", "systemd-repart", "osslsigncode", "zstd", "mcopy", "mkfs.vfat"}
	for _, test := range []struct{ name, run string }{{"none", "^Test"}, {"all but mksquashfs", "^Test(RepartDDI|OurDDI)$"}} {
		t.Run(test.name, func(t *testing.T) {
			bare := t.TempDir()
			list := always
			if test.name != "none" {
				list = append(list, tools...)
			}
			for _, tool := range list {
				for _, dir := range []string{"/usr/bin", "/bin", "/usr/sbin", "/sbin"} {
					if p, err := exec.LookPath(filepath.Join(dir, tool)); err == nil {
						if err := os.Symlink(p, filepath.Join(bare, tool)); err != nil {
							t.Fatal(err)
						}
						break
					}
				}
			}
			cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.v", "-test.run="+test.run)
			cmd.Env = []string{"PATH=" + bare, "HOME=" + t.TempDir(), "TMPDIR=" + t.TempDir(), bareVariable + "=1"}
			out, err := cmd.CombinedOutput()
			skips, reasons := len(skipped.FindAll(out, -1)), len(reason.FindAll(out, -1))
			if err != nil || skips == 0 || reasons < skips {
				t.Errorf("%v, %d tests skipped, %d gave a reason; wanted that each passes or skips and says why:\n%s", err, skips, reasons, out)
			}
		})
	}
}
