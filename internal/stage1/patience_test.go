// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package stage1

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/initddi/initddi/internal/discover/machinetest"
	"github.com/initddi/initddi/internal/drivers"
	"github.com/initddi/initddi/internal/esp"
	"github.com/initddi/initddi/internal/modtable"
	"github.com/initddi/initddi/internal/plan"
	"github.com/initddi/initddi/internal/resolve"
)

// virtioTable has two drivers of devices, and a module that nothing asks for.
func virtioTable(t *testing.T) *modtable.Table {
	t.Helper()
	table, err := modtable.New(modtable.Spec{
		Release:  "6.12",
		Features: []modtable.Feature{{Name: "dm", Modules: []string{"dm_mod"}}},
		Modules:  []modtable.Module{{Name: "dm_mod", File: "dm_mod.ko"}, {Name: "sha256_ssse3", File: "sha256_ssse3.ko"}, {Name: "sd_mod", File: "sd_mod.ko"}, {Name: "virtio_blk", File: "virtio_blk.ko"}},
		Aliases:  []modtable.Alias{{Pattern: "cpu:type:x86,ven*fam*mod*:feature:*0089*", Module: "sha256_ssse3"}, {Pattern: "scsi:t-0x00*", Module: "sd_mod"}, {Pattern: "virtio:d00000002v*", Module: "virtio_blk"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	return table
}

func TestIsNamed(t *testing.T) {
	for _, test := range []struct {
		device plan.Device
		efi    bool
		want   bool
	}{
		{plan.Device{}, false, false},
		{plan.Device{}, true, true},
		{plan.Device{PartUUID: uuid1}, false, true},
		{plan.Device{Node: "vda"}, false, true},
		// There may be two with that label, whatever the firmware says.
		{plan.Device{Label: "ESP"}, true, false},
		{plan.Device{PartLabel: "esp"}, true, false},
	} {
		m := machinetest.New(t)
		if test.efi {
			m.Write("sys/firmware/efi/fw_platform_size", "64\n")
		}
		if got := isNamed(&World{Sys: m.Root("sys")}, &plan.Plan{Device: test.device}); got != test.want {
			t.Errorf("%+v, EFI %v: %v", test.device, test.efi, got)
		}
	}
}

func TestWaitsForDevices(t *testing.T) {
	for _, test := range []struct {
		module       string
		named, waits bool
	}{
		{"dm_mod", false, false}, {"dm_mod", true, false}, // nothing of it is a device
		{"sha256_ssse3", false, false}, // nor is a processor
		{"sd_mod", false, true}, {"sd_mod", true, false},
		{"virtio_blk", false, true}, {"virtio_blk", true, false},
	} {
		d := &devices{table: virtioTable(t), named: test.named}
		if got := d.waitsForDevices(test.module); got != test.waits {
			t.Errorf("%s, named %v: %v", test.module, test.named, got)
		}
	}
}

// TestInOrder: where there are several virtio disks they are probed in order, and nothing else is.
func TestInOrder(t *testing.T) {
	for _, test := range []struct {
		name    string
		aliases map[string]string // by bus/NAME
		module  string
		want    bool
	}{
		{"none", nil, "virtio_blk", false},
		{"one", map[string]string{"pci/0": "pci:v00001AF4d00001001sv0", "virtio/virtio0": "virtio:d00000002v00001AF4"}, "virtio_blk", false},
		{"a disk and a network card", map[string]string{"virtio/virtio0": "virtio:d00000002v00001AF4", "virtio/virtio1": "virtio:d00000001v00001AF4"}, "virtio_blk", false},
		{"two, of which one is on its bus", map[string]string{"pci/0": "pci:v00001AF4d00001001sv0", "pci/1": "pci:v00001AF4d00001042sv0", "virtio/virtio0": "virtio:d00000002v00001AF4"}, "virtio_blk", true},
		{"two without PCI", map[string]string{"virtio/virtio0": "virtio:d00000002v00001AF4", "virtio/virtio1": "virtio:d00000002v00001AF4"}, "virtio_blk", true},
		{"two, for another driver", map[string]string{"virtio/virtio0": "virtio:d00000002v00001AF4", "virtio/virtio1": "virtio:d00000002v00001AF4"}, "nvme", false},
	} {
		m := machinetest.New(t)
		for place, alias := range test.aliases {
			bus, name := filepath.Split(place)
			m.Write("sys/bus/"+bus+"devices/"+name+"/modalias", alias+"\n")
		}
		d := &devices{world: &World{Sys: m.Root("sys")}}
		if got := d.inOrder(test.module); got != test.want {
			t.Errorf("%s: %v", test.name, got)
		}
	}
}

// TestAside: the other process is told apart from somebody who makes a mistake, and says what fails.
func TestAside(t *testing.T) {
	for _, args := range [][]string{nil, {"--dry-run"}, {asideLoad}, {asideLoad, "x"}, {asideProbe}, {asideHold, "x"}} {
		if is, err := runAside(args); is || err != nil {
			t.Errorf("%q: %v, %v", args, is, err)
		}
	}
	for _, args := range [][]string{{asideLoad, "/nonexistent/x.ko", ""}, {asideProbe, "bus/nonexistent/devices/x"}, selfAside(asideProbe, "bus/nonexistent/devices/x", "bus/nonexistent/devices/y")[1:]} {
		if is, err := runAside(args); !is || !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%q: %v, %v", args, is, err)
		}
	}
}

// drivenBy gives a device of the fake machine a driver, as the kernel does before it probes it.
func drivenBy(t *testing.T, m *machinetest.Machine, driver, device string) {
	t.Helper()
	if err := os.Symlink("../../../bus/virtio/drivers/"+driver, m.Path("sys/"+device+"/driver")); err != nil {
		t.Fatal(err)
	}
}

// virtioDisks is a machine with that many virtio disks and, as the last device on that bus, something else.
func virtioDisks(t *testing.T, n int) (m *machinetest.Machine, devices []string) {
	m = machinetest.New(t)
	m.Write("sys/bus/virtio/drivers_probe", "")
	for i := range n {
		device := fmt.Sprintf("bus/virtio/devices/virtio%d", i)
		m.Write("sys/"+device+"/modalias", "virtio:d00000002v00001AF4\n")
		devices = append(devices, device)
	}
	m.Write(fmt.Sprintf("sys/bus/virtio/devices/virtio%d/modalias", n), "virtio:d00000001v00001AF4\n")
	return m, devices
}

// loading has the machine's devices load the module of its virtio disks for as long as the test runs.
func loading(t *testing.T, b *boot) {
	stop := make(chan struct{})
	t.Cleanup(func() { close(stop) })
	b.devices.table = virtioTable(t)
	b.devices.loader = drivers.New(b.devices.table, "", func(modtable.Module) error { <-stop; return nil }, func(modtable.Module, error) {})
	b.devices.offer("virtio:d00000002v00001AF4")
}

const virtioStuck = "initddi: module virtio_blk is still being loaded after 2s: a device does not answer; the boot goes on without it\n"

// TestNudge: when the driver waits for a device that does not answer, the kernel is asked once to probe those behind it, in their order.
func TestNudge(t *testing.T) {
	inFakeTime(t, "silent", func(t *testing.T) {
		m, devices := virtioDisks(t, 12)
		drivenBy(t, m, "virtio_blk", devices[0])
		b, console := waiting(t, m)
		var probed [][]string
		b.devices.probe = func(devices []string) { probed = append(probed, devices) }
		loading(t, b)
		b.devices.nudge()
		time.Sleep(slowModule - time.Millisecond)
		b.devices.nudge()
		if synctest.Wait(); console.Len() != 0 || len(probed) != 0 {
			t.Errorf("too early %s was probed, and the console says %s", probed, console)
		}
		for range 3 {
			time.Sleep(slowModule)
			b.devices.nudge()
			synctest.Wait()
		}
		if console.String() != virtioStuck || len(probed) != 1 || !slices.Equal(probed[0], devices[1:]) {
			t.Errorf("%s was probed, and the console says %s", probed, console)
		}
		if got := b.devices.unloaded(); !slices.Equal(got, []string{"module virtio_blk is still being loaded"}) {
			t.Errorf("unloaded are %q", got)
		}
		b.devices.loadedOne(modtable.Module{Name: "sd_mod"}, errors.New("cannot load module sd_mod: x"))
		if got := b.devices.unloaded(); len(got) != 2 || got[0] != "cannot load module sd_mod: x" {
			t.Errorf("unloaded are %q", got)
		}
	})
	inFakeTime(t, "slow", func(t *testing.T) {
		m, devices := virtioDisks(t, 12)
		b, console := waiting(t, m)
		b.devices.probe = func(devices []string) { t.Errorf("%s was probed, out of turn", devices) }
		loading(t, b)
		for _, device := range devices {
			drivenBy(t, m, "virtio_blk", device)
			for range 5 {
				time.Sleep(slowModule / 6)
				b.devices.nudge()
			}
		}
		if synctest.Wait(); console.Len() > 0 {
			t.Errorf("the console says %s", console)
		}
	})
}

// TestProbeInTurn: devices are probed in their order, and one that does not answer keeps none behind it from that for long.
func TestProbeInTurn(t *testing.T) {
	m := machinetest.New(t)
	for _, bus := range []string{"a", "b", "c"} {
		m.Write("sys/bus/"+bus+"/drivers_probe", "")
	}
	fifo(t, m.Path("sys/bus/b/drivers_probe"))
	done := make(chan error)
	go func() {
		done <- probeInTurn(m.Root("sys"), []string{"bus/a/devices/x", "bus/b/devices/y", "bus/c/devices/z", "bus/nonexistent/devices/x"}, 10*time.Millisecond)
	}()
	last := m.Path("sys/bus/c/drivers_probe")
	for start := time.Now(); time.Since(start) < 10*time.Second; time.Sleep(time.Millisecond) {
		if b, err := os.ReadFile(last); err != nil || len(b) > 0 {
			break
		}
	}
	for name, want := range map[string]string{m.Path("sys/bus/a/drivers_probe"): "x", last: "z"} {
		if b, err := os.ReadFile(name); err != nil || string(b) != want {
			t.Errorf("%s has %q, %v", name, b, err)
		}
	}
	select {
	case err := <-done:
		t.Errorf("it has not waited for the device that does not answer: %v", err)
	default:
	}
	let(t, m.Path("sys/bus/b/drivers_probe"))
	if err := <-done; !errors.Is(err, os.ErrNotExist) {
		t.Errorf("got %v", err)
	}
}

// TestFinish: the hand-over waits while drivers come from one device to the next, and for those behind one that does not answer, but not for
// that one.
func TestFinish(t *testing.T) {
	for _, test := range []struct {
		name     string
		each     time.Duration // what a device takes
		silent   int           // the number of one that does not answer
		answer   bool          // those behind it do
		min, max time.Duration
		console  string
	}{
		{name: "fast", each: 20 * time.Millisecond, silent: -1, min: 60 * time.Millisecond, max: 100 * time.Millisecond},
		{name: "slow", each: slowModule * 3 / 4, silent: -1, min: slowModule * 9 / 4, max: slowModule * 10 / 4},
		{name: "the first is silent", silent: 0, answer: true, min: slowModule, max: slowModule + 100*time.Millisecond, console: virtioStuck},
		{name: "the last is silent", silent: 2, min: slowModule, max: slowModule + 100*time.Millisecond, console: virtioStuck},
		{name: "all are silent", silent: 0, min: 2 * slowModule, max: 2*slowModule + 200*time.Millisecond, console: virtioStuck},
		{name: "endless", each: slowModule * 3 / 4, silent: -2, min: finishLimit, max: finishLimit + 100*time.Millisecond,
			console: "initddi: drivers are still being loaded after 10s: the next init may miss their devices\n"},
	} {
		inFakeTime(t, test.name, func(t *testing.T) {
			n := 3
			if test.silent == -2 {
				n = 30
			}
			m, devices := virtioDisks(t, n)
			b, console := waiting(t, m)
			stop := make(chan struct{})
			defer close(stop)
			b.devices.table = virtioTable(t)
			b.devices.loader = drivers.New(b.devices.table, "", func(modtable.Module) error {
				for i, device := range devices {
					drivenBy(t, m, "virtio_blk", device)
					if i == test.silent {
						<-stop
						return nil
					}
					select {
					case <-stop:
						return nil
					case <-time.After(test.each):
					}
				}
				return nil
			}, func(modtable.Module, error) {})
			b.devices.probe = func(devices []string) {
				if !test.answer {
					<-stop
				}
			}
			b.devices.offer("virtio:d00000002v00001AF4")
			synctest.Wait()
			start := time.Now()
			b.devices.finish()
			if took := time.Since(start); took < test.min || took > test.max || console.String() != test.console {
				t.Errorf("%s, the console says %q", took, console)
			}
		})
	}
}

// TestStuck: where the boot partition must be the only one, a driver that is still being loaded when the time is up ends the boot, since it
// would keep the next init from running; where it is named, that is nobody's concern.
func TestStuck(t *testing.T) {
	// One that has no devices, and takes long on a busy machine.
	b, console := waiting(t, machineWithESP(t))
	endless := make(chan struct{})
	defer close(endless)
	b.devices.table = virtioTable(t)
	b.devices.loader = drivers.New(b.devices.table, "", func(modtable.Module) error { <-endless; return nil }, func(modtable.Module, error) {})
	if err := b.devices.loader.StartFeature("dm"); err != nil {
		t.Fatal(err)
	}
	for len(b.devices.loader.Pending(slowModule)) == 0 {
		time.Sleep(10 * time.Millisecond)
	}
	b.devices.nudge()
	if err := b.devices.letGo(time.Now()); err != nil || console.Len() > 0 {
		t.Errorf("%v, the console says %s", err, console)
	}
	for _, named := range []bool{false, true} {
		b, _ := waiting(t, machineWithESP(t))
		never := make(chan struct{})
		defer close(never)
		b.devices.table = virtioTable(t)
		b.devices.loader = drivers.New(b.devices.table, "", func(modtable.Module) error { <-never; return nil }, func(modtable.Module, error) {})
		b.devices.named = named
		b.devices.offer("scsi:t-0x00")
		b.rescan()
		if err := b.devices.letGo(time.Now()); err != nil {
			t.Errorf("named %v: too early: %v", named, err)
		}
		for len(b.devices.loader.Pending(slowModule)) == 0 {
			time.Sleep(10 * time.Millisecond)
		}
		var stuck *StuckError
		start := time.Now()
		if err := b.devices.letGo(start.Add(300 * time.Millisecond)); errors.As(err, &stuck) == named || !named && time.Since(start) < 300*time.Millisecond {
			t.Errorf("named %v: %v after %s", named, err, time.Since(start))
		}
		if err := b.wait("x", time.Now()); errors.As(err, &stuck) == named || !named && !strings.Contains(err.Error(), "module sd_mod") {
			t.Errorf("named %v: when the time is up: %v", named, err)
		}
	}
}

// TestSilentDisk: a disk that does not answer keeps "the only ESP" from being believed, and the console says that, and when it answers.
func TestSilentDisk(t *testing.T) {
	m := machineWithESP(t)
	name := filepath.Join(t.TempDir(), "disk.img")
	table, err := esp.Build(t.Context(), name, esp.Options{ESPUUID: uuid2, ESPSize: 2 << 20})
	if err != nil {
		t.Fatal(err)
	}
	m.Disk("vdb", name, 512, table)
	fifo(t, m.Path("dev/vdb"))
	b, console := waiting(t, m)
	b.machine.Patience = 100 * time.Millisecond
	b.rescan()
	b.rescan()
	const said = "initddi: /dev/vdb has not answered for 1s: the boot goes on without it, if it can\n"
	if console.String() != said {
		t.Errorf("the console says %q", console)
	}
	if err := b.wait("x", time.Now().Add(2*settleTime)); err != nil {
		t.Error(err)
	}
	if b.facts.Settled {
		t.Error("settled without knowing what is on vdb")
	}
	if err := b.wait("x", time.Now()); err != nil || !b.facts.Settled {
		t.Errorf("when the time is up: %v, settled %v", err, b.facts.Settled)
	}
	if step := resolve.Next(b.plan, &b.facts); step.Do == nil || step.Do.Partition != "vda1" {
		t.Errorf("then %+v", step)
	}
	let(t, m.Path("dev/vdb"))
	for start := time.Now(); len(b.machine.Silent()) > 0 && time.Since(start) < 10*time.Second; {
		time.Sleep(10 * time.Millisecond)
	}
	b.rescan()
	if !strings.HasSuffix(console.String(), "initddi: /dev/vdb has answered\n") {
		t.Errorf("the console says %q", console)
	}
}

// TestLastLook: a copy of the boot disk that appears while its image is verified is found before that is entered.
func TestLastLook(t *testing.T) {
	m := machineWithESP(t)
	b, _ := waiting(t, m)
	b.devices.events = make(chan []byte, 8)
	b.plan.Device = plan.Device{PartUUID: uuid1}
	b.rescan()
	b.devices.events <- event("change", "block", "DEVNAME=dm-0", "DEVTYPE=disk")
	if !b.lastLook() {
		t.Error("a disk that changed is none")
	}
	if b.lastLook() {
		t.Error("something happened when nothing did")
	}
	virtual := []string{"add@/devices/virtual/block/loop0", "ACTION=add", "DEVPATH=/devices/virtual/block/loop0", "SUBSYSTEM=block", "DEVNAME=loop0", "DEVTYPE=disk", "SEQNUM=1"}
	b.devices.events <- []byte(strings.Join(virtual, "\x00") + "\x00")
	if b.lastLook() {
		t.Error("a device of ours is a disk that appeared")
	}
	if step := resolve.Next(b.plan, &b.facts); step.Do == nil {
		t.Fatalf("before: %+v", step)
	}
	copied, err := esp.Build(t.Context(), filepath.Join(t.TempDir(), "disk.img"), esp.Options{ESPUUID: uuid1, ESPSize: 8 << 20})
	if err != nil {
		t.Fatal(err)
	}
	m.Disk("vdb", m.Path("dev/vda"), 512, copied)
	b.devices.events <- event("add", "block", "DEVNAME=vdb", "DEVTYPE=disk")
	if !b.lastLook() {
		t.Error("a disk that appeared was not seen")
	}
	step := resolve.Next(b.plan, &b.facts)
	if len(step.Refused) != 1 || step.Refused[0].Rule != resolve.RuleOnePartition || !strings.Contains(step.Refused[0].Found, "/dev/vdb1") {
		t.Errorf("then %+v", step)
	}
}
