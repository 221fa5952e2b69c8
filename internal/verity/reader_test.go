// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package verity

import (
	"bytes"
	"errors"
	"io"
	"sync"
	"testing"
	"testing/iotest"
)

func TestReader(t *testing.T) {
	for _, sb := range variants() {
		if sb.DataSize() > 1<<21 {
			continue // iotest.TestReader reads byte by byte
		}
		data, hash, root := build(t, sb)
		r, err := NewReader(bytes.NewReader(data), bytes.NewReader(hash), sb, root)
		if err != nil {
			t.Fatal(err)
		}
		if r.Size() != int64(len(data)) {
			t.Errorf("%s: Size = %d, want %d", name(sb), r.Size(), len(data))
		}
		if err := iotest.TestReader(io.NewSectionReader(r, 0, r.Size()), data); err != nil {
			t.Errorf("%s: %v", name(sb), err)
		}
	}
}

func TestReaderBounds(t *testing.T) {
	sb := testSuperblock(129)
	data, hash, root := build(t, sb)
	r, err := NewReader(bytes.NewReader(data), bytes.NewReader(hash), sb, root)
	if err != nil {
		t.Fatal(err)
	}
	size := int64(len(data))
	p := make([]byte, 100)
	if n, err := r.ReadAt(p, size-10); n != 10 || err != io.EOF || !bytes.Equal(p[:10], data[size-10:]) {
		t.Errorf("at the end: %d, %v", n, err)
	}
	if n, err := r.ReadAt(p, size); n != 0 || err != io.EOF {
		t.Errorf("behind the end: %d, %v", n, err)
	}
	if n, err := r.ReadAt(p, -1); n != 0 || err == nil || err == io.EOF {
		t.Errorf("negative offset: %d, %v", n, err)
	}
	if n, err := r.ReadAt(p, 4090); n != 100 || err != nil || !bytes.Equal(p, data[4090:4190]) {
		t.Errorf("across blocks: %d, %v", n, err)
	}
	if _, err := NewReader(nil, nil, sb, root[1:]); !errors.Is(err, ErrInvalid) {
		t.Errorf("short root hash: %v", err)
	}
	if _, err := NewReader(nil, nil, &Superblock{}, root); !errors.Is(err, ErrUnsupported) {
		t.Errorf("no superblock: %v", err)
	}
}

// TestReaderCorrupt reads around a bad block: what is good stays readable, before and after, and the bad block never is.
func TestReaderCorrupt(t *testing.T) {
	sb := testSuperblock(300)
	data, hash, root := build(t, sb)
	bad := bytes.Clone(data)
	bad[200*4096] ^= 1
	badHash := bytes.Clone(hash)
	badHash[4*4096+50] ^= 1 // level 0, for data blocks 256 and following
	r, err := NewReader(bytes.NewReader(bad), bytes.NewReader(badHash), sb, root)
	if err != nil {
		t.Fatal(err)
	}
	p := make([]byte, 4096)
	for range 2 {
		var ce *CorruptError
		if n, err := r.ReadAt(p, 200*4096); n != 0 || !errors.As(err, &ce) || ce.Level != DataLevel || ce.Block != 200 {
			t.Errorf("bad data block: %d, %v", n, err)
		}
		if n, err := r.ReadAt(p, 299*4096); n != 0 || !errors.As(err, &ce) || ce.Level != 0 || ce.Block != 4 {
			t.Errorf("below bad hash block: %d, %v", n, err)
		}
		for _, i := range []int64{168, 199, 201, 232, 0, 255, 168} { // 168 and 232 share a place in the cache with 200
			if _, err := r.ReadAt(p, i*4096); err != nil || !bytes.Equal(p, data[i*4096:(i+1)*4096]) {
				t.Errorf("good block %d: %v", i, err)
			}
		}
	}
}

// TestReaderFailedRead checks that a slot whose reading failed does not pass for its earlier content.
func TestReaderFailedRead(t *testing.T) {
	sb := testSuperblock(64)
	data, hash, root := build(t, sb)
	r, err := NewReader(bytes.NewReader(data[:20*4096]), bytes.NewReader(hash), sb, root)
	if err != nil {
		t.Fatal(err)
	}
	p := make([]byte, 4096)
	if _, err := r.ReadAt(p, 1*4096); err != nil {
		t.Fatal(err)
	}
	if _, err := r.ReadAt(p, 33*4096); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("read behind the end of the partition: %v", err)
	}
	if _, err := r.ReadAt(p, 1*4096); err != nil || !bytes.Equal(p, data[4096:8192]) {
		t.Errorf("block 1 after that: %v", err)
	}
}

func TestReaderConcurrent(t *testing.T) {
	sb := testSuperblock(1000)
	data, hash, root := build(t, sb)
	r, err := NewReader(bytes.NewReader(data), bytes.NewReader(hash), sb, root)
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for g := range int64(4) {
		wg.Go(func() {
			p := make([]byte, 5000)
			for i := range int64(200) {
				off := (i*7919 + g*104729) * 13 % (r.Size() - int64(len(p)))
				if _, err := r.ReadAt(p, off); err != nil || !bytes.Equal(p, data[off:off+int64(len(p))]) {
					t.Errorf("at %d: %v", off, err)
				}
			}
		})
	}
	wg.Wait()
}
