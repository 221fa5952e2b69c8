// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package stage1

import (
	"errors"
	"io/fs"
	"maps"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/initddi/initddi/internal/cmdline"
	"github.com/initddi/initddi/internal/drivers"
	"github.com/initddi/initddi/internal/linux/process"
	"github.com/initddi/initddi/internal/linux/tpm"
	"github.com/initddi/initddi/internal/measure"
	"github.com/initddi/initddi/internal/modtable"
	"github.com/initddi/initddi/internal/plan"
	"github.com/initddi/initddi/internal/report"
	"github.com/initddi/initddi/internal/tpm2"
)

// described is a machine whose firmware describes a TPM 2.0, and whose stage 1 has a driver for it.
func described(more map[string]string) map[string]string {
	const acpi = "sys/bus/acpi/devices/MSFT0101:00/"
	files := map[string]string{
		acpi + "modalias": "acpi:MSFT0101:MSFT0101:\n", acpi + "status": "15\n",
		"etc/initddi/modules":         "initddi-modules 1 6.12\nmodule tpm_tis tpm_tis.ko\nalias acpi*:MSFT0101:* tpm_tis\n",
		"lib/modules/6.12/tpm_tis.ko": "",
		"proc/cmdline":                "quiet tpm_tis.interrupts=0\n",
	}
	maps.Copy(files, more)
	return files
}

// measurerOf returns a measurer of such a machine, and what has to be called to load a module there.
func measurerOf(t *testing.T, files map[string]string, load func(w *World, params string) error) (*measurer, func() string) {
	t.Helper()
	log, out := quietLog()
	w := machineWith(t, files)
	m := newMeasurer(w, log)
	m.dev = w.Dev.Name()
	m.load = func(_ *os.Root, mod modtable.Module, params []cmdline.Param) error {
		if load == nil {
			t.Errorf("%s is loaded", mod.Name)
			return nil
		}
		return load(w, drivers.Asynchronous(params, mod.Name))
	}
	return m, out.String
}

// putFile makes a file of a fake machine.
func putFile(t *testing.T, root *os.Root, name, text string) {
	t.Helper()
	dir := name[:strings.LastIndexByte("/"+name, '/')]
	if dir != "" {
		if err := root.MkdirAll(dir, 0o755); err != nil {
			t.Error(err)
		}
	}
	if err := root.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Error(err)
	}
}

func TestFindTPM(t *testing.T) {
	const acpi = "sys/bus/acpi/devices/MSFT0101:00/"
	const chip = "sys/class/tpm/tpm0/"
	for _, test := range []struct {
		name  string
		files map[string]string
		want  error
		says  string
	}{
		{"none", map[string]string{"sys/bus/acpi/devices/PNP0A08:00/modalias": "acpi:PNP0A08:PNP0A03:\n"}, ErrNoTPM, "there is no TPM"},
		{"switched off", map[string]string{acpi + "modalias": "acpi:MSFT0101:\n", acpi + "status": "0\n"}, ErrNoTPM, "there is no TPM"},
		{"a TPM 1.2", map[string]string{chip + "tpm_version_major": "1\n", "dev/tpm0": ""}, ErrNoTPM, "there is no TPM 2.0: cannot use tpm0: it is a TPM 1.2, not a TPM 2.0"},
		{"a chip that can be either, as a TPM 1.2", described(map[string]string{chip + "tpm_version_major": "1\n", chip + "device/modalias": "acpi:MSFT0101:\n", "dev/tpm0": ""}), ErrNoTPM, "tpm0: it is a TPM 1.2"},
		{"without a driver", map[string]string{acpi + "modalias": "acpi:MSFT0101:MSFT0101:\n", acpi + "status": "15\n"}, errUndriven, ""},
		{"without a driver, beside a TPM 1.2", map[string]string{acpi + "modalias": "acpi:MSFT0101:\n", chip + "tpm_version_major": "1\n", "dev/tpm0": ""}, errUndriven, ""},
		{"a module table that cannot be read", map[string]string{acpi + "modalias": "acpi:MSFT0101:\n", "etc/initddi/modules": "nonsense"}, errUndriven, ""},
		{"a TPM 2.0 that never gets ready", map[string]string{chip + "tpm_version_major": "2\n", "dev/tpm0": ""}, tpm.ErrUnready, ""},
	} {
		synctest.Test(t, func(t *testing.T) {
			m, _ := measurerOf(t, test.files, nil)
			if err := m.open(); !errors.Is(err, test.want) || !strings.Contains(err.Error(), test.says) || errors.Is(err, ErrNoTPM) != (test.want == ErrNoTPM) {
				t.Errorf("%s: %v, want %v: %s", test.name, err, test.want, test.says)
			}
			m.close()
		})
	}
	m, _ := measurerOf(t, map[string]string{}, nil)
	m.close()
	if err := m.open(); !errors.Is(err, fs.ErrClosed) {
		t.Errorf("opened after it was closed: %v", err)
	}
}

// TestTPMAppearsLater: the driver is loaded with what the command line says to it and without waiting for devices, and what it drives is
// waited for, in the order in which the kernel makes it.
func TestTPMAppearsLater(t *testing.T) {
	for _, beside := range []map[string]string{nil, {"sys/class/tpm/tpm0/tpm_version_major": "1\n", "dev/tpm0": ""}} {
		synctest.Test(t, func(t *testing.T) {
			var told string
			m, _ := measurerOf(t, described(beside), func(w *World, params string) error {
				told = params
				go func() {
					time.Sleep(time.Second)
					if err := w.Sys.Symlink("../../drivers/tpm_tis", "bus/acpi/devices/MSFT0101:00/driver"); err != nil {
						t.Error(err)
					}
					time.Sleep(2 * appearQuiet)
					putFile(t, w.Sys, "class/tpm/tpm1/tpm_version_major", "2\n")
					time.Sleep(time.Second)
					putFile(t, w.Dev, "tpmrm1", "")
				}()
				return nil
			})
			d, err := m.find()
			if err != nil {
				t.Fatal(err)
			}
			defer d.Close()
			if d.Path() != m.dev+"/tpmrm1" || told != "interrupts=0 async_probe" {
				t.Errorf("opened %s; the driver was told %q", d.Path(), told)
			}
		})
	}
}

// TestTPMDoesNotAppear: a machine whose TPM the driver does not take waits for it no longer than that takes, and one whose driver takes
// for ever has its limit.
func TestTPMDoesNotAppear(t *testing.T) {
	for _, test := range []struct {
		name string
		gone time.Duration // when the driver gives the device up, 0 if never
		want time.Duration
	}{
		{"it is given up", time.Second, time.Second + appearQuiet},
		{"it is never given up", 0, appearLimit},
	} {
		synctest.Test(t, func(t *testing.T) {
			const link = "bus/acpi/devices/MSFT0101:00/driver"
			m, _ := measurerOf(t, described(nil), func(w *World, _ string) error {
				if err := w.Sys.Symlink("../../drivers/tpm_tis", link); err != nil {
					t.Error(err)
				}
				if test.gone > 0 {
					time.AfterFunc(test.gone, func() {
						if err := w.Sys.Remove(link); err != nil {
							t.Error(err)
						}
					})
				}
				return nil
			})
			start := time.Now()
			_, err := m.find()
			if took := time.Since(start); !errors.Is(err, errUndriven) || took < test.want-time.Second || took > test.want+time.Second {
				t.Errorf("%s: %v after %s, want about %s", test.name, err, took, test.want)
			}
		})
	}
}

// TestFoundToBeOld: a driver that finds a TPM 1.2 in what the firmware describes leaves nothing to wait for.
func TestFoundToBeOld(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, _ := measurerOf(t, described(nil), func(w *World, _ string) error {
			putFile(t, w.Sys, "class/tpm/tpm0/device/modalias", "acpi:MSFT0101:MSFT0101:\n")
			putFile(t, w.Sys, "class/tpm/tpm0/tpm_version_major", "1\n")
			return w.Sys.Symlink("../../drivers/tpm_tis", "bus/acpi/devices/MSFT0101:00/driver")
		})
		start := time.Now()
		if _, err := m.find(); !errors.Is(err, ErrNoTPM) || time.Since(start) > time.Second {
			t.Errorf("%v after %s", err, time.Since(start))
		}
	})
}

// TestOpeningIsBounded: a driver that the kernel does not finish loading, as where it waits for a disk that does not answer, holds up
// nothing for ever, and nothing is measured then, nor a shell opened.
func TestOpeningIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		m, says := measurerOf(t, described(nil), func(*World, string) error {
			<-release
			return nil
		})
		start := time.Now()
		m.start()
		err := m.extend(measure.Shell()[0])
		if took := time.Since(start); !errors.Is(err, tpm.ErrTimeout) || errors.Is(err, ErrNoTPM) || took != openLimit {
			t.Errorf("%v after %s", err, took)
		}
		for _, want := range []string{"the TPM does not answer in 20s", "still at loading module tpm_tis", "switch the machine off and on"} {
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%v lacks %q", err, want)
			}
		}
		if want := "still at loading module tpm_tis: the boot waits for the TPM"; !strings.Contains(says(), want) {
			t.Errorf("the console says %q, want %q", says(), want)
		}
		var me *MeasureError
		if err := m.shell(m.console); !errors.As(err, &me) || !strings.Contains(hint(err), "switch the machine off and on") {
			t.Errorf("a shell: %v", err)
		}
		if f := m.floor(1); !errors.Is(f.Err, tpm.ErrTimeout) {
			t.Errorf("the floor: %v", f.Err)
		}
		b := &boot{plan: &plan.Plan{Measure: plan.MeasureYes}, tpm: m, log: m.console, report: &report.Boot{}}
		if err := b.measure(measure.Shell()[0]); err != nil || !strings.Contains(says(), "what is sealed against PCR 11 will not open") {
			t.Errorf("%v, %s", err, says())
		}
		m.close()
		if took := time.Since(start); took != openLimit {
			t.Errorf("waited again, %s in all", took)
		}
		close(release)
		synctest.Wait()
		if !errors.Is(m.err, tpm.ErrTimeout) || m.device != nil {
			t.Errorf("what came late was taken: %v", m.err)
		}
	})
}

// closing counts how often a TPM is closed.
type closing struct {
	says
	n *int
}

func (c closing) Close() error { *c.n++; return nil }

// TestCloseWhileOpening: nobody waits for a TPM that is being opened and not wanted any more, and it does not stay open.
func TestCloseWhileOpening(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		m, _ := measurerOf(t, described(nil), func(*World, string) error { <-release; return nil })
		start := time.Now()
		m.start()
		m.close()
		if took := time.Since(start); took != 0 {
			t.Errorf("closed after %s", took)
		}
		var closed int
		m.settle(closing{n: &closed}, []tpm2.Bank{}, nil)
		if closed != 1 || m.device != nil || !errors.Is(m.open(), fs.ErrClosed) {
			t.Errorf("closed %d times, %v", closed, m.err)
		}
		close(release)
	})
}

// TestPanicWhileOpening: the TPM is opened by a goroutine of its own, whose panic would end process 1, and a TPM that was opened
// half-way must not be used.
func TestPanicWhileOpening(t *testing.T) {
	m := newMeasurer(nil, nil) // which looks for a TPM in a machine that is not there
	for range 2 {
		var p *process.PanicError
		if err := m.open(); !errors.As(err, &p) {
			t.Fatalf("got %v", err)
		}
	}
	if err := m.extend(measure.Shell()[0]); err == nil {
		t.Error("it was measured all the same")
	}
}
