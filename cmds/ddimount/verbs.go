// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package main

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/initddi/initddi/internal/ddi"
	"github.com/initddi/initddi/internal/jsontext"
	"github.com/initddi/initddi/internal/release"
	"github.com/initddi/initddi/internal/terminal"
)

func help(_ context.Context, env environment, _ *request) error {
	_, err := io.WriteString(env.Stdout, helpText)
	return err
}

func version(_ context.Context, env environment, _ *request) error {
	_, err := fmt.Fprintln(env.Stdout, "ddimount (initddi) "+release.Version)
	return err
}

// open opens the image that the first argument names.
func (o *request) open() (*ddi.Image, error) {
	p, err := ddi.ReadStore(o.trust)
	if err != nil {
		return nil, err
	}
	opt := ddi.Options{Plan: p, RootHash: o.rootHash, Policy: o.policy, Unverified: o.unverified}
	if o.signature != "" {
		if opt.Signature, err = readSignature(o.signature); err != nil {
			return nil, err
		}
	}
	return ddi.Open(o.args[0], opt)
}

// maxSignature bounds a signature file; a real one has two kilobytes.
const maxSignature = 1 << 20

// readSignature reads --root-hash-sig=: a file, or the signature itself behind "base64:".
func readSignature(s string) ([]byte, error) {
	if text, ok := strings.CutPrefix(s, "base64:"); ok {
		b, err := base64.StdEncoding.DecodeString(text)
		if err != nil {
			return nil, fmt.Errorf("cannot use --root-hash-sig: %w; %w", err, errUsage)
		}
		return b, nil
	}
	f, err := os.Open(s)
	if err != nil {
		return nil, fmt.Errorf("cannot read the signature: %w", err)
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxSignature))
	if err != nil {
		return nil, fmt.Errorf("cannot read the signature: %w", err)
	}
	return b, nil
}

// print writes v as JSON where that was asked for, and else calls text.
func (o *request) print(w io.Writer, v any, text func()) error {
	if o.json == "off" {
		text()
		return nil
	}
	indent := ""
	if o.json == "pretty" {
		indent = "\t"
	}
	b, err := jsontext.Marshal(v, indent)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(w, "%s\n", b)
	return err
}

func inspect(_ context.Context, env environment, o *request) error {
	img, err := o.open()
	if err != nil {
		return err
	}
	defer img.Close()
	r := img.Report()
	if err := o.print(env.Stdout, r, func() { r.Print(env.Stdout, !o.noLegend) }); err != nil {
		return err
	}
	if !r.Verdict.Accepted && !o.unverified {
		return errReported
	}
	return nil
}

// validation is the outcome of --validate.
type validation struct {
	Image   string      `json:"image"`
	Checked int64       `json:"checked"` // bytes of the file system, each held against the root hash
	Verdict ddi.Verdict `json:"verdict"`
}

func validate(ctx context.Context, env environment, o *request) error {
	img, err := o.open()
	if err != nil {
		return err
	}
	defer img.Close()
	p := terminal.NewProgress(env.Stderr)
	err = img.Validate(ctx, func(done, total int64) { p.Step("checking every block", done, total) })
	p.Done()
	if err != nil && img.Refusal == nil {
		return err
	}
	v := validation{Image: o.args[0], Verdict: img.Report().Verdict}
	if img.Refusal == nil {
		v.Checked = img.DataSize()
	}
	if err := o.print(env.Stdout, v, func() {
		if v.Verdict.Accepted {
			fmt.Fprintf(env.Stdout, "%s: valid: %s; all %d bytes match\n", v.Image, v.Verdict.Text, v.Checked)
		} else {
			fmt.Fprintln(env.Stdout, ddi.Printable(v.Verdict.Text))
		}
	}); err != nil {
		return err
	}
	if err != nil {
		return errReported
	}
	return nil
}

func mount(_ context.Context, env environment, o *request) (err error) {
	img, err := o.open()
	if err != nil {
		return err
	}
	defer img.Close()
	if img.Refusal != nil {
		return img.Refusal
	}
	drivers, err := ddi.StageDrivers()
	if err != nil {
		return err
	}
	path := o.args[1]
	if o.mkdir {
		if _, serr := os.Stat(path); serr != nil {
			if err := os.MkdirAll(path, 0o755); err != nil {
				return fmt.Errorf("cannot make the mount point: %w", err)
			}
			defer func() {
				if err != nil {
					os.Remove(path)
				}
			}()
		}
	}
	m, err := img.Mount(path, drivers)
	if err != nil {
		return err
	}
	return o.print(env.Stdout, m, func() {
		what := strings.TrimSpace(strings.Join([]string{m.FileSystem, m.ID, m.VersionID, m.ImageID, m.ImageVersion}, " "))
		fmt.Fprintf(env.Stdout, "%s: %s, mounted read-only at %s: %s\n", m.Image, strings.Join(strings.Fields(what), " "), path, img.Authentic())
		for _, note := range []string{m.Warning, m.NotBootable} {
			if note != "" {
				fmt.Fprintln(env.Stdout, "note:", ddi.Printable(note))
			}
		}
	})
}

func umount(_ context.Context, env environment, o *request) error {
	path := o.args[0]
	if err := ddi.Unmount(path); err != nil {
		return err
	}
	if o.rmdir {
		if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
			return fmt.Errorf("cannot remove the mount point: %w", err)
		}
	}
	return o.print(env.Stdout, map[string]string{"unmounted": path}, func() {})
}
