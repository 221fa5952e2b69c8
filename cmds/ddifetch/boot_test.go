// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package main

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/initddi/initddi/internal/efivar"
)

// memfd makes a file as storageinit does.
func memfd(t *testing.T) *os.File {
	t.Helper()
	fd, err := unix.MemfdCreate("image", unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING)
	if err != nil {
		t.Fatal(err)
	}
	f := os.NewFile(uintptr(fd), "image")
	t.Cleanup(func() { f.Close() })
	return f
}

// boot is a run of "ddifetch boot" within the test.
type boot struct {
	t             *testing.T
	image         *os.File
	trust, efi    string
	source        string // default http
	events        []map[string]any
	stderr        string
	err           error
	trustedSigner *signer
}

func newBoot(t *testing.T, s *signer) *boot {
	t.Helper()
	b := &boot{t: t, trust: filepath.Join(t.TempDir(), "verity.d"), efi: filepath.Join(t.TempDir(), "efivars"), trustedSigner: s}
	if err := os.Mkdir(b.trust, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(b.trust, "release.crt"), s.pem(), 0o644); err != nil {
		t.Fatal(err)
	}
	return b
}

func (b *boot) run(args ...string) {
	b.t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		b.t.Fatal(err)
	}
	said, err := os.Create(filepath.Join(b.t.TempDir(), "stderr"))
	if err != nil {
		b.t.Fatal(err)
	}
	defer said.Close()
	b.image = memfd(b.t)
	lines := make(chan []byte)
	go func() {
		all, _ := io.ReadAll(r)
		lines <- all
	}()
	b.err = run(context.Background(), environment{Stdout: said, Stderr: said, Image: b.image, Events: w, Trust: b.trust, EFIVars: b.efi}, append([]string{"boot", "--source=" + cmp.Or(b.source, "http")}, args...))
	w.Close()
	b.events = nil
	for line := range strings.Lines(string(<-lines)) {
		if len(line) > maxEvent || !strings.HasSuffix(line, "\n") {
			b.t.Errorf("a line of %d bytes", len(line))
		}
		var e map[string]any
		if err := json.Unmarshal([]byte(line), &e); err != nil {
			b.t.Fatalf("%q: %v", line, err)
		}
		b.events = append(b.events, e)
	}
	text, err := os.ReadFile(said.Name())
	if err != nil {
		b.t.Fatal(err)
	}
	b.stderr = string(text)
	for line := range strings.Lines(b.stderr) {
		if !strings.HasPrefix(line, "<4>") && !strings.HasPrefix(line, "<6>") && !strings.HasPrefix(line, "<7>") {
			b.t.Errorf("%q has no priority", line)
		}
	}
}

// last is the event at the end.
func (b *boot) last() map[string]any {
	b.t.Helper()
	if len(b.events) == 0 {
		b.t.Fatalf("no event: %v\n%s", b.err, b.stderr)
	}
	return b.events[len(b.events)-1]
}

// candidates are the names and the ends of the URLs of the candidates.
func (b *boot) candidates() string {
	var out []string
	for _, e := range b.events {
		if e["event"] == "candidate" {
			u := fmt.Sprint(e["url"])
			out = append(out, fmt.Sprintf("%v %s %v %v", e["name"], u[strings.Index(u, "/")+2+strings.Index(u[strings.Index(u, "/")+2:], "/"):], e["size"], e["sha256"] != nil))
		}
	}
	return strings.Join(out, ", ")
}

func TestBootList(t *testing.T) {
	good := newSigner(t, "release")
	files := newSite(t, good)
	server := httptest.NewServer(files)
	defer server.Close()
	b := newBoot(t, good)
	for _, test := range []struct {
		name string
		urls []string
		want string // candidates, or the code and a piece of the text of the error
		bad  bool
	}{
		{"a file", []string{"/os/OS_1.9.raw"}, "OS_1.9.raw /os/OS_1.9.raw 4000 false", false},
		{"an index", []string{"/os/"}, "OS_1.10.raw /os/OS_1.10.raw 0 true, OS_1.9.raw /os/OS_1.9.raw 0 true", false},
		{"both", []string{"/x86-64/OS_1.raw", "/os/"}, "OS_1.raw /x86-64/OS_1.raw 8 false, OS_1.10.raw /os/OS_1.10.raw 0 true, OS_1.9.raw /os/OS_1.9.raw 0 true", false},
		{"one that is not there", []string{"/nowhere/", "/os/OS_1.9.raw"}, "OS_1.9.raw /os/OS_1.9.raw 4000 false", false},
		{"nothing", []string{"/nowhere/", "/os/x.raw"}, "not-found /nowhere/SHA256SUMS: server answered 404 Not Found; ", true},
		{"nothing for this machine", []string{"/none/"}, "not-found no image for this machine", true},
		{"unsigned", []string{"/unsigned/"}, "refused there is no signature", true},
		{"no URL", []string{"\x01"}, " cannot use ddi.url=: not a web address", true},
		{"one of another source", []string{"nbd://192.0.2.1/x", "/os/OS_1.9.raw"}, "OS_1.9.raw /os/OS_1.9.raw 4000 false", false},
	} {
		args := []string{"--list", "--timeout=30"}
		for _, u := range test.urls {
			if !strings.HasPrefix(u, "nbd:") {
				u = server.URL + u
			}
			args = append(args, "--url="+u)
		}
		b.run(args...)
		last := b.last()
		if !test.bad {
			if b.err != nil || last["event"] != "done" || last["size"] != 0.0 || last["received"].(float64) < 100 {
				t.Errorf("%s: %v, %v", test.name, b.err, last)
			}
			if got := b.candidates(); got != test.want {
				t.Errorf("%s: %s, want %s", test.name, got, test.want)
			}
			continue
		}
		code, text, _ := strings.Cut(test.want, " ")
		if !errors.Is(b.err, errReported) || last["event"] != "error" || fmt.Sprint(last["code"]) != either0(code) || !strings.Contains(fmt.Sprint(last["text"]), text) || b.candidates() != "" {
			t.Errorf("%s: %v, %v, want %s", test.name, b.err, last, test.want)
		}
	}
}

// either0 is how a key prints that is left out.
func either0(code string) string {
	if code == "" {
		return "<nil>"
	}
	return code
}

// TestBootListDoesNotWait has a server that never answers beside one that does.
func TestBootListDoesNotWait(t *testing.T) {
	good := newSigner(t, "release")
	server := httptest.NewServer(newSite(t, good))
	defer server.Close()
	silent := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }))
	defer func() { silent.CloseClientConnections(); silent.Close() }()
	b := newBoot(t, good)
	b.run("--list", "--timeout=600", "--url="+silent.URL+"/os/", "--url="+server.URL+"/os/OS_1.9.raw")
	if got := b.candidates(); b.err != nil || got != "OS_1.9.raw /os/OS_1.9.raw 4000 false" || !strings.Contains(b.stderr, "another server has answered") {
		t.Errorf("%v: %s\n%s", b.err, got, b.stderr)
	}
	// Alone, it is waited for as long as was said.
	b.run("--list", "--timeout=1", "--url="+silent.URL+"/os/")
	if b.err == nil || b.last()["code"] != "timeout" {
		t.Errorf("%v: %v", b.err, b.last())
	}
}

// TestBootOfFirmware has no URL but the one that the UKI was fetched from.
func TestBootOfFirmware(t *testing.T) {
	good := newSigner(t, "release")
	files := newSite(t, good)
	for name, b := range files {
		if strings.HasPrefix(name, "os/") {
			files["tree/loader/ddi/"+strings.TrimPrefix(name, "os/")] = b
		}
	}
	server := httptest.NewServer(files)
	defer server.Close()
	b := newBoot(t, good)
	b.run("--list", "--timeout=30")
	if text := fmt.Sprint(b.last()["text"]); !strings.Contains(text, "there is no ddi.url=, and the firmware did not fetch the UKI by HTTP (no EFI variables)") {
		t.Errorf("%s", text)
	}
	if err := os.Mkdir(b.efi, 0o755); err != nil {
		t.Fatal(err)
	}
	b.run("--list", "--timeout=30")
	if text := fmt.Sprint(b.last()["text"]); !strings.Contains(text, "no EFI variable StubDeviceURL") {
		t.Errorf("%s", text)
	}
	variable := filepath.Join(b.efi, "StubDeviceURL-4a67b082-0a4c-41cf-b6c7-440b29bb8c4f")
	write := func(content []byte) {
		if err := os.WriteFile(variable, content, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write(efivar.Encode(efivar.BootServiceAccess|efivar.RuntimeAccess, efivar.EncodeString(server.URL+"/tree/EFI/Linux/initddi.efi")))
	b.run("--list", "--timeout=30")
	if got := b.candidates(); b.err != nil || got != "OS_1.10.raw /tree/loader/ddi/OS_1.10.raw 0 true, OS_1.9.raw /tree/loader/ddi/OS_1.9.raw 0 true" {
		t.Errorf("%v: %s\n%v", b.err, got, b.events)
	}
	for _, bad := range [][]byte{{1}, efivar.Encode(6, efivar.EncodeString("")), efivar.Encode(6, efivar.EncodeString("file:///x")), make([]byte, maxVariable+1)} {
		write(bad)
		if b.run("--list", "--timeout=30"); b.err == nil || b.last()["event"] != "error" {
			t.Errorf("%.20x: %v", bad, b.events)
		}
	}
}

func TestBootGet(t *testing.T) {
	good := newSigner(t, "release")
	files := newSite(t, good)
	server := httptest.NewServer(files)
	defer server.Close()
	b := newBoot(t, good)
	image := files["os/OS_1.10.raw"]
	for _, more := range [][]string{nil, {fmt.Sprintf("--sha256=%x", sha256.Sum256(image))}} {
		b.run(append([]string{"--get=" + server.URL + "/os/OS_1.10.raw", "--timeout=30", "--memory=8000"}, more...)...)
		if b.err != nil || b.last()["event"] != "done" || b.last()["size"] != 8000.0 || b.last()["received"].(float64) < 8000 {
			t.Fatalf("%v: %v", b.err, b.events)
		}
		got, err := io.ReadAll(io.NewSectionReader(b.image, 0, 1<<20))
		if err != nil || !bytes.Equal(got, image) {
			t.Errorf("%d bytes that are not the image's: %v", len(got), err)
		}
		if _, err := b.image.WriteAt([]byte("x"), 0); err == nil {
			t.Error("the image is not sealed")
		}
	}
	b.run("--get="+server.URL+"/os/OS_1.10.raw", "--timeout=30", "--memory=8000", "--log=debug")
	if !strings.Contains(b.stderr, "<7>"+server.URL+"/os/OS_1.10.raw, from byte 0: status 200, 8000 bytes") {
		t.Errorf("--log=debug says %q", b.stderr)
	}
	for _, test := range []struct{ name, path, memory, more, code, text string }{
		{"missing", "/os/OS_1.10.verity", "8000", "--log=info", "not-found", "server answered 404"},
		{"too large", "/os/OS_1.10.raw", "7999", "--log=info", "too-large", "it has 8000 bytes, and 7999 are allowed"},
		{"wrong digest", "/os/OS_1.10.raw", "8000", fmt.Sprintf("--sha256=%x", sha256.Sum256(nil)), "", "not the one that the index names"},
	} {
		b.run("--get="+server.URL+test.path, "--timeout=30", "--memory="+test.memory, test.more)
		last := b.last()
		if b.err == nil || last["event"] != "error" || fmt.Sprint(last["code"]) != either0(test.code) || !strings.Contains(fmt.Sprint(last["text"]), test.text) || !strings.Contains(fmt.Sprint(last["text"]), server.URL+test.path) {
			t.Errorf("%s: %v, %v", test.name, b.err, last)
		}
		if info, err := b.image.Stat(); err != nil || info.Size() != 0 {
			t.Errorf("%s: %v bytes are there: %v", test.name, info.Size(), err)
		}
	}
}

// TestBootProcess starts the program as storageinit does, with the file descriptors in their places.
func TestBootProcess(t *testing.T) {
	good := newSigner(t, "release")
	files := newSite(t, good)
	server := httptest.NewServer(files)
	defer server.Close()
	program, err := exec.LookPath("ddifetch") // testscript puts it there
	if err != nil {
		t.Fatal(err)
	}
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	image := memfd(t)
	cmd := exec.Command(program, "boot", "--source=http", "--get="+server.URL+"/os/OS_1.9.raw", "--timeout=30", "--memory=1000000")
	cmd.ExtraFiles = []*os.File{image, w}
	var said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &said, &said
	err = cmd.Run()
	w.Close()
	events, _ := io.ReadAll(r)
	if err != nil || !strings.HasPrefix(string(events), `{"event":"done","size":4000,`) {
		t.Errorf("%v: %s\n%s", err, events, said.String())
	}
	if info, err := image.Stat(); err != nil || info.Size() != 4000 {
		t.Errorf("%v", err)
	}
	// Without them, the lines go to standard output, and there is nothing to fetch into.
	out, err := exec.Command(program, "boot", "--source=http", "--get="+server.URL+"/os/OS_1.9.raw", "--timeout=30", "--memory=1000000").Output()
	if err == nil || !strings.Contains(string(out), "file descriptor 3 is no empty file") {
		t.Errorf("%v: %s", err, out)
	}
}
