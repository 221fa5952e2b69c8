// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package resolve

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/smallstep/pkcs7"

	"github.com/initddi/initddi/internal/extent"
	"github.com/initddi/initddi/internal/gpt"
	"github.com/initddi/initddi/internal/guid"
	"github.com/initddi/initddi/internal/osrelease"
	"github.com/initddi/initddi/internal/plan"
	"github.com/initddi/initddi/internal/signature"
)

// signer is a key with its certificate, made for one run of the tests.
type signer struct {
	key  *ecdsa.PrivateKey
	x509 *x509.Certificate
	cert *signature.Certificate
}

func newSigner(t testing.TB, name string) *signer {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	serial := new(big.Int).SetBytes([]byte(name))
	template := &x509.Certificate{SerialNumber: serial, Subject: pkix.Name{CommonName: name}, NotAfter: time.Unix(1<<31, 0)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	s := &signer{key: key}
	if s.x509, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	if s.cert, err = signature.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	return s
}

// sign makes the detached PKCS#7 signature of a root hash.
func (s *signer) sign(t testing.TB, rootHash []byte) []byte {
	t.Helper()
	d, err := pkcs7.NewSignedData(signature.Content(rootHash))
	if err != nil {
		t.Fatal(err)
	}
	d.SetDigestAlgorithm(pkcs7.OIDDigestAlgorithmSHA256)
	if err := d.AddSigner(s.x509, s.key, pkcs7.SignerInfoConfig{}); err != nil {
		t.Fatal(err)
	}
	d.Detach()
	der, err := d.Finish()
	if err != nil {
		t.Fatal(err)
	}
	return der
}

// hashOf stands for the root hash of an image.
func hashOf(content string) []byte {
	h := sha256.Sum256([]byte(content))
	return h[:]
}

// longHash stands for a root hash of a longer algorithm.
func longHash(content string, n int) []byte {
	return append(hashOf(content), hashOf(content+"more")...)[:n]
}

// typeOf is a partition type of x86-64.
func typeOf(t testing.TB, d gpt.Designator) guid.GUID {
	t.Helper()
	g, ok := gpt.TypeOf(d, gpt.X86_64)
	if !ok {
		t.Fatalf("no type for %s", d)
	}
	return g
}

// ddi is what is read of an image with that root hash; by is nil for an unsigned one.
func ddi(t testing.TB, rootHash []byte, by *signer) *Image {
	t.Helper()
	data, hash, err := gpt.RootHashUUIDs(rootHash)
	if err != nil {
		t.Fatal(err)
	}
	img := &Image{
		Extents: extent.List{{Offset: 1 << 20, Length: 8 << 20}},
		Table: &gpt.Table{SectorSize: 512, Partitions: []gpt.Partition{
			{Number: 1, Type: typeOf(t, gpt.Root), UUID: data, FirstLBA: 2048, LastLBA: 4095, Name: "root"},
			{Number: 2, Type: typeOf(t, gpt.RootVerity), UUID: hash, FirstLBA: 4096, LastLBA: 6143, Name: "root-verity"},
		}},
	}
	if by != nil {
		img.Table.Partitions = append(img.Table.Partitions, gpt.Partition{
			Number: 3, Type: typeOf(t, gpt.RootVeritySig), UUID: guid.MustParse("11111111-2222-4333-8444-555555555555"), FirstLBA: 6144, LastLBA: 6175,
		})
		img.Signature = &signature.Document{RootHash: rootHash, Signature: by.sign(t, rootHash)}
	}
	return img
}

// osTree is a tree of an OS image that the empty identity takes.
func osTree(t testing.TB, osRelease string) *Tree {
	t.Helper()
	f, err := osrelease.Parse([]byte(osRelease))
	if err != nil {
		t.Fatal(err)
	}
	return &Tree{Designator: gpt.Root, FileSystem: "erofs", Kind: plan.KindOS, OSRelease: f, HasOS: true, Init: "/sbin/init"}
}

// wantRefusal checks rule, and that the sentence has every one of the words.
func wantRefusal(t *testing.T, r *Refusal, rule Rule, words ...string) {
	t.Helper()
	if r == nil {
		t.Fatalf("accepted, want a refusal for %s", rule)
	}
	if r.Rule != rule {
		t.Errorf("refused for %s (%v), want %s", r.Rule, r, rule)
	}
	for _, w := range words {
		if !strings.Contains(r.Error(), w) {
			t.Errorf("%q does not say %q", r.Error(), w)
		}
	}
}
