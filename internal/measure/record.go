// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package measure

import (
	"encoding/hex"
	"strconv"
	"time"

	"github.com/initddi/initddi/internal/tpm2"
)

// LogPath is where systemd keeps the log of what was measured after the firmware (tpm2_userspace_log_path).
const LogPath = "/run/log/systemd/tpm2-measure.log"

// Record writes an event as systemd writes its own into that log: a JSON text sequence (RFC 7464) in TCG's Canonical Event Log
// Format without "recnum", from src/shared/tpm2-util.c, tpm2_userspace_log. bootID is the boot's, 32 hexadecimal digits; at is the
// time on CLOCK_BOOTTIME. Digests of algorithms whose sum is not the event's are left out.
//
// No reader may be kept from "string": whoever hashes it must get the digests, which is how systemd-pcrlock checks a record.
func (e Event) Record(digests []tpm2.Digest, bootID string, at time.Duration) []byte {
	b := append([]byte(nil), "\x1e{\"pcr\":"...)
	b = strconv.AppendInt(b, int64(e.PCR), 10)
	b = append(b, `,"digests":[`...)
	first := true
	for _, d := range digests {
		if d.Alg.Sum(nil) == nil {
			continue
		}
		if !first {
			b = append(b, ',')
		}
		first = false
		b = append(b, `{"hashAlg":"`+d.Alg.String()+`","digest":"`...)
		b = append(hex.AppendEncode(b, d.Bytes), `"}`...)
	}
	b = append(b, `],"content_type":"systemd","content":{"string":"`...)
	b = append(b, e.Text...)
	b = append(b, `","bootId":"`+bootID+`","timestamp":`...)
	b = strconv.AppendInt(b, at.Microseconds(), 10)
	return append(b, "}}\n"...)
}
