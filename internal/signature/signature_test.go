// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package signature

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// read returns a file of testdata.
func read(t testing.TB, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// store returns the certificates of testdata by their names.
func store(t testing.TB, names ...string) []*Certificate {
	t.Helper()
	var out []*Certificate
	for _, name := range names {
		c, err := ParseCertificatesPEM(read(t, name+".crt"))
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		out = append(out, c...)
	}
	return out
}

func TestVerifyVectors(t *testing.T) {
	for _, test := range []struct {
		message string
		trusted string // space separated
		want    string // subject of the certificate that is returned
		err     error
		text    string // part of the error
	}{
		{message: "rsa2048", trusted: "rsa2048", want: "initddi test rsa2048"},
		{message: "rsa2048-nocerts", trusted: "p256 rsa2048", want: "initddi test rsa2048"},
		{message: "rsa2048-attributes", trusted: "rsa2048", want: "initddi test rsa2048"},
		{message: "rsa2048-keyid", trusted: "p256 rsa2048", want: "initddi test rsa2048"},
		{message: "rsa2048-sha512", trusted: "rsa2048", want: "initddi test rsa2048"},
		{message: "p256", trusted: "p256", want: "initddi test p256"},
		{message: "p384-attributes", trusted: "p384", want: "initddi test p384"},
		{message: "expired", trusted: "expired", want: "initddi test expired"},
		{message: "negative", trusted: "long negative", want: "initddi test negative serial"},
		{message: "long", trusted: "negative long", want: "initddi test long serial"},

		{message: "rsa2048", trusted: "", err: ErrUnknownSigner, text: `issuer "initddi test rsa2048" serial 1001, wanted one of 0`},
		{message: "rsa2048", trusted: "p256 expired", err: ErrUnknownSigner, text: "wanted one of 2 trusted certificates"},
		{message: "rsa2048-keyid", trusted: "p256", err: ErrUnknownSigner, text: "key identifier "},
		{message: "negative", trusted: "long", err: ErrUnknownSigner, text: "serial ff7f"},
		{message: "long", trusted: "negative", err: ErrUnknownSigner, text: "serial 0080f1f2f3f4f5f6f7f8f9fafbfcfdfeff00112233445566…"},

		{message: "rsa1024", trusted: "rsa1024", err: ErrWeak, text: "has 1024 bits, wanted at least 2048"},
		{message: "rsa2048-sha1", trusted: "rsa2048", err: ErrWeak, text: "digest is SHA-1, wanted SHA-256"},
		{message: "rsa2048-md5", trusted: "rsa2048", err: ErrWeak, text: "digest is MD5, wanted SHA-256"},
		{message: "rsa1024", trusted: "rsa2048", err: ErrUnknownSigner},
		{message: "rsa2048-sha1", trusted: "p256", err: ErrUnknownSigner},

		{message: "rsa2048-pss", trusted: "rsa2048", err: ErrUnsupported, text: "signature algorithm is RSASSA-PSS, wanted rsaEncryption or sha256WithRSAEncryption"},
		{message: "rsa2048-attached", trusted: "rsa2048", err: ErrMalformed, text: "wanted a detached signature"},
		{message: "rsa2048-indefinite", trusted: "rsa2048", err: ErrMalformed, text: "content info"},

		// The imposter's certificate says that it is rsa2048's. It is in the message, and the signature fits it.
		{message: "imposter", trusted: "rsa2048", err: ErrBadSignature, text: `issuer "initddi test rsa2048" serial 1001`},
		{message: "imposter", trusted: "p256", err: ErrUnknownSigner},
		{message: "imposter", trusted: "imposter", want: "initddi test rsa2048"},
		// Two trusted certificates of one name: each is good for its own signatures, in either order.
		{message: "rsa2048", trusted: "imposter rsa2048", want: "initddi test rsa2048"},
		{message: "rsa2048", trusted: "rsa2048 imposter", want: "initddi test rsa2048"},

		{message: "two", trusted: "rsa2048", want: "initddi test rsa2048"},
		{message: "two", trusted: "p256", want: "initddi test p256"},
		{message: "two", trusted: "p384", err: ErrUnknownSigner, text: `issuer "initddi test p256" serial`},
		{message: "two", trusted: "p256 imposter", err: ErrBadSignature},
		{message: "two", trusted: "imposter p256", err: ErrBadSignature},
	} {
		t.Run(test.message+"/"+test.trusted, func(t *testing.T) {
			got, err := Verify(read(t, test.message+".p7s"), read(t, "roothash"), store(t, strings.Fields(test.trusted)...))
			if !errors.Is(err, test.err) || (err != nil && !strings.Contains(err.Error(), test.text)) {
				t.Fatalf("got error %v, wanted %v with %q", err, test.err, test.text)
			}
			if (err == nil) != (got != nil) {
				t.Fatalf("got both or neither of %v and %v", got, err)
			}
			if err == nil && got.Subject != test.want {
				t.Errorf("signed by %q, wanted %q", got.Subject, test.want)
			}
		})
	}
}

// TestVerifyReturnsTheKey tells two certificates of one name apart, which the subject cannot.
func TestVerifyReturnsTheKey(t *testing.T) {
	trusted := store(t, "imposter", "rsa2048")
	for i, message := range []string{"imposter.p7s", "rsa2048.p7s"} {
		got, err := Verify(read(t, message), read(t, "roothash"), trusted)
		if err != nil || got != trusted[i] {
			t.Errorf("%s: got %v, %v, wanted %v", message, got, err, trusted[i])
		}
	}
}

func TestVerifyOtherContent(t *testing.T) {
	content := string(read(t, "roothash"))
	trusted := store(t, "rsa2048", "p256", "p384")
	for _, other := range []string{"", content[1:], content + "\n", content + "\x00", strings.ToUpper(content), "1" + content[1:]} {
		for _, name := range []string{"rsa2048", "rsa2048-attributes", "rsa2048-keyid", "p256", "p384-attributes", "two"} {
			if c, err := Verify(read(t, name+".p7s"), []byte(other), trusted); !errors.Is(err, ErrBadSignature) {
				t.Errorf("%s over %q: got %v, %v, wanted %v", name, other, c, err, ErrBadSignature)
			}
		}
	}
}

// accepted are the messages of testdata that verify with the whole store.
var accepted = []string{"rsa2048", "rsa2048-nocerts", "rsa2048-attributes", "rsa2048-keyid", "rsa2048-sha512", "p256",
	"p384-attributes", "expired", "negative", "long", "two"}

func fullStore(t testing.TB) []*Certificate {
	return store(t, "rsa2048", "p256", "p384", "expired", "negative", "long")
}

// TestVerifyTamperedValue changes each byte of each signature value.
func TestVerifyTamperedValue(t *testing.T) {
	trusted, content := fullStore(t), read(t, "roothash")
	for _, name := range accepted {
		der := read(t, name+".p7s")
		m, err := parseMessage(der)
		if err != nil {
			t.Fatal(err)
		}
		for i := range m.signers {
			value := m.signers[i].value // points into der
			for j := range value {
				value[j] ^= 0x10
				if c, err := Verify(der, content, trusted); !errors.Is(err, ErrBadSignature) {
					t.Errorf("%s: signer %d, byte %d: got %v, %v, wanted %v", name, i, j, c, err, ErrBadSignature)
				}
				value[j] ^= 0x10
			}
		}
		if _, err := Verify(der, content, trusted); err != nil {
			t.Errorf("%s: restored message: %v", name, err)
		}
	}
}

// TestVerifyMutated flips every bit of every message. Nothing may be accepted but changes inside the embedded
// certificates, which are not read, and inside the entry of a signer that thereby becomes a stranger.
func TestVerifyMutated(t *testing.T) {
	trusted, content := fullStore(t), read(t, "roothash")
	for _, name := range accepted {
		der := read(t, name+".p7s")
		for at, mutant := range mutants(t, der) {
			if _, err := Verify(mutant, content, trusted); err != nil {
				continue
			}
			switch {
			case name == "rsa2048" && inCertificates(der, at):
			case name == "two" && strangers(t, mutant, trusted) == 1:
			default:
				t.Errorf("%s: accepted %#02x instead of %#02x at %d", name, mutant[at], der[at], at)
			}
		}
	}
}

// mutants yields der with each bit flipped in turn; in the signature values, which are no structure, with each byte inverted.
func mutants(t *testing.T, der []byte) func(yield func(at int, mutant []byte) bool) {
	m, err := parseMessage(der)
	if err != nil {
		t.Fatal(err)
	}
	value := make([]bool, len(der))
	for i := range m.signers {
		start := bytes.Index(der, m.signers[i].value)
		for at := range m.signers[i].value {
			value[start+at] = true
		}
	}
	return func(yield func(int, []byte) bool) {
		for at := range der {
			for _, flip := range []byte{0xff, 1, 2, 4, 8, 16, 32, 64, 128} {
				if value[at] && flip != 0xff {
					continue
				}
				mutant := bytes.Clone(der)
				mutant[at] ^= flip
				if !yield(at, mutant) {
					return
				}
			}
		}
	}
}

// inCertificates tells whether a position of rsa2048.p7s is inside its embedded certificate, or the tag of the field that
// holds it: there it may become a revocation list, which is not read either.
func inCertificates(der []byte, at int) bool {
	block, _ := os.ReadFile(filepath.Join("testdata", "rsa2048.crt"))
	certs, err := ParseCertificatesPEM(block)
	if err != nil {
		return false
	}
	start := bytes.Index(der, certs[0].Raw)
	return start >= 0 && (start <= at && at < start+len(certs[0].Raw) || at == start-4 && der[at] == 0xa0)
}

// strangers counts the signers of a message that have no certificate in trusted.
func strangers(t *testing.T, der []byte, trusted []*Certificate) int {
	m, err := parseMessage(der)
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for i := range m.signers {
		known := false
		for _, c := range trusted {
			known = known || m.signers[i].names(c)
		}
		if !known {
			n++
		}
	}
	return n
}

// TestVerifyTruncated cuts and extends messages.
func TestVerifyTruncated(t *testing.T) {
	trusted, content := fullStore(t), read(t, "roothash")
	for _, name := range accepted {
		der := read(t, name+".p7s")
		for n := range der {
			if c, err := Verify(der[:n], content, trusted); !errors.Is(err, ErrMalformed) {
				t.Errorf("%s: first %d bytes: got %v, %v, wanted %v", name, n, c, err, ErrMalformed)
			}
		}
		if c, err := Verify(append(bytes.Clone(der), 0), content, trusted); !errors.Is(err, ErrMalformed) {
			t.Errorf("%s: with a byte more: got %v, %v, wanted %v", name, c, err, ErrMalformed)
		}
	}
	if _, err := Verify(make([]byte, maxMessage+1), content, trusted); !errors.Is(err, ErrMalformed) || !strings.Contains(err.Error(), "1048577 bytes") {
		t.Errorf("too large: got %v", err)
	}
}

// TestRepart goes from a real signature partition to a verdict.
func TestRepart(t *testing.T) {
	text := read(t, "repart.json")
	partition := make([]byte, 16<<10)
	copy(partition, text)
	d, err := ParseDocument(partition)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := hex.EncodeToString(d.RootHash), "19cb6581dc3413acb00608e1c369f5641b0b78dc2d24256718ec0fe904157d2c"; got != want {
		t.Errorf("root hash %s, wanted %s", got, want)
	}
	trusted := store(t, "p256", "repart")
	c, err := Verify(d.Signature, Content(d.RootHash), trusted)
	if err != nil || c != trusted[1] {
		t.Fatalf("got %v, %v", c, err)
	}
	if f := c.Fingerprint(); !bytes.Equal(f[:], d.CertificateFingerprint) {
		t.Errorf("fingerprint %x, wanted %x", f, d.CertificateFingerprint)
	}
	d.RootHash[0] ^= 1
	if _, err := Verify(d.Signature, Content(d.RootHash), trusted); !errors.Is(err, ErrBadSignature) {
		t.Errorf("another root hash: got %v, wanted %v", err, ErrBadSignature)
	}
	d.RootHash[0] ^= 1
	if again, err := d.Encode(); err != nil || !bytes.Equal(again, partition) {
		t.Errorf("encoded: %v, and not what systemd-repart wrote:\n%s\n%s", err, bytes.TrimRight(again, "\x00"), text)
	}
}

func TestContent(t *testing.T) {
	h := sha256.Sum256(nil)
	if got, want := string(Content(h[:])), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"; got != want {
		t.Errorf("got %q, wanted %q", got, want)
	}
}

// documentWith returns a document of three good fields in which one is replaced by other text; "-" leaves it out.
func documentWith(name, text string) string {
	fields := []struct{ name, text string }{
		{"rootHash", `"` + strings.Repeat("ab", 32) + `"`},
		{"certificateFingerprint", `"` + strings.Repeat("01", 32) + `"`},
		{"signature", `"` + base64.StdEncoding.EncodeToString([]byte("signature")) + `"`},
	}
	var out []string
	for _, f := range fields {
		if f.name == name {
			f.text = text
		}
		if f.text != "-" {
			out = append(out, `"`+f.name+`":`+f.text)
		}
	}
	return "{" + strings.Join(out, ",") + "}"
}

func TestParseDocument(t *testing.T) {
	hash := strings.Repeat("ab", 32)
	good := documentWith("", "")
	for _, test := range []struct {
		name, in string
		err      error
		text     string
	}{
		{name: "plain", in: good},
		{name: "padded", in: good + strings.Repeat("\x00", 100)},
		{name: "newline", in: good + "\n\x00\x00"},
		{name: "white space", in: " {\n\t\"rootHash\" : \"" + hash + "\",\r\n\"signature\": \"c2lnbmF0dXJl\" } "},
		{name: "no fingerprint", in: documentWith("certificateFingerprint", "-")},
		{name: "escapes", in: `{"root\u0048ash":"` + hash + `","signature":"c2lnbmF0dX\u004al"}`},
		{name: "unknown fields", in: `{"x":[{"rootHash":1,"y":[]},null,1e999],"ROOTHASH":"ff","Signature":{"signature":"x"},"roothash":0,` + good[1:]},
		{name: "deep", in: `{"x":` + strings.Repeat("[", 31) + strings.Repeat("]", 31) + "," + good[1:]},
		{name: "SHA-512", in: documentWith("rootHash", `"`+strings.Repeat("cd", 64)+`"`)},

		{name: "empty", in: "", err: ErrMalformed, text: "not JSON"},
		{name: "NULs", in: strings.Repeat("\x00", 4096), err: ErrMalformed, text: "not JSON"},
		{name: "text after NUL", in: good + "\x00\x00x\x00", err: ErrMalformed, text: "after the end is 0x78, wanted NUL"},
		{name: "second document", in: good + good, err: ErrMalformed, text: "not JSON"},
		{name: "text after", in: good + "x", err: ErrMalformed, text: "not JSON"},
		{name: "array", in: "[" + good + "]", err: ErrMalformed, text: "wanted an object: not JSON"},
		{name: "string", in: `"x"`, err: ErrMalformed, text: "wanted an object: not JSON"},
		{name: "comma", in: good[:len(good)-1] + ",}", err: ErrMalformed, text: "not JSON"},
		{name: "truncated", in: good[:len(good)-1], err: ErrMalformed, text: "not JSON"},
		{name: "byte order mark", in: "\ufeff" + good, err: ErrMalformed, text: "not JSON"},
		{name: "no rootHash", in: documentWith("rootHash", "-"), err: ErrMalformed, text: `"rootHash" is missing`},
		{name: "no signature", in: documentWith("signature", "-"), err: ErrMalformed, text: `"signature" is missing`},
		{name: "other case only", in: `{"RootHash":"` + hash + `","signature":"c2lnbmF0dXJl"}`, err: ErrMalformed, text: `"rootHash" is missing`},
		{name: "rootHash twice", in: `{"rootHash":"` + hash + `",` + good[1:], err: ErrMalformed, text: `"rootHash" comes twice`},
		{name: "signature twice, escaped", in: `{"\u0073ignature":"AA==",` + good[1:], err: ErrMalformed, text: `"signature" comes twice`},
		{name: "unknown twice", in: `{"x":1,"x":1,` + good[1:], err: ErrMalformed, text: `"x" comes twice`},
		{name: "rootHash upper case", in: documentWith("rootHash", `"`+strings.ToUpper(hash)+`"`), err: ErrMalformed, text: "wanted lower-case"},
		{name: "rootHash odd", in: documentWith("rootHash", `"abc"`), err: ErrMalformed, text: "wanted lower-case"},
		{name: "rootHash not hexadecimal", in: documentWith("rootHash", `"`+strings.Repeat("xy", 32)+`"`), err: ErrMalformed, text: "wanted lower-case"},
		{name: "rootHash number", in: documentWith("rootHash", "1"), err: ErrMalformed, text: "not a string"},
		{name: "rootHash null", in: documentWith("rootHash", "null"), err: ErrMalformed, text: "not a string"},
		{name: "rootHash empty", in: documentWith("rootHash", `""`), err: ErrWeak, text: "has 0 bytes"},
		{name: "SHA-1", in: documentWith("rootHash", `"`+strings.Repeat("ab", 20)+`"`), err: ErrWeak, text: "has 20 bytes"},
		{name: "rootHash 33 bytes", in: documentWith("rootHash", `"`+strings.Repeat("ab", 33)+`"`), err: ErrMalformed, text: "has 33 bytes"},
		{name: "signature empty", in: documentWith("signature", `""`), err: ErrMalformed, text: "wanted base64"},
		{name: "signature array", in: documentWith("signature", `["AA=="]`), err: ErrMalformed, text: "not a string"},
		{name: "signature without padding", in: documentWith("signature", `"AA"`), err: ErrMalformed, text: "wanted base64"},
		{name: "signature with a newline", in: documentWith("signature", `"AA==\n"`), err: ErrMalformed, text: "wanted base64"},
		{name: "signature with odd bits", in: documentWith("signature", `"AB=="`), err: ErrMalformed, text: "wanted base64"},
		{name: "signature URL alphabet", in: documentWith("signature", `"__--"`), err: ErrMalformed, text: "wanted base64"},
		{name: "signature too large", in: documentWith("signature", `"`+strings.Repeat("AAAA", 400000)+`"`), err: ErrMalformed, text: "has 1200000 bytes"},
		{name: "fingerprint short", in: documentWith("certificateFingerprint", `"0101"`), err: ErrMalformed, text: "has 2 bytes, wanted 32"},
		{name: "fingerprint null", in: documentWith("certificateFingerprint", `null`), err: ErrMalformed, text: "not a string"},
		{name: "too deep", in: `{"x":` + strings.Repeat("[", 32) + strings.Repeat("]", 32) + "," + good[1:], err: ErrMalformed, text: "more than 32 levels"},
		{name: "far too deep", in: strings.Repeat(`{"x":`, 700000), err: ErrMalformed, text: "more than 32 levels"},
		{name: "too many fields", in: `{` + manyFields(62) + good[1:], err: ErrMalformed, text: "more than 64 members"},
		{name: "too large", in: good + strings.Repeat("\x00", maxDocument), err: ErrMalformed, text: "wanted at most 4194304"},
	} {
		t.Run(test.name, func(t *testing.T) {
			d, err := ParseDocument([]byte(test.in))
			if !errors.Is(err, test.err) || (err != nil && !strings.Contains(err.Error(), test.text)) {
				t.Fatalf("got error %v, wanted %v with %q", err, test.err, test.text)
			}
			if err != nil {
				return
			}
			if string(d.Signature) != "signature" || (string(Content(d.RootHash)) != hash && len(d.RootHash) != 64) {
				t.Errorf("got %x, %q", d.RootHash, d.Signature)
			}
		})
	}
	if _, err := ParseDocument([]byte(`{` + manyFields(61) + good[1:])); err != nil {
		t.Errorf("64 fields: %v", err)
	}
}

func manyFields(n int) string {
	var b strings.Builder
	for i := range n {
		b.WriteString(`"f` + strings.Repeat("x", i) + `":0,`)
	}
	return b.String()
}

func TestEncode(t *testing.T) {
	hash := bytes.Repeat([]byte{0xab}, 32)
	for _, test := range []struct {
		name string
		d    Document
		size int
		err  error
	}{
		{"no fingerprint", Document{RootHash: hash, Signature: []byte("s")}, 16384, nil},
		// 12180 bytes become 16240 characters, and 94 more make 16334; 12216 would be 16288 and 16382.
		{"just fits", Document{RootHash: hash, Signature: make([]byte, 12216)}, 16384, nil},
		{"just over", Document{RootHash: hash, Signature: make([]byte, 12219)}, 20480, nil},
		{"large", Document{RootHash: hash, Signature: make([]byte, maxMessage)}, 1400832, nil},
		{"no signature", Document{RootHash: hash}, 0, ErrMalformed},
		{"too large", Document{RootHash: hash, Signature: make([]byte, maxMessage+1)}, 0, ErrMalformed},
		{"SHA-1", Document{RootHash: hash[:20], Signature: []byte("s")}, 0, ErrWeak},
		{"bad fingerprint", Document{RootHash: hash, Signature: []byte("s"), CertificateFingerprint: []byte{}}, 0, ErrMalformed},
	} {
		t.Run(test.name, func(t *testing.T) {
			b, err := test.d.Encode()
			if !errors.Is(err, test.err) || len(b) != test.size {
				t.Fatalf("got %d bytes, %v, wanted %d, %v", len(b), err, test.size, test.err)
			}
			if err != nil {
				return
			}
			d, err := ParseDocument(b)
			if err != nil || !bytes.Equal(d.RootHash, test.d.RootHash) || !bytes.Equal(d.Signature, test.d.Signature) || d.CertificateFingerprint != nil {
				t.Errorf("parsed: %v", err)
			}
			var generic map[string]string
			if err := json.Unmarshal(bytes.TrimRight(b, "\x00"), &generic); err != nil || generic["rootHash"] != hex.EncodeToString(hash) {
				t.Errorf("not JSON: %v", err)
			}
		})
	}
}
