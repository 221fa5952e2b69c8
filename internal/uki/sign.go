// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package uki

import (
	"bytes"
	"context"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/initddi/initddi/internal/program"
)

// SignOptions are the choices of [Sign]; the zero value is fine.
type SignOptions struct {
	// Time is stored in the signature as its signing time. The zero value stands for the beginning of the certificate's
	// validity: deterministic, and never outside of it. Firmware ignores the time.
	Time time.Time
	// PassFile names a file with the passphrase of an encrypted key.
	PassFile string
	// Chain names a PEM file with further certificates to include, when the certificate that the firmware knows is an
	// issuer of the signing certificate.
	Chain string
}

// Sign writes a copy of the PE image in, with an Authenticode signature (SHA-256) for UEFI Secure Boot, to out. key and
// cert are PEM files. A signature that in already has is replaced. out may be the same file as in; it is replaced
// atomically.
//
// Same input, key, certificate and version of osslsigncode give the same bytes. That is why the tool is osslsigncode: sbsign 0.9.4
// stores the time of day and has no option against it. Keys other than RSA are refused, because an ECDSA signature is
// different every time and because firmware need not support it (UEFI 2.10 section 32.5).
func Sign(ctx context.Context, in, out, key, cert string, o SignOptions) error {
	if err := sign(ctx, in, out, key, cert, o); err != nil {
		return fmt.Errorf("cannot sign %s: %w", in, err)
	}
	return nil
}

func sign(ctx context.Context, in, out, key, cert string, o SignOptions) error {
	tool, err := program.Find("osslsigncode", "osslsigncode")
	if err != nil {
		return err
	}
	c, err := checkSigner(key, cert, o.PassFile)
	if err != nil {
		return err
	}
	when := o.Time
	if when.IsZero() {
		when = c.NotBefore
	}
	dir, err := os.MkdirTemp(filepath.Dir(out), ".sign-*")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	tmp := filepath.Join(dir, "signed") // the tool refuses to overwrite a file
	args := []string{"sign", "-certs", cert, "-key", key, "-h", "sha256", "-time", strconv.FormatInt(when.Unix(), 10)}
	if o.PassFile != "" {
		args = append(args, "-readpass", o.PassFile)
	}
	if o.Chain != "" {
		args = append(args, "-ac", o.Chain)
	}
	cmd := exec.CommandContext(ctx, tool, append(args, "-in", in, "-out", tmp)...)
	if text, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w: %s", tool, err, summary(text))
	}
	if st, err := os.Stat(in); err == nil {
		if err := os.Chmod(tmp, st.Mode().Perm()); err != nil {
			return err
		}
	}
	return os.Rename(tmp, out)
}

// CheckSigner is whether [Sign] can sign with key and cert: it finds a key that is not RSA before anything is made.
func CheckSigner(key, cert, passFile string) error {
	_, err := checkSigner(key, cert, passFile)
	return err
}

func checkSigner(key, cert, passFile string) (*x509.Certificate, error) {
	c, err := readCertificate(cert)
	if err != nil {
		return nil, err
	}
	if _, ok := c.PublicKey.(*rsa.PublicKey); !ok {
		return nil, fmt.Errorf("certificate %s holds a %s key, only RSA keys are supported", cert, c.PublicKeyAlgorithm)
	}
	return c, checkKeyFile(key, passFile)
}

// summary keeps the lines of a tool's output that say something to a person; OpenSSL's error queue comes after them.
func summary(text []byte) string {
	var keep []string
	for line := range strings.Lines(string(text)) {
		line = strings.TrimSpace(line)
		if line != "" && line != "Failed" && !strings.Contains(line, ":error:") && len(keep) < 6 {
			keep = append(keep, line)
		}
	}
	return strings.Join(keep, "; ")
}

func readCertificate(path string) (*x509.Certificate, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	for block, rest := pem.Decode(b); block != nil; block, rest = pem.Decode(rest) {
		if block.Type == "CERTIFICATE" {
			c, err := x509.ParseCertificate(block.Bytes)
			if err != nil {
				return nil, fmt.Errorf("certificate %s: %w", path, err)
			}
			return c, nil
		}
	}
	return nil, fmt.Errorf("%s holds no PEM certificate", path)
}

// checkKeyFile looks at a key before the tool does, which would ask for a passphrase on the terminal.
func checkKeyFile(path, passFile string) error {
	b, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	if passFile == "" && bytes.Contains(b, []byte("ENCRYPTED")) {
		return fmt.Errorf("key %s is encrypted and no passphrase file was given", path)
	}
	return nil
}
