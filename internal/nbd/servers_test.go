// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package nbd_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/initddi/initddi/internal/nbd"
)

// server starts a server that nobody here wrote, on a free port of the loopback interface, and returns its address when it answers.
func server(t *testing.T, program string, args func(port, pidFile string) []string) string {
	t.Helper()
	pidFile := filepath.Join(t.TempDir(), "pid")
	path, err := exec.LookPath(program)
	if err != nil {
		t.Skipf("needs %s (Debian packages nbd-server, nbdkit)", program)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	l.Close()
	_, port, _ := net.SplitHostPort(address)
	cmd := exec.Command(path, args(port, pidFile)...)
	var said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &said, &said
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
		// nbd-server goes into the background.
		if b, err := os.ReadFile(pidFile); err == nil {
			if pid, err := strconv.Atoi(strings.TrimSpace(string(b))); err == nil && pid > 1 {
				syscall.Kill(pid, syscall.SIGTERM)
			}
		}
	})
	for range 200 {
		if c, err := net.Dial("tcp", address); err == nil {
			c.Close()
			return address
		}
		time.Sleep(20 * time.Millisecond)
	}
	cmd.Process.Kill()
	cmd.Wait()
	t.Fatalf("%s does not listen: %s", program, said.String())
	return ""
}

// image is a file with recognisable sectors.
func image(t *testing.T, sectors int) string {
	t.Helper()
	var b []byte
	for i := range sectors {
		b = append(b, bytes.Repeat(fmt.Appendf(nil, "%08d", i), 64)...)
	}
	name := filepath.Join(t.TempDir(), "disk")
	if err := os.WriteFile(name, b, 0o644); err != nil {
		t.Fatal(err)
	}
	return name
}

func dial(t *testing.T, address string) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(20 * time.Second))
	return c
}

// readSector reads one sector as the kernel will.
func readSector(t *testing.T, c net.Conn, n int) []byte {
	t.Helper()
	request := binary.BigEndian.AppendUint32(nil, 0x25609513)
	request = binary.BigEndian.AppendUint32(request, 0)
	request = binary.BigEndian.AppendUint64(request, 77)
	request = binary.BigEndian.AppendUint64(request, uint64(n)*512)
	request = binary.BigEndian.AppendUint32(request, 512)
	if _, err := c.Write(request); err != nil {
		t.Fatal(err)
	}
	reply := make([]byte, 16+512)
	if _, err := io.ReadFull(c, reply); err != nil {
		t.Fatal(err)
	}
	if m, e, cookie := binary.BigEndian.Uint32(reply), binary.BigEndian.Uint32(reply[4:]), binary.BigEndian.Uint64(reply[8:]); m != 0x67446698 || e != 0 || cookie != 77 {
		t.Fatalf("reply %#x, error %d, cookie %d", m, e, cookie)
	}
	return reply[16:]
}

// TestServers agrees on exports with servers that others wrote, and reads what the kernel would.
func TestServers(t *testing.T) {
	for _, test := range []struct {
		name, program string
		args          func(t *testing.T, disk, port, pidFile string) []string
		export, other string
		multi         bool
	}{
		{"nbd-server", "nbd-server", func(t *testing.T, disk, port, pidFile string) []string {
			config := filepath.Join(t.TempDir(), "config")
			text := fmt.Sprintf("[generic]\nport = %s\nlistenaddr = 127.0.0.1\n[debian]\nexportname = %s\nreadonly = true\n", port, disk)
			if err := os.WriteFile(config, []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
			return []string{"-C", config, "-p", pidFile}
		}, "debian", "fedora", true},
		{"nbdkit", "nbdkit", func(t *testing.T, disk, port, pidFile string) []string {
			return []string{"-f", "-r", "-i", "127.0.0.1", "-p", port, "--filter=exportname", "file", disk, "exportname-strict=true", "exportname=debian"}
		}, "debian", "fedora", true},
		{"nbdkit, default export", "nbdkit", func(t *testing.T, disk, port, pidFile string) []string {
			return []string{"-f", "-r", "-i", "127.0.0.1", "-p", port, "file", disk}
		}, "", "", true},
		// Without NBD_OPT_GO the server hangs up where there is no such export.
		{"nbdkit without options", "nbdkit", func(t *testing.T, disk, port, pidFile string) []string {
			return []string{"-f", "-r", "-i", "127.0.0.1", "-p", port, "--mask-handshake=0", "file", disk}
		}, "", "", true},
	} {
		t.Run(test.name, func(t *testing.T) {
			const sectors = 2048
			disk := image(t, sectors)
			address := server(t, test.program, func(port, pidFile string) []string { return test.args(t, disk, port, pidFile) })
			c := dial(t, address)
			e, err := nbd.Handshake(c, test.export)
			if err != nil {
				t.Fatal(err)
			}
			if e.Size != sectors*512 || e.Flags&nbd.ReadOnly == 0 || (e.Flags&nbd.CanMultiConn != 0) != test.multi {
				t.Errorf("%+v", e)
			}
			if g, err := e.Geometry(); err != nil || g != (nbd.Geometry{Size: sectors * 512, BlockSize: 512}) {
				t.Errorf("%+v, %v", g, err)
			}
			for _, n := range []int{0, 1, sectors - 1} {
				if got, want := readSector(t, c, n), fmt.Sprintf("%08d", n); string(got[:8]) != want {
					t.Errorf("sector %d is %q…", n, got[:8])
				}
			}
			c.Write(nbd.Goodbye())
			if n, err := c.Read(make([]byte, 1)); n != 0 || !errors.Is(err, io.EOF) {
				t.Errorf("after the goodbye: %d bytes, %v", n, err)
			}
			if test.other == "" {
				return
			}
			if _, err := nbd.Handshake(dial(t, address), test.other); !errors.Is(err, nbd.ErrNoExport) {
				t.Errorf("an export that is not there: %v", err)
			}
		})
	}
}

// TestServerWithBlocks: a server that only takes whole blocks gets them.
func TestServerWithBlocks(t *testing.T) {
	disk := image(t, 2048)
	address := server(t, "nbdkit", func(port, _ string) []string {
		return []string{"-f", "-r", "-i", "127.0.0.1", "-p", port, "--filter=blocksize-policy", "file", disk, "blocksize-minimum=4096", "blocksize-preferred=4096", "blocksize-maximum=1M", "blocksize-error-policy=error"}
	})
	e, err := nbd.Handshake(dial(t, address), "")
	if err != nil {
		t.Fatal(err)
	}
	if g, err := e.Geometry(); err != nil || e.Sizes != (nbd.Sizes{Minimum: 4096, Preferred: 4096, Maximum: 1 << 20}) || g.BlockSize != 4096 {
		t.Errorf("%+v, %+v, %v", e, g, err)
	}
}

// TestServerWithTLS: a server that has nothing without TLS says so, and is understood.
func TestServerWithTLS(t *testing.T) {
	disk := image(t, 8)
	keys := filepath.Join(t.TempDir(), "keys.psk")
	if err := os.WriteFile(keys, []byte("me:"+strings.Repeat("00", 32)+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	address := server(t, "nbdkit", func(port, _ string) []string {
		return []string{"-f", "-r", "-i", "127.0.0.1", "-p", port, "--tls=require", "--tls-psk=" + keys, "file", disk}
	})
	if _, err := nbd.Handshake(dial(t, address), ""); !errors.Is(err, nbd.ErrTLS) {
		t.Error(err)
	}
}
