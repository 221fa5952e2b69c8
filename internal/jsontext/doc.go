// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

// Package jsontext reads the one JSON object that a signature partition holds, and writes reports (RFC 8259).
//
// Stage 1 needs no more of JSON than that, and encoding/json would be a tenth of its code. Reading is for hostile text: an object
// is taken apart into its members, of which only strings can be looked into; nothing is decoded into anything. Writing
// gives the bytes that encoding/json gives for the types that reports are made of, which the tests hold against each other.
package jsontext
