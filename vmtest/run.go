// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package vmtest

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/hugelgupf/vmtest/qemu"

	"github.com/initddi/initddi/internal/initramfs"
	"github.com/initddi/initddi/internal/netlab"
	"github.com/initddi/initddi/internal/program"
	"github.com/initddi/initddi/internal/vm"
)

// baseCmdline is what every cell that has no UKI of the build's boots with: a console that shows stage 1 but not the whole of
// the kernel, a kernel that does not spend half of the time testing its ciphers, and an end to whatever goes wrong.
const baseCmdline = "console=ttyS0 loglevel=4 panic=-1 cryptomgr.notests=1 " + vm.Patience

// atOnce ends a boot that is refused, unless the cell says what shall become of it.
const atOnce = "ddi.fail=poweroff"

// OVMF with Secure Boot, and without.
const (
	secureBootCode = "/usr/share/OVMF/OVMF_CODE_4M.secboot.fd"
	plainCode      = "/usr/share/OVMF/OVMF_CODE_4M.fd"
)

// Run boots a cell, as often as it says, and returns what the machine left behind each time. The error is a [MissingError] where
// this machine lacks something, and otherwise says that the cell could not be tried.
func (w *Workshop) Run(ctx context.Context, c *Cell) ([]*Outcome, error) {
	tmp, err := os.MkdirTemp("", "initddi-matrix-")
	if err != nil {
		return nil, fmt.Errorf("cannot run %s: %w", c.Name, err)
	}
	defer os.RemoveAll(tmp)
	config, err := w.machine(ctx, c, tmp)
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(tpmState(config))
	before, err := c.sums(config)
	if err != nil {
		return nil, err
	}
	var out []*Outcome
	for n := range 1 + len(c.Again) {
		// What is not in the variable store of the firmware is forgotten in between.
		again := *config
		if n > 0 {
			if again.SMBIOS, err = w.fillAll(ctx, c.boot(n).SMBIOS); err != nil {
				return nil, err
			}
			if prepare := c.Again[n-1].Prepare; prepare != nil {
				if err := withTPM(ctx, tpmState(config), prepare); err != nil {
					return nil, asMissing(fmt.Errorf("cannot prepare boot %d of %s: %w", n+1, c.Name, err))
				}
			}
			if alter := c.Again[n-1].Alter; alter != nil {
				if err := alter(ctx, w, paths(config.Disks)); err != nil {
					return nil, asMissing(fmt.Errorf("cannot prepare boot %d of %s: %w", n+1, c.Name, err))
				}
			}
		}
		o, err := w.start(ctx, c.boot(n), &again)
		if err != nil {
			return nil, err
		}
		if c.After != nil {
			o.After = c.After(paths(config.Disks))
		}
		o.After = append(o.After, c.changed(config, before)...)
		out = append(out, o)
	}
	return out, nil
}

// tpmState is where the state of the machine's TPM lies between its boots: in memory where there is a file system for that. A TPM that waits for
// a busy disk takes longer than Linux has patience with one.
func tpmState(config *vm.Config) string {
	const memory = "/dev/shm"
	dir := filepath.Dir(config.Report)
	if _, err := os.Stat(memory); err != nil {
		return filepath.Join(dir, "tpm")
	}
	return filepath.Join(memory, filepath.Base(dir)+"-tpm")
}

// start boots the machine once.
func (w *Workshop) start(ctx context.Context, c *Cell, config *vm.Config) (*Outcome, error) {
	log, err := os.Create(w.LogOf(c))
	if err != nil {
		return nil, fmt.Errorf("cannot run %s: %w", c.Name, err)
	}
	console := newConsole(log, c.Dialogue)
	limit := cmp.Or(c.Limit, DefaultLimit)
	var serial io.WriteCloser = console
	if c.TPM != nil {
		t, err := w.startTPM(ctx, c, tpmState(config))
		if err != nil {
			log.Close()
			return nil, err
		}
		defer t.Close()
		config.TPM, config.OldTPM = t.Socket, c.TPM.Old
		if c.TPM.Dies != "" {
			serial = &dying{console: console, sentence: c.TPM.Dies, die: func() { t.Close() }}
		}
	}
	lab, err := w.openNetwork(ctx, c, config)
	if err != nil {
		log.Close()
		return nil, asMissing(fmt.Errorf("cannot run %s: %w", c.Name, err))
	}
	defer lab.Close()
	fns, err := config.Options(ctx)
	if err != nil {
		log.Close()
		return nil, asMissing(err)
	}
	fns = append(fns, qemu.WithSerialOutput(serial), qemu.WithVMTimeout(limit))
	start := time.Now()
	v, err := qemu.StartContext(ctx, qemu.ArchAMD64, fns...)
	if err != nil {
		return nil, asMissing(fmt.Errorf("cannot start the virtual machine: %w", err))
	}
	plugged := make(chan error, 1)
	go func() { plugged <- plug(ctx, c, config, console) }()
	typed := make(chan struct{})
	var failed error
	go func() {
		defer close(typed)
		meanwhile := c.Meanwhile
		for text := range console.say {
			// A shell shows its prompt before it has made the terminal its own.
			time.Sleep(typingDelay)
			if meanwhile != nil {
				failed, meanwhile = meanwhile(paths(config.Disks)), nil
			}
			if _, err := v.Console.Send(text + "\r"); err != nil {
				return
			}
		}
	}()
	err = v.Wait()
	<-typed
	if err := <-plugged; err != nil {
		return nil, err
	}
	if failed != nil {
		return nil, fmt.Errorf("cannot do to the machine's disks what the dialogue says: %w", failed)
	}
	o := &Outcome{Took: time.Since(start), Console: console.text(), Unsaid: console.unsaid()}
	switch {
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case err != nil && o.Took >= limit:
		o.TimedOut = true
	case err != nil:
		return nil, fmt.Errorf("cannot run the virtual machine: %w: %s", err, strings.TrimSpace(o.Console))
	}
	return o, w.collect(ctx, c, config, lab, o)
}

// collect adds what is known of a boot beside its console, and keeps it.
func (w *Workshop) collect(ctx context.Context, c *Cell, config *vm.Config, lab *netlab.Lab, o *Outcome) error {
	report, err := os.ReadFile(config.Report)
	if err != nil {
		return fmt.Errorf("cannot read the guest's report: %w", err)
	}
	o.Report = string(report)
	if o.Served, err = w.keepLogs(c, lab); err != nil {
		return err
	}
	if c.TPM != nil && c.TPM.Image != "" {
		if o.Predicted, err = w.predict(ctx, c, c.TPM.Shell); err != nil {
			return err
		}
	}
	if err := os.WriteFile(strings.TrimSuffix(w.LogOf(c), ".log")+".report", report, 0o644); err != nil {
		return fmt.Errorf("cannot keep the guest's report: %w", err)
	}
	return nil
}

// typingDelay is a wait before a line is typed.
const typingDelay = 500 * time.Millisecond

// LogOf returns where a cell's console goes.
func (w *Workshop) LogOf(c *Cell) string { return filepath.Join(w.Logs, c.Name+".log") }

// asMissing makes an error about QEMU or swtpm not being there a reason to skip.
func asMissing(err error) error {
	if errors.Is(err, program.ErrMissing) {
		return &MissingError{What: err.Error()}
	}
	return err
}

// machine makes everything that a cell needs and describes the machine; what a run changes lies in tmp.
func (w *Workshop) machine(ctx context.Context, c *Cell, tmp string) (*vm.Config, error) {
	config := &vm.Config{Report: filepath.Join(tmp, "report"), MemoryMiB: 1024, CPUs: cmp.Or(c.CPUs, 1), Credentials: c.Credentials}
	cmdline, err := w.cmdline(ctx, c)
	if err != nil {
		return nil, err
	}
	if config.SMBIOS, err = w.fillAll(ctx, c.SMBIOS); err != nil {
		return nil, err
	}
	start, err := w.starter(ctx, c, cmdline)
	if err != nil {
		return nil, err
	}
	switch c.Firmware {
	case SecureHTTPBoot:
		if err := w.secureHTTPFirmware(ctx, c, config, filepath.Join(tmp, "vars.fd")); err != nil {
			return nil, err
		}
	case SecureBoot, UEFI:
		config.FirmwareCode, config.FirmwareVars = plainCode, filepath.Join(tmp, "vars.fd")
		if c.Firmware == SecureBoot {
			config.FirmwareCode = secureBootCode
		}
		if err := w.variables(ctx, c, config.FirmwareVars); err != nil {
			return nil, err
		}
	case HTTPBoot:
		if err := w.httpFirmware(config, filepath.Join(tmp, "vars.fd")); err != nil {
			return nil, err
		}
	case Direct:
		config.Kernel, config.Initrd, config.Append = start.Kernel, start.Initrd, start.Cmdline
		start = starter{}
		if err := w.deliver(ctx, c, config, tmp); err != nil {
			return nil, err
		}
	}
	if c.Ready != "" {
		disk, err := w.need(c.Ready, "just demo makes it")
		config.Disks = []vm.Disk{{Path: disk, Snapshot: true}}
		if c.Firmware == SecureBoot {
			config.SMBIOS = []string{"io.systemd.stub.kernel-cmdline-extra=" + vm.Patience}
		}
		return config, err
	}
	first := start
	for i, d := range c.Disks {
		if d.Bus == "ide" {
			config.Machine = "pc"
		}
		if d.Late > 0 || d.Wakes != "" {
			config.Monitor = filepath.Join(tmp, "monitor")
		}
		if i > 0 && d.WWN != 0 && d.WWN == c.Disks[0].WWN {
			start = first // it is that disk, over another path
		}
		disk, err := w.attach(ctx, c, d, start, filepath.Join(tmp, fmt.Sprintf("disk%d.img", i)))
		if err != nil {
			return nil, err
		}
		config.Disks = append(config.Disks, disk)
		start = starter{}
	}
	return config, nil
}

// starter returns what starts a cell's kernel: a firmware from its first disk, or QEMU.
func (w *Workshop) starter(ctx context.Context, c *Cell, cmdline string) (s starter, err error) {
	if c.Firmware == SecureHTTPBoot {
		return s, nil // the UKI is on the web server
	}
	if c.Firmware == SecureBoot || c.Firmware == UEFI || c.Firmware == HTTPBoot {
		if c.Ready == "" {
			s.UKI, err = w.UKI(ctx, c, cmdline)
		}
		return s, err
	}
	k, err := w.kernel(c.Kernel)
	if err != nil {
		return s, err
	}
	// A BIOS reads slowly. Otherwise nobody but the emulated processor would notice that it is not compressed.
	compression := initramfs.None
	if c.Firmware == BIOS {
		compression = initramfs.Zstd
	}
	s.Kernel, s.Cmdline = k.Image, cmdline
	s.Initrd, err = w.Stage1(ctx, c.Stage1, c.Kernel, compression)
	return s, err
}

// variables makes a variable store that belongs to one machine.
func (w *Workshop) variables(ctx context.Context, c *Cell, to string) error {
	vars, err := w.Variables(ctx, c)
	if err != nil {
		return err
	}
	b, err := os.ReadFile(vars)
	if err != nil {
		return err
	}
	return os.WriteFile(to, b, 0o600)
}

// attach makes a disk and says how it is attached; if it is the machine's own, it lies at private.
func (w *Workshop) attach(ctx context.Context, c *Cell, d Disk, s starter, private string) (vm.Disk, error) {
	out := vm.Disk{Bus: d.Bus, SectorSize: cmp.Or(d.Attached, d.SectorSize), Late: d.Late > 0, ReadBurst: d.ReadBurst, Rate: d.Rate, WWN: d.WWN, Snapshot: true}
	path, err := w.Disk(ctx, d, s)
	if err != nil {
		return out, err
	}
	if c.Meanwhile != nil || d.Alter != nil || c.Keep {
		out.Snapshot = false
		if path, err = privately(path, private, d.Alter); err != nil {
			return out, err
		}
	}
	out.Path = path
	return out, nil
}

// cmdline returns the whole of a cell's command line.
func (w *Workshop) cmdline(ctx context.Context, c *Cell) (string, error) {
	more, err := w.fill(ctx, c.Cmdline)
	if err != nil {
		return "", err
	}
	cmdline := baseCmdline
	if c.NoConsole {
		cmdline = strings.Replace(cmdline, "ttyS0", "ttyS9", 1)
	}
	if !strings.Contains(more, "ddi.fail=") {
		cmdline += " " + atOnce
	}
	return strings.TrimSpace(cmdline + " " + more), nil
}

// privately copies a disk, leaving its holes, and alters the copy.
func privately(from, to string, alter func(string) error) (string, error) {
	if out, err := exec.Command("cp", "--sparse=always", from, to).CombinedOutput(); err != nil {
		return "", fmt.Errorf("cannot copy a disk: %w: %s", err, bytes.TrimSpace(out))
	}
	if alter == nil {
		return to, nil
	}
	return to, alter(to)
}

func paths(disks []vm.Disk) []string {
	var out []string
	for _, d := range disks {
		out = append(out, d.Path)
	}
	return out
}

// console collects what a machine shows, and hands out what is to be typed when its sentence has come.
type console struct {
	mu    sync.Mutex
	log   *os.File
	buf   bytes.Buffer
	lines []Line
	from  int // in the readable text, behind what was waited for last
	say   chan string
	ended bool
	over  chan struct{} // closed with the console
}

func newConsole(log *os.File, lines []Line) *console {
	return &console{log: log, lines: lines, say: make(chan string, len(lines)), over: make(chan struct{})}
}

// wait waits until the console has shown a sentence, and reports false if the machine ended before.
func (c *console) wait(ctx context.Context, sentence string) bool {
	const look = 100 * time.Millisecond
	for !strings.Contains(Text(c.text()), sentence) {
		select {
		case <-ctx.Done():
			return false
		case <-c.over:
			return false
		case <-time.After(look):
		}
	}
	return true
}

func (c *console) Write(b []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.buf.Write(b)
	if _, err := c.log.Write(b); err != nil {
		return 0, err
	}
	if len(c.lines) == 0 {
		return len(b), nil
	}
	text := Text(c.buf.String())
	for len(c.lines) > 0 {
		i := strings.Index(text[min(c.from, len(text)):], c.lines[0].Wait)
		if i < 0 {
			break
		}
		c.from += i + len(c.lines[0].Wait)
		c.say <- c.lines[0].Type
		c.lines = c.lines[1:]
	}
	return len(b), nil
}

func (c *console) Close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ended {
		return nil
	}
	c.ended = true
	close(c.over)
	close(c.say)
	return c.log.Close()
}

func (c *console) text() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.buf.String()
}

func (c *console) unsaid() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.lines) == 0 {
		return ""
	}
	return c.lines[0].Wait
}
