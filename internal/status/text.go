// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package status

import (
	"cmp"
	"fmt"
	"io"
	"strings"

	"github.com/initddi/initddi/internal/linux/kmsg"
	"github.com/initddi/initddi/internal/report"
)

// Print writes the status for people, in colours if somebody sees them.
func (st *Status) Print(w io.Writer, colours bool) {
	p := printer{w, colours}
	b := &st.boot
	if b.Chosen != nil {
		p.image(b.Chosen)
	}
	p.started(b)
	if st.Record != nil {
		colour := yellow
		if st.Record.Good {
			colour = green
		}
		what, _, _ := strings.Cut(st.Record.String(), ": ")
		switch {
		case !st.Record.Recorded:
			what, colour = "nobody counts attempts, or this machine has nowhere to", plain
		case !st.Record.Good:
			what += fmt.Sprintf(": entered %d times without being blessed since", st.Record.Attempts)
		}
		p.field("Came Up", colour, what)
	}
	p.field("Before It", red, before(b.LastFailure))
	for _, c := range st.Crashes {
		p.field("Crash Log", red, c)
	}
	p.rest(b)
	for _, e := range b.Extensions {
		p.field("Extension", plain, fmt.Sprintf("%s %s, %s%s, signed by %s", e.Class, e.Name, e.Path, inMemory(e.Source), e.Signer))
	}
	for _, e := range b.LeftOut {
		p.field("Left Out", yellow, refusal(e))
	}
	for _, e := range b.Refused {
		p.field("Refused", yellow, refusal(e))
	}
	for _, s := range b.Warnings {
		p.field("Warning", yellow, s)
	}
	for _, s := range st.Problems {
		p.field("Problem", red, s)
	}
	if len(st.Spans) > 0 {
		fmt.Fprintln(w)
		p.spans(st.Spans)
	}
	if len(b.Stages) > 0 {
		fmt.Fprintln(w)
		p.stages(b.Stages)
	}
}

// refusal is what a report has of one; a report of before there was a text has none.
func refusal(e report.Entry) string { return cmp.Or(e.Text, e.Candidate+" ("+e.Rule+")") }

func before(failure string) string {
	if failure == "" {
		return ""
	}
	return "the boot before this one " + failure
}

// The colours, as a terminal is told.
const (
	plain  = ""
	red    = "\x1b[31m"
	green  = "\x1b[32m"
	yellow = "\x1b[33m"
	blue   = "\x1b[34m"
)

type printer struct {
	w       io.Writer
	colours bool
}

// printable is a text that cannot control a terminal: a part of it is names that somebody wrote on the boot partition.
func printable(s string) string { return strings.Join(kmsg.Split(s), " ") }

func (p printer) paint(colour, s string) string {
	if !p.colours || colour == plain || s == "" {
		return s
	}
	return colour + s + "\x1b[0m"
}

// field writes a named value, and nothing for one that is empty.
func (p printer) field(name, colour, value string) {
	if value != "" {
		fmt.Fprintf(p.w, "%10s: %s\n", name, p.paint(colour, printable(value)))
	}
}

func (p printer) image(c *report.Chosen) {
	p.field("Entered", plain, Entered(c))
	if len(c.Beside) > 0 {
		p.field("Beside It", plain, strings.Join(c.Beside, ", "))
	}
	p.field("Image", plain, strings.Join(filled(c.Kind, c.FileSystem, c.ID, c.ImageID, c.Version), ", "))
	p.field("Root Hash", plain, c.RootHash)
	switch {
	case c.Signer != "" && c.Pinned:
		p.field("Accepted", plain, fmt.Sprintf("signed by %s, certificate %s, and pinned", c.Signer, c.SignerHash))
	case c.Signer != "":
		p.field("Accepted", plain, fmt.Sprintf("signed by %s, certificate %s", c.Signer, c.SignerHash))
	case c.Pinned:
		p.field("Accepted", plain, "by its root hash, which was built into stage 1")
	default:
		p.field("Accepted", yellow, "by the policy that was built into stage 1, without signature or pin")
	}
	device := "/dev/mapper/" + c.Device
	if c.Copied {
		device += ", copied into memory"
	}
	p.field("Device", plain, device+"; on a block that is not what was signed: "+c.Corruption)
	p.field("Init", plain, c.Init)
	if c.Overlay == "tmpfs" {
		p.field("Writes", plain, "go into memory, and are gone at the next boot")
	}
}

func inMemory(source string) string {
	if source == "initrd" {
		return " in memory"
	}
	return ""
}

// filled are the strings that are not empty.
func filled(all ...string) (out []string) {
	for _, s := range all {
		if s != "" {
			out = append(out, s)
		}
	}
	return out
}

// started says who started stage 1.
func (p printer) started(b *report.Boot) {
	by := cmp.Or(b.UKI, "no EFI variable says by what")
	switch {
	case b.SecureBoot == nil:
	case *b.SecureBoot:
		by += ", Secure Boot on"
	default:
		by += ", Secure Boot off"
	}
	p.field("Started", plain, by)
	p.field("Stage 1", plain, fmt.Sprintf("initddi %s on Linux %s", b.Release, b.Kernel))
}

// rest is what most boots have nothing of.
func (p printer) rest(b *report.Boot) {
	if s := b.Settings; s != nil {
		by := "nobody signed it"
		if s.Signer != "" {
			by = "signed by " + s.Signer
		}
		if s.Accepted {
			p.field("Settings", plain, s.Path+", "+by)
		} else {
			p.field("Settings", yellow, s.Path+" refused: "+s.Refusal)
		}
	}
	if n := b.Network; n != nil {
		p.field("Network", plain, n.Interface+" by "+n.How)
	}
	if r := b.Rollback; r != nil {
		p.field("Rollback", plain, fmt.Sprintf("floor %d (%s), this image has level %d", r.Floor, r.State, r.Level))
	}
	for _, m := range b.Measured {
		p.field("Measured", plain, fmt.Sprintf("PCR %d: %s (%s)", m.PCR, m.Text, strings.Join(m.Banks, ", ")))
	}
	if b.Unmeasured != "" {
		p.field("Measured", plain, "nothing more: "+b.Unmeasured)
	}
}

// chart is how many columns a bar has at most.
const chart = 32

// bar draws from where to where something went on, of a whole that goes from lo to hi. What happened has a column at least. The report is a file that
// anybody may have written, so no number is too large or too small.
func bar(lo, hi, start, usec int64) string {
	begin, whole := float64(lo), float64(hi)-float64(lo)
	if whole <= 0 {
		return ""
	}
	column := func(t float64) int { return int(min(max((t-begin)*chart/whole, 0), chart)) }
	from := min(column(float64(start)), chart-1)
	columns := max(column(float64(start)+float64(usec))-from, 1)
	return strings.Repeat(" ", from) + strings.Repeat("█", columns)
}

func (p printer) spans(all []Span) {
	fmt.Fprintf(p.w, "%-10s %11s %11s\n", "WHO", "FROM", "TOOK")
	last := all[len(all)-1]
	for _, s := range all {
		fmt.Fprintf(p.w, "%-10s %9.3f s %9.3f s  %s\n", s.Name, float64(s.Start)/1e6, float64(s.Usec)/1e6, p.paint(blue, bar(all[0].Start, last.Start+last.Usec, s.Start, s.Usec)))
	}
}

func (p printer) stages(all []report.Stage) {
	fmt.Fprintf(p.w, "%-14s %9s %10s  %-*s  %s\n", "STAGE", "FROM", "TOOK", chart, "", "WHAT")
	lo, hi := extent(all)
	for _, s := range all {
		b := bar(lo, hi, s.Start, s.Usec)
		pad := strings.Repeat(" ", max(chart-len([]rune(b)), 0))
		fmt.Fprintf(p.w, "%-14s %7.3f s %7.1f ms  %s%s  %s\n", printable(s.Name), float64(s.Start)/1e6, float64(s.Usec)/1e3, p.paint(blue, b), pad, printable(s.Text))
	}
}

// Entered says where the image that a boot entered came from. A report of before there were several sources names none.
func Entered(c *report.Chosen) string {
	switch c.Source {
	case "", "esp":
		pieces := "one piece"
		if n := len(c.Extents); n != 1 {
			pieces = fmt.Sprintf("%d pieces", n)
		}
		if len(c.Paths) > 1 {
			pieces += fmt.Sprintf("; one path of %d: /dev/%s", len(c.Paths), strings.Join(c.Paths, ", /dev/"))
		}
		return fmt.Sprintf("%s on /dev/%s (PARTUUID=%s), in %s", c.Path, c.Node, c.Partition, pieces)
	case "initrd":
		return c.Path + " in memory, out of the initramfs"
	case "http":
		return fmt.Sprintf("%s, fetched into memory, %d bytes", c.URL, c.Received)
	case "nbd":
		return c.URL + " by /dev/" + c.Node
	}
	return fmt.Sprintf("/dev/%s (%s)", c.Node, c.Source)
}
