// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package main

import (
	"fmt"
	"path/filepath"
	"strings"

	"github.com/initddi/initddi/internal/initramfs"
	"github.com/initddi/initddi/internal/signature"
)

// nameCertificates gives the files of a trust store the names that they have there, NAME.crt, whatever they were called. While keys
// change there are two, and both may be ddi.crt in their directories: the later one gets its certificate's fingerprint into its name.
// A file that is there already is left out.
func nameCertificates(files []initramfs.File) ([]initramfs.File, error) {
	var out []initramfs.File
	content := map[string]string{} // by name
	for _, f := range files {
		certs, err := signature.ParseCertificatesPEM(f.Data)
		if err != nil || len(certs) == 0 {
			return nil, fmt.Errorf("cannot use %s in the trust store: no certificate in it: %w", f.Name, err)
		}
		var prints string
		for _, c := range certs {
			prints += fmt.Sprintf("%x", c.Fingerprint())
		}
		base := filepath.Base(f.Name)
		for _, ext := range []string{".crt", ".pem", ".cer"} {
			base = strings.TrimSuffix(base, ext)
		}
		name := base + ".crt"
		if other, taken := content[name]; taken && other != prints {
			name = base + "-" + prints[:16] + ".crt"
		}
		if content[name] == prints {
			continue
		}
		content[name] = prints
		out = append(out, initramfs.File{Name: name, Data: f.Data})
	}
	return out, nil
}
