// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package tpm2

import (
	"encoding/hex"
	"errors"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// emulated is swtpm behind a socket.
type emulated struct{ path string }

// Transmit opens the socket for each command: swtpm serves one client at a time, and tpm2-tools want their turn.
func (e emulated) Transmit(cmd []byte) ([]byte, error) {
	c, err := net.Dial("unix", e.path)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(time.Minute)); err != nil {
		return nil, err
	}
	if _, err := c.Write(cmd); err != nil {
		return nil, err
	}
	buf := make([]byte, MaxResponse)
	n, err := c.Read(buf)
	return buf[:n], err
}

// swtpm starts an emulated TPM that has been started up, and skips the test where there is none.
func swtpm(t *testing.T) emulated {
	t.Helper()
	for _, tool := range []string{"swtpm", "tpm2_pcrread", "tpm2_nvdefine"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("missing: %s (Debian packages swtpm, tpm2-tools)", tool)
		}
	}
	// The name of a socket has little room.
	dir, err := os.MkdirTemp("", "tpm2-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	e := emulated{filepath.Join(dir, "socket")}
	cmd := exec.Command("swtpm", "socket", "--tpm2", "--tpmstate", "dir="+dir, "--flags", "not-need-init,startup-clear",
		"--server", "type=unixio,path="+e.path, "--ctrl", "type=unixio,path="+e.path+".ctrl")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
	})
	for range 500 {
		if _, err := os.Stat(e.path); err == nil {
			return e
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatal("swtpm does not make its socket")
	return e
}

// tool runs one of tpm2-tools.
func (e emulated) tool(t *testing.T, name string, args ...string) string {
	t.Helper()
	cmd := exec.Command(name, append([]string{"-T", "swtpm:path=" + e.path}, args...)...)
	cmd.Env = append(os.Environ(), "TSS2_LOG=all+none")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s %q: %v: %s", name, args, err, out)
	}
	return string(out)
}

// TestSwtpm holds the commands against an emulator and tools that nobody here wrote.
func TestSwtpm(t *testing.T) {
	e := swtpm(t)
	banks, err := GetCapabilityPCRs{}.Execute(e)
	if err != nil {
		t.Fatal(err)
	}
	var digests []Digest
	for _, b := range banks {
		if b.Has(13) && b.Alg.Sum(nil) != nil {
			digests = append(digests, Digest{b.Alg, b.Alg.Sum([]byte("measured"))})
		}
	}
	if len(digests) < 2 {
		t.Fatalf("only %v of the banks %v can be extended", digests, banks)
	}
	if err := (PCRExtend{13, digests}).Execute(e); err != nil {
		t.Fatal(err)
	}
	for _, d := range digests {
		got, err := PCRRead{d.Alg, 13}.Execute(e)
		want := d.Alg.Sum(append(make([]byte, d.Alg.Size()), d.Bytes...))
		if err != nil || hex.EncodeToString(got) != hex.EncodeToString(want) {
			t.Errorf("%s: got %x, %v, want %x", d.Alg, got, err, want)
		}
		theirs := strings.ToLower(e.tool(t, "tpm2_pcrread", d.Alg.String()+":13"))
		if !strings.Contains(theirs, "0x"+hex.EncodeToString(want)) {
			t.Errorf("tpm2_pcrread says %s, want %x", theirs, want)
		}
	}
	if _, err := (NVReadPublic{0x01800001}).Execute(e); !errors.Is(err, RCHandle) {
		t.Errorf("an index that is not there: %v", err)
	}
	// PCR 17 belongs to a locality that nobody has who asks like this.
	if err := (PCRExtend{17, digests}).Execute(e); !errors.Is(err, RCLocality) {
		t.Errorf("PCR 17: %v", err)
	}
}

func TestSwtpmNV(t *testing.T) {
	e := swtpm(t)
	const index = Handle(0x01800001)
	e.tool(t, "tpm2_nvdefine", "-C", "o", "-a", "nt=counter|ownerwrite|ownerread|authread|no_da", "0x01800001")
	p, err := NVReadPublic{index}.Execute(e)
	if err != nil {
		t.Fatal(err)
	}
	if p.Attributes != NVCounter|NVOwnerWrite|NVOwnerRead|NVAuthRead|NVNoDA || p.DataSize != 8 || len(p.AuthPolicy) != 0 {
		t.Errorf("got %+v", p)
	}
	read := NVRead{AuthHandle: index, NVIndex: index, Size: 8}
	if _, err := read.Execute(e); !errors.Is(err, RCNVUninitialized) {
		t.Errorf("before it was written: %v", err)
	}
	e.tool(t, "tpm2_nvincrement", "-C", "o", "0x01800001")
	before, err := read.Execute(e)
	if err != nil {
		t.Fatal(err)
	}
	if err := (NVIncrement{HandleOwner, index}).Execute(e); err != nil {
		t.Fatal(err)
	}
	after, err := read.Execute(e)
	if err != nil || after[7] != before[7]+1 {
		t.Errorf("%x was incremented to %x, %v", before, after, err)
	}
	if p, err = (NVReadPublic{index}).Execute(e); err != nil || p.Attributes&NVWritten == 0 {
		t.Errorf("%+v, %v", p, err)
	}
	if theirs := e.tool(t, "tpm2_nvreadpublic", "0x01800001"); !strings.Contains(theirs, hex.EncodeToString(p.Name)) {
		t.Errorf("tpm2_nvreadpublic says %s, we %x", theirs, p.Name)
	}
	if _, err := (NVRead{AuthHandle: index, NVIndex: index, Size: 8, Offset: 1}).Execute(e); !errors.Is(err, RCNVRange) {
		t.Errorf("beyond its end: %v", err)
	}
}
