// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package attack

import (
	"bytes"
	"cmp"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"

	"github.com/initddi/initddi/internal/ability"
	"github.com/initddi/initddi/internal/alloctest"
	"github.com/initddi/initddi/internal/apply"
	"github.com/initddi/initddi/internal/discover"
	"github.com/initddi/initddi/internal/dmtable"
	"github.com/initddi/initddi/internal/extent"
	"github.com/initddi/initddi/internal/fsprobe"
	"github.com/initddi/initddi/internal/osrelease"
	"github.com/initddi/initddi/internal/plan"
	"github.com/initddi/initddi/internal/resolve"
	"github.com/initddi/initddi/internal/verity"
)

// Desk judges disks without a virtual machine: it runs stage 1's loop with stage 1's code on a captured machine that has the
// disk, and does with packages apply and verity what the kernel would do. It is not safe for concurrent use.
type Desk struct {
	goods   *Goods
	dir     string
	want    []byte // the data of the good image
	release osrelease.Fields
	good    *opened // what is known of the good image
}

// NewDesk makes a desk that works in dir, of which there must be one a desk.
func NewDesk(goods *Goods, dir string) (*Desk, error) {
	d, err := goods.ddi(good)
	if err != nil {
		return nil, err
	}
	desk := &Desk{goods: goods, dir: dir, want: d.part(d.Data)}
	if desk.release, err = osrelease.Parse([]byte("ID=debian\n")); err != nil {
		return nil, err
	}
	desk.good = &opened{facts: &resolve.Image{}, sb: d.Superblock}
	if desk.good.facts.Table, desk.good.facts.Signature, err = discover.ReadDDI(bytes.NewReader(d.B), int64(len(d.B)), arch); err != nil {
		return nil, err
	}
	for _, sub := range []string{"sys/class/block", "dev"} {
		if err := os.MkdirAll(filepath.Join(dir, sub), 0o755); err != nil {
			return nil, err
		}
	}
	return desk, nil
}

// Finding is what came of a disk.
type Finding struct {
	Verdict Verdict
	Layer   Layer
	// Text is the refusal, or what could not be read.
	Text string
}

func (f Finding) String() string { return fmt.Sprintf("%s by %s: %s", f.Verdict, f.Layer, f.Text) }

// Alter returns the case's disk.
func (g *Goods) Alter(c *Case) (_ []byte, err error) {
	b, err := g.Disk(cmp.Or(c.Disk, "plain"))
	if err != nil {
		return nil, err
	}
	return c.Apply(b, g.Keys, func(name string) []byte {
		other, err := g.Image(name)
		must(err)
		return other
	})
}

// Apply returns a good disk altered as the case says. others returns other good images by name.
func (c *Case) Apply(disk []byte, keys *Keys, others func(string) []byte) (_ []byte, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("cannot make the disk of %s: %v", c.Name, r)
		}
	}()
	v, err := newDisk(bytes.Clone(disk))
	if err != nil {
		return nil, err
	}
	v.keys, v.others = keys, others
	if c.DDI != nil {
		d, err := newDDI(v.image(), keys)
		if err != nil {
			return nil, err
		}
		d.Others = others
		c.DDI(d)
		v.setImage(d.B)
	}
	if c.Volume != nil {
		c.Volume(v)
	}
	if bytes.Equal(v.B, disk) && (c.DDI != nil || c.Volume != nil || c.Cmdline == "" && c.Config == nil && c.Trust == nil) {
		return nil, fmt.Errorf("cannot make the disk of %s: nothing was altered", c.Name)
	}
	return v.B, nil
}

// Try alters a disk as the case says and returns what is wrong with what came of it, nothing if it is as it must be.
func (k *Desk) Try(c *Case) (Finding, []string) {
	disk, err := k.goods.Alter(c)
	if err != nil {
		return Finding{}, []string{err.Error()}
	}
	judge := k.judge
	if c.Image {
		judge = k.judgeExtension
	}
	f, err := judge(c, disk)
	if err != nil {
		return f, []string{err.Error()}
	}
	var wrong []string
	verdict, layer := c.direct()
	if f.Verdict != verdict || f.Layer != layer {
		wrong = append(wrong, fmt.Sprintf("it is %s by %s, wanted %s by %s: %s", f.Verdict, f.Layer, verdict, layer, f.Text))
	}
	if c.Says != "" && !strings.Contains(f.Text, c.Says) && c.DirectVerdict == "" {
		wrong = append(wrong, fmt.Sprintf("it says %q, wanted %q in it", f.Text, c.Says))
	}
	return f, wrong
}

// judge boots as far as one can without a kernel.
func (k *Desk) judge(c *Case, disk []byte) (Finding, error) {
	p, err := k.plan(c)
	if err != nil && CommandLine.refuses(err.Error()) {
		return Finding{Refused, CommandLine, err.Error()}, nil
	}
	if err != nil {
		return Finding{}, err
	}
	m, err := k.machine(disk)
	if err != nil {
		return Finding{}, err
	}
	defer m.Sys.Close()
	defer m.Dev.Close()
	facts := &resolve.Facts{Images: map[string]*resolve.Image{}, Settled: true}
	// What is wrong with a disk is for the person who misses it; stage 1 does not stop for it either.
	facts.Partitions, _ = m.Partitions()
	images := map[string]*opened{}
	said := ""
	// Every action but the last leads to another; a loop would be a defect of its own.
	const most = 1000
	for range most {
		if facts.Settings != nil && said == "" {
			p, said = accept(p, facts)
		}
		step := resolve.Next(p, facts)
		switch {
		case step.Refused != nil:
			return refusal(step.Refused), nil
		case step.Do == nil:
			return refusal([]resolve.Refusal{{Err: fmt.Errorf("cannot find %s", step.Missing)}}), nil
		case step.Do.Verb == resolve.Enter:
			f, err := k.entered(images[step.Do.Name()])
			if f.Verdict == Harmless && strings.Contains(said, "refused (settings)") {
				f.Layer, f.Text = Settings, said
			}
			return f, err
		}
		before := alloctest.Allocated()
		if err := k.carryOut(p, m, facts, images, step.Do); err != nil {
			return Finding{}, err
		}
		if used := alloctest.Allocated() - before; used > alloctest.Hostile {
			return Finding{}, fmt.Errorf("cannot accept that %s took %d bytes of memory, at most %d are allowed", step.Do.Verb, used, alloctest.Hostile)
		}
	}
	return Finding{}, fmt.Errorf("cannot judge: no end after %d actions", most)
}

// accept decides about the settings file and returns the plan that results, and what is to be said.
func accept(p *plan.Plan, facts *resolve.Facts) (*plan.Plan, string) {
	next, r := resolve.AcceptSettings(p, facts.Partitions[0].Node, facts.Settings)
	if r != nil {
		return p, r.Error()
	}
	return next, "accepted"
}

// refusal makes the finding of the first refusal, by the layer whose sentence it is.
func refusal(list []resolve.Refusal) Finding {
	text := list[0].Error()
	for _, l := range []Layer{Partition, FileSystem, Found, File, Table, Beside, Document, Partitions, Signature, RootHash, Policy, Denied, Pin, Superblock, Content, Verity, Identity, Init} {
		if l.refuses(text) {
			return Finding{Refused, l, text}
		}
	}
	return Finding{Refused, "", text}
}

// plan makes what stage 1 was told.
func (k *Desk) plan(c *Case) (*plan.Plan, error) {
	hash, err := k.goods.rootHash()
	if err != nil {
		return nil, err
	}
	var bad error
	fill := func(s string) string {
		s = strings.ReplaceAll(s, "{roothash}", hash)
		if _, rest, ok := strings.Cut(s, "{certificate "); ok {
			name, _, _ := strings.Cut(rest, "}")
			fp, err := k.goods.fingerprint(name)
			bad = errors.Join(bad, err)
			s = strings.ReplaceAll(s, "{certificate "+name+"}", fp)
		}
		return s
	}
	in := ability.Set{}.Input()
	in.CommandLine, in.Config = fill(c.Cmdline), []byte("id=debian\n")
	for _, line := range c.Config {
		in.Config = append(in.Config, fill(line)+"\n"...)
	}
	if bad != nil {
		return nil, bad
	}
	trust := c.Trust
	if trust == nil {
		trust = []string{good}
	}
	for _, name := range trust {
		pair, err := k.goods.Keys.Pair(name)
		if err != nil {
			return nil, err
		}
		pem, err := os.ReadFile(pair.Cert)
		if err != nil {
			return nil, err
		}
		in.Certificates = append(in.Certificates, plan.CertificateFile{Name: name + ".crt", PEM: pem})
	}
	return plan.New(in)
}

// machine captures a machine with the disk. The kernel sees the ESP where the good disk has it.
func (k *Desk) machine(disk []byte) (*discover.Machine, error) {
	const base = "devices/pci0000:00/0000:00:01.0/block/vda"
	start, size := espStart, len(disk)-2*espStart
	for _, f := range []struct {
		name string
		data []byte
	}{
		{"sys/" + base + "/size", number(len(disk) / sector)},
		{"sys/" + base + "/queue/logical_block_size", number(sector)},
		{"sys/" + base + "/vda1/partition", number(1)},
		{"sys/" + base + "/vda1/start", number(start / sector)},
		{"sys/" + base + "/vda1/size", number(size / sector)},
		{"dev/vda1", disk[start : start+size]},
	} {
		name := filepath.Join(k.dir, f.name)
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			return nil, err
		}
		if err := os.WriteFile(name, f.data, 0o644); err != nil {
			return nil, err
		}
	}
	if err := k.ends(disk); err != nil {
		return nil, err
	}
	for name, target := range map[string]string{"vda": "../../" + base, "vda1": "../../" + base + "/vda1"} {
		if err := os.Symlink(target, filepath.Join(k.dir, "sys/class/block", name)); err != nil && !errors.Is(err, os.ErrExist) {
			return nil, err
		}
	}
	m := &discover.Machine{Patience: discover.Timeout} // a file answers, however busy the machine is
	var err error
	if m.Sys, err = os.OpenRoot(filepath.Join(k.dir, "sys")); err != nil {
		return nil, err
	}
	m.Dev, err = os.OpenRoot(filepath.Join(k.dir, "dev"))
	return m, err
}

// ends writes the disk's device without what lies in its partition: of that there is a device of its own.
func (k *Desk) ends(disk []byte) error {
	f, err := os.Create(filepath.Join(k.dir, "dev/vda"))
	if err != nil {
		return err
	}
	defer f.Close()
	if err := f.Truncate(int64(len(disk))); err != nil {
		return err
	}
	for _, at := range []int{0, len(disk) - espStart} {
		if _, err := f.WriteAt(disk[at:at+espStart], int64(at)); err != nil {
			return err
		}
	}
	return f.Close()
}

// espStart is where esp.Build puts the ESP; as much room is behind it.
const espStart = 1 << 20

func number(n int) []byte { return []byte(strconv.Itoa(n) + "\n") }

// opened is an image behind a checked root hash.
type opened struct {
	facts      *resolve.Image
	data, hash io.ReaderAt
	sb         *verity.Superblock
}

// carryOut does what stage 1 does for an action, as far as it needs no kernel.
func (k *Desk) carryOut(p *plan.Plan, m *discover.Machine, facts *resolve.Facts, images map[string]*opened, a *resolve.Action) error {
	part := &facts.Partitions[0]
	img := facts.Images[a.Name()]
	candidate := a.Name()
	switch a.Verb {
	case resolve.ListPartition:
		part.Listing = m.List(*part, a.Dirs)
	case resolve.ReadSettings:
		facts.Settings = m.ReadSettings(*part, a.Image)
	case resolve.ReadImage:
		facts.Images[a.Name()] = m.ReadImage(*part, arch, a.Image)
	case resolve.Verify:
		img.Authentic, img.Refusal = resolve.Authenticate(p, candidate, arch, img)
	case resolve.Attach:
		dev, err := os.Open(filepath.Join(k.dir, "dev", part.Node))
		if err != nil {
			return err
		}
		// Until the desk's directory goes: readers outlive this function.
		up, err := attach(dev, part, img)
		if err != nil {
			img.Err = err
			return dev.Close()
		}
		images[a.Name()], img.Device = up, "dm"
	case resolve.Mount:
		up := images[a.Name()]
		r, err := verity.NewReader(up.data, up.hash, up.sb, img.Authentic.RootHash)
		if err == nil {
			var fs fsprobe.FS
			if fs, err = fsprobe.Probe(r, up.sb.DataSize()); err != nil {
				err = fmt.Errorf("cannot recognise the file system of the image: %w", err)
			}
			// What the tree says of itself, nobody here can read: that is for the boots.
			img.Tree = &resolve.Tree{Designator: img.Authentic.Designator, FileSystem: fs.Type, Kind: plan.KindOS, HasOS: true, OSRelease: k.release, Init: "/sbin/init"}
		}
		var corrupt *verity.CorruptError
		switch {
		case errors.As(err, &corrupt):
			img.Refusal = &resolve.Refusal{Candidate: candidate, Rule: resolve.RuleVerity, Err: err, Found: "a block that is not what was signed", Wanted: "root hash " + hex.EncodeToString(img.Authentic.RootHash)}
		case err != nil:
			img.Err = err
		}
	case resolve.Discard:
		img.Device = ""
	}
	return nil
}

// attach is apply.Attach without the kernel.
func attach(dev io.ReaderAt, part *resolve.Partition, img *resolve.Image) (*opened, error) {
	file := extent.NewReader(dev, img.Extents)
	a := img.Authentic
	sb, err := apply.Superblock(file, a.Data, a.Hash, a.RootHash)
	if err != nil {
		return nil, err
	}
	section := func(r dmtable.Region) *io.SectionReader { return io.NewSectionReader(file, r.Offset, r.Length) }
	data, hash := section(a.Data), section(a.Hash)
	_, _, err = dmtable.Linear("7:0", img.Extents, dmtable.Region{Offset: a.Data.Offset, Length: sb.DataSize()},
		dmtable.Region{Offset: a.Hash.Offset, Length: sb.HashTreeSize()}, part.SectorSize, int64(sb.HashBlockSize))
	if err != nil && !errors.Is(err, dmtable.ErrUnaligned) && !errors.Is(err, dmtable.ErrFragmented) {
		return nil, err
	}
	// Its length is part of what the kernel demands of the root hash.
	if _, err := sb.Table("7:0", "7:0", img.Authentic.RootHash); err != nil {
		return nil, err
	}
	return &opened{img, data, hash, sb}, nil
}

// entered reads all of the data, as the booted system would in time.
func (k *Desk) entered(up *opened) (Finding, error) {
	err := verity.Verify(up.data, up.hash, up.sb, up.facts.Authentic.RootHash, nil)
	var corrupt *verity.CorruptError
	switch {
	case errors.As(err, &corrupt):
		return Finding{Contained, Late, err.Error()}, nil
	case err != nil:
		return Finding{}, err
	}
	got := make([]byte, up.sb.DataSize())
	if _, err := up.data.ReadAt(got, 0); err != nil {
		return Finding{}, err
	}
	if len(got) < len(k.want) && bytes.Equal(got, k.want[:len(got)]) {
		return Finding{Contained, Late, fmt.Sprintf("the device ends after %d of %d bytes", len(got), len(k.want))}, nil
	}
	if !bytes.Equal(got, k.want) {
		return Finding{"accepted", Accepted, "false data was accepted"}, nil
	}
	if t := up.facts.Table; t != nil && t.Backup {
		return Finding{Harmless, Backup, up.facts.Table.PrimaryErr.Error()}, nil
	}
	if k.same(up) {
		return Finding{Harmless, Unread, "all that is known of it is what is known of the good image"}, nil
	}
	return Finding{Harmless, Accepted, "all data is what was signed"}, nil
}

// same reports whether what stage 1 knows of an image is what it knows of the good one.
func (k *Desk) same(up *opened) bool {
	return reflect.DeepEqual(up.sb, k.good.sb) && reflect.DeepEqual(up.facts.Table, k.good.facts.Table) && reflect.DeepEqual(up.facts.Signature, k.good.facts.Signature)
}
