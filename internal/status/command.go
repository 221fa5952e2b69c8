// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package status

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"

	"github.com/initddi/initddi/internal/options"
	"github.com/initddi/initddi/internal/terminal"
)

// Command is the verb "status" of the host tool, and of the small program that images carry.
func Command(ctx context.Context, out *os.File, flags *flag.FlagSet, args []string) error {
	asJSON := flags.Bool("json", false, "print JSON")
	s := Running()
	flags.StringVar(&s.Report, "report", s.Report, "what stage 1 reported: `FILE`, of this system or of another")
	flags.StringVar(&s.EFIVars, "efivars", s.EFIVars, "where the EFI variables are: `DIR`")
	if err := flags.Parse(args); err != nil {
		return options.Usage(err)
	}
	if flags.NArg() > 0 {
		return options.Usage(fmt.Errorf("cannot use the argument %q: there are options only", flags.Arg(0)))
	}
	if here := Running(); s.Report != here.Report {
		// Of another system nothing else is known here.
		s.Moments, s.Crashes = nil, nil
		if s.EFIVars == here.EFIVars {
			s.EFIVars = ""
		}
	}
	st, err := s.Look(ctx)
	if err != nil {
		return err
	}
	if *asJSON {
		e := json.NewEncoder(out)
		e.SetIndent("", "  ")
		return e.Encode(st)
	}
	st.Print(out, colours(out))
	return nil
}

// colours says whether somebody sees them (no-color.org).
func colours(out *os.File) bool {
	return os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb" && terminal.IsTerminal(out)
}
