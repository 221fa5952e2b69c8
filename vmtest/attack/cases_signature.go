// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package attack

import (
	"bytes"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"strings"

	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"
)

// json edits the text of the signature document.
func json(edit func(s string) string) func(*DDI) {
	return func(d *DDI) { d.document(edit(d.text())) }
}

// in replaces a text once; it must be there.
func in(s, from, to string) string {
	if !strings.Contains(s, from) {
		panic(fmt.Errorf("cannot tamper with a document that has no %q", from))
	}
	return strings.Replace(s, from, to, 1)
}

// value replaces the value of a field of the document by what edit makes of it.
func value(field string, edit func(v string) string) func(*DDI) {
	return json(func(s string) string {
		key := `"` + field + `":"`
		before, rest, ok := strings.Cut(s, key)
		v, after, ok2 := strings.Cut(rest, `"`)
		if !ok || !ok2 {
			panic(fmt.Errorf("cannot tamper with a document without field %q", field))
		}
		return before + key + edit(v) + `"` + after
	})
}

// digit changes one hexadecimal digit.
func digit(at int) func(string) string {
	return func(v string) string {
		b := []byte(v)
		if b[at] == '0' {
			b[at] = '1'
		} else {
			b[at] = '0'
		}
		return string(b)
	}
}

// casesDocument alter the JSON in the signature partition, and the base64 in it.
func casesDocument() []Case {
	always := func(v string) func(string) string { return func(string) string { return v } }
	cases := []Case{
		{Name: "doc-roothash-digit", Doc: "a digit of rootHash: the signature is over another", DDI: value("rootHash", digit(10)), Verdict: Refused, Layer: Signature, Says: "cannot verify signature", Boot: true},
		{Name: "doc-roothash-upper", Doc: "rootHash in upper case", DDI: value("rootHash", strings.ToUpper), Verdict: Refused, Layer: Document, Says: "lower-case hexadecimal"},
		{Name: "doc-roothash-short", Doc: "a rootHash of 20 bytes", DDI: value("rootHash", func(v string) string { return v[:40] }), Verdict: Refused, Layer: Document, Says: "rootHash has 20 bytes", Boot: true},
		{Name: "doc-roothash-odd", Doc: "a rootHash of 63 digits", DDI: value("rootHash", func(v string) string { return v[:63] }), Verdict: Refused, Layer: Document, Says: "lower-case hexadecimal"},
		{Name: "doc-roothash-longer", Doc: "a rootHash of 33 bytes", DDI: value("rootHash", func(v string) string { return v + "00" }), Verdict: Refused, Layer: Document, Says: "rootHash has 33 bytes"},
		{Name: "doc-roothash-sha512", Doc: "a rootHash of 64 bytes that begins and ends like the image's", DDI: value("rootHash", func(v string) string { return v[:32] + v + v[32:] }), Verdict: Refused, Layer: Signature, Says: "cannot verify signature"},
		{Name: "doc-roothash-empty", Doc: "an empty rootHash", DDI: value("rootHash", always("")), Verdict: Refused, Layer: Document, Says: "rootHash has 0 bytes"},
		{Name: "doc-roothash-space", Doc: "a space behind rootHash", DDI: value("rootHash", func(v string) string { return v + " " }), Verdict: Refused, Layer: Document, Says: "lower-case hexadecimal"},
		{Name: "doc-roothash-null", Doc: "null for rootHash", DDI: json(func(s string) string { return in(s, `"rootHash":"`+s[13:77]+`"`, `"rootHash":null`) }), Verdict: Refused, Layer: Document, Says: "is not a string"},
		{Name: "doc-roothash-missing", Doc: "no rootHash", DDI: json(func(s string) string { return in(s, `"rootHash"`, `"hash"`) }), Verdict: Refused, Layer: Document, Says: `"rootHash" is missing`},
		{Name: "doc-roothash-case", Doc: "the field's name in lower case", DDI: json(func(s string) string { return in(s, `"rootHash"`, `"roothash"`) }), Verdict: Refused, Layer: Document, Says: `"rootHash" is missing`},
		{Name: "doc-roothash-twice", Doc: "rootHash twice, the image's and another", DDI: json(func(s string) string {
			return in(s, `{`, `{"rootHash":"`+strings.Repeat("ab", 32)+`",`)
		}), Verdict: Refused, Layer: Document, Says: "comes twice", Boot: true},
		{Name: "doc-roothash-other", Doc: "rootHash and signature of another image that the same key signed", DDI: func(d *DDI) {
			other, err := newDDI(d.Others("other"), d.Keys)
			must(err)
			d.signFor(other.RootHash, other.message())
		}, Verdict: Refused, Layer: RootHash, Says: "found partition UUIDs", Boot: true},
		{Name: "doc-other-and-uuids", Doc: "rootHash, signature and partition UUIDs of another image that the same key signed", DDI: func(d *DDI) {
			other, err := newDDI(d.Others("other"), d.Keys)
			must(err)
			d.signFor(other.RootHash, other.message())
			for i := range 2 {
				copy(d.entries(dataPart)[i][entUUID:], other.entries(dataPart)[i][entUUID:entUUID+16])
				copy(d.entries(hashPart)[i][entUUID:], other.entries(hashPart)[i][entUUID:entUUID+16])
			}
			d.resum(both)
		}, Verdict: Refused, Layer: Verity, Boot: true},
		{Name: "doc-signature-other", Doc: "the signature of another image beside this one's rootHash", DDI: func(d *DDI) {
			other, err := newDDI(d.Others("other"), d.Keys)
			must(err)
			d.sign(other.message())
		}, Verdict: Refused, Layer: Signature, Says: "cannot verify signature", Boot: true},
		{Name: "doc-fingerprint", Doc: "certificateFingerprint, which is for people", DDI: value("certificateFingerprint", digit(3)), Verdict: Harmless, Layer: Accepted, Boot: true},
		{Name: "doc-fingerprint-short", Doc: "a certificateFingerprint of 20 bytes", DDI: value("certificateFingerprint", func(v string) string { return v[:40] }), Verdict: Refused, Layer: Document, Says: "certificateFingerprint has 20 bytes"},
		{Name: "doc-signature-empty", Doc: "an empty signature", DDI: value("signature", always("")), Verdict: Refused, Layer: Document, Says: "wanted base64"},
		{Name: "doc-signature-missing", Doc: "no signature field", DDI: json(func(s string) string { return in(s, `"signature"`, `"Signature"`) }), Verdict: Refused, Layer: Document, Says: `"signature" is missing`},
		{Name: "doc-signature-number", Doc: "a number for a signature", DDI: json(func(s string) string { return s[:strings.Index(s, `"signature"`)] + `"signature":1e999}` }), Verdict: Refused, Layer: Document, Says: "is not a string"},
		{Name: "doc-base64-letter", Doc: "a letter of the base64: a bit of the message", DDI: value("signature", func(v string) string { return flipLetter(v, len(v)-20) }), Verdict: Refused, Layer: Signature},
		{Name: "doc-base64-url", Doc: "base64 in the alphabet for URLs", DDI: value("signature", func(v string) string { return strings.NewReplacer("+", "-", "/", "_").Replace(v) }), Verdict: Refused, Layer: Document, Says: "wanted base64"},
		{Name: "doc-base64-newline", Doc: "a line break in the base64", DDI: value("signature", func(v string) string { return v[:64] + `\n` + v[64:] }), Verdict: Refused, Layer: Document, Says: "wanted base64"},
		{Name: "doc-base64-padding", Doc: "base64 with more padding", DDI: value("signature", func(v string) string { return v + "=" }), Verdict: Refused, Layer: Document, Says: "wanted base64"},
		{Name: "doc-base64-character", Doc: "a character in the base64 that is none of it", DDI: value("signature", func(v string) string { return v[:9] + "*" + v[10:] }), Verdict: Refused, Layer: Document, Says: "wanted base64", Boot: true},
		{Name: "doc-base64-cut", Doc: "half of the base64", DDI: value("signature", func(v string) string { return v[:len(v)/2/4*4] }), Verdict: Refused, Layer: Signature},
		{Name: "doc-extra-field", Doc: "a field that nobody knows", DDI: json(func(s string) string { return in(s, `{`, `{"x":[{"rootHash":"00"}],`) }), Verdict: Harmless, Layer: Unread},
		{Name: "doc-many-fields", Doc: "a thousand fields", DDI: json(func(s string) string {
			var b strings.Builder
			b.WriteByte('{')
			for i := range 1000 {
				fmt.Fprintf(&b, `"f%d":1,`, i)
			}
			return b.String() + s[1:]
		}), Verdict: Refused, Layer: Document, Says: "more than 64"},
		{Name: "doc-deep", Doc: "brackets in brackets, 3,000 deep", DDI: json(func(s string) string {
			return in(s, `{`, `{"x":`+strings.Repeat("[", 3000)+strings.Repeat("]", 3000)+`,`)
		}), Verdict: Refused, Layer: Document, Says: "levels", Boot: true},
		{Name: "doc-nested", Doc: "brackets in brackets, 20 deep, in a field that nobody knows", DDI: json(func(s string) string {
			return in(s, `{`, `{"x":`+strings.Repeat("[", 20)+strings.Repeat("]", 20)+`,`)
		}), Verdict: Harmless, Layer: Unread},
		{Name: "doc-escaped-name", Doc: "a field's name written with an escape", DDI: json(func(s string) string { return in(s, `"rootHash"`, `"\u0072ootHash"`) }), Verdict: Harmless, Layer: Unread},
		{Name: "doc-escaped-twice", Doc: "rootHash twice, one written with an escape", DDI: json(func(s string) string {
			return in(s, `{`, `{"\u0072ootHash":"`+strings.Repeat("ab", 32)+`",`)
		}), Verdict: Refused, Layer: Document, Says: "comes twice"},
		{Name: "doc-space", Doc: "white space between the tokens", DDI: json(func(s string) string { return "\n" + strings.ReplaceAll(s, ",", " ,\n\t") + " \n" }), Verdict: Harmless, Layer: Unread},
		{Name: "doc-bom", Doc: "a byte order mark", DDI: json(func(s string) string { return "\ufeff" + s }), Verdict: Refused, Layer: Document, Says: "not JSON"},
		{Name: "doc-two-objects", Doc: "two objects one behind the other", DDI: json(func(s string) string { return s + s }), Verdict: Refused, Layer: Document, Says: "not JSON"},
		{Name: "doc-array", Doc: "an array around the object", DDI: json(func(s string) string { return "[" + s + "]" }), Verdict: Refused, Layer: Document, Says: "wanted an object"},
		{Name: "doc-cut", Doc: "the last character is missing", DDI: json(func(s string) string { return s[:len(s)-1] }), Verdict: Refused, Layer: Document, Says: "not JSON", Boot: true},
		{Name: "doc-comma", Doc: "a comma behind the last field", DDI: json(func(s string) string { return s[:len(s)-1] + ",}" }), Verdict: Refused, Layer: Document, Says: "not JSON"},
		{Name: "doc-nul-inside", Doc: "a NUL in the middle", DDI: json(func(s string) string { return s[:100] + "\x00" + s[101:] }), Verdict: Refused, Layer: Document},
		{Name: "doc-trailing", Doc: "a byte behind the padding", DDI: func(d *DDI) { d.part(d.Sig)[d.Sig.Length-1] = 1 }, Verdict: Refused, Layer: Document, Says: "wanted NUL", Boot: true},
		{Name: "doc-zeroed", Doc: "an empty signature partition", DDI: json(func(string) string { return "" }), Verdict: Refused, Layer: Signature, Says: "the image has no signature partition", Boot: true},
		{Name: "doc-binary", Doc: "the message without JSON around it", DDI: func(d *DDI) { d.document(string(d.message())) }, Verdict: Refused, Layer: Document},
		{Name: "doc-hash-of-image", Doc: "the UUIDs' root hash signed by nobody: JSON with a signature of zeros", DDI: func(d *DDI) {
			d.document(fmt.Sprintf(`{"rootHash":"%s","signature":"%s"}`, hex.EncodeToString(d.RootHash), base64.StdEncoding.EncodeToString(make([]byte, 256))))
		}, Verdict: Refused, Layer: Signature, Says: "cannot parse signature"},
	}
	for i := range cases {
		cases[i].Group = "document"
		cases[i].Doc = "signature partition: " + cases[i].Doc
	}
	return cases
}

// flipLetter changes one letter of base64 into another.
func flipLetter(v string, at int) string {
	b := []byte(v)
	if b[at] == 'A' {
		b[at] = 'B'
	} else {
		b[at] = 'A'
	}
	return string(b)
}

// message edits the PKCS#7 message.
func message(edit func(der []byte, d *DDI) []byte) func(*DDI) {
	return func(d *DDI) { d.sign(edit(bytes.Clone(d.message()), d)) }
}

// flipBehind inverts a bit of the byte that lies n bytes behind the end of what is looked for, the first or the last of it.
func flipBehind(what string, last bool, n int) func(*DDI) {
	return message(func(der []byte, _ *DDI) []byte {
		i := bytes.Index(der, []byte(what))
		if last {
			i = bytes.LastIndex(der, []byte(what))
		}
		if i < 0 {
			panic(fmt.Errorf("cannot tamper with a message that has no %x", what))
		}
		der[i+len(what)+n] ^= 1
		return der
	})
}

// Pieces of DER that every message of ours has.
const (
	oidSignedData = "\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x07\x02"
	oidData       = "\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x07\x01"
	oidSHA256     = "\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x01"
	oidRSA        = "\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x01"
	keySubject    = "initddi test key ddi"

	valueSize = 256 // of the signature, which comes last
)

// signed has the key called name sign the image's root hash, in openssl's way.
func signed(name string, how []string, options ...string) func(*DDI) {
	return func(d *DDI) {
		m, err := d.Keys.Sign(name, []byte(hex.EncodeToString(d.RootHash)), how, options...)
		must(err)
		d.sign(m)
	}
}

// signedText has the good key sign something else than the root hash's lower-case digits.
func signedText(text func(rootHash []byte) string) func(*DDI) {
	return func(d *DDI) {
		m, err := d.Keys.Sign(good, []byte(text(d.RootHash)), smime)
		must(err)
		d.sign(m)
	}
}

// casesMessage alter the PKCS#7 message.
func casesMessage() []Case {
	at := func(i int) func(*DDI) {
		return message(func(der []byte, _ *DDI) []byte {
			if i < 0 {
				der[len(der)+i] ^= 1
			} else {
				der[i] ^= 1
			}
			return der
		})
	}
	cases := []Case{
		{Name: "p7-outer-tag", Doc: "the outermost tag", DDI: at(0), Says: "cannot parse signature", Boot: true},
		{Name: "p7-outer-length", Doc: "the outermost length", DDI: at(3), Says: "cannot parse signature"},
		{Name: "p7-content-type", Doc: "the message's kind", DDI: flipBehind(oidSignedData, false, -1), Says: "content type is"},
		{Name: "p7-version", Doc: "the version", DDI: flipBehind("\x02\x01\x01\x31", false, -2), Says: "cannot parse signature"},
		{Name: "p7-digests", Doc: "the digest among the message's digests", DDI: flipBehind(oidSHA256, false, -1), Says: "is not among the message's digests", Boot: true},
		{Name: "p7-data-type", Doc: "the kind of content", DDI: flipBehind(oidData, false, -1), Says: "content is of type"},
		{Name: "p7-certificate", Doc: "a bit of the certificate that came with the message, which nobody looks at", DDI: flipBehind(keySubject, false, 120), Verdict: Harmless, Layer: Accepted, Boot: true},
		{Name: "p7-issuer", Doc: "the signer's issuer", DDI: flipBehind(keySubject, true, -3), Says: "wanted one of 1 trusted certificates", Boot: true},
		{Name: "p7-serial", Doc: "the signer's serial number", DDI: flipBehind(keySubject, true, 5), Says: "wanted one of 1 trusted certificates"},
		{Name: "p7-signer-digest", Doc: "the signer's digest", DDI: flipBehind(oidSHA256, true, -1), Says: "wanted SHA-256, SHA-384 or SHA-512", Boot: true},
		{Name: "p7-signer-algorithm", Doc: "the signer's algorithm", DDI: flipBehind(oidRSA, true, -1)},
		{Name: "p7-value-first", Doc: "the first byte of the signature", DDI: message(func(der []byte, _ *DDI) []byte { der[len(der)-valueSize] ^= 1; return der }), Boot: true},
		{Name: "p7-value-middle", Doc: "the middle of the signature", DDI: at(-128)},
		{Name: "p7-value-last", Doc: "the last byte of the signature", DDI: at(-1), Boot: true},
		{Name: "p7-value-zero", Doc: "zeros for a signature", DDI: message(func(der []byte, _ *DDI) []byte { clear(der[len(der)-valueSize:]); return der })},
		{Name: "p7-trailing", Doc: "a byte behind the message", DDI: message(func(der []byte, _ *DDI) []byte { return append(der, 0) }), Says: "cannot parse signature"},
		{Name: "p7-cut", Doc: "the message's last byte is missing", DDI: message(func(der []byte, _ *DDI) []byte { return der[:len(der)-1] }), Says: "cannot parse signature", Boot: true},
		{Name: "p7-one-byte", Doc: "a message of one byte", DDI: message(func(der []byte, _ *DDI) []byte { return der[:1] }), Says: "cannot parse signature"},
		{Name: "p7-length-huge", Doc: "a length of 2^32-1", DDI: message(func(der []byte, _ *DDI) []byte {
			return append([]byte{0x30, 0x84, 0xff, 0xff, 0xff, 0xff}, der[4:]...)
		}), Says: "cannot parse signature"},
		{Name: "p7-length-long-form", Doc: "a length in a longer form than needed", DDI: message(func(der []byte, _ *DDI) []byte {
			return append([]byte{0x30, 0x83, 0x00, der[2], der[3]}, der[4:]...)
		}), Says: "cannot parse signature"},
		{Name: "p7-nested", Doc: "a thousand sequences in each other", DDI: message(func([]byte, *DDI) []byte {
			der := []byte{}
			for len(der) < 4000 {
				der = append([]byte{0x30, 0x82, byte(len(der) >> 8), byte(len(der))}, der...)
			}
			return der
		}), Says: "cannot parse signature"},
		{Name: "p7-indefinite", Doc: "lengths that are not said (BER)", DDI: signed(good, cms, "-stream", "-noattr"), Says: "cannot parse signature"},
		{Name: "p7-attached", Doc: "the content in the message", DDI: signed(good, smime, "-nodetach"), Says: "wanted a detached signature"},
		{Name: "p7-upper-case", Doc: "a signature over the root hash in upper case", DDI: signedText(func(h []byte) string { return strings.ToUpper(hex.EncodeToString(h)) }), Says: "cannot verify signature"},
		{Name: "p7-newline", Doc: "a signature over the root hash and a line's end", DDI: signedText(func(h []byte) string { return hex.EncodeToString(h) + "\n" }), Says: "cannot verify signature"},
		{Name: "p7-binary", Doc: "a signature over the root hash's bytes", DDI: signedText(func(h []byte) string { return string(h) }), Says: "cannot verify signature"},
		{Name: "p7-md5", Doc: "a signature over an MD5 digest", DDI: signed(good, smime, "-md", "md5"), Says: "MD5", Boot: true},
		{Name: "p7-sha1", Doc: "a signature over a SHA-1 digest", DDI: signed(good, smime, "-md", "sha1"), Says: "SHA-1", Boot: true},
		{Name: "p7-sha512", Doc: "a signature over a SHA-512 digest", DDI: signed(good, smime, "-md", "sha512"), Verdict: Harmless, Layer: Accepted},
		{Name: "p7-pss", Doc: "a signature in a padding that is not supported (PSS)", DDI: signed(good, cms, "-noattr", "-keyopt", "rsa_padding_mode:pss")},
		{Name: "p7-attributes", Doc: "a signature over attributes, which hold the content's digest", DDI: signed(good, cms), Verdict: Harmless, Layer: Accepted},
		{Name: "p7-attributes-other", Doc: "a good signature over attributes with the digest of something else", DDI: func(d *DDI) {
			m, err := d.Keys.Sign(good, []byte("something else"), cms)
			must(err)
			d.sign(m)
		}, Says: "content has"},
		{Name: "p7-no-certificate", Doc: "no certificate in the message", DDI: signed(good, smime, "-nocerts"), Verdict: Harmless, Layer: Accepted},
		{Name: "p7-key-identifier", Doc: "a signer that is named by its key", DDI: signed(good, cms, "-keyid", "-noattr"), Verdict: Harmless, Layer: Accepted},
	}
	for i := range cases {
		c := &cases[i]
		c.Group, c.Doc = "message", "PKCS#7: "+c.Doc
		if c.Verdict == "" {
			c.Verdict, c.Layer = Refused, Signature
		}
	}
	return cases
}

// signedEd25519 makes a message by an Ed25519 key, as RFC 8419 has it: openssl's command cannot before 3.2.
func signedEd25519(d *DDI) {
	cert, key, err := d.Keys.ed25519()
	must(err)
	oid := func(b *cryptobyte.Builder, text string) { b.AddBytes([]byte(text)) }
	algorithm := func(b *cryptobyte.Builder, text string) {
		b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) { oid(b, text) })
	}
	const oidSHA512, oidEd25519 = "\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x03", "\x06\x03\x2b\x65\x70"
	signer := func(b *cryptobyte.Builder) {
		b.AddASN1Int64(1)
		b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) { b.AddBytes(cert.RawIssuer); b.AddASN1BigInt(cert.SerialNumber) })
		algorithm(b, oidSHA512)
		algorithm(b, oidEd25519)
		b.AddASN1OctetString(ed25519.Sign(key, []byte(hex.EncodeToString(d.RootHash))))
	}
	var b cryptobyte.Builder
	b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
		oid(b, oidSignedData)
		b.AddASN1(asn1.Tag(0).Constructed().ContextSpecific(), func(b *cryptobyte.Builder) {
			b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
				b.AddASN1Int64(1)
				b.AddASN1(asn1.SET, func(b *cryptobyte.Builder) { algorithm(b, oidSHA512) })
				algorithm(b, oidData)
				b.AddASN1(asn1.SET, func(b *cryptobyte.Builder) { b.AddASN1(asn1.SEQUENCE, signer) })
			})
		})
	})
	m, err := b.Bytes()
	must(err)
	d.sign(m)
}
