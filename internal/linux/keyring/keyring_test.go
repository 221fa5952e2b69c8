// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package keyring

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// proc is what a machine under Secure Boot shows, and lines that are none of ours.
const proc = `07f4a4b2 I------     1 perm 1f0b0000     0     0 keyring   .builtin_trusted_keys: 4
0a1bd6b5 I------     1 perm 1f030000     0     0 asymmetri Debian Secure Boot CA: 6ccece7e4c6c0d1f6149f3dd27dfcc5cbb419ea1: X509.rsa bb419ea1 []
1498c5c0 I------     1 perm 1f030000     0     0 asymmetri initddi development image key: 42: X509.rsa 42 []
15e2ac1d I--Q---     2 perm 1f3f0000     0 65534 keyring   _uid.0: empty
1b4d1f0a I------     1 perm 1f030000     0     0 asymmetri Org: with: colons: ab01: X509.ecdsa-nist-p384 ab01 []
20c3b5b4 I--Q---     1 perm 3f010000     0     0 user      asymmetri: 00: X509.rsa: 12
2222bbbb I------     1 perm 1f030000     0     0 asymmetri a key without a certificate: 77: PKCS8.rsa 77 []
2222cccc I------     1 perm 1f030000     0     0 asymmetri nonsense: XYZ: X509.rsa []
2b4d1f0b I------     1 perm 1f030000     0     0 asymmetric Spelled Out: 0123456789abcdef: X509.rsa []
short line

33ad`

func TestCertificates(t *testing.T) {
	want := []string{"6ccece7e4c6c0d1f6149f3dd27dfcc5cbb419ea1", "42", "ab01", "0123456789abcdef"}
	if got := Certificates(proc); !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	if got := Certificates(""); got != nil {
		t.Errorf("nothing holds %q", got)
	}
}

// TestThisMachine: whatever this machine's kernel says can be read.
func TestThisMachine(t *testing.T) {
	b, err := os.ReadFile("/proc/keys")
	if err != nil {
		t.Skip("needs /proc/keys (CONFIG_KEYS): ", err)
	}
	got := Certificates(string(b))
	if n := strings.Count(string(b), ": X509."); len(got) > n {
		t.Errorf("%d certificates in %d lines", len(got), n)
	}
}

func FuzzCertificates(f *testing.F) {
	f.Add(proc)
	f.Add("a b c d e f g asymmetri : : X509.")
	f.Fuzz(func(t *testing.T, text string) {
		for _, id := range Certificates(text) {
			if id == "" || strings.Trim(id, "0123456789abcdef") != "" || !strings.Contains(text, id) {
				t.Errorf("%q holds %q", text, id)
			}
		}
	})
}

func TestWithUserKey(t *testing.T) {
	const name = "initddi-test-key"
	sentinel := errors.New("from inside")
	err := WithUserKey(name, []byte("payload"), func() error {
		id, err := unix.KeyctlSearch(unix.KEY_SPEC_THREAD_KEYRING, "user", name, 0)
		if err != nil {
			t.Errorf("the key is not there: %v", err)
			return sentinel
		}
		b := make([]byte, 64)
		if n, err := unix.KeyctlBuffer(unix.KEYCTL_READ, id, b, 0); err != nil || string(b[:n]) != "payload" {
			t.Errorf("the key is %q, %v", b[:max(n, 0)], err)
		}
		return sentinel
	})
	if errors.Is(err, unix.ENOSYS) || errors.Is(err, unix.EPERM) {
		t.Skip("needs a kernel that lets this process have keys (CONFIG_KEYS): ", err)
	}
	if !errors.Is(err, sentinel) {
		t.Errorf("%v, want what was returned inside", err)
	}
	if _, err := unix.KeyctlSearch(unix.KEY_SPEC_THREAD_KEYRING, "user", name, 0); err == nil {
		t.Error("the key is left behind")
	}
}

func TestAnswers(t *testing.T) {
	for _, test := range []struct {
		err               error
		unknown, rejected bool
	}{
		{nil, false, false}, {unix.ENOMEM, false, false}, {fmt.Errorf("x: %w", unix.ENOKEY), true, false},
		{fmt.Errorf("x: %w", unix.EKEYREJECTED), false, true}, {unix.EBADMSG, false, true}, {unix.EKEYREVOKED, false, true},
	} {
		if Unknown(test.err) != test.unknown || Rejected(test.err) != test.rejected {
			t.Errorf("%v: unknown %v, rejected %v", test.err, Unknown(test.err), Rejected(test.err))
		}
	}
}
