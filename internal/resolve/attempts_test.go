// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package resolve

import (
	"fmt"
	"strings"
	"testing"

	"github.com/initddi/initddi/internal/attempt"
	"github.com/initddi/initddi/internal/gpt"
	"github.com/initddi/initddi/internal/plan"
)

// enteredOf follows the steps over good images with the given names (and thus root hashes) to the one that is entered.
func enteredOf(t *testing.T, p *plan.Plan, record attempt.Record, ours *signer, names ...string) string {
	t.Helper()
	f := &Facts{Images: map[string]*Image{}, Settled: true, Record: record, Partitions: []Partition{espOn("vda", uuid1)}}
	var paths []string
	for _, n := range names {
		paths = append(paths, "/loader/ddi/"+n+".raw")
	}
	f.Partitions[0].Listing = &Listing{Files: filesOf(paths...)}
	for range 100 {
		s := Next(p, f)
		if s.Do == nil {
			return describe(s)
		}
		img := f.Images[s.Do.Name()]
		name := strings.TrimSuffix(strings.TrimPrefix(s.Do.Image, "/loader/ddi/"), ".raw")
		switch s.Do.Verb {
		case ReadImage:
			by := ours
			if strings.HasPrefix(name, "unsigned") {
				by = nil
			}
			f.Images[s.Do.Name()] = ddi(t, hashOf(name), by)
		case Verify:
			img.Authentic, img.Refusal = Authenticate(p, "vda1:"+s.Do.Image, gpt.X86_64, img)
		case Attach:
			img.Device = "dm-0"
		case Mount:
			img.Tree = osTree(t, "ID=debian\n")
			if strings.HasPrefix(name, "other") {
				img.Tree = osTree(t, "ID=other\n")
			}
		case Discard:
			img.Device = ""
		case Enter:
			return name
		}
	}
	return "no end"
}

// after makes a record out of words: NAME was entered, +NAME came up well.
func after(words string) attempt.Record {
	var r attempt.Record
	for _, w := range strings.Fields(words) {
		if name, good := strings.CutPrefix(w, "+"); good {
			r = r.Blessed(hashOf(name))
		} else {
			r = r.Entered(hashOf(w))
		}
	}
	return r
}

func TestAttemptsOrder(t *testing.T) {
	ours := newSigner(t, "ours")
	for _, test := range []struct{ attempts, history, files, want string }{
		{"1", "", "os_2 os_1", "os_2"},
		{"1", "os_2", "os_2 os_1", "os_1"},
		{"1", "os_2 +os_2", "os_2 os_1", "os_2"},
		// Somebody switched off a machine that is known to come up.
		{"1", "os_2 +os_2 os_2", "os_2 os_1", "os_2"},
		{"1", "os_2 +os_2 os_2 os_2", "os_2 os_1", "os_2"},
		{"1", "os_2 +os_2 os_2 os_2 os_2", "os_2 os_1", "os_1"},
		// Both failed: the one that did so less often, then the newer.
		{"1", "os_2 os_1", "os_2 os_1", "os_2"},
		{"1", "os_2 os_1 os_2", "os_2 os_1", "os_1"},
		{"1", "os_2 os_1 os_2 os_1", "os_2 os_1", "os_2"},
		{"1", "os_2 os_2", "os_2", "os_2"},
		{"1", "os_3 os_2", "os_3 os_2 os_1", "os_1"},
		{"2", "os_2", "os_2 os_1", "os_2"},
		{"2", "os_2 os_2", "os_2 os_1", "os_1"},
		{"5", "+os_2 os_2 os_2 os_2 os_2", "os_2 os_1", "os_2"},
		{"no", "os_2 os_2 os_2 os_2", "os_2 os_1", "os_2"},
		// It orders what is acceptable, and nothing else.
		{"1", "os_2", "os_2 unsigned_1", "os_2"},
		{"1", "os_2", "os_2 other_1", "os_2"},
		{"1", "+unsigned_3 os_2 +other_2", "unsigned_3 os_2 other_2", "os_2"},
		{"1", "unsigned_1 other_1", "unsigned_1 other_1", "refused: signed vda1:/loader/ddi/unsigned_1.raw, identity vda1:/loader/ddi/other_1.raw"},
		// An exhausted name is behind, a failed image behind that.
		{"1", "os_2", "os_2 os_1+0-3", "os_1+0-3"},
	} {
		in := plan.Input{CommandLine: "ddi.attempts=" + test.attempts}
		p, err := plan.New(in)
		if err != nil {
			t.Fatal(err)
		}
		p.Trust, p.Identity.ID = trusting(ours).Trust, "debian"
		if got := enteredOf(t, p, after(test.history), ours, strings.Fields(test.files)...); got != test.want {
			t.Errorf("attempts=%s, after %q, of %s: %s, want %s", test.attempts, test.history, test.files, got, test.want)
		}
	}
}

// TestRecordNeverWidens tries records that make no sense: what is entered is acceptable whatever they say, and something is entered.
func TestRecordNeverWidens(t *testing.T) {
	ours := newSigner(t, "ours")
	p := trusting(ours)
	p.Identity.ID, p.Attempts = "debian", 1
	names := []string{"os_1", "unsigned_9", "other_8", "os_2"}
	for n := range 256 {
		var r attempt.Record
		for i, name := range names {
			r.Images = append(r.Images, attempt.Image{Hash: attempt.HashOf(hashOf(name)), Tries: uint8(n >> (2 * i) & 3 * 85), Good: n>>i&1 == 1})
		}
		if got := enteredOf(t, p, r, ours, names...); got != "os_1" && got != "os_2" {
			t.Errorf("%+v: %s", r, got)
		}
	}
}

func TestLastFailure(t *testing.T) {
	for _, test := range []struct {
		record attempt.Record
		want   string
	}{
		{attempt.Record{}, ""},
		{after("os_1 +os_1"), ""},
		{after("os_2 os_1 +os_1"), ""},
		{after("os_1"), fmt.Sprintf("entered the image with root hash %x…, which did not come up well (1 in a row)", hashOf("os_1")[:8])},
		{after("os_1").Failed("no disk"), "entered nothing (1 in a row): no disk"},
		{attempt.Record{Failures: 3}, "entered nothing (3 in a row)"},
	} {
		if got := LastFailure(&plan.Plan{Attempts: 1}, &Facts{Record: test.record}); got != test.want {
			t.Errorf("%+v: %q, want %q", test.record, got, test.want)
		}
	}
	if got := LastFailure(&plan.Plan{}, &Facts{Record: after("os_1")}); got != "" {
		t.Errorf("attempts=no: %q", got)
	}
}
