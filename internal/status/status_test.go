// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package status

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/initddi/initddi/internal/attempt"
	"github.com/initddi/initddi/internal/bless"
	"github.com/initddi/initddi/internal/efivar"
)

var update = flag.Bool("update", false, "write the golden files anew")

// booted is a system with a report out of testdata, and an EFI variable that says what the record is.
func booted(t *testing.T, name string, record *attempt.Record, moments map[string]int64) System {
	t.Helper()
	s := System{System: bless.System{Report: filepath.Join("testdata", name)}, Moments: func(context.Context) map[string]int64 { return moments }}
	if record != nil {
		s.EFIVars = t.TempDir()
		file := filepath.Join(s.EFIVars, efivar.FileName(attempt.Variable, attempt.Vendor()))
		if err := os.WriteFile(file, efivar.Encode(7, record.Encode()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return s
}

// TestGolden holds what is printed against files: with -update it writes them anew.
func TestGolden(t *testing.T) {
	hash := bytes.Repeat([]byte{0xab}, 32)
	uefi := map[string]int64{momentFirmware: 3_000_000, momentLoader: 1_200_000, momentUser: 2_050_000, momentFinish: 9_000_000}
	initrd := map[string]int64{momentInitrd: 2_050_000, momentUser: 6_000_000, momentFinish: 12_000_000}
	good, trial := attempt.Record{}.Blessed(hash), attempt.Record{}.Entered(hash)
	for _, test := range []struct {
		golden, report string
		record         *attempt.Record
		moments        map[string]int64
		colours        bool
	}{
		{"os.txt", "os.json", &good, uefi, false},
		{"trial.txt", "os.json", &trial, nil, false},
		{"colours.txt", "os.json", &good, uefi, true},
		{"initrd.txt", "initrd.json", nil, initrd, false},
		// What has keys that nobody knows here, and what a hostile name tries.
		{"later.txt", "later.json", nil, nil, false},
		// Stages so late, so long or so early that sums of them are beyond any number.
		{"times.txt", "times.json", nil, uefi, false},
	} {
		t.Run(test.golden, func(t *testing.T) {
			st, err := booted(t, test.report, test.record, test.moments).Look(context.Background())
			if err != nil {
				t.Fatal(err)
			}
			var got bytes.Buffer
			st.Print(&got, test.colours)
			file := filepath.Join("testdata", test.golden)
			if *update {
				if err := os.WriteFile(file, got.Bytes(), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(got.Bytes(), want) {
				t.Errorf("got\n%s\nwant\n%s", got.Bytes(), want)
			}
			if i := strings.IndexByte(got.String(), 0x1b); i >= 0 && !test.colours {
				t.Errorf("an escape sequence at %d", i)
			}
		})
	}
}

// TestJSON: nothing of the report is lost, whether this program knows it or not.
func TestJSON(t *testing.T) {
	st, err := booted(t, "later.json", nil, nil).Look(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	b, err := json.Marshal(st)
	if err != nil {
		t.Fatal(err)
	}
	var got struct{ Boot map[string]any }
	if err := json.Unmarshal(b, &got); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile("testdata/later.json")
	if err != nil {
		t.Fatal(err)
	}
	var want map[string]any
	if err := json.Unmarshal(text, &want); err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(got.Boot, want) {
		t.Errorf("got %v, want %v", got.Boot, want)
	}
}

func TestNotBooted(t *testing.T) {
	if _, err := booted(t, "nothing.json", nil, nil).Look(context.Background()); !errors.Is(err, bless.ErrNotBooted) {
		t.Error(err)
	}
	if _, err := booted(t, "os.txt", nil, nil).Look(context.Background()); !errors.Is(err, bless.ErrReport) {
		t.Error(err)
	}
	if _, err := booted(t, ".", nil, nil).Look(context.Background()); err == nil {
		t.Error("a directory was read")
	}
}

func TestMoments(t *testing.T) {
	got := parseMoments("FinishTimestampMonotonic=12\nInitRDTimestampMonotonic=0\nFirmwareTimestampMonotonic=x\nOther=5\nnothing\nUserspaceTimestampMonotonic=7")
	if want := (map[string]int64{momentFinish: 12, momentUser: 7}); !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestCrashes(t *testing.T) {
	s := booted(t, "os.json", nil, nil)
	s.Crashes = []string{t.TempDir(), filepath.Join(t.TempDir(), "not there")}
	file := filepath.Join(s.Crashes[0], "dmesg-efi-1")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	st, err := s.Look(context.Background())
	if err != nil || !reflect.DeepEqual(st.Crashes, []string{file}) {
		t.Errorf("%+v, %v", st, err)
	}
}

func TestBar(t *testing.T) {
	for _, test := range []struct {
		lo, hi, start, usec int64
		from, columns       int
	}{
		{0, 320, 0, 320, 0, 32},
		{0, 320, 0, 0, 0, 1},
		{0, 320, 320, 0, 31, 1},
		{-320, 0, -160, 160, 16, 16},
		{100, 420, 110, 10, 1, 1},
		{1 << 58, 1<<58 + 256, 1 << 58, 256, 0, 32},
		{1 << 58, 1<<58 + 1024, 1<<58 + 512, 1 << 62, 16, 16},
		{math.MinInt64, math.MaxInt64, math.MaxInt64, math.MaxInt64, 31, 1},
		{0, 320, -10, -1, 0, 1},
	} {
		got := bar(test.lo, test.hi, test.start, test.usec)
		if want := strings.Repeat(" ", test.from) + strings.Repeat("█", test.columns); got != want {
			t.Errorf("%+v: %q, want %q", test, got, want)
		}
	}
	if got := bar(5, 5, 5, 0); got != "" {
		t.Errorf("a whole of nothing has the bar %q", got)
	}
}

// FuzzBar: whatever a report says of when something went on, its bar is on the chart.
func FuzzBar(f *testing.F) {
	f.Add(int64(0), int64(320), int64(10), int64(20))
	f.Add(int64(1<<58), int64(1<<58+1), int64(1<<58), int64(1))
	f.Add(int64(math.MinInt64), int64(math.MaxInt64), int64(math.MinInt64), int64(math.MinInt64))
	f.Fuzz(func(t *testing.T, lo, hi, start, usec int64) {
		got := bar(lo, hi, start, usec)
		if n := utf8.RuneCountInString(got); n > chart || (n == 0) != (float64(hi) <= float64(lo)) || got != "" && !strings.HasSuffix(got, "█") {
			t.Errorf("%d columns: %q", n, got)
		}
	})
}

// TestCommand runs the verb on a report of another system.
func TestCommand(t *testing.T) {
	out, err := os.Create(filepath.Join(t.TempDir(), "out"))
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	say := func(args ...string) error {
		flags := flag.NewFlagSet("initddi status", flag.ContinueOnError)
		flags.SetOutput(out)
		return Command(context.Background(), out, flags, args)
	}
	if err := say("--report", "testdata/os.json", "--json"); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(out.Name())
	if err != nil {
		t.Fatal(err)
	}
	var got Status
	if err := json.Unmarshal(b, &got); err != nil || got.Record != nil || len(got.Spans) != 2 {
		t.Errorf("%v: %s", err, b)
	}
	if err := say("more"); err == nil || !strings.Contains(err.Error(), `"more"`) {
		t.Error(err)
	}
	if err := say("--report", "nothing"); !errors.Is(err, bless.ErrNotBooted) {
		t.Error(err)
	}
}
