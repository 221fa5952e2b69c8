// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package predict

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/initddi/initddi/internal/measure"
	"github.com/initddi/initddi/internal/tpm2"
)

// ErrLog says that a log of measurements is not in systemd's form.
var ErrLog = errors.New("not systemd's log of measurements")

// maxLog bounds a log, in bytes. A boot of systemd's writes a few kilobytes.
const maxLog = 16 << 20

// Record is one record of systemd's log of measurements, [measure.LogPath]. Whoever wrote it may have added fields.
type Record struct {
	PCR         *int        `json:"pcr"` // nil for what went into an NV index instead
	Digests     []LogDigest `json:"digests"`
	ContentType string      `json:"content_type"`
	Content     LogContent  `json:"content"`
}

// LogDigest is the digest for one bank.
type LogDigest struct {
	HashAlg string `json:"hashAlg"`
	Digest  string `json:"digest"`
}

// LogContent is what systemd says about a measurement.
type LogContent struct {
	String    string `json:"string,omitempty"`
	BootID    string `json:"bootId"`
	Timestamp int64  `json:"timestamp"` // CLOCK_BOOTTIME, in microseconds
	EventType string `json:"eventType,omitempty"`
}

// ParseLog reads a log, a JSON text sequence (RFC 7464). The error wraps [ErrLog].
func ParseLog(b []byte) ([]Record, error) {
	if len(b) > maxLog {
		return nil, fmt.Errorf("cannot read %d bytes, at most %d: %w", len(b), maxLog, ErrLog)
	}
	parts := bytes.Split(b, []byte{0x1e})
	if len(parts[0]) > 0 {
		return nil, fmt.Errorf("cannot read the log: %d bytes before the first record separator: %w", len(parts[0]), ErrLog)
	}
	var out []Record
	for i, part := range parts[1:] {
		// What was not written to its end has no end of line.
		if !bytes.HasSuffix(part, []byte("\n")) {
			return nil, fmt.Errorf("cannot read record %d: it is cut off: %w", i+1, ErrLog)
		}
		var r Record
		if err := json.Unmarshal(part, &r); err != nil {
			return nil, fmt.Errorf("cannot read record %d: %w: %w", i+1, ErrLog, err)
		}
		out = append(out, r)
	}
	return out, nil
}

// Replay returns what the records make of a PCR that held zeros before. It is nil if a record about the PCR has no digest for the
// bank, or none that is one.
func Replay(records []Record, pcr int, alg tpm2.Alg) []byte {
	value := make([]byte, alg.Size())
	for _, r := range records {
		if r.PCR == nil || *r.PCR != pcr {
			continue
		}
		var digest []byte
		for _, d := range r.Digests {
			if d.HashAlg == alg.String() {
				digest, _ = hex.DecodeString(d.Digest)
			}
		}
		if len(digest) != alg.Size() {
			return nil
		}
		value = measure.Extend(value, tpm2.Digest{Alg: alg, Bytes: digest})
	}
	return value
}
