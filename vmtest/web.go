// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package vmtest

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/initddi/initddi/internal/initramfs"
	"github.com/initddi/initddi/internal/netlab"
	"github.com/initddi/initddi/internal/vm"
)

// BadWeb is the name of badweb's log, and badPort where it serves.
const (
	BadWeb  = "badweb"
	badPort = "8080"
)

// serveWeb starts the web server of a cell, and the bad one before it.
func (w *Workshop) serveWeb(ctx context.Context, c *Cell, lab *netlab.Lab) error {
	web := c.Network.Web
	root := filepath.Join(lab.Dir, "web")
	if err := w.fillWeb(ctx, root, web.Place); err != nil {
		return err
	}
	if web.UKI != "" {
		if err := w.placeUKI(ctx, c, filepath.Join(root, web.UKI)); err != nil {
			return err
		}
	}
	if err := w.serveDisk(ctx, c, root); err != nil {
		return err
	}
	more := web.Server
	if web.TLS {
		dir, err := w.authority("web")
		if err != nil {
			return err
		}
		more += fmt.Sprintf("\nlisten 443 ssl;\nssl_certificate %s/server.crt;\nssl_certificate_key %s/server.key;\n", dir, dir)
	}
	if _, err := lab.Nginx(ctx, root, more, web.Aside); err != nil {
		return err
	}
	if !web.Bad {
		return nil
	}
	program, err := w.badweb(ctx)
	if err != nil {
		return err
	}
	seed, cuts := os.Getenv("INITDDI_SEED"), strconv.Itoa(web.Cuts)
	if seed == "" {
		seed = "0"
	}
	cmd, err := lab.Command(ctx, "", program, "--listen", ":"+badPort, "--to", netlab.Address4+":80", "--seed", seed, "--cuts", cuts)
	if err != nil {
		return err
	}
	_, err = lab.Start(BadWeb, cmd, func(log string) bool { return strings.Contains(log, "badweb: serving") })
	return err
}

// placeUKI puts the UKI of a cell where firmware fetches it from.
func (w *Workshop) placeUKI(ctx context.Context, c *Cell, name string) error {
	cmdline, err := w.cmdline(ctx, c)
	if err != nil {
		return err
	}
	efi, err := w.UKI(ctx, c, cmdline)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		return err
	}
	return os.Symlink(efi, name)
}

// badweb returns the program.
func (w *Workshop) badweb(ctx context.Context) (string, error) {
	sum, err := w.sources(ctx, "./vmtest/badweb")
	if err != nil {
		return "", err
	}
	return w.make("badweb", sum, func(tmp string) error {
		_, err := w.run(ctx, []string{"CGO_ENABLED=0"}, "go", "build", "-trimpath", "-buildvcs=false", "-o", tmp, "./vmtest/badweb")
		return err
	})
}

// secureHTTPFirmware is httpFirmware with Secure Boot on and our key the only one.
func (w *Workshop) secureHTTPFirmware(ctx context.Context, c *Cell, config *vm.Config, vars string) error {
	if err := w.httpFirmware(config, vars); err != nil {
		return err
	}
	config.FirmwareCode = strings.Replace(config.FirmwareCode, "OVMF_CODE_4M.fd", "OVMF_CODE_4M.secboot.fd", 1)
	return w.variables(ctx, c, vars)
}

// caFiles returns the certificate of an authority as stage 1 has it; none if name is empty.
func (w *Workshop) caFiles(name string) ([]initramfs.File, error) {
	if name == "" {
		return nil, nil
	}
	dir, err := w.authority(name)
	if err != nil {
		return nil, err
	}
	pem, err := os.ReadFile(filepath.Join(dir, "ca.crt"))
	return []initramfs.File{{Name: initramfs.CAFile, Data: pem}}, err
}

// authority returns a directory with the certificate of an authority, ca.crt, and with that and the key of a server at the lab's
// addresses and name that it has signed, server.crt and server.key.
func (w *Workshop) authority(name string) (string, error) {
	return w.make("authority-"+name, []any{w.self, name}, func(tmp string) error {
		if err := os.Mkdir(tmp, 0o755); err != nil {
			return err
		}
		caKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			return err
		}
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			return err
		}
		from, to := time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC), time.Date(2049, 1, 1, 0, 0, 0, 0, time.UTC)
		ca := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "authority " + name}, NotBefore: from, NotAfter: to,
			IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}
		server := &x509.Certificate{SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: netlab.Host}, NotBefore: from, NotAfter: to,
			DNSNames: []string{netlab.Host}, IPAddresses: []net.IP{net.ParseIP(netlab.Address4), net.ParseIP(netlab.Address6)}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}}
		if err := writeCertificate(filepath.Join(tmp, "ca.crt"), ca, ca, caKey.Public(), caKey); err != nil {
			return err
		}
		if err := writeCertificate(filepath.Join(tmp, "server.crt"), server, ca, key.Public(), caKey); err != nil {
			return err
		}
		der, err := x509.MarshalPKCS8PrivateKey(key)
		if err != nil {
			return err
		}
		return os.WriteFile(filepath.Join(tmp, "server.key"), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), 0o600)
	})
}

func writeCertificate(name string, c, parent *x509.Certificate, public crypto.PublicKey, by crypto.Signer) error {
	der, err := x509.CreateCertificate(rand.Reader, c, parent, public, by)
	if err != nil {
		return err
	}
	return os.WriteFile(name, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o644)
}
