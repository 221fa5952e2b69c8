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
	"encoding/hex"
	"encoding/pem"
	"errors"
	"math/big"
	"strings"
	"testing"

	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"
)

// certSpec describes a certificate to build, right or wrong. Zero fields get something right.
type certSpec struct {
	version    []byte // raw; v3 by default
	serial     []byte
	subject    []byte // raw
	spki       []byte // raw
	extensions []byte // raw, with its [3]
	tail       []byte // after the signature
	after      []byte // after the certificate
}

func (s certSpec) build() []byte {
	or := func(b, otherwise []byte) []byte {
		if b == nil {
			return otherwise
		}
		return b
	}
	return append(der(func(b *cryptobyte.Builder) {
		b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
			b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
				b.AddBytes(or(s.version, []byte{0xa0, 3, 2, 1, 2}))
				b.AddASN1(asn1.INTEGER, func(b *cryptobyte.Builder) { b.AddBytes(or(s.serial, []byte{1})) })
				addAlgorithm(b, oidRSAWithSHA256, derNull)
				b.AddBytes(name(nameAttribute(oidCommonName, asn1.UTF8String, "issuer")))
				b.AddASN1(asn1.SEQUENCE, func(*cryptobyte.Builder) {})
				b.AddBytes(or(s.subject, name(nameAttribute(oidCommonName, asn1.UTF8String, "subject"))))
				b.AddBytes(or(s.spki, spkiEd25519))
				b.AddBytes(s.extensions)
			})
			addAlgorithm(b, oidRSAWithSHA256, derNull)
			b.AddASN1BitString([]byte("signature"))
			b.AddBytes(s.tail)
		})
	}), s.after...)
}

var spkiEd25519 = spki(oidEd25519, nil, make([]byte, 32))

func spki(o oid, parameters, key []byte) []byte {
	return der(func(b *cryptobyte.Builder) {
		b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
			addAlgorithm(b, o, parameters)
			b.AddASN1BitString(key)
		})
	})
}

func spkiRSA(n, e *big.Int) []byte {
	return spki(oidRSA, derNull, der(func(b *cryptobyte.Builder) {
		b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
			b.AddASN1BigInt(n)
			b.AddASN1BigInt(e)
		})
	}))
}

// name returns a Name with one attribute in each relative name.
func name(attributes ...[]byte) []byte {
	return der(func(b *cryptobyte.Builder) {
		b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
			for _, a := range attributes {
				b.AddASN1(asn1.SET, func(b *cryptobyte.Builder) { b.AddBytes(a) })
			}
		})
	})
}

func nameAttribute(o oid, tag asn1.Tag, value string) []byte {
	return der(func(b *cryptobyte.Builder) {
		b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
			addOID(b, o)
			b.AddASN1(tag, func(b *cryptobyte.Builder) { b.AddBytes([]byte(value)) })
		})
	})
}

// extensions returns the last field of a certificate; each argument is an identifier and a raw value.
func extensions(list ...[2][]byte) []byte {
	return der(func(b *cryptobyte.Builder) {
		b.AddASN1(constructed3, func(b *cryptobyte.Builder) {
			b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
				for i, e := range list {
					b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
						addOID(b, oid(e[0]))
						if i%2 == 1 {
							b.AddASN1Boolean(true)
						}
						b.AddASN1OctetString(e[1])
					})
				}
			})
		})
	})
}

// TestParseCertificate compares every certificate of testdata with what crypto/x509 reads.
func TestParseCertificate(t *testing.T) {
	for _, file := range []string{"rsa2048", "imposter", "rsa1024", "p256", "p384", "long", "expired", "repart"} {
		block, _ := pem.Decode(read(t, file+".crt"))
		want, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			t.Fatal(err)
		}
		got, err := ParseCertificate(block.Bytes)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got.Raw, want.Raw) || !bytes.Equal(got.RawIssuer, want.RawIssuer) || !bytes.Equal(got.RawSubject, want.RawSubject) {
			t.Errorf("%s: raw parts differ", file)
		}
		if !bytes.Equal(bytes.TrimLeft(got.Serial, "\x00"), want.SerialNumber.Bytes()) || !bytes.Equal(got.KeyID, want.SubjectKeyId) {
			t.Errorf("%s: got serial %x, key id %x, wanted %x, %x", file, got.Serial, got.KeyID, want.SerialNumber, want.SubjectKeyId)
		}
		if got.Subject != want.Subject.CommonName {
			t.Errorf("%s: got subject %q, wanted %q", file, got.Subject, want.Subject.CommonName)
		}
		if key, ok := got.PublicKey.(interface{ Equal(crypto.PublicKey) bool }); !ok || !key.Equal(want.PublicKey) {
			t.Errorf("%s: got key %v, wanted %v", file, got.PublicKey, want.PublicKey)
		}
		block.Bytes[20] ^= 1
		if bytes.Equal(got.Raw, block.Bytes) {
			t.Errorf("%s: shares memory with its input", file)
		}
	}
	// crypto/x509 refuses this one.
	if c := store(t, "negative")[0]; hex.EncodeToString(c.Serial) != "ff7f" {
		t.Errorf("serial -129 is %x", c.Serial)
	}
}

func TestFingerprint(t *testing.T) {
	// openssl x509 -fingerprint -sha256 -in repart.crt
	f := store(t, "repart")[0].Fingerprint()
	if got, want := hex.EncodeToString(f[:]), "62f53b66fd8e5b98d59a8114650ab5619f85c797f3df56b6228192760d82f132"; got != want {
		t.Errorf("got %s, wanted %s", got, want)
	}
}

func TestParseCertificateBuilt(t *testing.T) {
	skid := []byte(oidSubjectKeyIdentifier)
	many := strings.Repeat("x", 70000)
	for _, test := range []struct {
		name    string
		spec    certSpec
		text    string // of the error; none: no error
		subject string
		keyID   string
	}{
		{name: "plain", subject: "subject"},
		{name: "v1", spec: certSpec{version: []byte{}}, subject: "subject"},
		{name: "key id", spec: certSpec{extensions: extensions([2][]byte{[]byte("\x2a\x03"), []byte("x")}, [2][]byte{skid, octets([]byte("id"))})}, subject: "subject", keyID: "id"},
		{name: "escape codes", spec: certSpec{subject: name(nameAttribute(oidCommonName, asn1.UTF8String, "\x1b[31m\r\nü\xff"))}, subject: "?[31m????"},
		{name: "long name", spec: certSpec{subject: name(nameAttribute(oidCommonName, asn1.UTF8String, strings.Repeat("é", 500)))}, subject: strings.Repeat("?", 64)},
		{name: "organization", spec: certSpec{subject: name(nameAttribute(oidOrganization, asn1.PrintableString, "org"), nameAttribute("\x55\x04\x06", asn1.PrintableString, "DE"))}, subject: "org"},
		{name: "common name after organization", spec: certSpec{subject: name(nameAttribute(oidOrganization, asn1.PrintableString, "org"), nameAttribute(oidCommonName, asn1.UTF8String, "cn"))}, subject: "cn"},
		{name: "no name", spec: certSpec{subject: name()}},
		{name: "unreadable name", spec: certSpec{subject: []byte{0x30, 2, 0x31, 9}}},
		{name: "serial 0", spec: certSpec{serial: []byte{0}}, subject: "subject"},

		{name: "explicit v1", spec: certSpec{version: []byte{0xa0, 3, 2, 1, 0}}, text: "version"},
		{name: "v4", spec: certSpec{version: []byte{0xa0, 3, 2, 1, 3}}, text: "version"},
		{name: "version padded", spec: certSpec{version: []byte{0xa0, 4, 2, 2, 0, 2}}, text: "version"},
		{name: "empty serial", spec: certSpec{serial: []byte{}}, text: "serial number"},
		{name: "padded serial", spec: certSpec{serial: []byte{0, 1}}, text: "serial number"},
		{name: "padded negative serial", spec: certSpec{serial: []byte{0xff, 0x80}}, text: "serial number"},
		{name: "extensions in v2", spec: certSpec{version: []byte{0xa0, 3, 2, 1, 1}, extensions: extensions()}, text: "extensions"},
		{name: "two key ids", spec: certSpec{extensions: extensions([2][]byte{skid, octets([]byte("id"))}, [2][]byte{skid, octets([]byte("id"))})}, text: "subject key identifier"},
		{name: "empty key id", spec: certSpec{extensions: extensions([2][]byte{skid, octets(nil)})}, text: "subject key identifier"},
		{name: "key id not octets", spec: certSpec{extensions: extensions([2][]byte{skid, []byte("id")})}, text: "subject key identifier"},
		{name: "after the key id", spec: certSpec{extensions: extensions([2][]byte{skid, append(octets([]byte("id")), 5, 0)})}, text: "subject key identifier"},
		{name: "after extensions", spec: certSpec{extensions: append(extensions(), 5, 0)}, text: "extensions"},
		{name: "after signature", spec: certSpec{tail: derNull}, text: "outer structure"},
		{name: "after certificate", spec: certSpec{after: []byte{0}}, text: "outer structure"},
		{name: "too large", spec: certSpec{subject: name(nameAttribute(oidCommonName, asn1.UTF8String, many))}, text: "wanted at most 65536"},
		{name: "key not DER", spec: certSpec{spki: spki(oidRSA, derNull, []byte("key"))}, text: "RSA public key"},
		{name: "RSA key of three numbers", spec: certSpec{spki: spki(oidRSA, derNull, []byte{0x30, 9, 2, 1, 5, 2, 1, 3, 2, 1, 1})}, text: "RSA public key"},
		{name: "after the RSA key", spec: certSpec{spki: spki(oidRSA, derNull, []byte{0x30, 6, 2, 1, 5, 2, 1, 3, 0})}, text: "RSA public key"},
		{name: "after the key", spec: certSpec{spki: append([]byte{0x30, 44}, append(spkiEd25519[2:], 5, 0)...)}, text: "public key"},
		{name: "negative modulus", spec: certSpec{spki: spkiRSA(big.NewInt(-5), big.NewInt(3))}, text: "RSA public key"},
		{name: "negative exponent", spec: certSpec{spki: spkiRSA(big.NewInt(5), big.NewInt(-3))}, text: "RSA public key"},
		{name: "RSA without NULL", spec: certSpec{spki: spki(oidRSA, nil, []byte{0x30, 6, 2, 1, 5, 2, 1, 3})}, text: "RSA public key"},
		{name: "short Ed25519", spec: certSpec{spki: spki(oidEd25519, nil, make([]byte, 31))}, text: "Ed25519 public key"},
		{name: "Ed25519 with NULL", spec: certSpec{spki: spki(oidEd25519, derNull, make([]byte, 32))}, text: "Ed25519 public key"},
		{name: "not on the curve", spec: certSpec{spki: spki(oidECPublicKey, derOID(oidP256), append([]byte{4}, make([]byte, 64)...))}, text: "ECDSA P-256 public key"},
		{name: "infinity", spec: certSpec{spki: spki(oidECPublicKey, derOID(oidP256), []byte{0})}, text: "ECDSA P-256 public key"},
		{name: "empty point", spec: certSpec{spki: spki(oidECPublicKey, derOID(oidP256), nil)}, text: "ECDSA P-256 public key"},
	} {
		t.Run(test.name, func(t *testing.T) {
			c, err := ParseCertificate(test.spec.build())
			if test.text != "" {
				if !errors.Is(err, ErrMalformed) || !strings.Contains(err.Error(), test.text) {
					t.Errorf("got %v, %v, wanted %v with %q", c, err, ErrMalformed, test.text)
				}
				return
			}
			if err != nil || c.Subject != test.subject || string(c.KeyID) != test.keyID {
				t.Errorf("got %v, %v, wanted %q, %q", c, err, test.subject, test.keyID)
			}
		})
	}
}

// TestCheckKey has certificates with keys that are of no use: they parse, they say what they are, they verify nothing.
func TestCheckKey(t *testing.T) {
	bits := func(n uint) *big.Int { return new(big.Int).Sub(new(big.Int).Lsh(big.NewInt(1), n), big.NewInt(1)) }
	exponent := func(e int64) []byte { return spkiRSA(bits(2048), big.NewInt(e)) }
	signer, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	point := elliptic.MarshalCompressed(elliptic.P256(), elliptic.P256().Params().Gx, elliptic.P256().Params().Gy)
	for _, test := range []struct {
		spki      []byte
		algorithm string
		err       error
		text      string
	}{
		{exponent(65537), "RSA-2048", nil, ""},
		{exponent(3), "RSA-2048", nil, ""},
		{exponent(1<<31 - 1), "RSA-2048", nil, ""},
		{spkiRSA(bits(16384), big.NewInt(65537)), "RSA-16384", nil, ""},
		{spkiEd25519, "Ed25519", nil, ""},

		{spkiRSA(bits(2047), big.NewInt(65537)), "RSA-2047", ErrWeak, "has 2047 bits, wanted at least 2048"},
		{spkiRSA(bits(1024), big.NewInt(65537)), "RSA-1024", ErrWeak, "has 1024 bits"},
		{spkiRSA(big.NewInt(0), big.NewInt(65537)), "RSA-0", ErrWeak, "has 0 bits"},
		{spkiRSA(new(big.Int).Lsh(big.NewInt(1), 2047), big.NewInt(65537)), "RSA-2048", ErrWeak, "even modulus"},
		{exponent(0), "RSA-2048", ErrWeak, "exponent 0"},
		{exponent(1), "RSA-2048", ErrWeak, "exponent 1"},
		{exponent(2), "RSA-2048", ErrWeak, "exponent 2"},
		{exponent(65536), "RSA-2048", ErrWeak, "exponent 65536"},
		{exponent(1<<31 + 1), "RSA-2048 with exponent 2147483649", ErrUnsupported, "2147483649"},
		{exponent(1<<32 + 1), "RSA-2048 with an exponent of 5 bytes", ErrUnsupported, "5 bytes"},
		{spkiRSA(bits(16385), big.NewInt(65537)), "RSA with a modulus of 2049 bytes", ErrUnsupported, "2049 bytes"},
		{spki(oidECPublicKey, derOID(oidP256), point), "ECDSA P-256 compressed", ErrUnsupported, "compressed"},
		{spki(oidECPublicKey, derOID("\x2b\x81\x04\x00\x0a"), []byte{4}), "ECDSA curve 1.3.132.0.10", ErrUnsupported, "1.3.132.0.10"},
		{spki(oidECPublicKey, []byte{0x30, 0}, []byte{4}), "ECDSA without a named curve", ErrUnsupported, "named curve"},
		{spki(oidECPublicKey, nil, []byte{4}), "ECDSA without a named curve", ErrUnsupported, "named curve"},
		{spki(oidRSAPSS, nil, []byte{4}), "RSASSA-PSS", ErrUnsupported, "RSASSA-PSS), wanted RSA, "},
		{spki("\x2b\x65\x71", nil, make([]byte, 57)), "1.3.101.113", ErrUnsupported, "1.3.101.113"},
	} {
		c, err := ParseCertificate(certSpec{spki: test.spki}.build())
		if err != nil {
			t.Errorf("%s: %v", test.algorithm, err)
			continue
		}
		if c.KeyAlgorithm != test.algorithm {
			t.Errorf("got %q, wanted %q", c.KeyAlgorithm, test.algorithm)
		}
		err = c.CheckKey()
		if !errors.Is(err, test.err) || (err != nil && !strings.Contains(err.Error(), test.text)) {
			t.Errorf("%s: got %v, wanted %v with %q", test.algorithm, err, test.err, test.text)
		}
		if err == nil {
			continue
		}
		s := &testSigner{signer, c}
		if got, verr := Verify(build(t, nil, outer{}, spec{signer: s}), nil, []*Certificate{c}); !errors.Is(verr, test.err) || got != nil {
			t.Errorf("%s: verified: %v, %v, wanted %v", test.algorithm, got, verr, test.err)
		}
	}
}

// TestCheckKeyOfAnyOrigin has keys that no certificate gave.
func TestCheckKeyOfAnyOrigin(t *testing.T) {
	for _, key := range []crypto.PublicKey{
		nil, "key", ed25519.PublicKey("short"), &ecdsa.PublicKey{}, &ecdsa.PublicKey{Curve: elliptic.P224()},
		&rsa.PublicKey{N: new(big.Int).Lsh(big.NewInt(1), 20000).SetBit(big.NewInt(1), 20000, 1), E: 3},
	} {
		if err := (&Certificate{PublicKey: key}).CheckKey(); !errors.Is(err, ErrUnsupported) {
			t.Errorf("%T: got %v, wanted %v", key, err, ErrUnsupported)
		}
	}
}

// TestExponentOne forges a signature: with exponent 1 the padded digest is its own signature.
func TestExponentOne(t *testing.T) {
	n := new(big.Int).Sub(new(big.Int).Lsh(big.NewInt(1), 2048), big.NewInt(1))
	c, err := ParseCertificate(certSpec{spki: spkiRSA(n, big.NewInt(1))}.build())
	if err != nil {
		t.Fatal(err)
	}
	prefix, _ := hex.DecodeString("3031300d060960864801650304020105000420")
	digest := append(prefix, sum(crypto.SHA256, []byte("content"))...)
	value := append([]byte{0, 1}, bytes.Repeat([]byte{0xff}, 256-3-len(digest))...)
	value = append(append(value, 0), digest...)
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	s := &testSigner{key, c}
	message := build(t, []byte("content"), outer{}, spec{signer: s, hash: crypto.SHA256, algorithm: oidRSA, value: value})
	if got, err := Verify(message, []byte("content"), []*Certificate{c}); !errors.Is(err, ErrWeak) {
		t.Errorf("got %v, %v, wanted %v", got, err, ErrWeak)
	}
}

func TestParseCertificatesPEM(t *testing.T) {
	one, two := string(read(t, "p256.crt")), string(read(t, "rsa1024.crt"))
	block := func(kind string, b []byte) string {
		return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: b}))
	}
	for _, test := range []struct {
		name, in string
		count    int
		text     string
	}{
		{name: "one", in: one, count: 1},
		{name: "two, one of them weak", in: one + two, count: 2},
		{name: "text around", in: "subject=CN = x\n" + one + "trailing\n", count: 1},
		{name: "DOS lines", in: strings.ReplaceAll(one, "\n", "\r\n"), count: 1},
		{name: "other blocks", in: block("PUBLIC KEY", []byte("x")) + one, count: 1},
		{name: "32", in: strings.Repeat(one, 32), count: 32},
		{name: "empty", in: "", text: "no CERTIFICATE block"},
		{name: "only other blocks", in: block("TRUSTED CERTIFICATE", []byte("x")), text: "no CERTIFICATE block"},
		{name: "DER", in: string(store(t, "p256")[0].Raw), text: "no CERTIFICATE block"},
		{name: "not a certificate", in: one + block("CERTIFICATE", []byte("x")), text: "certificate 2: outer structure"},
		{name: "damaged base64", in: one + strings.Replace(two, "M", "!", 1), text: "only 1 of 2"},
		{name: "no end", in: one + two[:200], text: "only 1 of 2"},
		{name: "33", in: strings.Repeat(one, 33), text: "more than 32"},
		{name: "too large", in: one + strings.Repeat("\n", maxPEM), text: "wanted at most 1048576"},
	} {
		t.Run(test.name, func(t *testing.T) {
			certs, err := ParseCertificatesPEM([]byte(test.in))
			if test.text != "" {
				if !errors.Is(err, ErrMalformed) || !strings.Contains(err.Error(), test.text) || certs != nil {
					t.Errorf("got %d, %v, wanted %v with %q", len(certs), err, ErrMalformed, test.text)
				}
				return
			}
			if err != nil || len(certs) != test.count {
				t.Errorf("got %d, %v, wanted %d", len(certs), err, test.count)
			}
		})
	}
}

// TestGODEBUG documents that no build or environment weakens this package. gobusybox builds run with the defaults of Go 1.20,
// which is the setting below.
func TestGODEBUG(t *testing.T) {
	t.Setenv("GODEBUG", "rsa1024min=0,x509sha1=1,x509negativeserial=1,x509rsacrt=0,x509sha256skid=0,tlssha1=1,tlsunsafeekm=1")
	key, err := rsa.GenerateKey(rand.Reader, 512)
	if err != nil {
		t.Fatalf("the setting has no effect, so this test shows nothing: %v", err)
	}
	content := read(t, "roothash")
	s := &testSigner{key: key}
	if s.cert, err = ParseCertificate(certSpec{spki: spkiRSA(key.N, big.NewInt(int64(key.E)))}.build()); err != nil {
		t.Fatal(err)
	}
	if err := rsa.VerifyPKCS1v15(&key.PublicKey, crypto.SHA256, sum(crypto.SHA256, content), spec{signer: s}.fill(t, content).value); err != nil {
		t.Fatalf("crypto/rsa is not weakened, so this test shows nothing: %v", err)
	}
	if c, err := Verify(build(t, content, outer{}, spec{signer: s}), content, []*Certificate{s.cert}); !errors.Is(err, ErrWeak) {
		t.Errorf("RSA-512: got %v, %v, wanted %v", c, err, ErrWeak)
	}
	for _, test := range []struct{ message, trusted string }{
		{"rsa1024", "rsa1024"}, {"rsa2048-sha1", "rsa2048"}, {"rsa2048-md5", "rsa2048"},
	} {
		if c, err := Verify(read(t, test.message+".p7s"), content, store(t, test.trusted)); !errors.Is(err, ErrWeak) {
			t.Errorf("%s: got %v, %v, wanted %v", test.message, c, err, ErrWeak)
		}
	}
}
