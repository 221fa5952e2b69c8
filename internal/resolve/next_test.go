// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package resolve

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/initddi/initddi/internal/gpt"
	"github.com/initddi/initddi/internal/guid"
	"github.com/initddi/initddi/internal/plan"
)

var (
	espType = guid.MustParse("c12a7328-f81f-11d2-ba4b-00a0c93ec93b")
	uuid1   = guid.MustParse("11111111-1111-4111-8111-111111111111")
	uuid2   = guid.MustParse("22222222-2222-4222-8222-222222222222")
)

func espOn(disk string, id guid.GUID) Partition {
	return Partition{Node: disk + "1", Disk: disk, Number: 1, Type: espType, UUID: id, Label: "esp", Size: 1 << 30, SectorSize: 512}
}

// describe says a step in one line.
func describe(s Step) string {
	switch {
	case s.Do != nil && s.Missing == "" && s.Refused == nil:
		return strings.Join(strings.Fields(fmt.Sprint(s.Do.Verb, " ", s.Do.Partition, " ", s.Do.Image, " ", strings.Join(s.Do.Dirs, " "))), " ")
	case s.Do == nil && s.Missing != "" && s.Refused == nil:
		return "missing: " + s.Missing
	case s.Do == nil && s.Missing == "" && len(s.Refused) > 0:
		var rules []string
		for _, r := range s.Refused {
			rules = append(rules, string(r.Rule)+" "+r.Candidate)
		}
		return "refused: " + strings.Join(rules, ", ")
	}
	return fmt.Sprintf("not exactly one: %+v", s)
}

func wantStep(t *testing.T, p *plan.Plan, f *Facts, want string) Step {
	t.Helper()
	s := Next(p, f)
	if got := describe(s); got != want {
		t.Fatalf("got  %s\nwant %s", got, want)
	}
	return s
}

func TestNextFromNothingToEnter(t *testing.T) {
	ours := newSigner(t, "ours")
	p := trusting(ours)
	f := &Facts{Images: map[string]*Image{}, Firmware: Firmware{EFI: true, BootPartition: uuid1, Variable: "StubDevicePartUUID", UKI: "/EFI/Linux/a.efi"}}
	const os = "/loader/ddi/os.raw"
	wantStep(t, p, f, "missing: PARTUUID="+uuid1.String()+" (StubDevicePartUUID)")
	f.Partitions = []Partition{espOn("vdb", uuid2)}
	wantStep(t, p, f, "missing: PARTUUID="+uuid1.String()+" (StubDevicePartUUID)")
	f.Partitions = append([]Partition{espOn("vda", uuid1)}, f.Partitions...)
	wantStep(t, p, f, "list-partition vda1 /EFI/Linux/a.efi.ddi.d /loader/ddi")
	f.Partitions[0].Listing = &Listing{Files: filesOf("/loader/ddi/x.sysext.raw", os)}
	wantStep(t, p, f, "read-image vda1 "+os)
	img := ddi(t, hashOf("image"), ours)
	f.Images["vda1:"+os] = img
	wantStep(t, p, f, "verify vda1 "+os)
	img.Authentic, img.Refusal = Authenticate(p, "vda1:"+os, gpt.X86_64, img)
	s := wantStep(t, p, f, "attach vda1 "+os)
	if !strings.Contains(s.Do.Reason, "signed by ours") {
		t.Errorf("the reason is %q", s.Do.Reason)
	}
	img.Device = "dm-1"
	wantStep(t, p, f, "mount vda1 "+os)
	img.Tree = osTree(t, "ID=debian\n")
	s = wantStep(t, p, f, "enter vda1 "+os)
	for _, word := range []string{"os image", "signed by ours", "/sbin/init"} {
		if !strings.Contains(s.Do.Reason, word) {
			t.Errorf("the reason is %q", s.Do.Reason)
		}
	}
	if got, want := s.Do.String(), "enter /dev/vda1:/loader/ddi/os.raw: "+s.Do.Reason; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

// TestNextTriesTheNext walks over four images, each of which fails at a later step.
func TestNextTriesTheNext(t *testing.T) {
	ours := newSigner(t, "ours")
	p := trusting(ours)
	p.Identity.ID = "debian"
	f := &Facts{Images: map[string]*Image{}, Settled: true}
	f.Partitions = []Partition{espOn("vda", uuid1)}
	f.Partitions[0].Listing = &Listing{Files: filesOf("/loader/ddi/os_4.raw", "/loader/ddi/os_3.raw", "/loader/ddi/os_2.raw", "/loader/ddi/os_1.raw")}
	file := func(n int) string { return fmt.Sprintf("/loader/ddi/os_%d.raw", n) }

	f.Images["vda1:"+file(4)] = &Image{Err: errors.New("a hole in the file")}
	wantStep(t, p, f, "read-image vda1 "+file(3))
	f.Images["vda1:"+file(3)] = ddi(t, hashOf("3"), nil)
	wantStep(t, p, f, "verify vda1 "+file(3))
	_, f.Images["vda1:"+file(3)].Refusal = Authenticate(p, "vda1:"+file(3), gpt.X86_64, f.Images["vda1:"+file(3)])
	wantStep(t, p, f, "read-image vda1 "+file(2))

	two := ddi(t, hashOf("2"), ours)
	two.Authentic, _ = Authenticate(p, "vda1:"+file(2), gpt.X86_64, two)
	two.Device, two.Err = "dm-1", errors.New("no superblock")
	f.Images["vda1:"+file(2)] = two
	// What came up half-way goes away before anything else is tried.
	s := wantStep(t, p, f, "discard vda1 "+file(2))
	if !strings.Contains(s.Do.Reason, "no superblock") {
		t.Errorf("the reason is %q", s.Do.Reason)
	}
	two.Device = ""
	wantStep(t, p, f, "read-image vda1 "+file(1))

	one := ddi(t, hashOf("1"), ours)
	one.Authentic, _ = Authenticate(p, "vda1:"+file(1), gpt.X86_64, one)
	one.Device, one.Tree = "dm-1", osTree(t, "ID=fedora\n")
	f.Images["vda1:"+file(1)] = one
	s = wantStep(t, p, f, "discard vda1 "+file(1))
	if !strings.Contains(s.Do.Reason, "found ID=fedora, wanted ID=debian") {
		t.Errorf("the reason is %q", s.Do.Reason)
	}
	one.Device = ""
	wantStep(t, p, f, "refused: readable vda1:/loader/ddi/os_4.raw, signed vda1:/loader/ddi/os_3.raw, readable vda1:/loader/ddi/os_2.raw, identity vda1:/loader/ddi/os_1.raw")
}

func TestNextEmptyPartition(t *testing.T) {
	f := &Facts{Settled: true, Firmware: Firmware{UKI: "/EFI/Linux/a.efi"}, Partitions: []Partition{espOn("vda", uuid1)}}
	f.Partitions[0].Listing = &Listing{}
	s := wantStep(t, &plan.Plan{}, f, "refused: found /dev/vda1")
	if got := s.Refused[0].Error(); !strings.Contains(got, "found no image, wanted a file *.raw in /loader/ddi or /EFI/Linux/a.efi.ddi.d") {
		t.Error(got)
	}
	f.Partitions[0].Listing.Files = filesOf("/loader/ddi/a.txt", "/loader/ddi/x.sysext.raw")
	s = wantStep(t, &plan.Plan{Image: "os*"}, f, "refused: found /dev/vda1")
	if got := s.Refused[0].Error(); !strings.Contains(got, "among /loader/ddi/a.txt, /loader/ddi/x.sysext.raw") || !strings.Contains(got, "named os* (ddi.image=)") {
		t.Error(got)
	}
	// Hundreds of files do not fill the screen.
	f.Partitions[0].Listing.Files = filesOf(strings.Fields(strings.Repeat("/loader/ddi/a.txt ", 500))...)
	s = wantStep(t, &plan.Plan{}, f, "refused: found /dev/vda1")
	if n := len(s.Refused[0].Error()); n > 400 {
		t.Errorf("the refusal has %d bytes", n)
	}
	f.Partitions[0].Listing = &Listing{Err: errors.New("not FAT")}
	s = wantStep(t, &plan.Plan{}, f, "refused: file-system /dev/vda1")
	if !errors.Is(&s.Refused[0], f.Partitions[0].Listing.Err) {
		t.Error("the cause is lost")
	}
}

func TestBootPartition(t *testing.T) {
	vda, vdb := espOn("vda", uuid1), espOn("vdb", uuid2)
	home := Partition{Node: "vda2", Disk: "vda", Number: 2, Type: guid.MustParse("933ac7e1-2eb4-4f13-b844-0e14e2aef915"), UUID: guid.MustParse("33333333-3333-4333-8333-333333333333"), Label: "home"}
	clone := espOn("vdc", uuid1)
	listed := func(p Partition, label string, err error) Partition {
		p.Listing = &Listing{Label: label, Err: err}
		return p
	}
	dev := func(text string) plan.Device {
		p, err := plan.New(plan.Input{CommandLine: "ddi.device=" + text})
		if err != nil {
			t.Fatal(err)
		}
		return p.Device
	}
	const anyESP = "the only EFI system partition (no EFI variable names one)"
	const dirs = " /loader/ddi"
	for _, test := range []struct {
		name     string
		device   plan.Device
		firmware guid.GUID
		settled  bool
		parts    []Partition
		want     string
	}{
		{"nothing is there", plan.Device{}, guid.GUID{}, true, nil, "missing: " + anyESP},
		{"nothing that is one", plan.Device{}, guid.GUID{}, true, []Partition{home}, "missing: " + anyESP},
		{"the only one, but who knows", plan.Device{}, guid.GUID{}, false, []Partition{vda, home}, "missing: the other disks, to know that /dev/vda1 is " + anyESP},
		{"the only one", plan.Device{}, guid.GUID{}, true, []Partition{vda, home}, "list-partition vda1" + dirs},
		{"two", plan.Device{}, guid.GUID{}, true, []Partition{vda, vdb}, "refused: one-partition " + anyESP},
		{"two, nothing settled", plan.Device{}, guid.GUID{}, false, []Partition{vda, vdb}, "refused: one-partition " + anyESP},

		{"the firmware's, at once", plan.Device{}, uuid2, false, []Partition{vda, vdb}, "list-partition vdb1" + dirs},
		{"the firmware's, of any type", plan.Device{}, home.UUID, false, []Partition{vda, home}, "list-partition vda2" + dirs},
		{"the firmware's, cloned", plan.Device{}, uuid1, true, []Partition{vda, clone}, "refused: one-partition PARTUUID=" + uuid1.String() + " (V)"},

		{"PARTUUID, whatever the firmware says", dev("PARTUUID=" + uuid2.String()), uuid1, false, []Partition{vda, vdb}, "list-partition vdb1" + dirs},
		{"PARTUUID that is not there", dev("PARTUUID=" + uuid2.String()), uuid1, true, []Partition{vda}, "missing: PARTUUID=" + uuid2.String() + " (ddi.device=)"},
		{"PARTLABEL waits", dev("PARTLABEL=home"), guid.GUID{}, false, []Partition{vda, home}, "missing: the other disks, to know that /dev/vda2 is PARTLABEL=home (ddi.device=)"},
		{"PARTLABEL", dev("PARTLABEL=home"), guid.GUID{}, true, []Partition{vda, home}, "list-partition vda2" + dirs},
		{"PARTLABEL twice", dev("PARTLABEL=esp"), guid.GUID{}, true, []Partition{vda, vdb}, "refused: one-partition PARTLABEL=esp (ddi.device=)"},
		{"node", dev("/dev/vdb1"), guid.GUID{}, false, []Partition{vda, vdb}, "list-partition vdb1" + dirs},
		{"disk", dev("/dev/vdb"), guid.GUID{}, false, []Partition{vda, vdb}, "list-partition vdb1" + dirs},
		{"disk without an ESP", dev("/dev/vdb"), guid.GUID{}, true, []Partition{{Node: "vdb1", Disk: "vdb", Type: home.Type}}, "missing: /dev/vdb (ddi.device=)"},

		{"LABEL looks at every one", dev("LABEL=BOOT"), guid.GUID{}, false, []Partition{home, vda, vdb}, "list-partition vda1" + dirs},
		{"LABEL looks at the next", dev("LABEL=BOOT"), guid.GUID{}, false, []Partition{listed(vda, "boot", nil), vdb}, "list-partition vdb1" + dirs},
		{"LABEL waits", dev("LABEL=BOOT"), guid.GUID{}, false, []Partition{listed(vda, "boot", nil), listed(vdb, "", nil)}, "missing: the other disks, to know that /dev/vda1 is LABEL=BOOT (ddi.device=)"},
		{"LABEL", dev("LABEL=BOOT"), guid.GUID{}, true, []Partition{listed(vda, "boot", nil), listed(vdb, "other", nil)}, "refused: found /dev/vda1"},
		{"LABEL of what cannot be read", dev("LABEL=BOOT"), guid.GUID{}, true, []Partition{listed(vda, "BOOT", errors.New("x"))}, "missing: LABEL=BOOT (ddi.device=)"},
		{"LABEL twice", dev("LABEL=BOOT"), guid.GUID{}, true, []Partition{listed(vda, "BOOT", nil), listed(vdb, "BOOT", nil)}, "refused: one-partition LABEL=BOOT (ddi.device=)"},
	} {
		t.Run(test.name, func(t *testing.T) {
			f := &Facts{Settled: test.settled, Partitions: test.parts, Firmware: Firmware{BootPartition: test.firmware, Variable: "V"}}
			s := wantStep(t, &plan.Plan{Device: test.device}, f, test.want)
			if s.Refused != nil && s.Refused[0].Rule == RuleOnePartition && !strings.Contains(s.Refused[0].Error(), "/dev/vda1 (PARTUUID="+uuid1.String()+")") {
				t.Errorf("the refusal does not list them: %v", &s.Refused[0])
			}
		})
	}
}

func TestListedDirectories(t *testing.T) {
	f := &Facts{Settled: true, Partitions: []Partition{espOn("vda", uuid1)}}
	wantStep(t, &plan.Plan{Image: "/images/os.raw"}, f, "list-partition vda1 /loader/ddi /images")
	wantStep(t, &plan.Plan{Image: "os.raw"}, f, "list-partition vda1 /loader/ddi")
}

func TestActionStages(t *testing.T) {
	for verb, want := range map[Verb]plan.Stage{
		ListPartition: plan.StageStorage, ReadImage: plan.StageVerify, Verify: plan.StageVerify,
		Attach: plan.StageMount, Mount: plan.StageMount, Enter: plan.StageHandoff, Discard: plan.StageStorage,
	} {
		if got := (Action{Verb: verb}).Stage(); got != want {
			t.Errorf("%s belongs to %s, want %s", verb, got, want)
		}
	}
	a := Action{Verb: ListPartition, Partition: "vda1", Dirs: []string{"/a", "/b"}, Reason: "why"}
	if got := a.String(); got != "list-partition /dev/vda1 /a /b: why" {
		t.Errorf("got %q", got)
	}
}

// TestRefusals: who was refused so far is known while another is tried, and stays known without what was read of it.
func TestRefusals(t *testing.T) {
	ours, stranger := newSigner(t, "ours"), newSigner(t, "stranger")
	p := trusting(ours)
	f := &Facts{Settled: true, Images: map[string]*Image{}}
	if got := Refusals(p, f); got != nil {
		t.Errorf("without a partition: %v", got)
	}
	f.Partitions = []Partition{espOn("vda", uuid1)}
	f.Partitions[0].Listing = &Listing{Files: filesOf("/loader/ddi/os_1.raw", "/loader/ddi/os_2.raw", "/loader/ddi/os_3.raw", "/loader/ddi/os_4.raw")}
	read := func(file string, img *Image) {
		t.Helper()
		wantStep(t, p, f, "read-image vda1 "+file)
		f.Images["vda1:"+file] = img
		if img.Err == nil {
			wantStep(t, p, f, "verify vda1 "+file)
			img.Authentic, img.Refusal = Authenticate(p, "vda1:"+file, gpt.X86_64, img)
		}
		if img.Refusal != nil || img.Err != nil {
			img.Forget()
		}
	}
	read("/loader/ddi/os_4.raw", &Image{Err: errors.New("noise")})
	read("/loader/ddi/os_3.raw", ddi(t, hashOf("3"), stranger))
	sysext := ddi(t, hashOf("2"), ours)
	read("/loader/ddi/os_2.raw", sysext)
	sysext.Device, sysext.Tree = "dm-1", osTree(t, "ID=debian\n")
	sysext.Tree.Extension = "tools"
	wantStep(t, p, f, "discard vda1 /loader/ddi/os_2.raw")
	sysext.Device = ""
	sysext.Forget()
	read("/loader/ddi/os_1.raw", ddi(t, hashOf("1"), ours))
	wantStep(t, p, f, "attach vda1 /loader/ddi/os_1.raw")
	var rules []string
	for _, r := range Refusals(p, f) {
		rules = append(rules, string(r.Rule)+" "+r.Candidate)
	}
	const want = "readable vda1:/loader/ddi/os_4.raw, signed vda1:/loader/ddi/os_3.raw, identity vda1:/loader/ddi/os_2.raw"
	if got := strings.Join(rules, ", "); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

// TestTooManyCandidates: what anybody can write to the partition does not decide how long a boot takes.
func TestTooManyCandidates(t *testing.T) {
	p := trusting(newSigner(t, "ours"))
	f := &Facts{Settled: true, Images: map[string]*Image{}, Partitions: []Partition{espOn("vda", uuid1)}}
	var names []string
	for i := range MaxCandidates + 3 {
		names = append(names, fmt.Sprintf("/loader/ddi/os_%d.raw", i))
	}
	f.Partitions[0].Listing = &Listing{Files: filesOf(names...)}
	for range MaxCandidates {
		s := Next(p, f)
		if s.Do == nil || s.Do.Verb != ReadImage {
			t.Fatalf("got %s", describe(s))
		}
		f.Images[s.Do.Name()] = &Image{Err: errors.New("noise")}
	}
	s := Next(p, f)
	if len(s.Refused) != MaxCandidates+1 {
		t.Fatalf("%d refusals, wanted one for each candidate and one for the rest", len(s.Refused))
	}
	if f.Images["vda1:/loader/ddi/os_3.raw"] == nil || f.Images["vda1:/loader/ddi/os_2.raw"] != nil {
		t.Error("it is not the newest that are tried")
	}
	wantRefusal(t, &s.Refused[MaxCandidates], RuleFound, "3 images more", "at most 256")
}
