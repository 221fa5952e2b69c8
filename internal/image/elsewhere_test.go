// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package image

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/initddi/initddi/internal/gpt"
	"github.com/initddi/initddi/internal/keys"
)

// runIn runs a program in dir.
func runIn(t *testing.T, dir string, env []string, name string, args ...string) {
	t.Helper()
	cmd := exec.Command(name, args...)
	cmd.Dir, cmd.Env = dir, append(os.Environ(), env...)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%s %v: %v\n%s", name, args, err, out)
	}
}

// TestSignedElsewhere: what travels to the host with the key is the root hash in hexadecimal, and what comes back is a signature.
func TestSignedElsewhere(t *testing.T) {
	need(t, "mkfs.erofs", "erofs-utils")
	need(t, "openssl", "openssl")
	src := tree(t)
	for _, kind := range keys.Types() {
		for _, command := range []string{"smime", "cms"} {
			t.Run(kind+" "+command, func(t *testing.T) {
				here, there := t.TempDir(), t.TempDir()
				if _, err := keys.MakeOf(there, kind); err != nil {
					t.Fatal(err)
				}
				out := filepath.Join(here, "os.raw")
				res := build(t, Options{Source: src, Output: out, Arch: gpt.X86_64})
				if err := os.WriteFile(filepath.Join(there, "content"), []byte(res.RootHash), 0o644); err != nil {
					t.Fatal(err)
				}
				runIn(t, there, nil, "openssl", command, "-sign", "-binary", "-noattr", "-md", "sha256", "-outform", "DER", "-signer", "ddi.crt", "-inkey", "ddi.key", "-in", "content", "-out", "os.p7s")
				pair := keys.In(there, keys.Image)
				if hash, err := Join(out, read(t, filepath.Join(there, "os.p7s")), read(t, pair.Cert)); err != nil || hash != res.RootHash {
					t.Fatalf("%s, %v", hash, err)
				}
				res.Signed = true
				checkImage(t, out, res, "erofs", 512, pair)
			})
		}
	}
}

// TestPKCS11 signs with a key that never leaves its token.
func TestPKCS11(t *testing.T) {
	need(t, "mkfs.erofs", "erofs-utils")
	need(t, "softhsm2-util", "softhsm2")
	need(t, "pkcs11-tool", "opensc")
	engines, _ := filepath.Glob("/usr/lib/*/engines-3/pkcs11.so")
	modules, _ := filepath.Glob("/usr/lib/softhsm/libsofthsm2.so")
	if len(engines) == 0 || len(modules) == 0 {
		t.Skip("needs openssl's engine for PKCS#11 (Debian package libengine-pkcs11-openssl)")
	}
	dir := t.TempDir()
	conf := filepath.Join(dir, "softhsm2.conf")
	if err := os.WriteFile(conf, []byte("directories.tokendir = "+dir+"\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	t.Setenv("SOFTHSM2_CONF", conf)
	t.Setenv("PKCS11_MODULE_PATH", modules[0])
	runIn(t, dir, nil, "softhsm2-util", "--init-token", "--free", "--label", "images", "--pin", "1234", "--so-pin", "1234")
	for _, kind := range []string{"rsa:2048", "EC:prime256v1"} {
		id := map[string]string{"rsa:2048": "01", "EC:prime256v1": "02"}[kind]
		runIn(t, dir, nil, "pkcs11-tool", "--module", modules[0], "--login", "--pin", "1234", "--keypairgen", "--key-type", kind, "--label", "key"+id, "--id", id)
		p := keys.Pair{Key: "pkcs11:token=images;object=key" + id + ";type=private;pin-value=1234", Cert: filepath.Join(dir, id+".crt")}
		runIn(t, dir, nil, "openssl", "req", "-new", "-x509", "-engine", "pkcs11", "-keyform", "engine", "-key", p.Key, "-subj", "/CN=token "+id, "-out", p.Cert)
		der, err := keys.CertificateDER(p.Cert)
		if err != nil {
			t.Fatal(err)
		}
		out := filepath.Join(dir, id+".raw")
		res := build(t, Options{Source: tree(t), Output: out, Arch: gpt.X86_64, Signer: p.Sign, Certificate: der})
		checkImage(t, out, res, "erofs", 512, p)
		// The same in two steps.
		later := filepath.Join(dir, id+"-later.raw")
		again := build(t, Options{Source: tree(t), Output: later, Arch: gpt.X86_64})
		sig, err := p.Sign(t.Context(), []byte(again.RootHash))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := Join(later, sig, read(t, p.Cert)); err != nil {
			t.Fatal(err)
		}
		again.Signed = true
		checkImage(t, later, again, "erofs", 512, p)
	}
}
