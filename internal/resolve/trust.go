// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package resolve

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"

	"github.com/initddi/initddi/internal/dmtable"
	"github.com/initddi/initddi/internal/gpt"
	"github.com/initddi/initddi/internal/plan"
	"github.com/initddi/initddi/internal/policy"
	"github.com/initddi/initddi/internal/signature"
	"github.com/initddi/initddi/internal/version"
)

// Authentic is an image whose root hash is acceptable, and why. Holding one says nothing about the image's bytes yet: those
// are checked against the root hash, block by block, by dm-verity.
type Authentic struct {
	// RootHash is nil for an image that has none, which no boot takes: see [Unprotected].
	RootHash []byte
	// Designator says what the image is the file system of: [gpt.Root] or [gpt.Usr].
	Designator gpt.Designator
	// Data and Hash are where file system and hash tree lie among the image's bytes.
	Data, Hash dmtable.Region
	// DataPartition and HashPartition are their numbers in the partition table, 0 in an image without one.
	DataPartition, HashPartition int
	// Signer is the trusted certificate that signed the root hash; nil if the image is acceptable because of a pin alone.
	Signer *signature.Certificate
	// Message is the signature itself, PKCS#7 in DER; nil without Signer.
	Message []byte
	// Pinned says that the root hash is one of those baked into stage 1.
	Pinned bool
	// Use is what the image policy lets it be used as: signed, verity, or unprotected where nobody vouches for the root hash.
	Use policy.Flags
}

// Plain reports whether the image has no hash tree, so that nothing holds its bytes against anything.
func (a *Authentic) Plain() bool { return a.RootHash == nil }

// Vouched reports whether somebody whom stage 1 trusts stands for the root hash.
func (a *Authentic) Vouched() bool { return a.Signer != nil || a.Pinned }

func (a *Authentic) String() string {
	h := hex.EncodeToString(a.RootHash)
	switch {
	case a.Plain():
		return "no root hash: the policy allows unprotected"
	case a.Signer != nil:
		return fmt.Sprintf("root hash %s signed by %s", h, a.Signer.Subject)
	case a.Pinned:
		return fmt.Sprintf("root hash %s pinned in stage 1", h)
	case !a.Vouched() && a.Use == policy.Unprotected:
		return fmt.Sprintf("root hash %s, for which nobody vouches: the policy built into stage 1 allows unprotected", h)
	}
	return fmt.Sprintf("root hash %s", h)
}

// Authenticate decides whether an image is acceptable, from its partition table and its signature alone: nothing else of it
// has been looked at. It is acceptable when a certificate of the trust store signed its root hash, or when the root hash is a
// baked-in pin, and nothing speaks against it: the lists of denied things, the image policy, and the pin of the command line,
// which only narrows. Without signature and pin only a policy that was built in with "unprotected" takes it.
func Authenticate(p *plan.Plan, name string, arch gpt.Arch, img *Image) (*Authentic, *Refusal) {
	refuse := func(rule Rule, err error, found, wanted string) (*Authentic, *Refusal) {
		return nil, &Refusal{Candidate: name, Rule: rule, Err: err, Found: found, Wanted: wanted}
	}
	parts, r := choose(name, arch, img)
	if r != nil {
		return nil, r
	}
	a := parts.authentic(img.Table)
	sig, missing := signatureOf(p, img, parts, a)
	if a.RootHash == nil {
		return refuse(RuleRootHash, nil, "no file that says the root hash", "one beside the image that ends in .roothash or .usrhash")
	}
	if len(a.RootHash) < sha256.Size {
		return refuse(RuleRootHash, nil, hex.EncodeToString(a.RootHash), "a root hash of at least 256 bits")
	}
	unsigned := missing
	if sig != nil {
		a.Signer, unsigned = signature.Verify(sig, signature.Content(a.RootHash), p.Trust)
	}
	a.Pinned = contains(p.Pins, a.RootHash)
	if a.Signer == nil && !a.Pinned && p.Policy.Flags(a.Designator)&policy.Unprotected == 0 {
		return refuse(RuleSigned, unsigned, signedBy(img, sig, unsigned), "a signature by "+trustText(p)+", or a root hash built into stage 1")
	}
	if img.Table != nil && (!bytes.Equal(parts.data.UUID[:], a.RootHash[:16]) || !bytes.Equal(parts.hash.UUID[:], a.RootHash[len(a.RootHash)-16:])) {
		return refuse(RuleRootHash, nil, "partition UUIDs "+parts.data.UUID.String()+" and "+parts.hash.UUID.String(),
			"the first and last 128 bits of the root hash "+hex.EncodeToString(a.RootHash))
	}
	if contains(p.DenyRootHash, a.RootHash) {
		return refuse(RuleDenied, nil, "root hash "+hex.EncodeToString(a.RootHash), "one that deny-roothash does not list")
	}
	if a.Signer != nil && slices.Contains(p.DenyCerts, a.Signer.Fingerprint()) {
		if !a.Pinned {
			fp := a.Signer.Fingerprint()
			return refuse(RuleDenied, nil, "signer "+hex.EncodeToString(fp[:]), "one that deny-cert does not list")
		}
		a.Signer = nil
	}
	if a.Signer != nil {
		a.Message = sig
	}
	if r := checkPin(p, name, a); r != nil {
		return nil, r
	}
	if r := applyPolicy(p, name, arch, img, sig != nil, a); r != nil {
		return nil, r
	}
	return a, nil
}

// checkPin holds the image against the pin of the command line.
func checkPin(p *plan.Plan, name string, a *Authentic) *Refusal {
	refuse := func(found, wanted string) *Refusal {
		return &Refusal{Candidate: name, Rule: RulePin, Found: found, Wanted: wanted}
	}
	pin, key, other := p.RootHash, "ddi.roothash=", p.UsrHash
	if a.Designator == gpt.Usr {
		pin, key, other = p.UsrHash, "ddi.usrhash=", p.RootHash
	}
	switch {
	case pin != nil && !bytes.Equal(pin, a.RootHash):
		return refuse("root hash "+hex.EncodeToString(a.RootHash), key+hex.EncodeToString(pin))
	case other != nil && a.Designator == gpt.Usr:
		return refuse("an image of /usr", "one of a root file system, because of ddi.roothash=")
	case other != nil:
		return refuse("an image of a root file system", "one of /usr, because of ddi.usrhash=")
	}
	return nil
}

// signatureOf sets the root hash in a and returns the signature that shall be one of it. What the image itself says counts before the files beside it; missing says why
// there is no signature.
func signatureOf(p *plan.Plan, img *Image, parts *parts, a *Authentic) (sig []byte, missing error) {
	if img.Signature != nil {
		a.RootHash = img.Signature.RootHash
		return img.Signature.Signature, nil
	}
	missing = errors.New("the image has no signature partition")
	if img.Table != nil {
		a.RootHash = rootHashOf(p.Pins, parts)
	}
	b := &img.Beside
	if b.Designator != a.Designator {
		return nil, missing
	}
	if b.RootHash != nil {
		a.RootHash = b.RootHash
	}
	if img.Table == nil {
		missing = errors.New("there is no signature beside the image")
	}
	return b.Signature, missing
}

// rootHashOf returns the root hash of an image that does not say it itself: the pin that its partition UUIDs are made of, else
// what the UUIDs are together, which is the whole of a root hash of 256 bits.
func rootHashOf(pins [][]byte, parts *parts) []byte {
	for _, pin := range pins {
		if data, hash, err := gpt.RootHashUUIDs(pin); err == nil && data == parts.data.UUID && hash == parts.hash.UUID {
			return pin
		}
	}
	return slices.Concat(parts.data.UUID[:], parts.hash.UUID[:])
}

// CheckIdentity holds the verified tree against the identity rules, the last check before entry: a file may be called
// anything, and the signature covers the content only.
func CheckIdentity(p *plan.Plan, name string, t *Tree) *Refusal {
	refuse := func(rule Rule, found, wanted string) *Refusal {
		return &Refusal{Candidate: name, Rule: rule, Found: found, Wanted: wanted}
	}
	id := p.Identity
	if r := CheckFileSystem(p, name, t.Designator, t.FileSystem); r != nil {
		return r
	}
	if t.RootDir != "" {
		return refuse(RuleIdentity, "a root file system, with "+t.RootDir+", that its partition type or the files beside it call a /usr", "one of /usr")
	}
	if t.Extension != "" {
		return refuse(RuleIdentity, "an extension ("+t.Extension+")", "a boot image")
	}
	if !t.HasOS {
		return refuse(RuleIdentity, "no os-release file", "a boot image")
	}
	if d := t.OSRelease.Duplicates(); len(d) > 0 && (slices.Contains(d, "ID") || slices.Contains(d, "IMAGE_ID") || slices.Contains(d, "IMAGE_VERSION") || slices.Contains(d, "VERSION_ID")) {
		return refuse(RuleIdentity, fmt.Sprintf("an os-release that says more than once %v", d), "one answer")
	}
	if id.Kind != "" && t.Kind != id.Kind {
		return refuse(RuleIdentity, "kind "+string(t.Kind), "kind "+string(id.Kind))
	}
	if got := t.OSRelease.Get("ID"); id.ID != "" && got != id.ID {
		return refuse(RuleIdentity, "ID="+got, "ID="+id.ID)
	}
	if got := t.OSRelease.Get("IMAGE_ID"); id.ImageID != "" && got != id.ImageID {
		return refuse(RuleIdentity, "IMAGE_ID="+got, "IMAGE_ID="+id.ImageID)
	}
	if id.MinVersion != "" {
		key, got := "IMAGE_VERSION", t.OSRelease.Get("IMAGE_VERSION")
		if got == "" {
			key, got = "VERSION_ID", t.OSRelease.Get("VERSION_ID")
		}
		if got == "" || version.Compare(got, id.MinVersion) < 0 {
			return refuse(RuleIdentity, key+"="+got, "at least "+id.MinVersion)
		}
	}
	if t.Init == "" {
		return refuse(RuleInit, "none that can be executed", fmt.Sprintf("one of %v", p.InitsFor(t.Kind)))
	}
	if len(t.MissingDirs) > 0 {
		return refuse(RuleInit, fmt.Sprintf("no directory %v", t.MissingDirs), "mount points for the hand-over")
	}
	return nil
}

func contains(list [][]byte, h []byte) bool {
	return slices.ContainsFunc(list, func(e []byte) bool { return bytes.Equal(e, h) })
}

// signedBy says what kind of signature was found, none for an image without one. The certificate that it names is a hint: nobody signed that.
func signedBy(img *Image, sig []byte, err error) string {
	switch {
	case sig == nil:
		return ""
	case !errors.Is(err, signature.ErrUnknownSigner):
		return "a signature that does not hold"
	case img != nil && img.Signature != nil && img.Signature.CertificateFingerprint != nil:
		return fmt.Sprintf("one by another key, of certificate %.8x", img.Signature.CertificateFingerprint)
	}
	return "one by another key"
}

// certificateText names a certificate so that it can be told from another of the same name.
func certificateText(c *signature.Certificate) string {
	return fmt.Sprintf("%s (certificate %.8x)", c.Subject, c.Fingerprint())
}

func trustText(p *plan.Plan) string {
	switch n := len(p.Trust); n {
	case 0:
		return "a certificate of the trust store, which is empty"
	case 1:
		return certificateText(p.Trust[0])
	default:
		return fmt.Sprintf("one of the %d certificates of the trust store", n)
	}
}
