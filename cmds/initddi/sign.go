// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"

	"github.com/initddi/initddi/internal/ability"
	"github.com/initddi/initddi/internal/index"
	"github.com/initddi/initddi/internal/keys"
	"github.com/initddi/initddi/internal/plan"
)

// checkPair finds a mix-up of --key and --cert, and a key that nobody would believe, before anything has been made, and before there is a file
// that looks as if it were signed.
func checkPair(p keys.Pair) error {
	if (p.Key == "") != (p.Cert == "") {
		return errors.New("cannot sign: --key and --cert go together")
	}
	if p.Key == "" {
		return nil
	}
	err := p.Check()
	if err == nil {
		err = p.CheckStrength()
	}
	if err != nil {
		return fmt.Errorf("cannot sign: %w", err)
	}
	return nil
}

// runSign signs a settings file, or the index of a web server's images. It is checked first, as stage 1 will: a mistake is found here,
// not at the console.
func runSign(ctx context.Context, env environment, flags *flag.FlagSet, args []string) error {
	var pair keys.Pair
	flags.StringVar(&pair.Key, "key", "", "sign with the private key in `FILE` (PEM), or of a token (pkcs11:…)")
	flags.StringVar(&pair.Cert, "cert", "", "the key's certificate (PEM)")
	asJSON := flags.Bool("json", false, "print JSON")
	rest, err := parse(flags, args, 1)
	if err != nil {
		return err
	}
	if err := required(flags, "key", "cert"); err != nil {
		return err
	}
	if err := checkPair(pair); err != nil {
		return err
	}
	text, err := os.ReadFile(rest[0])
	if err != nil {
		return fmt.Errorf("cannot sign: %w", err)
	}
	if err := checkSigned(rest[0], text); err != nil {
		return err
	}
	der, err := pair.Sign(ctx, text)
	if err != nil {
		return err
	}
	name := rest[0] + plan.SignatureSuffix
	if err := os.WriteFile(name, der, 0o644); err != nil {
		return fmt.Errorf("cannot write the signature: %w", err)
	}
	if *asJSON {
		return printJSON(env.Stdout, map[string]any{"output": name, "size": len(der)})
	}
	fmt.Fprintf(env.Stdout, "%s: %d bytes\n", name, len(der))
	return nil
}

// checkSigned reads what is to be signed as whoever verifies it will.
func checkSigned(name string, text []byte) error {
	if filepath.Base(name) == index.Name {
		_, err := index.Parse(text)
		return err
	}
	// Which stage 1 will read it is not known, nor so what that can do.
	p, err := plan.New(ability.Unasked().Input())
	if err != nil {
		return err
	}
	_, err = p.WithSettings(name, text, true)
	return err
}
