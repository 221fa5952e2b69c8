// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package resolve

import (
	"testing"

	"github.com/initddi/initddi/internal/gpt"
	"github.com/initddi/initddi/internal/plan"
)

func TestCheckIdentity(t *testing.T) {
	const debian = "ID=debian\nIMAGE_ID=kiosk\nIMAGE_VERSION=1.2\nVERSION_ID=13\n"
	tree := func(text string, change func(*Tree)) *Tree {
		tr := osTree(t, text)
		if change != nil {
			change(tr)
		}
		return tr
	}
	initrd := func(tr *Tree) { tr.Kind = plan.KindInitrd }
	type id = plan.Identity
	for _, test := range []struct {
		name  string
		id    id
		tree  *Tree
		rule  Rule // empty: accepted
		words []string
	}{
		{"nothing is asked", id{}, tree(debian, nil), "", nil},
		{"nothing is asked, nothing is said", id{}, tree("", nil), "", nil},
		{"everything fits", id{Kind: plan.KindOS, ID: "debian", ImageID: "kiosk", MinVersion: "1.2"}, tree(debian, nil), "", nil},
		{"an initrd fits", id{Kind: plan.KindInitrd}, tree(debian, initrd), "", nil},

		{"extension", id{}, tree(debian, func(tr *Tree) { tr.Extension = "/usr/lib/extension-release.d/extension-release.x" }), RuleIdentity, []string{"an extension", "extension-release.x"}},
		{"a root called a /usr", id{}, tree(debian, func(tr *Tree) { tr.Designator, tr.RootDir = gpt.Usr, "/usr" }), RuleIdentity, []string{"a root file system, with /usr", "wanted one of /usr"}},
		{"no os-release", id{}, tree("", func(tr *Tree) { tr.HasOS = false }), RuleIdentity, []string{"no os-release"}},
		{"kind", id{Kind: plan.KindOS}, tree(debian, initrd), RuleIdentity, []string{"found kind initrd, wanted kind os"}},
		{"kind, the other way", id{Kind: plan.KindInitrd}, tree(debian, nil), RuleIdentity, []string{"found kind os, wanted kind initrd"}},
		{"ID", id{ID: "fedora"}, tree(debian, nil), RuleIdentity, []string{"found ID=debian, wanted ID=fedora"}},
		{"ID missing", id{ID: "debian"}, tree("", nil), RuleIdentity, []string{"found ID=, wanted ID=debian"}},
		{"ID is compared whole", id{ID: "debian"}, tree("ID=Debian\n", nil), RuleIdentity, nil},
		{"IMAGE_ID", id{ImageID: "desktop"}, tree(debian, nil), RuleIdentity, []string{"found IMAGE_ID=kiosk, wanted IMAGE_ID=desktop"}},
		{"IMAGE_ID missing", id{ImageID: "kiosk"}, tree("ID=kiosk\n", nil), RuleIdentity, nil},

		{"older", id{MinVersion: "1.10"}, tree(debian, nil), RuleIdentity, []string{"found IMAGE_VERSION=1.2, wanted at least 1.10"}},
		{"newer", id{MinVersion: "1.1"}, tree(debian, nil), "", nil},
		{"the OS's version counts where there is no other", id{MinVersion: "12"}, tree("VERSION_ID=13\n", nil), "", nil},
		{"the OS's version is too old", id{MinVersion: "14"}, tree("VERSION_ID=13\n", nil), RuleIdentity, []string{"found VERSION_ID=13, wanted at least 14"}},
		{"the OS's version does not replace the image's", id{MinVersion: "12"}, tree(debian, nil), RuleIdentity, []string{"IMAGE_VERSION=1.2"}},
		{"no version", id{MinVersion: "1"}, tree("ID=debian\n", nil), RuleIdentity, []string{"found VERSION_ID=, wanted at least 1"}},
		// "~" is older than the empty version, and what has no version is not newer than that.
		{"no version, and a rule that the empty one fulfils", id{MinVersion: "~"}, tree("ID=debian\n", nil), RuleIdentity, nil},

		{"two IDs", id{}, tree("ID=debian\nID=debian\n", nil), RuleIdentity, []string{"[ID]", "more than once"}},
		{"two IMAGE_IDs", id{}, tree("IMAGE_ID=a\nIMAGE_ID=b\n", nil), RuleIdentity, []string{"IMAGE_ID"}},
		{"two IMAGE_VERSIONs", id{}, tree("IMAGE_VERSION=1\nIMAGE_VERSION=2\n", nil), RuleIdentity, []string{"IMAGE_VERSION"}},
		{"two VERSION_IDs", id{}, tree("VERSION_ID=1\nVERSION_ID=2\n", nil), RuleIdentity, []string{"VERSION_ID"}},
		{"two of what nothing is decided by", id{}, tree("NAME=a\nNAME=b\n", nil), "", nil},

		{"no init", id{}, tree(debian, func(tr *Tree) { tr.Init = "" }), RuleInit, []string{"/sbin/init"}},
		{"no /run", id{}, tree(debian, func(tr *Tree) { tr.MissingDirs = []string{"/run"} }), RuleInit, []string{"[/run]"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := CheckIdentity(&plan.Plan{Policy: usual(), Identity: test.id}, who, test.tree)
			if test.rule == "" {
				if r != nil {
					t.Error(r)
				}
				return
			}
			wantRefusal(t, r, test.rule, append(test.words, who)...)
		})
	}
}

// TestIdentityComesBeforeInit: a person who sees "no init" builds the wrong image again.
func TestIdentityComesBeforeInit(t *testing.T) {
	tr := osTree(t, "ID=debian\n")
	tr.Init = ""
	wantRefusal(t, CheckIdentity(&plan.Plan{Policy: usual(), Identity: plan.Identity{ID: "fedora"}}, who, tr), RuleIdentity)
}

func TestRefusalText(t *testing.T) {
	for _, test := range []struct {
		r    Refusal
		want string
	}{
		{Refusal{Candidate: "a", Rule: RuleFound}, "a refused (found)"},
		{Refusal{Candidate: "a", Rule: RuleFound, Found: "x"}, "a refused (found): found x, wanted nothing"},
		{Refusal{Candidate: "a", Rule: RuleFound, Wanted: "y"}, "a refused (found): found nothing, wanted y"},
	} {
		if got := test.r.Error(); got != test.want {
			t.Errorf("got %q, want %q", got, test.want)
		}
	}
}
