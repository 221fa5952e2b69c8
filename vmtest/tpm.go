// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package vmtest

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/initddi/initddi/internal/ability"
	"github.com/initddi/initddi/internal/measure"
	"github.com/initddi/initddi/internal/plan"
	"github.com/initddi/initddi/internal/predict"
	"github.com/initddi/initddi/internal/swtpm"
	"github.com/initddi/initddi/internal/tpm2"
	"github.com/initddi/initddi/vmtest/guest"
)

// TPM is an emulated TPM of a cell's machine.
type TPM struct {
	// Old is a TPM 1.2, with which none of the rest goes.
	Old bool `json:"old,omitempty"`
	// Dies ends the TPM when the console shows this sentence. What is asked of it from then on fails: by an I/O error or by
	// TPM_RC_FAILURE, as QEMU has it.
	Dies string `json:"dies,omitempty"`
	// Image, which the cell's disk holds, is the one whose boot is predicted on the host: PCRs 11, 12 and 13 must hold that, in every
	// bank, and the log must account for what stage 1 wrote. Empty expects nothing.
	Image string `json:"image,omitempty"`
	// Merged are the images of the extensions that the disk holds and that are merged, in their order.
	Merged []string `json:"merged,omitempty"`
	// Unmerged are those of them that cannot be merged after all.
	Unmerged []string `json:"unmerged,omitempty"`
	// Shell is the stage before which a debug shell is opened.
	Shell plan.Stage `json:"shell,omitempty"`
	// Unmeasured says that the image is not measured, only the shell.
	Unmeasured bool `json:"unmeasured,omitempty"`
	// Seal seals a secret before the boot, with tpm2-tools, against what is predicted for a boot of Image without a shell. The image
	// must open it after a boot without one, and must not be able to after one with.
	Seal bool `json:"seal,omitempty"`
	// Prepare does something to the TPM before the first boot of the machine, for instance with tpm2-tools.
	Prepare func(ctx context.Context, t *swtpm.TPM) error `json:"-"`
}

// withTPM does something to the TPM whose state is in a directory, while no machine has it.
func withTPM(ctx context.Context, state string, do func(context.Context, *swtpm.TPM) error) error {
	t, err := swtpm.ForTools(ctx, state)
	if err != nil {
		return err
	}
	defer t.Close()
	return do(ctx, t)
}

// secret is what is sealed.
const secret = "the secret of the matrix"

// startTPM starts the cell's TPM, whose state is in a directory. What is there already is that of an earlier boot.
func (w *Workshop) startTPM(ctx context.Context, c *Cell, state string) (*swtpm.TPM, error) {
	err := os.Mkdir(state, 0o700)
	if err == nil {
		err = w.prepareTPM(ctx, c, state)
	}
	if err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, asMissing(fmt.Errorf("cannot prepare the TPM of %s: %w", c.Name, err))
	}
	begin := swtpm.ForMachine
	if c.TPM.Old {
		begin = swtpm.OldForMachine
	}
	t, err := begin(ctx, state)
	return t, asMissing(err)
}

func (w *Workshop) prepareTPM(ctx context.Context, c *Cell, state string) error {
	if !c.TPM.Seal && c.TPM.Prepare == nil {
		return nil
	}
	t, err := swtpm.ForTools(ctx, state)
	if err != nil {
		return err
	}
	defer t.Close()
	if c.TPM.Seal {
		steps, err := w.predict(ctx, c, "")
		if err != nil {
			return err
		}
		if err := seal(ctx, t, state, steps); err != nil {
			return err
		}
	}
	if c.TPM.Prepare != nil {
		return c.TPM.Prepare(ctx, t)
	}
	return nil
}

// seal puts the secret into the TPM under a policy about the PCRs that the steps make; dir takes files.
func seal(ctx context.Context, t *swtpm.TPM, dir string, steps []predict.Step) error {
	in := func(name string) string { return filepath.Join(dir, name) }
	var values []byte
	for _, pcr := range predict.PCRs() {
		values = append(values, predict.Value(steps, pcr, tpm2.SHA256)...)
	}
	if err := errors.Join(os.WriteFile(in("pcrs"), values, 0o600), os.WriteFile(in("secret"), []byte(secret), 0o600)); err != nil {
		return err
	}
	flush := []string{"tpm2_flushcontext", "--transient-object"}
	for _, args := range [][]string{
		{"tpm2_createpolicy", "--policy-pcr", "-l", "sha256:11,12,13", "-f", in("pcrs"), "-L", in("policy")},
		{"tpm2_createprimary", "-C", "o", "-c", in("primary")},
		flush,
		// Without userwithauth: the policy is the only way to it.
		{"tpm2_create", "-C", in("primary"), "-L", in("policy"), "-i", in("secret"), "-a", "fixedtpm|fixedparent", "-u", in("public"), "-r", in("private")},
		flush,
		{"tpm2_load", "-C", in("primary"), "-u", in("public"), "-r", in("private"), "-c", in("sealed")},
		flush,
		{"tpm2_evictcontrol", "-C", "o", "-c", in("sealed"), guest.SealedHandle},
	} {
		if _, err := t.Tool(ctx, args[0], args[1:]...); err != nil {
			return err
		}
	}
	return nil
}

// predict returns what a boot of the cell's image has measured when the image's init runs.
func (w *Workshop) predict(ctx context.Context, c *Cell, shell plan.Stage) ([]predict.Step, error) {
	b := &predict.Boot{Shell: shell}
	if c.Firmware == SecureBoot {
		cmdline, err := w.cmdline(ctx, c)
		if err != nil {
			return nil, err
		}
		if b.UKI, err = w.UKI(ctx, c, cmdline); err != nil {
			return nil, err
		}
	}
	pair, err := w.pair(w.images[c.TPM.Image].Key)
	if err != nil {
		return nil, err
	}
	pem, err := os.ReadFile(pair.Cert)
	if err != nil {
		return nil, fmt.Errorf("cannot predict the boot of %s: %w", c.Name, err)
	}
	in := ability.Unasked().Input()
	in.Certificates = []plan.CertificateFile{{Name: pair.Cert, PEM: pem}}
	if b.Plan, err = plan.New(in); err != nil {
		return nil, err
	}
	for _, p := range c.Disks[0].Place {
		if path.Base(p.Path) != "initddi.conf" {
			continue
		}
		if b.Config, err = w.settings(ctx, p); err != nil {
			return nil, err
		}
	}
	for _, name := range append([]string{c.TPM.Image}, c.TPM.Merged...) {
		image, err := w.predicted(ctx, c, name)
		if err != nil {
			return nil, err
		}
		b.Images = append(b.Images, image)
	}
	for _, name := range c.TPM.Unmerged {
		image, err := w.predicted(ctx, c, name)
		if err != nil {
			return nil, err
		}
		image.Kind = measure.Unmerged
		b.Images = append(b.Images, image)
	}
	if c.TPM.Unmeasured && shell != "" {
		b.Images = nil
	}
	return b.Steps()
}

// predicted is an image that the cell's disk holds.
func (w *Workshop) predicted(ctx context.Context, c *Cell, name string) (predict.Image, error) {
	i := slices.IndexFunc(c.Disks[0].Place, func(p Place) bool { return p.Image == name })
	if i < 0 {
		return predict.Image{}, fmt.Errorf("cannot predict the boot of %s: its disk does not hold %s", c.Name, name)
	}
	file := path.Base(c.Disks[0].Place[i].Path)
	kind := measure.OS
	switch {
	case w.images[name].Tree == "initrd":
		kind = measure.Initrd
	case strings.HasSuffix(file, ".sysext.raw"):
		kind = measure.SysExt
	case strings.HasSuffix(file, ".confext.raw"):
		kind = measure.ConfExt
	}
	source, err := w.Image(ctx, name)
	return predict.Image{Kind: kind, File: source, Name: file}, err
}

// settings is a settings file with its signature, if the place has one.
func (w *Workshop) settings(ctx context.Context, p Place) (*predict.Config, error) {
	c := &predict.Config{Name: path.Base(p.Path), Content: []byte(p.Text)}
	if p.SignedBy == "" {
		return c, nil
	}
	pair, err := w.pair(p.SignedBy)
	if err != nil {
		return nil, err
	}
	c.Signature, err = pair.Sign(ctx, c.Content)
	return c, err
}

// judgeTPM compares what the marker found in the PCRs and in the log with the prediction.
func judgeTPM(c *Cell, steps []predict.Step, f *guest.Facts) []string {
	t := f.TPM
	if t == nil {
		return []string{"the image's kernel has no TPM"}
	}
	var wrong []string
	fail := func(format string, args ...any) { wrong = append(wrong, "TPM: "+fmt.Sprintf(format, args...)) }
	records, err := predict.ParseLog(t.Log)
	if err != nil {
		fail("%v", err)
	}
	if t.LogMode != "600" {
		fail("the log has mode %s, wanted 600", t.LogMode)
	}
	banks := 0
	for _, alg := range predict.Banks() {
		values := t.PCRs[alg.String()]
		if values == nil {
			continue
		}
		banks++
		for _, pcr := range predict.PCRs() {
			if want := hex.EncodeToString(predict.Value(steps, pcr, alg)); values[pcr] != want {
				fail("PCR %d of bank %s is %s, the prediction %s", pcr, alg, values[pcr], want)
			}
			// What systemd-stub measured is in the firmware's log.
			if c.Firmware == Direct {
				if got := hex.EncodeToString(predict.Replay(records, pcr, alg)); values[pcr] != got {
					fail("PCR %d of bank %s is %s, the log replays to %s", pcr, alg, values[pcr], got)
				}
			}
		}
	}
	if banks < 2 {
		fail("it has the banks %v, wanted several", t.PCRs)
	}
	opened := strings.Contains(t.Unsealed, secret)
	switch {
	case c.TPM.Seal && c.TPM.Shell == "" && !opened:
		fail("the secret does not open: %s", t.Unsealed)
	case c.TPM.Seal && c.TPM.Shell != "" && (opened || !strings.Contains(t.Unsealed, "policy check failed")):
		fail("the secret opens in spite of the shell, or stays shut for another reason: %q", t.Unsealed)
	}
	return wrong
}

// tools returns tpm2-tools of this machine, and the libraries they need, as files of a tree.
func (w *Workshop) tools(ctx context.Context) ([]file, error) {
	const program = "/usr/bin/tpm2"
	if _, err := os.Stat(program); err != nil {
		return nil, &MissingError{What: program + " (Debian package tpm2-tools)"}
	}
	tcti, err := filepath.Glob("/usr/lib/*/libtss2-tcti-device.so.0")
	if err != nil || len(tcti) != 1 {
		return nil, &MissingError{What: "libtss2-tcti-device.so.0 (a library that the Debian package tpm2-tools needs)"}
	}
	paths := []string{program, tcti[0]}
	for _, p := range slices.Clone(paths) {
		out, err := exec.CommandContext(ctx, "ldd", p).Output()
		if err != nil {
			return nil, fmt.Errorf("cannot find the libraries of %s: %w", p, err)
		}
		for _, word := range strings.Fields(string(out)) {
			if strings.HasPrefix(word, "/") {
				paths = append(paths, word)
			}
		}
	}
	slices.Sort(paths)
	var out []file
	for _, p := range slices.Compact(paths) {
		b, err := os.ReadFile(p)
		if err != nil {
			return nil, fmt.Errorf("cannot read a library: %w", err)
		}
		out = append(out, file{strings.TrimPrefix(p, "/"), b, 0o755})
	}
	return out, nil
}

// hashOf says what files are in a tree that are not made from this module's sources.
func hashOf(files []file) string {
	h := sha256.New()
	for _, f := range files {
		fmt.Fprintln(h, f.path, len(f.data))
		h.Write(f.data)
	}
	return hex.EncodeToString(h.Sum(nil))
}

// dying is a console that ends the TPM when a sentence has come.
type dying struct {
	*console
	sentence string
	die      func()
	seen     bytes.Buffer
	dead     bool
}

func (d *dying) Write(b []byte) (int, error) {
	if !d.dead {
		d.seen.Write(b)
		if bytes.Contains(d.seen.Bytes(), []byte(d.sentence)) {
			d.dead = true
			d.die()
		}
	}
	return d.console.Write(b)
}
