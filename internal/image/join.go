// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package image

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"os"

	"github.com/initddi/initddi/internal/gpt"
	"github.com/initddi/initddi/internal/guid"
	"github.com/initddi/initddi/internal/signature"
)

// Join puts a signature that was made elsewhere into an image that was built without one. The signature is checked first, with
// the certificate: an image that nobody will accept is not made. It returns the root hash, in hexadecimal.
func Join(name string, der, certPEM []byte) (string, error) {
	certs, err := signature.ParseCertificatesPEM(certPEM)
	if err != nil {
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
	var data, hash guid.GUID
	var sig *gpt.Partition
	for i, p := range table.Partitions {
		switch d, _, _ := gpt.Lookup(p.Type); d {
		case gpt.Root, gpt.Usr:
			data = p.UUID
		case gpt.RootVerity, gpt.UsrVerity:
			hash = p.UUID
		case gpt.RootVeritySig, gpt.UsrVeritySig:
			sig = &table.Partitions[i]
		}
	}
	if sig == nil || data.IsZero() || hash.IsZero() {
		return "", fmt.Errorf("cannot sign %s: it lacks a data, hash or signature partition: %w", name, ErrUnsupported)
	}
	rootHash := append(data[:], hash[:]...)
	signer, err := signature.Verify(der, signature.Content(rootHash), certs)
	if err != nil {
		return "", fmt.Errorf("cannot use the signature for root hash %x: %w", rootHash, err)
	}
	fp := sha256.Sum256(signer.Raw)
	doc, err := signature.Document{RootHash: rootHash, Signature: der, CertificateFingerprint: fp[:]}.Encode()
	if err != nil {
		return "", err
	}
	if room := sig.Size(table.SectorSize); int64(len(doc)) > room {
		return "", fmt.Errorf("cannot sign %s: the signature takes %d bytes, its partition has %d: %w", name, len(doc), room, ErrUnsupported)
	}
	if _, err := io.NewOffsetWriter(f, sig.Offset(table.SectorSize)).Write(doc); err != nil {
		return "", fmt.Errorf("cannot write the signature: %w", err)
	}
	return hex.EncodeToString(rootHash), f.Close()
}
