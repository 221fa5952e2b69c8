// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package attempt

import (
	"bytes"
	"encoding/hex"
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"
)

func hashed(c byte) []byte { return bytes.Repeat([]byte{c}, 32) }

// TestFormat holds the encoding against bytes written down by hand: other versions of stage 1 read them.
func TestFormat(t *testing.T) {
	r := Record{
		Images:   []Image{{Hash: HashOf(hashed(0xaa)), Tries: 2}, {Hash: HashOf(hashed(0xbb)), Good: true}},
		Failures: 0x102, Text: "né",
	}
	want := "01020201" + strings.Repeat("aa", 32) + "0200" + strings.Repeat("bb", 32) + "0001" + "0300" + "6ec3a9"
	if got := hex.EncodeToString(r.Encode()); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	b, err := hex.DecodeString(want)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := Parse(b); err != nil || !reflect.DeepEqual(got, r) {
		t.Errorf("got %+v, %v", got, err)
	}
	if got := hex.EncodeToString((&Record{}).Encode()); got != "010000000000" {
		t.Errorf("an empty record is %s", got)
	}
}

func TestParseRefuses(t *testing.T) {
	image := strings.Repeat("aa", 32) + "0000"
	for name, text := range map[string]string{
		"nothing":                 "",
		"half a head":             "0100",
		"no text length":          "01000000",
		"another version":         "020000000000",
		"more images than bytes":  "010200000000" + image,
		"nine images":             "01090000" + strings.Repeat(image, 9) + "0000",
		"a switch that is 2":      "01010000" + strings.Repeat("aa", 32) + "0002" + "0000",
		"an image twice":          "01020000" + image + image + "0000",
		"a text cut short":        "0100000002" + "0041",
		"bytes behind the text":   "010000000000" + "41",
		"a control character":     "01000000" + "0100" + "1b",
		"a C1 control character":  "01000000" + "0200" + "c29b",
		"not UTF-8":               "01000000" + "0100" + "ff",
		"too long":                "01000000" + "ffff" + strings.Repeat("41", 0xffff),
		"a text beyond its bound": "01000000" + "8101" + strings.Repeat("41", MaxText+1),
	} {
		b, err := hex.DecodeString(text)
		if err != nil {
			t.Fatal(name, err)
		}
		if r, err := Parse(b); !errors.Is(err, ErrSyntax) || !reflect.DeepEqual(r, Record{}) {
			t.Errorf("%s: %+v, %v", name, r, err)
		}
	}
}

func TestLifeOfARecord(t *testing.T) {
	var r Record
	if got := r.Look(hashed(1)); got != (Image{Hash: HashOf(hashed(1))}) {
		t.Errorf("nothing is known, but %+v", got)
	}
	r = r.Failed("no\x1b[2J disk\nat all")
	r = r.Failed("no disk")
	if r.Failures != 2 || r.Text != "no disk" {
		t.Errorf("after two failures: %+v", r)
	}
	r = r.Entered(hashed(1))
	r = r.Entered(hashed(1))
	r = r.Entered(hashed(2))
	want := Record{Images: []Image{{Hash: HashOf(hashed(2)), Tries: 1}, {Hash: HashOf(hashed(1)), Tries: 2}}}
	if !reflect.DeepEqual(r, want) {
		t.Errorf("after three entries: %+v", r)
	}
	r = r.Blessed(hashed(1))
	if got := r.Look(hashed(1)); got.Tries != 0 || !got.Good {
		t.Errorf("after the blessing: %+v", got)
	}
	r = r.Entered(hashed(1))
	if got := r.Look(hashed(1)); got.Tries != 1 || !got.Good {
		t.Errorf("entered again: %+v", got)
	}
	for i := range 300 {
		r = r.Entered(hashed(byte(i % 2)))
	}
	if got := r.Look(hashed(0)); got.Tries != 150 {
		t.Errorf("after 150 entries: %+v", got)
	}
	for range 300 {
		r = r.Entered(hashed(0))
	}
	if got := r.Look(hashed(0)); got.Tries != 255 {
		t.Errorf("the count does not stop at its bound: %+v", got)
	}
	for i := range 20 {
		r = r.Entered(hashed(byte(100 + i)))
	}
	if len(r.Images) != MaxImages || r.Images[0].Hash != HashOf(hashed(119)) {
		t.Errorf("after 20 more images: %+v", r)
	}
	if again, err := Parse(r.Encode()); err != nil || !reflect.DeepEqual(again, r) {
		t.Errorf("read back: %+v, %v", again, err)
	}
	// The methods leave what they are called on alone.
	before := r.Encode()
	_, _, _ = r.Entered(hashed(1)), r.Blessed(hashed(2)), r.Failed("x")
	if !bytes.Equal(before, r.Encode()) {
		t.Error("a method changed the record it was called on")
	}
}

func TestTextIsBounded(t *testing.T) {
	for _, s := range []string{strings.Repeat("x", 5000), strings.Repeat("ü", 5000), "a\x00b\x1b\u009bc", "\xff\xfe", strings.Repeat("a", MaxText)} {
		r := (&Record{}).Failed(s)
		again, err := Parse(r.Encode())
		if err != nil || again.Text != r.Text || len(r.Text) > MaxText {
			t.Errorf("%.20q: %d bytes, %v", s, len(r.Text), err)
		}
	}
	r := (&Record{}).Failed("a\x00b\x1b\u009bc\nd")
	if want := "a?b??c d"; r.Text != want {
		t.Errorf("got %q, want %q", r.Text, want)
	}
}

func TestDelay(t *testing.T) {
	for n, want := range map[uint16]time.Duration{
		0: 30 * time.Second, 1: 30 * time.Second, 2: time.Minute, 3: 2 * time.Minute, 5: 8 * time.Minute,
		6: 16 * time.Minute, 7: 16 * time.Minute, 65535: 16 * time.Minute,
	} {
		if got := Delay(n); got != want {
			t.Errorf("after %d failures %v, want %v", n, got, want)
		}
	}
	var r Record
	r.Failures = 65535
	if r = r.Failed("x"); r.Failures != 65535 {
		t.Errorf("the count of failures went over its bound: %d", r.Failures)
	}
}

// FuzzParse: what is taken is bounded, and encodes to the same bytes.
func FuzzParse(f *testing.F) {
	r := Record{Images: []Image{{Hash: HashOf(hashed(1)), Tries: 3, Good: true}, {Hash: HashOf(hashed(2))}}, Failures: 7, Text: "a disk"}
	f.Add(r.Encode())
	f.Add((&Record{}).Encode())
	f.Add([]byte{})
	f.Add([]byte{1, 255, 0, 0})
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := Parse(b)
		if err != nil {
			if !errors.Is(err, ErrSyntax) || !reflect.DeepEqual(r, Record{}) {
				t.Errorf("%+v, %v", r, err)
			}
			return
		}
		if !bytes.Equal(r.Encode(), b) {
			t.Errorf("%x reads as %+v, which writes as %x", b, r, r.Encode())
		}
		for _, next := range []Record{r.Entered(b), r.Blessed(b), r.Failed(string(b))} {
			again, err := Parse(next.Encode())
			if err != nil || !bytes.Equal(again.Encode(), next.Encode()) {
				t.Errorf("%+v does not come back: %+v, %v", next, again, err)
			}
		}
	})
}
