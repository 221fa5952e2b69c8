// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package signature

import (
	"bytes"
	"crypto"
	"crypto/x509"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/smallstep/pkcs7"
)

// openssl runs the real thing in dir and reports whether it succeeded.
func openssl(t *testing.T, dir string, args ...string) (string, bool) {
	t.Helper()
	cmd := exec.Command("openssl", args...)
	cmd.Dir = dir
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return string(out), err == nil
}

func needOpenSSL(t *testing.T) {
	t.Helper()
	if _, err := exec.LookPath("openssl"); err != nil {
		t.Skip("needs openssl (Debian package openssl)")
	}
}

func write(t *testing.T, dir, name string, b []byte) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, name), b, 0o600); err != nil {
		t.Fatal(err)
	}
}

// opensslVerify asks OpenSSL for its verdict with the flags of systemd. The commands differ in what they parse: smime is the
// PKCS#7 code that systemd uses, cms the newer one, which knows key identifiers.
func opensslVerify(t *testing.T, command, dir string, message, content []byte, certfile string) bool {
	t.Helper()
	write(t, dir, "message", message)
	write(t, dir, "content", content)
	_, ok := openssl(t, dir, command, "-verify", "-noverify", "-nointern", "-binary", "-inform", "DER", "-in", "message",
		"-content", "content", "-certfile", certfile, "-out", "out")
	return ok
}

// TestOpenSSLVectors states where this package and OpenSSL differ over the messages of testdata.
func TestOpenSSLVectors(t *testing.T) {
	needOpenSSL(t)
	dir := t.TempDir()
	content := read(t, "roothash")
	for _, test := range []struct {
		message, trusted string
		smime, cms       bool
	}{
		{"rsa2048", "rsa2048", true, true},
		{"rsa2048-nocerts", "rsa2048", true, true},
		{"rsa2048-attributes", "rsa2048", true, true},
		{"rsa2048-sha512", "rsa2048", true, true},
		{"p256", "p256", true, true},
		{"p384-attributes", "p384", true, true},
		{"expired", "expired", true, true},
		{"negative", "negative", true, true},
		{"long", "long", true, true},
		{"two", "rsa2048 p256", true, true},
		{"rsa2048", "p256", false, false},
		{"imposter", "rsa2048", false, false},
		// PKCS#7 proper has no key identifiers.
		{"rsa2048-keyid", "rsa2048", false, true},
		// Every signer has to be known. The package comment says why this package does not ask for that.
		{"two", "rsa2048", false, false},
	} {
		var pem []byte
		trusted := strings.Fields(test.trusted)
		for _, name := range trusted {
			pem = append(pem, read(t, name+".crt")...)
		}
		write(t, dir, "trusted.pem", pem)
		message := read(t, test.message+".p7s")
		smime := opensslVerify(t, "smime", dir, message, content, "trusted.pem")
		cms := opensslVerify(t, "cms", dir, message, content, "trusted.pem")
		if smime != test.smime || cms != test.cms {
			t.Errorf("%s by %s: openssl says %v, %v, wanted %v, %v", test.message, test.trusted, smime, cms, test.smime, test.cms)
		}
		_, err := Verify(message, content, store(t, trusted...))
		if cms != (err == nil) && !(test.message == "two" && test.trusted == "rsa2048") {
			t.Errorf("%s by %s: openssl says %v, Verify %v", test.message, test.trusted, cms, err)
		}
	}
}

// TestOpenSSLSigns verifies what OpenSSL signs with every kind of key, digest and form.
func TestOpenSSLSigns(t *testing.T) {
	needOpenSSL(t)
	dir := t.TempDir()
	content := read(t, "roothash")
	write(t, dir, "content", content)
	stranger := store(t, "p256")
	for _, key := range []struct{ name, args string }{
		{"RSA-2048", "rsa:2048"},
		{"RSA-3072", "rsa:3072"},
		{"RSA-4096", "rsa:4096"},
		{"ECDSA P-256", "ec -pkeyopt ec_paramgen_curve:P-256"},
		{"ECDSA P-384", "ec -pkeyopt ec_paramgen_curve:P-384"},
		{"ECDSA P-521", "ec -pkeyopt ec_paramgen_curve:P-521"},
	} {
		args := append([]string{"req", "-x509", "-nodes", "-keyout", "key.pem", "-out", "cert.pem", "-days", "1",
			"-subj", "/CN=" + key.name, "-newkey"}, strings.Fields(key.args)...)
		if out, ok := openssl(t, dir, args...); !ok {
			t.Fatalf("%s: %s", key.name, out)
		}
		pem, err := os.ReadFile(filepath.Join(dir, "cert.pem"))
		if err != nil {
			t.Fatal(err)
		}
		trusted, err := ParseCertificatesPEM(pem)
		if err != nil || trusted[0].KeyAlgorithm != key.name {
			t.Fatalf("%s: got %v, %v", key.name, trusted, err)
		}
		for i, digest := range []string{"sha256", "sha384", "sha512"} {
			forms := []string{"smime -noattr", "cms -nocerts"}
			if i == 0 {
				forms = append(forms, "smime -noattr -nocerts", "smime", "cms -keyid -nocerts", "cms -keyid -noattr")
			}
			for _, form := range forms {
				args := strings.Fields(form)
				args = append([]string{args[0], "-sign", "-binary", "-outform", "DER", "-in", "content", "-signer", "cert.pem",
					"-inkey", "key.pem", "-md", digest, "-out", "message"}, args[1:]...)
				if out, ok := openssl(t, dir, args...); !ok {
					t.Fatalf("%s: %s", key.name, out)
				}
				message, err := os.ReadFile(filepath.Join(dir, "message"))
				if err != nil {
					t.Fatal(err)
				}
				if c, err := Verify(message, content, trusted); err != nil || c != trusted[0] {
					t.Errorf("%s, %s, %s: %v", key.name, digest, form, err)
				}
				if _, err := Verify(message, content[1:], trusted); !errors.Is(err, ErrBadSignature) {
					t.Errorf("%s, %s, %s, another content: got %v, wanted %v", key.name, digest, form, err, ErrBadSignature)
				}
				if _, err := Verify(message, content, stranger); !errors.Is(err, ErrUnknownSigner) {
					t.Errorf("%s, %s, %s, another store: got %v, wanted %v", key.name, digest, form, err, ErrUnknownSigner)
				}
			}
		}
	}
}

// TestOpenSSLRepart has the flags of systemd's own code path checked on a message that went through [Document.Encode].
func TestOpenSSLRepart(t *testing.T) {
	needOpenSSL(t)
	d, err := ParseDocument(read(t, "repart.json"))
	if err != nil {
		t.Fatal(err)
	}
	b, err := d.Encode()
	if err != nil {
		t.Fatal(err)
	}
	if d, err = ParseDocument(b); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	write(t, dir, "trusted.pem", read(t, "repart.crt"))
	if !opensslVerify(t, "smime", dir, d.Signature, Content(d.RootHash), "trusted.pem") {
		t.Error("refused by openssl")
	}
}

// TestOpenSSLAcceptsWhatWeAccept gives OpenSSL the unusual messages that this package accepts, and every changed message
// that it accepts, and wants the same verdict. The changes that only this package accepts are those of [TestVerifyMutated].
func TestOpenSSLAcceptsWhatWeAccept(t *testing.T) {
	needOpenSSL(t)
	dir := t.TempDir()
	content := read(t, "roothash")
	ec := newECDSA(t, "ec")
	good := goodAttributes(crypto.SHA256, content)
	other := attribute{kind: "\x2a\x03", values: [][]byte{derNull}}
	unsigned := encodeAttributes(constructed1, []attribute{other})
	write(t, dir, "trusted.pem", pemOf(ec.cert))
	for _, test := range []struct {
		name string
		spec spec
	}{
		{"plain", spec{signer: ec}},
		{"SHA-384", spec{signer: ec, hash: crypto.SHA384}},
		{"SHA-512", spec{signer: ec, hash: crypto.SHA512, attributes: goodAttributes(crypto.SHA512, content)}},
		{"no digest parameters", spec{signer: ec, parameters: []byte{}}},
		{"attributes", spec{signer: ec, attributes: good}},
		{"attributes in another order", spec{signer: ec, attributes: []attribute{good[1], other, good[0]}}},
		{"unsigned attributes", spec{signer: ec, tail: unsigned}},
		{"key identifier", spec{signer: ec, keyID: true}},
	} {
		message := build(t, content, outer{}, test.spec)
		if _, err := Verify(message, content, []*Certificate{ec.cert}); err != nil {
			t.Errorf("%s: %v", test.name, err)
		}
		if !test.spec.keyID && !opensslVerify(t, "smime", dir, message, content, "trusted.pem") {
			t.Errorf("%s: refused by openssl smime", test.name)
		}
		if !opensslVerify(t, "cms", dir, message, content, "trusted.pem") {
			t.Errorf("%s: refused by openssl cms", test.name)
		}
	}

	message, count, all := build(t, content, outer{}, spec{signer: ec, attributes: good}), 0, 0
	for at, mutant := range mutants(t, message) {
		all++
		if _, err := Verify(mutant, content, []*Certificate{ec.cert}); err == nil {
			count++
			if !opensslVerify(t, "cms", dir, mutant, content, "trusted.pem") {
				t.Errorf("byte %d: accepted here and refused by openssl", at)
			}
		}
	}
	t.Logf("%d of %d changed messages accepted", count, all)
}

// TestDifferentialLibrary compares with an independent implementation over every flipped bit of every message. What this
// package accepts the library must accept; it accepts more, because it checks less of the structure.
func TestDifferentialLibrary(t *testing.T) {
	content := read(t, "roothash")
	trusted := store(t, "rsa2048", "p256", "p384", "expired", "long")
	var theirs []*x509.Certificate
	for _, c := range trusted {
		x, err := x509.ParseCertificate(c.Raw)
		if err != nil {
			t.Fatal(err)
		}
		theirs = append(theirs, x)
	}
	library := func(der []byte) bool {
		p, err := pkcs7.Parse(der)
		if err != nil {
			return false
		}
		p.Content, p.Certificates = content, theirs
		return p.Verify() == nil
	}
	// Left out: "negative", which crypto/x509 cannot read, and "rsa2048-keyid", which the library cannot.
	for _, name := range []string{"rsa2048-nocerts", "rsa2048-attributes", "rsa2048-sha512", "p256", "p384-attributes", "expired", "long"} {
		der := read(t, name+".p7s")
		if _, err := Verify(der, content, trusted); err != nil || !library(der) {
			t.Errorf("%s: here %v, there %v", name, err, library(der))
		}
		m, err := parseMessage(der)
		if err != nil {
			t.Fatal(err)
		}
		value := bytes.Index(der, m.signers[0].value)
		for at, mutant := range mutants(t, der) {
			_, err := Verify(mutant, content, trusted)
			if err == nil && !library(mutant) {
				t.Errorf("%s: byte %d: accepted here and refused there", name, at)
			}
			// Inside the signature value there is no structure to differ about.
			if at >= value && (err == nil) != library(mutant) {
				t.Errorf("%s: byte %d of the value: here %v, there %v", name, at-value, err, library(mutant))
			}
		}
	}
}
