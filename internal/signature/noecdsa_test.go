// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package signature

import (
	"errors"
	"os/exec"
	"strings"
	"testing"
)

// TestWithoutECDSA looks at the other build: what it says of ECDSA is asserted by this same test in it, and everything else is as here.
func TestWithoutECDSA(t *testing.T) {
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
	if out, err := exec.Command("go", "list", "-deps", "-tags", "noecdsa", "./../../cmds/storageinit", "./../../cmds/ddimount").CombinedOutput(); err != nil || strings.Contains(string(out), "ecdsa") || strings.Contains(string(out), "nistec") {
		t.Errorf("without ECDSA there is still some: %v\n%s", err, out)
	}
	out, err := exec.Command("go", "test", "-count=1", "-tags", "noecdsa", "-run", "^TestWithoutECDSA$", "-v", ".").CombinedOutput()
	if err != nil || !strings.Contains(string(out), "--- PASS: TestWithoutECDSA") {
		t.Errorf("%v\n%s", err, out)
	}
}
