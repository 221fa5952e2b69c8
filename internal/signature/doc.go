// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

// Package signature verifies detached PKCS#7 (CMS) signatures, the kind that systemd-repart puts over the root hash of a
// dm-verity image and that systemd and the kernel check before they activate it. It is where initddi decides whom to believe.
//
// # What it is
//
//   - [Verify] checks one detached SignedData message (RFC 2315 as OpenSSL writes it, RFC 5652) over some bytes.
//   - [ParseCertificate] and [ParseCertificatesPEM] read the trust store (RFC 5280), as far as [Verify] needs it.
//   - [Document] is the content of a signature partition, [Content] the text that is signed for a root hash (UAPI group,
//     Discoverable Partitions Specification; systemd's repart.c and dissect-image.c).
//
// It works on bytes, has no state, opens nothing, and distrusts every byte but those of the trust store. It signs nothing.
//
// # Who is believed
//
// A signature counts when it was made with the key of a certificate that is literally in the trust store. Certificates
// inside the message are skipped unread. There are no chains, no validity dates (there is no trustworthy clock yet), no key
// usage, no revocation lists: to stop believing a certificate, take it out of the store. This is what
// PKCS7_verify(p7, certs, NULL, data, NULL, PKCS7_NOINTERN|PKCS7_NOVERIFY) does in OpenSSL and so in systemd.
//
// A message may have several signers, which is how keys are rotated. Then, as in the kernel
// (crypto/asymmetric_keys/pkcs7_trust.c), signers that the trust store does not know are ignored, at least one must be known,
// and every known one must verify. OpenSSL refuses a message with one unknown signer. That would make nothing safer: a
// signer's entry is bound to nothing else in the message, so whoever carries the message can remove it. A bad signature in
// the name of a known signer, on the other hand, means that somebody meddled, and nothing good is lost by refusing.
//
// A SignerInfo names its signer by issuer and serial number or by subject key identifier; both are compared byte by byte,
// without the case folding that OpenSSL applies to names. When several trusted certificates go by the same name, any of
// their keys will do.
//
// Use a trusted key for nothing else. The signed text of a root hash carries no purpose, so a signature over the same 64
// characters made for another reason is as good as one that was made for this.
//
// # What is accepted
//
//	digest          SHA-256, SHA-384, SHA-512; SHA-512 alone with Ed25519 (RFC 8419)
//	RSA             PKCS #1 v1.5, modulus of 2048 to 16384 bits, odd exponent from 3 to 2³¹-1
//	ECDSA           P-256, P-384, P-521, uncompressed points, algorithm ecdsa-with-SHA2 of the same digest (RFC 5753)
//	EdDSA           Ed25519
//	attributes      with (contentType id-data and messageDigest, RFC 5652 section 5.4) or without
//	encoding        DER; BER's indefinite lengths are refused
//
// RSA-PSS is recognized and refused: neither systemd-repart nor the kernel's PKCS#7 code produces or takes it. The limits are
// those of this package, whatever GODEBUG says: gobusybox builds run with the defaults of an old Go release.
//
// systemd's own check in user space takes fewer messages than this package: no Ed25519, no subject key identifiers, no
// unknown signers; the kernel's takes no Ed25519 either. What systemd-repart writes, all three take.
//
// # Bounds
//
// All input is bounded by the named constants of this package before anything is allocated for it. Work is proportional to
// the input, times at most maxSigners for the hashing and the public key operations.
package signature

import "errors"

// What a caller decides on. Every error of this package wraps one of these.
var (
	// ErrMalformed says that bytes are not what they should be: not DER, not JSON, a field missing, repeated, too large.
	ErrMalformed = errors.New("malformed")
	// ErrUnknownSigner says that no signer of the message is in the trust store.
	ErrUnknownSigner = errors.New("signer is not trusted")
	// ErrBadSignature says that a trusted signer's signature or digest does not match the content.
	ErrBadSignature = errors.New("signature does not match")
	// ErrWeak says that the key or the digest of a trusted signer is too weak to prove anything.
	ErrWeak = errors.New("too weak")
	// ErrUnsupported says that something well-formed is beyond this package: an algorithm, a version, a content type.
	ErrUnsupported = errors.New("not supported")
)
