// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package keys

import (
	"bytes"
	"context"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/initddi/initddi/internal/program"
	"github.com/initddi/initddi/internal/signature"
)

func certificate(t *testing.T, p Pair) *x509.Certificate {
	t.Helper()
	der, err := CertificateDER(p.Cert)
	if err != nil {
		t.Fatal(err)
	}
	c, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestMake(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a", "keys")
	made, err := Make(dir)
	if err != nil {
		t.Fatal(err)
	}
	if len(made) != 2 || made[0] != In(dir, Image) || made[1] != In(dir, SecureBoot) {
		t.Errorf("made %v", made)
	}
	for i, p := range made {
		c := certificate(t, p)
		if bits := c.PublicKey.(*rsa.PublicKey).N.BitLen(); bits != []int{4096, 2048}[i] {
			t.Errorf("%s has %d bits", p.Cert, bits)
		}
		if err := c.CheckSignatureFrom(c); err != nil && c.IsCA {
			t.Error(err)
		}
		b, err := os.ReadFile(p.Key)
		if err != nil {
			t.Fatal(err)
		}
		block, _ := pem.Decode(b)
		key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
		if err != nil || !key.(*rsa.PrivateKey).PublicKey.Equal(c.PublicKey) {
			t.Errorf("%s does not belong to %s: %v", p.Key, p.Cert, err)
		}
		if info, err := os.Stat(p.Key); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v", p.Key, info.Mode(), err)
		}
	}
	if info, err := os.Stat(dir); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	checkNotOverwritten(t, dir)
	checkSign(t, In(dir, SecureBoot), In(dir, Image))
}

// checkNotOverwritten makes again, with everything there and with each half of each pair lost.
func checkNotOverwritten(t *testing.T, dir string) {
	t.Helper()
	snapshot := func() map[string]string {
		all := map[string]string{}
		entries, err := os.ReadDir(dir)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range entries {
			b, err := os.ReadFile(filepath.Join(dir, e.Name()))
			if err != nil {
				t.Fatal(err)
			}
			all[e.Name()] = string(b)
		}
		return all
	}
	same := func(a, b map[string]string) bool {
		if len(a) != len(b) {
			return false
		}
		for k, v := range a {
			if b[k] != v {
				return false
			}
		}
		return true
	}
	before := snapshot()
	if made, err := Make(dir); err != nil || len(made) != 0 || !same(before, snapshot()) {
		t.Errorf("made %v again: %v", made, err)
	}
	for name, content := range before {
		file := filepath.Join(dir, name)
		if err := os.Remove(file); err != nil {
			t.Fatal(err)
		}
		half := snapshot()
		if made, err := Make(dir); !errors.Is(err, fs.ErrExist) || len(made) != 0 || !same(half, snapshot()) {
			t.Errorf("without %s: made %v, %v", name, made, err)
		}
		if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	// A dangling link is a file that somebody put there.
	link := In(dir, "x")
	if err := os.Symlink("nothing", link.Key); err != nil {
		t.Fatal(err)
	}
	if err := makePair(link, "x", "rsa", secureBootBits); !errors.Is(err, fs.ErrExist) {
		t.Errorf("wrote through a link: %v", err)
	}
}

func checkSign(t *testing.T, p, other Pair) {
	t.Helper()
	if _, err := exec.LookPath("openssl"); err != nil {
		t.Skip("needs openssl (Debian package openssl)")
	}
	content := signature.Content(bytes.Repeat([]byte{7}, 32))
	sig, err := p.Sign(context.Background(), content)
	if err != nil {
		t.Fatal(err)
	}
	store := func(p Pair) []*signature.Certificate {
		c, err := signature.ParseCertificate(certificate(t, p).Raw)
		if err != nil {
			t.Fatal(err)
		}
		return []*signature.Certificate{c}
	}
	if _, err := signature.Verify(sig, content, store(p)); err != nil {
		t.Error(err)
	}
	if _, err := signature.Verify(sig, content, store(other)); !errors.Is(err, signature.ErrUnknownSigner) {
		t.Error(err)
	}
	if _, err := signature.Verify(sig, append(content, '\n'), store(p)); !errors.Is(err, signature.ErrBadSignature) {
		t.Error(err)
	}
	if _, err := (Pair{Key: "/nonexistent.key", Cert: p.Cert}).Sign(context.Background(), content); err == nil {
		t.Error("signed without a key")
	}
	t.Setenv("PATH", t.TempDir())
	if _, err := p.Sign(context.Background(), content); !errors.Is(err, program.ErrMissing) {
		t.Error(err)
	}
}

func TestCertificateDER(t *testing.T) {
	file := filepath.Join(t.TempDir(), "x.crt")
	if _, err := CertificateDER(file); !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
	for _, text := range []string{"", "nonsense", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"} {
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		if _, err := CertificateDER(file); !errors.Is(err, fs.ErrInvalid) {
			t.Errorf("%q: %v", text, err)
		}
	}
}
