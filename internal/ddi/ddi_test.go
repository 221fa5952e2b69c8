// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package ddi_test

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/initddi/initddi/internal/ddi"
	"github.com/initddi/initddi/internal/ddi/dditest"
	"github.com/initddi/initddi/internal/discover"
	"github.com/initddi/initddi/internal/plan"
	"github.com/initddi/initddi/internal/resolve"
	"github.com/initddi/initddi/internal/signature"
)

// TestImages makes the images once; that takes longer than all the rest.
func TestImages(t *testing.T) {
	s := dditest.Make(t)
	for _, c := range []struct {
		name string
		test func(*testing.T, *dditest.Set)
	}{
		{"Verdicts", testVerdicts},
		{"VerdictIsStage1s", testVerdictIsStage1s},
		{"Pin", testPin},
		{"NothingBelowTheSignature", testNothingBelowTheSignature},
		{"Validate", testValidate},
		{"Plain", testPlain},
		{"ReadTrust", testReadTrust},
	} {
		t.Run(c.name, func(t *testing.T) { c.test(t, s) })
	}
}

// trust returns a plan that trusts one certificate of the set.
func trust(t *testing.T, s *dditest.Set, cert string) *plan.Plan {
	t.Helper()
	p, err := ddi.ReadTrust([]string{s.Path(cert)}, false)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func testVerdicts(t *testing.T, s *dditest.Set) {
	p := trust(t, s, dditest.Cert)
	for _, c := range []struct {
		image string
		rule  resolve.Rule // empty: accepted
		says  string
	}{
		{dditest.Good, "", ""},
		{dditest.Backup, "", ""},
		{dditest.Flipped, "", ""}, // only --validate reads that far
		{dditest.Foreign, "", ""},
		{dditest.Usr, "", ""},
		{dditest.Both, "", ""},
		{dditest.Beside, "", ""},
		{dditest.Bare, "", ""},
		{dditest.BareUsr, "", ""},
		{dditest.Stranger, resolve.RuleSigned, "signer is not trusted"},
		{dditest.Unsigned, resolve.RuleSigned, "no signature"},
		{dditest.NoSig, resolve.RuleSigned, "no signature"},
		{dditest.BadSig, resolve.RuleReadable, "signature partition"},
		{dditest.WrongUUID, resolve.RuleRootHash, "partition UUIDs"},
		{dditest.TwoRoots, resolve.RulePartitions, "2 root partitions"},
		{dditest.NoRoot, resolve.RulePartitions, "0 root partitions"},
		{dditest.Tree, resolve.RuleVerity, "hash block"},
		{dditest.FirstData, resolve.RuleVerity, "data block 0"},
		{dditest.Super, resolve.RuleReadable, "crc32"},
	} {
		img, err := ddi.Open(s.Path(c.image), ddi.Options{Plan: p})
		if err != nil {
			t.Errorf("%s: %v", c.image, err)
			continue
		}
		v := img.Report().Verdict
		if v.Accepted != (c.rule == "") || v.Rule != c.rule || !strings.Contains(v.Text, c.says) {
			t.Errorf("%s: verdict %+v, want rule %q saying %q", c.image, v, c.rule, c.says)
		}
		if (img.Authentic() != nil) != v.Accepted {
			t.Errorf("%s: Authentic does not say what the verdict says", c.image)
		}
		img.Close()
	}
	for _, name := range []string{dditest.Empty, dditest.Cert} {
		if _, err := ddi.Open(s.Path(name), ddi.Options{Plan: p}); !errors.Is(err, ddi.ErrNotDDI) {
			t.Errorf("%s: %v, want ErrNotDDI", name, err)
		}
	}
	if _, err := ddi.Open(s.Dir, ddi.Options{Plan: p}); !errors.Is(err, ddi.ErrNotDDI) {
		t.Errorf("a directory: %v, want ErrNotDDI", err)
	}
}

// testVerdictIsStage1s holds the verdict against what stage 1 says of the same file on an ESP: the same packages, but through
// the FAT reader, and called as the boot calls them.
func testVerdictIsStage1s(t *testing.T, s *dditest.Set) {
	for _, tool := range []struct{ name, pkg string }{{"mkfs.vfat", "dosfstools"}, {"mcopy", "mtools"}} {
		if _, err := exec.LookPath(tool.name); err != nil {
			t.Skipf("needs %s (Debian package %s)", tool.name, tool.pkg)
		}
	}
	dir := t.TempDir()
	fat := filepath.Join(dir, "esp")
	run(t, "mkfs.vfat", "-C", fat, "131072")
	images := append(dditest.Images(), dditest.Usr, dditest.Both, dditest.Beside, dditest.Bare, dditest.BareUsr)
	part := resolve.Partition{Node: "esp", Size: 131072 << 10, Listing: &resolve.Listing{}}
	for _, name := range append(images, dditest.Sidecars()...) {
		run(t, "mcopy", "-i", fat, s.Path(name), "::/"+name)
		part.Listing.Files = append(part.Listing.Files, resolve.File{Path: "/" + name})
	}
	dev, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer dev.Close()
	m := &discover.Machine{Dev: dev}
	for _, cert := range []string{dditest.Cert, dditest.StrangerCert} {
		p := trust(t, s, cert)
		for _, name := range images {
			img, err := ddi.Open(s.Path(name), ddi.Options{Plan: p})
			if err != nil {
				if boot := m.ReadImage(part, "x86-64", "/"+name); boot.Err == nil {
					t.Errorf("%s: ddi says %v, stage 1 reads it", name, err)
				}
				continue
			}
			img.Close()
			boot := m.ReadImage(part, img.Architecture, "/"+name)
			refusal := &resolve.Refusal{Candidate: name, Rule: resolve.RuleReadable, Err: boot.Err}
			if boot.Err == nil {
				_, refusal = resolve.Authenticate(p, name, img.Architecture, boot)
			}
			switch {
			case refusal != nil && (img.Refusal == nil || img.Refusal.Error() != refusal.Error()):
				t.Errorf("%s with %s: ddi says %v, stage 1 says %v", name, cert, img.Refusal, refusal)
			case refusal == nil && img.Refusal != nil && img.Refusal.Rule != resolve.RuleReadable && img.Refusal.Rule != resolve.RuleVerity:
				t.Errorf("%s with %s: ddi says %v, stage 1 goes on", name, cert, img.Refusal)
			}
		}
	}
}

func run(t *testing.T, name string, args ...string) {
	t.Helper()
	if out, err := exec.Command(name, args...).CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", name, err, out)
	}
}

func testPin(t *testing.T, s *dditest.Set) {
	hash, err := signature.RootHashOf(s.RootHash)
	if err != nil {
		t.Fatal(err)
	}
	other := slices.Clone(hash)
	other[0] ^= 1
	sig, err := os.ReadFile(s.Path(dditest.Signature))
	if err != nil {
		t.Fatal(err)
	}
	trusted, nobody := trust(t, s, dditest.Cert), &plan.Plan{Policy: plan.DefaultPolicy(false)}
	for _, c := range []struct {
		name  string
		image string
		o     ddi.Options
		rule  resolve.Rule
	}{
		{"a pin stands in for a signature", dditest.NoSig, ddi.Options{Plan: nobody, RootHash: hash}, ""},
		{"and for an empty one", dditest.Good, ddi.Options{Plan: nobody, RootHash: hash}, ""},
		{"a pin narrows what is signed", dditest.Good, ddi.Options{Plan: trusted, RootHash: other}, resolve.RulePin},
		{"a pin of another image is none", dditest.NoSig, ddi.Options{Plan: nobody, RootHash: other}, resolve.RuleSigned},
		{"a signature from elsewhere", dditest.NoSig, ddi.Options{Plan: trusted, Signature: sig}, ""},
		{"with the root hash given", dditest.NoSig, ddi.Options{Plan: trusted, Signature: sig, RootHash: hash}, ""},
		{"of nobody known", dditest.NoSig, ddi.Options{Plan: nobody, Signature: sig}, resolve.RuleSigned},
		{"that is rubbish", dditest.NoSig, ddi.Options{Plan: trusted, Signature: sig[:100]}, resolve.RuleSigned},
		{"that is rubbish, on a signed image", dditest.Good, ddi.Options{Plan: trusted, Signature: sig[:100]}, resolve.RuleSigned},
		{"nothing at all", dditest.Good, ddi.Options{}, resolve.RuleSigned},
	} {
		img, err := ddi.Open(s.Path(c.image), c.o)
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		if v := img.Report().Verdict; v.Rule != c.rule {
			t.Errorf("%s: %+v, want rule %q", c.name, v, c.rule)
		}
		img.Close()
	}
}

// testNothingBelowTheSignature makes sure that a refused image's superblock and file system are not looked at unasked.
func testNothingBelowTheSignature(t *testing.T, s *dditest.Set) {
	for _, unverified := range []bool{false, true} {
		img, err := ddi.Open(s.Path(dditest.Stranger), ddi.Options{Plan: trust(t, s, dditest.Cert), Unverified: unverified})
		if err != nil {
			t.Fatal(err)
		}
		r := img.Report()
		if (r.Verity != nil) != unverified || (r.Mounts[0].FileSystem != nil) != unverified {
			t.Errorf("unverified=%v: verity %v, file system %v", unverified, r.Verity, r.Mounts[0].FileSystem)
		}
		if r.Verdict.Accepted || img.Validate(context.Background(), nil) == nil {
			t.Errorf("unverified=%v: accepted", unverified)
		}
		var out bytes.Buffer
		r.Print(&out, true)
		if strings.Contains(out.String(), "not verified") != unverified {
			t.Errorf("unverified=%v: the text is\n%s", unverified, &out)
		}
		img.Close()
	}
}

func testValidate(t *testing.T, s *dditest.Set) {
	p := trust(t, s, dditest.Cert)
	for _, c := range []struct {
		image string
		rule  resolve.Rule
	}{{dditest.Good, ""}, {dditest.Flipped, resolve.RuleVerity}, {dditest.Stranger, resolve.RuleSigned}} {
		img, err := ddi.Open(s.Path(c.image), ddi.Options{Plan: p})
		if err != nil {
			t.Fatal(err)
		}
		var last, total int64
		err = img.Validate(context.Background(), func(done, all int64) { last, total = done, all })
		var refusal *resolve.Refusal
		if errors.As(err, &refusal) != (c.rule != "") || refusal != nil && refusal.Rule != c.rule || img.Refusal != refusal {
			t.Errorf("%s: %v, want rule %q", c.image, err, c.rule)
		}
		if c.rule == "" && (last != total || total != img.DataSize() || total == 0) {
			t.Errorf("%s: progress ended at %d of %d, the image has %d", c.image, last, total, img.DataSize())
		}
		img.Close()
	}
	img, err := ddi.Open(s.Path(dditest.Good), ddi.Options{Plan: p})
	if err != nil {
		t.Fatal(err)
	}
	defer img.Close()
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := img.Validate(ctx, nil); !errors.Is(err, context.Canceled) || img.Refusal != nil {
		t.Errorf("cancelled: %v, refusal %v", err, img.Refusal)
	}
}

func testReadTrust(t *testing.T, s *dditest.Set) {
	ours, err := os.ReadFile(s.Path(dditest.Cert))
	if err != nil {
		t.Fatal(err)
	}
	theirs, err := os.ReadFile(s.Path(dditest.StrangerCert))
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	etc, lib := filepath.Join(dir, "etc"), filepath.Join(dir, "lib")
	for name, content := range map[string][]byte{
		"etc/a.crt": ours, "etc/masked.crt": nil, "etc/readme": []byte("not a certificate"),
		"lib/a.crt": theirs, "lib/masked.crt": theirs, "lib/b.crt": theirs,
	} {
		name = filepath.Join(dir, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(name), 0o755), os.WriteFile(name, content, 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	p, err := ddi.ReadTrust([]string{etc, filepath.Join(dir, "absent"), lib}, true)
	if err != nil || len(p.Trust) != 2 {
		t.Fatalf("%v, %d certificates, want a.crt of etc and b.crt of lib", err, len(p.Trust))
	}
	if bytes.Equal(p.Trust[0].Raw, p.Trust[1].Raw) {
		t.Error("lib/a.crt was not overridden by etc/a.crt")
	}
	if _, err := ddi.ReadTrust([]string{filepath.Join(dir, "absent")}, false); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a place that was named and is not there: %v", err)
	}
	if err := os.WriteFile(filepath.Join(etc, "z.crt"), []byte("rubbish"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := ddi.ReadTrust([]string{etc}, true); err == nil || !strings.Contains(err.Error(), "z.crt") {
		t.Errorf("rubbish in the trust store: %v, want an error that names it", err)
	}
}

func TestPrintable(t *testing.T) {
	if got := ddi.Printable("a\x1b[2J\x7f\u009bé"); got != "a?[2J??é" {
		t.Errorf("%q", got)
	}
}
