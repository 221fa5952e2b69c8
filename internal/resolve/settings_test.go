// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package resolve

import (
	"errors"
	"strings"
	"testing"

	"github.com/smallstep/pkcs7"

	"github.com/initddi/initddi/internal/plan"
	"github.com/initddi/initddi/internal/signature"
)

// signText makes the detached PKCS#7 signature of a text.
func (s *signer) signText(t testing.TB, text string) []byte {
	t.Helper()
	d, err := pkcs7.NewSignedData([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	d.SetDigestAlgorithm(pkcs7.OIDDigestAlgorithmSHA256)
	if err := d.SignWithoutAttr(s.x509, s.key, pkcs7.SignerInfoConfig{}); err != nil {
		t.Fatal(err)
	}
	d.Detach()
	der, err := d.Finish()
	if err != nil {
		t.Fatal(err)
	}
	return der
}

func TestAcceptSettings(t *testing.T) {
	ours, other := newSigner(t, "ours"), newSigner(t, "other")
	base, err := plan.New(plan.Input{})
	if err != nil {
		t.Fatal(err)
	}
	base.Trust = trusting(ours).Trust
	const harmless, more = "image=os_*\n", "corruption=panic\n"
	imageHash := hashOf("an image")
	for _, test := range []struct {
		name   string
		file   Settings
		deny   bool
		words  []string // of the refusal; nil if it is accepted
		signer bool
	}{
		{name: "unsigned", file: Settings{Text: []byte(harmless)}},
		{name: "signed", file: Settings{Text: []byte(harmless + more), Signature: ours.signText(t, harmless+more)}, signer: true},
		{name: "unsigned, but for the signed", file: Settings{Text: []byte(more)}, words: []string{"corruption=panic", "counts only in a file that is signed"}},
		{name: "altered", file: Settings{Text: []byte(harmless), Signature: ours.signText(t, more)}, words: []string{"refused (settings)", "cannot verify signature", "found a signature that does not hold, wanted a signature by ours (certificate ", "), or none"}},
		{name: "somebody else", file: Settings{Text: []byte(harmless), Signature: other.signText(t, harmless)}, words: []string{"cannot verify signature", "found one by another key, wanted a signature by ours"}},
		{name: "rubbish for a signature", file: Settings{Text: []byte(harmless), Signature: []byte("x")}, words: []string{"cannot parse signature"}},
		{name: "an empty signature", file: Settings{Text: []byte(harmless), Signature: []byte{}}, words: []string{"cannot parse signature"}},
		{name: "denied", file: Settings{Text: []byte(harmless), Signature: ours.signText(t, harmless)}, deny: true, words: []string{"found signer ", "deny-cert"}},
		{name: "unreadable", file: Settings{Err: errors.New("a loop in the chain")}, words: []string{"a loop in the chain"}},
		// The signature of an image is one over 64 digits, which are no settings.
		{name: "an image's signature", file: Settings{Text: signature.Content(imageHash), Signature: ours.sign(t, imageHash)}, words: []string{"not a line of key=value"}},
		{name: "policy, signed", file: Settings{Text: []byte("policy=*"), Signature: ours.signText(t, "policy=*")}, words: []string{"can only be built into stage 1"}},
	} {
		p := *base
		if test.deny {
			p.DenyCerts = [][32]byte{ours.cert.Fingerprint()}
		}
		s := test.file
		s.Path = "/loader/ddi/initddi.conf"
		next, r := AcceptSettings(&p, "vda1", &s)
		if test.words != nil {
			wantRefusal(t, r, RuleSettings, append(test.words, "vda1:/loader/ddi/initddi.conf")...)
			if next != nil || s.Accepted || s.Signer != nil {
				t.Errorf("%s: refused, and %+v all the same", test.name, s)
			}
			continue
		}
		if r != nil || next.Image != "os_*" || !s.Accepted || (s.Signer != nil) != test.signer {
			t.Errorf("%s: %v, %+v", test.name, r, s)
		}
	}
}

func TestNextReadsSettings(t *testing.T) {
	const shared, own = "/loader/ddi/initddi.conf", "/EFI/Linux/a.efi.ddi.d/INITDDI.CONF"
	f := &Facts{Settled: true, Partitions: []Partition{espOn("vda", uuid1)}, Firmware: Firmware{UKI: "/EFI/Linux/a.efi"}}
	f.Partitions[0].Listing = &Listing{Files: filesOf(shared, "/loader/ddi/os.raw", own, "/loader/ddi/os.raw.v/initddi.conf")}
	p := &plan.Plan{}
	wantStep(t, p, f, "read-settings vda1 "+own)
	f.Firmware.UKI = ""
	wantStep(t, p, f, "read-settings vda1 "+shared)
	// Read once, whatever came of it.
	f.Settings = &Settings{Path: shared}
	wantStep(t, p, f, "read-image vda1 /loader/ddi/os.raw")
	f.Settings, f.Partitions[0].Listing.Files = nil, filesOf("/loader/ddi/os.raw.v/initddi.conf", "/loader/ddi/os.raw")
	wantStep(t, p, f, "read-image vda1 /loader/ddi/os.raw")

	// It can name a directory that was not listed.
	p.Image = "/images/os.raw"
	s := wantStep(t, p, f, "list-partition vda1 /loader/ddi /images")
	f.Partitions[0].Listing = &Listing{Dirs: s.Do.Dirs, Files: filesOf("/images/os.raw")}
	wantStep(t, p, f, "read-image vda1 /images/os.raw")
	if got := (Action{Verb: ReadSettings}).Stage(); got != plan.StageStorage {
		t.Error(strings.ToUpper(string(got)))
	}
}
