// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package predict

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/initddi/initddi/internal/measure"
	"github.com/initddi/initddi/internal/tpm2"
	"github.com/initddi/initddi/internal/uki"
)

// TestPolicyPCR holds the digest against systemd's: of PCR 11 after a .linux that is "x" and the phase enter-initrd.
func TestPolicyPCR(t *testing.T) {
	steps := append([]Step{step(measure.KernelBoot, "", []byte(".linux\x00")), step(measure.KernelBoot, "", []byte("x"))}, Phases("enter-initrd")...)
	// printf x >x; systemd-measure sign --linux=x --phase=enter-initrd --private-key=… --public-key=… (systemd 257), its "pol"
	for alg, want := range map[tpm2.Alg]string{
		tpm2.SHA1:   "5433ec998cea597a9192610d517d8250706e636e7aac0422e22a32c3c834475e",
		tpm2.SHA256: "60a4efd4fd4a59a5933cc417526f8778553cd7a49ae6e642ff01e1d3e01ac53c",
	} {
		if got := hex.EncodeToString(policyPCR(alg, measure.KernelBoot, Value(steps, measure.KernelBoot, alg))); got != want {
			t.Errorf("%s: %s, want %s", alg, got, want)
		}
	}
}

func rsaPEM(t *testing.T, bits int) (*rsa.PrivateKey, []byte) {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, bits)
	if err != nil {
		t.Fatal(err)
	}
	return key, pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(key)})
}

// TestPolicySections: the values that are signed are those of the UKI that has the sections, phase by phase, and the key fits.
func TestPolicySections(t *testing.T) {
	const stub = "/usr/lib/systemd/boot/efi/linuxx64.efi.stub"
	b, err := os.ReadFile(stub)
	if err != nil {
		t.Skipf("needs %s (Debian package systemd-boot-efi)", stub)
	}
	key, private := rsaPEM(t, 2048)
	policy, err := NewPolicy(private, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := policy.SetPhases("enter-initrd, enter-initrd:leave-initrd"); err != nil {
		t.Fatal(err)
	}
	// To the builder, the stub is a kernel like any other.
	o := uki.Options{Stub: b, Kernel: b, Cmdline: "quiet", Extra: []uki.Section{{Name: ".other", Data: []byte("x")}}}
	made, err := policy.Sections(o)
	if err != nil {
		t.Fatal(err)
	}
	if again, err := policy.Sections(o); err != nil || !bytes.Equal(made[1].Data, again[1].Data) {
		t.Errorf("made again it is other bytes, or %v", err)
	}
	o.Extra = append(o.Extra, made...)
	if b, err = uki.Build(o); err != nil {
		t.Fatal(err)
	}
	steps, err := image(bytes.NewReader(b), int64(len(b)), "")
	if err != nil {
		t.Fatal(err)
	}
	var values map[string][]signedValue
	if err := json.Unmarshal(made[1].Data, &values); err != nil || len(values) != 1 || len(values["sha256"]) != 2 {
		t.Fatalf("%v, %s", err, made[1].Data)
	}
	for i, words := range [][]string{{"enter-initrd"}, {"enter-initrd", "leave-initrd"}} {
		v := values["sha256"][i]
		want := policyPCR(tpm2.SHA256, 11, Value(append(steps[:len(steps):len(steps)], Phases(words...)...), 11, tpm2.SHA256))
		if v.Policy != hex.EncodeToString(want) {
			t.Errorf("%v: %s is signed, want %x", words, v.Policy, want)
		}
		sum := sha256.Sum256(want)
		if err := rsa.VerifyPKCS1v15(&key.PublicKey, crypto.SHA256, sum[:], v.Signature); err != nil {
			t.Errorf("%v: %v", words, err)
		}
	}
	if block, _ := pem.Decode(made[0].Data); made[0].Name != ".pcrpkey" || block == nil || block.Type != "PUBLIC KEY" {
		t.Errorf("%s has %q", made[0].Name, made[0].Data)
	}
}

func TestPolicyRefuses(t *testing.T) {
	_, good := rsaPEM(t, 2048)
	_, big := rsaPEM(t, 4096)
	other, _ := rsaPEM(t, 2048)
	der, err := x509.MarshalPKIXPublicKey(&other.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	ec, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	ecDER, err := x509.MarshalPKCS8PrivateKey(ec)
	if err != nil {
		t.Fatal(err)
	}
	block := func(kind string, der []byte) []byte { return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}) }
	for _, c := range []struct {
		name            string
		private, public []byte
		want            string
	}{
		{"4096 bits", big, nil, "4096 bits and not 2048"},
		{"not RSA", block("PRIVATE KEY", ecDER), nil, "not RSA"},
		{"no PEM", []byte("x"), nil, "no PEM"},
		{"damaged", block("PRIVATE KEY", []byte("x")), nil, "not a key"},
		{"encrypted", block("ENCRYPTED PRIVATE KEY", []byte("x")), nil, "unencrypted"},
		{"another's public key", good, block("PUBLIC KEY", der), "not that of the private one"},
		{"a public key that is none", good, []byte{}, "not that of the private one"},
	} {
		if p, err := NewPolicy(c.private, c.public); p != nil || !errors.Is(err, ErrPolicyKey) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", c.name, err)
		}
	}
	p, err := NewPolicy(good, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, list := range []string{"", " ,", "a::b", ":a", "a,b:"} {
		if err := p.SetPhases(list); err == nil {
			t.Errorf("the phases %q are accepted: %q", list, p.Phases)
		}
	}
}
