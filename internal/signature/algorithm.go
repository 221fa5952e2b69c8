// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package signature

import (
	"crypto"
	"crypto/sha256"
	"crypto/sha512"
	"fmt"
	"strconv"
	"strings"
)

// oid is an object identifier as the content bytes of its DER encoding. Comparing those is exact: DER has one encoding for
// each identifier.
type oid string

// RFC 2315 and RFC 5652: content types and attributes.
const (
	oidData          oid = "\x2a\x86\x48\x86\xf7\x0d\x01\x07\x01" // 1.2.840.113549.1.7.1
	oidSignedData    oid = "\x2a\x86\x48\x86\xf7\x0d\x01\x07\x02" // 1.2.840.113549.1.7.2
	oidContentType   oid = "\x2a\x86\x48\x86\xf7\x0d\x01\x09\x03" // 1.2.840.113549.1.9.3
	oidMessageDigest oid = "\x2a\x86\x48\x86\xf7\x0d\x01\x09\x04" // 1.2.840.113549.1.9.4
)

// RFC 5754 and RFC 3370: digests.
const (
	oidMD5    oid = "\x2a\x86\x48\x86\xf7\x0d\x02\x05"     // 1.2.840.113549.2.5
	oidSHA1   oid = "\x2b\x0e\x03\x02\x1a"                 // 1.3.14.3.2.26
	oidSHA224 oid = "\x60\x86\x48\x01\x65\x03\x04\x02\x04" // 2.16.840.1.101.3.4.2.4
	oidSHA256 oid = "\x60\x86\x48\x01\x65\x03\x04\x02\x01" // 2.16.840.1.101.3.4.2.1
	oidSHA384 oid = "\x60\x86\x48\x01\x65\x03\x04\x02\x02" // 2.16.840.1.101.3.4.2.2
	oidSHA512 oid = "\x60\x86\x48\x01\x65\x03\x04\x02\x03" // 2.16.840.1.101.3.4.2.3
)

// RFC 8017, RFC 5758 and RFC 8410: keys and signatures. oidRSA and oidEd25519 name both a kind of key and a signature.
const (
	oidRSA           oid = "\x2a\x86\x48\x86\xf7\x0d\x01\x01\x01" // 1.2.840.113549.1.1.1
	oidRSAWithMD5    oid = "\x2a\x86\x48\x86\xf7\x0d\x01\x01\x04" // 1.2.840.113549.1.1.4
	oidRSAWithSHA1   oid = "\x2a\x86\x48\x86\xf7\x0d\x01\x01\x05" // 1.2.840.113549.1.1.5
	oidRSAPSS        oid = "\x2a\x86\x48\x86\xf7\x0d\x01\x01\x0a" // 1.2.840.113549.1.1.10
	oidRSAWithSHA256 oid = "\x2a\x86\x48\x86\xf7\x0d\x01\x01\x0b" // 1.2.840.113549.1.1.11
	oidRSAWithSHA384 oid = "\x2a\x86\x48\x86\xf7\x0d\x01\x01\x0c" // 1.2.840.113549.1.1.12
	oidRSAWithSHA512 oid = "\x2a\x86\x48\x86\xf7\x0d\x01\x01\x0d" // 1.2.840.113549.1.1.13
	oidRSAWithSHA224 oid = "\x2a\x86\x48\x86\xf7\x0d\x01\x01\x0e" // 1.2.840.113549.1.1.14

	oidECPublicKey     oid = "\x2a\x86\x48\xce\x3d\x02\x01"     // 1.2.840.10045.2.1
	oidECDSAWithSHA1   oid = "\x2a\x86\x48\xce\x3d\x04\x01"     // 1.2.840.10045.4.1
	oidECDSAWithSHA224 oid = "\x2a\x86\x48\xce\x3d\x04\x03\x01" // 1.2.840.10045.4.3.1
	oidECDSAWithSHA256 oid = "\x2a\x86\x48\xce\x3d\x04\x03\x02" // 1.2.840.10045.4.3.2
	oidECDSAWithSHA384 oid = "\x2a\x86\x48\xce\x3d\x04\x03\x03" // 1.2.840.10045.4.3.3
	oidECDSAWithSHA512 oid = "\x2a\x86\x48\xce\x3d\x04\x03\x04" // 1.2.840.10045.4.3.4
	oidP256            oid = "\x2a\x86\x48\xce\x3d\x03\x01\x07" // 1.2.840.10045.3.1.7
	oidP384            oid = "\x2b\x81\x04\x00\x22"             // 1.3.132.0.34
	oidP521            oid = "\x2b\x81\x04\x00\x23"             // 1.3.132.0.35

	oidEd25519 oid = "\x2b\x65\x70" // 1.3.101.112
)

// RFC 5280: parts of certificates.
const (
	oidCommonName           oid = "\x55\x04\x03" // 2.5.4.3
	oidOrganization         oid = "\x55\x04\x0a" // 2.5.4.10
	oidSubjectKeyIdentifier oid = "\x55\x1d\x0e" // 2.5.29.14
)

// String returns the name that people know an algorithm by, and the dotted form of anything else.
func (o oid) String() string {
	switch o {
	case oidMD5:
		return "MD5"
	case oidSHA1:
		return "SHA-1"
	case oidSHA224:
		return "SHA-224"
	case oidSHA256:
		return "SHA-256"
	case oidSHA384:
		return "SHA-384"
	case oidSHA512:
		return "SHA-512"
	case oidRSA:
		return "rsaEncryption"
	case oidRSAWithMD5:
		return "md5WithRSAEncryption"
	case oidRSAWithSHA1:
		return "sha1WithRSAEncryption"
	case oidRSAWithSHA224:
		return "sha224WithRSAEncryption"
	case oidRSAWithSHA256:
		return "sha256WithRSAEncryption"
	case oidRSAWithSHA384:
		return "sha384WithRSAEncryption"
	case oidRSAWithSHA512:
		return "sha512WithRSAEncryption"
	case oidRSAPSS:
		return "RSASSA-PSS"
	case oidECPublicKey:
		return "ecPublicKey"
	case oidECDSAWithSHA1:
		return "ecdsa-with-SHA1"
	case oidECDSAWithSHA224:
		return "ecdsa-with-SHA224"
	case oidECDSAWithSHA256:
		return "ecdsa-with-SHA256"
	case oidECDSAWithSHA384:
		return "ecdsa-with-SHA384"
	case oidECDSAWithSHA512:
		return "ecdsa-with-SHA512"
	case oidEd25519:
		return "Ed25519"
	}
	return o.dotted()
}

// dotted renders the first arcs of an identifier for an error message; it never fails, whatever the bytes.
func (o oid) dotted() string {
	const maxArcs = 16
	var arcs []string
	var arc uint64
	for i := range len(o) {
		arc = arc<<7 | uint64(o[i]&0x7f)
		if o[i]&0x80 != 0 {
			continue
		}
		if len(arcs) == 0 {
			// The first two arcs share one number (X.690, 8.19.4).
			top := min(arc/40, 2)
			arcs = append(arcs, strconv.FormatUint(top, 10))
			arc -= top * 40
		}
		if len(arcs) == maxArcs {
			return strings.Join(arcs, ".") + "…"
		}
		arcs = append(arcs, strconv.FormatUint(arc, 10))
		arc = 0
	}
	return strings.Join(arcs, ".")
}

// weak tells whether an algorithm rests on a digest below SHA-256.
func (o oid) weak() bool {
	switch o {
	case oidMD5, oidSHA1, oidSHA224, oidRSAWithMD5, oidRSAWithSHA1, oidRSAWithSHA224, oidECDSAWithSHA1, oidECDSAWithSHA224:
		return true
	}
	return false
}

// digestHash returns the hash function of a digest algorithm: [ErrWeak] for one below SHA-256, [ErrUnsupported] for one
// that is not known.
func digestHash(o oid) (crypto.Hash, error) {
	switch {
	case o == oidSHA256:
		return crypto.SHA256, nil
	case o == oidSHA384:
		return crypto.SHA384, nil
	case o == oidSHA512:
		return crypto.SHA512, nil
	case o.weak():
		return 0, fmt.Errorf("digest is %v, wanted SHA-256, SHA-384 or SHA-512: %w", o, ErrWeak)
	}
	return 0, fmt.Errorf("digest is %v, wanted SHA-256, SHA-384 or SHA-512: %w", o, ErrUnsupported)
}

// sum hashes b. The hash is one that [digestHash] returned.
func sum(h crypto.Hash, b []byte) []byte {
	switch h {
	case crypto.SHA256:
		d := sha256.Sum256(b)
		return d[:]
	case crypto.SHA384:
		d := sha512.Sum384(b)
		return d[:]
	case crypto.SHA512:
		d := sha512.Sum512(b)
		return d[:]
	}
	return nil
}

// rsaWith and ecdsaWith return the algorithm that names a signature and its digest together.
func rsaWith(h crypto.Hash) oid {
	switch h {
	case crypto.SHA256:
		return oidRSAWithSHA256
	case crypto.SHA384:
		return oidRSAWithSHA384
	}
	return oidRSAWithSHA512
}

func ecdsaWith(h crypto.Hash) oid {
	switch h {
	case crypto.SHA256:
		return oidECDSAWithSHA256
	case crypto.SHA384:
		return oidECDSAWithSHA384
	}
	return oidECDSAWithSHA512
}
