// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package floor

import (
	"encoding/binary"
	"errors"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/initddi/initddi/internal/tpm2"
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
	buf := make([]byte, tpm2.MaxResponse)
	n, err := c.Read(buf)
	return buf[:n], err
}

// swtpm starts an emulated TPM, and skips the test where there is none.
func swtpm(t *testing.T) emulated {
	t.Helper()
	for _, tool := range []string{"swtpm", "tpm2_clear", "tpm2_nvdefine"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("missing: %s (Debian packages swtpm, tpm2-tools)", tool)
		}
	}
	// The name of a socket has little room.
	dir, err := os.MkdirTemp("", "floor-")
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
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(10 * time.Millisecond) {
		if _, err := os.Stat(e.path); err == nil {
			return e
		}
		if time.Now().After(deadline) {
			t.Fatal("swtpm does not listen")
		}
	}
}

func (e emulated) tool(t *testing.T, name string, args ...string) {
	t.Helper()
	cmd := exec.Command(name, args...)
	cmd.Env = append(os.Environ(), "TPM2TOOLS_TCTI=swtpm:path="+e.path)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", name, err, out)
	}
}

func want(t *testing.T, f Floor, err error, state State, value uint64) {
	t.Helper()
	if err != nil || f.State != state || f.Value != value || f.Index != DefaultIndex || (f.Err == nil) != (state == Ready) {
		t.Fatalf("got %+v, %v, want %s %d", f, err, state, value)
	}
}

func TestFloor(t *testing.T) {
	e := swtpm(t)
	want(t, Read(e, DefaultIndex), nil, Missing, 0)
	if f, err := Raise(e, DefaultIndex, 1); err == nil || f.State != Missing {
		t.Errorf("a floor that is not there was raised: %+v, %v", f, err)
	}
	f, err := Define(e, DefaultIndex, 2)
	want(t, f, err, Ready, 2)
	want(t, Read(e, DefaultIndex), nil, Ready, 2)
	f, err = Raise(e, DefaultIndex, 2)
	want(t, f, err, Ready, 2)
	f, err = Raise(e, DefaultIndex, 5)
	want(t, f, err, Ready, 5)
	if f, err = Raise(e, DefaultIndex, 4); !errors.Is(err, ErrAhead) || f.Value != 5 {
		t.Errorf("%+v, %v", f, err)
	}
	if f, err = Raise(e, DefaultIndex, 5+maxRaise+1); !errors.Is(err, tpm2.ErrArgument) || f.Value != 5 {
		t.Errorf("%+v, %v", f, err)
	}
	f, err = Define(e, DefaultIndex, 6)
	want(t, f, err, Ready, 6)

	// Removed and defined anew it does not begin below where it was.
	e.tool(t, "tpm2_nvundefine", "-C", "o", "0x018dd100")
	want(t, Read(e, DefaultIndex), nil, Missing, 0)
	if f, err = Define(e, DefaultIndex, 3); !errors.Is(err, ErrAhead) || f.Value <= 6 {
		t.Errorf("defined anew for level 3: %+v, %v", f, err)
	}
	want(t, Read(e, DefaultIndex), nil, Missing, 0)

	// Nor after a clear of the TPM, which removes it.
	e.tool(t, "tpm2_clear", "-c", "p")
	want(t, Read(e, DefaultIndex), nil, Missing, 0)
	if f, err = Define(e, DefaultIndex, 3); !errors.Is(err, ErrAhead) || f.Value <= 6 {
		t.Errorf("defined anew after a clear: %+v, %v", f, err)
	}
	f, err = Define(e, DefaultIndex, 20)
	want(t, f, err, Ready, 20)
}

func TestForeign(t *testing.T) {
	for _, attributes := range []string{
		"ownerread|ownerwrite|authread|authwrite|no_da",
		"nt=counter|ownerread|ownerwrite|no_da",
		"nt=counter|authread|authwrite|no_da|read_stclear",
		"nt=counter|authread|authwrite",
	} {
		e := swtpm(t)
		e.tool(t, "tpm2_nvdefine", "-C", "o", "-a", attributes, "-s", "8", "0x018dd100")
		want(t, Read(e, DefaultIndex), nil, Foreign, 0)
		if f, err := Define(e, DefaultIndex, 1); err == nil || f.State != Foreign {
			t.Errorf("%s: %+v, %v", attributes, f, err)
		}
	}
	// What tpm2-tools define as we do is ours, and missing until it is incremented.
	e := swtpm(t)
	e.tool(t, "tpm2_nvdefine", "-C", "o", "-a", "nt=counter|authread|authwrite|no_da", "0x018dd100")
	want(t, Read(e, DefaultIndex), nil, Missing, 0)
	e.tool(t, "tpm2_nvincrement", "-C", "0x018dd100", "0x018dd100")
	want(t, Read(e, DefaultIndex), nil, Ready, 1)
}

// fixed is a TPM that always says the same.
type fixed []byte

func (f fixed) Transmit([]byte) ([]byte, error) { return f, nil }

// broken is a TPM that says nothing.
type broken struct{}

func (broken) Transmit([]byte) ([]byte, error) { return nil, os.ErrDeadlineExceeded }

func TestUnreachable(t *testing.T) {
	want(t, Read(broken{}, DefaultIndex), nil, Unreachable, 0)
	failed := binary.BigEndian.AppendUint32([]byte{0x80, 1, 0, 0, 0, 10}, uint32(tpm2.RCFailure))
	want(t, Read(fixed(failed), DefaultIndex), nil, Unreachable, 0)
	want(t, Read(fixed("nonsense"), DefaultIndex), nil, Unreachable, 0)
	if _, err := Define(broken{}, DefaultIndex, 1); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Error(err)
	}
}
