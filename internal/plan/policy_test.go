// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package plan

import (
	"errors"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/initddi/initddi/internal/policy"
)

// TestPolicy says what becomes of a policy that was built in, and one on the command line.
func TestPolicy(t *testing.T) {
	const usual = "root=signed+absent:usr=signed+absent"
	pin := "pin=" + hash64
	for _, test := range []struct {
		config, line string
		want         string
	}{
		{"", "", usual},
		{pin, "", "root=verity+signed+absent:usr=verity+signed+absent"},
		{"policy=" + usual + "\n" + pin, "", usual},
		{pin + "\npolicy=root=verity", "", "root=verity"},
		{"policy=*", "", "*"},
		{"policy=-", "", "-"},
		{"policy=", "", "-"},
		{"", "ddi.policy=*", usual},
		{"", "ddi.policy=root=signed+unprotected+verity", "root=signed:usr=absent"},
		{"", "ddi.policy=root=unprotected+absent", "root=absent:usr=absent"},
		{"policy=*", "ddi.policy=root=unprotected", "root=unprotected"},
		{"policy=root=signed+unprotected", "ddi.policy=root=signed", "root=signed"},
		{"policy=root=signed+erofs+squashfs", "ddi.policy=root=signed+erofs+ext4", "root=signed+erofs"},
		{pin, "ddi.policy=root=signed+absent:usr=signed+absent", usual},
	} {
		p, err := New(Input{Config: []byte(test.config), CommandLine: test.line})
		if err != nil {
			t.Errorf("%q, %q: %v", test.config, test.line, err)
			continue
		}
		// The partitions that only go with others follow from them, and are not what this is about.
		for _, d := range []string{"root", "usr", "home"} {
			if got, want := flags(t, p.Policy.String(), d), flags(t, test.want, d); got != want {
				t.Errorf("%q, %q: %s is %s, want %s", test.config, test.line, d, got, want)
			}
		}
	}
}

func flags(t *testing.T, text, designator string) policy.Flags {
	t.Helper()
	p, err := policy.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range policy.Designators() {
		if string(d) == designator {
			return p.Flags(d)
		}
	}
	t.Fatal(designator)
	return 0
}

func TestPolicyThatLeavesNothing(t *testing.T) {
	_, err := New(Input{CommandLine: "ddi.policy=root=verity"})
	wantKeyError(t, err, "ddi.policy", "kernel command line", ErrNarrow)
	for _, word := range []string{"nothing is left of what was built in, root=signed+absent:usr=signed+absent", "root can be neither: signed+absent and verity have nothing in common"} {
		if !strings.Contains(err.Error(), word) {
			t.Errorf("%q does not say %q", err, word)
		}
	}
}

// TestPolicyIsNeverWidened puts policies made up at random on the command line: whatever is allowed afterwards was allowed
// before.
func TestPolicyIsNeverWidened(t *testing.T) {
	rng := rand.New(rand.NewPCG(7, 8))
	words := strings.Fields("verity signed encrypted unprotected unused absent absent absent read-only-on growfs-off erofs squashfs open ignore")
	parts := []string{"root", "usr", "", "home", "root-verity", "usr-verity-sig"}
	made := func() string {
		var rules []string
		for _, i := range rng.Perm(len(parts))[:rng.IntN(4)+1] {
			var flags []string
			for range rng.IntN(4) + 1 {
				flags = append(flags, words[rng.IntN(len(words))])
			}
			rules = append(rules, parts[i]+"="+strings.Join(flags, "+"))
		}
		return strings.Join(rules, ":")
	}
	narrowed := 0
	for range 20_000 {
		baked, line := made(), made()
		before, err := New(Input{Config: []byte("policy=" + baked)})
		if err != nil {
			t.Fatal(err)
		}
		after, err := New(Input{Config: []byte("policy=" + baked), CommandLine: "ddi.policy=" + line})
		if err != nil {
			if !errors.Is(err, ErrNarrow) {
				t.Fatal(err)
			}
			continue
		}
		narrowed++
		for _, d := range policy.Designators() {
			b, a := before.Policy.Flags(d), after.Policy.Flags(d)
			if strings.Contains(string(d), "verity") {
				// Whether it is used follows from what is done with the file system; package resolve tests that on images.
				b |= policy.Uses
			}
			if wider := a &^ b & (policy.Uses | policy.ReadOnly | policy.GrowFS); wider != 0 && a&policy.Uses != policy.Absent {
				t.Fatalf("%q and %q on the command line: %s may be %s as well", baked, line, d, wider)
			}
			if strings.Contains(string(d), "verity") {
				continue // holds no file system
			}
			if fs := b & policy.FileSystems; fs != 0 && a&policy.Uses&^policy.Ignore != 0 && a&policy.FileSystems&^fs != 0 {
				t.Fatalf("%q and %q on the command line: %s may hold %s", baked, line, d, a)
			}
		}
	}
	if narrowed < 1000 {
		t.Errorf("only %d: the test tests little", narrowed)
	}
}
