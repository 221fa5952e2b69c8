// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package ddi

import (
	"encoding/hex"
	"fmt"

	"github.com/initddi/initddi/internal/gpt"
	"github.com/initddi/initddi/internal/guid"
	"github.com/initddi/initddi/internal/resolve"
	"github.com/initddi/initddi/internal/signature"
)

// Report describes an image. Where systemd-dissect --json has a field, it has the same name and values here.
type Report struct {
	Name         string    `json:"name"`
	Size         int64     `json:"size"`       // in bytes
	SectorSize   int64     `json:"sectorSize"` // of the partition table
	ImageUUID    guid.GUID `json:"imageUuid"`  // of the partition table
	Architecture gpt.Arch  `json:"architecture"`
	// Sidecars are the files beside the image that count.
	Sidecars []string `json:"sidecars,omitempty"`
	// Damaged says what is wrong with the first copy of the partition table where the second was used.
	Damaged   string     `json:"damaged,omitempty"`
	Verdict   Verdict    `json:"verdict"`
	Signature *Signature `json:"signature"` // null: the image has none
	// Verity is null where it was not looked at, because the image was refused.
	Verity *Verity     `json:"verity"`
	Mounts []Partition `json:"mounts"`
}

// Verdict is what stage 1 would say before it has read the file system.
type Verdict struct {
	Accepted bool `json:"accepted"`
	// Rule is the one that the image fell short of, as in boot.json and docs/ERRORS.md.
	Rule resolve.Rule `json:"rule,omitempty"`
	Text string       `json:"text"`
}

// Signature describes the signature of the root hash.
type Signature struct {
	RootHash string `json:"rootHash"` // what it was made for, in hexadecimal
	Size     int    `json:"size"`     // of the PKCS#7 message in bytes
	// Trusted says that the signature is good and by a certificate of the trust store, which Signer and Fingerprint name.
	Trusted     bool   `json:"trusted"`
	Signer      string `json:"signer,omitempty"`
	Fingerprint string `json:"fingerprint,omitempty"`
	// Claimed is the fingerprint of the certificate that the image names. Anybody can write it.
	Claimed string `json:"claimedFingerprint,omitempty"`
}

// Verity describes the hash tree.
type Verity struct {
	RootHash      string    `json:"rootHash"`
	UUID          guid.GUID `json:"uuid"` // of the superblock
	Algorithm     string    `json:"algorithm"`
	DataBlockSize uint32    `json:"dataBlockSize"`
	HashBlockSize uint32    `json:"hashBlockSize"`
	DataSize      int64     `json:"dataSize"` // protected bytes
	TreeSize      int64     `json:"treeSize"`
	Salt          string    `json:"salt"`
}

// Partition describes one entry of the partition table.
type Partition struct {
	RW           string         `json:"rw"` // "ro" or "rw"
	Designator   gpt.Designator `json:"designator"`
	UUID         guid.GUID      `json:"partition_uuid"`
	Label        string         `json:"partition_label"`
	FileSystem   *string        `json:"fstype"`
	Architecture *gpt.Arch      `json:"architecture"`
	Verity       *string        `json:"verity"` // "signed", "yes" or "no"; null for what is not a file system
	GrowFS       bool           `json:"growfs"`
	Number       int            `json:"partno"`
	Type         guid.GUID      `json:"partition_type"`
	Offset       int64          `json:"offset"` // in bytes
	Size         int64          `json:"size"`   // in bytes
}

// Report returns what there is to say about the image. Of an image that was refused it says nothing that lies below the
// signature, unless [Options.Unverified] was set.
func (img *Image) Report() *Report {
	t := img.facts.Table
	r := &Report{
		Name: img.name, Size: img.size, Architecture: img.Architecture,
		Verdict: img.verdict(), Signature: img.signature(), Sidecars: img.facts.Beside.Files,
	}
	if t == nil {
		r.Mounts = img.bare()
	} else if r.SectorSize, r.ImageUUID = t.SectorSize, t.DiskUUID; t.Backup {
		r.Damaged = t.PrimaryErr.Error()
	}
	if sb := img.verity.sb; sb != nil && img.shown {
		r.Verity = &Verity{
			RootHash: hex.EncodeToString(img.verity.rootHash), UUID: sb.UUID, Algorithm: sb.Algorithm,
			DataBlockSize: sb.DataBlockSize, HashBlockSize: sb.HashBlockSize,
			DataSize: sb.DataSize(), TreeSize: sb.HashTreeSize(), Salt: hex.EncodeToString(sb.Salt),
		}
	}
	for _, p := range partitions(t) {
		r.Mounts = append(r.Mounts, img.partition(p))
	}
	return r
}

func (img *Image) verdict() Verdict {
	if img.Refusal != nil {
		return Verdict{Rule: img.Refusal.Rule, Text: img.Refusal.Error()}
	}
	a := img.facts.Authentic
	if img.named && a.Signer == nil && a.RootHash != nil {
		return Verdict{Accepted: true, Text: fmt.Sprintf("root hash %x named by --root-hash", a.RootHash)}
	}
	return Verdict{Accepted: true, Text: a.String()}
}

func (img *Image) signature() *Signature {
	d := img.facts.Signature
	if b := img.facts.Beside; d == nil && b.Signature != nil {
		d = &signature.Document{RootHash: img.claimedRootHash(nil), Signature: b.Signature}
	}
	if d == nil {
		return nil
	}
	s := &Signature{RootHash: hex.EncodeToString(d.RootHash), Size: len(d.Signature), Claimed: hex.EncodeToString(d.CertificateFingerprint)}
	if a := img.facts.Authentic; a != nil && a.Signer != nil {
		fp := a.Signer.Fingerprint()
		s.Trusted, s.Signer, s.Fingerprint = true, a.Signer.Subject, hex.EncodeToString(fp[:])
	}
	return s
}

func (img *Image) partition(p gpt.Partition) Partition {
	t := img.facts.Table
	d, arch, known := gpt.Lookup(p.Type)
	out := Partition{
		RW: "rw", Designator: d, UUID: p.UUID, Label: p.Name, GrowFS: p.Attributes&gpt.AttrGrowFS != 0, Number: p.Number,
		Type: p.Type, Offset: p.Offset(t.SectorSize), Size: p.Size(t.SectorSize),
	}
	if !known {
		out.Designator = "unknown"
	}
	if arch != gpt.NoArch {
		out.Architecture = &arch
	}
	fstype, verity := "", ""
	switch d {
	case gpt.Root, gpt.Usr:
		verity = img.protection(d)
		if p.Number == img.verity.partition && img.shown {
			fstype = img.verity.fs.Type
		}
	case gpt.RootVerity, gpt.UsrVerity:
		fstype = "DM_verity_hash"
	case gpt.RootVeritySig, gpt.UsrVeritySig:
		fstype = "verity_hash_signature"
	}
	if fstype != "" {
		out.FileSystem = &fstype
	}
	if verity != "" {
		out.Verity = &verity
	}
	if (fstype != "" && verity == "") || verity == "yes" || verity == "signed" || p.Attributes&gpt.AttrReadOnly != 0 {
		out.RW = "ro"
	}
	return out
}

// bare describes an image without a partition table as if it had one, as systemd-dissect does.
func (img *Image) bare() []Partition {
	d, _ := img.fileSystem()
	verity, fstype := "yes", img.verity.fs.Type
	if img.facts.Beside.Signature != nil {
		verity = "signed"
	}
	p := Partition{RW: "ro", Designator: d, Size: img.size, Architecture: &img.Architecture, Verity: &verity}
	if img.shown && fstype != "" {
		p.FileSystem = &fstype
	}
	return []Partition{p}
}

// protection returns the word for how a file system's partition is protected, going by which partitions there are.
func (img *Image) protection(d gpt.Designator) string {
	hash, sig := gpt.RootVerity, gpt.RootVeritySig
	if d == gpt.Usr {
		hash, sig = gpt.UsrVerity, gpt.UsrVeritySig
	}
	switch {
	case img.one(hash).Number == 0:
		return "no"
	case img.one(sig).Number == 0:
		return "yes"
	}
	return "signed"
}
