// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package drivers

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/initddi/initddi/internal/modtable"
)

// kernel stands for the kernel: it notes what is loaded and when.
type kernel struct {
	mu      sync.Mutex
	loaded  []string // in the order in which loading ended
	tried   map[string]int
	errs    map[string]error
	told    map[string]error
	barrier map[string]*sync.WaitGroup // modules that wait for each other while they are loaded
	table   *modtable.Table
	t       *testing.T
}

func (k *kernel) load(m modtable.Module) error {
	k.mu.Lock()
	k.tried[m.Name]++
	for _, dep := range m.Deps {
		if !slices.Contains(k.loaded, dep) {
			k.t.Errorf("%s is loaded before %s", m.Name, dep)
		}
	}
	for _, s := range m.Soft {
		if !slices.Contains(k.loaded, s) && k.errs[s] == nil {
			k.t.Errorf("%s is loaded before %s, which it would rather have", m.Name, s)
		}
	}
	wait := k.barrier[m.Name]
	k.mu.Unlock()
	if wait != nil {
		wait.Done()
		wait.Wait()
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if err := k.errs[m.Name]; err != nil {
		return err
	}
	k.loaded = append(k.loaded, m.Name)
	return nil
}

func (k *kernel) report(m modtable.Module, err error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if _, again := k.told[m.Name]; again {
		k.t.Errorf("%s is reported twice", m.Name)
	}
	k.told[m.Name] = err
}

var errFails = errors.New("invalid module format")

// sample is a table with a little of everything: virtio disks, a network card, verity with its hash.
func sample(t *testing.T) *modtable.Table {
	t.Helper()
	mod := func(name string, deps, soft string) modtable.Module {
		return modtable.Module{Name: name, File: name + ".ko", Deps: strings.Fields(deps), Soft: strings.Fields(soft)}
	}
	table, err := modtable.New(modtable.Spec{
		Release: "6.12",
		Features: []modtable.Feature{
			{Name: "verity", Modules: []string{"dm_verity", "crypto-sha256"}},
			{Name: "dm", Modules: []string{"dm_mod"}},
			{Name: "hash", Modules: []string{"crypto-crc32c"}},
			{Name: "builtin", Modules: nil},
		},
		Algorithms: []modtable.Algorithm{
			{Name: "sha256", Modules: []string{"sha256_ssse3"}, Builtin: true},
			{Name: "crc32c", Modules: []string{"crc32c_intel", "crc32c_generic"}},
		},
		Modules: []modtable.Module{
			mod("virtio_ring", "", ""), mod("virtio", "virtio_ring", ""), mod("virtio_blk", "virtio", ""), mod("virtio_scsi", "virtio scsi_mod", ""),
			mod("scsi_mod", "", ""), mod("sd_mod", "scsi_mod", "crypto-crc32c"),
			mod("dm_mod", "", ""), mod("dm_bufio", "dm_mod", ""), mod("dm_verity", "dm_bufio", "sha256_ssse3"),
			mod("sha256_ssse3", "", ""), mod("crc32c_intel", "", ""), mod("crc32c_generic", "", ""),
		},
		Aliases: []modtable.Alias{
			{Pattern: "virtio:d00000002v*", Module: "virtio_blk"},
			{Pattern: "virtio:d00000008v*", Module: "virtio_scsi"},
			{Pattern: "scsi:t-0x00*", Module: "sd_mod"},
			{Pattern: "cpu:type:x86,*feature:*0094*", Module: "crc32c_intel"},
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	return table
}

func newKernel(t *testing.T, table *modtable.Table, cpu string) (*kernel, *Loader) {
	k := &kernel{tried: map[string]int{}, errs: map[string]error{}, told: map[string]error{}, barrier: map[string]*sync.WaitGroup{}, table: table, t: t}
	return k, New(table, cpu, k.load, k.report)
}

// settle waits until nothing is being loaded.
func settle(t *testing.T, l *Loader) {
	t.Helper()
	for l.Busy() {
		select {
		case <-l.Idle():
		case <-time.After(10 * time.Second):
			t.Fatal("loading does not end")
		}
	}
}

func (k *kernel) want(t *testing.T, names string) {
	t.Helper()
	k.mu.Lock()
	defer k.mu.Unlock()
	got := slices.Sorted(slices.Values(k.loaded))
	if want := strings.Fields(names); !slices.Equal(got, want) {
		t.Errorf("loaded %v, want %v", got, want)
	}
	for name, n := range k.tried {
		if n != 1 {
			t.Errorf("%s was loaded %d times", name, n)
		}
	}
}

func TestOffer(t *testing.T) {
	k, l := newKernel(t, sample(t), "")
	if l.Busy() {
		t.Error("busy with nothing")
	}
	for alias, want := range map[string]bool{"virtio:d00000002v00001AF4": true, "virtio:d00000001v00001AF4": false, "": false, "pci:v00008086": false} {
		if got := l.Offer(alias); got != want {
			t.Errorf("Offer(%q) is %v", alias, got)
		}
	}
	for range 10 {
		l.Offer("virtio:d00000002v00001AF4")
	}
	settle(t, l)
	k.want(t, "virtio virtio_blk virtio_ring")
}

func TestIndependentModulesAreLoadedAtOnce(t *testing.T) {
	k, l := newKernel(t, sample(t), "")
	// Each of the three is done only when the other two are being loaded.
	var all sync.WaitGroup
	all.Add(3)
	for _, name := range []string{"virtio_ring", "scsi_mod", "dm_mod"} {
		k.barrier[name] = &all
	}
	l.Offer("virtio:d00000008v00001AF4")
	if err := l.StartFeature("dm"); err != nil {
		t.Fatal(err)
	}
	settle(t, l)
	k.want(t, "dm_mod scsi_mod virtio virtio_ring virtio_scsi")
}

func TestFailure(t *testing.T) {
	k, l := newKernel(t, sample(t), "")
	k.errs["virtio"] = errFails
	l.Offer("virtio:d00000002v00001AF4")
	l.Offer("virtio:d00000008v00001AF4")
	l.Offer("scsi:t-0x00")
	settle(t, l)
	k.want(t, "crc32c_generic scsi_mod sd_mod virtio_ring")
	if k.tried["virtio_blk"] != 0 {
		t.Error("what cannot work is tried")
	}
	for name, want := range map[string]string{
		"virtio":      "invalid module format",
		"virtio_blk":  "cannot load module virtio_blk: it needs virtio: invalid module format",
		"virtio_scsi": "cannot load module virtio_scsi: it needs virtio: invalid module format",
	} {
		if err := k.told[name]; !errors.Is(err, errFails) || err.Error() != want {
			t.Errorf("%s: told %v, want %s", name, err, want)
		}
	}
	if err, ok := k.told["sd_mod"]; !ok || err != nil {
		t.Errorf("sd_mod: told %v, %v", err, ok)
	}
}

func TestSoftFailure(t *testing.T) {
	k, l := newKernel(t, sample(t), "")
	k.errs["sha256_ssse3"] = errFails
	if err := l.WaitFeature("verity"); err != nil {
		t.Errorf("an implementation that is only faster keeps verity away: %v", err)
	}
	k.want(t, "dm_bufio dm_mod dm_verity")
	if !errors.Is(k.told["sha256_ssse3"], errFails) {
		t.Error("nobody was told")
	}
}

func TestWaitFeature(t *testing.T) {
	k, l := newKernel(t, sample(t), "")
	if err := l.WaitFeature("builtin"); err != nil {
		t.Error(err)
	}
	if err := l.WaitFeature("nonsense"); !errors.Is(err, modtable.ErrUnknown) {
		t.Error(err)
	}
	if err := l.StartFeature("nonsense"); !errors.Is(err, modtable.ErrUnknown) {
		t.Error(err)
	}
	// As soon as it returns, all of it is there.
	if err := l.WaitFeature("verity"); err != nil {
		t.Error(err)
	}
	k.want(t, "dm_bufio dm_mod dm_verity sha256_ssse3")
	if err := l.WaitFeature("dm"); err != nil {
		t.Error(err)
	}
}

// TestStartAlgorithm: what is waited for is there, is not loaded again, and whatever is wrong with it keeps nothing else away.
func TestStartAlgorithm(t *testing.T) {
	k, l := newKernel(t, sample(t), "")
	wait := l.StartAlgorithm("sha256")
	if !wait(time.Minute) {
		t.Error("it was not waited for")
	}
	k.want(t, "sha256_ssse3")
	if err := l.WaitFeature("verity"); err != nil {
		t.Error(err)
	}
	if !wait(time.Minute) {
		t.Error("it was not waited for")
	}
	k.want(t, "dm_bufio dm_mod dm_verity sha256_ssse3")
	if k.loaded[0] != "sha256_ssse3" {
		t.Errorf("loaded %v", k.loaded)
	}
	l.StartAlgorithm("md5")(0)

	k, l = newKernel(t, sample(t), "")
	k.errs["sha256_ssse3"] = errFails
	l.StartAlgorithm("sha256")(time.Minute)
	if !errors.Is(k.told["sha256_ssse3"], errFails) {
		t.Error("nobody was told")
	}
	if err := l.WaitFeature("verity"); err != nil {
		t.Error(err)
	}

	// The kernel may hold on to a module; the boot goes on without.
	k, l = newKernel(t, sample(t), "")
	stuck := &sync.WaitGroup{}
	stuck.Add(2)
	k.barrier = map[string]*sync.WaitGroup{"sha256_ssse3": stuck}
	if wait = l.StartAlgorithm("sha256"); wait(10 * time.Millisecond) {
		t.Error("it was loaded, says who waited")
	}
	stuck.Done()
	if !wait(time.Minute) {
		t.Error("it was not loaded in the end")
	}
}

func TestWaitFeatureFails(t *testing.T) {
	for _, broken := range []string{"dm_mod", "dm_bufio", "dm_verity"} {
		k, l := newKernel(t, sample(t), "")
		k.errs[broken] = errFails
		for range 2 {
			if err := l.WaitFeature("verity"); !errors.Is(err, errFails) || !strings.Contains(err.Error()+" dm_verity", "dm_verity") {
				t.Errorf("%s: %v", broken, err)
			}
		}
	}
	k, l := newKernel(t, sample(t), "")
	k.errs["crc32c_generic"] = errFails
	if err := l.WaitFeature("hash"); !errors.Is(err, errFails) {
		t.Errorf("an algorithm that the kernel does not have: %v", err)
	}
}

func TestProcessorDecides(t *testing.T) {
	for cpu, want := range map[string]string{
		"":                                     "crc32c_generic",
		"cpu:type:x86,ven0fam6,feature:,1":     "crc32c_generic",
		"cpu:type:x86,ven0fam6,feature:,0094,": "crc32c_intel",
	} {
		k, l := newKernel(t, sample(t), cpu)
		if err := l.WaitFeature("hash"); err != nil {
			t.Error(err)
		}
		k.want(t, want)
	}
}

// TestConcurrentOffers is for the race detector.
func TestConcurrentOffers(t *testing.T) {
	k, l := newKernel(t, sample(t), "")
	var all sync.WaitGroup
	for i := range 20 {
		all.Go(func() {
			l.Offer([]string{"virtio:d00000002v1", "virtio:d00000008v1", "scsi:t-0x00", "x"}[i%4])
			if err := l.WaitFeature("verity"); err != nil {
				t.Error(err)
			}
			l.Busy()
		})
	}
	all.Wait()
	settle(t, l)
	k.want(t, "crc32c_generic dm_bufio dm_mod dm_verity scsi_mod sd_mod sha256_ssse3 virtio virtio_blk virtio_ring virtio_scsi")
}

func TestIdleIsSignalled(t *testing.T) {
	_, l := newKernel(t, sample(t), "")
	for range 3 {
		if err := l.WaitFeature("dm"); err != nil {
			t.Fatal(err)
		}
	}
	l.Offer("scsi:t-0x00")
	settle(t, l)
	if l.Busy() {
		t.Error("busy after it was idle")
	}
}

func TestDevices(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) {
		t.Helper()
		name = filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	link := func(target, name string) {
		t.Helper()
		if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(target, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	write("devices/pci0000:00/0000:00:01.0/modalias", "pci:v00001AF4d00001001\n")
	link("../../../bus/pci/drivers/virtio-pci", "devices/pci0000:00/0000:00:01.0/driver")
	link("../../../devices/pci0000:00/0000:00:01.0", "bus/pci/devices/0000:00:01.0")
	write("devices/pci0000:00/0000:00:02.0/modalias", "pci:v00008086d00000000\n")
	link("../../../devices/pci0000:00/0000:00:02.0", "bus/pci/devices/0000:00:02.0")
	write("devices/virtual/nothing/uevent", "")
	link("../../../devices/virtual/nothing", "bus/virtio/devices/virtio0")
	write("bus/usb/devices/1-1/modalias", "\n")
	write("bus/empty/uevent", "")
	write("bus/captured/devices/x/modalias", "usb:v1234")
	// Cards say it elsewhere; a card that is no disk does not, nor does what is no card.
	write("devices/mmc_host/mmc0/mmc0:4567/uevent", "MMC_TYPE=SD\nMMC_NAME=QEMU!\nMODALIAS=mmc:block\n")
	link("../../../devices/mmc_host/mmc0/mmc0:4567", "bus/mmc/devices/mmc0:4567")
	write("bus/mmc/devices/mmc1:0001/uevent", "MMC_TYPE=SDIO\nSDIO_ID=1234:5678\nX_MODALIAS=none\n")
	write("bus/mmc/devices/mmc2:aaaa/uevent", "MODALIAS=mmc:block")
	write("bus/mmc/drivers/mmcblk/uevent", "")
	link("../../drivers/mmcblk", "bus/mmc/devices/mmc2:aaaa/driver")
	write("bus/odd/devices/odd0/uevent", "MODALIAS=odd:x\n")
	root, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	want := []Device{
		{"bus/captured/devices/x", "usb:v1234", ""},
		{"bus/mmc/devices/mmc0:4567", "mmc:block", ""},
		{"bus/mmc/devices/mmc2:aaaa", "mmc:block", "mmcblk"},
		{"bus/pci/devices/0000:00:01.0", "pci:v00001AF4d00001001", "virtio-pci"},
		{"bus/pci/devices/0000:00:02.0", "pci:v00008086d00000000", ""},
	}
	if got := Devices(root); fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("got  %v\nwant %v", got, want)
	}
	var aliases []string
	for _, d := range want {
		aliases = append(aliases, d.Modalias)
	}
	if got := Modaliases(root); !slices.Equal(got, aliases) {
		t.Errorf("Modaliases = %q, want %q", got, aliases)
	}
	virtio := func(modalias string) bool { return strings.HasPrefix(modalias, "pci:v00001AF4") }
	if got := Find(root, "pci", virtio); !slices.Equal(got, []string{"bus/pci/devices/0000:00:01.0"}) {
		t.Errorf("Find = %q", got)
	}
	for _, bus := range []string{"captured", "virtio", "empty", "none"} {
		if got := Find(root, bus, virtio); got != nil {
			t.Errorf("Find on bus %s = %q", bus, got)
		}
	}
	empty, err := os.OpenRoot(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer empty.Close()
	if got := Devices(empty); got != nil {
		t.Errorf("nothing has devices: %v", got)
	}
	if got := Modaliases(empty); got != nil {
		t.Errorf("nothing has modaliases: %q", got)
	}
}

// TestPanic: a module whose loading panics is one that cannot be loaded, and nobody waits for it forever.
func TestPanic(t *testing.T) {
	for _, where := range []string{"load", "report"} {
		l := New(sample(t), "", func(m modtable.Module) error {
			if where == "load" && m.Name == "dm_verity" {
				panic("in load")
			}
			return nil
		}, func(m modtable.Module, err error) {
			if where == "report" && m.Name == "dm_verity" {
				panic("in report")
			}
		})
		done := make(chan error, 1)
		go func() { done <- l.WaitFeature("verity") }()
		select {
		case err := <-done:
			if err == nil || !strings.Contains(err.Error(), "internal error: in "+where) {
				t.Errorf("%s: %v", where, err)
			}
		case <-time.After(10 * time.Second):
			t.Fatalf("%s: still waiting", where)
		}
		for l.Busy() {
			time.Sleep(time.Millisecond)
		}
	}
}

// TestPending: what the kernel does not finish with is known, and waited for no longer than the limit; what does not need it goes on.
func TestPending(t *testing.T) {
	k, l := newKernel(t, sample(t), "")
	l.Limit = 100 * time.Millisecond
	var stuck sync.WaitGroup
	stuck.Add(2) // one more than there will be
	k.barrier["dm_mod"] = &stuck
	start := time.Now()
	err := l.WaitFeature("verity")
	if took := time.Since(start); !errors.Is(err, ErrLoading) || took < l.Limit || took > 100*l.Limit || !strings.Contains(err.Error(), "verity") {
		t.Errorf("%v after %s", err, took)
	}
	// On a busy machine the limit can come before the module is in the kernel.
	got := l.Pending(0)
	for end := start.Add(10 * time.Second); !slices.Equal(got, []string{"dm_mod"}) && time.Now().Before(end); got = l.Pending(0) {
		time.Sleep(time.Millisecond)
	}
	if !slices.Equal(got, []string{"dm_mod"}) {
		t.Errorf("pending are %v, wanted what is in the kernel alone", got)
	}
	if got := l.Pending(time.Hour); len(got) != 0 {
		t.Errorf("pending for an hour are %v", got)
	}
	if err := l.WaitFeature("hash"); err != nil {
		t.Errorf("what does not need it: %v", err)
	}
	stuck.Done()
	settle(t, l)
	if err := l.WaitFeature("verity"); err != nil || len(l.Pending(0)) != 0 {
		t.Errorf("in the end: %v, pending %v", err, l.Pending(0))
	}
}
