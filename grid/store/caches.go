package store

import (
	"errors"
	"fmt"
	"maps"
	"math/bits"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/latticed/latticed/grid"
)

// WhenFull is what a cache does with a store that its bounds have no room for.
type WhenFull uint8

// The ways to be full.
const (
	Evict  WhenFull = iota // evict others of the same cache
	Refuse                 // refuse it: grid.Full. Nothing is evicted from such a cache, whoever needs memory
)

// CacheOptions shape a cache. Whatever its own bounds, it is in the memory that all caches of a Store share.
type CacheOptions struct {
	// MaxCount is how many entries there may be, 0 for no bound; MaxBytes how many bytes, each entry counting its key, its
	// value, 4 for flags other than 0, and Overhead. Both hold at every moment, however many stores there are at once. Entries that have expired
	// count until they are found; a store that they are in the way of finds them.
	MaxCount int64
	MaxBytes int64
	WhenFull WhenFull

	Lifespan int64 // of entries stored with grid.TTLDefault, ms; 0 for ever
	MaxIdle  int64 // of entries stored with Idle 0, ms; 0 for ever
}

func (o *CacheOptions) check() error {
	switch {
	case o.MaxCount < 0 || o.MaxBytes < 0 || o.Lifespan < 0 || o.MaxIdle < 0:
		return errors.New("a bound is negative")
	case o.WhenFull > Refuse:
		return fmt.Errorf("no such way to be full: %d", o.WhenFull)
	}
	return nil
}

// MaxCaches bounds the caches of a Store, the default one among them. What each costs without an entry: see Create.
const MaxCaches = 1024

const (
	defaultName = "default"
	maxName     = cacheMax // bytes

	openShards   = 4  // of a cache without bounds
	shardCount   = 14 // a cache with bounds has one shard for each 1<<shardCount of its MaxCount
	shardBytes   = 21 // likewise
	createdShare = 4  // a quarter of all log segments may be what created caches write to
)

// roster is all caches. It is never changed but replaced.
type roster struct {
	byName map[string]*cache
	caches []*cache
	shards []*shard // of all of them
}

// enlist makes byName the caches there are. s.mu is locked, or nobody else is there.
func (s *Store) enlist(byName map[string]*cache) {
	r := &roster{byName: byName}
	for _, name := range slices.Sorted(maps.Keys(byName)) {
		c := byName[name]
		r.caches = append(r.caches, c)
		for i := range c.shards {
			r.shards = append(r.shards, &c.shards[i])
		}
	}
	s.roster.Store(r)
	s.many.Store(len(byName) > 1)
}

// Create makes an empty cache. Each has 1 to as many shards as the default one: 4, or by its bounds one for 16,384 entries or
// 2 MiB. A shard costs 6 KiB of heap and 4 KiB of the arena, and once there are entries up to two log segments that are not
// yet full, or ten of 96 and more. So the shards are bounded, too: created caches may have a quarter of all log segments open.
func (s *Store) Create(name string, o CacheOptions) error {
	if name == "" || len(name) > maxName {
		return fmt.Errorf("grid/store: create cache %q: a name has 1 to %d bytes", name, maxName)
	}
	if err := o.check(); err != nil {
		return fmt.Errorf("grid/store: create cache %q: %w", name, err)
	}
	shards := openShards
	if o.MaxCount != 0 || o.MaxBytes != 0 {
		shards = s.maxShards
		if o.MaxCount != 0 {
			shards = min(shards, 1<<bits.Len64(uint64(o.MaxCount)>>(shardCount+1)))
		}
		if o.MaxBytes != 0 {
			shards = min(shards, 1<<bits.Len64(uint64(o.MaxBytes)>>(shardBytes+1)))
		}
	}
	shards = min(shards, s.maxShards)
	s.mu.Lock()
	defer s.mu.Unlock()
	r := s.roster.Load()
	switch {
	case r.byName[name] != nil:
		return fmt.Errorf("grid/store: create cache %q: it exists", name)
	case len(r.caches) == MaxCaches:
		return fmt.Errorf("grid/store: create cache %q: there are %d, which is the most", name, MaxCaches)
	case (len(r.shards)-len(s.shards)+shards)*numQueues > s.a.most()/createdShare:
		return fmt.Errorf("grid/store: create cache %q: the memory limit is too low for one more", name)
	}
	c := &cache{
		s: s, a: s.a, maxValue: s.maxValue, noEvict: o.WhenFull == Refuse,
		seed: s.seed, segments: s.segments, segment: s.segment,
	}
	c.ttl.Store(o.Lifespan)
	c.idle.Store(o.MaxIdle)
	c.bounds.set = o.MaxCount != 0 || o.MaxBytes != 0
	c.bounds.maxCount = o.MaxCount
	c.bounds.maxBytes.Store(o.MaxBytes)
	for try := 1; !c.init(shards); try++ {
		c.close()
		if try == attempts || !s.makeRoom(need{pages: shards}, 0) {
			return fmt.Errorf("grid/store: create cache %q: no memory is left", name)
		}
	}
	byName := maps.Clone(r.byName)
	byName[name] = c
	s.enlist(byName)
	return nil
}

// Alter gives a cache other options while it is used. Lifespan and MaxIdle are for what is stored from now on; what is above
// lower bounds, also of a cache that had none, is evicted. The default cache cannot be given bounds, nor may WhenFull change.
func (s *Store) Alter(name string, o CacheOptions, now grid.Time) error {
	fail := func(why string) error { return fmt.Errorf("grid/store: alter cache %q: %s", name, why) }
	if err := o.check(); err != nil {
		return fail(err.Error())
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.roster.Load().byName[name]
	if c == nil {
		return fail("no such cache")
	}
	b := &c.bounds
	b.mu.Lock()
	refused := ""
	switch {
	case c == s.cache && (o.MaxCount != 0 || o.MaxBytes != 0):
		refused = "it has the memory of all and no bounds of its own"
	case c.noEvict != (o.WhenFull == Refuse):
		refused = "what it does when full cannot change"
	case c.noEvict && (o.MaxCount != 0 && b.count > o.MaxCount || o.MaxBytes != 0 && b.bytes > o.MaxBytes):
		refused = "it holds more, of which nothing may be evicted"
	}
	b.mu.Unlock()
	if refused != "" {
		return fail(refused)
	}
	if !b.set && (o.MaxCount != 0 || o.MaxBytes != 0) {
		c.countAll()
	}
	b.mu.Lock()
	b.maxCount = o.MaxCount
	b.maxBytes.Store(o.MaxBytes)
	b.mu.Unlock()
	c.ttl.Store(o.Lifespan)
	c.idle.Store(o.MaxIdle)
	if b.set {
		for b.over() && c.makeBound(&c.shards[0], need{count: 1, bytes: 1}, now.Wall) {
		}
	}
	return nil
}

// countAll has everything count towards bounds that are to come. Each shard counts from the moment on at which it is added, so
// when all are, nothing is missing, whatever is stored meanwhile.
func (c *cache) countAll() {
	b := &c.bounds
	for i := range c.shards {
		sh := &c.shards[i]
		sh.mu.Lock()
		sh.bounded = true
		count, bytes := int64(sh.entries), int64(0)
		for n := range sh.classes {
			bytes += int64(sh.classes[n].Bytes)
		}
		b.take(-count, -bytes-count*cost(0, 0, 0)+count*int64(grid.Charge(0, 0, 0)))
		sh.mu.Unlock()
	}
	b.set = true
}

// over tells whether more is there than the bounds allow.
func (b *bounds) over() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	most := b.maxBytes.Load()
	return b.maxCount != 0 && b.count > b.maxCount || most != 0 && b.bytes > most
}

// Remove ends a cache with all its entries: handles on it answer Denied from now on, Blobs that are open stay as they are.
// Its memory comes back bit by bit, with Sweep or when others need it.
func (s *Store) Remove(name string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	r := s.roster.Load()
	c := r.byName[name]
	switch {
	case c == nil:
		return fmt.Errorf("grid/store: remove cache %q: no such cache", name)
	case c == s.cache:
		return fmt.Errorf("grid/store: remove cache %q: it is always there", name)
	}
	byName := maps.Clone(r.byName)
	delete(byName, name)
	c.close() // first: what it holds is at every moment in the roster or to be razed
	s.enlist(byName)
	c.endEvents()
	return nil
}

// razing is what is still to be given back of removed caches.
type razing struct {
	some     atomic.Bool // there are shards
	mu       sync.Mutex  // taken before that of a shard
	shards   []*shard
	versions uint64 // no version of theirs is above
}

// close has ops find the cache removed, and what it holds given back from now on.
func (c *cache) close() {
	z := &c.s.razing
	z.mu.Lock()
	defer z.mu.Unlock()
	c.closed.Store(true)
	z.some.Store(true)
	for i := range c.shards {
		sh := &c.shards[i]
		sh.mu.Lock()
		sh.walking = 0
		z.versions = max(z.versions, sh.versions)
		sh.mu.Unlock()
		z.shards = append(z.shards, sh)
	}
}

// raze gives back about n entries' worth of what removed caches hold. False: there is nothing.
func (z *razing) raze(n int) bool {
	if !z.some.Load() {
		return false
	}
	z.mu.Lock()
	defer z.mu.Unlock()
	last := len(z.shards) - 1
	if last < 0 {
		return false
	}
	sh := z.shards[last]
	sh.mu.Lock()
	done := sh.raze(n)
	sh.mu.Unlock()
	if done {
		z.shards[last] = nil
		z.shards = z.shards[:last]
		z.some.Store(last > 0)
	}
	return true
}

// raze gives back what a shard of a removed cache holds, by up to n entries or pages, and tells whether that was all.
func (sh *shard) raze(n int) (done bool) {
	a := sh.c.a
	for i := range sh.queues {
		q := &sh.queues[i]
		for len(q.segs) > 0 {
			seg := q.segs[len(q.segs)-1]
			for s := &a.info[seg]; s.hand < s.used; n-- {
				if n <= 0 {
					return false
				}
				var it item
				off := uint64(seg)<<a.shift + uint64(s.hand)
				a.load(&it, off)
				if s.hand += uint32(it.alloc); a.u32(off)&gone == 0 {
					sh.discount(&it)
					sh.leave(&it)
				}
			}
			q.segs = q.segs[:len(q.segs)-1]
			a.give(seg)
		}
		*q = queue{}
	}
	return sh.index.raze(n)
}

// raze gives back up to n of the index's pages, and tells whether those were all. Nobody may look anything up any more;
// who does without a lock (cache.touch) sees a page less, which it is prepared for.
func (x *index) raze(n int) (done bool) {
	p := x.table.Load()
	if p == nil {
		return true
	}
	t := *p
	x.a.mu.Lock()
	for ; n > 0 && x.razed < len(t); n-- {
		x.a.uncarve(t[x.razed], 1)
		x.razed++
	}
	x.a.mu.Unlock()
	if x.razed < len(t) {
		return false
	}
	x.count, x.spill = 0, spill{}
	return true
}

// Names returns the names of all caches, in order.
func (s *Store) Names() []string { return slices.Sorted(maps.Keys(s.roster.Load().byName)) }

// Open implements grid.Caches.
func (s *Store) Open(name string, _ grid.Principal) (grid.Cache, error) {
	c, err := s.lookup(name)
	if err != nil {
		return nil, err
	}
	return c, nil
}

// Admin implements grid.Caches.
func (s *Store) Admin(name string, _ grid.Principal) (grid.Admin, error) {
	c, err := s.lookup(name)
	if err != nil {
		return nil, err
	}
	if c == s.cache {
		return s, nil
	}
	return c, nil
}

func (s *Store) lookup(name string) (*cache, error) {
	if name == "" {
		return s.cache, nil
	}
	if c := s.roster.Load().byName[name]; c != nil {
		return c, nil
	}
	return nil, fmt.Errorf("grid/store: open cache %q: no such cache", name)
}

// SetLimit implements grid.Admin: it changes MaxBytes. False: the cache has no such bound, or it may not evict what is above.
func (c *cache) SetLimit(limit uint64) bool {
	b := &c.bounds
	if c.closed.Load() || b.maxBytes.Load() == 0 || limit == 0 || limit > 1<<62 || c.noEvict && uint64(b.used()) > limit {
		return false
	}
	b.maxBytes.Store(int64(limit))
	c.makeBound(&c.shards[0], need{bytes: 1}, 0)
	return true
}

// bounds are the limits of one cache, and what counts towards them. An entry is added before it is stored, and taken when it
// is gone, so both hold at every moment. Only caches that have had bounds pay for the mutex; it is taken last.
type bounds struct {
	set      bool
	maxCount int64        // 0 for none
	maxBytes atomic.Int64 // 0 for none

	_     [64]byte
	mu    sync.Mutex
	count int64
	bytes int64
	_     [64]byte
}

// What an op needs of a cache's bounds.
const (
	boundReached  = iota + 1 // others must go first
	boundTooSmall            // whatever goes
)

// boundAttempts bounds how often an op makes room in its own cache that others take.
const boundAttempts = 1 << 10

// cost is what an entry counts towards CacheOptions.MaxBytes: what the statistics say, with what it takes here instead of what it
// would take elsewhere.
func cost(keyLen, size int, flags uint32) int64 {
	return int64(grid.Charge(keyLen, size, flags) - grid.Charge(0, 0, 0) + Overhead)
}

func (it *item) cost() int64 { return cost(it.keyLen, it.size, it.flags) }

// roomFor tells whether that much more is within the bounds. mu is locked.
func (b *bounds) roomFor(count, bytes int64) bool {
	most := b.maxBytes.Load()
	return (count <= 0 || b.maxCount == 0 || b.count+count <= b.maxCount) && (bytes <= 0 || most == 0 || b.bytes+bytes <= most)
}

// add adds to what counts. False: there is no room, nothing was added.
func (b *bounds) add(count, bytes int64) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.roomFor(count, bytes) {
		return false
	}
	b.count += count
	b.bytes += bytes
	return true
}

func (b *bounds) take(count, bytes int64) {
	b.mu.Lock()
	b.count -= count
	b.bytes -= bytes
	b.mu.Unlock()
}

func (b *bounds) has(count, bytes int64) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.roomFor(count, bytes)
}

func (b *bounds) used() int64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.bytes
}

// makeBound makes room within the cache's bounds, first in sh. No shard may be locked. False: everything that may go is gone.
func (c *cache) makeBound(sh *shard, n need, now int64) bool {
	if n.bound == boundTooSmall {
		return false
	}
	idle := 0 // shards in a row that gave nothing
	for !c.bounds.has(n.count, n.bytes) {
		any := false
		if c.noEvict {
			any = sh.expire(now)
		} else {
			sh.mu.Lock()
			sh.at(now)
			_, any = sh.walk(turnMost, 1, true)
			sh.unlock()
		}
		idle++
		if any {
			idle = 0
		}
		if idle > 2*len(c.shards) {
			return false
		}
		sh = c.nextShard()
	}
	return true
}

// expire removes something that is dead. False: there is nothing in this shard.
func (sh *shard) expire(now int64) bool {
	for ends := 0; ends < 2; {
		sh.mu.Lock()
		sh.at(now)
		if sh.dues.none(sh) {
			sh.unlock()
			return false
		}
		_, _, removed, end := sh.sweepSome(turnMost, sh.now)
		sh.unlock()
		if removed > 0 {
			return true
		}
		if end {
			ends++
		}
	}
	return false
}

// admit counts the entry that is to take the place of what was found, or of nothing. False: it has no room.
func (c *call) admit(it *item) bool {
	b := &c.c.bounds
	count, bytes := int64(1), it.cost()
	if most := b.maxBytes.Load(); most != 0 && bytes > most {
		c.needs.bound = boundTooSmall
		return false
	}
	if c.it.off != 0 {
		count, bytes = 0, bytes-c.it.cost()
	}
	if !b.add(count, bytes) {
		c.needs = need{bound: boundReached, count: count, bytes: bytes}
		return false
	}
	c.addCount, c.addBytes = count, bytes
	return true
}

// unadmit takes back what admit counted for an op that is to be run again.
func (c *call) unadmit() {
	if c.addCount != 0 || c.addBytes != 0 {
		c.c.bounds.take(c.addCount, c.addBytes)
		c.addCount, c.addBytes = 0, 0
	}
}

// turn says which cache gives next when others need memory. Each gives in turn, a 128th of what it holds, so all lose the
// same share; those from which nothing may be evicted give nothing.
type turn struct {
	mu   sync.Mutex // taken before that of a shard
	at   int
	left int // bytes that the cache whose turn it is still has to give
}

// victim is a shard that gives next, and how much. No shard may be locked.
func (s *Store) victim() (sh *shard, gain int) {
	t, r := &s.turn, s.roster.Load()
	t.mu.Lock()
	defer t.mu.Unlock()
	for range len(r.caches) {
		if t.left > 0 {
			break
		}
		t.at++
		if n := r.caches[t.at%len(r.caches)].weight(); n > 0 {
			t.left = n/128 + 1
		}
	}
	gain = min(max(t.left, 1), s.a.segSize())
	return r.caches[t.at%len(r.caches)].nextShard(), gain
}

// gave is told how much the cache whose turn it is has given.
func (t *turn) gave(n int) {
	t.mu.Lock()
	t.left -= max(n, 64) // something, so that it ends
	t.mu.Unlock()
}

// weight is the size of what may be evicted.
func (c *cache) weight() (n int) {
	if c.noEvict {
		return 0
	}
	for i := range c.shards {
		sh := &c.shards[i]
		sh.mu.Lock()
		for q := range sh.queues {
			n += int(sh.queues[q].weight)
		}
		sh.mu.Unlock()
	}
	return n
}

// fixed is what caches take from which nothing may be evicted.
func (s *Store) fixed() (n uint64) {
	for _, c := range s.roster.Load().caches {
		if !c.noEvict {
			continue
		}
		for i := range c.shards {
			sh := &c.shards[i]
			sh.mu.Lock()
			for q := range sh.queues {
				n += uint64(sh.queues[q].weight)
			}
			sh.mu.Unlock()
		}
	}
	return n
}

// tax has caches in turn give for what one has written. No shard may be locked.
func (s *Store) tax(n int, now int64) {
	sh, gain := s.victim()
	sh.mu.Lock()
	sh.at(now)
	gained, _ := sh.walk(payMost, min(n, gain), true)
	sh.unlock()
	s.turn.gave(gained)
}
