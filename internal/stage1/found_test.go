// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

//go:build !nomerge

package stage1

import (
	"strings"
	"testing"

	"github.com/initddi/initddi/internal/discover/machinetest"
	"github.com/initddi/initddi/internal/layers"
	"github.com/initddi/initddi/internal/plan"
	"github.com/initddi/initddi/internal/report"
	"github.com/initddi/initddi/internal/resolve"
)

func TestPlaceFor(t *testing.T) {
	for _, test := range []struct {
		class layers.Class
		kind  plan.Kind
		want  string
	}{
		{layers.Sysext, plan.KindOS, "/run/extensions/a"},
		{layers.Confext, plan.KindOS, "/run/confexts/a"},
		// The real root inherits /run.
		{layers.Sysext, plan.KindInitrd, "/.extra/sysext/a"},
		{layers.Confext, plan.KindInitrd, "/.extra/confext/a"},
	} {
		if got := placeFor(test.class, "a", test.kind); got != test.want {
			t.Errorf("%s of an %s image: %s, want %s", test.class, test.kind, got, test.want)
		}
	}
}

// TestMergesAgain: systemd merges in an initrd as soon as there is anything in one of the directories that its units name.
func TestMergesAgain(t *testing.T) {
	for _, test := range []struct {
		class   layers.Class
		tree    []string
		carried []string
		want    string
	}{
		{class: layers.Sysext, tree: []string{"etc/os-release", "usr/lib/extensions/x"}},
		{class: layers.Sysext, tree: []string{"etc/extensions/"}},
		{class: layers.Sysext, tree: []string{"etc/extensions/x/"}, want: "/etc/extensions/x"},
		{class: layers.Sysext, tree: []string{"var/lib/extensions/x.raw"}, want: "/var/lib/extensions/x.raw"},
		{class: layers.Confext, tree: []string{"var/lib/extensions/x.raw"}},
		{class: layers.Confext, tree: []string{"usr/local/lib/confexts/x.raw"}, want: "/usr/local/lib/confexts/x.raw"},
		// What is mounted over them hides these.
		{class: layers.Sysext, tree: []string{"run/extensions/x", ".extra/sysext/x"}},
		{class: layers.Sysext, carried: []string{"/.extra/confext/x.raw", "/.extra/global_sysext/y.raw"}, want: "/.extra/global_sysext/y.raw"},
		{class: layers.Confext, carried: []string{"/.extra/confext/x.raw", "/.extra/global_sysext/y.raw"}, want: "/.extra/confext/x.raw"},
		{class: layers.Sysext, carried: []string{"/ddi/x.sysext.raw"}},
	} {
		if got := mergesAgain(treeIn(t, test.tree...), test.class, test.carried); got != test.want {
			t.Errorf("%s, %q, %q: %q, want %q", test.class, test.tree, test.carried, got, test.want)
		}
	}
}

// TestFindable: what cannot be left where the initrd image's systemd finds it is said to be lost, and nothing is said where that does not merge.
func TestFindable(t *testing.T) {
	quiet, merges := treeIn(t, "etc/os-release"), treeIn(t, "etc/extensions/x.raw")
	for _, test := range []struct {
		name   string
		tree   directoryTree
		kind   plan.Kind
		merged string
		says   string
	}{
		{"an OS image", merges, plan.KindOS, "a", ""},
		{"nobody merges", quiet, plan.KindInitrd, "a", ""},
		{"another was merged", merges, plan.KindInitrd, "b", ""},
		{"no /.extra", merges, plan.KindInitrd, "a", "the image has no directory /.extra: when the image's systemd merges /etc/extensions/x.raw, it will not find sysext a any more"},
	} {
		b, console := remembering(t, machinetest.New(t))
		b.report.Extensions = []report.Extension{{Class: "sysext", Name: test.merged}}
		if got := b.findable(test.tree, test.kind, false, []bringing{{Extension: resolve.Extension{Class: layers.Sysext, Name: "a"}}}, nil); got != nil {
			t.Errorf("%s: %+v", test.name, got)
		}
		if got := console.String(); test.says == "" && got != "" || !strings.Contains(got, test.says) {
			t.Errorf("%s: %q, want %q", test.name, got, test.says)
		}
	}
}
