// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package fetch

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/initddi/initddi/internal/weburl"
)

// authority signs the certificates of the test's servers.
type authority struct {
	cert *x509.Certificate
	key  crypto.Signer
}

func ecdsaKey(t *testing.T) crypto.Signer {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func rsaKey(t *testing.T, bits int) crypto.Signer {
	t.Helper()
	k, err := rsa.GenerateKey(rand.Reader, bits)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func newAuthority(t *testing.T, key crypto.Signer) *authority {
	t.Helper()
	a := &authority{key: key}
	a.cert = a.sign(t, key, func(c *x509.Certificate) {
		c.IsCA, c.BasicConstraintsValid, c.KeyUsage = true, true, x509.KeyUsageCertSign
	})
	return a
}

// sign makes a certificate for 127.0.0.1 that is valid for an hour, as change changes it; by itself if the authority has none yet.
func (a *authority) sign(t *testing.T, key crypto.Signer, change func(*x509.Certificate)) *x509.Certificate {
	t.Helper()
	c := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: t.Name()},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	if change != nil {
		change(c)
	}
	parent := a.cert
	if parent == nil {
		parent = c
	}
	der, err := x509.CreateCertificate(rand.Reader, c, parent, key.Public(), a.key)
	if err != nil {
		t.Fatal(err)
	}
	if c, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	return c
}

func (a *authority) pool() *x509.CertPool {
	p := x509.NewCertPool()
	p.AddCert(a.cert)
	return p
}

// serveTLS starts an https server.
func serveTLS(t *testing.T, cert *x509.Certificate, key crypto.Signer, change func(*tls.Config), h http.HandlerFunc) weburl.URL {
	t.Helper()
	s := httptest.NewUnstartedServer(h)
	s.TLS = &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{cert.Raw}, PrivateKey: key}}}
	if change != nil {
		change(s.TLS)
	}
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.StartTLS()
	t.Cleanup(func() { s.CloseClientConnections(); s.Close() })
	return mustURL(t, s.URL+"/OS_1.raw")
}

func hello(w http.ResponseWriter, _ *http.Request) { w.Write([]byte("hello")) }

// TestHTTPS has servers with good and bad certificates and protocols. The settings of Go's library are the weakest that there are: the
// configuration alone has to be strong enough.
func TestHTTPS(t *testing.T) {
	t.Setenv("GODEBUG", "tls10server=1,tls3des=1,tlsrsakex=1,tlssha1=1,rsa1024min=0,tlsunsafeekm=1")
	ca, stranger := newAuthority(t, ecdsaKey(t)), newAuthority(t, ecdsaKey(t))
	weakCA := newAuthority(t, rsaKey(t, 1024))
	strong, rsa2048, rsa1024 := ecdsaKey(t), rsaKey(t, 2048), rsaKey(t, 1024)
	for _, test := range []struct {
		name   string
		signer *authority
		key    crypto.Signer
		cert   func(*x509.Certificate)
		tls    func(*tls.Config)
		text   string // in the error; none if the server is good
	}{
		{name: "ECDSA", signer: ca, key: strong},
		{name: "RSA", signer: ca, key: rsa2048},
		{name: "TLS 1.2", signer: ca, key: rsa2048, tls: func(c *tls.Config) { c.MaxVersion = tls.VersionTLS12 }},
		{name: "TLS 1.3 with HTTP/2 on offer", signer: ca, key: strong, tls: func(c *tls.Config) { c.NextProtos = []string{"h2", "http/1.1"} }},
		{name: "stranger", signer: stranger, key: strong, text: "signed by nobody who is trusted here"},
		{name: "other name", signer: ca, key: strong, cert: func(c *x509.Certificate) { c.IPAddresses = []net.IP{net.IPv4(192, 0, 2, 1)} }, text: "192.0.2.1"},
		{name: "expired", signer: ca, key: strong, cert: func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Minute) }, text: "and the clock says"},
		{name: "not yet valid", signer: ca, key: strong, cert: func(c *x509.Certificate) { c.NotBefore = time.Now().Add(time.Minute) }, text: "and the clock says"},
		{name: "for clients", signer: ca, key: strong, cert: func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth} }, text: "key usage"},
		{name: "RSA of 1024 bits", signer: ca, key: rsa1024, text: "1024 bits"},
		{name: "CA of 1024 bits", signer: weakCA, key: strong, text: "1024 bits"},
		{name: "TLS 1.1", signer: ca, key: rsa2048, tls: func(c *tls.Config) { c.MinVersion, c.MaxVersion = tls.VersionTLS10, tls.VersionTLS11 }, text: "protocol version"},
		{name: "no forward secrecy", signer: ca, key: rsa2048, tls: func(c *tls.Config) {
			c.MaxVersion, c.CipherSuites = tls.VersionTLS12, []uint16{tls.TLS_RSA_WITH_AES_128_GCM_SHA256}
		}, text: "handshake failure"},
		{name: "3DES", signer: ca, key: rsa2048, tls: func(c *tls.Config) {
			c.MaxVersion, c.CipherSuites = tls.VersionTLS12, []uint16{tls.TLS_ECDHE_RSA_WITH_3DES_EDE_CBC_SHA}
		}, text: "handshake failure"},
		{name: "CBC", signer: ca, key: rsa2048, tls: func(c *tls.Config) {
			c.MaxVersion, c.CipherSuites = tls.VersionTLS12, []uint16{tls.TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA}
		}, text: "handshake failure"},
	} {
		t.Run(test.name, func(t *testing.T) {
			u := serveTLS(t, test.signer.sign(t, test.key, test.cert), test.key, test.tls, hello)
			o := quick(t)
			o.CAs = ca.pool()
			o.CAs.AddCert(weakCA.cert)
			retries := 0
			o.Note = func(s string) { t.Log(s); retries++ }
			b, _, err := get(t, o, 100, u)
			if test.text == "" {
				if err != nil || string(b) != "hello" {
					t.Errorf("%q, %v", b, err)
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), test.text) || retries > 0 {
				t.Errorf("%v after %d retries, wanted %q at once", err, retries, test.text)
			}
		})
	}
}

// TestSchemes has redirections between http and https, and servers of the one where the other was asked for.
func TestSchemes(t *testing.T) {
	ca, key := newAuthority(t, ecdsaKey(t)), ecdsaKey(t)
	cert := ca.sign(t, key, nil)
	to := func(u weburl.URL) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, u.String(), http.StatusFound) }
	}
	plainServer, secure := serve(t, hello), serveTLS(t, cert, key, nil, hello)
	swap := func(u weburl.URL, scheme string) weburl.URL { u.Scheme = scheme; return u }
	for _, test := range []struct {
		name string
		url  weburl.URL
		err  error
		text string
	}{
		{"http to http", serve(t, to(plainServer)), nil, ""},
		{"http to https", serve(t, to(secure)), nil, ""},
		{"https to https", serveTLS(t, cert, key, nil, to(secure)), nil, ""},
		{"https to http", serveTLS(t, cert, key, nil, to(plainServer)), ErrRedirect, "from https to"},
		{"http to https to http", serve(t, to(serveTLS(t, cert, key, nil, to(plainServer)))), ErrRedirect, "from https to"},
		{"https of an http server", swap(plainServer, "https"), http.ErrSchemeMismatch, ""},
		{"http of an https server", swap(secure, "http"), nil, "400 Bad Request"},
	} {
		o := quick(t)
		o.CAs = ca.pool()
		b, _, err := get(t, o, 100, test.url)
		if test.err == nil && test.text == "" {
			if err != nil || string(b) != "hello" {
				t.Errorf("%s: %q, %v", test.name, b, err)
			}
			continue
		}
		if err == nil || test.err != nil && !errors.Is(err, test.err) || !strings.Contains(err.Error(), test.text) {
			t.Errorf("%s: %v, wanted %v", test.name, err, test.err)
		}
	}
}

// TestMachineCAsCountForNothing has a server whose CA only the machine trusts.
func TestMachineCAsCountForNothing(t *testing.T) {
	ca, key := newAuthority(t, ecdsaKey(t)), ecdsaKey(t)
	file := writeCAs(t, ca)
	t.Setenv("SSL_CERT_FILE", file)
	u := serveTLS(t, ca.sign(t, key, nil), key, nil, hello)
	o := quick(t)
	o.CAs = x509.NewCertPool()
	if _, _, err := get(t, o, 100, u); err == nil {
		t.Error("a certificate is good that only SSL_CERT_FILE makes so")
	}
}

func writeCAs(t *testing.T, list ...*authority) string {
	t.Helper()
	var b []byte
	for _, a := range list {
		b = append(b, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.cert.Raw})...)
	}
	name := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(name, b, 0o644); err != nil {
		t.Fatal(err)
	}
	return name
}

func TestReadCAs(t *testing.T) {
	ca := newAuthority(t, ecdsaKey(t))
	if pool, err := ReadCAs(writeCAs(t, ca), false); err != nil || !pool.Equal(ca.pool()) {
		t.Errorf("%v", err)
	}
	missing := filepath.Join(t.TempDir(), "none.pem")
	if pool, err := ReadCAs(missing, true); err != nil || pool != nil {
		t.Errorf("%v, %v", pool, err)
	}
	if _, err := ReadCAs(missing, false); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("%v", err)
	}
	large := filepath.Join(t.TempDir(), "large.pem")
	if err := os.WriteFile(large, make([]byte, maxCAFile+1), 0o644); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{writeCAs(t): "no certificate in it", large: "more than"} {
		if _, err := ReadCAs(name, true); err == nil || !strings.Contains(err.Error(), text) {
			t.Errorf("%v, wanted %q", err, text)
		}
	}
}

// TestSettings holds what Harden sets against the toolchain's own table: whatever has become stronger in some version of Go is there, and
// not with the old value.
func TestSettings(t *testing.T) {
	table, err := os.ReadFile(filepath.Join(runtime.GOROOT(), "src/internal/godebugs/table.go"))
	if err != nil {
		t.Skipf("needs the sources of Go's library: %v", err)
	}
	set := map[string]string{}
	for s := range strings.SplitSeq(settings, ",") {
		name, value, ok := strings.Cut(s, "=")
		if !ok || set[name] != "" {
			t.Errorf("%s stands there twice or without a value", name)
		}
		set[name] = value
	}
	rows := regexp.MustCompile(`(?m)^\t\{Name: "(\w+)", Package: "([\w/]+)"(?:, Opaque: true)?(?:, Changed: (\d+), Old: "(\w*)")?`).FindAllStringSubmatch(string(table), -1)
	if len(rows) < 40 {
		t.Fatalf("only %d rows in the table", len(rows))
	}
	used := regexp.MustCompile(`^(crypto(/.*)?|net|net/http|net/url)$`)
	// What a client does not use.
	server := map[string]bool{"httpmuxgo121": true, "httpservecontentkeepheaders": true, "httpcookiemaxnum": true, "urlmaxqueryparams": true, "multipathtcp": true}
	known := map[string]bool{}
	for _, row := range rows {
		name, pkg, changed, old := row[1], row[2], row[3], row[4]
		known[name] = true
		if !used.MatchString(pkg) || changed == "" || server[name] {
			continue
		}
		if value, ok := set[name]; !ok || value == old {
			t.Errorf("%s of %s is %q, and %q is the old, weak value", name, pkg, value, old)
		}
	}
	for name := range set {
		if !known[name] {
			t.Errorf("%s is unknown to this Go", name)
		}
	}
}
