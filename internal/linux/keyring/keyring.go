// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

// Package keyring knows which keys the kernel has, and hands it a signature to check.
//
// What the kernel trusts is in its keyrings .builtin_trusted_keys, .secondary_trusted_keys, .machine and .platform; all keys that
// anybody may see are lines of /proc/keys (security/keys/proc.c). A signature travels the other way as a key of type "user" in the
// keyring of the thread that asks for it to be checked: dm-verity finds it by its description (root_hash_sig_key_desc).
package keyring

import (
	"errors"
	"fmt"
	"runtime"
	"strings"

	"golang.org/x/sys/unix"
)

// MaxSize bounds /proc/keys; a machine with a hundred keys has 12 kB.
const MaxSize = 1 << 20

// Certificates reads the text of /proc/keys and returns the identifiers, in lower-case hexadecimal, of the X.509 certificates in
// it: of each its subject key identifier, or where it has none its serial number, without leading zeros
// (crypto/asymmetric_keys/x509_public_key.c). What is no such line is passed over. Anybody can add a key of that type to a keyring
// of his own, so being in the list is a reason to ask the kernel, not to trust.
func Certificates(text string) []string {
	var out []string
	for line := range strings.Lines(text) {
		// ID FLAGS USAGE EXPIRY PERMISSIONS UID GID TYPE DESCRIPTION: SUMMARY
		const columns = 8
		rest := strings.TrimSpace(line)
		kind := ""
		for range columns {
			kind, rest, _ = strings.Cut(rest, " ")
			rest = strings.TrimLeft(rest, " ")
		}
		// The type is cut off after nine letters. The description is "SUBJECT: ID", the summary "X509.rsa …".
		if kind != "asymmetri" && kind != "asymmetric" {
			continue
		}
		i := strings.LastIndex(rest, ": X509.")
		if i < 0 {
			continue
		}
		description := rest[:i]
		id := description[strings.LastIndexByte(description, ' ')+1:]
		if id != "" && strings.Trim(id, "0123456789abcdef") == "" {
			out = append(out, id)
		}
	}
	return out
}

// WithUserKey calls do while the calling thread, and no other, has a key of type "user" of that description. The thread is do's
// alone as long as it runs, so what do does with the kernel must be done by itself and not by a goroutine that it starts.
func WithUserKey(description string, payload []byte, do func() error) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	id, err := unix.AddKey("user", description, payload, unix.KEY_SPEC_THREAD_KEYRING)
	if err != nil {
		return fmt.Errorf("cannot hand the kernel a signature of %d bytes: %w", len(payload), err)
	}
	err = do()
	// The kernel has what it needs by then, and a failure here leaves two kilobytes behind until the thread ends.
	_, _ = unix.KeyctlInt(unix.KEYCTL_UNLINK, id, unix.KEY_SPEC_THREAD_KEYRING, 0, 0)
	return err
}

// Unknown reports whether the kernel's error about a signature means that none of its keys made it; it says the same to one that
// it demands and does not get.
func Unknown(err error) bool { return errors.Is(err, unix.ENOKEY) }

// Rejected reports whether it means that the signature is not good, or by a key that was revoked or has expired.
func Rejected(err error) bool {
	for _, e := range []error{unix.EKEYREJECTED, unix.EKEYREVOKED, unix.EKEYEXPIRED, unix.EBADMSG, unix.ENOPKG} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}
