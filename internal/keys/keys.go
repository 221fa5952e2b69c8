// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

// Package keys makes the keys and certificates with which a person can begin, and signs root hashes with openssl.
//
// They are for development and for sites without a key service: two keys without a passphrase, one for images and one for Secure
// Boot, each with a self-signed certificate. Existing files are never overwritten. A key can also live in a token that openssl's
// engine for PKCS#11 reaches.
package keys

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/initddi/initddi/internal/program"
)

// Pair names the files of a key and its certificate, both PEM. Key can be a PKCS#11 URI (RFC 7512), "pkcs11:…", instead.
type Pair struct {
	Key  string `json:"key"`
	Cert string `json:"cert"`
}

// tokenPrefix is how a PKCS#11 URI begins.
const tokenPrefix = "pkcs11:"

// In returns the pair called name in dir.
func In(dir, name string) Pair {
	return Pair{Key: filepath.Join(dir, name+".key"), Cert: filepath.Join(dir, name+".crt")}
}

// The two pairs that Make makes.
const (
	Image      = "ddi"        // signs images; its certificate goes into stage 1's trust store
	SecureBoot = "secureboot" // signs UKIs; its certificate is enrolled in the firmware
)

// Bits per key. UEFI firmware takes RSA-2048 everywhere and more only in places; images have no such limit.
const (
	imageBits      = 4096
	secureBootBits = 2048
)

// Types returns the types of image keys that [MakeOf] makes, the default first.
func Types() []string { return []string{"rsa", "ecdsa-p256", "ecdsa-p384"} }

// ErrType says that a key of that type is not made here.
var ErrType = errors.New("unknown type of key")

// Make makes whatever of the two pairs is missing in dir, and returns which were made. A pair of which only one half exists is an
// error: making the other would break what was signed with the lost one.
func Make(dir string) (made []Pair, err error) { return MakeOf(dir, Types()[0]) }

// MakeOf is the same with an image key of one of [Types]. The Secure Boot key is always RSA: firmware knows nothing else.
func MakeOf(dir, kind string) (made []Pair, err error) {
	if !slices.Contains(Types(), kind) {
		return nil, fmt.Errorf("cannot make keys: %w %q: it is one of %s", ErrType, kind, strings.Join(Types(), ", "))
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("cannot make keys: %w", err)
	}
	for _, k := range []struct {
		name, subject, kind string
		bits                int
	}{{Image, "initddi development image key", kind, imageBits}, {SecureBoot, "initddi development Secure Boot key", "rsa", secureBootBits}} {
		p := In(dir, k.name)
		_, keyErr := os.Lstat(p.Key)
		_, certErr := os.Lstat(p.Cert)
		switch {
		case keyErr == nil && certErr == nil:
			continue
		case keyErr == nil || certErr == nil:
			return made, fmt.Errorf("cannot make keys: only one of %s and %s exists: %w", p.Key, p.Cert, fs.ErrExist)
		}
		if err := makePair(p, k.subject, k.kind, k.bits); err != nil {
			return made, err
		}
		made = append(made, p)
	}
	return made, nil
}

func generate(kind string, bits int) (crypto.Signer, error) {
	switch kind {
	case "ecdsa-p256":
		return ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	case "ecdsa-p384":
		return ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	}
	return rsa.GenerateKey(rand.Reader, bits)
}

func makePair(p Pair, subject, kind string, bits int) error {
	key, err := generate(kind, bits)
	if err != nil {
		return fmt.Errorf("cannot make %s: %w", p.Key, err)
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return fmt.Errorf("cannot make %s: %w", p.Cert, err)
	}
	template := &x509.Certificate{
		SerialNumber: serial.Add(serial, big.NewInt(1)),
		Subject:      pkix.Name{CommonName: subject},
		NotBefore:    time.Now().UTC().Truncate(24 * time.Hour),
		// Nothing here checks dates; firmware neither.
		NotAfter:    time.Now().AddDate(20, 0, 0),
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageCodeSigning},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return fmt.Errorf("cannot make %s: %w", p.Cert, err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return fmt.Errorf("cannot make %s: %w", p.Key, err)
	}
	if err := writeNew(p.Key, "PRIVATE KEY", pkcs8, 0o600); err != nil {
		return err
	}
	return writeNew(p.Cert, "CERTIFICATE", der, 0o644)
}

func writeNew(name, kind string, der []byte, mode fs.FileMode) error {
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if err != nil {
		return fmt.Errorf("cannot write %s: %w", name, err)
	}
	if err := errors.Join(pem.Encode(f, &pem.Block{Type: kind, Bytes: der}), f.Close()); err != nil {
		return fmt.Errorf("cannot write %s: %w", name, err)
	}
	return nil
}

// CertificateDER returns the one certificate in a PEM file.
func CertificateDER(name string) ([]byte, error) {
	b, err := os.ReadFile(name)
	if err != nil {
		return nil, fmt.Errorf("cannot read the certificate: %w", err)
	}
	block, _ := pem.Decode(b)
	if block == nil || block.Type != "CERTIFICATE" {
		return nil, fmt.Errorf("cannot read %s: no PEM certificate: %w", name, fs.ErrInvalid)
	}
	return block.Bytes, nil
}

// Sign makes a detached PKCS#7 signature of content in the form of systemd-repart's: DER, no signed attributes, the signer's
// certificate inside. Errors wrap [program.ErrMissing] or those of [Pair.Check].
func (p Pair) Sign(ctx context.Context, content []byte) ([]byte, error) {
	if err := p.Check(); err != nil {
		return nil, fmt.Errorf("cannot sign: %w", err)
	}
	openssl, err := program.Find("openssl", "openssl")
	if err != nil {
		return nil, fmt.Errorf("cannot sign: %w", err)
	}
	args := []string{"smime", "-sign", "-binary", "-noattr", "-outform", "DER", "-md", "sha256", "-signer", p.Cert, "-inkey", p.Key}
	if strings.HasPrefix(p.Key, tokenPrefix) {
		args = append(args, "-engine", "pkcs11", "-keyform", "engine")
	}
	cmd := exec.CommandContext(ctx, openssl, args...)
	cmd.Stdin = bytes.NewReader(content)
	var out, msg bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &msg
	if err := cmd.Run(); err != nil {
		why := reason(msg.String())
		if why == "" || ctx.Err() != nil {
			return nil, fmt.Errorf("cannot sign with %s: %w", p.Key, err)
		}
		return nil, fmt.Errorf("cannot sign with %s: %s", p.Key, why)
	}
	return out.Bytes(), nil
}

// reason returns what openssl says to people: the first line that is not one of its error queue, or that one's text, without file and
// line of its source; empty if it says nothing. It goes on about consequences, and may end with a crash, of its engine for tokens.
func reason(text string) string {
	first := ""
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, `Engine "`) && strings.HasSuffix(line, " set.") {
			continue
		}
		fields := strings.Split(line, ":")
		// THREAD:error:CODE:LIBRARY:FUNCTION:REASON:FILE:LINE:TEXT, err_print(3); THREAD is hexadecimal.
		if len(fields) < 8 || fields[1] != "error" {
			return line
		}
		if first == "" {
			first = fields[5]
			if len(fields) > 8 && fields[8] != "" {
				first += " (" + strings.Join(fields[8:], ":") + ")"
			}
		}
	}
	return first
}
