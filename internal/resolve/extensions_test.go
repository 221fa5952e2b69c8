// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

//go:build !nomerge

package resolve

import (
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"strings"
	"testing"

	"github.com/smallstep/pkcs7"

	"github.com/initddi/initddi/internal/gpt"
	"github.com/initddi/initddi/internal/layers"
	"github.com/initddi/initddi/internal/osrelease"
	"github.com/initddi/initddi/internal/plan"
	"github.com/initddi/initddi/internal/policy"
	"github.com/initddi/initddi/internal/signature"
)

// bootImage is the candidate that extensions are for.
var bootImage = Candidate{plan.SourceESP, "vda1", File{Path: "/loader/ddi/os.raw"}}

// factsWith are those of a machine whose boot partition has the files, and those in memory the others.
func factsWith(paths, inMemory []string) *Facts {
	f := &Facts{Firmware: Firmware{UKI: "/EFI/Linux/uki+3.efi"}, Initrd: &Listing{}, Images: map[string]*Image{}}
	l := &Listing{}
	for _, p := range paths {
		l.Files = append(l.Files, File{Path: p})
	}
	for _, p := range inMemory {
		f.Initrd.Files = append(f.Initrd.Files, File{Path: p})
	}
	f.Partitions = []Partition{{Node: "vda1", Listing: l}, {Node: "vda2", Listing: &Listing{Files: []File{{Path: "/loader/ddi/elsewhere.sysext.raw"}}}}}
	return f
}

// show writes groups as "class name=path path; …", without the shared directory and the suffix.
func show(groups [][]Extension) string {
	var out []string
	for _, g := range groups {
		s := string(g[0].Class)
		for _, e := range g {
			s += " " + e.Name + "=" + strings.TrimPrefix(e.Path, "/loader/ddi/")
		}
		out = append(out, s)
	}
	return strings.Join(out, "; ")
}

func TestExtensions(t *testing.T) {
	for _, test := range []struct {
		name            string
		paths, inMemory []string
		want            string
	}{
		{"none", []string{"/loader/ddi/os.raw", "/loader/ddi/x.sysext", "/loader/ddi/.x.sysext.raw", "/loader/ddi/.sysext.raw", "/other/x.sysext.raw", "/loader/ddi/sub/x.sysext.raw"}, nil, ""},
		{"classes", []string{"/loader/ddi/b.sysext.raw", "/loader/ddi/a.confext.raw", "/loader/ddi/A.SYSEXT.RAW"}, nil, "sysext A=A.SYSEXT.RAW; sysext b=b.sysext.raw; confext a=a.confext.raw"},
		{"own first", []string{"/loader/ddi/a_2.sysext.raw", "/EFI/Linux/uki.efi.ddi.d/a_1.sysext.raw"}, nil, "sysext a_1=/EFI/Linux/uki.efi.ddi.d/a_1.sysext.raw a_2=a_2.sysext.raw"},
		{"versions", []string{"/loader/ddi/a_9.sysext.raw", "/loader/ddi/a_10.sysext.raw", "/loader/ddi/a_11+0-3.sysext.raw", "/loader/ddi/a_b.sysext.raw"}, nil,
			"sysext a_10=a_10.sysext.raw a_9=a_9.sysext.raw a_11=a_11+0-3.sysext.raw; sysext a_b=a_b.sysext.raw"},
		{"in .v", []string{"/loader/ddi/a.sysext.raw.v/a_1.sysext.raw", "/loader/ddi/a.sysext.raw.v/a_2.sysext.raw", "/loader/ddi/a.sysext.raw.v/b_3.sysext.raw", "/loader/ddi/x.v/y.v/a_1.sysext.raw"}, nil,
			"sysext a=a.sysext.raw.v/a_2.sysext.raw a=a.sysext.raw.v/a_1.sysext.raw"},
		{"counters", []string{"/loader/ddi/a+3-0.sysext.raw"}, nil, "sysext a=a+3-0.sysext.raw"},
		{"in memory", []string{"/loader/ddi/a.sysext.raw"}, []string{"/.extra/sysext/a.raw", "/.extra/sysext/c.sysext.raw", "/.extra/confext/d.confext.raw", "/.extra/global_confext/e.raw", "/ddi/f.raw", "/ddi/g.sysext.raw", "/.extra/sysext/h.confext.raw"},
			"sysext a=a.sysext.raw a=/.extra/sysext/a.raw; sysext c=/.extra/sysext/c.sysext.raw; sysext g=/ddi/g.sysext.raw; confext d=/.extra/confext/d.confext.raw; confext e=/.extra/global_confext/e.raw; confext h=/.extra/sysext/h.confext.raw"},
	} {
		groups, more := Extensions(factsWith(test.paths, test.inMemory), bootImage)
		if got := show(groups); got != test.want || more != 0 {
			t.Errorf("%s: got %s\nwant %s (%d more)", test.name, got, test.want, more)
		}
	}
	// The image itself is no extension of its own, and another source's has nothing on a boot partition.
	f := factsWith([]string{"/loader/ddi/a.sysext.raw"}, []string{"/.extra/sysext/os.raw", "/.extra/sysext/b.raw"})
	if groups, _ := Extensions(f, Candidate{Source: plan.SourceInitrd, File: File{Path: "/.extra/sysext/os.raw"}}); show(groups) != "sysext b=/.extra/sysext/b.raw" {
		t.Error(show(groups))
	}
}

func TestTooManyExtensions(t *testing.T) {
	var paths []string
	for n := range 1000 {
		paths = append(paths, fmt.Sprintf("/loader/ddi/x%04d.sysext.raw", n))
	}
	groups, more := Extensions(factsWith(paths, nil), bootImage)
	if len(groups) != MaxExtensions || more != 1000-MaxExtensions || groups[MaxExtensions-1][0].Name != "x0127" {
		t.Errorf("%d groups, %d more", len(groups), more)
	}
	wantRefusal(t, TooManyExtensions(bootImage, more), RuleFound, "872 extensions for vda1:/loader/ddi/os.raw", "found 1000, wanted at most 128")
}

// merging follows [Chosen] with images that are told by path; it says which actions were taken.
func merging(t *testing.T, p *plan.Plan, f *Facts, images map[string]*Image, trees map[string]*ExtensionTree) (chosen []Extension, left []Refusal, actions []string) {
	t.Helper()
	boot := f.Images[bootImage.Name()]
	boot.Extensions = map[string]*Image{}
	for range 100 {
		var step Step
		if chosen, left, step = Chosen(p, f, bootImage); step.Do == nil {
			return chosen, left, actions
		}
		a := step.Do
		if a.For != bootImage.Name() || a.Class == "" || a.Extension == "" || a.Stage() != plan.StageMerge {
			t.Fatalf("an action %+v", a)
		}
		actions = append(actions, string(a.Verb)+" "+strings.TrimPrefix(a.Image, "/loader/ddi/"))
		x := boot.Extensions[a.Name()]
		switch a.Verb {
		case ReadImage:
			boot.Extensions[a.Name()] = images[a.Image]
		case Verify:
			x.Authentic, x.Refusal = AuthenticateExtension(p, a.Name(), gpt.X86_64, x)
		case Attach:
			x.Device = "dm-1"
		case Mount:
			x.Extension = trees[a.Image]
		case Discard:
			x.Device = ""
		default:
			t.Fatalf("an action %v", a)
		}
	}
	t.Fatal("it does not end")
	return nil, nil, nil
}

func extensionTree(t *testing.T, release string) *ExtensionTree {
	t.Helper()
	f, err := osrelease.Parse([]byte(release))
	if err != nil {
		t.Fatal(err)
	}
	return &ExtensionTree{FileSystem: "erofs", Arch: gpt.X86_64, Release: f}
}

func TestChosen(t *testing.T) {
	good, stranger := newSigner(t, "good"), newSigner(t, "stranger")
	const dir = "/loader/ddi/"
	strict, err := policy.Parse("root=signed+absent:usr=signed+absent")
	if err != nil {
		t.Fatal(err)
	}
	everything, err := policy.Parse("*")
	if err != nil {
		t.Fatal(err)
	}
	p := &plan.Plan{Trust: []*signature.Certificate{good.cert}, Policy: strict, SysextPolicy: strict, Merge: true, RootHash: hashOf("boot"), Pins: [][]byte{hashOf("unsigned")}}
	open := *p
	open.SysextPolicy = everything
	denied := *p
	denied.DenyRootHash = [][]byte{hashOf("a")}
	// Whoever can write to the ESP can give the partitions of an image other types.
	relabelled := func(content string) *Image {
		img := ddi(t, hashOf(content), good)
		for i, d := range []gpt.Designator{gpt.Usr, gpt.UsrVerity, gpt.UsrVeritySig} {
			img.Table.Partitions[i].Type = typeOf(t, d)
		}
		return img
	}
	tests := []struct {
		name   string
		plan   *plan.Plan
		images map[string]*Image
		trees  map[string]*ExtensionTree
		want   string // names that are merged
		left   string // rules, in order
		says   string
	}{
		{"merged", p, map[string]*Image{dir + "a.sysext.raw": ddi(t, hashOf("a"), good), dir + "b.confext.raw": ddi(t, hashOf("b"), good)},
			map[string]*ExtensionTree{dir + "a.sysext.raw": extensionTree(t, "ID=debian\nVERSION_ID=13\n"), dir + "b.confext.raw": extensionTree(t, "ID=_any\n")}, "a b", "", ""},
		{"newer is refused", p, map[string]*Image{dir + "a_2.sysext.raw": ddi(t, hashOf("2"), stranger), dir + "a_1.sysext.raw": ddi(t, hashOf("a"), good)},
			map[string]*ExtensionTree{dir + "a_1.sysext.raw": extensionTree(t, "ID=_any\n")}, "a_1", "signed", "a_2.sysext.raw refused (signed)"},
		{"newer is for another system", p, map[string]*Image{dir + "a_2.sysext.raw": ddi(t, hashOf("2"), good), dir + "a_1.sysext.raw": ddi(t, hashOf("a"), good)},
			map[string]*ExtensionTree{dir + "a_2.sysext.raw": extensionTree(t, "ID=debian\nVERSION_ID=14\n"), dir + "a_1.sysext.raw": extensionTree(t, "ID=_any\n")}, "a_1", "extension", "found VERSION_ID=14, wanted 13"},
		{"a pin is none of theirs", p, map[string]*Image{dir + "a.sysext.raw": ddi(t, hashOf("unsigned"), nil)}, nil, "", "signed", "a signature by"},
		{"always signed", &open, map[string]*Image{dir + "a.sysext.raw": ddi(t, hashOf("a"), nil)}, nil, "", "signed", "an extension is always signed"},
		{"denied", &denied, map[string]*Image{dir + "a.sysext.raw": ddi(t, hashOf("a"), good)}, nil, "", "denied", "deny-roothash"},
		{"unreadable", p, map[string]*Image{dir + "a.sysext.raw": {Err: errors.New("no table")}}, nil, "", "readable", "no table"},
		{"os-release", p, map[string]*Image{dir + "a.sysext.raw": ddi(t, hashOf("a"), good)}, map[string]*ExtensionTree{dir + "a.sysext.raw": {Forbidden: "/usr/lib/os-release", FileSystem: "erofs"}}, "", "extension", "/usr/lib/os-release"},
		{"no release", p, map[string]*Image{dir + "a.sysext.raw": ddi(t, hashOf("a"), good)}, map[string]*ExtensionTree{dir + "a.sysext.raw": {Err: errors.New("not there")}}, "", "extension", "not there"},
		{"the boot image's root hash", p, map[string]*Image{dir + "a.sysext.raw": ddi(t, hashOf("boot"), good)}, nil, "", "extension", "the root hash of vda1:/loader/ddi/os.raw"},
		{"one image twice", p, map[string]*Image{dir + "a.sysext.raw": ddi(t, hashOf("a"), good), dir + "b.sysext.raw": ddi(t, hashOf("a"), good)},
			map[string]*ExtensionTree{dir + "a.sysext.raw": extensionTree(t, "ID=_any\n")}, "a", "extension", "the root hash of vda1:/loader/ddi/a.sysext.raw"},
		{"a sysext of /usr", p, map[string]*Image{dir + "a.sysext.raw": relabelled("a")}, map[string]*ExtensionTree{dir + "a.sysext.raw": extensionTree(t, "ID=_any\n")}, "a", "", ""},
		{"a confext of /usr", p, map[string]*Image{dir + "a.confext.raw": relabelled("a")}, map[string]*ExtensionTree{dir + "a.confext.raw": extensionTree(t, "ID=_any\n")}, "", "extension", "found an image of /usr, wanted one of a root"},
		{"one name twice", p, map[string]*Image{dir + "a_1.sysext.raw": ddi(t, hashOf("a"), good), dir + "a_1.sysext.raw.v/a_1_2.sysext.raw": ddi(t, hashOf("b"), good), dir + "a_1.confext.raw": ddi(t, hashOf("c"), good)},
			map[string]*ExtensionTree{dir + "a_1.sysext.raw": extensionTree(t, "ID=_any\n"), dir + "a_1.sysext.raw.v/a_1_2.sysext.raw": extensionTree(t, "ID=_any\n"), dir + "a_1.confext.raw": extensionTree(t, "ID=_any\n")},
			"a_1 a_1", "extension", "a_1_2.sysext.raw refused (extension): found the name of vda1:/loader/ddi/a_1.sysext.raw, wanted one of its own"},
		{"the namesake of one that is refused", p, map[string]*Image{dir + "a_1.sysext.raw": ddi(t, hashOf("a"), stranger), dir + "a_1.sysext.raw.v/a_1_2.sysext.raw": ddi(t, hashOf("b"), good)},
			map[string]*ExtensionTree{dir + "a_1.sysext.raw.v/a_1_2.sysext.raw": extensionTree(t, "ID=_any\n")}, "a_1", "signed", ""},
		{"the order of layers", p, map[string]*Image{dir + "net_2.sysext.raw": ddi(t, hashOf("a"), good), dir + "net-tools.sysext.raw": ddi(t, hashOf("b"), good), dir + "a.confext.raw": ddi(t, hashOf("c"), good)},
			map[string]*ExtensionTree{dir + "net_2.sysext.raw": extensionTree(t, "ID=_any\n"), dir + "net-tools.sysext.raw": extensionTree(t, "ID=_any\n"), dir + "a.confext.raw": extensionTree(t, "ID=_any\n")}, "net-tools net_2 a", "", ""},
		{"a copy under a name that it does not say", p, map[string]*Image{dir + "a.sysext.raw": ddi(t, hashOf("b"), good), dir + "b.sysext.raw": ddi(t, hashOf("b"), good)},
			map[string]*ExtensionTree{dir + "a.sysext.raw": {Err: errors.New("no extension-release.a")}, dir + "b.sysext.raw": extensionTree(t, "ID=_any\n")}, "b", "extension", "no extension-release.a"},
		{"name", p, map[string]*Image{dir + "a\x01.sysext.raw": ddi(t, hashOf("a"), good)}, nil, "", "extension", `the name "a\x01"`},
	}
	for _, test := range tests {
		var paths []string
		for path := range test.images {
			paths = append(paths, path)
		}
		f := factsWith(paths, nil)
		f.Images[bootImage.Name()] = &Image{Authentic: &Authentic{RootHash: hashOf("boot")}, Tree: osTree(t, "ID=debian\nVERSION_ID=13\n")}
		chosen, left, actions := merging(t, test.plan, f, test.images, test.trees)
		var names, rules, texts []string
		for _, e := range chosen {
			names = append(names, e.Name)
		}
		for _, r := range left {
			rules, texts = append(rules, string(r.Rule)), append(texts, r.Error())
		}
		if strings.Join(names, " ") != test.want || strings.Join(rules, " ") != test.left || !strings.Contains(strings.Join(texts, "\n"), test.says) {
			t.Errorf("%s: merged %q, left %q: %q", test.name, names, rules, texts)
		}
		for _, x := range f.Images[bootImage.Name()].Extensions {
			if x.Device != "" && x.Refusal == nil && len(chosen) == 0 {
				t.Errorf("%s: a device was kept", test.name)
			}
		}
		if test.name == "merged" && !slices.Equal(actions, []string{"read-image a.sysext.raw", "verify a.sysext.raw", "attach a.sysext.raw", "mount a.sysext.raw", "read-image b.confext.raw", "verify b.confext.raw", "attach b.confext.raw", "mount b.confext.raw"}) {
			t.Errorf("the actions were %q", actions)
		}
	}
	off := *p
	off.Merge = false
	f := factsWith([]string{dir + "a.sysext.raw"}, nil)
	f.Images[bootImage.Name()] = &Image{Authentic: &Authentic{RootHash: hashOf("boot")}, Tree: osTree(t, "ID=debian\n")}
	if chosen, left, step := Chosen(&off, f, bootImage); chosen != nil || left != nil || step.Do != nil {
		t.Errorf("ddi.merge=no: %v, %v, %v", chosen, left, step.Do)
	}
}

// TestLargeSignature: a signature that somebody blew up with certificates is good, and refused all the same.
func TestLargeSignature(t *testing.T) {
	good := newSigner(t, "good")
	strict := plan.DefaultPolicy(false)
	p := &plan.Plan{Trust: []*signature.Certificate{good.cert}, SysextPolicy: strict}
	x := ddi(t, hashOf("a"), good)
	d, err := pkcs7.NewSignedData(signature.Content(hashOf("a")))
	if err != nil {
		t.Fatal(err)
	}
	d.SetDigestAlgorithm(pkcs7.OIDDigestAlgorithmSHA256)
	if err := d.AddSigner(good.x509, good.key, pkcs7.SignerInfoConfig{}); err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), ExtraExtensions: []pkix.Extension{{Id: asn1.ObjectIdentifier{1, 2, 3}, Value: make([]byte, maxExtensionSignature/2)}}}
	der, err := x509.CreateCertificate(rand.Reader, template, template, good.key.Public(), good.key)
	if err != nil {
		t.Fatal(err)
	}
	large, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	d.AddCertificate(large)
	d.AddCertificate(large)
	d.Detach()
	if x.Signature.Signature, err = d.Finish(); err != nil {
		t.Fatal(err)
	}
	if _, r := Authenticate(ForExtensions(p), "x", gpt.X86_64, x); r != nil {
		t.Fatalf("the signature is no good: %v", r)
	}
	_, r := AuthenticateExtension(p, "x", gpt.X86_64, x)
	wantRefusal(t, r, RuleSigned, "at most 65536 are taken")
}

// TestExtensionScope: what an extension is for, a system or an initrd, is held against what the image is.
func TestExtensionScope(t *testing.T) {
	image := osTree(t, "ID=debian\nVERSION_ID=13\n")
	image.Kind = plan.KindInitrd
	wantRefusal(t, CheckExtension(layers.Sysext, "x", image, extensionTree(t, "ID=debian\nVERSION_ID=13\n")), RuleExtension, "found no SYSEXT_SCOPE, wanted initrd")
	for _, release := range []string{"ID=debian\nVERSION_ID=13\nSYSEXT_SCOPE=initrd\n", "ID=_any\nSYSEXT_SCOPE=\"system initrd\"\nARCHITECTURE=x86-64\n"} {
		if r := CheckExtension(layers.Sysext, "x", image, extensionTree(t, release)); r != nil {
			t.Error(r)
		}
	}
	wantRefusal(t, CheckExtension(layers.Sysext, "x", osTree(t, "ID=debian\n"), extensionTree(t, "ID=debian\nARCHITECTURE=arm64\n")), RuleExtension, "ARCHITECTURE=arm64")
	wantRefusal(t, CheckExtension(layers.Sysext, "x", osTree(t, "NAME=x\n"), extensionTree(t, "ID=_any\n")), RuleExtension, "no ID")
}

// TestCheckMerged: what was accepted is what is entered.
func TestCheckMerged(t *testing.T) {
	const release = "ID=debian\nVERSION_ID=13\n"
	for _, test := range []struct {
		name   string
		change func(*Tree)
		want   string // "" if it is the same system
	}{
		{"the same", func(*Tree) {}, ""},
		{"with what makes it an extension", func(m *Tree) { m.Extension = "/usr/lib/extension-release.d/extension-release.x" }, ""},
		{"its os-release in another order", func(m *Tree) { m.OSRelease = osTree(t, "VERSION_ID=13\nID=debian\n").OSRelease }, ""},
		{"an initrd", func(m *Tree) { m.Kind = plan.KindInitrd }, "would be an initrd image with them, and is an os image"},
		{"another version", func(m *Tree) { m.OSRelease = osTree(t, "ID=debian\nVERSION_ID=14\n").OSRelease }, "another os-release"},
		{"a further field", func(m *Tree) { m.OSRelease = osTree(t, release+"CONFEXT_LEVEL=1\n").OSRelease }, "another os-release"},
		{"no os-release", func(m *Tree) { m.OSRelease, m.HasOS = osrelease.Fields{}, false }, "another os-release"},
		{"no init", func(m *Tree) { m.Init = "" }, "at /sbin/init"},
		{"no place for the hand-over", func(m *Tree) { m.MissingDirs = []string{"/run"} }, "no directory [/run]"},
	} {
		merged := osTree(t, release)
		test.change(merged)
		err := CheckMerged(osTree(t, release), merged)
		if (err == nil) != (test.want == "") || err != nil && !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v, want %q", test.name, err, test.want)
		}
	}
}

// BenchmarkExtensions: as many files as a listing has.
func BenchmarkExtensions(b *testing.B) {
	var paths []string
	for n := range 4096 {
		paths = append(paths, fmt.Sprintf("/loader/ddi/x_%d.sysext.raw", n))
	}
	f := factsWith(paths, nil)
	for b.Loop() {
		Extensions(f, bootImage)
	}
}
