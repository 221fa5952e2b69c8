// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package keys

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestCheck makes keys of every form with openssl and holds them against certificates.
func TestCheck(t *testing.T) {
	if _, err := exec.LookPath("openssl"); err != nil {
		t.Skip("needs openssl (Debian package openssl)")
	}
	dir := t.TempDir()
	openssl := func(args ...string) {
		t.Helper()
		cmd := exec.Command("openssl", args...)
		cmd.Dir = dir
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("openssl %q: %v: %s", args, err, out)
		}
	}
	certify := func(name string) {
		openssl("req", "-x509", "-new", "-key", name+".key", "-subj", "/CN="+name, "-days", "1", "-out", name+".crt")
	}
	for name, args := range map[string][]string{
		"rsa":     {"genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"},
		"other":   {"genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"},
		"ed25519": {"genpkey", "-algorithm", "ed25519"},
		"ec":      {"ecparam", "-name", "prime256v1", "-genkey"}, // with the parameters before the key
	} {
		openssl(append(args, "-out", name+".key")...)
		certify(name)
	}
	openssl("rsa", "-in", "rsa.key", "-traditional", "-out", "pkcs1.key")
	openssl("pkcs8", "-topk8", "-in", "rsa.key", "-passout", "pass:x", "-out", "encrypted.key")
	openssl("rsa", "-in", "rsa.key", "-traditional", "-aes128", "-passout", "pass:x", "-out", "encrypted1.key")
	openssl("genpkey", "-algorithm", "X25519", "-out", "x25519.key")
	for name, text := range map[string]string{"empty.key": "", "broken.key": "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", "broken.crt": "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, test := range []struct {
		key, cert string
		err       error
	}{
		{"rsa.key", "rsa.crt", nil}, {"ec.key", "ec.crt", nil}, {"ed25519.key", "ed25519.crt", nil}, {"pkcs1.key", "rsa.crt", nil},
		{"rsa.key", "other.crt", ErrMismatch}, {"rsa.key", "ec.crt", ErrMismatch}, {"ed25519.key", "rsa.crt", ErrMismatch}, {"pkcs1.key", "other.crt", ErrMismatch},
		{"encrypted.key", "rsa.crt", nil}, {"encrypted1.key", "rsa.crt", nil}, {"encrypted.key", "broken.crt", fs.ErrInvalid},
		{"empty.key", "rsa.crt", fs.ErrInvalid}, {"broken.key", "rsa.crt", fs.ErrInvalid}, {"x25519.key", "rsa.crt", fs.ErrInvalid}, {"rsa.crt", "rsa.crt", fs.ErrInvalid},
		{"rsa.key", "broken.crt", fs.ErrInvalid}, {"rsa.key", "rsa.key", fs.ErrInvalid},
		{"nothing.key", "rsa.crt", fs.ErrNotExist}, {"rsa.key", "nothing.crt", fs.ErrNotExist},
	} {
		p := Pair{Key: filepath.Join(dir, test.key), Cert: filepath.Join(dir, test.cert)}
		if err := p.Check(); !errors.Is(err, test.err) {
			t.Errorf("%s and %s: %v, want %v", test.key, test.cert, err, test.err)
		}
	}
	if err := (Pair{Key: "pkcs11:object=x", Cert: filepath.Join(dir, "rsa.crt")}).Check(); err != nil {
		t.Errorf("a key in a token: %v", err)
	}
	mixed := Pair{Key: filepath.Join(dir, "rsa.key"), Cert: filepath.Join(dir, "other.crt")}
	if _, err := mixed.Sign(context.Background(), []byte("x")); !errors.Is(err, ErrMismatch) || !strings.Contains(err.Error(), mixed.Key+" does not belong to "+mixed.Cert) {
		t.Errorf("signed with a pair that is none: %v", err)
	}
}
