// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package handoff

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"strings"
)

// stores are the directories of credentials that systemd-stub fills, and the credential stores (systemd.exec(5), ImportCredential=) in which a service finds
// what is in them. systemd itself imports credentials from /.extra alone; $ENCRYPTED_CREDENTIALS_DIRECTORY, the other way to tell it of some, keeps it from
// importing any (import-creds.c): not those of SMBIOS, of fw_cfg and of the command line either.
func stores() [3][2]string {
	return [...][2]string{
		// The UKI's own credential goes before everybody's of the same name, as in systemd.
		{"credentials", "/run/credstore.encrypted"},
		{"global_credentials", "/run/credstore.encrypted"},
		// What the firmware vouches for (systemd 262).
		{"system_credentials", "/run/credstore"},
	}
}

// copies is what systemd-tmpfiles copies out of /.extra, by 20-systemd-stub.conf.
func copies() [5]struct {
	name, to string
	mode     fs.FileMode
} {
	return [...]struct {
		name, to string
		mode     fs.FileMode
	}{
		{"tpm2-pcr-signature.json", "/run/systemd/tpm2-pcr-signature.json", 0o444},
		{"tpm2-pcr-public-key.pem", "/run/systemd/tpm2-pcr-public-key.pem", 0o444},
		{"profile", "/run/systemd/stub/profile", 0o444},
		{"os-release", "/run/systemd/stub/os-release", 0o444},
		{"boot-secret", "/run/systemd/stub/boot-secret", 0o400},
	}
}

// passOn gives an image that has no /.extra what is in the directory from. Extensions are not passed on: anywhere else systemd would take them
// without a signature. Credentials are not either if the next init was told to take none.
func passOn(from string, noCredentials bool) error {
	for _, s := range stores() {
		if noCredentials {
			break
		}
		dir := from + "/" + s[0]
		entries, err := readDir(dir)
		if err != nil {
			continue
		}
		for _, e := range entries {
			if e.Type().IsRegular() {
				err = errors.Join(err, passFile(dir+"/"+e.Name(), s[1]+"/"+strings.TrimSuffix(e.Name(), ".cred"), 0o700, 0o400))
			}
		}
		if err != nil {
			return err
		}
	}
	for _, c := range copies() {
		if err := passFile(from+"/"+c.name, c.to, 0o755, c.mode); err != nil {
			return err
		}
	}
	return nil
}

// passFile copies a file, if it is there and to is not, and makes the directory that it goes into.
func passFile(from, to string, dir, mode fs.FileMode) error {
	if _, err := os.Lstat(from); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err := os.MkdirAll(path.Dir(to), dir); err != nil {
		return fmt.Errorf("cannot pass on what the boot loader delivered: %w", err)
	}
	if err := copyFile(from, to, mode); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return nil
}
