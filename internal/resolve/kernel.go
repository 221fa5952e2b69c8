// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package resolve

import (
	"encoding/hex"
	"slices"
	"strings"
)

// Kernel is what the kernel has to say about signatures itself.
type Kernel struct {
	// Certificates are the identifiers of those in its keyrings, in hexadecimal.
	Certificates []string `json:"certificates,omitempty"`
	// RequiresSignatures is dm_verity.require_signatures.
	RequiresSignatures bool `json:"requires_signatures,omitempty"`
}

// Answer is what the kernel says to a signature.
type Answer string

// The answers. The zero value is one about something else.
const (
	AnswerUnknown  Answer = "unknown"  // no key of its keyrings made it
	AnswerRejected Answer = "rejected" // it is not good, or by a key that was revoked
)

// AskKernel reports whether the kernel shall check an image's signature as well: if it knows the signer, or says that it wants
// to. Asking one that does not know him costs 30 ms and two lines that look like an error.
func AskKernel(k Kernel, a *Authentic) bool {
	if a.Signer == nil || a.Message == nil {
		return false
	}
	return k.RequiresSignatures || slices.Contains(k.Certificates, kernelID(a))
}

// kernelID is what the kernel calls the signer's certificate by: its key identifier, or where it has none its serial number,
// without a leading zero (crypto/asymmetric_keys/x509_public_key.c).
func kernelID(a *Authentic) string {
	id := a.Signer.KeyID
	if id == nil {
		id = a.Signer.Serial
	}
	if len(id) > 1 && id[0] == 0 {
		id = id[1:]
	}
	return hex.EncodeToString(id)
}

// KernelAnswer says what follows from the kernel's answer to a signature: nothing if it took it; that it shall be used without, if
// it does not know the signer and does not insist; or a refusal. Its "rejected" is final, whoever signed.
// err is how it said so.
func KernelAnswer(k Kernel, name string, a *Authentic, answer Answer, err error) (without bool, r *Refusal) {
	refuse := func(found, wanted string) (bool, *Refusal) {
		return false, &Refusal{Candidate: name, Rule: RuleKernel, Err: err, Found: found, Wanted: wanted}
	}
	switch {
	case answer == AnswerUnknown && k.RequiresSignatures:
		signer := "no signature"
		if a.Signer != nil {
			signer = "a signature by " + a.Signer.Subject + ", whose certificate the kernel does not know"
		}
		return refuse(signer, "one by a certificate in the kernel's keyrings, because of dm_verity.require_signatures")
	case answer == AnswerUnknown:
		return true, nil
	case answer == AnswerRejected:
		return refuse("a signature that the kernel rejects", "one that it takes as well")
	}
	return false, nil
}

// ParseKernelBool reads a boolean parameter of a kernel module as sysfs shows it.
func ParseKernelBool(text string) bool { return strings.TrimSpace(text) == "Y" }
