// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

// Marker is the next init of the benchmark: it says when it began to run, how much memory there is and what was read from the
// disks until then, over the second serial port, and powers off. It imports almost nothing, so that little of it is read.
package main

import (
	"syscall"
	"unsafe"
)

const clockBoottime = 7

func main() {
	// First of all the time; whatever comes later costs some.
	var ts syscall.Timespec
	_, _, _ = syscall.RawSyscall(syscall.SYS_CLOCK_GETTIME, clockBoottime, uintptr(unsafe.Pointer(&ts)), 0)
	// Without stage 1 nothing is mounted.
	mount("proc", "/proc", "/proc/meminfo")
	mount("devtmpfs", "/dev", "/dev/ttyS1")
	// The kernel's log tells the same moment by the clock that stage 1's lines have.
	if fd, err := syscall.Open("/dev/kmsg", syscall.O_WRONLY, 0); err == nil {
		_, _ = syscall.Write(fd, []byte("<5>bench: the next init runs\n"))
	}
	memory := read("/proc/meminfo")
	lists := read("/proc/zoneinfo")
	disks := read("/proc/diskstats")
	if fd, err := syscall.Open("/dev/ttyS1", syscall.O_WRONLY|syscall.O_NOCTTY, 0); err == nil {
		write(fd, "uptime "+decimal(ts.Sec)+" "+decimal(ts.Nsec)+"\n--- meminfo\n"+memory+"--- zoneinfo\n"+lists+"--- diskstats\n"+disks+"--- boot\n"+read("/run/initddi/boot.json")+"--- end\n")
	}
	_ = syscall.Reboot(syscall.LINUX_REBOOT_CMD_POWER_OFF)
	select {}
}

// mount mounts a pseudo file system, unless a file of it is there.
func mount(fstype, dir, file string) {
	var st syscall.Stat_t
	if syscall.Stat(file, &st) == nil {
		return
	}
	_ = syscall.Mkdir(dir, 0o755)
	_ = syscall.Mount(fstype, dir, fstype, 0, "")
}

func write(fd int, s string) {
	for len(s) > 0 {
		n, err := syscall.Write(fd, []byte(s))
		if err != nil || n <= 0 {
			return
		}
		s = s[n:]
	}
}

func read(name string) string {
	fd, err := syscall.Open(name, syscall.O_RDONLY, 0)
	if err != nil {
		return ""
	}
	var out []byte
	var buf [4096]byte
	for {
		n, err := syscall.Read(fd, buf[:])
		if err != nil || n <= 0 {
			return string(out)
		}
		out = append(out, buf[:n]...)
	}
}

func decimal(n int64) string {
	if n < 10 {
		return string(rune('0' + n))
	}
	return decimal(n/10) + string(rune('0'+n%10))
}
