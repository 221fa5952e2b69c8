// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package gpt

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/initddi/initddi/internal/guid"
)

// tool finds a program, also in the directories that are not in everybody's PATH.
func tool(t *testing.T, name, pkg string) string {
	t.Helper()
	for _, dir := range []string{"", "/usr/sbin/", "/sbin/"} {
		if p, err := exec.LookPath(dir + name); err == nil {
			return p
		}
	}
	t.Skipf("needs %s (Debian package %s)", name, pkg)
	return ""
}

func run(t *testing.T, stdin string, args ...string) string {
	t.Helper()
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Stdin = strings.NewReader(stdin)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s: %v\n%s%s", strings.Join(args, " "), err, out, stderr.Bytes())
	}
	return string(out)
}

func writeFile(t *testing.T, m image) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "disk.raw")
	if err := os.WriteFile(name, m, 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

func readFile(t *testing.T, name string) *Table {
	t.Helper()
	m, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	table, err := Read(image(m), int64(len(m)), 0)
	if err != nil {
		t.Fatal(err)
	}
	return table
}

// sgdiskLikes runs sgdisk's check. Damage to the backup it repairs in memory, with a caution, before it checks.
func sgdiskLikes(t *testing.T, sgdisk, name string) bool {
	t.Helper()
	out := run(t, "", sgdisk, "-v", name)
	good := strings.Contains(out, "No problems found.") && !strings.Contains(out, "corrupt") && !strings.Contains(out, "Warning")
	if !good {
		t.Logf("sgdisk -v:\n%s", out)
	}
	return good
}

// TestSgdiskVerifies has our tables judged by sgdisk, which only knows 512-byte sectors in files.
func TestSgdiskVerifies(t *testing.T) {
	sgdisk := tool(t, "sgdisk", "gdisk")
	m := testImage(t, 512)
	if !sgdiskLikes(t, sgdisk, writeFile(t, m)) {
		t.Error("sgdisk finds fault")
	}
	m[199*512+30]++
	if sgdiskLikes(t, sgdisk, writeFile(t, m)) {
		t.Error("sgdisk takes anything")
	}
}

// sfdiskSees compares what sfdisk reads from the file or device name with want.
func sfdiskSees(t *testing.T, sfdisk, name string, want *Table) {
	t.Helper()
	var got struct {
		PartitionTable struct {
			Label, ID                     string
			FirstLBA, LastLBA, SectorSize int64
			Partitions                    []struct {
				Node                    string
				Start, Size             uint64
				Type, UUID, Name, Attrs string
			}
		}
	}
	out := run(t, "", sfdisk, "--json", name)
	if err := json.Unmarshal([]byte(out), &got); err != nil {
		t.Fatalf("%v in\n%s", err, out)
	}
	pt := got.PartitionTable
	if pt.Label != "gpt" || !strings.EqualFold(pt.ID, want.DiskUUID.String()) || pt.SectorSize != want.SectorSize ||
		uint64(pt.FirstLBA) != want.FirstUsable || uint64(pt.LastLBA) != want.LastUsable || len(pt.Partitions) != len(want.Partitions) {
		t.Fatalf("sfdisk says\n%s", out)
	}
	attrs := []string{"GUID:60,63", "GUID:60", ""}
	for i, p := range pt.Partitions {
		w := want.Partitions[i]
		if !strings.HasPrefix(p.Node, name) || !strings.HasSuffix(p.Node, fmt.Sprint(w.Number)) || p.Start != w.FirstLBA || p.Size != w.LastLBA-w.FirstLBA+1 ||
			p.Name != w.Name || !strings.EqualFold(p.Type, w.Type.String()) || !strings.EqualFold(p.UUID, w.UUID.String()) || p.Attrs != attrs[i] {
			t.Errorf("sfdisk says %+v, want %+v", p, w)
		}
	}
	run(t, "", sfdisk, "--verify", name)
}

func TestSfdiskReads(t *testing.T) {
	name := writeFile(t, testImage(t, 512))
	sfdiskSees(t, tool(t, "sfdisk", "fdisk"), name, readFile(t, name))
}

// TestPartxReads compares what libblkid, systemd's reader, sees for each sector size.
func TestPartxReads(t *testing.T) {
	partx := tool(t, "partx", "util-linux")
	for _, ss := range []int64{512, 1024, 2048, 4096} {
		name := writeFile(t, testImage(t, ss))
		out := run(t, "", partx, "--raw", "--noheadings", "-b", "-o", "NR,START,SECTORS,SIZE,UUID,TYPE,FLAGS,SCHEME", "--sector-size", fmt.Sprint(ss), name)
		var want strings.Builder
		for _, p := range readFile(t, name).Partitions {
			// libblkid counts in 512-byte sectors, whatever the table does.
			fmt.Fprintf(&want, "%d %d %d %d %s %s %#x gpt\n", p.Number, p.Offset(ss)/512, p.Size(ss)/512, p.Size(ss), p.UUID, p.Type, p.Attributes)
		}
		if out != want.String() {
			t.Errorf("sector size %d: partx says\n%swant\n%s", ss, out, &want)
		}
	}
}

// TestLoop4096 exchanges tables for 4096-byte sectors with tools that ask the device for its sector size.
func TestLoop4096(t *testing.T) {
	sgdisk, sfdisk, losetup := tool(t, "sgdisk", "gdisk"), tool(t, "sfdisk", "fdisk"), tool(t, "losetup", "mount")
	if os.Geteuid() != 0 {
		t.Skip("needs root for a loop device")
	}
	name := writeFile(t, testImage(t, 4096))
	out, err := exec.Command(losetup, "-f", "--show", "-b", "4096", name).CombinedOutput()
	if err != nil {
		t.Skipf("needs loop devices: %v: %s", err, out)
	}
	dev := strings.TrimSpace(string(out))
	t.Cleanup(func() { run(t, "", losetup, "-d", dev) })
	if !sgdiskLikes(t, sgdisk, dev) {
		t.Error("sgdisk finds fault")
	}
	sfdiskSees(t, sfdisk, dev, readFile(t, name))

	run(t, "", sgdisk, "-Z", dev)
	run(t, "", sgdisk, "-a", "1", "-n", "1:50:60", "-t", "1:ef00", "-c", "1:ESP", dev)
	got := readFile(t, name)
	if len(got.Partitions) != 1 || got.SectorSize != 4096 || got.Backup {
		t.Fatalf("got %+v", got)
	}
	if p := got.Partitions[0]; p.Number != 1 || p.FirstLBA != 50 || p.LastLBA != 60 || p.Type != mustType(ESP) || p.Name != "ESP" {
		t.Errorf("got %+v", p)
	}
}

// TestReadsSfdisk reads a table that sfdisk wrote.
func TestReadsSfdisk(t *testing.T) {
	sfdisk := tool(t, "sfdisk", "fdisk")
	name := writeFile(t, make(image, 4<<20))
	run(t, "label: gpt\nlabel-id: "+testDiskUUID+"\nfirst-lba: 64\n"+
		"2: start=100, size=50, type=4f68bce3-e8cd-4db1-96e7-fbcaf984b709, uuid="+testRootUUID+", name=\"grüße\", attrs=\"GUID:59,60\"\n",
		sfdisk, "-q", name)
	want := &Table{
		SectorSize: 512, DiskUUID: guid.MustParse(testDiskUUID), FirstUsable: 64, LastUsable: 8158,
		Partitions: []Partition{{
			Number: 2, Type: mustType(Root), UUID: guid.MustParse(testRootUUID), FirstLBA: 100, LastLBA: 149,
			Attributes: AttrGrowFS | AttrReadOnly, Name: "grüße",
		}},
	}
	if got := readFile(t, name); !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

// TestReadsSgdisk reads what sgdisk writes, and its backup after the front of the disk was wiped.
func TestReadsSgdisk(t *testing.T) {
	sgdisk := tool(t, "sgdisk", "gdisk")
	name := writeFile(t, make(image, 4<<20))
	run(t, "", sgdisk, "-a", "8", "-n", "1:40:+1M", "-t", "1:8300", "-c", "1:Linux", "-n", "128:0:0", "-t", "128:ef00", "-A", "128:set:63", name)
	got := readFile(t, name)
	if len(got.Partitions) != 2 || got.Backup {
		t.Fatalf("got %+v", got)
	}
	a, b := got.Partitions[0], got.Partitions[1]
	if d, _, _ := Lookup(a.Type); a.Number != 1 || a.FirstLBA != 40 || a.LastLBA != 2087 || a.Name != "Linux" || d != Generic || a.UUID.IsZero() {
		t.Errorf("got %+v", a)
	}
	if d, _, _ := Lookup(b.Type); b.Number != 128 || b.LastLBA != got.LastUsable || d != ESP || b.Attributes != AttrNoAuto {
		t.Errorf("got %+v", b)
	}
	m, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	clear(m[:34*512])
	backup, err := Read(image(m), int64(len(m)), 0)
	if err != nil || !backup.Backup || !reflect.DeepEqual(backup.Partitions, got.Partitions) {
		t.Errorf("backup: got %+v, %v", backup, err)
	}
}

// TestReadsRepart reads a table by systemd-repart, with its own names, types and attributes.
func TestReadsRepart(t *testing.T) {
	repart := tool(t, "systemd-repart", "systemd")
	defs := t.TempDir()
	for name, text := range map[string]string{
		"10-root.conf":  "[Partition]\nType=root-x86-64\nSizeMinBytes=1M\nSizeMaxBytes=1M\nReadOnly=yes\nLabel=my root\n",
		"20-sig.conf":   "[Partition]\nType=root-x86-64-verity-sig\nSizeMinBytes=16K\nSizeMaxBytes=16K\n",
		"30-arm64.conf": "[Partition]\nType=usr-arm64\nSizeMinBytes=1M\nSizeMaxBytes=1M\nGrowFileSystem=yes\n",
	} {
		if err := os.WriteFile(filepath.Join(defs, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	name := filepath.Join(t.TempDir(), "disk.raw")
	run(t, "", repart, "--empty=create", "--size=8M", "--dry-run=no", "--seed="+testDiskUUID, "--definitions="+defs, name)
	var got []string
	for _, p := range readFile(t, name).Partitions {
		d, a, _ := Lookup(p.Type)
		got = append(got, fmt.Sprintf("%d %s %s %q %#x %d", p.Number, d, a, p.Name, p.Attributes, p.Size(512)))
	}
	want := []string{
		`1 root x86-64 "my root" 0x1000000000000000 1048576`,
		`2 root-verity-sig x86-64 "root-x86-64-verity-sig" 0x0 16384`,
		`3 usr arm64 "usr-arm64" 0x800000000000000 1048576`,
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}
