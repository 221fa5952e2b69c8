// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package signature

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	stdasn1 "encoding/asn1"
	"errors"
	"strings"
	"testing"

	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"
)

// TestVerifyBuilt verifies messages that OpenSSL would not make.
func TestVerifyBuilt(t *testing.T) {
	content := []byte(strings.Repeat("0123456789abcdef", 4))
	ec, ed, stranger := newECDSA(t, "ec"), newEd25519(t, "ed"), newECDSA(t, "stranger")
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	rs := newSigner(t, rsaKey, "rsa")
	p521Key, err := ecdsa.GenerateKey(elliptic.P521(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	p521 := newSigner(t, p521Key, "p521")
	trusted := []*Certificate{ec.cert, ed.cert, rs.cert, p521.cert}

	good := goodAttributes(crypto.SHA256, content)
	type attrs = []attribute
	with := func(a ...attribute) attrs { return append(attrs{}, a...) }
	otherAttribute := attribute{kind: "\x2a\x03", values: [][]byte{derNull}}
	signedAttrs := encodeAttributes(asn1.SET, good)

	for _, test := range []struct {
		name    string
		content []byte // instead of content, when verifying
		outer   outer
		specs   []spec
		want    *testSigner
		err     error
		text    string
	}{
		{name: "ecdsa", specs: []spec{{signer: ec}}, want: ec},
		{name: "ecdsa SHA-512", specs: []spec{{signer: ec, hash: crypto.SHA512}}, want: ec},
		{name: "ecdsa P-521", specs: []spec{{signer: p521, hash: crypto.SHA512}}, want: p521},
		{name: "rsa", specs: []spec{{signer: rs}}, want: rs},
		{name: "rsa sha384WithRSAEncryption", specs: []spec{{signer: rs, hash: crypto.SHA384, algorithm: oidRSAWithSHA384}}, want: rs},
		{name: "rsa without parameters", specs: []spec{{signer: rs, sigParams: []byte{}, parameters: []byte{}}}, want: rs},
		{name: "ed25519", specs: []spec{{signer: ed, parameters: []byte{}}}, want: ed},
		{name: "ed25519 attributes", specs: []spec{{signer: ed, attributes: goodAttributes(crypto.SHA512, content)}}, want: ed},
		{name: "ed25519 key identifier", specs: []spec{{signer: ed, keyID: true}}, want: ed},
		{name: "attributes", specs: []spec{{signer: ec, attributes: good}}, want: ec},
		{name: "attributes in another order", specs: []spec{{signer: ec, attributes: with(good[1], otherAttribute, good[0])}}, want: ec},
		{name: "32 attributes", specs: []spec{{signer: ec, attributes: append(repeat(otherAttribute, 30), good...)}}, want: ec},
		{name: "unsigned attributes", specs: []spec{{signer: ec, tail: list(constructed1, 32)}}, want: ec},
		{name: "32 certificates and lists", outer: outer{certificates: append(list(constructed0, 32), list(constructed1, 32)...)}, specs: []spec{{signer: ec}}, want: ec},
		{name: "16 signers", specs: repeat(spec{signer: ec}, 16), want: ec},
		{name: "first of two", specs: []spec{{signer: rs}, {signer: ec}}, want: rs},
		{name: "stranger first", specs: []spec{{signer: stranger}, {signer: ec}}, want: ec},
		{name: "stranger of unknown algorithms", specs: []spec{{signer: stranger, digest: "\x2a\x03", algorithm: "\x2a\x04", sigParams: []byte{4, 0}}, {signer: ec}}, want: ec},
		{name: "strangers by issuer and by key identifier", specs: []spec{{signer: ec}, {signer: stranger, keyID: true}}, want: ec},

		{name: "no signers", err: ErrMalformed, text: "signers"},
		{name: "17 signers", specs: repeat(spec{signer: ec}, 17), outer: outer{digests: []oid{oidSHA256}}, err: ErrMalformed, text: "more than 16 signers"},
		{name: "17 digests", specs: []spec{{signer: ec}}, outer: outer{digests: repeat(oidSHA256, 17)}, err: ErrMalformed, text: "digest algorithms"},
		{name: "digest not announced", specs: []spec{{signer: ec}}, outer: outer{digests: []oid{oidSHA512, oidSHA1}}, err: ErrMalformed, text: "digest SHA-256 is not among the message's digests [SHA-512 SHA-1]"},
		{name: "33 certificates", outer: outer{certificates: list(constructed0, 33)}, specs: []spec{{signer: ec}}, err: ErrMalformed, text: "embedded certificates"},
		{name: "33 lists", outer: outer{certificates: list(constructed1, 33)}, specs: []spec{{signer: ec}}, err: ErrMalformed, text: "embedded certificates"},
		{name: "lists before certificates", outer: outer{certificates: append(list(constructed1, 1), list(constructed0, 1)...)}, specs: []spec{{signer: ec}}, err: ErrMalformed, text: "signers"},
		{name: "33 attributes", specs: []spec{{signer: ec, attributes: append(repeat(otherAttribute, 31), good...)}}, err: ErrMalformed, text: "signed attributes"},
		{name: "33 unsigned attributes", specs: []spec{{signer: ec, tail: list(constructed1, 33)}}, err: ErrMalformed, text: "unsigned attributes"},
		{name: "trailing field", specs: []spec{{signer: ec, tail: derNull}}, err: ErrMalformed, text: "unsigned attributes"},

		{name: "enveloped data", outer: outer{infoType: "\x2a\x86\x48\x86\xf7\x0d\x01\x07\x03"}, specs: []spec{{signer: ec}}, err: ErrUnsupported, text: "content type is 1.2.840.113549.1.7.3"},
		{name: "content of another type", outer: outer{contentType: "\x2b\x06\x01\x04\x01\x82\x37\x02\x01\x04"}, specs: []spec{{signer: ec}}, err: ErrUnsupported, text: "content is of type 1.3.6.1.4.1.311.2.1.4"},
		{name: "equal content inside", outer: outer{eContent: der(func(b *cryptobyte.Builder) {
			b.AddASN1(constructed0, func(b *cryptobyte.Builder) { b.AddASN1OctetString(content) })
		})}, specs: []spec{{signer: ec}}, err: ErrMalformed, text: "detached"},
		{name: "version 2", outer: outer{version: 2}, specs: []spec{{signer: ec}}, err: ErrUnsupported, text: "version 2"},
		{name: "version 3 without need", outer: outer{version: 3}, specs: []spec{{signer: ec}}, err: ErrMalformed, text: "version 3, wanted 1"},
		{name: "signer version 3 with a serial number", specs: []spec{{signer: ec, version: 3}}, err: ErrMalformed, text: "subject key identifier"},
		{name: "signer version 2", specs: []spec{{signer: ec, version: 2}}, err: ErrUnsupported, text: "version is 2"},
		{name: "signer version 1 with a key identifier", specs: []spec{{signer: ec, keyID: true, version: 1}}, err: ErrMalformed, text: "issuer and serial"},

		{name: "SHA-224", specs: []spec{{signer: ec, digest: oidSHA224}}, err: ErrWeak, text: "digest is SHA-224"},
		{name: "SHA3-256", specs: []spec{{signer: ec, digest: "\x60\x86\x48\x01\x65\x03\x04\x02\x08"}}, err: ErrUnsupported, text: "digest is 2.16.840.1.101.3.4.2.8"},
		{name: "digest with parameters", specs: []spec{{signer: ec, parameters: []byte{4, 0}}}, err: ErrMalformed, text: "digest algorithm has parameters"},
		{name: "ecdsa-with-SHA1", specs: []spec{{signer: ec, algorithm: oidECDSAWithSHA1}}, err: ErrWeak, text: "ecdsa-with-SHA1"},
		{name: "sha1WithRSAEncryption", specs: []spec{{signer: rs, algorithm: oidRSAWithSHA1}}, err: ErrWeak, text: "sha1WithRSAEncryption"},
		{name: "another digest in the algorithm", specs: []spec{{signer: rs, algorithm: oidRSAWithSHA512}}, err: ErrUnsupported, text: "is sha512WithRSAEncryption, wanted rsaEncryption or sha256WithRSAEncryption"},
		{name: "another digest in ecdsa", specs: []spec{{signer: ec, algorithm: oidECDSAWithSHA384}}, err: ErrUnsupported, text: "is ecdsa-with-SHA384, wanted ecdsa-with-SHA256"},
		{name: "algorithm of another key", specs: []spec{{signer: ec, algorithm: oidRSA}}, err: ErrUnsupported, text: "is rsaEncryption, wanted ecdsa-with-SHA256"},
		{name: "ecPublicKey as an algorithm", specs: []spec{{signer: ec, algorithm: oidECPublicKey}}, err: ErrUnsupported, text: "is ecPublicKey"},
		{name: "ecdsa parameters", specs: []spec{{signer: ec, sigParams: derNull}}, err: ErrUnsupported, text: "ecdsa-with-SHA256"},
		{name: "rsa parameters", specs: []spec{{signer: rs, sigParams: []byte{4, 0}}}, err: ErrUnsupported, text: "rsaEncryption"},
		{name: "ed25519 parameters", specs: []spec{{signer: ed, sigParams: derNull}}, err: ErrUnsupported, text: "Ed25519"},
		{name: "ed25519 under another algorithm", specs: []spec{{signer: ed, algorithm: oidECDSAWithSHA512}}, err: ErrUnsupported, text: "is ecdsa-with-SHA512, wanted Ed25519"},
		{name: "ed25519 with SHA-256", specs: []spec{{signer: ed, hash: crypto.SHA256}}, err: ErrUnsupported, text: "digest is SHA-256, wanted SHA-512"},
		{name: "ed25519 over the digest", specs: []spec{{signer: ed, signed: sum(crypto.SHA512, content)}}, err: ErrBadSignature},
		{name: "weak stranger", specs: []spec{{signer: stranger, digest: oidSHA1}}, err: ErrUnknownSigner},
		{name: "one good, one bad", specs: []spec{{signer: ec}, {signer: rs, value: make([]byte, 256)}}, err: ErrBadSignature, text: `issuer "rsa"`},
		{name: "one good, one weak", specs: []spec{{signer: ec}, {signer: rs, digest: oidSHA1}}, err: ErrWeak},
		{name: "empty value", specs: []spec{{signer: rs, value: []byte{}}}, err: ErrBadSignature},
		{name: "zero value", specs: []spec{{signer: rs, value: make([]byte, 256)}}, err: ErrBadSignature},
		{name: "long value", specs: []spec{{signer: rs, value: make([]byte, 257)}}, err: ErrBadSignature},
		{name: "zero ecdsa", specs: []spec{{signer: ec, value: []byte{0x30, 6, 2, 1, 0, 2, 1, 0}}}, err: ErrBadSignature},

		{name: "empty attributes", specs: []spec{{signer: ec, attributes: attrs{}, signed: content}}, err: ErrMalformed, text: "signed attributes"},
		{name: "no contentType", specs: []spec{{signer: ec, attributes: good[1:]}}, err: ErrMalformed, text: "contentType attribute is missing"},
		{name: "no messageDigest", specs: []spec{{signer: ec, attributes: good[:1]}}, err: ErrMalformed, text: "messageDigest attribute is missing"},
		{name: "contentType twice", specs: []spec{{signer: ec, attributes: with(good[0], good[1], good[0])}}, err: ErrMalformed, text: "contentType"},
		{name: "messageDigest twice", specs: []spec{{signer: ec, attributes: with(good[0], good[1], good[1])}}, err: ErrMalformed, text: "messageDigest"},
		{name: "contentType of two values", specs: []spec{{signer: ec, attributes: with(attribute{kind: oidContentType, values: [][]byte{derOID(oidData), derOID(oidData)}}, good[1])}}, err: ErrMalformed, text: "contentType"},
		{name: "contentType of no value", specs: []spec{{signer: ec, attributes: with(attribute{kind: oidContentType, values: nil}, good[1])}}, err: ErrMalformed, text: "contentType"},
		{name: "messageDigest of two values", specs: []spec{{signer: ec, attributes: with(good[0], attribute{kind: oidMessageDigest, values: [][]byte{good[1].values[0], good[1].values[0]}})}}, err: ErrMalformed, text: "messageDigest"},
		{name: "messageDigest empty", specs: []spec{{signer: ec, attributes: with(good[0], attribute{kind: oidMessageDigest, values: [][]byte{octets(nil)}})}}, err: ErrMalformed, text: "messageDigest"},
		{name: "messageDigest not octets", specs: []spec{{signer: ec, attributes: with(good[0], attribute{kind: oidMessageDigest, values: [][]byte{derNull}})}}, err: ErrMalformed, text: "messageDigest"},
		{name: "contentType signedData", specs: []spec{{signer: ec, attributes: with(attribute{kind: oidContentType, values: [][]byte{derOID(oidSignedData)}}, good[1])}}, err: ErrMalformed, text: "contentType attribute is 1.2.840.113549.1.7.2"},
		{name: "digest of another content", specs: []spec{{signer: ec, attributes: goodAttributes(crypto.SHA256, []byte("x"))}}, err: ErrBadSignature, text: "content has SHA-256"},
		{name: "digest of another hash", specs: []spec{{signer: ec, attributes: goodAttributes(crypto.SHA384, content)}}, err: ErrBadSignature, text: "content has SHA-256"},
		{name: "digest shortened", specs: []spec{{signer: ec, attributes: with(good[0], attribute{kind: oidMessageDigest, values: [][]byte{octets(sum(crypto.SHA256, content)[:31])}})}}, err: ErrBadSignature, text: "content has SHA-256"},
		{name: "attribute of three fields", specs: []spec{{signer: ec, attributes: with(good[0], good[1], attribute{kind: "\x2a\x03", tail: derNull})}}, err: ErrMalformed, text: "signed attributes"},
		{name: "attributes not signed", specs: []spec{{signer: ec, attributes: good, signed: content}}, err: ErrBadSignature},
		{name: "attributes signed under their tag", specs: []spec{{signer: ec, attributes: good, signed: encodeAttributes(constructed0, good)}}, err: ErrBadSignature},
		{name: "attributes as content", content: signedAttrs, specs: []spec{{signer: ec, signed: signedAttrs}}, err: ErrMalformed, text: "content is made of signed attributes"},
	} {
		t.Run(test.name, func(t *testing.T) {
			message := build(t, content, test.outer, test.specs...)
			over := content
			if test.content != nil {
				over = test.content
			}
			got, err := Verify(message, over, trusted)
			if !errors.Is(err, test.err) || (err != nil && !strings.Contains(err.Error(), test.text)) {
				t.Fatalf("got error %v, wanted %v with %q", err, test.err, test.text)
			}
			if err != nil {
				if got != nil {
					t.Errorf("got %v with an error", got)
				}
				return
			}
			if got != test.want.cert {
				t.Errorf("signed by %v, wanted %v", got, test.want.cert)
			}
		})
	}
}

// TestVerifyEmptyKeyID has a signer without a name, which must not become that of a certificate without a key identifier.
func TestVerifyEmptyKeyID(t *testing.T) {
	s := newECDSA(t, "ec")
	s.cert.KeyID = nil
	if c, err := Verify(build(t, nil, outer{}, spec{signer: s, keyID: true}), nil, []*Certificate{s.cert}); !errors.Is(err, ErrMalformed) {
		t.Errorf("got %v, %v, wanted %v", c, err, ErrMalformed)
	}
}

// TestVerifyExtraElements appends an element to each structure of a message in turn.
func TestVerifyExtraElements(t *testing.T) {
	trusted, content := fullStore(t), read(t, "roothash")
	for _, name := range []string{"rsa2048-attributes", "rsa2048-keyid", "p256", "two"} {
		variants := withExtra(t, read(t, name+".p7s"))
		if len(variants) < 10 {
			t.Fatalf("%s: only %d structures", name, len(variants))
		}
		for i, v := range variants {
			c, err := Verify(v, content, trusted)
			if err == nil && name == "two" && strangers(t, v, trusted) == 1 {
				continue // the other signer's issuer has become another name
			}
			if err == nil {
				t.Errorf("%s: structure %d: accepted as of %v: %x", name, i, c, v)
			}
		}
	}
}

// withExtra returns copies of an element in which one of the structures in it has one more at its end: an empty OCTET
// STRING, because a NULL is allowed where parameters are absent.
func withExtra(t *testing.T, element []byte) [][]byte {
	t.Helper()
	in := cryptobyte.String(element)
	var inside cryptobyte.String
	var tag asn1.Tag
	if !in.ReadAnyASN1(&inside, &tag) || !in.Empty() {
		t.Fatalf("not an element: %x", element)
	}
	if tag&0x20 == 0 {
		return nil
	}
	wrap := func(parts ...[]byte) []byte {
		return der(func(b *cryptobyte.Builder) {
			b.AddASN1(tag, func(b *cryptobyte.Builder) { b.AddBytes(bytes.Join(parts, nil)) })
		})
	}
	out := [][]byte{wrap(inside, []byte{4, 0})}
	for before, rest := cryptobyte.String(nil), inside; !rest.Empty(); {
		var child cryptobyte.String
		var childTag asn1.Tag
		if !rest.ReadAnyASN1Element(&child, &childTag) {
			t.Fatalf("not elements: %x", inside)
		}
		for _, v := range withExtra(t, child) {
			out = append(out, wrap(before, v, rest))
		}
		before = inside[:len(inside)-len(rest)]
	}
	return out
}

func repeat[T any](v T, n int) []T {
	var out []T
	for range n {
		out = append(out, v)
	}
	return out
}

// TestErrorsAreBounded has the message of an error not grow with a hostile message.
func TestErrorsAreBounded(t *testing.T) {
	s := newECDSA(t, strings.Repeat("n", 500)+"\x1b[31m")
	s.cert.Serial = bytes.Repeat([]byte{0x7f}, 50000)
	_, err := Verify(build(t, nil, outer{}, repeat(spec{signer: s}, 16)...), nil, nil)
	if !errors.Is(err, ErrUnknownSigner) || len(err.Error()) > 1000 || strings.ContainsRune(err.Error(), 0x1b) || !strings.Contains(err.Error(), "12 more") {
		t.Errorf("got %d bytes: %v", len(err.Error()), err)
	}
	algorithm := oid(bytes.Repeat([]byte{1}, 50000))
	ok := newECDSA(t, "ec")
	_, err = Verify(build(t, nil, outer{}, spec{signer: ok, digest: algorithm}), nil, []*Certificate{ok.cert})
	if !errors.Is(err, ErrUnsupported) || len(err.Error()) > 1000 {
		t.Errorf("got %d bytes: %v", len(err.Error()), err)
	}
}

// TestOIDs compares the constants with what encoding/asn1 makes of the dotted form.
func TestOIDs(t *testing.T) {
	for o, want := range map[oid]stdasn1.ObjectIdentifier{
		oidData: {1, 2, 840, 113549, 1, 7, 1}, oidSignedData: {1, 2, 840, 113549, 1, 7, 2},
		oidContentType: {1, 2, 840, 113549, 1, 9, 3}, oidMessageDigest: {1, 2, 840, 113549, 1, 9, 4},
		oidMD5: {1, 2, 840, 113549, 2, 5}, oidSHA1: {1, 3, 14, 3, 2, 26},
		oidSHA224: {2, 16, 840, 1, 101, 3, 4, 2, 4}, oidSHA256: {2, 16, 840, 1, 101, 3, 4, 2, 1},
		oidSHA384: {2, 16, 840, 1, 101, 3, 4, 2, 2}, oidSHA512: {2, 16, 840, 1, 101, 3, 4, 2, 3},
		oidRSA: {1, 2, 840, 113549, 1, 1, 1}, oidRSAWithMD5: {1, 2, 840, 113549, 1, 1, 4}, oidRSAWithSHA1: {1, 2, 840, 113549, 1, 1, 5},
		oidRSAPSS: {1, 2, 840, 113549, 1, 1, 10}, oidRSAWithSHA256: {1, 2, 840, 113549, 1, 1, 11}, oidRSAWithSHA384: {1, 2, 840, 113549, 1, 1, 12},
		oidRSAWithSHA512: {1, 2, 840, 113549, 1, 1, 13}, oidRSAWithSHA224: {1, 2, 840, 113549, 1, 1, 14},
		oidECPublicKey: {1, 2, 840, 10045, 2, 1}, oidECDSAWithSHA1: {1, 2, 840, 10045, 4, 1}, oidECDSAWithSHA224: {1, 2, 840, 10045, 4, 3, 1},
		oidECDSAWithSHA256: {1, 2, 840, 10045, 4, 3, 2}, oidECDSAWithSHA384: {1, 2, 840, 10045, 4, 3, 3}, oidECDSAWithSHA512: {1, 2, 840, 10045, 4, 3, 4},
		oidP256: {1, 2, 840, 10045, 3, 1, 7}, oidP384: {1, 3, 132, 0, 34}, oidP521: {1, 3, 132, 0, 35}, oidEd25519: {1, 3, 101, 112},
		oidCommonName: {2, 5, 4, 3}, oidOrganization: {2, 5, 4, 10}, oidSubjectKeyIdentifier: {2, 5, 29, 14},
		"\x88\x37\x03": {2, 999, 3},
	} {
		b, err := stdasn1.Marshal(want)
		if err != nil || string(b[2:]) != string(o) {
			t.Errorf("%v: is %x, wanted %x", want, o, b[2:])
		}
		if o.dotted() != want.String() {
			t.Errorf("%x: dotted %s, wanted %v", o, o.dotted(), want)
		}
	}
	if got, want := oid(strings.Repeat("\x01", 40)).dotted(), "0."+strings.Repeat("1.", 14)+"1…"; got != want {
		t.Errorf("long: got %s, wanted %s", got, want)
	}
	if got := oid("\xff\xff").dotted(); got != "" {
		t.Errorf("unfinished: got %s", got)
	}
}
