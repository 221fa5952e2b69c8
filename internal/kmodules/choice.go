// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package kmodules

import (
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/initddi/initddi/internal/modtable"
)

// Reasons of a [MissingError] and of [Select].
var (
	// ErrNotAsked says that no device of the only machine that stage 1 is for asks for a driver of a class.
	ErrNotAsked = errors.New("no device of the machine asks for a driver of this class")
	// ErrNoDriver says that the kernel lacks the driver of a device on the way to the machine's disk.
	ErrNoDriver = errors.New("the kernel does not have the driver of a device on the way to the machine's disk")
)

// Choice is what became of a class, or of a feature that was not required, and why.
type Choice struct {
	Name    string   `json:"name"`
	Carried bool     `json:"carried"`
	Modules []string `json:"modules,omitempty"` // those that make the class, not what they need in turn
	Why     string   `json:"why"`
}

// anywhere reports whether a device of the class is wanted wherever it is: no disk hangs on a TPM or a network card.
func (c Class) anywhere() bool { return c.Name == "tpm" || c.IsNetwork() }

// pickClasses adds the modules of the classes that were asked for.
func (s *selector) pickClasses() error {
	all := Classes()
	for _, name := range slices.Concat(s.options.Classes, s.options.OptionalClasses) {
		i := slices.IndexFunc(all, func(c Class) bool { return c.Name == name })
		if i < 0 {
			return fmt.Errorf("%w class %q (there are %s)", ErrUnknown, name, strings.Join(ClassNames(), ", "))
		}
		if slices.ContainsFunc(s.choices, func(c Choice) bool { return c.Name == name }) {
			continue
		}
		required := slices.Contains(s.options.Classes, name)
		if !slices.ContainsFunc(all[i].Drivers, s.exists) {
			if required {
				return &MissingError{Kind: ErrEmptyClass, Name: name, Release: s.tree.release, Wanted: all[i].Drivers}
			}
			s.choices = append(s.choices, Choice{Name: name, Why: "the kernel has no driver of this class"})
			continue
		}
		choice, err := s.pickClass(all[i], required || all[i].anywhere())
		if err != nil {
			return err
		}
		if required && !choice.Carried {
			return &MissingError{Kind: ErrNotAsked, Name: name, Release: s.tree.release, Wanted: all[i].Drivers}
		}
		s.choices = append(s.choices, choice)
	}
	return nil
}

// pickClass adds the modules of a class. It adds none if the only machine that stage 1 is for has no device that asks for a
// driver of it: a USB controller without a disk is no reason to carry its drivers. Such a device has to be on the way to the
// machine's disk, or with everywhere anywhere.
func (s *selector) pickClass(c Class, everywhere bool) (Choice, error) {
	out := Choice{Name: c.Name}
	driven, elsewhere := false, false
	for _, module := range c.Drivers {
		ok, err := s.asked(module, everywhere)
		if err != nil {
			return out, err
		}
		driven = driven || ok && s.exists(module)
		if ok, err = s.asked(module, true); err != nil {
			return out, err
		}
		elsewhere = elsewhere || ok && s.exists(module)
	}
	switch {
	case driven:
	case everywhere:
		out.Why = "no device of the machine asks for it"
		return out, nil
	case elsewhere:
		out.Why = "the machine has such a device, but it does not lead to /dev/" + s.options.Host.Node
		return out, nil
	default:
		out.Why = "nothing on the way to /dev/" + s.options.Host.Node + " asks for it"
		return out, nil
	}
	out.Carried = true
	for _, module := range slices.Concat(c.Drivers, c.With) {
		ok, err := s.asked(module, everywhere)
		if err != nil {
			return out, err
		}
		if !ok {
			continue
		}
		if _, err := s.want(module, c.Name); err != nil {
			return out, err
		}
		if s.tree.Has(module) && !s.tree.Builtin(module) {
			out.Modules = append(out.Modules, module)
		}
	}
	switch {
	case len(out.Modules) == 0:
		out.Why = "built into the kernel"
	case s.options.Host == nil:
		out.Why = c.Description
	case everywhere:
		out.Why = "a device of the machine asks for it"
	default:
		out.Why = "a device on the way to /dev/" + s.options.Host.Node + " asks for it"
	}
	s.spec.Classes = append(s.spec.Classes, modtable.Class{Name: c.Name, Description: c.Description})
	return out, nil
}

// wayName is the name of what drives a device on the way to the disk and belongs to no class.
const wayName = "way"

// pickWay adds what drives the devices on the way to the machine's disk and is in no class: what lies there is known, whatever it
// is. Where a class was asked for by its name, the way does not matter.
func (s *selector) pickWay() error {
	if s.options.Host == nil || len(s.options.Classes) > 0 {
		return nil
	}
	var found []string
	for _, d := range s.options.Host.Way {
		name := canonical(d.Module)
		switch {
		case name == "" || s.tree.Builtin(name) || s.why[name] != nil:
			continue
		case s.tree.Has(name):
			if _, err := s.want(name, wayName); err != nil {
				return err
			}
			found = append(found, name)
			continue
		}
		// The kernel of this stage 1 may have another driver for it than the one that runs.
		driven, err := s.drives(d.Modalias)
		if err != nil {
			return err
		}
		if !driven && d.Supplier {
			// After a while the kernel goes on without (deferred_probe_timeout=), if that is possible at all.
			s.choices = append(s.choices, Choice{Name: wayName, Why: fmt.Sprintf("kernel %s has no driver %s, which drives %s: something on the way to /dev/%s needs that", s.tree.release, name, path.Base(d.Path), s.options.Host.Node)})
			continue
		}
		if !driven {
			return fmt.Errorf("cannot make a stage 1 for the machine: %w: %s %s is driven by %s, and kernel %s has it neither as a module nor built in",
				ErrNoDriver, d, d.Modalias, name, s.tree.release)
		}
	}
	if len(found) > 0 {
		s.choices = append(s.choices, Choice{Name: wayName, Carried: true, Modules: found, Why: "they drive devices on the way to /dev/" + s.options.Host.Node + " and are in no class"})
	}
	return nil
}

// drives reports whether a module that was added already drives a device.
func (s *selector) drives(modalias string) (bool, error) {
	for name := range s.why {
		m, err := s.tree.module(name)
		if err != nil {
			return false, err
		}
		if anyMatch(m.aliases, []string{modalias}) {
			return true, nil
		}
	}
	return false, nil
}

// asked reports whether the one machine that stage 1 is for, if there is only one, asks for a module.
func (s *selector) asked(name string, everywhere bool) (bool, error) {
	if s.options.Host == nil || s.tree.Builtin(name) || !s.tree.Has(name) {
		return true, nil
	}
	m, err := s.tree.module(name)
	if err != nil {
		return false, err
	}
	return s.options.Host.asks(m.aliases, everywhere), nil
}
