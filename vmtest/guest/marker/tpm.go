// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package main

import (
	"fmt"
	"os"
	"os/exec"
	"strings"

	"github.com/initddi/initddi/internal/measure"
	"github.com/initddi/initddi/vmtest/guest"
)

// tpm reads the PCRs and the log, and tries to open what was sealed, with the tools of others if the image has them.
func (g *gatherer) tpm() {
	const dir = "/sys/class/tpm/tpm0"
	if _, err := os.Stat(dir); err != nil {
		return
	}
	t := &guest.TPM{PCRs: map[string]map[int]string{}}
	g.facts.TPM = t
	for _, name := range names(dir) {
		bank, ok := strings.CutPrefix(name, "pcr-")
		if !ok {
			continue
		}
		t.PCRs[bank] = map[int]string{}
		for _, pcr := range []int{measure.KernelBoot, measure.KernelConfig, measure.SysExts} {
			t.PCRs[bank][pcr] = strings.ToLower(read(fmt.Sprintf("%s/%s/%d", dir, name, pcr)))
		}
	}
	if info, err := os.Stat(measure.LogPath); err == nil {
		t.LogMode = fmt.Sprintf("%o", info.Mode().Perm())
		if info.Mode()&os.ModeSticky != 0 {
			t.LogMode = "1" + t.LogMode
		}
		t.Log, err = os.ReadFile(measure.LogPath)
		g.note(err)
	}
	const tool = "/usr/bin/tpm2"
	if _, err := os.Stat(tool); err == nil {
		cmd := exec.Command(tool, "unseal", "-T", "device:/dev/tpmrm0", "-c", guest.SealedHandle, "-p", "pcr:sha256:11,12,13")
		out, err := cmd.CombinedOutput()
		t.Unsealed = string(out)
		if err != nil {
			t.Unsealed += err.Error()
		}
	}
}
