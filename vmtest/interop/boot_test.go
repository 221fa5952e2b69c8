// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package interop

import (
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/u-root/mkuimage/cpio"

	"github.com/initddi/initddi/internal/initramfs"
	"github.com/initddi/initddi/internal/keys"
	"github.com/initddi/initddi/internal/kmodules"
	"github.com/initddi/initddi/internal/vm"
	"github.com/initddi/initddi/vmtest/guest"
)

// bootLimit ends a machine that does not end itself. An idle machine takes ten seconds to a marker, forty to multi-user.target.
const bootLimit = 4 * time.Minute

// once keeps what all tests share, with the error of making it.
var (
	markerOnce = sync.OnceValues(func() (string, error) {
		out := filepath.Join(scratch, "marker")
		cmd := exec.Command("go", "build", "-trimpath", "-ldflags=-s -w", "-o", out, "../guest/marker")
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH=amd64")
		if b, err := cmd.CombinedOutput(); err != nil {
			return "", &exec.Error{Name: string(b), Err: err}
		}
		return out, nil
	})
	stage1Once = sync.OnceValues(func() (string, error) {
		out := filepath.Join(scratch, "stage1")
		o, err := contents()
		if err != nil {
			return "", err
		}
		o.Template = initramfs.Template{File: "../../templates/mkuimage.yaml", Config: "minimal", Dir: "../.."}
		img, err := initramfs.Build(context.Background(), o, nil)
		if err != nil {
			return "", err
		}
		return out, os.WriteFile(out, img.Data, 0o644)
	})
)

// contents are what stage 1 has beside the commands: virtio and every file system, and trust in the good key.
func contents() (initramfs.Options, error) {
	tree, err := kmodules.Open("../../build/debian/modules", "")
	if err != nil {
		return initramfs.Options{}, err
	}
	sel, err := kmodules.Select(tree, kmodules.Options{
		Classes: []string{"virtio"}, Features: []string{"loop", "dm", "verity", "erofs", "squashfs", "ext4"}, OptionalFeatures: []string{"efivarfs"},
	})
	if err != nil {
		return initramfs.Options{}, err
	}
	pem, err := os.ReadFile(keys.In(scratch, "good").Cert)
	if err != nil {
		return initramfs.Options{}, err
	}
	return initramfs.Options{Modules: sel, Certificates: []initramfs.File{{Name: "good.crt", Data: pem}}, Compression: initramfs.Zstd}, nil
}

// marker returns the bytes of the init that reports.
func marker(t *testing.T) []byte {
	t.Helper()
	file, err := markerOnce()
	if err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// stage1 returns the archive that trusts the good key.
func stage1(t *testing.T) string {
	t.Helper()
	good(t)
	built(t, "debian/modules", "./just tree")
	need(t, "zstd", "zstd")
	file, err := stage1Once()
	if err != nil {
		t.Fatal(err)
	}
	return file
}

// machine is what to boot, without firmware.
type machine struct {
	initrd  string // default: stage1
	cmdline string
	image   string // put on the ESP of the first disk; empty: no disk
	disks   []string
	limit   time.Duration
}

// boot runs the machine until it ends and returns what its console and its second serial port said.
func boot(t *testing.T, m machine) (console, report string) {
	t.Helper()
	slow(t)
	need(t, "qemu-system-x86_64", "qemu-system-x86")
	kernel := built(t, "debian/boot/vmlinuz", "./just tree")
	if m.initrd == "" {
		m.initrd = stage1(t)
	}
	dir := t.TempDir()
	// One processor: with two, the emulator of QEMU 7.2 has been seen to break a kernel while that patches its own code.
	c := vm.Config{
		Accel: os.Getenv("INITDDI_ACCEL"), Report: filepath.Join(dir, "report"),
		Kernel: kernel, Initrd: m.initrd, Append: strings.TrimSpace("console=ttyS0 panic=-1 " + vm.Patience + " cryptomgr.notests=1 ddi.fail=poweroff ddi.timeout=60 " + m.cmdline),
	}
	if m.image != "" {
		disk, _, _, _ := espDisk(t, m.image)
		c.Disks = append(c.Disks, vm.Disk{Path: disk, Snapshot: true})
	}
	for _, d := range m.disks {
		c.Disks = append(c.Disks, vm.Disk{Path: d, Snapshot: true})
	}
	log, err := os.Create(filepath.Join(dir, "console"))
	if err != nil {
		t.Fatal(err)
	}
	if m.limit == 0 {
		m.limit = bootLimit
	}
	start := time.Now()
	runErr := c.Run(t.Context(), log, m.limit)
	b, err := os.ReadFile(log.Name())
	if err != nil {
		t.Fatal(err)
	}
	console = strings.ReplaceAll(string(b), "\r", "")
	r, err := os.ReadFile(c.Report)
	if err != nil && runErr == nil {
		t.Fatal(err)
	}
	t.Logf("the machine ran for %.1f s", time.Since(start).Seconds())
	if runErr != nil {
		t.Errorf("%v; the end of the console:\n%s\nreport:\n%s", runErr, tail(console), r)
	}
	return console, string(r)
}

func tail(console string) string {
	lines := strings.Split(console, "\n")
	return strings.Join(lines[max(0, len(lines)-30):], "\n")
}

// enters boots a machine that has to reach the marker.
func enters(t *testing.T, m machine) *guest.Facts {
	t.Helper()
	console, report := boot(t, m)
	f := &guest.Facts{}
	if err := json.Unmarshal([]byte(report), f); err != nil {
		t.Fatalf("the marker did not report: %v; the end of the console:\n%s", err, tail(console))
	}
	return f
}

// chosen is what these tests read of stage 1's report.
type chosen struct {
	Chosen struct {
		RootHash   string `json:"roothash"`
		FileSystem string `json:"file_system"`
		Signer     string `json:"signer"`
		Path       string `json:"path"`
	} `json:"chosen"`
}

// Images by systemd-repart, booted by our stage 1.
func TestBootRepartDDI(t *testing.T) {
	slow(t)
	for _, v := range reparts() {
		for _, fs := range v.fileSystems {
			if v.name == "257" && fs != "erofs" {
				continue
			}
			t.Run(v.name+"/"+fs, func(t *testing.T) {
				file := v.build(t, smallTree(t, marker(t)), fs, good(t))
				f := enters(t, machine{image: file})
				var c chosen
				if err := json.Unmarshal(f.Boot, &c); err != nil {
					t.Fatalf("boot.json: %v: %s", err, f.Boot)
				}
				if want := cutOut(t, file).rootHash; c.Chosen.RootHash != want || c.Chosen.Signer != "interop good" || c.Chosen.FileSystem != fs {
					t.Errorf("stage 1 reports %+v, wanted root hash %s, file system %s, signer interop good", c.Chosen, want, fs)
				}
				root := f.At("/")
				if root == nil || root.Type != fs || !strings.Contains(","+root.Options+",", ",ro,") {
					t.Errorf("the root is %+v, wanted %s, read-only", root, fs)
				}
				if len(f.DM) == 0 || !slices.ContainsFunc(f.DM, func(d guest.DM) bool { return d.Name == "root" && strings.HasPrefix(d.UUID, "CRYPT-VERITY-") }) {
					t.Errorf("device mapper devices %+v, wanted one called root with a CRYPT-VERITY- UUID", f.DM)
				}
			})
		}
	}
}

// The next init gets the arguments and the environment that the kernel would have given it without stage 1.
func TestInitArguments(t *testing.T) {
	slow(t)
	key := good(t)
	const line = `foo single SOMEVAR=1 Another_Var="two words" emergency -- bar "baz quux" --flag=x ddi.notmine=1 -s`
	image := ddi(t, smallTree(t, marker(t)), "erofs", "x86-64", &key)
	through := enters(t, machine{image: image, cmdline: line})

	// The same program as /init itself. Nothing is mounted there, so the nodes have to be in the archive.
	direct := filepath.Join(t.TempDir(), "direct.cpio")
	out, err := os.Create(direct)
	if err != nil {
		t.Fatal(err)
	}
	w := cpio.Newc.Writer(out)
	if err := cpio.WriteRecords(w, []cpio.Record{
		cpio.Directory("dev", 0o755), cpio.CharDev("dev/console", 0o600, 5, 1), cpio.CharDev("dev/ttyS1", 0o600, 4, 65),
		cpio.StaticFile("init", string(marker(t)), 0o755),
	}); err != nil {
		t.Fatal(err)
	}
	if err := cpio.WriteTrailer(w); err != nil {
		t.Fatal(err)
	}
	if err := out.Close(); err != nil {
		t.Fatal(err)
	}
	alone := enters(t, machine{initrd: direct, cmdline: line})

	want := []string{"foo", "single", "emergency", "bar", "baz quux", "--flag=x", "ddi.notmine=1", "-s"}
	if got := alone.Args[1:]; !slices.Equal(got, want) {
		t.Errorf("the kernel alone gives init %q, this test believes %q", got, want)
	}
	if got := through.Args[1:]; !slices.Equal(got, alone.Args[1:]) {
		t.Errorf("through stage 1 the next init gets %q, the kernel gives %q", got, alone.Args[1:])
	}
	if through.Args[0] != "/sbin/init" {
		t.Errorf("the next init's argv[0] is %q, wanted the path it has in its own tree, /sbin/init", through.Args[0])
	}
	if !slices.Equal(through.Env, alone.Env) {
		t.Errorf("through stage 1 the next init's environment is %q, the kernel gives %q", through.Env, alone.Env)
	}
	if !slices.Contains(alone.Env, "SOMEVAR=1") || !slices.Contains(alone.Env, "Another_Var=two words") {
		t.Errorf("the kernel's environment is %q, without the variables of the command line", alone.Env)
	}
	if through.PID != 1 {
		t.Errorf("the next init is process %d", through.PID)
	}
}

// An archive that u-root's tools made boots when "initddi initramfs --base" has added what belongs to the machine.
func TestBootBuiltArchive(t *testing.T) {
	slow(t)
	need(t, "zstd", "zstd")
	key := good(t)
	modules := built(t, "debian/modules", "./just tree")
	host := filepath.Join(t.TempDir(), "initddi")
	must(t, "go", "build", "-o", host, "github.com/initddi/initddi/cmds/initddi")
	image := ddi(t, smallTree(t, marker(t)), "erofs", "x86-64", &key)
	for _, b := range urootBuilds() {
		if b.goarch != "amd64" || b.other != (b.config == "minimal" && strings.HasPrefix(b.name, "mkuimage")) {
			continue // one of each tool and configuration, one of them from another module
		}
		t.Run(b.name, func(t *testing.T) {
			initrd := filepath.Join(t.TempDir(), "stage1.zst")
			must(t, host, "initramfs", "--base", b.make(t, fast), "--modules", modules, "--class", "virtio", "--trust", key.Cert, "--set", "id=interop", "--output", initrd)
			f := enters(t, machine{initrd: initrd, image: image})
			var c chosen
			if err := json.Unmarshal(f.Boot, &c); err != nil || c.Chosen.Signer != "interop good" {
				t.Errorf("boot.json: %v: %s", err, f.Boot)
			}
		})
	}
}
