// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package vm

import (
	"errors"
	"fmt"
	"os"

	"github.com/initddi/initddi/internal/keys"
	"github.com/initddi/initddi/internal/ovmf"
)

// VariableStore makes the firmware's variable store out, for [Config.FirmwareVars]: as the template is, which is an empty one, or with Secure Boot on
// and the certificate (a PEM file) as the only one.
func VariableStore(template, out, cert string) error {
	b, err := os.ReadFile(template)
	if errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("cannot find the firmware: %w: it is in the Debian package ovmf", err)
	}
	if err != nil {
		return fmt.Errorf("cannot read the firmware's variables: %w", err)
	}
	if cert != "" {
		der, err := keys.CertificateDER(cert)
		if err != nil {
			return err
		}
		if b, err = ovmf.Enroll(b, ovmf.Keys{PK: der, KEK: [][]byte{der}, DB: [][]byte{der}}); err != nil {
			return err
		}
	}
	if err := os.WriteFile(out, b, 0o600); err != nil {
		return fmt.Errorf("cannot write the firmware's variables: %w", err)
	}
	return nil
}
