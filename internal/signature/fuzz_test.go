// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package signature

import (
	"bytes"
	"crypto"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"testing"

	"github.com/initddi/initddi/internal/alloctest"
)

func pemOf(c *Certificate) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw})
}

// isOurs tells whether err wraps one of the sentinels.
func isOurs(err error) bool {
	for _, s := range []error{ErrMalformed, ErrUnknownSigner, ErrBadSignature, ErrWeak, ErrUnsupported} {
		if errors.Is(err, s) {
			return true
		}
	}
	return false
}

// vectors are all messages of testdata, the good and the bad.
var vectors = []string{"rsa2048", "rsa2048-nocerts", "rsa2048-attributes", "rsa2048-keyid", "rsa2048-attached",
	"rsa2048-indefinite", "rsa2048-pss", "rsa2048-sha1", "rsa2048-md5", "rsa2048-sha512", "imposter", "rsa1024", "expired",
	"p256", "p384-attributes", "negative", "long", "two"}

// FuzzVerify asserts that nobody gets anything accepted but the contents and signature values that the owners of the keys
// made, whatever else is changed around them.
func FuzzVerify(f *testing.F) {
	content := read(f, "roothash")
	trusted := append(fullStore(f), store(f, "repart", "rsa1024")...)
	repart, err := ParseDocument(read(f, "repart.json"))
	if err != nil {
		f.Fatal(err)
	}
	// values maps the signature values to what they sign.
	values := map[string][]byte{}
	seed := func(der, content []byte) {
		f.Add(der, content)
		if _, err := Verify(der, content, trusted); err != nil {
			return
		}
		m, err := parseMessage(der)
		if err != nil {
			f.Fatal(err)
		}
		for i := range m.signers {
			values[string(m.signers[i].value)] = content
		}
	}
	for _, name := range vectors {
		seed(read(f, name+".p7s"), content)
	}
	seed(repart.Signature, Content(repart.RootHash))
	// Thirteen signatures, but PKCS #1 v1.5 gives four of them the same value.
	if len(values) != 10 {
		f.Fatalf("%d good signature values among the seeds, wanted 10", len(values))
	}
	// The attributes that were signed, as content.
	if m, err := parseMessage(read(f, "rsa2048-attributes.p7s")); err == nil {
		a, err := readAttributes(m.signers[0].attributes)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(read(f, "rsa2048-nocerts.p7s"), a.der)
	}

	f.Fuzz(func(t *testing.T, der, content []byte) {
		defer alloctest.AtMost(t, alloctest.Hostile)()
		c, err := Verify(der, content, trusted)
		if err != nil {
			if !isOurs(err) || c != nil || len(err.Error()) > 2000 {
				t.Fatalf("got %v with %v", c, err)
			}
			return
		}
		m, err := parseMessage(der)
		if err != nil {
			t.Fatal(err)
		}
		if strangers(t, der, trusted) == len(m.signers) {
			t.Fatal("accepted without a trusted signer")
		}
		known := 0
		for i := range m.signers {
			if signed, ok := values[string(m.signers[i].value)]; ok && bytes.Equal(signed, content) {
				known++
			}
		}
		if known == 0 {
			t.Fatalf("forged: %x over %q", der, content)
		}
	})
}

// FuzzParseCertificate asserts that a certificate that parses is the same to crypto/x509 wherever that can read it, and
// that its key never gets past CheckKey when it is weak.
func FuzzParseCertificate(f *testing.F) {
	for _, name := range []string{"rsa2048", "rsa1024", "p256", "p384", "negative", "long", "expired", "repart"} {
		f.Add(store(f, name)[0].Raw)
	}
	f.Add(certSpec{}.build())
	f.Add(certSpec{spki: spki(oidECPublicKey, derOID(oidP521), []byte{2})}.build())
	f.Fuzz(func(t *testing.T, der []byte) {
		c, err := ParseCertificate(der)
		if err != nil {
			if !errors.Is(err, ErrMalformed) || c != nil {
				t.Fatalf("got %v with %v", c, err)
			}
			return
		}
		if !bytes.Equal(c.Raw, der) || len(c.Subject) > 64 || len(c.Serial) == 0 || c.KeyAlgorithm == "" {
			t.Fatalf("got %+v", c)
		}
		if err := c.CheckKey(); err != nil && !isOurs(err) {
			t.Fatal(err)
		}
		if list, err := ParseCertificatesPEM(pemOf(c)); err != nil || len(list) != 1 || !bytes.Equal(list[0].Raw, der) {
			t.Fatalf("as PEM: %v, %v", list, err)
		}
		x, err := x509.ParseCertificate(der)
		if err != nil {
			return // it reads more of the certificate, and so refuses more
		}
		if !bytes.Equal(c.RawIssuer, x.RawIssuer) || !bytes.Equal(c.RawSubject, x.RawSubject) || !bytes.Equal(c.KeyID, x.SubjectKeyId) ||
			!bytes.Equal(bytes.TrimLeft(c.Serial, "\x00"), x.SerialNumber.Bytes()) {
			t.Fatalf("got %+v, crypto/x509 has %+v", c, x)
		}
		if k, ok := c.PublicKey.(interface{ Equal(crypto.PublicKey) bool }); ok && !k.Equal(x.PublicKey) {
			t.Fatalf("got key %v, crypto/x509 has %v", c.PublicKey, x.PublicKey)
		}
	})
}

// FuzzParseDocument asserts the round trip with Encode.
func FuzzParseDocument(f *testing.F) {
	f.Add(read(f, "repart.json"))
	f.Add([]byte(documentWith("", "") + "\x00\x00"))
	f.Add([]byte(documentWith("certificateFingerprint", "-")))
	f.Add([]byte(`{"x":[{"rootHash":1,"y":[]},null,1e999,"\ud800"],"ROOTHASH":"ff",` + documentWith("", "")[1:]))
	f.Add([]byte(documentWith("rootHash", `"AB"`)))
	f.Fuzz(func(t *testing.T, in []byte) {
		defer alloctest.AtMost(t, alloctest.Hostile)()
		d, err := ParseDocument(in)
		if err != nil {
			if !errors.Is(err, ErrMalformed) && !errors.Is(err, ErrWeak) || d != nil {
				t.Fatalf("got %v with %v", d, err)
			}
			return
		}
		b, err := d.Encode()
		if err != nil {
			t.Fatalf("cannot encode what was parsed: %v", err)
		}
		if len(b) < 16<<10 || len(b)%4096 != 0 || len(b) > maxDocument {
			t.Fatalf("encoded in %d bytes", len(b))
		}
		again, err := ParseDocument(b)
		if err != nil {
			t.Fatalf("cannot parse what was encoded: %v", err)
		}
		if !bytes.Equal(d.RootHash, again.RootHash) || !bytes.Equal(d.Signature, again.Signature) ||
			!bytes.Equal(d.CertificateFingerprint, again.CertificateFingerprint) ||
			(d.CertificateFingerprint == nil) != (again.CertificateFingerprint == nil) {
			t.Fatalf("got %+v, wanted %+v", again, d)
		}
	})
}
