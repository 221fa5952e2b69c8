// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package predict

import (
	"bytes"
	"crypto"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/initddi/initddi/internal/measure"
	"github.com/initddi/initddi/internal/tpm2"
	"github.com/initddi/initddi/internal/uki"
)

// policyKeyBits is the one size of a key that every TPM 2.0 loads (TCG PC Client Platform TPM Profile, its table of algorithms).
const policyKeyBits = 2048

// ErrPolicyKey is what [NewPolicy] returns for a key that no policy should be signed with.
var ErrPolicyKey = errors.New("not a key for signing PCR policies")

// Policy signs values of PCR 11 for UKIs: a TPM opens what is bound to its key where PCR 11 has one of them.
//
// They are those of the SHA-256 bank, which every TPM 2.0 has. Systemd-measure and ukify write an entry for each of the other banks too, signed
// with that bank's hash; systemd has the TPM check every signature as one with SHA-256 (src/shared/tpm2-util.c), so that those open nothing.
type Policy struct {
	// Phases are phases of the boot, each a path of the words that systemd-pcrphase measured until then, with colons.
	Phases []string

	key    *rsa.PrivateKey
	public []byte // PEM, as it lies in .pcrpkey
}

// DefaultPhases are those of systemd-measure and ukify: the initrd, and everything in the system until it is up.
func DefaultPhases() []string {
	return []string{"enter-initrd", "enter-initrd:leave-initrd", "enter-initrd:leave-initrd:sysinit", "enter-initrd:leave-initrd:sysinit:ready"}
}

// NewPolicy makes a policy out of an unencrypted PEM key (PKCS#8 or PKCS#1), for the default phases.
//
// public is the PEM public key for .pcrpkey; nil stands for that of the key. Errors wrap [ErrPolicyKey] where the key is none of RSA
// with 2048 bits, or public is another key's.
func NewPolicy(private, public []byte) (*Policy, error) {
	key, err := parsePrivate(private)
	if err != nil {
		return nil, err
	}
	if n := key.N.BitLen(); n != policyKeyBits {
		return nil, fmt.Errorf("%w: it has %d bits and not %d; systemd-cryptenroll takes such a key as well, and a TPM that cannot load it then opens nothing", ErrPolicyKey, n, policyKeyBits)
	}
	der, err := x509.MarshalPKIXPublicKey(&key.PublicKey)
	if err != nil {
		return nil, err
	}
	p := &Policy{Phases: DefaultPhases(), key: key, public: public}
	if public == nil {
		p.public = pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
	} else if block, _ := pem.Decode(public); block == nil || block.Type != "PUBLIC KEY" || !bytes.Equal(block.Bytes, der) {
		return nil, fmt.Errorf("%w: the public key is not that of the private one (PEM, PUBLIC KEY)", ErrPolicyKey)
	}
	return p, nil
}

func parsePrivate(text []byte) (*rsa.PrivateKey, error) {
	block, _ := pem.Decode(text)
	if block == nil {
		return nil, fmt.Errorf("%w: it holds no PEM", ErrPolicyKey)
	}
	var key any
	var err error
	switch block.Type {
	case "PRIVATE KEY":
		key, err = x509.ParsePKCS8PrivateKey(block.Bytes)
	case "RSA PRIVATE KEY":
		key, err = x509.ParsePKCS1PrivateKey(block.Bytes)
	default:
		return nil, fmt.Errorf("%w: it holds %s; an unencrypted private key is needed", ErrPolicyKey, block.Type)
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrPolicyKey, err)
	}
	out, ok := key.(*rsa.PrivateKey)
	if !ok {
		return nil, fmt.Errorf("%w: it is a %T and not RSA", ErrPolicyKey, key)
	}
	return out, nil
}

// SetPhases takes a list of phases with commas or spaces between them, as ukify does.
func (p *Policy) SetPhases(list string) error {
	phases := strings.FieldsFunc(list, func(r rune) bool { return r == ',' || r == ' ' })
	for _, path := range phases {
		if slices.Contains(strings.Split(path, ":"), "") {
			return fmt.Errorf("cannot sign the phases %q: %q has an empty word", list, path)
		}
	}
	if len(phases) == 0 {
		return fmt.Errorf("cannot sign the phases %q: none is in it", list)
	}
	p.Phases = phases
	return nil
}

// signedValue is an entry of .pcrsig (systemd's src/measure/measure-tool.c; src/shared/tpm2-util.c reads it).
type signedValue struct {
	PCRs      []int  `json:"pcrs"`
	Key       string `json:"pkfp"` // SHA-256 of the public key (DER, PKCS#1), hexadecimal
	Policy    string `json:"pol"`  // what TPM2_PolicyPCR makes of the value, hexadecimal
	Signature []byte `json:"sig"`  // of Policy: RSASSA with SHA-256
}

// Sections returns .pcrpkey and .pcrsig for the UKI that these options make, to be added to them. The same policy and options give
// the same bytes. PCR 11 has what systemd-stub measures of that UKI alone, .pcrpkey included.
func (p *Policy) Sections(o uki.Options) ([]uki.Section, error) {
	pkey := uki.Section{Name: ".pcrpkey", Data: p.public}
	o.Extra = append(slices.Clip(o.Extra), pkey)
	b, err := uki.Build(o)
	if err != nil {
		return nil, err
	}
	steps, err := image(bytes.NewReader(b), int64(len(b)), "the UKI")
	if err != nil {
		return nil, err
	}
	fingerprint := sha256.Sum256(x509.MarshalPKCS1PublicKey(&p.key.PublicKey))
	var signed []signedValue
	for _, path := range p.Phases {
		all := append(slices.Clip(steps), Phases(strings.Split(path, ":")...)...)
		pol := policyPCR(tpm2.SHA256, measure.KernelBoot, Value(all, measure.KernelBoot, tpm2.SHA256))
		sum := sha256.Sum256(pol)
		sig, err := rsa.SignPKCS1v15(nil, p.key, crypto.SHA256, sum[:])
		if err != nil {
			return nil, fmt.Errorf("cannot sign the value of PCR %d: %w", measure.KernelBoot, err)
		}
		signed = append(signed, signedValue{[]int{measure.KernelBoot}, hex.EncodeToString(fingerprint[:]), hex.EncodeToString(pol), sig})
	}
	text, err := json.Marshal(map[string][]signedValue{tpm2.SHA256.String(): signed})
	if err != nil {
		return nil, err
	}
	return []uki.Section{pkey, {Name: ".pcrsig", Data: append(text, '\n')}}, nil
}

// policyPCR computes what TPM2_PolicyPCR makes of the empty policy, in a session with SHA-256, where one PCR of a bank has a value
// (TPM 2.0 Library, part 3, 23.7): H(zeros || TPM_CC_PolicyPCR || TPML_PCR_SELECTION || H(value)).
func policyPCR(alg tpm2.Alg, pcr int, value []byte) []byte {
	const ccPolicyPCR = 0x17f
	b := make([]byte, sha256.Size, 2*sha256.Size+14)
	b = binary.BigEndian.AppendUint32(b, ccPolicyPCR)
	b = binary.BigEndian.AppendUint32(b, 1) // one bank
	b = binary.BigEndian.AppendUint16(b, uint16(alg))
	selected := make([]byte, 3)
	selected[pcr/8] = 1 << (pcr % 8)
	b = append(append(b, byte(len(selected))), selected...)
	sum := sha256.Sum256(value)
	out := sha256.Sum256(append(b, sum[:]...))
	return out[:]
}
