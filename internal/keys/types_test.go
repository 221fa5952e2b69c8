// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package keys

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/initddi/initddi/internal/signature"
)

// TestTypes makes keys of every type; what they sign is good by the package that stage 1 decides with.
func TestTypes(t *testing.T) {
	if _, err := exec.LookPath("openssl"); err != nil {
		t.Skip("needs openssl (Debian package openssl)")
	}
	for kind, want := range map[string]string{"rsa": "RSA-4096", "ecdsa-p256": "ECDSA P-256", "ecdsa-p384": "ECDSA P-384"} {
		dir := t.TempDir()
		if _, err := MakeOf(dir, kind); err != nil {
			t.Fatal(err)
		}
		p := In(dir, Image)
		pem, err := os.ReadFile(p.Cert)
		if err != nil {
			t.Fatal(err)
		}
		certs, err := signature.ParseCertificatesPEM(pem)
		if err != nil {
			t.Fatal(err)
		}
		if certs[0].KeyAlgorithm != want {
			t.Errorf("%s: the key is %s, want %s", kind, certs[0].KeyAlgorithm, want)
		}
		sig, err := p.Sign(t.Context(), []byte("content"))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := signature.Verify(sig, []byte("content"), certs); err != nil {
			t.Errorf("%s: %v", kind, err)
		}
		if _, err := signature.Verify(sig, []byte("other content"), certs); !errors.Is(err, signature.ErrBadSignature) {
			t.Errorf("%s: other content: %v", kind, err)
		}
	}
	if len(Types()) != 3 {
		t.Errorf("%d types, of which 3 are tested", len(Types()))
	}
	if _, err := MakeOf(filepath.Join(t.TempDir(), "x"), "dsa"); !errors.Is(err, ErrType) {
		t.Errorf("dsa: %v", err)
	}
}
