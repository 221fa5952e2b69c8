// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package plan

import (
	"encoding/hex"
	"fmt"
	"math"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/initddi/initddi/internal/guid"
	"github.com/initddi/initddi/internal/signature"
	"github.com/initddi/initddi/internal/tpm2"
)

// Values of the keys that take a word.
type (
	// Source is a place images come from.
	Source string
	// Attach is how the image's bytes are reached.
	Attach string
	// Corruption is what dm-verity does when a block is not what was signed.
	Corruption string
	// Level is what reaches the console; the kernel's log gets all.
	Level string
	// Fail is what becomes of the machine after the last candidate was refused.
	Fail string
	// Stage is a point at which ddi.break= stops.
	Stage string
	// Rollback is whether a floor in the TPM keeps old images from being entered.
	Rollback string
	// Kind is what a boot image is.
	Kind string
	// Overlay is what is written to where the image is not.
	Overlay string
)

// The words themselves.
const (
	SourceESP    Source = "esp"
	SourceInitrd Source = "initrd" // in memory, as a file of the initramfs
	SourcePmem   Source = "pmem"   // in memory, as a device
	SourceHTTP   Source = "http"
	SourceNBD    Source = "nbd"

	AttachDirect Attach = "direct"
	AttachCopy   Attach = "copy"

	CorruptionRestart Corruption = "restart"
	CorruptionEIO     Corruption = "eio"
	CorruptionPanic   Corruption = "panic"

	LevelErr   Level = "err"
	LevelInfo  Level = "info"
	LevelDebug Level = "debug"

	FailReboot   Fail = "reboot"
	FailPowerOff Fail = "poweroff"
	FailHalt     Fail = "halt"
	FailShell    Fail = "shell"

	StageStorage Stage = "storage"
	StageVerify  Stage = "verify"
	StageMount   Stage = "mount"
	StageMerge   Stage = "merge"
	StageHandoff Stage = "handoff"

	RollbackNo       Rollback = "no"
	RollbackYes      Rollback = "yes"
	RollbackRequired Rollback = "required"

	OverlayNo    Overlay = "no"
	OverlayTmpfs Overlay = "tmpfs"

	KindOS     Kind = "os"
	KindInitrd Kind = "initrd"
)

// Stages returns the points at which ddi.break= can stop, in order.
func Stages() []Stage {
	return []Stage{StageStorage, StageVerify, StageMount, StageMerge, StageHandoff}
}

// DMOption returns dm-verity's optional argument for c, empty for its default.
func (c Corruption) DMOption() string {
	switch c {
	case CorruptionRestart:
		return "restart_on_corruption"
	case CorruptionPanic:
		return "panic_on_corruption"
	}
	return ""
}

// isBakedOnly reports whether the key says what is acceptable, which the command line may not.
func isBakedOnly(name string) bool {
	switch name {
	case "pin", "id", "image-id", "kind", "min-version", "deny-cert", "deny-roothash", "rollback", "rollback-index", "allow-key":
		return true
	}
	return false
}

// setBaked takes a line of stage1.conf: the keys that only it may have, and defaults for the command line's. isList says
// that the key may stand there several times.
func (p *Plan) setBaked(name, value string, in Input) (isList bool, err error) {
	switch name {
	case "pin":
		hash, err := rootHash(value)
		p.Pins = append(p.Pins, hash)
		return true, err
	case "deny-roothash":
		hash, err := rootHash(value)
		p.DenyRootHash = append(p.DenyRootHash, hash)
		return true, err
	case "deny-cert":
		b, err := hex.DecodeString(value)
		if err != nil || len(b) != 32 {
			return true, bad("the SHA-256 of a certificate's DER form, 64 hexadecimal digits")
		}
		p.DenyCerts = append(p.DenyCerts, [32]byte(b))
		return true, nil
	case "rollback":
		return false, word(&p.Rollback, value, RollbackNo, RollbackYes, RollbackRequired)
	case "rollback-index":
		n, err := strconv.ParseUint(strings.TrimPrefix(value, "0x"), 16, 32)
		if err != nil || !strings.HasPrefix(value, "0x") || n>>24 != 1 {
			return false, bad("the handle of an NV index, 0x01000000 to 0x01ffffff")
		}
		p.RollbackIndex = tpm2.Handle(n)
		return false, nil
	case "allow-key":
		if value == "" || value[0] == '=' || strings.ContainsAny(value, " \"") {
			return true, bad("a key of the kernel command line, or KEY=VALUE")
		}
		p.AllowKeys = append(p.AllowKeys, value)
		return true, nil
	case "id":
		return false, nonEmpty(&p.Identity.ID, value)
	case "image-id":
		return false, nonEmpty(&p.Identity.ImageID, value)
	case "min-version":
		return false, nonEmpty(&p.Identity.MinVersion, value)
	case "policy":
		return false, bakePolicy(&p.Policy, value)
	case "sysext-policy":
		return false, bakePolicy(&p.SysextPolicy, value)
	case "kind":
		return false, word(&p.Identity.Kind, value, KindOS, KindInitrd)
	case "measure":
		return false, p.setMeasure(value, true)
	}
	if isBakedOnly(name) {
		return false, ErrNotHere
	}
	return false, p.set(name, value, in)
}

// set takes one of the keys that the command line and stage1.conf share, without "ddi.".
func (p *Plan) set(name, value string, in Input) error {
	var err error
	switch name {
	case "roothash":
		p.RootHash, err = rootHash(value)
	case "usrhash":
		p.UsrHash, err = rootHash(value)
	case "image":
		return p.setImage(value)
	case "attempts":
		p.Attempts, err = attempts(value)
	case "source":
		return p.setSources(value, in)
	case "device":
		return p.setDevice(value)
	case "attach":
		return word(&p.Attach, value, AttachDirect, AttachCopy)
	case "corruption":
		return word(&p.Corruption, value, CorruptionRestart, CorruptionEIO, CorruptionPanic)
	case "init":
		if !path.IsAbs(value) || path.Clean(value) != value {
			return bad("an absolute path")
		}
		p.Init = value
	case "timeout":
		p.Timeout, err = timeSpan(value)
	case "log":
		return word(&p.Log, value, LevelInfo, LevelDebug, LevelErr)
	case "fail":
		if value == string(FailShell) && !in.HasShell {
			return errNoShell
		}
		return word(&p.Fail, value, FailReboot, FailPowerOff, FailHalt, FailShell)
	case "break":
		if err := words(&p.Break, value, Stages()...); err != nil {
			return err
		}
		if !in.HasShell {
			return errNoShell
		}
	case "measure":
		return p.setMeasure(value, false)
	case "overlay":
		if value == string(OverlayTmpfs) && !in.HasMerge {
			return noMerge()
		}
		return word(&p.Overlay, value, OverlayNo, OverlayTmpfs)
	case "merge":
		return p.setMerge(value, in)
	case "policy":
		p.PolicyParts, err = narrowPolicy(&p.Policy, value)
	case "sysext-policy":
		p.SysextPolicyParts, err = narrowPolicy(&p.SysextPolicy, value)
	case "url":
		p.URLs, err = urls(value)
	case "ip":
		p.Network, err = ParseNetwork(value)
	default:
		return ErrUnknownKey
	}
	return err
}

// noMerge says that an overlay is asked for where nothing was built in that makes one.
func noMerge() error {
	return &KeyError{Allowed: "only no: what makes overlays was not built into it", Err: ErrNotHere}
}

func (p *Plan) setMerge(value string, in Input) error {
	const yes, no = "yes", "no"
	if value == yes && !in.HasMerge {
		return noMerge()
	}
	var merge string
	if err := word(&merge, value, yes, no); err != nil {
		return err
	}
	p.Merge, p.CannotMerge = merge == yes, false
	return nil
}

func (p *Plan) setImage(value string) error {
	if value == "" || strings.ContainsFunc(value, func(r rune) bool { return r < ' ' || r == 0x7f }) || slices.Contains(strings.Split(value, "/"), "..") {
		return bad("a file name, a path from the partition's root, or a glob of either")
	}
	if _, err := path.Match(value, ""); err != nil {
		return bad("a file name, a path from the partition's root, or a glob of either")
	}
	p.Image = value
	return nil
}

func (p *Plan) setDevice(value string) error {
	const allowed = "PARTUUID=, PARTLABEL=, LABEL= or /dev/NAME"
	tag, rest, found := strings.Cut(value, "=")
	var d Device
	switch {
	case found && strings.EqualFold(tag, "PARTUUID"):
		id, err := guid.Parse(rest)
		if err != nil || id.IsZero() {
			return bad(allowed)
		}
		d.PartUUID = id
	case found && strings.EqualFold(tag, "PARTLABEL") && rest != "":
		d.PartLabel = rest
	case found && strings.EqualFold(tag, "LABEL") && rest != "":
		d.Label = rest
	case strings.HasPrefix(value, "/dev/") && path.Clean(value) == value && value != "/dev":
		d.Node = strings.TrimPrefix(value, "/dev/")
	default:
		return bad(allowed)
	}
	p.Device = d
	return nil
}

// errNoShell says that a shell is asked for where none was built in.
var errNoShell = fmt.Errorf("no shell was built into it: %w", ErrNotHere)

// bad makes the error for a value outside the grammar that allowed describes; the caller adds key and place.
func bad(allowed string) error { return &KeyError{Allowed: allowed, Err: ErrValue} }

func nonEmpty(to *string, value string) error {
	if value == "" {
		return bad("a text")
	}
	*to = value
	return nil
}

func word[T ~string](to *T, value string, allowed ...T) error {
	if !slices.Contains(allowed, T(value)) {
		return bad("one of " + joinText(allowed))
	}
	*to = T(value)
	return nil
}

func words[T ~string](to *[]T, value string, allowed ...T) error {
	var list []T
	for _, w := range strings.Split(value, ",") {
		if !slices.Contains(allowed, T(w)) || slices.Contains(list, T(w)) {
			return bad("a list without repetition out of " + joinText(allowed))
		}
		list = append(list, T(w))
	}
	*to = list
	return nil
}

// rootHash reads a root hash, in a key's own words.
func rootHash(value string) ([]byte, error) {
	b, err := signature.RootHashOf(value)
	if err != nil {
		return nil, bad("a whole root hash: 64, 96 or 128 hexadecimal digits")
	}
	return b, nil
}

// attempts reads how often an image may be entered without coming up well: 1 to 200, or no.
func attempts(value string) (int, error) {
	if value == "no" {
		return 0, nil
	}
	n, err := strconv.ParseUint(value, 10, 8)
	if err != nil || n == 0 || n > 200 {
		return 0, bad("a number from 1 to 200, or no")
	}
	return int(n), nil
}

// timeSpan reads seconds, or a number with one of systemd.time(7)'s units ms, s, min, or infinity.
func timeSpan(value string) (time.Duration, error) {
	const allowed = "seconds, or a number with ms, s or min, or infinity"
	if value == "infinity" {
		return math.MaxInt64, nil
	}
	unit := time.Second
	digits := value
	for _, u := range []struct {
		suffix string
		unit   time.Duration
	}{{"min", time.Minute}, {"ms", time.Millisecond}, {"s", time.Second}} {
		if rest, ok := strings.CutSuffix(value, u.suffix); ok {
			digits, unit = rest, u.unit
			break
		}
	}
	n, err := strconv.ParseUint(digits, 10, 32)
	if err != nil || n == 0 || n > uint64(math.MaxInt64/unit) {
		return 0, bad(allowed)
	}
	return time.Duration(n) * unit, nil
}
