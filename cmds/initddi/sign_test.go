// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package main

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/initddi/initddi/internal/fetch"
	"github.com/initddi/initddi/internal/index"
	"github.com/initddi/initddi/internal/initramfs"
	"github.com/initddi/initddi/internal/keys"
	"github.com/initddi/initddi/internal/signature"
)

// TestWrongKey gives each verb that signs a key of another certificate. No program can be found: it is said before any would be run.
func TestWrongKey(t *testing.T) {
	dir := t.TempDir()
	if _, err := keys.Make(dir); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", filepath.Join(dir, "empty"))
	p := func(name string) string { return filepath.Join(dir, name) }
	for name, text := range map[string]string{"initddi.conf": "log=debug\n", "part": "x"} {
		if err := os.WriteFile(p(name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	env := environment{Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr}
	for _, args := range []string{"ddi --output OUT " + dir, "sign " + p("initddi.conf"), "uki --output OUT --stub " + p("part") + " --kernel " + p("part") + " --initramfs " + p("part")} {
		out := p("out")
		words := append(strings.Fields(strings.ReplaceAll(args, "OUT", out)), "--key", p("ddi.key"), "--cert")
		err := run(context.Background(), env, append(words, p("secureboot.crt")))
		if !errors.Is(err, keys.ErrMismatch) || !strings.HasPrefix(err.Error(), "cannot sign: "+p("ddi.key")+" does not belong to "+p("secureboot.crt")) {
			t.Errorf("%s: %v", args, err)
		}
		for _, name := range []string{out, p("initddi.conf.p7s")} {
			if _, err := os.Lstat(name); err == nil {
				t.Errorf("%s: made %s", args, name)
			}
		}
		// With the right one it goes on to what is missing here.
		if err := run(context.Background(), env, append(words, p("ddi.crt"))); err == nil || errors.Is(err, keys.ErrMismatch) {
			t.Errorf("%s with the right certificate: %v", args, err)
		}
	}
	for _, verb := range []string{"ddi", "uki"} {
		args := []string{verb, "--output", p("out"), "--stub", p("part"), "--kernel", p("part"), "--initramfs", p("part"), "--key", p("ddi.key")}
		if verb == "ddi" {
			args = []string{verb, "--output", p("out"), dir, "--key", p("ddi.key")}
		}
		if err := run(context.Background(), env, args); err == nil || !strings.Contains(err.Error(), "--key and --cert go together") {
			t.Errorf("%s without --cert: %v", verb, err)
		}
	}
}

// TestSignIndex signs the list of what a web server has, and nothing that only looks like one.
func TestSignIndex(t *testing.T) {
	dir := t.TempDir()
	if _, err := keys.Make(dir); err != nil {
		t.Fatal(err)
	}
	p := func(name string) string { return filepath.Join(dir, name) }
	env := environment{Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr}
	sign := func(text string) error {
		if err := os.WriteFile(p("SHA256SUMS"), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		return run(context.Background(), env, []string{"sign", "--key", p("ddi.key"), "--cert", p("ddi.crt"), p("SHA256SUMS")})
	}
	for _, bad := range []string{"", "log=debug\n", "# sums\n", strings.Repeat("0", 64) + "  dir/OS_1.raw\n"} {
		if err := sign(bad); !errors.Is(err, index.ErrSyntax) {
			t.Errorf("%q: %v", bad, err)
		}
	}
	if _, err := os.Lstat(p("SHA256SUMS.p7s")); err == nil {
		t.Error("there is a signature all the same")
	}
	good := strings.Repeat("0", 64) + "  OS_1.raw\n"
	if err := sign(good); err != nil {
		t.Fatal(err)
	}
	der, err := os.ReadFile(p("SHA256SUMS.p7s"))
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(p("ddi.crt"))
	if err != nil {
		t.Fatal(err)
	}
	certs, err := signature.ParseCertificatesPEM(text)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := signature.Verify(der, []byte(good), certs); err != nil {
		t.Error(err)
	}
}

func TestCAFile(t *testing.T) {
	if fetch.CAFile != "/"+initramfs.CAFile {
		t.Errorf("ddifetch looks for %s, and it is put at %s", fetch.CAFile, initramfs.CAFile)
	}
	dir := t.TempDir()
	if _, err := keys.Make(dir); err != nil {
		t.Fatal(err)
	}
	if f, err := caFiles(filepath.Join(dir, "ddi.crt")); err != nil || len(f) != 1 || f[0].Name != initramfs.CAFile || len(f[0].Data) == 0 {
		t.Errorf("%v, %v", f, err)
	}
	if f, err := caFiles(""); err != nil || f != nil {
		t.Errorf("%v, %v", f, err)
	}
	if _, err := caFiles(filepath.Join(dir, "ddi.key")); err == nil || !strings.Contains(err.Error(), "no certificate in it") {
		t.Errorf("%v", err)
	}
}

// TestWeakKey: what stage 1 calls too weak signs nothing, and is not built in.
func TestWeakKey(t *testing.T) {
	openssl, err := exec.LookPath("openssl")
	if err != nil {
		t.Skip("needs openssl (Debian package openssl)")
	}
	dir := t.TempDir()
	p := func(name string) string { return filepath.Join(dir, name) }
	if out, err := exec.Command(openssl, "req", "-x509", "-newkey", "rsa:1024", "-nodes", "-keyout", p("weak.key"), "-out", p("weak.crt"), "-subj", "/CN=weak", "-days", "1").CombinedOutput(); err != nil {
		t.Fatalf("openssl: %v: %s", err, out)
	}
	for name, text := range map[string]string{"initddi.conf": "log=debug\n", "part": "x"} {
		write(t, p(name), text)
	}
	pair := " --key " + p("weak.key") + " --cert " + p("weak.crt")
	for _, args := range []string{
		"ddi --output OUT " + dir + pair, "sign " + p("initddi.conf") + pair, "uki --output OUT --stub " + p("part") + " --kernel " + p("part") + " --initramfs " + p("part") + pair,
		"initramfs --template ../../templates/mkuimage.yaml --dir ../.. --output OUT --trust " + p("weak.crt"),
	} {
		err := run(context.Background(), environment{Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr}, strings.Fields(strings.ReplaceAll(args, "OUT", p("out"))))
		if !errors.Is(err, signature.ErrWeak) || !strings.Contains(err.Error(), p("weak.crt")) {
			t.Errorf("%s: %v", args, err)
		}
		for _, name := range []string{"out", "initddi.conf.p7s"} {
			if _, err := os.Lstat(p(name)); err == nil {
				t.Errorf("%s: made %s", args, name)
			}
		}
	}
}
