package store

import (
	"encoding/binary"
	"fmt"
	"math"
	"math/bits"
	"runtime"
	"sync"
	"sync/atomic"
	"unsafe"
)

// arena is all memory of a Store: one reservation, named by offsets from its beginning. In front lies the table of
// what is known about each log segment (info), behind it are the log segments. A log segment is free, belongs to a
// shard that writes entries into it (log.go), or is cut into pages for large values and the index (pages.go).
//
// The bytes of a log segment, and those fields of its info that log.go uses, belong to the shard that has it. mu
// guards everything else; it is taken last.
type arena struct {
	mem      []byte
	base     unsafe.Pointer
	info     []info
	shift    uint // a log segment is 1<<shift bytes
	heap     bool // mem is on Go's heap, for the race detector, which does not watch other memory
	huge     bool
	hugeFrom uint64 // huge pages are asked for from here on
	first    uint32 // the first log segment behind info
	warm     int    // free log segments that stay resident

	commits func(mem []byte) error // commit, but for tests
	copied  func()                 // for tests, when something was copied without a lock

	ready atomic.Uint64 // bytes from the beginning that are committed

	mu     sync.Mutex
	limit  atomic.Int64 // log segments that may be taken; changed with mu locked
	target int          // what limit is on its way down to
	given  int          // the most that there can be as long as the system refuses memory
	used   int          // that are
	top    uint32       // the first that never was
	freed  []uint32     // taken once and free again
	cold   []uint32     // of these, the ones that were given back to the system
	pages  pages
	spared atomic.Int64 // limit - used
	taken  atomic.Int64 // used
}

// info is what is known about a log segment, in one cache line. The first 32 bytes of a segment that is cut into pages are
// its map of free pages.
type info struct {
	start       int64  // times in entries are relative to this
	expires     int64  // no entry expires before
	expiresNext int64  // the same for what the sweep that is under way has passed
	prev, next  uint32 // in the list of those that are about as dead (dirt.go)
	used        uint32 // bytes written
	dead        uint32 // of these, bytes of entries that are gone
	hand        uint32 // where walking goes on
	epoch       uint32 // number of flushes when it was begun
	swept       uint32 // number of late flushes when it was swept last
	freePages   int32
	place       int32 // in pages.partial
	queue       uint8
	open        bool
	dirt        uint8 // which list that is; 0 for none
	term        uint8 // of what is written to it
}

func (i *info) free() *[4]uint64 { return (*[4]uint64)(unsafe.Pointer(i)) }

const (
	infoSize    = int(unsafe.Sizeof(info{}))
	shardsPer   = 16 // processors
	minSegShift = 15
	maxSegShift = 20
	commitStep  = 32 << 20
	commitLeast = 1 << 20 // asked for when the system refuses a whole step
	hugePage    = 2 << 20 // bytes, on most machines
)

// shape says how many shards and how large log segments suit a limit and so many processors. Each shard has a segment that is half
// full on average, so there are few shards where few processors could meet in one, and many segments: where 64 shards use a quarter
// of the limit, they keep a 128th of that free.
func shape(limit, procs int) (shards int, shift uint) {
	most := min(maxShardBits, max(0, bits.Len(uint(limit>>21))-1))
	per := max(1, limit>>most/256)
	return 1 << min(most, bits.Len(uint(shardsPer*procs-1))), uint(min(maxSegShift, max(minSegShift, bits.Len(uint(per))-1)))
}

func newArena(limit uint64, shift uint, heap bool) (*arena, error) {
	a := &arena{shift: shift, heap: heap, commits: commit, given: math.MaxInt}
	seg := 1 << shift
	want := limit
	switch {
	case heap || !lazyMemory:
	case bits.UintSize == 32:
		want = min(8*limit, max(2*limit, 128<<20))
	case limit > maxReserve/8:
		want = maxReserve
	default:
		want = max(8*limit, 1<<30) // so that the limit can be raised
	}
	var reserved []byte
	var err error
	for {
		n := int(want/uint64(seg)) + 1
		table := ((n+n/8+1)*infoSize + seg - 1) / seg // with room for what is known of itself
		total := (n + table) * seg
		if heap {
			a.mem = make([]byte, total)
			reserved = a.mem
		} else if reserved, err = reserve(total + hugePage); err == nil {
			// the first log segment begins with a huge page
			skip := -(int(uintptr(unsafe.Pointer(unsafe.SliceData(reserved)))) + table*seg) & (hugePage - 1)
			a.mem = reserved[skip:][:total]
		}
		if err == nil {
			a.base = unsafe.Pointer(unsafe.SliceData(a.mem))
			a.info = unsafe.Slice((*info)(a.base), n+table)
			a.first, a.top = uint32(table), uint32(table)
			break
		}
		if want/2 < limit {
			return nil, fmt.Errorf("grid/store: reserve %d bytes of address space: %w; lower the memory limit, or raise the limit on address space (ulimit -v)", total, err)
		}
		want /= 2
	}
	if !heap {
		runtime.AddCleanup(a, func(mem []byte) { unreserve(mem) }, reserved)
	}
	a.huge = limit >= 64<<20
	if limit < 4<<30 { // of the table less than one would be used
		a.hugeFrom = uint64(a.first) << shift
	}
	if err := a.commit(uint64(a.top) << shift); err != nil {
		return nil, fmt.Errorf("grid/store: the system refuses the first %d bytes of memory: %w; lower the memory limit, or let the system give more", a.top<<shift, err)
	}
	a.pages.init(a)
	if !a.setLimit(limit) {
		panic("BUG: the limit is above what was reserved for it")
	}
	return a, nil
}

// commit makes everything below end usable. mu is locked, or nobody else is there.
func (a *arena) commit(end uint64) error {
	if a.heap {
		a.ready.Store(uint64(len(a.mem)))
		return nil
	}
	from := a.ready.Load()
	if end <= from {
		return nil
	}
	upTo := func(step uint64) []byte {
		return a.mem[from:min(uint64(len(a.mem)), (end+step-1)/step*step)]
	}
	mem := upTo(commitStep)
	err := a.commits(mem)
	if err != nil {
		mem = upTo(commitLeast)
		err = a.commits(mem)
	}
	if err != nil {
		return err
	}
	if at := max(from, a.hugeFrom); a.huge && at < from+uint64(len(mem)) {
		huge(mem[at-from:])
	}
	a.ready.Store(from + uint64(len(mem)))
	return nil
}

// extend makes the log segment at the top usable and as many behind it. False: the system refuses memory for all of them.
// The limit is then as if it were what there is; Sweep asks again. mu is locked.
func (a *arena) extend(behind int) bool {
	seg := min(int(a.top)+1+behind, len(a.info))
	if a.commit(uint64(seg)<<a.shift) == nil {
		return true
	}
	a.given = int(a.ready.Load()>>a.shift) - int(a.first)
	a.lower()
	return false
}

// retry asks for memory again that the system refused.
func (a *arena) retry() {
	if a.given < math.MaxInt && a.commit(a.ready.Load()+1) == nil {
		a.given = math.MaxInt
		a.lower()
	}
}

func (a *arena) segSize() int { return 1 << a.shift }

// setLimit changes how much may be taken. False: more than was reserved.
func (a *arena) setLimit(limit uint64) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	n := int(min(limit, math.MaxInt/2)) / (a.segSize() + infoSize)
	if n > len(a.info)-int(a.first) {
		return false
	}
	n = max(n, 1)
	a.target = n
	if n = min(n, a.given); n > a.most() {
		a.limit.Store(int64(n))
	}
	a.warm = n/32 + 4
	a.lower()
	return true
}

// lower brings limit to its target, down or back up after the system has refused memory, or while more is taken, to that and what is for moving, and tells whether it has
// come there. It comes down no faster, so that an op that needs room need not make all of that room at once. mu is locked.
func (a *arena) lower() bool {
	aim := min(a.target, a.given)
	n := aim
	if a.used > n {
		n = min(a.most(), a.used+a.hard(), a.given)
	}
	a.limit.Store(int64(n))
	a.count()
	return n == aim
}

// lowered is lower for who has not locked mu.
func (a *arena) lowered() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.lower()
}

func (a *arena) count() {
	a.spared.Store(int64(a.most() - a.used))
	a.taken.Store(int64(a.used))
}

// Of the log segments within the limit some are for moving entries only: moving is how room is made. When fewer than
// low are left, who stores pays by evicting.
func (a *arena) hard() int { return 1 + a.most()/256 }

func (a *arena) low() int { return a.hard() + 1 + min(maxShards, a.most()/64) }

// tight tells whether room must be made.
func (a *arena) tight() bool { return int(a.spared.Load()) < a.low() }

// memory is what is taken, in bytes.
func (a *arena) memory() uint64 {
	return uint64(a.taken.Load()) * uint64(a.segSize()+infoSize)
}

// most is how many log segments may be taken.
func (a *arena) most() int { return int(a.limit.Load()) }

// take takes a log segment, 0 if there is none. Those kept for moving are taken only if moving.
func (a *arena) take(moving bool) uint32 {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.takeLocked(moving)
}

func (a *arena) takeLocked(moving bool) (seg uint32) {
	least := 0 // what has to be left
	if !moving {
		least = a.hard()
	}
	// what is for moving is asked for before it is needed: when the system has nothing more, there must be some
	if a.most()-a.used > least && len(a.freed)+len(a.cold) == 0 && int(a.top) < len(a.info) {
		a.extend(least)
	}
	if a.most()-a.used <= least {
		return 0
	}
	switch {
	case len(a.freed) > 0:
		seg = a.freed[len(a.freed)-1]
		a.freed = a.freed[:len(a.freed)-1]
	case len(a.cold) > 0:
		seg = a.cold[len(a.cold)-1]
		a.cold = a.cold[:len(a.cold)-1]
	case int(a.top) < len(a.info) && uint64(a.top+1)<<a.shift <= a.ready.Load():
		seg = a.top
		a.top++
	default:
		return 0
	}
	a.info[seg] = info{}
	a.used++
	a.count()
	return seg
}

func (a *arena) give(seg uint32) {
	a.mu.Lock()
	a.giveLocked(seg)
	a.mu.Unlock()
}

func (a *arena) giveLocked(seg uint32) {
	a.freed = append(a.freed, seg)
	a.used--
	a.count()
}

// cool gives the memory of free log segments back to the system, but for some that will be wanted soon. It also asks for
// memory again that the system refused.
func (a *arena) cool() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.retry()
	keep := min(a.warm, max(0, a.most()-a.used))
	for n := 0; len(a.freed) > keep && n < 64; n++ {
		seg := a.freed[0]
		a.freed = a.freed[1:]
		if !a.heap {
			release(a.mem[uint64(seg)<<a.shift : uint64(seg+1)<<a.shift])
		}
		a.cold = append(a.cold, seg)
	}
}

// The bytes of the arena. Nothing is aligned but index buckets and runs.

func (a *arena) bytes(off uint64, n int) []byte {
	return unsafe.Slice((*byte)(unsafe.Add(a.base, off)), n)
}

func (a *arena) u16(off uint64) uint16 {
	return binary.LittleEndian.Uint16((*[2]byte)(unsafe.Add(a.base, off))[:])
}

func (a *arena) u32(off uint64) uint32 {
	return binary.LittleEndian.Uint32((*[4]byte)(unsafe.Add(a.base, off))[:])
}

func (a *arena) u64(off uint64) uint64 {
	return binary.LittleEndian.Uint64((*[8]byte)(unsafe.Add(a.base, off))[:])
}

func (a *arena) put16(off uint64, v uint16) {
	binary.LittleEndian.PutUint16((*[2]byte)(unsafe.Add(a.base, off))[:], v)
}

func (a *arena) put32(off uint64, v uint32) {
	binary.LittleEndian.PutUint32((*[4]byte)(unsafe.Add(a.base, off))[:], v)
}

func (a *arena) put64(off uint64, v uint64) {
	binary.LittleEndian.PutUint64((*[8]byte)(unsafe.Add(a.base, off))[:], v)
}

func (a *arena) seg(off uint64) *info { return &a.info[off>>a.shift] }
