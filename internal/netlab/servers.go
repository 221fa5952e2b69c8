// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package netlab

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// Names of the servers, which are the names of their logs.
const (
	Dnsmasq = "dnsmasq"
	Nginx   = "nginx"
	NBD     = "nbdkit"
)

// Options of dnsmasq for what a network usually has.
var (
	// DHCP4 gives out addresses, a router and a name server.
	DHCP4 = []string{"dhcp-range=192.0.2.100,192.0.2.199,255.255.255.0,1h", "dhcp-option=option:router," + Address4, "dhcp-option=option:dns-server," + Address4}
	// SLAAC advertises a router, its network, and a name server.
	SLAAC = []string{"enable-ra", "dhcp-range=fd00:db8::,ra-only,64,1h", "dhcp-option=option6:dns-server,[" + Address6 + "]"}
	// DHCP6 advertises a router that says that DHCPv6 has addresses, and no other way to one.
	DHCP6 = []string{"enable-ra", "dhcp-range=fd00:db8::1000,fd00:db8::1fff,64,1h", "dhcp-option=option6:dns-server,[" + Address6 + "]"}
	// SLAAC6 is SLAAC where the name server is to be had by DHCPv6 as well.
	SLAAC6 = []string{"enable-ra", "dhcp-range=fd00:db8::,ra-stateless,64,1h", "dhcp-option=option6:dns-server,[" + Address6 + "]"}
)

// Host is the name that the lab's name server has the servers' addresses for.
const Host = "images.example"

// Dnsmasq serves names, DHCP and router advertisements on the servers' device. Options are those of dnsmasq(8) without the dashes.
func (l *Lab) Dnsmasq(ctx context.Context, options ...string) (*Server, error) {
	args := []string{"--no-daemon", "--conf-file=/dev/null", "--no-resolv", "--no-hosts", "--no-ping", "--dhcp-authoritative", "--log-dhcp", "--log-queries", "--interface=" + l.Device, "--bind-interfaces",
		"--except-interface=lo", "--dhcp-leasefile=" + filepath.Join(l.Dir, "leases"), "--address=/" + Host + "/" + Address4, "--address=/" + Host + "/" + Address6}
	for _, o := range options {
		args = append(args, "--"+o)
	}
	cmd, err := l.Command(ctx, "dnsmasq-base", "dnsmasq", args...)
	if err != nil {
		return nil, err
	}
	return l.Start(Dnsmasq, cmd, func(log string) bool { return strings.Contains(log, "started, version") })
}

// Nginx serves the files below root on port 80 of every address. More goes into its server block: how fast it is, what it answers where;
// aside stands beside that block: other servers. What was asked for is in its log, as "nginx: STATUS BYTES SECONDS REQUEST [RANGE]".
func (l *Lab) Nginx(ctx context.Context, root, more, aside string) (*Server, error) {
	conf := fmt.Sprintf(`user root root;
daemon off;
master_process off;
pid %[1]s/nginx.pid;
error_log stderr notice;
events { worker_connections 64; }
http {
	log_format lab 'nginx: $status $body_bytes_sent $request_time $request [$http_range]';
	access_log /dev/stderr lab;
	default_type application/octet-stream;
	client_body_temp_path %[1]s; proxy_temp_path %[1]s; fastcgi_temp_path %[1]s; uwsgi_temp_path %[1]s; scgi_temp_path %[1]s;
	server {
		listen 80;
		listen [::]:80;
		root %[2]s;
		%[3]s
	}
	%[4]s
}
`, l.Dir, root, more, aside)
	file := filepath.Join(l.Dir, "nginx.conf")
	if err := os.WriteFile(file, []byte(conf), 0o644); err != nil {
		return nil, fmt.Errorf("cannot start nginx: %w", err)
	}
	cmd, err := l.Command(ctx, "nginx-light", "nginx", "-e", "stderr", "-p", l.Dir, "-c", file)
	if err != nil {
		return nil, err
	}
	return l.Start(Nginx, cmd, func(string) bool { return l.listens(80) })
}

// NBD serves with nbdkit on port 10809 of every address; args are a plugin, filters and what these take: "file", "/path".
func (l *Lab) NBD(ctx context.Context, args ...string) (*Server, error) {
	cmd, err := l.Command(ctx, "nbdkit", "nbdkit", append([]string{"--foreground", "--verbose", "--port=10809", "--pidfile=" + filepath.Join(l.Dir, "nbdkit.pid")}, args...)...)
	if err != nil {
		return nil, err
	}
	return l.Start(NBD, cmd, func(string) bool { return l.listens(10809) })
}

// listens reports whether anybody inside listens on a TCP port.
func (l *Lab) listens(port int) bool {
	for _, name := range []string{"tcp", "tcp6"} {
		b, err := os.ReadFile(fmt.Sprintf("/proc/%d/net/%s", l.pid, name))
		if err != nil {
			continue
		}
		for _, line := range strings.Split(string(b), "\n") {
			// "sl local_address rem_address st …": addresses end in the port, state 0A is listening.
			f := strings.Fields(line)
			if len(f) > 3 && f[3] == "0A" && strings.HasSuffix(f[1], fmt.Sprintf(":%04X", port)) {
				return true
			}
		}
	}
	return false
}
