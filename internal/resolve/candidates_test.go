// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package resolve

import (
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/initddi/initddi/internal/plan"
)

func filesOf(paths ...string) []File {
	var out []File
	for _, p := range paths {
		out = append(out, File{Path: p})
	}
	return out
}

func pathsOf(files []File) string {
	var out []string
	for _, f := range files {
		out = append(out, f.Path)
	}
	return strings.Join(out, " ")
}

func TestCandidates(t *testing.T) {
	const uki = "/EFI/Linux/debian+3-1.efi"
	for _, test := range []struct {
		name, image, uki string
		files            string // in the order wanted, then "|", then those that are left out
	}{
		{"newest first", "", "", "/loader/ddi/os_2.raw /loader/ddi/os_1.10.raw /loader/ddi/os_1.9.raw /loader/ddi/os.raw |"},
		{"own before shared, whatever the version", "", uki,
			"/EFI/Linux/debian.efi.ddi.d/os_1.raw /loader/ddi/os_9.raw |"},
		{"own directory in FAT's case", "", uki, "/efi/linux/DEBIAN.EFI.DDI.D/os_1.raw /loader/ddi/os_9.raw |"},
		{"somebody else's directory is not own", "", uki, "/EFI/Linux/arch.efi.ddi.d/os_9.raw /EFI/Linux/debian.efi.ddi.dx/os_1.raw |"},
		{"a path as long as the own directory's", "", uki, "/loader/ddi/abcdefghijk.raw |"},
		{"exhausted last, own ones too", "", uki,
			"/loader/ddi/os_1.raw /EFI/Linux/debian.efi.ddi.d/os_9+0-3.raw /loader/ddi/os_8+0-3.raw |"},
		{"counters that are left do not matter more than versions", "", "", "/loader/ddi/os_2+1-2.raw /loader/ddi/os_1+3.raw |"},
		{"no counter before a counter", "", "", "/loader/ddi/os_1.raw /loader/ddi/os_1+3.raw /loader/ddi/os_1+2-1.raw |"},
		{"bases by their bytes", "", "", "/loader/ddi/a_1.raw /loader/ddi/b_2.raw |"},
		{"directories of versions", "", "", "/loader/ddi/os.raw.v/os_v3.raw /loader/ddi/os.raw.v/os_v2.raw /loader/ddi/os.raw |"},
		{"what does not belong into a directory of versions is the oldest", "", "", "/loader/ddi/os.raw.v/os_1.raw /loader/ddi/os.raw.v/stray_9.raw |"},
		{"capitals", "", "", "/loader/ddi/OS_2.RAW /loader/ddi/OS_1.RAW |"},
		{"extensions and others are never booted", "", "",
			"/loader/ddi/os.raw | /loader/ddi/x.sysext.raw /loader/ddi/y.confext.raw /loader/ddi/Z.SYSEXT.RAW /loader/ddi/.os.raw /loader/ddi/.raw /loader/ddi/os.raw.p7s /loader/ddi/raw"},

		{"ddi.image=NAME", "os_1.raw", "", "/loader/ddi/os_1.raw | /loader/ddi/os_2.raw"},
		{"ddi.image=NAME, any case", "OS_1.RAW", "", "/loader/ddi/os_1.raw |"},
		{"ddi.image=NAME in any directory", "os_1.raw", uki, "/EFI/Linux/debian.efi.ddi.d/os_1.raw /loader/ddi/os_1.raw |"},
		{"ddi.image=GLOB", "os_*.raw", "", "/loader/ddi/os_2.raw /loader/ddi/os_1.raw | /loader/ddi/rescue.raw"},
		{"ddi.image=PATH", "/loader/ddi/os_1.raw", "", "/loader/ddi/os_1.raw | /loader/ddi/os_2.raw /x/os_1.raw"},
		{"ddi.image=PATH without the first slash", "loader/ddi/os_1.raw", "", "/loader/ddi/os_1.raw |"},
		{"ddi.image=PATH not clean", "//loader/./ddi/os_1.raw", "", "/loader/ddi/os_1.raw |"},
		{"ddi.image=GLOB over directories", "/*/ddi/os_?.raw", "", "/loader/ddi/os_1.raw | /loader/ddi/x/os_1.raw"},
		{"a star does not cross a slash", "/loader/*", "", "| /loader/ddi/os_1.raw"},
		{"an extension cannot be asked for", "x.sysext.raw", "", "| /loader/ddi/x.sysext.raw"},
		{"a bad pattern takes nothing", "[", "", "| /loader/ddi/os.raw"},
	} {
		t.Run(test.name, func(t *testing.T) {
			wanted, out, _ := strings.Cut(test.files, "|")
			want := strings.Fields(wanted)
			all := append(slices.Clone(want), strings.Fields(out)...)
			rng := rand.New(rand.NewPCG(1, 2))
			for range 20 {
				rng.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
				got := pathsOf(Candidates(&plan.Plan{Image: test.image}, test.uki, filesOf(all...)))
				if got != strings.Join(want, " ") {
					t.Fatalf("of %v\n got %s\nwant %s", all, got, strings.Join(want, " "))
				}
			}
		})
	}
}

func TestCandidatesKeepSizes(t *testing.T) {
	got := Candidates(&plan.Plan{}, "", []File{{Path: "/loader/ddi/a.raw", Size: 7}})
	if len(got) != 1 || got[0].Size != 7 {
		t.Errorf("got %v", got)
	}
}

func TestOwnDir(t *testing.T) {
	for uki, want := range map[string]string{
		"":                                "",
		"/EFI/Linux/a.efi":                "/EFI/Linux/a.efi.ddi.d",
		"EFI/Linux/a.efi":                 "/EFI/Linux/a.efi.ddi.d",
		"/EFI/Linux/a+3.efi":              "/EFI/Linux/a.efi.ddi.d",
		"/EFI/Linux/a+3-1.efi":            "/EFI/Linux/a.efi.ddi.d",
		"/EFI/Linux/a_1.2+b+13-1.efi":     "/EFI/Linux/a_1.2+b.efi.ddi.d",
		"/EFI/Linux/a+b.efi":              "/EFI/Linux/a+b.efi.ddi.d",
		"/EFI/Linux/a+3-.efi":             "/EFI/Linux/a+3-.efi.ddi.d",
		"/EFI/Linux/a+3-x.efi":            "/EFI/Linux/a+3-x.efi.ddi.d",
		"/EFI/Linux/+3.efi":               "/EFI/Linux/+3.efi.ddi.d",
		"/EFI/BOOT/BOOTX64.EFI":           "/EFI/BOOT/BOOTX64.EFI.ddi.d",
		"/vmlinuz":                        "",
		"/EFI/Linux/.efi":                 "",
		"/EFI/../../EFI/Linux/../x/a.efi": "/EFI/x/a.efi.ddi.d",
	} {
		if got := ownDir(uki); got != want {
			t.Errorf("ownDir(%q) is %q, want %q", uki, got, want)
		}
	}
}

func TestImageDir(t *testing.T) {
	for image, want := range map[string]string{
		"":                     "",
		"os.raw":               "",
		"*.raw":                "",
		"/images/os.raw":       "/images",
		"images/os_*.raw":      "/images",
		"/loader/ddi/os.raw":   "",
		"/loader/*/os.raw":     "",
		"/os.raw":              "/",
		"/a/b/../c/os.raw":     "/a/c",
		"/loader/ddi/x/os.raw": "/loader/ddi/x",
	} {
		if got := imageDir(image); got != want {
			t.Errorf("imageDir(%q) is %q, want %q", image, got, want)
		}
	}
}

// FuzzCandidates: whatever files are called, the order is total, nothing is invented, and no extension is among them.
func FuzzCandidates(f *testing.F) {
	f.Add("/loader/ddi/os_1.raw\n/loader/ddi/x.sysext.raw\n/EFI/Linux/a.efi.ddi.d/os_2+0-1.raw", "/EFI/Linux/a+1.efi", "os*")
	f.Add("\n/\n.raw\n+.raw\n/+0.raw.v/+0_.raw", "/.efi", "[a")
	f.Fuzz(func(t *testing.T, names, uki, image string) {
		files := filesOf(strings.Split(names, "\n")...)
		p := &plan.Plan{Image: image}
		got := Candidates(p, uki, files)
		slices.Reverse(files)
		again := Candidates(p, uki, files)
		if pathsOf(got) != pathsOf(again) {
			t.Errorf("the order depends on the order of the directory:\n%s\n%s", pathsOf(got), pathsOf(again))
		}
		for _, c := range got {
			lower := strings.ToLower(c.Path)
			if !slices.Contains(files, c) || strings.HasSuffix(lower, ".sysext.raw") || strings.HasSuffix(lower, ".confext.raw") || !strings.HasSuffix(lower, ".raw") {
				t.Errorf("%q is a candidate", c.Path)
			}
		}
	})
}
