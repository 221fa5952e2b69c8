// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package resolve

import (
	"bytes"
	"encoding/hex"
	"errors"
	"testing"

	"github.com/initddi/initddi/internal/dmtable"
	"github.com/initddi/initddi/internal/gpt"
	"github.com/initddi/initddi/internal/plan"
	"github.com/initddi/initddi/internal/policy"
	"github.com/initddi/initddi/internal/signature"
)

const who = "vda1:/loader/ddi/os.raw"

// usual is the image policy of a stage 1 with pins.
func usual() policy.Policy { return plan.DefaultPolicy(true) }

// trusting is a plan whose trust store holds the certificates.
func trusting(by ...*signer) *plan.Plan {
	p := &plan.Plan{Policy: usual()}
	for _, s := range by {
		p.Trust = append(p.Trust, s.cert)
	}
	return p
}

func TestAuthenticateAccepts(t *testing.T) {
	ours, other := newSigner(t, "ours"), newSigner(t, "other")
	h := hashOf("image")
	pinned := &plan.Plan{Policy: usual(), Pins: [][]byte{hashOf("another"), h}}
	narrowed := trusting(ours)
	narrowed.RootHash = h
	for _, test := range []struct {
		name   string
		plan   *plan.Plan
		img    *Image
		hash   []byte
		signer *signer
		pinned bool
		text   string
	}{
		{"signed", trusting(ours), ddi(t, h, ours), h, ours, false, "signed by ours"},
		{"signed by the second of two", trusting(other, ours), ddi(t, h, ours), h, ours, false, "signed by ours"},
		{"signed and pinned", &plan.Plan{Policy: usual(), Trust: trusting(ours).Trust, Pins: pinned.Pins}, ddi(t, h, ours), h, ours, true, "signed by ours"},
		{"pinned, unsigned", pinned, ddi(t, h, nil), h, nil, true, "pinned in stage 1"},
		{"pinned, signed by a stranger", pinned, ddi(t, h, other), h, nil, true, "pinned in stage 1"},
		{"signed, and what the command line asks for", narrowed, ddi(t, h, ours), h, ours, false, "signed by ours"},
		{"SHA-512", trusting(ours), ddi(t, longHash("i", 64), ours), longHash("i", 64), ours, false, "signed by ours"},
		{"SHA-384, pinned, unsigned", &plan.Plan{Policy: usual(), Pins: [][]byte{longHash("i", 48)}}, ddi(t, longHash("i", 48), nil), longHash("i", 48), nil, true, "pinned in stage 1"},
		{"signed by a denied certificate, pinned", &plan.Plan{Policy: usual(), Trust: trusting(ours).Trust, Pins: pinned.Pins, DenyCerts: [][32]byte{ours.cert.Fingerprint()}},
			ddi(t, h, ours), h, nil, true, "pinned in stage 1"},
		{"others are denied", &plan.Plan{Policy: usual(), Trust: trusting(ours).Trust, DenyCerts: [][32]byte{other.cert.Fingerprint()}, DenyRootHash: [][]byte{hashOf("another")}},
			ddi(t, h, ours), h, ours, false, "signed by ours"},
	} {
		t.Run(test.name, func(t *testing.T) {
			a, r := Authenticate(test.plan, who, gpt.X86_64, test.img)
			if r != nil {
				t.Fatal(r)
			}
			var signer *signer
			if a.Signer == ours.cert {
				signer = ours
			} else if a.Signer != nil {
				t.Errorf("signer is %v", a.Signer)
			}
			if !bytes.Equal(a.RootHash, test.hash) || signer != test.signer || a.Pinned != test.pinned {
				t.Errorf("got %v, pinned %v", a, a.Pinned)
			}
			if want := "root hash " + hex.EncodeToString(test.hash) + " " + test.text; a.String() != want {
				t.Errorf("says %q, want %q", a, want)
			}
			if a.Designator != gpt.Root || a.DataPartition != 1 || a.HashPartition != 2 || a.Data != (dmtable.Region{Offset: 1 << 20, Length: 1 << 20}) || a.Hash != (dmtable.Region{Offset: 2 << 20, Length: 1 << 20}) {
				t.Errorf("it is %+v", a)
			}
		})
	}
}

func TestAuthenticateRefuses(t *testing.T) {
	ours, other := newSigner(t, "ours"), newSigner(t, "other")
	h, h2 := hashOf("image"), hashOf("older image")
	text := hex.EncodeToString(h)
	fp := ours.cert.Fingerprint()
	narrowed := func(rootHash, usrHash []byte) *plan.Plan {
		p := trusting(ours)
		p.RootHash, p.UsrHash, p.Pins = rootHash, usrHash, [][]byte{h}
		return p
	}
	signedFor := func(signed, uuids []byte) *Image {
		img := ddi(t, uuids, nil)
		img.Signature = &signature.Document{RootHash: signed, Signature: ours.sign(t, signed)}
		return img
	}
	tampered := ddi(t, h, ours)
	tampered.Signature.Signature = ours.sign(t, h2)
	halfUUID := ddi(t, h, ours)
	halfUUID.Table.Partitions[0].UUID[15] ^= 1
	otherHalfUUID := ddi(t, h, ours)
	otherHalfUUID.Table.Partitions[1].UUID[0] ^= 1
	short := ddi(t, h, nil)
	short.Signature = &signature.Document{RootHash: h[:16], Signature: ours.sign(t, h[:16])}
	for _, test := range []struct {
		name  string
		plan  *plan.Plan
		img   *Image
		rule  Rule
		err   error
		words []string
	}{
		{"unsigned", trusting(ours), ddi(t, h, nil), RuleSigned, nil, []string{"no signature partition", "signature by ours"}},
		{"unsigned, nobody is trusted", &plan.Plan{Policy: usual()}, ddi(t, h, nil), RuleSigned, nil, []string{"which is empty"}},
		{"unsigned, many are trusted", trusting(ours, other), ddi(t, h, nil), RuleSigned, nil, []string{"one of the 2 certificates"}},
		{"half of it is pinned", &plan.Plan{Policy: usual(), Pins: [][]byte{append(h[:16:16], h2[16:]...), append(h2[:16:16], h[16:]...)}}, ddi(t, h, nil), RuleSigned, nil, nil},
		{"a stranger", trusting(ours), ddi(t, h, other), RuleSigned, signature.ErrUnknownSigner, nil},
		{"nobody is trusted", &plan.Plan{Policy: usual()}, ddi(t, h, ours), RuleSigned, signature.ErrUnknownSigner, nil},
		{"signature of another image", trusting(ours), tampered, RuleSigned, signature.ErrBadSignature, nil},
		{"a pin on the command line is no excuse for an unsigned image", &plan.Plan{Policy: usual(), Trust: trusting(ours).Trust, RootHash: h}, ddi(t, h, nil), RuleSigned, nil, nil},
		{"signature moved to another image's partitions", trusting(ours), signedFor(h2, h), RuleRootHash, nil, []string{hex.EncodeToString(h2)}},
		{"data partition of another image", trusting(ours), halfUUID, RuleRootHash, nil, []string{text}},
		{"hash partition of another image", trusting(ours), otherHalfUUID, RuleRootHash, nil, []string{text}},
		{"half a root hash", trusting(ours), short, RuleRootHash, nil, []string{"at least 256 bits"}},
		{"denied root hash", &plan.Plan{Policy: usual(), Trust: trusting(ours).Trust, DenyRootHash: [][]byte{h2, h}}, ddi(t, h, ours), RuleDenied, nil, []string{text, "deny-roothash"}},
		{"denied root hash that is pinned", &plan.Plan{Policy: usual(), Pins: [][]byte{h}, DenyRootHash: [][]byte{h}}, ddi(t, h, nil), RuleDenied, nil, nil},
		{"denied signer", &plan.Plan{Policy: usual(), Trust: trusting(ours).Trust, DenyCerts: [][32]byte{{}, fp}}, ddi(t, h, ours), RuleDenied, nil, []string{hex.EncodeToString(fp[:]), "deny-cert"}},
		{"another one was asked for", narrowed(h2, nil), ddi(t, h, ours), RulePin, nil, []string{text, hex.EncodeToString(h2)}},
		{"another one was asked for, this one is pinned", narrowed(h2, nil), ddi(t, h, nil), RulePin, nil, nil},
		{"/usr was asked for", narrowed(nil, h), ddi(t, h, ours), RulePin, nil, []string{"usrhash"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			a, r := Authenticate(test.plan, who, gpt.X86_64, test.img)
			wantRefusal(t, r, test.rule, append(test.words, who)...)
			if a != nil {
				t.Errorf("refused, and yet %v", a)
			}
			if test.err != nil && !errors.Is(r, test.err) {
				t.Errorf("the cause is %v, want %v", r.Err, test.err)
			}
		})
	}
}

// TestDeniedSignerOfPinnedImageIsNotNamed makes sure that nobody sees a revoked certificate as the reason for trust.
func TestDeniedSignerOfPinnedImageIsNotNamed(t *testing.T) {
	ours := newSigner(t, "ours")
	h := hashOf("image")
	p := trusting(ours)
	p.Pins, p.DenyCerts = [][]byte{h}, [][32]byte{ours.cert.Fingerprint()}
	a, r := Authenticate(p, who, gpt.X86_64, ddi(t, h, ours))
	if r != nil || a.Signer != nil || !a.Pinned {
		t.Errorf("got %v, %v", a, r)
	}
}

func TestAuthenticatePartitions(t *testing.T) {
	ours := newSigner(t, "ours")
	h := hashOf("image")
	again := func(img *Image, i int) *Image {
		q := img.Table.Partitions[i]
		q.Number = 9
		img.Table.Partitions = append(img.Table.Partitions, q)
		return img
	}
	without := func(img *Image, i int) *Image {
		img.Table.Partitions = append(img.Table.Partitions[:i:i], img.Table.Partitions[i+1:]...)
		return img
	}
	hidden := func(img *Image, i int, attr uint64, name string) *Image {
		img.Table.Partitions[i].Attributes |= attr
		img.Table.Partitions[i].Name = name
		return img
	}
	for _, test := range []struct {
		name  string
		arch  gpt.Arch
		img   *Image
		words []string // empty: accepted
	}{
		{"no data", gpt.X86_64, without(ddi(t, h, ours), 0), []string{"0 root partitions", "x86-64"}},
		{"no hash tree", gpt.X86_64, without(ddi(t, h, ours), 1), []string{"0 root-verity partitions"}},
		{"two data", gpt.X86_64, again(ddi(t, h, ours), 0), []string{"2 root partitions"}},
		{"two hash trees", gpt.X86_64, again(ddi(t, h, ours), 1), []string{"2 root-verity partitions"}},
		{"for another machine", gpt.ARM64, ddi(t, h, ours), []string{"0 root partitions", "arm64"}},
		{"for an unknown machine", "pdp11", ddi(t, h, ours), []string{"architecture pdp11"}},
		{"data not for discovery", gpt.X86_64, hidden(ddi(t, h, ours), 0, gpt.AttrNoAuto, ""), []string{"0 root partitions"}},
		{"an empty slot of sysupdate's", gpt.X86_64, hidden(ddi(t, h, ours), 1, 0, "_empty"), []string{"0 root-verity partitions"}},
		{"a second that is not for discovery", gpt.X86_64, hidden(again(ddi(t, h, ours), 0), 3, gpt.AttrNoAuto, ""), nil},
		{"a second that is empty", gpt.X86_64, hidden(again(ddi(t, h, ours), 1), 3, 0, "_empty"), nil},
		{"other flags do not matter", gpt.X86_64, hidden(ddi(t, h, ours), 0, gpt.AttrReadOnly|gpt.AttrGrowFS, "x"), nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			a, r := Authenticate(trusting(ours), who, test.arch, test.img)
			if test.words != nil {
				wantRefusal(t, r, RulePartitions, append(test.words, who)...)
				return
			}
			if r != nil || a.DataPartition != 1 || a.HashPartition != 2 {
				t.Errorf("got %v, %v", a, r)
			}
		})
	}
}

func TestAuthenticStringWithoutReason(t *testing.T) {
	if s := (&Authentic{RootHash: []byte{0xab}}).String(); s != "root hash ab" {
		t.Errorf("got %q", s)
	}
}
