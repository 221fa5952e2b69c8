// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package vmtest

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/initddi/initddi/internal/report"
	"github.com/initddi/initddi/vmtest/guest"
)

// What the next init must find, whatever image it is out of: the hand-over's contract (docs/ARCHITECTURE.md).

// checker gathers what is wrong.
type checker struct {
	wrong []string
	usr   bool // the root is one in memory
	// elsewhere says that the image is not on the ESP.
	elsewhere bool
	held      int64 // kB of memory that an image in memory may take
}

func (c *checker) ok(is bool, format string, args ...any) {
	if !is {
		c.wrong = append(c.wrong, fmt.Sprintf("hand-over: "+format, args...))
	}
}

// contractOS is the contract for an OS image that is used in place.
func contractOS(f *guest.Facts) []string {
	c := &checker{}
	boot := c.common(f)
	c.ok(boot.Kind == "os", "boot.json says kind %q, wanted os", boot.Kind)
	c.ok(boot.Corruption == "restart", "boot.json says corruption %q, wanted restart", boot.Corruption)
	c.devices(f, "root")
	c.inPlace(f, boot)
	return c.wrong
}

// contractInitrd is the one for an initrd image.
func contractInitrd(f *guest.Facts) []string {
	c := &checker{}
	boot := c.common(f)
	c.ok(boot.Kind == "initrd", "boot.json says kind %q, wanted initrd", boot.Kind)
	c.ok(boot.Corruption == "eio", "boot.json says corruption %q, wanted eio", boot.Corruption)
	c.devices(f, boot.RootHash+"-verity")
	c.inPlace(f, boot)
	return c.wrong
}

// contractUsr is the one for an image of /usr: it lies at /usr of a root in memory, with the links that lead into it.
func contractUsr(f *guest.Facts) []string {
	c := &checker{usr: true}
	boot := c.common(f)
	c.ok(boot.Kind == "os" && boot.Device == "usr", "boot.json says kind %q, device %q, wanted os and usr", boot.Kind, boot.Device)
	usr := f.At("/usr")
	c.ok(usr != nil && usr.Source == "/dev/mapper/usr" && slices.Contains(strings.Split(usr.Options, ","), "ro"), "at /usr there is %+v, wanted /dev/mapper/usr, read-only", usr)
	c.ok(f.At("/").Type == "tmpfs", "the root is %s, wanted tmpfs", f.At("/").Type)
	for _, name := range []string{"lib", "sbin", "etc", "var", "root", "usr", "dev", "proc", "sys", "run"} {
		c.ok(slices.Contains(f.RootEntries, name), "the root has %q, without %s", f.RootEntries, name)
	}
	c.inPlace(f, boot)
	return c.wrong
}

// copied is the one for an image in memory.
func copied(f *guest.Facts) []string {
	c := &checker{}
	boot := c.common(f)
	c.ok(boot.Copied, "boot.json does not say that the image was copied")
	c.ok(len(f.DM) == 1 && f.DM[0].Name == "root", "the dm devices are %v, wanted root alone", f.DM)
	c.ok(len(f.Loops) == 1 && strings.Contains(f.Loops[0].Backing, "memfd:"), "the loop devices are %v, wanted one over memory", f.Loops)
	return c.wrong
}

// contractUEFI is the one for an OS image that was booted through systemd-stub.
func contractUEFI(f *guest.Facts) []string {
	c := &checker{wrong: contractOS(f)}
	c.ok(f.At(efivars) != nil, "efivarfs is not mounted")
	for _, name := range []string{"os-release", "credentials/matrix.cred"} {
		c.ok(slices.Contains(f.Extra, name), "/.extra holds %q, without %s, which the stub puts there", f.Extra, name)
	}
	return c.wrong
}

// contractCredentials is that one for an image without a directory /.extra: services find the credentials in the store. A variable for systemd would
// keep it from importing those of the firmware.
func contractCredentials(f *guest.Facts) []string {
	c := &checker{wrong: contractOS(f)}
	c.ok(slices.Equal(f.Credentials, []string{"matrix"}), "/run/credstore.encrypted holds %q, wanted matrix", f.Credentials)
	return c.wrong
}

// rootIs is the contract and a file system.
func rootIs(fstype string) func(*guest.Facts) []string {
	return func(f *guest.Facts) []string {
		c := &checker{wrong: contractOS(f)}
		c.ok(f.At("/").Type == fstype, "the root is %s, wanted %s", f.At("/").Type, fstype)
		return c.wrong
	}
}

// namesRefused is the contract, and that boot.json has the one candidate that was refused before.
func namesRefused(candidate, rule string) func(*guest.Facts) []string {
	return func(f *guest.Facts) []string {
		c := &checker{wrong: contractOS(f)}
		boot := &report.Boot{}
		err := json.Unmarshal(f.Boot, boot)
		c.ok(err == nil && len(boot.Refused) == 1 && boot.Refused[0].Candidate == candidate && boot.Refused[0].Rule == rule,
			"boot.json says that %+v were refused, wanted %s (%s)", boot.Refused, candidate, rule)
		return c.wrong
	}
}

// arguments checks what "MATRIX=yes bareword -- one two" becomes: the kernel gives to init what it does not know itself.
func arguments(f *guest.Facts) []string {
	c := &checker{wrong: contractOS(f)}
	want := []string{"/sbin/init", "bareword", "one", "two"}
	c.ok(slices.Equal(f.Args, want), "the arguments are %q, wanted %q", f.Args, want)
	c.ok(slices.Contains(f.Env, "MATRIX=yes"), "the environment is %q, without MATRIX=yes", f.Env)
	return c.wrong
}

// carried are the mounts that go into the new root, with the options they must have and the ones they must not.
func carried() []struct{ path, fstype, has, not string } {
	return []struct{ path, fstype, has, not string }{
		{"/dev", "devtmpfs", "nosuid", "noexec"},
		{"/proc", "proc", "nosuid,nodev,noexec", "ro"},
		{"/sys", "sysfs", "nosuid,nodev,noexec", "ro"},
		{"/run", "tmpfs", "nosuid,nodev", "noexec"},
	}
}

// common checks what holds for every image, and returns what boot.json says of the chosen one.
func (c *checker) common(f *guest.Facts) *report.Chosen {
	c.ok(f.PID == 1, "the next init is process %d", f.PID)
	c.ok(f.Cwd == "/", "the working directory is %s", f.Cwd)
	c.ok(len(f.Errors) == 0, "the marker could not find out: %q", f.Errors)
	c.ok(len(f.Processes) == 0, "processes were left behind: %q", f.Processes)
	c.ok(len(f.FDs) == 3, "the open descriptors are %v, wanted 0, 1 and 2", f.FDs)
	for fd := range 3 {
		c.ok(f.FDs[fd] == "/dev/console", "descriptor %d is %q, wanted /dev/console", fd, f.FDs[fd])
	}
	for _, e := range f.Env {
		name, _, _ := strings.Cut(e, "=")
		c.ok(slices.Contains([]string{"HOME", "TERM", "MATRIX"}, name), "the environment has %q, which the kernel did not give", e)
	}
	for _, a := range f.Args {
		c.ok(!strings.HasPrefix(a, "--"), "the next init is told %q", a)
	}
	c.mounts(f)
	if c.usr {
		c.ok(f.WriteToRoot == "", "writing to the root in memory gives %q", f.WriteToRoot)
	} else {
		c.ok(strings.Contains(f.WriteToRoot, "read-only file system"), "writing to the root gives %q", f.WriteToRoot)
	}
	c.ok(f.RunIsWritable, "/run cannot be written to")
	if !c.elsewhere {
		c.ok(slices.Contains([]string{"rw", "no vfat"}, f.ESP), "the ESP cannot be mounted read-write: %s", f.ESP)
	}
	// Of 1 GiB there are 857 to 878 MB, and with firmware 830 to 834: this finds an image or a pile of files that was left in
	// memory, not the last megabyte. ./just bench measures that.
	enough := int64(850_000)
	if f.At(efivars) != nil {
		enough = 815_000
	}
	enough -= c.held
	c.ok(f.MemAvailable > enough, "%d kB of memory are available, wanted at least %d", f.MemAvailable, enough)
	boot := &report.Boot{}
	if err := json.Unmarshal(f.Boot, boot); err != nil || boot.Chosen == nil {
		c.ok(false, "boot.json names no image: %v", err)
		return &report.Chosen{}
	}
	c.ok(boot.Version == report.Version, "boot.json has version %d, wanted %d", boot.Version, report.Version)
	c.ok(boot.Kernel == f.Kernel, "boot.json names kernel %q, this is %q", boot.Kernel, f.Kernel)
	c.ok(len(boot.Stages) >= 8, "boot.json has %d stages", len(boot.Stages))
	c.hashing(f, boot)
	c.ok(boot.Chosen.SignerHash != "" && boot.Chosen.Signer != "", "boot.json names no signer")
	hash, err := hex.DecodeString(boot.Chosen.RootHash)
	c.ok(err == nil && len(hash) == 32, "boot.json has root hash %q", boot.Chosen.RootHash)
	return boot.Chosen
}

// hashing checks that the processor's own SHA-256, where stage 1 had a module for it, came before every other module and is the one
// that dm-verity found.
func (c *checker) hashing(f *guest.Facts, boot *report.Boot) {
	i := slices.IndexFunc(boot.Modules, func(name string) bool { return strings.HasPrefix(name, "sha256") || strings.HasPrefix(name, "sha2_") })
	if i < 0 {
		return
	}
	c.ok(i == 0, "the modules were loaded as %q, wanted %s first", boot.Modules, boot.Modules[i])
	c.ok(f.SHA256 != "" && f.SHA256 != "sha256-generic", "the kernel's SHA-256 is %q, with module %s loaded", f.SHA256, boot.Modules[i])
}

const efivars = "/sys/firmware/efi/efivars"

func (c *checker) mounts(f *guest.Facts) {
	paths := []string{"/"}
	for _, want := range carried() {
		paths = append(paths, want.path)
		m := f.At(want.path)
		if m == nil {
			c.ok(false, "nothing is mounted at %s", want.path)
			continue
		}
		has := strings.Split(m.Options, ",")
		c.ok(m.Type == want.fstype && m.Root == "/", "at %s is %s of %s, wanted %s", want.path, m.Root, m.Type, want.fstype)
		for _, o := range strings.Split(want.has, ",") {
			c.ok(slices.Contains(has, o), "%s is mounted %s, without %s", want.path, m.Options, o)
		}
		c.ok(!slices.Contains(has, want.not), "%s is mounted %s, with %s", want.path, m.Options, want.not)
	}
	for _, m := range f.Mounts {
		efi := m.Path == efivars && m.Type == "efivarfs"
		// What systemd-stub delivered.
		extra := m.Path == "/.extra" && m.Type == "tmpfs" && f.At(efivars) != nil
		usr := c.usr && m.Path == "/usr"
		c.ok(slices.Contains(paths, m.Path) || efi || extra || usr, "%s is mounted at %s", m.Type, m.Path)
	}
	c.ok(len(f.Mounts) >= 5, "there are %d mounts", len(f.Mounts))
	root := f.At("/")
	if root == nil {
		c.ok(false, "nothing is mounted at /")
		return
	}
	c.ok(slices.Contains(f.RootEntries, "newroot") == false, "the root has the entries %q", f.RootEntries)
	if c.usr {
		return
	}
	c.ok(strings.HasPrefix(root.Source, "/dev/mapper/"), "the root is mounted from %s", root.Source)
	c.ok(slices.Contains(strings.Split(root.Options, ","), "ro"), "the root is mounted %s", root.Options)
}

// devices checks the verity device's name and UUID, and that everything is read-only.
func (c *checker) devices(f *guest.Facts, name string) {
	var verity *guest.DM
	for i, d := range f.DM {
		c.ok(d.ReadOnly, "dm device %s can be written to", d.Name)
		if d.Name == name {
			verity = &f.DM[i]
		} else {
			c.ok(strings.HasPrefix(d.Name, "initddi-") && d.UUID == "", "dm device %s (UUID %q) is not of ours", d.Name, d.UUID)
		}
	}
	c.ok(len(f.DM) == 2, "there are %d dm devices, wanted 2: verity and linear", len(f.DM))
	if verity == nil {
		c.ok(false, "no dm device is named %s", name)
		return
	}
	middle, ok := strings.CutPrefix(verity.UUID, "CRYPT-VERITY-")
	id, rest, _ := strings.Cut(middle, "-")
	c.ok(ok && len(id) == 32 && rest == name, "the verity device's UUID is %q, wanted CRYPT-VERITY-<32 digits>-%s", verity.UUID, name)
	if root := f.At("/"); root != nil {
		c.ok(root.Source == "/dev/mapper/"+name, "the root is mounted from %s, wanted /dev/mapper/%s", root.Source, name)
	}
}

// inPlace checks the loop device, and that boot.json's extents are those of the whole file.
func (c *checker) inPlace(f *guest.Facts, boot *report.Chosen) {
	c.ok(!boot.Copied, "boot.json says that the image was copied")
	c.ok(len(f.Loops) == 1, "the loop devices are %v, wanted one", f.Loops)
	for _, l := range f.Loops {
		c.ok(l.AutoClear && l.ReadOnly && l.DirectIO, "loop device %+v, wanted autoclear, read-only, direct I/O", l)
		c.ok(l.Backing == "/dev/"+boot.Node, "the loop device lies over %s, boot.json names %s", l.Backing, boot.Node)
		c.ok(l.Offset > 0, "the loop device begins where the ESP does: it would answer to that one's UUID")
	}
	c.ok(len(f.Holders) == 0, "the boot partition is held by %v", f.Holders)
	total := int64(0)
	for _, e := range boot.Extents {
		total += e[1]
	}
	// Images are made of partitions of whole MiB: one for the table, and at least data, hash tree and signature. One without a
	// table has its hash tree beside it.
	whole := total >= 4<<20 && total%(1<<20) == 0
	c.ok(whole || slices.ContainsFunc(boot.Beside, func(s string) bool { return strings.HasSuffix(s, ".verity") }), "boot.json's extents have %d bytes, which is no image's size", total)
}
