// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package main

import "regexp"

// reason is why lines are in one of the two reports only.
type reason struct {
	why string
	// section and line are regular expressions, has is who has such a line: "kernel", "stage 1", or empty for either.
	section, has, line string
}

// reasons is all that systemd could tell stage 1 by.
func reasons() []reason {
	const (
		image = `[0-9a-f]{64}(-|\\x2d)verity`
		// What the kernel makes dependent on how much memory it believes to have.
		byMemory = `(max_(user_watches|user_marks|cgroup_namespaces|fanotify_marks|inotify_watches|\w+_namespaces)|threads-max|tcp_mem|udp_mem|user_reserve_kbytes)[:\t]|` +
			`^(probe: )?limit (Limit )?Max (pending signals|processes) |^Default(LimitNPROC|LimitSIGPENDING|TasksMax)|/fuse/parameters/max_user_`
	)
	return []reason{
		{"The image is the root, read-only, where the kernel has its own file system in memory; systemd protects /usr in both.",
			"initrd mounts", "kernel", `^/ / rw .* rootfs rootfs|^/usr /usr ro .* rootfs rootfs`},
		{"The image is the root, read-only, where the kernel has its own file system in memory; systemd protects /usr in both.",
			"initrd mounts", "stage 1", `^/(usr)? /(usr)? ro.* erofs /dev/mapper/` + image},
		{"The root is read-only: systemd keeps the machine's ID in /run, and passes it on.",
			"initrd (mounts|units|machine-id|run)", "stage 1", `machine(-|\\x2d)id|^` + machineID + `$`},
		{"The root is read-only: what systemd-tmpfiles would write into it there is not.",
			"(initrd|system) complaints", "stage 1", `^Failed to create symlink '/var/lib/dbus/machine-id': Read-only file system$|^Setting access ACL`},
		{"What systemd-stub delivered lies on a file system of its own, since the initramfs is gone.",
			"initrd (mounts|units)", "stage 1", `^/ /\.extra |^\\x2eextra\.mount `},
		{"A directory of a tmpfs has a size, one of the initramfs none.",
			"initrd extra", "", `^d \d+ root:root \d+ /\.extra`},
		{"The devices below the image.",
			"initrd blocks", "", `^(loop\d|dm-\d|initddi-|/dev/loop0 |[0-9a-f]{64}-verity: |No devices found)`},
		{"The devices below the image.",
			"initrd (dev|units)", "stage 1", `/dev/(dm-|loop\d|disk/by-loop-|block/7:|char/10:23[67])|/dev/mapper/` + image + `|^(blockdev@)?dev-(mapper-` + image + `|loop0|disk-by\\x2dloop)|virtual-block-loop0`},
		{"The loop device that the image lay over, free again.",
			"system (dev|blocks)", "stage 1", `^loop\d holders *$|/dev/(loop\d|block/7:\d|char/10:237)`},
		{"What udev and systemd of the initrd noted of devices that went with the image, when neither of them ran: names without a device.",
			"system (dev|units)", "stage 1", `/dev/(mapper/` + image + `|disk/by-loop-)|^(dev-loop0|dev-disk-by\\x2dloop.*|sys-devices-virtual-block-loop0)\.device loaded activating tentative$`},
		{"The modules that the image needs stay, and their parameters are what they always are.",
			"(initrd|system) (modules|parameters)", "stage 1", `^(dm_bufio|dm_mod|dm_verity|loop|reed_solomon)$|^/sys/module/(dm_bufio|dm_mod|dm_verity|loop)/`},
		{"The kernel has more memory where it has no large initrd when it counts it.",
			"(initrd|system) (sysctl|kernel|pid1|manager|parameters)", "", byMemory},
		{"Another UKI is measured into PCR 11, and stage 1 measures the image into PCR 13.",
			"(initrd|system) pcr", "", `^1[13] [0-9A-F]{64}$`},
		{"Another UKI is measured into PCR 11, and stage 1 measures the image into PCR 13.",
			"(initrd|system) measured", "stage 1", `^13 ddi:`},
		{"Stage 1's own warning, on a machine that is slow.",
			"(initrd|system) complaints", "stage 1", `^module \w+ is still being loaded after `},
		{"Stage 1's own report.",
			"(initrd|system) run", "stage 1", ` /run/initddi(/boot\.json)? `},
	}
}

type compiledReason struct {
	reason
	inSection, inLine *regexp.Regexp
}

// explainer compiles the table.
func explainer() func(difference) string {
	var all []compiledReason
	for _, r := range reasons() {
		all = append(all, compiledReason{r, regexp.MustCompile(`^(?:` + r.section + `)$`), regexp.MustCompile(r.line)})
	}
	return func(d difference) string {
		for _, r := range all {
			if (r.has == "" || r.has == d.Has) && r.inSection.MatchString(d.Section) && r.inLine.MatchString(d.Line) {
				return r.why
			}
		}
		return ""
	}
}
