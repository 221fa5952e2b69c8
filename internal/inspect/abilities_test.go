// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package inspect

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestProblemsByAbility: what a stage 1 can do is in its archive, and only what it cannot do is a problem.
func TestProblemsByAbility(t *testing.T) {
	if testing.Short() {
		t.Skip("needs time for the go command, which -short does not give")
	}
	dir := t.TempDir()
	busybox := func(tags string) string {
		for name, text := range map[string]string{"go.mod": "module example.com/nothing\n", "main.go": "package main\n\nfunc main() {}\n"} {
			if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		cmd := exec.Command("go", "build", "-ldflags=-s -w -buildid=", "-tags="+tags, "-o", "out", ".")
		cmd.Dir = dir
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("go build: %v: %s", err, out)
		}
		b, err := os.ReadFile(filepath.Join(dir, "out"))
		if err != nil {
			t.Fatal(err)
		}
		// As large as that of a stage 1 with a shell.
		return string(b) + strings.Repeat("\x00", 2*maxContents)
	}
	all, none := busybox("goshsmall"), busybox("noservers,nomerge")
	const settings = "pin=0000000000000000000000000000000000000000000000000000000000000000\nfail=shell\nsource=http\noverlay=tmpfs\nmerge=yes\n"
	for _, test := range []struct{ name, busybox, commands, want string }{
		{"all", all, "storageinit gosh ddifetch sysextmerge", ""},
		{"no shell", all, "storageinit ddifetch", "fail=shell"},
		{"no ddifetch", all, "storageinit gosh", "source=http"},
		{"nothing", none, "storageinit", "fail=shell source=http overlay=tmpfs merge=yes"},
		{"commands that the program does not use", none, "storageinit gosh ddifetch sysextmerge", "source=http overlay=tmpfs merge=yes"},
	} {
		files := [][2]string{{"bbin/bb", test.busybox}, {"etc/initddi/stage1.conf", settings}}
		for _, c := range strings.Fields(test.commands) {
			files = append(files, [2]string{"bbin/" + c + "@", "bb"})
		}
		rep, err := sourceOf(newc(files...)).inspect()
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, p := range rep.Initramfs.Problems {
			_, rest, _ := strings.Cut(p, "cannot use ")
			word, _, _ := strings.Cut(rest, " ")
			got = append(got, word)
		}
		if strings.Join(got, " ") != test.want {
			t.Errorf("%s: %q, want problems with %s", test.name, rep.Initramfs.Problems, test.want)
		}
	}
}
