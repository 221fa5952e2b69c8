// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

// Package plan turns what stage 1 was told into what must exist before the next init can run.
//
// Input is text from three places of different trust: what was baked into stage 1, whose bytes the firmware verified (the
// trust store and /etc/initddi/stage1.conf), and the kernel command line, to which a boot loader or a hypervisor may have
// added. The baked-in part says what is acceptable; the command line can choose among that and narrow it, never widen it.
// [New] is pure: same input, same plan. The keys, their grammar and their defaults are in docs/CMDLINE.md and in keys.go.
package plan

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/initddi/initddi/internal/cmdline"
	"github.com/initddi/initddi/internal/floor"
	"github.com/initddi/initddi/internal/guid"
	"github.com/initddi/initddi/internal/layers"
	"github.com/initddi/initddi/internal/policy"
	"github.com/initddi/initddi/internal/settings"
	"github.com/initddi/initddi/internal/signature"
	"github.com/initddi/initddi/internal/tpm2"
)

// Errors that New returns, always inside a [KeyError].
var (
	ErrUnknownKey = errors.New("unknown key")
	ErrValue      = errors.New("value outside its grammar")
	ErrRepeated   = errors.New("given more than once")
	ErrNotHere    = errors.New("not something this stage 1 can do")
	ErrBakedOnly  = errors.New("can only be built into stage 1")
	ErrNotAllowed = errors.New("not among the keys that this stage 1 was built to allow")
)

// KeyError says which key is wrong, and where it stands.
type KeyError struct {
	Key, Value string
	Where      string // "kernel command line", "/etc/initddi/stage1.conf line 3"
	Allowed    string // the grammar in words, for the person at the console
	Err        error
}

func (e *KeyError) Error() string {
	word := e.Key + "=" + e.Value
	if e.Value == "" && errors.Is(e.Err, ErrNotAllowed) {
		word = e.Key // as it stands there, mostly
	}
	s := fmt.Sprintf("cannot use %s from the %s: %v", word, e.Where, e.Err)
	if e.Allowed != "" {
		s += ": it takes " + e.Allowed
	}
	return s
}

func (e *KeyError) Unwrap() error { return e.Err }

// Device says which partition holds the boot image. The zero value is the one the firmware booted from.
type Device struct {
	PartUUID  guid.GUID // PARTUUID=
	PartLabel string    // PARTLABEL=, the name in the partition table
	Label     string    // LABEL=, the FAT volume label
	Node      string    // /dev/NODE, without /dev/
}

// IsZero reports whether the choice is left to the firmware's variables.
func (d Device) IsZero() bool { return d == Device{} }

// String writes the choice as ddi.device= takes it.
func (d Device) String() string {
	switch {
	case !d.PartUUID.IsZero():
		return "PARTUUID=" + d.PartUUID.String()
	case d.PartLabel != "":
		return "PARTLABEL=" + d.PartLabel
	case d.Label != "":
		return "LABEL=" + d.Label
	case d.Node != "":
		return "/dev/" + d.Node
	}
	return "the partition the firmware booted from"
}

// Identity is what a verified image must say of itself. An empty field asks for nothing.
type Identity struct {
	Kind       Kind   // OS or initrd image
	ID         string // os-release ID=
	ImageID    string // os-release IMAGE_ID=
	MinVersion string // lowest IMAGE_VERSION= (VERSION_ID= if there is none), UAPI.10 order
}

// Plan is everything stage 1 was told, checked, with defaults filled in.
type Plan struct {
	// What is acceptable: baked in.
	Trust        []*signature.Certificate
	Pins         [][]byte // root hashes that are acceptable without a signature
	DenyCerts    [][32]byte
	DenyRootHash [][]byte
	Identity     Identity
	// Policy and SysextPolicy are what was baked in, narrowed by the command line.
	Policy, SysextPolicy policy.Policy
	// PolicyParts are what Policy is the And of, if it was narrowed; an image has to pass each. So of SysextPolicy.
	PolicyParts, SysextPolicyParts []policy.Policy
	// Rollback says whether an image must have the security level that the TPM's counter at RollbackIndex has.
	Rollback      Rollback
	RollbackIndex tpm2.Handle
	// AllowKeys are all the words that the command line may have, if there are any: keys, or "key=value" with one value.
	AllowKeys []string

	// What is wanted: defaults, stage1.conf, command line.
	RootHash []byte // only an image with this root hash
	UsrHash  []byte
	Image    string   // name, path or glob on the partition; empty is any
	Sources  []Source // in the order in which they are tried
	// SourcesByDefault says that nobody named them: one that has nothing is not worth a word.
	SourcesByDefault bool
	URLs             []string // where to fetch an image from, best first
	Network          Network  // how, where one is fetched
	Device           Device
	Attach           Attach
	Corruption       Corruption // empty is by kind of image
	Init             string     // the next init's path; empty is by kind of image
	InitOS           string     // init=, which an OS image's init is taken from where Init is empty
	Timeout          time.Duration
	Log              Level
	Fail             Fail
	Attempts         int // how often an image may be entered without coming up well before others are tried first; 0 is no limit
	Break            []Stage
	Measure          Measure
	// Merge says that extensions are merged into the boot image. CannotMerge says that they would be, had this stage 1 the means.
	Merge, CannotMerge bool
	Overlay            Overlay

	// MeasureFloor is what stage1.conf says of measuring, empty if nothing: Measure is never less.
	MeasureFloor Measure

	// NoCredentials says that the next init was told to take none: systemd.import_credentials=no.
	NoCredentials bool
	// InitArgs go to the next init as they came.
	InitArgs []string
	// Warnings are sentences for the log about things that will surprise somebody later.
	Warnings []string

	hasShell, hasFetch, hasMerge bool
	// given are the keys, without "ddi.", that stood on the command line.
	given map[string]bool
}

// Input is what New works from.
type Input struct {
	CommandLine  string // /proc/cmdline
	Config       []byte // /etc/initddi/stage1.conf, nil if there is none
	Certificates []CertificateFile
	HasShell     bool // a shell was built in
	HasFetch     bool // ddifetch was, which reaches servers
	HasMerge     bool // so was what merges extensions and makes overlays
}

// CertificateFile is a file of the trust store.
type CertificateFile struct {
	Name string
	PEM  []byte
}

// ConfigPath is where the baked-in settings lie in stage 1.
const ConfigPath = "/etc/initddi/stage1.conf"

// Where the two kinds of settings come from, as errors name it.
const whereCommandLine = "kernel command line"

// New makes the plan. The error joins everything that is wrong, not only the first; each part is a [KeyError] or says which
// file cannot be read. With an error the returned plan is still usable for how to fail and how to log, never for booting.
func New(in Input) (*Plan, error) {
	p := &Plan{
		Sources: []Source{SourceESP, SourceInitrd}, SourcesByDefault: true,
		Timeout:  60 * time.Second,
		Attach:   AttachDirect,
		Log:      LevelInfo,
		Fail:     FailReboot,
		Attempts: 1,
		Rollback: RollbackNo, RollbackIndex: floor.DefaultIndex,
		Measure: MeasureYes,
		Merge:   in.HasMerge, CannotMerge: !in.HasMerge,
		Overlay: OverlayNo,
	}
	var errs []error
	for _, c := range in.Certificates {
		certs, err := signature.ParseCertificatesPEM(c.PEM)
		if err != nil {
			errs = append(errs, fmt.Errorf("cannot use %s of the trust store: %w", c.Name, err))
			continue
		}
		// systemd takes the first of a file and drops the rest without a word; either choice would surprise somebody.
		if len(certs) != 1 {
			errs = append(errs, fmt.Errorf("cannot use %s of the trust store: it holds %d certificates, wanted one a file: %w", c.Name, len(certs), ErrValue))
			continue
		}
		p.Trust = append(p.Trust, certs[0])
	}
	errs = append(errs, p.addConfig(in)...)
	errs = append(errs, p.addCommandLine(in)...)
	return p, errors.Join(errs...)
}

func (p *Plan) addConfig(in Input) []error {
	p.Policy, p.SysextPolicy = DefaultPolicy(false), DefaultPolicy(false)
	list, err := settings.Parse(ConfigPath, in.Config)
	if err != nil {
		return []error{err}
	}
	var errs []error
	seen := map[string]bool{}
	for _, s := range list {
		where := fmt.Sprintf("%s line %d", ConfigPath, s.Line)
		isList, err := p.setBaked(s.Key, s.Value, in)
		switch {
		case err != nil:
			errs = append(errs, withPlace(err, s.Key, s.Value, where))
		case seen[s.Key] && !isList:
			errs = append(errs, &KeyError{Key: s.Key, Value: s.Value, Where: where, Err: ErrRepeated})
		}
		seen[s.Key] = true
	}
	if !seen["policy"] {
		p.Policy = DefaultPolicy(len(p.Pins) > 0)
	}
	return errs
}

func (p *Plan) addCommandLine(in Input) []error {
	params, initArgs, err := cmdline.Parse(in.CommandLine)
	if err != nil {
		return []error{fmt.Errorf("cannot read the %s: %w", whereCommandLine, err)}
	}
	p.InitArgs = initArgs
	var errs []error
	seen := map[string]bool{}
	p.hasShell, p.hasFetch, p.hasMerge, p.given = in.HasShell, in.HasFetch, in.HasMerge, map[string]bool{}
	quiet := false
	for _, arg := range initArgs {
		if len(p.AllowKeys) > 0 {
			errs = append(errs, &KeyError{Key: "-- " + arg, Where: whereCommandLine, Err: ErrNotAllowed})
		}
	}
	for _, param := range params {
		if !p.allows(param.Key, param.Value) {
			errs = append(errs, &KeyError{Key: param.Key, Value: param.Value, Where: whereCommandLine, Err: ErrNotAllowed})
			continue
		}
		key := strings.ReplaceAll(param.Key, "_", "-")
		if !strings.HasPrefix(key, "ddi.") {
			switch key {
			case "init":
				// As the kernel would have without an initramfs.
				p.InitOS = param.Value
			case "quiet":
				quiet = quiet || !param.HasValue
			case "systemd.import-credentials", "rd.systemd.import-credentials":
				p.NoCredentials = p.NoCredentials || isNo(param.Value)
			}
			p.warnForeign(key, param.Value)
			continue
		}
		if seen[key] {
			errs = append(errs, &KeyError{Key: key, Value: param.Value, Where: whereCommandLine, Err: ErrRepeated})
			continue
		}
		seen[key] = true
		name := strings.TrimPrefix(key, "ddi.")
		p.given[name] = true
		if isBakedOnly(name) {
			errs = append(errs, &KeyError{Key: key, Value: param.Value, Where: whereCommandLine, Err: ErrBakedOnly})
			continue
		}
		if err := p.set(name, param.Value, in); err != nil {
			errs = append(errs, withPlace(err, key, param.Value, whereCommandLine))
		}
	}
	if quiet && !seen["ddi.log"] {
		p.Log = LevelErr
	}
	return errs
}

// allows reports whether the command line may have a key with that value. Without a list it may have all; the list is of everybody's
// keys, the kernel's and the next init's too.
func (p *Plan) allows(key, value string) bool {
	if len(p.AllowKeys) == 0 {
		return true
	}
	return slices.ContainsFunc(p.AllowKeys, func(entry string) bool {
		k, v, one := strings.Cut(entry, "=")
		return cmdline.KeyEqual(k, key) && (!one || v == value)
	})
}

// isNo reports whether systemd takes a value for false.
func isNo(value string) bool {
	is, err := layers.ParseBool(value)
	return err == nil && !is
}

// warnForeign says so where a key of the next init's is known to do harm to it: measured, an OS image that is booted with the
// root hash of itself makes systemd wait 90 seconds for a partition that never comes.
func (p *Plan) warnForeign(key, value string) {
	if key == "roothash" || key == "usrhash" {
		p.Warnings = append(p.Warnings, fmt.Sprintf("%s=%s is read by the next init, which will wait for a partition with that hash; to pin the boot image, say ddi.%s=", key, value, key))
	}
}

func withPlace(err error, key, value, where string) error {
	var ke *KeyError
	if errors.As(err, &ke) {
		ke.Key, ke.Value, ke.Where = key, value, where
		return ke
	}
	return &KeyError{Key: key, Value: value, Where: where, Err: err}
}

func joinText[T ~string](list []T) string {
	words := make([]string, len(list))
	for i, w := range list {
		words[i] = string(w)
	}
	return strings.Join(words, ",")
}

// StopsAt reports whether ddi.break= names the stage.
func (p *Plan) StopsAt(s Stage) bool { return slices.Contains(p.Break, s) }

// CorruptionFor returns what dm-verity does about a corrupt block of an image of kind k.
func (p *Plan) CorruptionFor(k Kind) Corruption {
	if p.Corruption != "" {
		return p.Corruption
	}
	if k == KindOS {
		return CorruptionRestart
	}
	return CorruptionEIO
}

// InitsFor returns the paths to try as next init of an image of kind k, best first.
func (p *Plan) InitsFor(k Kind) []string {
	switch {
	case p.Init != "":
		return []string{p.Init}
	case k == KindInitrd:
		return []string{"/init", "/usr/lib/systemd/systemd", "/sbin/init"}
	case p.InitOS != "":
		return []string{p.InitOS}
	}
	return []string{"/sbin/init", "/usr/lib/systemd/systemd", "/etc/init", "/bin/init"}
}
