// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package interop

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	ddimount "github.com/initddi/initddi/internal/ddi"
	"github.com/initddi/initddi/internal/gpt"
	"github.com/initddi/initddi/internal/guid"
	"github.com/initddi/initddi/internal/image"
	"github.com/initddi/initddi/internal/keys"
	"github.com/initddi/initddi/internal/plan"
	"github.com/initddi/initddi/internal/policy"
	"github.com/initddi/initddi/internal/resolve"
)

// policyImages makes an image of each form, all of them in one directory, so that what lies beside one is found.
func policyImages(t *testing.T) (dir string, names []string) {
	t.Helper()
	need(t, "mkfs.erofs", "erofs-utils")
	dir = t.TempDir()
	tree := smallTree(t, []byte("#!/bin/sh\n"))
	build := func(name string, key *keys.Pair, change func(*image.Options)) {
		t.Helper()
		o := image.Options{Source: tree, Output: filepath.Join(dir, name), Arch: gpt.X86_64}
		if key != nil {
			der, err := keys.CertificateDER(key.Cert)
			if err != nil {
				t.Fatal(err)
			}
			o.Certificate, o.Signer = der, key.Sign
		}
		change(&o)
		if _, err := image.Build(t.Context(), o); err != nil {
			t.Fatal(err)
		}
		names = append(names, name)
	}
	ours, theirs := good(t), stranger(t)
	plain := func(*image.Options) {}
	build("signed.raw", &ours, plain)
	build("stranger.raw", &theirs, plain)
	build("unsigned.raw", nil, plain)
	build("usr.raw", &ours, func(o *image.Options) { o.Usr = true })
	build("arm.raw", &ours, func(o *image.Options) { o.Arch = gpt.ARM64 })
	build("bare.raw", &ours, func(o *image.Options) { o.Bare = true })
	// A bare /usr is none for systemd-dissect 257: it takes it for a root and does not look at the .usrhash beside it.
	combined := filepath.Join(dir, "both.raw")
	if err := image.Combine(combined, []string{filepath.Join(dir, "arm.raw"), filepath.Join(dir, "signed.raw")}); err != nil {
		t.Fatal(err)
	}
	names = append(names, "both.raw")
	for name, edit := range map[string]func(*gpt.Table){
		"writable.raw": func(t *gpt.Table) {
			for i := range t.Partitions {
				t.Partitions[i].Attributes = gpt.AttrGrowFS
			}
		},
		"home.raw": func(g *gpt.Table) { addPartition(t, g, gpt.Home, gpt.AttrReadOnly) },
	} {
		editTable(t, filepath.Join(dir, "signed.raw"), filepath.Join(dir, name), edit)
		names = append(names, name)
	}
	slices.Sort(names)
	return dir, names
}

// addPartition puts one of eight sectors behind the last.
func addPartition(t *testing.T, g *gpt.Table, d gpt.Designator, attributes uint64) {
	t.Helper()
	typ, ok := gpt.TypeOf(d, gpt.NoArch)
	if !ok {
		t.Fatalf("no type for %s", d)
	}
	last := g.Partitions[len(g.Partitions)-1].LastLBA
	g.Partitions = append(g.Partitions, gpt.Partition{Number: len(g.Partitions) + 1, Type: typ, UUID: guid.MustParse("0a9c5b0e-1f0a-4d4c-9e9b-2a4a8f0f6c01"),
		Name: string(d), Attributes: attributes, FirstLBA: last + 1, LastLBA: last + 8})
}

// editTable writes a copy of an image with another partition table.
func editTable(t *testing.T, from, to string, edit func(*gpt.Table)) {
	t.Helper()
	b, err := os.ReadFile(from)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(to, b, 0o644); err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(to, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	g, err := gpt.Read(f, int64(len(b)), 0)
	if err != nil {
		t.Fatal(err)
	}
	edit(g)
	if err := gpt.Write(f, int64(len(b)), g); err != nil {
		t.Fatal(err)
	}
}

// policies are ones that systemd 257 can read, too.
func policies() []string {
	return []string{
		"root=signed+absent:usr=signed+absent:=ignore", "root=verity+signed+absent:usr=verity+signed+absent:=ignore",
		"*", "-", "~", "root=signed", "root=verity", "root=unprotected", "root=encrypted", "root=signed+verity", "root=verity+unprotected", "root=signed+unprotected", "root=verity+signed+unprotected+absent", "root=absent", "root=unused", "root=ignore",
		"usr=signed", "usr=signed+absent", "usr=verity", "root=signed:usr=signed", "root=signed:=absent", "root=signed:home=absent", "root=signed:home=unprotected", "root=signed:home=encrypted+absent",
		"root=signed:home=unprotected+absent+read-only-off",
		"root=signed+read-only-on", "root=signed+read-only-off", "root=signed+growfs-on", "root=signed+growfs-off:=ignore", "=signed", "=signed+absent", "=unprotected+absent", "=open+read-only-on",
		"root=signed:root-verity=absent", "root=signed:root-verity-sig=absent", "root=verity:root-verity-sig=unused+absent", "root=verity:root-verity-sig=unprotected", "root=signed:root-verity=unused",
	}
}

// stricter says why we refuse what systemd-dissect --validate takes, empty if there is no reason. Where we take what it refuses
// there never is one.
func stricter(image, pol string, r *resolve.Refusal) string {
	p, err := policy.Parse(pol)
	if err != nil {
		return ""
	}
	uses := func(d gpt.Designator) bool { return p.Flags(d)&(policy.Uses&^policy.Ignore) != 0 }
	switch {
	case r.Rule == resolve.RuleSigned && image == "stranger.raw":
		return "--validate looks whether there is a signature, not whose it is; mounting does, as TestDissectMount shows"
	case r.Rule == resolve.RuleSigned && image == "unsigned.raw":
		return "verity alone says nothing of who made an image: without a signature its root hash must be a pin"
	case r.Rule == resolve.RulePolicy && (image == "usr.raw" && !uses(gpt.Usr) || image != "usr.raw" && !uses(gpt.Root)):
		return "a file system that is left unused cannot be booted"
	case r.Rule == resolve.RulePolicy && image == "bare.raw" && strings.HasPrefix(r.Wanted, "root=") == false:
		return "systemd holds an image without a partition table against the rule of its file system alone"
	case r.Rule == resolve.RulePartitions && image == "arm.raw":
		return "an image for another architecture has nothing for this one"
	}
	return ""
}

// TestPolicyVerdicts holds our verdict on images of every form against systemd-dissect's, policy by policy.
func TestPolicyVerdicts(t *testing.T) {
	dissect := trixie(t, "systemd-dissect")
	dir, names := policyImages(t)
	trust, err := ddimount.ReadTrust([]string{good(t).Cert}, false)
	if err != nil {
		t.Fatal(err)
	}
	reasons := map[string]int{}
	same, taken := 0, 0
	for _, name := range names {
		for _, pol := range policies() {
			theirs := dissect(dir, "--validate", "--image-policy="+pol, "/mnt/"+name)
			refusal := ourVerdict(t, trust, filepath.Join(dir, name), pol)
			switch {
			case (refusal == nil) == (theirs.err == nil):
				same++
				if refusal == nil {
					taken++
				}
			case refusal == nil:
				t.Errorf("%s under %q: we take it, systemd-dissect says:\n%s", name, pol, theirs.text)
			default:
				why := stricter(name, pol, refusal)
				if why == "" {
					t.Errorf("%s under %q: systemd-dissect takes it, we say %v", name, pol, refusal)
				}
				reasons[why]++
			}
		}
	}
	if taken < 20 {
		t.Errorf("only %d times both take the image: the table shows little", taken)
	}
	t.Logf("%d verdicts on %d images are the same, %d times both take it", same, len(names), taken)
	for why, n := range reasons {
		t.Logf("%d times we are stricter: %s", n, why)
	}
}

// ourVerdict is ddimount's, and so stage 1's.
func ourVerdict(t *testing.T, trust *plan.Plan, file, pol string) *resolve.Refusal {
	t.Helper()
	p, err := policy.Parse(pol)
	if err != nil {
		t.Fatal(err)
	}
	img, err := ddimount.Open(file, ddimount.Options{Plan: trust, Policy: &p})
	if err != nil {
		t.Fatal(err)
	}
	defer img.Close()
	// An image for another machine is judged by its own types there; stage 1 knows only its own.
	if img.Architecture != gpt.X86_64 {
		return &resolve.Refusal{Candidate: filepath.Base(file), Rule: resolve.RulePartitions, Found: "architecture " + string(img.Architecture)}
	}
	return img.Refusal
}
