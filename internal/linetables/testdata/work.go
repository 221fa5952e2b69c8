// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

// Command work has its memory collected and its stacks moved while it computes, and ends with a panic.
package main

import (
	"fmt"
	"runtime"
	"sync"
)

type node struct {
	next  *node
	value []int
}

// deep needs a large stack with pointers in it, and has each moved and looked at.
func deep(n int, before *node) *node {
	var room [64]*node
	here := &node{before, make([]int, 16)}
	here.value[3] = n
	room[n%64] = here
	if n%50 == 0 {
		runtime.GC()
	}
	if n > 0 {
		here = deep(n-1, here)
	}
	if room[n%64].value[3] != n {
		panic("memory is not what it was")
	}
	return here
}

func guarded(n int) (err error) {
	defer func() { err = fmt.Errorf("it was %v", recover()) }()
	var list []int
	return fmt.Errorf("%d", list[n])
}

func main() {
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			for n := deep(1000, nil); n != nil; n = n.next {
				_ = n.value[15]
			}
		})
	}
	all.Wait()
	sum := 0
	for i := range 100 {
		sum += i
	}
	fmt.Println("sum", sum, guarded(7))
	done := make(chan bool)
	go func() {
		defer close(done)
		fails(sum)
	}()
	<-done
}

func fails(n int) {
	list := []int{1, 2, 3}
	fmt.Println(list[n])
}
