// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package ovmf

import (
	"bytes"
	"crypto/x509"
	"encoding/binary"
	"fmt"
	"time"

	"github.com/initddi/initddi/internal/guid"
)

// Vendors of variables that are useful by name.
func vendors() (global, imageSecurity, secureBootEnable guid.GUID) {
	return guid.MustParse("8be4df61-93ca-11d2-aa0d-00e098032b8c"),
		guid.MustParse("d719b2cb-3d3a-4596-a3bc-dad00e67656f"),
		guid.MustParse("f0a30bc7-af08-4556-99c4-001009c93a44")
}

// GlobalVendor is the vendor of the variables that the UEFI specification itself defines, BootOrder for instance.
func GlobalVendor() guid.GUID { g, _, _ := vendors(); return g }

// Keys are the certificates that a firmware is to trust, in DER. The zero value of Owner and Time is fine.
type Keys struct {
	PK    []byte   // platform key: one certificate
	KEK   [][]byte // key exchange keys; none means that nobody but PK's owner can change db
	DB    [][]byte // whose signatures are good
	DBX   [][]byte // whose signatures are bad, whatever DB says
	Owner guid.GUID
	// Time is when the lists count as written; firmware takes only later updates from a running system. The zero value
	// stands for 1970-01-01, so that every later update is taken.
	Time time.Time
}

// Enroll returns a copy of a variable store in which Secure Boot is on, with the given keys and no others. Errors wrap
// [ErrNotStore], [ErrFull] or [ErrVariable]. The result depends on the arguments alone.
func Enroll(template []byte, keys Keys, extra ...Variable) ([]byte, error) {
	if len(keys.PK) == 0 || len(keys.DB) == 0 {
		return nil, fmt.Errorf("cannot enroll keys: %w (PK and db need a certificate: without PK Secure Boot is off, without db nothing boots)", ErrVariable)
	}
	when := keys.Time
	if when.IsZero() {
		when = time.Unix(0, 0)
	}
	global, security, enable := vendors()
	var variables []Variable
	for _, l := range []struct {
		name   string
		vendor guid.GUID
		certs  [][]byte
	}{
		// EDK2 takes a store with a PK for one in user mode; the order is only for people.
		{"db", security, keys.DB}, {"dbx", security, keys.DBX}, {"KEK", global, keys.KEK}, {"PK", global, [][]byte{keys.PK}},
	} {
		data, err := signatureLists(l.certs, keys.Owner)
		if err != nil {
			return nil, fmt.Errorf("cannot enroll %s: %w", l.name, err)
		}
		if len(data) > 0 {
			variables = append(variables, Variable{l.name, l.vendor, NonVolatile | BootAccess | RuntimeAccess | TimeBasedWrite, data, when})
		}
	}
	variables = append(variables, Variable{"SecureBootEnable", enable, NonVolatile | BootAccess, []byte{1}, time.Time{}})
	blank, err := withoutKeys(template)
	if err != nil {
		return nil, err
	}
	return Set(blank, append(variables, extra...)...)
}

// withoutKeys removes what decides on Secure Boot, so that a list we do not write does not stay behind.
func withoutKeys(template []byte) ([]byte, error) {
	all, err := List(template)
	if err != nil {
		return nil, err
	}
	global, security, enable := vendors()
	keep := all[:0]
	for _, v := range all {
		switch {
		case v.Vendor == security, v.Vendor == enable, v.Vendor == global && (v.Name == "PK" || v.Name == "KEK"):
		default:
			keep = append(keep, v)
		}
	}
	place, err := findStore(template)
	if err != nil {
		return nil, err
	}
	blank := bytes.Clone(template)
	for i := place.start; i < place.end; i++ {
		blank[i] = 0xff
	}
	return Set(blank, keep...)
}

// signatureLists gives one EFI_SIGNATURE_LIST per certificate: all entries of one list must have the same size.
func signatureLists(certs [][]byte, owner guid.GUID) ([]byte, error) {
	le := binary.LittleEndian
	kind, who := guid.MustParse("a5c059a1-94e4-4aa7-87b5-ab155c2bf072").MixedEndian(), owner.MixedEndian()
	var b []byte
	for i, der := range certs {
		if _, err := x509.ParseCertificate(der); err != nil {
			hint := ""
			if bytes.HasPrefix(der, []byte("-----BEGIN")) {
				hint = " (it is PEM, DER is wanted)"
			}
			return nil, fmt.Errorf("%w: certificate %d%s: %w", ErrVariable, i+1, hint, err)
		}
		b = append(b, kind[:]...)
		b = le.AppendUint32(b, uint32(28+16+len(der)))
		b = le.AppendUint32(b, 0) // no header
		b = le.AppendUint32(b, uint32(16+len(der)))
		b = append(append(b, who[:]...), der...)
	}
	return b, nil
}
