// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

// Package attempt is the record of what became of earlier boots: which images were entered, whether they came up well, and why
// the last boot that entered nothing did not.
//
// It is kept in one EFI variable, [Variable] of [Vendor], because stage 1 never writes to the ESP. Stage 1 notes an image
// before it enters it; the booted system takes the note back when it is up ("initddi bless"). An image that is still noted at the
// next boot did not come up, and the others are tried before it.
//
// The variable is not authentic: whoever was root on the machine, or has its firmware's setup, can write it. It orders images
// that are acceptable anyway, delays a reboot and is shown to people; that is all that it is ever used for.
//
// Format, little-endian, at most [MaxSize] bytes:
//
//	u8  version (1)
//	u8  number of images, at most MaxImages
//	u16 boots in a row that entered nothing
//	    for each image, the one entered last first:
//	    32  first 256 bits of its root hash
//	    u8  times it was entered since it last came up well, at most 255
//	    u8  1 if it has ever come up well, else 0
//	u16 length of the text, at most MaxText
//	    why the last boot that entered nothing did not: UTF-8 without control characters
package attempt

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/initddi/initddi/internal/guid"
)

// Variable is the name of the EFI variable.
const Variable = "InitddiAttempts"

// Vendor returns its vendor GUID, c3aebc47-3626-4c6f-bb31-50895164198d, a random one.
func Vendor() guid.GUID {
	return guid.GUID{0xc3, 0xae, 0xbc, 0x47, 0x36, 0x26, 0x4c, 0x6f, 0xbb, 0x31, 0x50, 0x89, 0x51, 0x64, 0x19, 0x8d}
}

// Bounds of a record.
const (
	MaxImages = 8
	MaxText   = 384
	MaxSize   = headSize + MaxImages*imageSize + 2 + MaxText

	version   = 1
	headSize  = 4
	hashSize  = 32
	imageSize = hashSize + 2
)

// ErrSyntax says that a variable does not hold a record.
var ErrSyntax = errors.New("malformed attempt record")

// Hash is the first 256 bits of a root hash, enough to tell images apart.
type Hash [hashSize]byte

// Image is what is known of one image.
type Image struct {
	Hash  Hash
	Tries uint8 // times it was entered since it last came up well
	Good  bool  // it has come up well at least once
}

// Record is what is known of earlier boots. The zero value knows nothing.
type Record struct {
	Images   []Image // the one entered last first
	Failures uint16  // boots in a row that entered nothing
	Text     string  // why the last of those did not; empty once a boot got through
}

// Parse reads a record. The error wraps [ErrSyntax]; the record is then empty.
func Parse(b []byte) (Record, error) {
	bad := func(format string, args ...any) (Record, error) {
		return Record{}, fmt.Errorf("%w: %s", ErrSyntax, fmt.Sprintf(format, args...))
	}
	if len(b) < headSize || len(b) > MaxSize {
		return bad("%d bytes, want %d to %d", len(b), headSize+2, MaxSize)
	}
	if b[0] != version {
		return bad("version %d, want %d", b[0], version)
	}
	n := int(b[1])
	r := Record{Failures: binary.LittleEndian.Uint16(b[2:])}
	b = b[headSize:]
	if n > MaxImages || len(b) < n*imageSize+2 {
		return bad("%d images in %d bytes, at most %d are allowed", n, len(b), MaxImages)
	}
	for range n {
		i := Image{Hash: Hash(b), Tries: b[hashSize], Good: b[hashSize+1] == 1}
		if b[hashSize+1] > 1 {
			return bad("switch %d, want 0 or 1", b[hashSize+1])
		}
		if _, twice := r.find(i.Hash); twice {
			return bad("an image stands in it twice")
		}
		r.Images = append(r.Images, i)
		b = b[imageSize:]
	}
	length := int(binary.LittleEndian.Uint16(b))
	b = b[2:]
	if length != len(b) || length > MaxText {
		return bad("a text of %d bytes in %d, at most %d are allowed", length, len(b), MaxText)
	}
	if !utf8.Valid(b) || bytes.ContainsFunc(b, isControl) {
		return bad("a text with control characters, or not UTF-8")
	}
	r.Text = string(b)
	return r, nil
}

// Encode is the inverse of [Parse] for every record that Parse returns or the methods of this package make.
func (r Record) Encode() []byte {
	b := make([]byte, 0, MaxSize)
	images := r.Images[:min(len(r.Images), MaxImages)]
	b = append(b, version, byte(len(images)))
	b = binary.LittleEndian.AppendUint16(b, r.Failures)
	for _, i := range images {
		good := byte(0)
		if i.Good {
			good = 1
		}
		b = append(append(b, i.Hash[:]...), i.Tries, good)
	}
	text := clean(r.Text)
	b = binary.LittleEndian.AppendUint16(b, uint16(len(text)))
	return append(b, text...)
}

// HashOf returns what a record knows an image with that root hash by. A root hash of less than 256 bits is filled with zeros.
func HashOf(rootHash []byte) (h Hash) {
	copy(h[:], rootHash)
	return h
}

// Look returns what is known of the image with that root hash, the zero value apart from its hash if nothing is.
func (r Record) Look(rootHash []byte) Image {
	h := HashOf(rootHash)
	if i, ok := r.find(h); ok {
		return r.Images[i]
	}
	return Image{Hash: h}
}

func (r Record) find(h Hash) (int, bool) {
	for i := range r.Images {
		if r.Images[i].Hash == h {
			return i, true
		}
	}
	return 0, false
}

// Entered returns the record after the image with that root hash was entered: a boot that got that far is no failure of stage 1.
func (r Record) Entered(rootHash []byte) Record {
	i := r.Look(rootHash)
	if i.Tries < 255 {
		i.Tries++
	}
	return Record{Images: r.before(i)}
}

// Through returns the record after a boot that got through, where nobody counts attempts.
func (r Record) Through() Record { return Record{Images: r.Images} }

// Blessed returns the record after the image with that root hash came up well.
func (r Record) Blessed(rootHash []byte) Record {
	i := r.Look(rootHash)
	i.Tries, i.Good = 0, true
	return Record{Images: r.before(i), Failures: r.Failures, Text: r.Text}
}

// Failed returns the record after a boot that entered nothing because of text.
func (r Record) Failed(text string) Record {
	n := r.Failures
	if n < 1<<16-1 {
		n++
	}
	return Record{Images: r.Images, Failures: n, Text: clean(text)}
}

// before returns the images with first at the front; the one entered longest ago is forgotten if there are too many.
func (r Record) before(first Image) []Image {
	out := []Image{first}
	for _, i := range r.Images {
		if i.Hash != first.Hash && len(out) < MaxImages {
			out = append(out, i)
		}
	}
	return out
}

// Delays before a reboot.
const (
	firstDelay = 30 * time.Second
	lastDelay  = 16 * time.Minute
)

// Delay is how long to wait before a reboot after that many boots in a row that entered nothing: 30 seconds, twice as long
// after each further one, at most 16 minutes.
func Delay(failures uint16) time.Duration {
	d := firstDelay
	for n := uint16(1); n < failures && d < lastDelay; n++ {
		d *= 2
	}
	return min(d, lastDelay)
}

// clean makes a text that fits a record: one line, valid, cut at the bound.
func clean(s string) string {
	s = strings.Map(func(r rune) rune {
		switch {
		case r == '\n' || r == '\t':
			return ' '
		case isControl(r):
			return '?'
		}
		return r
	}, strings.ToValidUTF8(s, "?"))
	if len(s) <= MaxText {
		return s
	}
	n := MaxText - len("…")
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n] + "…"
}

func isControl(r rune) bool { return r < ' ' || r >= 0x7f && r < 0xa0 }
