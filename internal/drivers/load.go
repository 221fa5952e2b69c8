// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package drivers

import (
	"os"
	"strings"

	"github.com/initddi/initddi/internal/cmdline"
	"github.com/initddi/initddi/internal/linux/module"
	"github.com/initddi/initddi/internal/modtable"
)

// AsyncProbe is the parameter with which every module leaves it to the kernel to probe its devices in the background, and with which
// loading it does not wait for what is probed there already (kernel/module/main.c, do_init_module). Without it one disk that does not
// answer holds up whoever loads any module, and nobody can kill who waits there.
const AsyncProbe = "async_probe"

// Load loads a module from a directory of modules, with what the command line says to it and with [AsyncProbe]: when it returns, devices
// that the module drives may not have their driver yet.
func Load(dir *os.Root, m modtable.Module, params []cmdline.Param) error {
	return module.LoadFrom(dir, m.File, Asynchronous(params, m.Name))
}

// Asynchronous returns [Parameters] with [AsyncProbe].
func Asynchronous(params []cmdline.Param, name string) string {
	return strings.TrimPrefix(Parameters(params, name)+" "+AsyncProbe, " ")
}

// Parameters returns what the command line says to a module, as the kernel would take it if the module were built in and
// modprobe where there is one: "MODULE.NAME=VALUE", with '-' and '_' the same in the module's name.
func Parameters(params []cmdline.Param, name string) string {
	same := func(s string) string { return strings.ReplaceAll(s, "-", "_") }
	var out []string
	// One device, when somebody wants one. What the command line says comes behind and wins.
	switch name {
	case "nbd":
		// Nobody looks for partitions on what is not verified yet.
		out = append(out, "nbds_max=0 max_part=0")
	case "loop":
		// Not eight, each of which udev would look at in the next init.
		out = append(out, "max_loop=0")
	}
	for _, p := range params {
		mod, key, ok := strings.Cut(p.Key, ".")
		if !ok || key == "" || same(mod) != same(name) {
			continue
		}
		word := key
		if p.HasValue {
			word += "=" + p.Value
			if strings.ContainsAny(p.Value, " \t") {
				word = key + `="` + p.Value + `"`
			}
		}
		out = append(out, word)
	}
	return strings.Join(out, " ")
}

// ReadParameters reads the parameters of the kernel's command line, none if it cannot be read: who makes a plan of it says so.
func ReadParameters(proc *os.Root) []cmdline.Param {
	b, err := proc.ReadFile("cmdline")
	if err != nil {
		return nil
	}
	params, _, err := cmdline.Parse(string(b))
	if err != nil {
		return nil
	}
	return params
}
