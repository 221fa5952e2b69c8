// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

// Package drivers loads the kernel modules that stage 1 carries, as the devices that need them appear.
//
// A [Loader] loads every module once, its dependencies first and independent ones at the same time. A module that cannot be
// loaded is reported and its dependants are not tried; nothing else stops because of it.
package drivers

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/initddi/initddi/internal/linux/inroot"
	"github.com/initddi/initddi/internal/linux/process"
	"github.com/initddi/initddi/internal/modtable"
)

// ErrLoading says that a module is still being loaded. The kernel waits in there for a device that does not answer.
var ErrLoading = errors.New("still being loaded")

// Loader is safe for concurrent use.
type Loader struct {
	// Limit is how long [Loader.WaitFeature] waits at most; 0 is without end. To be set before anything is loaded.
	Limit time.Duration

	table  *modtable.Table
	cpu    string
	load   func(modtable.Module) error
	report func(modtable.Module, error)

	mu   sync.Mutex
	jobs map[string]*job
	busy int
	idle chan struct{}
}

// job is one module being loaded; err may be read after done is closed.
type job struct {
	done  chan struct{}
	err   error
	since time.Time // when the kernel was given the module, zero before; under the loader's lock
}

// New returns a loader of the modules of table. cpu is the processor's modalias. load puts one module into the kernel; report
// is told of every module that was tried. Both are called from any goroutine.
func New(table *modtable.Table, cpu string, load func(modtable.Module) error, report func(modtable.Module, error)) *Loader {
	return &Loader{table: table, cpu: cpu, load: load, report: report, jobs: map[string]*job{}, idle: make(chan struct{}, 1)}
}

// Offer starts loading whatever drives a device with that modalias, and reports whether stage 1 carries anything for it.
func (l *Loader) Offer(modalias string) bool {
	names := l.table.Match(modalias)
	if len(names) == 0 {
		return false
	}
	_, err := l.start(names)
	return err == nil
}

// StartFeature begins to load what a feature of the table needs, without waiting.
func (l *Loader) StartFeature(name string) error {
	_, _, err := l.feature(name)
	return err
}

// WaitFeature waits until what a feature needs is loaded, starting it if that was not done. A feature that the table does not
// know is an error wrapping [modtable.ErrUnknown], and one wrapping [ErrLoading] says that the limit was reached. What is only nice to
// have may fail: a softdep, or another implementation of an algorithm that the kernel has too.
func (l *Loader) WaitFeature(name string) error {
	names, jobs, err := l.feature(name)
	if err != nil {
		return err
	}
	var limit <-chan time.Time // nil is never
	if l.Limit > 0 {
		t := time.NewTimer(l.Limit)
		defer t.Stop()
		limit = t.C
	}
	for module, j := range jobs {
		select {
		case <-j.done:
		case <-limit:
			return fmt.Errorf("cannot load what %s needs: module %s is %w after %s", name, module, ErrLoading, l.Limit)
		}
	}
	var errs []error
	for _, name := range names {
		if module := l.needed(name); module != "" {
			errs = append(errs, jobs[module].err)
		}
	}
	return errors.Join(errs...)
}

// StartAlgorithm begins to load the best implementation of a crypto algorithm that the table has for this processor, and returns
// what waits until it is there, or could not be loaded, which is reported; it returns false if that takes longer than limit. There is
// nothing to wait for where the table has none.
func (l *Loader) StartAlgorithm(name string) (wait func(limit time.Duration) bool) {
	jobs, err := l.start([]string{modtable.CryptoPrefix + name})
	if err != nil {
		return func(time.Duration) bool { return true }
	}
	return func(limit time.Duration) bool {
		t := time.NewTimer(limit)
		defer t.Stop()
		for _, j := range jobs {
			select {
			case <-j.done:
			case <-t.C:
				return false
			}
		}
		return true
	}
}

// feature starts what a feature needs, and returns its names and the jobs by module.
func (l *Loader) feature(name string) ([]string, map[string]*job, error) {
	f, ok := l.table.Feature(name)
	if !ok {
		return nil, nil, fmt.Errorf("cannot load what %s needs: %w", name, modtable.ErrUnknown)
	}
	jobs, err := l.start(f)
	return f, jobs, err
}

// needed returns the module without which a name of a feature is not there, empty if there is none.
func (l *Loader) needed(name string) string {
	algorithm, is := strings.CutPrefix(name, modtable.CryptoPrefix)
	if !is {
		if _, ok := l.table.Module(name); ok {
			return name
		}
		return ""
	}
	for _, a := range l.table.Algorithms {
		if a.Name == algorithm && a.Builtin {
			return ""
		}
	}
	modules, err := l.table.Plan(l.cpu, name)
	if err != nil || len(modules) == 0 {
		return ""
	}
	return modules[len(modules)-1].Name
}

// Busy reports whether modules are being loaded.
func (l *Loader) Busy() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.busy > 0
}

// Pending returns the modules that the kernel was given so long ago and has not finished with, sorted.
func (l *Loader) Pending(ago time.Duration) []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	var out []string
	for name, j := range l.jobs {
		if !j.since.IsZero() && time.Since(j.since) >= ago {
			out = append(out, name)
		}
	}
	slices.Sort(out)
	return out
}

// Idle is signalled when the last of the modules that were being loaded is done.
func (l *Loader) Idle() <-chan struct{} { return l.idle }

// start returns the jobs that load the named modules and all that these need, by module, and begins those that were not.
func (l *Loader) start(names []string) (map[string]*job, error) {
	modules, err := l.table.Plan(l.cpu, names...)
	if err != nil {
		return nil, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	jobs := make(map[string]*job, len(modules))
	for _, m := range modules {
		j := l.jobs[m.Name]
		if j == nil {
			j = &job{done: make(chan struct{})}
			l.jobs[m.Name] = j
			l.busy++
			// Plan's order guarantees that whatever m waits for has its job already.
			go l.run(m, j, l.jobsOf(m.Deps), l.jobsOf(m.Soft))
		}
		jobs[m.Name] = j
	}
	return jobs, nil
}

func (l *Loader) jobsOf(names []string) map[string]*job {
	out := make(map[string]*job, len(names))
	for _, name := range names {
		if j := l.jobs[name]; j != nil {
			out[name] = j
		}
	}
	return out
}

func (l *Loader) run(m modtable.Module, j *job, deps, soft map[string]*job) {
	// Whatever happens here, nobody waits for this module forever.
	defer l.end(j)
	defer process.Guard(&j.err)
	for _, s := range soft {
		<-s.done
	}
	for name, d := range deps {
		<-d.done
		if d.err != nil {
			j.err = fmt.Errorf("cannot load module %s: it needs %s: %w", m.Name, name, d.err)
		}
	}
	if j.err == nil {
		l.mark(j, time.Now())
		j.err = process.Guarded(func() error { return l.load(m) })
		l.mark(j, time.Time{})
	}
	l.report(m, j.err)
}

func (l *Loader) mark(j *job, since time.Time) {
	l.mu.Lock()
	j.since = since
	l.mu.Unlock()
}

// end says that a module's job is done.
func (l *Loader) end(j *job) {
	close(j.done)
	l.mu.Lock()
	l.busy--
	done := l.busy == 0
	l.mu.Unlock()
	if done {
		select {
		case l.idle <- struct{}{}:
		default:
		}
	}
}

// Device is a device that says what driver it wants.
type Device struct {
	Path     string // below /sys
	Modalias string
	Driver   string // the driver that took it, empty if none did
}

// Devices returns every device on every bus that has a modalias, as the kernel lists them below sys/bus.
func Devices(sys *os.Root) []Device {
	out := devices(sys)
	for i, d := range out {
		if link, err := sys.Readlink(d.Path + "/driver"); err == nil {
			out[i].Driver = link[strings.LastIndexByte(link, '/')+1:]
		}
	}
	return out
}

// Modaliases returns the modalias of every device on every bus, several times what several devices say. It is what [Devices]
// finds without asking for drivers, and several times as fast.
func Modaliases(sys *os.Root) []string {
	var out []string
	for _, d := range devices(sys) {
		out = append(out, d.Modalias)
	}
	return out
}

// devices is [Devices] without the drivers.
func devices(sys *os.Root) []Device {
	dir, err := sys.Open(".")
	if err != nil {
		return nil
	}
	defer dir.Close()
	var out []Device
	for _, bus := range List(sys, "bus") {
		for _, dev := range List(sys, "bus/"+bus+"/devices") {
			path := "bus/" + bus + "/devices/" + dev
			if alias := Modalias(dir, path); alias != "" {
				out = append(out, Device{Path: path, Modalias: alias})
			}
		}
	}
	return out
}

// maxAttribute is what the kernel prints into a file of sysfs at most.
const maxAttribute = 4096

// Modalias returns what the device of a directory below /sys asks for, empty if for nothing.
func Modalias(sys *os.File, device string) string {
	b, err := inroot.ReadFile(sys, device+"/modalias", maxAttribute)
	if err == nil {
		return strings.TrimSuffix(string(b), "\n")
	}
	// An MMC or SD card, mmcHOST:ADDRESS, has it in its uevent alone (drivers/mmc/core/bus.c). No other uevent is read: nine devices of ten
	// have no modalias, and none of them asks for anything.
	if !strings.HasPrefix(device[strings.LastIndexByte(device, '/')+1:], "mmc") {
		return ""
	}
	b, _ = inroot.ReadFile(sys, device+"/uevent", maxAttribute)
	_, alias, _ := strings.Cut("\n"+string(b), "\nMODALIAS=")
	alias, _, _ = strings.Cut(alias, "\n")
	return alias
}

// List returns the names in a directory of sysfs, sorted; none where there is no such directory.
func List(root *os.Root, dir string) []string {
	f, err := root.Open(dir)
	if err != nil {
		return nil
	}
	defer f.Close()
	names, _ := f.Readdirnames(-1)
	slices.Sort(names)
	return names
}

// Find returns the paths below /sys of the devices on one bus whose modalias match takes. All buses are ten times as much to read.
func Find(sys *os.Root, bus string, match func(modalias string) bool) []string {
	dir, err := sys.Open(".")
	if err != nil {
		return nil
	}
	defer dir.Close()
	var out []string
	for _, dev := range List(sys, "bus/"+bus+"/devices") {
		path := "bus/" + bus + "/devices/" + dev
		b, err := inroot.ReadFile(dir, path+"/modalias", maxAttribute)
		if err == nil && match(strings.TrimSuffix(string(b), "\n")) {
			out = append(out, path)
		}
	}
	return out
}
