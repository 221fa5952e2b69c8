// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package main

import (
	"context"
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/initddi/initddi/internal/ability"
	"github.com/initddi/initddi/internal/ddi"
	"github.com/initddi/initddi/internal/measure"
	"github.com/initddi/initddi/internal/plan"
	"github.com/initddi/initddi/internal/predict"
	"github.com/initddi/initddi/internal/tpm2"
)

// imageFlag collects images of one kind in a list that all kinds share, so that the order on the command line is kept.
type imageFlag struct {
	kind measure.Kind
	list *[]predict.Image
}

func (f imageFlag) String() string { return "" }

func (f imageFlag) Set(s string) error {
	name, file, ok := strings.Cut(s, "=")
	if !ok {
		name, file = filepath.Base(s), s
	}
	if name == "" || file == "" {
		return errors.New("neither FILE nor NAME=FILE")
	}
	*f.list = append(*f.list, predict.Image{Kind: f.kind, Name: name, File: file})
	return nil
}

func runMeasure(_ context.Context, env environment, flags *flag.FlagSet, args []string) error {
	b := &predict.Boot{}
	flags.StringVar(&b.UKI, "uki", "", "the UKI, which systemd-stub measures into PCR 11: `FILE`")
	flags.Var((*list)(&b.CommandLines), "cmdline-extra", "a command line that an addon or SMBIOS adds, which systemd-stub measures into PCR 12: `TEXT`; can be given several times")
	config := flags.String("config", "", "the settings beside the images, which go into PCR 12, with the signature FILE.p7s if there is one: `FILE`")
	flags.Var(imageFlag{measure.OS, &b.Images}, "os", "the boot image, an OS image, which goes into PCR 13: `FILE`, or NAME=FILE if it has another name on the boot partition")
	flags.Var(imageFlag{measure.Initrd, &b.Images}, "initrd", "the boot image, an initrd image: `FILE` or NAME=FILE")
	flags.Var(imageFlag{measure.SysExt, &b.Images}, "sysext", "a system extension: `FILE` or NAME=FILE; in the order in which they are merged")
	flags.Var(imageFlag{measure.ConfExt, &b.Images}, "confext", "a configuration extension: `FILE` or NAME=FILE")
	var trust, pins list
	flags.Var(&trust, "trust", "a certificate of stage 1's trust store (PEM): `FILE`; can be given several times")
	flags.Var(&pins, "pin", "a root hash that is built into stage 1: `HASH`; can be given several times")
	shell := flags.String("shell", "", "a debug shell is opened before `STAGE`: storage, verify, mount, merge, handoff")
	phase := flags.String("phase", "", "systemd's phases that come later, `WORDS` with colons: enter-initrd:leave-initrd:sysinit:ready")
	banks := flags.String("bank", "sha1,sha256,sha384,sha512", "`BANKS` of the TPM, a list")
	raw := flags.String("pcr-file", "", "write the values of PCRs 11, 12 and 13 of the one --bank to `FILE`, for tpm2_createpolicy -f")
	logFile := flags.String("log", "", "replay systemd's log of measurements in `FILE` instead: what it makes of each PCR")
	asJSON := flags.Bool("json", false, "print JSON")
	if _, err := parse(flags, args, 0); err != nil {
		return err
	}
	algs, err := parseBanks(*banks)
	if err != nil {
		return err
	}
	if *raw != "" && (len(algs) != 1 || *logFile != "") {
		return errors.New("cannot write --pcr-file: it takes a prediction, and one --bank")
	}
	var m *measurement
	if *logFile != "" {
		m, err = replay(*logFile, algs)
	} else if err = complete(b, *config, trust, pins, *shell, *phase); err == nil {
		m, err = predicted(b, algs)
	}
	if err != nil {
		return err
	}
	if *raw != "" {
		if err := m.writeRaw(*raw); err != nil {
			return err
		}
	}
	if *asJSON {
		return printJSON(env.Stdout, m)
	}
	m.print(env.Stdout)
	return nil
}

func parseBanks(text string) ([]tpm2.Alg, error) {
	var out []tpm2.Alg
	for name := range strings.SplitSeq(text, ",") {
		i := slices.IndexFunc(predict.Banks(), func(a tpm2.Alg) bool { return a.String() == name })
		if i < 0 || slices.Contains(out, predict.Banks()[i]) {
			return nil, fmt.Errorf("cannot use --bank %q: a list without repetition out of sha1,sha256,sha384,sha512", text)
		}
		out = append(out, predict.Banks()[i])
	}
	return out, nil
}

// complete puts into a boot what has to be read or checked first.
func complete(b *predict.Boot, config string, trust, pins list, shell, phase string) error {
	if b.UKI == "" && config == "" && shell == "" && len(b.CommandLines)+len(b.Images) == 0 {
		return errors.New("cannot predict a boot without anything in it: give --uki, --os, --config, …; --help tells which")
	}
	// What the machine's stage 1 can do is not known; it is taken to be able to do what the settings say.
	in := ability.Unasked().Input()
	for _, name := range trust {
		pem, err := predict.ReadBounded(name)
		if err != nil {
			return fmt.Errorf("cannot read the trust store: %w", err)
		}
		in.Certificates = append(in.Certificates, plan.CertificateFile{Name: name, PEM: pem})
	}
	for _, p := range pins {
		in.Config = fmt.Appendf(in.Config, "pin=%s\n", p)
	}
	var err error
	if b.Plan, err = plan.New(in); err != nil {
		return err
	}
	if b.Shell = plan.Stage(shell); shell != "" && !slices.Contains(plan.Stages(), b.Shell) {
		return fmt.Errorf("cannot open a shell before %q: it is none of the stages %v", shell, plan.Stages())
	}
	if phase != "" {
		b.Phases = strings.Split(phase, ":")
	}
	if config == "" {
		return nil
	}
	b.Config = &predict.Config{Name: filepath.Base(config)}
	if b.Config.Content, err = predict.ReadBounded(config); err != nil {
		return err
	}
	if b.Config.Signature, err = predict.ReadBounded(config + ".p7s"); errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	return err
}

// measurement is what goes into PCRs, and what they hold then.
type measurement struct {
	PCRs  []pcrValue `json:"pcrs"`
	Steps []pcrStep  `json:"steps"`
}

type pcrValue struct {
	PCR   int    `json:"pcr"`
	Bank  string `json:"bank"`
	Value string `json:"value"`
}

type pcrStep struct {
	PCR     int               `json:"pcr"`
	What    string            `json:"what"`
	Digests map[string]string `json:"digests"`
}

func predicted(b *predict.Boot, algs []tpm2.Alg) (*measurement, error) {
	steps, err := b.Steps()
	if err != nil {
		return nil, err
	}
	m := &measurement{Steps: []pcrStep{}}
	for _, s := range steps {
		out := pcrStep{PCR: s.PCR, What: s.What, Digests: map[string]string{}}
		for i, bank := range predict.Banks() {
			if slices.Contains(algs, bank) {
				out.Digests[bank.String()] = hex.EncodeToString(s.Digests[i])
			}
		}
		m.Steps = append(m.Steps, out)
	}
	for _, pcr := range predict.PCRs() {
		for _, alg := range algs {
			m.PCRs = append(m.PCRs, pcrValue{pcr, alg.String(), hex.EncodeToString(predict.Value(steps, pcr, alg))})
		}
	}
	return m, nil
}

// replay reads a log, and computes what it makes of the PCRs it is about, if they held zeros before.
func replay(file string, algs []tpm2.Alg) (*measurement, error) {
	b, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("cannot read the log: %w", err)
	}
	records, err := predict.ParseLog(b)
	if err != nil {
		return nil, fmt.Errorf("cannot replay %s: %w", file, err)
	}
	m := &measurement{PCRs: []pcrValue{}, Steps: []pcrStep{}}
	var pcrs []int
	for _, r := range records {
		if r.PCR == nil {
			continue
		}
		out := pcrStep{PCR: *r.PCR, What: r.Content.String, Digests: map[string]string{}}
		for _, d := range r.Digests {
			out.Digests[d.HashAlg] = d.Digest
		}
		m.Steps = append(m.Steps, out)
		if !slices.Contains(pcrs, *r.PCR) {
			pcrs = append(pcrs, *r.PCR)
		}
	}
	slices.Sort(pcrs)
	for _, pcr := range pcrs {
		for _, alg := range algs {
			// A bank that the machine does not have is in no record.
			if value := predict.Replay(records, pcr, alg); value != nil {
				m.PCRs = append(m.PCRs, pcrValue{pcr, alg.String(), hex.EncodeToString(value)})
			}
		}
	}
	return m, nil
}

// writeRaw writes the values one behind the other.
func (m *measurement) writeRaw(file string) error {
	var out []byte
	for _, v := range m.PCRs {
		b, err := hex.DecodeString(v.Value)
		if err != nil {
			return err
		}
		out = append(out, b...)
	}
	if err := os.WriteFile(file, out, 0o644); err != nil {
		return fmt.Errorf("cannot write the PCRs: %w", err)
	}
	return nil
}

// print writes the steps as comments and the values as systemd-measure does.
func (m *measurement) print(w io.Writer) {
	for _, s := range m.Steps {
		fmt.Fprintf(w, "# PCR %d: %s\n", s.PCR, ddi.Printable(s.What))
	}
	for _, v := range m.PCRs {
		fmt.Fprintf(w, "%d:%s=%s\n", v.PCR, v.Bank, v.Value)
	}
}
