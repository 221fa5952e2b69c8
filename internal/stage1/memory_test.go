// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package stage1

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/initddi/initddi/internal/linux/kmsg"
	"github.com/initddi/initddi/internal/report"
)

func TestCopyLimit(t *testing.T) {
	for _, test := range []struct {
		name, meminfo string
		want          int64
	}{
		{"a small machine", "MemTotal: 200000 kB\nMemAvailable:    131072 kB\nBuffers: 1 kB\n", 64 << 20},
		{"a large one", "MemAvailable: 4194304 kB\n", 3 << 30},
		{"no memory at all", "MemAvailable: 1024 kB\n", 1},
		{"an old kernel", "MemTotal: 200000 kB\nMemFree: 100000 kB\n", 0},
		{"noise", "MemAvailable: -1 kB\n", 0},
		{"more noise", "MemAvailable: 99999999999999999999 kB\n", 0},
		{"nothing", "", 0},
	} {
		dir := t.TempDir()
		if test.meminfo != "" {
			if err := os.WriteFile(filepath.Join(dir, "meminfo"), []byte(test.meminfo), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		root, err := os.OpenRoot(dir)
		if err != nil {
			t.Fatal(err)
		}
		defer root.Close()
		if got := copyLimit(root); got != test.want {
			t.Errorf("%s: %d, want %d", test.name, got, test.want)
		}
	}
}

func TestCopyingIsAnnounced(t *testing.T) {
	root, err := os.OpenRoot(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	var console bytes.Buffer
	b := &boot{world: &World{Proc: root}, log: &report.Log{Console: &console, Level: kmsg.Info}}
	say := b.copying().Say
	say(errors.New("because"), 0, 100<<20)
	if !strings.Contains(console.String(), "copied into memory: because, 100 MiB") {
		t.Errorf("at the start: %q", console.String())
	}
	before := console.Len()
	say(errors.New("because"), 4<<20, 100<<20)
	if console.Len() != before {
		t.Errorf("a moment later: %q", console.String()[before:])
	}
}
