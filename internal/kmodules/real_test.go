// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package kmodules

import (
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestRealClasses looks for what drives well-known hardware of each class in Debian's generic kernel, by what that says of itself.
func TestRealClasses(t *testing.T) {
	place := os.Getenv("INITDDI_TEST_GENERIC_DIR")
	if place == "" {
		t.Skip("needs INITDDI_TEST_GENERIC_DIR: an unpacked Debian package linux-image-amd64")
	}
	tree := open(t, place)
	for _, c := range []struct{ class, what, modalias, module string }{
		{"raid", "HPE Smart Array P408i-a, Gen10", "pci:v00009005d0000028Fsv0000103Csd00000654bc01sc07i00", "smartpqi"},
		{"raid", "Microchip Adaptec SmartRAID 3154", "pci:v00009005d0000028Fsv00009005sd00000800bc01sc04i00", "smartpqi"},
		{"raid", "HPE Smart Array P440ar, Gen9", "pci:v0000103Cd00003239sv0000103Csd000021C0bc01sc04i00", "hpsa"},
		{"raid", "Adaptec 8805", "pci:v00009005d0000028Dsv00009005sd00000553bc01sc04i00", "aacraid"},
		{"raid", "Broadcom 9600", "pci:v00001000d000000A5sv00001000sd00004600bc01sc07i00", "mpi3mr"},
		{"megaraid", "Dell PERC H730", "pci:v00001000d0000005Dsv00001028sd00001F49bc01sc04i00", "megaraid_sas"},
		{"mpt", "Broadcom 9300", "pci:v00001000d00000097sv00001000sd000030E0bc01sc07i00", "mpt3sas"},
		{"fc", "Emulex LPe32000", "pci:v000010DFd0000E300sv000010DFsd0000E300bc0Csc04i00", "lpfc"},
		{"fc", "QLogic QLE2562", "pci:v00001077d00002532sv00001077sd0000015Dbc0Csc04i00", "qla2xxx"},
		{"ufs", "Intel's, Ice Lake", "pci:v00008086d000098FAsv00008086sd00007270bc01sc09i01", "ufshcd_pci"},
		{"ufs", "QEMU's", "pci:v00001B36d00000013sv00001AF4sd00001100bc01sc09i01", "ufshcd_pci"},
		{"nvme", "any", "pci:v0000144Dd0000A80Asv0000144Dsd0000A801bc01sc08i02", "nvme"},
		{"nvme", "Intel VMD, Tiger Lake", "pci:v00008086d00009A0Bsv00008086sd00000000bc01sc04i00", "vmd"},
		{"net-server", "Broadcom 57810", "pci:v000014E4d0000168Esv0000103Csd00001798bc02sc00i00", "bnx2x"},
		{"net-server", "QLogic 41000", "pci:v00001077d00008070sv00001077sd00000001bc02sc00i00", "qede"},
	} {
		s, err := Select(tree, Options{Classes: []string{c.class}, Firmware: NoFirmware})
		if err != nil {
			t.Errorf("%s: %v", c.class, err)
			continue
		}
		if got := s.Table.Match(c.modalias); !slices.Contains(got, c.module) {
			t.Errorf("%s: %s (%s) is driven by %q, want %s", c.class, c.what, c.modalias, got, c.module)
		}
		if c.class == "raid" || c.class == "fc" {
			// A class needs one of its drivers; Debian's kernel has them all.
			if len(s.Absent) > 0 {
				t.Errorf("%s lacks %q", c.class, s.Absent)
			}
		}
	}
}

// realTree opens the kernel that INITDDI_TEST_KERNEL_DIR names.
func realTree(t *testing.T) *Tree {
	t.Helper()
	place := os.Getenv("INITDDI_TEST_KERNEL_DIR")
	if place == "" {
		t.Skip("needs INITDDI_TEST_KERNEL_DIR: a directory with lib/modules of one kernel, for example an unpacked Debian " +
			"package linux-image-amd64 or linux-image-cloud-amd64 on which depmod -b was run")
	}
	return open(t, place)
}

// TestRealKernel selects everything from a real kernel and compares the result with what depmod, which looks at symbols
// instead of declared dependencies, found out about the same modules.
func TestRealKernel(t *testing.T) {
	tree := realTree(t)
	s, err := Select(tree, Options{OptionalClasses: ClassNames(), Features: FeatureNames()})
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%s: %d modules, %d aliases, table of %d bytes, absent %q, unresolved %q", tree.Release(), len(s.Files),
		len(s.Table.Aliases), len(s.Table.Encode()), s.Absent, s.Unresolved)
	for _, class := range s.Table.Classes {
		size, n := 0, 0
		for _, f := range s.Files {
			if slices.Contains(f.For, class.Name) {
				size += len(f.Data)
				n++
			}
		}
		t.Logf("class %s: %d modules, %d bytes", class.Name, n, size)
	}
	if len(tree.after) == 0 {
		t.Skip("needs a modules.dep: run depmod -b (Debian package kmod) on INITDDI_TEST_KERNEL_DIR")
	}
	aliases, err := os.ReadFile(filepath.Join(tree.dir, "modules.alias"))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range s.Files {
		closure := map[string]bool{}
		addNeeds(s, f.Name, closure)
		var want []string
		for _, dep := range tree.after[f.Name] {
			if !closure[dep] {
				t.Errorf("%s: depmod wants %s before it", f.Name, dep)
			}
			want = append(want, dep)
		}
		if len(want) != len(closure) {
			t.Errorf("%s: needs %v, depmod says %q", f.Name, closure, want)
		}
		// A selection without modules.dep must come to the same result.
		m, _ := s.Table.Module(f.Name)
		bare := newTree(tree.release)
		bare.builtin, bare.files, bare.read = tree.builtin, tree.files, tree.read
		if deps, err := bare.depends(f.Name); err != nil || !slices.Equal(deps, m.Deps) {
			t.Errorf("%s: without modules.dep %q, with it %q (%v)", f.Name, deps, m.Deps, err)
		}
	}
	checkAliases(t, s, string(aliases))
}

// addNeeds adds all that a module needs to closure.
func addNeeds(s *Selection, name string, closure map[string]bool) {
	m, _ := s.Table.Module(name)
	for _, dep := range m.Deps {
		closure[dep] = true
		addNeeds(s, dep, closure)
	}
}

// checkAliases checks that depmod's modules.alias has the same device aliases for the selected modules, and that a device
// finds its module through the table.
func checkAliases(t *testing.T, s *Selection, text string) {
	t.Helper()
	want := map[string]bool{}
	for line := range strings.Lines(text) {
		words := strings.Fields(line)
		if len(words) != 3 || words[0] != "alias" || !isModalias(words[1]) {
			continue
		}
		if _, ok := s.Table.Module(words[2]); !ok {
			continue
		}
		pattern := words[1]
		if !strings.Contains(pattern, "[") {
			pattern = canonical(pattern) // the text has hyphens as they were, modules.alias.bin and the table have not
		}
		want[pattern+" "+words[2]] = true
		// A name that the pattern matches: every wildcard as something that it stands for. Sets keep their first member.
		device := strings.NewReplacer("*", "X", "?", "Y").Replace(words[1])
		for strings.Contains(device, "[") {
			i, j := strings.Index(device, "["), strings.Index(device, "]")
			device = device[:i] + device[i+1:i+2] + device[j+1:]
		}
		if !slices.Contains(s.Table.Match(device), words[2]) {
			t.Errorf("%s does not find %s by %s", device, words[2], words[1])
		}
	}
	for _, a := range s.Table.Aliases {
		if !want[a.Pattern+" "+a.Module] {
			t.Errorf("depmod does not know %s %s", a.Pattern, a.Module)
		}
		delete(want, a.Pattern+" "+a.Module)
	}
	if len(want) > 0 {
		t.Errorf("the table lacks %v", want)
	}
}

// TestRealKernelFiles checks that the table and the archive agree about paths.
func TestRealKernelFiles(t *testing.T) {
	tree := realTree(t)
	s, err := Select(tree, Options{OptionalClasses: ClassNames(), OptionalFeatures: FeatureNames()})
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range s.Files {
		m, ok := s.Table.Module(f.Name)
		if !ok || path.Join("lib/modules", s.Table.Release, m.File) != f.Path {
			t.Errorf("%s: table says %+v, archive has %s", f.Name, m, f.Path)
		}
	}
}
