// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package ovmf_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/initddi/initddi/internal/esp"
	"github.com/initddi/initddi/internal/ovmf"
	"github.com/initddi/initddi/internal/uki"
)

const (
	stubPath = "/usr/lib/systemd/boot/efi/linuxx64.efi.stub"
	codePath = "/usr/share/OVMF/OVMF_CODE_4M.secboot.fd"
	varsPath = "/usr/share/OVMF/OVMF_VARS_4M.fd"
)

// TestSecureBoot boots a virtual machine whose firmware knows our keys only, with images that are signed by us, by nobody
// and by somebody else. It takes some seconds per boot without hardware virtualisation.
func TestSecureBoot(t *testing.T) {
	kernel := os.Getenv("INITDDI_TEST_KERNEL")
	if kernel == "" {
		t.Skip("needs INITDDI_TEST_KERNEL=/path/to/vmlinuz of a kernel for x86-64 with a serial console")
	}
	for _, tool := range [][2]string{{"qemu-system-x86_64", "qemu-system-x86"}, {"osslsigncode", "osslsigncode"}, {"mkfs.vfat", "dosfstools"}, {"mcopy", "mtools"}} {
		if _, err := exec.LookPath(tool[0]); err != nil {
			t.Skipf("needs %s (Debian package %s)", tool[0], tool[1])
		}
	}
	for _, path := range []string{codePath, varsPath} {
		if _, err := os.Stat(path); err != nil {
			t.Skipf("needs %s (Debian package ovmf)", path)
		}
	}
	dir := t.TempDir()
	ours, theirs := newKey(t, dir, "ours"), newKey(t, dir, "theirs")
	template, err := os.ReadFile(varsPath)
	if err != nil {
		t.Fatal(err)
	}
	vars, err := ovmf.Enroll(template, ovmf.Keys{PK: ours, KEK: [][]byte{ours}, DB: [][]byte{ours}})
	if err != nil {
		t.Fatal(err)
	}
	others, err := ovmf.Enroll(vars, ovmf.Keys{PK: ours, KEK: [][]byte{ours}, DB: [][]byte{theirs, ours}, DBX: [][]byte{ours}})
	if err != nil {
		t.Fatal(err)
	}
	initrd := helloInitrd(t, dir)
	const good, refused = "HELLO from init", "Access Denied"
	for _, stub := range []string{stubPath, os.Getenv("INITDDI_TEST_STUB")} {
		if _, err := os.Stat(stub); err != nil {
			t.Logf("without stub %q: set INITDDI_TEST_STUB (Debian package systemd-boot-efi)", stub)
			continue
		}
		unsigned := filepath.Join(dir, "unsigned.efi")
		buildUKI(t, stub, kernel, initrd, unsigned)
		for _, tt := range []struct {
			name, key string
			vars      []byte
			want      string
		}{
			{"ours", "ours", vars, good}, {"unsigned", "", vars, refused}, {"theirs", "theirs", vars, refused},
			{"revoked", "ours", others, refused}, {"second in db", "theirs", others, good}, {"blank", "", template, good},
		} {
			if stub != stubPath && tt.name != "ours" && tt.name != "unsigned" {
				continue // the stub has no part in the others
			}
			t.Run(stub[strings.LastIndex(stub, "/")+1:]+"/"+tt.name, func(t *testing.T) {
				image := unsigned
				if tt.key != "" {
					image = filepath.Join(dir, "signed.efi")
					key, cert := filepath.Join(dir, tt.key+".key"), filepath.Join(dir, tt.key+".crt")
					if err := uki.Sign(context.Background(), unsigned, image, key, cert, uki.SignOptions{}); err != nil {
						t.Fatal(err)
					}
				}
				console, after := boot(t, tt.vars, image, good, refused)
				if !strings.Contains(console, tt.want) {
					t.Errorf("wanted %q on the console:\n%s", tt.want, console)
				}
				secure := strings.Contains(console, "Secure boot enabled") || strings.Contains(console, "Secure Boot is enabled")
				if wantSecure := tt.want == good && &tt.vars[0] != &template[0]; secure != wantSecure {
					t.Errorf("the kernel says that Secure Boot is on: %v, wanted %v:\n%s", secure, wantSecure, console)
				}
				if _, err := ovmf.List(after); err != nil {
					t.Errorf("the store after the firmware used it: %v", err)
				}
			})
		}
	}
}

func newKey(t *testing.T, dir, name string) []byte {
	t.Helper()
	k, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name},
		NotBefore: time.Unix(1_700_000_000, 0), NotAfter: time.Unix(3_000_000_000, 0)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &k.PublicKey, k)
	if err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, name+".key"), pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(k)}))
	write(t, filepath.Join(dir, name+".crt"), pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
	return der
}

func write(t *testing.T, path string, b []byte) {
	t.Helper()
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
}

// helloInitrd is a newc archive of one file: testdata/hello as /init.
func helloInitrd(t *testing.T, dir string) []byte {
	t.Helper()
	bin := filepath.Join(dir, "hello")
	cmd := exec.Command("go", "build", "-trimpath", "-ldflags=-s -w", "-o", bin, "./testdata/hello")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH=amd64")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	data, err := os.ReadFile(bin)
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	add := func(name string, mode int, data []byte) {
		fmt.Fprintf(&b, "070701%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x", b.Len()+1, mode, 0, 0, 1, 0, len(data), 0, 0, 0, 0, len(name)+1, 0)
		b.WriteString(name + "\x00")
		b.Write(make([]byte, -b.Len()&3))
		b.Write(data)
		b.Write(make([]byte, -b.Len()&3))
	}
	add("init", 0o100755, data)
	add("TRAILER!!!", 0, nil)
	return b.Bytes()
}

func buildUKI(t *testing.T, stub, kernel string, initrd []byte, out string) {
	t.Helper()
	s, err := os.ReadFile(stub)
	if err != nil {
		t.Fatal(err)
	}
	k, err := os.ReadFile(kernel)
	if err != nil {
		t.Fatal(err)
	}
	image, err := uki.Build(uki.Options{Stub: s, Kernel: k, Initrds: [][]byte{initrd}, Cmdline: "console=ttyS0 panic=-1", OSRelease: []byte("ID=test\n")})
	if err != nil {
		t.Fatal(err)
	}
	write(t, out, image)
}

// boot starts the image as the firmware's default boot loader until the console shows one of the given texts. It returns
// the console and the variable store.
func boot(t *testing.T, vars []byte, image string, until ...string) (string, []byte) {
	t.Helper()
	dir := t.TempDir()
	disk, store, serial := filepath.Join(dir, "disk"), filepath.Join(dir, "vars"), filepath.Join(dir, "serial")
	write(t, store, vars)
	write(t, serial, nil)
	if _, err := esp.Build(context.Background(), disk, esp.Options{Files: []esp.File{{Path: "EFI/BOOT/BOOTX64.EFI", Source: image}}}); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Minute)
	defer cancel()
	// cx16=off works around a bug of QEMU before 8.
	cmd := exec.CommandContext(ctx, "qemu-system-x86_64", "-machine", "q35,smm=on", "-cpu", "max,cx16=off", "-accel", "tcg", "-m", "512",
		"-global", "driver=cfi.pflash01,property=secure,value=on", "-nodefaults", "-display", "none", "-no-reboot", "-serial", "file:"+serial,
		"-drive", "if=pflash,unit=0,format=raw,readonly=on,file="+codePath, "-drive", "if=pflash,unit=1,format=raw,file="+store,
		"-drive", "if=virtio,format=raw,file="+disk)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- cmd.Wait() }()
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for running := true; running; {
		select {
		case <-done:
			running = false
		case <-tick.C:
			b, _ := os.ReadFile(serial)
			for _, u := range until {
				if bytes.Contains(b, []byte(u)) && running {
					cancel()
					<-done
					running = false
				}
			}
		}
	}
	console, err := os.ReadFile(serial)
	if err != nil {
		t.Fatal(err)
	}
	after, err := os.ReadFile(store)
	if err != nil {
		t.Fatal(err)
	}
	return string(console) + out.String(), after
}
