// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package attack

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/initddi/initddi/internal/layers"
	"github.com/initddi/initddi/internal/sysext"
)

// trees sets what the cases of a group of tampered extensions have in common.
func trees(group string, cases []Case) []Case {
	for i := range cases {
		c := &cases[i]
		c.Group = group
		if c.Verdict == "" {
			c.Verdict = Refused
		}
	}
	return cases
}

// has makes a [Case.Merged]: the merged system has these files with these contents; "" is none.
func has(files map[string]string) func(string) (string, error) {
	return func(root string) (string, error) {
		for name, want := range files {
			b, err := os.ReadFile(filepath.Join(root, name))
			if want == "" && errors.Is(err, os.ErrNotExist) {
				continue
			}
			if err != nil || string(b) != want {
				return "", fmt.Errorf("%s has %q (%v), wanted %q", name, b, err, want)
			}
		}
		return "", nil
	}
}

// casesMatch are extensions that are for something else, or do not say what for.
func casesMatch() []Case {
	releases := func(text string) func(*Extension) { return func(e *Extension) { e.release(text) } }
	return trees("extension-match", []Case{
		{Name: "extension-id", Doc: "an extension for another system", Extension: releases("ID=other\nVERSION_ID=13\n"), Layer: Match, Says: "found ID=other, wanted debian"},
		{Name: "extension-version", Doc: "an extension for another version of the system", Extension: releases("ID=debian\nVERSION_ID=12\n"), Layer: Match, Says: "found VERSION_ID=12, wanted 13"},
		{Name: "extension-level", Doc: "an extension for another level of the system, and the right version", Extension: releases(fits + "SYSEXT_LEVEL=1\n"), Layer: Match, Says: "found SYSEXT_LEVEL=1, wanted 2"},
		{Name: "extension-architecture", Doc: "an extension for another architecture, and for any system", Extension: releases("ID=_any\nARCHITECTURE=s390x\n"), Layer: Match, Says: "ARCHITECTURE=s390x"},
		{Name: "extension-scope", Doc: "an extension for an initrd", Extension: releases(fits + "SYSEXT_SCOPE=initrd\n"), Layer: Match, Says: "SYSEXT_SCOPE=initrd"},
		{Name: "extension-scope-none", Doc: "an extension for nothing at all", Extension: releases("ID=_any\nSYSEXT_SCOPE=\n"), Layer: Match, Says: "SYSEXT_SCOPE"},
		{Name: "extension-initrd", Doc: "an extension that is for systems, for one that is an initrd", Extension: func(e *Extension) { e.system("etc/initrd-release", fits) }, Layer: Match, Says: "wanted initrd"},
		{Name: "extension-silent", Doc: "an extension that does not say what it is for", Extension: func(e *Extension) { e.remove("usr/lib/extension-release.d") }, Layer: Match},
		{Name: "extension-empty", Doc: "an extension whose extension-release says nothing", Extension: releases("# nothing\n"), Layer: Match},
		{Name: "extension-two-meanings", Doc: "an ID that shells and systemd read differently", Extension: releases("ID=deb\"ian\nVERSION_ID=13\n"), Layer: Match},
		{Name: "extension-escape", Doc: "an ID that moves the cursor of whoever reads why it is left out", Extension: releases("ID=\"\x1b[2J\x1b[H\"\nVERSION_ID=13\n"), Layer: Match},
		{Name: "extension-of-other-name", Doc: "an extension under another one's name", Extension: func(e *Extension) {
			must(os.Rename(e.in(e.releaseName()), e.in("usr/lib/extension-release.d/extension-release.other")))
		}, Layer: Match, Says: "extension-release.tool"},
		{Name: "extension-strict", Doc: "an extension under another one's name, whose extension-release insists on its own", Extension: func(e *Extension) {
			other := "usr/lib/extension-release.d/extension-release.other"
			must(os.Rename(e.in(e.releaseName()), e.in(other)))
			e.attribute(other, "user.extension-release.strict", "1")
		}, Layer: Match},
		{Name: "extension-two-names", Doc: "an extension with the extension-release of two others", Extension: func(e *Extension) {
			e.remove("usr/lib/extension-release.d")
			for _, name := range []string{"a", "b"} {
				e.file("usr/lib/extension-release.d/extension-release."+name, fits)
				e.attribute("usr/lib/extension-release.d/extension-release."+name, "user.extension-release.strict", "0")
			}
		}, Layer: Match, Says: "more than one extension-release"},
		{Name: "extension-link-out", Doc: "an extension-release that is a link to the system's os-release", Extension: func(e *Extension) {
			e.link(e.releaseName(), strings.Repeat("../", 12)+"usr/lib/os-release")
		}, Layer: Match},
		{Name: "extension-link-absolute", Doc: "an extension-release that is a link to a file of the machine", Extension: func(e *Extension) { e.link(e.releaseName(), "/etc/os-release") }, Layer: Match},
		{Name: "extension-link-loop", Doc: "an extension-release that is a link to itself", Extension: func(e *Extension) { e.link(e.releaseName(), filepath.Base(e.releaseName())) }, Layer: Match},
		{Name: "extension-link-in", Doc: "an extension-release that is a link to a file of the extension", Extension: func(e *Extension) {
			e.file("usr/share/release", fits)
			e.link(e.releaseName(), "../../share/release")
		}, Verdict: Harmless, Layer: Accepted, Merged: has(map[string]string{"usr/bin/tool": tool})},
		{Name: "extension-directory", Doc: "an extension-release that is a directory", Extension: func(e *Extension) {
			e.remove(e.releaseName())
			e.file(e.releaseName()+"/x", fits)
		}, Layer: Match, Says: "not a file"},
		{Name: "extension-fifo", Doc: "an extension-release that is a pipe nobody writes to", Extension: func(e *Extension) { e.node(e.releaseName(), syscall.S_IFIFO, 0, 0) }, Layer: Match, Says: "not a file"},
		{Name: "extension-endless", Doc: "an extension-release that is /dev/zero", Extension: func(e *Extension) { e.node(e.releaseName(), syscall.S_IFCHR, 1, 5) }, Layer: Match, Says: "not a file", Root: true},
		{Name: "extension-huge", Doc: "an extension-release of 4 GB", Extension: func(e *Extension) { must(os.Truncate(e.in(e.releaseName()), 4<<30)) }, Layer: Match},
		{Name: "extension-long", Doc: "an extension-release of a million lines", Extension: releases(fits + strings.Repeat("X=1\n", 1<<20)), Layer: Match},
		{Name: "extension-sysext-as-confext", Doc: "a sysext under a confext's name", Class: layers.Confext, Extension: func(e *Extension) {
			e.remove("etc")
			e.file("usr/lib/extension-release.d/extension-release.tool", fits)
			e.file("usr/bin/tool", tool)
		}, Layer: Match},
		{Name: "extension-confext-as-sysext", Doc: "a confext under a sysext's name", Extension: func(e *Extension) {
			e.remove("usr")
			e.remove("opt")
			e.file("etc/extension-release.d/extension-release.tool", fits)
			e.file("etc/tool", tool)
		}, Layer: Match},
	})
}

// casesContents are extensions with something that none may have.
func casesContents() []Case {
	return trees("extension-contents", []Case{
		{Name: "extension-os-release", Doc: "an extension with an os-release", Extension: func(e *Extension) { e.file("usr/lib/os-release", "ID=other\n") }, Layer: Contents, Says: "has /usr/lib/os-release"},
		{Name: "extension-boot-image", Doc: "a boot image under an extension's name", Extension: func(e *Extension) {
			e.remove("usr/lib")
			e.file("usr/lib/os-release", fits)
			e.file("sbin/init", "#!/bin/sh\n")
			e.file("etc/os-release", fits)
		}, Layer: Contents, Says: "has /usr/lib/os-release"},
		{Name: "extension-os-release-link", Doc: "an os-release that is a link to nowhere, as which it would hide the system's", Extension: func(e *Extension) { e.link("usr/lib/os-release", "missing") }, Layer: Contents, Says: "has /usr/lib/os-release"},
		{Name: "extension-os-release-whiteout", Doc: "an extension that removes the system's os-release", Extension: func(e *Extension) { e.whiteout("usr/lib/os-release") }, Layer: Contents, Says: "has /usr/lib/os-release"},
		{Name: "extension-lib-link", Doc: "an extension whose /usr/lib is a link, so that the system's is hidden", Extension: func(e *Extension) {
			must(os.Rename(e.in("usr/lib"), e.in("usr/lib64")))
			e.link("usr/lib", "lib64")
		}, Layer: Contents, Says: "has /usr/lib:"},
		{Name: "extension-lib-opaque", Doc: "an extension whose /usr/lib is said to replace the system's", Extension: func(e *Extension) { e.attribute("usr/lib", "trusted.overlay.opaque", "y") }, Layer: Contents, Says: "has /usr/lib with trusted.overlay.opaque", Root: true},
		{Name: "extension-lib-redirect", Doc: "an extension whose /usr/lib is said to go on in another directory of the system", Extension: func(e *Extension) { e.attribute("usr/lib", "trusted.overlay.redirect", "/bin") }, Layer: Contents, Says: "has /usr/lib with trusted.overlay.redirect", Root: true},
		{Name: "extension-lib-redirect-long", Doc: "the same by a path that is longer than other attributes", Extension: func(e *Extension) {
			deep := strings.Repeat("/"+strings.Repeat("d", 200), 5)
			e.system("usr"+deep+"/os-release", "ID=other\n")
			e.attribute("usr/lib", "trusted.overlay.redirect", deep)
		}, Layer: Contents, Says: "has /usr/lib with trusted.overlay.redirect", Root: true},
		{Name: "extension-force-os-release", Doc: "an extension with an os-release, --force", Extension: func(e *Extension) { e.file("usr/lib/os-release", "ID=other\n") }, Options: &sysext.Options{Force: true}, Layer: Contents},
		{Name: "extension-metadata", Doc: "an extension that pretends to be a merge", Extension: func(e *Extension) {
			e.file("usr/.systemd-sysext/dev", "0:1\n")
			e.file("usr/.systemd-sysext/extensions", "trusted\n")
		}, Layer: Contents, Says: "has /usr/.systemd-sysext"},
		{Name: "extension-metadata-work", Doc: "an extension that has a directory of the system removed when it is taken out", Extension: func(e *Extension) { e.file("usr/.systemd-sysext/work_dir", "/home/.systemd-mine-workdir\n") }, Layer: Contents, Says: "has /usr/.systemd-sysext"},
		{Name: "extension-metadata-link", Doc: "a link in the place of the metadata", Extension: func(e *Extension) { e.link("usr/.systemd-sysext", "/etc") }, Layer: Contents, Says: "has /usr/.systemd-sysext"},
		{Name: "extension-metadata-whiteout", Doc: "an extension that removes the metadata", Extension: func(e *Extension) { e.whiteout("usr/.systemd-sysext") }, Layer: Contents, Says: "has /usr/.systemd-sysext"},
		{Name: "extension-metadata-opt", Doc: "metadata in the extension's /opt, --force", Extension: func(e *Extension) { e.file("opt/.systemd-sysext/work_dir", "/home/.systemd-mine-workdir\n") }, Options: &sysext.Options{Force: true}, Layer: Contents, Says: "has /opt/.systemd-sysext"},
		{Name: "extension-metadata-confext", Doc: "a confext that pretends to be a merge", Class: layers.Confext, Extension: func(e *Extension) { e.file("etc/.systemd-confext/confexts", "trusted\n") }, Layer: Contents, Says: "has /etc/.systemd-confext"},
		{Name: "extension-confext-os-release", Doc: "a confext with an os-release: systemd takes that, stage 1 does not", Class: layers.Confext, Extension: func(e *Extension) { e.file("etc/os-release", "ID=other\n") }, Layer: Contents, Says: "has /etc/os-release",
			DirectVerdict: Harmless, DirectLayer: Accepted, Identity: true},
		{Name: "extension-confext-initrd", Doc: "a confext that makes an OS image an initrd image: systemd takes that, stage 1 does not", Class: layers.Confext, Extension: func(e *Extension) { e.file("etc/initrd-release", fits) }, Layer: Contents, Says: "has /etc/initrd-release",
			DirectVerdict: Harmless, DirectLayer: Accepted},
		{Name: "extension-hierarchy-file", Doc: "an extension whose /opt is a file", Extension: func(e *Extension) {
			e.remove("opt")
			e.file("opt", "a file")
		}, Layer: Merge, Says: "cannot read /opt in the extension tool"},
		{Name: "extension-thousand", Doc: "a thousand extensions: the kernel takes 500 layers", Extension: func(e *Extension) {
			for i := range 1000 {
				name := fmt.Sprintf("more%03d", i)
				e.another(name).file("usr/share/"+name, name)
				e.More = append(e.More, name)
			}
		}, Layer: Merge, Says: "too many layers"},
	})
}

// casesInside are extensions that reach for what is not theirs, or are as odd as an extension may be.
func casesInside() []Case {
	yes := true
	return trees("extension-inside", []Case{
		{Name: "extension-usr-link", Doc: "an extension whose /usr is a link to /etc: to its own", Extension: func(e *Extension) {
			must(os.Rename(e.in("usr"), e.in("etc")))
			e.link("usr", "/etc")
		}, Verdict: Harmless, Layer: Accepted, Merged: has(map[string]string{"usr/bin/tool": tool, "usr/passwd": "", "etc/bin/tool": ""})},
		{Name: "extension-opt-link-up", Doc: "an extension whose /opt is a link to above it", Extension: func(e *Extension) { e.link("opt", "../../../../../..") }, Verdict: Harmless, Layer: Accepted, Merged: has(map[string]string{"opt/usr/bin/tool": tool, "opt/etc/passwd": ""})},
		{Name: "extension-opt-link-nowhere", Doc: "an extension whose /opt is a link to nowhere", Extension: func(e *Extension) { e.link("opt", "/home") }, Verdict: Harmless, Layer: Accepted, Merged: has(map[string]string{"opt/.systemd-mine-workdir/letter": "", "opt/neighbour/x": neighbour})},
		{Name: "extension-etc", Doc: "a sysext with an /etc, which is none of its hierarchies", Extension: func(e *Extension) { e.file("etc/passwd", "me") }, Verdict: Harmless, Layer: Accepted, Merged: has(map[string]string{"etc/passwd": "root", "usr/bin/tool": tool})},
		{Name: "extension-confext-usr", Doc: "a confext with a /usr, which is none of its hierarchies", Class: layers.Confext, Extension: func(e *Extension) { e.file("usr/bin/tool", "mine") }, Verdict: Harmless, Layer: Accepted, Merged: has(map[string]string{"usr/bin/tool": "the system's", "etc/tool": tool})},
		{Name: "extension-dots", Doc: "files called after what leads out of a directory", Extension: func(e *Extension) {
			e.file("usr/share/...", "dots")
			e.file("usr/share/..\\..\\etc", "dots")
		}, Verdict: Harmless, Layer: Accepted, Merged: has(map[string]string{"usr/share/...": "dots", "etc/passwd": "root"})},
		{Name: "extension-program", Doc: "an extension that replaces a program of the system: that is what it is signed for", Extension: func(e *Extension) { e.file("usr/lib/systemd/systemd", "mine") }, Verdict: Harmless, Layer: Accepted, Merged: has(map[string]string{"usr/lib/systemd/systemd": "mine"})},
		{Name: "extension-whiteout", Doc: "an extension that removes a file of the system", Extension: func(e *Extension) { e.whiteout("usr/bin/tool") }, Verdict: Harmless, Layer: Accepted, Merged: has(map[string]string{"usr/bin/tool": ""})},
		{Name: "extension-opaque", Doc: "an extension with a directory that replaces one of the system", Extension: func(e *Extension) {
			e.file("usr/share/mine", "mine")
			e.attribute("usr/share", "trusted.overlay.opaque", "y")
			e.system("usr/share/doc", "doc")
		}, Verdict: Harmless, Layer: Accepted, Merged: has(map[string]string{"usr/share/mine": "mine", "usr/share/doc": ""}), Root: true},
		{Name: "extension-opaque-top", Doc: "an extension whose whole /usr is said to replace the system's: the top of a layer replaces nothing", Extension: func(e *Extension) { e.attribute("usr", "trusted.overlay.opaque", "y") }, Verdict: Harmless, Layer: Accepted, Root: true},
		{Name: "extension-redirect", Doc: "an extension with a directory that is said to go on in another one of the system", Extension: func(e *Extension) {
			e.file("usr/share/mine", "mine")
			e.attribute("usr/share", "trusted.overlay.redirect", "/lib")
			e.system("usr/share/doc", "doc")
		}, Verdict: Harmless, Layer: Accepted, Merged: has(map[string]string{"usr/share/secret": "secret"}), Root: true},
		{Name: "extension-metacopy", Doc: "an extension with a file that is said to have its content elsewhere in the system", Extension: func(e *Extension) {
			e.attribute("usr/bin/tool", "trusted.overlay.metacopy", "")
			e.attribute("usr/bin/tool", "trusted.overlay.redirect", "/lib/secret")
		}, Verdict: Contained, Layer: Flags, Merged: func(root string) (string, error) {
			b, err := os.ReadFile(root + "/usr/bin/tool")
			if !errors.Is(err, syscall.EPERM) {
				return "", fmt.Errorf("usr/bin/tool has %q (%v), wanted that it cannot be opened", b, err)
			}
			return err.Error(), nil
		}, Root: true},
		{Name: "extension-user-attributes", Doc: "the overlay's attributes as anybody can set them mean nothing", Extension: func(e *Extension) {
			e.attribute("usr/lib", "user.overlay.opaque", "y")
			e.attribute("usr/bin", "user.overlay.redirect", "/lib")
		}, Verdict: Harmless, Layer: Accepted, Merged: has(map[string]string{"usr/bin/tool": tool})},
		{Name: "extension-top", Doc: "an extension whose /usr belongs to somebody else and is writable by all", Extension: func(e *Extension) { must(os.Chmod(e.in("usr"), 0o777)) }, Verdict: Harmless, Layer: Accepted},
		{Name: "extension-device", Doc: "a device node in a sysext", Extension: func(e *Extension) { e.node("usr/bin/zero", syscall.S_IFCHR, 1, 5) }, Verdict: Contained, Layer: Flags, Merged: unopened("usr/bin/zero"), Root: true},
		{Name: "extension-device-confext", Doc: "a device node in a confext", Class: layers.Confext, Extension: func(e *Extension) { e.node("etc/zero", syscall.S_IFCHR, 1, 5) }, Verdict: Contained, Layer: Flags, Merged: unopened("etc/zero"), Root: true},
		{Name: "extension-program-confext", Doc: "a program in a confext", Class: layers.Confext, Extension: executable("etc/run"), Verdict: Contained, Layer: Flags, Merged: unstarted("etc/run")},
		{Name: "extension-setuid-confext", Doc: "a program in a confext that would run as another user, with --noexec=no", Class: layers.Confext, Extension: func(e *Extension) {
			executable("etc/run")(e)
			must(os.Chmod(e.in("etc/run"), 0o755|os.ModeSetuid))
		}, Options: &sysext.Options{NoExec: new(bool)}, Verdict: Contained, Layer: Flags, Merged: noSuid("etc")},
		{Name: "extension-noexec", Doc: "a program in a sysext, with --noexec=yes", Extension: executable("usr/bin/run"), Options: &sysext.Options{NoExec: &yes}, Verdict: Contained, Layer: Flags, Merged: unstarted("usr/bin/run")},
		{Name: "extension-fifo-inside", Doc: "a pipe in an extension", Extension: func(e *Extension) { e.node("usr/share/pipe", syscall.S_IFIFO, 0, 0) }, Verdict: Harmless, Layer: Accepted},
		{Name: "extension-mounted", Doc: "an extension that puts a link where something of the system is mounted", Extension: func(e *Extension) {
			e.mount("/usr/local")
			e.link("usr/local", "/bin")
		}, Layer: Merge, Says: "a link leads to"},
	})
}

// casesNames are names, and places, of extensions.
func casesNames() []Case {
	called := func(name string) func(*Extension) { return func(e *Extension) { e.rename(name) } }
	merged := has(map[string]string{"usr/bin/tool": tool, "opt/tool/x": tool})
	return trees("extension-names", []Case{
		{Name: "extension-name-newline", Doc: "a name of two lines: a line of the metadata each", Extension: called("a\ntrusted"), Layer: Name},
		{Name: "extension-name-escape", Doc: "a name that moves the cursor of whoever reads it", Extension: called("a\x1b[2Jb"), Layer: Name},
		{Name: "extension-name-control", Doc: "a name with a control character", Extension: called("a\x7fb"), Layer: Name},
		{Name: "extension-name-utf8", Doc: "a name that is not UTF-8", Extension: called("a\xff\xfeb"), Layer: Name},
		{Name: "extension-name-temporary", Doc: "the name of something that is just being written", Extension: called(".#tool"), Layer: Name},
		{Name: "extension-name-separators", Doc: "a name with all that separates layers and options", Extension: called(`a:b,c\d=e"f`), Verdict: Harmless, Layer: Accepted, Merged: merged},
		{Name: "extension-name-options", Doc: "a name that would be the overlay's options", Extension: called("x,upperdir=,workdir="), Verdict: Harmless, Layer: Accepted, Merged: merged},
		{Name: "extension-name-long", Doc: "a name that leaves no room for the extension-release that goes with it", Extension: func(e *Extension) {
			e.move(filepath.Dir(e.At) + "/" + strings.Repeat("n", 255))
			e.Name = strings.Repeat("n", 255)
		}, Layer: Match},
		{Name: "extension-name-spaces", Doc: "a name of spaces", Extension: called("   "), Verdict: Harmless, Layer: Accepted, Merged: merged},
		{Name: "extension-pipe", Doc: "a pipe with the name of an image", Search: true, Extension: func(e *Extension) {
			must(os.RemoveAll(e.Root + e.At))
			must(syscall.Mkfifo(e.Root+e.At+".raw", 0o644))
		}, Layer: Name},
		{Name: "extension-loop", Doc: "a link to itself with the name of an extension", Search: true, Extension: func(e *Extension) {
			must(os.RemoveAll(e.Root + e.At))
			must(os.Symlink(tool, e.Root+e.At))
		}, Layer: Name},
		{Name: "extension-two-places", Doc: "an extension that is for something else, in a place that goes before that of the good one", Search: true, Extension: func(e *Extension) {
			other := *e
			other.At = e.places()[0] + "/" + tool
			other.release("ID=other\n")
		}, Layer: Match, Says: "found ID=other"},
		{Name: "extension-twice", Doc: "the same name twice: the first counts", Extension: func(e *Extension) {
			second := *e
			second.At, e.Twice = "/srv/second", "/srv/second"
			second.release(fits)
			second.file("usr/bin/tool", "second")
		}, Verdict: Harmless, Layer: Accepted, Merged: merged},
		{Name: "extension-collision", Doc: "two extensions with a file of one name: that of the one whose name comes last counts", Extension: func(e *Extension) {
			e.another("tool-2").file("usr/bin/tool", "second")
			e.another("aaa").file("usr/bin/tool", "third")
			e.More = []string{"tool-2", "aaa"}
		}, Verdict: Harmless, Layer: Accepted, Merged: has(map[string]string{"usr/bin/tool": "second"})},
		{Name: "extension-collision-kinds", Doc: "two extensions, a directory in the one where the other has a file", Extension: func(e *Extension) {
			e.another("tool-2").file("usr/bin/tool/x", "second")
			e.More = []string{"tool-2"}
		}, Verdict: Harmless, Layer: Accepted, Merged: has(map[string]string{"usr/bin/tool/x": "second"})},
	})
}

// executable puts a program into the extension.
func executable(name string) func(*Extension) {
	return func(e *Extension) {
		e.file(name, "#!/bin/sh\nexit 0\n")
		must(os.Chmod(e.in(name), 0o755))
	}
}

// unopened looks whether a device node cannot be opened because of the mount's flags.
func unopened(name string) func(string) (string, error) {
	return func(root string) (string, error) {
		f, err := os.Open(root + "/" + name)
		if errors.Is(err, syscall.EACCES) {
			return err.Error(), nil
		}
		if err != nil {
			return "", err
		}
		defer f.Close()
		n, err := io.ReadFull(f, make([]byte, 1))
		return "", fmt.Errorf("%d bytes could be read from the device %s: %w", n, name, err)
	}
}

// unstarted looks whether a program cannot be started because of the mount's flags.
func unstarted(name string) func(string) (string, error) {
	return func(root string) (string, error) {
		err := exec.Command(root + "/" + name).Run()
		if errors.Is(err, syscall.EACCES) {
			return err.Error(), nil
		}
		return "", fmt.Errorf("the program %s could be started: %w", name, err)
	}
}

// noSuid looks whether the mount does not let programs run as another user.
func noSuid(dir string) func(string) (string, error) {
	return func(root string) (string, error) {
		var st syscall.Statfs_t
		if err := syscall.Statfs(root+"/"+dir, &st); err != nil {
			return "", err
		}
		if st.Flags&syscall.MS_NOSUID == 0 {
			return "", fmt.Errorf("/%s is mounted without nosuid: flags %#x", dir, st.Flags)
		}
		return "it is mounted with nosuid", nil
	}
}
