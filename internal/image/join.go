// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package image

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"

	"github.com/initddi/initddi/internal/gpt"
	"github.com/initddi/initddi/internal/signature"
)

// Join puts a signature that was made elsewhere into an image that was built without one, adding the signature partition if there is
// none, and gives what building it with that signature would have given. The signature is checked first, with the certificate: an
// image that nobody will accept is not made. It returns the root hash, in hexadecimal. Errors wrap [ErrUnsupported] or [ErrReadOnly], or are
// those of the signature, the table or the file.
func Join(name string, der, certPEM []byte) (string, error) {
	certs, err := signature.ParseCertificatesPEM(certPEM)
	if err != nil {
		return "", err
	}
	if err := Replaceable(name); err != nil {
		return "", err
	}
	f, err := os.OpenFile(name, os.O_RDWR, 0)
	if err != nil {
		return "", fmt.Errorf("cannot open the image: %w", err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return "", fmt.Errorf("cannot open the image: %w", err)
	}
	table, err := gpt.Read(f, info.Size(), 0)
	if err != nil {
		return "", err
	}
	if table.Backup {
		return "", fmt.Errorf("cannot sign %s: its partition table is damaged: %w", name, table.PrimaryErr)
	}
	parts, err := verityOf(table)
	if err != nil {
		return "", fmt.Errorf("cannot sign %s: %w", name, err)
	}
	rootHash := append(parts.data.UUID[:], parts.hash.UUID[:]...)
	signer, err := signature.Verify(der, signature.Content(rootHash), certs)
	if err != nil {
		return "", fmt.Errorf("cannot use the signature for root hash %x: %w", rootHash, err)
	}
	fp := sha256.Sum256(signer.Raw)
	doc, err := signature.Document{RootHash: rootHash, Signature: der, CertificateFingerprint: fp[:]}.Encode()
	if err != nil {
		return "", err
	}
	added := parts.sig == nil
	if added {
		if parts.sig, err = addSignature(table, parts, rootHash); err != nil {
			return "", fmt.Errorf("cannot sign %s: %w", name, err)
		}
	}
	room := parts.sig.Size(table.SectorSize)
	if int64(len(doc)) > room {
		return "", fmt.Errorf("cannot sign %s: the signature takes %d bytes, its partition has %d: %w", name, len(doc), room, ErrUnsupported)
	}
	// All of the partition, so that nothing stays of a longer signature that was there before.
	if _, err := f.WriteAt(append(doc, make([]byte, room-int64(len(doc)))...), parts.sig.Offset(table.SectorSize)); err != nil {
		return "", fmt.Errorf("cannot write the signature: %w", err)
	}
	// The table comes last: until it is written, the image is unsigned.
	if added {
		if err := gpt.Write(f, info.Size(), table); err != nil {
			return "", err
		}
	}
	return hex.EncodeToString(rootHash), f.Close()
}

// verityParts are the partitions of an image that has one root hash; sig is nil where nothing was signed yet.
type verityParts struct {
	data, hash, sig *gpt.Partition
	kind            gpt.Designator // of the signature partition
	arch            gpt.Arch
}

// verityOf finds them. An image with two of a kind has two root hashes, of which a signature covers one.
func verityOf(t *gpt.Table) (*verityParts, error) {
	v := &verityParts{}
	for i := range t.Partitions {
		p := &t.Partitions[i]
		d, arch, _ := gpt.Lookup(p.Type)
		place := &v.sig
		switch d {
		case gpt.Root:
			place, v.kind, v.arch = &v.data, gpt.RootVeritySig, arch
		case gpt.Usr:
			place, v.kind, v.arch = &v.data, gpt.UsrVeritySig, arch
		case gpt.RootVerity, gpt.UsrVerity:
			place = &v.hash
		case gpt.RootVeritySig, gpt.UsrVeritySig:
		default:
			continue
		}
		if *place != nil {
			return nil, fmt.Errorf("partitions %d and %d are of one kind: %w", (*place).Number, p.Number, ErrUnsupported)
		}
		*place = p
	}
	if v.data == nil || v.hash == nil || v.data.UUID.IsZero() || v.hash.UUID.IsZero() {
		return nil, fmt.Errorf("it lacks a data or a hash partition: %w", ErrUnsupported)
	}
	return v, nil
}

// addSignature adds a signature partition to the table, at the place and with the size that [Build] gives it.
func addSignature(t *gpt.Table, v *verityParts, rootHash []byte) (*gpt.Partition, error) {
	typ, ok := gpt.TypeOf(v.kind, v.arch)
	if !ok {
		return nil, fmt.Errorf("no partition type %s for architecture %q: %w", v.kind, v.arch, ErrUnsupported)
	}
	var number int
	var end int64
	for _, p := range t.Partitions {
		number = max(number, p.Number)
		end = max(end, p.Offset(t.SectorSize)+p.Size(t.SectorSize))
	}
	p := partition(number+1, typ, signatureUUID(rootHash), v.kind, (end+align-1)/align*align, signatureRoom, t.SectorSize)
	if p.LastLBA > t.LastUsable {
		return nil, fmt.Errorf("no room for a signature partition behind the last one: sectors %d to %d are needed, the table ends at %d: %w",
			p.FirstLBA, p.LastLBA, t.LastUsable, ErrUnsupported)
	}
	t.Partitions = append(t.Partitions, p)
	return &t.Partitions[len(t.Partitions)-1], nil
}
