// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package signature

import (
	"encoding/hex"
	"errors"
	"strings"
	"testing"
)

func TestParseRootHash(t *testing.T) {
	h := strings.Repeat("0f", 32)
	for text, want := range map[string]string{
		h: h, h + "\n": h, h + "\r\n": h, strings.ToUpper(h): h, strings.Repeat("a1", 48): strings.Repeat("a1", 48), strings.Repeat("a1", 64) + "\r\n": strings.Repeat("a1", 64),
		"": "", "\n": "", h[1:]: "", h[2:]: "", h + "00": "", h + "\n\n": "", " " + h: "", h + " x": "", "0x" + h: "", strings.Repeat("g", 64): "",
		strings.Repeat("a1", 65): "", h + "\n" + h: "", h + "\x00": "",
	} {
		got, err := ParseRootHash([]byte(text))
		if (err == nil) != (want != "") || hex.EncodeToString(got) != want || err != nil && !errors.Is(err, ErrMalformed) {
			t.Errorf("%q: %x, %v", text, got, err)
		}
		// A key's value is the same without a line end.
		if strings.ContainsAny(text, "\r\n") {
			want = ""
		}
		if got, err = RootHashOf(text); (err == nil) != (want != "") || hex.EncodeToString(got) != want || err != nil && !errors.Is(err, ErrMalformed) {
			t.Errorf("RootHashOf(%q): %x, %v", text, got, err)
		}
	}
}

func FuzzParseRootHash(f *testing.F) {
	f.Add([]byte(strings.Repeat("0f", 32) + "\n"))
	f.Add([]byte(strings.Repeat("F0", 64)))
	f.Add([]byte("\r\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		hash, err := ParseRootHash(b)
		if err != nil {
			return
		}
		if text := hex.EncodeToString(hash); text != strings.ToLower(strings.TrimRight(string(b), "\r\n")) {
			t.Errorf("%q is %s", b, text)
		}
	})
}
