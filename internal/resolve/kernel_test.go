// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package resolve

import (
	"errors"
	"slices"
	"testing"

	"github.com/initddi/initddi/internal/gpt"
	"github.com/initddi/initddi/internal/plan"
	"github.com/initddi/initddi/internal/signature"
)

func TestAskKernel(t *testing.T) {
	ours := newSigner(t, "ours") // its serial number is its name, and it has no key identifier
	withID, zero := *ours.cert, *ours.cert
	withID.KeyID = []byte{0xca, 0xfe}
	zero.Serial = []byte{0, 0xab}
	const serial = "6f757273"
	for _, test := range []struct {
		name   string
		kernel Kernel
		signer *signature.Certificate
		want   bool
	}{
		{"a kernel that knows nobody", Kernel{}, ours.cert, false},
		{"one that knows others", Kernel{Certificates: []string{"cafe", serial + "00"}}, ours.cert, false},
		{"one that knows the serial number", Kernel{Certificates: []string{"cafe", serial}}, ours.cert, true},
		{"one that knows the key", Kernel{Certificates: []string{"cafe"}}, &withID, true},
		{"a serial number is nothing beside a key identifier", Kernel{Certificates: []string{serial}}, &withID, false},
		{"a leading zero", Kernel{Certificates: []string{"ab"}}, &zero, true},
		{"one that wants to", Kernel{RequiresSignatures: true}, ours.cert, true},
		{"a pin, and one that wants to", Kernel{RequiresSignatures: true}, nil, false},
	} {
		a := &Authentic{Signer: test.signer}
		if test.signer != nil {
			a.Message = []byte{1}
		}
		if got := AskKernel(test.kernel, a); got != test.want {
			t.Errorf("%s: %v", test.name, got)
		}
	}
}

func TestKernelAnswer(t *testing.T) {
	ours := newSigner(t, "ours")
	signed, pinned := &Authentic{Signer: ours.cert}, &Authentic{Pinned: true}
	must := Kernel{RequiresSignatures: true}
	cause := errors.New("the kernel's words")
	for _, test := range []struct {
		name    string
		kernel  Kernel
		a       *Authentic
		answer  Answer
		without bool
		words   []string // of the refusal; nil: none
	}{
		{"not known", Kernel{}, signed, AnswerUnknown, true, nil},
		{"not known, and required", must, signed, AnswerUnknown, false, []string{"signature by ours, whose certificate the kernel does not know", "dm_verity.require_signatures"}},
		{"nothing to know, and required", must, pinned, AnswerUnknown, false, []string{"found no signature"}},
		{"rejected", Kernel{}, signed, AnswerRejected, false, []string{"a signature that the kernel rejects"}},
		{"rejected, and required", must, signed, AnswerRejected, false, []string{"rejects"}},
		{"something else", must, signed, "", false, nil},
	} {
		without, r := KernelAnswer(test.kernel, who, test.a, test.answer, cause)
		if without != test.without || (r != nil) != (test.words != nil) {
			t.Errorf("%s: %v, %v", test.name, without, r)
		}
		if r != nil {
			wantRefusal(t, r, RuleKernel, append(test.words, who)...)
			if !errors.Is(r, cause) {
				t.Errorf("%s: the cause is lost: %v", test.name, r.Err)
			}
		}
	}
}

// TestMessage: what the kernel is shown is the signature that stage 1 found good, and only that.
func TestMessage(t *testing.T) {
	ours, other := newSigner(t, "ours"), newSigner(t, "other")
	h := hashOf("image")
	pins := trusting(ours)
	pins.Pins = [][]byte{h}
	denied := *pins
	denied.DenyCerts = [][32]byte{ours.cert.Fingerprint()}
	for _, test := range []struct {
		name string
		plan *plan.Plan
		img  *Image
		want bool
	}{
		{"signed", trusting(ours), ddi(t, h, ours), true},
		{"beside it", trusting(ours), beside(ddi(t, h, nil), gpt.Root, h, ours.sign(t, h)), true},
		{"pinned, by a stranger", pins, ddi(t, h, other), false},
		{"pinned, by somebody who is denied", &denied, ddi(t, h, ours), false},
		{"pinned", pins, ddi(t, h, nil), false},
	} {
		a, r := Authenticate(test.plan, who, gpt.X86_64, test.img)
		if r != nil {
			t.Fatal(r)
		}
		sig := test.img.Beside.Signature
		if test.img.Signature != nil {
			sig = test.img.Signature.Signature
		}
		if test.want != (a.Message != nil) || test.want && !slices.Equal(a.Message, sig) {
			t.Errorf("%s: %d bytes", test.name, len(a.Message))
		}
	}
}

func TestParseKernelBool(t *testing.T) {
	for text, want := range map[string]bool{"Y\n": true, "Y": true, "N\n": false, "": false, "1\n": false} {
		if got := ParseKernelBool(text); got != want {
			t.Errorf("%q: %v", text, got)
		}
	}
}
