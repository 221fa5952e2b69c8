// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package ddi_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/initddi/initddi/internal/ddi"
	"github.com/initddi/initddi/internal/ddi/dditest"
	"github.com/initddi/initddi/internal/gpt"
	"github.com/initddi/initddi/internal/policy"
	"github.com/initddi/initddi/internal/resolve"
)

// testPlain judges images without a hash tree: only who asks for them gets them, and half of a protection is none.
func testPlain(t *testing.T, s *dditest.Set) {
	dir := t.TempDir()
	copied := func(name, to string, edit func(*os.File, int64)) string {
		b, err := os.ReadFile(s.Path(name))
		if err != nil {
			t.Fatal(err)
		}
		to = filepath.Join(dir, to)
		if err := os.WriteFile(to, b, 0o644); err != nil {
			t.Fatal(err)
		}
		if edit != nil {
			f, err := os.OpenFile(to, os.O_RDWR, 0)
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			edit(f, int64(len(b)))
		}
		return to
	}
	first := func(n int) func(*os.File, int64) {
		return func(f *os.File, size int64) {
			table, err := gpt.Read(f, size, 0)
			if err != nil {
				t.Fatal(err)
			}
			table.Partitions = table.Partitions[:n]
			if err := gpt.Write(f, size, table); err != nil {
				t.Fatal(err)
			}
		}
	}
	half := copied(dditest.Bare, "half.raw", nil)
	if err := os.WriteFile(filepath.Join(dir, "half.roothash"), []byte(s.RootHash), 0o644); err != nil {
		t.Fatal(err)
	}
	all, strict := policy.All(), policy.Policy{}
	for _, c := range []struct {
		name, path string
		plain      bool
		policy     policy.Policy
		rule       resolve.Rule
		err        error
	}{
		{"a file system", copied(dditest.Bare, "alone.raw", nil), true, all, "", nil},
		{"a partition", copied(dditest.Good, "root.raw", first(1)), true, all, "", nil},
		{"a file system, and a policy that uses nothing", filepath.Join(dir, "alone.raw"), true, strict, resolve.RulePolicy, nil},
		{"a file system that nobody asked for", filepath.Join(dir, "alone.raw"), false, all, "", ddi.ErrNotDDI},
		{"a partition that nobody asked for", filepath.Join(dir, "root.raw"), false, all, resolve.RulePartitions, nil},
		{"a hash tree without a signature partition", copied(dditest.Good, "two.raw", first(2)), true, policy.Policy{}, resolve.RuleSigned, nil},
		{"a root hash beside it, and no hash tree", half, true, all, "", ddi.ErrNotDDI},
		{"nothing", copied(dditest.Empty, "empty.raw", nil), true, all, "", ddi.ErrNotDDI},
	} {
		img, err := ddi.Open(c.path, ddi.Options{Plan: trust(t, s, dditest.Cert), Policy: &c.policy, Plain: c.plain})
		if !errors.Is(err, c.err) {
			t.Errorf("%s: %v, want %v", c.name, err, c.err)
		}
		if err != nil {
			continue
		}
		switch {
		case c.rule != "" && (img.Refusal == nil || img.Refusal.Rule != c.rule):
			t.Errorf("%s: %v, want the rule %s", c.name, img.Refusal, c.rule)
		case c.rule == "" && (img.Refusal != nil || !img.Authentic().Plain()):
			t.Errorf("%s: %v, %+v", c.name, img.Refusal, img.Authentic())
		case c.rule == "":
			if err := img.Validate(context.Background(), nil); !errors.Is(err, errors.ErrUnsupported) {
				t.Errorf("%s: there is nothing to check it against, and %v", c.name, err)
			}
			if r := img.Report(); !r.Verdict.Accepted || len(r.Mounts) != 1 || r.Verity != nil {
				t.Errorf("%s: %+v", c.name, r)
			}
		}
		img.Close()
	}
}
