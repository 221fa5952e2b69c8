// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package resolve

import (
	"errors"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/initddi/initddi/internal/gpt"
	"github.com/initddi/initddi/internal/plan"
)

// TestNextNeverSkipsACheck makes up facts, also such as no boot would lead to, and looks at what is to be done about them.
func TestNextNeverSkipsACheck(t *testing.T) {
	ours, other := newSigner(t, "ours"), newSigner(t, "other")
	var samples []*Image
	for _, s := range []string{"a", "b", "c"} {
		samples = append(samples, ddi(t, hashOf(s), nil), ddi(t, hashOf(s), ours), ddi(t, hashOf(s), other))
	}
	rng := rand.New(rand.NewPCG(3, 4))
	chance := func(percent int) bool { return rng.IntN(100) < percent }
	trees := []*Tree{osTree(t, "ID=debian\nIMAGE_VERSION=2\n"), osTree(t, "ID=fedora\n"), osTree(t, "ID=debian\nID=debian\n")}
	noInit := *trees[0]
	noInit.Init = ""
	extension := *trees[0]
	extension.Extension = "x"
	initrd := *trees[0]
	initrd.Kind = plan.KindInitrd
	trees = append(trees, &noInit, &extension, &initrd)
	names := []string{"/loader/ddi/os_1.raw", "/loader/ddi/os_2+0-1.raw", "/EFI/Linux/a.efi.ddi.d/os_1.raw", "/loader/ddi/x.sysext.raw"}
	verbs := map[Verb]int{}
	// Signatures cost most of the time, and there are few different ones.
	judged := [2][]func(*Image){}
	for i := range judged {
		p := trusting(ours)
		p.Pins = [][]byte{hashOf("a")}[:i]
		for _, s := range samples {
			a, r := Authenticate(p, "vda1:x", gpt.X86_64, s)
			judged[i] = append(judged[i], func(img *Image) { img.Authentic, img.Refusal = a, r })
		}
	}
	for range 100_000 {
		p := trusting(ours)
		pins := rng.IntN(2)
		p.Pins = [][]byte{hashOf("a")}[:pins]
		if chance(50) {
			p.Identity = plan.Identity{ID: "debian", Kind: []plan.Kind{"", plan.KindOS, plan.KindInitrd}[rng.IntN(3)]}
		}
		f := &Facts{Settled: chance(80), Images: map[string]*Image{}, Firmware: Firmware{UKI: "/EFI/Linux/a.efi"}}
		part := espOn("vda", uuid1)
		if chance(95) {
			part.Listing = &Listing{Files: filesOf(names...)}
		}
		f.Partitions = []Partition{part}
		for _, name := range names {
			if chance(15) {
				continue
			}
			i := rng.IntN(len(samples))
			img := *samples[i]
			if chance(70) {
				judged[pins][i](&img)
			}
			if chance(50) {
				img.Device = "dm-1"
			}
			if chance(50) {
				img.Tree = trees[rng.IntN(len(trees))]
			}
			if chance(20) {
				img.Err = errors.New("broken")
			}
			f.Images["vda1:"+name] = &img
		}
		s := Next(p, f)
		if s.Do == nil {
			continue
		}
		verbs[s.Do.Verb]++
		checkStep(t, p, f, s.Do)
	}
	for _, v := range []Verb{ListPartition, ReadImage, Verify, Attach, Mount, Discard, Enter} {
		if verbs[v] == 0 {
			t.Errorf("%s never happened: the facts are not random enough", v)
		}
	}
}

// checkStep holds an action against what must be known before it.
func checkStep(t *testing.T, p *plan.Plan, f *Facts, a *Action) {
	t.Helper()
	img := f.Images[a.Name()]
	sound := img != nil && img.Err == nil && img.Refusal == nil
	switch a.Verb {
	case Attach, Mount:
		if !sound || img.Authentic == nil {
			t.Fatalf("%v without an acceptable root hash: %+v", a, img)
		}
	case Enter:
		if !sound || img.Authentic == nil || img.Device == "" || img.Tree == nil || CheckIdentity(p, "", img.Tree) != nil {
			t.Fatalf("%v: %+v", a, img)
		}
		if strings.HasSuffix(a.Image, ".sysext.raw") {
			t.Fatal("an extension is entered")
		}
	case Discard:
		if img.Device == "" {
			t.Fatalf("%v, and there is nothing to take away", a)
		}
	}
}

// TestNextEnds carries out whatever Next says, with every step failing now and then: it must come to an end, having entered the
// first image for which everything went well, or none.
func TestNextEnds(t *testing.T) {
	ours := newSigner(t, "ours")
	signed, unsigned := ddi(t, hashOf("a"), ours), ddi(t, hashOf("a"), nil)
	good, bad := osTree(t, "ID=debian\n"), osTree(t, "ID=fedora\n")
	names := []string{"/loader/ddi/os_3.raw", "/loader/ddi/os_2.raw", "/loader/ddi/os_1.raw"}
	rng := rand.New(rand.NewPCG(5, 6))
	p := trusting(ours)
	p.Identity.ID = "debian"
	entered := 0
	for range 2000 {
		f := &Facts{Settled: true, Images: map[string]*Image{}, Partitions: []Partition{espOn("vda", uuid1)}}
		fails := func() bool { return rng.IntN(5) == 0 }
		var broken []string
		var last Step
		for steps := 0; ; steps++ {
			if steps > 5*len(names)+2 {
				t.Fatalf("no end: %s", describe(last))
			}
			last = Next(p, f)
			if last.Do == nil || last.Do.Verb == Enter {
				break
			}
			name := last.Do.Image
			img := f.Images["vda1:"+name]
			failed := last.Do.Verb != Discard && last.Do.Verb != ListPartition && fails()
			if failed {
				broken = append(broken, name)
			}
			switch last.Do.Verb {
			case ListPartition:
				f.Partitions[0].Listing = &Listing{Files: filesOf(names...)}
			case ReadImage:
				c := *signed
				if failed {
					c = *unsigned
				}
				f.Images["vda1:"+name] = &c
			case Verify:
				img.Authentic, img.Refusal = Authenticate(p, name, gpt.X86_64, img)
				if failed && img.Refusal == nil {
					img.Refusal = &Refusal{Candidate: name, Rule: RuleSigned}
				}
			case Attach:
				if failed {
					img.Err = errors.New("no")
				} else {
					img.Device = "dm-1"
				}
			case Mount:
				img.Tree = good
				if failed {
					img.Tree = bad
				}
			case Discard:
				img.Device = ""
			}
		}
		if last.Do != nil {
			entered++
			i := slices.Index(names, last.Do.Image)
			if slices.Contains(broken, last.Do.Image) || !containsAll(broken, names[:i]) {
				t.Fatalf("entered %s, and broken were %v", last.Do.Image, broken)
			}
		} else if len(last.Refused) != len(names) {
			t.Fatalf("%s after %v", describe(last), broken)
		}
	}
	if entered == 0 || entered == 2000 {
		t.Errorf("entered %d of 2000: the test tests nothing", entered)
	}
}

func containsAll(list, wanted []string) bool {
	for _, w := range wanted {
		if !slices.Contains(list, w) {
			return false
		}
	}
	return true
}
