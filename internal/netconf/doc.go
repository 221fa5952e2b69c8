// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

// Package netconf brings the network up for who fetches an image: it finds a network card with a carrier, gets addresses, a gateway and name
// servers for it, by DHCPv4, SLAAC, DHCPv6 or as it was told, and leaves a record of them. It belongs to ddifetch; no other part of stage 1
// knows a network.
//
// [Up] returns with the first answer of anybody, IPv4's or IPv6's, on whatever card; what the other family says still comes in afterwards
// ([Network.Settle] waits for it). The card that got the first answer is the network; the others are switched off again.
//
// What is heard is not trusted: it decides where a fetcher looks for images, which are verified as any other. Answers are bounded, and one that
// makes no sense is as good as none.
//
// DHCP is spoken by github.com/insomniacslk/dhcp, which u-root uses as well. IPv6's router advertisements are the kernel's business;
// what it leaves to others, name servers, is read by package ndopt.
package netconf
