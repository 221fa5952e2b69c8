// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package signature

import (
	"errors"
	"os/exec"
	"strings"
	"testing"
)

// TestLeftOut looks at the other build: what it says of ECDSA and Ed25519 is asserted by this same test in it, and RSA is as here.
func TestLeftOut(t *testing.T) {
	ed := certSpec{spki: spkiEd25519}.build()
	edCert, edErr := ParseCertificate(ed)
	if edErr != nil {
		t.Fatal(edErr)
	}
	if has := edCert.PublicKey != nil; has != HasEd25519 || has == strings.Contains(edCert.KeyAlgorithm, "left out of this program") || errors.Is(edCert.CheckKey(), ErrUnsupported) == has {
		t.Errorf("Ed25519: got %v, %v", edCert, edCert.CheckKey())
	}
	c := store(t, "p256")[0]
	_, err := Verify(read(t, "p256.p7s"), read(t, "roothash"), []*Certificate{c})
	if _, rsaErr := Verify(read(t, "rsa2048.p7s"), read(t, "roothash"), store(t, "rsa2048")); rsaErr != nil {
		t.Errorf("RSA: %v", rsaErr)
	}
	if !HasECDSA {
		if !errors.Is(err, ErrUnsupported) || !strings.Contains(err.Error(), "ECDSA P-256, left out of this program") || c.PublicKey != nil {
			t.Errorf("got %v with %v, wanted %v", err, c.PublicKey, ErrUnsupported)
		}
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("go", "list", "-deps", "-tags", "noecdsa,noed25519", "./../../cmds/storageinit", "./../../cmds/ddimount").CombinedOutput(); err != nil || strings.Contains(string(out), "ecdsa") || strings.Contains(string(out), "nistec") || strings.Contains(string(out), "25519") {
		t.Errorf("what was left out is still there: %v\n%s", err, out)
	}
	out, err := exec.Command("go", "test", "-count=1", "-tags", "noecdsa,noed25519", "-run", "^TestLeftOut$", "-v", ".").CombinedOutput()
	if err != nil || !strings.Contains(string(out), "--- PASS: TestLeftOut") {
		t.Errorf("%v\n%s", err, out)
	}
}
