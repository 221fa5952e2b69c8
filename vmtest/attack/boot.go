// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package attack

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/initddi/initddi/internal/extent"
	"github.com/initddi/initddi/internal/fat"
	"github.com/initddi/initddi/internal/verity"
	"github.com/initddi/initddi/vmtest"
	"github.com/initddi/initddi/vmtest/guest"
)

// Booth boots cases in virtual machines.
type Booth struct {
	module, build string
	say           func(string)
	keys          *Keys
	workshop      *vmtest.Workshop

	mu     sync.Mutex
	others map[string][]byte
}

// images of the machines: the good ones first.
const (
	goodImage  = "payload"
	otherImage = "payload-other"
)

// NewBooth makes a booth for the module whose sources are in module, with a directory of its own below build. say is told what
// takes time.
func NewBooth(module, build string, say func(string)) *Booth {
	return &Booth{module: module, build: build, say: say, keys: &Keys{Dir: filepath.Join(build, name, "keys")}, others: map[string][]byte{}}
}

// name is that of the program that boots these cells.
const name = "tamper"

// Open opens the workshop, which has to be done before a cell boots. It waits until no other process has it open.
func (b *Booth) Open() (err error) {
	b.workshop, err = vmtest.NewWorkshop(b.module, b.build, vmtest.Program{Name: name, Images: images(), Stages: stages(), Pair: b.keys.Pair}, b.say)
	return err
}

// RunAll boots the cells, at most parallel at a time, and writes a row for each to out as it ends.
func (b *Booth) RunAll(ctx context.Context, cells []vmtest.Cell, parallel int, out io.Writer) *vmtest.Summary {
	return b.workshop.RunAll(ctx, cells, parallel, out)
}

// Cells returns all boots: those of the cases that are boots, and those that only boots can show.
func (b *Booth) Cells() []vmtest.Cell {
	var out []vmtest.Cell
	for _, c := range Cases() {
		if c.Boot {
			out = append(out, b.cell(&c))
		}
	}
	return append(out, b.bootCells()...)
}

// VerdictOf returns the verdict that a boot must end in, in this package's words.
func VerdictOf(c *vmtest.Cell) Verdict {
	switch {
	case c.Verdict == vmtest.Refused:
		return Refused
	case Layer(c.Layer) == Late:
		return Contained
	}
	return Harmless
}

// onDisk is a good disk as package vmtest makes it, with an image in the good one's place.
func onDisk(name, image string) vmtest.Disk {
	how := bootDisks()[name]
	return vmtest.Disk{FATType: how.fat, ESPSize: how.size, ClusterSize: how.cluster, Fragments: how.fragments, Place: []vmtest.Place{
		{Path: "/" + imagePath, Image: image}, {Path: "/loader/entry.txt", Text: "something that is no image\n"},
	}}
}

// bootDisks are the good disks of machines, whose images hold a program and so are larger.
func bootDisks() map[string]goodDisk {
	return map[string]goodDisk{
		"plain":     {fat: 12, size: 15 << 20, cluster: 4096},
		"fat16":     {fat: 16, size: 24 << 20, cluster: 2048},
		"fat32":     {fat: 32, size: 40 << 20, cluster: 512},
		"fragments": {fat: 12, size: 15 << 20, cluster: 4096, fragments: 100},
		"large":     {fat: 32, size: 4400 << 20, cluster: 32 << 10},
	}
}

// stageOf returns the stage 1 that a case needs.
func stageOf(c *Case) (vmtest.Stage1, bool) {
	if c.Trust == nil && c.Config == nil {
		return vmtest.Stage1{}, false
	}
	s := vmtest.Stage1{Name: "for-" + c.Name, Trust: c.Trust, Set: []string{"id=debian"}}
	for _, line := range c.Config {
		s.Set = append(s.Set, strings.ReplaceAll(line, "{roothash}", "{roothash "+goodImage+"}"))
	}
	return s, true
}

// cell makes the boot of a case.
func (b *Booth) cell(c *Case) vmtest.Cell {
	disk := cmp.Or(c.Disk, "plain")
	cell := vmtest.Cell{Name: c.Name, Group: c.Group, Doc: c.Doc, Test: c.Test, Layer: string(c.Layer),
		Cmdline: strings.ReplaceAll(c.Cmdline, "{roothash}", "{roothash "+goodImage+"}"), Disks: []vmtest.Disk{onDisk(disk, goodImage)}}
	if s, ok := stageOf(c); ok {
		cell.Stage1 = s.Name
	}
	var altered []byte
	if c.DDI != nil || c.Volume != nil {
		cell.Disks[0].Alter = func(file string) error {
			disk, err := os.ReadFile(file)
			if err != nil {
				return err
			}
			if altered, err = c.Apply(disk, b.keys, b.other); err != nil {
				return err
			}
			return os.WriteFile(file, altered, 0o644)
		}
	}
	switch c.Verdict {
	case Refused:
		refused(&cell, c.Layer, c.Says)
	case Contained:
		cell.Cmdline = strings.TrimSpace("ddi.corruption=eio " + cell.Cmdline)
		contained(&cell, func() (*guest.PayloadFacts, error) { return expected(altered) })
	case Harmless:
		entered(&cell)
		if c.Layer == Backup {
			cell.Must = append([]string{"by the backup of its partition table"}, cell.Must...)
		}
		if c.Layer == Settings {
			cell.Must = append([]string{"refused (settings): ", c.Says, ": it changes nothing"}, cell.Must...)
		}
	}
	return cell
}

// other returns another good image by the name that generators know it by.
func (b *Booth) other(name string) []byte {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.others[name] == nil {
		path, err := b.workshop.Image(context.Background(), "payload-"+name)
		must(err)
		b.others[name], err = os.ReadFile(path)
		must(err)
	}
	return b.others[name]
}

// refused has a boot be refused by a layer, which says so first.
func refused(cell *vmtest.Cell, layer Layer, says string) {
	cell.Verdict, cell.Layer = vmtest.Refused, string(layer)
	cell.Must = append(cell.Must, "cannot boot:")
	cell.MustNot = append(cell.MustNot, guest.Sentence)
	if layer == Partition {
		cell.Cmdline = strings.TrimSpace(cell.Cmdline + " ddi.timeout=5")
	}
	cell.Look = func(console string) []string {
		for line := range strings.Lines(console) {
			if !strings.Contains(line, " refused (") && !strings.Contains(line, "cannot use ddi.") && !strings.Contains(line, "cannot find the only") {
				continue
			}
			if strings.Contains(line, "refused (settings)") {
				continue // which changes nothing
			}
			if !layer.refuses(line) || !strings.Contains(line, says) {
				return []string{fmt.Sprintf("it was refused by %q, wanted %s to say %q", strings.TrimSpace(line), layer, says)}
			}
			return nil
		}
		return []string{"nothing says what was refused and why"}
	}
}

// entered has a boot be entered, and all data be what was signed.
func entered(cell *vmtest.Cell) {
	cell.Verdict = vmtest.Entered
	cell.Must = append(cell.Must, "entering vda1:/", guest.Sentence)
	cell.MustNot = append(cell.MustNot, "is corrupted")
	cell.Check = payloadIs(func() (*guest.PayloadFacts, error) { return intact(), nil })
}

// contained has a boot be entered, and exactly those blocks of the payload fail that are not what was signed.
func contained(cell *vmtest.Cell, want func() (*guest.PayloadFacts, error)) {
	cell.Verdict = vmtest.Entered
	if cell.Layer == "" {
		cell.Layer = string(Late)
	}
	cell.Must = append(cell.Must, "entering vda1:/", guest.Sentence, "is corrupted")
	cell.Check = payloadIs(want)
}

// intact is what a good image gives.
func intact() *guest.PayloadFacts {
	sum := sha256.Sum256(guest.Payload())
	return &guest.PayloadFacts{SHA256: hex.EncodeToString(sum[:])}
}

// without is what an image gives of which some blocks cannot be read.
func without(bad []int) *guest.PayloadFacts {
	h := sha256.New()
	for n := range guest.PayloadBlocks {
		b := guest.PayloadBlock(n)
		if slices.Contains(bad, n) {
			clear(b)
		}
		h.Write(b)
	}
	return &guest.PayloadFacts{Bad: bad, SHA256: hex.EncodeToString(h.Sum(nil))}
}

// payloadIs judges what the init got of the payload.
func payloadIs(want func() (*guest.PayloadFacts, error)) func(*guest.Facts) []string {
	return func(f *guest.Facts) []string {
		w, err := want()
		switch {
		case err != nil:
			return []string{err.Error()}
		case f.Payload == nil:
			return []string{"the init did not read the payload"}
		case !around(f.Payload.Bad, w.Bad):
			return []string{fmt.Sprintf("the blocks %v of the payload cannot be read (%q), wanted %v", f.Payload.Bad, f.Payload.Errors, w.Bad)}
		case f.Payload.SHA256 != without(f.Payload.Bad).SHA256:
			return []string{"the init got false data: the payload's SHA-256 is " + f.Payload.SHA256 + ", wanted " + without(f.Payload.Bad).SHA256}
		case len(w.Bad) > 0 && !slices.Equal(f.Payload.Errors, []string{"read " + guest.PayloadPath + ": input/output error"}):
			return []string{fmt.Sprintf("reading the payload fails with %q, wanted an I/O error", f.Payload.Errors)}
		}
		return nil
	}
}

// around reports whether all bad blocks could not be read, and with them only their neighbours: the kernel reads, and fails, as many
// blocks at a time as it keeps in one folio.
func around(got, bad []int) bool {
	const folio = 32
	for _, b := range bad {
		if !slices.Contains(got, b) {
			return false
		}
	}
	for _, g := range got {
		if !slices.ContainsFunc(bad, func(b int) bool { return max(b-g, g-b) < folio }) {
			return false
		}
	}
	return true
}

// expected finds, without a kernel, which blocks of the payload of the image on an altered disk are not what was signed.
func expected(disk []byte) (*guest.PayloadFacts, error) {
	esp := disk[espStart : len(disk)-espStart]
	vol, err := fat.Open(bytes.NewReader(esp), int64(len(esp)))
	if err != nil {
		return nil, err
	}
	e, err := vol.Stat(imagePath)
	if err != nil {
		return nil, err
	}
	list, err := vol.Extents(e)
	if err != nil {
		return nil, err
	}
	b := make([]byte, e.Size)
	if _, err := extent.NewReader(bytes.NewReader(esp), list).ReadAt(b, 0); err != nil {
		return nil, err
	}
	return unverified(b)
}

// unverified is that for an image whose partitions are where the good one has them.
func unverified(image []byte) (*guest.PayloadFacts, error) {
	d, err := newDDI(image, nil)
	if err != nil {
		return nil, err
	}
	r, err := verity.NewReader(bytes.NewReader(d.part(d.Data)), bytes.NewReader(d.part(d.Hash)), d.Superblock, d.RootHash)
	if err != nil {
		return nil, err
	}
	// Where the payload begins is where any of its blocks is that can still be found.
	for n := range guest.PayloadBlocks {
		i := bytes.Index(d.part(d.Data), guest.PayloadBlock(n))
		if i < 0 || i%block != 0 {
			continue
		}
		start := int64(i - n*block)
		var bad []int
		for m := range guest.PayloadBlocks {
			if _, err := r.ReadAt(make([]byte, block), start+int64(m)*block); err != nil {
				bad = append(bad, m)
			}
		}
		return without(bad), nil
	}
	return nil, fmt.Errorf("cannot find the payload in the image")
}
