// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package stage1

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/initddi/initddi/internal/discover/machinetest"
	"github.com/initddi/initddi/internal/plan"
)

// directoryTree is a tree that lies in a directory.
type directoryTree string

func (d directoryTree) Open(name string) (*os.File, error) {
	return os.Open(filepath.Join(string(d), name))
}

// treeIn makes a tree of empty files, and of directories whose names end in a slash.
func treeIn(t *testing.T, names ...string) directoryTree {
	t.Helper()
	dir := t.TempDir()
	for _, name := range names {
		at := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(at), 0o755); err != nil {
			t.Fatal(err)
		}
		var err error
		if strings.HasSuffix(name, "/") {
			err = os.MkdirAll(at, 0o755)
		} else {
			err = os.WriteFile(at, nil, 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return directoryTree(dir)
}

func TestWarnModules(t *testing.T) {
	const release = "6.12.1-amd64"
	other := []string{"lib/modules/6.1.0-amd64/", "lib/modules/6.12.1-cloud-amd64/"}
	for _, test := range []struct {
		name   string
		kind   plan.Kind
		tree   []string
		loaded []string
		want   string
	}{
		{"the right ones", plan.KindInitrd, append([]string{"lib/modules/" + release + "/modules.dep"}, other...), []string{"loop"}, ""},
		{"none", plan.KindInitrd, nil, []string{"loop"}, "the initrd image has no modules for Linux 6.12.1-amd64: nothing can be loaded in it"},
		{"others", plan.KindInitrd, other, []string{"loop"}, "the initrd image has no modules for Linux 6.12.1-amd64, only for 6.1.0-amd64, 6.12.1-cloud-amd64: nothing"},
		{"a kernel with everything built in", plan.KindInitrd, nil, nil, ""},
		{"a system that wants none", plan.KindOS, nil, []string{"loop"}, ""},
		{"a system with others", plan.KindOS, other[:1], []string{"loop"}, "the os image has no modules for Linux 6.12.1-amd64, only for 6.1.0-amd64: nothing"},
	} {
		b, console := remembering(t, machinetest.New(t))
		b.report.Kernel, b.report.Modules = release, test.loaded
		b.warnModules(treeIn(t, test.tree...), test.kind)
		got := strings.Join(b.report.Warnings, "\n")
		if test.want == "" && got+console.String() != "" || !strings.Contains(got, test.want) || !strings.Contains(console.String(), test.want) {
			t.Errorf("%s: boot.json has %q, the console %q, want %q", test.name, got, console, test.want)
		}
	}
}
