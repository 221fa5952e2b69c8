// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package interop

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// webServer is an https server, and what ddifetch must make of it.
type webServer struct {
	name string
	url  string
	why  string // in the refusal; empty if it is to be taken
}

// webServers are good and weak ones, and the CA of all of them. Go's library, which serves here, has to be weakened for that.
func webServers(t *testing.T) (list []webServer, ca string) {
	t.Helper()
	t.Setenv("GODEBUG", "rsa1024min=0,tls10server=1,tlsrsakex=1,tls3des=1")
	key := func(bits int) crypto.Signer {
		k, err := rsa.GenerateKey(rand.Reader, bits)
		if err != nil {
			t.Fatal(err)
		}
		return k
	}
	caKey, strong, weak := key(2048), key(2048), key(1024)
	root := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "interop CA"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}
	der, err := x509.CreateCertificate(rand.Reader, root, root, caKey.Public(), caKey)
	if err != nil {
		t.Fatal(err)
	}
	ca = filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o644); err != nil {
		t.Fatal(err)
	}
	for i, s := range []struct {
		name   string
		key    crypto.Signer
		change func(*tls.Config)
		why    string
	}{
		{"TLS 1.3", strong, nil, ""},
		{"TLS 1.2", strong, func(c *tls.Config) { c.MaxVersion = tls.VersionTLS12 }, ""},
		{"1024 bits", weak, nil, "1024"},
		{"TLS 1.1", strong, func(c *tls.Config) { c.MinVersion, c.MaxVersion = tls.VersionTLS10, tls.VersionTLS11 }, "protocol version"},
		{"no forward secrecy", strong, func(c *tls.Config) {
			c.MaxVersion, c.CipherSuites = tls.VersionTLS12, []uint16{tls.TLS_RSA_WITH_AES_128_GCM_SHA256}
		}, "handshake failure"},
		{"3DES", strong, func(c *tls.Config) {
			c.MaxVersion, c.CipherSuites = tls.VersionTLS12, []uint16{tls.TLS_ECDHE_RSA_WITH_3DES_EDE_CBC_SHA}
		}, "handshake failure"},
	} {
		leaf := &x509.Certificate{SerialNumber: big.NewInt(int64(i + 2)), Subject: pkix.Name{CommonName: s.name}, NotBefore: root.NotBefore, NotAfter: root.NotAfter, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}}
		der, err := x509.CreateCertificate(rand.Reader, leaf, root, s.key.Public(), caKey)
		if err != nil {
			t.Fatal(err)
		}
		server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "hello") }))
		server.TLS = &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: s.key}}}
		if s.change != nil {
			s.change(server.TLS)
		}
		server.Config.ErrorLog = log.New(io.Discard, "", 0)
		server.StartTLS()
		t.Cleanup(server.Close)
		list = append(list, webServer{s.name, server.URL + "/x.raw", s.why})
	}
	return append(list, webServer{"length left out", laxServer(t), "invalid empty Content-Length"}), ca
}

// laxServer answers with a length that is no number, which Go took before 1.22 and a gobusybox would take again. Nothing in the
// configuration of a client forbids it: only ddifetch's own GODEBUG does.
func laxServer(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			if _, err := c.Read(make([]byte, 4096)); err == nil {
				io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: \r\n\r\nhello")
			}
			c.Close()
		}
	}()
	return "http://" + l.Addr().String() + "/x.raw"
}

// webStrength asks a built ddifetch to fetch from each of the servers, under settings that make Go's own library weak.
func webStrength(t *testing.T, ddifetch []string) {
	t.Helper()
	list, ca := webServers(t)
	for _, s := range list {
		for _, godebug := range []string{"", "rsa1024min=0,tls10server=1,tlsrsakex=1,tls3des=1,tlssha1=1,httplaxcontentlength=1"} {
			args := append(append([]string{}, ddifetch...), "--ca="+ca, "--alone", "-q", "--timeout=5", "-o", filepath.Join(t.TempDir(), "x.raw"), s.url)
			o := run(t, []string{"GODEBUG=" + godebug}, args[0], args[1:]...)
			if (o.err == nil) != (s.why == "") || !strings.Contains(o.text, s.why) {
				t.Errorf("GODEBUG=%s ddifetch from a server with %s: %v, wanted %q:\n%s", godebug, s.name, o.err, s.why, o.text)
			}
		}
	}
}
