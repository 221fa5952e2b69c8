// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package housetest

import (
	"slices"
	"strings"
	"testing"
)

// level says how far from the bytes a package is. A package imports packages of its own level and of those below it.
type level int

const (
	formats   level = iota // bytes in, values out; pure
	decisions              // pure functions over values
	kernel                 // the only system calls
	world                  // what looks at a machine and changes it; takes roots and channels as arguments
	host                   // used on the machine that builds, never in stage 1
	commands
	wholeBoots // tests of everything
)

// levels is the map of the house. A package that is not in it fails [TestLevels]: decide where it belongs first.
var levels = map[string]level{
	"internal/attempt":   formats,
	"internal/cmdline":   formats,
	"internal/dmtable":   formats,
	"internal/efivar":    formats,
	"internal/extent":    formats,
	"internal/fat":       formats,
	"internal/floor":     formats,
	"internal/fsprobe":   formats,
	"internal/gpt":       formats,
	"internal/guid":      formats,
	"internal/jsontext":  formats,
	"internal/modtable":  formats,
	"internal/osrelease": formats,
	"internal/release":   formats,
	"internal/settings":  formats,
	"internal/signature": formats,
	"internal/tpm2":      formats,
	"internal/uevent":    formats,
	"internal/verity":    formats,
	"internal/version":   formats,

	"internal/measure": decisions,
	"internal/plan":    decisions,
	"internal/policy":  decisions,
	"internal/resolve": decisions,

	"internal/linux/dm":       kernel,
	"internal/linux/inroot":   kernel,
	"internal/linux/keyring":  kernel,
	"internal/linux/kmsg":     kernel,
	"internal/linux/loop":     kernel,
	"internal/linux/memfile":  kernel,
	"internal/linux/module":   kernel,
	"internal/linux/mount":    kernel,
	"internal/linux/netlink":  kernel,
	"internal/linux/process":  kernel,
	"internal/linux/tpm":      kernel,
	"internal/linux/efivarfs": kernel,

	"internal/apply":    world,
	"internal/ddi":      world,
	"internal/discover": world,
	"internal/drivers":  world,
	"internal/handoff":  world,
	"internal/report":   world,
	"internal/stage1":   world,

	"internal/bless":                host,
	"internal/alloctest":            host,
	"internal/ddi/dditest":          host,
	"internal/discover/machinetest": host,
	"internal/linux/kerneltest":     host,
	"internal/esp":                  host,
	"internal/image":                host,
	"internal/initramfs":            host,
	"internal/inspect":              host,
	"internal/keys":                 host,
	"internal/kmodules":             host,
	"internal/ovmf":                 host,
	"internal/predict":              host,
	"internal/program":              host,
	"internal/swtpm":                host,
	"internal/terminal":             host,
	"internal/uki":                  host,
	"internal/vm":                   host,

	"cmds/ddimount":      commands,
	"cmds/initddi":       commands,
	"cmds/initddi-bless": commands,
	"cmds/storageinit":   commands,

	"internal/housetest": wholeBoots,
}

// testdata programs are built by tests and belong to nobody.
func isTestProgram(dir string) bool { return strings.Contains(dir, "/testdata/") }

// levelOf returns where a package is; everything below vmtest is a test of whole boots.
func levelOf(dir string) (level, bool) {
	if dir == "vmtest" || strings.HasPrefix(dir, "vmtest/") {
		return wholeBoots, true
	}
	l, ok := levels[dir]
	return l, ok
}

// outside are the modules that packages up to the world may use, and who uses them. Everything else is the standard library.
var outside = map[string]func(dir string, l level) bool{
	// DER, as crypto/x509 reads it itself, without crypto/x509.
	"golang.org/x/crypto/cryptobyte":      func(_ string, l level) bool { return l == formats },
	"golang.org/x/crypto/cryptobyte/asn1": func(_ string, l level) bool { return l == formats },
	"golang.org/x/sys/unix":               func(_ string, l level) bool { return l == kernel },
}

func TestLevels(t *testing.T) {
	for _, p := range packages(t) {
		own, ok := levelOf(p.Dir)
		if !ok {
			t.Errorf("%s is not in the table of levels: put it where it belongs (levels_test.go)", p.Dir)
			continue
		}
		for _, imp := range p.imports() {
			dir, ours := strings.CutPrefix(imp, modulePath+"/")
			switch {
			case ours:
				if its, ok := levelOf(dir); ok && its > own {
					t.Errorf("%s (level %d) imports %s (level %d): imports go down only", p.Dir, own, dir, its)
				}
			case own <= world && isModule(imp):
				if may := outside[imp]; may == nil || !may(p.Dir, own) {
					t.Errorf("%s (level %d) imports %s, which is not in the list of what stage 1 may use from outside", p.Dir, own, imp)
				}
			}
		}
	}
}

// TestLevelsAreReal finds lines of the table whose package is gone.
func TestLevelsAreReal(t *testing.T) {
	var dirs []string
	for _, p := range packages(t) {
		dirs = append(dirs, p.Dir)
	}
	for dir := range levels {
		if !slices.Contains(dirs, dir) {
			t.Errorf("the table of levels has %s, which does not exist", dir)
		}
	}
}

// isModule reports whether an import path is one of a module rather than of the standard library.
func isModule(path string) bool {
	first, _, _ := strings.Cut(path, "/")
	return strings.Contains(first, ".")
}

// pureForbidden may not be imported where there is no machine, only values.
var pureForbidden = []string{"os", "os/exec", "syscall", "time/tzdata", "path/filepath", "crypto/rand", "math/rand", "math/rand/v2", "sync/atomic"}

// TestPure keeps levels 0 and 1 away from files, processes and chance. Time is allowed for durations only.
func TestPure(t *testing.T) {
	for _, p := range packages(t) {
		if l, ok := levelOf(p.Dir); !ok || l > decisions {
			continue
		}
		for _, imp := range p.imports() {
			if slices.Contains(pureForbidden, imp) {
				t.Errorf("%s imports %s: levels 0 and 1 turn values into values", p.Dir, imp)
			}
		}
		for _, f := range p.Files {
			for _, call := range []string{"time.Now(", "time.Since(", "time.Sleep("} {
				if strings.Contains(string(f.Text), call) {
					t.Errorf("%s calls %s…): levels 0 and 1 have no clock", f.Name, call)
				}
			}
		}
	}
}

// unsafeUsers may use unsafe or talk to the kernel by themselves, beside internal/linux.
var unsafeUsers = map[string]string{
	"vmtest/bench/marker": "the benchmark's init imports almost nothing, so that what it measures is not itself",
}

func TestSystemCallsAreInOnePlace(t *testing.T) {
	for _, p := range packages(t) {
		if strings.HasPrefix(p.Dir, "internal/linux/") || unsafeUsers[p.Dir] != "" {
			continue
		}
		for _, imp := range p.imports() {
			if imp == "unsafe" || imp == "golang.org/x/sys/unix" || imp == "C" {
				t.Errorf("%s imports %s: only internal/linux does, or add it to unsafeUsers with the reason", p.Dir, imp)
			}
		}
	}
}

// TestSyscallIsForNamesOnly allows package syscall for error numbers and signals, and nothing that calls.
func TestSyscallIsForNamesOnly(t *testing.T) {
	for _, p := range packages(t) {
		if l, ok := levelOf(p.Dir); !ok || l > world || strings.HasPrefix(p.Dir, "internal/linux/") {
			continue
		}
		for _, f := range p.Files {
			for _, name := range f.selectors("syscall") {
				if name != "Errno" && !isUpper(name) {
					t.Errorf("%s uses syscall.%s: system calls are made in internal/linux", f.Name, name)
				}
			}
		}
	}
}

func isUpper(s string) bool { return strings.ToUpper(s) == s }
