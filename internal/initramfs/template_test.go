// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package initramfs

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"math/big"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/initddi/initddi/internal/kmodules"
)

// tiny is the template of the tests: a busybox of one command that does nothing.
func tiny() Options {
	return Options{Template: Template{File: "testdata/mkuimage.yaml", Config: "tiny", Dir: "../.."}, Compression: None}
}

// TestBuildTemplate builds an archive twice, in different directories, and looks at what is in it.
func TestBuildTemplate(t *testing.T) {
	if testing.Short() {
		t.Skip("needs time for the go command, which -short does not give")
	}
	var images [2]*Image
	for i := range images {
		t.Setenv("TMPDIR", t.TempDir())
		var err error
		if images[i], err = Build(context.Background(), tiny(), func(line string) { t.Log(line) }); err != nil {
			t.Fatal(err)
		}
		left, err := os.ReadDir(os.Getenv("TMPDIR"))
		if err != nil || len(left) > 0 {
			t.Errorf("left behind: %v, %v", left, err)
		}
	}
	if !bytes.Equal(images[0].Data, images[1].Data) {
		t.Error("two builds differ")
	}
	var names []string
	for _, line := range strings.Split(strings.TrimSpace(listing(t, images[0].Data)), "\n") {
		words := strings.Fields(line)
		names = append(names, words[1]+" "+words[5])
	}
	if want := []string{"040755 bbin", "040755 dev", "100755 bbin/bb", "120777 bbin/true", "020600 dev/console", "020666 dev/null", "120777 init"}; !reflect.DeepEqual(names, want) {
		t.Errorf("got %q, want %q", names, want)
	}
	runInit(t, images[0].Data)
}

// runInit unpacks an archive, runs its /init and looks into the busybox.
func runInit(t *testing.T, archive []byte) {
	t.Helper()
	dir := unpack(t, archive)
	if target, err := os.Readlink(filepath.Join(dir, "init")); err != nil || target != "bbin/true" {
		t.Errorf("init is a link to %q, %v", target, err)
	}
	// The busybox chooses the command by its name, as it is in the link that /init leads to.
	if out, err := exec.Command(filepath.Join(dir, "bbin/true")).CombinedOutput(); err != nil {
		t.Errorf("true: %v: %s", err, out)
	}
	data, err := os.ReadFile(filepath.Join(dir, "bbin/bb"))
	if err != nil {
		t.Fatal(err)
	}
	cwd, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range []string{cwd, os.Getenv("TMPDIR")} {
		if bytes.Contains(data, []byte(s)) {
			t.Errorf("the busybox knows the directory %s", s)
		}
	}
}

// TestLines builds the same commands with and without the numbers of source lines.
func TestLines(t *testing.T) {
	if testing.Short() {
		t.Skip("needs time for the go command, which -short does not give")
	}
	var names [2]int // of source files in the busybox
	var sizes [2]int
	for i, lines := range []bool{false, true} {
		o := tiny()
		o.Template.Lines = lines
		img, err := Build(context.Background(), o, func(line string) {
			if strings.HasPrefix(line, "warning") {
				t.Error(line)
			}
		})
		if err != nil {
			t.Fatal(err)
		}
		names[i] = bytes.Count(img.Data, []byte(".go\x00"))
		if sizes[i], err = Compressed(context.Background(), Zstd, img.Data); err != nil {
			t.Skip("needs ", err)
		}
	}
	if names[0] != 0 || names[1] < 100 || sizes[0] > sizes[1]*9/10 {
		t.Errorf("without lines %d names of source files in %d bytes, with them %d in %d", names[0], sizes[0], names[1], sizes[1])
	}
}

// unpack unpacks an archive.
func unpack(t *testing.T, archive []byte) string {
	t.Helper()
	need(t, "cpio", "cpio")
	dir := t.TempDir()
	cmd := exec.Command("cpio", "-i", "-d", "--quiet")
	cmd.Dir, cmd.Stdin = dir, bytes.NewReader(archive)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("cpio: %v: %s", err, out)
	}
	return dir
}

// probe prints which GODEBUG defaults it was built with: up to Go 1.20 panic(nil) could not be told from no panic.
const probe = `package main

import "fmt"

func main() {
	defer func() { fmt.Println("panicnil", recover() == nil) }()
	var nothing any
	panic(nothing)
}
`

// TestBuildModule builds a command of a module that is not in the current directory, named by a relative path, and checks
// that it has the defaults of today's Go.
func TestBuildModule(t *testing.T) {
	if testing.Short() {
		t.Skip("needs time for the go command, which -short does not give")
	}
	dir := t.TempDir()
	for name, text := range map[string]string{
		"go.mod":             "module example.com/probe\n\ngo 1.26\n",
		"cmds/probe/main.go": probe,
		"motd":               "hello",
		"template.yaml":      "configs: {x: {init: probe, files: [\"motd:etc/motd\"], commands: [{commands: [./cmds/*]}]}}\n",
	} {
		name = filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	image, err := Build(context.Background(), Options{
		Template:    Template{File: filepath.Join(dir, "template.yaml"), Config: "x", Dir: dir},
		Compression: None,
	}, nil)
	if err != nil {
		t.Fatal(err)
	}
	root := unpack(t, image.Data)
	if out, err := exec.Command(filepath.Join(root, "bbin/probe")).CombinedOutput(); err != nil || string(out) != "panicnil false\n" {
		t.Errorf("probe: %q, %v", out, err)
	}
	if data, err := os.ReadFile(filepath.Join(root, "etc/motd")); err != nil || string(data) != "hello" {
		t.Errorf("etc/motd: %q, %v", data, err)
	}
}

func TestTemplateErrors(t *testing.T) {
	o := tiny()
	o.Template.Config = "huge"
	if _, err := Build(context.Background(), o, nil); !errors.Is(err, ErrNoConfig) || !strings.Contains(err.Error(), "noinit, tiny") {
		t.Errorf("unknown configuration: %v", err)
	}
	o.Template.Config = ""
	if _, err := Build(context.Background(), o, nil); !errors.Is(err, ErrNoConfig) {
		t.Errorf("no configuration: %v", err)
	}
	o.Template.File = "testdata/nowhere.yaml"
	if _, err := Build(context.Background(), o, nil); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no template file: %v", err)
	}
	if testing.Short() {
		return
	}
	o = tiny()
	o.Template.Config = "noinit"
	if _, err := Build(context.Background(), o, nil); !errors.Is(err, ErrNoInit) {
		t.Errorf("no init: %v", err)
	}
	o.Template.Dir = t.TempDir()
	if _, err := Build(context.Background(), o, nil); !errors.Is(err, ErrNoModule) {
		t.Errorf("outside of the module: %v", err)
	}
}

func TestAbsolute(t *testing.T) {
	got := []string{"./cmds/x", "../y/*", "-./cmds/z", "github.com/a/b", "-github.com/a/c", "/abs", "./cmds/...", "core", "."}
	absolute("/m/n", got)
	want := []string{"/m/n/cmds/x", "/m/y/*", "-/m/n/cmds/z", "github.com/a/b", "-github.com/a/c", "/abs", "/m/n/cmds/...", "core", "/m/n"}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

// TestRealKernelSizes reports what the classes of a real kernel cost.
func TestRealKernelSizes(t *testing.T) {
	place := os.Getenv("INITDDI_TEST_KERNEL_DIR")
	if place == "" {
		t.Skip("needs INITDDI_TEST_KERNEL_DIR: a directory with lib/modules of one kernel, for example an unpacked Debian " +
			"package linux-image-amd64 or linux-image-cloud-amd64")
	}
	need(t, "zstd", "zstd")
	tree, err := kmodules.Open(place, "")
	if err != nil {
		t.Fatal(err)
	}
	common := []string{"loop", "dm", "verity", "erofs", "efivarfs"}
	report := func(what string, o kmodules.Options) {
		s, err := kmodules.Select(tree, o)
		if errors.Is(err, kmodules.ErrEmptyClass) {
			t.Logf("%s: %v", what, err)
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		image, err := Build(context.Background(), Options{Base: baseArchive(t), Modules: s}, nil)
		if err != nil {
			t.Fatal(err)
		}
		t.Logf("%-40s %2d modules %9d bytes, table %6d, zstd %8d", what, len(s.Files), image.Size(KindModule),
			image.Size(KindTable), len(image.Data))
	}
	report("features alone", kmodules.Options{Features: common})
	for _, class := range kmodules.ClassNames() {
		report(class, kmodules.Options{Classes: []string{class}})
	}
	report("features + six classes", kmodules.Options{Features: common,
		OptionalClasses: []string{"virtio", "nvme", "sata", "usb", "scsi", "mmc"}})
	report("features + virtio", kmodules.Options{Features: common, Classes: []string{"virtio"}})
	report("everything", kmodules.Options{OptionalClasses: kmodules.ClassNames(), Features: kmodules.FeatureNames()})
}

// TestTagsFor: only a trust store that is known to have no key of a kind lets that kind be left out.
func TestTagsFor(t *testing.T) {
	file := func(name string) File {
		b, err := os.ReadFile("../signature/testdata/" + name)
		if err != nil {
			t.Fatal(err)
		}
		return File{Name: name, Data: b}
	}
	rsa, p256, p384, junk := file("rsa2048.crt"), file("p256.crt"), file("p384.crt"), File{Name: "x.crt", Data: []byte("x")}
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{SerialNumber: big.NewInt(1)}, &x509.Certificate{}, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	ed := File{Name: "ed.crt", Data: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})}
	both := File{Name: "both.crt", Data: slices.Concat(rsa.Data, p256.Data)}
	for _, test := range []struct {
		trust []File
		want  []string
	}{
		{nil, nil}, {[]File{rsa}, []string{"noecdsa", "noed25519"}}, {[]File{rsa, rsa}, []string{"noecdsa", "noed25519"}},
		{[]File{p256}, []string{"noed25519"}}, {[]File{rsa, p384}, []string{"noed25519"}}, {[]File{both}, []string{"noed25519"}},
		{[]File{ed}, []string{"noecdsa"}}, {[]File{ed, both}, nil}, {[]File{rsa, junk}, nil}, {[]File{junk}, nil},
	} {
		if got := TagsFor(test.trust); !slices.Equal(got, test.want) {
			t.Errorf("%d certificates: got %v, want %v", len(test.trust), got, test.want)
		}
	}
}
