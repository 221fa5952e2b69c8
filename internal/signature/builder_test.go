// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package signature

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"testing"
	"time"

	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"
)

// testSigner is a key with its certificate; both live for one test run.
type testSigner struct {
	key  crypto.Signer
	cert *Certificate
}

// newSigner has crypto/x509 make a self-signed certificate.
func newSigner(t testing.TB, key crypto.Signer, name string) *testSigner {
	t.Helper()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(77),
		Subject:      pkix.Name{CommonName: name, Organization: []string{"initddi"}},
		SubjectKeyId: []byte(name),
		NotBefore:    time.Unix(0, 0),
		NotAfter:     time.Unix(1, 0),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	c, err := ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return &testSigner{key, c}
}

func newECDSA(t testing.TB, name string) *testSigner {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return newSigner(t, key, name)
}

func newEd25519(t testing.TB, name string) *testSigner {
	t.Helper()
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return newSigner(t, key, name)
}

// attribute is one signed attribute with raw DER values.
type attribute struct {
	kind   oid
	values [][]byte
	tail   []byte // after the values
}

// spec describes a SignerInfo to build, right or wrong. Zero fields get what is right for the signer.
type spec struct {
	signer     *testSigner
	version    int64
	keyID      bool
	hash       crypto.Hash
	digest     oid
	parameters []byte // of the digest; NULL by default
	algorithm  oid
	sigParams  []byte
	attributes []attribute // nil: none
	signed     []byte      // instead of the content or the attributes
	value      []byte
	tail       []byte // after the signature value
}

// outer describes a SignedData to build.
type outer struct {
	version      int64
	digests      []oid // nil: those of the signers
	contentType  oid
	eContent     []byte // raw, after the content type
	certificates []byte // raw, after the content
	infoType     oid
}

func der(build func(b *cryptobyte.Builder)) []byte {
	var b cryptobyte.Builder
	build(&b)
	return b.BytesOrPanic()
}

func addOID(b *cryptobyte.Builder, o oid) {
	b.AddASN1(asn1.OBJECT_IDENTIFIER, func(b *cryptobyte.Builder) { b.AddBytes([]byte(o)) })
}

func addAlgorithm(b *cryptobyte.Builder, o oid, parameters []byte) {
	b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
		addOID(b, o)
		b.AddBytes(parameters)
	})
}

func octets(b []byte) []byte { return der(func(out *cryptobyte.Builder) { out.AddASN1OctetString(b) }) }

func derOID(o oid) []byte { return der(func(b *cryptobyte.Builder) { addOID(b, o) }) }

var derNull = []byte{5, 0}

// goodAttributes are those of RFC 5652.
func goodAttributes(h crypto.Hash, content []byte) []attribute {
	return []attribute{
		{kind: oidContentType, values: [][]byte{derOID(oidData)}},
		{kind: oidMessageDigest, values: [][]byte{octets(sum(h, content))}},
	}
}

func encodeAttributes(tag asn1.Tag, list []attribute) []byte {
	return der(func(b *cryptobyte.Builder) {
		b.AddASN1(tag, func(b *cryptobyte.Builder) {
			for _, a := range list {
				b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
					addOID(b, a.kind)
					b.AddASN1(asn1.SET, func(b *cryptobyte.Builder) {
						for _, v := range a.values {
							b.AddBytes(v)
						}
					})
					b.AddBytes(a.tail)
				})
			}
		})
	})
}

// fill completes a spec.
func (s spec) fill(t testing.TB, content []byte) spec {
	t.Helper()
	if s.hash == 0 {
		s.hash = crypto.SHA256
		if _, ok := s.signer.key.(ed25519.PrivateKey); ok {
			s.hash = crypto.SHA512
		}
	}
	if s.digest == "" {
		s.digest = map[crypto.Hash]oid{crypto.SHA256: oidSHA256, crypto.SHA384: oidSHA384, crypto.SHA512: oidSHA512}[s.hash]
	}
	if s.parameters == nil {
		s.parameters = derNull
	}
	if s.signed == nil {
		s.signed = content
		if s.attributes != nil {
			s.signed = encodeAttributes(asn1.SET, s.attributes)
		}
	}
	algorithm, message, opts := oid(""), sum(s.hash, s.signed), crypto.SignerOpts(s.hash)
	switch s.signer.key.(type) {
	case *rsa.PrivateKey:
		algorithm = oidRSA
		if s.sigParams == nil {
			s.sigParams = derNull
		}
	case *ecdsa.PrivateKey:
		algorithm = ecdsaWith(s.hash)
	case ed25519.PrivateKey:
		algorithm, message, opts = oidEd25519, s.signed, crypto.Hash(0)
	}
	if s.algorithm == "" {
		s.algorithm = algorithm
	}
	if s.value == nil {
		var err error
		if s.value, err = s.signer.key.Sign(rand.Reader, message, opts); err != nil {
			t.Fatal(err)
		}
	}
	if s.version == 0 {
		s.version = 1
		if s.keyID {
			s.version = 3
		}
	}
	return s
}

// build writes a message.
func build(t testing.TB, content []byte, o outer, specs ...spec) []byte {
	t.Helper()
	if o.version == 0 {
		o.version = 1
	}
	for i, s := range specs {
		specs[i] = s.fill(t, content)
		if s.keyID {
			o.version = max(o.version, 3)
		}
	}
	if o.digests == nil {
		for _, s := range specs {
			o.digests = append(o.digests, s.digest)
		}
	}
	if o.contentType == "" {
		o.contentType = oidData
	}
	if o.infoType == "" {
		o.infoType = oidSignedData
	}
	return der(func(b *cryptobyte.Builder) {
		b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
			addOID(b, o.infoType)
			b.AddASN1(constructed0, func(b *cryptobyte.Builder) {
				b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) { addSignedData(b, o, specs) })
			})
		})
	})
}

func addSignedData(b *cryptobyte.Builder, o outer, specs []spec) {
	b.AddASN1Int64(o.version)
	b.AddASN1(asn1.SET, func(b *cryptobyte.Builder) {
		for _, d := range o.digests {
			addAlgorithm(b, d, derNull)
		}
	})
	b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
		addOID(b, o.contentType)
		b.AddBytes(o.eContent)
	})
	b.AddBytes(o.certificates)
	b.AddASN1(asn1.SET, func(b *cryptobyte.Builder) {
		for _, s := range specs {
			b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) { addSignerInfo(b, s) })
		}
	})
}

func addSignerInfo(b *cryptobyte.Builder, s spec) {
	b.AddASN1Int64(s.version)
	if s.keyID {
		b.AddASN1(primitive0, func(b *cryptobyte.Builder) { b.AddBytes(s.signer.cert.KeyID) })
	} else {
		b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
			b.AddBytes(s.signer.cert.RawIssuer)
			b.AddASN1(asn1.INTEGER, func(b *cryptobyte.Builder) { b.AddBytes(s.signer.cert.Serial) })
		})
	}
	addAlgorithm(b, s.digest, s.parameters)
	if s.attributes != nil {
		b.AddBytes(encodeAttributes(constructed0, s.attributes))
	}
	addAlgorithm(b, s.algorithm, s.sigParams)
	b.AddASN1OctetString(s.value)
	b.AddBytes(s.tail)
}

// list writes n small elements under a tag.
func list(tag asn1.Tag, n int) []byte {
	return der(func(b *cryptobyte.Builder) {
		b.AddASN1(tag, func(b *cryptobyte.Builder) { b.AddBytes(bytes.Repeat([]byte{0x30, 0}, n)) })
	})
}
