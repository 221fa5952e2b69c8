// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

// Package weburl takes the addresses of images on web servers apart, and says what lies where: beside an image, in the
// directory of an index, in the tree that a UKI was booted from by HTTP.
//
// An address is http or https, a host, perhaps a port, a path, perhaps a query (RFC 3986). What is not needed is refused: user names,
// which belong on no kernel command line, fragments, and every character that is not printable ASCII. Package net/url, which asks the
// server in the end, takes more, and takes nothing else for what is taken here.
package weburl

import (
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
)

// ErrSyntax says that a text is no address that an image could be fetched from.
var ErrSyntax = errors.New("not a web address")

// maxLength bounds an address in bytes; a kernel command line has 2,048 on most architectures.
const maxLength = 2048

// URL is an address in its parts. The zero value is none.
type URL struct {
	Scheme string // "http" or "https"
	Host   string // a name, an IPv4 address, or an IPv6 address in brackets, with ":PORT" if there is one
	Path   string // escaped, begins with "/"
	Query  string // without the "?", empty if there is none
}

// Parse reads an address. The error wraps [ErrSyntax].
func Parse(s string) (URL, error) {
	u, err := parse(s)
	if err != nil {
		return URL{}, fmt.Errorf("%w: %.80q: %w", ErrSyntax, s, err)
	}
	return u, nil
}

func parse(s string) (URL, error) {
	var u URL
	if len(s) > maxLength {
		return u, fmt.Errorf("%d bytes, wanted at most %d", len(s), maxLength)
	}
	for i := range len(s) {
		if c := s[i]; c <= ' ' || c > '~' || strings.IndexByte(`"<>\^{|}`+"`", c) >= 0 {
			return u, fmt.Errorf("it contains %q", c)
		}
	}
	scheme, rest, ok := strings.Cut(s, "://")
	u.Scheme = strings.ToLower(scheme)
	if !ok || u.Scheme != "http" && u.Scheme != "https" {
		return u, errors.New("it does not begin with http:// or https://")
	}
	if strings.Contains(rest, "#") {
		return u, errors.New("it has a fragment (#)")
	}
	u.Host, u.Path = rest, "/"
	if i := strings.IndexAny(rest, "/?"); i >= 0 {
		u.Host, rest = rest[:i], rest[i:]
		u.Path, u.Query, _ = strings.Cut(rest, "?")
		if u.Path == "" {
			u.Path = "/"
		}
	}
	if err := checkHost(u.Host); err != nil {
		return u, err
	}
	return u, checkPath(u.Path)
}

// checkHost takes a name or an address, with a port behind it.
func checkHost(host string) error {
	if strings.Contains(host, "@") {
		return errors.New("it has a user name (@)")
	}
	name, port, hasPort := host, "", false
	if end := strings.LastIndexByte(host, ']'); strings.HasPrefix(host, "[") && end > 0 {
		name, port, hasPort = host[1:end], host[end+1:], end+1 < len(host)
		if hasPort && port[0] != ':' || !isIPv6(name) {
			return fmt.Errorf("host is %.80q", host)
		}
		port = strings.TrimPrefix(port, ":")
	} else if name, port, hasPort = strings.Cut(host, ":"); !isHostName(name) {
		return fmt.Errorf("host is %.80q", host)
	}
	if n, err := strconv.ParseUint(port, 10, 16); hasPort && (err != nil || n == 0 || port[0] == '+') {
		return fmt.Errorf("port is %.80q", port)
	}
	return nil
}

func isIPv6(s string) bool {
	a, err := netip.ParseAddr(s)
	return err == nil && a.Is6() && a.Zone() == ""
}

// isHostName takes letters, digits, "-", "." and "_", which is in no standard and in many networks.
func isHostName(s string) bool {
	if s == "" || len(s) > 253 {
		return false
	}
	for i := range len(s) {
		c := s[i] | 0x20
		if !('a' <= c && c <= 'z') && !isDigit(s[i]) && s[i] != '-' && s[i] != '.' && s[i] != '_' {
			return false
		}
	}
	return true
}

// checkPath refuses escapes that are none, and those that would make a name end somewhere else than it seems to.
func checkPath(path string) error {
	for i := 0; i < len(path); i++ {
		if path[i] != '%' {
			continue
		}
		c, ok := unescape(path[i:])
		if !ok {
			return fmt.Errorf("%.3q is no escape", path[i:])
		}
		if c == '/' || c < ' ' || c == 0x7f {
			return fmt.Errorf("%.3q is an escape that no name has", path[i:])
		}
		i += 2
	}
	for name := range strings.SplitSeq(path, "/") {
		if name == "." || name == ".." {
			return fmt.Errorf("%q is no name", name)
		}
	}
	return nil
}

// unescape reads the escape that s begins with.
func unescape(s string) (byte, bool) {
	if len(s) < 3 || s[0] != '%' || !isHex(s[1]) || !isHex(s[2]) {
		return 0, false
	}
	n, err := strconv.ParseUint(s[1:3], 16, 8)
	return byte(n), err == nil
}

// String is the inverse of [Parse].
func (u URL) String() string {
	s := u.Scheme + "://" + u.Host + u.Path
	if u.Query != "" {
		s += "?" + u.Query
	}
	return s
}

// IsIndex reports whether the address is that of a directory with an index in it, and not of an image: its path ends in "/".
func (u URL) IsIndex() bool { return strings.HasSuffix(u.Path, "/") }

// Name returns the last component of the path without its escapes: of an image the file's name, of a directory its own.
func (u URL) Name() string {
	path := strings.TrimSuffix(u.Path, "/")
	path = path[strings.LastIndexByte(path, '/')+1:]
	var b strings.Builder
	for i := 0; i < len(path); i++ {
		c, ok := unescape(path[i:])
		if !ok {
			c = path[i]
		} else {
			i += 2
		}
		b.WriteByte(c)
	}
	return b.String()
}

// Beside returns the address of the file called name in the same directory: in the directory itself, if the address is one.
// The query stays: it may be what makes a server answer.
func (u URL) Beside(name string) URL {
	u.Path = u.Path[:strings.LastIndexByte(u.Path, '/')+1] + escape(name)
	return u
}

// escape writes what is not unreserved (RFC 3986, section 2.3) as an escape.
func escape(name string) string {
	var b strings.Builder
	for i := range len(name) {
		c := name[i]
		if l := c | 0x20; 'a' <= l && l <= 'z' || isDigit(c) || strings.IndexByte("-._~+@,=", c) >= 0 {
			b.WriteByte(c)
		} else {
			fmt.Fprintf(&b, "%%%02X", c)
		}
	}
	return b.String()
}

// Expand replaces systemd's specifier %a, where no escape stands there, by an architecture in systemd's words ("x86-64"). "%ab" is
// an escape: whoever wants a letter behind the architecture puts something between them.
func Expand(s, arch string) string {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		_, escaped := unescape(s[i:])
		if !escaped && strings.HasPrefix(s[i:], "%a") {
			b.WriteString(arch)
			i++
			continue
		}
		b.WriteByte(s[i])
	}
	return b.String()
}

// OfUKI returns where images lie for a UKI that was fetched from the address, as StubDeviceURL gives it: a web server that has the
// files of an ESP serves them to all of its machines. First the directory of this UKI, its own address with ".ddi.d/" behind it, then
// that of all, loader/ddi/ at the root of the tree, which is where the last /EFI/ in the path stands; in the UKI's own
// directory if there is none.
func OfUKI(u URL) []URL {
	if u.IsIndex() {
		return nil
	}
	own, shared := u, u
	own.Path += ".ddi.d/"
	top := u.Path[:strings.LastIndexByte(u.Path, '/')+1]
	if i := strings.LastIndex(strings.ToUpper(top), "/EFI/"); i >= 0 {
		top = top[:i+1]
	}
	shared.Path = top + "loader/ddi/"
	return []URL{own, shared}
}

func isDigit(c byte) bool { return '0' <= c && c <= '9' }

func isHex(c byte) bool { return isDigit(c) || 'a' <= c|0x20 && c|0x20 <= 'f' }
