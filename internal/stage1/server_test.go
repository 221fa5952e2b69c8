// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

//go:build !noservers

package stage1

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/initddi/initddi/internal/ddi/dditest"
	"github.com/initddi/initddi/internal/discover/machinetest"
	"github.com/initddi/initddi/internal/drivers"
	"github.com/initddi/initddi/internal/fetchline"
	"github.com/initddi/initddi/internal/linux/kmsg"
	"github.com/initddi/initddi/internal/modtable"
	"github.com/initddi/initddi/internal/plan"
	"github.com/initddi/initddi/internal/report"
	"github.com/initddi/initddi/internal/resolve"
)

// fakeFetch makes a ddifetch of a shell script, and returns a fetcher of it and what its console shows.
func fakeFetch(t *testing.T, script string) (*fetcher, *bytes.Buffer) {
	t.Helper()
	name := filepath.Join(t.TempDir(), "ddifetch")
	if err := os.WriteFile(name, []byte("#!/bin/sh\n"+script), 0o755); err != nil {
		t.Fatal(err)
	}
	var console bytes.Buffer
	log := &report.Log{Console: &console, Level: kmsg.Debug}
	return &fetcher{name, &plan.Plan{Timeout: 30 * time.Second, Log: plan.LevelInfo}, log}, &console
}

func TestFetcher(t *testing.T) {
	f, console := fakeFetch(t, `
for a; do echo "<7>$a" >&2; done
echo '{"event":"candidate","name":"os.raw","url":"http://a/os.raw"}' >&4
echo '{"event":"of the future"}' >&4
echo 'rubbish' >&4
echo '<6>retrying' >&2
echo 'no priority' >&2
printf image >&3
[ "$PWD" = / ] && [ "$PATH" = /bbin ] && read -r nothing || echo '{"event":"done","size":5,"received":9}' >&4
`)
	image, err := os.Create(filepath.Join(t.TempDir(), "image"))
	if err != nil {
		t.Fatal(err)
	}
	defer image.Close()
	var seen []string
	last, err := f.run(image, 0, func(e fetchline.Event) { seen = append(seen, string(e.Kind)+" "+e.Name) }, "--source=http", "--list")
	if err != nil || last.Size != 5 || last.Received != 9 || !slices.Equal(seen, []string{"candidate os.raw", "of the future "}) {
		t.Errorf("%+v, %v, %q", last, err, seen)
	}
	if b, err := os.ReadFile(image.Name()); err != nil || string(b) != "image" {
		t.Errorf("%q, %v", b, err)
	}
	for _, want := range []string{"ddifetch: boot\n", "ddifetch: --ip=dhcp\n", "ddifetch: --timeout=30\n", "ddifetch: --log=info\n", "ddifetch: --source=http\n", "ddifetch: --list\n", "ddifetch: retrying\n", "ddifetch: no priority\n", "not a line of ddifetch's"} {
		if !strings.Contains(console.String(), want) {
			t.Errorf("the log lacks %q:\n%s", want, console)
		}
	}
}

// TestFetcherFails: whatever the program does or leaves out, there is an error that says so.
func TestFetcherFails(t *testing.T) {
	for _, test := range []struct {
		name, script, want string
		notFound           bool
	}{
		{"it says why", `echo '{"event":"error","text":"cannot fetch http://a/x: 404","code":"not-found"}' >&4; exit 1`, "cannot fetch http://a/x: 404", true},
		{"it says why, for another reason", `echo '{"event":"error","text":"cannot fetch http://a/x: reset","code":""}' >&4; exit 1`, "cannot fetch http://a/x: reset", false},
		{"it says nothing", "exit 0", "said nothing of what came of it", false},
		{"it says too much", "i=0; while [ $i -lt 3000 ]; do echo '{\"event\":\"done\",' >&4; i=$((i+1)); done", "said nothing of what came of it", false},
		{"it is done and fails", `echo '{"event":"done"}' >&4; echo panic >&2; exit 2`, "ended with exit status 2: panic", false},
		{"it is killed", "kill -9 $$", "ended with signal: killed", false},
	} {
		t.Run(test.name, func(t *testing.T) {
			f, _ := fakeFetch(t, test.script)
			_, err := f.run(nil, 0, func(fetchline.Event) {})
			if err == nil || !strings.Contains(err.Error(), test.want) || errors.Is(err, fs.ErrNotExist) != test.notFound {
				t.Errorf("got %v, want %s", err, test.want)
			}
		})
	}
	f := &fetcher{path: "/nothing/here", plan: &plan.Plan{Timeout: time.Second}}
	if _, err := f.run(nil, 0, nil); err == nil || !strings.Contains(err.Error(), "cannot run /nothing/here") {
		t.Error(err)
	}
}

// TestFetcherIsEnded: a program that does not end is ended.
func TestFetcherIsEnded(t *testing.T) {
	f, _ := fakeFetch(t, "exec /bin/sleep 1000")
	f.plan.Timeout = 100 * time.Millisecond
	start := time.Now()
	_, err := f.run(nil, 0, func(fetchline.Event) {})
	if took := time.Since(start); err == nil || !strings.Contains(err.Error(), "was not done after 5.1s, and was ended") || took > 20*time.Second {
		t.Errorf("%v after %s", err, took)
	}
}

// unkillable is a program in which the kernel waits.
type unkillable struct{ killed, ended chan struct{} }

func (u unkillable) Kill() error { close(u.killed); return nil }
func (u unkillable) Wait() error { <-u.ended; return nil }

// TestFetcherCannotBeEnded: nobody waits for a program that does not end when it is killed.
func TestFetcherCannotBeEnded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		child := unkillable{make(chan struct{}), make(chan struct{})}
		defer close(child.ended)
		start := time.Now()
		_, late, err := (&fetcher{path: "/bbin/ddifetch"}).end(child, time.Minute)
		if took := time.Since(start); !late || err == nil || !strings.Contains(err.Error(), "was not done after 1m0s and cannot be ended") || took != time.Minute+endGrace {
			t.Errorf("%v, %v after %s", late, err, took)
		}
		select {
		case <-child.killed:
		default:
			t.Error("it was not killed")
		}
	})
}

// TestListenerStops: what a program still says is not waited for, and no longer heard.
func TestListenerStops(t *testing.T) {
	log, out := quietLog()
	l := &listener{log: log, path: "/bbin/ddifetch"}
	lines := make(chan string, 2)
	w, err := l.follow(func(line []byte) { lines <- string(line) })
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	if _, err := w.WriteString("one\n"); err != nil || <-lines != "one" {
		t.Error(err)
	}
	l.stop()
	if _, err := w.WriteString("two\n"); !errors.Is(err, syscall.EPIPE) || len(lines) > 0 || out.Len() > 0 {
		t.Errorf("%v, %d lines, %s", err, len(lines), out)
	}
}

// serving is a boot whose server has the images of a set, the name of a file being that of the image.
func serving(t *testing.T, set *dditest.Set) (*boot, *bytes.Buffer) {
	t.Helper()
	f, _ := fakeFetch(t, `
log=`+set.Dir+`/runs
echo "$*" >>$log
for a; do case $a in
--list) echo '{"event":"network","interface":"eth0","how":"dhcp4"}' >&4
	for i in good nosig stranger; do echo '{"event":"candidate","name":"'$i'.raw","url":"http://a/'$i'.raw","size":7}' >&4; done
	echo '{"event":"done"}' >&4;;
--get=*) file=`+set.Dir+`/${a##*/}
	if [ -e $file ]; then /bin/cat $file >&3; echo '{"event":"done","size":1,"received":4711}' >&4
	else echo '{"event":"error","text":"cannot fetch '$file': 404","code":"not-found"}' >&4; exit 1; fi;;
esac; done
`)
	b, console := waiting(t, machinetest.New(t))
	b.fetchPath, b.facts.Images = f.path, map[string]*resolve.Image{}
	b.plan.Sources, b.plan.URLs = []plan.Source{plan.SourceHTTP}, []string{"http://a/x.raw", "http://b/y.raw"}
	b.arch, _ = Arch()
	b.facts.Settled = true
	return b, console
}

// TestServer follows a boot to the first image that can be attached: what is refused is given up before the next comes.
func TestServer(t *testing.T) {
	set := dditest.Make(t)
	b, console := serving(t, set)
	pem, err := os.ReadFile(filepath.Join(set.Dir, dditest.StrangerCert))
	if err != nil {
		t.Fatal(err)
	}
	p, err := plan.New(plan.Input{Certificates: []plan.CertificateFile{{Name: "x", PEM: pem}}, HasFetch: true, CommandLine: "ddi.source=http ddi.url=http://a/x.raw,http://b/y.raw"})
	if err != nil {
		t.Fatal(err)
	}
	b.plan = p
	var step resolve.Step
	for range 20 {
		step = resolve.Next(b.plan, &b.facts)
		if step.Do == nil || step.Do.Verb == resolve.Attach {
			break
		}
		if err := b.carryOut(step.Do); err != nil {
			t.Fatal(err)
		}
		if n := len(b.servers.files); n > 1 {
			t.Fatalf("%d images are in memory after %v", n, step.Do)
		}
	}
	if step.Do == nil || step.Do.Name() != "http://a/stranger.raw" {
		t.Fatalf("got %+v\n%s", step, console)
	}
	runs, err := os.ReadFile(filepath.Join(set.Dir, "runs"))
	if err != nil {
		t.Fatal(err)
	}
	var what []string
	for line := range strings.Lines(string(runs)) {
		words := strings.Fields(line)
		what = append(what, strings.Join(slices.DeleteFunc(words, func(w string) bool {
			return w == "boot" || strings.HasPrefix(w, "--ip=") || strings.HasPrefix(w, "--timeout=") || strings.HasPrefix(w, "--log=") || strings.HasPrefix(w, "--memory=")
		}), " "))
	}
	want := []string{
		"--source=http --list --url=http://a/x.raw --url=http://b/y.raw",
		"--source=http --get=http://a/good.raw",
		"--source=http --get=http://a/nosig.raw", // and what may lie beside it
		"--source=http --get=http://a/nosig.roothash", "--source=http --get=http://a/nosig.roothash.p7s",
		"--source=http --get=http://a/nosig.usrhash", "--source=http --get=http://a/nosig.usrhash.p7s",
		"--source=http --get=http://a/stranger.raw",
	}
	if !slices.Equal(what, want) {
		t.Errorf("ddifetch was run as\n%s\nwant\n%s", strings.Join(what, "\n"), strings.Join(want, "\n"))
	}
	img := b.facts.Images[step.Do.Name()]
	src, err := b.place(step.Do, img)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := os.ReadFile(src.Device); err != nil || int64(len(got)) != img.Extents.Size() {
		t.Errorf("%s has %d bytes, %v", src.Device, len(got), err)
	}
	if b.report.Network == nil || b.report.Network.Interface != "eth0" || b.servers.received[step.Do.Name()] != 4711 {
		t.Errorf("the report has %+v", b.report.Network)
	}
	// One that has to wait is given up, and brought again when its turn comes.
	b.release(step.Do.Name())
	if len(b.servers.files) != 0 {
		t.Error("it is still in memory")
	}
	if src, err = b.place(step.Do, img); err != nil || len(b.servers.files) != 1 {
		t.Errorf("it is not brought again: %v", err)
	}
	if err := b.servers.close(); err != nil || len(b.servers.files) != 0 {
		t.Error(err)
	}
	for _, want := range []string{"list-source: http offers 3 images", "http://a/good.raw refused (signed)", "http://a/nosig.raw refused (signed)"} {
		if !strings.Contains(console.String(), want) {
			t.Errorf("the console does not say %q:\n%s", want, console)
		}
	}
}

// TestServerSilent: a server that gives no answer is one refusal, and nothing is asked of it again.
func TestServerSilent(t *testing.T) {
	b, console := serving(t, dditest.Make(t))
	f, _ := fakeFetch(t, `echo '{"event":"error","text":"cannot fetch http://a/: no route","code":"no-network"}' >&4; exit 1`)
	b.fetchPath = f.path
	step := resolve.Next(b.plan, &b.facts)
	if err := b.carryOut(step.Do); err != nil {
		t.Fatal(err)
	}
	step = resolve.Next(b.plan, &b.facts)
	if len(step.Refused) != 1 || step.Refused[0].Rule != resolve.RuleReachable || step.Refused[0].Source != plan.SourceHTTP || !strings.Contains(step.Refused[0].Error(), "no route") {
		t.Errorf("got %+v\n%s", step, console)
	}
}

// TestListServerHears: what appears while a server is asked gets its driver, as a network card on USB does whose host had none before.
func TestListServerHears(t *testing.T) {
	b, console := waiting(t, machinetest.New(t))
	b.devices.table = virtioTable(t)
	loaded := make(chan string, 8)
	b.devices.loader = drivers.New(b.devices.table, "", func(m modtable.Module) error { loaded <- m.Name; return nil }, func(modtable.Module, error) {})
	b.devices.events = make(chan []byte)
	b.plan.URLs, b.facts.Settled = []string{"http://a/x.raw"}, true
	f, _ := fakeFetch(t, `while [ ! -e ${0%/*}/go ]; do /bin/sleep 0.01; done; echo '{"event":"done"}' >&4`)
	b.fetchPath = f.path
	go func() {
		b.devices.events <- []byte("add@/devices/virtio0\x00ACTION=add\x00DEVPATH=/devices/virtio0\x00SUBSYSTEM=virtio\x00MODALIAS=virtio:d00000002v00001AF4\x00SEQNUM=1\x00")
		select {
		case <-loaded:
		case <-time.After(20 * time.Second):
			t.Error("nobody loads a driver")
		}
		if err := os.WriteFile(filepath.Join(filepath.Dir(f.path), "go"), nil, 0o644); err != nil {
			t.Error(err)
		}
	}()
	if said := b.listServer(&resolve.Action{Source: plan.SourceHTTP}); said != "http offers 0 images" {
		t.Errorf("%s\n%s", said, console)
	}
}
