// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package nbd

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"unicode/utf8"
)

const (
	// DefaultPort is IANA's port for NBD.
	DefaultPort = 10809
	// MaxName is how many bytes the name of an export can have ("Conventions" of the protocol).
	MaxName = 4096
)

// ErrURL says that a text is no URL of an export that can be used here.
var ErrURL = errors.New("not nbd://HOST[:PORT]/EXPORT")

// URL names an export: nbd://HOST[:PORT]/EXPORT. The export's name is the path without its first slash; the empty name is the
// server's default export.
type URL struct {
	Host   string // a name or an address, IPv6 without brackets
	Port   uint16
	Export string
}

// ParseURL parses a URL. The error wraps [ErrURL] and says what is wrong with it.
func ParseURL(text string) (URL, error) {
	bad := func(format string, args ...any) (URL, error) {
		return URL{}, fmt.Errorf("cannot use the URL %q: %s: %w", text, fmt.Sprintf(format, args...), ErrURL)
	}
	u, err := url.Parse(text)
	if err != nil {
		return bad("it is no URL")
	}
	switch u.Scheme {
	case "nbd":
	case "nbds":
		return bad("NBD with TLS needs a process that stays as long as the device; dm-verity checks every block without it")
	default:
		return bad("its scheme is %q", u.Scheme)
	}
	switch {
	case u.Hostname() == "":
		return bad("it has no host")
	case !isHost(u.Hostname()):
		return bad("its host is %q", u.Hostname())
	case u.User != nil:
		return bad("it has a user, and there is no TLS to tell one to")
	case u.RawQuery != "" || u.ForceQuery || u.Fragment != "":
		return bad("it has parameters")
	}
	out := URL{Host: u.Hostname(), Port: DefaultPort, Export: strings.TrimPrefix(u.Path, "/")}
	if p := u.Port(); p != "" {
		n, err := strconv.ParseUint(p, 10, 16)
		if err != nil || n == 0 {
			return bad("its port is %s", p)
		}
		out.Port = uint16(n)
	}
	if err := checkName(out.Export); err != nil {
		return bad("%v", err)
	}
	return out, nil
}

// isHost takes addresses, and names of letters, digits, "-", "." and "_".
func isHost(host string) bool {
	odd := func(s string) bool {
		return len(s) > 253 || strings.ContainsFunc(s, func(r rune) bool {
			return (r|0x20 < 'a' || r|0x20 > 'z') && (r < '0' || r > '9') && r != '-' && r != '.' && r != '_'
		})
	}
	if strings.Contains(host, ":") {
		a, err := netip.ParseAddr(host)
		return err == nil && !odd(a.Zone())
	}
	return !odd(host)
}

// checkName holds the name of an export against the protocol's rules for strings.
func checkName(name string) error {
	switch {
	case len(name) > MaxName:
		return fmt.Errorf("the export's name has %d bytes, at most %d are allowed", len(name), MaxName)
	case !utf8.ValidString(name) || strings.ContainsRune(name, 0):
		return errors.New("the export's name is no text")
	}
	return nil
}

// Address is what to connect to: HOST:PORT.
func (u URL) Address() string { return net.JoinHostPort(u.Host, strconv.Itoa(int(u.Port))) }

// String returns the URL in its shortest form, which [ParseURL] takes.
func (u URL) String() string {
	out := url.URL{Scheme: "nbd", Host: u.Host, Path: "/" + u.Export}
	switch {
	case u.Port != DefaultPort:
		out.Host = u.Address()
	case strings.Contains(u.Host, ":"):
		out.Host = "[" + u.Host + "]"
	}
	return out.String()
}
