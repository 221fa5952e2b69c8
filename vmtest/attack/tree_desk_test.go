// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package attack

import (
	"os"
	"strings"
	"testing"

	"github.com/initddi/initddi/internal/linux/kerneltest"
	"github.com/initddi/initddi/internal/sysext"
)

// TestNSTrees merges every tampered extension that can be made without being the machine's root, TestVMTrees all of them, on the kernel of
// the demonstration.
func TestNSTrees(t *testing.T) {
	kerneltest.NeedNamespace(t)
	testTrees(t, false)
}

func TestVMTrees(t *testing.T) {
	kerneltest.NeedMachine(t)
	testTrees(t, true)
}

func testTrees(t *testing.T, root bool) {
	for _, c := range Cases() {
		if c.Extension == nil || c.Root && !root {
			continue
		}
		t.Run(c.Name, func(t *testing.T) {
			f, wrong := TryTree(&c, t.TempDir())
			for _, w := range wrong {
				t.Error(w)
			}
			t.Log(f)
		})
	}
}

// TestNSTreesNotice has cases judged that say something else than what must come of them, or whose merge does something that none must.
func TestNSTreesNotice(t *testing.T) {
	kerneltest.NeedNamespace(t)
	other := func(e *Extension) { e.release("ID=other\n") }
	for _, tt := range []struct {
		name, want string
		c          Case
	}{
		{"a good case", "", Case{Extension: other, Verdict: Refused, Layer: Match}},
		{"another verdict", "in a running system it is refused by match, wanted harmless by accepted", Case{Extension: other, Verdict: Harmless, Layer: Accepted}},
		{"the right verdict from the wrong layer", "before the hand-over it is refused by match, wanted refused by contents", Case{Extension: other, Verdict: Refused, Layer: Contents}},
		{"another reason", `wanted "too many" in it`, Case{Extension: other, Verdict: Refused, Layer: Match, Says: "too many"}},
		{"nothing altered", "nothing was altered", Case{Extension: func(*Extension) {}, Verdict: Harmless, Layer: Accepted}},
		{"a generator that cannot", "cannot make the extension: ", Case{Extension: func(e *Extension) { e.rename("x/y") }, Verdict: Refused, Layer: Name}},
		{"false data", `usr/bin/tool has "tool"`, Case{Extension: func(e *Extension) { e.file("usr/x", "x") }, Verdict: Harmless, Layer: Accepted, Merged: has(map[string]string{"usr/bin/tool": "other"})}},
		{"a file of the system that is gone", "usr/lib/secret has", Case{Extension: func(e *Extension) { e.whiteout("usr/lib/secret") }, Verdict: Harmless, Layer: Accepted}},
		{"another identity", "the merged system says it is", Case{Extension: func(e *Extension) {
			e.system("etc/os-release.d/x", "")
			must(os.Remove(e.Root + "/etc/os-release"))
			e.system("etc/os-release", "ID=other\n")
			e.release("ID=other\n")
			e.another(neighbour).release("ID=other\n")
		}, Verdict: Harmless, Layer: Accepted}},
		{"something left behind", "afterwards not all is as it was: new: ", Case{Extension: other, Verdict: Refused, Layer: Match, Options: &sysext.Options{Mutable: "yes"}}},
	} {
		_, wrong := TryTree(&tt.c, t.TempDir())
		if got := strings.Join(wrong, "; "); (got == "") != (tt.want == "") || !strings.Contains(got, tt.want) {
			t.Errorf("%s: %q, wanted %q", tt.name, got, tt.want)
		}
	}
}
