// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package vmtest

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"

	"github.com/initddi/initddi/internal/keys"
	"github.com/initddi/initddi/internal/kmodules"
)

// MissingError says what this machine lacks for a cell, which is then skipped.
type MissingError struct{ What string }

func (e *MissingError) Error() string { return "missing: " + e.What }

// Workshop makes what the cells need, and keeps it: in Dir, under names that hold a hash of what each is made from.
type Workshop struct {
	// Build is the directory of the build, with the kernels, the keys and the demonstration's disk.
	Build string
	// Module is the directory of this module's sources.
	Module string
	// Dir is where made things lie, Logs where the consoles go.
	Dir, Logs string
	// Say is told what takes time; nil is allowed.
	Say func(string)

	images  map[string]Image
	stages  map[string]Stage1
	volumes map[string]Volume
	pairOf  func(name string) (keys.Pair, error)
	self    string // hash of this program's sources: of everything that is done in here

	lockFile *os.File

	mu   sync.Mutex
	made map[string]*thing
}

// thing is something that is being made or has been.
type thing struct {
	once sync.Once
	path string
	err  error
}

// Program is a program of this directory that boots cells, and what those are made from.
type Program struct {
	Name    string // of its directory here, and of the one in the build
	Images  []Image
	Stages  []Stage1
	Volumes []Volume
	// Pair makes the keys that sign images; nil makes those of package keys, "ddi" being the build's.
	Pair func(name string) (keys.Pair, error)
}

// NewWorkshop opens the workshop of a program of the module whose sources are in module. It waits until no other process has it
// open; the lock ends with the process. say, which may be nil, is told what takes time.
func NewWorkshop(module, build string, p Program, say func(string)) (*Workshop, error) {
	w := &Workshop{Module: module, Build: build, Dir: filepath.Join(build, p.Name, "made"), Logs: filepath.Join(build, p.Name), Say: say, pairOf: p.Pair,
		images: map[string]Image{}, stages: map[string]Stage1{}, volumes: map[string]Volume{}, made: map[string]*thing{}}
	for _, i := range p.Images {
		w.images[i.Name] = i
	}
	for _, s := range p.Stages {
		w.stages[s.Name] = s
	}
	for _, v := range p.Volumes {
		w.volumes[v.Name] = v
	}
	if err := os.MkdirAll(w.Dir, 0o755); err != nil {
		return nil, fmt.Errorf("cannot open the workshop: %w", err)
	}
	if err := w.lock(); err != nil {
		return nil, fmt.Errorf("cannot open the workshop: %w", err)
	}
	program, err := w.sources(context.Background(), "./vmtest/"+p.Name)
	if err != nil {
		return nil, err
	}
	modules, err := hashFiles(filepath.Join(module, "go.sum"))
	w.self = program + modules
	return w, err
}

func (w *Workshop) lock() error {
	f, err := os.OpenFile(filepath.Join(w.Logs, "lock"), os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return err
	}
	w.lockFile = f
	if syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) == nil {
		return nil
	}
	w.say("waiting for another run in %s", w.Logs)
	return syscall.Flock(int(f.Fd()), syscall.LOCK_EX)
}

func (w *Workshop) say(format string, args ...any) {
	if w.Say != nil {
		w.Say(fmt.Sprintf(format, args...))
	}
}

// make returns the path of the thing called name that is made from what key describes, making it if it is not there. do gets
// the path of a file or directory to make, which appears under its final name only when it is complete.
func (w *Workshop) make(name string, key any, do func(tmp string) error) (string, error) {
	return w.makeIn(w.Dir, name, key, do)
}

// shared is make for what all programs of a build make alike and take long for: it lies in a directory of its own, which one
// process at a time uses.
func (w *Workshop) shared(dir, name string, key any, do func(tmp string) error) (string, error) {
	dir = filepath.Join(w.Build, dir)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", fmt.Errorf("cannot make %s: %w", name, err)
	}
	f, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return "", fmt.Errorf("cannot make %s: %w", name, err)
	}
	defer f.Close()
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX); err != nil {
		return "", fmt.Errorf("cannot make %s: %w", name, err)
	}
	return w.makeIn(dir, name, key, do)
}

func (w *Workshop) makeIn(dir, name string, key any, do func(tmp string) error) (string, error) {
	text, err := json.Marshal(key)
	if err != nil {
		return "", fmt.Errorf("cannot make %s: %w", name, err)
	}
	sum := sha256.Sum256(text)
	ext := filepath.Ext(name)
	stem := strings.TrimSuffix(name, ext)
	file := stem + "-" + hex.EncodeToString(sum[:6]) + ext
	t := w.thing(file)
	t.once.Do(func() {
		t.path = filepath.Join(dir, file)
		if _, err := os.Lstat(t.path); err == nil {
			return
		}
		w.say("making %s", name)
		tmp := t.path + ".part"
		if t.err = os.RemoveAll(tmp); t.err != nil {
			return
		}
		if t.err = do(tmp); t.err != nil {
			os.RemoveAll(tmp)
			return
		}
		w.forget(dir, stem, ext)
		t.err = os.Rename(tmp, t.path)
	})
	return t.path, t.err
}

// thing returns the one thing of that name.
func (w *Workshop) thing(name string) *thing {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.made[name] == nil {
		w.made[name] = &thing{}
	}
	return w.made[name]
}

// forget removes what was made under that name from other things, in earlier runs.
func (w *Workshop) forget(dir, stem, ext string) {
	old, err := filepath.Glob(filepath.Join(dir, stem+"-????????????"+ext))
	if err != nil {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, o := range old {
		if w.made[filepath.Base(o)] == nil {
			os.RemoveAll(o)
		}
	}
}

// hashFiles hashes the files, and all files below directories, with their names.
func hashFiles(paths ...string) (string, error) {
	h := sha256.New()
	for _, p := range paths {
		err := filepath.WalkDir(p, func(name string, d fs.DirEntry, err error) error {
			if err != nil || !d.Type().IsRegular() {
				return err
			}
			f, err := os.Open(name)
			if err != nil {
				return err
			}
			defer f.Close()
			fmt.Fprintln(h, name)
			_, err = io.Copy(h, f)
			return err
		})
		if err != nil {
			return "", fmt.Errorf("cannot hash %s: %w", p, err)
		}
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// need returns the path of a file of the build, or that it is missing and how to make it.
func (w *Workshop) need(name, how string) (string, error) {
	p := filepath.Join(w.Build, name)
	if _, err := os.Stat(p); err != nil {
		return "", &MissingError{What: p + " (" + how + ")"}
	}
	return p, nil
}

// pair returns a key and its certificate: the build's, or one that is made here.
func (w *Workshop) pair(name string) (keys.Pair, error) {
	if w.pairOf != nil && name != keys.SecureBoot {
		return w.pairOf(name)
	}
	if name == keys.Image || name == keys.SecureBoot {
		p := keys.In(filepath.Join(w.Build, "keys"), name)
		if _, err := os.Stat(p.Key); err != nil {
			return p, &MissingError{What: p.Key + " (just demo makes it)"}
		}
		return p, nil
	}
	dir, err := w.make("keys-"+name, name, func(tmp string) error {
		_, err := keys.Make(tmp)
		return err
	})
	return keys.In(dir, keys.Image), err
}

var placeholder = regexp.MustCompile(`\{(roothash|sha256|certificate|release) ([^}]+)\}`)

// fill puts the root hashes of images in place of "{roothash NAME}", the SHA-256 of keys' certificates in place of
// "{certificate NAME}", and the releases of kernels in place of "{release NAME}".
func (w *Workshop) fill(ctx context.Context, s string) (string, error) {
	var failed error
	out := placeholder.ReplaceAllStringFunc(s, func(m string) string {
		of := w.RootHash
		found := placeholder.FindStringSubmatch(m)
		switch found[1] {
		case "certificate":
			of = w.fingerprint
		case "sha256":
			of = w.digest
		case "release":
			of = w.release
		}
		hash, err := of(ctx, found[2])
		if err != nil {
			failed = err
			return m
		}
		return hash
	})
	return out, failed
}

// digest returns the SHA-256 of an image's file.
func (w *Workshop) digest(ctx context.Context, name string) (string, error) {
	image, err := w.Image(ctx, name)
	if err != nil {
		return "", err
	}
	b, err := os.ReadFile(image)
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:]), nil
}

// release returns what a kernel calls itself (uname -r).
func (w *Workshop) release(_ context.Context, name string) (string, error) {
	k, err := w.kernel(name)
	if err != nil {
		return "", err
	}
	tree, err := kmodules.Open(k.Modules, "")
	if err != nil {
		return "", err
	}
	return tree.Release(), nil
}

// fingerprint returns the SHA-256 of a key's certificate.
func (w *Workshop) fingerprint(_ context.Context, name string) (string, error) {
	pair, err := w.pair(name)
	if err != nil {
		return "", err
	}
	der, err := keys.CertificateDER(pair.Cert)
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(der)
	return hex.EncodeToString(sum[:]), nil
}

func (w *Workshop) fillAll(ctx context.Context, list []string) ([]string, error) {
	out := make([]string, len(list))
	for i, s := range list {
		var err error
		if out[i], err = w.fill(ctx, s); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// run runs a program in the module's directory.
func (w *Workshop) run(ctx context.Context, env []string, name string, args ...string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = w.Module
	cmd.Env = append(os.Environ(), env...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("cannot run %s %s: %w: %s", name, strings.Join(args, " "), err, bytes.TrimSpace(stderr.Bytes()))
	}
	return out, nil
}

// sources hashes this module's sources of the packages named. It looks once in a run: a matrix whose cells boot different
// things because somebody saves a file meanwhile shows nothing.
func (w *Workshop) sources(ctx context.Context, names ...string) (string, error) {
	t := w.thing("sources " + strings.Join(names, " "))
	t.once.Do(func() {
		var out []byte
		out, t.err = w.run(ctx, nil, "go", append([]string{"list", "-deps", "-f", `{{if .Module}}{{if .Module.Main}}{{$d := .Dir}}{{range .GoFiles}}{{$d}}/{{.}}
{{end}}{{end}}{{end}}`}, names...)...)
		if t.err != nil {
			return
		}
		files := strings.Fields(string(out))
		slices.Sort(files)
		t.path, t.err = hashFiles(files...)
	})
	return t.path, t.err
}
