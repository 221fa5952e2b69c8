// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package keys

import (
	"bytes"
	"crypto"
	"crypto/sha256"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"github.com/initddi/initddi/internal/signature"
)

// ErrMismatch says that a private key is not the one that a certificate is about.
var ErrMismatch = errors.New("the public keys differ")

// Check holds the key against the certificate, so that a mix-up is found before anything long begins. A key in a
// token and an encrypted one are taken as they are: what they are shows only when openssl has asked for the passphrase. Errors wrap [ErrMismatch], or
// [fs.ErrInvalid] for a file that is not what it should be, or are those of the file system.
func (p Pair) Check() error {
	var public crypto.PublicKey
	opaque := strings.HasPrefix(p.Key, tokenPrefix)
	if !opaque {
		var err error
		if public, opaque, err = publicKey(p.Key); err != nil {
			return err
		}
	}
	der, err := CertificateDER(p.Cert)
	if err != nil {
		return err
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return fmt.Errorf("cannot read %s: %w: %w", p.Cert, err, fs.ErrInvalid)
	}
	if opaque {
		return nil
	}
	ours, err := x509.MarshalPKIXPublicKey(public)
	if err != nil {
		return fmt.Errorf("cannot read %s: %w: %w", p.Key, err, fs.ErrInvalid)
	}
	if !bytes.Equal(ours, cert.RawSubjectPublicKeyInfo) {
		return fmt.Errorf("%s does not belong to %s: %w: its SHA-256 is %.8x…, the certificate's %.8x…",
			p.Key, p.Cert, ErrMismatch, sha256.Sum256(ours), sha256.Sum256(cert.RawSubjectPublicKeyInfo))
	}
	return nil
}

// CheckStrength holds the certificate's key to what whoever verifies an image asks of one, stage 1 first: a signature by a weaker
// key would be made for nothing. Errors wrap those of [signature.Certificate.CheckKey] and of [signature.ParseCertificate], or are
// those of the file system.
func (p Pair) CheckStrength() error {
	der, err := CertificateDER(p.Cert)
	if err != nil {
		return err
	}
	cert, err := signature.ParseCertificate(der)
	if err == nil {
		err = cert.CheckKey()
	}
	if err != nil {
		return fmt.Errorf("cannot use %s: %w", p.Cert, err)
	}
	return nil
}

// publicKey returns the public half of the first private key in a PEM file, or that it is encrypted.
func publicKey(name string) (public crypto.PublicKey, encrypted bool, err error) {
	b, err := os.ReadFile(name)
	if err != nil {
		return nil, false, fmt.Errorf("cannot read the private key: %w", err)
	}
	for block, rest := pem.Decode(b); block != nil; block, rest = pem.Decode(rest) {
		if !strings.HasSuffix(block.Type, "PRIVATE KEY") {
			continue // openssl writes a curve's parameters before the key
		}
		if block.Type == "ENCRYPTED PRIVATE KEY" || strings.Contains(block.Headers["Proc-Type"], "ENCRYPTED") {
			return nil, true, nil
		}
		var key any
		switch block.Type {
		case "RSA PRIVATE KEY":
			key, err = x509.ParsePKCS1PrivateKey(block.Bytes)
		case "EC PRIVATE KEY":
			key, err = x509.ParseECPrivateKey(block.Bytes)
		default:
			key, err = x509.ParsePKCS8PrivateKey(block.Bytes)
		}
		if err != nil {
			return nil, false, fmt.Errorf("cannot read %s: %w: %w", name, err, fs.ErrInvalid)
		}
		signer, ok := key.(crypto.Signer)
		if !ok {
			return nil, false, fmt.Errorf("cannot sign with %s: a key of type %T signs nothing: %w", name, key, fs.ErrInvalid)
		}
		return signer.Public(), false, nil
	}
	return nil, false, fmt.Errorf("cannot read %s: no PEM private key: %w", name, fs.ErrInvalid)
}
