// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package main

import (
	"fmt"
	"strings"
)

// extension makes an extension in one of the places where extensions lie.
func (g *generator) extension(i int) {
	names := []string{"a", "b", "foo", "bar", "a9", "a10", "x_1.2", "y+3", "Upper", "ü", "with space", "1.0~rc1", "1.0", strings.Repeat("long", 55)}
	if g.one(40) {
		names = []string{"com,ma", "col:on", `back\slash`}
	}
	name := names[g.IntN(len(names))]
	dir := g.searchPath()[g.IntN(len(g.searchPath()))]
	entry := name
	switch g.IntN(14) {
	case 0:
		entry = name + "." + g.c.Class
	case 1:
		g.versions(dir, name)
		return
	case 2:
		// Somewhere else, with a link to it.
		g.tree("/srv/images/"+name, name)
		g.add(file{Path: dir + "/" + name, Kind: "link", Text: g.pick("/srv/images/"+name, "../../srv/images/"+name, "../../../srv/images/"+name)})
		if g.c.Root {
			g.c.trait("link")
		} else {
			g.c.Files[len(g.c.Files)-1].Text = fakeRoot + "/srv/images/" + name
			g.c.trait("link without root")
		}
		return
	case 3:
		g.odd(dir)
		return
	case 4:
		// Masked by something empty, or not.
		g.add(file{Path: g.searchPath()[0] + "/" + name, Kind: "dir"})
		g.c.trait("mask")
	}
	if name != entry && i > 0 {
		g.c.trait("class suffix")
	}
	g.tree(dir+"/"+entry, name)
}

// everywhere makes an extension that fits any system and has something for each hierarchy.
func (g *generator) everywhere() {
	at := g.searchPath()[0] + "/every"
	scope := "\n" + strings.ToUpper(g.c.Class) + "_SCOPE=\"system initrd\"\n"
	g.write(at+g.release("every"), "ID=_any"+scope)
	for _, h := range g.hierarchies {
		g.write(at+g.inExtension(h)+"/every", "every")
	}
}

// versions makes a directory of versions.
func (g *generator) versions(dir, name string) {
	suffix := g.pick("", "", "."+g.c.Class)
	v := dir + "/" + name + suffix + ".v/"
	g.c.trait("versions")
	for range 1 + g.IntN(4) {
		file := name + "_" + g.words("1 2 10 1.2 1.2~rc1 1.2_rc1 3_x86-64 3_arm64 3_x86 4+0 4+0-3 4+2-1 4+3 5^1 _") + suffix
		if g.one(12) {
			g.write(v+file, "a file") // if it is the best one, nothing is taken
			continue
		}
		g.tree(v+file, name)
	}
	if g.one(4) {
		g.tree(v+"other_99"+suffix, name)
	}
}

// odd makes entries that are no directory, and names that are none.
func (g *generator) odd(dir string) {
	switch g.IntN(6) {
	case 0:
		g.write(dir+"/image.raw", strings.Repeat("x", 8192))
		g.c.trait("image")
	case 1:
		g.write(dir+"/image."+g.c.Class+".raw", "")
		g.c.trait("image")
	case 2:
		g.write(dir+"/file", "no image")
	case 3:
		g.add(file{Path: dir + "/pipe.raw", Kind: "fifo"})
		g.add(file{Path: dir + "/nowhere", Kind: "link", Text: "/missing"})
	case 4:
		g.tree(dir+"/.#temporary", "x")
	case 5:
		g.tree(dir+"/con\x01trol", "x")
	}
}

// tree makes the tree of an extension.
func (g *generator) tree(at, name string) {
	g.releases(at, name)
	if g.one(30) {
		g.write(at+"/usr/lib/os-release", "ID=other\n")
		g.c.trait("os-release")
	}
	for _, h := range g.hierarchies {
		in := at + g.inExtension(h)
		switch g.IntN(9) {
		case 0, 1: // nothing
		case 2:
			g.add(file{Path: in, Kind: "dir"})
		case 3:
			if h == "/usr" || h == "/etc" {
				g.content(in)
				continue
			}
			g.write(at+"/elsewhere/x", name)
			g.add(file{Path: in, Kind: "link", Text: g.pick("/elsewhere", "../elsewhere", "../../../../../../elsewhere", "../../../elsewhere")})
			g.c.trait("linked in extension")
		case 4:
			if g.one(4) && h != "/usr" && h != "/etc" {
				g.write(in, "a file")
				continue
			}
			fallthrough
		default:
			g.content(in)
		}
	}
}

// content puts files below a hierarchy of an extension.
func (g *generator) content(in string) {
	for range 1 + g.IntN(4) {
		name := in + "/" + g.words("bin/tool bin/x share/doc share/data dir/file host deep/er/file new")
		f := file{Path: name, Text: fmt.Sprint(g.IntN(100)), Owner: g.among(0, 0, 0, 3)}
		switch g.IntN(12) {
		case 0:
			f.Kind, f.Text = "link", g.pick("tool", "/etc/passwd", "../../..", "missing")
		case 1:
			f.Kind = "whiteout"
		case 2:
			f.Kind = "char"
		case 3:
			f.Kind = "fifo"
		case 4:
			f.Mode = uint32(g.among(0o4755, 0o2755, 0o600))
		case 5:
			f.Xattrs = map[string]string{"user.color": "green"}
		case 6:
			f = file{Path: in + "/" + g.words("share dir bin"), Kind: "dir", Xattrs: map[string]string{"trusted.overlay.opaque": "y"}}
		}
		g.add(f)
	}
}

// releases writes down which system an extension is for.
func (g *generator) releases(at, name string) {
	level := map[string]string{"sysext": "2", "confext": "7"}[g.c.Class]
	upper := strings.ToUpper(g.c.Class)
	text := g.pick(
		"ID=debian\nVERSION_ID=13\n", "ID=debian\nVERSION_ID=13\n", "ID=debian\nVERSION_ID=13\n", "ID=debian\nVERSION_ID=13\n", "ID=_any\n", "ID=_any\n", "ID=_any\n",
		"ID=debian\n", "ID=debian\nVERSION_ID=12\n", "ID=fedora\nVERSION_ID=13\n", "ID=ours\nVERSION_ID=13\n", "VERSION_ID=13\n", "", "# nothing\n", "ID=\nX=1\n",
		"ID=debian\n"+upper+"_LEVEL="+level+"\n", "ID=debian\nVERSION_ID=13\n"+upper+"_LEVEL=9\n", "ID='debian'\nVERSION_ID=\"13\"\n",
		"ID=_any\nARCHITECTURE=x86-64\n", "ID=_any\nARCHITECTURE=arm64\n", "ID=_any\nARCHITECTURE=_any\n", "ID=_any\nARCHITECTURE=x86\n", "ID=_any\nARCHITECTURE=\n",
		"ID=_any\n"+upper+"_SCOPE=system\n", "ID=_any\n"+upper+"_SCOPE=\"initrd system\"\n", "ID=_any\n"+upper+"_SCOPE=initrd\n", "ID=_any\n"+upper+"_SCOPE=\n", "ID=_any\n"+upper+"_SCOPE=portable\n",
		"ID=_any\nEXTENSION_RELOAD_MANAGER=1\n",
	)
	if g.one(25) {
		text = g.pick("ID = _any\n", "ID=_any # any\n", "ID=\"_any\n", "nonsense\n", "ID=_a\\ny\n", "ID=_an\"y\"\n", " ID=_any\n", "ID=_any\r\n", "ID=$x\n")
		g.c.trait("syntax")
	}
	own := at + g.release(name)
	loose := func(file, strict string) {
		f := fileWith(at+g.release(file), text)
		if strict != "" {
			f.Xattrs = map[string]string{"user.extension-release.strict": strict}
		}
		g.add(f)
	}
	switch g.IntN(16) {
	case 0: // none
	case 1:
		loose("renamed", g.pick("0", "false", "no", "1", "true", "junk", ""))
	case 2:
		loose("renamed", "0")
		loose("twice", g.pick("0", "1"))
	case 3:
		loose(strings.FieldsFunc(name+"x", func(r rune) bool { return r == '_' || r == '+' })[0], "")
	case 4:
		g.write(at+"/else/release", text)
		g.add(file{Path: own, Kind: "link", Text: g.pick("/else/release", "../../../else/release", "../../../../../../../else/release")})
	case 5:
		g.add(file{Path: own, Kind: "dir"})
	case 6:
		g.write(own, text)
		loose("other", "0")
	default:
		g.write(own, text)
	}
}

func fileWith(name, text string) file { return file{Path: name, Text: text} }

// submounts mounts something below the hierarchies.
func (g *generator) submounts() {
	h := g.hierarchies[0]
	if !g.one(5) || h == "/srv/deep/h" {
		return
	}
	g.c.trait("submounts")
	g.add(file{Path: h + "/local", Kind: "mount"})
	g.write(h+"/local/mounted", "mounted")
	switch g.IntN(4) {
	case 0:
		g.add(file{Path: h + "/local/deep", Kind: "mount"})
		g.write(h+"/local/deep/mounted", "deep")
		g.c.trait("nested submounts")
	case 1:
		g.write(h+"/share/file", "hidden")
		g.write("/srv/source", "bound")
		g.add(file{Path: h + "/share/file", Kind: "bind", Text: "/srv/source"})
	case 2:
		g.add(file{Path: h + "/local", Kind: "mount"})
		g.write(h+"/local/second", "second")
		g.c.trait("stacked submounts")
	}
}
