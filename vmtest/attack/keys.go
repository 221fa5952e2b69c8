// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package attack

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/initddi/initddi/internal/keys"
)

// Keys makes keys as they are asked for, by name, and keeps them in a directory. It is safe for concurrent use.
type Keys struct {
	// Dir is where they lie.
	Dir string
	mu  sync.Mutex
}

// good is the name of the key that the good images are signed with, and that stage 1 trusts.
const good = "ddi"

// keySpec is a kind of key, and what is special about its certificate.
type keySpec struct {
	make func() (crypto.Signer, error)
	// like names a key whose subject and serial number this one's certificate has.
	like string
	// expired makes the certificate one of long ago.
	expired bool
}

func rsaKey(bits int) func() (crypto.Signer, error) {
	return func() (crypto.Signer, error) { return rsa.GenerateKey(rand.Reader, bits) }
}

func ecKey(c elliptic.Curve) func() (crypto.Signer, error) {
	return func() (crypto.Signer, error) { return ecdsa.GenerateKey(c, rand.Reader) }
}

// specs are the keys there are.
func specs() map[string]keySpec {
	return map[string]keySpec{
		good:       {make: rsaKey(2048)},
		"stranger": {make: rsaKey(2048)},
		"next":     {make: rsaKey(3072)}, // the one that good is replaced by
		"imposter": {make: rsaKey(2048), like: good},
		"expired":  {make: rsaKey(2048), expired: true},
		"weak":     {make: rsaKey(1024)},
		"p256":     {make: ecKey(elliptic.P256())},
		"p384":     {make: ecKey(elliptic.P384())},
		"p521":     {make: ecKey(elliptic.P521())},
		"ed25519": {make: func() (crypto.Signer, error) {
			_, key, err := ed25519.GenerateKey(rand.Reader)
			return key, err
		}},
	}
}

// Pair returns the key called name, making it if it is not there.
func (k *Keys) Pair(name string) (keys.Pair, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.pair(name)
}

func (k *Keys) pair(name string) (keys.Pair, error) {
	p := keys.In(k.Dir, name)
	if _, err := os.Stat(p.Cert); err == nil {
		return p, nil
	}
	spec, ok := specs()[name]
	if !ok {
		return p, fmt.Errorf("cannot make key %q: no table names it", name)
	}
	key, err := spec.make()
	if err != nil {
		return p, fmt.Errorf("cannot make key %s: %w", name, err)
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return p, fmt.Errorf("cannot make key %s: %w", name, err)
	}
	t := &x509.Certificate{SerialNumber: serial, Subject: pkix.Name{CommonName: "initddi test key " + name},
		NotBefore: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC), NotAfter: time.Date(2126, 1, 1, 0, 0, 0, 0, time.UTC), KeyUsage: x509.KeyUsageDigitalSignature, SubjectKeyId: serial.FillBytes(make([]byte, 20))}
	if spec.expired {
		t.NotBefore, t.NotAfter = time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC), time.Date(2001, 1, 1, 0, 0, 0, 0, time.UTC)
	}
	if spec.like != "" {
		of, err := k.certificate(spec.like)
		if err != nil {
			return p, err
		}
		t.SerialNumber, t.Subject = of.SerialNumber, of.Subject
	}
	der, err := x509.CreateCertificate(rand.Reader, t, t, key.Public(), key)
	if err != nil {
		return p, fmt.Errorf("cannot make key %s: %w", name, err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return p, fmt.Errorf("cannot make key %s: %w", name, err)
	}
	if err := os.MkdirAll(k.Dir, 0o700); err != nil {
		return p, fmt.Errorf("cannot make key %s: %w", name, err)
	}
	if err := os.WriteFile(p.Key, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8}), 0o600); err != nil {
		return p, fmt.Errorf("cannot make key %s: %w", name, err)
	}
	// The certificate comes last: it says that the pair is complete.
	return p, os.WriteFile(p.Cert, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o644)
}

// certificate returns a key's certificate. The caller holds the lock.
func (k *Keys) certificate(name string) (*x509.Certificate, error) {
	p, err := k.pair(name)
	if err != nil {
		return nil, err
	}
	der, err := keys.CertificateDER(p.Cert)
	if err != nil {
		return nil, err
	}
	return x509.ParseCertificate(der)
}

// ed25519 returns the Ed25519 key and its certificate.
func (k *Keys) ed25519() (*x509.Certificate, ed25519.PrivateKey, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	const name = "ed25519"
	cert, err := k.certificate(name)
	if err != nil {
		return nil, nil, err
	}
	text, err := os.ReadFile(keys.In(k.Dir, name).Key)
	if err != nil {
		return nil, nil, err
	}
	p, _ := pem.Decode(text)
	key, err := x509.ParsePKCS8PrivateKey(p.Bytes)
	if err != nil {
		return nil, nil, err
	}
	return cert, key.(ed25519.PrivateKey), nil
}

// smime and cms are openssl's two ways to make a message; the first is systemd-repart's.
var (
	smime = []string{"smime", "-sign", "-binary", "-outform", "DER", "-noattr"}
	cms   = []string{"cms", "-sign", "-binary", "-outform", "DER"}
)

// Sign has openssl make a message about content by the key called name, with more options.
func (k *Keys) Sign(name string, content []byte, how []string, options ...string) ([]byte, error) {
	p, err := k.Pair(name)
	if err != nil {
		return nil, err
	}
	args := append(append([]string{}, how...), "-signer", p.Cert, "-inkey", p.Key)
	if !strings.Contains(strings.Join(options, " "), "-md") {
		args = append(args, "-md", "sha256")
	}
	cmd := exec.CommandContext(context.Background(), "openssl", append(args, options...)...)
	cmd.Stdin = bytes.NewReader(content)
	cmd.Dir = filepath.Dir(k.Dir)
	var out, msg bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &msg
	if err := cmd.Run(); err != nil {
		return nil, fmt.Errorf("cannot sign with key %s: %w: %s", name, err, bytes.TrimSpace(msg.Bytes()))
	}
	return out.Bytes(), nil
}
