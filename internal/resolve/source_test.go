// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package resolve

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/initddi/initddi/internal/attempt"
	"github.com/initddi/initddi/internal/gpt"
	"github.com/initddi/initddi/internal/plan"
)

// answers carries out what Next says: a candidate whose name contains "bad" is unsigned, every other is good. It returns the verbs with what
// they are about, and the last step.
func answers(t *testing.T, p *plan.Plan, f *Facts, by *signer) (done []string, last Step) {
	t.Helper()
	for range 100 {
		last = Next(p, f)
		if last.Do == nil || last.Do.Verb == ListSource || last.Do.Verb == Enter {
			return done, last
		}
		name := last.Do.Name()
		img := f.Images[name]
		done = append(done, string(last.Do.Verb)+" "+name)
		switch last.Do.Verb {
		case ReadImage:
			f.Images[name] = ddi(t, hashOf(name), by)
			if strings.Contains(name, "bad") {
				f.Images[name] = ddi(t, hashOf(name), nil)
			}
		case Verify:
			img.Authentic, img.Refusal = Authenticate(p, name, gpt.X86_64, img)
		case Attach:
			img.Device = "dm-1"
		case Mount:
			img.Tree = osTree(t, "ID=debian\n")
		default:
			t.Fatalf("unexpected %v", last.Do)
		}
	}
	t.Fatal("no end")
	return nil, last
}

func withESP(files ...string) func(*Facts) {
	return func(f *Facts) {
		part := espOn("vda", uuid1)
		part.Listing = &Listing{Files: filesOf(files...), Dirs: []string{sharedDir}}
		f.Partitions = append(f.Partitions, part)
	}
}

func withInitrd(files ...string) func(*Facts) {
	return func(f *Facts) { f.Initrd = &Listing{Files: filesOf(files...)} }
}

func withPmem(nodes ...string) func(*Facts) {
	return func(f *Facts) {
		for _, n := range nodes {
			f.Pmem = append(f.Pmem, Device{Node: n, Size: 1 << 30, SectorSize: 512})
		}
	}
}

func withServer(s plan.Source, urls ...string) func(*Facts) {
	return func(f *Facts) {
		l := &Listing{}
		for _, u := range urls {
			l.Files = append(l.Files, File{Path: u[strings.LastIndexByte(u, '/')+1:], URL: u})
		}
		f.Servers = map[plan.Source]*Listing{s: l}
	}
}

func entersName(s Step) string {
	if s.Do != nil {
		return string(s.Do.Verb) + " " + s.Do.Name()
	}
	return describe(s)
}

// TestSourcesInOrder: what is missing or refused in one source leads to the next, in the order that was asked for, and nowhere else.
func TestSourcesInOrder(t *testing.T) {
	ours := newSigner(t, "ours")
	late := func(f *Facts) { f.Late = true }
	timeUp := func(f *Facts) { f.TimeUp = true }
	busy := func(f *Facts) { f.Settled = false }
	firmware := func(f *Facts) { f.Firmware = Firmware{EFI: true, BootPartition: uuid2, Variable: "StubDevicePartUUID"} }
	const nowhere = "the only EFI system partition (no EFI variable names one)"
	for _, test := range []struct {
		name    string
		sources string
		image   string
		facts   []func(*Facts)
		want    string
	}{
		{"the first that has one", "esp,initrd", "", []func(*Facts){withESP("/loader/ddi/a.raw"), withInitrd("/ddi/b.raw")}, "enter vda1:/loader/ddi/a.raw"},
		{"the other way round", "initrd,esp", "", []func(*Facts){withESP("/loader/ddi/a.raw"), withInitrd("/ddi/b.raw")}, "enter initrd:/ddi/b.raw"},
		{"nothing on the ESP", "esp,initrd", "", []func(*Facts){withESP(), withInitrd("/ddi/b.raw")}, "enter initrd:/ddi/b.raw"},
		{"refused on the ESP", "esp,initrd", "", []func(*Facts){withESP("/loader/ddi/bad.raw"), withInitrd("/ddi/b.raw")}, "enter initrd:/ddi/b.raw"},
		{"an ESP that is no FAT", "esp,initrd", "", []func(*Facts){func(f *Facts) {
			withESP()(f)
			f.Partitions[0].Listing.Err = errors.New("no")
		}, withInitrd("/ddi/b.raw")}, "enter initrd:/ddi/b.raw"},
		{"two ESPs", "esp,initrd", "", []func(*Facts){withESP(), withESP(), withInitrd("/ddi/b.raw")}, "enter initrd:/ddi/b.raw"},
		{"two ESPs, which may be one", "esp,initrd", "", []func(*Facts){withESP("/loader/ddi/a.raw"), busy, withInitrd("/ddi/b.raw")}, "missing: the other disks, to know that /dev/vda1 is " + nowhere},
		{"nothing in the initramfs", "initrd,esp", "", []func(*Facts){withESP("/loader/ddi/a.raw"), withInitrd()}, "enter vda1:/loader/ddi/a.raw"},
		{"refused in the initramfs", "initrd,esp", "", []func(*Facts){withESP("/loader/ddi/a.raw"), withInitrd("/ddi/bad.raw")}, "enter vda1:/loader/ddi/a.raw"},
		{"nobody asked for the other", "initrd", "", []func(*Facts){withESP("/loader/ddi/a.raw"), withInitrd("/ddi/bad.raw")}, "refused: signed initrd:/ddi/bad.raw"},
		{"all refused", "esp,initrd,pmem", "", []func(*Facts){withESP("/loader/ddi/bad.raw"), withInitrd(), withPmem()}, "refused: signed vda1:/loader/ddi/bad.raw, found initrd, found pmem"},

		{"no ESP yet", "esp,initrd", "", []func(*Facts){withInitrd("/ddi/b.raw")}, "missing: " + nowhere},
		{"no ESP for some time", "esp,initrd", "", []func(*Facts){late, withInitrd("/ddi/b.raw")}, "enter initrd:/ddi/b.raw"},
		{"nor anything else: it is waited for", "esp,initrd", "", []func(*Facts){late, withInitrd()}, "missing: " + nowhere},
		{"something is still coming", "esp,initrd", "", []func(*Facts){late, busy, withInitrd("/ddi/b.raw")}, "missing: " + nowhere},
		{"the firmware says that there is one", "esp,initrd", "", []func(*Facts){late, firmware, withInitrd("/ddi/b.raw")}, "missing: PARTUUID=" + uuid2.String() + " (StubDevicePartUUID)"},
		{"it did not come", "esp,initrd", "", []func(*Facts){late, timeUp, firmware, withInitrd("/ddi/b.raw")}, "enter initrd:/ddi/b.raw"},
		{"nothing came at all", "esp,initrd", "", []func(*Facts){late, timeUp, withInitrd()}, "refused: missing " + nowhere + ", found initrd"},

		{"the newest first", "initrd", "", []func(*Facts){withInitrd("/ddi/os_1.raw", "/ddi/os_10.raw", "/ddi/os_9.raw")}, "enter initrd:/ddi/os_10.raw"},
		{"an extension is none", "initrd", "", []func(*Facts){withInitrd("/.extra/sysext/x.sysext.raw", "/ddi/a.roothash")}, "refused: found initrd"},
		{"beside the UKI", "initrd", "", []func(*Facts){withInitrd("/.extra/sysext/os.raw")}, "enter initrd:/.extra/sysext/os.raw"},
		{"behind the initramfs", "initrd", "", []func(*Facts){withInitrd("/sys/firmware/initrd")}, "enter initrd:/sys/firmware/initrd"},
		{"behind the initramfs, last", "initrd", "", []func(*Facts){withInitrd("/sys/firmware/initrd", "/ddi/b.raw")}, "enter initrd:/ddi/b.raw"},
		{"ddi.image= holds for every source", "esp,initrd,pmem", "os_1*", []func(*Facts){withESP("/loader/ddi/a.raw"), withInitrd("/ddi/os_2.raw", "/ddi/os_1.raw", "/initrd.image"), withPmem("pmem0")}, "enter initrd:/ddi/os_1.raw"},
		{"a device can be named", "pmem", "/dev/pmem1", []func(*Facts){withPmem("pmem0", "pmem1")}, "enter pmem1"},
		{"a device that is not named", "pmem", "os.raw", []func(*Facts){withPmem("pmem0")}, "refused: found pmem"},

		{"memory", "pmem,esp", "", []func(*Facts){withPmem("pmem0"), withESP("/loader/ddi/a.raw")}, "enter pmem0"},
		{"memory that may come", "pmem,esp", "", []func(*Facts){busy, withESP("/loader/ddi/a.raw")}, "missing: a device of persistent memory (/dev/pmem0)"},
		{"memory that did not come", "pmem,esp", "", []func(*Facts){withESP("/loader/ddi/a.raw")}, "enter vda1:/loader/ddi/a.raw"},

		{"a server is asked last", "esp,http", "", []func(*Facts){withESP("/loader/ddi/bad.raw")}, "list-source http"},
		{"a server is not asked for nothing", "esp,http", "", []func(*Facts){withESP("/loader/ddi/a.raw")}, "enter vda1:/loader/ddi/a.raw"},
		{"the server's order", "http", "", []func(*Facts){withServer(plan.SourceHTTP, "http://a/os_1.raw", "http://a/os_2.raw")}, "enter http://a/os_1.raw"},
		{"the server's next", "http", "", []func(*Facts){withServer(plan.SourceHTTP, "http://bad/os.raw", "http://b/os.raw")}, "enter http://b/os.raw"},
		{"a choice of the server's", "http", "os_2.raw", []func(*Facts){withServer(plan.SourceHTTP, "http://a/os_3.raw", "http://a/os_2.raw")}, "enter http://a/os_2.raw"},
		{"a server with nothing", "http,esp", "", []func(*Facts){withServer(plan.SourceHTTP), withESP("/loader/ddi/a.raw")}, "enter vda1:/loader/ddi/a.raw"},
		{"a server that does not answer", "nbd", "", []func(*Facts){func(f *Facts) { f.Servers = map[plan.Source]*Listing{plan.SourceNBD: {Err: errors.New("no")}} }}, "refused: reachable nbd"},
	} {
		t.Run(test.name, func(t *testing.T) {
			p := trusting(ours)
			p.Image = test.image
			for s := range strings.SplitSeq(test.sources, ",") {
				p.Sources = append(p.Sources, plan.Source(s))
			}
			f := &Facts{Settled: true, Images: map[string]*Image{}}
			for _, more := range test.facts {
				more(f)
			}
			done, last := answers(t, p, f, ours)
			if got := entersName(last); got != test.want {
				t.Errorf("got  %s\nwant %s\nafter %s", got, test.want, strings.Join(done, "; "))
			}
			for _, r := range Refusals(p, f) {
				if r.Source == "" {
					t.Errorf("%v has no source", &r)
				}
			}
		})
	}
}

// TestDefaultSourcesAreQuiet: a source that nobody named and that has nothing is no reason for anything.
func TestDefaultSourcesAreQuiet(t *testing.T) {
	p := trusting(newSigner(t, "ours"))
	p.Sources, p.SourcesByDefault = []plan.Source{plan.SourceESP, plan.SourceInitrd}, true
	f := &Facts{Settled: true, Images: map[string]*Image{}}
	withESP()(f)
	if got := describe(Next(p, f)); got != "refused: found /dev/vda1" {
		t.Error(got)
	}
	f.Initrd = &Listing{Err: errors.New("no")}
	if got := describe(Next(p, f)); got != "refused: found /dev/vda1, readable initrd" {
		t.Error(got)
	}
}

// TestFailedImagesComeLast: an image that failed at earlier boots is tried after those of every other source.
func TestFailedImagesComeLast(t *testing.T) {
	ours := newSigner(t, "ours")
	p := trusting(ours)
	p.Sources, p.Attempts = []plan.Source{plan.SourceESP, plan.SourceInitrd}, 1
	const first, second = "vda1:/loader/ddi/a.raw", "initrd:/ddi/b.raw"
	boot := func(r attempt.Record) string {
		f := &Facts{Settled: true, Images: map[string]*Image{}, Record: r}
		withESP("/loader/ddi/a.raw")(f)
		withInitrd("/ddi/b.raw")(f)
		_, last := answers(t, p, f, ours)
		return entersName(last)
	}
	var r attempt.Record
	for i, want := range []string{first, second, first, second} {
		if got := boot(r); got != "enter "+want {
			t.Errorf("boot %d: %s, want %s", i, got, want)
		}
		r = r.Entered(hashOf(want))
	}
}

// TestNamesAreUnique: whatever is called alike in two sources is two candidates.
func TestNamesAreUnique(t *testing.T) {
	seen := map[string]Candidate{}
	for _, c := range []Candidate{
		{plan.SourceESP, "vda1", File{Path: "/ddi/os.raw"}}, {plan.SourceESP, "vdb1", File{Path: "/ddi/os.raw"}}, {plan.SourceESP, "pmem0", File{Path: "/ddi/os.raw"}},
		{plan.SourceInitrd, "", File{Path: "/ddi/os.raw"}}, {plan.SourcePmem, "pmem0", File{}},
		{plan.SourceHTTP, "", File{Path: "os.raw", URL: "http://a/ddi/os.raw"}}, {plan.SourceNBD, "", File{Path: "os.raw", URL: "nbd://a/ddi/os.raw"}},
	} {
		name := c.Name()
		if other, ok := seen[name]; ok || name == "" {
			t.Errorf("%+v and %+v are both called %q", c, other, name)
		}
		seen[name] = c
		if a := do(ReadImage, c, "x").Do; a.Name() != name {
			t.Errorf("an action calls %q %q", name, a.Name())
		}
	}
	if a := do(ListSource, Candidate{Source: plan.SourceHTTP}, "because").Do; a.String() != "list-source http: because" {
		t.Errorf("%s", a)
	}
	if a := do(ReadImage, Candidate{plan.SourcePmem, "pmem0", File{}}, "because").Do; a.String() != "read-image /dev/pmem0: because" || a.FileName() != "pmem0" {
		t.Errorf("%s, %s", a, a.FileName())
	}
}

// TestTooManyInOneSource: they do not keep the next source from its turn.
func TestTooManyInOneSource(t *testing.T) {
	ours := newSigner(t, "ours")
	p := trusting(ours)
	p.Sources = []plan.Source{plan.SourceInitrd, plan.SourcePmem}
	var names []string
	for i := range MaxCandidates + 3 {
		names = append(names, fmt.Sprintf("/ddi/bad_%d.raw", i))
	}
	f := &Facts{Settled: true, Images: map[string]*Image{}}
	withInitrd(names...)(f)
	withPmem("pmem0")(f)
	for _, n := range names {
		f.Images["initrd:"+n] = &Image{Err: errors.New("noise")}
	}
	if s := Next(p, f); s.Do == nil || s.Do.Name() != "pmem0" {
		t.Errorf("got %s", describe(s))
	}
	if r := Refusals(p, f); len(r) != MaxCandidates+1 || !slices.ContainsFunc(r, func(r Refusal) bool { return r.Candidate == "initrd" && strings.Contains(r.Found, "3 images more") }) {
		t.Errorf("%d refusals", len(r))
	}
}
