// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package ddi

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/initddi/initddi/internal/plan"
)

// TestTrustBesideSettings: in a running stage 1, ddimount and ddifetch judge images whatever its settings ask of it. Of those, only what
// they say of trust is theirs.
func TestTrustBesideSettings(t *testing.T) {
	config := filepath.Join(t.TempDir(), "stage1.conf")
	for text, want := range map[string]error{
		"overlay=tmpfs\n": nil, "merge=yes\n": nil, "source=http\nurl=http://192.0.2.1/\n": nil, "source=nbd,esp\n": nil, "fail=shell\n": nil, "break=mount,verify\n": nil,
		"overlay=disk\n": plan.ErrValue, "typo=1\n": plan.ErrUnknownKey,
	} {
		if err := os.WriteFile(config, []byte("id=debian\n"+text), 0o644); err != nil {
			t.Fatal(err)
		}
		p, err := readTrust(config, nil, true)
		if !errors.Is(err, want) {
			t.Errorf("%q: %v", text, err)
		}
		if err == nil && p.Identity.ID != "debian" {
			t.Errorf("%q: the identity rule is %q", text, p.Identity.ID)
		}
	}
}
