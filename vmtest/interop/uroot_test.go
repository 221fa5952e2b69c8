// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package interop

import (
	"debug/elf"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/u-root/mkuimage/cpio"

	"github.com/initddi/initddi/internal/gpt"
)

// fast keeps a build from compiling the standard library again; the result has the same bytes (TestBuildDefault).
const fast = "-go-extra-args=-a=false"

// urootBuild is one way in which a person builds the commands with u-root's own tools.
type urootBuild struct {
	name   string
	goarch string
	config string
	// other runs it in a module of its own that only requires this one.
	other bool
	// args follow "go tool"; the output file comes behind them.
	args []string
}

// urootBuilds are the documented ways. u-root finds the template by the name .mkuimage.yaml, mkuimage is told.
func urootBuilds() []urootBuild {
	var list []urootBuild
	for _, other := range []bool{false, true} {
		for _, arch := range []string{"amd64", "arm64"} {
			for _, tool := range []string{"u-root", "mkuimage"} {
				for _, config := range []string{"minimal", "network", "debug"} {
					// These configurations are what the first one is, and more: once for each tool is enough.
					if config != "minimal" && (arch != "amd64" || other) {
						continue
					}
					b := urootBuild{goarch: arch, config: config, other: other, name: tool + " " + config + " " + arch}
					switch {
					case tool == "u-root":
						b.args = []string{tool, "-config", config}
					default:
						b.args = []string{tool, "-config-file", "templates/mkuimage.yaml", "-config", config}
					}
					if other {
						b.name += " from another module"
					}
					list = append(list, b)
				}
			}
		}
	}
	return list
}

// make runs the build and returns the archive.
func (b urootBuild) make(t *testing.T, more ...string) string {
	t.Helper()
	dir := checkout(t)
	if b.other {
		dir = otherModule(t)
	}
	out := filepath.Join(t.TempDir(), "stage1.cpio")
	cmd := exec.CommandContext(t.Context(), "go", slices.Concat([]string{"tool"}, b.args, more, []string{"-o", out})...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GOARCH="+b.goarch, "TMPDIR="+t.TempDir())
	if b.goarch != "amd64" {
		// "go tool" would build the tool itself for the other machine.
		cmd = exec.CommandContext(t.Context(), toolBinary(t, dir, b.args[0]), slices.Concat(b.args[1:], more, []string{"-o", out})...)
		cmd.Dir = dir
		cmd.Env = append(os.Environ(), "GOARCH="+b.goarch, "TMPDIR="+t.TempDir())
	}
	if text, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %v\n%s", cmd.Args, err, text)
	}
	return out
}

// toolBinary returns the path of a tool of the module, built for this machine.
func toolBinary(t *testing.T, dir, tool string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", "tool", "-n", tool)
	cmd.Dir = dir
	b, err := cmd.Output()
	if err != nil {
		t.Fatalf("go tool -n %s: %v", tool, err)
	}
	return strings.TrimSpace(string(b))
}

// otherModule makes a module as a person has who builds on this project: it requires it, and names the tools and commands.
// Nothing is fetched.
func otherModule(t *testing.T) string {
	t.Helper()
	top, dir := checkout(t), t.TempDir()
	text := fmt.Sprintf(`module example.com/product

go 1.26.0

require github.com/initddi/initddi v0.0.0

replace github.com/initddi/initddi => %s

tool (
	github.com/u-root/mkuimage/cmd/mkuimage
	github.com/u-root/u-root
	github.com/initddi/initddi/cmds/storageinit
	github.com/initddi/initddi/cmds/ddimount
)
`, top)
	if err := os.WriteFile(filepath.Join(dir, "go.mod"), []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(dir, "templates"), 0o755); err != nil {
		t.Fatal(err)
	}
	for to, from := range map[string]string{"go.sum": "go.sum", "templates/mkuimage.yaml": "templates/mkuimage.yaml", ".mkuimage.yaml": "templates/mkuimage.yaml"} {
		must(t, "cp", filepath.Join(top, from), filepath.Join(dir, to))
	}
	// The requirements of the tools go into go.mod, as "go get -tool" would write them.
	cmd := exec.CommandContext(t.Context(), "go", "list", "-deps", "tool")
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GOFLAGS=-mod=mod", "GOPROXY=off")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("go list -deps tool: %v\n%s", err, out)
	}
	return dir
}

// unpack unpacks an archive's files, directories and links. Device nodes are left out.
func unpack(t *testing.T, archive string) string {
	t.Helper()
	f, err := os.Open(archive)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	records, err := cpio.ReadAllRecords(cpio.Newc.Reader(f))
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for _, r := range records {
		switch r.Mode & cpio.S_IFMT {
		case cpio.S_IFREG, cpio.S_IFDIR, cpio.S_IFLNK:
			if err := cpio.CreateFileInRoot(r, dir, false); err != nil {
				t.Fatal(err)
			}
		}
	}
	return dir
}

// emulator returns the program that runs arm64's programs here. Debian 13 has dropped the suffix.
func emulator(t *testing.T) string {
	t.Helper()
	if p, err := exec.LookPath("qemu-aarch64"); err == nil {
		return p
	}
	return need(t, "qemu-aarch64-static", "qemu-user-static")
}

// command returns how to run an applet of an unpacked archive on this machine.
func command(t *testing.T, root, goarch, applet string) []string {
	t.Helper()
	if goarch == "arm64" {
		// The first argument of the busybox names the applet where its own name does not.
		return []string{emulator(t), filepath.Join(root, "bbin/bb"), applet}
	}
	return []string{filepath.Join(root, "bbin", applet)}
}

// The commands, built by u-root's tools in every documented way: the archive has what it should, and the commands in it refuse
// weak cryptography, whatever the build and the environment say.
func TestBuild(t *testing.T) {
	slow(t)
	for _, b := range urootBuilds() {
		t.Run(b.name, func(t *testing.T) {
			root := unpack(t, b.make(t, fast))
			checkArchive(t, root, b)
			checkStrength(t, root, b.goarch)
			if b.config != "minimal" {
				webStrength(t, command(t, root, b.goarch, "ddifetch"))
			}
		})
	}
}

// Without the switch that makes it fast, a build has the same bytes; so what TestBuild shows holds for it.
func TestBuildDefault(t *testing.T) {
	slow(t)
	b := urootBuild{goarch: "amd64", config: "minimal", args: []string{"mkuimage", "-config-file", "templates/mkuimage.yaml", "-config", "minimal"}}
	normal, quick := unpack(t, b.make(t)), unpack(t, b.make(t, fast))
	same(t, filepath.Join(normal, "bbin/bb"), filepath.Join(quick, "bbin/bb"))
	checkStrength(t, normal, "amd64")
}

// The commands built as ordinary programs, which nothing rewrites.
func TestBuildStandalone(t *testing.T) {
	slow(t)
	for _, goarch := range []string{"amd64", "arm64"} {
		t.Run(goarch, func(t *testing.T) {
			dir := t.TempDir()
			for _, name := range []string{"storageinit", "ddimount", "ddifetch"} {
				cmd := exec.CommandContext(t.Context(), "go", "build", "-o", filepath.Join(dir, name), "github.com/initddi/initddi/cmds/"+name)
				cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOARCH="+goarch)
				if out, err := cmd.CombinedOutput(); err != nil {
					t.Fatalf("%v: %v\n%s", cmd.Args, err, out)
				}
			}
			applet := func(applet string) []string {
				if goarch == "arm64" {
					return []string{emulator(t), filepath.Join(dir, applet)}
				}
				return []string{filepath.Join(dir, applet)}
			}
			strength(t, goarch, applet)
			webStrength(t, applet("ddifetch"))
		})
	}
}

func checkArchive(t *testing.T, root string, b urootBuild) {
	t.Helper()
	to, err := filepath.EvalSymlinks(filepath.Join(root, "init"))
	if err != nil || filepath.Base(to) != "bb" {
		t.Errorf("/init leads to %s (%v), wanted the busybox", to, err)
	}
	if link, err := os.Readlink(filepath.Join(root, "init")); err != nil || filepath.Base(link) != "storageinit" {
		t.Errorf("/init is a link to %s (%v), wanted storageinit", link, err)
	}
	var applets []string
	entries, err := os.ReadDir(filepath.Join(root, "bbin"))
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		applets = append(applets, e.Name())
	}
	want := []string{"bb", "ddimount", "storageinit"}
	if b.config == "debug" {
		want = append(want, "gosh", "ls", "dmesg")
	}
	if b.config != "minimal" {
		want = append(want, "ddifetch")
	}
	for _, w := range want {
		if !slices.Contains(applets, w) {
			t.Errorf("bbin has %v, without %s", applets, w)
		}
	}
	if b.config == "minimal" && len(applets) != 3 {
		t.Errorf("bbin has %v, wanted %v", applets, want)
	}
	f, err := elf.Open(filepath.Join(root, "bbin/bb"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	machine := map[string]elf.Machine{"amd64": elf.EM_X86_64, "arm64": elf.EM_AARCH64}[b.goarch]
	if f.Machine != machine {
		t.Errorf("the busybox is for %v, wanted %v", f.Machine, machine)
	}
	for _, p := range f.Progs {
		if p.Type == elf.PT_INTERP || p.Type == elf.PT_DYNAMIC {
			t.Errorf("the busybox is linked dynamically: it has %v", p.Type)
		}
	}
	// The flags of one command must not show up in the other: they are in one program here.
	for _, c := range []struct{ applet, has, hasNot string }{
		{"storageinit", "dry-run", "umount"},
		{"ddimount", "umount", "dry-run"},
	} {
		args := append(command(t, root, b.goarch, c.applet), "--help")
		o := run(t, nil, args[0], args[1:]...)
		if o.err != nil || !strings.Contains(o.text, c.has) || strings.Contains(o.text, c.hasNot) {
			t.Errorf("%s --help: %v, wanted %q and not %q in it:\n%s", c.applet, o.err, c.has, c.hasNot, o.text)
		}
	}
	args := append(command(t, root, b.goarch, "storageinit"), "--no-such-flag")
	if o := run(t, nil, args[0], args[1:]...); o.err == nil {
		t.Errorf("storageinit takes --no-such-flag:\n%s", o.text)
	}
}

func checkStrength(t *testing.T, root, goarch string) {
	t.Helper()
	strength(t, goarch, func(applet string) []string { return command(t, root, goarch, applet) })
}

// sample is an image signed in some way, and what must come of it.
type sample struct {
	name     string
	image    string
	accepted bool
	why      string // in the refusal
}

// samples are images that differ in their signatures alone. All signers are trusted.
func samples(t *testing.T, goarch string) (list []sample, trust string) {
	t.Helper()
	arch, ok := gpt.ArchOf(goarch)
	if !ok {
		t.Fatalf("no partition types for %s", goarch)
	}
	trust = filepath.Join(t.TempDir(), "verity.d")
	if err := os.Mkdir(trust, 0o755); err != nil {
		t.Fatal(err)
	}
	tree := smallTree(t, []byte("#!/bin/sh\n"))
	for _, s := range []struct {
		name, digest string
		bits         int
		accepted     bool
		why          string
	}{
		{"good", "sha256", 2048, true, ""},
		{"rsa1024", "sha256", 1024, false, "1024 bits"},
		{"rsa768", "sha256", 768, false, "768 bits"}, // what rsa1024min=0 makes crypto/rsa take
		{"sha1", "sha1", 2048, false, "SHA-1"},
		{"sha224", "sha224", 2048, false, "SHA-224"},
	} {
		key := pair(t, s.name, s.bits)
		must(t, "cp", key.Cert, trust)
		list = append(list, sample{s.name, signedBy(t, tree, arch, key, s.digest), s.accepted, s.why})
	}
	return list, trust
}

// strength asks the built commands about images with good and weak signatures, under settings that make Go's own library weak.
func strength(t *testing.T, goarch string, applet func(name string) []string) {
	t.Helper()
	list, trust := samples(t, goarch)
	for _, s := range list {
		captured := capture(t, s.image, trust)
		for _, godebug := range []string{"", "rsa1024min=0", "rsa1024min=0,x509sha1=1,tlssha1=1,fips140=off"} {
			env := []string{"GODEBUG=" + godebug}
			for what, args := range map[string][]string{
				"ddimount":    append(applet("ddimount"), "--trust="+trust, "--validate", s.image),
				"storageinit": append(applet("storageinit"), "--dry-run", "--root", captured, "--cmdline", "quiet"),
			} {
				o := run(t, env, args[0], args[1:]...)
				accepted := o.err == nil
				if what == "storageinit" && accepted != strings.Contains(o.text, "then enter ") {
					t.Errorf("GODEBUG=%s storageinit --dry-run on %s: %v, which is not what it says\n%s", godebug, s.name, o.err, o.text)
				}
				if accepted != s.accepted || !strings.Contains(o.text, s.why) {
					t.Errorf("GODEBUG=%s %s on the image signed by %s: accepted is %v, wanted %v with %q:\n%s", godebug, what, s.name, accepted, s.accepted, s.why, o.text)
				}
			}
		}
	}
}

// capture makes a directory that looks like a machine with one disk, on whose ESP the image lies, as storageinit --root takes
// it.
func capture(t *testing.T, image, trust string) string {
	t.Helper()
	root := t.TempDir()
	disk, size, start, length := espDisk(t, image)
	const dir = "sys/devices/pci0000:00/virtio0/block/vda"
	files := map[string]string{
		"proc/cmdline":                    "quiet\n",
		dir + "/size":                     fmt.Sprintln(size / 512),
		dir + "/queue/logical_block_size": "512\n",
		dir + "/vda1/partition":           "1\n",
		dir + "/vda1/start":               fmt.Sprintln(start / 512),
		dir + "/vda1/size":                fmt.Sprintln(length / 512),
	}
	for name, text := range files {
		if err := os.MkdirAll(filepath.Join(root, filepath.Dir(name)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(root, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for _, d := range []string{"sys/class/block", "dev", "etc"} {
		if err := os.MkdirAll(filepath.Join(root, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for name, to := range map[string]string{"vda": "../../devices/pci0000:00/virtio0/block/vda", "vda1": "../../devices/pci0000:00/virtio0/block/vda/vda1"} {
		if err := os.Symlink(to, filepath.Join(root, "sys/class/block", name)); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.CopyFS(filepath.Join(root, "etc/verity.d"), os.DirFS(trust)); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(disk, filepath.Join(root, "dev/vda")); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(cutFirst(t, filepath.Join(root, "dev/vda"), start, length), filepath.Join(root, "dev/vda1")); err != nil {
		t.Fatal(err)
	}
	return root
}
