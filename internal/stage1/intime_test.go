// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package stage1

import (
	"errors"
	"io"
	"math"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/initddi/initddi/internal/apply"
	"github.com/initddi/initddi/internal/linux/process"
	"github.com/initddi/initddi/internal/plan"
	"github.com/initddi/initddi/internal/report"
	"github.com/initddi/initddi/internal/resolve"
)

// hasty is a boot with a short ddi.timeout=.
func hasty() *boot {
	log := &report.Log{Console: io.Discard}
	return &boot{plan: &plan.Plan{Timeout: 5 * time.Second}, log: log, tpm: newMeasurer(&World{}, log), images: map[string]*apply.Image{}}
}

const hastyLimit = 5*time.Second + slowDisk

func TestInTime(t *testing.T) {
	wrong := errors.New("wrong")
	for _, test := range []struct {
		name string
		verb resolve.Verb
		f    func(b *boot) error
		want error // nil: silent
		took time.Duration
	}{
		{"at once", resolve.Mount, func(*boot) error { return wrong }, wrong, 0},
		{"slow", resolve.Attach, func(*boot) error { time.Sleep(hastyLimit - 1); return wrong }, wrong, hastyLimit - 1},
		{"too slow", resolve.Attach, func(*boot) error { time.Sleep(hastyLimit + 1); return wrong }, nil, hastyLimit},
		{"a mount that is too slow", resolve.Mount, func(*boot) error { time.Sleep(time.Hour); return wrong }, nil, hastyLimit},
		{"a hand-over that is too slow", resolve.Enter, func(*boot) error { time.Sleep(time.Hour); return wrong }, nil, hastyLimit},
		{"a hand-over that has begun", resolve.Enter, func(b *boot) error {
			time.Sleep(hastyLimit - 1)
			if err := b.commit(); err != nil {
				return err
			}
			time.Sleep(time.Hour)
			return wrong
		}, wrong, hastyLimit - 1 + time.Hour},
		{"a server takes its own time", resolve.ListSource, func(*boot) error { time.Sleep(time.Hour); return wrong }, wrong, time.Hour},
		{"it goes on and on", resolve.Attach, func(b *boot) error {
			for range 100 {
				time.Sleep(hastyLimit - 1)
				b.move()
			}
			return wrong
		}, wrong, 100 * (hastyLimit - 1)},
		{"it goes on, and no more", resolve.Attach, func(b *boot) error {
			time.Sleep(time.Second)
			b.move()
			time.Sleep(time.Hour)
			return wrong
		}, nil, time.Second + hastyLimit},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := hasty()
				a := &resolve.Action{Verb: test.verb, Source: plan.SourceESP, Partition: "vda1", Image: "/loader/ddi/OS.raw"}
				begun := time.Now()
				err := b.inTime(a, func() error { return test.f(b) })
				if took := time.Since(begun); took != test.took {
					t.Errorf("it took %s, wanted %s", took, test.took)
				}
				time.Sleep(2 * time.Hour) // what was abandoned ends, too
				var silent *SilentError
				if test.want == nil {
					if !errors.As(err, &silent) || !b.abandoned || !strings.Contains(err.Error(), "cannot "+string(test.verb)+" vda1:/loader/ddi/OS.raw: nothing has come of it for 25s: /dev/vda1 does not answer") {
						t.Errorf("%v, abandoned: %v", err, b.abandoned)
					}
					if h := hints(err); len(h) != 1 || !strings.Contains(h[0], "check the disk") {
						t.Errorf("%q", h)
					}
				} else if !errors.Is(err, test.want) || b.abandoned {
					t.Errorf("%v, abandoned: %v", err, b.abandoned)
				}
			})
		})
	}
}

// TestInTimeInfinity: who asked for no limit has none.
func TestInTimeInfinity(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := hasty()
		b.plan.Timeout = math.MaxInt64
		wrong := errors.New("wrong")
		if err := b.inTime(&resolve.Action{Verb: resolve.Mount}, func() error { time.Sleep(10000 * time.Hour); return wrong }); !errors.Is(err, wrong) {
			t.Error(err)
		}
	})
}

// TestInTimePanic: an action of its own goroutine does not end process 1 either.
func TestInTimePanic(t *testing.T) {
	var p *process.PanicError
	if err := hasty().inTime(&resolve.Action{Verb: resolve.Mount}, func() error { panic("out of range") }); !errors.As(err, &p) {
		t.Error(err)
	}
}

// TestTooLate: an action that comes back after all hands over nothing, and what it has is given up then, and not before.
func TestTooLate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := hasty()
		b.devices = &devices{}
		entered := false
		err := b.inTime(&resolve.Action{Verb: resolve.Enter}, func() error {
			time.Sleep(time.Hour)
			err := b.commit()
			entered = err == nil
			return err
		})
		if err == nil {
			t.Fatal("it was waited for")
		}
		time.Sleep(time.Minute)
		if b.devices.over {
			t.Error("what it uses was given up before it came back")
		}
		time.Sleep(time.Hour)
		synctest.Wait()
		if entered || !b.devices.over {
			t.Errorf("entered: %v, given up: %v", entered, b.devices.over)
		}
	})
}
