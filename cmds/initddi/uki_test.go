// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package main

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/initddi/initddi/internal/keys"
)

// TestFailedSigning keeps the UKI that was there when its successor cannot be signed: for a key that Secure Boot has no use for, and
// for a tool that fails.
func TestFailedSigning(t *testing.T) {
	dir := t.TempDir()
	rsa, ec := dir+"/rsa", dir+"/ec"
	if _, err := keys.Make(rsa); err != nil {
		t.Fatal(err)
	}
	if _, err := keys.MakeOf(ec, "ecdsa-p256"); err != nil {
		t.Fatal(err)
	}
	write(t, dir+"/bin/osslsigncode", "#!/bin/sh\necho the token is gone\nexit 1\n")
	if err := os.Chmod(dir+"/bin/osslsigncode", 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", dir+"/bin:"+os.Getenv("PATH"))
	output := write(t, dir+"/out/v.efi", "a signed UKI")
	part := write(t, dir+"/part", "x")
	for _, test := range []struct{ pair, want string }{{ec + "/ddi", "only RSA keys are supported"}, {rsa + "/secureboot", "the token is gone"}} {
		pair := keys.Pair{Key: test.pair + ".key", Cert: test.pair + ".crt"}
		if err := writeUKI(context.Background(), output, []byte("unsigned"), pair); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v", test.pair, err)
		}
		// What the key is shows before anything is read.
		got := say(t, "uki", "--output", output, "--stub", part, "--kernel", part, "--initramfs", part, "--key", pair.Key, "--cert", pair.Cert)
		if !strings.Contains(got, "error: cannot ") || strings.HasPrefix(test.pair, ec) && !strings.Contains(got, test.want) {
			t.Errorf("%s: %s", test.pair, got)
		}
		if b, err := os.ReadFile(output); err != nil || string(b) != "a signed UKI" {
			t.Errorf("%s: it is gone: %q, %v", test.pair, b, err)
		}
		if left, err := filepath.Glob(dir + "/out/.*"); err != nil || len(left) != 0 {
			t.Errorf("left behind: %v, %v", left, err)
		}
	}
}
