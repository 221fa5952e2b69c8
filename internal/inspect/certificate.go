// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package inspect

import (
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"

	"github.com/initddi/initddi/internal/report"
	"github.com/initddi/initddi/internal/signature"
)

// Certificate describes a certificate of a trust store, a firmware or a file.
type Certificate struct {
	File        string `json:"file,omitempty"` // where it stands
	Subject     string `json:"subject"`
	Key         string `json:"key"`
	Fingerprint string `json:"fingerprint"` // SHA-256 of its DER form
	// Problem says why nothing that it signed is believed.
	Problem string `json:"problem,omitempty"`
}

// maxCertificates bounds a file of certificates, as package signature does.
const maxCertificates = 1 << 20

func (s source) certificates(rep *Report) error {
	b, err := s.all(maxCertificates)
	if err != nil {
		return err
	}
	rep.Certificates, err = parseCertificates(b, "")
	return err
}

// parseCertificates reads PEM, or one certificate in DER.
func parseCertificates(b []byte, file string) ([]Certificate, error) {
	var list []*signature.Certificate
	if block, _ := pem.Decode(b); block == nil {
		c, err := signature.ParseCertificate(b)
		if err != nil {
			return nil, err
		}
		list = append(list, c)
	} else {
		var err error
		if list, err = signature.ParseCertificatesPEM(b); err != nil {
			return nil, err
		}
	}
	var out []Certificate
	for _, c := range list {
		out = append(out, describe(c, file))
	}
	return out, nil
}

func describe(c *signature.Certificate, file string) Certificate {
	fp := c.Fingerprint()
	out := Certificate{File: file, Subject: c.Subject, Key: c.KeyAlgorithm, Fingerprint: hex.EncodeToString(fp[:])}
	if err := c.CheckKey(); err != nil {
		out.Problem = err.Error()
	}
	return out
}

// maxReport bounds boot.json; a real one has a few KiB.
const maxReport = 4 << 20

func (s source) bootReport(rep *Report) error {
	b, err := s.all(maxReport)
	if err != nil {
		return err
	}
	boot := &report.Boot{}
	if err := json.Unmarshal(b, boot); err != nil {
		return fmt.Errorf("it is JSON, but not a boot report: %w: %w", ErrUnknown, err)
	}
	if boot.Version == 0 || boot.Stages == nil {
		return fmt.Errorf("it is JSON, but not a boot report: %w", ErrUnknown)
	}
	if boot.Version > report.Version {
		return fmt.Errorf("boot report version %d, this program knows %d: %w", boot.Version, report.Version, errors.ErrUnsupported)
	}
	rep.Boot = boot
	return nil
}

// all reads the whole source, which has at most limit bytes.
func (s source) all(limit int64) ([]byte, error) {
	if s.size > limit {
		return nil, fmt.Errorf("%d bytes, at most %d are read: %w", s.size, limit, ErrUnknown)
	}
	b := make([]byte, s.size)
	if n, err := s.r.ReadAt(b, 0); int64(n) < s.size {
		return nil, err
	}
	return b, nil
}
