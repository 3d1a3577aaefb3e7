package store_test

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/latticed/latticed/grid"
	"github.com/latticed/latticed/grid/store"
)

// bell counts wake-ups.
type bell struct {
	grid.Late
	rung atomic.Int64
}

func (b *bell) Wake(uint64) { b.rung.Add(1) }

func listen(t *testing.T, e grid.Events, kinds grid.EventKind, late grid.Late) grid.Feed {
	t.Helper()
	f, code := e.Listen(grid.Interest{Kinds: kinds}, grid.Ticket{Late: late})
	if code != grid.OK {
		t.Fatalf("Listen: got code %d, want OK", code)
	}
	return f
}

// drain gives f all events that are there, and returns the last code.
func drain(feed grid.Feed, f func(e grid.Event)) grid.Code {
	p := grid.EventPage{Events: make([]grid.Event, 0, 100), Mem: make([]byte, 0, 10_000)}
	for {
		code := feed.Next(&p)
		for _, e := range p.Events {
			f(e)
		}
		if code != grid.OK {
			return code
		}
	}
}

// TestExpiredOnce has readers, writers, sweeps and whoever needs room come upon entries that expire.
func TestExpiredOnce(t *testing.T) {
	const entries, rounds = 800, 4
	s := newStore(t, store.Options{Limit: 16 << 20, Heap: true})
	feed := listen(t, s, grid.Expired|grid.Created, nil)
	var clock atomic.Int64
	clock.Store(1_700_000_000_000)
	ends, events := map[string]int{}, 0
	read := func() grid.Code {
		return drain(feed, func(e grid.Event) {
			events++
			switch n := ends[string(e.Key)]; {
			case e.Kind == grid.Created && n == 0:
				ends[string(e.Key)] = 1
			case e.Kind == grid.Expired && n == 1:
				ends[string(e.Key)] = 2
			default:
				t.Errorf("event %d: kind %d on %s, which had %d events", events, e.Kind, e.Key, n)
			}
		})
	}
	for round := range rounds {
		var all sync.WaitGroup
		for w := range 4 {
			all.Go(func() {
				b := grid.NewBatch(1 << 16)
				for i := range entries {
					b.Reset()
					b.Now.Wall = clock.Add(int64(i & 1))
					if w == 0 {
						*b.Add() = grid.Op{Kind: grid.Put, Key: fmt.Append(nil, round, "-", i), Value: make([]byte, 100), TTL: int64(1 + i%100)}
						s.Do(b)
						continue
					}
					for j := range 8 {
						op := b.Add()
						*op = grid.Op{Kind: grid.Get, Key: fmt.Append(nil, round, "-", (i*8+j)%entries)}
						if j == w {
							op.Kind, op.Cond, op.TTL = grid.Put, grid.IfPresent, 50
						}
					}
					s.Do(b)
					if i%16 == w {
						s.Sweep(b.Now, 512)
					}
				}
			})
		}
		all.Wait()
		read()
	}
	now := grid.Time{Wall: clock.Load() + 1000}
	for s.Sweep(now, 1<<20) > 0 {
	}
	if code := read(); code != grid.Pending || events != 2*rounds*entries {
		t.Errorf("got code %d after %d events, want Pending after %d", code, events, 2*rounds*entries)
	}
	feed.Close()
}

// TestEventsEnd removes a cache that is listened to.
func TestEventsEnd(t *testing.T) {
	s := newStore(t, store.Options{Limit: 16 << 20})
	if err := s.Create("it", store.CacheOptions{}); err != nil {
		t.Fatal(err)
	}
	n := at(t, s, "it")
	events, err := s.Events("it", grid.Principal{})
	if err != nil {
		t.Fatal(err)
	}
	late := &bell{}
	feed := listen(t, events, grid.Created, late)
	n.do(grid.Op{Kind: grid.Put, Key: []byte("k")})
	if got := late.rung.Load(); got != 1 {
		t.Errorf("got %d wake-ups for a first event, want 1", got)
	}
	if err := s.Remove("it"); err != nil {
		t.Fatal(err)
	}
	seen := ""
	if code := drain(feed, func(e grid.Event) { seen += string(e.Key) }); code != grid.Denied || seen != "k" {
		t.Errorf("the rest of a feed whose cache was removed: got code %d and %q, want Denied and k", code, seen)
	}
	feed.Close()
	if _, code := events.Listen(grid.Interest{Kinds: grid.Created}, grid.Ticket{}); code != grid.Denied {
		t.Errorf("Listen to a cache that was removed: got code %d, want Denied", code)
	}

	if err := s.Create("it", store.CacheOptions{}); err != nil {
		t.Fatal(err)
	}
	events, err = s.Events("it", grid.Principal{})
	if err != nil {
		t.Fatal(err)
	}
	feed = listen(t, events, grid.Removed, late)
	if err := s.Remove("it"); err != nil {
		t.Fatal(err)
	}
	if got := late.rung.Load(); got != 2 {
		t.Errorf("got %d wake-ups after another cache was removed, want 2", got)
	}
	feed.Close()
}

// TestEventsBounded holds listeners to a number, and what they take to a share of the limit that comes back.
func TestEventsBounded(t *testing.T) {
	s := newStore(t, store.Options{Limit: 4 << 20})
	memory := func() uint64 {
		var st grid.Stats
		s.Stats(&st, grid.Time{})
		return st.Memory
	}
	before := memory()
	var feeds []grid.Feed
	for {
		f, code := s.Listen(grid.Interest{Kinds: grid.Created}, grid.Ticket{})
		if code == grid.Busy {
			break
		}
		if code != grid.OK || len(feeds) > 10_000 {
			t.Fatalf("listener %d: got code %d, want OK or Busy", len(feeds), code)
		}
		feeds = append(feeds, f)
	}
	if len(feeds) != 1024 {
		t.Errorf("got %d listeners, want 1024", len(feeds))
	}
	taken := memory() - before
	if taken < 128<<10 || taken > 192<<10 {
		t.Errorf("listeners took %d bytes, want 128 KiB and what is about it", taken)
	}
	others := 0
	for ; ; others++ {
		name := fmt.Sprint("cache", others)
		if err := s.Create(name, store.CacheOptions{MaxCount: 10}); err != nil {
			t.Fatal(err)
		}
		e, err := s.Events(name, grid.Principal{})
		if err != nil {
			t.Fatal(err)
		}
		f, code := e.Listen(grid.Interest{Kinds: grid.Created}, grid.Ticket{})
		if code == grid.Busy {
			break
		}
		feeds = append(feeds, f)
	}
	if others != 3 {
		t.Errorf("%d other caches could be listened to, want 3 within an eighth of the limit", others)
	}
	full := memory()
	for _, f := range feeds {
		f.Close()
	}
	if got := full - memory(); got < 4*96<<10 { // what other pages lie beside stays
		t.Errorf("closing all gave back %d bytes, want at least %d", got, 4*96<<10)
	}
}
