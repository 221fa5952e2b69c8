// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package vmtest

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/initddi/initddi/vmtest/guest"
)

func imagesUpdate() []Image {
	debian := func(version string) Image {
		return Image{Name: "debian-update-" + version, Tree: "debian-update", Usr: true, Key: "ddi", Compress: "lz4", Version: version, Release: "IMAGE_ID=debian\n"}
	}
	return []Image{
		debian("1"), debian("4"),
		{Name: "update-tool", Tree: "sysext", Key: "ddi"},
		{Name: "update-silent", Key: "ddi", Version: "2"},
		{Name: "update-damaged", From: "signed10", Damage: flip(1024)},
		{Name: "payload10", Tree: "payload-esp", Key: "ddi", Compress: "none", Version: "10"},
	}
}

// updating is a machine that runs version 1 of a system, and its second disk with what there is to be had.
func updating(more []Place, available ...Place) []Disk {
	places := append([]Place{{Path: "/loader/ddi/debian_1.raw", Image: "debian-update-1"}, {Path: "/loader/ddi/tool.sysext.raw.v/tool_1.sysext.raw", Image: "update-tool"}}, more...)
	return []Disk{{ESPSize: 512 << 20, Place: places}, {Seed: 2, Place: available}}
}

// cellsUpdate are systems that are updated while they run, and images that are destroyed under them.
func cellsUpdate() []Cell {
	const running, tool = "entering vda1:/loader/ddi/debian_1.raw", "/tool_4.sysext.raw"
	cells := []Cell{
		{Name: "update-new", Doc: "Debian's systemd-sysupdate brings a new image and an extension beside the old ones, keeps what runs and makes room; the next boot takes the new one",
			Disks: updating([]Place{{Path: "/loader/ddi/debian_2.raw", Text: "no image\n"}, {Path: "/loader/ddi/debian_3.raw", Text: "no image\n"}},
				Place{Path: "/debian_4.raw", Image: "debian-update-4"}, Place{Path: tool, Image: "update-tool"}),
			Verdict: Entered, Must: []string{"debian_3.raw refused (readable)", "debian_2.raw refused (readable)", running}, Report: updated("1",
				"debian_1.raw debian_2.raw debian_3.raw tool.sysext.raw.v/tool_1.sysext.raw", "debian_1.raw debian_3.raw debian_4.raw tool.sysext.raw.v/tool_1.sysext.raw tool.sysext.raw.v/tool_4.sysext.raw"),
			Again: []Again{{Verdict: Entered, Must: []string{"entering vda1:/loader/ddi/debian_4.raw"}, MustNot: []string{"the boot before this one"}}}},
		{Name: "update-refused", Doc: "an update that was damaged on its way is installed, refused at the next boot, and the old image boots at once",
			Disks:   updating(nil, Place{Path: "/debian_4.raw", Image: "update-damaged"}, Place{Path: tool, Image: "update-tool"}),
			Verdict: Entered, Must: []string{running}, Report: updated("1", "", "debian_1.raw debian_4.raw tool.sysext.raw.v/tool_1.sysext.raw tool.sysext.raw.v/tool_4.sysext.raw"),
			Again: []Again{{Verdict: Entered, Must: []string{"debian_4.raw refused (verity)", running}}}},
		{Name: "update-broken", Doc: "an update that boots and does not come up well is left for the old image by itself",
			Disks:   updating(nil, Place{Path: "/debian_4.raw", Image: "update-silent"}, Place{Path: tool, Image: "update-tool"}),
			Verdict: Entered, Must: []string{running}, Report: updated("1", "", "debian_1.raw debian_4.raw tool.sysext.raw.v/tool_1.sysext.raw tool.sysext.raw.v/tool_4.sysext.raw"),
			Again: []Again{
				{Verdict: Entered, Must: []string{"entering vda1:/loader/ddi/debian_4.raw", guest.Sentence}},
				{Verdict: Entered, Must: []string{"the boot before this one entered the image with root hash", "but entered 1 times without coming up well: the others are tried first", running}},
			}},
	}
	for i := range cells {
		cells[i].Credentials, cells[i].Limit = map[string]string{"initddi.report": "poweroff"}, 10*time.Minute
		cells[i].Cmdline = "systemd.firstboot=no"
	}
	cells = append(cells, cellsRemoved()...)
	for i := range cells {
		cells[i].Group, cells[i].Firmware, cells[i].Keep = "update", SecureBoot, true
	}
	return cells
}

// cellsRemoved remove the file of the running image from the ESP and use its blocks, and boot again.
func cellsRemoved() []Cell {
	removed := func(name, doc, cmdline, must string) Cell {
		return Cell{Name: name, Doc: doc, Cmdline: cmdline, Verdict: Entered,
			Disks: []Disk{{ESPSize: 64 << 20, Place: []Place{{Path: "/loader/ddi/os_10.raw", Image: "payload10"}, {Path: "/loader/ddi/os_9.raw", Image: "signed9"}}}},
			Must:  []string{"entering vda1:/loader/ddi/os_10.raw", guest.Sentence, "marker: removed /loader/ddi/os_10.raw, then " + must, "is corrupted"},
			Again: []Again{{Verdict: Entered, Must: []string{"the boot before this one ", "entering vda1:/loader/ddi/os_9.raw", guest.Sentence}, MustNot: []string{"os_10.raw"}}},
		}
	}
	fill := removed("update-removed-fill", "the running image's file is removed and the ESP filled: reading fails, no false data is read, the next boot takes another image", "ddi.corruption=eio MARKER_DESTROY=fill", "fill: ")
	fill.Check = noFalseData
	trim := removed("update-removed-trim", "the running image's file is removed and its blocks forgotten by the disk (fstrim): reading fails, no false data is read, the next boot takes another image", "ddi.corruption=eio MARKER_DESTROY=trim", "trim: ")
	trim.Check = noFalseData
	restart := removed("update-removed-restart", "the same with an OS image as it is by default: the machine restarts, and says why, and the next boot takes another image", "MARKER_DESTROY=fill", "fill: ")
	restart.Verdict, restart.Must = Restarted, append(restart.Must, sentenceCorrupt)
	return []Cell{fill, trim, restart}
}

// noFalseData judges what was read of a payload whose blocks belong to somebody else now: errors, or what was signed.
func noFalseData(f *guest.Facts) []string {
	p := f.Payload
	if p == nil {
		return []string{"the init did not read the payload"}
	}
	h := sha256.New()
	for n := range guest.PayloadBlocks {
		b := guest.PayloadBlock(n)
		if slices.Contains(p.Bad, n) {
			clear(b)
		}
		h.Write(b)
	}
	var wrong []string
	if want := hex.EncodeToString(h.Sum(nil)); p.SHA256 != want {
		wrong = append(wrong, "the init got false data: the payload's SHA-256 is "+p.SHA256+", wanted "+want)
	}
	if len(p.Bad) == 0 || !slices.Equal(p.Errors, []string{"read " + guest.PayloadPath + ": input/output error"}) {
		wrong = append(wrong, fmt.Sprintf("%d blocks cannot be read: %q, wanted some, and an I/O error", len(p.Bad), p.Errors))
	}
	for _, e := range f.Errors {
		if strings.Contains(e, "destroyed") || strings.Contains(e, "trim") {
			wrong = append(wrong, e)
		}
	}
	return wrong
}

// updated judges what a system of a version says of its update; one of another version only whether it is well, and has nothing to do.
func updated(version, before, after string) func(string) []string {
	return func(report string) []string {
		got := map[string]string{}
		said := ""
		for line := range strings.Lines(report) {
			if k, v, ok := strings.Cut(strings.TrimSpace(line), "="); ok {
				got[k] = strings.TrimSpace(v)
				if k == "said" {
					said += "\n      " + v
				}
			}
		}
		if strings.Contains(report, `"pid":1`) {
			return nil // the init of a small image
		}
		want := map[string]string{"state": "running", "mounted": "yes", "update": "0", "done": "1", "after": after}
		if got["version"] == version && before != "" {
			want["before"] = before
		}
		var wrong []string
		for k, v := range want {
			if got[k] != v {
				wrong = append(wrong, fmt.Sprintf("the system says %s=%s, wanted %s (failed: %s); sysupdate says:%s", k, got[k], v, got["failed-names"], said))
			}
		}
		// What came is as read-only as what was there.
		if want := "./debian_4.raw:400"; !strings.Contains(got["modes"], want) {
			wrong = append(wrong, fmt.Sprintf("the files on the ESP are %s, wanted %s", got["modes"], want))
		}
		if !strings.HasPrefix(got["blessed"], "good") {
			wrong = append(wrong, "the system is not blessed: "+got["blessed"])
		}
		return wrong
	}
}

// debianUpdate returns debianUsr with systemd-sysupdate, the transfer files of templates/sysupdate.d for what is on the second disk, and a report that runs it.
func (w *Workshop) debianUpdate(ctx context.Context, i Image) (string, error) {
	base, err := w.debianUsr(ctx, i)
	if err != nil {
		return "", err
	}
	var roots []string
	for _, pkg := range []string{"systemd-container", "libfdisk1"} {
		root, err := w.fetched(pkg, "trixie", pkg)
		if err != nil {
			return "", err
		}
		roots = append(roots, root)
	}
	transfers, err := filepath.Glob(filepath.Join(w.Module, "templates/sysupdate.d/*.transfer"))
	if err != nil || len(transfers) != 2 {
		return "", fmt.Errorf("cannot find the transfer files: %v, %w", transfers, err)
	}
	report := filepath.Join(w.Module, "vmtest/testdata/update-report")
	sum, err := hashFiles(append(transfers, report)...)
	if err != nil {
		return "", err
	}
	return w.make("tree-debian-update-"+i.Version, []any{w.self, base, roots, sum, i}, func(tmp string) error {
		if _, err := w.run(ctx, nil, "cp", "-a", base, tmp); err != nil {
			return err
		}
		files := map[string]string{"usr/lib/systemd/systemd-sysupdate": roots[0], "usr/lib/systemd/systemd-import": roots[0], "usr/lib/x86_64-linux-gnu/libfdisk.so.1": roots[1]}
		for name, root := range files {
			if _, err := w.run(ctx, nil, "cp", "-L", filepath.Join(root, name), filepath.Join(tmp, name)); err != nil {
				return err
			}
		}
		if _, err := w.run(ctx, nil, "cp", report, filepath.Join(tmp, "usr/lib/initddi-demo/report")); err != nil {
			return err
		}
		for _, t := range transfers {
			if err := localTransfer(t, filepath.Join(tmp, "usr/lib/sysupdate.d", filepath.Base(t))); err != nil {
				return err
			}
		}
		f, err := os.OpenFile(filepath.Join(tmp, "usr/lib/os-release"), os.O_APPEND|os.O_WRONLY, 0)
		if err != nil {
			return err
		}
		defer f.Close()
		_, err = f.WriteString("IMAGE_VERSION=" + i.Version + "\n" + i.Release)
		return err
	})
}

// localTransfer writes a transfer file whose source is a directory and not a web server.
func localTransfer(from, to string) error {
	b, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	const web, local = "Type=url-file\nPath=https://updates.example/\n", "Type=regular-file\nPath=/run/updates\n"
	if bytes.Count(b, []byte(web)) != 1 {
		return fmt.Errorf("cannot use %s: wanted %q in it", from, web)
	}
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		return err
	}
	return os.WriteFile(to, bytes.Replace(b, []byte(web), []byte(local), 1), 0o644)
}
