// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

// Marker is the init of the matrix's small images: it tells what it was handed, and powers off.
//
// It writes a sentence to the console, a line of JSON (guest.Facts) to the second serial port, and ends the machine. As an
// init it must not fail: what it cannot find out becomes an entry in the facts.
package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/initddi/initddi/internal/attempt"
	"github.com/initddi/initddi/internal/bless"
	"github.com/initddi/initddi/internal/efivar"
	"github.com/initddi/initddi/internal/floor"
	"github.com/initddi/initddi/internal/linux/efivarfs"
	"github.com/initddi/initddi/internal/linux/files"
	"github.com/initddi/initddi/internal/linux/module"
	"github.com/initddi/initddi/internal/linux/mount"
	"github.com/initddi/initddi/internal/linux/process"
	"github.com/initddi/initddi/vmtest/guest"
)

func main() {
	// First of all, before this program has opened anything itself.
	fds := inherited()
	if os.Getpid() != 1 {
		fmt.Fprintln(os.Stderr, "marker: this is the init of a test image; it runs as process 1 only")
		os.Exit(1)
	}
	fmt.Printf("%s %d\n", guest.Sentence, os.Getpid())
	g := &gatherer{facts: guest.Facts{PID: os.Getpid(), FDs: fds, Args: os.Args, Env: os.Environ(), Uptime: process.Uptime().Microseconds()}}
	g.disks()
	g.gather()
	g.obey()
	g.esp()
	g.destroy()
	g.payload()
	g.partitions()
	if err := g.send(); err != nil {
		fmt.Println("marker:", err)
	}
	// The kernel waits for disks that are being probed, and some cells have one that does not answer.
	time.AfterFunc(patience, func() { fmt.Println("marker:", process.Reset()) })
	fmt.Println("marker:", process.Reboot(process.PowerOff))
	select {}
}

// patience is how long switching the machine off may take.
const patience = 15 * time.Second

// maxFD is how far descriptors are looked for. What stage 1 might leave has low numbers.
const maxFD = 256

// inherited returns the descriptors of this process, without opening any.
func inherited() map[int]string {
	fds := map[int]string{}
	b := make([]byte, 512)
	for fd := range maxFD {
		if n, err := syscall.Readlink("/proc/self/fd/"+strconv.Itoa(fd), b); err == nil {
			fds[fd] = string(b[:n])
		}
	}
	return fds
}

type gatherer struct{ facts guest.Facts }

func (g *gatherer) note(err error) {
	if err != nil {
		g.facts.Errors = append(g.facts.Errors, err.Error())
	}
}

// read returns the trimmed content of a file, empty if it cannot be read.
func read(name string) string {
	b, err := os.ReadFile(name)
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(b))
}

func names(dir string) []string {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil
	}
	out := []string{}
	for _, e := range entries {
		out = append(out, e.Name())
	}
	return out
}

// preferred returns the driver with the highest priority for an algorithm, in the text of /proc/crypto: a paragraph each.
func preferred(text, algorithm string) (driver string) {
	best := -1
	for _, paragraph := range strings.Split(text, "\n\n") {
		field := map[string]string{}
		for _, line := range strings.Split(paragraph, "\n") {
			name, value, _ := strings.Cut(line, ":")
			field[strings.TrimSpace(name)] = strings.TrimSpace(value)
		}
		priority, err := strconv.Atoi(field["priority"])
		if err == nil && field["name"] == algorithm && priority > best {
			best, driver = priority, field["driver"]
		}
	}
	return driver
}

// disks reads how much was read of the disks that are made of nothing else (Documentation/block/stat.rst).
func (g *gatherer) disks() {
	g.facts.Read, g.facts.Disks = map[string]int64{}, map[string]string{}
	for _, node := range names("/sys/block") {
		link, err := os.Readlink("/sys/block/" + node)
		if fields := strings.Fields(read("/sys/block/" + node + "/stat")); err == nil && !strings.Contains(link, "/virtual/") && len(fields) > 2 {
			sectors, err := strconv.ParseInt(fields[2], 10, 64)
			g.note(err)
			g.facts.Read[node] = sectors * 512
			g.facts.Disks[node] = strings.TrimPrefix(link, "../devices/")
		}
	}
}

// partitions lists them, after a while if a word "marker.later=DURATION" on the kernel command line says so.
func (g *gatherer) partitions() {
	for _, word := range strings.Fields(g.facts.Cmdline) {
		if text, ok := strings.CutPrefix(word, "marker.later="); ok {
			later, err := time.ParseDuration(text)
			g.note(err)
			time.Sleep(later)
		}
	}
	for _, node := range names("/sys/block") {
		for _, name := range names("/sys/block/" + node) {
			if strings.HasPrefix(name, node) {
				g.facts.Partitions = append(g.facts.Partitions, name)
			}
		}
	}
}

func (g *gatherer) gather() {
	f := &g.facts
	f.Kernel, f.Cmdline = read("/proc/sys/kernel/osrelease"), read("/proc/cmdline")
	var err error
	f.Cwd, err = os.Getwd()
	g.note(err)
	f.RootEntries = names("/")
	f.Proofs = map[string]string{}
	for _, dir := range guest.ProofDirs() {
		for _, name := range names(dir) {
			f.Proofs[dir+"/"+name] = read(dir + "/" + name)
		}
	}
	f.Credentials = names("/run/credstore.encrypted")
	g.note(filepath.WalkDir("/.extra", func(path string, d os.DirEntry, err error) error {
		// An image without the directory is one to test, too.
		if err == nil && !d.IsDir() {
			f.Extra = append(f.Extra, path[len("/.extra/"):])
		}
		return nil
	}))
	g.mounts()
	g.blocks()
	g.processes()
	g.tpm()
	for _, line := range strings.Split(read("/proc/modules"), "\n") {
		name, _, _ := strings.Cut(line, " ")
		f.Modules = append(f.Modules, name)
	}
	slices.Sort(f.Modules)
	f.SHA256 = preferred(read("/proc/crypto"), "sha256")
	for _, line := range strings.Split(read("/proc/meminfo"), "\n") {
		if rest, ok := strings.CutPrefix(line, "MemAvailable:"); ok {
			f.MemAvailable, err = strconv.ParseInt(strings.TrimSpace(strings.TrimSuffix(rest, "kB")), 10, 64)
			g.note(err)
		}
	}
	if err := os.WriteFile("/marker-was-here", nil, 0o600); err != nil {
		f.WriteToRoot = err.Error()
	}
	f.RunIsWritable = os.WriteFile("/run/marker", nil, 0o600) == nil
	b, err := os.ReadFile("/run/initddi/boot.json")
	g.note(err)
	var compact bytes.Buffer
	if err := json.Compact(&compact, b); err == nil {
		f.Boot = compact.Bytes()
	} else {
		g.note(err)
	}
}

// mounts reads /proc/self/mountinfo (proc_pid_mountinfo(5)).
func (g *gatherer) mounts() {
	for _, line := range strings.Split(read("/proc/self/mountinfo"), "\n") {
		left, right, _ := strings.Cut(line, " - ")
		l, r := strings.Fields(left), strings.Fields(right)
		if len(l) < 6 || len(r) < 3 {
			g.note(fmt.Errorf("cannot read the mountinfo line %q", line))
			continue
		}
		g.facts.Mounts = append(g.facts.Mounts, guest.Mount{Device: l[2], Root: l[3], Path: l[4], Options: l[5], Type: r[0], Source: r[1], Super: r[2]})
	}
}

func (g *gatherer) blocks() {
	for _, node := range names("/sys/block") {
		dir := "/sys/block/" + node
		if name := read(dir + "/dm/name"); name != "" {
			g.facts.DM = append(g.facts.DM, guest.DM{Node: node, Name: name, UUID: read(dir + "/dm/uuid"), ReadOnly: read(dir+"/ro") == "1", Slaves: names(dir + "/slaves")})
		}
		if backing := read(dir + "/loop/backing_file"); backing != "" {
			offset, err := strconv.ParseInt(read(dir+"/loop/offset"), 10, 64)
			g.note(err)
			g.facts.Loops = append(g.facts.Loops, guest.Loop{Node: node, Backing: backing, AutoClear: read(dir+"/loop/autoclear") == "1",
				ReadOnly: read(dir+"/ro") == "1", DirectIO: read(dir+"/loop/dio") == "1", Offset: offset})
		}
	}
}

// processes lists what runs beside this process and the kernel's threads, which are children of process 2.
func (g *gatherer) processes() {
	g.facts.Processes = []string{}
	for _, pid := range names("/proc") {
		n, err := strconv.Atoi(pid)
		if err != nil || n <= 2 {
			continue
		}
		stat := read("/proc/" + pid + "/stat")
		fields := strings.Fields(stat[strings.LastIndexByte(stat, ')')+1:])
		if len(fields) > 1 && fields[1] != "2" {
			g.facts.Processes = append(g.facts.Processes, pid+" "+strings.ReplaceAll(read("/proc/"+pid+"/cmdline"), "\x00", " "))
		}
	}
}

// esp tries what every system does with its boot partition: mount it read-write and write to it.
func (g *gatherer) esp() {
	f := &g.facts
	var boot struct {
		Chosen struct {
			Node      string `json:"node"`
			Partition string `json:"partition"`
		} `json:"chosen"`
	}
	g.note(json.Unmarshal(f.Boot, &boot))
	node := boot.Chosen.Node
	if node != "" {
		f.Holders = names("/sys/class/block/" + node + "/holders")
	}
	if boot.Chosen.Partition == "" {
		f.ESP = "not named in boot.json"
		return
	}
	dir, err := os.OpenRoot("/usr/lib/modules/" + f.Kernel)
	if err != nil {
		f.ESP = "no vfat"
		return
	}
	for _, m := range []string{"fat.ko", "vfat.ko", "nls_cp437.ko", "nls_ascii.ko"} {
		g.note(module.LoadFrom(dir, m, ""))
	}
	f.ESP = "rw"
	if err := writeTo("/dev/" + node); err != nil {
		f.ESP = err.Error()
	}
}

func writeTo(device string) error {
	const dir = "/run/esp"
	if err := os.Mkdir(dir, 0o755); err != nil {
		return err
	}
	m, err := mount.New(mount.Request{Type: "vfat", Source: device})
	if err != nil {
		return err
	}
	if err := m.Attach(dir); err != nil {
		return err
	}
	m.Close()
	file := filepath.Join(dir, "written by the system")
	if err := os.WriteFile(file, []byte("yes\n"), 0o644); err != nil {
		return err
	}
	if err := os.Remove(file); err != nil {
		return err
	}
	return mount.Unmount(dir)
}

// waitVariable in the environment, where the kernel puts what it does not know of its command line, has the marker wait for a
// line on the console before it reads the payload.
const waitVariable = "MARKER_WAIT"

// destroyVariable in the environment has the marker do to the running image what somebody might who does not know what it is: with "fill" its
// file is removed from the boot partition, and that filled, with "trim" the disk is told to forget what is free there.
const destroyVariable = "MARKER_DESTROY"

func (g *gatherer) destroy() {
	how := os.Getenv(destroyVariable)
	if how == "" {
		return
	}
	var boot struct {
		Chosen struct {
			Node string `json:"node"`
			Path string `json:"path"`
		} `json:"chosen"`
	}
	g.note(json.Unmarshal(g.facts.Boot, &boot))
	// What this program still needs of itself has to be in memory by then.
	_, err := os.ReadFile("/proc/self/exe")
	g.note(err)
	const dir = "/run/destroyed"
	n, err := removeAndUse(how, "/dev/"+boot.Chosen.Node, dir, boot.Chosen.Path)
	fmt.Printf("marker: removed %s, then %s: %d bytes: %v\n", boot.Chosen.Path, how, n, err)
	g.note(err)
}

// removeAndUse removes a file from a FAT and uses its blocks in one way or the other. It returns how many bytes were used.
func removeAndUse(how, device, dir, file string) (n int64, err error) {
	if err := os.Mkdir(dir, 0o755); err != nil {
		return 0, err
	}
	m, err := mount.New(mount.Request{Type: "vfat", Source: device})
	if err != nil {
		return 0, err
	}
	defer m.Close()
	if err := m.Attach(dir); err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, mount.Unmount(dir)) }()
	if err := os.Remove(filepath.Join(dir, file)); err != nil {
		return 0, err
	}
	syscall.Sync()
	if how == "trim" {
		return files.Trim(dir)
	}
	f, err := os.Create(filepath.Join(dir, "more"))
	if err != nil {
		return 0, err
	}
	defer f.Close()
	for b := bytes.Repeat([]byte("false data "), 1<<16); ; {
		k, err := f.Write(b)
		n += int64(k)
		if errors.Is(err, syscall.ENOSPC) {
			return n, f.Sync()
		}
		if err != nil {
			return n, err
		}
	}
}

// payload reads the payload block by block, so that one that cannot be read does not hide the others.
func (g *gatherer) payload() {
	f, err := os.Open(guest.PayloadPath)
	if err != nil {
		return
	}
	defer f.Close()
	if os.Getenv(waitVariable) != "" {
		fmt.Println("marker: waiting for a line")
		_, err := os.Stdin.Read(make([]byte, 1))
		g.note(err)
	}
	p := &guest.PayloadFacts{}
	h := sha256.New()
	for n := range guest.PayloadBlocks {
		b := make([]byte, guest.PayloadBlockSize)
		if _, err := f.ReadAt(b, int64(n)*guest.PayloadBlockSize); err != nil {
			p.Bad = append(p.Bad, n)
			if s := err.Error(); !slices.Contains(p.Errors, s) {
				p.Errors = append(p.Errors, s)
			}
			clear(b)
		}
		h.Write(b)
	}
	p.SHA256 = hex.EncodeToString(h.Sum(nil))
	g.facts.Payload = p
}

// obey does what words on the kernel command line ask for: "marker.bless" tells stage 1 that all is well, "marker.define=LEVEL" sets the first
// rollback floor, "marker.oneshot=ENTRY" has systemd-boot start that entry once, as bootctl set-oneshot does, and "marker.record=TEXT" leaves
// TEXT as the record of attempts, as an attacker might have.
func (g *gatherer) obey() {
	dir, err := os.OpenRoot(efivars)
	if err != nil {
		return // a boot without firmware
	}
	defer dir.Close()
	name := efivar.FileName(attempt.Variable, attempt.Vendor())
	for _, word := range strings.Fields(g.facts.Cmdline) {
		if word == "marker.bless" {
			st, err := bless.Running().Bless()
			fmt.Println("marker: blessed:", st, err)
		}
		if text, ok := strings.CutPrefix(word, "marker.define="); ok {
			level, err := strconv.ParseUint(text, 10, 16)
			g.note(err)
			f, err := bless.Running().DefineFloor(floor.DefaultIndex, level)
			fmt.Println("marker: defined:", f, err)
		}
		if text, ok := strings.CutPrefix(word, "marker.oneshot="); ok {
			entry := efivar.FileName("LoaderEntryOneShot", efivar.LoaderVendor())
			fmt.Println("marker: chose an entry for the next boot:", efivarfs.Write(dir, entry, efivar.Encode(7, efivar.EncodeString(text))))
		}
		if text, ok := strings.CutPrefix(word, "marker.record="); ok {
			fmt.Println("marker: wrote a record:", efivarfs.Write(dir, name, efivar.Encode(7, []byte(text))))
		}
	}
	g.facts.Record, err = efivarfs.Read(dir, name, 4+attempt.MaxSize)
	g.note(err)
}

const efivars = "/sys/firmware/efi/efivars"

func (g *gatherer) send() error {
	b, err := json.Marshal(g.facts)
	if err != nil {
		return err
	}
	port, err := os.OpenFile(guest.Port, os.O_WRONLY|syscall.O_NOCTTY, 0)
	if err != nil {
		return err
	}
	// Firmware shows its own console on every serial port: a line of one's own begins with its beginning.
	if _, err := fmt.Fprintf(port, "\n%s\n", b); err != nil {
		return err
	}
	// Closing waits until the port has sent everything.
	return port.Close()
}
