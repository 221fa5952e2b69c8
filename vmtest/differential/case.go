// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package main

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
)

// file is a file of a tree that is made for a case.
type file struct {
	Path   string            `json:"path"`           // below the fake root
	Kind   string            `json:"kind,omitempty"` // "" a file, "dir", "link", "char", "whiteout", "fifo", "mount": a tmpfs, "bind": a file over a file, "subvolume"
	Text   string            `json:"text,omitempty"` // content, or where a link leads
	Mode   uint32            `json:"mode,omitempty"`
	Owner  int               `json:"owner,omitempty"`
	Xattrs map[string]string `json:"xattrs,omitempty"`
}

// step is something that is done.
type step struct {
	Verb string `json:"verb,omitempty"` // of the tools
	// Tool is which of two tools does it in a run with both; 0 is the first.
	Tool   int    `json:"tool,omitempty"`
	Make   []file `json:"make,omitempty"`
	Remove string `json:"remove,omitempty"` // a path below the fake root
}

// testCase is one case: a fake root, and what is done with it.
type testCase struct {
	ID      int      `json:"id"`
	Class   string   `json:"class"`
	Root    bool     `json:"root"` // the fake root is given with --root=; otherwise hierarchies in it are those of the running system
	Files   []file   `json:"files"`
	Options []string `json:"options,omitempty"` // of the verbs that change something
	Env     []string `json:"env,omitempty"`
	Steps   []step   `json:"steps"`
	Both    bool     `json:"both,omitempty"` // run it also with the tools taking turns
	// Traits say what is special about it, for those who explain disagreements.
	Traits []string `json:"traits,omitempty"`
}

// is reports whether the case has a trait.
func (c *testCase) is(trait string) bool { return slices.Contains(c.Traits, trait) }

func (c *testCase) trait(t string) {
	if !c.is(t) {
		c.Traits = append(c.Traits, t)
	}
}

// generator makes one case. The same seed and number give the same case.
type generator struct {
	*rand.Rand
	c           *testCase
	hierarchies []string
	mutable     string
}

func generate(seed uint64, id int) *testCase {
	g := &generator{Rand: rand.New(rand.NewPCG(seed, uint64(id))), c: &testCase{ID: id, Class: "sysext", Root: true}}
	if g.one(4) {
		g.c.Class = "confext"
	}
	if g.one(6) {
		g.c.Root = false
		g.c.trait("no root")
	}
	g.host()
	g.options()
	n := g.among(1, 1, 2, 2, 3, 4, 0)
	if g.c.is("mutable") && !g.one(6) {
		g.everywhere()
	}
	for i := range n {
		g.extension(i)
	}
	g.submounts()
	g.steps()
	g.subvolumes()
	return g.c
}

// one is true in one case of n.
func (g *generator) one(n int) bool { return g.IntN(n) == 0 }

func (g *generator) among(n ...int) int       { return n[g.IntN(len(n))] }
func (g *generator) pick(s ...string) string  { return s[g.IntN(len(s))] }
func (g *generator) words(s string) string    { return g.pick(strings.Fields(s)...) }
func (g *generator) add(f file)               { g.c.Files = append(g.c.Files, f) }
func (g *generator) write(name, text string)  { g.add(file{Path: name, Text: text}) }
func (g *generator) option(o string)          { g.c.Options = append(g.c.Options, o) }
func (g *generator) setenv(name, text string) { g.c.Env = append(g.c.Env, name+"="+text) }

// fakeRoot is where the fake root is in the system that the tools run in.
const fakeRoot = "/tmp/r"

// host makes the system that is merged into.
func (g *generator) host() {
	g.hierarchies = []string{"/usr", "/opt"}
	if g.c.Class == "confext" {
		g.hierarchies = []string{"/etc"}
	}
	if g.one(8) && g.c.Root {
		g.hierarchies = append(g.hierarchies[:g.IntN(len(g.hierarchies)+1)], "/srv/deep/h")
		g.setenv("SYSTEMD_"+strings.ToUpper(g.c.Class)+"_HIERARCHIES", strings.Join(g.hierarchies, ":"))
	}
	if !g.c.Root {
		var list []string
		for _, h := range g.hierarchies {
			list = append(list, fakeRoot+h)
		}
		g.setenv("SYSTEMD_"+strings.ToUpper(g.c.Class)+"_HIERARCHIES", strings.Join(list, ":"))
		g.setenv("SYSTEMD_OS_RELEASE", fakeRoot+"/usr/lib/os-release")
	}
	release := "ID=debian\nVERSION_ID=13\n"
	switch g.IntN(16) {
	case 0:
		release = "ID=debian\n"
	case 1:
		release = "ID=ours\nID_LIKE=\"debian other\"\nVERSION_ID=13\n"
	case 2:
		release += "SYSEXT_LEVEL=2\nCONFEXT_LEVEL=7\n"
	case 3:
		release = "ID=debian\nSYSEXT_LEVEL=2\nCONFEXT_LEVEL=7\n"
	case 4:
		release = "NAME='Some \"thing\"'\nID=\"debian\"\nVERSION_ID=\"13\" \n# comment\n\nPRETTY_NAME=\"a \\$ b\"\n"
	case 5:
		release = g.pick("VERSION_ID=13\n", "", "ID=\n")
		g.c.trait("no ID")
	}
	g.write("/usr/lib/os-release", release)
	if g.one(3) && g.c.Class == "sysext" {
		g.add(file{Path: "/etc/os-release", Kind: "link", Text: g.pick("../usr/lib/os-release", "/usr/lib/os-release")})
	}
	if g.one(12) && g.c.Root {
		g.write("/etc/initrd-release", release)
		g.c.trait("initrd")
		if !g.one(5) {
			// 257 goes by the running system; this is how that is told what it is.
			g.setenv("SYSTEMD_IN_INITRD", "1")
			g.c.trait("told")
		}
	}
	g.write("/usr/bin/tool", "host")
	g.write("/usr/share/doc", "host")
	for _, h := range g.hierarchies {
		if h == "/usr" {
			g.add(file{Path: h, Kind: "dir", Mode: uint32(g.among(0o755, 0o755, 0o755, 0o700, 0o711, 0o555)), Owner: g.among(0, 0, 0, 7)})
			continue
		}
		switch g.IntN(7) {
		case 0: // not there
		case 1:
			g.add(file{Path: h, Kind: "dir"})
		case 2:
			g.write("/srv/real/host", "host")
			real := "/srv/real"
			if !g.c.Root {
				real = fakeRoot + real
			}
			g.add(file{Path: h, Kind: "link", Text: g.pick(real, strings.Repeat("../", strings.Count(h, "/")-1)+"srv/real", real+"/")})
			g.c.trait("linked hierarchy")
		default:
			g.write(h+"/host", "host")
			g.write(h+"/dir/file", "host")
			g.add(file{Path: h, Kind: "dir", Mode: uint32(g.among(0o755, 0o755, 0o750)), Owner: g.among(0, 0, 5)})
		}
	}
}

// options chooses how is merged.
func (g *generator) options() {
	if g.one(10) {
		g.option("--force")
		g.c.trait("force")
	}
	if g.one(6) {
		g.option("--noexec=" + g.pick("yes", "no", "1", "off"))
	}
	modes := "no no no no no no no no yes yes auto auto import ephemeral ephemeral-import true off"
	if !g.c.Root {
		modes = "no no no ephemeral"
	}
	g.mutable = g.words(modes)
	switch {
	case g.mutable == "no" && !g.one(4):
	case g.one(3):
		g.setenv("SYSTEMD_"+strings.ToUpper(g.c.Class)+"_MUTABLE_MODE", g.mutable)
	default:
		g.option("--mutable=" + g.mutable)
	}
	if g.mutable == "no" || g.mutable == "off" {
		return
	}
	g.c.trait("mutable")
	if g.mutable == "ephemeral" && !g.c.Root {
		return
	}
	for _, h := range g.hierarchies {
		dir := "/var/lib/extensions.mutable/" + strings.ReplaceAll(strings.Trim(h, "/"), "/", ".")
		switch g.IntN(6) {
		case 0, 1: // not there
		case 2:
			g.add(file{Path: dir, Kind: "dir", Mode: uint32(g.among(0o755, 0o700))})
		case 3:
			g.add(file{Path: dir, Kind: "link", Text: h})
			g.c.trait("linked mutable")
		default:
			g.write(dir+"/bin/written", "written before")
			g.add(file{Path: dir + "/bin/tool", Kind: g.pick("", "whiteout")})
			g.add(file{Path: dir, Kind: "dir", Mode: uint32(g.among(0o755, 0o755, 0o755, 0o700))})
		}
	}
}

// searchPath returns where extensions lie in a case; without --root only what is on a file system of the case's own.
func (g *generator) searchPath() []string {
	switch {
	case !g.c.Root && g.c.Class == "confext":
		return []string{"/run/confexts"}
	case !g.c.Root:
		return []string{"/run/extensions"}
	case g.c.Class == "confext":
		return []string{"/run/confexts", "/var/lib/confexts", "/var/lib/confexts", "/usr/local/lib/confexts", "/usr/lib/confexts"}
	}
	return []string{"/etc/extensions", "/run/extensions", "/var/lib/extensions", "/var/lib/extensions"}
}

// steps chooses what is done.
func (g *generator) steps() {
	verbs := func(list string) {
		for _, v := range strings.Fields(list) {
			g.c.Steps = append(g.c.Steps, step{Verb: v})
		}
	}
	g.c.Steps = append(g.c.Steps, step{Verb: "list"})
	switch g.IntN(10) {
	case 0:
		verbs("status refresh status refresh unmerge status")
	case 1:
		verbs("unmerge status merge merge unmerge unmerge")
	case 2, 3, 4:
		verbs("merge")
		if dir := g.searchPath()[0] + "/late"; g.one(2) {
			late := []file{{Path: dir + g.release("late"), Text: "ID=_any\n"}, {Path: dir + g.inExtension(g.hierarchies[0]) + "/late", Text: "late"}}
			if last := g.hierarchies[len(g.hierarchies)-1]; g.one(4) && last != g.hierarchies[0] {
				late = append(late, file{Path: dir + g.inExtension(last), Text: "a file, which cannot be merged"})
			}
			g.c.Steps = append(g.c.Steps, step{Make: late})
		} else if n := len(g.c.Files); n > 0 {
			g.c.Steps = append(g.c.Steps, step{Remove: g.searchPath()[0]})
		}
		verbs("refresh status unmerge")
	case 5:
		verbs("merge")
		if g.c.is("mutable") {
			g.c.Steps = append(g.c.Steps, step{Make: []file{{Path: g.hierarchies[0] + "/bin/new", Text: "new"}, {Path: g.hierarchies[0] + "/bin/tool", Text: "changed"}}})
			g.c.trait("writes")
		}
		verbs("status unmerge merge unmerge")
	default:
		verbs("merge status list unmerge status")
	}
	g.c.Both = g.one(3)
	if !g.c.Both {
		return
	}
	turn := 0
	for i := range g.c.Steps {
		if v := g.c.Steps[i].Verb; v != "" && v != "list" {
			g.c.Steps[i].Tool = turn
			turn = 1 - turn
		}
	}
}

// inExtension is where a hierarchy is in an extension.
func (g *generator) inExtension(h string) string {
	if g.c.Root {
		return h
	}
	return fakeRoot + h
}

// release is where an extension called name says for which system it is.
func (g *generator) release(name string) string {
	dir := "/usr/lib/extension-release.d"
	if g.c.Class == "confext" {
		dir = "/etc/extension-release.d"
	}
	return dir + "/extension-release." + name
}

func (c *testCase) String() string { return fmt.Sprintf("case %d", c.ID) }
