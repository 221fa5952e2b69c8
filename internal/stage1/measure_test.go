// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package stage1

import (
	"bytes"
	"encoding/hex"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/initddi/initddi/internal/linux/kmsg"
	"github.com/initddi/initddi/internal/linux/tpm"
	"github.com/initddi/initddi/internal/measure"
	"github.com/initddi/initddi/internal/plan"
	"github.com/initddi/initddi/internal/predict"
	"github.com/initddi/initddi/internal/program"
	"github.com/initddi/initddi/internal/report"
	"github.com/initddi/initddi/internal/swtpm"
	"github.com/initddi/initddi/internal/tpm2"
)

// machineWith makes a world out of files.
func machineWith(t *testing.T, files map[string]string) *World {
	t.Helper()
	dir := t.TempDir()
	for _, d := range []string{"proc/sys/kernel/random", "sys", "dev"} {
		if err := os.MkdirAll(filepath.Join(dir, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	files["proc/sys/kernel/random/boot_id"] = "01234567-89ab-cdef-0123-456789abcdef\n"
	for name, text := range files {
		name = filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	w, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	return w
}

// withTPM returns a measurer whose TPM is d.
func withTPM(t *testing.T, d tpmDevice) *measurer {
	t.Helper()
	log, _ := quietLog()
	m := newMeasurer(machineWith(t, map[string]string{}), log)
	m.log = filepath.Join(t.TempDir(), "log/systemd/tpm2-measure.log")
	m.once.Do(func() {})
	m.settle(d, []tpm2.Bank{{Alg: tpm2.SHA256, Select: []byte{0xff, 0xff, 0xff}}}, nil)
	return m
}

// says is a TPM that has one answer.
type says struct {
	response string
	err      error
}

func (s says) Transmit([]byte) ([]byte, error) {
	b, err := hex.DecodeString(s.response)
	return b, errors.Join(err, s.err)
}

func (s says) Close() error { return nil }

const (
	yesSays     = "8002000000130000000000000000" + "0000010000"
	failureSays = "80010000000a00000101"
)

func quietLog() (*report.Log, *bytes.Buffer) {
	var out bytes.Buffer
	return &report.Log{Console: &out, Level: kmsg.Debug}, &out
}

func TestExtendKeepsTheLogHonest(t *testing.T) {
	event := measure.Event{PCR: 13, Text: "ddi:os:a:ab:"}
	lost := errors.New("lost")
	for _, test := range []struct {
		name    string
		device  says
		want    error // nil if measured
		records int
		mode    fs.FileMode
	}{
		{"done", says{response: yesSays}, nil, 1, 0o600},
		{"refused by the TPM", says{response: failureSays}, tpm2.RCFailure, 0, 0o600},
		{"unknown whether done", says{err: lost}, lost, 1, 0o600 | fs.ModeSticky},
		{"an answer that says nothing", says{response: "8001"}, tpm2.ErrMalformed, 1, 0o600 | fs.ModeSticky},
	} {
		m := withTPM(t, test.device)
		err := m.extend(event)
		if !errors.Is(err, test.want) || test.want == nil && err != nil {
			t.Errorf("%s: %v, want %v", test.name, err, test.want)
		}
		b, err := os.ReadFile(m.log)
		if err != nil {
			t.Fatal(err)
		}
		if n := bytes.Count(b, []byte("\x1e")); n != test.records || n > 0 && !strings.Contains(string(b), event.Text) {
			t.Errorf("%s: the log has %q", test.name, b)
		}
		if info, err := os.Stat(m.log); err != nil || info.Mode() != test.mode {
			t.Errorf("%s: the log's mode is %v, %v; want %v", test.name, info.Mode(), err, test.mode)
		}
		if (len(m.done) == 1) != (test.want == nil) {
			t.Errorf("%s: reported %v", test.name, m.done)
		}
	}
}

// TestExtendWithoutLog: what is sealed is bound to the PCR, so it is extended whatever happens to the log.
func TestExtendWithoutLog(t *testing.T) {
	for name, spoil := range map[string]func(path string) error{
		"in the way": func(path string) error { return os.WriteFile(filepath.Dir(path), nil, 0o644) },
		"under way": func(path string) error {
			return errors.Join(os.Mkdir(filepath.Dir(path), 0o755), os.WriteFile(path, []byte("x"), 0o600), os.Chmod(path, 0o600|os.ModeSticky))
		},
		"a symbolic link": func(path string) error {
			return errors.Join(os.Mkdir(filepath.Dir(path), 0o755), os.Symlink("elsewhere", path))
		},
	} {
		m := withTPM(t, says{response: yesSays})
		if err := errors.Join(os.MkdirAll(filepath.Dir(filepath.Dir(m.log)), 0o755), spoil(m.log)); err != nil {
			t.Fatal(err)
		}
		err := m.extend(measure.Event{PCR: 13, Text: "ddi:os:a:ab:"})
		if err == nil || len(m.done) != 1 {
			t.Errorf("%s: %v, measured %v", name, err, m.done)
		}
		if name == "under way" && !errors.Is(err, tpm.ErrIncomplete) {
			t.Error(err)
		}
	}
}

// TestMeasurePolicy has every word of ddi.measure= with every state of the TPM.
func TestMeasurePolicy(t *testing.T) {
	for _, test := range []struct {
		measure plan.Measure
		err     error // of opening
		device  says
		fails   bool
		says    string
	}{
		{plan.MeasureYes, nil, says{response: yesSays}, false, "measure: PCR 13: ddi:os:a:ab: (sha256)"},
		{plan.MeasureYes, ErrNoTPM, says{}, false, "nothing is measured: there is no TPM"},
		{plan.MeasureYes, errUndriven, says{}, false, "is not measured: the firmware names a TPM"},
		{plan.MeasureYes, nil, says{response: failureSays}, false, "is not measured: cannot extend PCR 13: the TPM says 0x101 (FAILURE); what is sealed against PCR 13 will not open"},
		{plan.MeasureRequire, nil, says{response: yesSays}, false, "measure: PCR 13"},
		{plan.MeasureRequire, ErrNoTPM, says{}, true, ""},
		{plan.MeasureRequire, errUndriven, says{}, true, ""},
		{plan.MeasureRequire, nil, says{response: failureSays}, true, ""},
		{plan.MeasureNo, nil, says{err: errors.New("was asked")}, false, ""},
	} {
		m := withTPM(t, test.device)
		m.err = test.err
		log, out := quietLog()
		b := &boot{plan: &plan.Plan{Measure: test.measure}, tpm: m, log: log, report: &report.Boot{}}
		err := b.measure(measure.Event{PCR: 13, Text: "ddi:os:a:ab:"})
		var me *MeasureError
		if test.fails != errors.As(err, &me) || !test.fails && err != nil {
			t.Errorf("%s, %v, %v: %v", test.measure, test.err, test.device, err)
		}
		if test.fails {
			if !strings.Contains(err.Error(), "cannot go on without ddi:os:a:ab: in PCR 13 (ddi.measure=require): ") || !strings.Contains(hint(err), "TPM") {
				t.Errorf("%v: %s", err, hint(err))
			}
			if b.report.Unmeasured == "" {
				t.Error("the report does not say that it is not measured")
			}
		}
		if !strings.Contains(out.String(), test.says) || test.says == "" && out.Len() > 0 {
			t.Errorf("%s, %v, %v: the log says %q, want %q", test.measure, test.err, test.device, out, test.says)
		}
	}
}

func TestShellIsMeasuredOrNotOpened(t *testing.T) {
	log, out := quietLog()
	m := withTPM(t, says{response: yesSays})
	if err := m.shell(log); err != nil || len(m.done) != 3 || !strings.Contains(out.String(), "PCRs 11, 12 and 13") {
		t.Errorf("%v, %v, %s", err, m.done, out)
	}
	if m = withTPM(t, nil); true {
		m.err = ErrNoTPM
	}
	if err := m.shell(log); err != nil {
		t.Errorf("without a TPM: %v", err)
	}
	for _, err := range []error{errUndriven, tpm.ErrTimeout} {
		m = withTPM(t, nil)
		m.err = err
		if got := m.shell(log); !errors.Is(got, err) || !strings.Contains(got.Error(), "cannot open a debug shell without ddi:shell in PCR 11") {
			t.Errorf("got %v", got)
		}
	}
}

// TestMeasureSwtpm measures into an emulated TPM, and replays the log to what it holds then.
func TestMeasureSwtpm(t *testing.T) {
	e, err := swtpm.ForTools(t.Context(), t.TempDir())
	if errors.Is(err, program.ErrMissing) {
		t.Skip("missing:", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	m := withTPM(t, e)
	if m.banks, err = (tpm2.GetCapabilityPCRs{}).Execute(e); err != nil {
		t.Fatal(err)
	}
	log := &report.Log{Console: io.Discard}
	if err := m.shell(log); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"os_1.raw", "tools.sysext.raw"} {
		if err := m.extend(measure.Image(measure.OS, name, bytes.Repeat([]byte{7}, 32), nil)); err != nil {
			t.Fatal(err)
		}
	}
	b, err := os.ReadFile(m.log)
	if err != nil {
		t.Fatal(err)
	}
	records, err := predict.ParseLog(b)
	if err != nil || len(records) != 5 {
		t.Fatalf("%d records, %v", len(records), err)
	}
	for _, r := range records {
		if at := time.Duration(r.Content.Timestamp) * time.Microsecond; at <= 0 || r.Content.BootID != "0123456789abcdef0123456789abcdef" {
			t.Errorf("record %+v", r)
		}
	}
	for _, alg := range []tpm2.Alg{tpm2.SHA256, tpm2.SHA384, tpm2.SHA512} {
		for _, pcr := range []int{11, 12, 13} {
			want, err := tpm2.PCRRead{Alg: alg, PCR: pcr}.Execute(e)
			if err != nil {
				t.Fatal(err)
			}
			if got := predict.Replay(records, pcr, alg); !bytes.Equal(got, want) {
				t.Errorf("the log replays to %x in PCR %d of %s, the TPM has %x", got, pcr, alg, want)
			}
		}
	}
}
