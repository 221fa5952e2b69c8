// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package fetch

import (
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
)

// CAFile is where the certificates lie that sign those of https servers, in stage 1 ("initddi initramfs --ca") as in Debian: PEM.
const CAFile = "/etc/ssl/certs/ca-certificates.crt"

// settings of Go's library that a build may have changed: a gobusybox is compiled with the defaults of Go 1.20, which take TLS 1.0, keys of
// 512 bits and more of the kind. These are the values that Go 1.26 means to have, of everything that a client uses.
const settings = "tlsrsakex=0,tls3des=0,tlssha1=0,tlsunsafeekm=0,tlsmlkem=1,tlssecpmlkem=1,tls10server=0,rsa1024min=1,tlsmaxrsasize=8192," +
	"x509negativeserial=0,x509usepolicies=1,x509rsacrt=1,x509keypairleaf=1,x509sha256skid=1,x509usefallbackroots=0,cryptocustomrand=0," +
	"httplaxcontentlength=0,http2client=0,urlstrictcolons=1,netedns0=1,multipathtcp=0,netdns=go"

// Harden sets GODEBUG so that Go's own checks are as strong as they can be, whatever the build and the environment say. A program calls it
// first, before anything uses TLS, and before there are other goroutines. What counts most is in the TLS configuration again.
func Harden() error {
	if err := os.Setenv("GODEBUG", settings); err != nil {
		return fmt.Errorf("cannot switch weak TLS off: %w", err)
	}
	return nil
}

// minRSA is the smallest RSA key of a certificate, as for the signatures of images.
const minRSA = 2048

// errStrength says that a server's certificates do not hold what they should.
var errStrength = errors.New("the server's certificate is too weak")

// tlsConfig is what is spoken with https servers. It says itself what matters, so that no setting can say otherwise.
func tlsConfig(cas *x509.CertPool) *tls.Config {
	if cas == nil {
		cas = x509.NewCertPool() // nil would stand for what the machine has
	}
	return &tls.Config{
		RootCAs:    cas,
		MinVersion: tls.VersionTLS12,
		CipherSuites: []uint16{ // of TLS 1.2
			tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
			tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256, tls.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
			tls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256, tls.TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
		},
		VerifyConnection: checkStrength,
	}
}

// checkStrength looks at the chains that led to a CA; one of them must be strong all the way. Signatures with SHA-1 make no chain for Go.
func checkStrength(s tls.ConnectionState) error {
	var last error
	for _, chain := range s.VerifiedChains {
		if last = checkChain(chain); last == nil {
			return nil
		}
	}
	return fmt.Errorf("%w: %w", errStrength, last)
}

func checkChain(chain []*x509.Certificate) error {
	for _, c := range chain {
		if key, ok := c.PublicKey.(*rsa.PublicKey); ok && key.N.BitLen() < minRSA {
			return fmt.Errorf("%.80q has an RSA key of %d bits, wanted at least %d", c.Subject.CommonName, key.N.BitLen(), minRSA)
		}
	}
	return nil
}

// maxCAFile bounds a file of CA certificates; Debian's has 220 kB.
const maxCAFile = 4 << 20

// ReadCAs reads a file of CA certificates (PEM). A file that is not there is no error if optional is set: then the pool is nil, and https an
// error once it is used.
func ReadCAs(name string, optional bool) (*x509.CertPool, error) {
	f, err := os.Open(name)
	if optional && errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("cannot read the CA certificates: %w", err)
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxCAFile+1))
	if err == nil && len(b) > maxCAFile {
		err = fmt.Errorf("more than %d bytes: %w", maxCAFile, fs.ErrInvalid)
	}
	pool := x509.NewCertPool()
	if err == nil && !pool.AppendCertsFromPEM(b) {
		err = fmt.Errorf("no certificate in it (PEM): %w", fs.ErrInvalid)
	}
	if err != nil {
		return nil, fmt.Errorf("cannot read the CA certificates in %s: %w", name, err)
	}
	return pool, nil
}
