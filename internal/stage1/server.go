// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

//go:build !noservers

package stage1

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/initddi/initddi/internal/apply"
	"github.com/initddi/initddi/internal/discover"
	"github.com/initddi/initddi/internal/drivers"
	"github.com/initddi/initddi/internal/fetchline"
	"github.com/initddi/initddi/internal/linux/memfile"
	"github.com/initddi/initddi/internal/linux/nbd"
	"github.com/initddi/initddi/internal/linux/process"
	"github.com/initddi/initddi/internal/plan"
	"github.com/initddi/initddi/internal/report"
	"github.com/initddi/initddi/internal/resolve"
)

// hasServers says whether this program can get images from servers. Stage 1 without ddifetch is built without what runs that.
const hasServers = true

// servers are the images that ddifetch brought, or connected, and what it said of them.
type servers struct {
	fetcher  fetcher
	files    map[string]*os.File       // in memory, by the candidate's name
	devices  map[string]resolve.Device // connected
	sums     map[string]string         // SHA-256 that an index says
	received map[string]int64          // bytes that came for a candidate
	network  *report.Network
}

// listServer asks a server which images it has, and puts that among the facts.
func (b *boot) listServer(a *resolve.Action) string {
	if b.servers == nil {
		b.servers = &servers{files: map[string]*os.File{}, devices: map[string]resolve.Device{}, sums: map[string]string{}, received: map[string]int64{}}
	}
	s := b.servers
	s.fetcher = fetcher{b.fetchPath, b.plan, b.log}
	b.devices.wantNetwork()
	if a.Source == plan.SourceNBD {
		if err := b.devices.feature("nbd"); err != nil {
			b.log.Warn("%v", err)
		}
	}
	l := &resolve.Listing{}
	args := []string{"--source=" + string(a.Source), "--list"}
	for _, u := range b.plan.URLs {
		args = append(args, "--url="+u)
	}
	// What appears meanwhile may be what the network is on.
	heard := b.listen()
	_, l.Err = s.fetcher.run(nil, 0, func(e fetchline.Event) {
		switch {
		case e.Kind == fetchline.Network:
			s.network = &report.Network{Interface: e.Interface, How: e.How}
		case e.Kind == fetchline.Candidate && len(l.Files) < resolve.MaxCandidates:
			l.Files = append(l.Files, resolve.File{Path: e.Name, Size: e.Size, URL: e.URL})
			s.sums[e.URL] = e.SHA256
		}
	}, args...)
	heard()
	if b.facts.Servers == nil {
		b.facts.Servers = map[plan.Source]*resolve.Listing{}
	}
	b.facts.Servers[a.Source] = l
	b.report.Network = s.network
	if l.Err != nil {
		l.Files = nil
		return l.Err.Error()
	}
	return fmt.Sprintf("%s offers %d images", a.Source, len(l.Files))
}

// listen takes the kernel's messages as they come, for as long as the boot waits for something else. What it returns ends that.
func (b *boot) listen() (end func()) {
	stop := make(chan struct{})
	var ended sync.WaitGroup
	block := false
	hear := func() error {
		for {
			select {
			case msg := <-b.devices.events:
				block = b.take(b.devices.event(msg)).block || block
			case <-stop:
				return nil
			}
		}
	}
	ended.Go(func() {
		if err := process.Guarded(hear); err != nil {
			b.log.Err("%v: devices that appear now are not seen", err)
		}
	})
	return func() {
		close(stop)
		ended.Wait()
		if block {
			b.rescan()
		}
	}
}

// readServed fetches a candidate, or connects its device, and reads what it says of itself.
func (b *boot) readServed(a *resolve.Action) *resolve.Image {
	if err := b.bring(a); err != nil {
		return &resolve.Image{Err: err, Unreached: a.Source == plan.SourceHTTP}
	}
	if a.Source == plan.SourceNBD {
		return b.machine.ReadDevice(b.servers.devices[a.Name()], b.arch)
	}
	return discover.ReadFile(b.servers.files[a.Name()], b.arch, besideURL{b}, a.URL)
}

// bring fetches a candidate into memory, or connects its device, if it is not there.
func (b *boot) bring(a *resolve.Action) error {
	s := b.servers
	name := a.Name()
	on := func(e fetchline.Event) {
		if e.Kind == fetchline.Device {
			s.devices[name] = resolve.Device{Node: e.Node, Size: e.Size, SectorSize: max(e.BlockSize, 512)}
		}
	}
	if a.Source == plan.SourceNBD {
		if s.devices[name].Node != "" {
			return nil
		}
		before, _ := connected()
		_, err := s.fetcher.run(nil, 0, on, "--source=nbd", "--get="+a.URL)
		if err == nil && s.devices[name].Node == "" {
			err = fmt.Errorf("cannot connect %s: ddifetch names no device: %w", a.URL, io.ErrUnexpectedEOF)
		}
		if err != nil {
			// A run that is killed can have made a device and not said so.
			delete(s.devices, name)
			b.disconnectAllBut(before)
		}
		return err
	}
	if s.files[name] != nil {
		return nil
	}
	limit := copyLimit(b.world.Proc)
	if limit == 0 {
		limit = math.MaxInt64
	}
	f, last, err := s.get(a.URL, limit, b.progress())
	if err != nil {
		return err
	}
	s.files[name], s.received[name] = f, last.Received
	return nil
}

// get fetches a file of at most limit bytes into memory. The error is one of [fetcher.run]'s.
func (s *servers) get(url string, limit int64, on func(fetchline.Event)) (*os.File, fetchline.Event, error) {
	f, err := memfile.New("initddi-fetched")
	if err != nil {
		return nil, fetchline.Event{}, err
	}
	args := []string{"--source=http", "--get=" + url, "--memory=" + strconv.FormatInt(limit, 10)}
	if sum := s.sums[url]; sum != "" {
		args = append(args, "--sha256="+sum)
	}
	last, err := s.fetcher.run(f, limit, on, args...)
	if err != nil {
		f.Close()
		return nil, last, err
	}
	return f, last, nil
}

// progress tells the console now and then how far a transfer is.
func (b *boot) progress() func(fetchline.Event) {
	last := time.Now()
	return func(e fetchline.Event) {
		now := time.Now()
		if e.Kind != fetchline.Progress || now.Sub(last) < progressEvery {
			return
		}
		last = now
		if e.Total > 0 {
			b.log.Info("fetched %d of %d MiB", e.Done>>20, e.Total>>20)
		} else {
			b.log.Info("fetched %d MiB", e.Done>>20)
		}
	}
}

// served says where the bytes of a candidate are that a server has. One that had to wait for its turn was given up, and is brought again.
func (b *boot) served(a *resolve.Action, src apply.Source) (apply.Source, error) {
	if err := b.bring(a); err != nil {
		return src, err
	}
	if a.Source == plan.SourceNBD {
		d := b.servers.devices[a.Name()]
		src.Device, src.Kind, src.BlockSize = "/dev/"+d.Node, apply.Own, d.SectorSize
		return src, nil
	}
	// It is in memory: a copy would be the second.
	f := b.servers.files[a.Name()]
	src.Device, src.Kind, src.BlockSize, src.Copy = fmt.Sprintf("/proc/self/fd/%d", f.Fd()), apply.InFile, 512, false
	return src, nil
}

// giveUp lets go of what a candidate takes: its memory, its device. Others may need the memory before it has its turn again.
func (s *servers) giveUp(name string) error {
	if s == nil {
		return nil
	}
	if f := s.files[name]; f != nil {
		delete(s.files, name)
		return f.Close()
	}
	d, ok := s.devices[name]
	if !ok {
		return nil
	}
	delete(s.devices, name)
	index, err := strconv.Atoi(strings.TrimPrefix(d.Node, "nbd"))
	if err != nil {
		return fmt.Errorf("cannot disconnect %s: %w", d.Node, fs.ErrInvalid)
	}
	return disconnect(index)
}

func disconnect(index int) error {
	control, err := nbd.Open()
	if err != nil {
		return err
	}
	defer control.Close()
	return control.Disconnect(index)
}

// connected returns the numbers of the network block devices that there are.
func connected() ([]int, error) {
	control, err := nbd.Open()
	if err != nil {
		return nil, err
	}
	defer control.Close()
	return control.Connected()
}

// disconnectAllBut gives up the network block devices that were made since these were all.
func (b *boot) disconnectAllBut(before []int) {
	now, err := connected()
	if err != nil {
		b.log.Debug("%v", err)
	}
	for _, index := range now {
		if slices.Contains(before, index) {
			continue
		}
		if err := disconnect(index); err != nil {
			b.log.Warn("%v", err)
		}
	}
}

// fillServed says in the report what came over the network.
func (b *boot) fillServed(ch *report.Chosen, a *resolve.Action) {
	ch.Node, ch.Received = b.servers.devices[a.Name()].Node, b.servers.received[a.Name()]
}

// close gives up everything.
func (s *servers) close() error {
	if s == nil {
		return nil
	}
	var errs []error
	for name := range s.files {
		errs = append(errs, s.giveUp(name))
	}
	for name := range s.devices {
		errs = append(errs, s.giveUp(name))
	}
	return errors.Join(errs...)
}

// besideURL are the files beside an image on a web server.
type besideURL struct{ b *boot }

// Read implements [discover.Sidecars].
func (d besideURL) Read(name string, limit int64) ([]byte, error) {
	f, _, err := d.b.servers.get(name, limit, func(fetchline.Event) {})
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.NewSectionReader(f, 0, limit))
}

// Size implements [discover.Sidecars]. A hash tree is not looked for: only an image that holds its own is fetched.
func (d besideURL) Size(string) (int64, error) { return 0, fs.ErrNotExist }

// wantNetwork loads the drivers of network cards, of those that are there and those to come, and of what they may be on: USB, and the bus
// of a hypervisor.
func (d *devices) wantNetwork() {
	if d.network {
		return
	}
	d.network = true
	for _, alias := range drivers.Modaliases(d.world.Sys) {
		if isNetwork(alias) || d.noDisks {
			d.offer(alias)
		}
	}
}
