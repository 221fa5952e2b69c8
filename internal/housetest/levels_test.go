// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package housetest

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
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

// architecture has the map of the house, in the table below the heading tableHeading. A package that is not in it fails [TestLevels]: decide
// where it belongs first.
const (
	architecture = "docs/ARCHITECTURE.md"
	tableHeading = "## The levels"
)

// levels is that table, by directory. It is read here and not written a second time: what a person reads is what is enforced.
var levels = sync.OnceValues(func() (map[string]level, error) {
	b, err := os.ReadFile(filepath.Join(root, architecture))
	if err != nil {
		return nil, err
	}
	return parseLevels(string(b))
})

// parseLevels reads the rows of the table: the level's name at the end of the first cell, the packages in the second as code.
func parseLevels(text string) (map[string]level, error) {
	_, section, ok := strings.Cut(text, "\n"+tableHeading+"\n")
	if !ok {
		return nil, fmt.Errorf("no heading %q", tableHeading)
	}
	section, _, _ = strings.Cut(section, "\n## ")
	names := map[string]level{"formats": formats, "decisions": decisions, "kernel": kernel, "world": world, "host": host, "cmds": commands, "tests": wholeBoots}
	code := regexp.MustCompile("`([^`]+)`")
	out := map[string]level{}
	for _, row := range regexp.MustCompile(`(?m)^\| ([^|]*) \| ([^|]*) \|`).FindAllStringSubmatch(section, -1) {
		words := strings.Fields(row[1])
		if row[1] == "level" || len(words) == 0 {
			continue
		}
		own, ok := names[words[len(words)-1]]
		if !ok {
			return nil, fmt.Errorf("no level is called %q", row[1])
		}
		above := "internal/"
		if own == commands {
			above = "cmds/"
		}
		for _, m := range code.FindAllStringSubmatch(row[2], -1) {
			if _, twice := out[above+m[1]]; twice {
				return nil, fmt.Errorf("%s stands there twice", above+m[1])
			}
			out[above+m[1]] = own
		}
	}
	return out, nil
}

// testdata programs are built by tests and belong to nobody.
func isTestProgram(dir string) bool { return strings.Contains(dir, "/testdata/") }

// levelOf returns where a package is; everything below vmtest is a test of whole boots.
func levelOf(dir string) (level, bool) {
	if dir == "vmtest" || strings.HasPrefix(dir, "vmtest/") {
		return wholeBoots, true
	}
	// An error is TestLevelsAreReal's to report; without a table no package is in it.
	table, _ := levels()
	l, ok := table[dir]
	return l, ok
}

// outside are the modules that packages up to the world may use, and who uses them. Everything else is the standard library.
var outside = map[string]func(dir string, l level) bool{
	// DER, as crypto/x509 reads it itself, without crypto/x509.
	"golang.org/x/crypto/cryptobyte":      func(_ string, l level) bool { return l == formats },
	"golang.org/x/crypto/cryptobyte/asn1": func(_ string, l level) bool { return l == formats },
	// DHCP, in ddifetch alone.
	"github.com/insomniacslk/dhcp/dhcpv4":          inNetconf,
	"github.com/insomniacslk/dhcp/dhcpv4/nclient4": inNetconf,
	"github.com/insomniacslk/dhcp/dhcpv6":          inNetconf,
	"github.com/insomniacslk/dhcp/dhcpv6/nclient6": inNetconf,
	"github.com/insomniacslk/dhcp/iana":            inNetconf,
	"golang.org/x/sys/unix":                        func(_ string, l level) bool { return l == kernel },
}

func inNetconf(dir string, _ level) bool { return dir == "internal/netconf" }

func TestLevels(t *testing.T) {
	for _, p := range packages(t) {
		own, ok := levelOf(p.Dir)
		if !ok {
			t.Errorf("%s is not in the table of levels: put it where it belongs (%s)", p.Dir, architecture)
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
	table, err := levels()
	if err != nil {
		t.Fatalf("cannot read the table of levels in %s: %v", architecture, err)
	}
	for dir := range table {
		if !slices.Contains(dirs, dir) {
			t.Errorf("the table of levels has %s, which does not exist", dir)
		}
	}
}

func TestParseLevels(t *testing.T) {
	const head = "# x\n\n## The levels\n\n| level | packages | may |\n|---|---|---|\n"
	for _, test := range []struct {
		text, want string
	}{
		{head + "| 2 kernel | `linux/dm` `linux/loop` | use `unsafe` |\n| cmds | `a` (busybox), `b` | run |\n\n## Next\n\n| host | `c` | x |\n", "map[cmds/a:5 cmds/b:5 internal/linux/dm:2 internal/linux/loop:2]"},
		{head + "| host | `a` | x |\n| 0 formats | `a` | x |\n", "twice"},
		{head + "| hots | `a` | x |\n", `"hots"`},
		{"# x\n", "no heading"},
	} {
		got, err := parseLevels(test.text)
		if said := fmt.Sprint(got, err); !strings.Contains(said, test.want) {
			t.Errorf("%s, want %s", said, test.want)
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
	"vmtest/bench/marker":   "the benchmark's init imports almost nothing, so that what it measures is not itself",
	"vmtest/handover/probe": "it asks what a process was handed, which is nobody else's business",
	"vmtest/differential":   "it judges what internal/linux did, and must not look with its eyes",
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

// TestWebIsInOnePlace keeps web clients, and the megabytes that they are, where they are wanted.
func TestWebIsInOnePlace(t *testing.T) {
	users := []string{"internal/fetch", "cmds/ddifetch"}
	for _, p := range packages(t) {
		if l, ok := levelOf(p.Dir); ok && l == wholeBoots {
			continue
		}
		for _, imp := range p.imports() {
			if (imp == "net/http" || imp == "crypto/tls") && !slices.Contains(users, p.Dir) {
				t.Errorf("%s imports %s: only %v do", p.Dir, imp, users)
			}
		}
	}
}

// moduleLoaders are the files that may have the kernel load a module by themselves, beside the VM's tests.
var moduleLoaders = map[string]string{
	"internal/drivers/load.go":    "it decides what a module is told, and leaves its devices to the background",
	"internal/stage1/devices.go":  "it knows which devices a boot has to wait for",
	"internal/stage1/patience.go": "it is the process that waits for devices in the place of process 1",
}

// TestModulesAreLoadedInOnePlace: who loads a module without drivers.Load forgets async_probe, with which the kernel waits for no disk that
// does not answer, and what the command line says to the module.
func TestModulesAreLoadedInOnePlace(t *testing.T) {
	for _, p := range packages(t) {
		if l, ok := levelOf(p.Dir); ok && l == wholeBoots {
			continue
		}
		for _, f := range p.Files {
			if strings.HasPrefix(f.Name, "internal/linux/module/") || moduleLoaders[f.Name] != "" {
				continue
			}
			for _, imp := range f.AST.Imports {
				if imp.Path.Value == strconv.Quote(modulePath+"/internal/linux/module") {
					t.Errorf("%s loads modules: use drivers.Load", f.Name)
				}
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
