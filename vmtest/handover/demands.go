// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package main

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// demander gathers what is not as the contract says.
type demander struct {
	f      facts
	broken []string
}

func (d *demander) want(ok bool, format string, args ...any) {
	if !ok {
		d.broken = append(d.broken, fmt.Sprintf(format, args...))
	}
}

// count returns how many lines of a section match.
func (d *demander) count(section, pattern string) (n int) {
	p := regexp.MustCompile(pattern)
	for _, line := range d.f[section] {
		if p.MatchString(line) {
			n++
		}
	}
	return n
}

// has demands a line.
func (d *demander) has(section, pattern string) {
	d.want(d.count(section, pattern) > 0, "[%s] has no line %s", section, pattern)
}

// none demands that no line matches.
func (d *demander) none(section, pattern string) {
	d.want(d.count(section, pattern) == 0, "[%s] has a line %s", section, pattern)
}

// demand says what is not as it must be in what stage 1 started, whatever the kernel's boot is like.
func demand(f facts) []string {
	d := &demander{f: f}
	for _, phase := range []string{"initrd", "system"} {
		d.want(len(f[phase+" failed"]) == 0, "[%s failed] has %q", phase, f[phase+" failed"])
		d.has(phase+" machine-id", "^"+machineID+"$")
		for _, name := range []string{"smbios=by SMBIOS", "fwcfg=by fw_cfg", "cmdline=kernel"} {
			d.has(phase+" credentials", "^/run/credentials/@system/handover."+name)
		}
		for _, name := range []string{"local", "global"} {
			d.has(phase+" credentials", "/run/credentials/@encrypted/esp."+name+"$")
		}
		// The phases of PCR 11, each once, and nothing of stage 1's.
		d.want(d.count(phase+" measured", "^11 enter-initrd$") == 1, "[%s measured] has enter-initrd %d times", phase, d.count(phase+" measured", "^11 enter-initrd$"))
		d.none(phase+" measured", "^11 ddi:")
		d.has(phase+" measured", "^13 ddi:initrd:initrd:[0-9a-f]{64}:")
		d.none(phase+" mounts", "/newroot|initddi")
	}
	// Behind the initrd these are there, and are systemd's.
	d.none("initrd pid1", "^arg --(switched-root|deserialize)|^env .*CREDENTIALS_DIRECTORY|^env SYSTEMD_IN_INITRD")
	for _, name := range []string{"credentials/esp.local.cred", "global_credentials/esp.global.cred", "os-release"} {
		d.has("initrd extra", " /.extra/"+name+"$")
	}
	d.has("system credentials", "^/run/credentials/@system/handover.initrd=by the initrd")
	// And a service is given all of them.
	for _, name := range []string{"smbios:by SMBIOS", "fwcfg:by fw_cfg", "cmdline:kernel", "initrd:by the initrd"} {
		d.has("system service", "/handover."+name)
	}
	d.has("initrd blocks", `^dm-\d+ [0-9a-f]{64}-verity CRYPT-VERITY-[0-9a-f]{32}-[0-9a-f]{64}-verity `)
	d.none("initrd blocks", `^\S+ (root|usr) `)
	// Nothing is left of the initrd's image.
	d.none("system blocks", "^dm-|initddi|verity|/dev/vda")
	d.none("system dev", "^[bc] .* /dev/(dm-|mapper/[^c])")
	// The journal tells stage 1's story, as a daemon's.
	d.has("system said", "^plan: initddi ")
	d.has("system said", "^entering vda1:/loader/ddi/initrd.raw ")
	for _, line := range f["system ours"] {
		d.want(strings.Contains(line, `"SYSLOG_FACILITY":"3"`) && strings.Contains(line, `"SYSLOG_IDENTIFIER":"initddi"`), "[system ours] has %s", line)
	}
	d.times()
	d.has("system status", "Entered: /loader/ddi/initrd.raw on /dev/vda1")
	for _, who := range []string{"kernel", "stage 1", "initrd", "system"} {
		d.has("system status", "^"+who+" +")
	}
	return d.broken
}

// times demands that the parts of the boot follow one another.
func (d *demander) times() {
	at := map[string]int64{}
	for _, line := range d.f["system analyze"] {
		if name, value, ok := strings.Cut(line, "TimestampMonotonic="); ok {
			at[name], _ = strconv.ParseInt(value, 10, 64)
		}
	}
	order := []int64{at["InitRD"], at["InitRDSecurityStart"], at["Userspace"], at["SecurityStart"]}
	d.want(at["InitRD"] > 0 && slices.IsSorted(order), "[system analyze] has the moments %v", at)
}
