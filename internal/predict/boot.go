// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package predict

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/initddi/initddi/internal/ddi"
	"github.com/initddi/initddi/internal/measure"
	"github.com/initddi/initddi/internal/plan"
	"github.com/initddi/initddi/internal/resolve"
	"github.com/initddi/initddi/internal/signature"
)

// ErrRefused says that stage 1 would not take an image, so that nothing of it is ever measured.
var ErrRefused = errors.New("stage 1 would refuse it")

// Image is a boot image or an extension of it.
type Image struct {
	Kind measure.Kind
	File string // the image, here
	Name string // its file's name on the boot partition
}

// Boot is everything that is measured in a boot.
type Boot struct {
	UKI string // a file; empty where no systemd-stub measures one
	// CommandLines are those that addons and SMBIOS add.
	CommandLines []string
	Config       *Config
	Images       []Image // in the order in which they are entered or merged
	// Plan has the trust store and the pins that the images are judged by.
	Plan *plan.Plan
	// Shell says that a debug shell is opened at that stage, the first one if there are several.
	Shell plan.Stage
	// Phases are the words of systemd-pcrphase that come later.
	Phases []string
}

// Config is the settings file beside the images; its signature is one of the plan's trust store's, if it is not nil.
type Config struct {
	Name      string
	Content   []byte
	Signature []byte // detached PKCS#7, DER
}

// Steps returns what is measured, in order. An image that would not be entered is an error that wraps [ErrRefused].
func (b *Boot) Steps() ([]Step, error) {
	var steps []Step
	if b.UKI != "" {
		s, err := UKI(b.UKI)
		if err != nil {
			return nil, err
		}
		steps = append(steps, s...)
	}
	for _, c := range b.CommandLines {
		steps = append(steps, CommandLine(c))
	}
	// The settings are read from the boot partition: after the first stage at which a shell may be wanted, before the others.
	if b.Shell == plan.StageStorage {
		steps = append(steps, Events(measure.Shell()...)...)
	}
	if b.Config != nil {
		e, err := b.Config.event(b.Plan)
		if err != nil {
			return nil, err
		}
		steps = append(steps, Events(e)...)
	}
	if b.Shell != "" && b.Shell != plan.StageStorage {
		steps = append(steps, Events(measure.Shell()...)...)
	}
	for _, i := range b.Images {
		e, err := i.event(b.Plan)
		if err != nil {
			return nil, err
		}
		steps = append(steps, Events(e)...)
	}
	return append(steps, Phases(b.Phases...)...), nil
}

func (c *Config) event(p *plan.Plan) (measure.Event, error) {
	if c.Signature == nil {
		return measure.Config(c.Name, c.Content, nil), nil
	}
	signer, err := signature.Verify(c.Signature, c.Content, p.Trust)
	if err != nil {
		return measure.Event{}, fmt.Errorf("cannot predict %s: %w: %w", c.Name, ErrRefused, err)
	}
	return measure.Config(c.Name, c.Content, fingerprint(signer)), nil
}

func (i Image) event(p *plan.Plan) (measure.Event, error) {
	extension := i.Kind == measure.SysExt || i.Kind == measure.ConfExt || i.Kind == measure.Unmerged
	if extension {
		p = resolve.ForExtensions(p)
	}
	img, err := ddi.Open(i.File, ddi.Options{Plan: p})
	if err != nil {
		return measure.Event{}, err
	}
	defer img.Close()
	a := img.Authentic()
	if a != nil && a.Signer == nil && extension {
		return measure.Event{}, fmt.Errorf("cannot predict %s: %w: an extension is always signed", i.File, ErrRefused)
	}
	if a == nil {
		return measure.Event{}, fmt.Errorf("cannot predict %s: %w: %w", i.File, ErrRefused, img.Refusal)
	}
	return measure.Image(i.Kind, i.Name, a.RootHash, fingerprint(a.Signer)), nil
}

func fingerprint(c *signature.Certificate) *[sha256.Size]byte {
	if c == nil {
		return nil
	}
	fp := c.Fingerprint()
	return &fp
}

// maxConfig bounds a settings file and its signature, in bytes.
const maxConfig = 1 << 20

// ReadBounded reads a small file.
func ReadBounded(name string) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, fmt.Errorf("cannot read %s: %w", name, err)
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxConfig+1))
	if err == nil && len(b) > maxConfig {
		err = fmt.Errorf("more than %d bytes: %w", maxConfig, os.ErrInvalid)
	}
	if err != nil {
		return nil, fmt.Errorf("cannot read %s: %w", name, err)
	}
	return b, nil
}
