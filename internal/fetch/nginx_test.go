// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package fetch

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/initddi/initddi/internal/weburl"
)

// nginx is a real web server. Its root is a directory of the test; /plain/ is the same without ranges, /etag/ without times.
type nginx struct {
	root        string
	plain, tls  string // addresses
	ca          *authority
	accessLines func() []string
}

const nginxConf = `daemon off;
master_process off;
pid %[1]s/nginx.pid;
error_log %[1]s/error.log;
events { worker_connections 64; }
http {
	log_format ranges '$status $request_uri $http_range';
	access_log %[1]s/access.log ranges;
	default_type application/octet-stream;
	types { text/html html; }
	client_body_temp_path %[1]s/t; proxy_temp_path %[1]s/t; fastcgi_temp_path %[1]s/t; uwsgi_temp_path %[1]s/t; scgi_temp_path %[1]s/t;
	gzip on; gzip_types *; gzip_min_length 1;
	server {
		listen %[2]s;
		listen %[3]s ssl;
		ssl_certificate %[1]s/server.crt;
		ssl_certificate_key %[1]s/server.key;
		root %[1]s/www;
		location /plain/ { alias %[1]s/www/; max_ranges 0; etag off; }
		location /time/ { alias %[1]s/www/; etag off; }
		location /moved/ { return 302 https://%[3]s/OS_1.raw; }
		location /down/ { return 302 http://%[2]s/OS_1.raw; }
		location /secret/ { deny all; }
		location /slow/ { alias %[1]s/www/; limit_rate 20k; }
	}
}
`

func startNginx(t *testing.T) *nginx {
	t.Helper()
	program, err := exec.LookPath("nginx")
	if err != nil {
		if program, err = exec.LookPath("/usr/sbin/nginx"); err != nil {
			t.Skip("needs nginx (Debian package nginx-light)")
		}
	}
	dir := t.TempDir()
	n := &nginx{root: filepath.Join(dir, "www"), plain: freeAddress(t), tls: freeAddress(t), ca: newAuthority(t, ecdsaKey(t))}
	key := ecdsaKey(t)
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string][]byte{
		"server.crt": pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: n.ca.sign(t, key, nil).Raw}),
		"server.key": pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}),
		"nginx.conf": fmt.Appendf(nil, nginxConf, dir, n.plain, n.tls),
	} {
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for _, d := range []string{"t", "www"} {
		if err := os.Mkdir(filepath.Join(dir, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	var said bytes.Buffer
	cmd := exec.Command(program, "-e", filepath.Join(dir, "error.log"), "-p", dir, "-c", filepath.Join(dir, "nginx.conf"))
	cmd.Stderr = &said
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
	})
	for until := time.Now().Add(20 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		c, err := net.Dial("tcp", n.tls)
		if err == nil {
			c.Close()
			break
		}
		if time.Now().After(until) {
			t.Fatalf("nginx does not start: %v\n%s", err, said.String())
		}
	}
	n.accessLines = func() []string {
		b, err := os.ReadFile(filepath.Join(dir, "access.log"))
		if err != nil {
			t.Fatal(err)
		}
		return strings.Split(strings.TrimSpace(string(b)), "\n")
	}
	return n
}

// freeAddress returns a place on this machine where nobody listens.
func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// put puts a file on the server, last changed a minute ago: what was changed within the last second may change again, and the
// server would say the same of it.
func (n *nginx) put(t *testing.T, name string, b []byte) {
	t.Helper()
	file := filepath.Join(n.root, name)
	if err := os.WriteFile(file, b, 0o644); err != nil {
		t.Fatal(err)
	}
	then := time.Now().Add(-time.Minute)
	if err := os.Chtimes(file, then, then); err != nil {
		t.Fatal(err)
	}
}

func TestNginx(t *testing.T) {
	n := startNginx(t)
	image := content(3<<20, 1)
	n.put(t, "OS_1.raw", image)
	n.put(t, "empty.raw", nil)
	n.put(t, "page.html", []byte("<html>"))
	for _, test := range []struct {
		url string
		err error
	}{
		{"http://" + n.plain + "/OS_1.raw", nil},
		{"https://" + n.tls + "/OS_1.raw", nil},
		{"http://" + n.plain + "/moved/", nil},
		{"https://" + n.tls + "/down/", ErrRedirect},
		{"http://" + n.plain + "/OS_2.raw", fs.ErrNotExist},
		{"http://" + n.plain + "/secret/OS_1.raw", fs.ErrPermission},
		{"http://" + n.plain + "/empty.raw", ErrEmpty},
		{"http://" + n.plain + "/page.html", ErrWebPage},
		{"http://" + n.plain + "/", fs.ErrPermission},
		{"http://" + n.plain + "/slow/OS_1.raw", ErrTimeout},
	} {
		o := quick(t)
		o.CAs = n.ca.pool()
		if test.err == ErrTimeout {
			o.Timeout, o.MinRate = 500*time.Millisecond, 1<<20
		}
		b, r, err := get(t, o, 4<<20, mustURL(t, test.url))
		if !errors.Is(err, test.err) || err == nil && (!bytes.Equal(b, image) || r.Resumed+r.Restarted > 0) {
			t.Errorf("%s: %v, wanted %v", test.url, err, test.err)
		}
	}
}

// cutter is a proxy for TCP whose connections end before they should.
type cutter struct {
	to   string
	mu   sync.Mutex
	cuts []cut
	made int // how many of them were
}

// cut ends a connection behind so many bytes of the answer.
type cut struct {
	after int64
	how   string // "close", "reset", "stall"
}

func (c *cutter) listen(t *testing.T) net.Addr {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go c.forward(conn)
		}
	}()
	return l.Addr()
}

func (c *cutter) forward(client net.Conn) {
	defer client.Close()
	server, err := net.Dial("tcp", c.to)
	if err != nil {
		return
	}
	defer server.Close()
	go io.Copy(server, client)
	c.mu.Lock()
	this := cut{after: 1 << 40}
	if len(c.cuts) > 0 {
		this, c.cuts = c.cuts[0], c.cuts[1:]
	}
	c.mu.Unlock()
	if _, err := io.CopyN(client, server, this.after); err != nil {
		return // it was over before
	}
	c.mu.Lock()
	c.made++
	c.mu.Unlock()
	switch this.how {
	case "reset":
		client.(*net.TCPConn).SetLinger(0)
	case "stall":
		client.Read(make([]byte, 1)) // until the client has had enough
		time.Sleep(time.Second)
	}
}

// TestCut fetches 50 times over connections that are cut at random places, from a real server, with and without ranges, with and without
// TLS. Each fetch ends in the right file, or in a sentence.
func TestCut(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	if s := os.Getenv("INITDDI_SEED"); s != "" {
		var err error
		if seed, err = strconv.ParseUint(s, 10, 64); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("INITDDI_SEED=%d makes the same cuts again", seed)
	rng := rand.New(rand.NewPCG(seed, 0))
	n := startNginx(t)
	image := content(1<<20, 7)
	n.put(t, "OS_1.raw", image)
	right, cuts, resumed, restarted := 0, 0, 0, 0
	for i := range 50 {
		c := &cutter{to: n.plain}
		u := weburl.URL{Scheme: "http", Path: []string{"/OS_1.raw", "/plain/OS_1.raw", "/time/OS_1.raw"}[i%3]}
		if i%5 == 4 {
			u.Scheme, c.to = "https", n.tls
		}
		for range rng.IntN(10) {
			// Many within the headers and the handshake, few behind the end.
			after := rng.Int64N(int64(len(image)) + 10000)
			if rng.IntN(3) == 0 {
				after = rng.Int64N(2000)
			}
			c.cuts = append(c.cuts, cut{after, []string{"close", "close", "reset", "reset", "stall"}[rng.IntN(5)]})
		}
		planned := fmt.Sprint(c.cuts)
		u.Host = c.listen(t).String()
		o := quick(t)
		o.CAs, o.Idle, o.Note = n.ca.pool(), 300*time.Millisecond, nil
		b, r, err := get(t, o, 2<<20, u)
		cuts += c.made
		switch {
		case err == nil && bytes.Equal(b, image) && r.Size == int64(len(image)):
			right, resumed, restarted = right+1, resumed+r.Resumed, restarted+r.Restarted
		case err == nil:
			t.Errorf("fetch %d of %v with cuts %s: %d bytes that are not the file's", i, u, planned, len(b))
		case !strings.HasPrefix(err.Error(), "cannot fetch "+u.String()+": ") || strings.Contains(err.Error(), "\n"):
			t.Errorf("fetch %d of %v with cuts %s: %v", i, u, planned, err)
		default:
			t.Logf("fetch %d of %v with cuts %s: %v", i, u, planned, err)
		}
	}
	t.Logf("%d of 50 are right, after %d cuts; %d connections were resumed and %d begun again", right, cuts, resumed, restarted)
	// Nine cuts in a row without progress are possible, and not likely.
	if right < 35 || cuts < 50 || resumed < 10 || restarted < 5 {
		t.Error("that is no test of what it is for")
	}
}
