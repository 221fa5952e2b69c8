// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package inspect

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/initddi/initddi/internal/guid"
	"github.com/initddi/initddi/internal/ovmf"
	"github.com/initddi/initddi/internal/signature"
)

// Firmware describes the variables of an OVMF.
type Firmware struct {
	// SecureBoot is "on", "off" (there are keys, and it is switched off) or "setup" (no platform key: anybody may enrol one).
	SecureBoot string `json:"secure_boot"`
	// Keys are the certificates and hashes in PK, KEK, db and dbx, each with its variable's name in File.
	Keys []Certificate `json:"keys,omitempty"`
	// Hashes counts the hashes of programs in db and dbx.
	Hashes    map[string]int `json:"hashes,omitempty"`
	Variables []Variable     `json:"variables"`
}

// Variable is a firmware variable.
type Variable struct {
	Name   string    `json:"name"`
	Vendor guid.GUID `json:"vendor"`
	Size   int       `json:"size"`
}

// maxFirmware bounds a store; AAVMF's file has 64 MiB, with little in it.
const maxFirmware = 64 << 20

var errSignatureList = errors.New("not a valid signature list")

func (s source) firmware(rep *Report) error {
	b, err := s.all(maxFirmware)
	if err != nil {
		return err
	}
	list, err := ovmf.List(b)
	if err != nil {
		return err
	}
	f := &Firmware{SecureBoot: "setup", Hashes: map[string]int{}}
	enabled := true
	for _, v := range list {
		f.Variables = append(f.Variables, Variable{v.Name, v.Vendor, len(v.Data)})
		switch v.Name {
		case "SecureBootEnable":
			enabled = len(v.Data) == 1 && v.Data[0] == 1
		case "PK", "KEK", "db", "dbx":
			if err := f.addKeys(v.Name, v.Data); err != nil {
				return fmt.Errorf("variable %s: %w", v.Name, err)
			}
			if v.Name == "PK" && len(v.Data) > 0 {
				f.SecureBoot = "on"
			}
		}
	}
	if f.SecureBoot == "on" && !enabled {
		f.SecureBoot = "off"
	}
	rep.Firmware = f
	return nil
}

// addKeys reads a list of EFI_SIGNATURE_LIST (UEFI 2.10 section 32.4.1).
func (f *Firmware) addKeys(name string, b []byte) error {
	x509 := guid.MustParse("a5c059a1-94e4-4aa7-87b5-ab155c2bf072")
	const header = 28
	for len(b) > 0 {
		if len(b) < header {
			return errSignatureList
		}
		kind := guid.FromMixedEndian([16]byte(b[:16]))
		listSize, headerSize, size := int64(binary.LittleEndian.Uint32(b[16:])), int64(binary.LittleEndian.Uint32(b[20:])), int64(binary.LittleEndian.Uint32(b[24:]))
		if listSize > int64(len(b)) || size <= 16 || header+headerSize > listSize {
			return errSignatureList
		}
		entries := b[header+headerSize : listSize]
		for ; int64(len(entries)) >= size; entries = entries[size:] {
			data := entries[16:size]
			if kind != x509 {
				f.Hashes[name]++
				continue
			}
			c, err := signature.ParseCertificate(data)
			if err != nil {
				f.Keys = append(f.Keys, Certificate{File: name, Subject: "unreadable", Problem: err.Error()})
				continue
			}
			f.Keys = append(f.Keys, describe(c, name))
		}
		b = b[listSize:]
	}
	return nil
}
