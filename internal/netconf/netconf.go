// Copyright 2026 the initddi Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.

package netconf

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/initddi/initddi/internal/linux/process"
	"github.com/initddi/initddi/internal/linux/rtnetlink"
	"github.com/initddi/initddi/internal/plan"
)

// ErrNoNetwork says that there is no network: no card, no carrier, nobody who answers.
var ErrNoNetwork = errors.New("there is no network")

// How long it is before the console hears what is waited for, and how often afterwards; a look without a reason, for what gives no sign.
const (
	firstWord = 5 * time.Second
	nextWord  = 10 * time.Second
	lookAgain = time.Second
)

// When the other family is not waited for any more, once one has answered: a router is asked when the card is a second up and again four
// seconds later (RFC 4861 section 10).
const (
	patience4 = 10 * time.Second
	patience6 = 8 * time.Second
)

// Config is what the network is made from.
type Config struct {
	// Want is how; the zero value is to ask on every card.
	Want plan.Network
	// Root is the file system of stage 1, whose run and etc get the record and the resolver's file; Proc is the kernel's.
	Root, Proc *os.Root
	// Say is told what a person at the console should know, Debug the rest.
	Say, Debug func(format string, args ...any)
	// Keep leaves word for the next init that the network has to stay as it is, and gives addresses for ever.
	Keep bool
	// Drivers loads the drivers of network cards that have appeared; it is called until there is a card. VLAN loads what VLANs need. Nil is
	// that somebody else sees to it.
	Drivers, VLAN func() error
}

// Network is a network that is up.
type Network struct {
	mu      sync.Mutex
	state   State
	settled chan struct{}
}

// State returns the network as it is now.
func (n *Network) State() State {
	n.mu.Lock()
	defer n.mu.Unlock()
	s := n.state
	s.Given = slices.Clone(s.Given)
	return s
}

// Settle waits until everything that was asked has been answered, or will not be, or ctx ends: for who cannot reach somebody with what there is
// so far.
func (n *Network) Settle(ctx context.Context) {
	select {
	case <-n.settled:
	case <-ctx.Done():
	}
}

// Up brings the network up and returns with the first answer. What was brought up stays when the program ends; what still comes in comes until ctx
// ends. The error wraps [ErrNoNetwork] if ctx ended first, and says what was missing.
func Up(ctx context.Context, c Config) (*Network, error) {
	n := &Network{settled: make(chan struct{})}
	conn, err := rtnetlink.Open()
	if err != nil {
		return nil, fmt.Errorf("cannot bring the network up: %w", err)
	}
	watcher, err := rtnetlink.Watch()
	if err != nil {
		conn.Close()
		return nil, fmt.Errorf("cannot bring the network up: %w", err)
	}
	m := &manager{Config: c, net: n, conn: conn, cards: map[int]*card{}, answers: make(chan answer), up: make(chan struct{}), begun: time.Now()}
	ended := make(chan error, 1)
	events := make(chan rtnetlink.Event)
	ctx, cancel := context.WithCancelCause(ctx)
	go func() {
		if err := process.Guarded(func() error { return watcher.Run(ctx, events) }); err != nil {
			cancel(err)
		}
	}()
	go func() {
		// Nothing that was asked is still under way when this ends.
		defer conn.Close()
		err := process.Guarded(func() error { return m.run(ctx, events) })
		cancel(nil)
		m.asking.Wait()
		close(n.settled)
		ended <- err
	}()
	select {
	case <-m.up:
		return n, nil
	case err = <-ended:
	}
	select {
	case <-m.up:
		return n, nil
	default:
		return nil, fmt.Errorf("cannot bring the network up: %w", err)
	}
}

// manager is one run of Up. All but net belongs to the goroutine of run.
type manager struct {
	Config
	net     *Network
	conn    *rtnetlink.Conn
	cards   map[int]*card // by the link's index
	names   []string      // of the cards that there are, wanted or not
	winner  *card
	answers chan answer
	asking  sync.WaitGroup
	up      chan struct{} // closed when there is a winner
	begun   time.Time
	// vlanFailed is why there is no VLAN, told once.
	vlanFailed string
}

// answer is what asking came to.
type answer struct {
	card  *card
	how   string
	lease lease
	err   error
	over  bool // nothing more comes
}

// run goes on until everything is settled or ctx ends.
func (m *manager) run(ctx context.Context, events <-chan rtnetlink.Event) error {
	tick := time.NewTicker(lookAgain)
	defer tick.Stop()
	word := time.NewTimer(firstWord)
	defer word.Stop()
	m.drivers()
	for {
		if err := m.look(ctx); err != nil {
			return err
		}
		if m.isSettled() {
			return nil
		}
		select {
		case <-ctx.Done():
			return m.verdict(context.Cause(ctx))
		case <-tick.C:
			m.drivers()
		case <-word.C:
			word.Reset(nextWord)
			if m.winner == nil {
				m.Say("network: waiting: %s", m.missing())
			}
		case e := <-events:
			m.hear(e)
		case a := <-m.answers:
			if err := m.take(a); err != nil {
				return err
			}
		}
		// What came meanwhile needs one look, not many.
		for more := true; more; {
			select {
			case e := <-events:
				m.hear(e)
			default:
				more = false
			}
		}
	}
}

// drivers has the drivers loaded of cards that have appeared, as long as there is none.
func (m *manager) drivers() {
	if m.Drivers == nil || len(m.cards) > 0 {
		return
	}
	if err := m.Drivers(); err != nil {
		m.Debug("network: %v", err)
	}
}

// verdict says why there is no network.
func (m *manager) verdict(cause error) error {
	if m.winner != nil {
		return nil
	}
	why := m.missing()
	if errors.Is(cause, context.DeadlineExceeded) {
		return fmt.Errorf("%w after %s: %s", ErrNoNetwork, time.Since(m.begun).Round(time.Second), why)
	}
	return fmt.Errorf("%w: %s: %w", ErrNoNetwork, why, cause)
}

// isSettled reports whether nothing more is waited for.
func (m *manager) isSettled() bool {
	k := m.winner
	if k == nil {
		return false
	}
	if m.Want.Address != "" {
		return true
	}
	asked := time.Since(k.asked)
	four := k.four || asked > patience4
	six := k.six && !k.asks6() || k.noSix || asked > patience6 && !k.link.Advertised || asked > 2*patience6
	return four && six
}

// give adds a part to the state, or puts it in place of what came by the same way, and writes it down. The first makes the card the winner.
func (m *manager) give(k *card, g Given) error {
	if m.winner == nil {
		m.win(k)
	}
	s := m.net.State()
	i := slices.IndexFunc(s.Given, func(o Given) bool { return o.How == g.How })
	if i >= 0 && same(s.Given[i], g) {
		return nil
	}
	if i >= 0 {
		s.Given[i] = g
	} else {
		s.Given = append(s.Given, g)
	}
	if len(g.Addresses) > 0 {
		m.Say("network: %s: %s", k.link.Name, g)
	}
	// Nobody is told of what is not written yet.
	if err := s.save(m.Root); err != nil {
		return err
	}
	if m.Keep {
		if err := s.keep(m.Root, m.Want); err != nil {
			return err
		}
	}
	m.net.mu.Lock()
	m.net.state = s
	m.net.mu.Unlock()
	select {
	case <-m.up:
	default:
		close(m.up)
	}
	return nil
}

func same(a, b Given) bool {
	return a.String() == b.String() && slices.Equal(a.Routes, b.Routes)
}

// win makes a card the network, and puts the others back as they were.
func (m *manager) win(k *card) {
	m.winner = k
	m.net.mu.Lock()
	m.net.state = State{Version: stateVersion, Interface: k.link.Name, MAC: k.link.MAC.String(), VLAN: k.link.VLAN}
	if p := m.cards[k.link.Parent]; k.link.VLAN != 0 && p != nil {
		m.net.state.Parent = p.link.Name
	}
	m.net.mu.Unlock()
	for index, other := range m.cards {
		if other == k || other.isParent {
			continue
		}
		other.stop()
		if !other.switched {
			continue
		}
		if err := m.conn.SetUp(index, false); err != nil {
			m.Debug("network: %v", err)
		}
	}
}
