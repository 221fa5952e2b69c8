// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

// Package ovmf reads and writes the variable store of EDK2 firmware for virtual machines (OVMF_VARS*.fd, AAVMF_VARS.fd), above
// all to enroll Secure Boot keys of our own without booting the firmware.
//
// It takes a template, which may be blank or used, and writes a new store: [Enroll] for keys, [Set] for any variables.
// [List] reads one. It knows only stores with authenticated variables, which all such firmware of Debian has, and
// neither the event log nor the spare area behind the store, which it leaves as they are.
//
// Sources: EDK2's MdeModulePkg/Include/Guid/VariableFormat.h (store and variable headers), the UEFI Platform Initialization
// specification volume 3 section 3.2.1 (firmware volume header), UEFI 2.10 section 32.4.1 (EFI_SIGNATURE_LIST) and
// section 8.2 (variables), EDK2's SecurityPkg/Include/Guid/AuthenticatedVariableFormat.h (SecureBootEnable), and
// OvmfPkg's platform descriptions for the largest variable.
//
// All functions may be called concurrently.
package ovmf

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/initddi/initddi/internal/guid"
)

var (
	// ErrNotStore says that a file is not a variable store that this package can use, or a damaged one.
	ErrNotStore = errors.New("not a firmware variable store")
	// ErrFull says that variables do not fit into the store, or that one is larger than firmware takes.
	ErrFull = errors.New("variable store too small")
	// ErrVariable says that a variable cannot be written as it was given.
	ErrVariable = errors.New("invalid variable")
)

// Attributes of a variable (UEFI 2.10 section 8.2.1).
const (
	NonVolatile    uint32 = 0x01
	BootAccess     uint32 = 0x02
	RuntimeAccess  uint32 = 0x04
	TimeBasedWrite uint32 = 0x20 // EFI_VARIABLE_TIME_BASED_AUTHENTICATED_WRITE_ACCESS
)

const (
	// MaxVariable is the largest variable, header and name included: PcdMaxVariableSize and PcdMaxAuthVariableSize of
	// OvmfPkg's 4 MiB images. Firmware would read a larger one but could never write it again.
	MaxVariable = 0x8400

	// maxVolume bounds the firmware volume; AAVMF's has 768 KiB.
	maxVolume = 16 << 20

	volumeHeader   = 0x48 // with a block map of one entry
	storeHeader    = 28
	variableHeader = 60
	storeFormatted = 0x5a
	storeHealthy   = 0xfe
	startID        = 0x55aa
	stateAdded     = 0x3f // VAR_ADDED
	stateMoving    = 0x3e // VAR_ADDED & VAR_IN_DELETED_TRANSITION: valid unless a newer copy exists
)

// Variable is one firmware variable.
type Variable struct {
	Name       string
	Vendor     guid.GUID
	Attributes uint32
	Data       []byte
	Time       time.Time // of the last authenticated write, to the second; zero for others
}

// volume is the part of a store's file that holds variables.
type volume struct{ start, end int } // of the variables, without the store's header

// findStore checks the headers in front of the variables.
func findStore(image []byte) (volume, error) {
	bad := func(format string, args ...any) (volume, error) {
		return volume{}, fmt.Errorf("%w: %s", ErrNotStore, fmt.Sprintf(format, args...))
	}
	le := binary.LittleEndian
	if len(image) < volumeHeader+storeHeader {
		return bad("%d bytes", len(image))
	}
	if string(image[40:44]) != "_FVH" {
		return bad("no firmware volume signature")
	}
	length, header := le.Uint64(image[32:]), int(le.Uint16(image[48:]))
	if g := readGUID(image[16:]); g != fvSystemNVData() {
		return bad("firmware volume of type %s, wanted %s", g, fvSystemNVData())
	}
	if length > uint64(len(image)) || length > maxVolume || header < volumeHeader || header > 4096 || header%2 != 0 || uint64(header+storeHeader) > length {
		return bad("firmware volume of %d bytes with a header of %d in a file of %d", length, header, len(image))
	}
	sum := uint16(0)
	for i := 0; i < header; i += 2 {
		sum += le.Uint16(image[i:])
	}
	if sum != 0 {
		return bad("firmware volume header checksum is off by %#x", sum)
	}
	s := image[header:]
	if g := readGUID(s); g != authenticatedStore() {
		return bad("variable store of type %s, wanted %s (authenticated)", g, authenticatedStore())
	}
	size := uint64(le.Uint32(s[16:]))
	if size < storeHeader || uint64(header)+size > length {
		return bad("variable store of %d bytes in a volume of %d", size, length)
	}
	if s[20] != storeFormatted || s[21] != storeHealthy {
		return bad("variable store in format %#x, state %#x, wanted %#x, %#x", s[20], s[21], storeFormatted, storeHealthy)
	}
	return volume{header + storeHeader, header + int(size)}, nil
}

// List returns the variables of a store in the order in which they lie in it, without deleted ones. Errors wrap
// [ErrNotStore].
func List(image []byte) ([]Variable, error) {
	v, err := findStore(image)
	if err != nil {
		return nil, fmt.Errorf("cannot list variables: %w", err)
	}
	type key struct {
		name   string
		vendor guid.GUID
	}
	var out []Variable
	final := make(map[key]int)   // index in out of a variable that is there for good
	pending := make(map[key]int) // and of one that was being replaced
	dead := make(map[int]bool)
	for off := v.start; off+variableHeader <= v.end; {
		if binary.LittleEndian.Uint16(image[off:]) != startID {
			break
		}
		variable, state, next, err := readVariable(image, off, v.end)
		if err != nil {
			return nil, fmt.Errorf("cannot list variables: %w", err)
		}
		k := key{variable.Name, variable.Vendor}
		switch state {
		case stateAdded:
			final[k] = len(out)
			out = append(out, variable)
		case stateMoving:
			if i, ok := pending[k]; ok {
				dead[i] = true
			}
			pending[k] = len(out)
			out = append(out, variable)
		}
		off = next
	}
	for k, i := range pending {
		if _, ok := final[k]; ok {
			dead[i] = true
		}
	}
	kept := out[:0]
	for i := range out {
		if !dead[i] {
			kept = append(kept, out[i])
		}
	}
	return kept, nil
}

// readVariable reads the variable at off and returns where the next one begins.
func readVariable(image []byte, off, end int) (v Variable, state byte, next int, err error) {
	le := binary.LittleEndian
	h := image[off:]
	nameSize, dataSize := uint64(le.Uint32(h[36:])), uint64(le.Uint32(h[40:]))
	stop := uint64(off) + variableHeader + nameSize + dataSize
	if stop > uint64(end) || nameSize%2 != 0 {
		return v, 0, 0, fmt.Errorf("%w: variable at %#x with a name of %d and data of %d bytes; the store ends at %#x",
			ErrNotStore, off, nameSize, dataSize, end)
	}
	units := make([]uint16, nameSize/2)
	for i := range units {
		units[i] = le.Uint16(h[variableHeader+2*i:])
	}
	name, _, _ := strings.Cut(string(utf16.Decode(units)), "\x00")
	v = Variable{
		Name: name, Vendor: readGUID(h[44:]), Attributes: le.Uint32(h[4:]), Time: readTime(h[16:32]),
		Data: bytes.Clone(h[variableHeader+nameSize : variableHeader+nameSize+dataSize]),
	}
	return v, h[2], int((stop + 3) &^ 3), nil
}

// Set returns a copy of a store in which the given variables have the given values; others stay. Deleted variables are
// purged. The result depends on the arguments alone. Errors wrap [ErrNotStore], [ErrFull] or [ErrVariable].
func Set(template []byte, variables ...Variable) ([]byte, error) {
	all, err := List(template)
	if err != nil {
		return nil, err
	}
	for i, v := range variables {
		if v.Name == "" || !utf8.ValidString(v.Name) || strings.ContainsRune(v.Name, 0) || len(v.Data) == 0 || v.Attributes&NonVolatile == 0 {
			return nil, fmt.Errorf("cannot store variable %q: %w (it needs a name, data, and the attribute for non-volatile)", v.Name, ErrVariable)
		}
		for _, w := range variables[:i] {
			if v.Name == w.Name && v.Vendor == w.Vendor {
				return nil, fmt.Errorf("cannot store variable %q: %w (given twice)", v.Name, ErrVariable)
			}
		}
		kept := all[:0]
		for _, old := range all {
			if old.Name != v.Name || old.Vendor != v.Vendor {
				kept = append(kept, old)
			}
		}
		all = append(kept, v)
	}
	place, err := findStore(template)
	if err != nil {
		return nil, err
	}
	image := bytes.Clone(template)
	for i := place.start; i < place.end; i++ {
		image[i] = 0xff // erased flash
	}
	off := place.start
	for _, v := range all {
		raw := v.encode()
		if len(raw) > MaxVariable {
			return nil, fmt.Errorf("cannot store variable %q of %d bytes: %w (limit %d)", v.Name, len(raw), ErrFull, MaxVariable)
		}
		if len(raw) > place.end-off {
			return nil, fmt.Errorf("cannot store variable %q: %w (%d bytes needed, %d left of %d)",
				v.Name, ErrFull, len(raw), max(place.end-off, 0), place.end-place.start)
		}
		copy(image[off:], raw)
		off = (off + len(raw) + 3) &^ 3
	}
	return image, nil
}

// encode gives the variable as it lies in the store: AUTHENTICATED_VARIABLE_HEADER, name, data.
func (v *Variable) encode() []byte {
	le := binary.LittleEndian
	b := make([]byte, variableHeader, variableHeader+2*len(v.Name)+2+len(v.Data))
	for _, u := range append(utf16.Encode([]rune(v.Name)), 0) {
		b = le.AppendUint16(b, u)
	}
	le.PutUint16(b, startID)
	b[2] = stateAdded
	le.PutUint32(b[4:], v.Attributes)
	// The monotonic count at 8 and the public key index at 32 belong to an authentication method that no longer exists.
	writeTime(b[16:32], v.Time)
	le.PutUint32(b[36:], uint32(len(b)-variableHeader))
	le.PutUint32(b[40:], uint32(len(v.Data)))
	g := v.Vendor.MixedEndian()
	copy(b[44:60], g[:])
	return append(b, v.Data...)
}

// readTime reads an EFI_TIME in UTC; what is no valid time becomes the zero value.
func readTime(b []byte) time.Time {
	year := int(binary.LittleEndian.Uint16(b))
	t := time.Date(year, time.Month(b[2]), int(b[3]), int(b[4]), int(b[5]), int(b[6]), 0, time.UTC)
	if t.Year() != year || t.Month() != time.Month(b[2]) || t.Day() != int(b[3]) || t.Hour() != int(b[4]) || year == 0 {
		return time.Time{}
	}
	return t
}

func writeTime(b []byte, t time.Time) {
	if t.IsZero() {
		return
	}
	t = t.UTC()
	binary.LittleEndian.PutUint16(b, uint16(t.Year()))
	b[2], b[3], b[4], b[5], b[6] = byte(t.Month()), byte(t.Day()), byte(t.Hour()), byte(t.Minute()), byte(t.Second())
}

func readGUID(b []byte) guid.GUID { return guid.FromMixedEndian([16]byte(b[:16])) }

func fvSystemNVData() guid.GUID { return guid.MustParse("fff12b8d-7696-4c8b-a985-2747075b4f50") }

func authenticatedStore() guid.GUID { return guid.MustParse("aaf32c78-947b-439a-a180-2e144ec37792") }
