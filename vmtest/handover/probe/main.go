// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

// Probe is the /init of the initrd that is booted twice: it writes what a process is handed when it is executed into the kernel's log, and becomes
// systemd. What systemd itself changes at once, signals and limits and descriptors, can be seen here only.
package main

import (
	"bytes"
	"fmt"
	"os"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

const next = "/usr/lib/systemd/systemd"

func main() {
	lines := gather()
	if err := tell(lines); err != nil {
		fmt.Println("probe:", err)
	}
	fmt.Println("probe:", unix.Exec(next, os.Args, os.Environ()))
	select {}
}

// gather says what this process was handed. A kernel that starts an initramfs has mounted nothing: then /proc is there for this process only.
func gather() []string {
	lines := []string{fmt.Sprintf("args %q", os.Args), fmt.Sprintf("env %q", os.Environ())}
	if wd, err := os.Getwd(); err == nil {
		lines = append(lines, "cwd "+wd)
	}
	umask := unix.Umask(0)
	unix.Umask(umask)
	lines = append(lines, fmt.Sprintf("umask %04o", umask))
	sid, _ := unix.Getsid(0)
	pgid, _ := unix.Getpgid(0)
	lines = append(lines, fmt.Sprintf("pid %d session %d group %d", os.Getpid(), sid, pgid))
	prio, _ := unix.Getpriority(unix.PRIO_PROCESS, 0)
	lines = append(lines, fmt.Sprintf("priority %d", prio))
	for _, o := range []struct {
		name   string
		option int
	}{
		{"dumpable", unix.PR_GET_DUMPABLE}, {"keepcaps", unix.PR_GET_KEEPCAPS}, {"securebits", unix.PR_GET_SECUREBITS}, {"timerslack", unix.PR_GET_TIMERSLACK},
		{"no-new-privs", unix.PR_GET_NO_NEW_PRIVS}, {"thp-disable", unix.PR_GET_THP_DISABLE}, {"io-flusher", unix.PR_GET_IO_FLUSHER},
	} {
		n, err := unix.PrctlRetInt(o.option, 0, 0, 0, 0)
		lines = append(lines, fmt.Sprintf("prctl %s %d %v", o.name, n, err))
	}
	mounted := exists("/proc/self/status")
	if !mounted {
		if err := unix.Mount("proc", "/proc", "proc", 0, ""); err != nil {
			return append(lines, "cannot mount /proc: "+err.Error())
		}
	}
	lines = append(lines, fromProc()...)
	if !mounted {
		if err := unix.Unmount("/proc", 0); err != nil {
			lines = append(lines, "cannot unmount /proc: "+err.Error())
		}
	}
	return lines
}

func exists(name string) bool {
	_, err := os.Stat(name)
	return err == nil
}

func fromProc() (lines []string) {
	// Go's runtime has threads and handlers of its own: what it inherited is what counts.
	wanted := []string{"Umask", "SigIgn", "SigBlk", "CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb", "NoNewPrivs", "Seccomp", "Uid", "Gid", "Groups", "NSpid", "Cpus_allowed", "Speculation_Store_Bypass"}
	for _, line := range read("/proc/self/status") {
		if name, _, ok := strings.Cut(line, ":"); ok && slices.Contains(wanted, name) {
			lines = append(lines, "status "+strings.Join(strings.Fields(line), " "))
		}
	}
	for _, line := range read("/proc/self/limits") {
		lines = append(lines, "limit "+strings.Join(strings.Fields(line), " "))
	}
	for _, name := range []string{"oom_score_adj", "cgroup", "personality", "coredump_filter", "autogroup", "timens_offsets", "loginuid", "sessionid", "attr/current"} {
		for _, line := range read("/proc/self/" + name) {
			lines = append(lines, name+" "+line)
		}
	}
	entries, _ := os.ReadDir("/proc/self/fd")
	for _, e := range entries {
		// The runtime's own are no files; this directory is one of them.
		if to, err := os.Readlink("/proc/self/fd/" + e.Name()); err == nil && !strings.HasPrefix(to, "anon_inode:") {
			lines = append(lines, "fd "+e.Name()+" "+to)
		}
	}
	for _, line := range read("/proc/keys") {
		if f := strings.Fields(line); len(f) > 7 {
			lines = append(lines, "key "+strings.Join(f[4:], " "))
		}
	}
	return lines
}

func read(name string) []string {
	b, err := os.ReadFile(name)
	if err != nil || len(b) == 0 {
		return nil
	}
	return strings.Split(string(bytes.TrimRight(b, "\n\x00")), "\n")
}

// tell writes into the kernel's log, whose node the kernel may not have made yet.
func tell(lines []string) error {
	const name = "/kmsg"
	path := "/dev/kmsg"
	if !exists(path) {
		if err := unix.Mknod(name, unix.S_IFCHR|0o600, int(unix.Mkdev(1, 11))); err != nil {
			return err
		}
		path = name
		defer os.Remove(name)
	}
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	// More than ten lines at once are dropped otherwise; systemd will switch that off as well.
	for _, line := range lines {
		if _, err := fmt.Fprintf(f, "<14>probe: %s\n", line); err != nil {
			return err
		}
	}
	return nil
}
