// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package uki

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/binary"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"math/big"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/initddi/initddi/internal/program"
)

// makeKey writes NAME.key and NAME.crt and returns the certificate.
func makeKey(t *testing.T, dir, name string, elliptical bool) []byte {
	t.Helper()
	var pub, priv any
	if elliptical {
		k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		pub, priv = &k.PublicKey, k
	} else {
		k, err := rsa.GenerateKey(rand.Reader, 2048)
		if err != nil {
			t.Fatal(err)
		}
		pub, priv = &k.PublicKey, k
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(0xf00d), Subject: pkix.Name{CommonName: name},
		NotBefore: time.Unix(1_700_000_000, 0), NotAfter: time.Unix(3_000_000_000, 0),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, pub, priv)
	if err != nil {
		t.Fatal(err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(priv)
	if err != nil {
		t.Fatal(err)
	}
	for path, block := range map[string]*pem.Block{
		name + ".key": {Type: "PRIVATE KEY", Bytes: pkcs8}, name + ".crt": {Type: "CERTIFICATE", Bytes: der},
	} {
		if err := os.WriteFile(filepath.Join(dir, path), pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return der
}

func needTools(t *testing.T, tools ...string) {
	t.Helper()
	for i := 0; i < len(tools); i += 2 {
		if _, err := exec.LookPath(tools[i]); err != nil {
			t.Skipf("needs %s (Debian package %s)", tools[i], tools[i+1])
		}
	}
}

func sbverify(t *testing.T, image, cert string) bool {
	t.Helper()
	out, err := exec.Command("sbverify", "--cert", cert, image).CombinedOutput()
	t.Logf("sbverify: %s", out)
	return err == nil
}

func TestSign(t *testing.T) {
	needTools(t, "osslsigncode", "osslsigncode", "sbverify", "sbsigntool")
	dir := t.TempDir()
	der := makeKey(t, dir, "ours", false)
	makeKey(t, dir, "other", false)
	p := func(name string) string { return filepath.Join(dir, name) }
	for name, stub := range stubs(t) {
		t.Run(name, func(t *testing.T) {
			image, err := Build(fullOptions(stub))
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(p("in"), image, 0o644); err != nil {
				t.Fatal(err)
			}
			ctx := context.Background()
			for _, out := range []string{"a", "b"} {
				if err := Sign(ctx, p("in"), p(out), p("ours.key"), p("ours.crt"), SignOptions{}); err != nil {
					t.Fatal(err)
				}
				time.Sleep(1100 * time.Millisecond) // the resolution of a signing time
			}
			a, _ := os.ReadFile(p("a"))
			b, _ := os.ReadFile(p("b"))
			if len(a) == 0 || !bytes.Equal(a, b) {
				t.Error("signing twice gives different files")
			}
			if err := Sign(ctx, p("b"), p("b"), p("ours.key"), p("ours.crt"), SignOptions{}); err != nil {
				t.Fatal(err)
			}
			if b, _ := os.ReadFile(p("b")); !bytes.Equal(a, b) {
				t.Error("signing a signed image in place gives another file")
			}
			if !sbverify(t, p("a"), p("ours.crt")) || sbverify(t, p("a"), p("other.crt")) {
				t.Error("sbverify does not agree")
			}
			img, err := Parse(bytes.NewReader(a), int64(len(a)))
			if err != nil {
				t.Fatal(err)
			}
			sum := sha256.Sum256(der)
			want := Signature{Signer: "CN=ours", Issuer: "CN=ours", Serial: "00f00d", Fingerprint: hex.EncodeToString(sum[:])}
			if len(img.Signatures) != 1 || img.Signatures[0] != want {
				t.Errorf("signatures %+v, wanted %+v", img.Signatures, want)
			}
			h, _ := parsePE(a, int64(len(a)))
			if got, want := binary.LittleEndian.Uint32(a[h.optOff+optCheckSum:]), checkSum(a, h.optOff+optCheckSum); got != want {
				t.Errorf("osslsigncode computes checksum %#x, we %#x", got, want)
			}
			a[len(image)/2] ^= 1
			if err := os.WriteFile(p("a"), a, 0o644); err != nil {
				t.Fatal(err)
			}
			if sbverify(t, p("a"), p("ours.crt")) {
				t.Error("sbverify accepts a changed image: this test proves nothing")
			}
		})
	}
}

func TestSignErrors(t *testing.T) {
	needTools(t, "osslsigncode", "osslsigncode")
	dir := t.TempDir()
	makeKey(t, dir, "ours", false)
	makeKey(t, dir, "other", false)
	makeKey(t, dir, "ec", true)
	p := func(name string) string { return filepath.Join(dir, name) }
	image, err := Build(fullOptions(miniStub(0x600, 4096)))
	if err != nil {
		t.Fatal(err)
	}
	for name, data := range map[string]string{
		"in": string(image), "junk": "junk", "encrypted.key": "-----BEGIN ENCRYPTED PRIVATE KEY-----\n", "out": "old",
	} {
		if err := os.WriteFile(p(name), []byte(data), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	tests := []struct{ name, in, key, cert, text string }{
		{"wrong key", "in", "other.key", "ours.crt", "private key"},
		{"elliptic curve", "in", "ec.key", "ec.crt", "ECDSA"},
		{"encrypted", "in", "encrypted.key", "ours.crt", "passphrase"},
		{"no certificate", "in", "ours.key", "ours.key", "no PEM certificate"},
		{"no key", "in", "absent.key", "ours.crt", "absent.key"},
		{"not an image", "junk", "ours.key", "ours.crt", "junk"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			err := Sign(context.Background(), p(tt.in), p("out"), p(tt.key), p(tt.cert), SignOptions{})
			if err == nil || !strings.Contains(err.Error(), tt.text) {
				t.Errorf("got %v, wanted %q", err, tt.text)
			}
			if b, _ := os.ReadFile(p("out")); string(b) != "old" {
				t.Error("the output was touched")
			}
		})
	}
	t.Setenv("PATH", "")
	if err := Sign(context.Background(), p("in"), p("out"), p("ours.key"), p("ours.crt"), SignOptions{}); !errors.Is(err, program.ErrMissing) {
		t.Errorf("without osslsigncode: %v", err)
	}
	if left, _ := filepath.Glob(p(".sign-*")); left != nil {
		t.Errorf("left behind: %v", left)
	}
}
